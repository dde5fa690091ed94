//! Why a run of the Architect is not started, accepted or undone.

use agent_core::formats::diagnose::{Diagnose, FailureKind};

#[derive(Debug, thiserror::Error)]
pub enum ArchitectError {
    // feedback
    #[error("inbox:{path} is not a record of a key: {error}")]
    NotAKey { path: String, error: serde_json::Error },
    #[error("run `{run}` works on `{id}`")]
    Taken { run: String, id: String },
    #[error("`{id}` is answered by {version}")]
    Answered { id: String, version: String },

    // starting a run
    #[error("agent.toml of {active} has no `command` under [architect]")]
    NoCommand { active: String },
    #[error("run {run} is in progress")]
    InProgress { run: String },
    #[error("another run is just being started")]
    Starting,
    #[error("{last_line}")]
    Died { last_line: String },
    #[error("run {run} was announced and is not there")]
    Vanished { run: String },

    // accepting its change
    #[error("run `{run}` left no branch: it is {status}")]
    NoBranch { run: String, status: String },
    #[error("the case `{case}` in {file} of {branch} still expects what it was made with")]
    Unfinished { case: String, file: String, branch: String, run: String },
}

impl Diagnose for ArchitectError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::InProgress { .. } | Self::Starting => FailureKind::Conflict,
            Self::Died { .. } | Self::Vanished { .. } => FailureKind::Child,
            _ => FailureKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Taken { run, .. } => format!("agent architect cancel {run}"),
            Self::Answered { .. } => "`agent rollback` undoes a version".to_owned(),
            Self::NoCommand { .. } => {
                "name the program that edits the code, release that, and run it again".to_owned()
            }
            Self::InProgress { .. } => {
                "wait for its end, or cancel it: `agent architect cancel RUN`".to_owned()
            }
            Self::NoBranch { run, .. } => format!("agent architect show {run}"),
            Self::Unfinished { branch, run, .. } => format!(
                "set the right answer in its `expect`, commit that to {branch}, then: agent \
                architect accept {run}"
            ),
            Self::NotAKey { .. } | Self::Starting | Self::Died { .. } | Self::Vanished { .. } => {
                return None;
            }
        })
    }
}
