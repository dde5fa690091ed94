//! The session of one client, over any transport: receives its messages and answers its requests.

use crate::mcp::batch::{Batch, Reply};
use crate::mcp::call_context::CallContext;
use crate::mcp::caller::Caller;
use crate::mcp::client::Client;
use crate::mcp::frame_sink::{FrameSink, RelatedRequest};
use crate::mcp::json_rpc::{self, Answer, Incoming, Wrong};
use crate::mcp::requests;
use crate::mcp::resources;
use crate::mcp::shim::Shim;
use crate::mcp::tool_server::ToolServer;
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::RpcError;
use agent_engine::telemetry::{self, Operation, Transport};
use agent_engine::world::unwinding::OnPanic;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub struct Session<S: ToolServer> {
    client: Rc<Client>,
    shim: Rc<Shim<S>>,
    in_flight: RefCell<HashMap<String, AbortHandle>>,
    answered: Notify,
}

impl<S: ToolServer> Session<S> {
    pub fn open(
        shim: &Rc<Shim<S>>,
        sink: Rc<dyn FrameSink>,
        conversation: Option<String>,
    ) -> Rc<Self> {
        let client = Client::new(shim.fresh_number(), sink, conversation);
        shim.enter(&client);
        Rc::new(Self {
            client,
            shim: Rc::clone(shim),
            in_flight: RefCell::default(),
            answered: Notify::new(),
        })
    }

    /// Receives one message of the client, or a batch. Answers go to the sink.
    pub fn receive(self: &Rc<Self>, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        match json_rpc::read(text) {
            Ok(json_rpc::Frame::One(message)) => self.take(*message, &Reply::Single),
            Ok(json_rpc::Frame::Batch(elements)) => self.take_batch(elements),
            Err(wrong) => Reply::Single.give(&self.client, wrong.frame(), wrong.id.as_deref()),
        }
    }

    /// Receives a message that is parsed already.
    pub fn receive_message(self: &Rc<Self>, message: Incoming) {
        self.take(message, &Reply::Single);
    }

    /// Cancels a request.
    pub fn cancel(&self, id: &RawValue) {
        self.client.subscriptions.end(id);
        // dropping its task cancels it at the child
        if let Some(task) = self.in_flight.borrow_mut().remove(id.get()) {
            task.abort();
            self.answered.notify_waiters();
        }
    }

    /// Ends the children and subscriptions of this session alone.
    pub async fn close(&self) {
        self.client.end_subscriptions();
        for (_, task) in self.in_flight.borrow_mut().drain() {
            task.abort();
        }
        self.client.gone();
        self.shim.leave(self.client.number).await;
    }

    /// Waits until every request except subscriptions is answered.
    pub async fn all_answered(&self) {
        loop {
            let answered = self.answered.notified();
            if self.in_flight.borrow().is_empty() {
                return;
            }
            answered.await;
        }
    }

    fn take(self: &Rc<Self>, message: Incoming, reply: &Reply) {
        self.shim.stat_cache.clear();
        match (message.method.is_some(), message.id.is_some()) {
            (true, true) => self.begin(message, reply.clone()),
            (true, false) => self.notified(&message),
            (false, _) => self.client.answered(message),
        }
    }

    /// Answers a batch with one frame, once all of its requests are answered.
    fn take_batch(self: &Rc<Self>, elements: Vec<Box<RawValue>>) {
        if elements.is_empty() || self.client.revision() != Some(mcp::WITH_BATCHES) {
            let why = if elements.is_empty() {
                "an empty batch"
            } else {
                "batches belong to revision 2025-03-26"
            };
            return self.client.deliver(Wrong::request(why).frame(), RelatedRequest::Nothing);
        }
        let reply = Reply::Batch(Batch::of(&self.client));
        for element in elements {
            match Incoming::read(element.get()) {
                Ok(message) => self.take(message, &reply),
                Err(wrong) => reply.give(&self.client, wrong.frame(), wrong.id.as_deref()),
            }
        }
    }

    fn begin(self: &Rc<Self>, request: Incoming, reply: Reply) {
        if request.method.as_deref() == Some("initialize") {
            self.client.initialize(request.params().cloned().unwrap_or_default());
        }
        let session = Rc::clone(self);
        let id = request.id.clone().expect("a request has an id");
        let name = id.get().to_owned();
        // boxed, for tokio moves a task's future several times, and this one is large
        let task = tokio::task::spawn_local(Box::pin(async move {
            let (owner, panicked, way) = (Rc::clone(&session), id.clone(), reply.clone());
            let _panicked = OnPanic::new(move || owner.failed(&panicked, &way));
            let answer = session.answer(request).await;
            session.in_flight.borrow_mut().remove(id.get());
            match answer {
                Ok(Some(result)) => {
                    reply.give(&session.client, json_rpc::answer(&id, &result), Some(&id));
                }
                Ok(None) => {}
                Err(error) => {
                    reply.give(&session.client, json_rpc::refusal(Some(&id), &error), Some(&id));
                }
            }
            session.answered.notify_waiters();
        }));
        self.in_flight.borrow_mut().insert(name, task.abort_handle());
    }

