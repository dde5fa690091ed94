//! Server-initiated messages of children, and the client that each is for. A message that could be
//! for more than one client is sent to none.

use crate::mcp::client::Client;
use crate::mcp::conversation_uri::UPDATED;
use crate::mcp::frame_sink::RelatedRequest;
use crate::mcp::in_flight::InFlight;
use crate::mcp::json_rpc;
use crate::mcp::pool_owner::PoolOwner;
use crate::mcp::route::{Audience, ProtocolVersion};
use crate::mcp::running::Running;
use crate::mcp::server::Server;
use crate::mcp::shim::Shim;
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::{Opening, ServerMessage, not_offered};
use agent_engine::repository::Repository;
use serde_json::json;
use serde_json::value::RawValue;
use std::rc::{Rc, Weak};
use tokio::sync::mpsc;

const PROGRESS: &str = "notifications/progress";
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

impl<S: Server> PoolOwner for Shim<S> {
    type Server = S;

    fn repository(&self) -> &Repository {
        &self.repository
    }

    fn opening(&self, audience: Audience) -> Opening {
        match (audience.owner.and_then(|owner| self.client(owner)), audience.protocol_version) {
            (Some(client), _) => client.opening(),
            (None, ProtocolVersion::Stateless) => Opening::Stateless,
            (None, ProtocolVersion::Handshake(revision)) => Opening::of_revision(revision),
        }
    }

    fn started(self: &Rc<Self>, server: &Rc<Running<S>>, messages: mpsc::Receiver<ServerMessage>) {
        tokio::task::spawn_local(receive(Rc::downgrade(self), Rc::downgrade(server), messages));
    }

    fn replaced(&self, server: &Rc<Running<S>>, are_tools_changed: bool) {
        subscribe_again(self, server);
        if are_tools_changed {
            self.notify_tools_changed();
        }
    }
}

/// Subscribes a new child to the resources that its clients have subscribed to.
fn subscribe_again<S: Server>(shim: &Shim<S>, server: &Rc<Running<S>>) {
    for uri in shim.audience(server).iter().flat_map(|client| client.subscriptions.of_the_server())
    {
        let server = Rc::clone(server);
        tokio::task::spawn_local(async move {
            let _ = server
                .child()
                .pass("resources/subscribe", json_rpc::raw(&json!({"uri": uri})))
                .await;
        });
    }
}

/// Receives the messages of a child until it ends.
async fn receive<S: Server>(
    shim: Weak<Shim<S>>,
    server: Weak<Running<S>>,
    mut messages: mpsc::Receiver<ServerMessage>,
) {
    while let Some(message) = messages.recv().await {
        let (Some(shim), Some(server)) = (shim.upgrade(), server.upgrade()) else { return };
        match message {
            ServerMessage::Request { id, method, params } => {
                requested(&shim, &server, id, &method, params.as_deref());
            }
            ServerMessage::Notification { method, frame } => {
                notified(&shim, &server, &method, &frame).await;
            }
        }
    }
}

/// A client and its request.
type Origin = (Rc<Client>, Box<RawValue>);

/// The latest matching request, where all of them are of one client.
fn latest_request<S: Server>(
    shim: &Shim<S>,
    server: &Running<S>,
    matches: impl Fn(&InFlight) -> bool,
) -> Option<Origin> {
    let in_flight = server.in_flight.borrow();
    let mut found =
        in_flight.values().rev().filter(|request| !request.is_subscription && matches(request));
    let last = found.next()?;
    let client = shim.client(last.client)?;
    found.all(|other| other.client == last.client).then(|| (client, last.id.clone()))
}

fn requested<S: Server>(
    shim: &Shim<S>,
    server: &Rc<Running<S>>,
    id: Box<RawValue>,
    method: &str,
    params: Option<&RawValue>,
) {
    // a client of the stateless era accepts no requests: a result requests its input
    if let Some((client, related)) =
        latest_request(shim, server, |request| request.era == Era::Handshake)
    {
        return forward(&client, server, id, method, params, RelatedRequest::Request(&related));
    }
    let is_idle = server.in_flight.is_empty();
    match shim.audience(server).as_slice() {
        [only] if is_idle && only.revision().is_some() => {
            forward(only, server, id, method, params, RelatedRequest::Nothing);
        }
        _ => server.child().reply(id, Err(not_offered(method))),
    }
}

