//! How the verbs that make versions tell what came of it.

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::printer::{Printer, Style};
use crate::report::difference;
use crate::repository::Repository;
use crate::versions::{self, Outcome};
use agent_core::diagnose::Exit;

/// As many cases as fit beside the answer.
const WORSE_SHOWN: usize = 3;

/// Makes a version, pushes it where that is asked for by `--push` or agent.toml, and tells what came of it.
pub fn published(
    verb: &str,
    repository: &Repository,
    context: &Context,
    push: bool,
    mut make: impl FnMut() -> Result<Outcome, CommandError>,
) -> CommandResult {
    let outcome = if push { versions::made_and_pushed(repository, context, make)? } else { make()? };
    let exit = report(verb, &outcome, &context.printer);
    match (&outcome.pushed, &outcome.tag) {
        (Some(remote), _) => context.printer.say(format!("it is pushed to {remote}")),
        (None, Some(tag)) if !repository.git.remotes().is_empty() => {
            context.printer.say(format!("{tag} is not pushed: `agent sync` does that"));
        }
        _ => {}
    }
    Ok(exit)
}

/// Whether a version is to be pushed: the manifest of what is served may say so for all.
pub fn pushes(repository: &Repository, asked: bool, dry_run: bool) -> bool {
    let usual = || repository.served_manifest().and_then(|manifest| manifest.remote).is_some_and(|remote| remote.push);
    !dry_run && (asked || usual())
}

pub fn report(verb: &str, outcome: &Outcome, printer: &Printer) -> Exit {
    printer.json(outcome);
    told(verb, outcome, printer)
}

/// The same, where the outcome is part of a larger document.
pub fn told(verb: &str, outcome: &Outcome, printer: &Printer) -> Exit {
    for (number, step) in outcome.plan.iter().enumerate() {
        printer.data(format!("{}. {step}", number + 1));
    }
    if !outcome.plan.is_empty() {
        printer.say(&outcome.why);
        return outcome.exit;
    }
    let lead = match (outcome.done, outcome.exit) {
        (true, _) => Printer::styled(Style::Good, verb),
        (false, Exit::Done) => Printer::styled(Style::Strong, "nothing done:"),
        (false, Exit::NotEnoughEvidence) => Printer::styled(Style::Warning, "not enough evidence:"),
        (false, _) => Printer::styled(Style::Bad, "refused:"),
    };
    printer.data(format!("{lead} {}", outcome.why));
    for line in difference::flips(&outcome.worse, WORSE_SHOWN, "`--json` lists all") {
        printer.data(line);
    }
    if let Some(hint) = &outcome.hint {
        printer.hint(hint);
    }
    outcome.exit
}
