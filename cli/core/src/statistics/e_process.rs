//! Betting against "no gain": an e-process for the mean of bounded differences.
//!
//! Under the null that the mean gain is at most `bound`, each product of `1 + bet * (gain - bound)`
//! is a test supermartingale, and so is their average over a fixed grid of bets. By Ville's
//! inequality it ever reaches 1/a with probability at most a: it may be evaluated after every case.
//! Waudby-Smith and Ramdas (2024): Estimating means of bounded random variables by betting, JRSS B
//! 86, 1-27; Ville (1939).
//!
//! Two readings of the null are covered: cases drawn from a population whose mean gain is at most
//! `bound`, with any number of interim analyses; and a fixed set of cases, with answers that are
//! random and independent, whose average gain is at most `bound` (a product of `1 + u_i` is at most
//! e to the sum of the `u_i`). The product does not depend on the order of the cases.

use super::root;

/// The bets, as shares of the largest one that cannot lose more than all. Small ones win with small
/// gains among many flips, large ones with clear gains on few cases.
const BETS: [f64; 12] = [0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0];

/// The logarithm of the capital of each bet, starting from one unit.
#[derive(Debug, Clone, PartialEq)]
pub struct EProcess {
    bound: f64,
    logs: [f64; BETS.len()],
}

impl EProcess {
    /// Bets against "the mean gain is at most `bound`"; gains are in [-1, 1], and `bound` in (-1,
    /// 1).
    pub const fn against(bound: f64) -> Self {
        Self { bound, logs: [0.0; BETS.len()] }
    }

    /// Of weights and gains, weights as shares of the largest.
    pub fn of(bound: f64, pairs: &[(f64, f64)]) -> Self {
        Self::of_alike(bound, &alike(pairs))
    }

    fn of_alike(bound: f64, alike: &[Alike]) -> Self {
        let largest = alike.iter().map(|alike| alike.weight).fold(0.0, f64::max);
        let mut process = Self::against(bound);
        for Alike { weight, gain, cases } in alike.iter().filter(|alike| alike.weight > 0.0) {
            process.take_all(weight / largest, *gain, *cases as f64);
        }
        process
    }

    /// Takes one case in; its weight is a share, in (0, 1].
    pub fn take(&mut self, weight: f64, gain: f64) {
        self.take_all(weight, gain, 1.0);
    }

    fn take_all(&mut self, weight: f64, gain: f64, cases: f64) {
        let shifted = weight * (gain - self.bound) / (1.0 + self.bound);
        for (log, bet) in self.logs.iter_mut().zip(BETS) {
            // slightly below zero is a rounding error of a bet whose capital is zero
            *log += cases * (bet * shifted).max(-1.0).ln_1p();
        }
    }

    /// The logarithm of the evidence: an e-value.
    pub fn log(&self) -> f64 {
        self.repeated(1.0)
    }

    /// The process if every case had been observed this many times.
    fn repeated(&self, times: f64) -> f64 {
        let largest = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max) * times;
        if largest.is_infinite() {
            return largest;
        }
        let sum: f64 = self.logs.iter().map(|log| (log * times - largest).exp()).sum();
        largest + (sum / BETS.len() as f64).ln()
    }

    /// The factor by which more cases like these would bring the logarithm to `wanted`; `None`
    /// where no number would.
    pub fn times_until(&self, wanted: f64) -> Option<f64> {
        /// An upper bound of a useful forecast.
        const MOST: f64 = 1e6;
        (self.repeated(MOST) >= wanted)
            .then(|| root::of_increasing(|times| self.repeated(times) - wanted, 1.0, MOST))
    }
}

/// Cases that weigh and gain the same.
#[derive(Debug, Clone, Copy)]
struct Alike {
    weight: f64,
    gain: f64,
    cases: usize,
}

/// Scores are few where cases are many: a tier of thousands has a handful of gains.
fn alike(pairs: &[(f64, f64)]) -> Vec<Alike> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
    let groups = sorted.chunk_by(|one, other| {
        one.0.to_bits() == other.0.to_bits() && one.1.to_bits() == other.1.to_bits()
    });
    groups.map(|group| Alike { weight: group[0].0, gain: group[0].1, cases: group.len() }).collect()
}

/// Both one-sided bounds for the mean gain, each at this level: what an e-process at 1/level does
/// not rule out.
pub fn interval(pairs: &[(f64, f64)], level: f64) -> (f64, f64) {
    let gains = alike(pairs);
    let losses: Vec<_> = gains.iter().map(|alike| Alike { gain: -alike.gain, ..*alike }).collect();
    (lower_bound(&gains, level), -lower_bound(&losses, level))
}

