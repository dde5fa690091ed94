//! Each MCP host as data: the path of its configuration, the form of an entry, and its own command
//! that adds one.

use crate::installation::server::{Launch, Passed, Server, Token};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Host {
    ClaudeCode,
    ClaudeDesktop,
    Cursor,
    Vscode,
    Codex,
    Gemini,
    Zed,
    Opencode,
}

/// The scope of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// For your user, in every folder
    User,
    /// For everyone who works in this repository: a file in its working tree
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

/// The folders with configurations.
#[derive(Debug, Clone)]
pub struct Places {
    pub home: PathBuf,
    /// `XDG_CONFIG_HOME`, or its default.
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
    Map(Vec<(String, String)>),
}

/// The keys with a server's command or URL, of all hosts. An entry keeps its other keys.
pub const LAUNCH_KEYS: [&str; 5] = ["type", "command", "args", "url", "httpUrl"];
/// The keys with its token: an entry keeps them too, where no token is needed.
pub const TOKEN_KEYS: [&str; 2] = ["headers", "bearer_token_env_var"];
/// The keys with its environment variables: those of the user are kept.
pub const VARIABLE_KEYS: [&str; 3] = ["env", "environment", FORWARDED];
/// The names of variables that Codex passes on; it passes on few others.
pub const FORWARDED: &str = "env_vars";
/// The id of the secret that VS Code prompts for.
pub const TOKEN_INPUT: &str = "agent-token";

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
            Self::Opencode => "opencode",
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
            Self::Opencode => "mcp",
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Cursor | Self::Gemini => "mcpServers",
        }
    }

    /// The file that holds the servers of a scope; `None` where the host has no such scope.
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
                Self::Opencode => "opencode.json",
            }),
        })
    }

    /// An alternative name of the file, used where it exists.
    pub fn other_file(self, file: &Path) -> Option<PathBuf> {
        (self == Self::Opencode).then(|| file.with_extension("jsonc"))
    }

    fn user_file(self, places: &Places) -> PathBuf {
        let home = |relative: &str| places.home.join(relative);
        let application = |relative: &str| {
            if places.is_macos {
                home("Library/Application Support").join(relative)
            } else {
                places.config.join(relative)
            }
        };
        match self {
            Self::ClaudeCode => places.claude.as_ref().unwrap_or(&places.home).join(".claude.json"),
            Self::ClaudeDesktop => application("Claude/claude_desktop_config.json"),
            Self::Cursor => home(".cursor/mcp.json"),
            Self::Vscode => application("Code/User/mcp.json"),
            Self::Codex => {
                places.codex.clone().unwrap_or_else(|| home(".codex")).join("config.toml")
            }
            Self::Gemini => home(".gemini/settings.json"),
            // on macOS as well
            Self::Zed if places.is_macos => home(".config/zed/settings.json"),
            Self::Zed => places.config.join("zed/settings.json"),
            // on macOS as well
            Self::Opencode if places.is_macos => home(".config/opencode/opencode.json"),
            Self::Opencode => places.config.join("opencode/opencode.json"),
        }
    }

    /// The entry of a server; `None` where the host does not support it.
    pub fn entry(self, launch: &Launch) -> Option<Vec<(&'static str, Field)>> {
        let text = |text: &str| Field::Text(text.to_owned());
        match launch {
            Launch::Command { program, arguments, variables } if self == Self::Opencode => {
                let words = std::iter::once(program).chain(arguments).cloned().collect();
                let command = [("type", text("local")), ("command", Field::List(words))];
                Some(command.into_iter().chain(self.variables(variables)).collect())
            }
            Launch::Command { program, arguments, variables } => {
                let tag = matches!(self, Self::ClaudeCode | Self::Cursor | Self::Vscode)
                    .then(|| ("type", text("stdio")));
                let command =
                    [("command", text(program)), ("args", Field::List(arguments.clone()))];
                Some(tag.into_iter().chain(command).chain(self.variables(variables)).collect())
            }
            Launch::Url { url, token } => {
                let mut entry = match self {
                    Self::ClaudeCode | Self::Vscode => {
                        vec![("type", text("http")), ("url", text(url))]
                    }
                    Self::Opencode => vec![("type", text("remote")), ("url", text(url))],
                    Self::Cursor | Self::Codex | Self::Zed => vec![("url", text(url))],
                    Self::Gemini => vec![("url", text(url)), ("type", text("http"))],
                    Self::ClaudeDesktop => return None,
                };
                entry.extend(token.as_ref().map(|token| self.token_field(token)));
                Some(entry)
            }
        }
    }

    /// The fields with the variables of a server: values as they are, names as references to the
    /// host's own environment.
    fn variables(self, variables: &[Passed]) -> Vec<(&'static str, Field)> {
        let written = variables
            .iter()
            .filter_map(|variable| Some((variable.name.clone(), self.written(variable)?)))
            .collect::<Vec<_>>();
        let key = if self == Self::Opencode { "environment" } else { "env" };
        let mut fields = Vec::new();
        if !written.is_empty() {
            fields.push((key, Field::Map(written)));
        }
        let forwarded: Vec<_> = variables
            .iter()
            .filter(|variable| variable.value.is_none())
            .map(|variable| variable.name.clone())
            .collect();
        if self == Self::Codex && !forwarded.is_empty() {
            fields.push((FORWARDED, Field::List(forwarded)));
        }
        fields
    }

    /// The value of a variable in a map of the host; `None` where a map cannot refer to the host's
    /// environment.
    fn written(self, variable: &Passed) -> Option<String> {
        variable.value.clone().or_else(|| self.reference(&variable.name))
    }

    /// The host's syntax for a reference to a variable of its environment.
    fn reference(self, name: &str) -> Option<String> {
        match self {
            Self::ClaudeCode | Self::Gemini => Some(format!("${{{name}}}")),
            Self::Cursor | Self::Vscode => Some(format!("${{env:{name}}}")),
            Self::Opencode => Some(format!("{{env:{name}}}")),
            Self::ClaudeDesktop | Self::Codex | Self::Zed => None,
        }
    }

    /// Whether a variable of the host's own environment can be named in its configuration.
    pub fn takes_names(self) -> bool {
        self == Self::Codex || self.reference("NAME").is_some()
    }

    /// The field with the token: by a reference to a variable, or to a prompt, so that no file
    /// contains it. Zed's settings support neither.
    fn token_field(self, token: &Token) -> (&'static str, Field) {
        if self == Self::Codex {
            return ("bearer_token_env_var", Field::Text(token.variable.clone()));
        }
        (
            "headers",
            Field::Map(vec![("Authorization".to_owned(), format!("Bearer {}", self.token(token)))]),
        )
    }

    fn token(self, token: &Token) -> String {
        let variable = &token.variable;
        match self {
            Self::Vscode => format!("${{input:{TOKEN_INPUT}}}"),
            Self::Cursor => format!("${{env:{variable}}}"),
            Self::Opencode => format!("{{env:{variable}}}"),
            Self::Zed => token.value.clone().unwrap_or_default(),
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Codex | Self::Gemini => {
                format!("${{{variable}}}")
            }
        }
    }

    /// Whether the configuration contains the token itself.
    pub fn keeps_token(self) -> bool {
        self == Self::Zed
    }

    /// The host's own command that adds a server, where it supports every field. A value of a
    /// variable is written without it: every user of the machine can read a command's arguments.
    pub fn command(self, scope: Scope, server: &Server) -> Option<Vec<String>> {
        let name = server.name.as_str();
        let variables = self.variable_options(server)?;
        let variables = || variables.iter().map(String::as_str);
        let over_http = |program, url| {
            let add = [program, "mcp", "add", "--scope", scope.as_str(), "--transport", "http"];
            add.into_iter().chain([name, url]).collect()
        };
        let words: Vec<&str> = match (self, &server.launch) {
            // some of these commands read everything after `--env` up to the next option as
            // variables
            (Self::ClaudeCode, Launch::Command { .. }) => {
                let add = ["claude", "mcp", "add"].into_iter().chain(variables());
                add.chain(["--scope", scope.as_str(), name, "--"]).collect()
            }
            (Self::ClaudeCode, Launch::Url { url, .. }) => over_http("claude", url.as_str()),
            (Self::Codex, Launch::Command { .. }) if scope == Scope::User => {
                vec!["codex", "mcp", "add", name, "--"]
            }
            (Self::Codex, Launch::Url { url, .. }) if scope == Scope::User => {
                vec!["codex", "mcp", "add", name, "--url", url]
            }
            // without `--`, the options of `agent` would be read as options of `gemini`
            (Self::Gemini, Launch::Command { program, .. }) => {
                let add = ["gemini", "mcp", "add"].into_iter().chain(variables());
                add.chain(["--scope", scope.as_str(), name, program.as_str(), "--"]).collect()
            }
            (Self::Gemini, Launch::Url { url, .. }) => over_http("gemini", url.as_str()),
            // the command cannot declare the input that prompts for the token
            (Self::Vscode, Launch::Command { .. } | Launch::Url { token: None, .. })
                if scope == Scope::User =>
            {
                return Some(vec!["code".into(), "--add-mcp".into(), self.as_json(server)?]);
            }
            _ => return None,
        };
        let more = match &server.launch {
            Launch::Command { arguments, .. } if self == Self::Gemini => arguments.clone(),
            Launch::Command { program, arguments, .. } => {
                std::iter::once(program).chain(arguments).cloned().collect()
            }
            Launch::Url { token, .. } => {
                token.as_ref().map(|token| self.token_option(token)).into_iter().flatten().collect()
            }
        };
        Some(words.into_iter().map(str::to_owned).chain(more).collect())
    }

    /// The host's own command that removes a server.
    pub fn removal(self, scope: Scope, name: &str) -> Option<Vec<String>> {
        let words = match self {
            Self::ClaudeCode => {
                ["claude", "mcp", "remove", "--scope", scope.as_str(), name].to_vec()
            }
            Self::Gemini => ["gemini", "mcp", "remove", "--scope", scope.as_str(), name].to_vec(),
            Self::Codex if scope == Scope::User => ["codex", "mcp", "remove", name].to_vec(),
            _ => return None,
        };
        Some(words.into_iter().map(str::to_owned).collect())
    }

    /// The options of the host's own command for the variables; `None` where it has none for them.
    fn variable_options(self, server: &Server) -> Option<Vec<String>> {
        let Launch::Command { variables, .. } = &server.launch else { return Some(Vec::new()) };
        let option = |variable: &Passed| {
            let reference = self.reference(&variable.name).filter(|_| variable.value.is_none())?;
            Some(["--env".to_owned(), format!("{}={reference}", variable.name)])
        };
        let options = variables.iter().map(option).collect::<Option<Vec<_>>>()?;
        Some(options.concat())
    }

    fn token_option(self, token: &Token) -> [String; 2] {
        if self == Self::Codex {
            return ["--bearer-token-env-var".to_owned(), token.variable.clone()];
        }
        ["--header".to_owned(), format!("Authorization: Bearer {}", self.token(token))]
    }

    /// A server in the form of VS Code's command: its entry with its name.
    fn as_json(self, server: &Server) -> Option<String> {
        let name = [("name".to_owned(), serde_json::Value::from(server.name.as_str()))];
        let fields = self
            .entry(&server.launch)?
            .into_iter()
            .map(|(key, field)| (key.to_owned(), field.into()));
        Some(serde_json::Value::Object(name.into_iter().chain(fields).collect()).to_string())
    }
}

