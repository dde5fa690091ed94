//! Objectives as JSON: as in ci/budgets.json, and with their compliance at a moment.

use super::budget::Standing;
use super::{Filter, Indicator, Objective};
use semver::VersionReq;
use serde_json::{Map, Value, json};

impl Objective {
    pub fn document(&self) -> Value {
        let name = self.display_name.clone().map(Value::from);
        let description = self.description.clone().map(Value::from);
        let filter = (self.filter != Filter::default()).then(|| self.filter.document());
        object([
            ("name", Some(json!(self.name))),
            ("display_name", name),
            ("description", description),
            ("indicator", Some(self.indicator.document())),
            ("filter", filter),
            ("target", Some(json!(self.target))),
            ("window", Some(json!(self.window.to_string()))),
        ])
    }
}

impl Indicator {
    pub fn document(self) -> Value {
        match self {
            Self::Success => json!({"type": "success"}),
            Self::Latency { at_most_ms } => json!({"type": "latency", "at_most_ms": at_most_ms}),
            Self::Reward { at_least } => json!({"type": "reward", "at_least": at_least}),
            Self::Cost { at_most_usd } => json!({"type": "cost", "at_most_usd": at_most_usd}),
        }
    }
}

impl Filter {
    pub fn document(&self) -> Value {
        object([
            ("tool", self.tool.clone().map(Value::from)),
            ("version", self.version.as_ref().map(VersionReq::to_string).map(Value::from)),
            ("line", self.line.map(|line| json!(line.to_string()))),
        ])
    }
}

impl Standing {
    /// The objective's own document with its counts.
    pub fn document(&self, objective: &Objective) -> Value {
        let burn: Vec<_> = self
            .burn
            .iter()
            .map(|burn| {
                json!({"window": burn.window.to_string(), "good": burn.count.good,
                    "total": burn.count.total, "rate": burn.rate})
            })
            .collect();
        let history: Vec<_> =
            self.history.iter().map(|count| json!([count.good, count.total])).collect();
        let mut document = objective.document();
        document["good"] = json!(self.count.good);
        document["total"] = json!(self.count.total);
        document["compliance"] = json!(self.compliance);
        document["budget_left"] = json!(self.budget_left);
        document["burn_rates"] = json!(burn);
        document["history"] = json!(history);
        document
    }
}

/// Of the members that are there.
pub(super) fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}
