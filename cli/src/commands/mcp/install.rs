use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::installation::host::{Host, Scope};
use crate::installation::{self, Done, Launch, Met, Passed, Plan, Request, Server, Token};
use crate::printer::{Printer, Style};
use agent_core::child::variable::{self, Variable};
use agent_core::formats::manifest::Manifest;
use agent_core::formats::text_difference;
use agent_core::protocol::traffic::Traffic;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::manifest_on_disk;
use agent_engine::world::env;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Add this repository's MCP servers to the configuration of a host
///
/// The host's own command is used where it is on PATH (claude, codex, gemini, code). Otherwise, or
/// to change an existing entry, the host's configuration is edited: comments, order and other
/// servers are preserved, and a backup is kept beside it. A second run changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent mcp install --host claude-code\
        \n  agent mcp install --host vscode --scope project --server all\
        \n  agent mcp install --host codex --at ^1.2 --name estimates --dry-run\
        \n  agent mcp install --host cursor --env API_KEY --env MODE=fast")]
pub struct Arguments {
    #[command(flatten)]
    entry: Entry,
    /// The servers to install; `all` is each of them
    #[arg(
        long = "server",
        alias = "door",
        value_enum,
        value_delimiter = ',',
        default_value = "runner"
    )]
    servers: Vec<Kind>,
    /// What the Runner serves: active, staging, worktree, a version, a range such as ^1.2, a pin,
    /// or any commit; or shares of the conversations, as active=90,staging=10
    #[arg(long, value_name = "WHAT", default_value = "active")]
    at: Traffic,
    /// The URL of a running server (`agent mcp runner --http ADDR`), instead of a command that the
    /// host starts
    #[arg(long, value_name = "URL")]
    http: Option<String>,
    /// The variable with the server's token [default: `AGENT_TOKEN`, where that is set]
    #[arg(long, value_name = "VARIABLE", requires = "http")]
    token_env: Option<String>,
    /// A variable for the server: with NAME the host passes on its own value (by a reference such
    /// as `${NAME}`, where the host supports it), NAME=VALUE writes the value into the
    /// configuration; can be repeated. The names under `env` in agent.toml are always passed on
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = Variable::parse,
        conflicts_with = "http")]
    env: Vec<Variable>,
    /// Print the part of the configuration that would be written, and write nothing
    #[arg(long, conflicts_with = "dry_run")]
    print: bool,
    /// Show what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Where the entries of a host are.
#[derive(Debug, clap::Args)]
pub(super) struct Entry {
    /// The host
    #[arg(long, value_enum)]
    pub(super) host: Host,
    /// The name that the host shows [default: the name in agent.toml]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The scope of the installation
    #[arg(long, value_enum, default_value = "user")]
    pub(super) scope: Scope,
    /// Edit the configuration even where the host has a command of its own
    #[arg(long)]
    pub(super) edit: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    Runner,
    Tuner,
    Architect,
    All,
}

impl Kind {
    pub(super) const EACH: [Self; 3] = [Self::Runner, Self::Tuner, Self::Architect];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::Tuner => "tuner",
            Self::Architect => "architect",
            Self::All => "all",
        }
    }

    /// The name of the server in a host, for the agent of this name.
    pub(super) fn named(self, agent: &str) -> String {
        if self == Self::Runner { agent.to_owned() } else { format!("{agent}-{}", self.as_str()) }
    }
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let request = request(arguments, context)?;
    if arguments.print {
        let (configuration, file) = installation::fragment(&request)?;
        context
            .printer
            .json(&json!({"schema": "agent/installation@1", "host": request.host.as_str(),
                "file": file, "configuration": configuration}));
        context.printer.data(configuration.trim_end());
        context.printer.say(format!("add it to {}", file.display()));
        return Ok(Exit::Done);
    }
    let plan = installation::plan(&request)?;
    show(&plan, context);
    let done = if arguments.dry_run { None } else { Some(plan.carry_out(&request)?) };
    report(&plan, done.as_ref(), &request, context);
    Ok(Exit::Done)
}

