//! Has a mean fallen? Tests that may be looked at after every batch, over values in [0, 1].
//!
//! An e-detector bets that the mean is below a bound, from every batch on: each start has a capital
//! of 1 and multiplies it by `1 + bet * (bound - value) / (1 - bound)`, which has a mean of at most
//! 1 while the mean of the values, given what came before, is at least the bound. The
//! Shiryaev-Roberts form adds the capitals of all starts up, the CUSUM form takes the largest.
//! Either is at most the number of starts in expectation, so a threshold of c is reached, while
//! nothing has changed, after c batches or more on average: the average run length to a false alarm
//! is at least c. Shin, Ramdas, Rinaldo (2024): E-detectors: a nonparametric framework for
//! sequential change detection, New England Journal of Statistics in Data Science 2(2), 229-260,
//! theorem 2.4. A mixture of detectors over a grid of bets is one again.
//!
//! Page-Hinkley is the cheap choice: a cumulative sum against a mean and a slack that are given,
//! without a bound on its false alarms. Page (1954): Continuous inspection schemes, Biometrika 41,
//! 100-115.

/// The bets as shares of the largest one that cannot lose more than all: small ones for small falls
/// of frequent values, and for rare errors.
const BETS: [f64; 9] = [0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 0.9];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    ShiryaevRoberts,
    Cusum,
}

/// One bet: logarithms of its detector, and of its largest single start.
#[derive(Debug, Clone, Copy)]
struct Bet {
    share: f64,
    detector: f64,
    largest: f64,
    /// When the start with the largest capital was.
    began: u64,
}

/// A test of "the mean is at least the bound", begun anew with every batch.
#[derive(Debug, Clone)]
pub struct EDetector {
    bound: f64,
    form: Form,
    bets: [Bet; BETS.len()],
}

impl EDetector {
    /// `None` where no value can be below the bound, or none above.
    pub fn below(bound: f64, form: Form) -> Option<Self> {
        let bet = |share| Bet {
            share,
            detector: f64::NEG_INFINITY,
            largest: f64::NEG_INFINITY,
            began: 0,
        };
        (bound > 0.0 && bound < 1.0).then(|| Self { bound, form, bets: BETS.map(bet) })
    }

    /// Takes what happened from `at` on: values with how often each occurred.
    pub fn take(&mut self, at: u64, values: &[(f64, u64)]) {
        for bet in &mut self.bets {
            let factor: f64 = values
                .iter()
                .map(|(value, times)| {
                    let gain = bet.share * (self.bound - value) / (1.0 - self.bound);
                    gain.ln_1p() * *times as f64
                })
                .sum();
            bet.detector = factor
                + match self.form {
                    Form::ShiryaevRoberts => ln_one_plus_exp(bet.detector),
                    Form::Cusum => bet.detector.max(0.0),
                };
            if bet.largest <= 0.0 {
                bet.largest = 0.0;
                bet.began = at;
            }
            bet.largest += factor;
        }
    }

    /// The logarithm of the detector.
    pub fn log(&self) -> f64 {
        let logs = self.bets.map(|bet| bet.detector);
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if largest.is_infinite() {
            return largest;
        }
        let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
        largest + (sum / BETS.len() as f64).ln()
    }

    /// When the mean fell, by what has the most evidence.
    pub fn began(&self) -> u64 {
        let most = self.bets.iter().max_by(|one, two| one.largest.total_cmp(&two.largest));
        most.map_or(0, |bet| bet.began)
    }
}

