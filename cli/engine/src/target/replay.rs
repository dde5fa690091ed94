//! Replays a Journal through the Tuner: each update has to result in the recorded state.

use crate::staging::Replayed;
use crate::target::error::TuningError;
use crate::target::tuner::Tuner;
use agent_core::formats::canonical;
use agent_core::state::journal::Record;
use serde_json::Value;

/// The first update with a different result.
pub struct Mismatch {
    pub record: Record,
    pub what: String,
}

/// Replays records, each with the state after it, from the state before the first. Updates that no
/// Tuner made are not checked.
pub async fn journal(
    tuner: &Tuner,
    start: &Value,
    walked: &[(Record, Value)],
    mut on_update: impl FnMut(),
) -> Result<Option<Mismatch>, TuningError> {
    let mut before = start;
    for (record, after) in walked {
        // what a rebase left without effect is not replayed
        if record.is_by_tuner() && !record.is_dropped() {
            let replayed = tuner.replay(before, record).await?;
            if let Some(what) = difference(&replayed.outcome, before, after) {
                return Ok(Some(Mismatch { record: record.clone(), what }));
            }
        }
        before = after;
        on_update();
    }
    Ok(None)
}

fn difference(replayed: &Replayed, before: &Value, after: &Value) -> Option<String> {
    let state = match replayed {
        Replayed::Unchanged => before,
        Replayed::State(state) => state,
        Replayed::Dropped(why) => return Some(format!("is refused now: {why}")),
    };
    let (again, recorded) = (canonical::revision(state), canonical::revision(after));
    (again != recorded)
        .then(|| format!("led to {}, and leads to {} now", recorded.short(), again.short()))
}
