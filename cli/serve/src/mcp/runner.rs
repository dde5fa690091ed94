//! The Runner behind the shim: each call has one state, each conversation the version that it began
//! with.

use crate::mcp::caller::Caller;
use crate::mcp::json_rpc;
use crate::mcp::results::{self, tool_error};
use crate::mcp::route::{Audience, ProtocolVersion, Route};
use crate::mcp::served::Served;
use crate::mcp::server::Server;
use crate::mcp::shim::Shim;
use crate::mcp::tool_server::{CallFailure, ToolServer};
use agent_core::formats::diagnose::FailureKind;
use agent_core::overlay::OverlayError;
use agent_core::protocol::discovery::{
    Identity, gives_conversation, is_stateful, takes_conversation,
};
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_core::protocol::wire;
use agent_core::state::signal::CONVERSATION_ARGUMENT;
use agent_engine::child::{Child, ChildError, Opening, Role};
use agent_engine::conversations::{Header, LockedConversation};
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::target::call::{self, Call, CallError, Membership};
use agent_engine::target::overlay::{self, Shown};
use agent_engine::target::spec;
use agent_engine::telemetry::{self, AnsweredCall, Span, conventions as names};
use agent_engine::world::clock::fresh_id;
use agent_engine::world::data_copy::DataCopy;
use agent_engine::world::recording;
use serde_json::json;
use serde_json::value::RawValue;
use std::rc::Rc;
use std::time::Instant;

pub struct Runner {
    child: Child,
    /// The copy of the data for a shadow.
    _data: Option<DataCopy>,
}

impl Server for Runner {
    const ROLE: Role = Role::Runner;
    const MAY_LAG: bool = true;
    const IS_SHARED: bool = false;
    type State = ();

    async fn start(
        repository: &Repository,
        route: &Route,
        target: &Target,
        opening: &Opening,
    ) -> Result<Self, Failure> {
        let mut spec = spec::runner(target, repository)?;
        spec.memory = target.manifest.limits.serving_memory();
        let data =
            if *route == Route::Shadow { Some(copied_data(repository).await?) } else { None };
        if let Some(data) = &data {
            spec = spec.env(wire::ENV_DATA, data.path());
        }
        Ok(Self { child: Child::open(&spec, opening).await?, _data: data })
    }

    fn child(&self) -> &Child {
        &self.child
    }

    fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    async fn end(self) {
        self.child.end().await;
    }

    /// A server that takes the state with each call can serve every state of its code, any other
    /// every overlay.
    fn serves(old: &Target, new: &Target, takes_state_by_call: bool) -> bool {
        old.code == new.code && (takes_state_by_call || overlay::differ_at_most(old, new))
    }

    fn identity(target: &Target) -> Option<Identity> {
        let version = target.version.as_ref().map_or_else(|| target.shown(), ToString::to_string);
        Some(Identity { name: target.manifest.name.clone(), version })
    }

    fn protocol_version(era: Era, revision: Option<&'static str>) -> ProtocolVersion {
        match era {
            Era::Handshake => ProtocolVersion::Handshake(revision.unwrap_or(mcp::HANDSHAKE)),
            Era::Stateless => ProtocolVersion::Stateless,
        }
    }
}

