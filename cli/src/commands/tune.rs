use super::numbers::amount;
use super::outcome;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::progress::Progress;
use agent_core::formats::count::counted;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::document;
use agent_core::formats::manifest::Tier;
use agent_core::protocol::call_arguments;
use agent_core::state::signal::{self, Defaults, Occurrences, Signal};
use agent_core::version::what::What;
use agent_engine::effects;
use agent_engine::error::Failure;
use agent_engine::repository::{Repository, Writes};
use agent_engine::staging::Staging;
use agent_engine::target::batch::{Batch, DryRun, Incoming, Outcome, Rejected, SignalOutcome};
use agent_engine::target::effects::{BatchLimits, Seeds};
use agent_engine::target::tuner::{self, Tuner};
use agent_engine::versions::{self, promotion};
use agent_engine::world::clock::fresh_id;
use agent_engine::world::event_loop;
use agent_engine::world::fs::FsError;
use agent_engine::world::input;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Give the Tuner feedback: one signal, or a file of signals
///
/// A signal is a call of a Tuner tool. The new state is durable in staging before this command
/// reports it. The arguments are one JSON object or key=value words, as for `agent run`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// The Tuner's tool; with --signals, the tool of lines without one
    #[arg(required_unless_present = "signals")]
    tool: Option<String>,
    /// `{"key": "value"}` or key=value words
    #[arg(value_name = "ARGUMENTS", conflicts_with = "signals")]
    words: Vec<String>,
    /// The conversation of the feedback; the Tuner receives its turns
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// The signal's id; a known id is not counted again, and refused with other content
    #[arg(long, value_name = "ID", conflicts_with = "signals")]
    id: Option<String>,
    /// Repeat the tool, a signal each time, until its result has `"done": true`, N times at most
    #[arg(long, value_name = "N", conflicts_with_all = ["signals", "id"])]
    budget: Option<NonZeroU64>,
    /// The tier of a search: the argument `tier` of the tool
    #[arg(long, conflicts_with = "signals")]
    tier: Option<Tier>,
    /// Draw the random numbers of the signals from this number: the same signals on the same state
    /// draw the same ones again
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The most that the effects of all signals may cost together, in US dollars; `usd` of
    /// [tuner.effects] bounds each signal
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    usd: Option<f64>,
    /// Signals from a file, one JSON object a line, or `-` for stdin
    #[arg(long, value_name = "FILE")]
    signals: Option<PathBuf>,
    /// Print each signal's id on stdout once it is durable
    #[arg(long, conflicts_with = "json", requires = "signals")]
    acknowledge: bool,
    /// Promote afterwards, if no signal was rejected
    #[arg(long, conflicts_with = "dry_run")]
    promote: bool,
    /// Count signals even if another clone may have counted their ids before
    #[arg(long)]
    unchecked: bool,
    /// Print the resulting staging state; append nothing
    #[arg(long)]
    dry_run: bool,
}

const AFTER_HELP: &str = "Examples:
  agent tune reward value=1 strategy=title
  agent tune reward value=-1 --conversation c1
  agent tune --signals feedback.jsonl
  agent tune search --tier fast --budget 200

A line of a signals file: \
{\"id\":\"s-1\",\"tool\":\"reward\",\"arguments\":{\"value\":1},\"conversation\":\"c1\"}. A signal \
with an `id` can be sent again safely; the same id with other content is refused. Without an id, a \
line of a file counts by its content: sending the same file again counts no line twice, and added \
lines count at any position. Lines from stdin or a pipe count each time. An invalid line is \
reported by number, and the rest continues.

Exit codes: 1 the Tuner refused a signal, 3 a line is not a signal, 5 the Tuner failed (signals \
applied before it remain), 7 it is unknown whether a signal was counted before, since `active` has \
a version of another clone that has not shared its counted signals.";

/// How many rejected lines are reported one by one.
const REJECTED_SHOWN: usize = 1000;
/// Lines read ahead of the Tuner.
const READ_AHEAD: usize = 1024;

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let mut source = Source::open(arguments, context)?;
    let repository = context.repository_to(Writes::Home.unless(arguments.dry_run))?;
    let _telemetry = repository.telemetry();
    let mut report = event_loop::block_on(tune(arguments, &mut source, &repository, context))??;
    report.close(source);
    let promotion =
        (arguments.promote && report.is_clean()).then(|| promote(&repository)).transpose();
    // the report of staging does not depend on the promotion
    report.print(arguments, promotion.as_ref().ok().and_then(Option::as_ref), context);
    let ended = report.end()?;
    let Some(promotion) = promotion? else { return Ok(ended) };
    let exit = outcome::print("promoted", &promotion, &context.printer);
    outcome::followed(
        &repository,
        promotion.tag.as_deref(),
        promotion.pushed.as_deref(),
        promotion.main.as_ref(),
        &context.printer,
    );
    Ok(exit)
}

