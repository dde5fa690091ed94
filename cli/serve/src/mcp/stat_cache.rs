//! File system state that is read at each request, read once for all that are ready together.

use agent_engine::canary::CanaryStamp;
use agent_engine::repository::Repository;
use agent_engine::world::git::{ACTIVE, RefStamp};
use agent_engine::world::recording;
use std::cell::Cell;
use std::rc::Rc;

/// Filled by the first request that asks. Cleared when another message arrives, and when the tasks
/// that are ready now have run: what changed before a request was sent, that request sees.
#[derive(Default)]
pub struct StatCache(Rc<Values>);

#[derive(Default)]
struct Values {
    active: Cell<Option<RefStamp>>,
    canary: Cell<Option<CanaryStamp>>,
    is_recording: Cell<Option<bool>>,
    is_cleared_later: Cell<bool>,
}

impl StatCache {
    /// The stamps of the files of `active`.
    pub fn active(&self, repository: &Repository) -> RefStamp {
        self.get(&self.0.active, || repository.git.ref_stamp(ACTIVE))
    }

    /// The stamp of the file of the running canary.
    pub fn canary(&self, repository: &Repository) -> CanaryStamp {
        self.get(&self.0.canary, || CanaryStamp::of(repository))
    }

    /// Whether calls are recorded.
    pub fn is_recording(&self, repository: &Repository) -> bool {
        self.get(&self.0.is_recording, || recording::is_under_way(&repository.layout))
    }

    pub fn clear(&self) {
        self.0.clear();
    }

    fn get<T: Copy>(&self, cached: &Cell<Option<T>>, read: impl FnOnce() -> T) -> T {
        if let Some(value) = cached.get() {
            return value;
        }
        let value = read();
        cached.set(Some(value));
        if !self.0.is_cleared_later.replace(true) {
            // runs after the tasks that are ready now
            let values = Rc::clone(&self.0);
            tokio::task::spawn_local(async move {
                values.is_cleared_later.set(false);
                values.clear();
            });
        }
        value
    }
}

impl Values {
    fn clear(&self) {
        self.active.set(None);
        self.canary.set(None);
        self.is_recording.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_engine::world::event_loop;

    #[test]
    fn a_value_is_shared_until_a_message_arrives_or_the_ready_tasks_have_run() {
        let reads = Cell::new(0);
        let cache = StatCache::default();
        let read = || {
            cache.get(&cache.0.is_recording, || {
                reads.set(reads.get() + 1);
                true
            });
            reads.get()
        };
        let requests = async {
            assert_eq!((read(), read()), (1, 1));
            cache.clear();
            assert_eq!((read(), read()), (2, 2));
            tokio::task::yield_now().await;
            assert_eq!((read(), read()), (3, 3));
            tokio::task::yield_now().await;
            assert_eq!(read(), 4);
        };
        event_loop::block_on(tokio::task::LocalSet::new().run_until(requests)).unwrap();
    }
}
