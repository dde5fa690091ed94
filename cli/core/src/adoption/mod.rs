//! Derives from an existing MCP server, for `agent adopt`: its command, its lock, its first cases.

pub mod joining;
pub mod package;
pub mod project;

use crate::adoption::package::Package;
use crate::adoption::project::{Project, script_file};
use crate::formats::diagnose::{Diagnose, FailureKind};
use crate::formats::first_version::{FIRST, can_begin};
use crate::protocol::call_result::Answer;
use crate::protocol::wire;
use crate::testing::expectation::{self, Expectation};
use crate::version::{Bump, tag};
use semver::Version;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdoptionError {
    #[error(
        "no MCP server was found: no script in pyproject.toml, no file at the top that makes one, \
        no package with a __main__.py, no program in package.json"
    )]
    NoServer,
    #[error("several programs could be the server: {}", .0.join(", "))]
    Several(Vec<String>),
    #[error("`{0}` has a quote that is not closed")]
    Quote(String),
    #[error("the command is empty")]
    Empty,
    #[error("pip's report of what it would install cannot be read: {0}")]
    Report(String),
}

impl Diagnose for AdoptionError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Quote(_) | Self::Empty => FailureKind::Usage,
            Self::Report(_) => FailureKind::Surroundings,
            Self::NoServer | Self::Several(_) => FailureKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Report(_) => Some("`uv` on PATH makes the lock without it".to_owned()),
            _ => Some(
                "give the server's start command: agent adopt --command \"python -m my_server\""
                    .to_owned(),
            ),
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

/// How the server is started, found in the project, its Python files (path and text), and its
/// package of Node.
pub fn detect(
    project: &Project,
    files: &[(String, String)],
    package: Option<&Package>,
) -> Result<Vec<String>, AdoptionError> {
    let named = |name: &str| (name.to_owned(), vec![name.to_owned()]);
    let scripts: Vec<_> = project
        .scripts
        .keys()
        .filter(|name| script_file(name).is_some())
        .map(|name| named(name))
        .collect();
    let servers = files.iter().filter(|(path, text)| !path.contains('/') && makes_a_server(text));
    let servers: Vec<_> =
        servers.map(|(path, _)| (path.clone(), vec!["python".to_owned(), path.clone()])).collect();
    let packages = files.iter().filter_map(|(path, _)| module_of(path));
    let packages: Vec<_> = packages
        .map(|name| (name.clone(), vec!["python".to_owned(), "-m".to_owned(), name]))
        .collect();
    for candidates in [scripts, servers, packages, package.map(programs).unwrap_or_default()] {
        match candidates.as_slice() {
            [] => {}
            [(_, command)] => return Ok(command.clone()),
            several => {
                return Err(AdoptionError::Several(
                    several.iter().map(|(name, _)| name.clone()).collect(),
                ));
            }
        }
    }
    Err(AdoptionError::NoServer)
}

/// The programs of a package, else what `npm start` runs, else its main file.
fn programs(package: &Package) -> Vec<(String, Vec<String>)> {
    let node = |path: &str| vec!["node".to_owned(), path.to_owned()];
    let programs: Vec<_> =
        package.programs().iter().map(|(name, path)| (name.clone(), node(path))).collect();
    if !programs.is_empty() {
        return programs;
    }
    // a shell command line has more than arguments
    let start = package
        .start()
        .filter(|line| !line.contains(['&', '|', ';', '$', '`', '<', '>']))
        .and_then(|line| words(line).ok());
    let main = || package.main().map(|path| ("main".to_owned(), node(path)));
    start.map(|words| ("start".to_owned(), words)).or_else(main).into_iter().collect()
}

/// A command line that fetches its package each time, such as a host's configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub by: Fetcher,
    /// The requirement for an installer.
    pub package: String,
    /// The program and its arguments; of `npx` the program is still to be found in the package.
    pub command: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetcher {
    Uvx,
    Npx,
}