fn promote(repository: &Repository) -> Result<versions::Outcome, Failure> {
    outcome::made(repository, versions::pushes_by_manifest(repository), || {
        promotion::promote(repository, &promotion::Options::default())
    })
}

/// The source of the signals, and errors of reading them.
struct Source {
    signals: Option<mpsc::Receiver<Incoming>>,
    reader: Option<std::thread::JoinHandle<Result<(), FsError>>>,
    /// The id of a single signal from the command line.
    single: Option<String>,
    /// Sends the typed signal again.
    repeat: Option<Repeat>,
}

/// The signal of a search, and where it is sent for each step.
struct Repeat {
    signal: Signal,
    sender: mpsc::Sender<Incoming>,
    left: u64,
}

impl Repeat {
    /// After a step: sends the next one, or drops the sender.
    fn after(mut self, outcome: &SignalOutcome) -> Option<Self> {
        let SignalOutcome::Applied(_, result) = outcome else { return None };
        let is_done = result.answer().ok().is_none_or(|answer| {
            answer.structured().is_some_and(|value| value.get("done") == Some(&Value::Bool(true)))
        });
        self.left -= 1;
        if is_done || self.left == 0 {
            return None;
        }
        self.signal.id = fresh_id("typed");
        self.sender.try_send(Ok(self.signal.clone())).ok()?;
        Some(self)
    }
}

impl Source {
    fn open(arguments: &Arguments, context: &Context) -> Result<Self, Failure> {
        let defaults =
            Defaults { tool: arguments.tool.clone(), conversation: arguments.conversation.clone() };
        let Some(path) = &arguments.signals else {
            let (sender, receiver) = mpsc::channel(1);
            let signal = typed_signal(arguments, defaults)?;
            let single = Some(signal.id.clone());
            sender.try_send(Ok(signal.clone())).expect("the channel has room for one");
            let repeat =
                arguments.budget.map(|budget| Repeat { signal, sender, left: budget.get() });
            return Ok(Self { signals: Some(receiver), reader: None, single, repeat });
        };
        let path = if path == Path::new("-") { path.clone() } else { context.directory.join(path) };
        let input = input::open(&path)?;
        let unnamed =
            if input.is_file { Unnamed::OfAFile(Occurrences::default()) } else { Unnamed::New };
        let reader = BufReader::new(input.reader);
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let reader = std::thread::spawn(move || {
            read_lines(reader, &defaults, unnamed, &sender)
                .map_err(FsError::while_doing("read", &path))
        });
        Ok(Self { signals: Some(receiver), reader: Some(reader), single: None, repeat: None })
    }
}

fn typed_signal(arguments: &Arguments, defaults: Defaults) -> Result<Signal, Failure> {
    let mut given = call_arguments::parse(&arguments.words)?;
    if let Some(tier) = arguments.tier {
        given.insert("tier".to_owned(), json!(tier));
    }
    agent_core::state::check_numbers(&Value::Object(given.clone())).map_err(Failure::usage)?;
    let id = arguments.id.clone().unwrap_or_else(|| fresh_id("typed"));
    signal::check_id(&id).map_err(Failure::usage)?;
    let is_new = arguments.id.is_none();
    Ok(Signal {
        line: None,
        id,
        is_new,
        tool: defaults.tool.unwrap_or_default(),
        arguments: given,
        conversation: defaults.conversation,
        tags: Vec::new(),
    })
}

/// How lines without an id are counted.
enum Unnamed {
    /// From a pipe: it cannot be read again, so each line counts.
    New,
    OfAFile(Occurrences),
}

impl Unnamed {
    fn name(&mut self, content: &str) -> signal::Name {
        match self {
            Self::New => signal::Name::fresh(fresh_id("signal")),
            Self::OfAFile(occurrences) => occurrences.name(content),
        }
    }
}

