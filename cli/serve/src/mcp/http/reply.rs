//! HTTP responses: a refusal, one JSON document, or a stream of events.

use crate::access::Denied;
use crate::mcp::http::event::{self, EventId};
use crate::mcp::http::stream::Reader;
use crate::mcp::json_rpc;
use agent_core::protocol::mcp;
use agent_engine::child::RpcError;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// After this long without a frame the response begins as a stream, and an idle stream sends a
/// keep-alive comment.
const SILENCE: Duration = Duration::from_secs(15);
/// Events that are buffered for a slow connection; more wait in the stream, within its bounds.
const EVENTS_AHEAD: usize = 16;

pub(super) type Reply = Response<Content>;

pub(super) enum Content {
    Whole(Option<Bytes>),
    Events(mpsc::Receiver<Bytes>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Events(events) => events.poll_recv(context),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// A response without a body.
pub(super) fn empty(status: StatusCode) -> Reply {
    with_status(status, Content::Whole(None))
}

/// A refusal with its HTTP status.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    pub fn bad_request(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let mut reply = json(
            refusal.status,
            json_rpc::refusal(None, &json_rpc::error(mcp::INVALID_REQUEST, refusal.why)).into(),
        );
        if refusal.status == StatusCode::UNAUTHORIZED {
            reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        reply
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let hint = denied.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        Self::new(
            StatusCode::from_u16(denied.status).unwrap_or(StatusCode::FORBIDDEN),
            denied.why + &hint,
        )
    }
}

/// A refusal that closes the connection without reading the rest of the request.
pub(super) fn closing(refusal: Refusal) -> Reply {
    let mut reply: Reply = refusal.into();
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

pub(super) fn json(status: StatusCode, document: Bytes) -> Reply {
    let mut reply = with_status(status, Content::Whole(Some(document)));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

fn with_status(status: StatusCode, content: Content) -> Reply {
    let mut reply = Response::new(content);
    *reply.status_mut() = status;
    reply
}

/// How the frames of a request are sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum ResponseMode {
    /// Outside a session: a JSON-RPC error has an HTTP status of its own.
    Alone,
    /// In a session: events have ids to resume from. With `primed`, the first event has no data.
    InSession { primed: bool },
}

/// Responds with plain JSON when the answer is the first frame and arrives soon, else with events.
/// `held` is dropped when the last frame is sent or the client has disconnected.
pub(super) async fn respond(
    mut reader: Reader,
    mode: ResponseMode,
    held: impl Sized + 'static,
) -> Reply {
    match timeout(SILENCE, reader.next()).await {
        Ok(Some((_, frame))) if reader.is_done() => {
            drop(held);
            let status = if matches!(mode, ResponseMode::Alone) {
                status_of(&frame)
            } else {
                StatusCode::OK
            };
            json(status, frame)
        }
        // a cancelled request has no answer and nothing to resume
        Ok(None) => events(reader, None, ResponseMode::Alone, held),
        Ok(first) => events(reader, first, mode, held),
        Err(_) => events(reader, None, mode, held),
    }
}

pub(super) fn events(
    reader: Reader,
    first: Option<(u64, Bytes)>,
    mode: ResponseMode,
    held: impl Sized + 'static,
) -> Reply {
    let (sender, receiver) = mpsc::channel(EVENTS_AHEAD);
    if matches!(mode, ResponseMode::InSession { .. }) {
        reader.promise_resumption();
    }
    tokio::task::spawn_local(async move {
        // a client that disconnects closes the channel
        let _ = pump(reader, first, mode, &sender).await;
        drop(held);
    });
    let mut reply = with_status(StatusCode::OK, Content::Events(receiver));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    reply
}

async fn pump(
    mut reader: Reader,
    first: Option<(u64, Bytes)>,
    mode: ResponseMode,
    sender: &mpsc::Sender<Bytes>,
) -> Result<(), mpsc::error::SendError<Bytes>> {
    let stream = reader.stream.number;
    let id =
        |frame| matches!(mode, ResponseMode::InSession { .. }).then_some(EventId { stream, frame });
    if matches!(mode, ResponseMode::InSession { primed: true }) {
        let before = first.as_ref().map_or(reader.delivered(), |(number, _)| number - 1);
        sender.send(event::priming(EventId { stream, frame: before })).await?;
    }
    if let Some((number, frame)) = first {
        sender.send(event::message(id(number), &frame)).await?;
    }
    loop {
        tokio::select! {
            next = reader.next() => match next {
                Some((number, frame)) => sender.send(event::message(id(number), &frame)).await?,
                None => return Ok(()),
            },
            () = sender.closed() => return Ok(()),
            () = sleep(SILENCE) => sender.send(Bytes::from_static(event::KEEP_ALIVE)).await?,
        }
    }
}

/// The HTTP status of an answer in the stateless revision.
fn status_of(frame: &[u8]) -> StatusCode {
    #[derive(Deserialize)]
    struct Answer {
        error: Option<Code>,
    }
    #[derive(Deserialize)]
    struct Code {
        code: i64,
    }
    let error = serde_json::from_slice::<Answer>(frame).ok().and_then(|answer| answer.error);
    error.map_or(StatusCode::OK, |error| status_of_code(error.code))
}

fn status_of_code(code: i64) -> StatusCode {
    match code {
        mcp::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        mcp::PARSE_ERROR | mcp::INVALID_REQUEST | mcp::INVALID_PARAMS | -32022..=-32020 => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::OK,
    }
}

/// A JSON-RPC error with its HTTP status.
pub(super) fn error(id: Option<&RawValue>, error: &RpcError) -> Reply {
    json(status_of_code(error.code), json_rpc::refusal(id, error).into())
}
