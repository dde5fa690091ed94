//! Whether a log is evidence enough that a candidate gains what is required.

use super::estimators::Estimator;
use super::evaluation::Evaluation;
use super::intervals::Interval;
use crate::formats::off_policy_gate::{Deciding, OffPolicyGate};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Requirement {
    /// The least effective sample size.
    pub floor: f64,
    /// The interval of the gain has to lie at or above this; `None` where only estimates are asked
    /// for.
    pub min_gain: Option<f64>,
    pub deciding: Deciding,
}

impl From<&OffPolicyGate> for Requirement {
    fn from(gate: &OffPolicyGate) -> Self {
        let OffPolicyGate { floor, min_gain, interval, .. } = *gate;
        Self { floor, min_gain: Some(min_gain), deciding: interval }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing more was asked for.
    Estimated,
    Yes,
    No,
    NotEnoughEvidence,
}

impl Answer {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Estimated => "estimated",
            Self::Yes => "yes",
            Self::No => "no",
            Self::NotEnoughEvidence => "not-enough-evidence",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub answer: Answer,
    /// One sentence.
    pub why: String,
}

impl Verdict {
    pub fn of(evaluation: &Evaluation, required: &Requirement) -> Self {
        if let Some(why) = below_floor(evaluation, required.floor) {
            return Self { answer: Answer::NotEnoughEvidence, why };
        }
        let (name, Interval { low, high }) = decisive(evaluation, required.deciding);
        let percent = 100.0 * evaluation.method.confidence;
        let shown = format!(
            "the gain is between {} and {} ({name} interval, {percent} %)",
            signed(low),
            signed(high)
        );
        let Some(least) = required.min_gain else {
            return Self { answer: Answer::Estimated, why: shown };
        };
        let (answer, relation) = if low >= least {
            (Answer::Yes, "at or above")
        } else if high < least {
            (Answer::No, "below")
        } else {
            (Answer::NotEnoughEvidence, "on both sides of")
        };
        Self { answer, why: format!("{shown}: {relation} {}, which is required", signed(least)) }
    }
}

fn below_floor(evaluation: &Evaluation, floor: f64) -> Option<String> {
    let both = [("candidate", &evaluation.candidate), ("baseline", &evaluation.baseline)];
    let below = both.iter().find(|(_, value)| value.weights.effective < floor);
    below.map(|(name, value)| {
        format!(
            "the effective sample size of the {name} is {:.1} of {} decisions, below the floor of \
            {floor}",
            value.weights.effective, evaluation.decisions
        )
    })
}

fn decisive(evaluation: &Evaluation, deciding: Deciding) -> (&'static str, Interval) {
    if deciding == Deciding::Anytime {
        return ("anytime-valid", evaluation.gain_anytime);
    }
    let of = |wanted: Estimator| {
        evaluation.gain.iter().find(|estimate| estimate.estimator.is_like(wanted))
    };
    let estimate = of(Estimator::DoublyRobust).or_else(|| of(Estimator::Snips));
    ("normal", estimate.expect("every policy has a self-normalised estimate").normal)
}

fn signed(gain: f64) -> String {
    format!("{gain:+.6}")
}
