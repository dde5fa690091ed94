//! A server whose tools clients call.

use crate::mcp::caller::Caller;
use crate::mcp::running::Running;
use crate::mcp::server::Server;
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::ChildError;
use agent_engine::error::Failure;
use serde_json::value::RawValue;
use std::rc::Rc;

pub(crate) trait ToolServer: Server {
    /// One `tools/call`.
    async fn call(
        caller: Caller<'_, Self>,
        params: RawObject,
    ) -> Result<Box<RawValue>, CallFailure<Self>>;
}

/// Why a call has no result.
pub enum CallFailure<S: Server> {
    Child(ChildError, Rc<Running<S>>),
    Ours(Failure),
}

impl<S: Server, E: Into<Failure>> From<E> for CallFailure<S> {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}
