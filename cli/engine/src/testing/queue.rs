//! Which case is next, and when no further one is started.

use crate::testing::job::TierJob;
use agent_core::testing::case::Case;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// The data that the workers of a tier share.
pub(super) struct Queue {
    next: AtomicUsize,
    stopped: AtomicBool,
    spent_usd: Mutex<f64>,
    /// Why it was stopped with cases left.
    stops: Mutex<BTreeSet<String>>,
    /// Whether every case is taken: a Runner that is still starting has nothing to do.
    is_exhausted: AtomicBool,
    exhausted: Notify,
    /// The cases are there.
    loaded: Notify,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            next: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            spent_usd: Mutex::new(0.0),
            stops: Mutex::new(BTreeSet::new()),
            is_exhausted: AtomicBool::new(false),
            exhausted: Notify::new(),
            loaded: Notify::new(),
        }
    }

    /// Waits for the cases, which `TierJob::cases` does without letting anything else go on.
    pub(super) async fn loaded(&self, job: &TierJob) {
        let loaded = self.loaded.notified();
        if !job.is_loaded() {
            loaded.await;
        }
    }

    /// The job has its cases.
    pub(super) fn notify_loaded(&self) {
        self.loaded.notify_waiters();
    }

    /// The next case, and whether it is known to be slow.
    pub(super) fn take<'a>(&self, job: &'a TierJob) -> Option<(&'a Case, bool)> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let case = job.work().case_at(self.next.fetch_add(1, Ordering::Relaxed));
        if case.is_none() {
            self.exhaust();
        }
        case
    }

    pub(super) fn exhaust(&self) {
        if !self.is_exhausted.swap(true, Ordering::SeqCst) {
            self.exhausted.notify_waiters();
        }
    }

    /// Waits until every case is taken.
    pub(super) async fn exhausted(&self) {
        let exhausted = self.exhausted.notified();
        if !self.is_exhausted.load(Ordering::SeqCst) {
            exhausted.await;
        }
    }

    /// The number of cases not started.
    pub(super) fn left(&self, job: &TierJob) -> usize {
        job.cases().list.len().saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// No further case is started; requests in flight continue.
    pub(super) fn stop(&self, why: String) {
        self.stop_after_failure();
        locked(&self.stops).insert(why);
    }

    /// The same, where an error tells why.
    pub(super) fn stop_after_failure(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Why it was stopped with cases left.
    pub(super) fn take_stops(&self) -> BTreeSet<String> {
        std::mem::take(&mut *locked(&self.stops))
    }

    /// A call has cost something.
    pub(super) fn spend(&self, job: &TierJob, usd: f64) {
        let mut spent = locked(&self.spent_usd);
        *spent += usd;
        if let Some(most) = job.spend_limit_usd().filter(|most| *spent > *most)
            && !self.stopped.load(Ordering::Relaxed)
        {
            self.stop(format!(
                "the spend of ${:.4} has passed the budget of ${most}: no further case was started",
                *spent
            ));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while it is held")
}
