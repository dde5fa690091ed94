use crate::commands::numbers;
use crate::commands::time;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::table;
use agent_core::canary::{Canary, Measure, Outcome};
use agent_engine::canary::{self, Options, Progress};
use agent_engine::error::Failure;
use agent_engine::repository::Writes;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::time::Duration;

/// Serve staging to a share of conversations until evidence decides
///
/// Staging is frozen as it is at the start. Each conversation that begins afterwards is assigned at
/// random to this frozen state or to `active`. Their rewards and errors are compared after each
/// conversation: the canary is promoted if it is shown to be better, withdrawn if it is shown to be
/// worse or to fail more often, and ends at a limit otherwise. `agent mcp runner` takes part where
/// it serves `active`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent canary start staging --share 10\
    \n  agent canary start staging --share 50 --by errors --limit 500\
    \n  agent canary status --wait\
    \n  agent canary stop --reason 'a bad prompt'\n\n\
    `agent trigger check` and `watch` update it as well.\n\
    Without a comparison: agent mcp runner --at active=90,staging=10")]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Freeze staging and serve it to a share of the conversations
    Start(Start),
    /// Update the canary, carry out its decision, and show it
    ///
    /// For a canary that has ended, the exit code is 0 if it was promoted or stopped, 1 if it was
    /// withdrawn, refused by the gate or overtaken by another version, and 7 if there was not
    /// enough evidence.
    Status {
        /// Wait until it has ended
        #[arg(long)]
        wait: bool,
        /// With --wait: the time between two checks
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time::duration)]
        every: SignedDuration,
    },
    /// End the canary without a verdict; its conversations keep what they were served
    Stop {
        /// Why
        #[arg(long, value_name = "TEXT", default_value = "stopped by hand")]
        reason: String,
    },
    /// List all canaries, newest first
    List,
}

#[derive(Debug, clap::Args)]
struct Start {
    /// What is served to the share: staging
    #[arg(value_parser = ["staging"])]
    what: String,
    /// The share of new conversations that are served staging, in percent
    #[arg(long, value_name = "PERCENT", default_value = "10",
        value_parser = clap::value_parser!(u32).range(1..=99))]
    share: u32,
    /// The measure that decides: the mean reward of a conversation, or the share of its calls that
    /// fail. Errors are compared in addition to rewards in any case
    #[arg(long, value_name = "MEASURE", default_value = "reward")]
    by: By,
    /// The lowest and the highest reward; others count as these
    #[arg(long, value_name = "LOW,HIGH", default_value = "0,1", value_parser = numbers::range,
        allow_hyphen_values = true)]
    rewards: (f64, f64),
    /// The greatest probability that an identical staging is promoted
    #[arg(long, value_name = "CHANCE", default_value = "0.05", value_parser = chance)]
    alpha: f64,
    /// The canary ends without a decision after this many conversations
    #[arg(long, value_name = "COUNT", default_value = "4000",
        value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// The canary ends without a decision after this time
    #[arg(long = "for", value_name = "TIME", default_value = "30d", value_parser = time::duration)]
    time: SignedDuration,
    /// A conversation counts as over, and is compared, after this time without a call
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time::duration)]
    idle: SignedDuration,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum By {
    Reward,
    Errors,
}

fn chance(text: &str) -> Result<f64, String> {
    numbers::number(text)
        .filter(|chance| *chance > 0.0 && *chance <= 0.5)
        .ok_or_else(|| "give a number above 0 and up to 0.5".to_owned())
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.action {
        Action::Start(start) => begin(start, context),
        Action::Status { wait, every } => status(*wait, *every, context),
        Action::Stop { reason } => stop(reason, context),
        Action::List => list(context),
    }
}

fn begin(start: &Start, context: &Context) -> CommandResult {
    let repository = context.repository_to(Writes::Refs)?;
    let _telemetry = repository.telemetry();
    let (low, high) = start.rewards;
    let options = Options {
        share: start.share,
        measure: match start.by {
            By::Reward => Measure::Reward { low, high },
            By::Errors => Measure::Success,
        },
        alpha: start.alpha,
        limit: start.limit,
        time: start.time,
        idle: start.idle,
    };
    let canary = canary::start(&repository, &options)?;
    context.printer.json(&canary);
    context.printer.done(
        format!(
            "{}: {} with {} updates is served to {} % of the conversations, v{} to the others",
            canary.id, start.what, canary.frozen.updates, canary.design.share, canary.version
        ),
        Some(&canary.id),
    );
    Ok(Exit::Done)
}

