//! The summary of a tier run's results, and the evaluation that a version's commit names by digest.

use crate::formats::canonical;
use crate::formats::count::counted;
use crate::formats::diagnose::FailureKind;
use crate::formats::manifest::Tier;
use crate::formats::object_id::digest;
use crate::testing::budget::Budget;
use crate::testing::case_result::{CaseResult, Outcome, Runs};
use crate::testing::definitions::Definitions;
use crate::testing::event::Event;
use crate::testing::repetition::pass_hat_k;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

pub const SCHEMA: &str = "agent/eval@1";

/// The verdict of a tier run; ordered, so that the worst of several wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Pass,
    NotEnoughEvidence,
    Fail,
}

impl Verdict {
    /// The verdict over both: the worse one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NotEnoughEvidence => "not enough evidence",
            Self::Fail => "fail",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TierSummary {
    /// Those that count: all that were run but the ones in quarantine.
    pub cases: usize,
    pub passed: usize,
    pub failed: usize,
    pub errored: usize,
    /// Passed in some of their runs only, now or by their history.
    pub flaky: usize,
    pub cached: usize,
    /// Run and shown, and counted in none of the other numbers but the cost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quarantined: usize,
    /// The first day on which one of those counts again: the summary holds until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined_until: Option<String>,
    /// Cases that were never started.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: usize,
    /// Weighted mean, from 0 to 1.
    pub score: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub wall_s: f64,
    pub budget: Budget,
    pub verdict: Verdict,
    /// Why it is not a pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Digest of the stored results, case by case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<String>,
    /// The held-out cases: neither the Tuner nor a Coder sees them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heldout: Option<HeldOut>,
    /// Of the repeated cases: how likely k runs in a row pass, for k = 1, 2, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_hat_k: Option<Vec<f64>>,
    /// The cost of all calls, where the Runner reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requires a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The held-out cases of a tier: those below its folder `heldout/`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    pub cases: usize,
    pub passed: usize,
    /// Weighted mean, from 0 to 1.
    pub score: f64,
}

impl HeldOut {
    fn of(results: &[&CaseResult]) -> Option<Self> {
        let passed = results.iter().filter(|result| result.outcome == Outcome::Passed).count();
        let score = mean_score(results.iter().copied());
        (!results.is_empty()).then_some(Self { cases: results.len(), passed, score })
    }
}

/// A fold over the events of a tier: any order, any split into shards and any repeat of events
/// gives the same.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TierFold {
    results: BTreeMap<String, CaseResult>,
    expected: usize,
    wall_s: f64,
    /// Known to be flaky from earlier runs.
    flaky: BTreeSet<String>,
    /// Why it was ended before all cases were run.
    stops: BTreeSet<String>,
}

impl TierFold {
    pub fn add(&mut self, event: &Event) {
        self.take(event.clone());
    }

    pub fn take(&mut self, event: Event) {
        match event {
            Event::PartStarted(head) => self.expect(head.cases),
            Event::TierStarted { cases, .. } => self.expect(cases),
            Event::TierFinished { wall_s, .. } => self.wall_s = self.wall_s.max(wall_s),
            Event::TierStopped { why, .. } => {
                self.stops.insert(why);
            }
            Event::KnownFlaky { ids, .. } => self.flaky_by_history(ids),
            Event::CaseFinished { result, .. } => self.add_result(result),
        }
    }

    /// There are as many cases, at least.
    fn expect(&mut self, cases: usize) {
        self.expected = self.expected.max(cases);
    }

    /// How many cases have no result.
    pub fn missing(&self) -> usize {
        self.expected.saturating_sub(self.results.len())
    }

    /// Cases that passed at one time and failed at another with nothing changed between: the
    /// summary counts them as flaky.
    pub fn flaky_by_history(&mut self, ids: impl IntoIterator<Item = String>) {
        self.flaky.extend(ids);
    }

    /// Of two results for one case the worse one stays, so that the order does not matter.
    fn add_result(&mut self, result: CaseResult) {
        match self.results.entry(result.id.clone()) {
            Entry::Vacant(free) => {
                free.insert(result);
            }
            Entry::Occupied(mut there) => {
                if rank(&result) > rank(there.get()) {
                    there.insert(result);
                }
            }
        }
    }

    pub fn join(&mut self, other: Self) {
        self.expected = self.expected.max(other.expected);
        self.wall_s = self.wall_s.max(other.wall_s);
        self.flaky.extend(other.flaky);
        self.stops.extend(other.stops);
        if self.results.is_empty() {
            self.results = other.results;
        } else {
            other.results.into_values().for_each(|result| self.add_result(result));
        }
    }

