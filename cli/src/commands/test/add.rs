//! `agent test add`: makes a case from a conversation, or cases from recorded calls.

use super::from_log::{self, FromLog};
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::document;
use agent_core::formats::manifest::Tier;
use agent_core::testing::case::Cases;
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::testing::expectation::Expectation;
use agent_core::version::what::What;
use agent_engine::conversations::{self, Conversation, Turn};
use agent_engine::error::Failure;
use agent_engine::repository::{Repository, manifest_on_disk};
use agent_engine::target::evaluators::{Evaluators, Source, TESTS};
use agent_engine::testing::cases;
use agent_engine::testing::{self, Request};
use agent_engine::world::fs::{self, Durability, FsError};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;

const FILE: &str = "conversations.jsonl";

/// Make a case from a conversation, or cases from recorded calls
///
/// The turns are appended to tests/TIER/conversations.jsonl in the working tree, with an
/// expectation for the last one: the one given by `--expect`, or the Runner's present answer with
/// `--golden`. A last turn that failed is expected to succeed. Then the case is run once; a case
/// for a fault that is not fixed yet should fail.
///
/// With `--from-log`, recorded calls become cases in tests/micro/recorded.jsonl, as `agent adopt
/// --record` writes them: each is repeated on active under the conditions of a test, and expects
/// the recorded answer where active gives it again, else any answer. With `--differing`, these are
/// the calls on which the last `agent replay` differed. Nothing is committed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent test add --conversation c1\
        \n  agent test add --conversation c1 --turn 2 --expect '{\"subset\": {\"found\": true}}'\
        \n  agent test add --conversation c1 --golden --tier fast --id greets-twice\
        \n  agent test add --from-log --differing")]
pub struct Arguments {
    /// The conversation, as `agent run --conversation` named it
    #[arg(long, value_name = "ID", required_unless_present = "from_log")]
    conversation: Option<String>,
    /// micro, fast or full
    #[arg(long, value_name = "TIER", default_value = "micro")]
    tier: Tier,
    /// End with this turn [default: the last one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    turn: Option<u64>,
    /// The case's id [default: the conversation's]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The expectation of the last turn, in the form of `expect` in a case
    #[arg(long, value_name = "JSON", conflicts_with = "golden")]
    expect: Option<String>,
    /// Expect what the Runner answers now, kept in a golden file
    #[arg(long)]
    golden: bool,
    /// Print the case; neither write nor run it
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    log: FromLog,
}

/// A case to be appended to the file.
struct Added {
    id: String,
    /// Relative to the working tree.
    file: String,
    line: String,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.conversation {
        Some(id) => of_conversation(arguments, id, context),
        None => from_log::run(&arguments.log, arguments.dry_run, context),
    }
}

fn of_conversation(arguments: &Arguments, id: &str, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let conversation = conversations::load(&repository.layout, id)?.ok_or_else(|| {
        Failure::input(format!("unknown conversation `{id}`")).with_hint(
            "`agent run TOOL --conversation ID` and hosts that name a conversation record one in \
                    .agent/conversations",
        )
    })?;
    let worktree = repository.worktree()?;
    let evaluators = Evaluators {
        source: Source::Folder(worktree.clone()),
        manifest: manifest_on_disk(&worktree)?,
    };
    let there = cases::load(&evaluators.files(&repository.git)?, arguments.tier)?.cases;
    let added = case_of(arguments, &conversation, &there)?;
    if arguments.dry_run {
        context.printer.data(&added.line);
        context.printer.json(&document(arguments, &added, None));
        return Ok(Exit::Done);
    }
    append(&worktree.join(&added.file), &added.line)?;
    context.printer.say(format!("the case {} is added to {}", added.id, added.file));
    let result = try_out(arguments, &added, &repository, context);
    report(arguments, &added, &result, context);
    Ok(Exit::Done)
}

/// The case, checked by the rules of the file's reader.
fn case_of(
    arguments: &Arguments,
    conversation: &Conversation,
    there: &Cases,
) -> Result<Added, Failure> {
    let turns = turns(arguments, conversation)?;
    let id = arguments.id.clone().unwrap_or_else(|| conversation.header.id.clone());
    let mut written: Vec<_> =
        turns.iter().map(|turn| json!({"tool": turn.tool, "arguments": turn.arguments})).collect();
    if let (Some(last), Some(turn)) = (written.last_mut(), turns.last()) {
        last["expect"] = expectation(arguments, &id, turn)?;
    }
    let line = json!({"id": id, "turns": written}).to_string();
    let file = format!("{}/{}/{FILE}", TESTS, arguments.tier);
    if let Some(taken) = there.list.iter().find(|case| case.id == id) {
        return Err(Failure::usage(format!("the id `{id}` is taken by {}", taken.place))
            .with_hint("give another one with `--id`"));
    }
    Cases::default().read(&line, &file)?;
    Ok(Added { id, file, line })
}