fn status(waits: bool, every: SignedDuration, context: &Context) -> CommandResult {
    let every = Duration::try_from(every).unwrap_or_default();
    if every < Duration::from_secs(1) {
        return Err(Failure::usage("`--every` is at least 1s"));
    }
    let repository = context.repository_to(Writes::Refs)?;
    let _telemetry = repository.telemetry();
    let progress =
        if waits { canary::wait(&repository, every)? } else { canary::advance(&repository)? };
    if let Some(progress) = progress {
        context.printer.json(&document(&progress));
        shown(&progress, context);
        progress.warnings.as_slice().iter().for_each(|warning| context.printer.warn(warning));
        return Ok(exit(&progress.canary));
    }
    let last = canary::last(&repository.layout)?;
    context.printer.json(&json!({"schema": "agent/canary-status@1", "canary": last}));
    match &last {
        Some(last) => context.printer.data(format!("{}: {}", last.id, end(last))),
        None => {
            context.printer.say("there was no canary here; `agent canary start` begins one");
        }
    }
    Ok(last.as_ref().map_or(Exit::Done, exit))
}

fn stop(reason: &str, context: &Context) -> CommandResult {
    let repository = context.repository_to(Writes::Refs)?;
    let _telemetry = repository.telemetry();
    let progress = canary::stop(&repository, reason)?;
    context.printer.json(&document(&progress));
    let id = &progress.canary.id;
    context.printer.done(format!("{id}: {} ({})", end(&progress.canary), progress.summary), None);
    progress.warnings.as_slice().iter().for_each(|warning| context.printer.warn(warning));
    Ok(Exit::Done)
}

fn list(context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let mut canaries = canary::all(&repository)?;
    canaries.reverse();
    context.printer.json(&json!({"schema": "agent/canaries@1", "canaries": canaries}));
    if canaries.is_empty() {
        context.printer.say("there was no canary");
        return Ok(Exit::Done);
    }
    let titles = ["CANARY", "STARTED", "SHARE", "AGAINST", "STATE"].map(str::to_owned).to_vec();
    let row = |canary: &Canary| {
        vec![
            canary.id.clone(),
            canary.started.get(..16).map_or_else(String::new, |to| format!("{to}Z")),
            format!("{} %", canary.design.share),
            format!("v{}", canary.version),
            end(canary),
        ]
    };
    let rows: Vec<_> = std::iter::once(titles).chain(canaries.iter().map(row)).collect();
    for line in table::lines(&rows) {
        context.printer.data(line);
    }
    Ok(Exit::Done)
}

/// How it ended, or that it has not.
fn end(canary: &Canary) -> String {
    let Some(end) = &canary.end else {
        return if canary.is_running() { "running" } else { "decided, not carried out" }.to_owned();
    };
    match &end.version {
        Some(version) => format!("promoted as v{version}: {}", end.reason),
        None => format!("{}: {}", end.outcome.as_str(), end.reason),
    }
}

fn shown(progress: &Progress, context: &Context) {
    let Progress { canary, summary, figures, .. } = progress;
    context.printer.data(format!("{}: {}", canary.id, end(canary)));
    if canary.end.is_none() {
        context.printer.data(format!("{summary} (canary against v{})", canary.version));
        let needed = figures["evidence_needed"].as_f64().unwrap_or_default();
        let evidence = |side: &str| figures["measured"][side].as_f64().unwrap_or_default();
        context.printer.data(format!(
            "evidence: better {:.2}, worse {:.2}, more errors {:.2}; {needed:.0} decides",
            evidence("evidence_better"),
            evidence("evidence_worse"),
            figures["success"]["evidence_worse"].as_f64().unwrap_or_default(),
        ));
        context.printer.data(format!(
            "it ends without a decision after {} conversations ({} so far) or at {}",
            canary.design.limit, figures["conversations"], canary.design.until
        ));
    }
}

/// Reports a canary that has ended, for verbs that bring it up to date beside other work.
pub fn ended(progress: &Progress, context: &Context) {
    if progress.canary.end.is_some() {
        context.printer.say(format!("{}: {}", progress.canary.id, end(&progress.canary)));
    }
}

pub fn document(progress: &Progress) -> Value {
    json!({
        "schema": "agent/canary-status@1",
        "canary": progress.canary,
        "summary": progress.summary,
        "figures": progress.figures,
        "warnings": progress.warnings.as_slice(),
    })
}

/// The exit code of how it ended.
fn exit(canary: &Canary) -> Exit {
    match canary.end.as_ref().map(|end| end.outcome) {
        None | Some(Outcome::Promoted | Outcome::Stopped) => Exit::Done,
        Some(Outcome::Withdrawn | Outcome::Refused | Outcome::Overtaken) => Exit::No,
        Some(Outcome::NotEnoughEvidence) => Exit::NotEnoughEvidence,
    }
}
