//! What is known of each host, as data: where its configuration lies, how an entry of it looks, and which command of its own adds one.

use crate::installation::{Launch, Server};
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Host {
    ClaudeCode,
    ClaudeDesktop,
    Cursor,
    Vscode,
    Codex,
    Gemini,
    Zed,
}

/// For whom a server is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// For you, wherever you work
    User,
    /// For whoever works in this repository: a file in its working tree
    Project,
}

impl Scope {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Project => "project",
        }
    }
}

/// The folders that configurations lie in.
#[derive(Debug, Clone)]
pub struct Places {
    pub home: PathBuf,
    /// `XDG_CONFIG_HOME`, or what stands for it.
    pub config: PathBuf,
    /// `CLAUDE_CONFIG_DIR`, where it is set.
    pub claude: Option<PathBuf>,
    /// `CODEX_HOME`, where it is set.
    pub codex: Option<PathBuf>,
    pub repository: PathBuf,
    pub is_macos: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// With comments and trailing commas, which some hosts allow.
    Json,
    Toml,
}

/// A value of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Text(String),
    List(Vec<String>),
}

/// All keys that say how a server is reached, in any host. An entry keeps its other keys.
pub const LAUNCH_KEYS: [&str; 5] = ["type", "command", "args", "url", "httpUrl"];

impl Host {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::ClaudeDesktop => "claude-desktop",
            Self::Cursor => "cursor",
            Self::Vscode => "vscode",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Zed => "zed",
        }
    }

    pub const fn format(self) -> Format {
        match self {
            Self::Codex => Format::Toml,
            _ => Format::Json,
        }
    }

    /// The key that holds the servers.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Vscode => "servers",
            Self::Codex => "mcp_servers",
            Self::Zed => "context_servers",
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Cursor | Self::Gemini => "mcpServers",
        }
    }

    /// The file that holds the servers of a scope; `None` where the host knows no such scope.
    pub fn file(self, scope: Scope, places: &Places) -> Option<PathBuf> {
        Some(match scope {
            Scope::User => self.user_file(places),
            Scope::Project => places.repository.join(match self {
                Self::ClaudeCode => ".mcp.json",
                Self::ClaudeDesktop => return None,
                Self::Cursor => ".cursor/mcp.json",
                Self::Vscode => ".vscode/mcp.json",
                Self::Codex => ".codex/config.toml",
                Self::Gemini => ".gemini/settings.json",
                Self::Zed => ".zed/settings.json",
            }),
        })
    }

    fn user_file(self, places: &Places) -> PathBuf {
        let home = |relative: &str| places.home.join(relative);
        let application = |relative: &str| {
            if places.is_macos { home("Library/Application Support").join(relative) } else { places.config.join(relative) }
        };
        match self {
            Self::ClaudeCode => places.claude.as_ref().unwrap_or(&places.home).join(".claude.json"),
            Self::ClaudeDesktop => application("Claude/claude_desktop_config.json"),
            Self::Cursor => home(".cursor/mcp.json"),
            Self::Vscode => application("Code/User/mcp.json"),
            Self::Codex => places.codex.clone().unwrap_or_else(|| home(".codex")).join("config.toml"),
            Self::Gemini => home(".gemini/settings.json"),
            // macOS too: Zed keeps its settings there on every system
            Self::Zed if places.is_macos => home(".config/zed/settings.json"),
            Self::Zed => places.config.join("zed/settings.json"),
        }
    }

    /// The entry of a server; `None` where the host cannot be told of such a one.
    pub fn entry(self, launch: &Launch) -> Option<Vec<(&'static str, Field)>> {
        let text = |text: &str| Field::Text(text.to_owned());
        match launch {
            Launch::Command { program, arguments } => {
                let tag = matches!(self, Self::ClaudeCode | Self::Cursor | Self::Vscode).then(|| ("type", text("stdio")));
                let command = [("command", text(program)), ("args", Field::List(arguments.clone()))];
                Some(tag.into_iter().chain(command).collect())
            }
            Launch::Url(url) => Some(match self {
                Self::ClaudeCode | Self::Vscode => vec![("type", text("http")), ("url", text(url))],
                Self::Cursor | Self::Codex | Self::Zed => vec![("url", text(url))],
                Self::Gemini => vec![("httpUrl", text(url))],
                Self::ClaudeDesktop => return None,
            }),
        }
    }

    /// The host's own command that adds a server, where it has one.
    pub fn command(self, scope: Scope, server: &Server) -> Option<Vec<String>> {
        let (before, after): (Vec<&str>, Vec<&str>) = match (self, &server.launch) {
            (Self::ClaudeCode, Launch::Command { .. }) => {
                (vec!["claude", "mcp", "add", "--scope", scope.as_str(), &server.name, "--"], vec![])
            }
            (Self::ClaudeCode, Launch::Url(url)) => {
                (vec!["claude", "mcp", "add", "--scope", scope.as_str(), "--transport", "http", &server.name], vec![url])
            }
            (Self::Codex, Launch::Command { .. }) if scope == Scope::User => (vec!["codex", "mcp", "add", &server.name, "--"], vec![]),
            (Self::Codex, Launch::Url(url)) if scope == Scope::User => (vec!["codex", "mcp", "add", &server.name, "--url"], vec![url]),
            // the `--` keeps our own options from being taken for options of `gemini`
            (Self::Gemini, Launch::Command { program, .. }) => {
                (vec!["gemini", "mcp", "add", "--scope", scope.as_str(), &server.name, program, "--"], vec![])
            }
            (Self::Gemini, Launch::Url(url)) => {
                (vec!["gemini", "mcp", "add", "--scope", scope.as_str(), "--transport", "http", &server.name], vec![url])
            }
            (Self::Vscode, _) if scope == Scope::User => return Some(vec!["code".into(), "--add-mcp".into(), self.as_json(server)?]),
            _ => return None,
        };
        let launch: Vec<&str> = match &server.launch {
            Launch::Command { arguments, .. } if self == Self::Gemini => arguments.iter().map(String::as_str).collect(),
            Launch::Command { program, arguments } => std::iter::once(program).chain(arguments).map(String::as_str).collect(),
            Launch::Url(_) => after,
        };
        Some(before.into_iter().chain(launch).map(str::to_owned).collect())
    }

    /// A server as VS Code's command wants it: its entry, with its name in it.
    fn as_json(self, server: &Server) -> Option<String> {
        let name = [("name".to_owned(), serde_json::Value::from(server.name.as_str()))];
        let fields = self.entry(&server.launch)?.into_iter().map(|(key, field)| (key.to_owned(), field.into()));
        Some(serde_json::Value::Object(name.into_iter().chain(fields).collect()).to_string())
    }
}

