//! Conversations as resources, `session://{conversation_id}`, beside the server's own; and who wants to hear when something changes.

use crate::mcp::json_rpc;
use crate::mcp::session::{About, Caller, Session};
use crate::mcp::shim::{Answer, Server, Shim, ours};
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::{ChildError, RpcError};
use agent_engine::conversations::{self, ConversationError};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use tokio::task::AbortHandle;

pub const UPDATED: &str = "notifications/resources/updated";
const SCHEME: &str = "session://";
/// Conversations on one page of the list.
const PAGE: usize = 100;
/// What our own cursors begin with; the server's own are passed on.
const CURSOR: &str = "dev.agentvc/sessions:";
/// Subscriptions one host may have.
const LISTENS: usize = 64;

pub fn uri(conversation: &str) -> String {
    format!("{SCHEME}{conversation}")
}

pub async fn answer<S: Server>(caller: Caller<'_, S>, method: &str, params: RawObject) -> Answer {
    let shim = caller.shim();
    let named = params.text("uri");
    let conversation = named.as_deref().and_then(|uri| uri.strip_prefix(SCHEME)).map(str::to_owned);
    match (method, conversation) {
        ("resources/list", _) if has_conversations(caller).await => list(caller, params).await,
        ("resources/templates/list", _) if has_conversations(caller).await => templates(caller, params).await,
        ("resources/list" | "resources/templates/list", _) => shim.listed(caller, method, params).await,
        ("resources/read", Some(id)) => read(caller, &id),
        ("resources/subscribe", Some(_)) => Ok(caller.session.subscriptions.add(named)),
        ("resources/unsubscribe", Some(_)) => Ok(caller.session.subscriptions.remove(named)),
        ("resources/subscribe", None) => {
            let result = shim.pass(caller, method, params).await?;
            caller.session.subscriptions.add(named);
            Ok(result)
        }
        ("resources/unsubscribe", None) => {
            caller.session.subscriptions.remove(named);
            shim.pass(caller, method, params).await
        }
        _ => shim.pass(caller, method, params).await,
    }
}

async fn has_conversations<S: Server>(caller: Caller<'_, S>) -> bool {
    caller.shim().discovery(caller, &caller.route(None)).await.is_ok_and(|discovery| discovery.has_conversations())
}

/// The server's own list, its members untouched; empty where it has no resources.
async fn own<S: Server>(caller: Caller<'_, S>, method: &str, member: &str, params: RawObject) -> Result<RawObject, RpcError> {
    let discovery = caller.shim().discovery(caller, &caller.route(None)).await.ok();
    if discovery.is_some_and(|discovery| discovery.capabilities(caller.era)["resources"].is_object()) {
        let result = caller.shim().listed(caller, method, params).await?;
        return Ok(RawObject::parse(&result).unwrap_or_default());
    }
    Ok(RawObject::parse(&ours(caller.era, method, &json!({ member: [] }))).expect("it is an object"))
}

/// The server's pages come first, then ours.
async fn list<S: Server>(caller: Caller<'_, S>, params: RawObject) -> Answer {
    let cursor = params.text("cursor");
    let (from, mut page) = match cursor.as_deref().and_then(|cursor| cursor.strip_prefix(CURSOR)) {
        Some(from) => {
            let from = from.parse().map_err(|_| json_rpc::error(mcp::INVALID_PARAMS, "params.cursor was never given out"))?;
            (from, RawObject::parse(&ours(caller.era, "resources/list", &json!({"resources": []}))).expect("it is an object"))
        }
        None => (0, own(caller, "resources/list", "resources", params).await?),
    };
    if page.get("nextCursor").is_some_and(|next| next.get() != "null") {
        return Ok(page.to_raw());
    }
    let ids = conversations::ids(&caller.shim().repository.layout).map_err(|error| refused(&error))?;
    let mut resources: Vec<Box<RawValue>> = page.get("resources").and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    resources.extend(ids.iter().skip(from).take(PAGE).map(|id| json_rpc::raw(&resource(id))));
    page.set("resources", &resources);
    if ids.len() > from + PAGE {
        page.set("nextCursor", &format!("{CURSOR}{}", from + PAGE));
    }
    Ok(page.to_raw())
}

fn resource(id: &str) -> Value {
    json!({"uri": uri(id), "name": id, "title": format!("Conversation {id}"), "mimeType": "application/json"})
}

async fn templates<S: Server>(caller: Caller<'_, S>, params: RawObject) -> Answer {
    let mut page = own(caller, "resources/templates/list", "resourceTemplates", params).await?;
    let mut templates: Vec<Box<RawValue>> =
        page.get("resourceTemplates").and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    if page.get("nextCursor").is_none_or(|next| next.get() == "null") {
        templates.push(json_rpc::raw(&json!({
            "uriTemplate": "session://{conversation_id}", "name": "conversation", "title": "A conversation",
            "description": "Its turns, the version that serves it, and the rewards it was given", "mimeType": "application/json",
        })));
    }
    page.set("resourceTemplates", &templates);
    Ok(page.to_raw())
}

