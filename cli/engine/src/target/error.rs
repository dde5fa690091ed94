//! The errors of resolving WHAT to a target, and of starting a target with a state.

use crate::child::ChildError;
use crate::conversations::ConversationError;
use crate::error::Failure;
use crate::repository::RepositoryError;
use crate::staging::StagingError;
use crate::target::definition::STATE_SCHEMA_FILE;
use crate::world::checkout::CheckoutError;
use crate::world::fs::FsError;
use crate::world::git::{GitError, STATE_FILE};
use crate::world::node::NodeError;
use crate::world::process::ProcessError;
use crate::world::python::PythonError;
use crate::world::store::StoreError;
use crate::world::toolchain::ToolchainError;
use agent_core::contract::{ContractError, STATE_VERSION_KEY};
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::manifest::ManifestError;
use agent_core::overlay::{OverlayError, UnknownRule};
use agent_core::state::journal::JournalError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("{of} has no {STATE_FILE}")]
    NoState { of: String },
    #[error("git cannot make a tree of this working tree, so it cannot be compared with a version")]
    NoTree,
    #[error("{of} has no Tuner: agent.toml has no [tuner]")]
    NoTuner { of: String },

    // the state that code is served with
    #[error("there is no {origin}")]
    NothingAt { origin: String },
    #[error("{0}")]
    Schema(String),
    #[error("the state has schema version {old}, and {target} supports only {new}")]
    OlderSchema { old: u64, new: u64, target: String },
    #[error("the state that {target} would be served with does not fit it: {problem}")]
    UnfitState { target: String, problem: String },
    #[error("the state's schema goes to version {number} in {target}, but there is no {name}")]
    NoMigration { number: u64, target: String, name: String },
    #[error("the migration failed ({steps}): {why}")]
    MigrationFailed { steps: String, why: String },
    #[error("the state was changed both on active and in {code}, differently: {}",
        places.join(", "))]
    StateConflict { code: String, places: Vec<String> },
    #[error(
        "the state that is served has schema version {served}, and {code} supports only \
        {known}"
    )]
    ServedIsNewer { served: u64, known: u64, code: String },

    #[error("the overlay of {target} (`{key}` of its state) does not fit the Runner: {faults}")]
    UnfitOverlay { target: String, key: String, faults: String },

    // signals
    #[error(
        "signal `{id}` was counted before the newest release or rollback, whose state does \
        not come from signals alone"
    )]
    CountedBefore { id: String },
    #[error("no signal `{id}` was counted here")]
    NotCounted { id: String },
    #[error("the system has no random bytes: {why}")]
    NoRandomness { why: String },
    #[error("{request} ended early: {source}")]
    EffectEnded { request: String, source: tokio::task::JoinError },

    // `read` of an entry point
    #[error("agent.toml: `read` leads to {}: {why}", path.display())]
    ReadRefused { path: PathBuf, why: &'static str },
    #[error("agent.toml: `read` names {}, which is part of this repository", path.display())]
    ReadsRepository { path: PathBuf },
    #[error("agent.toml: `read` names {}, which is not a character device", path.display())]
    ReadsNoCharacters { path: PathBuf },

    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    #[error(transparent)]
    Toolchain(Box<ToolchainError>),
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Staging(#[from] StagingError),
    #[error(transparent)]
    Conversation(#[from] ConversationError),
    #[error(transparent)]
    Tuning(#[from] TuningError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Contract(#[from] ContractError),
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    #[error(transparent)]
    Rule(#[from] UnknownRule),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<ToolchainError> for TargetError {
    fn from(error: ToolchainError) -> Self {
        Self::Toolchain(Box::new(error))
    }
}

impl From<PythonError> for TargetError {
    fn from(error: PythonError) -> Self {
        ToolchainError::from(error).into()
    }
}

impl From<NodeError> for TargetError {
    fn from(error: NodeError) -> Self {
        ToolchainError::from(error).into()
    }
}

impl TargetError {
    /// The error that decides the kind and the hint, where it is not this one.
    fn decisive(&self) -> Option<&dyn Diagnose> {
        Some(match self {
            Self::Repository(error) => error,
            Self::Git(error) => error,
            Self::Fs(error) => error,
            Self::Store(error) => error,
            Self::Process(error) => error,
            Self::Checkout(error) => error,
            Self::Toolchain(error) => error.as_ref(),
            Self::Child(error) => error,
            Self::Staging(error) => error,
            Self::Conversation(error) => error,
            Self::Tuning(error) => error,
            Self::Manifest(error) => error,
            Self::Contract(error) => error,
            Self::Overlay(error) => error,
            Self::Rule(error) => error,
            Self::Journal(error) => error,
            _ => return None,
        })
    }
}

impl Diagnose for TargetError {
    fn kind(&self) -> FailureKind {
        if let Some(error) = self.decisive() {
            return error.kind();
        }
        match self {
            Self::CountedBefore { .. } => FailureKind::Refused,
            Self::StateConflict { .. } => FailureKind::Conflict,
            Self::MigrationFailed { .. } | Self::EffectEnded { .. } => FailureKind::Child,
            Self::NoRandomness { .. } => FailureKind::Surroundings,
            _ => FailureKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        if let Some(error) = self.decisive() {
            return error.hint();
        }
        let hint = match self {
            Self::NoState { .. } => {
                "an agent repository tracks the state it serves; `agent init` creates an example"
            }
            Self::NoTuner { .. } => {
                "write a Tuner (`agent templates show minimal` has one) and name it under [tuner]"
            }
            Self::OlderSchema { .. } => {
                "migrations go forward only; `agent rollback` brings back an earlier version with \
                its state"
            }
            Self::UnfitState { .. } => {
                return Some(format!(
                    "raise `{STATE_VERSION_KEY}` in {STATE_SCHEMA_FILE} and write the step that \
                    makes the state fit"
                ));
            }
            Self::NoMigration { .. } => {
                "write it: a function `migrate(state)` that returns the state in its new form"
            }
            Self::StateConflict { .. } => {
                return Some(format!(
                    "take active's values over at these paths of {STATE_FILE} in the source, then \
                    release again"
                ));
            }
            Self::ServedIsNewer { .. } => {
                "migrations go forward only; `git merge active` brings the schema along"
            }
            Self::UnfitOverlay { key, .. } => {
                return Some(format!(
                    "`agent state set {key}.PATH=VALUE` corrects a part (to remove a tool or a \
                    parameter, set the object that contains it); `agent state \
                    reset` discards the updates"
                ));
            }
            Self::CountedBefore { .. } => {
                "`agent rollback` to a version before it, then `agent tune` the other signals \
                again, under new ids"
            }
            Self::NotCounted { .. } => "`agent state log` lists the signals of staging",
            Self::ReadsRepository { .. } => {
                "a Runner or a Tuner has no access to what judges it; its own code is readable \
                anyway"
            }
            Self::ReadsNoCharacters { .. } => {
                "name devices one by one; a disk would hold every file of the repository"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// Why signals do not go through the Tuner.
#[derive(Debug, thiserror::Error)]
pub enum TuningError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Staging(#[from] StagingError),
    #[error(transparent)]
    Conversation(#[from] ConversationError),
    /// An effect that a signal requests.
    #[error("{}", .0.messages.join(": "))]
    Effect(Failure),
}

impl Diagnose for TuningError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Child(error) => error.kind(),
            Self::Staging(error) => error.kind(),
            Self::Conversation(error) => error.kind(),
            Self::Effect(failure) => failure.kind,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Child(error) => error.hint(),
            Self::Staging(error) => error.hint(),
            Self::Conversation(error) => error.hint(),
            Self::Effect(failure) => failure.hint.clone(),
        }
    }
}
