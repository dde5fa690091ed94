//! What a child says unasked, and who is to hear it. What could be meant for several hosts is given to none.

use crate::mcp::pool::{InFlight, Running};
use crate::mcp::session::{About, Session};
use crate::mcp::shim::{Server, Shim};
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::{ServerMessage, not_offered};
use serde_json::value::RawValue;
use std::rc::{Rc, Weak};
use tokio::sync::mpsc;

const PROGRESS: &str = "notifications/progress";
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";

/// Hears a child until it is gone.
pub async fn receive<S: Server>(shim: Weak<Shim<S>>, server: Weak<Running<S>>, mut messages: mpsc::Receiver<ServerMessage>) {
    while let Some(message) = messages.recv().await {
        let (Some(shim), Some(server)) = (shim.upgrade(), server.upgrade()) else { return };
        match message {
            ServerMessage::Request { id, method, params } => requested(&shim, &server, id, &method, params.as_deref()),
            ServerMessage::Notification { method, frame } => notified(&shim, &server, &method, &frame).await,
        }
    }
}

/// Somebody's session and request.
type Origin<S> = (Rc<Session<S>>, Box<RawValue>);

/// The request that was made last, among those of one session.
fn latest_request<S: Server>(server: &Running<S>, matches: impl Fn(&InFlight<S>) -> bool) -> Option<Origin<S>> {
    let in_flight = server.in_flight.borrow();
    let mut found = in_flight.values().rev().filter(|request| !request.is_subscription && matches(request));
    let last = found.next()?;
    let session = last.session.upgrade()?;
    found.all(|other| other.session.ptr_eq(&last.session)).then(|| (session, last.id.clone()))
}

fn requested<S: Server>(shim: &Shim<S>, server: &Rc<Running<S>>, id: Box<RawValue>, method: &str, params: Option<&RawValue>) {
    // a host of the stateless era is asked by results alone
    if let Some((session, about)) = latest_request(server, |request| request.era == Era::Handshake) {
        return session.ask(server, id, method, params, About::Request(&about));
    }
    let is_idle = server.in_flight.borrow().is_empty();
    match shim.audience(server).as_slice() {
        [only] if is_idle && only.revision().is_some() => only.ask(server, id, method, params, About::Nothing),
        _ => server.child().reply(id, Err(not_offered(method))),
    }
}

async fn notified<S: Server>(shim: &Rc<Shim<S>>, server: &Rc<Running<S>>, method: &str, frame: &RawValue) {
    let params = || RawObject::parse(frame).and_then(|frame| frame.object("params")).unwrap_or_default();
    match method {
        PROGRESS => progressed(shim, server, frame, &params()),
        TOOLS_CHANGED if !tools_may_change(shim, server).await => {}
        _ if server.child().era() == Era::Stateless && frame.get().contains(mcp::META_SUBSCRIPTION) => subscribed(server, method, frame),
        TOOLS_CHANGED => shim.notify_tools_changed(),
        UPDATED => shim.resource_changed(server, &params().text("uri").unwrap_or_default(), frame),
        "notifications/resources/list_changed" | "notifications/prompts/list_changed" => shim.list_changed(server, method, frame),
        _ => forward_unattributed(shim, server, frame),
    }
}

fn progressed<S: Server>(shim: &Shim<S>, server: &Running<S>, frame: &RawValue, params: &RawObject) {
    let Some(token) = params.get("progressToken") else { return };
    let is_ours = shim.has_many_hosts() && server.audience.owner.is_none();
    let in_flight = server.in_flight.borrow();
    let request = if is_ours {
        token.get().parse().ok().and_then(|id: u64| in_flight.get(&id))
    } else {
        in_flight.values().find(|request| request.token.as_deref().is_some_and(|other| other.get() == token.get()))
    };
    let Some((session, request)) = request.and_then(|request| Some((request.session.upgrade()?, request))) else { return };
    let forwarded = match &request.token {
        Some(token) if is_ours => with_params(frame, |params| params.set("progressToken", token)),
        _ => Some(frame.get().to_owned()),
    };
    if let Some(forwarded) = forwarded {
        session.deliver(forwarded, About::Request(&request.id));
    }
}

/// The frame with other parameters; all else keeps its bytes. `None` for one that cannot be read.
fn with_params(frame: &RawValue, change: impl FnOnce(&mut RawObject)) -> Option<String> {
    let mut members = RawObject::parse(frame)?;
    let mut params = members.object("params")?;
    change(&mut params);
    members.set("params", &params);
    Some(members.to_raw().get().to_owned())
}

/// What belongs to a subscription names it: as the child saw it, and then as the host did.
fn subscribed<S: Server>(server: &Running<S>, method: &str, frame: &RawValue) {
    if method == ACKNOWLEDGED {
        return; // the host had its own from us
    }
    let meta = |params: &RawObject| params.object("_meta").unwrap_or_default();
    let named = RawObject::parse(frame).and_then(|frame| meta(&frame.object("params")?).get(mcp::META_SUBSCRIPTION)?.get().parse().ok());
    let in_flight = server.in_flight.borrow();
    let Some(request) = named.and_then(|id: u64| in_flight.get(&id)) else { return };
    let Some(session) = request.session.upgrade() else { return };
    let forwarded = with_params(frame, |params| {
        let mut meta = meta(params);
        meta.set(mcp::META_SUBSCRIPTION, &request.id);
        params.set("_meta", &meta);
    });
    if let Some(forwarded) = forwarded {
        session.deliver(forwarded, About::Request(&request.id));
    }
}

/// Asks for the tools again; hosts are not told of those that were never recorded.
async fn tools_may_change<S: Server>(shim: &Rc<Shim<S>>, server: &Rc<Running<S>>) -> bool {
    // a child that fails to list them is found out by the next request
    let looked = server.refresh_tools().await.is_ok();
    let is_as_recorded = server.undeclared_tools.borrow().is_empty();
    if !is_as_recorded {
        shim.report_server(server);
    }
    looked && is_as_recorded
}

/// Log messages and the like carry no sign of whose they are.
fn forward_unattributed<S: Server>(shim: &Shim<S>, server: &Running<S>, frame: &RawValue) {
    let wants = |request: &InFlight<S>| request.era == Era::Handshake || request.wants_logs;
    if let Some((session, about)) = latest_request(server, wants) {
        return session.deliver(frame.get().to_owned(), About::Request(&about));
    }
    if let ([only], true) = (shim.audience(server).as_slice(), server.in_flight.borrow().is_empty())
        && only.revision().is_some()
    {
        only.deliver(frame.get().to_owned(), About::Nothing);
    }
}