fn request(arguments: &Arguments, context: &Context) -> Result<Request, Failure> {
    let (folder, manifest) = repository(context)?;
    let kinds: Vec<_> =
        Kind::EACH.into_iter().filter(|kind| is_chosen(*kind, arguments, &manifest)).collect();
    if arguments.http.is_some() && kinds.len() > 1 {
        return Err(Failure::usage(
            "`--http` names one server, and more than one is to be installed",
        )
        .with_hint("choose one, as in `--server runner`"));
    }
    if arguments.at != Traffic::all(What::Active) && !kinds.contains(&Kind::Runner) {
        return Err(Failure::usage(
            "`--at` is for the Runner, which is not one of the chosen servers",
        ));
    }
    let name = name(arguments.entry.name.as_deref(), &manifest)?;
    let server = |kind| server(kind, &name, arguments, (&folder, &manifest));
    let servers = kinds.into_iter().map(server).collect::<Result<_, _>>()?;
    Ok(Request {
        host: arguments.entry.host,
        scope: arguments.entry.scope,
        servers,
        repository: folder,
        edit: arguments.entry.edit,
    })
}

/// The folder that the servers are started in, and its manifest.
pub(super) fn repository(context: &Context) -> Result<(PathBuf, Manifest), Failure> {
    let repository = context.repository()?;
    let (folder, manifest) = match repository.git.worktree() {
        Some(folder) => {
            let manifest = manifest_on_disk(&folder)?;
            (folder, manifest)
        }
        None => {
            (repository.git.common_dir().to_owned(), repository.target(&What::Active)?.manifest)
        }
    };
    Ok((folder.canonicalize().unwrap_or(folder), manifest))
}

/// `all` leaves out what the repository does not have.
fn is_chosen(kind: Kind, arguments: &Arguments, manifest: &Manifest) -> bool {
    arguments.servers.contains(&kind)
        || (arguments.servers.contains(&Kind::All)
            && (kind != Kind::Tuner || manifest.tuner.is_some()))
}

/// Some hosts accept only letters, digits, `-` and `_`.
pub(super) fn name(given: Option<&str>, manifest: &Manifest) -> Result<String, Failure> {
    let fits =
        |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
    match given {
        Some(name) if !name.is_empty() && name.chars().all(fits) => Ok(name.to_owned()),
        Some(name) => {
            Err(Failure::usage(format!("`{name}` is not a name that every host accepts"))
                .with_hint("use letters, digits, `-` and `_`"))
        }
        None => Ok(manifest
            .name
            .chars()
            .map(|character| if fits(character) { character } else { '-' })
            .collect()),
    }
}

fn server(
    kind: Kind,
    name: &str,
    arguments: &Arguments,
    (folder, manifest): (&Path, &Manifest),
) -> Result<Server, Failure> {
    let name = kind.named(name);
    if let Some(url) = &arguments.http {
        return Ok(Server {
            name,
            launch: Launch::Url { url: url.clone(), token: token(arguments)? },
        });
    }
    let text = |path: &Path| {
        let path = path.to_str().map(str::to_owned);
        path.ok_or_else(|| {
            Failure::input(format!(
                "{} is not UTF-8, and configurations of hosts can contain only UTF-8",
                folder.display()
            ))
        })
    };
    let mut words =
        vec!["-C".to_owned(), text(folder)?, "mcp".to_owned(), kind.as_str().to_owned()];
    if kind == Kind::Runner && arguments.at != Traffic::all(What::Active) {
        words.extend(["--at".to_owned(), arguments.at.to_string()]);
    }
    Ok(Server {
        name,
        launch: Launch::Command {
            program: text(&installation::program()?)?,
            arguments: words,
            variables: variables(kind, arguments, manifest),
        },
    })
}

/// The variables that a server reads. Tuner and Architect also promote or release, so they run
/// tests and need the variables of those.
fn variables(kind: Kind, arguments: &Arguments, manifest: &Manifest) -> Vec<Passed> {
    let tuner = manifest.tuner.iter().flat_map(|tuner| &tuner.env).chain(&manifest.evaluators.env);
    let of_tests = tuner.filter(|_| kind != Kind::Runner);
    installation::passed(&arguments.env, manifest.runner.env.iter().chain(of_tests))
}

