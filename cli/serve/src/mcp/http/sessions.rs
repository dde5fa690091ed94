//! Sessions of the handshake era: opened by `initialize`, named by a header, closed by the client
//! or for being idle.

use crate::mcp::http::envelope;
use crate::mcp::http::event::EventId;
use crate::mcp::http::message::Posted;
use crate::mcp::http::outbox::Outbox;
use crate::mcp::http::reply::{self, Refusal, Reply, ResponseMode};
use crate::mcp::http::stream::Reader;
use crate::mcp::json_rpc::Incoming;
use crate::mcp::session::Session;
use crate::mcp::shim::Shim;
use crate::mcp::tool_server::ToolServer;
use agent_core::formats::object_id::short_digest;
use agent_core::protocol::mcp::{HANDSHAKE, HANDSHAKES, WITH_BATCHES};
use agent_core::protocol::raw_object::RawObject;
use agent_engine::world::random;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// The limit of open sessions; beyond it the one that is idle for longest is closed.
const SESSIONS: usize = 1024;

struct HttpSession<S: ToolServer> {
    session: Rc<Session<S>>,
    outbox: Rc<Outbox>,
    revision: String,
    used: Cell<Instant>,
    /// Connections that use the session now.
    open: Cell<usize>,
}

pub(super) struct HttpSessions<S: ToolServer> {
    shim: Rc<Shim<S>>,
    open: RefCell<HashMap<String, Rc<HttpSession<S>>>>,
    idle_limit: Duration,
    gone: mpsc::UnboundedSender<Rc<Session<S>>>,
}

impl<S: ToolServer> HttpSessions<S> {
    pub fn new(
        shim: &Rc<Shim<S>>,
        idle_limit: Duration,
        gone: mpsc::UnboundedSender<Rc<Session<S>>>,
    ) -> Self {
        Self { shim: Rc::clone(shim), open: RefCell::default(), idle_limit, gone }
    }

    pub async fn post(&self, headers: &HeaderMap, posted: Posted) -> Reply {
        let is_first = !headers.contains_key(SESSION)
            && posted.one().is_some_and(|message| message.is("initialize"));
        match (posted, self.find(headers)) {
            (Posted::One(message), _) if is_first => self.open_session(*message).await,
            (posted, Ok(session)) => session.post(posted).await,
            (_, Err(refusal)) => refusal.into(),
        }
    }

    /// Sends the stream of unsolicited messages, or resumes a broken stream.
    pub fn listen(&self, headers: &HeaderMap) -> Reply {
        let session = match self.find(headers) {
            Ok(session) => session,
            Err(refusal) => return refusal.into(),
        };
        let Some(last) = headers.get(LAST_EVENT) else {
            let reader = session.outbox.unsolicited().read();
            return reply::events(reader, None, session.mode(), session.occupied());
        };
        match last.to_str().ok().and_then(|last| session.resumed(EventId::parse(last)?)) {
            Some(reader) => reply::events(
                reader,
                None,
                ResponseMode::InSession { primed: false },
                session.occupied(),
            ),
            None => Refusal::bad_request(
                "`Last-Event-ID` is not an event of this session, or it is no longer kept",
            )
            .into(),
        }
    }

    pub fn delete(&self, headers: &HeaderMap) -> Reply {
        if let Err(refusal) = self.find(headers) {
            return refusal.into();
        }
        self.close(|id, _| headers.get(SESSION).is_some_and(|named| named == id));
        reply::empty(StatusCode::NO_CONTENT)
    }

    /// Closes sessions that are idle for too long.
    pub fn sweep(&self) {
        self.close(|_, session| {
            session.open.get() == 0 && session.used.get().elapsed() >= self.idle_limit
        });
    }

    /// The interval of `sweep`.
    pub fn sweep_interval(&self) -> Duration {
        (self.idle_limit / 4).clamp(Duration::from_millis(100), Duration::from_secs(60))
    }

    /// Ends the streams of unsolicited messages, which do not end by themselves.
    pub fn end_unsolicited(&self) {
        self.open.borrow().values().for_each(|session| session.outbox.unsolicited().end());
    }

    pub fn end(&self) {
        self.close(|_, _| true);
    }

    fn close(&self, which: impl Fn(&str, &HttpSession<S>) -> bool) {
        self.open.borrow_mut().retain(|id, session| {
            let stays = !which(id, session);
            if !stays {
                session.outbox.end();
                // at shutdown the receiver is gone, and the shim ends every child
                let _ = self.gone.send(Rc::clone(&session.session));
            }
            stays
        });
    }

