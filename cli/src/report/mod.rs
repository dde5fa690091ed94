//! Reports for people and programs: folds over events and outcomes.

pub mod annotations;
pub mod bisection;
pub mod difference;
pub mod html;
pub mod human;
pub mod junit;
pub mod markdown;
mod markup;
pub mod progress;
pub mod sparkline;
pub mod svg;
pub mod table;
pub mod traces;
pub mod value;
pub mod why;

use agent_core::formats::manifest::Tier;
use agent_core::formats::natural;
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::testing::comparison::{Flip, TierComparison};
use agent_core::testing::evaluation::{TierSummary, Verdict};
use agent_core::testing::quarantine::Quarantine;

/// A finished `agent test`.
#[derive(Debug)]
pub struct TestReport {
    /// The tested target: `v0.2.0`, `worktree`.
    pub what: String,
    /// The baseline.
    pub against: Option<String>,
    /// RFC 3339, UTC.
    pub at: String,
    /// The verdict over all tiers, and of the gate where there is a baseline.
    pub verdict: Verdict,
    pub tiers: Vec<TierReport>,
}

/// A finished tier, as every report shows it.
#[derive(Debug)]
pub struct TierReport {
    pub tier: Tier,
    pub summary: TierSummary,
    /// By case id.
    pub results: Vec<CaseResult>,
    pub against: Option<Against>,
}

/// The comparison of a tier with that of a baseline.
#[derive(Debug)]
pub struct Against {
    /// The baseline's name.
    pub with: String,
    pub comparison: TierComparison,
    /// The gate's verdict and reasons, where it compared them.
    pub gate: Option<(Verdict, Vec<String>)>,
}

impl TierReport {
    pub const fn new(tier: Tier, summary: TierSummary, results: Vec<CaseResult>) -> Self {
        Self { tier, summary, results, against: None }
    }

    /// The cases with another outcome than the baseline's, the largest changes first.
    pub fn flips(&self) -> &[Flip] {
        let cases = self.against.as_ref().and_then(|against| against.comparison.cases.as_ref());
        cases.map_or(&[], |cases| &cases.flips)
    }

    /// The failed cases by id, those that must pass first.
    pub fn failures(&self) -> Vec<&CaseResult> {
        let failed =
            |result: &&CaseResult| result.outcome != Outcome::Passed && !result.quarantined;
        let mut failures: Vec<_> = self.results.iter().filter(failed).collect();
        failures.sort_by(|one, two| {
            two.must.cmp(&one.must).then_with(|| natural::compare(&one.id, &two.id))
        });
        failures
    }

    /// The notes on quarantines by case: in force, or ended.
    pub fn quarantines(&self) -> Vec<(&CaseResult, String)> {
        let with_reason = |result| Some((result, quarantine_of(result)?));
        self.results.iter().filter_map(with_reason).collect()
    }
}

