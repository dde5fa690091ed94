//! The context of one request (meta, conversation, trace), parsed once and passed on with it.

use crate::mcp::json_rpc::{self, Incoming};
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_core::protocol::wire;
use agent_engine::child::RpcError;
use agent_engine::conversations;
use agent_engine::target::call;
use serde_json::json;
use serde_json::value::RawValue;

/// The key of `_meta` in which Codex sends its thread with each call.
const HOST_THREAD: &str = "threadId";

#[derive(Debug, Clone)]
pub struct CallContext {
    pub id: Box<RawValue>,
    pub era: Era,
    /// `params._meta`, where that is an object.
    pub meta: Option<RawObject>,
    /// The conversation that the request names, in `_meta` or by an argument.
    pub conversation: Option<String>,
    /// The conversation of the client's thread, where the request names one.
    pub thread: Option<String>,
    pub traceparent: Option<String>,
    pub progress_token: Option<Box<RawValue>>,
    pub wants_logs: bool,
}

impl CallContext {
    /// The context of a request, and its parameters.
    pub fn of(request: Incoming, is_initialized: bool) -> Result<(Self, RawObject), RpcError> {
        let (id, method) = (
            request.id.clone().expect("a request has an id"),
            request.method.clone().unwrap_or_default(),
        );
        let (params, meta) = request.into_params()?;
        let era = era(&method, meta.as_ref(), is_initialized)?;
        let (conversation, thread) = {
            let thread = meta
                .as_ref()
                .and_then(|meta| meta.text(HOST_THREAD))
                .filter(|thread| !thread.is_empty());
            (
                call::conversation_of(meta.as_ref(), &params),
                thread.map(|thread| conversations::id_of(&thread)),
            )
        };
        let context = Self {
            id,
            era,
            conversation,
            thread,
            traceparent: meta.as_ref().and_then(|meta| meta.text(wire::TRACEPARENT)),
            progress_token: meta
                .as_ref()
                .and_then(|meta| meta.get("progressToken"))
                .map(ToOwned::to_owned),
            wants_logs: meta.as_ref().is_some_and(|meta| meta.get(mcp::META_LOG_LEVEL).is_some()),
            meta,
        };
        Ok((context, params))
    }
}

/// Each request chooses its era, but `initialize`, which is the handshake.
fn era(method: &str, meta: Option<&RawObject>, is_initialized: bool) -> Result<Era, RpcError> {
    let Some(meta) =
        meta.filter(|meta| meta.get(mcp::META_VERSION).is_some() && method != "initialize")
    else {
        let is_handshake = is_initialized || matches!(method, "initialize" | "ping");
        return match (is_handshake, method) {
            (_, "server/discover") => Err(json_rpc::no_such_method(method)),
            (true, _) => Ok(Era::Handshake),
            (false, _) => Err(json_rpc::error(
                mcp::INVALID_PARAMS,
                format!(
                    "the session is not initialized, and the request's params._meta lacks {}",
                    mcp::META_VERSION
                ),
            )),
        };
    };
    let version = meta.text(mcp::META_VERSION).unwrap_or_default();
    if version != mcp::STATELESS {
        let known = json!({"supported": [mcp::STATELESS], "requested": version});
        let message = format!("Unsupported protocol version {version}");
        return Err(RpcError { code: mcp::UNSUPPORTED_VERSION, message, data: Some(known) });
    }
    if meta.get(mcp::META_CAPABILITIES).is_none() {
        return Err(json_rpc::error(
            mcp::INVALID_PARAMS,
            format!("params._meta lacks {}", mcp::META_CAPABILITIES),
        ));
    }
    if mcp::HANDSHAKE_ONLY.contains(&method) {
        return Err(json_rpc::no_such_method(method));
    }
    Ok(Era::Stateless)
}
