//! One host's session with the shim, whatever carries it: what was agreed, what is under way, and what it is asked.

use crate::mcp::json_rpc::{self, Incoming, Wrong};
use crate::mcp::pool::{Audience, ProtocolVersion, Route, Running};
use crate::mcp::resources::Subscriptions;
use crate::mcp::shim::{Answer, Server, Shim};
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_core::protocol::wire;
use agent_engine::child::{Opening, RpcError, client_info};
use agent_engine::conversations;
use agent_engine::target::call;
use agent_engine::telemetry::{self, Operation, Transport};
use agent_engine::world::unwinding::OnPanic;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

/// How Codex names its thread with each call.
const HOST_THREAD: &str = "threadId";

/// What a frame for the host is about.
#[derive(Debug, Clone, Copy)]
pub enum About<'a> {
    /// It answers this request of the host's.
    Answer(&'a RawValue),
    /// It belongs to this request, which is under way.
    Request(&'a RawValue),
    Nothing,
}

/// Where what a session says goes.
pub trait Outlet {
    /// Takes a whole frame, without a newline.
    fn deliver(&self, frame: String, about: About<'_>);
}

pub struct Session<S: Server> {
    pub number: u64,
    pub shim: Rc<Shim<S>>,
    pub subscriptions: Subscriptions,
    /// The conversation that the session is, where no call says otherwise; one that is over with its request is none.
    conversation: Option<String>,
    outlet: Rc<dyn Outlet>,
    /// What a host of the handshake era said of itself.
    greeting: RefCell<Option<Greeting>>,
    under_way: RefCell<HashMap<String, AbortHandle>>,
    answered: Notify,
    asked: RefCell<HashMap<u64, Asked<S>>>,
    next_question: Cell<u64>,
}

#[derive(Clone)]
struct Greeting {
    revision: &'static str,
    params: RawObject,
}

/// Who waits for the host's answer.
enum Asked<S: Server> {
    /// A child, by its request.
    Child(Weak<Running<S>>, Box<RawValue>),
    /// We, for a child whose result asked.
    Us(oneshot::Sender<Answer>),
}

impl<S: Server> Asked<S> {
    fn answer(self, outcome: Answer) {
        match self {
            Self::Child(server, id) => {
                if let Some(server) = server.upgrade() {
                    server.child().reply(id, outcome);
                }
            }
            Self::Us(waiting) => drop(waiting.send(outcome)),
        }
    }
}

/// Who asks: the session, in which era, by which request.
pub struct Caller<'a, S: Server> {
    pub session: &'a Rc<Session<S>>,
    pub era: Era,
    pub id: &'a RawValue,
}

impl<S: Server> Clone for Caller<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Server> Copy for Caller<'_, S> {}

impl<S: Server> Caller<'_, S> {
    pub fn shim(&self) -> &Rc<Shim<S>> {
        &self.session.shim
    }

    /// The conversation of the host's own that a call belongs to: the thread it names, else its session.
    pub fn own_conversation(&self, params: &RawObject) -> Option<String> {
        let thread = params.object("_meta").and_then(|meta| meta.text(HOST_THREAD)).filter(|thread| !thread.is_empty());
        thread.map(|thread| conversations::id_of(&thread)).or_else(|| self.session.conversation.clone())
    }

    /// What is served where the call itself names no conversation: the host's own decides about its share, so that what is listed is what is called.
    pub fn route(&self, params: Option<&RawObject>) -> Route {
        let own = params.map_or_else(|| self.session.conversation.clone(), |params| self.own_conversation(params));
        Route::Plan(self.shim().traffic.place_of(own.as_deref()))
    }

    /// The lane of a server that many sessions share, or of one of its own.
    pub fn audience(&self, shared: bool) -> Audience {
        Audience {
            protocol_version: S::protocol_version(self.era, self.session.revision()),
            owner: (!shared && self.era == Era::Handshake).then_some(self.session.number),
        }
    }
}

