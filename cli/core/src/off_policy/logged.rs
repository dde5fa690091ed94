//! A log of decisions, and policies at them.

use serde_json::Value;

/// One choice of a logged policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Its place among the log's arms.
    pub arm: usize,
    /// Within the log's range of rewards.
    pub reward: f64,
    /// The probability with which the logged policy chose the arm, in (0, 1].
    pub propensity: f64,
    /// The context of the choice, as JSON; `Null` where none was noted.
    pub context: Value,
}

/// Decisions with the arms that they are among.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    pub arms: Vec<String>,
    pub decisions: Vec<Decision>,
    pub rewards: Range,
}

impl Log {
    pub(super) fn mean_reward(&self) -> f64 {
        let sum: f64 = self.decisions.iter().map(|decision| decision.reward).sum();
        sum / self.decisions.len() as f64
    }
}

/// The lowest and the highest reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    pub low: f64,
    pub high: f64,
}

impl Range {
    pub const UNIT: Self = Self { low: 0.0, high: 1.0 };

    pub const fn clamp(self, reward: f64) -> f64 {
        reward.clamp(self.low, self.high)
    }

    pub(super) const fn span(self) -> f64 {
        self.high - self.low
    }

    /// On [0, 1].
    pub(super) const fn share(self, reward: f64) -> f64 {
        (reward - self.low) / self.span()
    }
}

/// A policy at the decisions of a log.
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// The policy that was logged: each of its weights is 1.
    Logged,
    /// At each decision, in order, its probability of every arm.
    Full(Vec<Vec<f64>>),
    /// At each decision, in order, its probability of the arm that was chosen.
    Taken(Vec<f64>),
}

impl Policy {
    /// Every arm alike.
    pub fn uniform(log: &Log) -> Self {
        let each = 1.0 / log.arms.len() as f64;
        Self::Full(vec![vec![each; log.arms.len()]; log.decisions.len()])
    }

    pub(super) fn weights(&self, log: &Log) -> Vec<f64> {
        let taken = |index: usize, decision: &Decision| match self {
            Self::Logged => decision.propensity,
            Self::Full(all) => all[index][decision.arm],
            Self::Taken(taken) => taken[index],
        };
        let decisions = log.decisions.iter().enumerate();
        decisions.map(|(index, decision)| taken(index, decision) / decision.propensity).collect()
    }
}