    fn find(&self, headers: &HeaderMap) -> Result<Rc<HttpSession<S>>, Refusal> {
        let Some(id) = headers.get(SESSION) else {
            return Err(Refusal::bad_request(
                "the header `Mcp-Session-Id` is missing: open a session with `initialize`",
            ));
        };
        if let Some(revision) = envelope::wrong_revision(headers) {
            let why = format!(
                "`MCP-Protocol-Version` is `{revision}`; sessions support {}",
                HANDSHAKES.join(", ")
            );
            return Err(Refusal::bad_request(why));
        }
        let sessions = self.open.borrow();
        let Some(session) = id.to_str().ok().and_then(|id| sessions.get(id)) else {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "the session is unknown or closed: open a new one with `initialize`",
            ));
        };
        session.used.set(Instant::now());
        Ok(Rc::clone(session))
    }

    async fn open_session(&self, message: Incoming) -> Reply {
        let (Some(id), Ok(name)) = (message.request(), random::secret()) else {
            return Refusal::bad_request("`initialize` is a request and needs an `id`").into();
        };
        if !self.makes_room() {
            return Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the limit of {SESSIONS} sessions is reached, and all are in use"),
            )
            .into();
        }
        let outbox = Outbox::new();
        // derived by a digest: the session id is a secret, and conversation ids are shown
        let conversation = format!("h-{}", short_digest(name.as_bytes()));
        let session = Session::open(&self.shim, outbox.clone(), Some(conversation));
        let stream = outbox.open(&[id]).expect("no id of a new session is in use");
        session.receive_message(message);
        let mut reader = stream.read();
        let answer = reader.next().await.map(|(_, frame)| frame).unwrap_or_default();
        let mut reply = reply::json(StatusCode::OK, answer.clone());
        let Some(revision) = agreed(&answer) else {
            let _ = self.gone.send(session);
            return reply;
        };
        reply
            .headers_mut()
            .insert(SESSION, HeaderValue::try_from(&name).expect("hexadecimal digits"));
        let session = HttpSession {
            session,
            outbox,
            revision,
            used: Cell::new(Instant::now()),
            open: Cell::new(0),
        };
        self.open.borrow_mut().insert(name, Rc::new(session));
        reply
    }

    /// Makes room for one more session by closing the one that is idle for longest; false where all
    /// are in use.
    fn makes_room(&self) -> bool {
        if self.open.borrow().len() < SESSIONS {
            return true;
        }
        let idle = |sessions: &HashMap<String, Rc<HttpSession<S>>>| {
            let idle = sessions.iter().filter(|(_, session)| session.open.get() == 0);
            idle.min_by_key(|(_, session)| session.used.get()).map(|(id, _)| id.clone())
        };
        let longest = idle(&self.open.borrow());
        self.close(|id, _| Some(id) == longest.as_deref());
        longest.is_some()
    }
}

/// The negotiated revision in an answer to `initialize`.
fn agreed(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: &'a RawValue,
    }
    let answer: Answer<'_> = serde_json::from_slice(answer).ok()?;
    RawObject::parse(answer.result)?.text("protocolVersion")
}

impl<S: ToolServer> HttpSession<S> {
    async fn post(self: &Rc<Self>, posted: Posted) -> Reply {
        let is_batch = posted.one().is_none();
        if is_batch && self.revision != WITH_BATCHES {
            return Refusal::bad_request(format!("batches belong to revision {WITH_BATCHES}"))
                .into();
        }
        let ids: Vec<_> = posted.all().iter().filter_map(Incoming::request).collect();
        if ids.is_empty() {
            posted.into_all().into_iter().for_each(|message| self.take(message));
            return reply::empty(StatusCode::ACCEPTED);
        }
        let Some(stream) = self.outbox.open(&ids) else {
            return Refusal::bad_request("the `id` is in use by a request in flight").into();
        };
        posted.into_all().into_iter().for_each(|message| self.take(message));
        if is_batch {
            return reply::events(stream.read(), None, self.mode(), self.occupied());
        }
        reply::respond(stream.read(), self.mode(), self.occupied()).await
    }

    fn take(&self, message: Incoming) {
        let cancelled = message.params().ok().filter(|_| message.is("notifications/cancelled"));
        let cancelled = cancelled.and_then(|params| params.get("requestId")).map(ToOwned::to_owned);
        self.session.receive_message(message);
        if let Some(id) = cancelled {
            self.outbox.abandon(&id);
        }
    }

    fn resumed(&self, last: EventId) -> Option<Reader> {
        self.outbox.find(last.stream)?.read_after(last.frame)
    }

    fn mode(&self) -> ResponseMode {
        // clients of older revisions do not expect an event without data
        ResponseMode::InSession { primed: self.revision == HANDSHAKE }
    }

    /// Marks the session as in use until the guard is dropped.
    fn occupied(self: &Rc<Self>) -> Occupied<S> {
        self.open.set(self.open.get() + 1);
        Occupied(Rc::clone(self))
    }
}

struct Occupied<S: ToolServer>(Rc<HttpSession<S>>);

impl<S: ToolServer> Drop for Occupied<S> {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.used.set(Instant::now());
    }
}
