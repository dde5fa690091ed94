//! Why no run was started.

use crate::error::Failure;
use crate::repository::inbox::unknown;
use agent_core::architect::feedback::Status;
use agent_core::formats::diagnose::Diagnose;
use serde::{Deserialize, Serialize};

/// Why no run was started. The process of a run reports it to the process that started it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "why", content = "about", rename_all = "snake_case")]
pub enum NotStarted {
    NoFeedback {
        id: String,
    },
    /// The item is answered or withdrawn, or a run works on it.
    NotRunnable {
        id: String,
        status: Status,
    },
    /// No item was named, and none is open.
    NothingOpen,
    /// Nothing is served yet, or what is served has not what the coder needs.
    NotReady(Failure),
    Failed(Failure),
}

impl From<Failure> for NotStarted {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<E: Diagnose> From<E> for NotStarted {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl From<NotStarted> for Failure {
    fn from(why: NotStarted) -> Self {
        match why {
            NotStarted::NoFeedback { id } => unknown("feedback item", &id).into(),
            NotStarted::NotRunnable { id, status } => {
                Self::input(format!("`{id}` is {}", status.as_str()))
                    .with_hint("`agent architect list` shows what is open")
            }
            NotStarted::NothingOpen => Self::input("there is no open feedback"),
            NotStarted::NotReady(failure) | NotStarted::Failed(failure) => failure,
        }
    }
}
