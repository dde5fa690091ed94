//! Why staging cannot be opened or changed.

use super::past::PastError;
use crate::world::fs::FsError;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::state::journal::JournalError;
use std::path::PathBuf;

/// A Journal that grew beyond this has to be promoted or reset.
pub(super) const MAX_JOURNAL_BYTES: u64 = 256 << 20;

#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(
        "the update could not be written completely to the Journal, nor truncated: it may or may \
            not count"
    )]
    InDoubt(#[source] FsError),
    #[error("{} cannot be used", path.display())]
    Journal {
        path: PathBuf,
        #[source]
        source: JournalError,
    },
    #[error("the Journal of staging has reached {} MiB", MAX_JOURNAL_BYTES >> 20)]
    Full,
    #[error("an update of {0} bytes is too large for the Journal")]
    TooLarge(usize),
    #[error(transparent)]
    Past(#[from] PastError),
    #[error("staging was changed meanwhile: the update {0} is no longer in its Journal")]
    AlreadySealed(u64),
}

impl Diagnose for StagingError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Fs(error) | Self::InDoubt(error) => error.kind(),
            Self::Past(error) => error.kind(),
            Self::Journal { source, .. } => source.kind(),
            Self::Full | Self::TooLarge(_) => FailureKind::Input,
            Self::AlreadySealed(_) => FailureKind::Conflict,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(error) => error.hint(),
            Self::Past(error) => error.hint(),
            Self::InDoubt(_) => Some(
                "`agent state log` lists what counts; a signal sent again \
                under the same id counts once"
                    .to_owned(),
            ),
            Self::Journal { source, .. } => source.hint(),
            Self::Full => Some(
                "`agent promote` seals it and begins a new one; `agent state reset` \
                discards staging"
                    .to_owned(),
            ),
            Self::TooLarge(_) => {
                Some("keep less in the state, the arguments or the conversation".to_owned())
            }
            Self::AlreadySealed(_) => Some("run it again".to_owned()),
        }
    }
}
