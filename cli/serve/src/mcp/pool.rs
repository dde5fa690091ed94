//! The running children, by what they serve and for which clients. A child that is replaced serves
//! until the new one is ready.

use crate::mcp::discovery_records::DiscoveryRecords;
use crate::mcp::failures::Failures;
use crate::mcp::in_flight::RequestsInFlight;
use crate::mcp::pool_owner::PoolOwner;
use crate::mcp::route::{Key, Route};
use crate::mcp::running::{Running, tools_of};
use crate::mcp::served::Served;
use crate::mcp::server::Server;
use agent_engine::error::Failure;
use agent_engine::target::Target;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A child that is idle for this long is ended.
const IDLE: Duration = Duration::from_secs(300);
/// The limit of running children; beyond it the one that is idle for longest is ended.
const CHILDREN: usize = 64;

pub struct Pool<S: Server> {
    slots: RefCell<BTreeMap<Key, Slot<S>>>,
    pub records: DiscoveryRecords,
}

impl<S: Server> Default for Pool<S> {
    fn default() -> Self {
        Self { slots: RefCell::default(), records: DiscoveryRecords::new(S::ROLE) }
    }
}

struct Slot<S: Server> {
    served: Option<Served<S>>,
    /// Held while a child is started.
    starting: Rc<Mutex<()>>,
    failures: Failures,
    is_replacing: bool,
    /// The code in the working tree has changed since the child was started.
    is_stale: bool,
    used: Instant,
}

