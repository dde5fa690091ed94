//! The binomial distribution and the interval for its rate.

use super::root;
use super::special::{incomplete_beta, ln_choose};

/// P(X = k) of n trials with rate p in (0, 1).
pub fn mass(k: usize, n: usize, p: f64) -> f64 {
    let (k, n) = (k as f64, n as f64);
    (ln_choose(n, k) + k * p.ln() + (n - k) * (-p).ln_1p()).exp()
}

/// P(X >= k) of n trials with rate p.
pub fn tail(k: usize, n: usize, p: f64) -> f64 {
    match k {
        0 => 1.0,
        k if k > n => 0.0,
        k => incomplete_beta(k as f64, (n - k + 1) as f64, p),
    }
}

/// The exact two-sided interval for the rate of which `hits` of `trials` were seen (Clopper and
/// Pearson, 1934).
pub fn interval(hits: usize, trials: usize, confidence: f64) -> (f64, f64) {
    let beyond = (1.0 - confidence) / 2.0;
    let low = match hits {
        0 => 0.0,
        hits => root::of_increasing(|p| tail(hits, trials, p) - beyond, 0.0, 1.0),
    };
    let high = if hits == trials {
        1.0
    } else {
        root::of_increasing(|p| beyond - (1.0 - tail(hits + 1, trials, p)), 0.0, 1.0)
    };
    (low, high)
}
