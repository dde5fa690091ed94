use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::formats::canonical;
use agent_core::state::Path;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use serde_json::{Value, json};

/// Print a state: staging (the default) or active
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The state to print
    #[arg(value_enum, default_value_t = Which::Staging)]
    which: Which,
    /// Print only the value at this path: `ranking.k1` or `/ranking/k1`
    #[arg(long, value_name = "PATH")]
    key: Option<Path>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Which {
    Active,
    Staging,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let (mut document, state) = match arguments.which {
        Which::Active => active(&repository)?,
        Which::Staging => staging(&repository)?,
    };
    let part = match &arguments.key {
        None => &state,
        Some(path) => path.get(&state).ok_or_else(|| {
            Failure::input(format!(
                "{} has nothing at `{path}`",
                document["which"].as_str().unwrap_or_default()
            ))
            .with_hint("`agent state show` prints all of it")
        })?,
    };
    context.printer.data(String::from_utf8_lossy(&canonical::to_bytes(part)).trim_end());
    document["state"] = part.clone();
    context.printer.json(&document);
    Ok(Exit::Done)
}

fn active(repository: &Repository) -> Result<(Value, Value), Failure> {
    let active = repository.active()?;
    let document = json!({
        "schema": "agent/state@1", "which": "active", "version": active.base.version,
            "revision": active.base.revision,
        "base": null, "dirty": false, "updates": 0, "state": null,
    });
    Ok((document, active.state))
}

fn staging(repository: &Repository) -> Result<(Value, Value), Failure> {
    let snapshot = repository.staging()?.snapshot()?;
    let version = (!snapshot.dirty).then_some(&snapshot.base.version);
    let document = json!({
        "schema": "agent/state@1", "which": "staging", "version": version,
            "revision": snapshot.revision,
        "base": snapshot.base, "dirty": snapshot.dirty, "updates": snapshot.updates, "state": null,
    });
    Ok((document, snapshot.state))
}
