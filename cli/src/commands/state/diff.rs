use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::printer::{Printer, Style};
use crate::report::value::shown_or;
use agent_core::formats::object_id::ObjectId;
use agent_core::state::{Difference, differences};
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use serde_json::{Value, json};

/// Show the differences between two states, path by path
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent state diff\
        \n  agent state diff v0.1.0 staging\
        \n  agent state diff active worktree")]
pub struct Arguments {
    /// The first state
    #[arg(default_value = "active")]
    from: What,
    /// The second state
    #[arg(default_value = "staging")]
    to: What,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let (from, to) = (state(&repository, &arguments.from)?, state(&repository, &arguments.to)?);
    let found = differences(&from.1, &to.1);
    for difference in &found {
        context.printer.data(line(difference));
    }
    if found.is_empty() {
        context.printer.say(format!("{} and {} have the same state", arguments.from, arguments.to));
    }
    let changes: Vec<_> = found
        .iter()
        .map(|one| json!({"path": one.path.to_string(), "old": one.old, "new": one.new}))
        .collect();
    context.printer.json(&json!({
        "schema": "agent/state-diff@1",
        "from": {"what": arguments.from.to_string(), "revision": from.0},
        "to": {"what": arguments.to.to_string(), "revision": to.0},
        "changes": changes,
    }));
    Ok(Exit::Done)
}

fn state(repository: &Repository, what: &What) -> Result<(ObjectId, Value), Failure> {
    if *what == What::Staging {
        let snapshot = repository.staging()?.snapshot()?;
        return Ok((snapshot.revision, snapshot.state));
    }
    let target = repository.target(what)?;
    Ok((target.state.revision, target.state.value))
}

fn line(difference: &Difference) -> String {
    let old = Printer::styled(Style::Bad, &shown_or(difference.old.as_ref(), "(nothing)"));
    let new = Printer::styled(Style::Good, &shown_or(difference.new.as_ref(), "(nothing)"));
    format!("{}: {old} -> {new}", difference.path)
}
