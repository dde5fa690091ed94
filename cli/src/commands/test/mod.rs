mod bless;
mod calibration;
mod comparison;
mod watch;

use crate::commands::test::comparison::Comparison;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::report::{TierReport, human, junit, markdown, progress::TierProgress};
use crate::repository::Repository;
use crate::target::Target;
use crate::testing::{self, Part, Request, TierOutcome};
use crate::versions::stored;
use crate::world::fs::{self, Durability, FsError};
use agent_core::diagnose::Exit;
use agent_core::evaluation::{Evaluation, Outcome, Verdict};
use agent_core::manifest::Tier;
use agent_core::repetition;
use agent_core::what::What;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Run the cases of a tier and judge them by its budget
///
/// Tests the working tree as it is, unless `--at` names something else; what is committed is tested in a checkout of its own. Results are kept
/// case by case in the object store: a case is run again when its definition, the code or the parts of the state that it read have changed. With `--against`, the results are compared case by case by the gate of
/// [promote] in agent.toml.
///
/// `--bless` writes what the Runner answers now into the golden files the cases name: it shows the difference, then writes it, without asking;
/// `--dry-run` only shows it. Then the tier is run once more.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  agent test\n  agent test --tier full --at v0.2.0 --against v0.1.0\n  agent test --tier fast --shard 2/4 --report junit=junit.xml\n  agent test --bless --dry-run\n\nExit codes: 0 pass, 1 fail, 3 a wrong case or budget, 5 a child failed, 7 not enough evidence."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Arguments {
    /// micro, fast or full; can be given more than once [default: micro]
    #[arg(long = "tier", value_name = "TIER")]
    tiers: Vec<Tier>,
    /// What to test: worktree, active, staging, a version, a range such as ^1.2, a pin, or any commit
    #[arg(long, value_name = "WHAT", default_value = "worktree")]
    at: What,
    /// What to compare with, case by case
    #[arg(long, value_name = "WHAT")]
    against: Option<What>,
    /// How many Runners at once [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    shards: Option<u16>,
    /// Run only part I of N, for a matrix of machines
    #[arg(long, value_name = "I/N")]
    shard: Option<Part>,
    /// Run each case at least N times; it passes when every run does
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=i64::from(repetition::MOST)))]
    repeats: Option<u32>,
    /// Run only this case; can be given more than once
    #[arg(long = "case", value_name = "ID")]
    cases: Vec<String>,
    /// Run again whatever a save can have changed, until Ctrl-C
    #[arg(long, conflicts_with_all = ["bless", "shard", "explain"])]
    watch: bool,
    /// Say why a case would be run or not, and run nothing
    #[arg(long, value_name = "ID", conflicts_with_all = ["cases", "shard", "against", "bless", "no_cache", "reports"])]
    explain: Option<String>,
    /// Run what is served (or `--at` a version) against itself, afresh each time, and say how often each test of the gate would have called it better; 20 rounds when not said
    #[arg(long, value_name = "ROUNDS", num_args = 0..=1, default_missing_value = "20", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    #[arg(conflicts_with_all = ["against", "bless", "watch", "explain", "reports"])]
    calibrate: Option<u32>,
    /// Write the golden files anew, after showing the difference
    #[arg(long, conflicts_with_all = ["against", "shard"])]
    bless: bool,
    /// With `--bless`: show the difference and write nothing
    #[arg(long, requires = "bless")]
    dry_run: bool,
    /// Run even what was run before
    #[arg(long)]
    no_cache: bool,
    /// Write a report as well: junit=FILE or markdown=FILE
    #[arg(long = "report", value_name = "KIND=FILE")]
    reports: Vec<Report>,
}

#[derive(Debug, Clone)]
struct Report {
    render: fn(&[TierReport]) -> String,
    file: PathBuf,
}

impl std::str::FromStr for Report {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, file) = text.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or("write KIND=FILE")?;
        let render = match kind {
            "junit" => junit::render,
            "markdown" => markdown::render,
            other => return Err(format!("`{other}` is no report; it is one of junit, markdown")),
        };
        Ok(Self { render, file: file.into() })
    }
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = Repository::open(context)?;
    if let Some(rounds) = arguments.calibrate {
        return calibration::calibrate(arguments, &repository, rounds, context);
    }
    if arguments.watch { watch::watch(arguments, &repository, context) } else { once(arguments, &repository, context) }
}

fn once(arguments: &Arguments, repository: &Repository, context: &Context) -> CommandResult {
    let target = repository.target(&arguments.at)?;
    if let Some(id) = &arguments.explain {
        return explain(arguments, repository, &target, id, context);
    }
    if arguments.bless {
        bless::write(arguments, repository, &target, context)?;
        if arguments.dry_run {
            return Ok(Exit::Done);
        }
    }
    let outcomes = run_tiers(arguments, repository, &target, context)?;
    let mut evaluation = testing::evaluation(&target, &outcomes);
    let comparison = match &arguments.against {
        Some(against) => Some(comparison::compare(arguments, repository, (&target, &mut evaluation), &outcomes, against, context)?),
        None => None,
    };
    store(arguments, repository, &target, &mut evaluation, &outcomes, context)?;
    report(arguments, outcomes, &evaluation, comparison.as_ref(), context)
}

