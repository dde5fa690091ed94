//! Repeated cases: how often they pass, and the estimated probability of passing every time.

use crate::testing::case_result::{CaseResult, Outcome, Runs};
use std::collections::BTreeSet;

/// The allowed numbers of repetitions of a case.
pub const MOST: u32 = 100;

/// One result of the runs of a case, in their order: passed only when each of them is, its score
/// and time their mean.
///
/// # Panics
/// Without any run.
pub fn join(runs: Vec<CaseResult>) -> CaseResult {
    let count = runs.len();
    let passed = runs.iter().filter(|run| run.outcome == Outcome::Passed).count();
    let mean = |of: fn(&CaseResult) -> f64| runs.iter().map(of).sum::<f64>() / count as f64;
    let (score, ms) = (mean(|run| run.score), mean(|run| run.ms));
    let cost_usd = runs.iter().filter_map(|run| run.cost_usd).reduce(|sum, cost| sum + cost);
    let outcome = runs.iter().map(|run| run.outcome).max().expect("a case is run at least once");
    let not_passed = runs.iter().enumerate().find(|(_, run)| run.outcome != Outcome::Passed);
    let why = not_passed.map(|(number, run)| {
        let why = run.why.as_deref().unwrap_or("no reason was given");
        format!("run {} of {count}: {why}", number + 1)
    });
    let shown = not_passed.and_then(|(_, run)| run.shown.clone());
    let reads: BTreeSet<_> =
        runs.iter().filter_map(|run| run.reads.as_ref()).flatten().cloned().collect();
    let reads = runs.iter().any(|run| run.reads.is_some()).then(|| reads.into_iter().collect());
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let first = runs.into_iter().next().expect("a case is run at least once");
    CaseResult {
        outcome,
        score,
        ms,
        why,
        shown,
        reads,
        cost_usd,
        runs: Some(Runs { count: number(count), passed: number(passed) }),
        ..first
    }
}

/// pass^k for k = 1, 2, ... up to the fewest runs of a case; `None` when no case was repeated.
///
/// The probability that a case passes k times in a row, estimated without bias from n runs of which
/// c passed as C(c,k)/C(n,k) (Chen et al. 2021, arXiv:2107.03374, for one success in k; Yao et al.
/// 2024, arXiv:2406.12045, for k successes), averaged over the repeated cases. A case whose runs
/// did not complete counts as one that never passes.
pub fn pass_hat_k<'a>(results: impl Iterator<Item = &'a CaseResult>) -> Option<Vec<f64>> {
    let repeated: Vec<_> =
        results.filter_map(|result| Some((result.runs?, result.outcome))).collect();
    let whole: Vec<Runs> = repeated
        .iter()
        .filter(|(_, outcome)| *outcome != Outcome::Errored)
        .map(|(runs, _)| *runs)
        .collect();
    if repeated.is_empty() {
        return None;
    }
    let fewest = whole.iter().map(|runs| runs.count).min().unwrap_or(1);
    // summed from a zero that has no sign, as an empty `sum` has
    let sum = |k| whole.iter().fold(0.0, |sum, runs| sum + all_passed(*runs, k));
    Some((1..=fewest).map(|k| sum(k) / repeated.len() as f64).collect())
}

/// The probability that `k` runs drawn from these all passed: C(passed, k) / C(count, k).
fn all_passed(runs: Runs, k: u32) -> f64 {
    (0..k)
        .map(|drawn| f64::from(runs.passed.saturating_sub(drawn)) / f64::from(runs.count - drawn))
        .product()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(outcome: Outcome, score: f64, why: Option<&str>) -> CaseResult {
        CaseResult { outcome, score, why: why.map(str::to_owned), ..CaseResult::passed("a") }
    }

    fn repeated(count: u32, passed: u32) -> CaseResult {
        CaseResult { runs: Some(Runs { count, passed }), ..CaseResult::passed("a") }
    }

    #[test]
    fn a_case_passes_when_each_run_does() {
        let passed = CaseResult {
            ms: 3.0,
            cost_usd: Some(0.25),
            reads: Some(vec!["b".to_owned()]),
            ..CaseResult::passed("a")
        };
        let failed = CaseResult {
            ms: 1.0,
            reads: Some(vec!["a".to_owned()]),
            ..run(Outcome::Failed, 0.5, Some("no"))
        };
        let all = join(vec![passed.clone(), passed.clone()]);
        assert_eq!(
            (all.outcome, all.runs, all.why),
            (Outcome::Passed, Some(Runs { count: 2, passed: 2 }), None)
        );
        let some = join(vec![passed.clone(), failed, passed]);
        assert_eq!((some.outcome, some.runs.unwrap().is_flaky()), (Outcome::Failed, true));
        assert_eq!(some.why.as_deref(), Some("run 2 of 3: no"));
        assert_eq!((some.score, some.ms, some.cost_usd), (2.5 / 3.0, 7.0 / 3.0, Some(0.5)));
        assert_eq!(some.reads.unwrap(), ["a", "b"]);
        let errored = join(vec![
            run(Outcome::Failed, 0.0, Some("no")),
            run(Outcome::Errored, 0.0, Some("it died")),
        ]);
        assert_eq!((errored.outcome, errored.runs.unwrap().is_flaky()), (Outcome::Errored, false));
    }

    #[test]
    fn passing_every_time_is_rarer_than_passing() {
        assert_eq!(pass_hat_k([CaseResult::passed("a")].iter()), None);
        // C(3,k)/C(4,k) = 3/4, 3/6, 1/4, 0/1 and always 1
        assert_eq!(
            pass_hat_k([repeated(4, 3), repeated(5, 5)].iter()),
            Some(vec![0.875, 0.75, 0.625, 0.5])
        );
        let broken = CaseResult { outcome: Outcome::Errored, ..repeated(1, 0) };
        assert_eq!(pass_hat_k([repeated(2, 2), broken.clone()].iter()), Some(vec![0.5, 0.5]));
        assert!(pass_hat_k([broken].iter()).unwrap()[0].is_sign_positive());
    }
}
