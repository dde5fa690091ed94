use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::printer::{Printer, Style};
use agent_engine::repository::githooks::{Hooks, HooksError, Standing};
use agent_engine::world::git::Git;
use agent_hooks::event::HookName;
use serde_json::{Value, json};

/// Install, remove and inspect the git hooks
///
/// In a working copy: `pre-commit` (legality, micro tier of what is being committed) and `pre-push`
/// (legality, fast tier of what is pushed). In a bare repository: `update` (legality). An existing
/// hook is kept and runs first.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Install the hooks; an existing hook is kept and runs first
    Install(Change),
    /// Remove the hooks and restore those that existed before
    Uninstall(Change),
    /// List the installed hooks, and check that git runs them
    Status,
}

#[derive(Debug, clap::Args)]
struct Change {
    /// Print what would be done
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let mut hooks = Hooks::of(&context.directory)?;
    match &arguments.command {
        Command::Install(Change { dry_run: true })
        | Command::Uninstall(Change { dry_run: true }) => {
            context.printer.data(format!(
                "hooks in {}: {}",
                hooks.folder().display(),
                names(&hooks)
            ));
            context.printer.json(&document(&seen(&hooks, false)?, &hooks));
            return Ok(Exit::Done);
        }
        Command::Install(_) => {
            // before installing: hooks that cannot read their repository would refuse every commit
            Git::discover(&context.directory)?;
            hooks.install()?;
        }
        Command::Uninstall(_) => {
            hooks.uninstall()?;
            context
                .printer
                .say(format!("removed the hooks of agent from {}", hooks.folder().display()));
            context.printer.json(&document(&seen(&hooks, false)?, &hooks));
            return Ok(Exit::Done);
        }
        Command::Status => {}
    }
    report(&hooks, context)
}

/// The state of a hook.
struct Seen {
    hook: HookName,
    standing: Standing,
    fires: bool,
}

fn seen(hooks: &Hooks, probe: bool) -> Result<Vec<Seen>, HooksError> {
    let look = |hook: &HookName| {
        let standing = hooks.standing(*hook)?;
        let fires = probe && standing != Standing::Missing && hooks.fires(*hook)?;
        Ok(Seen { hook: *hook, standing, fires })
    };
    hooks.names().iter().map(look).collect()
}

fn report(hooks: &Hooks, context: &Context) -> CommandResult {
    let seen = seen(hooks, true)?;
    for seen in &seen {
        if seen.fires {
            context.printer.done(line(seen, hooks), None);
        } else {
            context.printer.data(line(seen, hooks));
        }
    }
    context.printer.json(&document(&seen, hooks));
    Ok(if seen.iter().all(|seen| seen.fires) { Exit::Done } else { Exit::No })
}

fn line(seen: &Seen, hooks: &Hooks) -> String {
    let path = hooks.folder().join(seen.hook.as_str());
    let (style, word) = match (seen.standing, seen.fires) {
        (Standing::Ours, true) => (Style::Good, "fires"),
        (Standing::Chained, true) => (Style::Good, "runs, after the previous hook"),
        (Standing::Ours | Standing::Chained, false) if hooks.has_carriage_returns(seen.hook) => {
            (Style::Bad, "has CRLF line ends, so no shell runs it; run `agent hooks install`")
        }
        (Standing::Ours | Standing::Chained, false) => (
            Style::Bad,
            "is installed, but git does not run it; it has to be executable, and git 2.36 or newer",
        ),
        (Standing::Foreign, _) => {
            (Style::Warning, "belongs to another tool; run `agent hooks install` to chain it")
        }
        (Standing::Missing, _) => (Style::Warning, "is not installed; run `agent hooks install`"),
    };
    format!(
        "{:16} {} {}",
        seen.hook.as_str(),
        Printer::styled(style, word),
        Printer::styled(Style::Faint, &path.display().to_string())
    )
}

fn document(seen: &[Seen], hooks: &Hooks) -> Value {
    let list: Vec<_> = seen
        .iter()
        .map(|seen| {
            json!({"hook": seen.hook.as_str(), "standing": seen.standing,
            "fires": seen.fires})
        })
        .collect();
    json!({"schema": "agent/hooks@1", "folder": hooks.folder(), "hooks": list})
}

fn names(hooks: &Hooks) -> String {
    hooks.names().iter().map(|hook| hook.as_str()).collect::<Vec<_>>().join(", ")
}
