//! A POST of the stateless era: a session that ends with its answer.

use crate::mcp::frame_sink::{FrameSink, RelatedRequest};
use crate::mcp::http::envelope;
use crate::mcp::http::message::Posted;
use crate::mcp::http::mirror::Mirror;
use crate::mcp::http::reply::{self, Refusal, Reply, ResponseMode};
use crate::mcp::http::stream::Stream;
use crate::mcp::json_rpc::Incoming;
use crate::mcp::session::Session;
use crate::mcp::shim::Shim;
use crate::mcp::tool_server::ToolServer;
use agent_core::protocol::mcp;
use agent_engine::child::{RpcError, client_info};
use hyper::{HeaderMap, StatusCode};
use serde_json::json;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::timeout;

/// A request that is answered only when it ends.
const LISTEN: &str = "subscriptions/listen";
const LIST: &str = "tools/list";
/// The limit of pages of tools that are read, and the time for it: an endless list must not block
/// calls.
const PAGES: u32 = 100;
const LISTED_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Exchanges<S: ToolServer> {
    shim: Rc<Shim<S>>,
    listening: RefCell<Vec<Weak<Exchange<S>>>>,
    gone: mpsc::UnboundedSender<Rc<Session<S>>>,
    mirror: Rc<Mirror>,
    listed: OnceCell<()>,
}

/// Dropped before the answer: the client closed its connection, and the request is cancelled.
struct Exchange<S: ToolServer> {
    session: Rc<Session<S>>,
    id: Box<RawValue>,
    stream: Rc<Stream>,
    gone: mpsc::UnboundedSender<Rc<Session<S>>>,
}

impl<S: ToolServer> Exchanges<S> {
    pub fn new(shim: &Rc<Shim<S>>, gone: mpsc::UnboundedSender<Rc<Session<S>>>) -> Self {
        Self {
            shim: Rc::clone(shim),
            listening: RefCell::default(),
            gone,
            mirror: Rc::default(),
            listed: OnceCell::new(),
        }
    }

    pub async fn post(&self, headers: &HeaderMap, posted: Posted) -> Reply {
        let Posted::One(message) = posted else {
            return Refusal::bad_request("this revision does not support batches").into();
        };
        if message.method.is_none() {
            return Refusal::bad_request("in this revision clients send no answers").into();
        }
        let Some(id) = message.request() else {
            let checked = envelope::check_notification(headers);
            return checked.map_or_else(
                |error| reply::error(None, &error),
                |()| reply::empty(StatusCode::ACCEPTED),
            );
        };
        match self.check(headers, &message).await {
            Ok(()) => {
                let id = id.to_owned();
                self.exchange(id, *message).await
            }
            Err(error) => reply::error(Some(id), &error),
        }
    }

    async fn check(&self, headers: &HeaderMap, message: &Incoming) -> Result<(), RpcError> {
        envelope::check(headers, message)?;
        if !message.is("tools/call") {
            return Ok(());
        }
        // a server that does not list its tools still has its calls
        self.listed.get_or_init(async || drop(timeout(LISTED_WITHIN, self.list()).await)).await;
        self.mirror.check(headers, message.params()?)
    }

    /// Lists the tools, page by page, as a client would.
    async fn list(&self) {
        let mut cursor = None;
        for page in 0..PAGES {
            let mut params = json!({"_meta": mcp::stateless_meta(&client_info(), &json!({}))});
            if let Some(cursor) = cursor {
                params["cursor"] = json!(cursor);
            }
            let request =
                json!({"jsonrpc": "2.0", "id": page, "method": LIST, "params": params}).to_string();
            let stream = Stream::until_answered(0, 1, false);
            let session = Session::open(
                &self.shim,
                Rc::new(ExchangeSink { stream: Rc::clone(&stream), learns: None }),
                None,
            );
            session.receive(&request);
            let answer = stream.read().next().await;
            session.close().await;
            cursor = answer.and_then(|(_, frame)| self.mirror.learn(&frame));
            if cursor.is_none() {
                return;
            }
        }
    }

    async fn exchange(&self, id: Box<RawValue>, message: Incoming) -> Reply {
        let stream = Stream::until_answered(0, 1, false);
        let learns = message.is(LIST).then(|| Rc::clone(&self.mirror));
        let session = Session::open(
            &self.shim,
            Rc::new(ExchangeSink { stream: Rc::clone(&stream), learns }),
            None,
        );
        let is_subscription = message.is(LISTEN);
        session.receive_message(message);
        let reader = stream.read();
        let exchange = Rc::new(Exchange { session, id, stream, gone: self.gone.clone() });
        if is_subscription {
            let mut listening = self.listening.borrow_mut();
            listening.retain(|listens| listens.strong_count() > 0);
            listening.push(Rc::downgrade(&exchange));
        }
        reply::respond(reader, ResponseMode::Alone, exchange).await
    }

    /// Ends subscriptions, which do not end by themselves.
    pub async fn end(&self) {
        let listening = self.listening.take();
        for exchange in listening.iter().filter_map(Weak::upgrade) {
            exchange.session.close().await;
            exchange.stream.end();
        }
    }
}

impl<S: ToolServer> Drop for Exchange<S> {
    fn drop(&mut self) {
        if !self.stream.is_ended() {
            self.session.cancel(&self.id);
        }
        // at shutdown the receiver is gone, and the shim ends every child
        let _ = self.gone.send(Rc::clone(&self.session));
    }
}

/// Every frame belongs to the one request.
struct ExchangeSink {
    stream: Rc<Stream>,
    /// Reads the mirrored parameters from lists of tools that pass.
    learns: Option<Rc<Mirror>>,
}

impl FrameSink for ExchangeSink {
    fn deliver(&self, frame: String, related: RelatedRequest<'_>) {
        match related {
            RelatedRequest::Answer(_) => {
                if let Some(mirror) = &self.learns {
                    mirror.learn(frame.as_bytes());
                }
                self.stream.answer(frame);
            }
            RelatedRequest::Request(_) | RelatedRequest::Nothing => self.stream.push(frame),
        }
    }
}
