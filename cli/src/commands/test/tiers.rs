//! The tiers of a command, and their run.

use crate::context::Context;
use crate::report::progress::TierProgress;
use agent_core::formats::manifest::Tier;
use agent_core::testing::event::Event;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::testing::{self, Executor, Request, TierOutcome};

/// The tiers that are named, the smallest first, each once; by default micro.
pub(super) fn sorted(named: &[Tier]) -> Vec<Tier> {
    let mut tiers = if named.is_empty() { vec![Tier::Micro] } else { named.to_vec() };
    tiers.sort();
    tiers.dedup();
    tiers
}

pub(super) fn run(
    requests: &[Request],
    repository: &Repository,
    target: &Target,
    context: &Context,
    on_event: &mut dyn FnMut(&Event),
) -> Result<Vec<TierOutcome>, Failure> {
    let slow_ms = requests
        .iter()
        .map(|request| (request.tier, testing::slow_cases(repository, request.tier)))
        .collect();
    let mut progress = TierProgress::new(&context.printer, slow_ms);
    let mut on_event = |event: &Event| {
        progress.add(event);
        on_event(event);
    };
    if requests.iter().any(|request| request.executor == Executor::Ray) {
        return testing::ray::run_tiers(repository, target, requests, &mut on_event);
    }
    let evaluators = target.own_evaluators();
    requests
        .iter()
        .map(|request| {
            Ok(testing::run_tier(repository, target, &evaluators, request, &mut on_event)?)
        })
        .collect()
}
