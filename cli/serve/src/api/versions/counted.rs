//! The counts of objectives that were reported.

use agent_core::slo::Objective;
use agent_core::slo::series::Count;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The largest counts that were reported, by measure: a counter never falls, also where a part of
/// the record cannot be read for a while.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<BTreeMap<String, Count>>);

impl Counted {
    pub(super) fn at_least(&self, objective: &Objective, ever: Count) -> Count {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = counted.entry(objective.measure()).or_default();
        most.good = most.good.max(ever.good);
        most.total = most.total.max(ever.total);
        *most
    }
}
