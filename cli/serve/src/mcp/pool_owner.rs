//! The interface that the pool requires of the process that it starts children for.

use crate::mcp::route::Audience;
use crate::mcp::running::Running;
use crate::mcp::server::Server;
use agent_engine::child::{Opening, ServerMessage};
use agent_engine::repository::Repository;
use std::rc::Rc;
use tokio::sync::mpsc;

pub(crate) trait PoolOwner: 'static {
    type Server: Server;

    fn repository(&self) -> &Repository;

    /// How a child for these clients is initialized.
    fn opening(&self, audience: Audience) -> Opening;

    /// A child was started: its server-initiated messages are to be received.
    fn started(
        self: &Rc<Self>,
        server: &Rc<Running<Self::Server>>,
        messages: mpsc::Receiver<ServerMessage>,
    );

    /// A child has taken the place of an older one.
    fn replaced(&self, server: &Rc<Running<Self::Server>>, are_tools_changed: bool);
}
