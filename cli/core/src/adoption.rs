//! What `agent adopt` makes of somebody's MCP server: its command, its lock, its first cases.

use crate::diagnose::{Diagnose, Exit};
use crate::document;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdoptionError {
    #[error("no MCP server was found: no script in pyproject.toml, no file at the top that makes one, no package with a __main__.py")]
    NoServer,
    #[error("several programs could be the server: {}", .0.join(", "))]
    Several(Vec<String>),
    #[error("`{0}` has a quote that is not closed")]
    Quote(String),
    #[error("the command is empty")]
    Empty,
    #[error("pyproject.toml: {0}")]
    Project(String),
    #[error("pip's report of what it would install cannot be read: {0}")]
    Report(String),
}

impl Diagnose for AdoptionError {
    fn exit(&self) -> Exit {
        match self {
            Self::Quote(_) | Self::Empty => Exit::Usage,
            Self::Report(_) => Exit::Surroundings,
            Self::NoServer | Self::Several(_) | Self::Project(_) => Exit::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Report(_) => Some("`uv` on PATH makes the lock without it".to_owned()),
            Self::Project(_) => None,
            _ => Some("say how the server is started: agent adopt --command \"python -m my_server\"".to_owned()),
        }
    }
}

/// A command line as a shell would split it, without expansions.
pub fn words(text: &str) -> Result<Vec<String>, AdoptionError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in text.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    match (quote, words.is_empty()) {
        (Some(_), _) => Err(AdoptionError::Quote(text.to_owned())),
        (None, true) => Err(AdoptionError::Empty),
        (None, false) => Ok(words),
    }
}

/// The parts of pyproject.toml that say how to run a project and what it needs.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Project {
    pub scripts: BTreeMap<String, String>,
    pub dependencies: Vec<String>,
    pub requires_python: Option<String>,
}

#[derive(Deserialize)]
struct ProjectFile {
    #[serde(default)]
    project: Project,
}

impl Project {
    pub fn parse(text: &str) -> Result<Self, AdoptionError> {
        let file: ProjectFile =
            toml::from_str(document::without_mark(text)).map_err(|error| AdoptionError::Project(error.message().to_owned()))?;
        Ok(file.project)
    }
}

/// How the server is started, found in the project and its Python files (path and text).
pub fn detect(project: &Project, files: &[(String, String)]) -> Result<Vec<String>, AdoptionError> {
    let scripts: Vec<_> = project.scripts.iter().filter_map(|(name, target)| Some((name.clone(), script(target)?))).collect();
    let servers = files.iter().filter(|(path, text)| !path.contains('/') && makes_a_server(text));
    let servers: Vec<_> = servers.map(|(path, _)| (path.clone(), vec!["python".to_owned(), path.clone()])).collect();
    let packages = files.iter().filter_map(|(path, _)| package(path));
    let packages: Vec<_> = packages.map(|name| (name.to_owned(), vec!["python".to_owned(), "-m".to_owned(), name.to_owned()])).collect();
    for candidates in [scripts, servers, packages] {
        match candidates.as_slice() {
            [] => {}
            [(_, command)] => return Ok(command.clone()),
            several => return Err(AdoptionError::Several(several.iter().map(|(name, _)| name.clone()).collect())),
        }
    }
    Err(AdoptionError::NoServer)
}

/// `package.module:function` as a command that needs no installed script.
fn script(target: &str) -> Option<Vec<String>> {
    let (module, function) = target.split_once(':')?;
    let root = function.split('.').next()?;
    let program = format!("import sys; from {module} import {root}; sys.exit({function}())");
    Some(vec!["python".to_owned(), "-c".to_owned(), program])
}

fn makes_a_server(text: &str) -> bool {
    ["FastMCP(", "MCPServer(", "mcp.server"].iter().any(|sign| text.contains(sign))
}

