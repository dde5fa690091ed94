//! The key of a child in the pool: what it serves and for which clients.

use agent_core::formats::object_id::ObjectId;

/// What a child serves: an entry of the traffic plan, whose target moves on, or a pinned target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    Plan(usize),
    /// The frozen state of the canary that runs.
    Canary,
    /// By its code and, for a server that takes its state when it starts, its state.
    Pinned(Option<ObjectId>, Option<ObjectId>),
    Shadow,
}

/// The protocol version that a child was initialized with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProtocolVersion {
    Handshake(&'static str),
    Stateless,
}

/// The clients of a child: every client of one protocol version, or one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Audience {
    pub protocol_version: ProtocolVersion,
    pub owner: Option<u64>,
}

pub type Key = (Route, Audience);
