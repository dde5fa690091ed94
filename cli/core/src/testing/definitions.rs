//! What results are comparable by.

use crate::formats::canonical;
use crate::formats::manifest::Tier;
use crate::formats::object_id::digest;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// Digests of what judged: results are compared only where these are equal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Definitions {
    /// By tier: the cases with their golden files.
    pub cases: BTreeMap<Tier, String>,
    /// `tests/scorers.py`; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scorers: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<String>,
}

impl Definitions {
    /// Of what scores a tier: equal where `differences` finds none.
    pub fn digest(&self, tier: Tier) -> String {
        digest(canonical::to_compact(&json!([self.cases.get(&tier), self.scorers])).as_bytes())
    }

    /// The differences for a tier, as messages; empty when results are comparable. Budgets are
    /// excluded: they do not affect scores.
    pub fn differences(&self, other: &Self, tier: Tier) -> Vec<&'static str> {
        let mut differences = Vec::new();
        if self.cases.get(&tier) != other.cases.get(&tier) {
            differences.push("cases");
        }
        if self.scorers != other.scorers {
            differences.push("scorers");
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_definitions_are_named() {
        let one = Definitions {
            cases: [(Tier::Micro, "a".to_owned())].into(),
            scorers: Some("s".to_owned()),
            budgets: None,
        };
        let two = Definitions {
            cases: [(Tier::Micro, "b".to_owned())].into(),
            scorers: None,
            budgets: Some("x".to_owned()),
        };
        assert_eq!(one.differences(&two, Tier::Micro), ["cases", "scorers"]);
        assert!(one.differences(&one.clone(), Tier::Micro).is_empty());
    }
}