    /// By case id.
    pub fn results(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.values()
    }

    /// From stored lines; lines that are not events are ignored.
    pub fn of_lines(lines: &str) -> Self {
        let mut fold = Self::default();
        lines.lines().filter_map(Event::from_line).for_each(|event| fold.take(event));
        fold
    }

    pub fn into_results(self) -> Vec<CaseResult> {
        self.results.into_values().collect()
    }

    pub fn finished(&self) -> usize {
        self.results.len()
    }

    fn is_flaky(&self, result: &CaseResult) -> bool {
        result.runs.is_some_and(Runs::is_flaky) || self.flaky.contains(&result.id)
    }

    pub fn summary(&self, budget: Budget) -> TierSummary {
        // one walk over the tree: each further one of a large tier costs as much as all counts
        let (quarantined, counted): (Vec<_>, Vec<_>) =
            self.results().partition(|result| result.quarantined);
        let count = |is: &dyn Fn(&CaseResult) -> bool| {
            counted.iter().copied().filter(|result| is(result)).count()
        };
        let mut times: Vec<f64> = counted
            .iter()
            .filter(|result| result.outcome != Outcome::Errored)
            .map(|result| result.ms)
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        let held_out: Vec<_> =
            counted.iter().copied().filter(|result| result.is_held_out()).collect();
        let mut summary = TierSummary {
            cases: counted.len(),
            passed: count(&|result| result.outcome == Outcome::Passed),
            failed: count(&|result| result.outcome == Outcome::Failed),
            errored: count(&|result| result.outcome == Outcome::Errored),
            flaky: count(&|result| self.is_flaky(result)),
            cached: count(&|result| result.cached),
            quarantined: quarantined.len(),
            quarantined_until: quarantined
                .iter()
                .filter_map(|result| result.quarantine.as_ref())
                .map(|quarantine| quarantine.until.clone())
                .min(),
            missing: self.missing(),
            score: mean_score(counted.iter().copied()),
            p50_ms: percentile(&times, 50),
            p95_ms: percentile(&times, 95),
            wall_s: self.wall_s,
            budget,
            verdict: Verdict::Pass,
            reasons: Vec::new(),
            results: None,
            heldout: HeldOut::of(&held_out),
            pass_hat_k: pass_hat_k(counted.iter().copied()),
            cost_usd: self
                .results()
                .filter_map(|result| result.cost_usd)
                .reduce(|sum, cost| sum + cost),
        };
        (summary.verdict, summary.reasons) = self.verdict(&summary, &counted);
        summary
    }

    fn verdict(&self, summary: &TierSummary, results: &[&CaseResult]) -> (Verdict, Vec<String>) {
        let those = |is: &dyn Fn(&CaseResult) -> bool| -> Vec<&CaseResult> {
            results.iter().copied().filter(|result| is(result)).collect()
        };
        let mut reasons: Vec<String> = Vec::new();
        let musts = those(&|result| result.must && result.outcome != Outcome::Passed);
        if !musts.is_empty() {
            reasons.push(format!(
                "{} that must pass did not: {}",
                counted(musts.len(), "case"),
                named(&musts)
            ));
        }
        // a case that could not be judged fails its tier, whatever the budget: no pass rate says
        // anything about it
        let errored = those(&|result| result.outcome == Outcome::Errored);
        if !errored.is_empty() {
            reasons.push(format!(
                "{} could not be judged: {}",
                counted(errored.len(), "case"),
                named(&errored)
            ));
        }
        if summary.cases > 0 {
            reasons.extend(budget_breaches(summary));
        }
        if !reasons.is_empty() {
            reasons.extend(self.stops.iter().cloned());
            return (Verdict::Fail, reasons);
        }
        let lacking = self.lacking(summary);
        (if lacking.is_empty() { Verdict::Pass } else { Verdict::NotEnoughEvidence }, lacking)
    }

    /// Why this evidence is insufficient to pass.
    fn lacking(&self, summary: &TierSummary) -> Vec<String> {
        let mut lacking: Vec<_> = self.stops.iter().cloned().collect();
        if summary.missing > 0 {
            lacking.push(format!(
                "only {} of {} cases were run",
                self.results.len(),
                self.expected
            ));
        } else if summary.quarantined > 0 && summary.cases == 0 {
            lacking.push("all cases are in quarantine".to_owned());
        } else if summary.cases == 0 {
            lacking.push("there are no cases".to_owned());
        }
        lacking
    }
}

