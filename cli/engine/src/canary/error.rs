//! Why a canary is not started, stopped or read.

use agent_core::formats::diagnose::{Diagnose, FailureKind};
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    #[error("the canary {id} has not ended")]
    Running { id: String },
    #[error("no canary is running here")]
    NotRunning,
    #[error("staging holds nothing that active does not serve")]
    NothingStaged,
    #[error("the time given with `--for` is too long")]
    TooLong,
    #[error("the system gives no randomness: {problem}")]
    NoRandomness { problem: String },
    #[error("the canary's time `{text}`: {error}")]
    Time { text: String, error: jiff::Error },
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
}

impl Diagnose for CanaryError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Running { .. } | Self::NotRunning => FailureKind::Conflict,
            Self::NothingStaged => FailureKind::Refused,
            Self::TooLong => FailureKind::Usage,
            Self::NoRandomness { .. } => FailureKind::Surroundings,
            Self::Time { .. } | Self::File { .. } => FailureKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Running { .. } => "`agent canary status` shows it; `agent canary stop` ends it",
            Self::NotRunning => "`agent canary list` shows those that ended",
            Self::NothingStaged => "signals change staging: `agent tune --help`",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
