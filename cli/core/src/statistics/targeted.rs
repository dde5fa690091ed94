//! Bets that aim at a level within a known number of cases: an e-process against "no gain".
//!
//! A mixture of fixed bets (`e_process`) is made for a sample without an end. Here the number of
//! cases and the level are fixed before the first case is looked at, and the bets aim at them. With
//! the capital `K`, the target `T` and `V` the sum of squares that the remaining cases are expected
//! to have, the next bet is
//!
//! ```text
//! φ(z) / (Φ(-z) √V), at most 1, where Φ(-z) = K/T
//! ```
//!
//! the share of its value that a hedge of a digital option holds: it multiplies the capital to `T`
//! where the sum of the gains ends above the critical value of a test of fixed size, and loses it
//! otherwise. Shafer and Vovk (2019): Game-Theoretic Foundations for Probability and Finance, on
//! replication of an option's payoff; Voráček and Orabona (2025): STaR-Bets: Sequential
//! Target-Recalculating Bets for Tighter Confidence Intervals, on bets recalculated from the
//! capital, the target and the remaining cases.
//!
//! **Validity.** A bet is a function of the weights, the level and the results before its case,
//! and in [0, 1]. So the factor `1 + bet * (gain - bound)` is never negative, and where the
//! expected gain of the next case, given those before, is at most `bound`, its expectation is at
//! most 1: the product is a supermartingale that starts at 1, and an e-process (Ville, 1939;
//! Waudby-Smith and Ramdas, 2024). That holds for any estimate of `V`: a bad one costs power alone.
//! Two nulls are covered: cases drawn from a population whose mean gain is at most `bound`, and a
//! fixed set of cases of which none gains more than `bound` on average over its random answers. Of
//! a fixed set where gains of some cases make up for losses of others, the order of the cases has
//! to be as good as random; there the expectation is at most 1 by enumeration of small sets (the
//! tests) and by simulation (`just bench-gate`), not by proof.
//!
//! **The mixture.** A share of the capital is bet by the fixed bets as before. It gives evidence
//! beyond the target, and the confidence limit of the gain. A weighted average of e-processes is
//! one.

use super::e_process::{self, EProcess};
use super::{normal, root};

/// The share of the capital that aims at the level. The rest costs that much of the level: a
/// twentieth of the cases.
const SHARE: f64 = 0.9;
/// The target exceeds the inverse of the level by this share, so that rounding does not miss it.
const SLACK: f64 = 1e-9;
/// The prior of the mean square of a gain, and the number of cases it counts for: about that of
/// pass/fail at a rate of 0.8 on both sides.
const SQUARE: f64 = 0.3;
const PRIOR_CASES: f64 = 4.0;

/// A case and the bet on it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stake {
    weight: f64,
    gain: f64,
    bet: f64,
}

impl Stake {
    /// The logarithm of the factor of the capital, for this bound.
    fn log(&self, bound: f64) -> f64 {
        // slightly below -1 is a rounding error of a bet that loses all
        (self.bet * shifted(self.weight, self.gain, bound)).max(-1.0).ln_1p()
    }
}

/// A gain beyond the bound, as a share of the largest loss.
fn shifted(weight: f64, gain: f64, bound: f64) -> f64 {
    weight * (gain - bound) / (1.0 + bound)
}

/// Evidence against "the mean gain is at most `bound`", for one level and a known set of weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Targeted {
    bound: f64,
    mixture: EProcess,
    /// The capital that the targeted bets end at.
    target: f64,
    capital: f64,
    /// The sum of the squared weights of the cases to come.
    rest: f64,
    /// Of the gains so far, unweighted, with the prior.
    squares: f64,
    cases: f64,
    stakes: Vec<Stake>,
}

impl Targeted {
    /// `squared_weights` is the sum over all cases to come; their number, where each weighs 1.
    /// Gains are in [-1, 1], `bound` in (-1, 1), `level` in (0, 1), weights in (0, 1].
    pub fn new(bound: f64, level: f64, squared_weights: f64) -> Self {
        Self {
            bound,
            mixture: EProcess::against(bound),
            target: (1.0 + SLACK) / (SHARE * level),
            capital: 1.0,
            rest: squared_weights,
            squares: PRIOR_CASES * SQUARE,
            cases: PRIOR_CASES,
            stakes: Vec::new(),
        }
    }

