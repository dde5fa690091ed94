use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::traces;
use agent_core::protocol::conventions as names;
use agent_core::protocol::otlp::{self, Event, Span};
use agent_core::protocol::span_tree::{self, Tree};
use agent_engine::conversations;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::telemetry::{Records, Signal, Source};
use agent_engine::world::clock;
use agent_engine::world::fs;
use agent_engine::world::watch::Watch;
use jiff::{SignedDuration, SpanRelativeTo, Timestamp};
use serde_json::json;
use std::collections::BTreeSet;

/// Show recorded calls, rewards, tests and versions by trace
///
/// Prints a conversation or a trace as a tree with times, or by default the newest traces, a line
/// each. Times are UTC.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent log\
        \n  agent log --conversation c1\
        \n  agent log --trace 4bf92f35\
        \n  agent log --since 2h --follow\n\n\
        The record is OTLP/JSON lines in the object store, under telemetry/.")]
pub struct Arguments {
    /// Show this conversation: its calls and their feedback
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// Show this trace, by its id or a prefix of it
    #[arg(long, value_name = "ID", value_parser = trace_id)]
    trace: Option<String>,
    /// Show records since a time (RFC 3339), or since 30m, 2h or 3d ago
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// At most this many traces, the newest
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Continue with new records, until Ctrl-C
    #[arg(long)]
    follow: bool,
}

/// A trace may have begun in an earlier file: so many files before those of the newest traces are
/// searched for their beginning.
const LOOKED_BACK: usize = 200;

fn trace_id(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let is_id = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(text).ok_or_else(|| "a trace id has up to 32 hexadecimal digits".to_owned())
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let ago = text
        .parse::<jiff::Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let at = ago.and_then(|ago| clock::now().checked_sub(ago.abs()));
    at.map_err(|_| {
        "give a time such as 2026-11-22T12:00:00Z, or how long ago, such as 30m, 2h or 3d"
            .to_owned()
    })
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    if arguments.follow && context.printer.is_json() {
        return Err(Failure::usage("`--follow` does not end, and `--json` is one document")
            .with_hint("leave one of them out"));
    }
    // before reading, so that no record between the two is missed
    let watch = if arguments.follow { Some(watch(&repository)?) } else { None };
    let mut reader =
        Reader { records: repository.records()?, spans: Vec::new(), events: Vec::new() };
    let (traces, missed) = if arguments.conversation.is_some() || arguments.trace.is_some() {
        reader.read_all(arguments.since.or_else(|| opened(arguments, &repository)))?;
        let missed = reader.records.missed();
        (reader.chosen(arguments), missed)
    } else {
        (reader.read_newest(arguments.since, arguments.limit)?, reader.records.missed())
    };
    if let Some(missed) = missed {
        context.printer.warn(missed);
    }
    let skipped = traces.len().saturating_sub(arguments.limit);
    report(arguments, &traces[skipped..], context);
    match watch {
        Some(watch) => follow(arguments, watch, &repository, context),
        None => Ok(Exit::Done),
    }
}

/// The time when the conversation was opened: it has no records before that.
fn opened(arguments: &Arguments, repository: &Repository) -> Option<Timestamp> {
    let kept = conversations::load(&repository.layout, arguments.conversation.as_deref()?)
        .ok()
        .flatten()?;
    kept.header.opened.parse().ok()
}

struct Reader {
    records: Records,
    spans: Vec<Span>,
    events: Vec<Event>,
}

impl Reader {
    fn take(&mut self, source: &Source) -> Result<(), Failure> {
        let text = self.records.read(source)?;
        // lines of other programs may be unreadable
        self.spans.extend(text.lines().flat_map(|line| otlp::spans(line).unwrap_or_default()));
        Ok(())
    }

    fn take_events(&mut self, since: Option<Timestamp>) -> Result<(), Failure> {
        for source in self.records.sources(Signal::Logs, since)? {
            let text = self.records.read(&source)?;
            self.events
                .extend(text.lines().flat_map(|line| otlp::events(line).unwrap_or_default()));
        }
        Ok(())
    }

    fn read_all(&mut self, since: Option<Timestamp>) -> Result<(), Failure> {
        for source in self.records.sources(Signal::Traces, since)? {
            self.take(&source)?;
        }
        self.take_events(since)
    }