/// `uvx NAME`, `uv tool run NAME`, `npx NAME`, with the options that name a package or skip the
/// prompt.
pub fn fetched(command: &[String]) -> Option<Fetched> {
    let words: Vec<_> = command.iter().map(String::as_str).collect();
    let (by, mut rest) = match words.as_slice() {
        ["uvx", rest @ ..] | ["uv", "tool", "run", rest @ ..] => (Fetcher::Uvx, rest),
        ["npx", rest @ ..] => (Fetcher::Npx, rest),
        _ => return None,
    };
    let mut package = None;
    loop {
        rest = match (by, rest) {
            (Fetcher::Uvx, ["--from", from, rest @ ..])
            | (Fetcher::Npx, ["-p" | "--package", from, rest @ ..]) => {
                package = Some((*from).to_owned());
                rest
            }
            (Fetcher::Npx, ["-y" | "--yes" | "--", rest @ ..]) => rest,
            _ => break,
        };
    }
    let (program, arguments) =
        rest.split_first().filter(|(program, _)| !program.starts_with('-'))?;
    // a package may be named with a version, a program is not
    let at = program
        .char_indices()
        .skip(1)
        .find(|(_, character)| *character == '@')
        .map_or(program.len(), |(at, _)| at);
    let name = &program[..at];
    let package = package.unwrap_or_else(|| match (by, program.get(at + 1..)) {
        (Fetcher::Uvx, Some(version)) if version != "latest" => format!("{name}=={version}"),
        (Fetcher::Uvx, _) => name.to_owned(),
        (Fetcher::Npx, _) => (*program).to_owned(),
    });
    let name = name.split('[').next().unwrap_or(name);
    let command =
        std::iter::once(name).chain(arguments.iter().copied()).map(str::to_owned).collect();
    Some(Fetched { by, package, command })
}

/// The program of a package that is run by the package's name.
pub fn program_of(package: &Package) -> Option<String> {
    let programs = package.programs();
    let named = package.name().filter(|name| programs.contains_key(*name)).map(str::to_owned);
    named.or_else(|| programs.into_keys().next())
}

/// The file of a folder `requirements/` with a server's runtime requirements; `None` where that is
/// ambiguous.
pub fn main_list(names: &[String]) -> Option<&str> {
    const FIRST: [&str; 8] =
        ["production", "prod", "main", "base", "common", "default", "requirements", "runtime"];
    let lists: Vec<_> = names.iter().filter_map(|name| name.strip_suffix(".txt")).collect();
    let only = || if let [only] = lists.as_slice() { Some(*only) } else { None };
    let chosen = FIRST.into_iter().find(|first| lists.contains(first)).or_else(only)?;
    names.iter().map(String::as_str).find(|name| name.strip_suffix(".txt") == Some(chosen))
}

/// The lines of versions that another tool's lock has chosen (of poetry, of pdm).
pub fn constraints(lock: &str) -> Vec<String> {
    let lock: toml::Table = toml::from_str(lock).unwrap_or_default();
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let line = |package: &toml::Value| {
        Some(format!("{}=={}", package.get("name")?.as_str()?, package.get("version")?.as_str()?))
    };
    packages.filter_map(line).collect()
}

fn makes_a_server(text: &str) -> bool {
    ["FastMCP(", "MCPServer(", "mcp.server"].iter().any(|sign| text.contains(sign))
}

/// `name/__main__.py`, `src/name/__main__.py` and `src/space/name/__main__.py` can be run as
/// `-m name` or `-m space.name`.
fn module_of(path: &str) -> Option<String> {
    let name = path.strip_prefix("src/").unwrap_or(path).strip_suffix("/__main__.py")?;
    (name != "tests").then(|| name.replace('/', "."))
}

/// The module that a command runs with `-m`.
pub fn module(command: &[String]) -> Option<&str> {
    let at = command.iter().position(|word| word == "-m")?;
    command.get(at + 1).map(|module| module.split('.').next().unwrap_or(module))
}

/// A hash-locked requirements file, from the report of `pip install --dry-run --report`.
pub fn lock(report: &str) -> Result<String, AdoptionError> {
    let report: Value =
        serde_json::from_str(report).map_err(|error| AdoptionError::Report(error.to_string()))?;
    let items = report["install"]
        .as_array()
        .ok_or_else(|| AdoptionError::Report("it has no `install`".to_owned()))?;
    let is_folder = |item: &&Value| item["download_info"].get("dir_info").is_some();
    let mut lines =
        items.iter().filter(|item| !is_folder(item)).map(locked).collect::<Result<Vec<_>, _>>()?;
    lines.sort();
    Ok(lines.concat())
}

fn locked(item: &Value) -> Result<String, AdoptionError> {
    let text = |value: &Value, what: &str| {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| AdoptionError::Report(format!("an entry has no {what}")))
    };
    let name = text(&item["metadata"]["name"], "name")?;
    let version = text(&item["metadata"]["version"], "version")?;
    let hash = text(
        &item["download_info"]["archive_info"]["hashes"]["sha256"],
        &format!("sha256 ({name})"),
    )?;
    Ok(format!("{}=={version} \\\n    --hash=sha256:{hash}\n", name.to_lowercase()))
}

/// A trial call of a tool: arguments derived from its schema, with an example of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    pub tool: String,
    pub arguments: Value,
    /// A required argument of the tool.
    pub required: Option<String>,
}

/// Trial calls for each tool that is not marked destructive.
pub fn trials(tools: &[Value]) -> Vec<Trial> {
    tools.iter().filter_map(trial).collect()
}

