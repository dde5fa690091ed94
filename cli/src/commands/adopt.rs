use crate::adoption::{Adoption, LOCK, Requirements, Wishes};
use crate::context::Context;
use crate::error::CommandResult;
use agent_core::diagnose::Exit;
use serde_json::json;

/// Make an existing repository with an existing MCP server into an agent repository
///
/// The server stays as it is. Written beside it: agent.toml, a lock with hashes for every platform, an empty state with its schema, first cases recorded from
/// calls of its tools, budgets from what was measured, the workflow, the package `agent_runtime` (for scorers, and for a Tuner when there is one); and the git
/// hooks are put in. The server may be one of Python (requirements.txt, pyproject.toml, uv.lock, poetry.lock, pdm.lock) or of Node (package.json), or a line of
/// a host's configuration (`uvx ...`, `npx ...`). Nothing is committed or staged: look at it, commit it, then `agent release`. Where it fails nothing is left.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  agent adopt\n  agent adopt --command \"python -m mcp_server_time\" --package mcp-server-time\n  agent adopt --command \"npx -y @modelcontextprotocol/server-everything\""
)]
pub struct Arguments {
    /// How the server is started; found in pyproject.toml and the Python files when left out
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// A package the server needs besides what the repository says; can be given more than once
    #[arg(long = "package", value_name = "REQUIREMENT")]
    packages: Vec<String>,
    /// A group of optional dependencies of the project; can be given more than once
    #[arg(long = "extra", value_name = "NAME")]
    extras: Vec<String>,
    /// A variable that the server reads: NAME is taken from the host, NAME=VALUE is set; can be given more than once
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Print what was found and would be done, and start nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let wishes =
        Wishes { command: arguments.command.as_deref(), packages: &arguments.packages, extras: &arguments.extras, env: &arguments.env };
    let adoption = Adoption::observe(context, wishes)?;
    let say = |text: &str| context.printer.say(text);
    say(&format!("the server is started by: {}", adoption.command.join(" ")));
    say(&told(&adoption.requirements));
    if arguments.dry_run {
        context.printer.json(&json!({"schema": "agent/adopt@1", "done": false, "name": adoption.name, "command": adoption.command}));
        return Ok(Exit::Done);
    }
    let adopted = adoption.carry_out(context, &say)?;

    say(&format!("{} tools, {} first cases: {}", adopted.tools().len(), adopted.cases(), adopted.tools().join(", ")));
    let untested = adopted.untested();
    if !untested.is_empty() {
        context.printer.warn(format!("no case calls {}; write some in tests/micro", untested.join(", ")));
    }
    context.printer.done(adopted.files.join("\n"), None);
    say("written, and not committed; next: agent test, git add --all, git commit, agent release");
    context.printer.json(&json!({
        "schema": "agent/adopt@1", "done": true, "name": adoption.name, "command": adopted.command, "tools": adopted.tools(),
        "cases": adopted.cases(), "untested": untested, "files": adopted.files, "server": adopted.server(),
    }));
    Ok(Exit::Done)
}

fn told(requirements: &Requirements) -> String {
    match requirements {
        Requirements::Locked => format!("its packages are those of {LOCK}"),
        Requirements::Wanted { origin, .. } => format!("its packages come from {origin} and are locked in {LOCK}"),
        Requirements::None => "it needs no packages of Python".to_owned(),
    }
}
