//! The tier of a hook: from the cache, or run within the time that a user waits for git.

use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::target::evaluators::{Evaluators, Source};
use crate::target::state_merge;
use crate::testing;
use crate::testing::error::TierFailure;
use crate::testing::memo::CacheKey;
use crate::testing::outcome::TierOutcome;
use crate::testing::request::Request;
use crate::world::git::STATE_FILE;
use crate::world::store::Store;
use crate::world::toolchain;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::budget::Budget;
use agent_core::testing::evaluation::{TierFold, Verdict};
use agent_core::testing::event::Event;
use agent_core::version::what::What;
use std::time::{Duration, Instant};

/// A tier, and when the hook must be over.
#[derive(Debug, Clone, Copy)]
pub struct Precheck {
    tier: Tier,
    limit: Duration,
    deadline: Instant,
}

/// The result of the tier of a tree, for a hook.
#[derive(Debug)]
pub enum PrecheckOutcome {
    /// Nothing against it.
    Nothing,
    /// It was not judged, and why.
    Skipped(String),
    /// It fails.
    Fails(Box<TierOutcome>),
}

impl Precheck {
    pub fn new(tier: Tier, limit: Duration, began: Instant) -> Self {
        Self { tier, limit, deadline: began + limit }
    }

    /// Judges a tree by its own cases and budget, as a release of it would be served; `on` is the
    /// commit that it is, or is to be made on.
    pub fn judge(
        &self,
        repository: &Repository,
        tree: &ObjectId,
        on: Option<&ObjectId>,
    ) -> Result<PrecheckOutcome, Failure> {
        match self.tier_of(repository, tree, on) {
            Ok(None) => Ok(PrecheckOutcome::Nothing),
            Ok(Some(outcome)) => Ok(precheck_outcome(outcome)),
            // the same on a slow machine or one without Python: the server runs the tier
            Err(TierFailure::OutOfTime { .. }) => Ok(self.out_of_time()),
            Err(TierFailure::Surroundings(failure)) => {
                Ok(PrecheckOutcome::Skipped(failure.messages.join(": ")))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// The outcome, unless the cache already has a pass.
    fn tier_of(
        &self,
        repository: &Repository,
        tree: &ObjectId,
        on: Option<&ObjectId>,
    ) -> Result<Option<TierOutcome>, TierFailure> {
        let request = Request { deadline: Some(self.deadline), ..Request::new(self.tier) };
        let target = |tree: &ObjectId| repository.tree_target(&What::Name(tree.to_string()), tree);
        let at_once = on.map_or_else(
            || Ok(Some(tree.clone())),
            |on| state_merge::at_once(repository, tree, on),
        )?;
        let (tree, merged) = match (at_once, on) {
            (None, Some(on)) => {
                let code = target(tree)?;
                expect_environment(repository, &code)?;
                let merged = repository.with_merged_state(code, on)?;
                (merged.tree.clone().unwrap_or_else(|| tree.clone()), Some(merged))
            }
            (tree_at_once, _) => (tree_at_once.unwrap_or_else(|| tree.clone()), None),
        };
        if is_known_to_be_well(repository, &tree, &request)? {
            return Ok(None);
        }
        let target = merged.map_or_else(|| target(&tree), Ok)?;
        expect_environment(repository, &target)?;
        testing::run_tier(repository, &target, &target.own_evaluators(), &request, &mut |_| {})
            .map(Some)
    }

    fn out_of_time(&self) -> PrecheckOutcome {
        PrecheckOutcome::Skipped(format!(
            "{} did not finish within {} s",
            self.tier,
            self.limit.as_secs_f64()
        ))
    }
}

/// Only wrong answers refuse: a developer's machine under load is slow, so times are left to a
/// server to judge.
fn precheck_outcome(outcome: TierOutcome) -> PrecheckOutcome {
    if outcome.summary.verdict != Verdict::Fail {
        return PrecheckOutcome::Nothing;
    }
    let untimed = Budget { wall_s: None, p95_ms: None, ..outcome.summary.budget };
    if verdict_within(untimed, &outcome) == Verdict::Fail {
        PrecheckOutcome::Fails(Box::new(outcome))
    } else {
        PrecheckOutcome::Skipped(outcome.summary.reasons.join("; "))
    }
}

fn verdict_within(budget: Budget, outcome: &TierOutcome) -> Verdict {
    let mut fold = TierFold::default();
    for result in outcome.results() {
        fold.add(&Event::CaseFinished { tier: outcome.tier, result: result.clone() });
    }
    fold.summary(budget).verdict
}

/// One small read, and no process.
fn is_known_to_be_well(
    repository: &Repository,
    tree: &ObjectId,
    request: &Request,
) -> Result<bool, Failure> {
    let manifest = repository.manifest(tree)?;
    let Some(state) = repository.git.entry(tree, STATE_FILE)? else { return Ok(false) };
    let store = Store::open(&manifest.store, repository.layout.root())?.briefly();
    let code = repository.git.code_tree(tree)?;
    let evaluators = Evaluators { source: Source::Objects(tree.clone()), manifest };
    let Some(key) =
        CacheKey::new(repository, (&evaluators.manifest, &code, &state.id), &evaluators, request)?
    else {
        return Ok(false);
    };
    Ok(testing::look_up(&store, &key)?
        .is_some_and(|cached| cached.summary.verdict != Verdict::Fail))
}

/// Installing packages takes longer than any hook may.
fn expect_environment(repository: &Repository, target: &Target) -> Result<(), TierFailure> {
    let is_ready = toolchain::is_ready(&repository.layout, &target.directory, &target.manifest);
    if is_ready.map_err(Failure::from)? {
        return Ok(());
    }
    Err(TierFailure::Surroundings(Failure::new(
        FailureKind::Surroundings,
        "its environment is not made yet (`agent test` makes it)",
    )))
}