fn trial(tool: &Value) -> Option<Trial> {
    let annotations = &tool["annotations"];
    if annotations["destructiveHint"] == true && annotations["readOnlyHint"] != true {
        return None;
    }
    let schema = &tool["inputSchema"];
    let required = schema["required"]
        .as_array()
        .and_then(|required| required.first())
        .and_then(Value::as_str)
        .map(str::to_owned);
    Some(Trial {
        tool: tool["name"].as_str()?.to_owned(),
        arguments: example(schema, schema, "", 0),
        required,
    })
}

/// The depth limit for schemas: some are recursive.
const DEPTH: usize = 8;

/// A value that a schema allows, the plainest there is; `name` is that of the property.
fn example(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    if depth > DEPTH {
        return Value::Null;
    }
    let follow = |schema: &Value| example(schema, root, name, depth + 1);
    if let Some(reference) =
        schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'))
    {
        return root.pointer(reference).map_or(Value::Null, follow);
    }
    let first = |key: &str| schema[key].as_array().and_then(|list| list.first()).cloned();
    let given = first("examples")
        .or_else(|| schema.get("default").cloned())
        .or_else(|| schema.get("const").cloned())
        .or_else(|| first("enum"));
    if let Some(given) = given.filter(|given| !given.is_null()) {
        return given;
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        let options = schema[key].as_array().into_iter().flatten();
        if let Some(option) = options
            .clone()
            .find(|option| option["type"] != "null")
            .or_else(|| options.clone().next())
        {
            return follow(option);
        }
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"].as_array()?.iter().find_map(Value::as_str));
    match kind {
        Some("object") | None if schema["properties"].is_object() || depth == 0 => {
            let required =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let members = required.map(|key| {
                (key.to_owned(), example(&schema["properties"][key], root, key, depth + 1))
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        Some("object") => json!({}),
        Some("array") => {
            let count =
                usize::try_from(schema["minItems"].as_u64().unwrap_or(1).min(4)).unwrap_or(1);
            Value::Array((0..count).map(|_| follow(&schema["items"])).collect())
        }
        Some("integer") => number(schema, true),
        Some("number") => number(schema, false),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        _ => Value::String(word(schema, name)),
    }
}

fn number(schema: &Value, is_whole: bool) -> Value {
    let least = schema["minimum"]
        .as_f64()
        .or_else(|| schema["exclusiveMinimum"].as_f64().map(|bound| bound + 1.0));
    let most = schema["maximum"]
        .as_f64()
        .or_else(|| schema["exclusiveMaximum"].as_f64().map(|bound| bound - 1.0));
    let value = 1.0_f64.max(least.unwrap_or(f64::MIN)).min(most.unwrap_or(f64::MAX));
    #[expect(clippy::cast_possible_truncation, reason = "an example need not be exact")]
    if is_whole || value.fract() == 0.0 { json!(value.ceil() as i64) } else { json!(value) }
}

fn word(schema: &Value, name: &str) -> String {
    let of_format = match schema["format"].as_str() {
        Some("date") => Some("2026-01-31"),
        Some("time") => Some("12:30:00"),
        Some("date-time") => Some("2026-01-31T12:30:00Z"),
        Some("uri" | "url" | "uri-reference") => Some("https://example.org/"),
        Some("email") => Some("ann@example.org"),
        Some("uuid") => Some("6f1e2a4c-1d2b-4c3d-8e4f-5a6b7c8d9e0f"),
        _ => None,
    };
    let name = name.to_ascii_lowercase();
    let of_name = || {
        const NAMES: [(&str, &str); 9] = [
            ("timezone", "Europe/Paris"),
            ("time", "12:30"),
            ("date", "2026-01-31"),
            ("url", "https://example.org/"),
            ("uri", "https://example.org/"),
            ("email", "ann@example.org"),
            ("path", "."),
            ("query", "example"),
            ("expression", "1 + 1"),
        ];
        NAMES.iter().find(|(part, _)| name.contains(part)).map(|(_, word)| *word)
    };
    let word = of_format.or_else(of_name).unwrap_or("example").to_owned();
    let least = usize::try_from(schema["minLength"].as_u64().unwrap_or(0).min(1024)).unwrap_or(0);
    let most = schema["maxLength"]
        .as_u64()
        .and_then(|most| usize::try_from(most).ok())
        .unwrap_or(usize::MAX);
    let padded =
        if word.len() < least { format!("{word}{}", "x".repeat(least - word.len())) } else { word };
    padded.chars().take(most).collect()
}

/// Messages of programs without network access. Some return them without an error flag.
const OFFLINE: [&str; 12] = [
    "name resolution",
    "name or service not known",
    "resolve host",
    "network",
    "enotfound",
    "eai_again",
    "econnrefused",
    "fetch failed",
    "failed to fetch",
    "connection",
    "getaddrinfo",
    "timed out",
];

/// Whether an answer reports a missing network: with a network the answer would differ.
pub fn is_offline(answer: &Answer) -> bool {
    let text = answer.value().to_string().to_lowercase();
    OFFLINE.iter().any(|words| text.contains(words))
}

/// What a server needed that ended while it started, guessed from its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// A variable of its environment, such as a key.
    Variable(String),
    Network,
}

/// A guess for a hint: servers have no form for this.
pub fn lack(printed: &str) -> Option<Lack> {
    const CREDENTIALS: [&str; 8] =
        ["_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_ID", "_URL", "_URI", "_HOST"];
    let is_name = |word: &&str| {
        word.contains('_')
            && word.starts_with(|first: char| first.is_ascii_uppercase())
            && word
                .chars()
                .all(|one| one.is_ascii_uppercase() || one.is_ascii_digit() || one == '_')
    };
    let is_part = |one: char| one.is_ascii_alphanumeric() || one == '_';
    for line in printed.lines() {
        let names = || line.split(|one| !is_part(one)).filter(is_name);
        let speaks_of_one = line.to_lowercase().contains("environment");
        let mut credentials =
            names().filter(|name| CREDENTIALS.iter().any(|end| name.ends_with(end)));
        let found = if speaks_of_one { names().next() } else { credentials.next() };
        if let Some(name) = found {
            return Some(Lack::Variable(name.to_owned()));
        }
    }
    // "enotfound" is in the name of an error of Python
    let lowercase = printed.to_lowercase().replace("modulenotfounderror", "");
    OFFLINE.iter().any(|words| lowercase.contains(words)).then_some(Lack::Network)
}

/// The length limit of an answer copied to a case.
const REPEATED: usize = 4096;

/// A case of a call that succeeded twice, in separate processes. `varies` holds values of the place
/// and time of the call: for an answer that contains one of them, or that differed the second time,
/// the case expects only success.
pub fn recorded(trial: &Trial, answers: [&Answer; 2], varies: &[String]) -> Value {
    let value = expectation::expected_of(answers[0]);
    let text = value.to_string();
    let is_same = value == expectation::expected_of(answers[1]) && text.len() <= REPEATED;
    let is_steady = is_same && !varies.iter().any(|word| text.contains(word.as_str()));
    let expect = if is_steady { json!({"equals": value}) } else { json!({"schema": {}}) };
    json!({"id": format!("{}-answers", trial.tool), "tool": trial.tool,
        "arguments": trial.arguments, "expect": expect, "tags": ["adopted"]})
}

/// A case of a call without the tool's required arguments.
pub fn refusal(trial: &Trial) -> Option<Value> {
    let required = trial.required.as_ref()?;
    Some(json!({
        "id": format!("{}-needs-{required}", trial.tool), "tool": trial.tool, "arguments": {},
            "expect": {"error": regex::escape(required)},
        "tags": ["adopted"],
    }))
}

/// A case of a call that failed alike in two processes, for a server of which no other call works
/// where it is tried.
pub fn failure(trial: &Trial, answers: [&Answer; 2]) -> Option<Value> {
    let texts = answers.map(Answer::text);
    let line = texts[0].lines().find(|line| !line.trim().is_empty())?;
    let is_steady = answers.iter().all(|answer| answer.is_error()) && texts[0] == texts[1];
    is_steady.then(|| {
        let beginning: String = line.chars().take(60).collect();
        json!({
            "id": format!("{}-fails", trial.tool), "tool": trial.tool, "arguments": trial.arguments,
            "expect": {"error": regex::escape(&beginning)}, "tags": ["adopted"],
        })
    })
}

/// Whether a case holds for this answer, judged as a tier would.
pub fn holds(case: &Value, answer: &Answer) -> bool {
    match Expectation::parse(case["expect"].clone(), "the case") {
        Ok(Expectation::Local(check)) => expectation::judge(&check, answer).passed,
        _ => false,
    }
}

/// A command line in which files that the server writes beside itself are moved to the data folder,
/// and the changed arguments.
pub fn with_data_apart(command: &[String], own: &[PathBuf]) -> (Vec<String>, Vec<String>) {
    let mut moved = Vec::new();
    let apart = |word: &String| {
        // an option may contain its value (`--name=value`)
        let (before, path) = word
            .split_once('=')
            .map_or(("", word.as_str()), |(option, path)| (&word[..=option.len()], path));
        let is_own = own
            .iter()
            .any(|own| own.as_path() == Path::new(path.strip_prefix("./").unwrap_or(path)));
        match Path::new(path).file_name().and_then(|name| name.to_str()).filter(|_| is_own) {
            Some(name) => {
                moved.push(path.to_owned());
                format!("{before}${}/{name}", wire::ENV_DATA)
            }
            None => word.clone(),
        }
    };
    let command = command.iter().map(apart).collect();
    (command, moved)
}

/// The version of the first release of an adopted repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstVersion {
    pub version: Version,
    /// The reason, as a sentence, where there is one.
    pub why: Option<String>,
}

/// The project's version, where it is three numbers; the next one without a tag, where its tag
/// exists already. `own` is absent where there is no project.
pub fn first_version(own: Option<&str>, is_tagged: impl Fn(&Version) -> bool) -> FirstVersion {
    let usual = |why| FirstVersion { version: FIRST, why };
    let Some(own) = own else { return usual(None) };
    let Some(mut version) = Version::parse(own).ok().filter(can_begin) else {
        return usual(Some(format!(
            "the first release will be {}: the project's version, {own}, is not three numbers such \
            as 1.4.2",
            tag(&FIRST)
        )));
    };
    if !is_tagged(&version) {
        let why = format!("the first release will be {}, the project's own version", tag(&version));
        return FirstVersion { version, why: Some(why) };
    }
    while is_tagged(&version) {
        version = Bump::Minor.apply(&version);
    }
    let why = format!(
        "the first release will be {}: the project's version, {own}, is tagged already",
        tag(&version)
    );
    FirstVersion { version, why: Some(why) }
}

/// The manifest of an adopted repository.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifest<'a> {
    pub name: &'a str,
    /// Where it is not the usual one.
    pub first_version: Option<&'a Version>,
    pub command: &'a [String],
    pub requires: &'a str,
    pub lock: Option<&'a str>,
    /// A project file, and its version where that is computed.
    pub project: Option<&'a str>,
    pub version: Option<&'a str>,
    pub node_lock: Option<&'a str>,
    /// `NAME` or `NAME=value`.
    pub env: &'a [String],
    pub start_s: u32,
    pub call_s: u32,
}

impl Manifest<'_> {
    /// Its server as it is, one tier that judges all, and no Tuner yet.
    pub fn text(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let words = self.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
        let line = |key: &str, value: Option<&str>| {
            value.map(|value| format!("{key} = {}\n", quoted(value))).unwrap_or_default()
        };
        let env = self.env.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
        let env = if env.is_empty() { env } else { format!("env = [{env}]\n") };
        let node = self
            .node_lock
            .map(|lock| format!("[node]\n{}\n", line("lock", Some(lock))))
            .unwrap_or_default();
        format!(
            "schema = \"agent/manifest@1\"\n\
            name = {}\n\
            {}\n\
            [runner]\n\
            command = [{words}]\n\
            {env}\n\
            [python]\n\
            {}{}{}{}\n\
            {node}[promote]\n\
            tier = \"micro\"\n\
            gate = \"not-worse\"\n\
            margin = 0.0\n\n\
            [release]\n\
            tier = \"micro\"\n\
            gate = \"not-worse\"\n\n\
            [limits]\n\
            start_s = {}\n\
            call_s = {}\n",
            quoted(self.name),
            line("first_version", self.first_version.map(ToString::to_string).as_deref()),
            line("requires", Some(self.requires)),
            line("lock", self.lock),
            line("project", self.project),
            line("version", self.version),
            self.start_s,
            self.call_s,
        )
    }
}

