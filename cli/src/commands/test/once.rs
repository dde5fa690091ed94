//! One run of `agent test`, or the explanation why a case would be run.

use super::arguments::{Arguments, Place};
use super::events::Events;
use super::storing::{commit_to_keep, keep, keep_part};
use super::{bless, comparison, reporting, tiers};
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::formats::manifest::Tier;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::testing::{self, Request, TierOutcome};

/// Runs the tiers of the target, compares and reports.
pub(super) fn once(
    arguments: &Arguments,
    repository: &Repository,
    context: &Context,
) -> CommandResult {
    let has_stdout =
        reporting::takes_stdout(&arguments.reports, arguments.events.as_ref(), context)?;
    let mut target = repository.target_to_test(&arguments.at)?;
    if let Some(id) = &arguments.explain {
        return explain(arguments, repository, &target, id, context);
    }
    if arguments.bless {
        bless::write(arguments, repository, &target, context)?;
        if arguments.dry_run {
            return Ok(Exit::Done);
        }
        target = repository.target_to_test(&arguments.at)?;
    }
    let requests: Vec<_> =
        arguments.tiers().into_iter().map(|tier| arguments.request(tier)).collect();
    let outcomes = run_target(arguments, &requests, repository, &target, context)?;
    let mut evaluation = testing::evaluation(&target, &outcomes);
    let comparison = match &arguments.against {
        Some(against) => {
            let candidate = (&target.manifest, &mut evaluation);
            Some(comparison::compare(
                &requests, repository, candidate, &outcomes, against, context,
            )?)
        }
        None => None,
    };
    if let Some(commit) =
        commit_to_keep(&target).filter(|_| arguments.shard.is_none() && arguments.cases.is_empty())
    {
        keep(
            repository,
            &repository.store(&target.manifest)?,
            commit,
            &mut evaluation,
            &outcomes,
            context,
        )?;
    }
    let verdict = comparison::verdict(&evaluation, comparison.as_ref());
    let report = reporting::gather(target.shown(), outcomes, verdict, comparison.as_ref());
    reporting::write(&arguments.reports, &report, context)?;
    if !has_stdout {
        reporting::print(&report, &evaluation, comparison.as_ref(), context);
    }
    // the process is about to end: freed one by one, the results of a large tier take longer
    std::mem::forget(report);
    // a part is judged by the merge
    Ok(if arguments.shard.is_some() && arguments.events.is_some() {
        Exit::Done
    } else {
        evaluation.refusal(verdict).into()
    })
}

/// Explains the case of the smallest of the named tiers that has it, by default of all tiers.
fn explain(
    arguments: &Arguments,
    repository: &Repository,
    target: &Target,
    id: &str,
    context: &Context,
) -> CommandResult {
    let tiers = if arguments.tiers.is_empty() { Tier::ALL.to_vec() } else { arguments.tiers() };
    for tier in tiers {
        if let Some(explanation) = testing::explain::explain(repository, target, tier, id)? {
            let word = if explanation.would_run() { "would be run" } else { "would not be run" };
            context.printer.data(format!(
                "{id} ({tier}, {}) {word}: {}",
                explanation.place,
                explanation.reason()
            ));
            context.printer.json(&explanation.to_value());
            return Ok(Exit::Done);
        }
    }
    Err(Failure::input(format!("there is no case `{id}`"))
        .with_hint("use the `id` of a case in tests/{micro,fast,full}/*.jsonl"))
}

/// Runs the tiers of the target. Events go to `--events`, and the part of a commit to the object
/// store.
fn run_target(
    arguments: &Arguments,
    requests: &[Request],
    repository: &Repository,
    target: &Target,
    context: &Context,
) -> Result<Vec<TierOutcome>, Failure> {
    let part = arguments.shard.filter(|_| arguments.cases.is_empty());
    let mut events = Events::to(arguments.events.as_ref(), part.is_some(), &context.directory)?;
    if matches!(arguments.executor, Place::Ray) {
        let outcomes =
            tiers::run(requests, repository, target, context, &mut |event| events.add(event))?;
        events.finish()?;
        return Ok(outcomes);
    }
    let mut outcomes = Vec::new();
    for request in requests {
        outcomes.extend(tiers::run(
            std::slice::from_ref(request),
            repository,
            target,
            context,
            &mut |event| events.add(event),
        )?);
        let lines = events.take_lines();
        if let Some(part) = part
            && let Err(error) = keep_part(repository, target, (request.tier, part), &lines)
        {
            context.printer.warn(format!(
                "the part was not stored in the object store: {}",
                error.messages.join(": ")
            ));
        }
    }
    events.finish()?;
    Ok(outcomes)
}
