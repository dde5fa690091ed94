//! An evaluation as a JSON document.

use super::estimators::Estimator;
use super::evaluation::{Estimate, Evaluation, PolicyValue};
use super::intervals::Interval;
use super::verdict::{Requirement, Verdict};
use serde_json::{Value, json};

pub const SCHEMA: &str = "agent/off-policy@1";

/// The name of the evaluated policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub candidate: String,
    pub baseline: String,
    /// Where the decisions are from.
    pub log: String,
}

impl Evaluation {
    pub fn document(&self, names: &Names, required: &Requirement, verdict: &Verdict) -> Value {
        json!({
            "schema": SCHEMA,
            "log": names.log,
            "decisions": self.decisions,
            "arms": self.arms,
            "logged_mean": self.logged,
            "candidate": of_policy(&names.candidate, &self.candidate),
            "baseline": of_policy(&names.baseline, &self.baseline),
            "gain": {
                "estimates": self.gain.iter().map(of_estimate).collect::<Vec<_>>(),
                "anytime": of_interval(self.gain_anytime),
            },
            "confidence": self.method.confidence,
            "model": self.method.model.as_str(),
            "floor": required.floor,
            "min_gain": required.min_gain,
            "interval": required.deciding.as_str(),
            "verdict": verdict.answer.as_str(),
            "why": verdict.why,
        })
    }
}

fn of_policy(name: &str, value: &PolicyValue) -> Value {
    json!({
        "policy": name,
        "effective_sample_size": value.weights.effective,
        "weights": {
            "mean": value.weights.mean,
            "mean_error": value.weights.mean_error,
            "largest": value.weights.largest,
        },
        "estimates": value.estimates.iter().map(of_estimate).collect::<Vec<_>>(),
        "anytime": of_interval(value.anytime),
    })
}

fn of_estimate(estimate: &Estimate) -> Value {
    let mut document = json!({
        "estimator": estimate.estimator.as_str(),
        "value": estimate.value,
        "normal": of_interval(estimate.normal),
        "bootstrap": of_interval(estimate.bootstrap),
    });
    if let Estimator::Switch { limit } = estimate.estimator {
        // no limit is null, since JSON has no infinity
        document["limit"] = json!(limit);
    }
    document
}

fn of_interval(interval: Interval) -> Value {
    json!([interval.low, interval.high])
}
