//! The children that run, by what they serve and whom they speak with. The old one serves until the new one is ready.

use crate::mcp::notifications;
use crate::mcp::session::{Caller, Session};
use crate::mcp::shim::{Server, Shim};
use agent_core::formats::object_id::ObjectId;
use agent_core::protocol::discovery::Discovery;
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::{Child, ChildError, Opening, Role};
use agent_engine::error::Failure;
use agent_engine::target::Target;
use agent_engine::target::contracts;
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a child that keeps failing waits before it is started again: doubled and more each time, up to the last.
const BACK_OFF: [Duration; 5] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(2), Duration::from_secs(10)];
/// A failure after this long without one is the first in a row again.
const STEADY: Duration = Duration::from_secs(60);
/// A child that nobody needed for so long ends.
const IDLE: Duration = Duration::from_secs(300);
/// So many children may run; beyond that the one that was idle for longest ends.
const CHILDREN: usize = 64;

/// What a child serves: a line of the plan, whose target moves on, or what a conversation is pinned to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Route {
    Plan(usize),
    /// By its code and, for a server that takes its state when it starts, its state.
    Pinned(Option<ObjectId>, Option<ObjectId>),
    Shadow,
}

/// The language a child was greeted in; many servers keep to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolVersion {
    Handshake(&'static str),
    Stateless,
}

/// Whom a child speaks with: with everybody of one tongue, or with one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Audience {
    pub protocol_version: ProtocolVersion,
    pub owner: Option<u64>,
}

pub type Key = (Route, Audience);

/// A running server and what it serves.
pub struct Served<S: Server> {
    pub target: Rc<Target>,
    pub server: Rc<Running<S>>,
}

impl<S: Server> Clone for Served<S> {
    fn clone(&self) -> Self {
        Self { target: Rc::clone(&self.target), server: Rc::clone(&self.server) }
    }
}

/// A server with the requests it is working on.
pub struct Running<S: Server> {
    pub server: S,
    pub audience: Audience,
    /// What it says of itself; what was recorded of its code, where that was.
    pub discovery: RefCell<Rc<Discovery>>,
    pub is_recorded: bool,
    /// Its tools that are not what was recorded.
    pub undeclared_tools: RefCell<BTreeMap<String, &'static str>>,
    pub in_flight: RefCell<BTreeMap<u64, InFlight<S>>>,
}

/// A request of a host's that is under way at a child.
pub struct InFlight<S: Server> {
    pub session: Weak<Session<S>>,
    pub id: Box<RawValue>,
    pub era: Era,
    /// The host's progress token.
    pub token: Option<Box<RawValue>>,
    pub wants_logs: bool,
    pub is_subscription: bool,
}

/// Takes the flight off the list when its request is over.
pub struct InFlightGuard<S: Server> {
    pub id: u64,
    server: Rc<Running<S>>,
}

impl<S: Server> Drop for InFlightGuard<S> {
    fn drop(&mut self) {
        self.server.in_flight.borrow_mut().remove(&self.id);
    }
}

impl<S: Server> Running<S> {
    pub fn child(&self) -> &Child {
        self.server.child()
    }

    /// Notes a request under an id of the child's. Progress tokens of many hosts would collide: then the child gets one of ours.
    pub fn register(self: &Rc<Self>, caller: Caller<'_, S>, params: &mut RawObject, is_subscription: bool) -> InFlightGuard<S> {
        let id = self.child().fresh_id();
        let meta = params.object("_meta");
        let token = meta.as_ref().and_then(|meta| meta.get("progressToken")).map(ToOwned::to_owned);
        if let Some(mut meta) = meta.clone().filter(|_| token.is_some() && caller.shim().has_many_hosts() && self.audience.owner.is_none())
        {
            meta.set("progressToken", &id);
            params.set("_meta", &meta);
        }
        let wants_logs = meta.is_some_and(|meta| meta.get(mcp::META_LOG_LEVEL).is_some());
        let request = InFlight {
            session: Rc::downgrade(caller.session),
            id: caller.id.to_owned(),
            era: caller.era,
            token,
            wants_logs,
            is_subscription,
        };
        self.in_flight.borrow_mut().insert(id, request);
        InFlightGuard { id, server: Rc::clone(self) }
    }

