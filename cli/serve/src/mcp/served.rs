//! A running server and the target it serves.

use crate::mcp::running::Running;
use crate::mcp::server::Server;
use agent_engine::target::Target;
use std::rc::Rc;

pub struct Served<S: Server> {
    pub target: Rc<Target>,
    pub server: Rc<Running<S>>,
}

impl<S: Server> Clone for Served<S> {
    fn clone(&self) -> Self {
        Self { target: Rc::clone(&self.target), server: Rc::clone(&self.server) }
    }
}
