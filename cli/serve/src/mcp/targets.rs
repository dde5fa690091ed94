//! The target of each route. It is resolved again when its ref may have moved; while the new one
//! cannot be served, the old one is.

use crate::mcp::canary_watch::{CanaryWatch, Running};
use crate::mcp::route::Route;
use crate::mcp::stat_cache::StatCache;
use agent_core::formats::diagnose::{Diagnose as _, Messages as _};
use agent_core::protocol::discovery::Lifetime;
use agent_core::protocol::traffic::Traffic;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::world::git::{ACTIVE, RefStamp};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// For how long a client may cache a list: of a version, which never changes; of a ref; of the
/// working tree.
const OF_A_VERSION: Lifetime = Lifetime(24 * 3_600_000);
const OF_WHAT_MOVES: Lifetime = Lifetime(60_000);
const OF_WORK: Lifetime = Lifetime(0);

/// The last resolved target.
#[derive(Clone)]
struct Resolved {
    target: Rc<Target>,
    /// Metadata of the files of `active` before resolving, where the route follows it.
    stamp: Option<RefStamp>,
    /// Whether no change was observed since that could have moved it.
    is_current: bool,
}

pub struct Targets {
    pub traffic: Traffic,
    /// The shadow: it gets a copy of each call, and its results are dropped.
    pub shadow: Option<What>,
    /// Where what is served is `active` alone: a split is the user's own canary.
    canary: Option<CanaryWatch>,
    known: RefCell<BTreeMap<Route, Resolved>>,
    /// Why the newest target of a route is not served.
    refused: RefCell<BTreeMap<Route, String>>,
}

impl Targets {
    pub fn new(traffic: Traffic, shadow: Option<What>, follows_canaries: bool) -> Self {
        let is_active = !traffic.is_split() && *traffic.what(traffic.main()) == What::Active;
        Self {
            canary: (follows_canaries && is_active).then(CanaryWatch::default),
            traffic,
            shadow,
            known: RefCell::default(),
            refused: RefCell::default(),
        }
    }

    /// The canary that conversations are assigned to now.
    pub fn canary(&self, repository: &Repository, stat_cache: &StatCache) -> Option<Rc<Running>> {
        self.canary.as_ref()?.running(repository, stat_cache)
    }

    /// The target of a conversation, or of a request without one.
    pub fn route(
        &self,
        repository: &Repository,
        stat_cache: &StatCache,
        conversation: Option<&str>,
    ) -> Route {
        let canary = conversation.zip(self.canary(repository, stat_cache));
        match canary {
            Some((conversation, canary)) if canary.serves(conversation) => Route::Canary,
            _ => Route::Plan(self.traffic.place_of(conversation)),
        }
    }

    pub fn lifetime(&self, route: &Route) -> Lifetime {
        match self.what(route) {
            What::Version(_) => OF_A_VERSION,
            What::Staging | What::Worktree => OF_WORK,
            What::Active | What::Range(_) | What::Name(_) => OF_WHAT_MOVES,
        }
    }

    fn what(&self, route: &Route) -> &What {
        match route {
            Route::Plan(place) => self.traffic.what(*place),
            Route::Canary => &What::Staging,
            Route::Shadow => self.shadow.as_ref().unwrap_or(&What::Active),
            Route::Pinned(..) => {
                unreachable!("the target of a pinned route is found by the conversation's header")
            }
        }
    }

    /// The target of a route now; resolved again only when it may have moved.
    pub fn current(
        &self,
        repository: &Repository,
        stat_cache: &StatCache,
        route: &Route,
    ) -> Result<Rc<Target>, Failure> {
        if *route == Route::Canary {
            let known = self.canary.as_ref().and_then(CanaryWatch::known);
            return match known {
                Some(running) => Ok(Rc::clone(&running.target)),
                // it ended since the request was assigned
                None => self.current(repository, stat_cache, &Route::Plan(self.traffic.main())),
            };
        }
        let what = self.what(route);
        let is_followed = matches!(what, What::Staging | What::Worktree);
        let known = self.known.borrow().get(route).cloned();
        // two system calls, where reading the ref takes a dozen and triggers the watch
        let stamp = (*what == What::Active).then(|| stat_cache.active(repository));
        let target = match &known {
            Some(known) if known.is_current && known.stamp == stamp && !is_followed => {
                return Ok(Rc::clone(&known.target));
            }
            Some(known) if known.is_current && !is_followed && has_tip(repository, known) => {
                Rc::clone(&known.target)
            }
            _ => self.resolved(repository, route, what, known.as_ref())?,
        };
        self.known.borrow_mut().insert(
            route.clone(),
            Resolved { target: Rc::clone(&target), stamp, is_current: true },
        );
        Ok(target)
    }

    /// The target to serve from now on. While it cannot be served, the last good one is; that is
    /// logged once.
    fn resolved(
        &self,
        repository: &Repository,
        route: &Route,
        what: &What,
        known: Option<&Resolved>,
    ) -> Result<Rc<Target>, Failure> {
        let error = match repository.target(what) {
            Ok(target) => {
                self.refused.borrow_mut().remove(route);
                return Ok(Rc::new(target));
            }
            Err(error) => error,
        };
        let Some(known) = known.filter(|_| !matches!(what, What::Staging | What::Worktree)) else {
            return Err(error.into());
        };
        let why = error.messages().join(": ");
        let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        if self.refused.borrow_mut().insert(route.clone(), why.clone()).as_ref() != Some(&why) {
            repository.warn(&format!(
                "{why}; {} is served until that is fixed{hint}",
                known.target.shown()
            ));
        }
        Ok(Rc::clone(&known.target))
    }

    /// Marks every route to be resolved again at its next use.
    pub fn expire(&self) {
        for resolved in self.known.borrow_mut().values_mut() {
            resolved.is_current = false;
        }
    }
}

fn has_tip(repository: &Repository, known: &Resolved) -> bool {
    repository.git.reference(ACTIVE).is_ok_and(|tip| tip == known.target.commit)
}