fn budget_breaches(summary: &TierSummary) -> Vec<String> {
    let budget = summary.budget;
    // what was not run could still pass, and have any score
    let whole = summary.missing == 0;
    let pass_rate =
        (summary.passed + summary.missing) as f64 / (summary.cases + summary.missing) as f64;
    // without a pass rate or score, every case has to pass
    let wanted_rate = budget.pass_rate.or(budget.score.is_none().then_some(1.0));
    let below = |what: &str, got: f64, least: Option<f64>| {
        least
            .filter(|least| got.is_nan() || got < *least)
            .map(|least| format!("{what} {got:.3} is below the budget of {least}"))
    };
    let above = |what: &str, unit: &str, got: f64, most: Option<f64>| {
        most.filter(|most| got.is_nan() || got > *most)
            .map(|most| format!("{what} {got:.3} {unit} is above the budget of {most} {unit}"))
    };
    [
        below("the pass rate", pass_rate, wanted_rate),
        below("the score", summary.score, budget.score.filter(|_| whole)),
        above("the 95th percentile of latency", "ms", summary.p95_ms, budget.p95_ms),
        above("the wall time", "s", summary.wall_s, budget.wall_s),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The first few by id; held-out ones are only counted, since a Coder may read it.
pub(crate) fn named(results: &[&CaseResult]) -> String {
    const SHOWN: usize = 5;
    let (hidden, open): (Vec<&CaseResult>, Vec<&CaseResult>) =
        results.iter().partition(|result| result.is_held_out());
    let shown = open.iter().take(SHOWN).map(|result| result.id.clone());
    let more = (open.len() > SHOWN).then(|| "...".to_owned());
    let hidden = (!hidden.is_empty()).then(|| format!("{} held-out", hidden.len()));
    shown.chain(more).chain(hidden).collect::<Vec<_>>().join(", ")
}

/// A total order on the results of one case: worse outcome, lower score, then anything that
/// decides.
fn rank(result: &CaseResult) -> (Outcome, std::cmp::Reverse<u64>, String, bool) {
    let score = std::cmp::Reverse(result.score.max(0.0).to_bits());
    (
        result.outcome,
        score,
        serde_json::to_string(result).expect("a result serialises"),
        !result.cached,
    )
}

/// The weighted mean; 0 of nothing.
pub fn mean_score<'a>(results: impl Iterator<Item = &'a CaseResult>) -> f64 {
    let (sum, weight) = results.fold((0.0, 0.0), |(sum, weight), result| {
        (sum + result.score * result.weight, weight + result.weight)
    });
    let mean = sum / weight;
    // weights that no case may have, of a part or a trace that was made elsewhere, are no mean at
    // all
    if mean.is_finite() { mean } else { 0.0 }
}

/// The cases of `judged` that a baseline has no result for, or another one than was recorded of it;
/// by id.
///
/// Only chance, time or a missing record explains a difference: the code, the state and the
/// evaluators are the same.
pub fn varying(
    recorded: Option<&[CaseResult]>,
    now: &[CaseResult],
    judged: &[CaseResult],
) -> Vec<String> {
    let by_id = |results: &[CaseResult]| -> BTreeMap<String, (Outcome, f64)> {
        results.iter().map(|result| (result.id.clone(), (result.outcome, result.score))).collect()
    };
    let (recorded, now) = (recorded.map(by_id), by_id(now));
    let varies = |id: &str| {
        let differs = recorded.as_ref().is_some_and(|recorded| {
            recorded.get(id).is_some_and(|recorded| now.get(id) != Some(recorded))
        });
        differs || !now.contains_key(id)
    };
    judged.iter().map(|result| &result.id).filter(|id| varies(id)).cloned().collect()
}

/// Nearest rank on sorted values; 0 of nothing.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    rank.checked_sub(1).and_then(|index| sorted.get(index)).copied().unwrap_or(0.0)
}

/// The document at `evals/{commit}/summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub schema: String,
    /// Absent while the commit it evaluates does not exist yet.
    pub commit: Option<String>,
    /// The git tree that was tested; absent for a working tree that is no commit's.
    pub tree: Option<String>,
    /// The Revision of the state that was served.
    pub state: Option<String>,
    pub tiers: BTreeMap<Tier, TierSummary>,
    /// Commits it was compared with under the same definitions.
    #[serde(default)]
    pub comparable_with: Vec<String>,
    #[serde(default)]
    pub definitions: Definitions,
}

