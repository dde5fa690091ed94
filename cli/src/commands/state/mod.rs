//! `agent state`: a file per verb inside the verb.

mod blame;
mod cas;
mod diff;
mod log;
mod migrate;
mod reset;
mod set;
mod show;
mod verify;

use crate::context::Context;
use crate::exit::CommandResult;
use agent_core::state::Rules;
use agent_core::state::journal::Draft;
use agent_engine::error::Failure;
use agent_engine::repository::{Repository, state_value};
use agent_engine::staging::Active;
use agent_engine::target::STATE_SCHEMA_FILE;
use serde_json::Value;

/// Show, compare, edit and trace the learned state
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Show(show::Arguments),
    Diff(diff::Arguments),
    Set(set::Arguments),
    Cas(cas::Arguments),
    Log(log::Arguments),
    Blame(blame::Arguments),
    Verify(verify::Arguments),
    Migrate(migrate::Arguments),
    Reset(reset::Arguments),
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.verb {
        Verb::Show(arguments) => show::run(arguments, context),
        Verb::Diff(arguments) => diff::run(arguments, context),
        Verb::Set(arguments) => set::run(arguments, context),
        Verb::Cas(arguments) => cas::run(arguments, context),
        Verb::Log(arguments) => log::run(arguments, context),
        Verb::Blame(arguments) => blame::run(arguments, context),
        Verb::Verify(arguments) => verify::run(arguments, context),
        Verb::Migrate(arguments) => migrate::run(arguments, context),
        Verb::Reset(arguments) => reset::run(arguments, context),
    }
}

/// The rules for a state: the schema of the served version.
fn rules(repository: &Repository, active: &Active) -> Result<Rules, Failure> {
    let bytes = repository.git.read(&active.base.commit, STATE_SCHEMA_FILE)?;
    let schema = bytes.map(|bytes| state_value(&bytes, STATE_SCHEMA_FILE)).transpose()?;
    Rules::new(schema.as_ref()).map_err(Failure::input)
}

/// An update that is not from a Tuner.
fn own_draft(tool: &str, arguments: Value, id: String, state: Value) -> Draft {
    Draft {
        id,
        tool: tool.to_owned(),
        arguments,
        conversation: None,
        trace: None,
        at: agent_engine::world::clock::rfc3339(agent_engine::world::clock::now()),
        tags: Vec::new(),
        effects: None,
        touched: None,
        summary: None,
        state: Some(state),
    }
}
