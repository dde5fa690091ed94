//! Inside a promotion: which of its signals broke the case. Its sealed Journal gives the state
//! after each of them.

use super::run_case;
use crate::error::Failure;
use crate::repository::Repository;
use crate::world::git::CommitInfo;
use agent_core::bisection::{
    Bisection, Conclusion, Effort, How, PointOutcome, Probe, Signal, search,
};
use agent_core::formats::object_id::digest;
use agent_core::state::differences;
use agent_core::state::journal::{self, Fold, Record};
use agent_core::version::registry::journal_key;
use agent_core::version::what::What;
use serde_json::Value;

/// Names the signal in `found`; leaves it as it is where the Journal is not kept.
pub(super) fn search_journal(
    repository: &Repository,
    found: &mut Bisection,
    promotion: &CommitInfo,
    named: &str,
    on_probe: &mut dyn FnMut(&Probe),
) -> Result<(), Failure> {
    let store = repository.store(&repository.manifest(&promotion.id)?)?;
    let Some(bytes) = store.get(&journal_key(named))?.filter(|bytes| digest(bytes) == named) else {
        found.why.push_str("; its Journal is not in the store, so the signal cannot be named");
        return Ok(());
    };
    let steps = Steps::of(&bytes)?;
    let last = steps.records.len();
    let conclusion = search(last + 1, Some(0), |point, _: Effort| {
        // both ends were seen as versions
        if point == 0 || point == last {
            return Ok::<_, Failure>(Some(if point == 0 {
                PointOutcome::Passed
            } else {
                PointOutcome::Failed
            }));
        }
        let target = repository.candidate(
            &What::Name(promotion.id.to_string()),
            &promotion.id,
            &steps.state(point)?,
        )?;
        let result = run_case(repository, &target, found.tier, &found.case)?;
        let version = promotion.trailers.version.clone().expect("a promotion is a version");
        let probe = Probe {
            signals: Some(steps.counted(point)),
            ..Probe::new(version, promotion.id.clone(), How::Run, result)
        };
        on_probe(&probe);
        found.probes.push(probe.clone());
        Ok(Some(probe.seen))
    })?;
    if let Conclusion::Broke { bad, .. } = conclusion {
        let (record, number) = &steps.records[bad - 1];
        found.signal = Some(Signal::new(record, *number, steps.signals));
        found.state = differences(&steps.state(bad - 1)?, &steps.state(bad)?)
            .into_iter()
            .map(Into::into)
            .collect();
    }
    Ok(())
}

/// The updates of a Journal that changed the state.
struct Steps<'a> {
    journal: &'a [u8],
    /// Each with its number among all signals, from 1.
    records: Vec<(Record, usize)>,
    signals: usize,
}

impl<'a> Steps<'a> {
    fn of(journal: &'a [u8]) -> Result<Self, Failure> {
        let (mut records, mut signals) = (Vec::new(), 0);
        journal::walk(journal, |record, _| {
            signals += 1;
            if record.before != record.after {
                records.push((record.clone(), signals));
            }
        })?;
        Ok(Self { journal, records, signals })
    }

    /// The number of signals applied at a point.
    fn counted(&self, point: usize) -> usize {
        point.checked_sub(1).map_or(0, |index| self.records[index].1)
    }

    /// The state after the first `point` of them. The Journal is walked again, so that no more than
    /// one state is held.
    fn state(&self, point: usize) -> Result<Value, Failure> {
        let mut state = Fold::begin(self.journal)?.state;
        let (wanted, mut number) = (self.counted(point), 0);
        journal::walk(self.journal, |_, after| {
            number += 1;
            if number == wanted {
                state.clone_from(after);
            }
        })?;
        Ok(state)
    }
}
