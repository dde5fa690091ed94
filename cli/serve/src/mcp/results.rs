//! Results and errors of the shim itself, in the form of the client's era.

use crate::mcp::json_rpc;
use crate::mcp::server::Server;
use agent_core::formats::diagnose::FailureKind;
use agent_core::protocol::mcp::{self, Era};
use agent_engine::child::RpcError;
use agent_engine::error::Failure;
use agent_engine::target::Target;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The JSON-RPC error of a failure. JSON-RPC has a code for invalid parameters and one for all
/// other failures; `data.kind` distinguishes them.
pub fn failed(error: &Failure) -> RpcError {
    let code = match error.kind {
        FailureKind::Usage => mcp::INVALID_PARAMS,
        _ => mcp::INTERNAL_ERROR,
    };
    RpcError { data: Some(json!({"kind": error.kind})), ..json_rpc::error(code, error_text(error)) }
}

/// An error with its hint in one text: MCP has no field for the hint.
pub fn error_text(error: &Failure) -> String {
    let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    error.messages.join(": ") + &hint
}

pub fn tool_error(era: Era, message: &str) -> Box<RawValue> {
    in_era(era, "tools/call", json_rpc::tool_error(message))
}

/// A result of the stateless era under the identity of the agent, where the server has one.
pub(crate) fn signed<S: Server>(era: Era, target: &Target, result: Box<RawValue>) -> Box<RawValue> {
    match era {
        Era::Handshake => result,
        Era::Stateless => match S::identity(target) {
            Some(identity) => identity.signed(result),
            None => result,
        },
    }
}

/// A result of the shim itself.
pub fn own(era: Era, method: &str, value: &Value) -> Box<RawValue> {
    in_era(era, method, json_rpc::raw(value))
}

fn in_era(era: Era, method: &str, result: Box<RawValue>) -> Box<RawValue> {
    if era == Era::Stateless {
        mcp::to_stateless(method, &result).unwrap_or(result)
    } else {
        result
    }
}