impl<S: Server> Caller<'_, S> {
    /// What a result asks for, asked of a host that shakes hands, and put into the parameters of the request that is to be made again.
    pub async fn fulfil(&self, result: &RawValue, params: &mut RawObject) -> Result<(), RpcError> {
        let asked = RawObject::parse(result).unwrap_or_default();
        let questions: BTreeMap<String, Question> = match asked.get("inputRequests") {
            Some(raw) => {
                serde_json::from_str(raw.get()).map_err(|error| json_rpc::error(mcp::INTERNAL_ERROR, format!("inputRequests: {error}")))?
            }
            None => BTreeMap::new(),
        };
        let mut answers = RawObject::default();
        for (name, question) in &questions {
            let (waiting, answer) = oneshot::channel();
            self.session.put(Asked::Us(waiting), &question.method, question.params.as_deref(), About::Request(self.id));
            let answer = answer.await.unwrap_or_else(|_| Err(host_is_gone()))?;
            answers.set(name, &answer);
        }
        params.set("inputResponses", &answers);
        match asked.get("requestState") {
            Some(state) => params.set("requestState", &state),
            None => params.remove("requestState"),
        }
        Ok(())
    }
}

/// One of a result's `inputRequests`.
#[derive(Deserialize)]
struct Question {
    method: String,
    params: Option<Box<RawValue>>,
}

fn host_is_gone() -> RpcError {
    json_rpc::error(mcp::INTERNAL_ERROR, "the host is gone")
}

impl<S: Server> Session<S> {
    /// Stdio has one; over HTTP each session of the handshake era has one, and each POST of the stateless era.
    pub fn open(shim: &Rc<Shim<S>>, outlet: Rc<dyn Outlet>, conversation: Option<String>) -> Rc<Self> {
        let session = Rc::new(Self {
            number: shim.fresh_number(),
            shim: Rc::clone(shim),
            subscriptions: Subscriptions::default(),
            conversation,
            outlet,
            greeting: RefCell::default(),
            under_way: RefCell::default(),
            answered: Notify::new(),
            asked: RefCell::default(),
            next_question: Cell::new(1),
        });
        shim.enter(&session);
        session
    }

    /// One message of the host's, or a batch. What comes of it goes to the outlet.
    pub fn take(self: &Rc<Self>, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        match json_rpc::batch(text) {
            Ok(None) => self.take_message(text, &Reply::Single),
            Ok(Some(elements)) => self.take_batch(&elements),
            Err(wrong) => self.deliver(wrong.frame(), About::Nothing),
        }
    }

    /// The host does not wait for it any more.
    pub fn cancel(&self, id: &RawValue) {
        self.subscriptions.end(id);
        // dropping its task tells the child
        if let Some(task) = self.under_way.borrow_mut().remove(id.get()) {
            task.abort();
            self.answered.notify_waiters();
        }
    }

    /// Ends what belongs to this session alone.
    pub async fn close(&self) {
        for id in self.subscriptions.close() {
            let result = json_rpc::raw(&json!({"resultType": "complete", "_meta": {mcp::META_SUBSCRIPTION: id}}));
            self.deliver(json_rpc::answer(&id, &result), About::Answer(&id));
        }
        for (_, task) in self.under_way.borrow_mut().drain() {
            task.abort();
        }
        for (_, asked) in self.asked.borrow_mut().drain() {
            asked.answer(Err(host_is_gone()));
        }
        self.shim.leave(self.number).await;
    }

    /// Waits until every request that is not a subscription was answered.
    pub async fn settled(&self) {
        loop {
            let answered = self.answered.notified();
            if self.under_way.borrow().is_empty() {
                return;
            }
            answered.await;
        }
    }

    pub fn deliver(&self, frame: String, about: About<'_>) {
        self.outlet.deliver(frame, about);
    }

