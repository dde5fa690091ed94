//! Trials of a change: a tier on it, beside the same tier on the version that is served.

use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::run_report::TrialReport;
use crate::target::Target;
use crate::target::evaluators::Evaluators as Judges;
use crate::testing::cases;
use crate::testing::{self, Request, TierFailure};
use crate::versions::evaluators;
use agent_core::architect::brief::FailingCase;
use agent_core::architect::run::Trial;
use agent_core::formats::manifest::{GateMode, Gated, Tier};
use agent_core::gate::{self, GateVerdict, Question};
use agent_core::statistics::mcnemar::sign_test;
use agent_core::testing::case_result::{CaseResult, Outcome, is_held_out};
use agent_core::testing::evaluation::{TierSummary, Verdict};
use agent_core::testing::grouping;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The tiers whose failing cases are in a coder's brief.
const BRIEFED_TIERS: [Tier; 2] = [Tier::Micro, Tier::Fast];
/// A loss of more than this in mean score fails the trial, however few the cases.
const LARGE_LOSS: f64 = 0.1;
/// A Runner that got held-out questions may repeat them in later answers: a coder does not see its
/// output from such a tier.
const OUTPUT_WITHHELD: &str =
    "the Runner failed; its output is withheld, since the tier has held-out cases";
/// The number of reasons whose worse cases are named; the cases of other reasons are counted.
const WORSE_SHOWN: usize = 8;

struct Measured {
    summary: TierSummary,
    results: Vec<CaseResult>,
}

impl Measured {
    fn has_held_out(&self) -> bool {
        self.results.iter().any(CaseResult::is_held_out)
    }
}

/// The served version, tier by tier, each run on first use.
pub struct Baseline<'a> {
    active: &'a Target,
    repository: &'a Repository,
    measured: BTreeMap<Tier, Measured>,
}

impl<'a> Baseline<'a> {
    pub fn new(active: &'a Target, repository: &'a Repository) -> Self {
        Self { active, repository, measured: BTreeMap::new() }
    }

    fn of(&mut self, tier: Tier) -> Result<&Measured, Failure> {
        if !self.measured.contains_key(&tier) {
            let judges = evaluators::judging(self.repository, self.active)?;
            let measured = measure(self.active, &judges, tier, self.repository)?;
            self.measured.insert(tier, measured);
        }
        Ok(&self.measured[&tier])
    }

    /// The failing cases except held-out ones, the worst first, including cases that do not judge
    /// yet.
    pub fn failing(&self) -> Result<Vec<FailingCase>, Failure> {
        let mut failing = Vec::new();
        for tier in BRIEFED_TIERS {
            let own = self.active.own_evaluators();
            let written = written_cases(&own, tier, self.repository)?;
            let measured = measure(self.active, &own, tier, self.repository)?;
            let tells = !measured.has_held_out();
            let results = measured
                .results
                .into_iter()
                .filter(|result| result.outcome != Outcome::Passed && !result.quarantined);
            failing.extend(
                results.filter_map(|result| {
                    failing_case(tier, &result, written.get(&result.id)?, tells)
                }),
            );
        }
        failing.sort_by(|one, other| one.score.total_cmp(&other.score));
        Ok(failing)
    }
}

fn failing_case(
    tier: Tier,
    result: &CaseResult,
    (place, case): &(String, serde_json::Value),
    tells: bool,
) -> Option<FailingCase> {
    let why = result.why.clone().filter(|_| tells).unwrap_or_default();
    let case = FailingCase {
        id: result.id.clone(),
        tier,
        place: place.clone(),
        case: case.clone(),
        score: result.score,
        why,
    };
    (!is_held_out(place)).then_some(case)
}

type Written = (String, serde_json::Value);

