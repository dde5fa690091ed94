//! The gate between a candidate and the version it would replace: compared case by case, never mean
//! against mean alone.
//!
//! `better` requires evidence that the mean gain is above the margin. `not-worse` requires evidence
//! that the mean loss is below the margin, unless no case scored lower: then nothing got worse, and
//! there is nothing to prove. A gain that may be chance is "not enough evidence". Where the tier
//! has held-out cases, only these count: cases used for tuning do not judge.

pub mod bets;
pub mod calibration;
pub mod ledger;

mod pairs;
mod proof;
pub mod record;

use crate::formats::manifest::{GateMode, GateTest, Gated};
use crate::testing::case_result::{CaseResult, Outcome};
use crate::testing::evaluation::{Verdict, named};
use bets::Bets;
use pairs::Pairs;
use proof::{Evidence, Proof};
use serde::{Deserialize, Serialize};

/// Differences below this are rounding errors of sums of floats.
const ROUNDING: f64 = 1e-12;

impl GateVerdict {
    /// Whether the gains exceed the losses.
    pub fn shows_gain(&self) -> bool {
        self.better > 0 && self.candidate_score - self.baseline_score > ROUNDING
    }

    /// A summary of the decision, for the message of the version's commit.
    pub fn summary(&self) -> String {
        let claim = claim(self.mode, self.margin);
        let counts = format!("{} better, {} worse", self.better, self.worse);
        match self.ledger {
            None => format!("{claim}: {counts}"),
            Some(index) => {
                let evidence = proof::shown(self.log_e_value, self.p_value, self.level);
                format!("{claim}: {counts}; {evidence}{}", test_name(self.test, Some(index)))
            }
        }
    }
}

/// The test, and the attempt of the ledger that fixed its level.
fn test_name(test: GateTest, attempt: Option<u64>) -> String {
    let attempt = attempt.map(|index| format!("attempt {index}"));
    let test = (test != GateTest::EProcess).then(|| test.as_str().to_owned());
    let parts: Vec<_> = test.into_iter().chain(attempt).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// The requirement for a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    pub mode: GateMode,
    pub margin: f64,
    pub test: GateTest,
    /// The probability that noise passes: once, or with the ledger over the whole history.
    pub alpha: f64,
    /// Of the e-process.
    pub bets: Bets,
}

impl Question {
    /// The mean gain that has to be exceeded.
    fn bound(&self) -> f64 {
        match self.mode {
            GateMode::Better => self.margin,
            GateMode::NotWorse => -self.margin,
        }
    }

    fn claim(&self) -> String {
        claim(self.mode, self.margin)
    }
}

fn claim(mode: GateMode, margin: f64) -> String {
    let word = match mode {
        GateMode::Better => "better",
        GateMode::NotWorse => "not worse",
    };
    format!("{word}{}", by_more_than(margin))
}

fn by_more_than(margin: f64) -> String {
    if margin > 0.0 { format!(" by more than {margin}") } else { String::new() }
}

impl From<&Gated> for Question {
    fn from(gated: &Gated) -> Self {
        let Gated { gate: mode, margin, test, alpha, .. } = *gated;
        Self { mode, margin, test, alpha, bets: Bets::default() }
    }
}

/// The level of this test, and the ledger entry that determines it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    pub value: f64,
    pub index: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateVerdict {
    pub verdict: Verdict,
    pub mode: GateMode,
    pub margin: f64,
    pub test: GateTest,
    /// Why it is what it is; never empty.
    pub reasons: Vec<String>,
    /// Cases both have; the held-out ones alone, where there are any.
    pub pairs: usize,
    pub held_out: bool,
    pub better: usize,
    pub worse: usize,
    pub baseline_score: f64,
    pub candidate_score: f64,
    /// The test's p-value; of an e-process the inverse of the evidence, which is valid at any
    /// number of interim analyses.
    pub p_value: f64,
    /// The natural logarithm of the evidence, of an e-process.
    pub log_e_value: Option<f64>,
    /// The upper bound for `p_value`; for an e-process the inverse is the lower bound of the
    /// evidence.
    pub level: f64,
    /// The entry of the ledger that fixed the level; `None` where no ledger was used.
    pub ledger: Option<u64>,
    /// For the mean gain (the gain in pass rate, where the test uses outcomes only): each
    /// bound is valid at the level.
    pub interval: Option<(f64, f64)>,
}

/// A candidate's results paired with those of the baseline, before a level is chosen.
#[derive(Debug)]
pub struct Comparison {
    question: Question,
    pairs: Pairs,
    /// Cases of the candidate that must pass and did not.
    musts: Option<String>,
    proof: Proof,
}

