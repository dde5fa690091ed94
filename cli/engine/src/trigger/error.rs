//! Why the triggers are not checked.

use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::suggestion::did_you_mean;

#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    #[error("there is no trigger `{name}`{}",
        did_you_mean(name, known.iter().map(String::as_str)))]
    NoTrigger { name: String, known: Vec<String> },
    #[error("another check is in progress")]
    CheckInProgress,
}

impl Diagnose for TriggerError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NoTrigger { .. } => FailureKind::Input,
            Self::CheckInProgress => FailureKind::Conflict,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoTrigger { .. } => "`agent trigger list` shows those of ci/budgets.json",
            Self::CheckInProgress => "wait for its end; `agent trigger watch` checks in a loop",
        };
        Some(hint.to_owned())
    }
}