impl From<Field> for serde_json::Value {
    fn from(field: Field) -> Self {
        match field {
            Field::Text(text) => text.into(),
            Field::List(list) => list.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(is_macos: bool) -> Places {
        Places { home: "/home/u".into(), config: "/home/u/.config".into(), claude: None, codex: None, repository: "/repo".into(), is_macos }
    }

    #[test]
    fn each_host_is_looked_for_where_it_looks_itself() {
        let table = [
            (Host::ClaudeCode, "/home/u/.claude.json", "/home/u/.claude.json", Some("/repo/.mcp.json")),
            (
                Host::ClaudeDesktop,
                "/home/u/.config/Claude/claude_desktop_config.json",
                "/home/u/Library/Application Support/Claude/claude_desktop_config.json",
                None,
            ),
            (Host::Cursor, "/home/u/.cursor/mcp.json", "/home/u/.cursor/mcp.json", Some("/repo/.cursor/mcp.json")),
            (
                Host::Vscode,
                "/home/u/.config/Code/User/mcp.json",
                "/home/u/Library/Application Support/Code/User/mcp.json",
                Some("/repo/.vscode/mcp.json"),
            ),
            (Host::Codex, "/home/u/.codex/config.toml", "/home/u/.codex/config.toml", Some("/repo/.codex/config.toml")),
            (Host::Gemini, "/home/u/.gemini/settings.json", "/home/u/.gemini/settings.json", Some("/repo/.gemini/settings.json")),
            (Host::Zed, "/home/u/.config/zed/settings.json", "/home/u/.config/zed/settings.json", Some("/repo/.zed/settings.json")),
        ];
        for (host, linux, macos, project) in table {
            assert_eq!(host.file(Scope::User, &places(false)), Some(linux.into()));
            assert_eq!(host.file(Scope::User, &places(true)), Some(macos.into()));
            assert_eq!(host.file(Scope::Project, &places(false)), project.map(Into::into));
        }
        let told = Places { claude: Some("/c".into()), codex: Some("/x".into()), config: "/xdg".into(), ..places(false) };
        assert_eq!(Host::ClaudeCode.file(Scope::User, &told), Some("/c/.claude.json".into()));
        assert_eq!(Host::Codex.file(Scope::User, &told), Some("/x/config.toml".into()));
        assert_eq!(Host::Zed.file(Scope::User, &told), Some("/xdg/zed/settings.json".into()));
    }

    #[test]
    fn a_hosts_own_command_is_given_what_it_takes() {
        let stdio = Server {
            name: "a".to_owned(),
            launch: Launch::Command { program: "/bin/agent".to_owned(), arguments: vec!["-C".to_owned(), "/r".to_owned()] },
        };
        let http = Server { name: "a".to_owned(), launch: Launch::Url("http://127.0.0.1:1/mcp".to_owned()) };
        let table = [
            (Host::ClaudeCode, Scope::Project, &stdio, "claude mcp add --scope project a -- /bin/agent -C /r"),
            (Host::ClaudeCode, Scope::User, &http, "claude mcp add --scope user --transport http a http://127.0.0.1:1/mcp"),
            (Host::Codex, Scope::User, &stdio, "codex mcp add a -- /bin/agent -C /r"),
            (Host::Codex, Scope::User, &http, "codex mcp add a --url http://127.0.0.1:1/mcp"),
            (Host::Gemini, Scope::User, &stdio, "gemini mcp add --scope user a /bin/agent -- -C /r"),
            (Host::Gemini, Scope::Project, &http, "gemini mcp add --scope project --transport http a http://127.0.0.1:1/mcp"),
            (Host::Vscode, Scope::User, &stdio, r#"code --add-mcp {"name":"a","type":"stdio","command":"/bin/agent","args":["-C","/r"]}"#),
        ];
        for (host, scope, server, shown) in table {
            assert_eq!(host.command(scope, server).expect("it has one").join(" "), shown);
        }
        for (host, scope) in
            [(Host::Codex, Scope::Project), (Host::Vscode, Scope::Project), (Host::Zed, Scope::User), (Host::Cursor, Scope::User)]
        {
            assert_eq!(host.command(scope, &stdio), None);
        }
    }
}