    /// A child that was greeted in the other era is told what its own asks of every request.
    pub fn adapt_request(&self, caller: Caller<'_, S>, params: &mut RawObject) {
        if self.child().era() != Era::Stateless || caller.era == Era::Stateless {
            return;
        }
        let mut meta = params.object("_meta").unwrap_or_default();
        for (key, value) in caller.session.stateless_meta().as_object().into_iter().flatten() {
            meta.set(key, value);
        }
        params.set("_meta", &meta);
    }

    /// A result as the host's era has it.
    pub fn adapt_result(&self, era: Era, method: &str, result: Box<RawValue>) -> Box<RawValue> {
        let changed = match (era, self.child().era()) {
            (Era::Stateless, Era::Handshake) => mcp::to_stateless(method, &result),
            (Era::Handshake, Era::Stateless) => mcp::to_handshake(&result),
            _ => None,
        };
        changed.unwrap_or(result)
    }

    /// Any request but a call, its bytes as they are.
    pub async fn pass(self: &Rc<Self>, caller: Caller<'_, S>, method: &str, mut params: RawObject) -> Result<Box<RawValue>, ChildError> {
        self.adapt_request(caller, &mut params);
        loop {
            let registered = self.register(caller, &mut params, false);
            let result = self.child().pass_as(registered.id, method, params.to_raw()).await?;
            if !self.requires_input(caller, &result) {
                return Ok(self.adapt_result(caller.era, method, result));
            }
            let refused = |error| ChildError::Refused { role: S::ROLE, what: method.to_owned(), error: Box::new(error) };
            Box::pin(caller.fulfil(&result, &mut params)).await.map_err(refused)?;
        }
    }

    /// Whether a result asks for what only a request could ask this host.
    pub fn requires_input(&self, caller: Caller<'_, S>, result: &RawValue) -> bool {
        caller.era == Era::Handshake && self.child().era() == Era::Stateless && mcp::wants_input(result)
    }

    /// Asks for the tools anew, and says how they differ from what was recorded.
    pub async fn refresh_tools(&self) -> Result<(), ChildError> {
        let tools = tools_of(self.child()).await?;
        if self.is_recorded {
            *self.undeclared_tools.borrow_mut() = self.discovery.borrow().undeclared_tools(&tools);
        } else {
            let changed = Discovery { tools, ..(**self.discovery.borrow()).clone() };
            *self.discovery.borrow_mut() = Rc::new(changed);
        }
        Ok(())
    }
}

/// A server without tools may refuse to list them.
async fn tools_of(child: &Child) -> Result<Vec<serde_json::Value>, ChildError> {
    match child.tools().await {
        Err(ChildError::Refused { .. }) => Ok(Vec::new()),
        listed => listed,
    }
}

pub struct Pool<S: Server> {
    slots: RefCell<HashMap<Key, Slot<S>>>,
    records: RefCell<HashMap<ObjectId, Rc<Discovery>>>,
}

impl<S: Server> Default for Pool<S> {
    fn default() -> Self {
        Self { slots: RefCell::default(), records: RefCell::default() }
    }
}

struct Slot<S: Server> {
    served: Option<Served<S>>,
    /// Who starts a child holds it.
    gate: Rc<Mutex<()>>,
    failures: Failures,
    is_replacing: bool,
    /// The code in the working tree is not what the child was started from.
    is_stale: bool,
    used: Instant,
}

impl<S: Server> Default for Slot<S> {
    fn default() -> Self {
        Self {
            served: None,
            gate: Rc::default(),
            failures: Failures::default(),
            is_replacing: false,
            is_stale: false,
            used: Instant::now(),
        }
    }
}

