//! `[promote]`: the gate of a promotion, and when staging promotes itself.

use super::gated::{GateMode, GateTest, Gated};
use super::tier::Tier;
use crate::formats::off_policy_gate::OffPolicyGate;
use serde::Deserialize;
use std::time::Duration;

/// `[promote]`: the gate of a promotion, and when staging promotes itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    tier: Tier,
    #[serde(default)]
    gate: GateMode,
    #[serde(default)]
    margin: f64,
    #[serde(default)]
    test: GateTest,
    #[serde(default = "Gated::alpha")]
    pub alpha: f64,
    /// Off where it is absent.
    pub auto: Option<AutoPromotion>,
    /// Off where it is absent.
    pub off_policy: Option<OffPolicyGate>,
    /// Rules of the bump above PATCH that a change of the overlay may meet.
    pub overlay: Option<Vec<String>>,
}

impl Default for Promote {
    fn default() -> Self {
        let Gated { tier, gate, margin, test, alpha } = Gated::promote();
        Self { tier, gate, margin, test, alpha, auto: None, off_policy: None, overlay: None }
    }
}

impl Promote {
    pub const fn gated(&self) -> Gated {
        let Self { tier, gate, margin, test, alpha, .. } = *self;
        Gated { tier, gate, margin, test, alpha }
    }

    /// The key that cannot be, and what is wrong with it.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        let auto = self.auto.as_ref().and_then(AutoPromotion::problem);
        let off_policy = || self.off_policy.as_ref().and_then(OffPolicyGate::problem);
        auto.map(|wrong| ("promote.auto", wrong.to_owned()))
            .or_else(|| off_policy().map(|wrong| ("promote.off_policy", wrong)))
    }
}

/// When a server that accepts signals promotes staging: after a number of signals since the last
/// attempt, or a time after the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoPromotion {
    every: Option<u64>,
    after_s: Option<u64>,
}

impl AutoPromotion {
    pub(super) fn problem(&self) -> Option<&'static str> {
        match (self.every, self.after_s) {
            (None, None) => Some(
                "sets neither `every` (a number of signals) nor `after_s` (a number of seconds)",
            ),
            (Some(0), _) => Some("has `every = 0`; it has to be a number of signals from 1"),
            (_, Some(0)) => Some("has `after_s = 0`; it has to be a number of seconds from 1"),
            _ => None,
        }
    }

    /// The maximum age of the oldest pending signal.
    pub fn after(&self) -> Option<Duration> {
        self.after_s.map(Duration::from_secs)
    }

    pub fn is_due(&self, waiting: u64, waited: Duration) -> bool {
        let enough = self.every.is_some_and(|every| waiting >= every);
        waiting > 0 && (enough || self.after().is_some_and(|after| waited >= after))
    }
}
