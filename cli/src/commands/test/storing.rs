//! Stores what was run: a part of a tier, and the evaluation of a commit.

use crate::context::Context;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::evaluation::Evaluation;
use agent_core::testing::part::Part;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::testing::parts::{self, PartsKey};
use agent_engine::testing::{self, TierOutcome};
use agent_engine::versions::stored;
use agent_engine::world::store::Store;

pub(super) fn keep_part(
    repository: &Repository,
    target: &Target,
    (tier, part): (Tier, Part),
    lines: &str,
) -> Result<(), Failure> {
    let (Some(tree), Some(_)) = (&target.tree, commit_to_keep(target)) else { return Ok(()) };
    let key = PartsKey::new(repository, &target.manifest, tier, tree)?;
    Ok(parts::keep(&repository.store(&target.manifest)?, &key, part, lines)?)
}

/// The commit to store results under. Staging has none: its state is not committed yet.
pub(super) fn commit_to_keep(target: &Target) -> Option<&ObjectId> {
    target.commit.as_ref().filter(|_| target.what != What::Staging)
}

/// Stores a complete tier of a commit under the commit. The evaluation that a version was published
/// with is never replaced, even where this clone does not have it.
pub(super) fn keep(
    repository: &Repository,
    store: &Store,
    commit: &ObjectId,
    evaluation: &mut Evaluation,
    outcomes: &[TierOutcome],
    context: &Context,
) -> Result<(), Failure> {
    evaluation.commit = Some(commit.to_string());
    let names_its_own = repository.git.commit(commit)?.trailers.eval.is_some();
    if names_its_own || !testing::store_evaluation(store, commit, evaluation, outcomes)? {
        let kept = stored::keep_late(store, commit, evaluation, outcomes)?;
        context
            .printer
            .detail(format!("{} keeps the evaluation that it was published with", commit.short()));
        for tier in kept {
            context.printer.detail(format!("the results of {tier} are stored beside it"));
        }
    }
    Ok(())
}
