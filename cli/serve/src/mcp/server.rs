//! The differences between the Runner and the Tuner behind the shim, except for the call itself
//! (`tool_server`).

use crate::mcp::route::{ProtocolVersion, Route};
use agent_core::protocol::discovery::Identity;
use agent_core::protocol::mcp::Era;
use agent_engine::child::{Child, Opening, Role};
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;

/// A child process whose tools can be called.
pub(crate) trait Server: Sized + 'static {
    const ROLE: Role;
    /// Whether calls may go to the child of an older version while the child of a newer one starts.
    const MAY_LAG: bool;
    /// Whether one child serves all clients, independently of its discovery.
    const IS_SHARED: bool;
    /// State that the shim keeps between calls.
    type State: Default;

    async fn start(
        repository: &Repository,
        route: &Route,
        target: &Target,
        opening: &Opening,
    ) -> Result<Self, Failure>;
    fn child(&self) -> &Child;
    fn child_mut(&mut self) -> &mut Child;
    async fn end(self);
    /// Whether a server that was started for one target can serve another.
    fn serves(old: &Target, new: &Target, takes_state_by_call: bool) -> bool;
    /// The protocol version to initialize a child with for such a client.
    fn protocol_version(era: Era, revision: Option<&'static str>) -> ProtocolVersion;
    /// `serverInfo` as clients see it, where that is not the server's own.
    fn identity(_target: &Target) -> Option<Identity> {
        None
    }
}