/// Measured durations, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    pub start_ms: u64,
    pub calls_ms: Vec<u64>,
}

/// A machine of the continuous integration is slower, and a busy one slower still.
const MARGIN: u64 = 5;

impl Measured {
    fn slowest(&self) -> u64 {
        self.calls_ms.iter().copied().max().unwrap_or_default()
    }

    /// How long a start and a call may take, in seconds.
    pub fn limits(&self) -> (u32, u32) {
        let seconds =
            |ms: u64| u32::try_from((ms * MARGIN).div_ceil(1000)).unwrap_or(600).clamp(30, 600);
        (seconds(self.start_ms), seconds(self.slowest()))
    }

    /// Budgets of the tier that leave room for what was measured as well; none is lowered.
    pub fn raised(&self, budgets: &Value) -> Value {
        let own = self.budgets();
        let mut raised = budgets.clone();
        for key in ["wall_s", "p95_ms"] {
            let (there, wanted) = (&budgets["tiers"]["micro"][key], &own["tiers"]["micro"][key]);
            if there.as_f64().zip(wanted.as_f64()).is_some_and(|(there, wanted)| wanted > there) {
                raised["tiers"]["micro"][key] = wanted.clone();
            }
        }
        raised
    }

    /// The budget of the tier.
    pub fn budgets(&self) -> Value {
        let wall_s =
            ((self.start_ms + self.calls_ms.iter().sum::<u64>()) * MARGIN).div_ceil(1000).max(30);
        let p95_ms = (self.slowest() * MARGIN).next_multiple_of(100).max(1000);
        json!({
            "schema": "agent/budgets@1",
            "tiers": {"micro": {"wall_s": wall_s, "pass_rate": 1.0, "p95_ms": p95_ms}},
            "slos": [],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_does() {
        for (text, expected) in [
            ("python -m a", &["python", "-m", "a"][..]),
            (
                "  python  'my server.py' --name=\"x y\" ''",
                &["python", "my server.py", "--name=x y", ""],
            ),
        ] {
            assert_eq!(words(text).unwrap(), expected);
        }
        assert_eq!(words("python 'a"), Err(AdoptionError::Quote("python 'a".to_owned())));
        assert_eq!(words(" "), Err(AdoptionError::Empty));
    }

    #[test]
    fn a_missing_key_or_network_is_found_in_what_a_server_printed() {
        for (printed, expected) in [
            (
                "Error: BRAVE_API_KEY environment variable is required",
                Some(Lack::Variable("BRAVE_API_KEY".into())),
            ),
            ("KeyError: 'GITHUB_TOKEN'", Some(Lack::Variable("GITHUB_TOKEN".into()))),
            (
                "Please set the SLACK_TEAM in the environment\n",
                Some(Lack::Variable("SLACK_TEAM".into())),
            ),
            ("  errno: -3008,\n  code: 'ENOTFOUND'", Some(Lack::Network)),
            ("ModuleNotFoundError: No module named 'x'", None),
            ("MAX_SIZE exceeded", None),
        ] {
            assert_eq!(lack(printed), expected, "{printed}");
        }
    }

    fn detected(
        pyproject: &str,
        files: &[(&str, &str)],
        package: Option<&str>,
    ) -> Result<String, AdoptionError> {
        let files: Vec<_> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let package = package.map(|text| Package::parse(text.as_bytes(), "package.json").unwrap());
        detect(&Project::parse(pyproject).unwrap(), &files, package.as_ref())
            .map(|command| command.join(" "))
    }

    #[test]
    fn server_is_found_in_conventional_places() {
        let script = "[project]\nname = \"w\"\nscripts = { weather = \"weather.server:main\" }\n";
        let server = ("server.py", "from mcp.server.fastmcp import FastMCP\nmcp = FastMCP('x')\n");
        assert_eq!(detected(script, &[server], None).unwrap(), "weather");
        assert_eq!(detected("", &[("setup.py", ""), server], None).unwrap(), "python server.py");
        assert_eq!(
            detected("", &[("src/weather/__main__.py", ""), ("tests/__main__.py", "")], None)
                .unwrap(),
            "python -m weather"
        );
        assert_eq!(
            detected("", &[("a.py", "FastMCP()"), ("b.py", "FastMCP()")], None),
            Err(AdoptionError::Several(vec!["a.py".into(), "b.py".into()]))
        );
        assert_eq!(detected("", &[("setup.py", "")], None), Err(AdoptionError::NoServer));
        for (package, command) in [
            (
                r#"{"name": "a", "bin": {"a-server": "dist/a.js"}, "main": "b.js"}"#,
                "node dist/a.js",
            ),
            (
                r#"{"main": "b.js", "scripts": {"start": "tsx src/c.ts --quiet"}}"#,
                "tsx src/c.ts --quiet",
            ),
            (r#"{"main": "b.js", "scripts": {"start": "npm run build && node x"}}"#, "node b.js"),
        ] {
            assert_eq!(detected("", &[], Some(package)).unwrap(), command);
        }
    }

    #[test]
    fn host_configuration_entry_yields_its_package() {
        for (line, by, package, command) in [
            (
                "uvx mcp-server-time --local-timezone UTC",
                Fetcher::Uvx,
                "mcp-server-time",
                "mcp-server-time --local-timezone UTC",
            ),
            ("uvx mcp-server-git@2.1", Fetcher::Uvx, "mcp-server-git==2.1", "mcp-server-git"),
            ("uvx --from git-tools[all] serve x", Fetcher::Uvx, "git-tools[all]", "serve x"),
            (
                "npx -y @scope/server-x@1.2 /tmp",
                Fetcher::Npx,
                "@scope/server-x@1.2",
                "@scope/server-x /tmp",
            ),
            ("npx --package=a b", Fetcher::Npx, "", ""),
            ("npx -p a b c", Fetcher::Npx, "a", "b c"),
        ] {
            let found = fetched(&words(line).unwrap());
            let expected = (!package.is_empty()).then(|| Fetched {
                by,
                package: package.to_owned(),
                command: words(command).unwrap(),
            });
            assert_eq!(found, expected, "{line}");
        }
        assert_eq!(fetched(&["python".to_owned()]), None);
    }

    #[test]
    fn versions_of_an_existing_lock_are_kept() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2\"\n[[package]]\nname = \"odd\"\n";
        assert_eq!(constraints(lock), ["a==1.2"]);
        assert!(constraints("[").is_empty());
    }

    #[test]
    fn a_report_of_pip_becomes_a_lock_with_hashes() {
        let entry = |name: &str, hash: &str| {
            json!({"metadata": {"name": name, "version": "1.0"},
            "download_info": {"archive_info": {"hashes": {"sha256": hash}}}})
        };
        let report = json!({"install": [entry("Zlib-x", "bb"), entry("anyio", "aa")]}).to_string();
        assert_eq!(
            lock(&report).unwrap(),
            "anyio==1.0 \\\n    --hash=sha256:aa\nzlib-x==1.0 \\\n    --hash=sha256:bb\n"
        );
        let local = json!({"install": [{"metadata": {"name": "me", "version": "1"},
            "download_info": {"dir_info": {}}}]})
        .to_string();
        assert_eq!(lock(&local).unwrap(), "", "the project itself is not part of its lock");
        let unknown = json!({"install": [{"metadata": {"name": "me", "version": "1"},
            "download_info": {"vcs_info": {}}}]})
        .to_string();
        assert!(lock(&unknown).unwrap_err().to_string().contains("sha256 (me)"));
    }

    fn tried(schema: &Value) -> Value {
        trials(&[json!({"name": "t", "inputSchema": schema})])[0].arguments.clone()
    }

    #[test]
    fn arguments_are_derived_from_the_schema() {
        let schema = json!({
            "type": "object", "required": ["zone", "at", "n", "deep", "kind", "many", "maybe",
                "short"],
            "properties": {
                "zone": {"type": "string", "examples": ["Asia/Tokyo"]}, "at": {"type": "string",
                    "format": "date"}, "n": {"type": "integer", "minimum": 3},
                "deep": {"$ref": "#/$defs/Deep"}, "kind": {"enum": ["a", "b"]},
                    "many": {"type": "array", "items": {"type": "number", "maximum": 0.5}},
                "maybe": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
                    "short": {"type": "string", "maxLength": 2}, "optional": {"type": "string"},
            },
            "$defs": {"Deep": {"type": "object", "required": ["url"],
                "properties": {"url": {"type": "string"}}}},
        });
        assert_eq!(
            tried(&schema),
            json!({
                "zone": "Asia/Tokyo", "at": "2026-01-31", "n": 3,
                    "deep": {"url": "https://example.org/"}, "kind": "a", "many": [0.5],
                    "maybe": false,
                "short": "ex",
            })
        );
        assert_eq!(tried(&json!({})), json!({}));
        let endless = json!({"$defs": {"A": {"$ref": "#/$defs/A"}}, "type": "object",
            "required": ["a"], "properties": {"a": {"$ref": "#/$defs/A"}}});
        assert_eq!(tried(&endless), json!({"a": null}));
    }

    #[test]
    fn destructive_tools_are_not_called() {
        let destroys =
            json!({"name": "drop", "inputSchema": {}, "annotations": {"destructiveHint": true}});
        let reads = json!({"name": "look", "inputSchema": {},
            "annotations": {"destructiveHint": true, "readOnlyHint": true}});
        assert_eq!(
            trials(&[destroys, reads]).iter().map(|trial| trial.tool.as_str()).collect::<Vec<_>>(),
            ["look"]
        );
    }

    fn answer(text: &str) -> Answer {
        let raw = json!({"content": [{"type": "text", "text": text}]}).to_string();
        Answer::parse(&serde_json::value::RawValue::from_string(raw).unwrap()).unwrap()
    }

    #[test]
    fn stable_results_are_recorded_with_their_calls() {
        let trial = &trials(&[json!({"name": "t", "inputSchema": {"required": ["a.b"]}})])[0];
        let recorded = |one: &str, two: &str| {
            recorded(trial, [&answer(one), &answer(two)], &["2026-11-28".to_owned()])
        };
        let steady = recorded("fine", "fine");
        assert_eq!(steady["expect"], json!({"equals": "fine"}));
        assert!(holds(&steady, &answer("fine")) && !holds(&steady, &answer("other")));
        for (one, two) in
            [("1", "2"), ("on 2026-11-28", "on 2026-11-28"), (&"x".repeat(5000), &"x".repeat(5000))]
        {
            let case = recorded(one, two);
            assert_eq!(case["expect"], json!({"schema": {}}));
            assert!(holds(&case, &answer("anything")));
        }
        assert_eq!(refusal(trial).unwrap()["expect"], json!({"error": "a\\.b"}));
    }

    #[test]
    fn allowed_directory_errors_are_recognised() {
        let main = |names: &[&str]| {
            main_list(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
                .map(str::to_owned)
        };
        assert_eq!(main(&["base.txt", "dev.txt", "prod.txt"]).as_deref(), Some("prod.txt"));
        assert_eq!(main(&["README.md", "server.txt"]).as_deref(), Some("server.txt"));
        assert_eq!((main(&["dev.txt", "test.txt"]), main(&[])), (None, None));
        assert_eq!(module_of("src/acme/notes/__main__.py").as_deref(), Some("acme.notes"));
    }

    #[test]
    fn network_errors_are_recognised() {
        assert!(is_offline(&answer("Error: [Errno -3] Temporary failure in name resolution")));
        assert!(
            is_offline(&answer("TypeError: fetch failed")) && !is_offline(&answer("2 + 2 = 4"))
        );
    }

    #[test]
    fn server_data_files_go_to_the_data_folder() {
        let command =
            words("serve --db-path ./test.db --log=logs/a.log other.db test.db.bak").unwrap();
        let (apart, moved) = with_data_apart(&command, &["test.db".into(), "logs/a.log".into()]);
        assert_eq!(
            apart.join(" "),
            "serve --db-path $AGENT_DATA/test.db --log=$AGENT_DATA/a.log other.db test.db.bak"
        );
        assert_eq!(moved, ["./test.db", "logs/a.log"]);
        assert_eq!(with_data_apart(&command, &[]), (command.clone(), Vec::new()));
    }

    #[test]
    fn budgets_are_measurements_plus_a_margin() {
        let measured = Measured { start_ms: 9000, calls_ms: vec![10, 350] };
        assert_eq!(measured.limits(), (45, 30));
        assert_eq!(
            measured.budgets()["tiers"]["micro"],
            json!({"wall_s": 47, "pass_rate": 1.0, "p95_ms": 1800})
        );
        assert_eq!(Measured::default().budgets()["tiers"]["micro"]["wall_s"], 30);
        let there = json!({"tiers": {"micro": {"wall_s": 90, "p95_ms": 1000}, "full": {}}});
        assert_eq!(
            measured.raised(&there),
            json!({"tiers": {"micro": {"wall_s": 90, "p95_ms": 1800}, "full": {}}})
        );
        assert_eq!(measured.raised(&json!({})), json!({}));
    }

    #[test]
    fn first_version_follows_the_project_version() {
        let first = |own: Option<&str>, tagged: &[&str]| {
            let first =
                first_version(own, |version| tagged.contains(&version.to_string().as_str()));
            (first.version.to_string(), first.why.unwrap_or_default())
        };
        assert_eq!(first(None, &[]), ("0.1.0".to_owned(), String::new()));
        assert_eq!(first(Some("1.4.2"), &[]).0, "1.4.2");
        assert_eq!(first(Some("1.4.2"), &["1.4.2", "1.5.0"]).0, "1.6.0");
        assert!(first(Some("1.4.2"), &["1.4.2"]).1.contains("is tagged already"));
        for other in [
            "1.0rc1",
            "2024.1.post1",
            "1.4",
            "1.4.2-beta.1",
            "1.4.2+local",
            "01.2.3",
            "18446744073709551615.0.0",
            "",
        ] {
            let (version, why) = first(Some(other), &[]);
            assert_eq!(version, "0.1.0", "{other}");
            assert!(why.contains(other) && why.contains("three numbers"), "{why}");
        }
    }

    #[test]
    fn generated_manifest_parses() {
        let command = ["python", "-c", "print(\"hi\\n\")"].map(str::to_owned);
        let manifest = Manifest {
            name: "über",
            first_version: Some(&Version::new(1, 4, 2)),
            command: &command,
            requires: ">=3.11",
            lock: Some("requirements.lock"),
            project: Some("pyproject.toml"),
            version: Some("1.4"),
            node_lock: Some("package-lock.json"),
            env: &["A_KEY".to_owned(), "MODE=fast".to_owned()],
            start_s: 30,
            call_s: 30,
        };
        let read =
            crate::formats::manifest::Manifest::parse(&manifest.text(), "agent.toml").unwrap();
        assert_eq!((read.runner.command.as_slice(), read.tuner), (&command[..], None));
        assert_eq!(
            (read.python.lock.as_deref(), read.python.project.as_deref()),
            (Some("requirements.lock"), Some("pyproject.toml"))
        );
        assert_eq!(read.node.unwrap().lock, "package-lock.json");
        assert_eq!(
            read.runner.env.iter().map(|one| one.value.as_deref()).collect::<Vec<_>>(),
            [None, Some("fast")]
        );
        assert_eq!(read.first_version, Some(Version::new(1, 4, 2)));
        let smallest = Manifest {
            first_version: None,
            env: &[],
            lock: None,
            project: None,
            version: None,
            node_lock: None,
            ..manifest
        };
        crate::formats::manifest::Manifest::parse(&smallest.text(), "agent.toml").unwrap();
    }
}
