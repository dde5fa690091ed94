use crate::commands::outcome;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::printer::{Printer, Style};
use agent_core::architect::feedback::Status;
use agent_core::architect::run::{Phase, SCHEMA};
use agent_core::formats::manifest::CoderKind;
use agent_engine::architect::NotStarted;
use agent_engine::architect::operations::{
    self, Accepted, Announcement, NewFeedback, NotCancelled, Start, Submission, Submitted,
};
use agent_engine::error::Failure;
use agent_engine::repository::inbox::unknown;
use agent_engine::repository::run_report::Report;
use agent_engine::repository::{Repository, Writes};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use serde_json::json;

/// Submit feedback and start a run that changes the code for it
///
/// The feedback goes to the inbox, a ref of the repository. In a run, a coder changes the code in a
/// repository of its own. The change is tested (micro, fast, then the release with its gate), and
/// failures are returned to the coder for another attempt. A run ends in a version, or in a branch
/// `architect/RUN` with a report. A run does not release a change that breaks the Contract, changes
/// evaluators (cases, scorers, budgets, gates, hooks, workflows) or improves no case; `accept`
/// does. Your index and working tree are not changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent architect 'it does not understand plurals'\
        \n  agent architect 'wrong answer' --conversation c1 --queue-only\
        \n  agent architect run\
        \n  agent architect show r-0a1b2c3d4e")]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// The feedback: what should be better
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// The conversation it is about
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// The coder [default: the one in agent.toml]
    #[arg(long, value_name = "NAME", value_parser = coders())]
    coder: Option<CoderKind>,
    /// Add the feedback to the inbox without a run
    #[arg(long)]
    queue_only: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List feedback and runs
    List,
    /// Show a feedback item, or the report of a run
    Show {
        /// Id of the item or the run
        id: String,
    },
    /// Run for the named feedback, by default the oldest open item
    Run {
        /// Ids of feedback items
        #[arg(value_name = "FEEDBACK")]
        items: Vec<String>,
        /// The coder [default: the one in agent.toml]
        #[arg(long, value_name = "NAME", value_parser = coders())]
        coder: Option<CoderKind>,
        /// Fail if another run is in progress, instead of waiting for its end
        #[arg(long)]
        no_wait: bool,
        /// Print one line of JSON, and nothing else: that the run is on record, or why there is
        /// none
        #[arg(long, hide = true)]
        announce: bool,
        /// Only for items that no run has taken yet
        #[arg(long, hide = true)]
        once: bool,
    },
    /// Stop a run, or withdraw a feedback item
    Cancel {
        /// Id of the run or the item
        id: String,
    },
    /// Release the branch of a run
    Accept {
        /// The run's id
        run: String,
        /// Allow code that a rollback took out of service; the reason goes into the commit message
        #[arg(long, value_name = "REASON",
            value_parser = clap::builder::NonEmptyStringValueParser::new())]
        again: Option<String>,
    },
}

/// The coders there are, by name.
fn coders() -> impl clap::builder::TypedValueParser<Value = CoderKind> {
    PossibleValuesParser::new(CoderKind::ALL.map(CoderKind::as_str))
        .try_map(|name| name.parse::<CoderKind>())
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let only_looks = matches!(arguments.action, Some(Action::List | Action::Show { .. }));
    let repository = context.repository_to(Writes::Refs.unless(only_looks))?;
    match (&arguments.action, &arguments.text) {
        (Some(_), Some(text)) => Err(Failure::usage(format!("`{text}` precedes an action"))
            .with_hint(
                "quote the feedback as one argument: agent architect 'list what is missing'",
            )),
        (None, Some(text)) => say(text, arguments, &repository, context),
        (None, None) => Err(Failure::usage("the feedback is missing").with_hint(
            "run agent architect 'what should be better'; `agent architect list` shows \
                existing feedback",
        )),
        (Some(Action::List), _) => list(&repository, context),
        (Some(Action::Show { id }), _) => show(id, &repository, context),
        (Some(Action::Run { items, coder, no_wait, announce, once }), _) => {
            let start = Start { feedback: items.clone(), coder: *coder, once: *once };
            if *announce {
                return run_announced(&start, !no_wait, &repository, context);
            }
            run_for(&start, !no_wait, &repository, context)
        }
        (Some(Action::Cancel { id }), _) => cancel(id, &repository, context),
        (Some(Action::Accept { run, again }), _) => {
            accept(run, again.as_deref(), &repository, context)
        }
    }
}

