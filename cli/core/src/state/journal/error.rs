//! Why a Journal cannot be read.

use crate::formats::diagnose::{Diagnose, FailureKind};

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JournalError {
    #[error("the Journal has no readable header: {0}")]
    Header(String),
    #[error("the Journal is in format `{0}`, which this version of `agent` does not support")]
    Unknown(String),
    #[error("the Journal is damaged at byte {offset}: {what}")]
    Damaged { offset: u64, what: String },
}

impl Diagnose for JournalError {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(_) => "use the `agent` that wrote it, or a newer one".to_owned(),
            _ => "nothing was changed; `agent state reset` sets the file aside whole and starts \
                staging from active again"
                .to_owned(),
        })
    }
}
