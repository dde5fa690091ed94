use super::install::{self, Entry, Kind};
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::installation::removal::{self, Plan, Request};
use crate::printer::{Printer, Style};
use agent_engine::error::Failure;
use serde_json::json;
use std::path::PathBuf;

/// Remove this repository's MCP servers from the configuration of a host
///
/// The host's own command is used where it is on PATH (claude, codex, gemini). Otherwise the host's
/// configuration is edited: comments, order and other servers are preserved, and a backup is kept
/// beside it. A server of that name that belongs to another repository is not changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent mcp uninstall --host claude-code\
        \n  agent mcp uninstall --host vscode --scope project --server runner\
        \n  agent mcp uninstall --host cursor --http http://127.0.0.1:8080/mcp --dry-run")]
pub struct Arguments {
    #[command(flatten)]
    entry: Entry,
    /// The servers to remove; `all` is each of them
    #[arg(long = "server", value_enum, value_delimiter = ',', default_value = "all")]
    servers: Vec<Kind>,
    /// The URL of the server, where it was installed with `--http`
    #[arg(long, value_name = "URL")]
    http: Option<String>,
    /// Show what would be done
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let request = request(arguments, context)?;
    let plan = removal::plan(&request)?;
    show(&plan, context);
    let done = if arguments.dry_run { None } else { Some(plan.carry_out(&request)?) };
    report(&plan, done.as_ref(), &request, context);
    Ok(Exit::Done)
}

fn request(arguments: &Arguments, context: &Context) -> Result<Request, Failure> {
    let (folder, manifest) = install::repository(context)?;
    let name = install::name(arguments.entry.name.as_deref(), &manifest)?;
    let kinds = Kind::EACH
        .into_iter()
        .filter(|kind| arguments.servers.contains(kind) || arguments.servers.contains(&Kind::All));
    Ok(Request {
        host: arguments.entry.host,
        scope: arguments.entry.scope,
        names: kinds.map(|kind| kind.named(&name)).collect(),
        repository: folder,
        url: arguments.http.clone(),
        edit: arguments.entry.edit,
    })
}

fn show(plan: &Plan, context: &Context) {
    for command in &plan.change.commands {
        context.printer.data(format!("$ {}", command.join(" ")));
    }
    if plan.change.commands.is_empty() && plan.changes() {
        for name in removed(plan) {
            context.printer.data(format!("- {name}"));
        }
    }
}

fn removed(plan: &Plan) -> Vec<&str> {
    let there = plan.servers.iter().filter(|(_, is_there)| *is_there);
    there.map(|(name, _)| name.as_str()).collect()
}

fn report(
    plan: &Plan,
    done: Option<&(Option<PathBuf>, bool)>,
    request: &Request,
    context: &Context,
) {
    let (backup, is_gone) =
        done.map_or((None, true), |(backup, is_gone)| (backup.as_ref(), *is_gone));
    context.printer.json(&json!({
        "schema": "agent/uninstallation@1",
        "host": request.host.as_str(),
        "scope": request.scope.as_str(),
        "file": plan.change.file,
        "servers": removed(plan),
        "commands": plan.change.commands,
        "changed": done.is_some() && plan.changes(),
        "backup": backup,
    }));
    let file = plan.change.file.display();
    if !plan.foreign.is_empty() {
        let names = plan.foreign.join(", ");
        context
            .printer
            .warn(format!("{names} in {file} belongs to another repository, and is not changed"));
    }
    let message = if !plan.changes() {
        let names: Vec<_> = plan.servers.iter().map(|(name, _)| name.as_str()).collect();
        format!("{file} has no server {}; nothing was changed", names.join(", "))
    } else if done.is_none() {
        format!("dry run: {file} was not changed")
    } else if is_gone {
        let kept =
            backup.map(|backup| format!(" (backup: {})", backup.display())).unwrap_or_default();
        let what = Printer::styled(Style::Good, "removed");
        format!("{what} {} from {file}{kept}; restart the host", removed(plan).join(", "))
    } else {
        let command = &plan.change.commands[0][0];
        return context.printer.warn(format!(
            "`{command}` succeeded, but {file} still has {}; run this with `--edit`",
            removed(plan).join(", ")
        ));
    };
    context.printer.say(message);
}
