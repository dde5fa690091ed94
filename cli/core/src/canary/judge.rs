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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::tests::canary;
    use crate::statistics::bootstrap::SplitMix64;

    /// Conversations whose rewards and errors depend on the arm, until there is a verdict.
    fn verdict(measure: Measure, rates: [(f64, f64); 2], seed: u64) -> (Verdict, u64) {
        let design = Design { share: 50, limit: 2_000, ..canary(measure).design };
        let mut judge = Judge::new(&design);
        let mut random = SplitMix64::new(seed);
        loop {
            let (arm, (reward, success)) = if random.unit() < 0.5 {
                (Arm::Canary, rates[0])
            } else {
                (Arm::Control, rates[1])
            };
            let mut drawn = |rate: f64| f64::from(u8::from(random.unit() < rate));
            judge.take(&Taken {
                conversation: String::new(),
                arm,
                success: drawn(success),
                reward: Some(drawn(reward)),
            });
            if let Some(verdict) = judge.verdict() {
                return (verdict, judge.taken());
            }
        }
    }

    const REWARD: Measure = Measure::Reward { low: 0.0, high: 1.0 };

    #[test]
    fn clear_differences_decide_and_identical_arms_do_not() {
        let count = |measure, rates, wanted| {
            (0..40).filter(|seed| verdict(measure, rates, *seed).0 == wanted).count()
        };
        assert!(count(REWARD, [(0.9, 1.0), (0.6, 1.0)], Verdict::Better) >= 38);
        assert!(count(REWARD, [(0.5, 1.0), (0.8, 1.0)], Verdict::Worse) >= 38);
        // rewards alike, and more calls that fail
        assert!(count(REWARD, [(0.7, 0.7), (0.7, 0.99)], Verdict::MoreErrors) >= 36);
        assert!(count(Measure::Success, [(0.0, 0.99), (1.0, 0.7)], Verdict::Better) >= 38);
        assert!(count(REWARD, [(0.7, 0.9), (0.7, 0.9)], Verdict::NotEnoughEvidence) >= 32);
    }

    #[test]
    fn nothing_changes_a_verdict() {
        let design = Design { limit: 2, ..canary(Measure::Success).design };
        let taken = |success| Taken {
            conversation: String::new(),
            arm: Arm::Canary,
            success,
            reward: None,
        };
        let two = [taken(1.0), taken(0.5)];
        let more = [taken(1.0), taken(0.5), taken(0.0)];
        assert_eq!(Judge::of(&design, &two).verdict(), Some(Verdict::NotEnoughEvidence));
        assert_eq!(Judge::of(&design, &two), Judge::of(&design, &more));
    }
}
