//! Why recorded calls cannot be replayed.

use agent_core::formats::diagnose::{Diagnose, FailureKind};

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the record of calls is encrypted, and {problem}")]
    NoKey { problem: String },
    #[error("{record} is encrypted, and agent.toml names no key")]
    NoKeyNamed { record: String },
    #[error("{record} was encrypted with another key than the one in {variable}")]
    OtherKey { record: String, variable: String },
    #[error("no call{what} is on record{when} with its content")]
    NothingRecorded { what: String, when: String, is_content_kept: bool },
    #[error("no replay is on record")]
    NoReplay,
}

impl Diagnose for ReplayError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NoKey { .. } | Self::NoKeyNamed { .. } | Self::OtherKey { .. } => {
                FailureKind::Surroundings
            }
            Self::NothingRecorded { .. } => FailureKind::NotEnoughEvidence,
            Self::NoReplay => FailureKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoKey { .. } => "set it to the key that was set while the calls were recorded",
            Self::NoKeyNamed { .. } => {
                "name the environment variable with its key: `key` under [record]"
            }
            Self::OtherKey { .. } => {
                "set the variable to the earlier key, or leave earlier calls out by `--since`"
            }
            Self::NothingRecorded { is_content_kept: true, .. } => {
                "calls are recorded while `agent mcp runner` serves a version with `content = true`"
            }
            Self::NothingRecorded { .. } => {
                "`content = true` under [record] of agent.toml has calls recorded once it is \
                released"
            }
            Self::NoReplay => "run `agent replay` first",
        };
        Some(hint.to_owned())
    }
}
