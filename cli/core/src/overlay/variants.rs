//! Which variant a conversation is served, and with which probability.

use super::definition::Overlay;
use crate::protocol::traffic;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The name of what is served without a variant, among the variants.
pub const PLAIN: &str = "plain";
/// Shares are counted in this fraction, so that noted probabilities are exact.
const PARTS: u64 = 1_000_000;

/// The variant of a conversation, drawn among all with the noted probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    pub variant: String,
    pub propensity: f64,
    pub propensities: BTreeMap<String, f64>,
}

impl Assignment {
    /// The facts of a turn, named as `agent evaluate --off-policy` reads them.
    pub fn facts(&self) -> Map<String, Value> {
        let facts = json!({
            "arm": self.variant,
            "propensity": self.propensity,
            "propensities": self.propensities,
        });
        match facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        }
    }
}

impl Overlay {
    /// Whether conversations are shown different things.
    pub fn is_split(&self) -> bool {
        self.parts().len() > 1
    }

    /// The variant of a conversation: a function of its id, so that every process has the same.
    pub fn assign(&self, conversation: &str) -> Assignment {
        let parts = self.parts();
        let mut left = traffic::point(&format!("overlay\n{conversation}"), PARTS);
        let drawn = parts.iter().find(|(_, share)| match left.checked_sub(*share) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        let variant = drawn.map_or(PLAIN, |(name, _)| name);
        let propensities = self.propensities();
        let propensity = propensities.get(variant).copied().unwrap_or(1.0);
        Assignment { variant: variant.to_owned(), propensity, propensities }
    }

    /// The probability of each variant that has one.
    pub fn propensities(&self) -> BTreeMap<String, f64> {
        let exact = |(name, share): (&str, u64)| (name.to_owned(), share as f64 / PARTS as f64);
        self.parts().into_iter().map(exact).collect()
    }

    /// The share of each variant in `PARTS`, above 0; the rest is served without a variant.
    pub(super) fn parts(&self) -> Vec<(&str, u64)> {
        let shares = self.shares.iter().map(|(name, share)| (name.as_str(), parts_of(*share)));
        let mut parts: Vec<_> = shares.filter(|(_, share)| *share > 0).collect();
        let given: u64 = parts.iter().map(|(_, share)| share).sum();
        match PARTS.checked_sub(given) {
            None | Some(0) => {}
            Some(rest) => parts.push((PLAIN, rest)),
        }
        parts
    }

    pub(super) fn share_problem(&self) -> Option<String> {
        if self.variants.contains_key(PLAIN) {
            return Some(format!("a variant cannot be called `{PLAIN}`"));
        }
        for (name, share) in &self.shares {
            if !self.variants.contains_key(name) {
                return Some(format!("`shares` names `{name}`, which is no variant"));
            }
            if !(0.0..=1.0).contains(share) {
                return Some(format!("the share of `{name}` is {share}: it has to be from 0 to 1"));
            }
        }
        let sum: u64 = self.shares.values().map(|share| parts_of(*share)).sum();
        (sum > PARTS).then(|| "the shares sum to more than 1".to_owned())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is from 0 to 1, and a cast saturates"
)]
fn parts_of(share: f64) -> u64 {
    (share * PARTS as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::KEY;

    #[test]
    fn each_variant_has_its_share_of_the_conversations() {
        let overlay = json!({"overlay": {"variants": {"a": {}, "b": {}, "c": {}},
            "shares": {"a": 0.5, "b": 0.2, "c": 0}}});
        let overlay = Overlay::read(&overlay, KEY).unwrap().unwrap();
        let mut counts = BTreeMap::new();
        for number in 0..10_000 {
            let drawn = overlay.assign(&format!("c-{number}"));
            assert_eq!(drawn.propensities.get(&drawn.variant), Some(&drawn.propensity));
            *counts.entry(drawn.variant).or_insert(0i32) += 1;
        }
        for (name, expected) in [("a", 5000), ("b", 2000), (PLAIN, 3000)] {
            assert!((counts[name] - expected).abs() < 150, "{counts:?}");
        }
        assert_eq!(counts.len(), 3);
        assert_eq!(overlay.assign("c-1"), overlay.assign("c-1"));
        assert!((overlay.assign("x").propensities.values().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn without_shares_all_conversations_are_shown_the_same() {
        let overlay = Overlay::default();
        assert!(!overlay.is_split());
        let drawn = overlay.assign("c");
        assert_eq!((drawn.variant.as_str(), drawn.propensity), (PLAIN, 1.0));
    }
}
