//! `[promote] off_policy`: the gain that the decisions on record have to show before a promotion.

use serde::Deserialize;

/// The interval of the gain that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deciding {
    /// The confidence sequence: the log may be looked at as often as it grows.
    #[default]
    Anytime,
    /// The normal interval of the doubly robust estimate, or of the self-normalised one where the
    /// probabilities of all arms are not known. It holds for one look.
    Fixed,
}

impl Deciding {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anytime => "anytime",
            Self::Fixed => "fixed",
        }
    }
}

/// One more requirement of a promotion, beside its tier and gate: it refuses more, never less.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OffPolicyGate {
    /// The least effective sample size.
    pub floor: f64,
    /// The interval of the gain has to lie at or above this, in rewards a decision.
    pub min_gain: f64,
    /// Of the interval, two-sided.
    pub confidence: f64,
    pub interval: Deciding,
    /// The lowest and the highest reward; others count as these.
    pub rewards: (f64, f64),
    /// The reward of a decision without one, which is left out otherwise.
    pub unrewarded: Option<f64>,
}

impl Default for OffPolicyGate {
    fn default() -> Self {
        Self {
            floor: 200.0,
            min_gain: 0.0,
            confidence: 0.95,
            interval: Deciding::default(),
            rewards: (0.0, 1.0),
            unrewarded: None,
        }
    }
}

impl OffPolicyGate {
    /// The invalid setting, if any.
    pub fn problem(&self) -> Option<String> {
        let Self { floor, min_gain, confidence, rewards: (low, high), .. } = self;
        if !(floor.is_finite() && *floor >= 1.0) {
            return Some(format!("has `floor = {floor}`; it has to be a sample size from 1"));
        }
        if !min_gain.is_finite() {
            return Some(format!("has `min_gain = {min_gain}`; it has to be a number"));
        }
        if !(*confidence >= 0.5 && *confidence < 1.0) {
            return Some(format!(
                "has `confidence = {confidence}`; it has to be a probability from 0.5 and below 1"
            ));
        }
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Some(format!(
                "has `rewards = [{low}, {high}]`; it has to be the lowest and the highest reward"
            ));
        }
        None
    }
}