    /// Of weights and gains in the order of the bets, weights as shares of the largest.
    pub fn of(bound: f64, level: f64, pairs: &[(f64, f64)]) -> Self {
        let largest = pairs.iter().map(|(weight, _)| *weight).fold(0.0, f64::max);
        let shares = || {
            pairs
                .iter()
                .filter(|(weight, _)| *weight > 0.0)
                .map(|(weight, gain)| (weight / largest, *gain))
        };
        let squared_weights = shares().map(|(weight, _)| weight * weight).sum();
        let mut process = Self::new(bound, level, squared_weights);
        shares().for_each(|(weight, gain)| process.take(weight, gain));
        process
    }

    /// Takes the next case in.
    pub fn take(&mut self, weight: f64, gain: f64) {
        let stake = Stake { weight, gain, bet: self.bet(weight) };
        let unweighted = shifted(1.0, gain, self.bound);
        self.capital *= stake.log(self.bound).exp();
        self.rest -= weight * weight;
        self.squares += unweighted * unweighted;
        self.cases += 1.0;
        self.mixture.take(weight, gain);
        self.stakes.push(stake);
    }

    /// The bet on a case of this weight.
    fn bet(&self, weight: f64) -> f64 {
        let reached = self.capital / self.target;
        // rounding leaves the rest of no cases slightly off zero
        if reached >= 1.0 - 1e-12 || reached <= 1e-300 || self.rest <= 1e-9 {
            return 0.0;
        }
        let remaining = self.rest * self.squares / self.cases;
        let most = shifted(weight, 1.0, self.bound);
        (hazard(reached) / remaining.sqrt()).min(1.0).min((1.0 / reached - 1.0) / most)
    }

    /// The logarithm of the evidence: an e-value.
    pub fn log(&self) -> f64 {
        average(self.capital.ln(), self.mixture.log())
    }

    /// Both one-sided confidence limits of the mean gain of the cases taken, each at the level. The
    /// upper one is the mixture's alone.
    pub fn interval(&self, level: f64) -> (f64, f64) {
        let pairs: Vec<_> = self.stakes.iter().map(|stake| (stake.weight, stake.gain)).collect();
        (self.lower_limit(level, &pairs), e_process::interval(&pairs, level).1)
    }

    /// Where the bounds end that the same bets reject: each factor decreases in the bound, and so
    /// does the evidence.
    fn lower_limit(&self, level: f64, pairs: &[(f64, f64)]) -> f64 {
        let evidence = |bound: f64| {
            let targeted = self.stakes.iter().map(|stake| stake.log(bound)).sum();
            average(targeted, EProcess::of(bound, pairs).log())
        };
        root::of_increasing(|bound| -level.ln() - evidence(bound), -1.0 + 1e-9, 1.0 - 1e-9)
    }
}

/// The logarithm of the weighted average of two e-values.
fn average(targeted: f64, mixture: f64) -> f64 {
    let (one, other) = (SHARE.ln() + targeted, (1.0 - SHARE).ln() + mixture);
    let (high, low) = (one.max(other), one.min(other));
    if high == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// The factor by which the number of cases like these has to grow until the level is reached;
/// `None` where no number would do. The cases are repeated in their order.
pub fn times_until(bound: f64, level: f64, pairs: &[(f64, f64)]) -> Option<f64> {
    /// More than these are not tried: the normal approximation is as good by then.
    const TRIED: f64 = 20_000.0;
    /// An upper bound of a useful forecast.
    const MOST: f64 = 1e6;
    let times = by_normal_approximation(bound, level, pairs).filter(|times| *times <= MOST)?;
    let number = pairs.len() as f64;
    if times * number > TRIED {
        return Some(times);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of cases, from 0 and at most TRIED"
    )]
    let by_approximation = (0.8 * times * number) as usize;
    let mut cases = pairs.len().max(by_approximation) + 1;
    while !is_reached(bound, level, pairs.iter().copied().cycle().take(cases)) {
        cases += 1 + cases / 16;
        if cases as f64 > 2.0 * TRIED {
            return None;
        }
    }
    Some(cases as f64 / number)
}

