//! The standard normal distribution.

use super::root;

/// P(Z <= z).
pub fn cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// P(Z > z), exact far out in the tail.
pub fn tail(z: f64) -> f64 {
    cdf(-z)
}

/// The z with `cdf(z) = p`, for p in (0, 1).
pub fn quantile(p: f64) -> f64 {
    if p > 0.5 {
        return -quantile(1.0 - p);
    }
    root::of_increasing(|z| cdf(z) - p, -40.0, 0.0)
}