fn turns<'a>(arguments: &Arguments, conversation: &'a Conversation) -> Result<&'a [Turn], Failure> {
    let count = conversation.turns.len();
    let wanted = arguments.turn.map_or(count, |turn| usize::try_from(turn).unwrap_or(usize::MAX));
    match conversation.turns.get(..wanted).filter(|turns| !turns.is_empty()) {
        Some(turns) => Ok(turns),
        None => Err(Failure::usage(format!(
            "conversation `{}` has {count} turns, not {wanted}",
            conversation.header.id
        ))),
    }
}

fn expectation(arguments: &Arguments, id: &str, last: &Turn) -> Result<Value, Failure> {
    if let Some(written) = &arguments.expect {
        let value: Value = document::parse(written).map_err(|flaw| {
            Failure::usage(format!("--expect: {flaw}"))
                .with_hint("quote it for the shell, such as '{\"equals\": 1}'")
        })?;
        let checked = Expectation::parse(value.clone(), "--expect");
        return checked
            .map(|_| value)
            .map_err(|error| Failure::usage(error.to_string()).with_hint(error.hint));
    }
    if arguments.golden {
        return Ok(json!({"golden": format!("golden/{}.json", file_name(id))}));
    }
    if last.is_error {
        // any result, as long as the tool does not fail
        return Ok(json!({"schema": {}}));
    }
    Err(Failure::usage("the last turn did not fail, so an expectation is needed")
        .with_hint("give it with `--expect JSON`, or expect the present answer with `--golden`"))
}

/// A file name from an id, which may have any characters.
fn file_name(id: &str) -> String {
    id.chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() || matches!(character, '-' | '_') {
                character
            } else {
                '-'
            }
        })
        .collect()
}

/// Appends to the user's file, whose last line may lack its newline.
fn append(path: &Path, line: &str) -> Result<(), FsError> {
    let before = fs::read_if_there(path)?.unwrap_or_default();
    fs::create_dir(path.parent().unwrap_or(Path::new(".")))?;
    let start = if before.last().is_none_or(|byte| *byte == b'\n') { "" } else { "\n" };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(format!("{start}{line}\n").as_bytes()));
    written.map_err(FsError::while_doing("write", path))
}

/// Runs the case, with `--golden` after writing its golden file.
fn try_out(
    arguments: &Arguments,
    added: &Added,
    repository: &Repository,
    context: &Context,
) -> Result<CaseResult, Failure> {
    let target = repository.target_to_test(&What::Worktree)?;
    let only = Some([added.id.clone()].into());
    let request = Request { only, keep_goldens: arguments.golden, ..Request::anew(arguments.tier) };
    let mut outcome =
        testing::run_tier(repository, &target, &target.own_evaluators(), &request, &mut |_| {})?;
    if arguments.golden {
        let worktree = repository.worktree()?;
        for golden in &outcome.goldens {
            fs::replace(&worktree.join(&golden.path), &golden.bytes, Durability::Durable)?;
            context.printer.say(format!("{} has the present answer", golden.path));
        }
        let target = repository.target_to_test(&What::Worktree)?;
        let request = Request { keep_goldens: false, ..request };
        outcome = testing::run_tier(
            repository,
            &target,
            &target.own_evaluators(),
            &request,
            &mut |_| {},
        )?;
    }
    let result = outcome.into_results().into_iter().find(|result| result.id == added.id);
    result.ok_or_else(|| {
        Failure::new(
            FailureKind::NotEnoughEvidence,
            "the tier's time limit or spend was used up before the case was run",
        )
    })
}

fn report(
    arguments: &Arguments,
    added: &Added,
    result: &Result<CaseResult, Failure>,
    context: &Context,
) {
    context.printer.data(described(arguments, result));
    context.printer.json(&document(arguments, added, Some(result)));
}

fn described(arguments: &Arguments, result: &Result<CaseResult, Failure>) -> String {
    match result {
        Ok(result) if result.outcome != Outcome::Passed => {
            let why = result.why.as_deref().unwrap_or("no reason was given");
            let wanted =
                if arguments.golden { "now" } else { "now, as it should until the fault is fixed" };
            format!("it fails {wanted}: {why}")
        }
        Ok(_) if arguments.golden => "it passes now, and expects the present answer".to_owned(),
        Ok(_) => {
            "it passes now: the fault is fixed already, or the expectation is too weak (`--expect`)"
                .to_owned()
        }
        Err(error) => format!("it could not be run: {}", error.messages.join(": ")),
    }
}

fn document(
    arguments: &Arguments,
    added: &Added,
    result: Option<&Result<CaseResult, Failure>>,
) -> Value {
    let case: Value = serde_json::from_str(&added.line).expect("the line was serialised here");
    let (outcome, why) = match result {
        None => (Value::Null, None),
        Some(Ok(result)) => (json!(result.outcome), result.why.clone()),
        Some(Err(error)) => (json!(Outcome::Errored), Some(error.messages.join(": "))),
    };
    json!({"schema": "agent/test-add@1", "id": added.id, "tier": arguments.tier, "file": added.file,
        "case": case, "outcome": outcome,
        "why": why, "dry_run": arguments.dry_run})
}
