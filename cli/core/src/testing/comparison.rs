//! Two evaluations of one tier, case by case: what changed, which way, and whether chance alone
//! would have done it.

use crate::formats::manifest::Tier;
use crate::formats::natural;
use crate::statistics::{mcnemar, wilcoxon};
use crate::testing::case_result::{CaseResult, Outcome};
use crate::testing::definitions::Definitions;
use crate::testing::evaluation::TierSummary;
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What is kept of a tier that was run.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    pub summary: &'a TierSummary,
    pub definitions: &'a Definitions,
    pub results: &'a [CaseResult],
}

/// A tier of two versions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TierComparison {
    pub tier: Tier,
    /// Whether the same cases and scorers judged both; else their figures are listed without
    /// pairing.
    pub comparable: bool,
    /// The evaluators that differ between them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<&'static str>,
    pub from: Figures,
    pub to: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cases: Option<CaseChanges>,
}

/// A tier in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    pub cases: usize,
    pub passed: usize,
    /// From 0 to 1.
    pub pass_rate: f64,
    pub score: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
}

impl From<&TierSummary> for Figures {
    fn from(summary: &TierSummary) -> Self {
        Self {
            cases: summary.cases,
            passed: summary.passed,
            pass_rate: if summary.cases == 0 {
                0.0
            } else {
                summary.passed as f64 / summary.cases as f64
            },
            score: summary.score,
            p50_ms: summary.p50_ms,
            p95_ms: summary.p95_ms,
        }
    }
}

/// The changes of the cases that both sides ran.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseChanges {
    /// Cases on both sides.
    pub pairs: usize,
    pub better: usize,
    pub worse: usize,
    /// Pass now, and did not.
    pub fixed: usize,
    /// Passed, and do not now.
    pub broken: usize,
    pub significance: Significance,
    /// What changed, the most serious first: broken, worse, fixed, better.
    pub flips: Vec<Flip>,
}

/// One case with a different result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flip {
    pub id: String,
    pub direction: Direction,
    pub from: Ended,
    pub to: Ended,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why it does not pass now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// `why` was left out because the case is held out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub why_withheld: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Worse,
    Better,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ended {
    pub outcome: Outcome,
    pub score: f64,
}

impl From<&CaseResult> for Ended {
    fn from(result: &CaseResult) -> Self {
        Self { outcome: result.outcome, score: result.score }
    }
}

/// How often chance alone would give as much difference between two equal versions; 1 where nothing
/// changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Significance {
    /// Two-sided mid-p of `McNemar`'s exact test, over what passes on one side alone.
    pub outcomes_p: f64,
    /// Two-sided signed-rank test of Wilcoxon, over the cases whose scores differ.
    pub scores_p: f64,
}

impl TierComparison {
    pub fn of(tier: Tier, from: Side<'_>, to: Side<'_>) -> Self {
        let differing = to.definitions.differences(from.definitions, tier);
        let cases = differing.is_empty().then(|| changes(from.results, to.results));
        Self {
            tier,
            comparable: differing.is_empty(),
            differing,
            from: from.summary.into(),
            to: to.summary.into(),
            cases,
        }
    }
}

/// Pairs results by case id.
pub fn changes(from: &[CaseResult], to: &[CaseResult]) -> CaseChanges {
    let pairs = paired(from, to);
    let flips = flips(&pairs);
    let count = |wanted: fn(&Flip) -> bool| flips.iter().filter(|flip| wanted(flip)).count();
    CaseChanges {
        pairs: pairs.len(),
        better: count(|flip| flip.direction == Direction::Better),
        worse: count(|flip| flip.direction == Direction::Worse),
        fixed: count(Flip::is_fixed),
        broken: count(Flip::is_broken),
        significance: significance(&pairs),
        flips,
    }
}

type Pair<'a> = (&'a CaseResult, &'a CaseResult);

/// The cases of both sides.
fn paired<'a>(from: &'a [CaseResult], to: &'a [CaseResult]) -> Vec<Pair<'a>> {
    let before: BTreeMap<&str, &CaseResult> =
        from.iter().map(|result| (result.id.as_str(), result)).collect();
    to.iter().filter_map(|now| before.get(now.id.as_str()).map(|before| (*before, now))).collect()
}

