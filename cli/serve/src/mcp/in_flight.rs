//! Requests of clients that a child has not answered yet, by their ids at the child.

use agent_core::protocol::mcp::Era;
use serde_json::value::RawValue;
use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A client's request that a child is working on.
pub struct InFlight {
    /// The number of the client.
    pub client: u64,
    pub id: Box<RawValue>,
    pub era: Era,
    pub progress_token: Option<Box<RawValue>>,
    pub wants_logs: bool,
    pub is_subscription: bool,
}

#[derive(Default)]
pub struct RequestsInFlight(Rc<RefCell<BTreeMap<u64, InFlight>>>);

/// Removes the request when it is dropped.
pub struct Registered {
    pub id: u64,
    requests: Rc<RefCell<BTreeMap<u64, InFlight>>>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.requests.borrow_mut().remove(&self.id);
    }
}

impl RequestsInFlight {
    /// Registers a request under its id at the child.
    pub fn register(&self, id: u64, request: InFlight) -> Registered {
        self.0.borrow_mut().insert(id, request);
        Registered { id, requests: Rc::clone(&self.0) }
    }

    pub fn borrow(&self) -> Ref<'_, BTreeMap<u64, InFlight>> {
        self.0.borrow()
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}
