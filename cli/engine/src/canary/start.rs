//! The start of a canary.

use super::error::CanaryError;
use super::files;
use crate::error::Failure;
use crate::repository::{Repository, canaries};
use crate::versions::promotion;
use crate::world::fs::FileLock;
use crate::world::{clock, random};
use agent_core::canary::{Canary, Design, Frozen, Measure, SCHEMA};
use agent_core::version::what::What;
use jiff::SignedDuration;

pub struct Options {
    /// Of the conversations, in percent.
    pub share: u32,
    pub measure: Measure,
    pub alpha: f64,
    /// Conversations of both arms.
    pub limit: u64,
    pub time: SignedDuration,
    pub idle: SignedDuration,
}

/// Freezes staging and serves it to its share. The record of the running canary is the commit
/// point.
pub fn start(repository: &Repository, options: &Options) -> Result<Canary, Failure> {
    let _lock = FileLock::acquire(&repository.layout.canary_lock())?;
    if let Some(canary) = files::current(&repository.layout)? {
        return Err(CanaryError::Running { id: canary.id }.into());
    }
    let Some(staged) = promotion::promotable(repository)? else {
        return Err(CanaryError::NothingStaged.into());
    };
    let now = clock::now();
    let until = now.checked_add(options.time).map_err(|_| CanaryError::TooLong)?;
    let seed = random::secret()
        .map_err(|error| CanaryError::NoRandomness { problem: error.to_string() })?;
    let canary = Canary {
        schema: SCHEMA.to_owned(),
        id: format!("canary-{}", seed.get(..8).unwrap_or(&seed)),
        started: clock::rfc3339(now),
        by: repository.git.user(),
        version: staged.base.version.to_string(),
        base: staged.base.commit.clone(),
        frozen: Frozen {
            revision: staged.revision.clone(),
            seq: staged.seq,
            updates: staged.updates,
        },
        design: Design {
            share: options.share,
            seed,
            measure: options.measure,
            alpha: options.alpha,
            limit: options.limit,
            until: clock::rfc3339(until),
            idle_s: u64::try_from(options.idle.as_secs()).unwrap_or_default(),
        },
        decision: None,
        end: None,
    };
    // its objects are there before it is on record
    repository.candidate(&What::Staging, &canary.base, &staged.state)?;
    files::write(&repository.layout, &canary)?;
    repository.unpack(canaries::record(repository, &canary)?);
    Ok(canary)
}
