//! Canaries: staging, frozen, is served to a share of the conversations until the comparison with
//! the served version ends it.
//!
//! `.agent/canary/current.json` is the record of the canary that runs in this clone; servers look
//! at it at each request. Each step writes it durably before the next one begins, so that a command
//! after a kill continues where the last one stood: start, decision, promotion, end.

mod error;
mod files;
mod progress;
mod start;

pub use crate::repository::canaries::all;
pub use files::{current, last};
pub use progress::{Progress, advance, stop, wait};
pub use start::{Options, start};

use crate::error::Failure;
use crate::repository::{Repository, state_value};
use crate::target::Target;
use crate::world::fs::Stamp;
use agent_core::canary::Canary;
use agent_core::version::what::What;

/// The stamp of the file of the running canary: nothing has changed while it is equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CanaryStamp(Option<Stamp>);

impl CanaryStamp {
    pub fn of(repository: &Repository) -> Self {
        let file = repository.layout.canary_current();
        Self(file.metadata().ok().map(|metadata| Stamp::of(&metadata)))
    }
}

/// The canary that conversations are assigned to.
pub fn running(repository: &Repository) -> Result<Option<Canary>, Failure> {
    Ok(current(&repository.layout)?.filter(Canary::is_running))
}

/// What a canary serves: the code of its version with the frozen state.
pub fn target(repository: &Repository, canary: &Canary) -> Result<Target, Failure> {
    let bytes = repository.git.blob(&canary.frozen.revision)?;
    let state = state_value(&bytes, &format!("state {}", canary.frozen.revision.short()))?;
    Ok(repository.candidate(&What::Staging, &canary.base, &state)?)
}
