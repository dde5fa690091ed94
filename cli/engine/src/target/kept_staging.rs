//! Staging that one process keeps open between signals, so that a signal does not fold the complete
//! Journal again.

use crate::repository::Repository;
use crate::staging::{Idle, Snapshot, Staging};
use crate::target::error::TargetError;
use crate::target::tuner::{self, Tuner};
use crate::world::git::{ACTIVE, RefStamp};

/// Staging between two signals.
#[derive(Debug, Default)]
pub struct KeptStaging(Option<(RefStamp, Idle)>);

/// Staging in use, and the stamps of the files of `active` before it was opened.
#[derive(Debug)]
pub struct InUse {
    pub staging: Staging,
    active: RefStamp,
}

impl KeptStaging {
    /// Staging on what is served now: the kept one while `active` has not moved and other processes
    /// have only appended; otherwise it is opened again and replayed through the Tuner.
    pub async fn open(self, tuner: &Tuner, repository: &Repository) -> Result<InUse, TargetError> {
        match self.wake(repository) {
            Ok(in_use) => Ok(in_use),
            Err(active) => {
                Ok(InUse { staging: tuner::staging_for(tuner, repository).await?, active })
            }
        }
    }

    /// The current snapshot. Staging that is opened for it may be behind `active`, and is not kept.
    pub fn snapshot(self, repository: &Repository) -> Result<(Snapshot, Self), TargetError> {
        match self.wake(repository) {
            Ok(mut in_use) => Ok((in_use.staging.snapshot()?, in_use.keep())),
            Err(_) => Ok((repository.staging()?.snapshot()?, Self::default())),
        }
    }

    fn wake(self, repository: &Repository) -> Result<InUse, RefStamp> {
        let active = repository.git.ref_stamp(ACTIVE);
        let kept = self.0.filter(|(stamp, _)| *stamp == active);
        kept.and_then(|(_, idle)| idle.wake())
            .map(|staging| InUse { staging, active })
            .ok_or(active)
    }
}

impl InUse {
    #[must_use]
    pub fn keep(self) -> KeptStaging {
        KeptStaging(Some((self.active, self.staging.into_idle())))
    }
}
