//! The figures of an evaluation, folded again from the stored results, case by case.

use crate::formats::manifest::Tier;
use crate::formats::object_id::digest;
use crate::testing::budget::Budget;
use crate::testing::case_result::{CaseResult, Outcome};
use crate::testing::definitions::Definitions;
use crate::testing::evaluation::{TierFold, TierSummary, Verdict};
use crate::testing::event::Event;
use std::collections::BTreeMap;

/// Stored results of one tier.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// Digest of the stored bytes.
    pub digest: String,
    /// What the lines add up to, or why they are no results of a tier.
    pub fold: Result<TierFold, String>,
}

/// What judges one tier, as a commit's tree has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    pub definitions: Definitions,
    pub budget: Budget,
    /// Each case with the part of its result that its definition fixes: index, weight, tags and so
    /// on; as if it had passed.
    pub cases: BTreeMap<String, CaseResult>,
}

impl Results {
    pub fn of(tier: Tier, bytes: &[u8]) -> Self {
        Self { digest: digest(bytes), fold: fold(tier, bytes) }
    }
}

/// A line for each case, by id, as they are written.
fn fold(tier: Tier, bytes: &[u8]) -> Result<TierFold, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut fold = TierFold::default();
    let mut last: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        let wrong = |problem: String| Err(format!("line {}: {problem}", number + 1));
        let result = match Event::from_line(line) {
            Some(Event::CaseFinished { tier: its, result }) if its == tier => result,
            _ => return wrong(format!("it is not a result of a case of {tier}")),
        };
        if let Some(problem) = impossible(&result) {
            return wrong(format!("`{}` {problem}", result.id));
        }
        if last.as_ref().is_some_and(|last| *last >= result.id) {
            return wrong(format!("`{}` is out of order, or appears there twice", result.id));
        }
        last = Some(result.id.clone());
        fold.take(Event::CaseFinished { tier, result });
    }
    Ok(fold)
}

/// A figure that no run can have.
fn impossible(result: &CaseResult) -> Option<&'static str> {
    let runs = result.runs;
    match () {
        () if !(0.0..=1.0).contains(&result.score) => Some("has a score outside of 0 to 1"),
        () if !(result.weight.is_finite() && result.weight >= 0.0) => Some("has an invalid weight"),
        () if !(result.ms.is_finite() && result.ms >= 0.0) => Some("has an invalid time"),
        () if result.outcome == Outcome::Errored && result.score > 0.0 => {
            Some("could not be judged, and has a score")
        }
        () if runs.is_some_and(|runs| runs.passed > runs.count) => {
            Some("passed more often than it was run")
        }
        () if runs.is_some_and(|runs| {
            (runs.passed == runs.count) != (result.outcome == Outcome::Passed)
        }) =>
        {
            Some("has another outcome than its runs")
        }
        () => None,
    }
}

/// The mismatch between a summary and these results under this budget; `None` when they add up to
/// it.
pub fn differs(summary: &TierSummary, fold: &TierFold, budget: Budget) -> Option<String> {
    let mut whole = fold.clone();
    // what took time and what was known before is in no line
    whole.take(Event::TierFinished { tier: Tier::Micro, wall_s: summary.wall_s });
    let again = whole.summary(budget);
    let figure =
        |name: &str, recorded: &dyn std::fmt::Display, recomputed: &dyn std::fmt::Display| {
            Some(format!("{name} is {recorded} on record, its results add up to {recomputed}"))
        };
    let counts = [
        ("cases", summary.cases, again.cases),
        ("passed", summary.passed, again.passed),
        ("failed", summary.failed, again.failed),
        ("errored", summary.errored, again.errored),
        ("quarantined", summary.quarantined, again.quarantined),
        ("missing", summary.missing, again.missing),
    ];
    if let Some((name, recorded, recomputed)) =
        counts.into_iter().find(|(_, recorded, recomputed)| recorded != recomputed)
    {
        return figure(name, &recorded, &recomputed);
    }
    let measures = [
        ("score", summary.score, again.score),
        ("p50_ms", summary.p50_ms, again.p50_ms),
        ("p95_ms", summary.p95_ms, again.p95_ms),
    ];
    if let Some((name, recorded, recomputed)) =
        measures.into_iter().find(|(_, recorded, recomputed)| !close(*recorded, *recomputed))
    {
        return figure(name, &recorded, &recomputed);
    }
    if summary.budget != budget {
        return Some(
            "it was judged by another budget than ci/budgets.json of the commit that judges"
                .to_owned(),
        );
    }
    // errors did not always fail a tier
    let passed_over_errors =
        summary.verdict == Verdict::Pass && again.errored > 0 && again.reasons.len() == 1;
    if summary.verdict != again.verdict && !passed_over_errors {
        let why = again.reasons.first().map(|why| format!(" ({why})")).unwrap_or_default();
        return Some(format!(
            "its verdict is {} on record, its results give {}{why}",
            summary.verdict.as_str(),
            again.verdict.as_str()
        ));
    }
    remaining(summary, &again)
}