fn is_reached(bound: f64, level: f64, pairs: impl Iterator<Item = (f64, f64)>) -> bool {
    Targeted::of(bound, level, &pairs.collect::<Vec<_>>()).log() >= -level.ln()
}

/// The factor that a test of the sum of gains would need, at the level that the bets aim at.
fn by_normal_approximation(bound: f64, level: f64, pairs: &[(f64, f64)]) -> Option<f64> {
    let (sum, squares) = pairs.iter().fold((0.0, 0.0), |(sum, squares), (weight, gain)| {
        let gain = shifted(*weight, *gain, bound);
        (sum + gain, squares + gain * gain)
    });
    let wanted = normal::quantile(1.0 - SHARE * level);
    (sum > 0.0).then(|| wanted * wanted * squares / (sum * sum))
}

/// φ(z) / Φ(-z) where Φ(-z) is `tail`: by the rational approximation of z in Abramowitz and Stegun
/// (1964), 26.2.23, to 4.5e-4. An error changes a bet, and never its validity.
fn hazard(tail: f64) -> f64 {
    let root = (-2.0 * tail.min(1.0 - tail).ln()).sqrt();
    let above = 2.515_517 + root * (0.802_853 + root * 0.010_328);
    let below = 1.0 + root * (1.432_788 + root * (0.189_269 + root * 0.001_308));
    // of either tail: φ is symmetric
    let z = root - above / below;
    (-0.5 * z * z).exp() / ((2.0 * std::f64::consts::PI).sqrt() * tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::bootstrap::SplitMix64;
    use proptest::prelude::*;

    const GAINS: [f64; 3] = [1.0, 0.0, -1.0];

    /// The expected e-value of cases with these chances of each gain, over all outcomes.
    fn expected(bound: f64, level: f64, cases: &[(f64, [f64; 3])]) -> f64 {
        let outcomes = 3u32.pow(u32::try_from(cases.len()).unwrap());
        let of = |mut code: u32| {
            let mut chance = 1.0;
            let pairs: Vec<_> = cases
                .iter()
                .map(|(weight, chances)| {
                    let gain = (code % 3) as usize;
                    code /= 3;
                    chance *= chances[gain];
                    (*weight, GAINS[gain])
                })
                .collect();
            // an impossible outcome has no evidence to count
            if chance > 0.0 { chance * Targeted::of(bound, level, &pairs).log().exp() } else { 0.0 }
        };
        (0..outcomes).map(of).sum()
    }

    /// A case that changes with this chance, and gains `mean` on average.
    fn case(changes: f64, mean: f64) -> [f64; 3] {
        [f64::midpoint(changes, mean), 1.0 - changes, f64::midpoint(changes, -mean)]
    }

    #[test]
    fn expected_e_value_is_one_under_the_null() {
        for bound in [-0.2, 0.0, 0.25] {
            for level in [0.2, 0.025, 1e-4] {
                for changes in [0.3, 0.6, 1.0] {
                    let cases = [(1.0, case(changes, bound)); 7];
                    let mean = expected(bound, level, &cases);
                    assert!((mean - 1.0).abs() < 1e-9, "{bound} {level} {changes}: {mean}");
                }
            }
        }
    }

    /// Every order of a set of cases that gain nothing on average, though each of them does.
    fn mean_over_orders(level: f64, cases: &mut Vec<(f64, [f64; 3])>, from: usize) -> (f64, u32) {
        if from == cases.len() {
            return (expected(0.0, level, cases), 1);
        }
        let (mut sum, mut orders) = (0.0, 0);
        for at in from..cases.len() {
            cases.swap(from, at);
            let (part, count) = mean_over_orders(level, cases, from + 1);
            (sum, orders) = (sum + part, orders + count);
            cases.swap(from, at);
        }
        (sum, orders)
    }

    #[test]
    fn cases_that_make_up_for_one_another_in_random_order_are_no_evidence() {
        let sets =
            [vec![(1.0, 1.0); 3], vec![(1.0, 0.4), (0.5, 0.5)], vec![(0.6, 0.3), (0.2, 0.05)]];
        for level in [0.3, 0.1, 0.025] {
            for set in &sets {
                let mut cases: Vec<_> = set
                    .iter()
                    .flat_map(|(changes, mean)| [case(*changes, *mean), case(*changes, -mean)])
                    .map(|chances| (1.0, chances))
                    .collect();
                let (sum, orders) = mean_over_orders(level, &mut cases, 0);
                let mean = sum / f64::from(orders);
                assert!(mean <= 1.0 + 1e-9, "{level} {set:?}: {mean}");
            }
        }
    }

    #[test]
    fn bets_end_at_the_target_and_the_mixture_goes_on() {
        let level = 0.05;
        let gains = |cases| vec![(1.0, 1.0); cases];
        let of = |cases: usize| Targeted::of(0.0, level, &gains(cases));
        assert!(of(4).log() < -level.ln(), "four gains in a row are chance at one in sixteen");
        assert!(of(5).log() >= -level.ln());
        assert!(of(40).log() > of(20).log() && of(20).log() > of(5).log());
        assert!((of(40).capital - of(40).target).abs() < 1e-9 * of(40).target);
        assert!(of(200).interval(level).0 > of(20).interval(level).0);
    }

    #[test]
    fn forecast_is_the_number_of_cases_that_suffices() {
        let pairs = [1.0, 0.0, 1.0, -1.0, 0.0].map(|gain| (1.0, gain));
        let times = times_until(0.0, 0.025, &pairs).unwrap();
        assert!(times > 2.0 && times < 40.0, "{times}");
        assert_eq!(times_until(0.0, 0.025, &pairs.map(|(weight, gain)| (weight, -gain))), None);
    }

    #[test]
    fn hazard_is_that_of_the_normal_distribution() {
        for z in [-2.0, -0.5, 0.1, 1.0, 2.5, 5.0] {
            let tail = normal::tail(z);
            let exact = (-0.5_f64 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt() / tail;
            assert!((hazard(tail) / exact - 1.0).abs() < 3e-3, "{z}: {} {exact}", hazard(tail));
        }
    }

    /// The share of samples of a gain that is shown, by the targeted bets and by the mixture.
    #[test]
    fn more_gains_are_shown_than_by_the_mixture_alone() {
        const RUNS: usize = 400;
        let level: f64 = 0.025;
        let mut random = SplitMix64::new(3);
        let mut shown = [0; 2];
        for _ in 0..RUNS {
            let mut pass = |rate: f64| f64::from(u8::from(random.unit() < rate));
            let pairs: Vec<_> = (0..340).map(|_| (1.0, pass(0.8) - pass(0.7))).collect();
            let logs = [Targeted::of(0.0, level, &pairs).log(), EProcess::of(0.0, &pairs).log()];
            for (count, log) in shown.iter_mut().zip(logs) {
                *count += usize::from(log >= -level.ln());
            }
        }
        let [targeted, mixture] = shown.map(|count| count as f64 / RUNS as f64);
        assert!(targeted > 0.75 && mixture < 0.55, "{targeted} {mixture}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn no_case_that_gains_nothing_is_evidence(
            cases in prop::collection::vec((0.1..=1.0f64, 0.0..=1.0f64, 0.0..=1.0f64), 1..7),
            bound in -0.5..0.5f64,
            level in 0.001..0.5f64,
        ) {
            // each gains at most the bound, by a chance of its own
            let cases: Vec<_> = cases
                .iter()
                .map(|(weight, share, less)| {
                    let mean = bound - less * (1.0 + bound);
                    (*weight, case(mean.abs() + share * (1.0 - mean.abs()), mean))
                })
                .collect();
            let mean = expected(bound, level, &cases);
            prop_assert!(mean <= 1.0 + 1e-9, "{}", mean);
        }

        #[test]
        fn limit_exceeds_the_bound_where_the_level_is_reached(
            gains in prop::collection::vec((0.5..2.0f64, -0.6..1.0f64), 2..60),
            bound in -0.3..0.3f64,
        ) {
            let process = Targeted::of(bound, 0.05, &gains);
            let (low, high) = process.interval(0.05);
            prop_assert_eq!(process.log() >= -0.05_f64.ln(), low >= bound - 1e-9);
            let (sum, weight) = gains.iter().fold((0.0, 0.0), |(sum, total), (weight, gain)| {
                (sum + weight * gain, total + weight)
            });
            prop_assert!(low <= high && sum / weight <= high, "{} {}", low, high);
        }
    }
}
