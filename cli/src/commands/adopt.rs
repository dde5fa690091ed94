use crate::adoption::{
    self, Adopted, Adoption, Gathering, LOCK, Made, Options, RECORDED, Requirements,
};
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::progress::{Steps, seconds};
use agent_core::formats::diagnose::FailureKind;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::world::event_loop;
use agent_engine::world::interrupt::Interrupt;
use agent_engine::world::recording::Recording;
use agent_engine::world::watch;
use serde_json::{Value, json};

/// Turn a repository with an MCP server into an agent repository
///
/// No file of the server is changed. Written beside it: agent.toml (how the server is started), a
/// lock of its packages with hashes, an empty learned state with its schema, test cases recorded
/// from calls of its tools, time limits for them, a GitHub workflow, and the package
/// `agent_runtime` (for scorers and for tools that learn). git hooks are installed, which test each
/// commit. The server may be a Python project (requirements.txt, pyproject.toml, uv.lock,
/// poetry.lock, pdm.lock), a Node project (package.json), or a line of a host's configuration
/// (`uvx ...`, `npx ...`). Nothing is committed or staged: review it, commit it, then run
/// `agent release`. If it fails, everything it wrote is removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent adopt\
        \n  agent adopt --command \"python -m mcp_server_time\" --package mcp-server-time\
        \n  agent adopt --command \"npx -y @modelcontextprotocol/server-everything\"\
        \n  agent adopt --record --calls 10")]
pub struct Arguments {
    /// The command that starts the server; by default found in pyproject.toml and the Python files
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// A package the server needs besides those that the repository lists; can be repeated
    #[arg(long = "package", value_name = "REQUIREMENT")]
    packages: Vec<String>,
    /// A group of optional dependencies of the project; can be repeated
    #[arg(long = "extra", value_name = "NAME")]
    extras: Vec<String>,
    /// A variable that the server reads: NAME is passed on from the host, NAME=VALUE is set; can be
    /// repeated
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Record a host's calls as test cases, until Ctrl-C or for `--calls`. Each call that
    /// `agent mcp runner` answers meanwhile is repeated under test conditions and, where that
    /// succeeds, becomes a case in tests/micro/recorded.jsonl. In an agent repository nothing
    /// else is done
    #[arg(long)]
    record: bool,
    /// End after this many calls
    #[arg(long, value_name = "N", requires = "record",
        value_parser = clap::value_parser!(u64).range(1..))]
    calls: Option<u64>,
    /// Print what was found and what would be done; start nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    if arguments.record && !arguments.dry_run && adoption::is_adopted(context)? {
        let recorded = record(arguments.calls, context)?;
        context.printer.json(&json!({"schema": SCHEMA, "done": true, "recorded": recorded}));
        return Ok(Exit::Done);
    }
    let options = Options {
        command: arguments.command.as_deref(),
        packages: &arguments.packages,
        extras: &arguments.extras,
        env: &arguments.env,
    };
    let steps = Steps::new(&context.printer);
    let adoption = Adoption::observe(context, options)?;
    let say = |text: &str| context.printer.say(text);
    say(&format!("the server is started by: {}", adoption.command.join(" ")));
    say(&described(&adoption.requirements));
    adoption.python_note.iter().for_each(|note| say(note));
    if arguments.dry_run {
        context.printer.json(&json!({"schema": SCHEMA, "done": false, "name": adoption.name,
            "command": adoption.command}));
        return Ok(Exit::Done);
    }
    let adopted = adoption.carry_out(context, &steps)?;
    steps.end();
    let (took, each) = steps.times();
    report(&adopted, context);
    say(&format!("adopted in {}", seconds(took)));
    let recorded = if arguments.record { Some(record(arguments.calls, context)?) } else { None };
    say(next(&adopted));
    let times: Vec<_> = each
        .iter()
        .map(|(name, took)| json!({"step": name, "seconds": took.as_secs_f64()}))
        .collect();
    let mut document = json!({
        "schema": SCHEMA, "done": true, "name": adoption.name, "command": adopted.command,
            "first_version": adopted.first_version,
        "tools": adopted.tools(), "cases": adopted.cases(), "untested": adopted.untested(),
            "files": adopted.files, "server": adopted.server(),
        "seconds": took.as_secs_f64(),
        "steps": times,
    });
    if let Some(recorded) = recorded {
        document["recorded"] = recorded;
    }
    context.printer.json(&document);
    Ok(Exit::Done)
}