    /// Answers a request whose handling panicked; the panic message is on stderr.
    fn failed(&self, id: &RawValue, reply: &Reply) {
        self.shim.repository.notices.warn(format!(
            "internal error: the request with id {} was answered with an error",
            id.get()
        ));
        if let Ok(mut in_flight) = self.in_flight.try_borrow_mut() {
            in_flight.remove(id.get());
        }
        let error = json_rpc::error(
            mcp::INTERNAL_ERROR,
            "internal error of `agent`; its stderr has the details",
        );
        reply.give(&self.client, json_rpc::refusal(Some(id), &error), Some(id));
        self.answered.notify_waiters();
    }

    /// An answer; none to a subscription, which is answered when it ends.
    async fn answer(self: &Rc<Self>, request: Incoming) -> Result<Option<Box<RawValue>>, RpcError> {
        let method = request.method.clone().unwrap_or_default();
        let (context, params) = CallContext::of(request, self.client.revision().is_some())?;
        let caller = Caller { shim: &self.shim, client: &self.client, context: &context };
        if method == "subscriptions/listen" && context.era == Era::Stateless {
            return resources::listen(caller, &params).await.map(|()| None);
        }
        let operation = self.operation(caller, &method, &params);
        let is_call = method == "tools/call";
        if let Some(arguments) = params.get("arguments").filter(|_| is_call) {
            operation.given(|| arguments.get().to_owned());
        }
        // pinned, for the future is large, and is moved several times otherwise
        let work = pin!(requests::answer(caller, &method, params));
        let answer = operation.around(work).await;
        if let Some(result) = answer.as_ref().ok().filter(|_| is_call) {
            operation.answered(|| result.get().to_owned());
        }
        note_outcome(&operation, &method, &answer);
        answer.map(Some)
    }

    /// The span of a request, with the attributes that are known when it arrives.
    fn operation(&self, caller: Caller<'_, S>, method: &str, params: &RawObject) -> Operation {
        let context = caller.context;
        let named = |of: &str, key: &str| (method == of).then(|| params.text(key)).flatten();
        let (tool, prompt) = (named("tools/call", "name"), named("prompts/get", "name"));
        let resource = method.starts_with("resources/").then(|| params.text("uri")).flatten();
        let own = || caller.own_conversation().filter(|_| tool.is_some());
        let number = self.client.number.to_string();
        Operation::served(&telemetry::Request {
            tool: tool.as_deref(),
            prompt: prompt.as_deref(),
            resource: resource.as_deref(),
            id: Some(&context.id),
            protocol: if context.era == Era::Stateless {
                Some(mcp::STATELESS)
            } else {
                self.client.revision()
            },
            session: self.shim.has_many_hosts().then_some(&number),
            conversation: context.conversation.as_deref().or_else(own),
            transport: if self.shim.has_many_hosts() { Transport::Http } else { Transport::Stdio },
            traceparent: context.traceparent.as_deref(),
            ..telemetry::Request::new(method)
        })
    }

    fn notified(self: &Rc<Self>, notification: &Incoming) {
        match notification.method.as_deref() {
            Some("notifications/cancelled") => {
                if let Some(id) =
                    notification.params().ok().and_then(|params| params.get("requestId"))
                {
                    self.cancel(id);
                }
            }
            // the shim has sent the child its own `initialized`
            Some("notifications/initialized") | None => {}
            Some(method) => self.shim.forward_to_own(
                self.client.number,
                method,
                notification.raw_params.as_deref(),
            ),
        }
    }
}

/// Records the outcome of a request on its span.
fn note_outcome(operation: &Operation, method: &str, answer: &Answer) {
    match answer {
        Err(error) => operation.refused(error.code, &error.message),
        // searched as text first: most results are not errors, and parsing all would be slow
        Ok(result) if method == "tools/call" && mentions_error(result.get()) => {
            if RawObject::parse(result).is_some_and(|members| {
                members.get("isError").is_some_and(|raw| raw.get() == "true")
            }) {
                operation.tool_failed("");
            }
        }
        Ok(_) => {}
    }
}

/// Whether a result has a member `isError` that is true, perhaps in its content.
fn mentions_error(result: &str) -> bool {
    const MEMBER: &str = "\"isError\"";
    result.match_indices(MEMBER).any(|(at, _)| {
        let value = result[at + MEMBER.len()..].trim_start().strip_prefix(':');
        value.is_some_and(|value| value.trim_start().starts_with("true"))
    })
}
