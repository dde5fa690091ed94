use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::formats::suggestion::did_you_mean;
use agent_engine::error::Failure;
use agent_engine::repository::Writes;
use agent_engine::world::git::Unpinned;
use serde_json::json;

/// Remove a pin
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The pin to remove
    name: String,
    /// Print what would be done; do nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository_to(Writes::Refs.unless(arguments.dry_run))?;
    let name = &arguments.name;
    agent_core::version::registry::check_pin_name(name)?;
    let names: Vec<String> = repository.git.pins()?.into_iter().map(|(name, _)| name).collect();
    if !names.contains(name) {
        let suggestion = did_you_mean(name, names.iter().map(String::as_str));
        return Err(Failure::input(format!("there is no pin `{name}`{suggestion}"))
            .with_hint("`agent pin` lists them"));
    }
    let removed = if arguments.dry_run {
        Unpinned { before: repository.git.pin(name)?, remotes: Vec::new() }
    } else {
        repository.unpack(repository.git.remove_pin(name)?)
    };
    let before = removed.before.map(|before| before.to_string());
    context.printer.json(&json!({"schema": "agent/pin@1", "name": name, "what": null,
        "before": before, "done": !arguments.dry_run}));
    context
        .printer
        .done(format!("{name} removed (was {})", before.as_deref().unwrap_or("unreadable")), None);
    for remote in removed.remotes {
        context.printer.say(format!(
            "{remote} still has it: git push {remote} --delete refs/agent/pins/{name}"
        ));
    }
    Ok(Exit::Done)
}