impl Comparison {
    pub fn of(question: Question, baseline: &[CaseResult], candidate: &[CaseResult]) -> Self {
        let pairs = Pairs::of(baseline, candidate);
        let failed = candidate.iter().filter(|result| {
            result.must && !result.quarantined && result.outcome != Outcome::Passed
        });
        let failed: Vec<_> = failed.collect();
        let musts = (!failed.is_empty()).then(|| named(&failed));
        let proof = Proof::of(&question, &pairs);
        Self { question, pairs, musts, proof }
    }

    /// Whether the decision needs a statistical test.
    ///
    /// A comparison that a test could have accepted is charged also where it fails for another
    /// reason: omitting unfavourable ones would invalidate the level of the others.
    pub fn is_tested(&self) -> bool {
        !self.pairs.is_empty() && !self.is_plainly_not_worse()
    }

    /// The inputs of the test.
    pub fn digest(&self) -> String {
        self.pairs.digest()
    }

    fn is_plainly_not_worse(&self) -> bool {
        self.question.mode == GateMode::NotWorse && self.pairs.worse() == 0
    }

    pub fn judged(&self, level: Level) -> GateVerdict {
        let evidence = self.proof.at(level.value);
        let (verdict, reason) = self.decide(level, &evidence);
        GateVerdict {
            verdict,
            mode: self.question.mode,
            margin: self.question.margin,
            test: self.question.test,
            reasons: vec![reason],
            pairs: self.pairs.len(),
            held_out: self.pairs.held_out,
            better: self.pairs.better(),
            worse: self.pairs.worse(),
            baseline_score: self.pairs.baseline_score(),
            candidate_score: self.pairs.candidate_score(),
            p_value: evidence.p_value,
            log_e_value: evidence.log_e_value,
            level: level.value,
            ledger: level.index,
            interval: evidence.interval,
        }
    }

    fn decide(&self, level: Level, evidence: &Evidence) -> (Verdict, String) {
        if let Some(musts) = &self.musts {
            return (Verdict::Fail, format!("cases that must pass did not: {musts}"));
        }
        if self.pairs.is_empty() {
            return (Verdict::NotEnoughEvidence, "no case was run on both sides".to_owned());
        }
        let (gain, margin, seen) = (self.pairs.gain(), self.question.margin, self.seen());
        match self.question.mode {
            GateMode::NotWorse if self.is_plainly_not_worse() => {
                (Verdict::Pass, format!("not worse, no case scored lower: {seen}"))
            }
            GateMode::NotWorse if gain < -margin - ROUNDING => {
                (Verdict::Fail, format!("the mean score fell{}: {seen}", by_more_than(margin)))
            }
            GateMode::Better if self.pairs.better() + self.pairs.worse() == 0 => {
                (Verdict::Fail, format!("no case changed: {seen}"))
            }
            GateMode::Better if gain <= margin + ROUNDING => {
                (Verdict::Fail, format!("not better{}: {seen}", by_more_than(margin)))
            }
            _ if evidence.shows(level.value) => (
                Verdict::Pass,
                format!("{}: {seen}; {}", self.question.claim(), self.shown(level, evidence)),
            ),
            _ => {
                let claim = self.question.claim();
                (
                    Verdict::NotEnoughEvidence,
                    format!(
                        "not shown to be {claim}: {seen}; {}; {}",
                        self.shown(level, evidence),
                        self.outlook(level, evidence)
                    ),
                )
            }
        }
    }

    fn seen(&self) -> String {
        let kind = if self.pairs.held_out { "held-out" } else { "shared" };
        format!(
            "score {:.4}, was {:.4}, on {} {kind} cases ({} better, {} worse)",
            self.pairs.candidate_score(),
            self.pairs.baseline_score(),
            self.pairs.len(),
            self.pairs.better(),
            self.pairs.worse()
        )
    }

    /// How much evidence there is, and how much is needed.
    fn shown(&self, level: Level, evidence: &Evidence) -> String {
        proof::shown(evidence.log_e_value, evidence.p_value, level.value)
            + &test_name(self.question.test, level.index)
    }

    fn outlook(&self, level: Level, evidence: &Evidence) -> String {
        match self.proof.times_until(level.value, evidence) {
            Some(times) => {
                let more = ((times - 1.0) * self.pairs.len() as f64).ceil().max(1.0);
                format!("about {more} more cases like these would show it")
            }
            None => "no number of cases like these would show it".to_owned(),
        }
    }
}

/// Judges a single comparison at the given alpha, without the ledger: for information only.
pub fn judge(question: Question, baseline: &[CaseResult], candidate: &[CaseResult]) -> GateVerdict {
    Comparison::of(question, baseline, candidate)
        .judged(Level { value: question.alpha, index: None })
}

#[cfg(test)]
mod tests;
