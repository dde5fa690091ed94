//! The shim: the repository it serves, the children of the pool and the clients that are connected.

use crate::mcp::call_locks::CallLocks;
use crate::mcp::client::Client;
use crate::mcp::conversation_uri::{self, UPDATED};
use crate::mcp::frame_sink::RelatedRequest;
use crate::mcp::json_rpc;
use crate::mcp::overlays::{self, Overlays};
use crate::mcp::pool::Pool;
use crate::mcp::recorders::Recorders;
use crate::mcp::route::{Key, Route};
use crate::mcp::running::Running;
use crate::mcp::served::Served;
use crate::mcp::server::Server;
use crate::mcp::stat_cache::StatCache;
use crate::mcp::targets::Targets;
use crate::mcp::tasks::Tasks;
use agent_core::protocol::discovery::Discovery;
use agent_core::protocol::traffic::Traffic;
use agent_core::version::what::What;
use agent_engine::child::{ChildError, Role};
use agent_engine::conversations;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::{Target, overlay};
use serde_json::json;
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::time::timeout;

/// How long a child whose call timed out has to answer a ping.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

pub struct Shim<S: Server> {
    pub repository: Repository,
    pub locks: CallLocks,
    pub pool: Rc<Pool<S>>,
    pub tasks: Tasks<S>,
    pub targets: Targets,
    pub stat_cache: StatCache,
    pub overlays: Overlays,
    pub recorders: Recorders,
    /// State that the server keeps between calls.
    pub state: S::State,
    clients: RefCell<BTreeMap<u64, Weak<Client>>>,
    last_number: Cell<u64>,
    has_many_hosts: bool,
}

impl<S: Server> Shim<S> {
    /// `has_many_hosts` where more than one client may connect.
    pub fn new(
        repository: Repository,
        traffic: Traffic,
        shadow: Option<What>,
        has_many_hosts: bool,
    ) -> Rc<Self> {
        Rc::new(Self {
            repository,
            locks: CallLocks::default(),
            pool: Rc::default(),
            tasks: Tasks::default(),
            targets: Targets::new(traffic, shadow, S::ROLE == Role::Runner),
            stat_cache: StatCache::default(),
            overlays: Overlays::default(),
            recorders: Recorders::default(),
            state: S::State::default(),
            clients: RefCell::default(),
            last_number: Cell::new(0),
            has_many_hosts,
        })
    }

    pub fn has_many_hosts(&self) -> bool {
        self.has_many_hosts
    }

    pub fn fresh_number(&self) -> u64 {
        self.last_number.set(self.last_number.get() + 1);
        self.last_number.get()
    }

    pub fn enter(&self, client: &Rc<Client>) {
        self.clients.borrow_mut().insert(client.number, Rc::downgrade(client));
    }

    /// Removes a client and ends its own children.
    pub async fn leave(&self, number: u64) {
        self.clients.borrow_mut().remove(&number);
        self.tasks.forget(|server| server.audience.owner == Some(number));
        self.pool.end(|(_, audience)| audience.owner == Some(number)).await;
    }

    pub fn client(&self, number: u64) -> Option<Rc<Client>> {
        self.clients.borrow().get(&number)?.upgrade()
    }

    fn clients(&self) -> Vec<Rc<Client>> {
        self.clients.borrow().values().filter_map(Weak::upgrade).collect()
    }

    /// The clients that a child's notifications can be for.
    pub fn audience(&self, server: &Running<S>) -> Vec<Rc<Client>> {
        match server.audience.owner {
            Some(owner) => self.client(owner).into_iter().collect(),
            None => self
                .clients()
                .into_iter()
                .filter(|client| client.protocol_version() == server.audience.protocol_version)
                .collect(),
        }
    }

    /// Ends the children; one that is still starting is ended when its future is dropped.
    pub async fn end(&self) {
        self.tasks.forget(|_| true);
        self.pool.end(|_| true).await;
    }

    /// The target of a route now.
    pub fn current(&self, route: &Route) -> Result<Rc<Target>, Failure> {
        self.targets.current(&self.repository, &self.stat_cache, route)
    }

    /// The target of a conversation, or of a request without one.
    pub fn route(&self, conversation: Option<&str>) -> Route {
        self.targets.route(&self.repository, &self.stat_cache, conversation)
    }

    /// The target whose overlay a conversation is shown: what it began with, where conversations
    /// are shown different things, else what is served now. A conversation of other code is served
    /// by that.
    pub fn presented(&self, conversation: Option<&str>) -> Result<Rc<Target>, Failure> {
        let now = self.current(&self.route(conversation))?;
        let begun = conversation.and_then(|id| self.begun(id, &now));
        Ok(begun.filter(|begun| begun.code == now.code).unwrap_or(now))
    }

    /// Whether calls of a conversation belong to it because of what it is shown.
    pub fn is_shown_its_own(&self, conversation: &str, now: &Rc<Target>) -> bool {
        overlay::is_split(now) || self.begun(conversation, now).is_some()
    }

