//! The paired bootstrap of a weighted mean (Efron, 1979), by percentiles (Efron and Tibshirani,
//! 1993, chapter 13).
//!
//! It is deterministic: the generator is seeded by the data, so that equal results give the same
//! answer everywhere.

use sha2::{Digest as _, Sha256};

/// The number of resamples `n`; a p-value is at least `1 / (n + 1)`.
pub const RESAMPLES: usize = 9_999;

/// Steele, Lea and Flood (2014): Fast splittable pseudorandom number generators; Vigna's constants.
#[derive(Debug, Clone)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`, each alike but for one in 2^64 / bound (Lemire, 2019, without the rejection).
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * bound as u128;
        usize::try_from(wide >> 64).expect("it is below a usize")
    }

    /// In [0, 1), on a grid of 2^-53.
    pub const fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The resampled means of a paired difference, ascending.
#[derive(Debug)]
pub struct Bootstrap {
    means: Vec<f64>,
}

impl Bootstrap {
    /// Of weights and differences; there is at least one weight above zero.
    pub fn of(pairs: &[(f64, f64)]) -> Self {
        let mut random = SplitMix64::new(seed(pairs));
        let mut means: Vec<f64> =
            (0..RESAMPLES).map(|_| resampled_mean(pairs, &mut random)).collect();
        means.sort_by(f64::total_cmp);
        Self { means }
    }

    /// One-sided: the share of means that are no more than `gain`, the observed one counted in, so
    /// that it is never zero.
    pub fn p_value(&self, gain: f64) -> f64 {
        let below = self.means.partition_point(|mean| *mean <= gain);
        (below + 1) as f64 / (RESAMPLES + 1) as f64
    }

    /// The two-sided percentile interval.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        let beyond = (1.0 - confidence) / 2.0;
        // how many means are cut off on each side: as many as a p-value of `beyond` allows
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the resamples"
        )]
        let cut = ((beyond * (RESAMPLES + 1) as f64) as usize).saturating_sub(1).min(RESAMPLES / 2);
        (self.means[cut], self.means[RESAMPLES - 1 - cut])
    }
}

/// Cases are drawn until one of them weighs something.
fn resampled_mean(pairs: &[(f64, f64)], random: &mut SplitMix64) -> f64 {
    loop {
        let (mut sum, mut total) = (0.0, 0.0);
        for _ in pairs {
            let (weight, difference) = pairs[random.below(pairs.len())];
            sum += weight * difference;
            total += weight;
        }
        if total > 0.0 {
            return sum / total;
        }
    }
}

fn seed(pairs: &[(f64, f64)]) -> u64 {
    let mut hash = Sha256::new();
    for (weight, difference) in pairs {
        hash.update(weight.to_be_bytes());
        hash.update(difference.to_be_bytes());
    }
    u64::from_be_bytes(hash.finalize()[..8].try_into().expect("a digest is longer"))
}