fn say(
    text: &str,
    arguments: &Arguments,
    repository: &Repository,
    context: &Context,
) -> CommandResult {
    let conversation = arguments.conversation.clone();
    let new = NewFeedback { text: text.to_owned(), conversation };
    let submission = Submission { new, source: "person", key: None };
    let submitted = operations::submit(repository, &submission)?;
    let item = match repository.unpack(submitted) {
        Submitted::New(item) | Submitted::Again(item) => item,
        Submitted::OtherContent => unreachable!("feedback without a key has no earlier content"),
        Submitted::NoConversation { id } => {
            return Err(Failure::input(format!("unknown conversation `{id}`"))
                .with_hint("run it without `--conversation` for feedback on no conversation"));
        }
    };
    if arguments.queue_only {
        context.printer.json(&item);
        context.printer.done(format!("{} is in the inbox", item.id), Some(&item.id));
        return Ok(Exit::Done);
    }
    context.printer.say(format!("{} is in the inbox", item.id));
    let start = Start { feedback: vec![item.id], coder: arguments.coder, once: false };
    run_for(&start, true, repository, context)
}

fn run_for(
    start: &Start,
    waits: bool,
    repository: &Repository,
    context: &Context,
) -> CommandResult {
    let _telemetry = repository.telemetry();
    let begun = match operations::begin(repository, start, waits) {
        Ok(begun) => begun,
        Err(NotStarted::NothingOpen) => {
            let nothing = json!({"schema": SCHEMA, "run": null, "status": "nothing-open"});
            context.printer.json(&nothing);
            context.printer.done("there is no open feedback", None);
            return Ok(Exit::Done);
        }
        Err(other) => return Err(other.into()),
    };
    let (report, pushed) = begun.carry_out()?;
    context.printer.json(&report);
    let conclusion = conclusion(&report, !context.printer.is_quiet());
    match (&report.version, report.failure()) {
        (version, None) => context.printer.done(conclusion, version.as_deref()),
        _ => context.printer.refused(conclusion),
    }
    followed(&report, pushed.as_deref(), repository, context);
    Ok(report.failure().into())
}

/// Carries out a run for the process that started this one: a line of JSON reports whether the run
/// is on record.
fn run_announced(
    start: &Start,
    waits: bool,
    repository: &Repository,
    context: &Context,
) -> CommandResult {
    let _telemetry = repository.telemetry();
    let begun = match operations::begin(repository, start, waits) {
        Ok(begun) => begun,
        Err(reason) => {
            context.printer.data(Announcement::NotStarted { reason: reason.clone() }.to_line());
            return Err(reason.into());
        }
    };
    context.printer.data(Announcement::Started { run: begun.id().to_owned() }.to_line());
    let (report, _) = begun.carry_out()?;
    Ok(report.failure().into())
}

fn followed(report: &Report, pushed: Option<&str>, repository: &Repository, context: &Context) {
    if let Some(version) = &report.version {
        outcome::followed(
            repository,
            Some(version),
            pushed,
            outcome::main_lacks(repository).as_ref(),
            &context.printer,
        );
    }
}