    /// The revision of the handshake, once there was one.
    pub fn revision(&self) -> Option<&'static str> {
        self.greeting.borrow().as_ref().map(|greeting| greeting.revision)
    }

    /// Whether the host can be asked nothing: neither for a sample nor for an answer of its user nor for its folders.
    pub fn is_plain(&self) -> bool {
        let greeting = self.greeting.borrow();
        let capabilities = greeting.as_ref().and_then(|greeting| greeting.params.object("capabilities"));
        capabilities.is_none_or(|known| ["sampling", "elicitation", "roots"].iter().all(|name| known.get(name).is_none()))
    }

    /// How a child of this session's own is greeted: as the host greeted us.
    pub fn opening(&self) -> Opening {
        let greeting = self.greeting.borrow();
        let Some(greeting) = greeting.as_ref() else { return Opening::ours() };
        let mut params = greeting.params.clone();
        params.set("protocolVersion", &greeting.revision);
        Opening::Handshake(params.to_raw())
    }

    fn take_message(self: &Rc<Self>, text: &str, reply: &Reply<S>) {
        match Incoming::read(text) {
            Err(wrong) => reply.give(self, wrong.frame(), wrong.id.as_deref()),
            Ok(incoming) => match (incoming.method.as_deref(), &incoming.id) {
                (Some(_), Some(_)) => self.begin(incoming, reply.clone()),
                (Some(_), None) => self.notified(&incoming),
                (None, _) => self.answered_by_host(incoming),
            },
        }
    }

    /// The answers of a batch are one frame, once all that will come are there.
    fn take_batch(self: &Rc<Self>, elements: &[Box<RawValue>]) {
        if elements.is_empty() || self.revision() != Some(mcp::WITH_BATCHES) {
            let why = if elements.is_empty() { "an empty batch" } else { "batches belong to revision 2025-03-26" };
            return self.deliver(Wrong::request(why).frame(), About::Nothing);
        }
        let gathered = Reply::Gathered(Rc::new(Gathered { session: Rc::clone(self), answers: RefCell::default() }));
        for element in elements {
            self.take_message(element.get(), &gathered);
        }
    }

    fn begin(self: &Rc<Self>, incoming: Incoming, reply: Reply<S>) {
        if incoming.method.as_deref() == Some("initialize") {
            self.greeted(incoming.params().unwrap_or_default());
        }
        let session = Rc::clone(self);
        let id = incoming.id.clone().expect("a request has an id");
        let name = id.get().to_owned();
        let task = tokio::task::spawn_local(async move {
            let (owed, request, way) = (Rc::clone(&session), id.clone(), reply.clone());
            let _panicked = OnPanic::new(move || owed.failed(&request, &way));
            let answer = session.answer(&incoming, &id).await;
            session.under_way.borrow_mut().remove(id.get());
            match answer {
                Ok(Some(result)) => reply.give(&session, json_rpc::answer(&id, &result), Some(&id)),
                Ok(None) => {}
                Err(error) => reply.give(&session, json_rpc::refusal(Some(&id), &error), Some(&id)),
            }
            session.answered.notify_waiters();
        });
        self.under_way.borrow_mut().insert(name, task.abort_handle());
    }

    /// The answer to a request at which our own code panicked; the panic itself stands on stderr.
    fn failed(&self, id: &RawValue, reply: &Reply<S>) {
        self.shim
            .repository
            .notices
            .warn(format!("the request with id {} was answered with an error, because `agent` failed at it", id.get()));
        if let Ok(mut under_way) = self.under_way.try_borrow_mut() {
            under_way.remove(id.get());
        }
        let error = json_rpc::error(mcp::INTERNAL_ERROR, "`agent` failed at this request; its log shows where");
        reply.give(self, json_rpc::refusal(Some(id), &error), Some(id));
        self.answered.notify_waiters();
    }

    fn greeted(&self, params: RawObject) {
        let asked = params.text("protocolVersion").unwrap_or_default();
        let revision = mcp::HANDSHAKES.into_iter().find(|known| *known == asked).unwrap_or(mcp::HANDSHAKE);
        *self.greeting.borrow_mut() = Some(Greeting { revision, params });
    }

    /// An answer, or the news that there will be none.
    async fn answer(self: &Rc<Self>, incoming: &Incoming, id: &RawValue) -> Result<Option<Box<RawValue>>, RpcError> {
        let method = incoming.method.as_deref().unwrap_or_default();
        let params = incoming.params()?;
        let era = self.era(method, &params)?;
        let caller = Caller { session: self, era, id };
        if method == "subscriptions/listen" && era == Era::Stateless {
            return self.subscriptions.listen(caller, &params).await.map(|()| None);
        }
        let operation = self.operation(caller, method, &params);
        let is_call = method == "tools/call";
        if let Some(arguments) = params.get("arguments").filter(|_| is_call) {
            operation.given(|| arguments.get().to_owned());
        }
        let answer = operation.around(self.shim.answer(caller, method, params)).await;
        if let Some(result) = answer.as_ref().ok().filter(|_| is_call) {
            operation.answered(|| result.get().to_owned());
        }
        note_outcome(&operation, method, &answer);
        answer.map(Some)
    }

    /// What the trace knows of a request when it arrives.
    fn operation(&self, caller: Caller<'_, S>, method: &str, params: &RawObject) -> Operation {
        let meta = params.object("_meta").unwrap_or_default();
        let named = |of: &str, key: &str| (method == of).then(|| params.text(key)).flatten();
        let (tool, prompt) = (named("tools/call", "name"), named("prompts/get", "name"));
        let resource = method.starts_with("resources/").then(|| params.text("uri")).flatten();
        let traceparent = meta.text(wire::TRACEPARENT);
        let conversation = call::conversation_of(params).or_else(|| caller.own_conversation(params).filter(|_| tool.is_some()));
        let number = self.number.to_string();
        Operation::served(&telemetry::Request {
            tool: tool.as_deref(),
            prompt: prompt.as_deref(),
            resource: resource.as_deref(),
            id: Some(caller.id),
            protocol: if caller.era == Era::Stateless { Some(mcp::STATELESS) } else { self.revision() },
            session: self.shim.has_many_hosts().then_some(&number),
            conversation: conversation.as_deref(),
            transport: if self.shim.has_many_hosts() { Transport::Http } else { Transport::Stdio },
            traceparent: traceparent.as_deref(),
            ..telemetry::Request::new(method)
        })
    }

    /// Each request chooses its era, but `initialize`, which is the handshake.
    fn era(&self, method: &str, params: &RawObject) -> Result<Era, RpcError> {
        let meta = params.object("_meta").filter(|meta| meta.get(mcp::META_VERSION).is_some() && method != "initialize");
        let Some(meta) = meta else {
            let greeted = self.revision().is_some() || matches!(method, "initialize" | "ping");
            return match (greeted, method) {
                (_, "server/discover") => Err(json_rpc::no_such_method(method)),
                (true, _) => Ok(Era::Handshake),
                (false, _) => Err(json_rpc::error(
                    mcp::INVALID_PARAMS,
                    format!("no `initialize` came before this request, and its params._meta lacks {}", mcp::META_VERSION),
                )),
            };
        };
        let version = meta.text(mcp::META_VERSION).unwrap_or_default();
        if version != mcp::STATELESS {
            let known = json!({"supported": [mcp::STATELESS], "requested": version});
            let message = format!("Unsupported protocol version {version}");
            return Err(RpcError { code: mcp::UNSUPPORTED_VERSION, message, data: Some(known) });
        }
        if meta.get(mcp::META_CAPABILITIES).is_none() {
            return Err(json_rpc::error(mcp::INVALID_PARAMS, format!("params._meta lacks {}", mcp::META_CAPABILITIES)));
        }
        if mcp::HANDSHAKE_ONLY.contains(&method) {
            return Err(json_rpc::no_such_method(method));
        }
        Ok(Era::Stateless)
    }

    fn notified(self: &Rc<Self>, incoming: &Incoming) {
        match incoming.method.as_deref() {
            Some("notifications/cancelled") => {
                if let Some(id) = incoming.params().unwrap_or_default().get("requestId") {
                    self.cancel(id);
                }
            }
            // the child had its own from us when it was greeted
            Some("notifications/initialized") | None => {}
            Some(method) => self.shim.forward_to_own(self.number, method, incoming.params.as_deref()),
        }
    }

    /// Asks the host what a child wants to know; a host of the stateless era is never asked.
    pub fn ask(&self, server: &Rc<Running<S>>, id: Box<RawValue>, method: &str, params: Option<&RawValue>, about: About<'_>) {
        self.put(Asked::Child(Rc::downgrade(server), id), method, params, about);
    }

    fn put(&self, asked: Asked<S>, method: &str, params: Option<&RawValue>, about: About<'_>) {
        let number = self.next_question.get();
        self.next_question.set(number + 1);
        self.asked.borrow_mut().insert(number, asked);
        self.deliver(json_rpc::request(number, method, params), about);
    }

    /// The host's answer to what a child asked.
    fn answered_by_host(&self, incoming: Incoming) {
        let number = incoming.id.as_ref().and_then(|id| id.get().parse().ok());
        let asked = number.and_then(|number: u64| self.asked.borrow_mut().remove(&number));
        if let (Some(asked), Some(outcome)) = (asked, incoming.outcome()) {
            asked.answer(outcome);
        }
    }

    /// What the host said of itself, for a child that is greeted in the other era.
    pub fn stateless_meta(&self) -> serde_json::Value {
        let greeting = self.greeting.borrow();
        let part = |name: &str| greeting.as_ref().and_then(|greeting| serde_json::from_str(greeting.params.get(name)?.get()).ok());
        mcp::stateless_meta(&part("clientInfo").unwrap_or_else(client_info), &part("capabilities").unwrap_or_else(|| json!({})))
    }

    /// Settles on an older revision when the server knows no newer one.
    pub fn settle_on(&self, revision: &'static str) {
        if let Some(greeting) = self.greeting.borrow_mut().as_mut() {
            greeting.revision = revision;
        }
    }

    pub fn protocol_version(&self) -> ProtocolVersion {
        self.revision().map_or(ProtocolVersion::Stateless, ProtocolVersion::Handshake)
    }
}

