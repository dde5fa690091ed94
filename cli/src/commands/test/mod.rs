mod add;
mod bless;
mod calibration;
mod comparison;
mod events;
mod from_log;
mod merge;
mod reporting;
mod watch;

use crate::commands::test::comparison::Comparison;
use crate::commands::test::events::Events;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::progress::TierProgress;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::cached_result::Reuse;
use agent_core::testing::evaluation::{Evaluation, Verdict};
use agent_core::testing::event::Event;
use agent_core::testing::part::Part;
use agent_core::testing::repetition;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::testing::parts::{self, PartsKey};
use agent_engine::testing::{self, Executor, Request, TierOutcome};
use agent_engine::versions::stored;
use agent_engine::world::output::Output;
use agent_engine::world::store::Store;

/// Run the cases of a tier and compare them with its budget
///
/// Tests the working tree by default: its files under the state that a release would serve. `--at`
/// tests another target. Results are stored case by case in the object store: a case is run again
/// when its definition, the code or the parts of the state that it read have changed. With
/// `--against`, the gate of [promote] in agent.toml compares the results case by case.
///
/// `--bless` writes the Runner's present answers into the golden files of the cases, after printing
/// the difference; with `--dry-run` it only prints it. Then the tier is run once more.
///
/// `--shard I/N` runs one part, on one of many machines. `agent test merge` joins the files of
/// `--events` and judges them; a part itself exits with 0 once it was run.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\
    \n  agent test\
    \n  agent test --tier full --at v0.2.0 --against v0.1.0\
    \n  agent test --tier fast --shard 2/4 --events part-2.jsonl\
    \n  agent test merge part-*.jsonl --report junit=junit.xml\
    \n  agent test --against active --report html=report.html\
    \n  agent test add --conversation c1\
    \n  agent test add --from-log --differing\
    \n  agent test --bless --dry-run\n\n\
    Exit codes: 0 pass, 1 fail, 3 an invalid case or budget, 5 a child failed, 7 not enough \
    evidence.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// micro, fast or full; can be repeated [default: micro]
    #[arg(long = "tier", value_name = "TIER")]
    tiers: Vec<Tier>,
    /// The target to test: worktree, active, staging, a version, a range such as ^1.2, a pin, or
    /// any commit
    #[arg(long, value_name = "WHAT", default_value = "worktree")]
    at: What,
    /// The target to compare with, case by case
    #[arg(long, value_name = "WHAT")]
    against: Option<What>,
    /// Run the tier on this machine, or in parts on the Ray cluster at `RAY_ADDRESS`
    #[arg(long, value_name = "WHERE", default_value = "local", conflicts_with_all = ["shard",
        "cases", "watch", "explain", "calibrate", "bless"])]
    executor: Place,
    /// The number of concurrent Runners [default: cores of the machine, or CPUs of the cluster]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    shards: Option<u16>,
    /// Run only part I of N, for a matrix of machines
    #[arg(long, value_name = "I/N")]
    shard: Option<Part>,
    /// Write events as JSON lines, for `agent test merge`; `-` is stdout
    #[arg(long, value_name = "FILE", conflicts_with_all = ["explain", "bless", "watch"])]
    events: Option<Output>,
    /// Run each case at least N times; it passes when every run does
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(2..=i64::from(repetition::MOST)))]
    repeats: Option<u32>,
    /// Run only this case; can be repeated
    #[arg(long = "case", value_name = "ID")]
    cases: Vec<String>,
    /// After each save, run the cases whose outcome it can change, until Ctrl-C
    #[arg(long, conflicts_with_all = ["bless", "shard", "explain"])]
    watch: bool,
    /// Print why a case would be run or not; run nothing
    #[arg(long, value_name = "ID", conflicts_with_all = ["cases", "shard", "against", "bless",
        "no_cache", "reports"])]
    explain: Option<String>,
    /// Compare the served version (or `--at`) with itself and print how often each test of the gate
    /// reports it as better [default: 20 rounds]
    #[arg(long, value_name = "ROUNDS", num_args = 0..=1, default_missing_value = "20",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    #[arg(conflicts_with_all = ["against", "bless", "watch", "explain", "reports"])]
    calibrate: Option<u32>,
    /// Rewrite the golden files, after printing the difference
    #[arg(long, conflicts_with_all = ["against", "shard"])]
    bless: bool,
    /// With `--bless`: print the difference; write nothing
    #[arg(long, requires = "bless")]
    dry_run: bool,
    /// Run every case, without stored results
    #[arg(long)]
    no_cache: bool,
    /// Also write a report: html=FILE, junit=FILE or markdown=FILE
    #[arg(long = "report", value_name = "KIND=FILE")]
    reports: Vec<reporting::File>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Add(add::Arguments),
    Merge(merge::Arguments),
}