/// What a conversation came to so far.
fn read<S: Server>(caller: Caller<'_, S>, id: &str) -> Answer {
    let layout = &caller.shim().repository.layout;
    let kept = conversations::load(layout, id).map_err(|error| refused(&error))?;
    let Some(kept) = kept else {
        let message = format!("there is no conversation `{id}`");
        return Err(RpcError { code: mcp::RESOURCE_NOT_FOUND, message, data: Some(json!({"uri": uri(id)})) });
    };
    let turns: Vec<Value> = kept.turns.iter().map(shown_turn).collect();
    let content = json!({
        "schema": conversations::SCHEMA, "id": id, "version": kept.header.version, "commit": kept.header.commit, "revision": kept.header.revision,
        "opened": kept.header.opened, "turns": turns, "rewards": conversations::rewards(layout, id).map_err(|error| refused(&error))?,
    });
    let text = serde_json::to_string_pretty(&content).expect("JSON serialises");
    let contents = json!({"contents": [{"uri": uri(id), "mimeType": "application/json", "text": text}]});
    Ok(ours(caller.era, "resources/read", &contents))
}

fn shown_turn(turn: &conversations::Turn) -> Value {
    json!({
        "turn": turn.turn, "tool": turn.tool, "arguments": turn.arguments, "is_error": turn.is_error, "facts": turn.facts,
        "version": turn.version, "revision": turn.revision, "at": turn.at, "duration_ms": turn.duration_ms,
    })
}

fn refused(error: &ConversationError) -> RpcError {
    let code = if matches!(error, ConversationError::Id(_)) { mcp::INVALID_PARAMS } else { mcp::INTERNAL_ERROR };
    json_rpc::error(code, error.to_string())
}

/// What a host of the stateless era wants to hear of.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: Vec<String>,
}

impl Filter {
    /// What we can keep of it.
    fn agreed(mut self, capabilities: &Value, has_conversations: bool) -> Self {
        let offers = |list: &str, what: &str| capabilities[list][what] == true;
        self.prompts_list_changed &= offers("prompts", "listChanged");
        self.resources_list_changed &= offers("resources", "listChanged");
        let subscribes = offers("resources", "subscribe");
        self.resource_subscriptions.retain(|uri| if uri.starts_with(SCHEME) { has_conversations } else { subscribes });
        self
    }

    fn shown(&self) -> Value {
        let kinds = [
            ("toolsListChanged", self.tools_list_changed),
            ("promptsListChanged", self.prompts_list_changed),
            ("resourcesListChanged", self.resources_list_changed),
        ];
        let mut shown: Map<String, Value> =
            kinds.iter().filter(|(_, wanted)| *wanted).map(|(kind, _)| ((*kind).to_owned(), json!(true))).collect();
        if !self.resource_subscriptions.is_empty() {
            shown.insert("resourceSubscriptions".to_owned(), json!(self.resource_subscriptions));
        }
        Value::Object(shown)
    }

    /// What the server itself is asked for.
    fn upstream(&self) -> Self {
        let mut theirs = self.clone();
        theirs.resource_subscriptions.retain(|uri| !uri.starts_with(SCHEME));
        theirs
    }

    fn is_empty(&self) -> bool {
        self.shown().as_object().is_none_or(Map::is_empty)
    }

    fn wants(&self, method: &str, uri: Option<&str>) -> bool {
        match (method, uri) {
            (UPDATED, Some(uri)) => self.resource_subscriptions.iter().any(|wanted| wanted == uri),
            ("notifications/tools/list_changed", _) => self.tools_list_changed,
            ("notifications/prompts/list_changed", _) => self.prompts_list_changed,
            ("notifications/resources/list_changed", _) => self.resources_list_changed,
            _ => false,
        }
    }
}

struct Listen {
    id: Box<RawValue>,
    filter: Filter,
    /// Passes on what the server itself has to say.
    upstream: Option<AbortHandle>,
}

impl Drop for Listen {
    fn drop(&mut self) {
        if let Some(upstream) = &self.upstream {
            upstream.abort();
        }
    }
}

/// What a session wants to hear of.
#[derive(Default)]
pub struct Subscriptions {
    /// By `resources/subscribe`, in the handshake era.
    uris: RefCell<BTreeSet<String>>,
    /// By `subscriptions/listen`, in the stateless one.
    listens: RefCell<Vec<Listen>>,
}

impl Subscriptions {
    pub fn has(&self, uri: &str) -> bool {
        self.uris.borrow().contains(uri)
    }

    /// What of the server's own a handshake host has subscribed to: a new child has to hear of it.
    pub fn of_the_server(&self) -> Vec<String> {
        self.uris.borrow().iter().filter(|uri| !uri.starts_with(SCHEME)).cloned().collect()
    }

    fn add(&self, uri: Option<String>) -> Box<RawValue> {
        self.uris.borrow_mut().extend(uri);
        json_rpc::raw(&json!({}))
    }

