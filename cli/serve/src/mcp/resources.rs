//! Conversations as resources, beside the server's own; and subscriptions to changes of both.

use crate::mcp::caller::Caller;
use crate::mcp::conversation_uri::{SCHEME, uri};
use crate::mcp::filter::Filter;
use crate::mcp::frame_sink::RelatedRequest;
use crate::mcp::json_rpc::{self, Answer};
use crate::mcp::results;
use crate::mcp::running::Running;
use crate::mcp::tool_server::ToolServer;
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::{ChildError, RpcError};
use agent_engine::conversations::{self, ConversationError};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::rc::Rc;

/// Conversations on one page of the list.
const PAGE: usize = 100;
/// The prefix of the shim's own cursors; other cursors are the server's and are passed on.
const CURSOR: &str = "dev.agentvc/sessions:";
/// Subscriptions one client may have.
const LISTENS: usize = 64;

pub async fn answer<S: ToolServer>(
    caller: Caller<'_, S>,
    method: &str,
    params: RawObject,
) -> Answer {
    let subscriptions = &caller.client.subscriptions;
    let named = params.text("uri");
    let conversation = named.as_deref().and_then(|uri| uri.strip_prefix(SCHEME)).map(str::to_owned);
    match (method, conversation) {
        ("resources/list", _) if has_conversations(caller).await => list(caller, params).await,
        ("resources/templates/list", _) if has_conversations(caller).await => {
            templates(caller, params).await
        }
        ("resources/list" | "resources/templates/list", _) => caller.listed(method, params).await,
        ("resources/read", Some(id)) => read(caller, &id),
        ("resources/subscribe", Some(_)) => {
            subscriptions.add(named);
            Ok(json_rpc::raw(&json!({})))
        }
        ("resources/unsubscribe", Some(_)) => {
            subscriptions.remove(named.as_deref());
            Ok(json_rpc::raw(&json!({})))
        }
        ("resources/subscribe", None) => {
            let result = caller.pass(method, params).await?;
            subscriptions.add(named);
            Ok(result)
        }
        ("resources/unsubscribe", None) => {
            subscriptions.remove(named.as_deref());
            caller.pass(method, params).await
        }
        _ => caller.pass(method, params).await,
    }
}

async fn has_conversations<S: ToolServer>(caller: Caller<'_, S>) -> bool {
    caller
        .discovery(&caller.session_route())
        .await
        .is_ok_and(|discovery| discovery.has_conversations())
}

/// The server's own list, its members untouched; empty where it has no resources.
async fn own<S: ToolServer>(
    caller: Caller<'_, S>,
    method: &str,
    member: &str,
    params: RawObject,
) -> Result<RawObject, RpcError> {
    let discovery = caller.discovery(&caller.session_route()).await.ok();
    if discovery
        .is_some_and(|discovery| discovery.capabilities(caller.era())["resources"].is_object())
    {
        let result = caller.listed(method, params).await?;
        return Ok(RawObject::parse(&result).unwrap_or_default());
    }
    Ok(RawObject::parse(&results::own(caller.era(), method, &json!({ member: [] })))
        .expect("it is an object"))
}

/// Lists the server's pages first, then the conversations.
async fn list<S: ToolServer>(caller: Caller<'_, S>, params: RawObject) -> Answer {
    let cursor = params.text("cursor");
    let (from, mut page) = match cursor.as_deref().and_then(|cursor| cursor.strip_prefix(CURSOR)) {
        Some(from) => {
            let from = from.parse().map_err(|_| {
                json_rpc::error(mcp::INVALID_PARAMS, "params.cursor is not a cursor of this server")
            })?;
            (
                from,
                RawObject::parse(&results::own(
                    caller.era(),
                    "resources/list",
                    &json!({"resources": []}),
                ))
                .expect("it is an object"),
            )
        }
        None => (0, own(caller, "resources/list", "resources", params).await?),
    };
    if page.get("nextCursor").is_some_and(|next| next.get() != "null") {
        return Ok(page.to_raw());
    }
    let ids =
        conversations::ids(&caller.shim.repository.layout).map_err(|error| refused(&error))?;
    let mut resources: Vec<Box<RawValue>> = page
        .get("resources")
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default();
    resources.extend(ids.iter().skip(from).take(PAGE).map(|id| json_rpc::raw(&resource(id))));
    page.set("resources", &resources);
    if ids.len() > from + PAGE {
        page.set("nextCursor", &format!("{CURSOR}{}", from + PAGE));
    }
    Ok(page.to_raw())
}

fn resource(id: &str) -> Value {
    json!({"uri": uri(id), "name": id, "title": format!("Conversation {id}"),
        "mimeType": "application/json"})
}

async fn templates<S: ToolServer>(caller: Caller<'_, S>, params: RawObject) -> Answer {
    let mut page = own(caller, "resources/templates/list", "resourceTemplates", params).await?;
    let mut templates: Vec<Box<RawValue>> = page
        .get("resourceTemplates")
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default();
    if page.get("nextCursor").is_none_or(|next| next.get() == "null") {
        templates.push(json_rpc::raw(&json!({
            "uriTemplate": "session://{conversation_id}", "name": "conversation",
                "title": "A conversation",
            "description": "Its turns, its version, and its rewards",
                "mimeType": "application/json",
        })));
    }
    page.set("resourceTemplates", &templates);
    Ok(page.to_raw())
}

