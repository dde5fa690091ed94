//! Dispatches a request by its method.

use crate::mcp::caller::Caller;
use crate::mcp::client::Listed;
use crate::mcp::json_rpc::{self, Answer};
use crate::mcp::overlays;
use crate::mcp::resources;
use crate::mcp::results::{error_text, failed, tool_error};
use crate::mcp::route::Route;
use crate::mcp::tool_server::{CallFailure, ToolServer};
use agent_core::protocol::discovery::{Discovery, Identity};
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::ChildError;
use serde_json::value::RawValue;
use serde_json::{Value, json};

pub async fn answer<S: ToolServer>(
    caller: Caller<'_, S>,
    method: &str,
    params: RawObject,
) -> Answer {
    match method {
        "ping" => Ok(json_rpc::raw(&json!({}))),
        "initialize" => Ok(Box::pin(initialize(caller)).await),
        "server/discover" | "tools/list" => Box::pin(described(caller, method)).await,
        "prompts/list" => Box::pin(caller.listed(method, params)).await,
        "tasks/get" | "tasks/result" | "tasks/cancel" => {
            Box::pin(task(caller, method, params)).await
        }
        "tools/call" => call(caller, params).await,
        _ if method.starts_with("resources/") => {
            Box::pin(resources::answer(caller, method, params)).await
        }
        _ => caller.pass(method, params).await,
    }
}

/// Answers with the tools, or with the whole discovery.
async fn described<S: ToolServer>(caller: Caller<'_, S>, method: &str) -> Answer {
    let route = caller.route();
    let target = caller.shim.current(&route).map_err(|error| failed(&error))?;
    let discovery = caller.discovery_of(&route, &target).await.map_err(|error| failed(&error))?;
    let lifetime = caller.shim.targets.lifetime(&route);
    let mut result = match method {
        "tools/list" => {
            let is_plain = caller.client.takes_no_requests();
            let listed = discovery.list(caller.era(), is_plain, lifetime);
            presented(caller, &discovery, listed)
        }
        _ => discovery.discover(lifetime),
    };
    if let Some(identity) = identity(caller, &route).filter(|_| caller.era() == Era::Stateless) {
        identity.sign_result(&mut result);
    }
    Ok(json_rpc::raw(&result))
}

/// A list of tools with the overlay of what is served. One that cannot be read is reported by a
/// warning, and by each call: a list without an answer would leave the host without tools.
fn presented<S: ToolServer>(
    caller: Caller<'_, S>,
    discovery: &Discovery,
    mut listed: Value,
) -> Value {
    let conversation = caller.own_conversation();
    let Ok(target) = caller.shim.presented(conversation) else { return listed };
    *caller.client.listed.borrow_mut() = Some(Listed {
        conversation: conversation.map(str::to_owned),
        presentation: overlays::presentation(&target, conversation),
    });
    let shown = caller.shown(&target, discovery, conversation).ok().flatten();
    if let (Some(shown), Some(tools)) = (shown, listed["tools"].as_array_mut()) {
        *tools = shown.presentation.listed(std::mem::take(tools));
    }
    listed
}

/// Where the child cannot start, the client is initialized all the same: its calls report why.
async fn initialize<S: ToolServer>(caller: Caller<'_, S>) -> Box<RawValue> {
    let requested = caller.client.revision().unwrap_or(mcp::HANDSHAKE);
    let route = caller.session_route();
    let mut result = if let Ok(discovery) = caller.discovery(&route).await {
        let agreed =
            discovery.newest_handshake().filter(|newest| *newest < requested).unwrap_or(requested);
        caller.client.settle_on(agreed);
        discovery.initialize(agreed)
    } else {
        let server = json!({"name": "agent", "version": env!("CARGO_PKG_VERSION")});
        json!({"protocolVersion": requested, "capabilities": {"tools": {"listChanged": true}},
            "serverInfo": server})
    };
    if let Some(identity) = identity(caller, &route) {
        identity.sign_initialize_result(&mut result);
    }
    json_rpc::raw(&result)
}

/// `None` while nothing can be served.
fn identity<S: ToolServer>(caller: Caller<'_, S>, route: &Route) -> Option<Identity> {
    S::identity(&*caller.shim.current(route).ok()?)
}

async fn call<S: ToolServer>(caller: Caller<'_, S>, params: RawObject) -> Answer {
    match S::call(caller, params).await {
        Ok(result) => Ok(result),
        Err(CallFailure::Child(
            error @ (ChildError::Refused { .. } | ChildError::Unreadable { .. }),
            _,
        )) => Err(json_rpc::child_error(error)),
        Err(CallFailure::Child(error, server)) => {
            Box::pin(caller.shim.replace_if_unresponsive(&server, &error)).await;
            Ok(tool_error(caller.era(), &error_text(&error.into())))
        }
        Err(CallFailure::Ours(error)) => Ok(tool_error(caller.era(), &error_text(&error))),
    }
}

/// Forwards a request about a task to the child that made it, even where another one serves now.
async fn task<S: ToolServer>(caller: Caller<'_, S>, method: &str, params: RawObject) -> Answer {
    let made_by = params.text("taskId").and_then(|id| caller.shim.tasks.of(&id));
    match made_by {
        Some(server) => {
            caller.pass_to(&server, method, params).await.map_err(json_rpc::child_error)
        }
        None => caller.pass(method, params).await,
    }
}
