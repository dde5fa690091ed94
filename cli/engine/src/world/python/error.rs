//! Why there is no interpreter or no environment.

use crate::world::env;
use crate::world::fs::FsError;
use crate::world::process::ProcessError;
use agent_core::adoption::AdoptionError;
use agent_core::adoption::project::ProjectError;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    #[error("agent.toml: `python.requires`: {0}")]
    Requirement(String),
    #[error("no Python {requires} was found{}", list(found))]
    NotFound { requires: String, found: Vec<String> },
    #[error("agent.toml: `python.lock` names {}, which is not there", lock.display())]
    NoLock { lock: PathBuf },
    #[error("{}:{line}: `{entry}` cannot be part of a lock: an environment is shared by every \
        checkout with the same lock file", lock.display())]
    LocalEntry { lock: PathBuf, line: usize, entry: String },
    #[error("the Python environment for {} could not be made", lock.display())]
    Environment {
        lock: PathBuf,
        #[source]
        source: ProcessError,
    },
    #[error("agent.toml: `python.project` names {}, which is not there", path.display())]
    NoProject { path: PathBuf },
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error("the requirements cannot be locked")]
    Lock {
        #[source]
        source: ProcessError,
    },
    #[error(transparent)]
    Report(#[from] AdoptionError),
    #[error(transparent)]
    Fs(#[from] FsError),
}

fn list(found: &[String]) -> String {
    found.iter().flat_map(|line| ["\n  ", line]).collect()
}

impl Diagnose for PythonError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Requirement(_)
            | Self::NoLock { .. }
            | Self::LocalEntry { .. }
            | Self::NoProject { .. }
            | Self::Project(_) => FailureKind::Input,
            Self::NotFound { .. } | Self::Environment { .. } | Self::Lock { .. } => {
                FailureKind::Surroundings
            }
            Self::Report(error) => error.kind(),
            Self::Fs(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Requirement(_) | Self::Project(_) | Self::Lock { .. } => None,
            Self::NoProject { .. } => Some(
                "commit it, or take `project` out of [python] in \
                agent.toml"
                    .to_owned(),
            ),
            Self::Report(error) => error.hint(),
            Self::NotFound { .. } => Some(format!("install one, or name it in {}", env::PYTHON)),
            Self::NoLock { .. } => Some(
                "commit the lock file, or take `python.lock` out of \
                agent.toml"
                    .to_owned(),
            ),
            Self::LocalEntry { .. } => Some(
                "name the package itself, pinned (`uv pip compile --generate-hashes` writes \
                    such a file)"
                    .to_owned(),
            ),
            Self::Environment { .. } => Some(
                "nothing was changed; fix the cause and run it \
                again"
                    .to_owned(),
            ),
            Self::Fs(error) => error.hint(),
        }
    }
}
