//! The signed-rank test (Wilcoxon, 1945).
//!
//! Differences of zero are dropped and ties share their mean rank:
//! `scipy.stats.wilcoxon(zero_method="wilcox", correction=False, alternative="greater")`. Up to
//! `EXACT` differences the distribution is the exact one, also with ties (over all signs, given the
//! ranks: what scipy's `PermutationMethod` enumerates); beyond, the normal one with the variance
//! corrected for ties.

use super::normal;

/// The largest number of non-zero differences with an exact distribution.
const EXACT: usize = 50;

/// One-sided: the chance of ranks as much to the better, were the differences symmetric around
/// zero; 1 where there is none.
pub fn signed_rank(differences: impl IntoIterator<Item = f64>) -> f64 {
    let mut differences: Vec<f64> =
        differences.into_iter().filter(|difference| *difference != 0.0).collect();
    differences.sort_by(|one, other| one.abs().total_cmp(&other.abs()));
    let ranked = Ranked::of(&differences);
    match differences.len() {
        0 => 1.0,
        count if count <= EXACT => ranked.exact_tail(),
        _ => ranked.normal_tail(),
    }
}

/// Ranks times two, so that the mean rank of a tie is an integer.
struct Ranked {
    doubled: Vec<usize>,
    /// Of those to the better.
    sum: usize,
    /// The sum of t³ - t over the ties.
    ties: f64,
}

impl Ranked {
    fn of(sorted: &[f64]) -> Self {
        let mut ranked = Self { doubled: Vec::with_capacity(sorted.len()), sum: 0, ties: 0.0 };
        // scores are short decimals: what differs by less than a rounding error is a tie
        for tie in sorted.chunk_by(|one, other| (one.abs() - other.abs()).abs() <= 1e-12) {
            let before = ranked.doubled.len();
            let doubled = 2 * before + tie.len() + 1;
            ranked.doubled.resize(before + tie.len(), doubled);
            ranked.sum += doubled * tie.iter().filter(|difference| **difference > 0.0).count();
            let size = tie.len() as f64;
            ranked.ties += size * size * size - size;
        }
        ranked
    }

    /// Counts, rank by rank, in how many of the 2^n ways the signs can fall each sum is reached, as
    /// a share.
    fn exact_tail(&self) -> f64 {
        let most: usize = self.doubled.iter().sum();
        let mut share = vec![0.0; most + 1];
        share[0] = 1.0;
        let mut reached = 0;
        for rank in &self.doubled {
            reached += rank;
            for sum in (0..=reached).rev() {
                let with = if sum >= *rank { share[sum - rank] } else { 0.0 };
                share[sum] = f64::midpoint(share[sum], with);
            }
        }
        share[self.sum..].iter().sum::<f64>().min(1.0)
    }

    fn normal_tail(&self) -> f64 {
        let n = self.doubled.len() as f64;
        let mean = n * (n + 1.0) / 4.0;
        let variance = (n * (n + 1.0) * (2.0 * n + 1.0) - self.ties / 2.0) / 24.0;
        normal::tail((self.sum as f64 / 2.0 - mean) / variance.sqrt())
    }
}
