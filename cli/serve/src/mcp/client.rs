//! One client, that is the host's end of a session: its client info and capabilities, its
//! subscriptions, and the requests that were sent to it.

use crate::mcp::frame_sink::{FrameSink, RelatedRequest};
use crate::mcp::json_rpc::{self, Answer, Incoming};
use crate::mcp::route::ProtocolVersion;
use crate::mcp::subscriptions::Subscriptions;
use agent_core::overlay::Presentation;
use agent_core::protocol::mcp;
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::{Opening, RpcError, client_info};
use serde_json::json;
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

pub struct Client {
    pub number: u64,
    pub subscriptions: Subscriptions,
    /// The conversation of calls that name none; a client of a single request has none.
    pub conversation: Option<String>,
    /// How the tools were presented that it was listed last.
    pub listed: RefCell<Option<Listed>>,
    sink: Rc<dyn FrameSink>,
    /// Of a client of the handshake era.
    initialization: RefCell<Option<Initialization>>,
    pending: RefCell<HashMap<u64, OnAnswer>>,
    next_request: Cell<u64>,
}

/// A presentation, and the conversation that it was for.
pub struct Listed {
    pub conversation: Option<String>,
    pub presentation: Presentation,
}

struct Initialization {
    revision: &'static str,
    params: RawObject,
}

type OnAnswer = Box<dyn FnOnce(Answer)>;

impl Client {
    pub fn new(number: u64, sink: Rc<dyn FrameSink>, conversation: Option<String>) -> Rc<Self> {
        Rc::new(Self {
            number,
            subscriptions: Subscriptions::default(),
            conversation,
            listed: RefCell::default(),
            sink,
            initialization: RefCell::default(),
            pending: RefCell::default(),
            next_request: Cell::new(1),
        })
    }

    pub fn deliver(&self, frame: String, related: RelatedRequest<'_>) {
        self.sink.deliver(frame, related);
    }

    /// Sends a notification to the subscriptions that it matches.
    pub fn notify_subscriptions(&self, method: &str, uri: Option<&str>) {
        for id in self.subscriptions.matching(method, uri) {
            let mut params = json!({"_meta": {mcp::META_SUBSCRIPTION: id}});
            if let Some(uri) = uri {
                params["uri"] = json!(uri);
            }
            self.deliver(json_rpc::notification(method, &params), RelatedRequest::Request(&id));
        }
    }

    /// Answers the subscriptions, which ends them.
    pub fn end_subscriptions(&self) {
        for id in self.subscriptions.close() {
            let result = json_rpc::raw(
                &json!({"resultType": "complete", "_meta": {mcp::META_SUBSCRIPTION: id}}),
            );
            self.deliver(json_rpc::answer(&id, &result), RelatedRequest::Answer(&id));
        }
    }

    /// Sends a request to the client; a client of the stateless era accepts none.
    pub fn request(
        &self,
        method: &str,
        params: Option<&RawValue>,
        related: RelatedRequest<'_>,
        on_answer: impl FnOnce(Answer) + 'static,
    ) {
        let number = self.next_request.get();
        self.next_request.set(number + 1);
        self.pending.borrow_mut().insert(number, Box::new(on_answer));
        self.deliver(json_rpc::request(number, method, params), related);
    }

    /// Receives the client's answer to a request that was sent to it.
    pub fn answered(&self, answer: Incoming) {
        let number = answer.id.as_ref().and_then(|id| id.get().parse().ok());
        let on_answer = number.and_then(|number: u64| self.pending.borrow_mut().remove(&number));
        if let (Some(on_answer), Some(outcome)) = (on_answer, answer.outcome()) {
            on_answer(outcome);
        }
    }

    /// Fails all requests to the client: it is disconnected.
    pub fn gone(&self) {
        let pending = self.pending.take();
        for on_answer in pending.into_values() {
            on_answer(Err(Self::is_gone()));
        }
    }

    pub fn is_gone() -> RpcError {
        json_rpc::error(mcp::INTERNAL_ERROR, "the host has disconnected")
    }

    pub fn initialize(&self, params: RawObject) {
        let requested = params.text("protocolVersion").unwrap_or_default();
        let revision =
            mcp::HANDSHAKES.into_iter().find(|known| *known == requested).unwrap_or(mcp::HANDSHAKE);
        *self.initialization.borrow_mut() = Some(Initialization { revision, params });
    }

    /// Negotiates an older revision when the server supports no newer one.
    pub fn settle_on(&self, revision: &'static str) {
        if let Some(initialization) = self.initialization.borrow_mut().as_mut() {
            initialization.revision = revision;
        }
    }

    /// The revision of the handshake, once there was one.
    pub fn revision(&self) -> Option<&'static str> {
        self.initialization.borrow().as_ref().map(|initialization| initialization.revision)
    }

    pub fn protocol_version(&self) -> ProtocolVersion {
        self.revision().map_or(ProtocolVersion::Stateless, ProtocolVersion::Handshake)
    }

    /// Whether the client declares none of the capabilities for requests to it: sampling,
    /// elicitation and roots.
    pub fn takes_no_requests(&self) -> bool {
        let initialization = self.initialization.borrow();
        let capabilities = initialization
            .as_ref()
            .and_then(|initialization| initialization.params.object("capabilities"));
        capabilities.is_none_or(|known| {
            ["sampling", "elicitation", "roots"].iter().all(|name| known.get(name).is_none())
        })
    }

    /// How a child of this client alone is initialized: with the client's own parameters.
    pub fn opening(&self) -> Opening {
        let initialization = self.initialization.borrow();
        let Some(initialization) = initialization.as_ref() else { return Opening::ours() };
        let mut params = initialization.params.clone();
        params.set("protocolVersion", &initialization.revision);
        Opening::Handshake(params.to_raw())
    }

    /// The client's info and capabilities in the form of the stateless era, where each request has
    /// them.
    pub fn stateless_meta(&self) -> serde_json::Value {
        let initialization = self.initialization.borrow();
        let part = |name: &str| {
            initialization
                .as_ref()
                .and_then(|known| serde_json::from_str(known.params.get(name)?.get()).ok())
        };
        mcp::stateless_meta(
            &part("clientInfo").unwrap_or_else(client_info),
            &part("capabilities").unwrap_or_else(|| json!({})),
        )
    }
}
