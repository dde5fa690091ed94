//! The effective sample size of an estimate, and its weights.

/// Statistics of a policy's weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// `(sum w)^2 / sum w^2` (Kish, 1965: Survey sampling): as many decisions of equal weight would
    /// be as precise. 0 where every weight is.
    pub effective: f64,
    /// About 1 where the propensities are right and the log has every arm that the policy chooses.
    pub mean: f64,
    /// The standard error of the mean.
    pub mean_error: f64,
    pub largest: f64,
}

impl Weights {
    pub fn of(weights: &[f64]) -> Self {
        let count = weights.len() as f64;
        let sum: f64 = weights.iter().sum();
        let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
        let mean = sum / count;
        let spread: f64 = weights.iter().map(|weight| (weight - mean).powi(2)).sum();
        Self {
            effective: if squares > 0.0 { sum * sum / squares } else { 0.0 },
            mean,
            mean_error: (spread / (count - 1.0).max(1.0) / count).sqrt(),
            largest: weights.iter().copied().fold(0.0, f64::max),
        }
    }

    /// Whether the mean is further from 1 than chance explains: then the propensities are not those
    /// that the log was made with, or it lacks arms that the policy chooses.
    pub fn are_off(&self) -> bool {
        const ERRORS: f64 = 4.0;
        (self.mean - 1.0).abs() > ERRORS * self.mean_error + 1e-6
    }
}