/// How a host's request ended, on its span.
fn note_outcome(operation: &Operation, method: &str, answer: &Answer) {
    match answer {
        Err(error) => operation.refused(error.code, &error.message),
        // looked for as text first: most results do not have it
        Ok(result) if method == "tools/call" && result.get().contains("isError") => {
            if RawObject::parse(result).is_some_and(|members| members.get("isError").is_some_and(|raw| raw.get() == "true")) {
                operation.tool_failed("");
            }
        }
        Ok(_) => {}
    }
}

/// Where an answer goes.
enum Reply<S: Server> {
    Single,
    Gathered(Rc<Gathered<S>>),
}

impl<S: Server> Clone for Reply<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Single => Self::Single,
            Self::Gathered(gathered) => Self::Gathered(Rc::clone(gathered)),
        }
    }
}

impl<S: Server> Reply<S> {
    fn give(&self, session: &Session<S>, answer: String, id: Option<&RawValue>) {
        match self {
            Self::Single => session.deliver(answer, id.map_or(About::Nothing, About::Answer)),
            Self::Gathered(gathered) => gathered.answers.borrow_mut().push((answer, id.map(ToOwned::to_owned))),
        }
    }
}

/// Delivered as one frame when the last request of the batch is answered or cancelled.
struct Gathered<S: Server> {
    session: Rc<Session<S>>,
    answers: RefCell<Vec<(String, Option<Box<RawValue>>)>>,
}

impl<S: Server> Drop for Gathered<S> {
    fn drop(&mut self) {
        let answers = self.answers.take();
        if answers.is_empty() {
            return;
        }
        let about = answers.iter().find_map(|(_, id)| id.as_deref()).map_or(About::Nothing, About::Answer);
        let frames: Vec<_> = answers.iter().map(|(answer, _)| answer.as_str()).collect();
        self.session.deliver(format!("[{}]", frames.join(",")), about);
    }
}
