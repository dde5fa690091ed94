//! How often each test decides "better" for a version compared with itself: the measured rate of
//! false promotions.

use crate::formats::manifest::{GateMode, GateTest, Tier};
use crate::gate::bets::Bets;
use crate::gate::ledger;
use crate::gate::{Comparison, Level, Question};
use crate::statistics::binomial;
use crate::testing::case_result::CaseResult;
use crate::testing::evaluation::{Verdict, mean_score};
use serde::Serialize;

pub const SCHEMA: &str = "agent/calibration@1";
const CONFIDENCE: f64 = 0.95;
/// In place of a test: the mean is higher, and that is that.
const NAIVE: &str = "mean is higher";
/// The default test at the levels of a ledger that begins with the first round.
const WITH_LEDGER: &str = "e-process, ledger";

/// False answers of one way to decide.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rate {
    pub test: &'static str,
    pub accepted: usize,
    pub rate: f64,
    /// Clopper and Pearson's, of 95%.
    pub interval: (f64, f64),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    pub schema: &'static str,
    pub what: String,
    pub tier: Tier,
    /// The code without its state, where it is committed.
    pub code: Option<String>,
    pub state: String,
    pub at: String,
    pub alpha: f64,
    pub cases: usize,
    /// Comparisons of a run with the one before it.
    pub rounds: usize,
    /// Those in which the result of a case differed.
    pub changed: usize,
    pub tests: Vec<Rate>,
}

/// Adds comparisons one by one.
#[derive(Debug)]
pub struct Calibrator {
    alpha: f64,
    rounds: usize,
    changed: usize,
    accepted: [usize; GateTest::ALL.len()],
    naive: usize,
    with_ledger: usize,
}

impl Calibrator {
    pub const fn new(alpha: f64) -> Self {
        Self {
            alpha,
            rounds: 0,
            changed: 0,
            accepted: [0; GateTest::ALL.len()],
            naive: 0,
            with_ledger: 0,
        }
    }

    /// A run and the previous one, of the identical version.
    pub fn add(&mut self, before: &[CaseResult], now: &[CaseResult]) {
        self.rounds += 1;
        let fixed = Level { value: self.alpha, index: None };
        for (test, accepted) in GateTest::ALL.into_iter().zip(&mut self.accepted) {
            let question = Question {
                mode: GateMode::Better,
                margin: 0.0,
                test,
                alpha: self.alpha,
                bets: Bets::default(),
            };
            let comparison = Comparison::of(question, before, now);
            let judged = comparison.judged(fixed);
            *accepted += usize::from(judged.verdict == Verdict::Pass);
            if test == GateTest::EProcess {
                self.changed += usize::from(judged.better + judged.worse > 0);
                let level = ledger::level(self.alpha, self.rounds as u64, self.with_ledger as u64);
                self.with_ledger += usize::from(comparison.judged(level).verdict == Verdict::Pass);
            }
        }
        self.naive += usize::from(mean_score(now.iter()) > mean_score(before.iter()));
    }

    pub const fn rounds(&self) -> usize {
        self.rounds
    }

    pub const fn changed(&self) -> usize {
        self.changed
    }

    pub fn rates(&self) -> Vec<Rate> {
        let tests = GateTest::ALL.into_iter().map(GateTest::as_str).zip(self.accepted);
        tests
            .chain([(WITH_LEDGER, self.with_ledger), (NAIVE, self.naive)])
            .map(|(test, accepted)| self.rate(test, accepted))
            .collect()
    }

    fn rate(&self, test: &'static str, accepted: usize) -> Rate {
        let rate = if self.rounds == 0 { 0.0 } else { accepted as f64 / self.rounds as f64 };
        Rate {
            test,
            accepted,
            rate,
            interval: binomial::interval(accepted, self.rounds, CONFIDENCE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::bootstrap::SplitMix64;
    use crate::testing::case_result::Outcome;

    #[test]
    fn means_accept_noise_and_the_tests_do_not() {
        let mut random = SplitMix64::new(5);
        let mut run = || -> Vec<CaseResult> {
            let noisy = |number| {
                let passed = CaseResult::passed(format!("c{number}"));
                if random.unit() < 0.6 {
                    passed
                } else {
                    CaseResult { score: 0.0, outcome: Outcome::Failed, ..passed }
                }
            };
            (0..30).map(noisy).collect()
        };
        let mut calibrator = Calibrator::new(0.05);
        let mut before = run();
        for _ in 0..60 {
            let now = run();
            calibrator.add(&before, &now);
            before = now;
        }
        let rates = calibrator.rates();
        let rate = |test: &str| rates.iter().find(|rate| rate.test == test).unwrap();
        assert_eq!((calibrator.rounds(), calibrator.changed()), (60, 60));
        assert!(rate("mean is higher").rate > 0.3, "{rates:?}");
        assert!(
            rate("e-process").interval.0 <= 0.05 && rate("mcnemar").interval.0 <= 0.05,
            "{rates:?}"
        );
        assert_eq!(rate("e-process, ledger").accepted, 0);
    }
}
