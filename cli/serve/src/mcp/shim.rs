//! What hosts are served: at each request what is current then, by a child that was started ahead and is replaced when it dies.

use crate::mcp::json_rpc;
use crate::mcp::pool::{Key, Numbers, Pool, ProtocolVersion, Route, Running, Served};
use crate::mcp::promoting::Promoter;
use crate::mcp::resources;
use crate::mcp::session::{About, Caller, Session};
use crate::mcp::tasks::Tasks;
use crate::mcp::watching;
use agent_core::protocol::discovery::{Discovery, Identity, Lifetime};
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_core::protocol::traffic::Traffic;
use agent_core::version::what::What;
use agent_engine::child::{Child, ChildError, Opening, Role, RpcError};
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::world::git::{ACTIVE, RefStamp};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

/// How long a child that let a call run out may take to give a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// For how long a host may rely on a list: of a version, which never changes; of what moves on; of what changes under its author's hands.
const OF_A_VERSION: Lifetime = Lifetime(24 * 3_600_000);
const OF_WHAT_MOVES: Lifetime = Lifetime(60_000);
const OF_WORK: Lifetime = Lifetime(0);

pub type Answer = Result<Box<RawValue>, RpcError>;

/// A child with what it takes to call its tools.
pub(crate) trait Server: Sized + 'static {
    const ROLE: Role;
    /// Whether calls may go to the child of an older version while the one for a newer version starts.
    const MAY_LAG: bool;
    async fn start(shim: &Shim<Self>, route: &Route, target: &Target, opening: &Opening) -> Result<Self, Failure>;
    fn child(&self) -> &Child;
    fn child_mut(&mut self) -> &mut Child;
    async fn end(self);
    /// Whether a server that was started for one target can serve another.
    fn serves(old: &Target, new: &Target, takes_state_by_call: bool) -> bool;
    /// In which tongue a child for such a host is greeted.
    fn protocol_version(era: Era, revision: Option<&'static str>) -> ProtocolVersion;
    /// What hosts are told of who answers, where that is not what the server says of itself.
    fn identity(_target: &Target) -> Option<Identity> {
        None
    }
    /// Whether one child does for all hosts, whatever it says of itself.
    const IS_SHARED: bool;
    /// One `tools/call`.
    async fn call(caller: Caller<'_, Self>, params: RawObject) -> Result<Box<RawValue>, CallFailure<Self>>;
}

/// Why a call has no result.
pub enum CallFailure<S: Server> {
    Child(ChildError, Rc<Running<S>>),
    Ours(Failure),
}

impl<S: Server, E: Into<Failure>> From<E> for CallFailure<S> {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

/// What was resolved last.
#[derive(Clone)]
struct Resolved {
    target: Rc<Target>,
    /// What the files of `active` looked like before, where that is what it follows.
    stamp: Option<RefStamp>,
    /// Nothing was heard since that could have moved it.
    is_current: bool,
}

pub struct Shim<S: Server> {
    pub repository: Repository,
    pub turns: Turns,
    pub pool: Pool<S>,
    pub tasks: Tasks<S>,
    pub traffic: Traffic,
    /// What answers nobody and is called all the same.
    pub shadow: Option<What>,
    targets: RefCell<HashMap<Route, Resolved>>,
    /// Why what a line asks for is not served.
    refused: RefCell<HashMap<Route, String>>,
    sessions: RefCell<BTreeMap<u64, Weak<Session<S>>>>,
    numbers: Numbers,
    has_many_hosts: Cell<bool>,
    watching: RefCell<Option<watching::Watching>>,
    pub promoter: Promoter,
}

impl<S: Server> Shim<S> {
    pub fn new(repository: Repository, traffic: Traffic, shadow: Option<What>) -> Rc<Self> {
        let shim = Rc::new(Self {
            repository,
            turns: Turns::default(),
            pool: Pool::default(),
            tasks: Tasks::default(),
            traffic,
            shadow,
            targets: RefCell::default(),
            refused: RefCell::default(),
            sessions: RefCell::default(),
            numbers: Numbers::default(),
            has_many_hosts: Cell::new(false),
            watching: RefCell::default(),
            promoter: Promoter::default(),
        });
        *shim.watching.borrow_mut() = watching::start(&shim);
        shim
    }

    /// Said before the first session by a door that more than one host may come through.
    pub fn expect_many_hosts(&self) {
        self.has_many_hosts.set(true);
    }

    pub fn has_many_hosts(&self) -> bool {
        self.has_many_hosts.get()
    }

    pub fn fresh_number(&self) -> u64 {
        self.numbers.fresh()
    }

    pub fn enter(&self, session: &Rc<Session<S>>) {
        self.sessions.borrow_mut().insert(session.number, Rc::downgrade(session));
    }

    /// A session is over: so are the children that were its own.
    pub async fn leave(&self, number: u64) {
        self.sessions.borrow_mut().remove(&number);
        self.tasks.forget(|server| server.audience.owner == Some(number));
        self.pool.end(|(_, audience)| audience.owner == Some(number)).await;
    }

    pub fn session(&self, number: u64) -> Option<Rc<Session<S>>> {
        self.sessions.borrow().get(&number)?.upgrade()
    }

    pub fn sessions(&self) -> Vec<Rc<Session<S>>> {
        self.sessions.borrow().values().filter_map(Weak::upgrade).collect()
    }

    /// Those a child may speak to.
    pub fn audience(&self, server: &Running<S>) -> Vec<Rc<Session<S>>> {
        match server.audience.owner {
            Some(owner) => self.session(owner).into_iter().collect(),
            None => self.sessions().into_iter().filter(|session| session.protocol_version() == server.audience.protocol_version).collect(),
        }
    }

    /// Ends what runs; a child that is only just starting ends by being dropped.
    pub async fn end(&self) {
        self.tasks.forget(|_| true);
        self.pool.end(|_| true).await;
    }

    pub async fn answer(self: &Rc<Self>, caller: Caller<'_, S>, method: &str, params: RawObject) -> Answer {
        match method {
            "ping" => Ok(json_rpc::raw(&json!({}))),
            "initialize" => Ok(Box::pin(self.initialize(caller)).await),
            "server/discover" | "tools/list" => {
                let route = caller.route(Some(&params));
                let discovery = self.discovery(caller, &route).await.map_err(|error| internal(&error))?;
                let lifetime = self.lifetime(&route);
                let mut result = match method {
                    "tools/list" => discovery.list(caller.era, caller.session.is_plain(), lifetime),
                    _ => discovery.discover(lifetime),
                };
                if let Some(identity) = self.identity(&route).filter(|_| caller.era == Era::Stateless) {
                    identity.sign_result(&mut result);
                }
                Ok(json_rpc::raw(&result))
            }
            "prompts/list" => Box::pin(self.listed(caller, method, params)).await,
            "tasks/get" | "tasks/result" | "tasks/cancel" => Box::pin(self.task(caller, method, params)).await,
            "tools/call" => self.call(caller, params).await,
            _ if method.starts_with("resources/") => Box::pin(resources::answer(caller, method, params)).await,
            _ => self.pass(caller, method, params).await,
        }
    }

    /// A child that cannot start leaves the host a server whose calls say why.
    async fn initialize(self: &Rc<Self>, caller: Caller<'_, S>) -> Box<RawValue> {
        let asked = caller.session.revision().unwrap_or(mcp::HANDSHAKE);
        let Ok(discovery) = self.discovery(caller, &caller.route(None)).await else {
            let server = json!({"name": "agent", "version": env!("CARGO_PKG_VERSION")});
            let mut result = json!({"protocolVersion": asked, "capabilities": {"tools": {"listChanged": true}}, "serverInfo": server});
            if let Some(identity) = self.identity(&caller.route(None)) {
                identity.sign_greeting(&mut result);
            }
            return json_rpc::raw(&result);
        };
        let agreed = discovery.newest_handshake().filter(|newest| *newest < asked).unwrap_or(asked);
        caller.session.settle_on(agreed);
        let mut result = discovery.initialize(agreed);
        if let Some(identity) = self.identity(&caller.route(None)) {
            identity.sign_greeting(&mut result);
        }
        json_rpc::raw(&result)
    }

    /// Who answers; `None` while nothing can be served.
    fn identity(&self, route: &Route) -> Option<Identity> {
        S::identity(&*self.current(route).ok()?)
    }

    async fn call(self: &Rc<Self>, caller: Caller<'_, S>, params: RawObject) -> Answer {
        match S::call(caller, params).await {
            Ok(result) => Ok(result),
            Err(CallFailure::Child(error @ (ChildError::Refused { .. } | ChildError::Unreadable { .. }), _)) => {
                Err(json_rpc::child_error(error))
            }
            Err(CallFailure::Child(error, server)) => {
                Box::pin(self.replace_if_unresponsive(&server, &error)).await;
                Ok(tool_error(caller.era, &error_text(&error.into())))
            }
            Err(CallFailure::Ours(error)) => Ok(tool_error(caller.era, &error_text(&error))),
        }
    }

    /// A list of the server's: from the record while its child starts, since then it may have changed.
    pub async fn listed(self: &Rc<Self>, caller: Caller<'_, S>, method: &str, params: RawObject) -> Answer {
        let route = caller.route(Some(&params));
        let target = self.current(&route).map_err(|error| internal(&error))?;
        let is_running = self.pool.alive(&self.key(caller, &route, &target)).is_some();
        if !is_running && params.get("cursor").is_none() {
            let record = self.discovery(caller, &route).await.map_err(|error| internal(&error))?;
            if let Some(listed) = record.listed(method) {
                return Ok(ours(caller.era, method, &listed));
            }
        }
        self.pass(caller, method, params).await
    }

    /// What concerns a task goes to the child that made it, also where another one serves by now.
    async fn task(self: &Rc<Self>, caller: Caller<'_, S>, method: &str, params: RawObject) -> Answer {
        let made_by = params.text("taskId").and_then(|id| self.tasks.of(&id));
        match made_by {
            Some(server) => server.pass(caller, method, params).await.map_err(json_rpc::child_error),
            None => self.pass(caller, method, params).await,
        }
    }

    pub async fn pass(self: &Rc<Self>, caller: Caller<'_, S>, method: &str, params: RawObject) -> Answer {
        let served = self.serving_route(caller, &caller.route(Some(&params))).await.map_err(|error| internal(&error))?;
        let result = served.server.pass(caller, method, params).await.map_err(json_rpc::child_error)?;
        Ok(signed::<S>(caller.era, &served.target, result))
    }

    /// A child that is busy with one call still answers others; one that hangs as a whole is replaced by the next request.
    async fn replace_if_unresponsive(&self, server: &Rc<Running<S>>, error: &ChildError) {
        if !matches!(error, ChildError::TimedOut { .. }) || timeout(SIGN_OF_LIFE, server.child().sign_of_life()).await.is_ok() {
            return;
        }
        self.pool.drop_server(server);
    }

    /// What is served where no call says otherwise.
    pub async fn serving(self: &Rc<Self>, caller: Caller<'_, S>) -> Result<Served<S>, Failure> {
        self.serving_route(caller, &caller.route(None)).await
    }

    pub async fn serving_route(self: &Rc<Self>, caller: Caller<'_, S>, route: &Route) -> Result<Served<S>, Failure> {
        let target = self.current(route)?;
        let key = self.key(caller, route, &target);
        self.acquire(&key, &target).await
    }

    /// Which child a caller speaks with: one of its own, unless the server is known to do for all.
    pub fn key(&self, caller: Caller<'_, S>, route: &Route, target: &Target) -> Key {
        let own = (route.clone(), caller.audience(S::IS_SHARED));
        if S::IS_SHARED || self.pool.alive(&own).is_some() {
            return own;
        }
        let shares = self.recorded(target).is_some_and(|record| record.takes_state_by_call());
        (route.clone(), caller.audience(shares))
    }

    /// What the server says of itself: as recorded, and while Python starts; without a record, once it has.
    pub async fn discovery(self: &Rc<Self>, caller: Caller<'_, S>, route: &Route) -> Result<Rc<Discovery>, Failure> {
        let target = self.current(route)?;
        let key = self.key(caller, route, &target);
        if let Some(served) = self.pool.alive(&key) {
            return Ok(Rc::clone(&served.server.discovery.borrow()));
        }
        let Some(record) = self.recorded(&target) else {
            let served = self.acquire(&key, &target).await?;
            let discovery = Rc::clone(&served.server.discovery.borrow());
            return Ok(discovery);
        };
        let shim = Rc::clone(self);
        tokio::task::spawn_local(async move {
            if let Err(error) = shim.acquire(&key, &target).await {
                shim.repository.notices.error(&error);
            }
        });
        Ok(record)
    }

    fn lifetime(&self, route: &Route) -> Lifetime {
        match self.what(route) {
            What::Version(_) => OF_A_VERSION,
            What::Staging | What::Worktree => OF_WORK,
            What::Active | What::Range(_) | What::Name(_) => OF_WHAT_MOVES,
        }
    }

    fn what(&self, route: &Route) -> &What {
        match route {
            Route::Plan(place) => self.traffic.what(*place),
            Route::Shadow => self.shadow.as_ref().unwrap_or(&What::Active),
            Route::Pinned(..) => unreachable!("what a conversation is pinned to is found by its header"),
        }
    }

    /// What a line is to serve now; resolved again only when it may have moved.
    pub fn current(&self, route: &Route) -> Result<Rc<Target>, Failure> {
        let what = self.what(route);
        let is_followed = matches!(what, What::Staging | What::Worktree);
        let known = self.targets.borrow().get(route).cloned();
        // two calls of the system, where reading the ref takes a dozen and wakes who watches
        let stamp = (*what == What::Active).then(|| self.repository.git.ref_stamp(ACTIVE));
        let target = match &known {
            Some(known) if known.is_current && known.stamp == stamp && !is_followed => return Ok(Rc::clone(&known.target)),
            Some(known) if known.is_current && !is_followed && self.has_tip(known) => Rc::clone(&known.target),
            _ => self.resolved(route, what, known.as_ref())?,
        };
        self.targets.borrow_mut().insert(route.clone(), Resolved { target: Rc::clone(&target), stamp, is_current: true });
        Ok(target)
    }

    /// What is to be served from now on. While that cannot be served, the last good target goes on; the log says so once.
    fn resolved(&self, route: &Route, what: &What, known: Option<&Resolved>) -> Result<Rc<Target>, Failure> {
        let error = match self.repository.target(what) {
            Ok(target) => {
                self.refused.borrow_mut().remove(route);
                return Ok(Rc::new(target));
            }
            Err(error) => error,
        };
        let Some(known) = known.filter(|_| !matches!(what, What::Staging | What::Worktree)) else { return Err(error) };
        let why = error.messages.join(": ");
        let hint = error.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        if self.refused.borrow_mut().insert(route.clone(), why.clone()).as_ref() != Some(&why) {
            self.repository.warn(&format!("{why}; {} is served until that is mended{hint}", known.target.shown()));
        }
        Ok(Rc::clone(&known.target))
    }

    fn has_tip(&self, known: &Resolved) -> bool {
        self.repository.git.reference(ACTIVE).is_ok_and(|tip| tip == known.target.commit)
    }

    /// Something in the repository has moved: what is to be served is looked up, and children for it are started ahead.
    pub fn refresh(self: &Rc<Self>) {
        for resolved in self.targets.borrow_mut().values_mut() {
            resolved.is_current = false;
        }
        for key in self.pool.keys() {
            let (Route::Plan(_) | Route::Shadow) = key.0 else { continue };
            // what cannot be resolved now is the next call's to report
            if let Ok(target) = self.current(&key.0) {
                self.start_ahead(&key, &target);
            }
        }
    }

    /// The code in the working tree has changed.
    pub fn worktree_changed(self: &Rc<Self>) {
        for (place, what) in self.traffic.whats().enumerate() {
            if *what == What::Worktree {
                self.pool.mark_stale(&Route::Plan(place));
            }
        }
        self.refresh();
    }

    /// Every host hears that the tools are others now.
    pub fn notify_tools_changed(&self) {
        let notification = json_rpc::notification("notifications/tools/list_changed", &json!({}));
        for session in self.sessions() {
            if session.revision().is_some() {
                session.deliver(notification.clone(), About::Nothing);
            }
            session.subscriptions.announce(&session, "notifications/tools/list_changed", None);
        }
    }

    /// A child that was greeted by a handshake says that a list has changed.
    pub fn list_changed(&self, server: &Running<S>, method: &str, frame: &RawValue) {
        for session in self.audience(server) {
            if session.revision().is_some() {
                session.deliver(frame.get().to_owned(), About::Nothing);
            }
            session.subscriptions.announce(&session, method, None);
        }
    }

    /// The same of a resource.
    pub fn resource_changed(&self, server: &Running<S>, uri: &str, frame: &RawValue) {
        for session in self.audience(server) {
            if session.revision().is_some() && (server.audience.owner.is_some() || session.subscriptions.has(uri)) {
                session.deliver(frame.get().to_owned(), About::Nothing);
            }
            session.subscriptions.announce(&session, resources::UPDATED, Some(uri));
        }
    }

    /// A conversation has another turn, or another reward.
    pub fn conversation_changed(&self, id: &str) {
        let uri = resources::uri(id);
        for session in self.sessions() {
            if session.subscriptions.has(&uri) {
                session.deliver(json_rpc::notification(resources::UPDATED, &json!({"uri": uri})), About::Nothing);
            }
            session.subscriptions.announce(&session, resources::UPDATED, Some(&uri));
        }
    }

    /// A host's notification goes to the children that are its own.
    pub fn forward_to_own(&self, session: u64, method: &str, params: Option<&RawValue>) {
        for served in self.pool.children_of(session) {
            served.server.child().notify(method, params.map(ToOwned::to_owned));
        }
    }

    pub fn report_server(&self, server: &Rc<Running<S>>) {
        if let Ok(target) = self.current(&Route::Plan(self.traffic.main())) {
            self.report(&target, &server.undeclared_tools.borrow());
        }
    }
}

/// Calls that have to follow one another, by the name of what they share.
#[derive(Default)]
pub struct Turns(RefCell<HashMap<String, Arc<Mutex<()>>>>);

impl Turns {
    pub async fn take(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.borrow_mut();
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(name.to_owned()).or_default())
        };
        turn.lock_owned().await
    }
}

fn internal(error: &Failure) -> RpcError {
    json_rpc::error(mcp::INTERNAL_ERROR, error_text(error))
}

/// An error in one text, for a reader who sees no exit code.
pub fn error_text(error: &Failure) -> String {
    let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    error.messages.join(": ") + &hint
}

pub fn tool_error(era: Era, message: &str) -> Box<RawValue> {
    in_era(era, "tools/call", json_rpc::tool_error(message))
}

/// A result of the stateless era under the name of the agent, where the server signs its results.
pub(crate) fn signed<S: Server>(era: Era, target: &Target, result: Box<RawValue>) -> Box<RawValue> {
    match era {
        Era::Handshake => result,
        Era::Stateless => match S::identity(target) {
            Some(identity) => identity.signed(result),
            None => result,
        },
    }
}

/// A result of our own in the era of whoever asked.
pub fn ours(era: Era, method: &str, value: &Value) -> Box<RawValue> {
    in_era(era, method, json_rpc::raw(value))
}

fn in_era(era: Era, method: &str, result: Box<RawValue>) -> Box<RawValue> {
    if era == Era::Stateless { mcp::to_stateless(method, &result).unwrap_or(result) } else { result }
}
