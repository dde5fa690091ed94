//! Why objectives are not written into the working tree.

use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::testing::budget::FILE;

#[derive(Debug, thiserror::Error)]
pub enum SloError {
    #[error("this repository is bare: it has no working tree with {FILE}")]
    Bare,
    #[error("{FILE} is not UTF-8")]
    NotUtf8,
    #[error("{FILE} was changed by another program at the same time")]
    Changed,
}

impl Diagnose for SloError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Bare | Self::NotUtf8 => FailureKind::Input,
            Self::Changed => FailureKind::Conflict,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Bare => "import in a clone with a working tree, commit the file, and push it",
            Self::NotUtf8 => "save the file as UTF-8",
            Self::Changed => "nothing was written; run the command again",
        };
        Some(hint.to_owned())
    }
}