impl<S: Server> Default for Slot<S> {
    fn default() -> Self {
        Self {
            served: None,
            starting: Rc::default(),
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
        let mut slots = self.slots.borrow_mut();
        match slots.get_mut(key) {
            Some(slot) => look(slot),
            None => look(slots.entry(key.clone()).or_default()),
        }
    }

    /// The running child of a key.
    pub fn alive(&self, key: &Key) -> Option<Served<S>> {
        self.slots.borrow().get(key)?.alive().cloned()
    }

    pub fn keys(&self) -> Vec<Key> {
        self.slots.borrow().keys().cloned().collect()
    }

    /// Removes a child; the next call starts another one.
    pub fn drop_server(&self, server: &Rc<Running<S>>) {
        let is_it = |slot: &Slot<S>| {
            slot.served.as_ref().is_some_and(|served| Rc::ptr_eq(&served.server, server))
        };
        for slot in self.slots.borrow_mut().values_mut().filter(|slot| is_it(slot)) {
            slot.served = None;
        }
    }

    /// Marks the children of a route as started from outdated code.
    pub fn mark_stale(&self, route: &Route) {
        self.slots
            .borrow_mut()
            .iter_mut()
            .filter(|((of, _), _)| of == route)
            .for_each(|(_, slot)| slot.is_stale = true);
    }

    pub fn children_of(&self, owner: u64) -> Vec<Served<S>> {
        let slots = self.slots.borrow();
        slots
            .iter()
            .filter(|((_, audience), _)| audience.owner == Some(owner))
            .filter_map(|(_, slot)| slot.alive().cloned())
            .collect()
    }

    /// Removes children from the pool; those without a request in flight are ended.
    pub async fn end(&self, which: impl Fn(&Key) -> bool) {
        let taken: Vec<_> = {
            let mut slots = self.slots.borrow_mut();
            let keys: Vec<_> = slots.keys().filter(|key| which(key)).cloned().collect();
            keys.iter().filter_map(|key| slots.remove(key)).collect()
        };
        for slot in taken {
            if let Some(running) = slot.served.and_then(|served| Rc::into_inner(served.server)) {
                running.server.end().await;
            }
        }
    }

    /// Ends children that are idle for too long, and those beyond the limit.
    fn sweep(&self) {
        let mut slots = self.slots.borrow_mut();
        let is_idle = |slot: &Slot<S>| {
            slot.served.as_ref().is_none_or(|served| Rc::strong_count(&served.server) == 1)
                && !slot.is_replacing
        };
        slots.retain(|_, slot| {
            !(is_idle(slot) && Rc::strong_count(&slot.starting) == 1 && slot.used.elapsed() > IDLE)
        });
        while slots.len() > CHILDREN {
            let oldest = slots
                .iter()
                .filter(|(_, slot)| is_idle(slot))
                .min_by_key(|(_, slot)| slot.used)
                .map(|(key, _)| key.clone());
            let Some(key) = oldest else { return };
            slots.remove(&key);
        }
    }

    /// The child for a target: the running one, under a newer state too; an older one while the new
    /// one starts; else a new one.
    pub async fn acquire<O: PoolOwner<Server = S>>(
        self: &Rc<Self>,
        owner: &Rc<O>,
        key: &Key,
        target: &Rc<Target>,
    ) -> Result<Served<S>, Failure> {
        match self.running(owner, key, target) {
            Some(served) => Ok(served),
            // boxed: this branch is rare and large, and would enlarge the future of every call
            None => Box::pin(self.start_in_turn(owner, key, target)).await,
        }
    }

    async fn start_in_turn<O: PoolOwner<Server = S>>(
        self: &Rc<Self>,
        owner: &Rc<O>,
        key: &Key,
        target: &Rc<Target>,
    ) -> Result<Served<S>, Failure> {
        let (starting, failed_before) =
            self.with(key, |slot| (Rc::clone(&slot.starting), slot.failures.count));
        let _turn = starting.lock().await;
        if let Some(served) = self.running(owner, key, target) {
            return Ok(served);
        }
        // a start that failed while this one waited is the answer here as well
        if let Some(error) = self.with(key, |slot| slot.failures.since(failed_before)) {
            return Err(error);
        }
        let (died, wait) = self.with(key, |slot| {
            (slot.served.is_some() && slot.alive().is_none(), slot.failures.wait())
        });
        tokio::time::sleep_until(wait).await;
        self.sweep();
        let started = self.start(owner, key, target).await;
        self.with(key, |slot| {
            if died || started.is_err() {
                slot.failures.add(started.as_ref().err());
            }
            let served = Served { target: Rc::clone(target), server: started? };
            slot.is_stale = false;
            slot.served = Some(served.clone());
            Ok(served)
        })
    }

    /// A running child that can serve the target; an outdated one is replaced meanwhile.
    fn running<O: PoolOwner<Server = S>>(
        self: &Rc<Self>,
        owner: &Rc<O>,
        key: &Key,
        target: &Rc<Target>,
    ) -> Option<Served<S>> {
        let (served, replace) = self.with(key, |slot| {
            slot.used = Instant::now();
            slot.alive()?;
            let is_stale = slot.is_stale;
            let served = slot.served.as_mut()?;
            let by_call = served.server.discovery.borrow().takes_state_by_call();
            if S::serves(&served.target, target, by_call) {
                // outdated code also serves the newest state: a call sees the state of its time
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
            tokio::task::spawn_local(Rc::clone(self).replace(
                Rc::clone(owner),
                key.clone(),
                Rc::clone(target),
            ));
        }
        Some(served)
    }

    /// Replaces a running child if it is outdated, without waiting for that.
    pub fn start_ahead<O: PoolOwner<Server = S>>(
        self: &Rc<Self>,
        owner: &Rc<O>,
        key: &Key,
        target: &Rc<Target>,
    ) {
        if self.alive(key).is_some() {
            self.running(owner, key, target);
        }
    }

    /// Starts a child for the target, and then puts it in the place of the old one, which ends with
    /// its last call.
    async fn replace<O: PoolOwner<Server = S>>(
        self: Rc<Self>,
        owner: Rc<O>,
        key: Key,
        target: Rc<Target>,
    ) {
        self.with(&key, |slot| slot.is_stale = false);
        let started = self.start(&owner, &key, &target).await;
        let replaced = self.with(&key, |slot| {
            slot.is_replacing = false;
            match started {
                Ok(fresh) => {
                    let tools = |served: &Served<S>| served.server.discovery.borrow().tools.clone();
                    let served = Served { target, server: Rc::clone(&fresh) };
                    let are_tools_changed = slot.served.as_ref().map(tools) != Some(tools(&served));
                    slot.served = Some(served);
                    Some((fresh, are_tools_changed))
                }
                Err(error) => {
                    slot.failures.add(Some(&error));
                    // the next call tries again, once the back-off is over
                    slot.is_stale = true;
                    owner.repository().notices.error(&error);
                    None
                }
            }
        });
        if let Some((server, are_tools_changed)) = replaced {
            owner.replaced(&server, are_tools_changed);
        }
    }

    async fn start<O: PoolOwner<Server = S>>(
        &self,
        owner: &Rc<O>,
        key: &Key,
        target: &Rc<Target>,
    ) -> Result<Rc<Running<S>>, Failure> {
        let repository = owner.repository();
        let mut server = S::start(repository, &key.0, target, &owner.opening(key.1)).await?;
        let messages = server.child_mut().take_messages();
        let tools = tools_of(server.child()).await?;
        let recorded = self.records.of(repository, target);
        let undeclared_tools =
            recorded.as_ref().map(|record| record.undeclared_tools(&tools)).unwrap_or_default();
        self.records.report(repository, target, &undeclared_tools);
        let discovery = self.records.with(repository, target, server.child(), tools);
        let running = Rc::new(Running {
            server,
            audience: key.1,
            discovery: RefCell::new(discovery),
            is_recorded: recorded.is_some(),
            undeclared_tools: RefCell::new(undeclared_tools),
            in_flight: RequestsInFlight::default(),
        });
        if let Some(messages) = messages {
            owner.started(&running, messages);
        }
        Ok(running)
    }
}