impl<S: Server> Slot<S> {
    fn alive(&self) -> Option<&Served<S>> {
        self.served.as_ref().filter(|served| served.server.child().failure().is_none())
    }
}

impl<S: Server> Pool<S> {
    fn with<T>(&self, key: &Key, look: impl FnOnce(&mut Slot<S>) -> T) -> T {
        look(self.slots.borrow_mut().entry(key.clone()).or_default())
    }

    /// What a line serves just now, if a child of it runs.
    pub fn alive(&self, key: &Key) -> Option<Served<S>> {
        self.slots.borrow().get(key)?.alive().cloned()
    }

    pub fn keys(&self) -> Vec<Key> {
        self.slots.borrow().keys().cloned().collect()
    }

    /// The next call finds the child gone.
    pub fn drop_server(&self, server: &Rc<Running<S>>) {
        let is_it = |slot: &Slot<S>| slot.served.as_ref().is_some_and(|served| Rc::ptr_eq(&served.server, server));
        for slot in self.slots.borrow_mut().values_mut().filter(|slot| is_it(slot)) {
            slot.served = None;
        }
    }

    /// From now on a child of the working tree is one too old.
    pub fn mark_stale(&self, route: &Route) {
        self.slots.borrow_mut().iter_mut().filter(|((of, _), _)| of == route).for_each(|(_, slot)| slot.is_stale = true);
    }

    pub fn children_of(&self, owner: u64) -> Vec<Served<S>> {
        let slots = self.slots.borrow();
        slots.iter().filter(|((_, audience), _)| audience.owner == Some(owner)).filter_map(|(_, slot)| slot.alive().cloned()).collect()
    }

    /// Takes children out of the pool; those that nobody calls end.
    pub async fn end(&self, which: impl Fn(&Key) -> bool) {
        let taken: Vec<_> = self.slots.borrow_mut().extract_if(|key, _| which(key)).collect();
        for (_, slot) in taken {
            if let Some(running) = slot.served.and_then(|served| Rc::into_inner(served.server)) {
                running.server.end().await;
            }
        }
    }

    /// Ends what nobody has needed for long, and what is too many.
    fn sweep(&self) {
        let mut slots = self.slots.borrow_mut();
        let is_idle =
            |slot: &Slot<S>| slot.served.as_ref().is_none_or(|served| Rc::strong_count(&served.server) == 1) && !slot.is_replacing;
        slots.retain(|_, slot| !(is_idle(slot) && Rc::strong_count(&slot.gate) == 1 && slot.used.elapsed() > IDLE));
        while slots.len() > CHILDREN {
            let oldest = slots.iter().filter(|(_, slot)| is_idle(slot)).min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone());
            let Some(key) = oldest else { return };
            slots.remove(&key);
        }
    }
}

impl<S: Server> Shim<S> {
    /// The child for a target: the running one, under a newer state too; an older one while the new one starts; else a new one.
    pub async fn acquire(self: &Rc<Self>, key: &Key, target: &Rc<Target>) -> Result<Served<S>, Failure> {
        match self.running(key, target) {
            Some(served) => Ok(served),
            // seldom, and large: it would make every call's future as large
            None => Box::pin(self.start_in_turn(key, target)).await,
        }
    }

    async fn start_in_turn(self: &Rc<Self>, key: &Key, target: &Rc<Target>) -> Result<Served<S>, Failure> {
        let (gate, failed_before) = self.pool.with(key, |slot| (Rc::clone(&slot.gate), slot.failures.count));
        let _turn = gate.lock().await;
        if let Some(served) = self.running(key, target) {
            return Ok(served);
        }
        // whoever waited while a start failed has its answer, and does not wait for another
        if let Some(error) = self.pool.with(key, |slot| slot.failures.since(failed_before)) {
            return Err(error);
        }
        let (died, wait) = self.pool.with(key, |slot| (slot.served.is_some() && slot.alive().is_none(), slot.failures.wait()));
        tokio::time::sleep_until(wait).await;
        self.pool.sweep();
        let started = self.start(key, target).await;
        self.pool.with(key, |slot| {
            if died || started.is_err() {
                slot.failures.add(started.as_ref().err());
            }
            let served = Served { target: Rc::clone(target), server: started? };
            slot.is_stale = false;
            slot.served = Some(served.clone());
            Ok(served)
        })
    }

