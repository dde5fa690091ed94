//! Why nothing can be derived from a repository.

use crate::formats::diagnose::{Diagnose, FailureKind};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdoptionError {
    #[error(
        "no MCP server was found: no script in pyproject.toml, no file at the top that makes one, \
        no package with a __main__.py, no program in package.json"
    )]
    NoServer,
    #[error("several programs could be the server: {}", .0.join(", "))]
    Several(Vec<String>),
    #[error("`{0}` has a quote that is not closed")]
    Quote(String),
    #[error("the command is empty")]
    Empty,
    #[error("pip's report of what it would install cannot be read: {0}")]
    Report(String),
}

impl Diagnose for AdoptionError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Quote(_) | Self::Empty => FailureKind::Usage,
            Self::Report(_) => FailureKind::Surroundings,
            Self::NoServer | Self::Several(_) => FailureKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Report(_) => Some("`uv` on PATH makes the lock without it".to_owned()),
            _ => Some(
                "give the server's start command: agent adopt --command \"python -m my_server\""
                    .to_owned(),
            ),
        }
    }
}