impl Evaluation {
    pub fn new(tree: Option<String>, state: Option<String>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            commit: None,
            tree,
            state,
            tiers: BTreeMap::new(),
            comparable_with: Vec::new(),
            definitions: Definitions::default(),
        }
    }

    /// The digest a commit's trailer names: of the canonical document without `commit`, since it is
    /// made before the commit is.
    pub fn digest(&self) -> String {
        let without_commit = Self { commit: None, ..self.clone() };
        digest(canonical::to_compact(&without_commit.to_value()).as_bytes())
    }

    /// The same of a stored document, whatever members it has.
    pub fn digest_of_document(document: &Value) -> String {
        let mut without_commit = document.clone();
        without_commit["commit"] = Value::Null;
        digest(canonical::to_compact(&without_commit).as_bytes())
    }

    pub fn verdict(&self) -> Verdict {
        self.tiers.values().map(|tier| tier.verdict).fold(Verdict::Pass, Verdict::and)
    }

    /// Why a command with this `verdict` refuses.
    pub fn refusal(&self, verdict: Verdict) -> Option<Refusal> {
        match verdict {
            Verdict::Pass => None,
            Verdict::NotEnoughEvidence => Some(Refusal::NotEnoughEvidence),
            Verdict::Fail if self.failed_by_errors_alone() => Some(Refusal::ChildFailed),
            Verdict::Fail => Some(Refusal::Judged),
        }
    }

    fn failed_by_errors_alone(&self) -> bool {
        let mut failed =
            self.tiers.values().filter(|tier| tier.verdict == Verdict::Fail).peekable();
        failed.peek().is_some() && failed.all(|tier| tier.errored > 0 && tier.reasons.len() == 1)
    }

    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("an evaluation serialises")
    }

    /// The stored bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(&self.to_value())
    }

    /// Reads stored bytes; `None` when they are of another schema or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|evaluation| evaluation.schema == SCHEMA)
    }
}

/// Why what was measured is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Judged,
    NotEnoughEvidence,
    /// Errored cases are the only reason.
    ChildFailed,
}