/// The members that few tiers have.
fn remaining(summary: &TierSummary, again: &TierSummary) -> Option<String> {
    let heldout = match (&summary.heldout, &again.heldout) {
        (None, None) => true,
        (Some(recorded), Some(recomputed)) => {
            (recorded.cases, recorded.passed) == (recomputed.cases, recomputed.passed)
                && close(recorded.score, recomputed.score)
        }
        _ => false,
    };
    let both = |recorded: Option<f64>, recomputed: Option<f64>| match (recorded, recomputed) {
        (Some(recorded), Some(recomputed)) => close(recorded, recomputed),
        (recorded, recomputed) => recorded == recomputed,
    };
    let repeated = match (&summary.pass_hat_k, &again.pass_hat_k) {
        (Some(recorded), Some(recomputed)) => {
            recorded.len() == recomputed.len()
                && recorded
                    .iter()
                    .zip(recomputed)
                    .all(|(recorded, recomputed)| close(*recorded, *recomputed))
        }
        (recorded, recomputed) => recorded == recomputed,
    };
    let wrong = match () {
        () if !heldout => "the held-out cases",
        () if !repeated => "pass^k",
        () if !both(summary.cost_usd, again.cost_usd) => "the cost",
        () if summary.quarantined_until != again.quarantined_until => "the end of the quarantine",
        // cases are flaky by their history as well, and none of the lines has that
        () if summary.flaky < again.flaky || summary.flaky > summary.cases => {
            "the number of flaky cases"
        }
        () if summary.cached > summary.cases => "the number of cases that were known",
        () if !(summary.wall_s.is_finite() && summary.wall_s >= 0.0) => "the wall time",
        () => return None,
    };
    Some(format!("its results do not add up to {wrong} on record"))
}

/// The mismatch between results and cases; `None` when there is one result per case, consistent
/// with its definition.
pub fn of_other_cases(fold: &TierFold, judge: &Judge) -> Option<String> {
    for result in fold.results() {
        let Some(defined) = judge.cases.get(&result.id) else {
            return Some(format!("`{}` is not a case of the tier", result.id));
        };
        if let Some(what) = otherwise(result, defined) {
            return Some(format!("`{}` has another {what} than its definition", result.id));
        }
    }
    let finished: std::collections::BTreeSet<_> =
        fold.results().map(|result| result.id.as_str()).collect();
    let absent = judge.cases.keys().find(|id| !finished.contains(id.as_str()))?;
    Some(format!("there is no result of `{absent}`"))
}

fn otherwise(result: &CaseResult, defined: &CaseResult) -> Option<&'static str> {
    // fewer runs only where the child crashed or hung in the last of them
    let runs = match (result.runs, defined.runs) {
        (Some(made), Some(wanted)) => {
            made.count == wanted.count
                || (made.count < wanted.count && result.outcome == Outcome::Errored)
        }
        (made, wanted) => made.is_none() == wanted.is_none(),
    };
    match () {
        () if result.weight.to_bits() != defined.weight.to_bits() => Some("weight"),
        () if result.must != defined.must => Some("`must`"),
        () if result.place != defined.place => Some("place"),
        () if result.tags != defined.tags => Some("list of tags"),
        () if result.quarantine != defined.quarantine => Some("quarantine"),
        () if result.quarantined && result.quarantine.is_none() => Some("quarantine"),
        () if !runs => Some("number of runs"),
        () => None,
    }
}

/// Equal but for what another machine's rounding makes of it.
pub fn close(one: f64, other: f64) -> bool {
    const RELATIVE: f64 = 1e-9;
    one.to_bits() == other.to_bits() || (one - other).abs() <= RELATIVE * one.abs().max(other.abs())
}

/// Why a tier is not evidence: no cases were run, or it did not pass.
pub fn evaluation_defect(summary: &TierSummary) -> Option<String> {
    match () {
        () if summary.verdict != Verdict::Pass => {
            Some(format!("has the verdict {}", summary.verdict.as_str()))
        }
        () if summary.cases == 0 => Some("has no case".to_owned()),
        () => None,
    }
}
