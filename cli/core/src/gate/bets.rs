//! The version of the e-process's bets: part of what a stored decision depends on.

use serde::{Deserialize, Serialize};

/// How the e-process bets. Decisions on record are computed again with the bets they were made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bets {
    /// A mixture of fixed bets (`statistics::e_process`), in records up to `agent/gate@1` and lines
    /// up to `agent/ledger@1`.
    Mixture,
    /// Bets that aim at the level within the cases (`statistics::targeted`).
    #[default]
    Targeted,
}

impl Bets {
    /// Of a line that names none.
    pub const fn first() -> Self {
        Self::Mixture
    }

    pub fn is_first(&self) -> bool {
        *self == Self::first()
    }
}
