//! A request with the client that made it and the shim that answers it.

use crate::mcp::call_context::CallContext;
use crate::mcp::client::Client;
use crate::mcp::frame_sink::RelatedRequest;
use crate::mcp::in_flight::{InFlight, Registered};
use crate::mcp::json_rpc::{self, Answer};
use crate::mcp::results::{self, failed, signed};
use crate::mcp::route::{Audience, Key, Route};
use crate::mcp::running::Running;
use crate::mcp::served::Served;
use crate::mcp::server::Server;
use crate::mcp::shim::Shim;
use agent_core::overlay::OverlayError;
use agent_core::protocol::discovery::Discovery;
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::{ChildError, Role, RpcError};
use agent_engine::error::Failure;
use agent_engine::target::Target;
use agent_engine::target::overlay::Shown;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio::sync::oneshot;

pub struct Caller<'a, S: Server> {
    pub shim: &'a Rc<Shim<S>>,
    pub client: &'a Rc<Client>,
    pub context: &'a CallContext,
}

impl<S: Server> Clone for Caller<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Server> Copy for Caller<'_, S> {}

impl<S: Server> Caller<'_, S> {
    pub fn era(&self) -> Era {
        self.context.era
    }

    /// The client's own conversation that a call belongs to: the thread it names, else its session.
    pub fn own_conversation(&self) -> Option<&str> {
        self.context.thread.as_deref().or(self.client.conversation.as_deref())
    }

    /// The route of a request that names no conversation. The client's own conversation decides its
    /// share, so that the tools it lists are those it calls.
    pub fn route(&self) -> Route {
        self.shim.route(self.own_conversation())
    }

    /// The route of the client's session.
    pub fn session_route(&self) -> Route {
        self.shim.route(self.client.conversation.as_deref())
    }

    fn audience(&self, shared: bool) -> Audience {
        Audience {
            protocol_version: S::protocol_version(self.era(), self.client.revision()),
            owner: (!shared && self.era() == Era::Handshake).then_some(self.client.number),
        }
    }

    /// The key of this client's child: one of its own, unless one child may serve all clients.
    pub fn key(&self, route: &Route, target: &Target) -> Key {
        let own = (route.clone(), self.audience(S::IS_SHARED));
        if S::IS_SHARED || self.shim.pool.alive(&own).is_some() {
            return own;
        }
        let shares = self.shim.recorded(target).is_some_and(|record| record.takes_state_by_call());
        (route.clone(), self.audience(shares))
    }

    pub async fn serving(&self, route: &Route) -> Result<Served<S>, Failure> {
        let target = self.shim.current(route)?;
        self.serving_target(route, &target).await
    }

    /// A child for the target of a route.
    pub async fn serving_target(
        &self,
        route: &Route,
        target: &Rc<Target>,
    ) -> Result<Served<S>, Failure> {
        self.shim.acquire(&self.key(route, target), target).await
    }

    pub async fn discovery(&self, route: &Route) -> Result<Rc<Discovery>, Failure> {
        let target = self.shim.current(route)?;
        self.discovery_of(route, &target).await
    }

    /// The server's discovery: the recorded one while its child starts, else the child's.
    pub async fn discovery_of(
        &self,
        route: &Route,
        target: &Rc<Target>,
    ) -> Result<Rc<Discovery>, Failure> {
        let key = self.key(route, target);
        if let Some(served) = self.shim.pool.alive(&key) {
            return Ok(Rc::clone(&served.server.discovery.borrow()));
        }
        let Some(record) = self.shim.recorded(target) else {
            let served = self.shim.acquire(&key, target).await?;
            let discovery = Rc::clone(&served.server.discovery.borrow());
            return Ok(discovery);
        };
        let (shim, target) = (Rc::clone(self.shim), Rc::clone(target));
        tokio::task::spawn_local(async move {
            if let Err(error) = shim.acquire(&key, &target).await {
                shim.repository.notices.error(&error);
            }
        });
        Ok(record)
    }

    /// How a target presents the tools of a discovery to a conversation; `None` without an overlay.
    pub fn shown(
        &self,
        target: &Target,
        discovery: &Discovery,
        conversation: Option<&str>,
    ) -> Result<Option<Shown>, OverlayError> {
        if S::ROLE != Role::Runner {
            return Ok(None);
        }
        let overlay = self.shim.overlays.of(&self.shim.repository, target, discovery)?;
        Ok(overlay.map(|overlay| Shown::of(&overlay, conversation)))
    }

    /// A list of the server's: from the record while its child starts, since then it may have
    /// changed.
    pub async fn listed(self, method: &str, params: RawObject) -> Answer {
        let route = self.route();
        let target = self.shim.current(&route).map_err(|error| failed(&error))?;
        let is_running = self.shim.pool.alive(&self.key(&route, &target)).is_some();
        if !is_running && params.get("cursor").is_none() {
            let record = self.discovery(&route).await.map_err(|error| failed(&error))?;
            if let Some(listed) = record.listed(method) {
                return Ok(results::own(self.era(), method, &listed));
            }
        }
        self.pass(method, params).await
    }

    /// Forwards any request but a call, with its bytes unchanged.
    pub async fn pass(self, method: &str, params: RawObject) -> Answer {
        let served = self.serving(&self.route()).await.map_err(|error| failed(&error))?;
        let result =
            self.pass_to(&served.server, method, params).await.map_err(json_rpc::child_error)?;
        Ok(signed::<S>(self.era(), &served.target, result))
    }

    pub async fn pass_to(
        self,
        server: &Rc<Running<S>>,
        method: &str,
        mut params: RawObject,
    ) -> Result<Box<RawValue>, ChildError> {
        loop {
            let (registered, meta) = self.register(server, false);
            if let Some(meta) = meta {
                params.set("_meta", &meta);
            }
            let result = server.child().pass_as(registered.id, method, params.to_raw()).await?;
            if !server.requires_input(self.era(), &result) {
                return Ok(server.adapt_result(self.era(), method, result));
            }
            let refused = |error| ChildError::Refused {
                role: S::ROLE,
                what: method.to_owned(),
                error: Box::new(error),
            };
            Box::pin(self.provide_input(&result, &mut params)).await.map_err(refused)?;
        }
    }

    /// Registers the request under an id for the child. Returns the `_meta` for the child where it
    /// differs from the client's.
    pub fn register(
        &self,
        server: &Running<S>,
        is_subscription: bool,
    ) -> (Registered, Option<RawObject>) {
        let (context, id) = (self.context, server.child().fresh_id());
        let mut meta = self.adapted_meta(server);
        // progress tokens of several clients could collide: the child gets a unique one
        if context.progress_token.is_some()
            && self.shim.has_many_hosts()
            && server.audience.owner.is_none()
        {
            meta.get_or_insert_with(|| context.meta.clone().unwrap_or_default())
                .set("progressToken", &id);
        }
        let request = InFlight {
            client: self.client.number,
            id: context.id.clone(),
            era: context.era,
            progress_token: context.progress_token.clone(),
            wants_logs: context.wants_logs,
            is_subscription,
        };
        (server.in_flight.register(id, request), meta)
    }

    /// A child of the stateless era requires client info and capabilities in each request; a client
    /// of the handshake era sends them once.
    fn adapted_meta(&self, server: &Running<S>) -> Option<RawObject> {
        if server.child().era() != Era::Stateless || self.era() == Era::Stateless {
            return None;
        }
        let mut meta = self.context.meta.clone().unwrap_or_default();
        for (key, value) in self.client.stateless_meta().as_object().into_iter().flatten() {
            meta.set(key, value);
        }
        Some(meta)
    }

    /// Requests the input that a result asks for from a client of the handshake era, and puts it
    /// into the parameters of the request to be made again.
    pub async fn provide_input(
        &self,
        result: &RawValue,
        params: &mut RawObject,
    ) -> Result<(), RpcError> {
        let result = RawObject::parse(result).unwrap_or_default();
        let requests: BTreeMap<String, InputRequest> = match result.get("inputRequests") {
            Some(raw) => serde_json::from_str(raw.get()).map_err(|error| {
                json_rpc::error(mcp::INTERNAL_ERROR, format!("inputRequests: {error}"))
            })?,
            None => BTreeMap::new(),
        };
        let mut responses = RawObject::default();
        for (name, request) in &requests {
            let (sender, answer) = oneshot::channel();
            let on_answer = move |answer| drop(sender.send(answer));
            self.client.request(
                &request.method,
                request.params.as_deref(),
                RelatedRequest::Request(&self.context.id),
                on_answer,
            );
            let answer = answer.await.unwrap_or_else(|_| Err(Client::is_gone()))?;
            responses.set(name, &answer);
        }
        params.set("inputResponses", &responses);
        match result.get("requestState") {
            Some(state) => params.set("requestState", &state),
            None => params.remove("requestState"),
        }
        Ok(())
    }
}

/// One of a result's `inputRequests`.
#[derive(Deserialize)]
struct InputRequest {
    method: String,
    params: Option<Box<RawValue>>,
}
