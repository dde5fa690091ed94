//! The Runner outside of service and of tiers: asked for what it lists, or for its probabilities.

use crate::child::ChildSpec;
use crate::repository::Repository;
use crate::target::confinement::{self, Scratch};
use crate::target::error::TargetError;
use crate::target::{Target, spec};

/// The start parameters of a target's Runner, and the one folder it may write, which exists until
/// that value is dropped. Code of the working tree is not confined: it may change meanwhile.
pub fn confined(
    repository: &Repository,
    target: &Target,
) -> Result<(ChildSpec, Scratch), TargetError> {
    let mut spec = spec::runner(target, repository)?;
    if target.code.is_some() {
        confinement::confine(&mut spec, &target.manifest.runner, true, target, repository)?;
    }
    let scratch = Scratch::take(&repository.layout)?;
    Ok((scratch.given_to(spec), scratch))
}