const SCHEMA: &str = "agent/adopt@1";

fn report(adopted: &Adopted, context: &Context) {
    context.printer.say(format!(
        "the server has {} tools: {}",
        adopted.tools().len(),
        adopted.tools().join(", ")
    ));
    context.printer.say(format!("{} test cases were recorded from calls", adopted.cases()));
    let untested = adopted.untested();
    if !untested.is_empty() {
        context.printer.warn(format!(
            "no case calls {}; write cases in tests/micro, or record them with \
                `agent adopt --record`",
            untested.join(", ")
        ));
    }
    context.printer.done(adopted.files.join("\n"), None);
}

/// A release needs a case.
fn next(adopted: &Adopted) -> &'static str {
    if adopted.cases() == 0 {
        "nothing was committed; next: a case in tests/micro (tests/micro/README.md), agent test, \
        git add --all, git commit, agent release"
    } else {
        "nothing was committed; next: agent test, git add --all, git commit, agent release"
    }
}

/// Records calls as cases up to the limit, or until Ctrl-C.
fn record(limit: Option<u64>, context: &Context) -> Result<Value, Failure> {
    let repository = context.repository()?;
    let recording = Recording::begin(&repository.layout)?.ok_or_else(|| {
        Failure::new(
            FailureKind::Conflict,
            "another `agent adopt --record` is running in this repository",
        )
        .with_hint("end it with Ctrl-C first")
    })?;
    let say = |text: &str| context.printer.say(text);
    say("recording. Call the server through `agent` now, from a host or another terminal:");
    say("  agent mcp install --host claude-code --at worktree    (or another host; restart it)");
    say("  agent mcp runner --at worktree");
    say(&format!(
        "each call becomes a case in {RECORDED}, with its arguments: review them before you \
        commit. Press Ctrl-C to stop."
    ));
    event_loop::block_on(gather(&repository, recording, limit, context))?
}

async fn gather(
    repository: &Repository,
    mut recording: Recording,
    limit: Option<u64>,
    context: &Context,
) -> Result<Value, Failure> {
    let mut interrupt = Interrupt::expected()?;
    let (_watch, mut changes) = watch::Folders::start(&[(recording.folder().to_owned(), false)])?;
    let mut gathering = Gathering::new(repository)?;
    let (mut calls, mut cases) = (0, Vec::new());
    loop {
        for call in recording.new_calls()? {
            calls += 1;
            // a failed case does not end the recording
            let made = gathering
                .add(&call)
                .await
                .unwrap_or_else(|error| Made::None(error.messages.join(": ")));
            let tool = &call.tool;
            context.printer.say(match &made {
                Made::Case { id, is_steady: true, .. } => {
                    format!("{tool}: case {id}, which expects the same result")
                }
                Made::Case { id, is_steady: false, .. } => {
                    format!("{tool}: case {id}, which expects any result but an error")
                }
                Made::None(why) => format!("{tool}: no case, {why}"),
            });
            if let Made::Case { id, .. } = made {
                cases.push(id);
            }
        }
        if limit.is_some_and(|limit| calls >= limit) {
            break;
        }
        tokio::select! {
            _ = changes.recv() => {}
            () = interrupt.received() => break,
        }
    }
    gathering.raise_budgets()?;
    context.printer.say(format!("{calls} calls were recorded, {} became cases", cases.len()));
    Ok(json!({"calls": calls, "cases": cases}))
}

fn described(requirements: &Requirements) -> String {
    match requirements {
        Requirements::Locked => format!("its packages are locked in {LOCK}"),
        Requirements::LockInputs { origin, .. } => {
            format!("its packages come from {origin} and are locked in {LOCK}")
        }
        Requirements::None => "it needs no Python packages".to_owned(),
    }
}
