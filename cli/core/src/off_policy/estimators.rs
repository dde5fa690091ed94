//! Estimators of a policy's value, each as a ratio of two sums over the decisions: what follows
//! (the intervals, the gain over another policy) is the same for all of them.

use super::logged::{Log, Policy};
use crate::statistics::variance;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Estimator {
    /// Inverse propensity score: the mean of `w r` (Horvitz and Thompson, 1952).
    Ips,
    /// Self-normalised: `sum w r / sum w` (Swaminathan and Joachims, 2015).
    Snips,
    /// Doubly robust: the model's value plus the weighted rest, `q(pi) + w (r - q(a))` (Dudik,
    /// Langford and Li, 2011).
    DoublyRobust,
    /// Doubly robust where the weight is at most `limit`, the model alone beyond (Wang, Agarwal and
    /// Dudik, 2017).
    Switch { limit: f64 },
}

impl Estimator {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ips => "ips",
            Self::Snips => "snips",
            Self::DoublyRobust => "doubly-robust",
            Self::Switch { .. } => "switch-dr",
        }
    }

    /// Whether both are the same estimator, whatever their limits.
    pub(super) fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// The inputs of the estimators of one policy.
pub(super) struct Inputs<'a> {
    pub log: &'a Log,
    pub policy: &'a Policy,
    pub weights: Vec<f64>,
    /// At each decision, the model's reward of every arm.
    pub rewards: &'a [Vec<f64>],
}

/// The estimate `sum of numerators / sum of denominators`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    pub numerators: Vec<f64>,
    /// `None` where each is 1.
    pub denominators: Option<Vec<f64>>,
}

impl Terms {
    fn mean(numerators: Vec<f64>) -> Self {
        Self { numerators, denominators: None }
    }

    pub fn denominator(&self, index: usize) -> f64 {
        self.denominators.as_ref().map_or(1.0, |each| each[index])
    }

    fn total(&self) -> f64 {
        let count = self.numerators.len() as f64;
        self.denominators.as_ref().map_or(count, |each| each.iter().sum())
    }

    /// 0 where every denominator is.
    pub fn value(&self) -> f64 {
        let total = self.total();
        if total > 0.0 { self.numerators.iter().sum::<f64>() / total } else { 0.0 }
    }

    /// The contribution of each decision to the estimate's error (the delta method of a ratio).
    pub fn influences(&self) -> Vec<f64> {
        let (value, mean) = (self.value(), self.total() / self.numerators.len() as f64);
        let influence = |(index, numerator): (usize, &f64)| {
            if mean > 0.0 { (numerator - value * self.denominator(index)) / mean } else { 0.0 }
        };
        self.numerators.iter().enumerate().map(influence).collect()
    }
}

/// All that the policy's probabilities allow: those with a model need the ones of every arm.
pub(super) fn all(inputs: &Inputs<'_>) -> Vec<(Estimator, Terms)> {
    let weighted = weighted(inputs);
    let snips = Terms { numerators: weighted.clone(), denominators: Some(inputs.weights.clone()) };
    let mut all = vec![(Estimator::Ips, Terms::mean(weighted)), (Estimator::Snips, snips)];
    if let Some(values) = model_values(inputs) {
        all.push((Estimator::DoublyRobust, doubly_robust(inputs, &values, f64::INFINITY)));
        let limit = best_limit(inputs, &values);
        all.push((Estimator::Switch { limit }, doubly_robust(inputs, &values, limit)));
    }
    all
}

fn weighted(inputs: &Inputs<'_>) -> Vec<f64> {
    let decisions = inputs.log.decisions.iter().zip(&inputs.weights);
    decisions.map(|(decision, weight)| weight * decision.reward).collect()
}

/// The policy's reward by the model at each decision. Of the logged policy, that is the model's
/// reward of what it chose, so that what follows is its mean reward itself.
fn model_values(inputs: &Inputs<'_>) -> Option<Vec<f64>> {
    let at = |index: usize, predicted: &[f64]| match inputs.policy {
        Policy::Logged => Some(predicted[inputs.log.decisions[index].arm]),
        Policy::Full(all) => {
            Some(all[index].iter().zip(predicted).map(|(chance, reward)| chance * reward).sum())
        }
        Policy::Taken(_) => None,
    };
    inputs.rewards.iter().enumerate().map(|(index, predicted)| at(index, predicted)).collect()
}

fn doubly_robust(inputs: &Inputs<'_>, values: &[f64], limit: f64) -> Terms {
    let rest = |index: usize| {
        let (decision, weight) = (&inputs.log.decisions[index], inputs.weights[index]);
        let residual = decision.reward - inputs.rewards[index][decision.arm];
        if weight <= limit { weight * residual } else { 0.0 }
    };
    Terms::mean(values.iter().enumerate().map(|(index, value)| value + rest(index)).collect())
}

/// The limit with the least estimated mean squared error, among quantiles of the weights and none
/// at all: the variance, plus the square of the most that leaving out heavy weights can bias it by
/// (Wang, Agarwal and Dudik, 2017, section 4). How likely the policy is to choose an arm beyond the
/// limit is estimated by the weights there.
fn best_limit(inputs: &Inputs<'_>, values: &[f64]) -> f64 {
    const QUANTILES: usize = 20;
    let mut sorted = inputs.weights.clone();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() - 1;
    let limits = (1..=QUANTILES).map(|place| sorted[last * place / QUANTILES]);
    let count = sorted.len() as f64;
    let error = |limit: f64| {
        let terms = doubly_robust(inputs, values, limit).numerators;
        let beyond: f64 = inputs.weights.iter().filter(|weight| **weight > limit).sum();
        let bias = (beyond / count).min(1.0) * inputs.log.rewards.span();
        variance(&terms) / count + bias * bias
    };
    let all = std::iter::once(f64::INFINITY).chain(limits);
    let scored = all.map(|limit| (error(limit), limit));
    // the first of equal ones, which is no limit
    scored.reduce(|best, next| if next.0 < best.0 { next } else { best }).expect("there is one").1
}
