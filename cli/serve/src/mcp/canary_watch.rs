//! The canary that runs in the repository, as the Runner's servers take it into account.

use crate::mcp::stat_cache::StatCache;
use agent_core::canary::{Arm, Canary};
use agent_engine::canary::{self, CanaryStamp};
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use std::cell::RefCell;
use std::rc::Rc;

/// A canary and what it serves.
pub struct Running {
    pub canary: Canary,
    pub target: Rc<Target>,
}

/// Read again when its file has changed.
#[derive(Default)]
pub struct CanaryWatch {
    known: RefCell<(CanaryStamp, Option<Rc<Running>>)>,
}

impl CanaryWatch {
    /// The canary that conversations are assigned to now. One that cannot be served is reported,
    /// and conversations go on without it.
    pub fn running(&self, repository: &Repository, stat_cache: &StatCache) -> Option<Rc<Running>> {
        let stamp = stat_cache.canary(repository);
        if self.known.borrow().0 != stamp {
            let running = read(repository);
            *self.known.borrow_mut() = (stamp, running);
        }
        self.known.borrow().1.clone()
    }

    /// The last value that was read.
    pub fn known(&self) -> Option<Rc<Running>> {
        self.known.borrow().1.clone()
    }
}

fn read(repository: &Repository) -> Option<Rc<Running>> {
    let running = canary::running(repository).and_then(|running| {
        running
            .map(|canary| {
                let target = Rc::new(canary::target(repository, &canary)?);
                Ok(Rc::new(Running { canary, target }))
            })
            .transpose()
    });
    running.unwrap_or_else(|error| {
        repository.warn(&format!("the canary is not served: {}", error.messages.join(": ")));
        None
    })
}

impl Running {
    pub fn serves(&self, conversation: &str) -> bool {
        self.canary.arm(conversation) == Arm::Canary
    }
}
