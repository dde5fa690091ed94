//! The shim over Streamable HTTP, in both eras of MCP. Frames are passed on byte by byte.
//!
//! `listener` accepts connections, `front` handles one request, `sessions` has the sessions of the
//! handshake era, `exchange` the requests of the stateless one. `stream` keeps frames until they
//! are delivered, `reply` sends them as JSON or as events. `typed` serves an rmcp server behind the
//! same access checks.

pub mod address;
mod envelope;
mod event;
mod exchange;
mod front;
mod listener;
mod message;
mod mirror;
mod outbox;
mod reply;
mod sessions;
mod stream;
mod typed;

pub(crate) use listener::serve;
pub use typed::serve_typed;

use crate::access::Access;
use address::Address;
use std::time::Duration;

pub struct Options {
    pub address: Address,
    pub access: Access,
    /// How long an idle session is kept.
    pub idle_limit: Duration,
}
