use crate::commands::traced::traced;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::printer::{Printer, Style};
use agent_engine::repository::Writes;
use agent_engine::sync::{self, Options, Outcome};

/// Synchronize this clone with its remote
///
/// Fetches `active`, tags and `refs/agent/*`, merges the records (the gate's ledger, feedback,
/// counted signals), and pushes what the remote lacks. Where another clone published first,
/// `active` follows the remote: versions of this clone are superseded and kept below
/// `refs/agent-own/`, and the signals that they counted are replayed into staging, each once.
/// `main` is moved forward where it lacks the served code and has no commits of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// The remote [default: `origin`, or the only one]
    remote: Option<String>,
    /// Print what would be done after a fetch; change nothing
    #[arg(long)]
    dry_run: bool,
}

const AFTER_HELP: &str = "Examples:
  agent sync
  agent sync --dry-run   # print the steps
  agent sync upstream && agent promote

It can be run at any time and repeatedly: an interrupted run is continued by the next one. Where \
`active` was moved with git itself (git fetch --force, git update-ref), tags and staging are \
updated.

Exit codes: 3 when what the remote serves is not a valid version, 4 when a person has to decide \
(active of the remote was moved back, its tag is taken, or it is another agent), 5 when the Tuner \
failed (the signals wait in staging), 6 when the remote cannot be reached or refuses the push.";

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository_to(Writes::Refs.unless(arguments.dry_run))?;
    let options = Options { remote: arguments.remote.clone(), dry_run: arguments.dry_run };
    traced(&repository, "sync", || {
        let outcome = sync::sync(&repository, &options)?;
        report(&outcome, &context.printer);
        Ok(Exit::Done)
    })
}

fn report(outcome: &Outcome, printer: &Printer) {
    printer.json(outcome);
    for (number, step) in outcome.plan().unwrap_or_default().iter().enumerate() {
        printer.data(format!("{}. {step}", number + 1));
    }
    for line in &outcome.lines {
        printer.done(format!("{} {line}", Printer::styled(Style::Good, "synced:")), None);
    }
    if outcome.plan().is_some() {
        printer.say("dry run: nothing was changed");
    } else if !outcome.done {
        let served = outcome.served().map_or_else(
            || "nothing is served yet".to_owned(),
            |version| format!("active serves {version}"),
        );
        let with = outcome.remote().map(|remote| format!(", as {remote} does")).unwrap_or_default();
        printer.done(
            format!("{} {served}{with}", Printer::styled(Style::Strong, "nothing to do:")),
            None,
        );
    }
    for (what, hint) in outcome.left() {
        printer.say(format!("left to you: {what}: {hint}"));
    }
}