fn quarantine_of(result: &CaseResult) -> Option<String> {
    let Quarantine { until, why } = result.quarantine.as_ref()?;
    if !result.quarantined {
        return Some(format!(
            "its quarantine has ended on {until} ({why}): it counts again; remove \
            \"quarantine\", or set another day"
        ));
    }
    let outcome = match result.outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Errored => "errored",
    };
    Some(format!("{outcome}; in quarantine until {until}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::testing::budget::Budget;
    use agent_core::testing::case_result::Runs;
    use agent_core::testing::comparison::Side;
    use agent_core::testing::definitions::Definitions;
    use agent_core::testing::evaluation::TierFold;
    use agent_core::testing::event::Event;

    /// One case of each outcome, with text that every format has to escape.
    pub(super) fn sample() -> TierReport {
        let results = [
            CaseResult {
                ms: 2.0,
                place: Some("tests/micro/a.jsonl:1".to_owned()),
                ..CaseResult::passed("a")
            },
            CaseResult {
                outcome: Outcome::Failed,
                score: 0.0,
                why: Some("$.x: expected \"1\"\u{1}\nsecond | line".to_owned()),
                ..CaseResult::passed("b <&>")
            },
            CaseResult {
                outcome: Outcome::Errored,
                score: 0.0,
                must: true,
                why: Some("the Runner died".to_owned()),
                ..CaseResult::passed("c")
            },
        ];
        let mut fold = TierFold::default();
        for result in results {
            fold.add(&Event::CaseFinished { tier: Tier::Micro, result });
        }
        fold.add(&Event::TierFinished { tier: Tier::Micro, wall_s: 1.5 });
        TierReport::new(Tier::Micro, fold.summary(Budget::default()), fold.into_results())
    }

    /// The sample compared with v0.1.0, where `b` passed.
    pub(super) fn compared() -> TestReport {
        let mut tier = sample();
        let mut before = tier.results.clone();
        before[1] = CaseResult::passed("b <&>");
        let definitions = Definitions::default();
        let side = |results| Side { summary: &tier.summary, definitions: &definitions, results };
        let comparison = TierComparison::of(Tier::Micro, side(&before), side(&tier.results));
        let gate = Some((Verdict::Fail, vec!["worse: 1 case".to_owned()]));
        tier.against = Some(Against { with: "v0.1.0".to_owned(), comparison, gate });
        TestReport {
            what: "worktree".to_owned(),
            against: Some("v0.1.0".to_owned()),
            at: "2026-11-22T16:00:00.000Z".to_owned(),
            verdict: Verdict::Fail,
            tiers: vec![tier],
        }
    }

    /// One quarantined case, one whose quarantine has ended, and a flaky one.
    pub(super) fn not_enough_evidence() -> TierReport {
        let quarantine = |until: &str| {
            Some(Quarantine { until: until.to_owned(), why: "the network".to_owned() })
        };
        let results = [
            CaseResult {
                outcome: Outcome::Failed,
                score: 0.0,
                quarantine: quarantine("2027-01-31"),
                quarantined: true,
                ..CaseResult::passed("a")
            },
            CaseResult { quarantine: quarantine("2026-01-31"), ..CaseResult::passed("b") },
            CaseResult {
                outcome: Outcome::Failed,
                score: 0.5,
                runs: Some(Runs { count: 2, passed: 1 }),
                cost_usd: Some(0.25),
                why: Some("run 2 of 2: no".to_owned()),
                ..CaseResult::passed("c")
            },
        ];
        let mut fold = TierFold::default();
        for result in results {
            fold.add(&Event::CaseFinished { tier: Tier::Micro, result });
        }
        TierReport::new(Tier::Micro, fold.summary(Budget::default()), fold.into_results())
    }

    #[test]
    fn quarantined_and_flaky_cases_are_noted() {
        let text =
            anstream::adapter::strip_str(&human::render(&[not_enough_evidence()])).to_string();
        let expected = "\
FAIL  c  
      run 2 of 2: no
NOTE  a  
      failed; in quarantine until 2027-01-31: the network
NOTE  b  
      its quarantine has ended on 2026-01-31 (the network): it counts again; remove \"quarantine\", or set another day
micro fail  1 passed, 1 failed of 2, 1 in quarantine, 1 flaky, score 0.750, p50 0.00 ms, p95 0.00 ms, wall 0.00 s, cost $0.2500
      pass^1 0.500, pass^2 0.000
      the pass rate 0.500 is below the budget of 1";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_reason_that_many_cases_share_is_printed_once() {
        let mut report = sample();
        let failed = |id: &str, why: &str| CaseResult {
            outcome: Outcome::Failed,
            why: Some(why.to_owned()),
            ..CaseResult::passed(id)
        };
        report.results = (1..=12)
            .map(|number| failed(&format!("case-{number}"), "the index is gone"))
            .chain([failed("z", "slow")])
            .collect();
        let text = anstream::adapter::strip_str(&human::render(&[report])).to_string();
        assert!(
            text.starts_with(
                "FAIL  12 cases: case-1, case-2, case-3 and 9 more\
                \n      the index is gone\n\
                FAIL  z  \
                \n      slow\n\
                micro"
            ),
            "{text}"
        );
    }

    #[test]
    fn failures_come_first() {
        let text = anstream::adapter::strip_str(&human::render(&[sample()])).to_string();
        let expected = "\
ERROR c (must pass)  
      the Runner died
FAIL  b <&>  
      $.x: expected \"1\"\u{1}
      second | line
micro fail  1 passed, 1 failed, 1 errored of 3, score 0.333, p50 0.00 ms, p95 2.00 ms, wall 1.50 s
      1 case that must pass did not: c
      1 case could not be judged: c
      the pass rate 0.333 is below the budget of 1";
        assert_eq!(text.replace('\u{1}', ""), expected.replace('\u{1}', ""));
    }
}
