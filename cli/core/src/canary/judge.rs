//! When a canary is decided: the conversations in the order in which they were taken.

use super::comparison::Comparison;
use super::conversations::Taken;
use super::{Arm, Design, Measure, Verdict};
use serde_json::{Value, json};

/// The comparison so far. After a verdict, nothing changes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judge<'a> {
    design: &'a Design,
    measured: Comparison,
    /// Of the shares of calls without an error: a guard beside rewards.
    success: Comparison,
    taken: u64,
    verdict: Option<Verdict>,
}

impl<'a> Judge<'a> {
    pub fn new(design: &'a Design) -> Self {
        let comparison = Comparison::new(design.chance());
        Self { design, measured: comparison.clone(), success: comparison, taken: 0, verdict: None }
    }

    pub fn of(design: &'a Design, taken: &[Taken]) -> Self {
        let mut judge = Self::new(design);
        for one in taken {
            judge.take(one);
        }
        judge
    }

    pub fn take(&mut self, taken: &Taken) {
        if self.verdict.is_some() {
            return;
        }
        self.taken += 1;
        self.success.take(taken.arm, taken.success);
        if let Some(value) = taken.value(self.design.measure) {
            self.measured.take(taken.arm, value);
        }
        self.verdict = self.reached();
    }

    /// The logarithm that evidence has to reach.
    fn wanted(&self) -> f64 {
        -self.design.alpha.ln()
    }

    fn reached(&self) -> Option<Verdict> {
        let wanted = self.wanted();
        let (better, worse) = self.measured.logs();
        if worse >= wanted {
            Some(Verdict::Worse)
        } else if self.success.logs().1 >= wanted {
            Some(Verdict::MoreErrors)
        } else if better >= wanted {
            Some(Verdict::Better)
        } else if self.taken >= self.design.limit {
            Some(Verdict::NotEnoughEvidence)
        } else {
            None
        }
    }

    pub const fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Conversations of both arms that are over.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// The comparison in a sentence.
    pub fn summary(&self) -> String {
        let what = match self.design.measure {
            Measure::Success => "calls without an error",
            Measure::Reward { .. } => "reward",
        };
        let errors = match self.design.measure {
            Measure::Success => String::new(),
            Measure::Reward { .. } => format!(
                "; calls without an error {} against {}",
                mean(&self.success, Arm::Canary),
                mean(&self.success, Arm::Control)
            ),
        };
        format!(
            "{what} {} against {} in {} and {} conversations{errors}",
            mean(&self.measured, Arm::Canary),
            mean(&self.measured, Arm::Control),
            self.measured.arm(Arm::Canary).count,
            self.measured.arm(Arm::Control).count,
        )
    }

    /// Figures for programs. Evidence is an e-value: it decides at `evidence_needed`.
    pub fn figures(&self) -> Value {
        json!({
            "conversations": self.taken,
            "measured": figures(&self.measured),
            "success": figures(&self.success),
            "evidence_needed": 1.0 / self.design.alpha,
            "more_conversations": self.measured.more_until(self.wanted()),
        })
    }
}

fn mean(comparison: &Comparison, arm: Arm) -> String {
    comparison.arm(arm).value().map_or_else(|| "-".to_owned(), |mean| format!("{mean:.3}"))
}

fn figures(comparison: &Comparison) -> Value {
    let arm = |arm| {
        let mean = comparison.arm(arm);
        json!({"conversations": mean.count, "mean": mean.value()})
    };
    let (better, worse) = comparison.logs();
    json!({
        "canary": arm(Arm::Canary),
        "control": arm(Arm::Control),
        "evidence_better": better.exp(),
        "evidence_worse": worse.exp(),
    })
}
