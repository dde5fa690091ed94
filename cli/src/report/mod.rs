//! What people and other programs are shown: folds over events and outcomes.

pub mod difference;
pub mod human;
pub mod junit;
pub mod markdown;
pub mod progress;
pub mod svg;
pub mod table;
pub mod value;

use agent_core::evaluation::{CaseResult, Outcome, TierSummary};
use agent_core::manifest::Tier;

/// A finished tier, as every report shows it.
#[derive(Debug)]
pub struct TierReport {
    pub tier: Tier,
    pub summary: TierSummary,
    /// By case id.
    pub results: Vec<CaseResult>,
}

impl TierReport {
    /// What did not pass, cases that must pass first.
    pub fn failures(&self) -> Vec<&CaseResult> {
        let mut failures: Vec<_> = self.results.iter().filter(|result| result.outcome != Outcome::Passed).collect();
        failures.sort_by_key(|result| !result.must);
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::budget::Budget;
    use agent_core::evaluation::TierFold;
    use agent_core::event::Event;

    /// One case of each outcome, with text that every format has to escape.
    pub(super) fn sample() -> TierReport {
        let results = [
            CaseResult { ms: 2.0, place: Some("tests/micro/a.jsonl:1".to_owned()), ..CaseResult::passed("a") },
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
        TierReport { tier: Tier::Micro, summary: fold.summary(Budget::default()), results: fold.into_results() }
    }

    #[test]
    fn people_see_failures_first() {
        let text = anstream::adapter::strip_str(&human::render(&[sample()])).to_string();
        let expected = "\
ERROR c (must pass)  
      the Runner died
FAIL  b <&>  
      $.x: expected \"1\"\u{1}
      second | line
micro fail  1 passed, 1 failed, 1 errored of 3, score 0.333, p50 0.00 ms, p95 2.00 ms, wall 1.50 s
      1 case that must pass did not: c
      the pass rate 0.333 is below the budget of 1";
        assert_eq!(text.replace('\u{1}', ""), expected.replace('\u{1}', ""));
    }
}