/// What changed, the most serious first.
fn flips(pairs: &[Pair<'_>]) -> Vec<Flip> {
    let mut flips: Vec<Flip> = pairs.iter().filter_map(|(before, now)| flip(before, now)).collect();
    flips.sort_by(|one, two| {
        weight(one).total_cmp(&weight(two)).then_with(|| natural::compare(&one.id, &two.id))
    });
    flips
}

/// The cases that became worse, the most severe first.
pub fn worse(from: &[CaseResult], to: &[CaseResult]) -> Vec<Flip> {
    flips(&paired(from, to)).into_iter().filter(|flip| flip.direction == Direction::Worse).collect()
}

impl Flip {
    /// Passes now, and did not.
    pub fn is_fixed(&self) -> bool {
        self.to.outcome == Outcome::Passed && self.from.outcome != Outcome::Passed
    }

    /// Passed, and does not now.
    pub fn is_broken(&self) -> bool {
        self.from.outcome == Outcome::Passed && self.to.outcome != Outcome::Passed
    }
}

fn flip(before: &CaseResult, now: &CaseResult) -> Option<Flip> {
    let direction =
        match now.outcome.cmp(&before.outcome).then_with(|| before.score.total_cmp(&now.score)) {
            Ordering::Equal => return None,
            Ordering::Greater => Direction::Worse,
            Ordering::Less => Direction::Better,
        };
    Some(Flip {
        id: now.id.clone(),
        direction,
        from: before.into(),
        to: now.into(),
        place: now.place.clone(),
        why: now.why.clone().filter(|_| now.outcome != Outcome::Passed),
        why_withheld: false,
    })
}

/// Sorts the most serious first.
fn weight(flip: &Flip) -> f64 {
    let step = flip.to.score - flip.from.score;
    match flip.direction {
        _ if flip.is_broken() => step - 4.0,
        Direction::Worse => step - 2.0,
        Direction::Better if flip.is_fixed() => 2.0 - step,
        Direction::Better => 4.0 - step,
    }
}

fn significance(pairs: &[Pair<'_>]) -> Significance {
    let passed = |result: &CaseResult| result.outcome == Outcome::Passed;
    let fixed = pairs.iter().filter(|(before, now)| passed(now) && !passed(before)).count();
    let broken = pairs.iter().filter(|(before, now)| passed(before) && !passed(now)).count();
    let gains = || pairs.iter().map(|(before, now)| now.score - before.score);
    Significance {
        outcomes_p: two_sided(mcnemar::mid_p(fixed, broken), mcnemar::mid_p(broken, fixed)),
        scores_p: two_sided(
            wilcoxon::signed_rank(gains()),
            wilcoxon::signed_rank(gains().map(|gain| -gain)),
        ),
    }
}

/// From the chances of as much to either side.
fn two_sided(better: f64, worse: f64) -> f64 {
    (2.0 * better.min(worse)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(id: &str, outcome: Outcome, score: f64) -> CaseResult {
        CaseResult { outcome, score, why: Some(format!("{id} is so")), ..CaseResult::passed(id) }
    }

    #[test]
    fn regressions_come_first_and_unchanged_cases_are_omitted() {
        use Outcome::{Errored, Failed, Passed};
        let before = [
            result("broken", Passed, 1.0),
            result("died", Failed, 0.5),
            result("fixed", Failed, 0.0),
            result("gone", Passed, 1.0),
            result("higher", Passed, 0.8),
            result("lower", Passed, 1.0),
            result("same", Failed, 0.3),
        ];
        let now = [
            result("broken", Failed, 0.9),
            result("died", Errored, 0.0),
            result("fixed", Passed, 1.0),
            result("higher", Passed, 0.9),
            result("lower", Passed, 0.6),
            result("new", Failed, 0.0),
            result("same", Failed, 0.3),
        ];
        let changes = changes(&before, &now);
        let shown: Vec<_> =
            changes.flips.iter().map(|flip| (flip.id.as_str(), flip.direction)).collect();
        let [worse, better] = [Direction::Worse, Direction::Better];
        assert_eq!(
            shown,
            [
                ("broken", worse),
                ("died", worse),
                ("lower", worse),
                ("fixed", better),
                ("higher", better)
            ]
        );
        assert_eq!(
            (changes.pairs, changes.better, changes.worse, changes.fixed, changes.broken),
            (6, 2, 3, 1, 1)
        );
        assert_eq!(changes.flips[0].why.as_deref(), Some("broken is so"));
        assert_eq!(changes.flips[3].why, None, "what passes needs no reason");
    }

    #[test]
    fn p_value_is_reported_for_outcomes_and_scores() {
        let before: Vec<_> =
            (0..6).map(|n| result(&format!("c{n}"), Outcome::Failed, 0.1 * f64::from(n))).collect();
        let now: Vec<_> = (0..6)
            .map(|n| result(&format!("c{n}"), Outcome::Passed, 0.15 * f64::from(n) + 0.2))
            .collect();
        let found = changes(&before, &now).significance;
        // all six flips one way: 2 * (1/2)^6 * 1/2, and 2 * (1/2)^6 for the ranks
        assert!((found.outcomes_p - 1.0 / 64.0).abs() < 1e-12, "{found:?}");
        assert!((found.scores_p - 1.0 / 32.0).abs() < 1e-12, "{found:?}");
        assert_eq!(
            changes(&before, &before).significance,
            Significance { outcomes_p: 1.0, scores_p: 1.0 }
        );
    }

    #[test]
    fn only_cases_with_equal_definitions_are_paired() {
        let results = [result("a", Outcome::Passed, 1.0)];
        let mut fold = crate::testing::evaluation::TierFold::default();
        fold.add(&crate::testing::event::Event::CaseFinished {
            tier: Tier::Fast,
            result: results[0].clone(),
        });
        let summary = fold.summary(crate::testing::budget::Budget::default());
        let one = Definitions {
            cases: [(Tier::Fast, "sha256:a".to_owned())].into(),
            ..Definitions::default()
        };
        let two = Definitions { scorers: Some("sha256:s".to_owned()), ..one.clone() };
        let side = |definitions| Side { summary: &summary, definitions, results: &results };
        let same = TierComparison::of(Tier::Fast, side(&one), side(&one));
        assert_eq!((same.comparable, same.cases.map(|cases| cases.pairs)), (true, Some(1)));
        let other = TierComparison::of(Tier::Fast, side(&one), side(&two));
        assert_eq!(
            (other.comparable, other.differing, other.cases),
            (false, vec!["scorers"], None)
        );
        assert!((other.to.pass_rate - 1.0).abs() < f64::EPSILON);
    }
}
