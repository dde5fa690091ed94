use crate::adoption::{Adoption, LOCK, Requirements};
use crate::context::Context;
use crate::error::CommandResult;
use crate::githooks::Hooks;
use agent_core::diagnose::Exit;
use serde_json::json;

/// Make an existing repository with an existing MCP server into an agent repository
///
/// The server stays as it is. Written beside it: agent.toml, a hash-locked requirements.lock, an empty state with its schema, first cases from the tools the
/// server lists, budgets, the workflow, the package `agent_runtime` (for scorers, and for a Tuner when there is one); and the git hooks are put
/// in. Nothing is committed or staged: look at it, commit it, then `agent release`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  agent adopt\n  agent adopt --command \"python -m mcp_server_time\" --package mcp-server-time")]
pub struct Arguments {
    /// How the server is started; found in pyproject.toml and the Python files when left out
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// A package the server needs, where neither requirements.txt nor pyproject.toml says so; can be given more than once
    #[arg(long = "package", value_name = "REQUIREMENT")]
    packages: Vec<String>,
    /// Print what was found and would be done, and start nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let adoption = Adoption::observe(context, arguments.command.as_deref(), &arguments.packages)?;
    let say = |text: &str| context.printer.say(text);
    say(&format!("the server is started by: {}", adoption.command.join(" ")));
    say(&told(&adoption.requirements));
    if arguments.dry_run {
        context.printer.json(&json!({"schema": "agent/adopt@1", "done": false, "name": adoption.name, "command": adoption.command}));
        return Ok(Exit::Done);
    }
    let lock = adoption.lock(&say)?;
    let tried = adoption.try_out(lock.as_deref(), &say)?;
    let files = adoption.files(lock.as_deref(), &tried)?;
    adoption.write(&files)?;
    Hooks::of(&adoption.folder)?.install()?;

    say(&format!("{} tools, {} first cases: {}", tried.tools.len(), tried.cases.len(), tried.tools.join(", ")));
    if !tried.untested().is_empty() {
        context.printer.warn(format!("no case calls {}; write some in tests/micro", tried.untested().join(", ")));
    }
    let paths: Vec<_> = files.iter().map(|file| file.path.display().to_string()).collect();
    context.printer.data(paths.join("\n"));
    say("written, and not committed; next: agent test, git add --all, git commit, agent release");
    context.printer.json(&json!({
        "schema": "agent/adopt@1", "done": true, "name": adoption.name, "command": adoption.command, "tools": tried.tools,
        "cases": tried.cases.len(), "untested": tried.untested(), "files": paths,
    }));
    Ok(Exit::Done)
}

fn told(requirements: &Requirements) -> String {
    match requirements {
        Requirements::Locked => format!("its packages are those of {LOCK}"),
        Requirements::File(path) => format!("its packages come from {} and are locked in {LOCK}", path.display()),
        Requirements::Listed(listed, origin) => format!("its packages come from {origin} ({}) and are locked in {LOCK}", listed.join(", ")),
        Requirements::None => "it needs no packages; the bare interpreter runs it".to_owned(),
    }
}
