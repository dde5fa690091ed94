//! A candidate and a baseline, evaluated on the same decisions.

use super::estimators::{self, Estimator, Inputs, Terms};
use super::intervals::{self, Interval};
use super::logged::{Log, Policy};
use super::reward_model::{self, Model};
use super::sequence;
use super::weights::Weights;
use crate::statistics::normal;

/// How policies are evaluated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Method {
    pub model: Model,
    /// Of every interval, two-sided, such as 0.95.
    pub confidence: f64,
}

/// An estimate with its fixed-sample intervals: they hold for a log whose length was fixed before
/// it was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    pub estimator: Estimator,
    pub value: f64,
    pub normal: Interval,
    pub bootstrap: Interval,
}

/// The value of a policy: its mean reward a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyValue {
    pub weights: Weights,
    pub estimates: Vec<Estimate>,
    /// The confidence sequence of the value: it holds however often the growing log is looked at.
    pub anytime: Interval,
}

/// A candidate beside a baseline on the same decisions.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    pub decisions: usize,
    pub arms: usize,
    /// The mean reward that was logged.
    pub logged: f64,
    pub candidate: PolicyValue,
    pub baseline: PolicyValue,
    /// Candidate minus baseline, decision by decision.
    pub gain: Vec<Estimate>,
    pub gain_anytime: Interval,
    pub method: Method,
}

/// Evaluates both policies on a log of at least one decision.
pub fn evaluate(log: &Log, candidate: &Policy, baseline: &Policy, method: Method) -> Evaluation {
    let predictions = reward_model::predict(log, method.model);
    let [one, other] = [candidate, baseline].map(|policy| Inputs {
        log,
        policy,
        weights: policy.weights(log),
        rewards: &predictions,
    });
    let [of_candidate, of_baseline] = [&one, &other].map(estimators::all);
    let pairs = of_candidate.iter().filter_map(|(estimator, terms)| {
        let (_, against) = of_baseline.iter().find(|(other, _)| estimator.is_like(*other))?;
        Some((*estimator, vec![terms, against]))
    });
    let alone = of_candidate.iter().chain(&of_baseline);
    let sets = alone.map(|(estimator, terms)| (*estimator, vec![terms])).chain(pairs).collect();
    let mut estimates = estimates(sets, method.confidence).into_iter();
    let [in_candidate, in_baseline] = [&of_candidate, &of_baseline]
        .map(|terms| estimates.by_ref().take(terms.len()).collect::<Vec<_>>());
    let level = 1.0 - method.confidence;
    let value = |inputs: &Inputs<'_>, estimates| PolicyValue {
        weights: Weights::of(&inputs.weights),
        estimates,
        anytime: sequence::of_value(log, &inputs.weights, level),
    };
    Evaluation {
        decisions: log.decisions.len(),
        arms: log.arms.len(),
        logged: log.mean_reward(),
        candidate: value(&one, in_candidate),
        baseline: value(&other, in_baseline),
        gain: estimates.collect(),
        gain_anytime: sequence::of_gain(log, &one.weights, &other.weights, level),
        method,
    }
}

/// Of one estimate's terms each, or of two whose difference it is.
fn estimates(sets: Vec<(Estimator, Vec<&Terms>)>, confidence: f64) -> Vec<Estimate> {
    let z = normal::quantile(f64::midpoint(confidence, 1.0));
    let (estimators, sets): (Vec<_>, Vec<_>) = sets.into_iter().unzip();
    let bootstrap = intervals::bootstrap(&sets, confidence);
    let each = estimators.into_iter().zip(&sets).zip(bootstrap);
    each.map(|((estimator, terms), bootstrap)| Estimate {
        estimator,
        value: intervals::difference(terms.iter().map(|terms| terms.value())),
        normal: intervals::normal(terms, z),
        bootstrap,
    })
    .collect()
}