/// The token that the host presents to the server, as a variable's name, and its value where that
/// is set here.
fn token(arguments: &Arguments) -> Result<Option<Token>, Failure> {
    match &arguments.token_env {
        Some(name) if !variable::is_name(name) => {
            Err(Failure::usage(format!("`{name}` is not a name of a variable")))
        }
        Some(name) => Ok(Some(Token { variable: name.clone(), value: env::token_in(name) })),
        None => {
            Ok(env::token()
                .map(|value| Token { variable: env::TOKEN.to_owned(), value: Some(value) }))
        }
    }
}

fn show(plan: &Plan, context: &Context) {
    for command in &plan.change.commands {
        context.printer.data(format!("$ {}", command.join(" ")));
    }
    if plan.change.commands.is_empty() && plan.changes() {
        context.printer.data(diff(plan));
    }
}

/// Without context lines: another server's entry may contain a secret, and the output may be
/// logged.
fn diff(plan: &Plan) -> String {
    let (before, after) = plan.texts();
    let file = plan.change.file.display().to_string();
    text_difference::unified(&before, &after, 0, Some((&file, &file)))
}

fn report(plan: &Plan, done: Option<&Done>, request: &Request, context: &Context) {
    let backup = done.and_then(|done| done.backup.as_ref());
    context.printer.json(&json!({
        "schema": "agent/installation@1",
        "host": request.host.as_str(),
        "scope": request.scope.as_str(),
        "file": plan.change.file,
        "servers": plan.servers.iter().map(|(server, was)| json!({"server": server,
            "was": was})).collect::<Vec<_>>(),
        "commands": plan.change.commands,
        "changed": done.is_some() && plan.changes(),
        "backup": backup,
    }));
    let names =
        plan.servers.iter().map(|(server, _)| server.name.as_str()).collect::<Vec<_>>().join(", ");
    let file = plan.change.file.display();
    let message = match done {
        _ if !plan.changes() => format!("{names}: in {file} already; nothing was changed"),
        None => format!("dry run: {file} was not changed"),
        Some(Done { is_there: false, .. }) => {
            let text = format!(
                "`{}` succeeded, but {file} does not show it; check the list of servers in the \
                host",
                plan.change.commands[0][0]
            );
            return context.printer.warn(text);
        }
        Some(_) => {
            let kept =
                backup.map(|backup| format!(" (backup: {})", backup.display())).unwrap_or_default();
            format!(
                "{} {names} in {file}{kept}; restart the host to load it",
                Printer::styled(Style::Good, "installed")
            )
        }
    };
    context.printer.say(message);
    if done.is_some() && plan.holds_token(request.host) {
        context.printer.warn(format!(
            "{file} contains the token itself: {} supports no reference to a variable",
            request.host.as_str()
        ));
    }
    if done.is_some() {
        warn_of_variables(plan, request, context);
    }
    if plan.servers.iter().any(|(_, was)| *was == Met::Missing)
        && request.scope == Scope::Project
        && done.is_some()
    {
        context.printer.say(
            "its paths are those of this machine: do not commit the file, or run this command on \
            other \
            machines as well",
        );
    }
}

fn warn_of_variables(plan: &Plan, request: &Request, context: &Context) {
    let (file, host) = (plan.change.file.display(), request.host.as_str());
    let held = plan.held_values();
    if plan.changes() && !held.is_empty() {
        let s = if held.len() == 1 { "" } else { "s" };
        context
            .printer
            .warn(format!("{file} contains the value{s} of {} in plain text", held.join(", ")));
    }
    let unreachable = plan.unreachable(request.host);
    if !unreachable.is_empty() {
        context.printer.warn(format!(
            "agent.toml declares {}, and {host}'s configuration cannot name variables: set them \
            for {host} itself, or run this with `--env NAME=VALUE`",
            unreachable.join(", ")
        ));
    }
}
