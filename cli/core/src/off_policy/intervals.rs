//! Fixed-sample intervals of an estimate, and of the difference of two on the same decisions.

use super::estimators::Terms;
use crate::statistics::bootstrap::SplitMix64;
use crate::statistics::variance;

const RESAMPLES: usize = 999;
const SEED: u64 = 0x6f66_662d_706f_6c69;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// The normal one, `z` standard errors on each side: of one estimate, or of the first minus the
/// second.
pub(super) fn normal(estimates: &[&Terms], z: f64) -> Interval {
    let value = difference(estimates.iter().map(|terms| terms.value()));
    let count = estimates[0].numerators.len() as f64;
    let influences = |terms: &&Terms| terms.influences();
    let mut errors = influences(&estimates[0]);
    for against in estimates.iter().skip(1).map(influences) {
        errors.iter_mut().zip(against).for_each(|(error, other)| *error -= other);
    }
    let error = variance(&errors);
    let reach = z * (error / count).sqrt();
    Interval { low: value - reach, high: value + reach }
}

/// The one value, or the first minus the second.
pub(super) fn difference(values: impl Iterator<Item = f64>) -> f64 {
    values.reduce(|one, other| one - other).unwrap_or_default()
}

/// By percentiles of resamples (Efron, 1979; Efron and Tibshirani, 1993, chapter 13), for each of
/// one estimate or of the first minus the second. The decisions drawn are the same for all of them,
/// and for equal logs.
pub(super) fn bootstrap(estimates: &[Vec<&Terms>], confidence: f64) -> Vec<Interval> {
    let decisions = estimates[0][0].numerators.len();
    let mut random = SplitMix64::new(SEED);
    let mut values = vec![Vec::with_capacity(RESAMPLES); estimates.len()];
    for _ in 0..RESAMPLES {
        let times = draw(decisions, &mut random);
        for (values, terms) in values.iter_mut().zip(estimates) {
            values.push(difference(terms.iter().map(|terms| resampled(terms, &times))));
        }
    }
    values.into_iter().map(|values| percentiles(values, confidence)).collect()
}

/// How often each decision is drawn, with replacement.
fn draw(decisions: usize, random: &mut SplitMix64) -> Vec<(usize, f64)> {
    let mut times = vec![0u32; decisions];
    for _ in 0..decisions {
        times[random.below(decisions)] += 1;
    }
    let drawn = times.into_iter().enumerate().filter(|(_, times)| *times > 0);
    drawn.map(|(index, times)| (index, f64::from(times))).collect()
}

fn resampled(terms: &Terms, times: &[(usize, f64)]) -> f64 {
    let (mut numerator, mut denominator) = (0.0, 0.0);
    for (index, times) in times {
        numerator += times * terms.numerators[*index];
        denominator += times * terms.denominator(*index);
    }
    if denominator > 0.0 { numerator / denominator } else { 0.0 }
}

fn percentiles(mut values: Vec<f64>, confidence: f64) -> Interval {
    values.sort_by(f64::total_cmp);
    let beyond = (1.0 - confidence) / 2.0 * (RESAMPLES + 1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the resamples"
    )]
    let cut = (beyond as usize).saturating_sub(1).min(RESAMPLES / 2);
    Interval { low: values[cut], high: values[RESAMPLES - 1 - cut] }
}