impl Refusal {
    pub const fn kind(self) -> FailureKind {
        match self {
            Self::Judged => FailureKind::Refused,
            Self::NotEnoughEvidence => FailureKind::NotEnoughEvidence,
            Self::ChildFailed => FailureKind::Child,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::quarantine::Quarantine;
    use proptest::prelude::*;

    fn result(id: &str, outcome: Outcome, score: f64) -> CaseResult {
        CaseResult { outcome, score, ..CaseResult::passed(id) }
    }

    fn fold(results: &[CaseResult]) -> TierFold {
        let mut fold = TierFold::default();
        fold.add(&Event::TierStarted { tier: Tier::Micro, cases: results.len(), shards: 1 });
        for result in results {
            fold.add(&Event::CaseFinished { tier: Tier::Micro, result: result.clone() });
        }
        fold.add(&Event::TierFinished { tier: Tier::Micro, wall_s: 2.0 });
        fold
    }

    #[track_caller]
    fn check(results: &[CaseResult], budget: Budget, verdict: Verdict, reasons: &[&str]) {
        let summary = fold(results).summary(budget);
        assert_eq!(
            (summary.verdict, summary.reasons),
            (verdict, reasons.iter().map(ToString::to_string).collect())
        );
    }

    #[test]
    fn a_tier_is_judged_by_its_budget() {
        let [a, b] = [result("a", Outcome::Passed, 1.0), result("b", Outcome::Failed, 0.2)];
        let must = CaseResult { must: true, ..b.clone() };
        let lenient = Budget { pass_rate: Some(0.5), score: Some(0.6), ..Budget::default() };
        check(&[a.clone(), b.clone()], lenient, Verdict::Pass, &[]);
        check(
            &[a.clone(), b.clone()],
            Budget { score: Some(0.1), ..Budget::default() },
            Verdict::Pass,
            &[],
        );
        check(std::slice::from_ref(&a), Budget::default(), Verdict::Pass, &[]);
        check(&[], lenient, Verdict::NotEnoughEvidence, &["there are no cases"]);
        let hidden = CaseResult {
            id: "c".to_owned(),
            place: Some("tests/full/heldout/c.jsonl:1".to_owned()),
            ..must.clone()
        };
        check(
            &[a.clone(), hidden.clone()],
            lenient,
            Verdict::Fail,
            &["1 case that must pass did not: 1 held-out"],
        );
        let lax = Budget { pass_rate: Some(0.0), ..Budget::default() };
        check(
            &[must.clone(), hidden],
            lax,
            Verdict::Fail,
            &["2 cases that must pass did not: b, 1 held-out"],
        );
        check(&[a.clone(), must], lenient, Verdict::Fail, &["1 case that must pass did not: b"]);
        check(
            &[a.clone(), b.clone()],
            Budget::default(),
            Verdict::Fail,
            &["the pass rate 0.500 is below the budget of 1"],
        );
        let strict = Budget { score: Some(0.7), wall_s: Some(1.0), ..Budget::default() };
        check(
            &[a, b],
            strict,
            Verdict::Fail,
            &[
                "the score 0.600 is below the budget of 0.7",
                "the wall time 2.000 s is above the budget of 1 s",
            ],
        );
    }

    #[test]
    fn an_unfinished_tier_is_no_pass() {
        let mut fold = TierFold::default();
        fold.add(&Event::TierStarted { tier: Tier::Micro, cases: 2, shards: 1 });
        fold.add(&Event::CaseFinished { tier: Tier::Micro, result: CaseResult::passed("a") });
        let summary = fold.summary(Budget::default());
        assert_eq!(
            (summary.verdict, &summary.reasons[..]),
            (Verdict::NotEnoughEvidence, &["only 1 of 2 cases were run".to_owned()][..])
        );
    }

    #[test]
    fn stopped_tier_fails_only_when_the_rest_cannot_change_the_verdict() {
        let mut fold = fold(&[CaseResult::passed("a"), result("b", Outcome::Failed, 0.0)]);
        fold.add(&Event::TierStarted { tier: Tier::Micro, cases: 4, shards: 1 });
        fold.add(&Event::TierStopped { tier: Tier::Micro, why: "it was stopped".to_owned() });
        let half =
            fold.summary(Budget { pass_rate: Some(0.75), score: Some(0.9), ..Budget::default() });
        assert_eq!((half.verdict, half.missing), (Verdict::NotEnoughEvidence, 2));
        assert_eq!(half.reasons, ["it was stopped", "only 2 of 4 cases were run"]);
        let all = fold.summary(Budget::default());
        assert_eq!(
            (all.verdict, &all.reasons[..]),
            (
                Verdict::Fail,
                &[
                    "the pass rate 0.750 is below the budget of 1".to_owned(),
                    "it was stopped".to_owned()
                ][..]
            )
        );
    }

    #[test]
    fn quarantined_cases_count_only_toward_cost() {
        let quarantine =
            |until: &str| Quarantine { until: until.to_owned(), why: "flaky".to_owned() };
        let mut bad = CaseResult {
            must: true,
            ms: 9.0,
            cost_usd: Some(0.5),
            quarantine: Some(quarantine("2027-01-31")),
            ..result("b", Outcome::Errored, 0.0)
        };
        bad.as_of("2027-01-30");
        let other = CaseResult {
            quarantine: Some(quarantine("2027-01-15")),
            quarantined: true,
            ..CaseResult::passed("c")
        };
        let good = CaseResult { cost_usd: Some(0.25), ms: 1.0, ..CaseResult::passed("a") };
        let summary = fold(&[good.clone(), bad.clone(), other]).summary(Budget::default());
        assert_eq!(
            (summary.verdict, summary.cases, summary.passed, summary.errored, summary.p95_ms),
            (Verdict::Pass, 1, 1, 0, 1.0)
        );
        assert_eq!(
            (summary.quarantined, summary.quarantined_until.as_deref(), summary.cost_usd),
            (2, Some("2027-01-15"), Some(0.75))
        );
        check(
            std::slice::from_ref(&bad),
            Budget::default(),
            Verdict::NotEnoughEvidence,
            &["all cases are in quarantine"],
        );
        bad.as_of("2027-01-31");
        assert_eq!(fold(&[good, bad]).summary(Budget::default()).verdict, Verdict::Fail);
    }

    #[test]
    fn flakiness_is_measured_or_known_from_history() {
        let sometimes = CaseResult {
            runs: Some(Runs { count: 4, passed: 2 }),
            ..result("b", Outcome::Failed, 0.5)
        };
        let mut fold = fold(&[CaseResult::passed("a"), sometimes, CaseResult::passed("c")]);
        assert_eq!(fold.summary(Budget::default()).flaky, 1);
        fold.flaky_by_history(["b".to_owned(), "c".to_owned(), "gone".to_owned()]);
        let summary = fold.summary(Budget::default());
        assert_eq!((summary.flaky, summary.pass_hat_k.unwrap()[0]), (2, 0.5));
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(
            (
                percentile(&values, 50),
                percentile(&values, 95),
                percentile(&values[..1], 95),
                percentile(&[], 50)
            ),
            (10.0, 19.0, 1.0, 0.0)
        );
    }

    #[test]
    fn digest_excludes_only_the_commit() {
        let mut evaluation = Evaluation::new(Some("t".to_owned()), None);
        evaluation
            .tiers
            .insert(Tier::Micro, fold(&[CaseResult::passed("a")]).summary(Budget::default()));
        let before = evaluation.digest();
        evaluation.commit = Some("c".to_owned());
        assert_eq!(evaluation.digest(), before);
        assert_eq!(Evaluation::from_bytes(&evaluation.to_bytes()).unwrap(), evaluation);
        evaluation.tiers.get_mut(&Tier::Micro).unwrap().score = 0.5;
        assert_ne!(evaluation.digest(), before);
    }

    fn any_result() -> impl Strategy<Value = CaseResult> {
        let outcome =
            prop_oneof![Just(Outcome::Passed), Just(Outcome::Failed), Just(Outcome::Errored)];
        let base = ("[a-e]", outcome, 0.0..1.0f64, 1u8..4, any::<(bool, bool)>(), 0.0..9.0f64);
        (base, prop::option::of((2u32..5, 0u32..5)), prop::option::of(0.0..0.1f64), any::<bool>())
            .prop_map(|(base, runs, cost_usd, quarantined)| {
                let (id, outcome, score, weight, (must, cached), ms) = base;
                let quarantine =
                    Quarantine { until: format!("2027-01-0{weight}"), why: "x".to_owned() };
                CaseResult {
                    outcome,
                    score,
                    weight: f64::from(weight),
                    must,
                    ms,
                    runs: runs.map(|(count, passed)| Runs { count, passed: passed.min(count) }),
                    cost_usd,
                    quarantine: quarantined.then_some(quarantine),
                    quarantined,
                    cached,
                    ..CaseResult::passed(id)
                }
            })
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            8 => any_result().prop_map(|result| Event::CaseFinished { tier: Tier::Fast, result }),
            1 => (0usize..9).prop_map(|cases| Event::TierStarted { tier: Tier::Fast, cases,
                shards: 1 }),
            1 => (0.0..9.0f64).prop_map(|wall_s| Event::TierFinished { tier: Tier::Fast, wall_s }),
            1 => "[a-e]".prop_map(|id| Event::KnownFlaky { tier: Tier::Fast, ids: vec![id] }),
            1 => "[a-c]".prop_map(|why| Event::TierStopped { tier: Tier::Fast, why }),
        ]
    }

    fn summary_bytes(fold: &TierFold) -> String {
        serde_json::to_string(&fold.summary(Budget::default())).unwrap()
    }

    proptest! {
        #[test]
        fn the_fold_is_a_join(events in prop::collection::vec((any_event(), 0usize..3,
            any::<u32>()), 0..40)) {
            let mut whole = TierFold::default();
            for (event, ..) in &events {
                whole.add(event);
            }

            // split into shards, in another order, some events twice
            let mut shuffled = events.clone();
            shuffled.sort_by_key(|(_, _, key)| *key);
            let mut shards = [TierFold::default(), TierFold::default(), TierFold::default()];
            for (event, shard, key) in &shuffled {
                shards[*shard].add(event);
                if key % 2 == 0 {
                    shards[(*shard + 1) % 3].add(event);
                }
            }
            let mut joined = TierFold::default();
            for shard in [2, 0, 1, 0] {
                joined.join(shards[shard].clone());
            }
            prop_assert_eq!(&joined, &whole);
            prop_assert_eq!(summary_bytes(&joined), summary_bytes(&whole));
        }

        #[test]
        fn the_verdict_is_a_join(one in 0usize..3, two in 0usize..3, three in 0usize..3) {
            let all = [Verdict::Pass, Verdict::NotEnoughEvidence, Verdict::Fail];
            let (one, two, three) = (all[one], all[two], all[three]);
            prop_assert_eq!(one.and(two), two.and(one));
            prop_assert_eq!(one.and(two).and(three), one.and(two.and(three)));
            prop_assert_eq!(one.and(one), one);
            prop_assert_eq!(Verdict::Pass.and(one), one);
        }
    }
}