impl From<Field> for serde_json::Value {
    fn from(field: Field) -> Self {
        match field {
            Field::Text(text) => text.into(),
            Field::List(list) => list.into(),
            Field::Map(map) => {
                Self::Object(map.into_iter().map(|(key, text)| (key, text.into())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(is_macos: bool) -> Places {
        Places {
            home: "/home/u".into(),
            config: "/home/u/.config".into(),
            claude: None,
            codex: None,
            repository: "/repo".into(),
            is_macos,
        }
    }

    #[test]
    fn each_hosts_configuration_is_at_its_documented_path() {
        let table = [
            (
                Host::ClaudeCode,
                "/home/u/.claude.json",
                "/home/u/.claude.json",
                Some("/repo/.mcp.json"),
            ),
            (
                Host::ClaudeDesktop,
                "/home/u/.config/Claude/claude_desktop_config.json",
                "/home/u/Library/Application Support/Claude/claude_desktop_config.json",
                None,
            ),
            (
                Host::Cursor,
                "/home/u/.cursor/mcp.json",
                "/home/u/.cursor/mcp.json",
                Some("/repo/.cursor/mcp.json"),
            ),
            (
                Host::Vscode,
                "/home/u/.config/Code/User/mcp.json",
                "/home/u/Library/Application Support/Code/User/mcp.json",
                Some("/repo/.vscode/mcp.json"),
            ),
            (
                Host::Codex,
                "/home/u/.codex/config.toml",
                "/home/u/.codex/config.toml",
                Some("/repo/.codex/config.toml"),
            ),
            (
                Host::Gemini,
                "/home/u/.gemini/settings.json",
                "/home/u/.gemini/settings.json",
                Some("/repo/.gemini/settings.json"),
            ),
            (
                Host::Zed,
                "/home/u/.config/zed/settings.json",
                "/home/u/.config/zed/settings.json",
                Some("/repo/.zed/settings.json"),
            ),
            (
                Host::Opencode,
                "/home/u/.config/opencode/opencode.json",
                "/home/u/.config/opencode/opencode.json",
                Some("/repo/opencode.json"),
            ),
        ];
        for (host, linux, macos, project) in table {
            assert_eq!(host.file(Scope::User, &places(false)), Some(linux.into()));
            assert_eq!(host.file(Scope::User, &places(true)), Some(macos.into()));
            assert_eq!(host.file(Scope::Project, &places(false)), project.map(Into::into));
        }
        let places_set = Places {
            claude: Some("/c".into()),
            codex: Some("/x".into()),
            config: "/xdg".into(),
            ..places(false)
        };
        assert_eq!(Host::ClaudeCode.file(Scope::User, &places_set), Some("/c/.claude.json".into()));
        assert_eq!(Host::Codex.file(Scope::User, &places_set), Some("/x/config.toml".into()));
        assert_eq!(Host::Zed.file(Scope::User, &places_set), Some("/xdg/zed/settings.json".into()));
    }

    /// Servers over stdio (with a variable by name, with its value) and over HTTP (with a token).
    struct Servers {
        stdio: Server,
        named: Server,
        valued: Server,
        http: Server,
        closed: Server,
    }

    fn servers() -> Servers {
        let stdio = Server {
            name: "a".to_owned(),
            launch: Launch::Command {
                program: "/bin/agent".to_owned(),
                arguments: vec!["-C".to_owned(), "/r".to_owned()],
                variables: Vec::new(),
            },
        };
        let with = |name: &str, value: Option<&str>| Server {
            launch: Launch::Command {
                program: "/bin/agent".to_owned(),
                arguments: vec!["-C".to_owned(), "/r".to_owned()],
                variables: vec![Passed {
                    name: name.to_owned(),
                    value: value.map(str::to_owned),
                    is_asked: true,
                }],
            },
            ..stdio.clone()
        };
        let (named, valued) = (with("KEY", None), with("KEY", Some("s3cret")));
        let url = |token: Option<&str>| Server {
            name: "a".to_owned(),
            launch: Launch::Url {
                url: "http://127.0.0.1:1/mcp".to_owned(),
                token: token.map(|variable| Token { variable: variable.to_owned(), value: None }),
            },
        };
        let (http, closed) = (url(None), url(Some("KEY")));
        Servers { stdio, named, valued, http, closed }
    }

    #[test]
    fn the_hosts_own_commands_have_their_documented_arguments() {
        let Servers { stdio, named, http, closed, .. } = &servers();
        let table = [
            (
                Host::ClaudeCode,
                Scope::Project,
                stdio,
                "claude mcp add --scope project a -- /bin/agent -C /r",
            ),
            (
                Host::ClaudeCode,
                Scope::User,
                http,
                "claude mcp add --scope user --transport http a http://127.0.0.1:1/mcp",
            ),
            (
                Host::ClaudeCode,
                Scope::User,
                closed,
                "claude mcp add --scope user --transport http a http://127.0.0.1:1/mcp --header \
                Authorization: Bearer ${KEY}",
            ),
            (
                Host::Codex,
                Scope::User,
                closed,
                "codex mcp add a --url http://127.0.0.1:1/mcp --bearer-token-env-var KEY",
            ),
            (
                Host::Gemini,
                Scope::User,
                closed,
                "gemini mcp add --scope user --transport http a http://127.0.0.1:1/mcp --header \
                Authorization: Bearer ${KEY}",
            ),
            (Host::Codex, Scope::User, stdio, "codex mcp add a -- /bin/agent -C /r"),
            (Host::Codex, Scope::User, http, "codex mcp add a --url http://127.0.0.1:1/mcp"),
            (Host::Gemini, Scope::User, stdio, "gemini mcp add --scope user a /bin/agent -- -C /r"),
            (
                Host::Gemini,
                Scope::Project,
                http,
                "gemini mcp add --scope project --transport http a http://127.0.0.1:1/mcp",
            ),
            (
                Host::ClaudeCode,
                Scope::User,
                named,
                "claude mcp add --env KEY=${KEY} --scope user a -- /bin/agent -C /r",
            ),
            (
                Host::Gemini,
                Scope::User,
                named,
                "gemini mcp add --env KEY=${KEY} --scope user a /bin/agent -- -C /r",
            ),
            (
                Host::Vscode,
                Scope::User,
                named,
                r#"code --add-mcp {"name":"a","type":"stdio","command":"/bin/agent","args":["-C","/r"],"env":{"KEY":"${env:KEY}"}}"#,
            ),
            (
                Host::Vscode,
                Scope::User,
                stdio,
                r#"code --add-mcp {"name":"a","type":"stdio","command":"/bin/agent","args":["-C","/r"]}"#,
            ),
        ];
        for (host, scope, server, shown) in table {
            assert_eq!(host.command(scope, server).expect("it has one").join(" "), shown);
        }
    }

    #[test]
    fn an_entry_that_the_hosts_command_cannot_express_is_written_to_the_file() {
        let Servers { stdio, named, valued, closed, .. } = &servers();
        for (host, scope) in [
            (Host::Codex, Scope::Project),
            (Host::Vscode, Scope::Project),
            (Host::Zed, Scope::User),
            (Host::Cursor, Scope::User),
        ] {
            assert_eq!(host.command(scope, stdio), None);
        }
        for host in [Host::ClaudeCode, Host::Codex, Host::Gemini, Host::Vscode] {
            assert_eq!(
                host.command(Scope::User, valued),
                None,
                "every user of the machine can read a command's arguments"
            );
        }
        assert_eq!(
            Host::Codex.command(Scope::User, named),
            None,
            "the command has no option for a name without a value"
        );
        assert_eq!(
            Host::Vscode.command(Scope::User, closed),
            None,
            "the token has to be prompted for"
        );
    }
}
