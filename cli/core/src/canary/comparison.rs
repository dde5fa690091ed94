//! Two arms compared after every conversation, by chance alone.
//!
//! Each conversation is assigned to an arm by a coin whose chance is known. Where both arms are
//! served alike, its value does not depend on the coin, so `(coin - chance) * (value - centre)` has
//! the mean zero whatever the traffic does over time, as long as the centre was fixed before. Where
//! the canary's value is lower on average, so is that mean. Bets on it are the gate's e-process:
//! the capital ever reaches 1/a with a probability of at most a, however often it is looked at.

use super::Arm;
use crate::statistics::e_process::EProcess;

/// The smallest loss that a bet is scaled by: without it, arms that never differed would be bet on
/// with everything.
const LEAST_LOSS: f64 = 0.25;

/// Values are in [0, 1].
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// With which a conversation is in the canary's arm.
    chance: f64,
    canary: Mean,
    control: Mean,
    /// Against "the canary is not better", and against "it is not worse".
    better: EProcess,
    worse: EProcess,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mean {
    pub count: u64,
    sum: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
    }

    pub fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl Comparison {
    pub const fn new(chance: f64) -> Self {
        Self {
            chance,
            canary: Mean { count: 0, sum: 0.0 },
            control: Mean { count: 0, sum: 0.0 },
            better: EProcess::against(0.0),
            worse: EProcess::against(0.0),
        }
    }

    pub fn take(&mut self, arm: Arm, value: f64) {
        let (chance, centre) = (self.chance, self.centre());
        let (mean, weight) = match arm {
            Arm::Canary => (&mut self.canary, 1.0 - chance),
            Arm::Control => (&mut self.control, -chance),
        };
        mean.add(value);
        let gain = weight * (value - centre);
        let loss_of_better = ((1.0 - chance) * centre).max(chance * (1.0 - centre));
        let loss_of_worse = ((1.0 - chance) * (1.0 - centre)).max(chance * centre);
        self.better.take(1.0, gain / loss_of_better.max(LEAST_LOSS));
        self.worse.take(1.0, -gain / loss_of_worse.max(LEAST_LOSS));
    }

    /// The mean of the conversations before, which makes the variance small.
    fn centre(&self) -> f64 {
        let count = self.canary.count + self.control.count;
        (0.5 + self.canary.sum + self.control.sum) / (1.0 + count as f64)
    }

    pub const fn arm(&self, arm: Arm) -> Mean {
        match arm {
            Arm::Canary => self.canary,
            Arm::Control => self.control,
        }
    }

    pub const fn count(&self) -> u64 {
        self.canary.count + self.control.count
    }

    /// The logarithms of the evidence for better and for worse: e-values.
    pub fn logs(&self) -> (f64, f64) {
        (self.better.log(), self.worse.log())
    }

    /// About how many conversations of both arms would have to follow, alike, until one of the
    /// logarithms is so large.
    pub fn more_until(&self, wanted: f64) -> Option<f64> {
        let times = [&self.better, &self.worse].map(|process| process.times_until(wanted));
        let times = times.into_iter().flatten().reduce(f64::min)?;
        Some(((times - 1.0).max(0.0) * self.count() as f64).ceil())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All ways that a few coins can fall, each by its chance: the mean of the e-values.
    fn mean_e_values(chance: f64, values: &[(f64, f64)]) -> (f64, f64) {
        let (mut better, mut worse) = (0.0, 0.0);
        for code in 0..1u32 << values.len() {
            let mut comparison = Comparison::new(chance);
            let mut probability = 1.0;
            for (place, (control, canary)) in values.iter().enumerate() {
                if code >> place & 1 == 1 {
                    comparison.take(Arm::Canary, *canary);
                    probability *= chance;
                } else {
                    comparison.take(Arm::Control, *control);
                    probability *= 1.0 - chance;
                }
            }
            let (log_better, log_worse) = comparison.logs();
            better += probability * log_better.exp();
            worse += probability * log_worse.exp();
        }
        (better, worse)
    }

    proptest! {
        #[test]
        fn whatever_identical_arms_are_worth_over_time_is_no_evidence(
            values in prop::collection::vec(0.0..=1.0f64, 1..7), percent in 1u32..100,
        ) {
            let alike: Vec<_> = values.iter().map(|value| (*value, *value)).collect();
            let (better, worse) = mean_e_values(f64::from(percent) / 100.0, &alike);
            prop_assert!((better - 1.0).abs() < 1e-9 && (worse - 1.0).abs() < 1e-9,
                "{better} {worse}");
        }

        #[test]
        fn an_arm_that_is_never_better_is_no_evidence_for_better(
            values in prop::collection::vec((0.0..=1.0f64, 0.0..=1.0f64), 1..7),
            percent in 1u32..100,
        ) {
            let ordered: Vec<_> =
                values.iter().map(|(one, other)| (one.max(*other), one.min(*other))).collect();
            let chance = f64::from(percent) / 100.0;
            prop_assert!(mean_e_values(chance, &ordered).0 <= 1.0 + 1e-9);
            let turned: Vec<_> = ordered.iter().map(|(high, low)| (*low, *high)).collect();
            prop_assert!(mean_e_values(chance, &turned).1 <= 1.0 + 1e-9);
        }
    }
}