/// In the narrowest of the tiers that has the case; of all tiers, where none was named.
fn explain(arguments: &Arguments, repository: &Repository, target: &Target, id: &str, context: &Context) -> CommandResult {
    let named = tiers(arguments);
    for tier in if arguments.tiers.is_empty() { Tier::ALL.to_vec() } else { named } {
        if let Some(explanation) = testing::explain::explain(repository, target, tier, id)? {
            let word = if explanation.would_run() { "would be run" } else { "would not be run" };
            context.printer.data(format!("{id} ({tier}, {}) {word}: {}", explanation.place, explanation.reason()));
            context.printer.json(&explanation.to_value());
            return Ok(Exit::Done);
        }
    }
    Err(CommandError::input(format!("there is no case `{id}`"))
        .with_hint("cases are known by their `id`, in tests/{micro,fast,full}/*.jsonl"))
}

/// The tiers, narrow ones first, each once.
fn tiers(arguments: &Arguments) -> Vec<Tier> {
    let mut tiers = if arguments.tiers.is_empty() { vec![Tier::Micro] } else { arguments.tiers.clone() };
    tiers.sort();
    tiers.dedup();
    tiers
}

fn request(arguments: &Arguments, tier: Tier) -> Request {
    Request {
        shards: arguments.shards.map(usize::from),
        part: arguments.shard,
        only: (!arguments.cases.is_empty()).then(|| arguments.cases.iter().cloned().collect()),
        repeats: arguments.repeats.unwrap_or(1),
        cache: !arguments.no_cache,
        ..Request::new(tier)
    }
}

fn run_tiers(arguments: &Arguments, repository: &Repository, target: &Target, context: &Context) -> Result<Vec<TierOutcome>, CommandError> {
    let mut progress = TierProgress::new(&context.printer);
    let run = |tier| testing::run_tier(repository, target, &request(arguments, tier), context, &mut |event| progress.add(event));
    tiers(arguments).into_iter().map(run).collect()
}

/// A whole tier of a commit is kept under the commit; what a version was let pass by is never replaced.
fn store(
    arguments: &Arguments,
    repository: &Repository,
    target: &Target,
    evaluation: &mut Evaluation,
    outcomes: &[TierOutcome],
    context: &Context,
) -> Result<(), CommandError> {
    // staging is a candidate that no commit holds yet
    let Some(commit) =
        target.commit.as_ref().filter(|_| arguments.at != What::Staging && arguments.shard.is_none() && arguments.cases.is_empty())
    else {
        return Ok(());
    };
    evaluation.commit = Some(commit.to_string());
    let store = repository.store(&target.manifest)?;
    if !testing::store_evaluation(&store, commit, evaluation, outcomes)? {
        let kept = stored::keep_late(&store, commit, evaluation, outcomes)?;
        context.printer.detail(format!("{} has an evaluation already, which stays", commit.short()));
        for tier in kept {
            context.printer.detail(format!("the results of {tier} are kept beside it"));
        }
    }
    Ok(())
}

fn report(
    arguments: &Arguments,
    outcomes: Vec<TierOutcome>,
    evaluation: &Evaluation,
    comparison: Option<&Comparison>,
    context: &Context,
) -> CommandResult {
    let reports: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| TierReport { tier: outcome.tier, results: outcome.results(), summary: outcome.summary })
        .collect();
    for report in &arguments.reports {
        write_report(&context.directory, report, &reports)?;
    }
    context.printer.data(human::render(&reports));
    if let Some(comparison) = comparison {
        context.printer.data(comparison.shown());
    }
    context.printer.json(&document(evaluation, &reports, comparison));
    let verdict = comparison.map_or(Verdict::Pass, Comparison::verdict).and(evaluation.verdict());
    Ok(match verdict {
        Verdict::Pass => Exit::Done,
        Verdict::NotEnoughEvidence => Exit::NotEnoughEvidence,
        Verdict::Fail => Exit::No,
    })
}

fn write_report(directory: &Path, report: &Report, reports: &[TierReport]) -> Result<(), FsError> {
    fs::replace(&directory.join(&report.file), (report.render)(reports).as_bytes(), Durability::Rebuildable)
}

/// The evaluation, and beside it what only this run can tell.
fn document(evaluation: &Evaluation, reports: &[TierReport], comparison: Option<&Comparison>) -> Value {
    let mut document = evaluation.to_value();
    document["failures"] = reports
        .iter()
        .flat_map(|report| {
            report.failures().into_iter().map(|result| {
                let outcome = if result.outcome == Outcome::Errored { "errored" } else { "failed" };
                json!({"tier": report.tier, "id": result.id, "place": result.place, "outcome": outcome, "must": result.must,
                    "score": result.score, "why": result.why})
            })
        })
        .collect();
    if let Some(comparison) = comparison {
        document["against"] = comparison.to_value();
    }
    document
}
