use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_engine::repository::Writes;
use agent_engine::staging::{Discarded, Staging};
use serde_json::json;

/// Discard staging and start again from active
///
/// The Journal is moved to .agent/journal/set-aside/, which keeps the last few, and the discarded
/// signals may be sent again.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print what would be discarded; discard nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository_to(Writes::Home.unless(arguments.dry_run))?;
    let active = repository.active()?;
    let Discarded { updates: discarded, kept } = if arguments.dry_run {
        Discarded { updates: Some(repository.staging()?.snapshot()?.updates), kept: None }
    } else {
        repository.unpack(Staging::reset(&repository.layout, &active)?)
    };
    let version = &active.base.version;
    let updates = discarded.map_or_else(
        || "a Journal that could not be read".to_owned(),
        |count| format!("{count} updates"),
    );
    context.printer.say(match &kept {
        Some(path) => format!(
            "{updates} discarded; staging is v{version}'s state again (the Journal is kept in {})",
            path.display()
        ),
        None if arguments.dry_run => format!("{updates} would be discarded"),
        None => format!("there was no Journal; staging is v{version}'s state"),
    });
    context.printer.json(&json!({
        "schema": "agent/state-reset@1", "discarded": discarded, "kept": kept, "version": version,
            "dry_run": arguments.dry_run,
    }));
    Ok(Exit::Done)
}
