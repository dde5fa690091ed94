use super::{own_draft, rules};
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::protocol::call_arguments;
use agent_core::state::journal::SET;
use agent_core::state::{Path, Rules};
use agent_engine::error::Failure;
use agent_engine::repository::{Repository, Writes};
use agent_engine::staging::{Append, Snapshot, Staging};
use agent_engine::world::clock::fresh_id;
use serde_json::{Value, json};

/// Set values in staging
///
/// The edit is recorded in the Journal like a signal, checked against state/schema.json, and safe
/// while a Tuner runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent state set ranking.k1=1.4\
    \n  agent state set /tasks/review/minutes=20 note='by hand'")]
pub struct Arguments {
    /// PATH=VALUE: a path such as `ranking.k1` or `/ranking/k1`; a value that is JSON is taken as
    /// JSON, any other as text
    #[arg(required = true, value_name = "PATH=VALUE")]
    changes: Vec<String>,
    /// Check the edit and print the result; append nothing
    #[arg(long)]
    dry_run: bool,
}

/// Lost races after which staging is locked.
const RACES_BEFORE_LOCK: u32 = 1;

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let changes =
        arguments.changes.iter().map(|change| parse(change)).collect::<Result<Vec<_>, _>>()?;
    let repository = context.repository_to(Writes::Home.unless(arguments.dry_run))?;
    let active = repository.active()?;
    let rules = rules(&repository, &active)?;
    let mut staging = repository.staging()?;
    let (before, after) = if arguments.dry_run {
        let before = staging.snapshot()?;
        let after = edited(&before, &changes, &rules)?;
        (before.revision, agent_core::formats::canonical::revision(&after))
    } else {
        append(&repository, &mut staging, &changes, &rules)?
    };
    let short = after.short();
    context.printer.say(if arguments.dry_run {
        format!("staging would be {short}")
    } else {
        format!("staging is {short} now")
    });
    context.printer.json(&json!({"schema": "agent/state-set@1", "before": before, "after": after,
        "dry_run": arguments.dry_run}));
    Ok(Exit::Done)
}

fn parse(change: &str) -> Result<(Path, Value), Failure> {
    let (path, value) = change.split_once('=').ok_or_else(|| {
        Failure::usage(format!("`{change}` is not a PATH=VALUE"))
            .with_hint("write for example `ranking.k1=1.4`")
    })?;
    let value = call_arguments::value_of(value)
        .map_err(|flaw| Failure::usage(format!("the value of `{path}`: {flaw}")))?;
    Ok((path.parse().map_err(Failure::usage)?, value))
}

fn edited(before: &Snapshot, changes: &[(Path, Value)], rules: &Rules) -> Result<Value, Failure> {
    let mut state = before.state.clone();
    for (path, value) in changes {
        path.set(&mut state, value.clone()).map_err(Failure::input)?;
    }
    rules.check(&state).map_err(Failure::input)
}

/// Repeats the edit on the new state after each lost race.
fn append(
    repository: &Repository,
    staging: &mut Staging,
    changes: &[(Path, Value)],
    rules: &Rules,
) -> Result<
    (agent_core::formats::object_id::ObjectId, agent_core::formats::object_id::ObjectId),
    Failure,
> {
    let arguments: Vec<_> = changes
        .iter()
        .map(|(path, value)| json!({"path": path.to_string(), "value": value}))
        .collect();
    for lost in 0.. {
        if lost >= RACES_BEFORE_LOCK {
            staging.hold_until_appended()?;
        }
        let before = staging.snapshot()?;
        let after = edited(&before, changes, rules)?;
        let revision = agent_core::formats::canonical::revision(&after);
        let draft = own_draft(SET, json!({"changes": arguments}), fresh_id("set"), after);
        if let Append::Appended(_) =
            repository.unpack(staging.append(vec![draft], &before.revision)?)
        {
            staging.release();
            return Ok((before.revision, revision));
        }
    }
    unreachable!("no other process can be first while staging is locked")
}