/// Place and content of each case of a tier, by id.
fn written_cases(
    evaluators: &Judges,
    tier: Tier,
    repository: &Repository,
) -> Result<BTreeMap<String, Written>, Failure> {
    let cases = cases::load(&evaluators.files(&repository.git)?, tier)?.cases.list;
    Ok(cases
        .into_iter()
        .map(|case| {
            let turns: Vec<_> = (0..case.steps.len()).map(|step| case.written(step)).collect();
            let written = json!({"id": case.id, "tags": case.tags, "turns": turns});
            (case.id, (case.place, written))
        })
        .collect())
}

fn measure(
    target: &Target,
    evaluators: &Judges,
    tier: Tier,
    repository: &Repository,
) -> Result<Measured, TierFailure> {
    let outcome =
        testing::run_tier(repository, target, evaluators, &Request::evidence(tier), &mut |_| {})?;
    Ok(Measured { summary: outcome.summary.clone(), results: outcome.into_results() })
}

/// Runs a tier on a change, by what judges on top of the version that is served: what the change
/// brings judges nothing.
pub fn run(
    trial: Trial,
    change: &Target,
    baseline: &mut Baseline<'_>,
) -> Result<TrialReport, Failure> {
    let evaluators = evaluators::judging(baseline.repository, baseline.active)?;
    let has_held_out = baseline.of(trial.tier)?.has_held_out();
    let measured = match measure(change, &evaluators, trial.tier, baseline.repository) {
        Ok(measured) => measured,
        Err(TierFailure::Child(_)) if has_held_out => {
            return Ok(broken(trial, OUTPUT_WITHHELD.to_owned()));
        }
        Err(error) => return Ok(broken(trial, error.attributable_to_code()?.messages.join(": "))),
    };
    let asked = not_worse(&baseline.active.manifest.release);
    let before = baseline.of(trial.tier)?;
    let gate = gate::judge(asked, &before.results, &measured.results);
    let reasons = reasons(&measured, before, &gate);
    Ok(TrialReport {
        tier: trial.tier,
        evaluators: trial.evaluators,
        passed: reasons.is_empty(),
        score: gate.candidate_score,
        before: gate.baseline_score,
        cases: measured.summary.cases,
        helps: gate.shows_gain(),
        reasons,
    })
}

/// A change that cannot even be run, or whose state cannot be carried over, is a failed trial and
/// no failed command.
pub fn broken(trial: Trial, why: String) -> TrialReport {
    TrialReport {
        tier: trial.tier,
        evaluators: trial.evaluators,
        passed: false,
        score: 0.0,
        before: 0.0,
        cases: 0,
        helps: false,
        reasons: vec![why],
    }
}

/// Why the trial is not passed; a tier without cases does not fail it.
fn reasons(measured: &Measured, before: &Measured, gate: &GateVerdict) -> Vec<String> {
    let mut reasons = Vec::new();
    if measured.summary.verdict != Verdict::Pass && measured.summary.cases > 0 {
        reasons.extend(measured.summary.reasons.iter().cloned());
    }
    // failed must-pass cases are reported by the tier
    let is_said =
        measured.results.iter().any(|result| result.must && result.outcome != Outcome::Passed)
            && !reasons.is_empty();
    if is_clearly_worse(gate) && !is_said {
        reasons.extend(gate.reasons.iter().cloned());
    }
    if !reasons.is_empty() {
        reasons.extend(worse_cases(measured, before));
    }
    reasons
}

/// A case that must pass does not, or it is worse by more than a few cases that went the other way
/// could explain.
///
/// The release's gate is strict; this check only filters out changes that cannot pass it.
fn is_clearly_worse(gate: &GateVerdict) -> bool {
    let loss = gate.baseline_score - gate.candidate_score;
    gate.verdict == Verdict::Fail
        && (loss <= 0.0 || loss > LARGE_LOSS || sign_test(gate.worse, gate.better) <= gate.level)
}

/// The lenient requirement before the stricter one of the release.
fn not_worse(release: &Gated) -> Question {
    Question { mode: GateMode::NotWorse, ..release.into() }
}