/// Where a tier is run.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Place {
    Local,
    /// In parts, on a cluster.
    Ray,
}

impl From<Place> for Executor {
    fn from(place: Place) -> Self {
        match place {
            Place::Local => Self::Local,
            Place::Ray => Self::Ray,
        }
    }
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.action {
        Some(Action::Add(arguments)) => return add::run(arguments, context),
        Some(Action::Merge(arguments)) => return merge::run(arguments, context),
        None => {}
    }
    let repository = context.repository()?;
    let _telemetry = repository.telemetry();
    if let Some(rounds) = arguments.calibrate {
        return calibration::calibrate(arguments, &repository, rounds, context);
    }
    if arguments.watch {
        watch::watch(arguments, &repository, context)
    } else {
        once(arguments, &repository, context)
    }
}

fn once(arguments: &Arguments, repository: &Repository, context: &Context) -> CommandResult {
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
        tiers(&arguments.tiers).into_iter().map(|tier| request(arguments, tier)).collect();
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
    let verdict = judged(&evaluation, comparison.as_ref());
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

fn judged(evaluation: &Evaluation, comparison: Option<&Comparison>) -> Verdict {
    comparison.map_or(Verdict::Pass, Comparison::verdict).and(evaluation.verdict())
}

/// Explains the case of the smallest of the named tiers that has it, by default of all tiers.
fn explain(
    arguments: &Arguments,
    repository: &Repository,
    target: &Target,
    id: &str,
    context: &Context,
) -> CommandResult {
    for tier in
        if arguments.tiers.is_empty() { Tier::ALL.to_vec() } else { tiers(&arguments.tiers) }
    {
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

/// The tiers, the smallest first, each once.
fn tiers(named: &[Tier]) -> Vec<Tier> {
    let mut tiers = if named.is_empty() { vec![Tier::Micro] } else { named.to_vec() };
    tiers.sort();
    tiers.dedup();
    tiers
}

fn request(arguments: &Arguments, tier: Tier) -> Request {
    Request {
        shards: arguments.shards.map(usize::from),
        part: arguments.shard,
        executor: arguments.executor.into(),
        only: (!arguments.cases.is_empty()).then(|| arguments.cases.iter().cloned().collect()),
        report_details: arguments.events.is_some() || arguments.shard.is_some(),
        repeats: arguments.repeats.unwrap_or(1),
        reuse: if arguments.no_cache { Reuse::Nothing } else { Reuse::SameReads },
        ..Request::new(tier)
    }
}

fn run_tiers(
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
            run_tiers(requests, repository, target, context, &mut |event| events.add(event))?;
        events.finish()?;
        return Ok(outcomes);
    }
    let mut outcomes = Vec::new();
    for request in requests {
        outcomes.extend(run_tiers(
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

fn keep_part(
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
fn commit_to_keep(target: &Target) -> Option<&ObjectId> {
    target.commit.as_ref().filter(|_| target.what != What::Staging)
}

/// Stores a complete tier of a commit under the commit. The evaluation that a version was published
/// with is never replaced, even where this clone does not have it.
fn keep(
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