impl ToolServer for Runner {
    async fn call(
        caller: Caller<'_, Self>,
        mut params: RawObject,
    ) -> Result<Box<RawValue>, CallFailure<Self>> {
        let shim = caller.shim;
        let conversation = CallConversation::of(caller, &mut params).await?;
        Span::current().set_some(names::CONVERSATION, conversation.id.as_ref());
        // two concurrent calls of one conversation would each lose the data of the other
        let (_lock, mut held) = match &conversation.id {
            Some(id) => (Some(shim.locks.lock(id).await), Some(hold(shim, id).await?)),
            None => (None, None),
        };
        let begins = held.as_ref().is_some_and(|held| held.latest().is_none());
        let member = member(caller, held.as_ref(), &conversation);
        let tool = params.text("name").unwrap_or_default();
        let served = match serving(caller, held.as_ref(), &conversation, member.as_ref()).await {
            Ok(served) => served,
            Err(error) => {
                if let Some(member) = &member {
                    member.record_unserved(&tool, &error.messages.join(": "));
                }
                return Err(error.into());
            }
        };
        shadow(caller, &params, &served);
        Span::current().served_by(served.target.version.as_ref(), &served.target.state.revision);
        if let Some(how) = served.server.undeclared_tools.borrow().get(&tool) {
            let message = format!(
                "the tool `{tool}` of {} {how}: it differs from the Contract and is not called",
                served.target.shown()
            );
            return Ok(tool_error(caller.era(), &message));
        }
        let for_cases = shim.stat_cache.is_recording(&shim.repository);
        let recorder = shim.recorders.of(&served.target.manifest.record, &shim.repository.notices);
        let arguments = (for_cases || recorder.is_some())
            .then(|| params.get("arguments").map(ToOwned::to_owned))
            .flatten();
        let shown =
            shown(caller, &served, conversation.id.as_deref().or(conversation.of_host.as_deref()))?;
        let made = Made { served: &served, member: member.as_ref(), shown: shown.as_ref() };
        let began = Instant::now();
        let result = make(caller, made, params, held.as_mut()).await?;
        let is_final = !mcp::needs_input(&result);
        if for_cases && is_final {
            recording::keep(
                &shim.repository.layout,
                &tool,
                arguments.clone().unwrap_or_else(|| json_rpc::raw(&json!({}))),
                &result,
            );
        }
        if let Some(recorder) = recorder.filter(|_| is_final) {
            let call = answered(&served.target, held.as_ref(), tool, arguments, &result, began);
            telemetry::record_call(call, &recorder);
        }
        shim.tasks.note(&served.server, &result);
        let result = served.server.adapt_result(caller.era(), "tools/call", result);
        let result = results::signed::<Self>(caller.era(), &served.target, result);
        Ok(if begins { conversation.shown_in(result) } else { result })
    }
}

/// A call for the record.
fn answered(
    target: &Target,
    held: Option<&LockedConversation>,
    tool: String,
    arguments: Option<Box<RawValue>>,
    result: &RawValue,
    began: Instant,
) -> AnsweredCall {
    let last = held.and_then(LockedConversation::latest).and_then(|latest| latest.last.as_ref());
    AnsweredCall {
        tool,
        arguments,
        result: result.to_owned(),
        conversation: held.map(|held| held.id().to_owned()),
        turn: last.map(|turn| turn.turn),
        version: target.version.as_ref().map(ToString::to_string),
        code: target.code.clone(),
        revision: target.state.revision.clone(),
        duration_ms: began.elapsed().as_secs_f64() * 1000.0,
        trace: Span::current().traceparent(),
    }
}

/// How the tools of a running server are presented to a conversation.
fn shown(
    caller: Caller<'_, Runner>,
    served: &Served<Runner>,
    conversation: Option<&str>,
) -> Result<Option<Shown>, OverlayError> {
    let discovery = Rc::clone(&served.server.discovery.borrow());
    caller.shown(&served.target, &discovery, conversation)
}

/// The inputs of a call.
struct Made<'a> {
    served: &'a Served<Runner>,
    member: Option<&'a Membership>,
    shown: Option<&'a Shown>,
}

async fn make(
    caller: Caller<'_, Runner>,
    Made { served, member, shown }: Made<'_>,
    mut params: RawObject,
    mut conversation: Option<&mut LockedConversation>,
) -> Result<Box<RawValue>, CallFailure<Runner>> {
    let child_failed = |error| CallFailure::Child(error, Rc::clone(&served.server));
    loop {
        let (registered, meta) = caller.register(&served.server, false);
        let meta = meta.or_else(|| caller.context.meta.clone()).unwrap_or_default();
        let may_repeat = served.server.may_require_input(caller.era());
        let call = Call {
            target: &served.target,
            params: if may_repeat { params.clone() } else { std::mem::take(&mut params) },
            meta,
            conversation: conversation.as_deref_mut(),
            member,
            shown,
            id: registered.id,
        };
        let result = match call.make(served.server.child()).await {
            Ok(done) => call::for_host(done.result),
            Err(CallError::Child(error)) => return Err(child_failed(error)),
            Err(CallError::Conversation(error)) => return Err(error.into()),
        };
        if !served.server.requires_input(caller.era(), &result) {
            return Ok(result);
        }
        let refused = |error| ChildError::Refused {
            role: Role::Runner,
            what: "tools/call".to_owned(),
            error: Box::new(error),
        };
        Box::pin(caller.provide_input(&result, &mut params))
            .await
            .map_err(|error| child_failed(refused(error)))?;
    }
}

/// Where the first result of a conversation has its id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ShowsId {
    /// The call named it.
    No,
    /// Of a conversation that the tool itself has no part in.
    InMeta,
    /// In `_meta` and the text, and where the tool's schema allows it in the structured content,
    /// which is all that some hosts show their model.
    InResult { is_structured: bool },
}