    fn remove(&self, uri: Option<String>) -> Box<RawValue> {
        if let Some(uri) = uri {
            self.uris.borrow_mut().remove(&uri);
        }
        json_rpc::raw(&json!({}))
    }

    /// Begins a subscription: it is acknowledged at once, and answered when it ends.
    pub async fn listen<S: Server>(&self, caller: Caller<'_, S>, params: &RawObject) -> Result<(), RpcError> {
        let filter = params.get("notifications").map_or(Ok(Filter::default()), |raw| serde_json::from_str(raw.get()));
        let filter = filter.map_err(|error| json_rpc::error(mcp::INVALID_PARAMS, format!("params.notifications: {error}")))?;
        if self.listens.borrow().len() == LISTENS {
            return Err(json_rpc::error(mcp::INVALID_PARAMS, format!("a host has {LISTENS} subscriptions at most")));
        }
        let discovery = caller.shim().discovery(caller, &caller.route(None)).await;
        let discovery = discovery.map_err(|error| json_rpc::error(mcp::INTERNAL_ERROR, crate::mcp::shim::error_text(&error)))?;
        let filter = Filter::agreed(filter, discovery.capabilities(Era::Stateless), discovery.has_conversations());
        let acknowledged = json!({"_meta": {mcp::META_SUBSCRIPTION: caller.id}, "notifications": filter.shown()});
        caller
            .session
            .deliver(json_rpc::notification("notifications/subscriptions/acknowledged", &acknowledged), About::Request(caller.id));
        let theirs = filter.upstream();
        let upstream = (!theirs.is_empty()).then(|| {
            let (session, id) = (Rc::downgrade(caller.session), caller.id.to_owned());
            let meta = params.object("_meta").unwrap_or_default();
            tokio::task::spawn_local(async move {
                let Some(session) = session.upgrade() else { return };
                follow(&session, &id, &theirs, &meta).await;
            })
            .abort_handle()
        });
        self.listens.borrow_mut().push(Listen { id: caller.id.to_owned(), filter, upstream });
        Ok(())
    }

    /// The host has cancelled a subscription, if this is one.
    pub fn end(&self, id: &RawValue) {
        self.listens.borrow_mut().retain(|listen| listen.id.get() != id.get());
    }

    /// Ends them all, and names them.
    pub fn close(&self) -> Vec<Box<RawValue>> {
        self.listens.borrow_mut().drain(..).map(|listen| listen.id.clone()).collect()
    }

    /// Tells every subscription that wants to hear of it.
    pub fn announce<S: Server>(&self, session: &Session<S>, method: &str, uri: Option<&str>) {
        for listen in self.listens.borrow().iter().filter(|listen| listen.filter.wants(method, uri)) {
            let mut params = json!({"_meta": {mcp::META_SUBSCRIPTION: listen.id}});
            if let Some(uri) = uri {
                params["uri"] = json!(uri);
            }
            session.deliver(json_rpc::notification(method, &params), About::Request(&listen.id));
        }
    }
}

/// Keeps the server's own subscription open, from child to child; one that has none to give is not asked again.
async fn follow<S: Server>(session: &Rc<Session<S>>, id: &RawValue, filter: &Filter, meta: &RawObject) {
    let caller = Caller { session, era: Era::Stateless, id };
    while let Ok(served) = session.shim.serving(caller).await {
        let mut params = RawObject::default();
        params.set("_meta", meta);
        let ended = if served.server.child().era() == Era::Stateless {
            params.set("notifications", &filter.shown());
            let registered = served.server.register(caller, &mut params, true);
            served.server.child().listen(registered.id, "subscriptions/listen", params.to_raw()).await
        } else {
            subscribe(&served.server, &filter.resource_subscriptions).await
        };
        match ended {
            Err(ChildError::Refused { .. }) | Ok(_) => return,
            Err(_) => {}
        }
    }
}

/// A child of the handshake era is asked resource by resource; it says on its own when a list changes.
async fn subscribe<S: Server>(server: &crate::mcp::pool::Running<S>, uris: &[String]) -> Result<Box<RawValue>, ChildError> {
    for uri in uris {
        server.child().pass("resources/subscribe", json_rpc::raw(&json!({"uri": uri}))).await?;
    }
    // until the child is gone there is nothing more to do
    server.child().gone().await;
    Err(server.child().why_gone())
}

impl<S: Server> Shim<S> {
    /// A new child in the place of an old one hears what the sessions it may speak to have subscribed to.
    pub fn subscribe_again(&self, server: &Rc<crate::mcp::pool::Running<S>>) {
        for uri in self.audience(server).iter().flat_map(|session| session.subscriptions.of_the_server()) {
            let server = Rc::clone(server);
            tokio::task::spawn_local(async move {
                let _ = server.child().pass("resources/subscribe", json_rpc::raw(&json!({"uri": uri}))).await;
            });
        }
    }
}