/// The cases that are worse than before, those that are so for one reason together; held-out ones
/// are only counted.
fn worse_cases(measured: &Measured, before: &Measured) -> Vec<String> {
    let scores: BTreeMap<_, _> =
        before.results.iter().map(|result| (result.id.as_str(), result.score)).collect();
    let worse = measured
        .results
        .iter()
        .filter(|result| scores.get(result.id.as_str()).is_some_and(|score| result.score < *score));
    let (hidden, shown): (Vec<_>, Vec<_>) = worse.partition(|result| result.is_held_out());
    let tells = !measured.has_held_out();
    let reasons = grouping::by_key(shown, |result| result.why.as_deref().filter(|_| tells));
    let line = |(why, results): &(Option<&str>, Vec<&CaseResult>)| {
        let ids: Vec<_> =
            results.iter().map(|result| format!("{} ({:.2})", result.id, result.score)).collect();
        let ids = grouping::named(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        why.map_or_else(|| format!("worse: {ids}"), |why| format!("worse: {ids}: {why}"))
    };
    let uncounted = hidden.len()
        + reasons.iter().skip(WORSE_SHOWN).map(|(_, results)| results.len()).sum::<usize>();
    let more = (uncounted > 0).then(|| format!("and {uncounted} more"));
    reasons.iter().take(WORSE_SHOWN).map(line).chain(more).collect()
}

/// Whether a case that a change adds fails on the version that is served and passes with the
/// change.
pub fn added_case_helps(change: &Target, baseline: &Baseline<'_>) -> Result<bool, Failure> {
    let (repository, active) = (baseline.repository, baseline.active);
    let (old, new) = (active.own_evaluators(), change.own_evaluators());
    for tier in Tier::ALL {
        let known = written_cases(&old, tier, repository)?;
        let is_added = |result: &CaseResult| {
            !known.contains_key(&result.id) && result.weight > 0.0 && !result.quarantined
        };
        if written_cases(&new, tier, repository)?.keys().all(|id| known.contains_key(id)) {
            continue;
        }
        let passed = |target| -> Result<BTreeSet<String>, TierFailure> {
            let measured = measure(target, &new, tier, repository)?;
            let passed = measured
                .results
                .into_iter()
                .filter(|result| is_added(result) && result.outcome == Outcome::Passed);
            Ok(passed.map(|result| result.id).collect())
        };
        match (passed(change), passed(active)) {
            (Ok(after), Ok(before)) if !after.is_subset(&before) => return Ok(true),
            (after, before) => {
                for error in [after.err(), before.err()].into_iter().flatten() {
                    error.attributable_to_code()?;
                }
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::testing::evaluation::TierFold;
    use agent_core::testing::event::Event;

    fn measured(results: &[(&str, f64, &str)]) -> Measured {
        let result = |(id, score, place): &(&str, f64, &str)| CaseResult {
            score: *score,
            place: Some((*place).to_owned()),
            outcome: if *score < 1.0 { Outcome::Failed } else { Outcome::Passed },
            ..CaseResult::passed(*id)
        };
        let mut fold = TierFold::default();
        for result in results.iter().map(result) {
            fold.add(&Event::CaseFinished { tier: Tier::Fast, result });
        }
        let summary = fold.summary(agent_core::testing::budget::Budget {
            pass_rate: Some(0.0),
            ..Default::default()
        });
        Measured { summary, results: fold.into_results() }
    }

    fn check(before: &[(&str, f64, &str)], after: &[(&str, f64, &str)], expected: &[&str]) {
        let (before, after) = (measured(before), measured(after));
        let gate = gate::judge(not_worse(&Gated::release()), &before.results, &after.results);
        let found = reasons(&after, &before, &gate);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} is not {expected}");
        }
    }

    #[test]
    fn regression_report_names_cases_but_never_held_out_ones() {
        let (a, b) = ("tests/full/a.jsonl:1", "tests/full/heldout/b.jsonl:1");
        check(&[("a", 1.0, a), ("b", 1.0, b)], &[("a", 1.0, a), ("b", 1.0, b)], &[]);
        // a gain in visible cases does not compensate for a loss in held-out ones
        check(
            &[("a", 0.0, a), ("b", 1.0, b)],
            &[("a", 1.0, a), ("b", 0.5, b)],
            &["the mean score fell: score", "and 1 more"],
        );
        check(&[("a", 1.0, a), ("b", 0.5, b)], &[("a", 0.0, a), ("b", 1.0, b)], &[]);
        check(
            &[("a", 1.0, a), ("b", 1.0, b)],
            &[("a", 0.0, a), ("b", 0.0, b)],
            &["the mean score fell: score", "worse: a (0.00)", "and 1 more"],
        );
    }

    #[test]
    fn runner_output_is_withheld_when_cases_are_held_out() {
        let explained = |other: &str| {
            let mut after = measured(&[("a", 0.0, "tests/fast/a.jsonl:1"), ("b", 1.0, other)]);
            after.results[0].why = Some("it said: what was asked elsewhere".to_owned());
            worse_cases(&after, &measured(&[("a", 1.0, "tests/fast/a.jsonl:1"), ("b", 1.0, other)]))
        };
        assert_eq!(
            explained("tests/fast/b.jsonl:1"),
            ["worse: a (0.00): it said: what was asked elsewhere"]
        );
        assert_eq!(explained("tests/fast/heldout/b.jsonl:1"), ["worse: a (0.00)"]);
    }

    #[test]
    fn equal_reasons_are_reported_once() {
        let results = |score: f64| {
            [
                ("a", score, "t/a:1"),
                ("b", score, "t/a:2"),
                ("c", score, "t/a:3"),
                ("d", 1.0, "t/a:4"),
            ]
        };
        let mut after = measured(&results(0.0));
        for result in after.results.iter_mut().take(3) {
            result.must = result.id == "a";
            result.why =
                Some(if result.id == "b" { "it is slow" } else { "the index is gone" }.to_owned());
        }
        after.summary.verdict = Verdict::Fail;
        after.summary.reasons = vec!["1 case that must pass did not: a".to_owned()];
        let before = measured(&results(1.0));
        let gate = gate::judge(not_worse(&Gated::release()), &before.results, &after.results);
        let expected = [
            "1 case that must pass did not: a",
            "worse: 2 cases: a (0.00), c (0.00): the index is gone",
            "worse: b (0.00): it is slow",
        ];
        assert_eq!(reasons(&after, &before, &gate), expected);
    }

    #[test]
    fn small_regressions_are_left_to_the_release_gate() {
        let cases = |scores: [f64; 20]| scores.map(|score| (score, "tests/fast/a.jsonl:1"));
        let named = |cases: [(f64, &'static str); 20]| -> Vec<(String, f64, &'static str)> {
            cases
                .iter()
                .enumerate()
                .map(|(number, (score, place))| (format!("c-{number:02}"), *score, *place))
                .collect()
        };
        let judged = |after: [f64; 20]| {
            let (before, after) = (named(cases([0.5; 20])), named(cases(after)));
            let measured_of = |list: &[(String, f64, &'static str)]| {
                measured(
                    &list
                        .iter()
                        .map(|(id, score, place)| (id.as_str(), *score, *place))
                        .collect::<Vec<_>>(),
                )
            };
            let (before, after) = (measured_of(&before), measured_of(&after));
            let gate = gate::judge(not_worse(&Gated::release()), &before.results, &after.results);
            reasons(&after, &before, &gate).is_empty()
        };
        let mut mixed = [0.5; 20];
        (mixed[0], mixed[1], mixed[2]) = (0.4, 0.4, 0.6);
        assert!(judged(mixed), "two worse, one better");
        assert!(!judged([0.45; 20]), "every case a little worse");
    }
}