/// Forwards a request of a child to a client.
fn forward<S: Server>(
    client: &Client,
    server: &Rc<Running<S>>,
    id: Box<RawValue>,
    method: &str,
    params: Option<&RawValue>,
    related: RelatedRequest<'_>,
) {
    let server = Rc::downgrade(server);
    client.request(method, params, related, move |answer| {
        if let Some(server) = server.upgrade() {
            server.child().reply(id, answer);
        }
    });
}

async fn notified<S: Server>(
    shim: &Rc<Shim<S>>,
    server: &Rc<Running<S>>,
    method: &str,
    frame: &RawValue,
) {
    let params =
        || RawObject::parse(frame).and_then(|frame| frame.object("params")).unwrap_or_default();
    match method {
        PROGRESS => progressed(shim, server, frame, &params()),
        TOOLS_CHANGED if !tools_may_change(shim, server).await => {}
        _ if server.child().era() == Era::Stateless
            && frame.get().contains(mcp::META_SUBSCRIPTION) =>
        {
            subscribed(shim, server, method, frame);
        }
        TOOLS_CHANGED => shim.notify_tools_changed(),
        UPDATED => shim.resource_changed(server, &params().text("uri").unwrap_or_default(), frame),
        "notifications/resources/list_changed" | "notifications/prompts/list_changed" => {
            shim.list_changed(server, method, frame);
        }
        _ => forward_unattributed(shim, server, frame),
    }
}

fn progressed<S: Server>(
    shim: &Shim<S>,
    server: &Running<S>,
    frame: &RawValue,
    params: &RawObject,
) {
    let Some(token) = params.get("progressToken") else { return };
    let is_ours = shim.has_many_hosts() && server.audience.owner.is_none();
    let in_flight = server.in_flight.borrow();
    let request = if is_ours {
        token.get().parse().ok().and_then(|id: u64| in_flight.get(&id))
    } else {
        in_flight.values().find(|request| {
            request.progress_token.as_deref().is_some_and(|other| other.get() == token.get())
        })
    };
    let Some((client, request)) =
        request.and_then(|request| Some((shim.client(request.client)?, request)))
    else {
        return;
    };
    let forwarded = match &request.progress_token {
        Some(token) if is_ours => with_params(frame, |params| params.set("progressToken", token)),
        _ => Some(frame.get().to_owned()),
    };
    if let Some(forwarded) = forwarded {
        client.deliver(forwarded, RelatedRequest::Request(&request.id));
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

/// A notification of a subscription names it: by the child's id, which becomes the client's.
fn subscribed<S: Server>(shim: &Shim<S>, server: &Running<S>, method: &str, frame: &RawValue) {
    if method == ACKNOWLEDGED {
        return; // the shim has acknowledged the subscription itself
    }
    let meta = |params: &RawObject| params.object("_meta").unwrap_or_default();
    let named = RawObject::parse(frame).and_then(|frame| {
        meta(&frame.object("params")?).get(mcp::META_SUBSCRIPTION)?.get().parse().ok()
    });
    let in_flight = server.in_flight.borrow();
    let Some(request) = named.and_then(|id: u64| in_flight.get(&id)) else { return };
    let Some(client) = shim.client(request.client) else { return };
    let forwarded = with_params(frame, |params| {
        let mut meta = meta(params);
        meta.set(mcp::META_SUBSCRIPTION, &request.id);
        params.set("_meta", &meta);
    });
    if let Some(forwarded) = forwarded {
        client.deliver(forwarded, RelatedRequest::Request(&request.id));
    }
}

/// Lists the tools again. Clients are not notified of tools that were never recorded: such
/// tools are not served.
async fn tools_may_change<S: Server>(shim: &Rc<Shim<S>>, server: &Rc<Running<S>>) -> bool {
    // a child that fails here also fails at the next request, which reports it
    let is_refreshed = server.refresh_tools().await.is_ok();
    let is_as_recorded = server.undeclared_tools.borrow().is_empty();
    if !is_as_recorded {
        shim.report_undeclared_tools(server);
    }
    is_refreshed && is_as_recorded
}

/// Log messages and the like do not name the request that they belong to.
fn forward_unattributed<S: Server>(shim: &Shim<S>, server: &Running<S>, frame: &RawValue) {
    let accepts = |request: &InFlight| request.era == Era::Handshake || request.wants_logs;
    if let Some((client, related)) = latest_request(shim, server, accepts) {
        return client.deliver(frame.get().to_owned(), RelatedRequest::Request(&related));
    }
    if let ([only], true) = (shim.audience(server).as_slice(), server.in_flight.is_empty())
        && only.revision().is_some()
    {
        only.deliver(frame.get().to_owned(), RelatedRequest::Nothing);
    }
}