/// The turns and rewards of a conversation so far.
fn read<S: ToolServer>(caller: Caller<'_, S>, id: &str) -> Answer {
    let layout = &caller.shim.repository.layout;
    let kept = conversations::load(layout, id).map_err(|error| refused(&error))?;
    let Some(kept) = kept else {
        let message = format!("unknown conversation `{id}`");
        return Err(RpcError {
            code: mcp::RESOURCE_NOT_FOUND,
            message,
            data: Some(json!({"uri": uri(id)})),
        });
    };
    let turns: Vec<Value> = kept.turns.iter().map(shown_turn).collect();
    let content = json!({
        "schema": conversations::SCHEMA, "id": id, "version": kept.header.version,
            "commit": kept.header.commit, "revision": kept.header.revision,
        "opened": kept.header.opened, "turns": turns, "rewards": conversations::rewards(layout,
            id).map_err(|error| refused(&error))?,
    });
    let text = serde_json::to_string_pretty(&content).expect("JSON serialises");
    let contents =
        json!({"contents": [{"uri": uri(id), "mimeType": "application/json", "text": text}]});
    Ok(results::own(caller.era(), "resources/read", &contents))
}

fn shown_turn(turn: &conversations::Turn) -> Value {
    json!({
        "turn": turn.turn, "tool": turn.tool, "arguments": turn.arguments,
            "is_error": turn.is_error, "facts": turn.facts,
        "version": turn.version, "revision": turn.revision, "at": turn.at,
            "duration_ms": turn.duration_ms,
    })
}

fn refused(error: &ConversationError) -> RpcError {
    let code = if matches!(error, ConversationError::Id(_)) {
        mcp::INVALID_PARAMS
    } else {
        mcp::INTERNAL_ERROR
    };
    json_rpc::error(code, error.to_string())
}

/// Begins a subscription: acknowledges it immediately, and answers it when it ends.
pub async fn listen<S: ToolServer>(
    caller: Caller<'_, S>,
    params: &RawObject,
) -> Result<(), RpcError> {
    let (client, context) = (caller.client, caller.context);
    let filter = params
        .get("notifications")
        .map_or(Ok(Filter::default()), |raw| serde_json::from_str(raw.get()));
    let filter: Filter = filter.map_err(|error| {
        json_rpc::error(mcp::INVALID_PARAMS, format!("params.notifications: {error}"))
    })?;
    if client.subscriptions.open() == LISTENS {
        return Err(json_rpc::error(
            mcp::INVALID_PARAMS,
            format!("the limit is {LISTENS} subscriptions per host"),
        ));
    }
    let discovery =
        caller.discovery(&caller.session_route()).await.map_err(|error| results::failed(&error))?;
    let filter =
        filter.agreed(discovery.capabilities(Era::Stateless), discovery.has_conversations());
    let acknowledged =
        json!({"_meta": {mcp::META_SUBSCRIPTION: context.id}, "notifications": filter.shown()});
    client.deliver(
        json_rpc::notification("notifications/subscriptions/acknowledged", &acknowledged),
        RelatedRequest::Request(&context.id),
    );
    let forwarded = filter.upstream();
    let upstream = (!forwarded.is_empty()).then(|| {
        let (shim, client, context) =
            (Rc::downgrade(caller.shim), Rc::downgrade(client), context.clone());
        let following = async move {
            let (Some(shim), Some(client)) = (shim.upgrade(), client.upgrade()) else { return };
            follow(Caller { shim: &shim, client: &client, context: &context }, &forwarded).await;
        };
        tokio::task::spawn_local(following).abort_handle()
    });
    client.subscriptions.listen(context.id.clone(), filter, upstream);
    Ok(())
}

/// Keeps the server's own subscription open, from child to child, until a server refuses it.
async fn follow<S: ToolServer>(caller: Caller<'_, S>, filter: &Filter) {
    while let Ok(served) = caller.serving(&caller.session_route()).await {
        let ended = if served.server.child().era() == Era::Stateless {
            let mut params = RawObject::default();
            let (registered, meta) = caller.register(&served.server, true);
            params.set("_meta", &meta.as_ref().or(caller.context.meta.as_ref()));
            params.set("notifications", &filter.shown());
            served
                .server
                .child()
                .listen(registered.id, "subscriptions/listen", params.to_raw())
                .await
        } else {
            subscribe(&served.server, &filter.resource_subscriptions).await
        };
        match ended {
            Err(ChildError::Refused { .. }) | Ok(_) => return,
            Err(_) => {}
        }
    }
}

/// A child of the handshake era is subscribed to each resource; it sends `list_changed` without
/// that.
async fn subscribe<S: ToolServer>(
    server: &Running<S>,
    uris: &[String],
) -> Result<Box<RawValue>, ChildError> {
    for uri in uris {
        server.child().pass("resources/subscribe", json_rpc::raw(&json!({"uri": uri}))).await?;
    }
    // the subscription lasts until the child ends
    server.child().gone().await;
    Err(server.child().exit_error())
}