/// Reads signals line by line until the end, or until the receiver is closed.
fn read_lines(
    mut input: impl BufRead,
    defaults: &Defaults,
    mut unnamed: Unnamed,
    sender: &mpsc::Sender<Incoming>,
) -> std::io::Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let signal =
            match std::str::from_utf8(&line).map(|text| document::without_mark(text).trim()) {
                Ok("") => continue,
                Ok(text) => signal::parse(number, text, defaults, |content| unnamed.name(content)),
                Err(_) => Err("it is not UTF-8".to_owned()),
            };
        let signal = signal.map_err(|error| Rejected { line: Some(number), id: None, error });
        if sender.blocking_send(signal).is_err() {
            break;
        }
    }
    Ok(())
}

async fn tune(
    arguments: &Arguments,
    source: &mut Source,
    repository: &Repository,
    context: &Context,
) -> Result<Report, Failure> {
    let target = repository.target(&What::Active)?;
    let tuner = Tuner::start(repository, &target).await?;
    if source.single.is_some() {
        expect_tool(&tuner, arguments)?;
    }
    let mut staging = tuner::staging_for(&tuner, repository).await?;
    let report = batch(arguments, source, repository, &mut staging, &tuner, context).await?;
    tuner.end().await;
    Ok(report)
}

fn expect_tool(tuner: &Tuner, arguments: &Arguments) -> Result<(), Failure> {
    let tool = arguments.tool.as_deref().unwrap_or_default();
    if tuner.has(tool) {
        return Ok(());
    }
    Err(Failure::usage(format!("the Tuner has no tool `{tool}`"))
        .with_hint(format!("its tools are: {}", tuner.tools().join(", "))))
}

async fn batch(
    arguments: &Arguments,
    source: &mut Source,
    repository: &Repository,
    staging: &mut Staging,
    tuner: &Tuner,
    context: &Context,
) -> Result<Report, Failure> {
    let start = staging.snapshot()?;
    let mut report = Report::new(source.single.clone());
    let mut repeat = source.repeat.take();
    let progress = match &repeat {
        Some(repeat) => Some(Progress::start(&context.printer, "tuning", Some(repeat.left))),
        None => source.single.is_none().then(|| Progress::start(&context.printer, "tuning", None)),
    };
    let mut listener = |outcome: SignalOutcome| {
        if let Some(progress) = &progress {
            progress.advance(1);
            if source.single.is_none() {
                report.announce(&outcome, |text| progress.aside(|| context.printer.warn(text)));
            }
        }
        if let (true, SignalOutcome::Applied(signal, _) | SignalOutcome::Duplicate(signal)) =
            (arguments.acknowledge, &outcome)
        {
            context.printer.data(&signal.id);
        }
        repeat = repeat.take().and_then(|repeat| repeat.after(&outcome));
        report.take(outcome);
    };
    let limits = BatchLimits { seeds: Seeds::of(arguments.seed), usd: arguments.usd };
    let mut effects = effects::of(repository, tuner, limits);
    let dry_run =
        arguments.dry_run.then(|| DryRun { state: start.state.clone(), ids: HashMap::new() });
    let batch = Batch {
        staging,
        tuner,
        layout: &repository.layout,
        dry_run,
        unchecked: arguments.unchecked,
        effects: &mut effects,
        listener: &mut listener,
    };
    let mut outcome = batch.run(source.signals.take().expect("it is taken once")).await;
    drop(progress);
    repository.say(std::mem::take(&mut outcome.warnings));
    report.before = start.revision.to_string();
    report.after = outcome.after.as_ref().unwrap_or(&start.revision).to_string();
    report.finish(outcome);
    Ok(report)
}

/// The summary.
struct Report {
    single: Option<String>,
    applied: u64,
    duplicates: u64,
    refused: u64,
    undetermined: u64,
    malformed: u64,
    rejected: Vec<Rejected>,
    answer: Option<String>,
    before: String,
    after: String,
    retries: u64,
    failure: Option<Failure>,
}

impl Report {
    fn new(single: Option<String>) -> Self {
        Self {
            single,
            applied: 0,
            duplicates: 0,
            refused: 0,
            undetermined: 0,
            malformed: 0,
            rejected: Vec::new(),
            answer: None,
            before: String::new(),
            after: String::new(),
            retries: 0,
            failure: None,
        }
    }

    fn take(&mut self, outcome: SignalOutcome) {
        let rejected = match outcome {
            SignalOutcome::Applied(_, result) => {
                self.applied += 1;
                self.answer = self.single.is_some().then(|| {
                    result.answer().map_or_else(
                        |problem| problem.to_string(),
                        |answer| answer.structured().map_or_else(|| answer.text(), shown),
                    )
                });
                return;
            }
            SignalOutcome::Duplicate(_) => {
                self.duplicates += 1;
                return;
            }
            SignalOutcome::Rejected(rejected) => {
                self.refused += 1;
                rejected
            }
            SignalOutcome::Undetermined(rejected) => {
                self.undetermined += 1;
                rejected
            }
            SignalOutcome::Malformed(rejected) => {
                self.malformed += 1;
                rejected
            }
        };
        if self.rejected.len() < REJECTED_SHOWN {
            self.rejected.push(rejected);
        }
    }

