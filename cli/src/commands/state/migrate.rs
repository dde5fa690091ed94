use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::formats::canonical;
use agent_core::version::what::What;
use agent_engine::target::contracts::state_schema;
use agent_engine::target::migrations;
use serde_json::json;

/// Print the served state migrated to a later schema, as a release migrates it
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The target with schema and migrations
    #[arg(long, value_name = "WHAT", default_value = "worktree")]
    at: What,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let served = repository.target(&What::Active)?;
    let from = state_schema(&served, &repository)?;
    let to = match &arguments.at {
        // stdout may be redirected into the working tree's copy of the state
        What::Worktree => repository.worktree_code(served.state.clone())?,
        at => repository.target(at)?,
    };
    let state = migrations::migrate(&repository, &served.state.value, from.as_ref(), &to)?;
    context.printer.data(String::from_utf8_lossy(&canonical::to_bytes(&state)).trim_end());
    context.printer.json(&json!({
        "schema": "agent/migrated-state@1", "at": arguments.at.to_string(),
            "before": served.state.revision,
        "after": canonical::revision(&state), "state": state,
    }));
    Ok(Exit::Done)
}
