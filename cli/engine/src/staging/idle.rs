//! Staging between two uses of one process: open, with nothing locked.

use super::{Staging, StagingError};
use crate::world::fs::{self, FileLock, Stamp};
use agent_core::formats::object_id::ObjectId;
use std::path::Path;

#[derive(Debug)]
pub struct Idle {
    staging: Staging,
    view: Option<Stamp>,
}

/// The stamp of the view: a replacement and an edit change it.
fn stamp(view: &Path) -> Option<Stamp> {
    view.metadata().ok().map(|found| Stamp::of(&found))
}

impl Staging {
    /// Leaves it open between two uses.
    #[must_use]
    pub fn into_idle(mut self) -> Idle {
        self.release();
        self.presence = None;
        Idle { view: stamp(&self.places.view), staging: self }
    }
}

impl Idle {
    /// Staging with the updates that other processes appended since. `None` after any other change:
    /// the Journal was sealed, rebased, reset or truncated, or the view was edited. Then staging
    /// has to be reopened, which repairs it.
    pub fn wake(mut self) -> Option<Staging> {
        if matches!(self.catch_up(), Ok(true)) {
            return Some(self.staging);
        }
        // another process may have written the view since, so this one must not replace it
        self.staging.view.keep_as_is(&self.staging.fold);
        None
    }

    fn catch_up(&mut self) -> Result<bool, StagingError> {
        let Self { staging, view } = self;
        if staging.copy.is_some() {
            return Ok(false);
        }
        staging.locked(|staging| {
            if staging.file.was_replaced()? || !staging.file.still_ends(&staging.end)? {
                return Ok(false);
            }
            staging.presence = Some(FileLock::share(&staging.places.presence())?);
            staging.catch_up()?;
            if stamp(&staging.places.view) == *view {
                return Ok(true);
            }
            let found = fs::read_if_there(&staging.places.view)?;
            let is_current =
                found.is_some_and(|bytes| ObjectId::of_blob(&bytes) == staging.fold.revision);
            if is_current {
                staging.view.keep_as_is(&staging.fold);
            }
            Ok(is_current)
        })
    }
}