    /// The newest traces, complete as far as their beginnings are found.
    fn read_newest(
        &mut self,
        since: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Tree>, Failure> {
        let mut looked_back = 0;
        for source in self.records.sources(Signal::Traces, since)?.iter().rev() {
            self.take(source)?;
            let trees = span_tree::trees(self.spans.clone(), Vec::new());
            let newest = &trees[trees.len().saturating_sub(limit)..];
            if newest.len() == limit
                && (looked_back == LOOKED_BACK || !newest.iter().any(Tree::is_open))
            {
                break;
            }
            looked_back += usize::from(newest.len() == limit);
        }
        let trees = span_tree::trees(self.spans.clone(), Vec::new());
        let began = trees.get(trees.len().saturating_sub(limit)).map_or(0, Tree::began);
        self.take_events(since.max(Timestamp::from_nanosecond(i128::from(began)).ok()))?;
        self.events.retain(|event| event.trace.is_some());
        let known: BTreeSet<&str> = self.spans.iter().map(|span| span.trace.as_str()).collect();
        let events = self
            .events
            .iter()
            .filter(|event| event.trace.as_deref().is_some_and(|trace| known.contains(trace)));
        Ok(span_tree::trees(self.spans.clone(), events.cloned().collect()))
    }

    /// The requested traces.
    fn chosen(self, arguments: &Arguments) -> Vec<Tree> {
        let of_conversation = arguments
            .conversation
            .as_ref()
            .map(|id| span_tree::of_conversation(id, &self.spans, &self.events));
        let is_chosen = |tree: &Tree| {
            let by_conversation =
                of_conversation.as_ref().is_none_or(|traces| traces.contains(&tree.trace));
            by_conversation
                && arguments
                    .trace
                    .as_ref()
                    .is_none_or(|trace| tree.trace.starts_with(trace.as_str()))
        };
        span_tree::trees(self.spans, self.events).into_iter().filter(is_chosen).collect()
    }
}

fn report(arguments: &Arguments, trees: &[Tree], context: &Context) {
    let printer = &context.printer;
    let as_trees = arguments.conversation.is_some() || arguments.trace.is_some();
    for tree in trees {
        printer.data(if as_trees { traces::tree(tree).join("\n") } else { traces::line(tree) });
    }
    if trees.is_empty() && !arguments.follow {
        printer.say("no matching record was found");
    }
    printer.json(&json!({"schema": "agent/log@1",
        "traces": trees.iter().map(traces::document).collect::<Vec<_>>()}));
}

fn watch(repository: &Repository) -> Result<Watch, Failure> {
    let folder = repository.layout.telemetry();
    fs::create_dir(&folder)?;
    Ok(Watch::start(&folder)?)
}

/// Prints spans and events from now on, as the processes of this machine write them.
fn follow(
    arguments: &Arguments,
    mut watch: Watch,
    repository: &Repository,
    context: &Context,
) -> CommandResult {
    let began = clock::now();
    let mut seen = BTreeSet::new();
    let mut traces = BTreeSet::new();
    note(&mut seen, &newest(repository, began)?);
    loop {
        watch.wait()?;
        let now = newest(repository, began.max(clock::now() - SignedDuration::from_mins(5)))?;
        if let Some(id) = &arguments.conversation {
            traces.extend(span_tree::of_conversation(id, &now.spans, &now.events));
        }
        let wanted = |trace: &str| {
            (arguments.conversation.is_none() || traces.contains(trace))
                && arguments.trace.as_ref().is_none_or(|id| trace.starts_with(id.as_str()))
        };
        for span in now.spans.iter().filter(|span| wanted(&span.trace) && !seen.contains(&span.id))
        {
            context.printer.data(traces::ended(span));
        }
        for event in now.events.iter().filter(|event| {
            !seen.contains(&mark(event)) && wanted(event.trace.as_deref().unwrap_or_default())
        }) {
            context.printer.data(traces::event_line(event));
        }
        note(&mut seen, &now);
    }
}

fn newest(repository: &Repository, since: Timestamp) -> Result<Reader, Failure> {
    let mut reader =
        Reader { records: repository.records()?, spans: Vec::new(), events: Vec::new() };
    reader.read_all(Some(since))?;
    Ok(reader)
}

fn note(seen: &mut BTreeSet<String>, now: &Reader) {
    seen.clear();
    seen.extend(now.spans.iter().map(|span| span.id.clone()));
    seen.extend(now.events.iter().map(mark));
}

/// An event has no id of its own.
fn mark(event: &Event) -> String {
    let signal = event.text(names::SIGNAL).or_else(|| event.text(names::CASE)).unwrap_or_default();
    format!("{} {} {signal}", event.at, event.span.as_deref().unwrap_or_default())
}