/// The conversation a call belongs to.
struct CallConversation {
    id: Option<String>,
    /// The client's own, which decides its share of the traffic.
    of_host: Option<String>,
    shows_id: ShowsId,
    /// The route by the conversation's id, and its target.
    resolved: (Route, Rc<Target>),
}

impl CallConversation {
    /// A call of a stateful tool always belongs to one: to the client's own where it names none.
    /// The argument that was added to the tool's schema is removed.
    async fn of(caller: Caller<'_, Runner>, params: &mut RawObject) -> Result<Self, Failure> {
        let id = caller.context.conversation.clone();
        let of_host = caller.own_conversation().filter(|_| id.is_none()).map(str::to_owned);
        let route = caller.shim.route(id.as_deref().or(of_host.as_deref()));
        let target = caller.shim.current(&route)?;
        let discovery = match caller.discovery_of(&route, &target).await {
            // a canary has the code of its version: the call itself shows that it does not start
            Err(_) if route == Route::Canary => {
                let main = Route::Plan(caller.shim.targets.traffic.main());
                Box::pin(caller.discovery(&main)).await?
            }
            discovery => discovery?,
        };
        let resolved = (route, target);
        let tool = params.text("name").and_then(|name| discovery.tool(&name));
        let Some(tool) = tool.filter(|tool| is_stateful(tool)) else {
            let is_its_own = |id: &String| caller.shim.is_shown_its_own(id, &resolved.1);
            let shown = of_host.clone().filter(is_its_own);
            let shows_id = if shown.is_some() { ShowsId::InMeta } else { ShowsId::No };
            return Ok(Self { id: id.or(shown), of_host, shows_id, resolved });
        };
        if !takes_conversation(tool)
            && let Some(mut arguments) = params.object("arguments")
            && arguments.get(CONVERSATION_ARGUMENT).is_some()
        {
            arguments.remove(CONVERSATION_ARGUMENT);
            params.set("arguments", &arguments);
        }
        let shows_id = match &id {
            Some(_) => ShowsId::No,
            None => ShowsId::InResult { is_structured: gives_conversation(tool) },
        };
        let id = id.or_else(|| of_host.clone()).unwrap_or_else(|| fresh_id("c"));
        Ok(Self { id: Some(id), of_host, shows_id, resolved })
    }

    /// Adds the id of a new conversation to its first result.
    fn shown_in(&self, result: Box<RawValue>) -> Box<RawValue> {
        let Some(id) = self.id.as_ref().filter(|_| self.shows_id != ShowsId::No) else {
            return result;
        };
        let Some(mut members) = RawObject::parse(&result).filter(|_| !mcp::needs_input(&result))
        else {
            return result;
        };
        let mut meta = members.object("_meta").unwrap_or_default();
        meta.set(wire::CONVERSATION, &json!({"id": id}));
        members.set("_meta", &meta);
        let ShowsId::InResult { is_structured } = self.shows_id else { return members.to_raw() };
        let Ok(mut content) = members
            .get("content")
            .map_or(Ok(Vec::new()), |raw| serde_json::from_str::<Vec<Box<RawValue>>>(raw.get()))
        else {
            return result;
        };
        content.push(json_rpc::raw(
            &json!({"type": "text", "text": format!("{CONVERSATION_ARGUMENT}: {id}")}),
        ));
        members.set("content", &content);
        let structured = members
            .object("structuredContent")
            .filter(|given| is_structured && given.get(CONVERSATION_ARGUMENT).is_none());
        if let Some(mut structured) = structured {
            structured.set(CONVERSATION_ARGUMENT, id);
            members.set("structuredContent", &structured);
        }
        members.to_raw()
    }
}

/// The arm of the running canary that a call counts for. A conversation that began before the
/// canary, or elsewhere, is in neither.
fn member(
    caller: Caller<'_, Runner>,
    held: Option<&LockedConversation>,
    named: &CallConversation,
) -> Option<Membership> {
    let Shim { targets, repository, stat_cache, .. } = &**caller.shim;
    let running = targets.canary(repository, stat_cache)?;
    let conversation = held.map(LockedConversation::id).or(named.of_host.as_deref())?;
    let began = held.and_then(LockedConversation::latest).map(|latest| &latest.header);
    let canary = &running.canary;
    (began.is_none_or(|header| header.canary.as_ref() == Some(&canary.id))).then(|| Membership {
        canary: canary.id.clone(),
        arm: canary.arm(conversation),
        conversation: conversation.to_owned(),
    })
}

