//! A running server, its tools and the requests it is working on.

use crate::mcp::in_flight::RequestsInFlight;
use crate::mcp::route::Audience;
use crate::mcp::server::Server;
use agent_core::protocol::discovery::Discovery;
use agent_core::protocol::mcp::{self, Era};
use agent_engine::child::{Child, ChildError};
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub struct Running<S: Server> {
    pub server: S,
    pub audience: Audience,
    /// The recorded discovery of its code; without a record, the child's answer.
    pub discovery: RefCell<Rc<Discovery>>,
    pub is_recorded: bool,
    /// Its tools that differ from the recorded ones, and how.
    pub undeclared_tools: RefCell<BTreeMap<String, &'static str>>,
    pub in_flight: RequestsInFlight,
}

impl<S: Server> Running<S> {
    pub fn child(&self) -> &Child {
        self.server.child()
    }

    /// A result in the form of the client's era.
    pub fn adapt_result(&self, era: Era, method: &str, result: Box<RawValue>) -> Box<RawValue> {
        let changed = match (era, self.child().era()) {
            (Era::Stateless, Era::Handshake) => mcp::to_stateless(method, &result),
            (Era::Handshake, Era::Stateless) => mcp::to_handshake(&result),
            _ => None,
        };
        changed.unwrap_or(result)
    }

    /// Whether a result requires input. A client of the handshake era provides it by answering
    /// requests.
    pub fn requires_input(&self, era: Era, result: &RawValue) -> bool {
        self.may_require_input(era) && mcp::needs_input(result)
    }

    /// Whether a result may do so, and the request be made again.
    pub fn may_require_input(&self, era: Era) -> bool {
        era == Era::Handshake && self.child().era() == Era::Stateless
    }

    /// Lists the tools again and compares them with the recorded ones.
    pub async fn refresh_tools(&self) -> Result<(), ChildError> {
        let tools = tools_of(self.child()).await?;
        if self.is_recorded {
            *self.undeclared_tools.borrow_mut() = self.discovery.borrow().undeclared_tools(&tools);
        } else {
            let changed = Discovery { tools, ..(**self.discovery.borrow()).clone() };
            *self.discovery.borrow_mut() = Rc::new(changed);
        }
        Ok(())
    }
}

/// A server without tools may refuse to list them.
pub async fn tools_of(child: &Child) -> Result<Vec<serde_json::Value>, ChildError> {
    match child.tools().await {
        Err(ChildError::Refused { .. }) => Ok(Vec::new()),
        listed => listed,
    }
}