    /// A child that does, if one runs; one that has become too old is replaced meanwhile.
    fn running(self: &Rc<Self>, key: &Key, target: &Rc<Target>) -> Option<Served<S>> {
        let (served, replace) = self.pool.with(key, |slot| {
            slot.used = Instant::now();
            slot.alive()?;
            let is_stale = slot.is_stale;
            let served = slot.served.as_mut()?;
            let by_call = served.server.discovery.borrow().takes_state_by_call();
            if S::serves(&served.target, target, by_call) {
                // also of code that is about to be replaced: a call sees the state of its moment
                served.target = Rc::clone(target);
                if !is_stale {
                    return Some((served.clone(), false));
                }
            }
            let replace = !slot.is_replacing && slot.failures.wait() <= Instant::now();
            slot.is_replacing |= replace && S::MAY_LAG;
            slot.served.clone().filter(|_| S::MAY_LAG).map(|served| (served, replace))
        })?;
        if replace {
            tokio::task::spawn_local(Rc::clone(self).replace(key.clone(), Rc::clone(target)));
        }
        Some(served)
    }

    /// Has a child that runs replaced, if it is too old; nobody waits for it.
    pub fn start_ahead(self: &Rc<Self>, key: &Key, target: &Rc<Target>) {
        if self.pool.alive(key).is_some() {
            self.running(key, target);
        }
    }

    /// Starts a child for what is served now, and then puts it in the place of the old one, which ends with its last call.
    async fn replace(self: Rc<Self>, key: Key, target: Rc<Target>) {
        self.pool.with(&key, |slot| slot.is_stale = false);
        let started = self.start(&key, &target).await;
        let changed = self.pool.with(&key, |slot| {
            slot.is_replacing = false;
            match started {
                Ok(fresh) => {
                    let tools = |served: &Served<S>| served.server.discovery.borrow().tools.clone();
                    let served = Served { target, server: fresh };
                    let changed = slot.served.as_ref().map(tools) != Some(tools(&served));
                    self.subscribe_again(&served.server);
                    slot.served = Some(served);
                    changed
                }
                Err(error) => {
                    slot.failures.add(Some(&error));
                    // the next call tries again, when it may
                    slot.is_stale = true;
                    self.repository.notices.error(&error);
                    false
                }
            }
        });
        if changed {
            self.notify_tools_changed();
        }
    }

    /// A child of its own for a target; what it says unasked is heard.
    async fn start(self: &Rc<Self>, key: &Key, target: &Rc<Target>) -> Result<Rc<Running<S>>, Failure> {
        let mut server = S::start(self, &key.0, target, &self.opening(key.1)).await?;
        let messages = server.child_mut().take_messages();
        let tools = tools_of(server.child()).await?;
        let recorded = self.recorded(target);
        let undeclared_tools = recorded.as_ref().map(|record| record.undeclared_tools(&tools)).unwrap_or_default();
        self.report(target, &undeclared_tools);
        let is_recorded = recorded.is_some();
        let discovery = match recorded {
            // what was recorded in one era is filled up in the other
            Some(record) if server.child().era() == Era::Stateless && !record.knows(Era::Stateless) && undeclared_tools.is_empty() => {
                let fuller = (*record).clone().with_stateless(server.child().greeting().clone(), tools);
                self.keep(target, Rc::new(fuller))
            }
            Some(record) => record,
            None => self.record(target, server.child(), tools),
        };
        let running = Rc::new(Running {
            server,
            audience: key.1,
            discovery: RefCell::new(discovery),
            is_recorded,
            undeclared_tools: RefCell::new(undeclared_tools),
            in_flight: RefCell::default(),
        });
        if let Some(messages) = messages {
            tokio::task::spawn_local(notifications::receive(Rc::downgrade(self), Rc::downgrade(&running), messages));
        }
        Ok(running)
    }