/// ln(1 + e^x), for any x.
fn ln_one_plus_exp(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Page-Hinkley's test of a fall below `mean` by more than `slack`.
#[derive(Debug, Clone)]
pub struct PageHinkley {
    mean: f64,
    slack: f64,
    sum: f64,
    least: f64,
    began: u64,
    is_at_least: bool,
}

impl PageHinkley {
    pub const fn below(mean: f64, slack: f64) -> Self {
        Self { mean, slack, sum: 0.0, least: 0.0, began: 0, is_at_least: true }
    }

    pub fn take(&mut self, at: u64, values: &[(f64, u64)]) {
        if self.is_at_least {
            self.began = at;
        }
        for (value, times) in values {
            self.sum += (self.mean - self.slack - value) * *times as f64;
        }
        self.is_at_least = self.sum <= self.least;
        self.least = self.least.min(self.sum);
    }

    /// How far the sum is above its least value, in units of the values.
    pub fn statistic(&self) -> f64 {
        self.sum - self.least
    }

    pub const fn began(&self) -> u64 {
        self.began
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::bootstrap::SplitMix64;

    const THRESHOLD: f64 = 500.0;

    /// Batches of `size` values that are 1 with this chance.
    fn batch(random: &mut SplitMix64, size: u64, chance: f64) -> Vec<(f64, u64)> {
        let ones = (0..size).filter(|_| random.unit() < chance).count() as u64;
        vec![(1.0, ones), (0.0, size - ones)]
    }

    fn run_length(random: &mut SplitMix64, form: Form, chance: f64, most: u64) -> u64 {
        let mut detector = EDetector::below(0.9, form).unwrap();
        (1..most)
            .find(|at| {
                detector.take(*at, &batch(random, 5, chance));
                detector.log() >= THRESHOLD.ln()
            })
            .unwrap_or(most)
    }

    #[test]
    fn false_alarms_are_as_rare_as_promised() {
        let mut random = SplitMix64::new(11);
        for form in [Form::ShiryaevRoberts, Form::Cusum] {
            // at the bound itself, which is the worst case of what is promised
            const HISTORIES: u64 = 100;
            let sum: u64 = (0..HISTORIES).map(|_| run_length(&mut random, form, 0.9, 5_000)).sum();
            let mean = sum as f64 / HISTORIES as f64;
            assert!(mean >= THRESHOLD, "{form:?}: {mean}");
        }
    }

    #[test]
    fn a_detector_of_one_batch_has_a_mean_of_at_most_one() {
        // every outcome of a batch of 4 by its chance
        for bound in [0.2, 0.9, 0.99] {
            let mean: f64 = (0..=4u64)
                .map(|ones| {
                    let ways = [1.0, 4.0, 6.0, 4.0, 1.0][usize::try_from(ones).unwrap()];
                    let bad = i32::try_from(4 - ones).unwrap();
                    let good = i32::try_from(ones).unwrap();
                    let chance = ways * f64::powi(bound, good) * f64::powi(1.0 - bound, bad);
                    let mut detector = EDetector::below(bound, Form::ShiryaevRoberts).unwrap();
                    detector.take(0, &[(1.0, ones), (0.0, 4 - ones)]);
                    chance * detector.log().exp()
                })
                .sum();
            assert!((mean - 1.0).abs() < 1e-12, "{bound}: {mean}");
        }
    }

    #[test]
    fn a_fall_is_found_and_dated() {
        let mut random = SplitMix64::new(3);
        for form in [Form::ShiryaevRoberts, Form::Cusum] {
            let mut detector = EDetector::below(0.9, form).unwrap();
            let mut page_hinkley = PageHinkley::below(0.95, 0.02);
            let found = (0..2_000u64).find(|at| {
                let batch = batch(&mut random, 5, if *at < 1_000 { 0.95 } else { 0.75 });
                detector.take(*at, &batch);
                page_hinkley.take(*at, &batch);
                detector.log() >= 10_000f64.ln()
            });
            let found = found.unwrap();
            assert!((1_000..1_100).contains(&found), "{form:?}: {found}");
            assert!(detector.began().abs_diff(1_000) < 30, "{form:?}: {}", detector.began());
            assert!(page_hinkley.statistic() > 10.0);
            assert!(page_hinkley.began().abs_diff(1_000) < 30, "{}", page_hinkley.began());
        }
    }

    #[test]
    fn a_bound_that_nothing_can_be_below_has_no_detector() {
        assert!(EDetector::below(0.0, Form::Cusum).is_none());
        assert!(EDetector::below(1.0, Form::Cusum).is_none());
        assert!(EDetector::below(f64::NAN, Form::Cusum).is_none());
    }
}