/// Locks the conversation, against other shims and commands as well.
async fn hold(shim: &Shim<Runner>, id: &str) -> Result<LockedConversation, Failure> {
    let layout = &shim.repository.layout;
    if let Some(held) = LockedConversation::try_take(layout, id)? {
        return Ok(held);
    }
    let patience = shim.main_target()?.manifest.limits.longest_call();
    Ok(LockedConversation::take(layout, id, patience).await?)
}

/// A conversation keeps the state it began with; one that began on other code is served by a child
/// of its own.
async fn serving(
    caller: Caller<'_, Runner>,
    held: Option<&LockedConversation>,
    named: &CallConversation,
    member: Option<&Membership>,
) -> Result<Served<Runner>, Failure> {
    let (shim, traffic) = (caller.shim, &caller.shim.targets.traffic);
    let route = match held.map(LockedConversation::id).or(named.of_host.as_deref()) {
        Some(id) if member.is_some() => shim.route(Some(id)),
        Some(id) => Route::Plan(traffic.pick(id)),
        None if traffic.is_split() => Route::Plan(traffic.pick(&fresh_id("call"))),
        None => Route::Plan(traffic.main()),
    };
    let now = match &named.resolved {
        // resolved after the wait for the conversation: the target may have moved meanwhile
        (Route::Plan(_), target) if named.resolved.0 == route && held.is_none() => {
            Rc::clone(target)
        }
        _ => shim.current(&route)?,
    };
    match held.and_then(LockedConversation::latest).map(|latest| &latest.header) {
        Some(header) if header.commit != now.commit || header.revision != now.state.revision => {
            Box::pin(pinned(caller, &route, &now, header)).await
        }
        _ => caller.serving_target(&route, &now).await,
    }
}

async fn pinned(
    caller: Caller<'_, Runner>,
    route: &Route,
    now: &Rc<Target>,
    header: &Header,
) -> Result<Served<Runner>, Failure> {
    let shim = caller.shim;
    let target = Rc::new(shim.repository.pinned(header)?);
    let by_call =
        |record: &Rc<agent_core::protocol::discovery::Discovery>| record.takes_state_by_call();
    if target.code == now.code {
        let served = caller.serving_target(route, now).await?;
        let takes_state_by_call = by_call(&served.server.discovery.borrow());
        if Runner::serves(&served.target, &target, takes_state_by_call) {
            return Ok(Served { target, server: served.server });
        }
    }
    let takes_state_by_call = shim.recorded(&target).as_ref().is_some_and(by_call);
    let state = (!takes_state_by_call).then(|| target.state.revision.clone());
    let route = Route::Pinned(target.code.clone(), state);
    let key = caller.key(&route, &target);
    let served = shim.acquire(&key, &target).await?;
    // the state goes with the call: one child serves conversations with different states
    Ok(Served { target, server: served.server })
}

/// Copies the Runner's data for a shadow, so that the shadow does not write into the served data.
/// Calls go on meanwhile.
async fn copied_data(repository: &Repository) -> Result<DataCopy, Failure> {
    let layout = repository.layout.clone();
    let copied = tokio::task::spawn_blocking(move || DataCopy::of(&layout)).await;
    let copied = copied.map_err(|error| {
        Failure::new(
            FailureKind::Surroundings,
            format!("the data of the Runner cannot be copied: {error}"),
        )
    })??;
    if copied.is_empty_instead {
        repository
            .notices
            .warn("the shadow begins without the Runner's data: .agent/data is too large to copy");
    }
    Ok(copied)
}

/// Repeats the call at the shadow; its result is dropped.
fn shadow(caller: Caller<'_, Runner>, params: &RawObject, served: &Served<Runner>) {
    let shadow = &caller.shim.targets.shadow;
    if shadow.is_none() || matches!(shadow, Some(what) if served.target.what == *what) {
        return;
    }
    let (shim, client, context) =
        (Rc::clone(caller.shim), Rc::clone(caller.client), caller.context.clone());
    let (params, span) = (params.clone(), Span::internal("shadow", "shadow"));
    tokio::task::spawn_local(async move {
        let caller = Caller { shim: &shim, client: &client, context: &context };
        let Ok(target) = shim.current(&Route::Shadow) else { return };
        let audience = Audience {
            protocol_version: Runner::protocol_version(context.era, client.revision()),
            owner: None,
        };
        if let Ok(served) = shim.acquire(&(Route::Shadow, audience), &target).await {
            let Ok(shown) = shown(caller, &served, None) else { return };
            let made = Made { served: &served, member: None, shown: shown.as_ref() };
            let _ = span.around(make(caller, made, params, None)).await;
        }
    });
}
