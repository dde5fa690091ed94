//! Why the value of a policy cannot be estimated from recorded decisions.

use agent_core::formats::diagnose::{Diagnose, FailureKind};

#[derive(Debug, thiserror::Error)]
pub enum OffPolicyError {
    #[error("`{name}` is named neither .csv nor .jsonl")]
    Format { name: String },
    #[error("there is no file `{name}`")]
    NoFile { name: String },
    /// A file, a line of it, or a turn of a conversation.
    #[error("{place}: {problem}")]
    Wrong { place: String, problem: String },
    /// What the Runner noted when the turn was called again.
    #[error("called again, {place}: {problem}")]
    CalledAgain { place: String, problem: String },
}

impl Diagnose for OffPolicyError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Format { .. } => FailureKind::Usage,
            Self::NoFile { .. } | Self::Wrong { .. } => FailureKind::Input,
            Self::CalledAgain { .. } => FailureKind::Child,
        }
    }
}