    fn opening(&self, audience: Audience) -> Opening {
        match (audience.owner.and_then(|owner| self.session(owner)), audience.protocol_version) {
            (Some(session), _) => session.opening(),
            (None, ProtocolVersion::Stateless) => Opening::Stateless,
            (None, ProtocolVersion::Handshake(revision)) => Opening::of_revision(revision),
        }
    }

    /// What was recorded of a target's server when its Contract was.
    pub fn recorded(&self, target: &Target) -> Option<Rc<Discovery>> {
        let code = target.code.as_ref()?;
        if let Some(known) = self.pool.records.borrow().get(code) {
            return Some(Rc::clone(known));
        }
        let found = contracts::discovery(&self.repository, target, S::ROLE).unwrap_or_else(|error| {
            self.repository.notices.warn(format!(
                "what {} says of itself cannot be looked up: {}",
                target.shown(),
                error.messages.join(": ")
            ));
            None
        });
        let found = Rc::new(found?);
        self.pool.records.borrow_mut().insert(code.clone(), Rc::clone(&found));
        Some(found)
    }

    /// Keeps what the first child of a code says of itself.
    fn record(&self, target: &Target, child: &Child, tools: Vec<serde_json::Value>) -> Rc<Discovery> {
        let greeting = Some(child.greeting().clone());
        let discovery = Rc::new(match child.era() {
            Era::Handshake => Discovery::new(greeting, None, tools),
            Era::Stateless => Discovery::new(None, greeting, tools),
        });
        match child.era() {
            Era::Handshake => self.keep(target, discovery),
            Era::Stateless => discovery,
        }
    }

    fn keep(&self, target: &Target, discovery: Rc<Discovery>) -> Rc<Discovery> {
        if let Some(code) = &target.code {
            // that it cannot be kept costs the next start a few milliseconds
            let _ = contracts::keep_discovery(&self.repository, target, S::ROLE, &discovery);
            self.pool.records.borrow_mut().insert(code.clone(), Rc::clone(&discovery));
        }
        discovery
    }

    pub fn report(&self, target: &Target, undeclared_tools: &BTreeMap<String, &'static str>) {
        if !undeclared_tools.is_empty() {
            let list: Vec<_> = undeclared_tools.iter().map(|(tool, how)| format!("`{tool}` {how}")).collect();
            let role: Role = S::ROLE;
            let shown = target.shown();
            self.repository
                .notices
                .warn(format!("the {role} of {shown} lists other tools than the Contract recorded for it: {}", list.join(", ")));
        }
    }
}

/// How often the child could not be started, or had to be.
#[derive(Default)]
struct Failures {
    count: usize,
    in_a_row: usize,
    last: Option<Instant>,
    error: Option<Failure>,
}

impl Failures {
    fn add(&mut self, error: Option<&Failure>) {
        let calm = self.last.is_none_or(|last| last.elapsed() > STEADY);
        self.in_a_row = if calm { 1 } else { self.in_a_row + 1 };
        self.last = Some(Instant::now());
        if let Some(error) = error {
            self.count += 1;
            self.error = Some(error.clone());
        }
    }

    fn since(&self, count: usize) -> Option<Failure> {
        self.error.clone().filter(|_| self.count > count)
    }

    /// When the next start may be tried.
    fn wait(&self) -> Instant {
        let wait = BACK_OFF[self.in_a_row.min(BACK_OFF.len() - 1)];
        self.last.map_or_else(Instant::now, |last| last + wait)
    }
}

/// Numbers that nobody else has.
#[derive(Default)]
pub struct Numbers(Cell<u64>);

impl Numbers {
    pub fn fresh(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}
