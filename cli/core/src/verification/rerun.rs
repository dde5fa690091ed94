//! Evidence that was run again, beside what is on record: case by case, outcome and score.
//!
//! A case with a different result is run several times more. If its results then vary, it is flaky
//! and not an error; if it always differs from the record, it is wrong. Durations are reported and
//! not compared.

use super::{Finding, ok, wrong};
use crate::testing::case_result::Runs;
use crate::testing::case_result::{CaseResult, Outcome};
use crate::testing::evaluation::TierSummary;
use std::collections::{BTreeMap, BTreeSet};

/// The maximum number of further runs of a case with a different result.
pub const MORE_RUNS: usize = 7;
const SHOWN: usize = 3;

/// A case in all that is compared of it.
type RunResult = (Outcome, u64);

fn came(result: &CaseResult) -> RunResult {
    (result.outcome, result.score.to_bits())
}

/// The cases of one tier, with their new results.
#[derive(Debug)]
pub struct Again {
    recorded: BTreeMap<String, CaseResult>,
    now: BTreeMap<String, CaseResult>,
    /// Those that differ from the record and are not known to vary.
    open: BTreeSet<String>,
    flaky: BTreeSet<String>,
}

impl Again {
    pub fn new(recorded: &[CaseResult], now: &[CaseResult]) -> Self {
        let by_id = |results: &[CaseResult]| {
            results.iter().map(|result| (result.id.clone(), result.clone())).collect()
        };
        let (recorded, now): (BTreeMap<String, CaseResult>, BTreeMap<String, CaseResult>) =
            (by_id(recorded), by_id(now));
        let ids: BTreeSet<&String> = recorded.keys().chain(now.keys()).collect();
        let differs = |id: &&String| recorded.get(*id).map(came) != now.get(*id).map(came);
        let is_flaky = |id: &&String| {
            [&recorded, &now].iter().any(|results| {
                results.get(*id).and_then(|result| result.runs).is_some_and(Runs::is_flaky)
            })
        };
        let (flaky, open): (BTreeSet<&String>, _) =
            ids.into_iter().filter(differs).partition(|id| is_flaky(id));
        let owned = |ids: BTreeSet<&String>| ids.into_iter().cloned().collect();
        let (flaky, open) = (owned(flaky), owned(open));
        Self { recorded, now, open, flaky }
    }

    /// The cases to be run once more; those that only one side has cannot be.
    pub fn open(&self) -> BTreeSet<String> {
        self.open
            .iter()
            .filter(|id| self.now.contains_key(*id) && self.recorded.contains_key(*id))
            .cloned()
            .collect()
    }

    /// Adds the results of a further run of those.
    pub fn take(&mut self, results: &[CaseResult]) {
        for result in results {
            if self.now.get(&result.id).is_some_and(|first| came(first) != came(result))
                && self.open.remove(&result.id)
            {
                self.flaky.insert(result.id.clone());
            }
        }
    }

    /// The comparison of the runs with a recorded tier; `tier` names it.
    pub fn finding(&self, tier: &str, recorded: &TierSummary, now: &TierSummary) -> Finding {
        let cases = self.recorded.len();
        if !self.open.is_empty() {
            let more = self.open.len().saturating_sub(SHOWN);
            let shown: Vec<_> = self.open.iter().take(SHOWN).map(|id| self.shown(id)).collect();
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            return wrong(format!(
                "run again, {} of {cases} cases of {tier} have different results: {}{more}",
                self.open.len(),
                shown.join("; ")
            ));
        }
        let flaky: Vec<_> = self.flaky.iter().map(|id| format!("`{id}`")).collect();
        let flaky = if flaky.is_empty() {
            String::new()
        } else {
            format!("; not always the same: {}", flaky.join(", "))
        };
        let same = cases - self.flaky.len();
        ok(format!(
            "run again, {same} of {cases} cases of {tier} have the same result; p95 {:.1} ms then, \
            {:.1} ms now{flaky}",
            recorded.p95_ms, now.p95_ms
        ))
    }

    fn shown(&self, id: &str) -> String {
        let shown = |result: Option<&CaseResult>| match result {
            None => "no result".to_owned(),
            Some(result) => {
                let outcome = match result.outcome {
                    Outcome::Passed => "passed",
                    Outcome::Failed => "failed",
                    Outcome::Errored => "errored",
                };
                format!("{outcome} with {}", result.score)
            }
        };
        format!(
            "`{id}` {} on record, {} now",
            shown(self.recorded.get(id)),
            shown(self.now.get(id))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::budget::Budget;
    use crate::testing::evaluation::TierFold;

    fn result(id: &str, score: f64) -> CaseResult {
        let outcome = if score < 1.0 { Outcome::Failed } else { Outcome::Passed };
        CaseResult { outcome, score, ..CaseResult::passed(id) }
    }

    #[track_caller]
    fn check(again: &Again, expected: &str) {
        let summary = TierFold::default().summary(Budget::default());
        assert_eq!(again.finding("micro", &summary, &summary).1, expected);
    }

    #[test]
    fn equal_results_are_ok_at_any_duration() {
        let slow = CaseResult { ms: 900.0, ..result("a", 1.0) };
        let again = Again::new(&[result("a", 1.0)], &[slow]);
        assert!(again.open().is_empty());
        check(
            &again,
            "run again, 1 of 1 cases of micro have the same result; p95 0.0 ms then, 0.0 ms now",
        );
    }

    #[test]
    fn consistently_different_results_are_wrong() {
        let recorded = [result("a", 1.0), result("b", 1.0), result("c", 1.0)];
        let mut again = Again::new(&recorded, &[result("a", 1.0), result("b", 0.25)]);
        assert_eq!(again.open(), BTreeSet::from(["b".to_owned()]));
        again.take(&[result("b", 0.25)]);
        check(
            &again,
            "run again, 2 of 3 cases of micro have different results: `b` passed with 1 on record, \
            failed with 0.25 now; `c` passed with 1 on record, no result now",
        );
    }

    #[test]
    fn alternating_results_are_flaky() {
        let mut again = Again::new(
            &[result("a", 1.0), result("b", 1.0)],
            &[result("a", 0.5), result("b", 1.0)],
        );
        again.take(&[result("a", 0.5)]);
        assert_eq!(again.open().len(), 1);
        again.take(&[result("a", 1.0)]);
        check(
            &again,
            "run again, 1 of 2 cases of micro have the same result; p95 0.0 ms then, 0.0 ms now; \
                not \
            always the same: `a`",
        );
        // a repeated case that passes in some of its runs is known to be
        let repeated = CaseResult { runs: Some(Runs { count: 4, passed: 2 }), ..result("a", 0.5) };
        assert!(Again::new(&[repeated], &[result("a", 0.25)]).open().is_empty());
    }
}