/// The lower limit of the mean of values in [0, 1], given with how often each occurred: above the
/// mean with at most this chance, however many values there are.
pub fn lower_limit(values: &[(f64, u64)], level: f64) -> f64 {
    // the same values on [-1, 1], which the bets are made for
    let alike: Vec<_> = values
        .iter()
        .map(|(value, times)| Alike {
            weight: 1.0,
            gain: 2.0 * value - 1.0,
            cases: usize::try_from(*times).unwrap_or(usize::MAX),
        })
        .collect();
    (f64::midpoint(lower_bound(&alike, level), 1.0)).max(0.0)
}

fn lower_bound(gains: &[Alike], level: f64) -> f64 {
    let wanted = -level.ln();
    root::of_increasing(
        |bound| wanted - EProcess::of_alike(bound, gains).log(),
        -1.0 + 1e-9,
        1.0 - 1e-9,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::bootstrap::SplitMix64;
    use proptest::prelude::*;

    #[test]
    fn e_process_is_a_supermartingale_under_the_null() {
        // all 3^7 outcomes of a null with mean `bound`, each by its chance: the mean of the
        // e-values is at most 1
        for bound in [-0.2, 0.0, 0.25] {
            let (up, down) = (0.3 + bound / 2.0, 0.3 - bound / 2.0);
            let mean: f64 = (0..3u32.pow(7))
                .map(|mut code| {
                    let mut process = EProcess::against(bound);
                    let mut chance = 1.0;
                    for _ in 0..7 {
                        let (gain, share) =
                            [(1.0, up), (0.0, 1.0 - up - down), (-1.0, down)][(code % 3) as usize];
                        process.take(1.0, gain);
                        chance *= share;
                        code /= 3;
                    }
                    chance * process.log().exp()
                })
                .sum();
            assert!((mean - 1.0).abs() < 1e-12, "{bound}: {mean}");
        }
    }

    #[test]
    fn null_holds_for_the_average_of_fixed_cases() {
        // half of the cases gain for sure, half lose for sure: no gain on average, and no evidence
        // for one
        let pairs: Vec<_> =
            (0..20).map(|case| (1.0, if case % 2 == 0 { 0.5 } else { -0.5 })).collect();
        assert!(EProcess::of(0.0, &pairs).log() < 0.0);
    }

    #[test]
    fn insufficient_evidence_is_distinguished_from_futility() {
        let gains = [1.0, 1.0, 0.0, 0.0, -1.0].map(|gain| (1.0, gain));
        let process = EProcess::of(0.0, &gains);
        let times = process.times_until(40f64.ln()).unwrap();
        let grown = |times: usize| EProcess::of(0.0, &gains.repeat(times)).log();
        let enough = (1..1_000).find(|times| grown(*times) >= 40f64.ln()).unwrap();
        assert!((times - enough as f64).abs() <= 1.0, "{times} is not about {enough}");
        assert_eq!(EProcess::of(0.0, &[(1.0, -0.5), (1.0, 0.25)]).times_until(3.0), None);
    }

    #[test]
    fn false_alarms_under_peeking_stay_below_the_level() {
        const HISTORIES: usize = 1_000;
        let mut random = SplitMix64::new(7);
        let alarms = (0..HISTORIES)
            .filter(|_| {
                let mut process = EProcess::against(0.0);
                (0..300).any(|_| {
                    let [old, new] = [(); 2].map(|()| f64::from(u8::from(random.unit() < 0.6)));
                    process.take(1.0, new - old);
                    process.log() >= 20f64.ln()
                })
            })
            .count();
        assert!(alarms <= HISTORIES / 20, "{alarms}");
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(mut gains in prop::collection::vec((0.1..3.0f64, -1.0..1.0f64),
            1..40), bound in -0.5..0.5f64) {
            let one = EProcess::of(bound, &gains).log();
            gains.reverse();
            let other = EProcess::of(bound, &gains).log();
            prop_assert!((one - other).abs() < 1e-9);
        }

        #[test]
        fn the_bounds_hold_the_observed_gain(gains in prop::collection::vec((1.0..2.0f64,
            -1.0..1.0f64), 2..60)) {
            let (sum, weight) = gains.iter().fold((0.0, 0.0), |(sum, total), (weight,
                gain)| (sum + weight * gain, total + weight));
            let (low, high) = interval(&gains, 0.05);
            prop_assert!(low <= sum / weight && sum / weight <= high, "{low} {high}");
        }
    }
}
