//! Tango's score test and interval for the difference of two paired proportions.
//!
//! Tango, T. (1998): Equivalence test and confidence interval for the difference in proportions for
//! the paired-sample design. Statistics in Medicine 17, 891-908.

use super::{normal, root};

/// Pass/fail outcomes of the same cases on both sides, as counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flips {
    pub cases: usize,
    /// Failed before, pass now.
    pub better: usize,
    /// Passed before, fail now.
    pub worse: usize,
}

impl Flips {
    /// The score statistic of "the pass rate rose by `difference`": standard normal where it did,
    /// larger where it rose more.
    pub fn score(self, difference: f64) -> f64 {
        let (n, better, worse) = (self.cases as f64, self.better as f64, self.worse as f64);
        // at the very ends the restricted estimate leaves no variance
        let difference = difference.clamp(-1.0 + 1e-15, 1.0 - 1e-15);
        let distance = better - worse - n * difference;
        let variance =
            n * (2.0 * self.restricted_worse(difference) + difference * (1.0 - difference));
        if variance > 0.0 {
            distance / variance.sqrt()
        } else {
            distance.signum() * if distance == 0.0 { 0.0 } else { f64::INFINITY }
        }
    }

    /// The most likely rate of flips to the worse, were the difference this one (Tango's equation
    /// for the restricted estimate).
    fn restricted_worse(self, difference: f64) -> f64 {
        let (n, better, worse) = (self.cases as f64, self.better as f64, self.worse as f64);
        let linear = -better - worse + (2.0 * n - better + worse) * difference;
        let constant = -worse * difference * (1.0 - difference);
        let root = (linear * linear - 8.0 * n * constant).max(0.0).sqrt();
        // of the two ways to write the root of the quadratic, the one that subtracts nothing alike
        let rate = if linear <= 0.0 {
            (root - linear) / (4.0 * n)
        } else {
            -2.0 * constant / (root + linear)
        };
        rate.max(0.0).max(-difference)
    }

    /// One-sided: the chance of a rise as large as this one, were the true one `difference`.
    pub fn p_value(self, difference: f64) -> f64 {
        normal::tail(self.score(difference))
    }

    /// The two-sided interval for the rise of the pass rate.
    pub fn interval(self, confidence: f64) -> (f64, f64) {
        let z = -normal::quantile((1.0 - confidence) / 2.0);
        let low = root::of_increasing(|difference| z - self.score(difference), -1.0, 1.0);
        let high = root::of_increasing(|difference| -z - self.score(difference), -1.0, 1.0);
        (low, high)
    }
}
