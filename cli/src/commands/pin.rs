use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::version::tag;
use agent_core::version::what::What;
use agent_engine::repository::{Repository, Writes};
use serde_json::json;

/// Name a version or a range for hosts and scripts
///
/// A pin of a range moves with the range; a pin of anything else is the version it resolves to now.
/// Without arguments, lists the pins.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent pin stable v0.1.3\
        \n  agent pin next '^0.2'\
        \n  agent sync   # shares it with the other clones")]
pub struct Arguments {
    /// The pin's name: letters, digits, `-`, `_` and `.`
    #[arg(requires = "what")]
    name: Option<String>,
    /// A version, a range, another pin, or any revision that is a version
    what: Option<String>,
    /// Print what would be done; do nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context
        .repository_to(Writes::Refs.unless(arguments.dry_run || arguments.name.is_none()))?;
    let (Some(name), Some(what)) = (&arguments.name, &arguments.what) else {
        return list(&repository, context);
    };
    let what: What = what.parse().map_err(agent_engine::error::Failure::usage)?;
    // a range that matches is kept as it is; anything else is resolved to its version now
    let version = repository.version_named(&what)?;
    let pinned = if matches!(what, What::Range(_)) { what } else { What::Version(version.clone()) };
    repository.git.check_new_pin(name)?;
    let before = if arguments.dry_run {
        repository.git.pin(name)?
    } else {
        repository.unpack(repository.git.set_pin(name, &pinned)?)
    };
    let before = before.map(|before| before.to_string());
    let done = !arguments.dry_run;
    context
        .printer
        .json(&json!({"schema": "agent/pin@1", "name": name, "what": pinned.to_string(),
            "version": version, "before": before, "done": done}));
    let was = before.map(|before| format!(" (was {before})")).unwrap_or_default();
    let means = if matches!(pinned, What::Range(_)) {
        format!(", now {}", tag(&version))
    } else {
        String::new()
    };
    context.printer.done(format!("{name} = {pinned}{means}{was}"), None);
    Ok(Exit::Done)
}

fn list(repository: &Repository, context: &Context) -> CommandResult {
    let pins = repository.git.pins()?;
    let documents: Vec<_> =
        pins.iter().map(|(name, what)| json!({"name": name, "what": what.to_string()})).collect();
    context.printer.json(&json!({"schema": "agent/pins@1", "pins": documents}));
    for (name, what) in &pins {
        context.printer.data(format!("{name} = {what}"));
    }
    if pins.is_empty() {
        context.printer.say("there are no pins");
    }
    Ok(Exit::Done)
}
