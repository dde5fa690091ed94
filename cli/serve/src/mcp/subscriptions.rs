//! The subscriptions of one client.

use crate::mcp::conversation_uri::SCHEME;
use crate::mcp::filter::Filter;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::collections::BTreeSet;
use tokio::task::AbortHandle;

struct Listen {
    id: Box<RawValue>,
    filter: Filter,
    /// Forwards the notifications of the server.
    upstream: Option<AbortHandle>,
}

impl Drop for Listen {
    fn drop(&mut self) {
        if let Some(upstream) = &self.upstream {
            upstream.abort();
        }
    }
}

#[derive(Default)]
pub struct Subscriptions {
    /// By `resources/subscribe`, in the handshake era.
    uris: RefCell<BTreeSet<String>>,
    /// By `subscriptions/listen`, in the stateless one.
    listens: RefCell<Vec<Listen>>,
}

impl Subscriptions {
    pub fn has(&self, uri: &str) -> bool {
        self.uris.borrow().contains(uri)
    }

    /// The subscribed resources of the server itself: a new child is subscribed to these.
    pub fn of_the_server(&self) -> Vec<String> {
        self.uris.borrow().iter().filter(|uri| !uri.starts_with(SCHEME)).cloned().collect()
    }

    pub fn add(&self, uri: Option<String>) {
        self.uris.borrow_mut().extend(uri);
    }

    pub fn remove(&self, uri: Option<&str>) {
        if let Some(uri) = uri {
            self.uris.borrow_mut().remove(uri);
        }
    }

    /// The number of open `subscriptions/listen` requests.
    pub fn open(&self) -> usize {
        self.listens.borrow().len()
    }

    pub fn listen(&self, id: Box<RawValue>, filter: Filter, upstream: Option<AbortHandle>) {
        self.listens.borrow_mut().push(Listen { id, filter, upstream });
    }

    /// The client has cancelled a request, which may be a subscription.
    pub fn end(&self, id: &RawValue) {
        self.listens.borrow_mut().retain(|listen| listen.id.get() != id.get());
    }

    /// Ends all subscriptions; returns their ids.
    pub fn close(&self) -> Vec<Box<RawValue>> {
        self.listens.borrow_mut().drain(..).map(|listen| listen.id.clone()).collect()
    }

    /// The ids of the subscriptions that a notification matches.
    pub fn matching(&self, method: &str, uri: Option<&str>) -> Vec<Box<RawValue>> {
        let listens = self.listens.borrow();
        listens
            .iter()
            .filter(|listen| listen.filter.matches(method, uri))
            .map(|listen| listen.id.clone())
            .collect()
    }
}
