//! Why an `agent.toml` cannot be used.

use super::FILE;
use crate::formats::diagnose::{Diagnose, FailureKind};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("{origin}: {message}")]
    Malformed { origin: String, message: String },
    #[error("{origin}: `{key}` {problem}")]
    Value { origin: String, key: String, problem: String },
    #[error("{origin}: there is no {FILE}")]
    Missing { origin: String },
}

impl Diagnose for ManifestError {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed { origin, .. } | Self::Value { origin, .. } => format!(
                "edit {origin}; \
                `agent init` shows a whole one"
            ),
            Self::Missing { .. } => {
                "`agent init DIR` makes a new agent repository, `agent adopt` makes one of an \
                existing MCP server"
                    .to_owned()
            }
        })
    }
}
