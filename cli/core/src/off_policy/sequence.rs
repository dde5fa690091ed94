//! Anytime-valid intervals: a confidence sequence of a policy's value, and of a gain.
//!
//! A weighted reward `w r`, with rewards on [0, 1], is never below 0 and has the policy's value as
//! its mean, given what came before, also where the logged policy learned meanwhile. So against
//! "the mean is at most m", each product of `1 + bet (w r - m) / m` with a bet in (0, 1] is a
//! non-negative supermartingale, and so is the average over a grid of bets: by Ville's inequality
//! it ever exceeds 1/a with a probability of at most a. The lower limit is the least m that is not
//! ruled out; `w (1 - r)`, whose mean is 1 minus the value, gives the upper one. No bound on the
//! weights is needed.
//! Karampatziakis, Mineiro and Ramdas (2021): Off-policy confidence sequences, ICML; Waudby-Smith,
//! Wu, Ramdas, Karampatziakis and Mineiro (2024): Anytime-valid off-policy inference for contextual
//! bandits, ACM/IMS Journal of Data Science; Waudby-Smith and Ramdas (2024), JRSS B 86, 1-27.

use super::intervals::Interval;
use super::logged::Log;
use crate::statistics::root;

/// The bets are as many powers of a quarter, from 1 on: heavy weights need small ones.
const BETS: i32 = 11;

/// Of the mean reward, in the log's units; `level` is split over both sides.
pub(super) fn of_value(log: &Log, weights: &[f64], level: f64) -> Interval {
    let shares = || log.decisions.iter().map(|decision| log.rewards.share(decision.reward));
    let weighted = |value: fn(f64) -> f64| -> Vec<f64> {
        shares().zip(weights).map(|(share, weight)| weight * value(share)).collect()
    };
    let low = lower_limit(&weighted(|share| share), 0.0, level / 2.0);
    let high = 1.0 - lower_limit(&weighted(|share| 1.0 - share), 0.0, level / 2.0);
    Interval {
        low: log.rewards.low + log.rewards.span() * low.min(high),
        high: log.rewards.low + log.rewards.span() * high.max(low),
    }
}

/// Of candidate minus baseline. Beside the policy that was logged, whose weights are 1, it is that
/// of `(w - 1) r`, which is never below -1; beside another one it is that of both values, each at
/// half the level.
pub(super) fn of_gain(log: &Log, candidate: &[f64], baseline: &[f64], level: f64) -> Interval {
    if baseline.iter().any(|weight| (weight - 1.0).abs() > 1e-9) {
        let [one, other] = [candidate, baseline].map(|weights| of_value(log, weights, level / 2.0));
        return Interval { low: one.low - other.high, high: one.high - other.low };
    }
    let shares = || log.decisions.iter().map(|decision| log.rewards.share(decision.reward));
    let gains = |value: fn(f64) -> f64| -> Vec<f64> {
        shares().zip(candidate).map(|(share, weight)| (weight - 1.0) * value(share)).collect()
    };
    let low = lower_limit(&gains(|share| share), 1.0, level / 2.0);
    let high = -lower_limit(&gains(|share| 1.0 - share), 1.0, level / 2.0);
    Interval { low: log.rewards.span() * low.min(high), high: log.rewards.span() * high.max(low) }
}

/// The lower limit of the mean of values that are at least `-loss`, and whose mean is at most 1.
fn lower_limit(values: &[f64], loss: f64, level: f64) -> f64 {
    let alike = alike(values);
    let wanted = -level.ln();
    root::of_increasing(|mean| wanted - log_capital(&alike, mean, loss), 1e-9 - loss, 1.0)
}

/// Values with how often each occurred: most rewards are one of few.
fn alike(values: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let groups = sorted.chunk_by(|one, other| one.to_bits() == other.to_bits());
    groups.map(|group| (group[0], group.len() as f64)).collect()
}

/// The logarithm of the average capital of the bets against "the mean is at most this".
fn log_capital(values: &[(f64, f64)], mean: f64, loss: f64) -> f64 {
    let capital = |power: i32| {
        let bet = 0.25f64.powi(power) / (mean + loss);
        let grown = values.iter().map(|(value, times)| {
            // slightly below -1 is a rounding error of a bet whose capital is zero
            times * (bet * (value - mean)).max(-1.0).ln_1p()
        });
        grown.sum::<f64>()
    };
    let each: Vec<f64> = (0..BETS).map(capital).collect();
    let largest = each.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest.is_infinite() {
        return largest;
    }
    largest + (each.iter().map(|one| (one - largest).exp()).sum::<f64>() / each.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::super::logged::{Decision, Log, Range};
    use super::*;
    use crate::statistics::bootstrap::SplitMix64;
    use serde_json::Value;

    /// Two arms whose rewards have these chances, logged by a policy that chooses the second one
    /// with a chance that drifts.
    fn log(random: &mut SplitMix64, length: usize, chances: [f64; 2]) -> (Log, Vec<f64>) {
        let mut decisions = Vec::new();
        let mut weights = Vec::new();
        for index in 0..length {
            let second = 0.1 + 0.3 * (index as f64 / length as f64);
            let arm = usize::from(random.unit() < second);
            let propensity = [1.0 - second, second][arm];
            let reward = f64::from(u8::from(random.unit() < chances[arm]));
            decisions.push(Decision { arm, reward, propensity, context: Value::Null });
            weights.push(0.5 / propensity);
        }
        let arms = vec!["a".to_owned(), "b".to_owned()];
        (Log { arms, decisions, rewards: Range::UNIT }, weights)
    }

    #[test]
    fn value_is_in_the_sequence_at_every_look() {
        const HISTORIES: usize = 100;
        let mut random = SplitMix64::new(11);
        let value = f64::midpoint(0.2, 0.6);
        let missed = (0..HISTORIES)
            .filter(|_| {
                let (whole, weights) = log(&mut random, 120, [0.2, 0.6]);
                (1..=6).any(|look| {
                    let seen = look * 20;
                    let decisions = whole.decisions[..seen].to_vec();
                    let log = Log { decisions, ..whole.clone() };
                    let Interval { low, high } = of_value(&log, &weights[..seen], 0.1);
                    value < low || high < value
                })
            })
            .count();
        assert!(missed <= HISTORIES / 10, "{missed}");
    }

    #[test]
    fn gain_over_the_logged_policy_is_found() {
        let mut random = SplitMix64::new(5);
        let (log, _) = log(&mut random, 4_000, [0.2, 0.6]);
        let weights: Vec<f64> = log
            .decisions
            .iter()
            .map(|decision| if decision.arm == 1 { 1.0 / decision.propensity } else { 0.0 })
            .collect();
        let ones = vec![1.0; weights.len()];
        let gain = of_gain(&log, &weights, &ones, 0.05);
        // the second arm instead of it a quarter of the time
        assert!(gain.low > 0.15 && gain.low < 0.3 && gain.high > 0.3, "{gain:?}");
        let same = of_gain(&log, &ones, &ones, 0.05);
        assert!(same.low <= 0.0 && same.high >= 0.0 && same.high < 0.01, "{same:?}");
        let apart = of_gain(&log, &weights, &weights, 0.05);
        assert!(apart.low < 0.0 && apart.high > 0.0, "{apart:?}");
    }
}