/// `name/__main__.py` and `src/name/__main__.py` can be run as `-m name`.
fn package(path: &str) -> Option<&str> {
    let name = path.strip_prefix("src/").unwrap_or(path).strip_suffix("/__main__.py")?;
    (!name.contains('/') && name != "tests").then_some(name)
}

/// The module that a command runs with `-m`.
pub fn module(command: &[String]) -> Option<&str> {
    let at = command.iter().position(|word| word == "-m")?;
    command.get(at + 1).map(|module| module.split('.').next().unwrap_or(module))
}

/// A hash-locked requirements file, from the report of `pip install --dry-run --report`.
pub fn lock(report: &str) -> Result<String, AdoptionError> {
    let report: Value = serde_json::from_str(report).map_err(|error| AdoptionError::Report(error.to_string()))?;
    let items = report["install"].as_array().ok_or_else(|| AdoptionError::Report("it has no `install`".to_owned()))?;
    let mut lines = items.iter().map(locked).collect::<Result<Vec<_>, _>>()?;
    lines.sort();
    Ok(lines.concat())
}

fn locked(item: &Value) -> Result<String, AdoptionError> {
    let text = |value: &Value, what: &str| {
        value.as_str().map(str::to_owned).ok_or_else(|| AdoptionError::Report(format!("an entry has no {what}")))
    };
    let name = text(&item["metadata"]["name"], "name")?;
    let version = text(&item["metadata"]["version"], "version")?;
    let hash = text(&item["download_info"]["archive_info"]["hashes"]["sha256"], &format!("sha256 ({name})"))?;
    Ok(format!("{}=={version} \\\n    --hash=sha256:{hash}\n", name.to_lowercase()))
}

/// Cases that say the tools are there and check their arguments, and that change nothing in the world: a call without what is required is refused, and
/// only a tool that says it reads is called as it is.
pub fn smoke_cases(tools: &[Value]) -> Vec<Value> {
    tools.iter().filter_map(smoke_case).collect()
}

fn smoke_case(tool: &Value) -> Option<Value> {
    let name = tool["name"].as_str()?;
    let required = tool["inputSchema"]["required"].as_array().and_then(|required| required.first()).and_then(Value::as_str);
    match required {
        Some(required) => Some(json!({
            "id": format!("{name}-needs-{required}"), "tool": name, "arguments": {}, "expect": {"error": regex::escape(required)}, "tags": ["smoke"],
        })),
        None if tool["annotations"]["readOnlyHint"] == true => {
            Some(json!({"id": format!("{name}-answers"), "tool": name, "arguments": {}, "expect": {"schema": {}}, "tags": ["smoke"]}))
        }
        None => None,
    }
}

/// Whether one of the smoke cases holds for this answer.
pub fn holds(case: &Value, is_error: bool, text: &str) -> bool {
    let pattern = case["expect"]["error"].as_str().and_then(|pattern| regex::Regex::new(pattern).ok());
    pattern.map_or(!is_error, |pattern| is_error && pattern.is_match(text))
}