    /// Reports a rejected line; the rest continues.
    fn announce(&self, outcome: &SignalOutcome, warn: impl FnOnce(String)) {
        if let SignalOutcome::Rejected(rejected)
        | SignalOutcome::Undetermined(rejected)
        | SignalOutcome::Malformed(rejected) = outcome
        {
            match self.rejected.len() {
                shown if shown < REJECTED_SHOWN => {
                    warn(format!("line {}: {}", rejected.line.unwrap_or_default(), rejected.error));
                }
                REJECTED_SHOWN => {
                    warn("more lines were rejected; only the first are shown".to_owned());
                }
                _ => {}
            }
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        self.retries = outcome.retries;
        self.failure = outcome.failure.map(Failure::from);
    }

    /// The reader's result, once it is done; after a failure it may still wait for input.
    fn close(&mut self, source: Source) {
        if let (Some(reader), None) = (source.reader, &self.failure) {
            let given_up = || {
                Failure::new(
                    FailureKind::Surroundings,
                    "reading the signals failed; the cause is printed above",
                )
            };
            self.failure = reader
                .join()
                .map_or_else(|_| Some(given_up()), |read| read.err().map(Failure::from));
        }
    }

    fn rejected_count(&self) -> u64 {
        self.refused + self.undetermined + self.malformed
    }

    fn is_clean(&self) -> bool {
        self.rejected_count() == 0 && self.failure.is_none()
    }

    fn print(
        &self,
        arguments: &Arguments,
        promotion: Option<&versions::Outcome>,
        context: &Context,
    ) {
        let printer = &context.printer;
        if let Some(answer) = &self.answer {
            printer.done(answer, None);
        }
        printer.say(self.summary(arguments.dry_run));
        let rejected: Vec<_> = self
            .rejected
            .iter()
            .map(|one| json!({"line": one.line, "id": one.id, "error": one.error}))
            .collect();
        printer.json(&json!({
            "schema": "agent/tune@1", "applied": self.applied, "duplicates": self.duplicates,
                "rejected": rejected,
            "rejected_count": self.rejected_count(), "before": self.before, "after": self.after,
                "retries": self.retries,
            "dry_run": arguments.dry_run, "promotion": promotion,
        }));
    }

    fn summary(&self, dry_run: bool) -> String {
        let mut parts = vec![format!("{} applied", counted(self.applied, "signal"))];
        for (count, what) in
            [(self.duplicates, "already counted"), (self.rejected_count(), "rejected")]
        {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        let change = if self.before == self.after {
            "staging is unchanged".to_owned()
        } else {
            format!("staging is {} now", &self.after[..9])
        };
        let change = if dry_run { "dry run: staging was not changed".to_owned() } else { change };
        format!("{}; {change}", parts.join(", "))
    }

    fn end(&mut self) -> CommandResult {
        if let Some(failure) = self.failure.take() {
            let next = match &self.single {
                Some(id) => format!("sent again with `--id {id}`, the signal counts once"),
                None => format!(
                    "{} applied before that stay; send the rest again",
                    counted(self.applied, "signal")
                ),
            };
            let hint = failure
                .hint
                .as_ref()
                .map_or_else(|| next.clone(), |hint| format!("{hint}. {next}"));
            return Err(failure.with_hint(hint));
        }
        match self.rejected.first() {
            Some(rejected) if self.undetermined > 0 && self.malformed == 0 => {
                let message = format!(
                    "{} not counted: {}",
                    counted(self.undetermined, "signal"),
                    rejected.error
                );
                Err(Failure::new(FailureKind::NotEnoughEvidence, message).with_hint(
                    "`agent sync` fetches what other clones counted; with `--unchecked` the \
                    signals count all the same. Send them again afterwards",
                ))
            }
            Some(rejected) if self.single.is_some() => Err(Failure::new(
                FailureKind::Refused,
                format!("the Tuner refused the signal: {}", rejected.error),
            )),
            _ if self.malformed > 0 => Ok(Exit::Input),
            _ if self.refused > 0 => Ok(Exit::No),
            _ => Ok(Exit::Done),
        }
    }
}

fn shown(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON serialises")
}
