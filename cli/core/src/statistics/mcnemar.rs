//! The test of `McNemar` (1947) on the cases whose outcome flipped.

use super::binomial;

/// The probability, when flips are equally likely in both directions, of at least this many
/// improvements, with the observed number counted half: one-sided exact mid-p (Lancaster, 1961; for
/// paired proportions Fagerland, Lydersen and Laake, 2013).
pub fn mid_p(better: usize, worse: usize) -> f64 {
    let flips = better + worse;
    binomial::tail(better + 1, flips, 0.5) + 0.5 * binomial::mass(better, flips, 0.5)
}

/// Like `mid_p`, with the observed number counted fully: the exact sign test, one-sided.
pub fn sign_test(better: usize, worse: usize) -> f64 {
    binomial::tail(better, better + worse, 0.5)
}