/// The manifest of an adopted repository: its server as it is, and nobody who tunes it yet.
pub fn manifest(name: &str, command: &[String], requires: &str, lock: Option<&str>) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let words = command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
    let lock = lock.map(|lock| format!("lock = {}\n", quoted(lock))).unwrap_or_default();
    format!(
        "schema = \"agent/manifest@1\"\nname = {}\n\n[runner]\ncommand = [{words}]\n\n[python]\nrequires = {}\n{lock}\n\
         [promote]\ntier = \"micro\"\ngate = \"not-worse\"\nmargin = 0.0\n\n[release]\ntier = \"full\"\ngate = \"not-worse\"\n\n\
         [limits]\nstart_s = 30\ncall_s = 30\n",
        quoted(name),
        quoted(requires),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    #[test]
    fn a_command_is_split_as_a_shell_does() {
        for (text, expected) in [
            ("python -m a", &["python", "-m", "a"][..]),
            ("  python  'my server.py' --name=\"x y\" ''", &["python", "my server.py", "--name=x y", ""]),
        ] {
            assert_eq!(words(text).unwrap(), expected);
        }
        assert_eq!(words("python 'a"), Err(AdoptionError::Quote("python 'a".to_owned())));
        assert_eq!(words(" "), Err(AdoptionError::Empty));
    }

    fn detected(pyproject: &str, files: &[(&str, &str)]) -> Result<String, AdoptionError> {
        let files: Vec<_> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        detect(&Project::parse(pyproject)?, &files).map(|command| command.join(" "))
    }

    #[test]
    fn the_server_is_found_where_such_servers_are() {
        let script = "[project]\nscripts = { weather = \"weather.server:main\" }\n";
        let server = ("server.py", "from mcp.server.fastmcp import FastMCP\nmcp = FastMCP('x')\n");
        assert_eq!(detected(script, &[server]).unwrap(), "python -c import sys; from weather.server import main; sys.exit(main())");
        assert_eq!(detected("", &[("setup.py", ""), server]).unwrap(), "python server.py");
        assert_eq!(detected("", &[("src/weather/__main__.py", ""), ("tests/__main__.py", "")]).unwrap(), "python -m weather");
        assert_eq!(
            detected("", &[("a.py", "FastMCP()"), ("b.py", "FastMCP()")]),
            Err(AdoptionError::Several(vec!["a.py".into(), "b.py".into()]))
        );
        assert_eq!(detected("", &[("setup.py", "")]), Err(AdoptionError::NoServer));
        assert!(matches!(detected("[project", &[]), Err(AdoptionError::Project(_))));
    }

    #[test]
    fn a_report_of_pip_becomes_a_lock_with_hashes() {
        let entry = |name: &str, hash: &str| json!({"metadata": {"name": name, "version": "1.0"}, "download_info": {"archive_info": {"hashes": {"sha256": hash}}}});
        let report = json!({"install": [entry("Zlib-x", "bb"), entry("anyio", "aa")]}).to_string();
        assert_eq!(lock(&report).unwrap(), "anyio==1.0 \\\n    --hash=sha256:aa\nzlib-x==1.0 \\\n    --hash=sha256:bb\n");
        let local = json!({"install": [{"metadata": {"name": "me", "version": "1"}, "download_info": {"dir_info": {}}}]}).to_string();
        assert!(lock(&local).unwrap_err().to_string().contains("sha256 (me)"));
    }

    #[test]
    fn smoke_cases_change_nothing_in_the_world() {
        let tools = [
            json!({"name": "convert", "inputSchema": {"required": ["time.zone", "at"]}}),
            json!({"name": "status", "inputSchema": {}, "annotations": {"readOnlyHint": true}}),
            json!({"name": "launch", "inputSchema": {}}),
        ];
        let cases = smoke_cases(&tools);
        assert_eq!(cases.len(), 2);
        assert_eq!(cases[0]["expect"], json!({"error": "time\\.zone"}));
        assert_eq!(cases[1]["id"], "status-answers");
        assert!(
            holds(&cases[0], true, "`time.zone` is required")
                && !holds(&cases[0], true, "no such tool")
                && !holds(&cases[0], false, "time.zone")
        );
        assert!(holds(&cases[1], false, "fine") && !holds(&cases[1], true, "broken"));
    }

    #[test]
    fn the_manifest_is_read_back() {
        let command = ["python", "-c", "print(\"hi\\n\")"].map(str::to_owned);
        let text = manifest("über", &command, ">=3.11", Some("requirements.lock"));
        let manifest = Manifest::parse(&text, "agent.toml").unwrap();
        assert_eq!(manifest.runner.command, command);
        assert_eq!((manifest.tuner, manifest.python.lock.as_deref()), (None, Some("requirements.lock")));
    }
}
