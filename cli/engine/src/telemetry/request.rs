//! A request of MCP, as far as telemetry describes it.

use agent_core::protocol::conventions as names;
use serde_json::value::RawValue;

/// The transport of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Stdio,
    Http,
}

/// What is known of a request when it arrives or leaves; all but the method may be absent.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    /// The tool of `tools/call`.
    pub tool: Option<&'a str>,
    /// The prompt of `prompts/get`.
    pub prompt: Option<&'a str>,
    pub resource: Option<&'a str>,
    /// A notification has none.
    pub id: Option<&'a RawValue>,
    pub protocol: Option<&'a str>,
    pub session: Option<&'a str>,
    pub conversation: Option<&'a str>,
    pub transport: Transport,
    /// For a server, the `_meta.traceparent` it continues; for a client, the parent it continues
    /// unless a span is active.
    pub traceparent: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub const fn new(method: &'a str) -> Self {
        Self {
            method,
            tool: None,
            prompt: None,
            resource: None,
            id: None,
            protocol: None,
            session: None,
            conversation: None,
            transport: Transport::Stdio,
            traceparent: None,
        }
    }

    /// A call of a tool.
    pub const fn call(tool: &'a str) -> Self {
        Self { tool: Some(tool), ..Self::new(names::TOOLS_CALL) }
    }
}