    /// What a conversation began with under another state, where either state shows conversations
    /// different things.
    fn begun(&self, conversation: &str, now: &Rc<Target>) -> Option<Rc<Target>> {
        if S::ROLE != Role::Runner || !overlay::is_there(now) {
            return None;
        }
        let latest = conversations::latest(&self.repository.layout, conversation).ok()??;
        if latest.header.revision == now.state.revision {
            return None;
        }
        let begun = self.repository.pinned(&latest.header).ok()?;
        (overlay::is_split(now) || overlay::is_split(&begun)).then(|| Rc::new(begun))
    }

    /// The target of the largest share.
    pub fn main_target(&self) -> Result<Rc<Target>, Failure> {
        self.current(&Route::Plan(self.targets.traffic.main()))
    }

    pub fn recorded(&self, target: &Target) -> Option<Rc<Discovery>> {
        self.pool.records.of(&self.repository, target)
    }

    pub async fn acquire(
        self: &Rc<Self>,
        key: &Key,
        target: &Rc<Target>,
    ) -> Result<Served<S>, Failure> {
        self.pool.acquire(self, key, target).await
    }

    /// Pings the child after a timeout: a responsive child answers during a call. One that does not
    /// is replaced by the next request.
    pub async fn replace_if_unresponsive(&self, server: &Rc<Running<S>>, error: &ChildError) {
        if !matches!(error, ChildError::TimedOut { .. })
            || timeout(SIGN_OF_LIFE, server.child().sign_of_life()).await.is_ok()
        {
            return;
        }
        self.pool.drop_server(server);
    }

    /// A ref of the repository has moved: targets are resolved again, and children for them are
    /// started ahead.
    pub fn refresh(self: &Rc<Self>) {
        self.stat_cache.clear();
        self.targets.expire();
        for key in self.pool.keys() {
            let (Route::Plan(_) | Route::Shadow) = key.0 else { continue };
            // a target that cannot be resolved is reported by the next call
            if let Ok(target) = self.current(&key.0) {
                self.pool.start_ahead(self, &key, &target);
            }
        }
        if S::ROLE == Role::Runner {
            self.notify_overlays_changed();
        }
    }

    /// Notifies the clients that would be listed the tools in another presentation now.
    pub fn notify_overlays_changed(&self) {
        for client in self.clients() {
            let mut listed = client.listed.borrow_mut();
            let Some(listed) = listed.as_mut() else { continue };
            let conversation = listed.conversation.as_deref();
            let Ok(target) = self.presented(conversation) else { continue };
            let now = overlays::presentation(&target, conversation);
            if !now.lists_as(&listed.presentation) {
                notify_tools_changed(&client);
            }
            listed.presentation = now;
        }
    }

    /// The code in the working tree has changed.
    pub fn worktree_changed(self: &Rc<Self>) {
        for (place, what) in self.targets.traffic.whats().enumerate() {
            if *what == What::Worktree {
                self.pool.mark_stale(&Route::Plan(place));
            }
        }
        self.refresh();
    }

    /// Notifies every client that the tools have changed.
    pub fn notify_tools_changed(&self) {
        self.clients().iter().for_each(|client| notify_tools_changed(client));
    }

    /// Forwards a child's `list_changed` notification.
    pub fn list_changed(&self, server: &Running<S>, method: &str, frame: &RawValue) {
        for client in self.audience(server) {
            if client.revision().is_some() {
                client.deliver(frame.get().to_owned(), RelatedRequest::Nothing);
            }
            client.notify_subscriptions(method, None);
        }
    }

    /// Forwards a child's `resources/updated` notification.
    pub fn resource_changed(&self, server: &Running<S>, uri: &str, frame: &RawValue) {
        for client in self.audience(server) {
            if client.revision().is_some()
                && (server.audience.owner.is_some() || client.subscriptions.has(uri))
            {
                client.deliver(frame.get().to_owned(), RelatedRequest::Nothing);
            }
            client.notify_subscriptions(UPDATED, Some(uri));
        }
    }

    /// A conversation has another turn, or another reward.
    pub fn conversation_changed(&self, id: &str) {
        let uri = conversation_uri::uri(id);
        for client in self.clients() {
            if client.subscriptions.has(&uri) {
                client.deliver(
                    json_rpc::notification(UPDATED, &json!({"uri": uri})),
                    RelatedRequest::Nothing,
                );
            }
            client.notify_subscriptions(UPDATED, Some(&uri));
        }
    }

    /// Forwards a client's notification to the children that are its own.
    pub fn forward_to_own(&self, client: u64, method: &str, params: Option<&RawValue>) {
        for served in self.pool.children_of(client) {
            served.server.child().notify(method, params.map(ToOwned::to_owned));
        }
    }

    pub fn report_undeclared_tools(&self, server: &Running<S>) {
        if let Ok(target) = self.main_target() {
            self.pool.records.report(&self.repository, &target, &server.undeclared_tools.borrow());
        }
    }
}

fn notify_tools_changed(client: &Client) {
    if client.revision().is_some() {
        client.deliver(json_rpc::notification(TOOLS_CHANGED, &json!({})), RelatedRequest::Nothing);
    }
    client.notify_subscriptions(TOOLS_CHANGED, None);
}