/// The result of a run; without the reason where each attempt was printed before.
fn conclusion(report: &Report, attempts_were_shown: bool) -> String {
    let why = match report.why.as_deref() {
        Some(_) if attempts_were_shown && report.repeats_last_attempt() => {
            match report.attempts.len() {
                1 => "the attempt was rejected",
                _ => "every attempt was rejected",
            }
        }
        why => why.unwrap_or("no reason given"),
    };
    let next = report
        .branch
        .as_ref()
        .map(|branch| {
            format!(
                "\n\
                to show the change: git log -p -1 {branch}; to release it nevertheless: agent \
                architect accept {}",
                report.run
            )
        })
        .unwrap_or_default();
    match &report.progress.phase {
        Phase::Released { version } => {
            format!(
                "{} {version} answers {}",
                Printer::styled(Style::Good, "released"),
                report.feedback.join(", ")
            )
        }
        Phase::NeedsPerson { .. } => {
            let is_case = report.attempts.iter().all(|attempt| attempt.commit.is_none());
            let branch = report
                .branch
                .as_ref()
                .filter(|_| is_case)
                .map(|branch| format!("\nfinish the case on the branch {branch}"));
            let next = if is_case { branch.unwrap_or_default() } else { next };
            format!("{} {why}{next}", Printer::styled(Style::Warning, "needs a person:"))
        }
        Phase::Refused { .. } => format!("{} {why}{next}", Printer::styled(Style::Bad, "refused:")),
        _ => format!("{} run {}", report.status, report.run),
    }
}

fn list(repository: &Repository, context: &Context) -> CommandResult {
    // runs first: recording the end of a run may change the items' status
    let (mut runs, mut items) = (operations::runs(repository)?, operations::feedback(repository)?);
    items.reverse();
    runs.reverse();
    context.printer.json(&json!({"schema": SCHEMA, "feedback": items, "runs": runs}));
    if items.is_empty() {
        context.printer.say("the inbox is empty");
    }
    for item in &items {
        context.printer.data(format!(
            "{}  {:<12}  {}{}",
            item.id,
            item.status.as_str(),
            item.headline(60),
            known(&item.status)
        ));
    }
    for run in &runs {
        let result = run
            .version
            .as_ref()
            .or(run.branch.as_ref())
            .map(|result| format!("  {result}"))
            .unwrap_or_default();
        context.printer.data(format!(
            "{}  {:<12}  {}{result}",
            run.run,
            run.status,
            run.feedback.join(", ")
        ));
    }
    Ok(Exit::Done)
}

fn known(status: &Status) -> String {
    match status {
        Status::Answered { version, .. } => format!("  ({version})"),
        Status::Taken { run } | Status::Refused { run } | Status::NeedsPerson { run } => {
            format!("  ({run})")
        }
        Status::Open | Status::Withdrawn => String::new(),
    }
}

fn show(id: &str, repository: &Repository, context: &Context) -> CommandResult {
    if let Some(item) = operations::item(repository, id)? {
        context.printer.json(&item);
        context.printer.data(format!(
            "{} ({}, {}){}\n\n{}",
            item.id,
            item.status.as_str(),
            item.at,
            known(&item.status),
            item.text
        ));
        return Ok(Exit::Done);
    }
    let report =
        operations::run(repository, id)?.ok_or_else(|| unknown("feedback item or run", id))?;
    context.printer.json(&report);
    context.printer.data(report.to_markdown().trim_end());
    Ok(Exit::Done)
}

fn cancel(id: &str, repository: &Repository, context: &Context) -> CommandResult {
    let message = match operations::cancel(repository, id) {
        Ok(cancelled) => cancelled.to_string(),
        Err(NotCancelled::NoRun { .. }) => {
            let item = operations::item(repository, id)?
                .ok_or_else(|| unknown("feedback item or run", id))?;
            operations::withdraw(repository, &item)?;
            format!("{id} is withdrawn")
        }
        Err(other) => return Err(other.into()),
    };
    context.printer.json(&json!({"schema": SCHEMA, "cancelled": id, "message": message}));
    context.printer.done(message, None);
    Ok(Exit::Done)
}

fn accept(
    run: &str,
    again: Option<&str>,
    repository: &Repository,
    context: &Context,
) -> CommandResult {
    let Accepted { report, outcome, pushed } = operations::accept(repository, run, again)?;
    if context.printer.is_json() {
        context.printer.json(&report);
    } else {
        outcome::report("released", &outcome, &context.printer);
    }
    if outcome.done {
        followed(&report, pushed.as_deref(), repository, context);
    }
    Ok(outcome.refusal.into())
}
