//! Adds the MCP servers of an agent repository to a host and removes them: by the host's own
//! command where that is on PATH, else by an edit of its configuration that preserves everything
//! else.

pub mod bundle;
mod change;
mod document;
mod error;
pub mod host;
pub mod removal;
mod server;
mod zip;

pub use document::Met;
pub use error::InstallationError;
pub use server::{Launch, Passed, Server, Token, passed};

use agent_engine::world::env;
use agent_engine::world::process::on_path;
use change::{Change, broken};
use document::{Entry, Problem, with_entry};
use host::{Host, Places, Scope};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The servers to add, and the host.
#[derive(Debug)]
pub struct Request {
    pub host: Host,
    pub scope: Scope,
    pub servers: Vec<Server>,
    pub repository: PathBuf,
    /// Edit the configuration, without the host's own command.
    pub edit: bool,
}

/// The planned changes.
#[derive(Debug)]
pub struct Plan {
    /// Each server, and its present entry.
    pub servers: Vec<(Server, Met)>,
    pub change: Change,
}

/// Reads the host's configuration and plans the change.
pub fn plan(request: &Request) -> Result<Plan, InstallationError> {
    let (host, scope) = (request.host, request.scope);
    let (mut change, text) = Change::of(file(request)?, &request.repository)?;
    let (after, servers) = merged(text, request, &change.file)?;
    change.after = after;
    // a host's command that adds a server may be unable to change one
    if servers.iter().all(|(_, met)| *met != Met::Changed) && !request.edit {
        let missing = servers.iter().filter(|(_, met)| *met == Met::Missing);
        change.use_commands(missing.map(|(server, _)| host.command(scope, server)));
    }
    Ok(Plan { servers, change })
}

/// The path of the host's configuration; the file may be missing.
fn file(request: &Request) -> Result<PathBuf, InstallationError> {
    file_of(request.host, request.scope, &request.repository)
}

fn file_of(host: Host, scope: Scope, repository: &Path) -> Result<PathBuf, InstallationError> {
    let places = places(repository).ok_or(InstallationError::NoHome)?;
    let file = host.file(scope, &places).ok_or(InstallationError::NoScope { host, scope })?;
    let other = host.other_file(&file).filter(|other| other.exists() && !file.exists());
    Ok(other.unwrap_or(file))
}

/// A configuration with only these servers, and its path.
pub fn fragment(request: &Request) -> Result<(String, PathBuf), InstallationError> {
    let file = file(request)?;
    Ok((merged(String::new(), request, &file)?.0, file))
}

fn merged(
    mut text: String,
    request: &Request,
    file: &Path,
) -> Result<(String, Vec<(Server, Met)>), InstallationError> {
    let mut servers = Vec::new();
    let host = request.host;
    for server in &request.servers {
        let fields = host.entry(&server.launch).ok_or(InstallationError::NoUrl { host })?;
        let token = server.token();
        if let Some(Token { variable, value: None }) = token.filter(|_| host.keeps_token()) {
            return Err(InstallationError::NoToken { host, variable: variable.clone() });
        }
        let is_impossible = |variable: &&Passed| {
            variable.is_asked && variable.value.is_none() && !host.takes_names()
        };
        if let Some(Passed { name, .. }) = server.variables().iter().find(is_impossible) {
            return Err(InstallationError::NoReference { host, variable: name.clone() });
        }
        let lenient = server
            .variables()
            .iter()
            .filter(|variable| !variable.is_asked)
            .map(|variable| variable.name.clone())
            .collect();
        let input = token.filter(|_| host == Host::Vscode).map(|_| host::TOKEN_INPUT);
        let entry = Entry { name: server.name.clone(), fields, input, lenient };
        let (next, met) = with_entry(&text, host.format(), host.key(), &entry).map_err(
            |problem| match problem {
                Problem::Broken { line, column, message } => broken(file, line, column, message),
                Problem::Taken { name } => InstallationError::Taken { file: file.to_owned(), name },
            },
        )?;
        text = next;
        servers.push((server.clone(), met));
    }
    Ok((text, servers))
}

/// The result of carrying out a plan.
#[derive(Debug)]
pub struct Done {
    /// The backup of the configuration.
    pub backup: Option<PathBuf>,
    /// Whether the servers are in the file now; a host's own command may store them elsewhere.
    pub is_there: bool,
}

impl Plan {
    pub fn changes(&self) -> bool {
        self.servers.iter().any(|(_, met)| *met != Met::Same)
    }

    /// The variables whose values the configuration holds.
    pub fn held_values(&self) -> Vec<&str> {
        let variables = self.servers.iter().flat_map(|(server, _)| server.variables());
        let mut names: Vec<_> = variables
            .filter(|variable| variable.value.is_some())
            .map(|variable| variable.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The variables that agent.toml declares and that the host's configuration cannot pass on.
    pub fn unreachable(&self, host: Host) -> Vec<&str> {
        let variables = self.servers.iter().flat_map(|(server, _)| server.variables());
        let mut names: Vec<_> = variables
            .filter(|variable| variable.value.is_none())
            .map(|variable| variable.name.as_str())
            .collect();
        names.retain(|_| !host.takes_names());
        names.sort_unstable();
        names.dedup();
        names
    }

    pub fn holds_token(&self, host: Host) -> bool {
        host.keeps_token() && self.servers.iter().any(|(server, _)| server.token().is_some())
    }

    /// The configuration before and after, without tokens and values of variables.
    pub fn texts(&self) -> (String, String) {
        let servers = || self.servers.iter().map(|(server, _)| server);
        let tokens: Vec<_> =
            servers().filter_map(|server| server.token()?.value.as_deref()).collect();
        // with the quotes: a value may be a single digit
        let written = |value: &str| {
            [serde_json::Value::from(value).to_string(), toml_edit::Value::from(value).to_string()]
        };
        let values: Vec<_> = servers().flat_map(Server::values).flat_map(written).collect();
        let shown = |text: String| {
            let text = tokens.iter().fold(text, |text, token| text.replace(token, "[token]"));
            values.iter().fold(text, |text, value| text.replace(value, "\"[value]\""))
        };
        (shown(self.change.before()), shown(self.change.after.clone()))
    }

    pub fn carry_out(&self, request: &Request) -> Result<Done, InstallationError> {
        if !self.changes() {
            return Ok(Done { backup: None, is_there: true });
        }
        let backup = self.change.carry_out()?;
        let is_there =
            self.change.commands.is_empty() || plan(request).is_ok_and(|plan| !plan.changes());
        Ok(Done { backup, is_there })
    }
}

fn places(repository: &Path) -> Option<Places> {
    let home = PathBuf::from(env::home()?);
    Some(Places {
        config: env::xdg_config_home().unwrap_or_else(|| home.join(".config")),
        home,
        claude: env::claude_config_dir(),
        codex: env::codex_home(),
        repository: repository.to_owned(),
        is_macos: cfg!(target_os = "macos"),
    })
}

/// The absolute path of `agent` for a host: the one on PATH where that is this program, since it
/// stays valid after an update.
pub fn program() -> Result<PathBuf, InstallationError> {
    let binary = env::binary().ok_or(InstallationError::NoHome)?;
    let named = on_path(OsStr::new("agent"))
        .filter(|named| named.canonicalize().is_ok_and(|leads_to| leads_to == binary));
    Ok(named.unwrap_or(binary))
}
