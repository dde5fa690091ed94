//! An existing repository with an existing MCP server becomes an agent repository; the server stays as it is.

use crate::context::Context;
use crate::error::CommandError;
use crate::runner::child::{Child, ChildError, ChildSpec, Role};
use crate::scaffold::{self, ignoring};
use crate::templates::{self, NewFile};
use crate::world::fs;
use crate::world::git_command::GitCommand;
use crate::world::layout::Layout;
use crate::world::process::{self, ProcessError, Run};
use crate::world::python::{self, Bytecode, on_path};
use crate::world::temporary::Temporary;
use agent_core::adoption::{self, Project};
use agent_core::canonical;
use agent_core::manifest::{EntryPoint, Manifest, Python};
use agent_core::wire;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub const LOCK: &str = "requirements.lock";
const STATE: &str = "state/active.state.json";
const BUDGETS: &str = r#"{
  "schema": "agent/budgets@1",
  "tiers": {
    "micro": { "wall_s": 30, "pass_rate": 1.0, "p95_ms": 2000 },
    "fast": { "wall_s": 60, "pass_rate": 1.0, "p95_ms": 2000 },
    "full": { "wall_s": 120, "pass_rate": 1.0, "p95_ms": 2000 }
  },
  "slos": []
}
"#;

const MIGRATIONS: &str = "\
# Migrations

One step for each rise of the state's schema version, forward only, written by whoever changes `state/schema.json`.
There is none yet: the schema is at version 1.
";

/// Where the server's packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirements {
    /// A lock with hashes that is there already.
    Locked,
    /// A requirements file to be locked.
    File(PathBuf),
    /// Requirements to be locked, and where they were found.
    Listed(Vec<String>, &'static str),
    /// The standard library is enough, or the interpreter brings the rest.
    None,
}

/// What was found, and what will be made of it.
#[derive(Debug)]
pub struct Adoption {
    pub folder: PathBuf,
    pub name: String,
    pub command: Vec<String>,
    pub requires: String,
    pub requirements: Requirements,
}

impl Adoption {
    /// Looks at the repository; starts nothing but Python, to ask which package an installed module belongs to.
    pub fn observe(context: &Context, command: Option<&str>, packages: &[String]) -> Result<Self, CommandError> {
        let folder = GitCommand::isolated(&context.directory).top_level()?.ok_or_else(|| {
            CommandError::input(format!("{} is in no git repository", context.directory.display()))
                .with_hint("git init, and commit what is there")
        })?;
        if folder.join("agent.toml").exists() {
            return Err(CommandError::input("this is an agent repository already: it has an agent.toml").with_hint("agent doctor"));
        }
        let project = match fs::read_if_there(&folder.join("pyproject.toml"))? {
            Some(bytes) => Project::parse(&String::from_utf8_lossy(&bytes))?,
            None => Project::default(),
        };
        let command = match command {
            Some(text) => adoption::words(text)?,
            None => adoption::detect(&project, &python_files(&folder)?)?,
        };
        let requires = project.requires_python.clone().filter(|text| text.parse::<agent_core::python_version::PythonRequirement>().is_ok());
        let requires = requires.unwrap_or_else(|| Python::default().requires);
        let requirements = requirements(&folder, &project, &command, packages, &requires)?;
        let name = folder.file_name().map_or_else(|| "agent".to_owned(), |name| name.to_string_lossy().into_owned());
        Ok(Self { folder, name, command, requires, requirements })
    }

    fn layout(&self) -> Layout {
        Layout::new(&self.folder)
    }

    /// The bytes of the lock; `None` where none is needed.
    pub fn lock(&self, say: &dyn Fn(&str)) -> Result<Option<Vec<u8>>, CommandError> {
        let listed = match &self.requirements {
            Requirements::None => return Ok(None),
            Requirements::Locked => return Ok(fs::read_if_there(&self.folder.join(LOCK))?),
            Requirements::File(path) => vec!["-r".into(), self.folder.join(path).into_os_string()],
            Requirements::Listed(listed, _) => listed.iter().map(Into::into).collect::<Vec<_>>(),
        };
        say("locking the requirements, with hashes");
        let bare = python::find(&self.layout(), &self.requires)?.executable;
        Ok(Some(match on_path(OsStr::new("uv")) {
            Some(uv) => self.lock_with_uv(&uv, &bare)?,
            None => adoption::lock(&self.report_of_pip(&bare, &listed)?)?.into_bytes(),
        }))
    }

    fn lock_with_uv(&self, uv: &Path, bare: &Path) -> Result<Vec<u8>, ProcessError> {
        let run = Run::new(uv)
            .directory(&self.folder)
            .args(["pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--python"])
            .arg(bare);
        let run = match &self.requirements {
            Requirements::File(path) => run.arg(path),
            Requirements::Listed(listed, _) => run.arg("-").stdin(listed.join("\n")),
            Requirements::Locked | Requirements::None => run,
        };
        Ok(run.succeed()?.stdout)
    }

    /// What pip would install, told by a pip of its own: the interpreter may have none.
    fn report_of_pip(&self, bare: &Path, listed: &[std::ffi::OsString]) -> Result<String, CommandError> {
        let folder = Temporary::new(&self.layout(), "adopt")?;
        Run::new(bare).args(["-I", "-m", "venv"]).arg(folder.path()).succeed()?;
        let run = Run::new(folder.path().join("bin/python")).directory(&self.folder).env_remove("PYTHONPATH");
        let run = run.args([
            "-I",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--dry-run",
            "--ignore-installed",
            "--report",
            "-",
        ]);
        Ok(run.args(listed).succeed()?.text())
    }

    /// Starts the server as it will be started, and asks for its tools; gives the cases that hold on it, and the tools that have none.
    pub fn try_out(&self, lock: Option<&[u8]>, say: &dyn Fn(&str)) -> Result<Tried, CommandError> {
        let layout = self.layout();
        let place = Temporary::new(&layout, "adopt")?;
        if let Some(lock) = lock {
            fs::write(&place.path().join(LOCK), lock)?;
        }
        fs::write(&place.path().join(STATE), &canonical::to_bytes(&first_state()))?;
        let python = Python { requires: self.requires.clone(), lock: lock.map(|_| LOCK.to_owned()) };
        let interpreter = python::interpreter(&layout, place.path(), &python, say)?;
        let text = adoption::manifest(&self.name, &self.command, &self.requires, None);
        let manifest = Manifest::parse(&text, "agent.toml")?;
        let command = python::command(&EntryPoint { command: self.command.clone(), ..EntryPoint::default() }, &interpreter);
        let mut spec = ChildSpec::new(Role::Runner, command, &self.folder, &manifest.limits);
        spec.environment = python::child_environment(&Bytecode::Apart(layout.bytecode()), &self.folder, &python);
        let spec = spec.env(wire::ENV_STATE_FILE, place.path().join(STATE));
        say("starting the server, to ask for its tools");
        Ok(process::block_on(Tried::of(&spec))??)
    }

    /// Every file that will be written. One that is there with other bytes is refused, so that nothing of the user's is lost.
    pub fn files(&self, lock: Option<&[u8]>, tried: &Tried) -> Result<Vec<NewFile>, CommandError> {
        let lock_name = lock.map(|_| LOCK);
        let mut files = templates::runtime();
        files.extend(lock.map(|bytes| NewFile::new(LOCK, bytes)));
        files.push(NewFile::new(STATE, canonical::to_bytes(&first_state())));
        files.push(NewFile::new("state/schema.json", pretty(&schema(&self.name))));
        files.push(NewFile::new("state/migrations/README.md", MIGRATIONS));
        files.push(NewFile::new("ci/budgets.json", BUDGETS));
        let cases: String = tried.cases.iter().flat_map(|case| [case.to_string(), "\n".to_owned()]).collect();
        files.extend(["micro", "fast", "full"].map(|tier| NewFile::new(format!("tests/{tier}/smoke.jsonl"), cases.clone())));
        files.push(NewFile::new(scaffold::WORKFLOW_FILE, scaffold::WORKFLOW));
        // last: with it the repository is adopted
        files.push(NewFile::new("agent.toml", adoption::manifest(&self.name, &self.command, &self.requires, lock_name)));
        self.refuse_overwriting(&files)?;
        let ignored = fs::read_if_there(&self.folder.join(".gitignore"))?.unwrap_or_default();
        files.insert(0, NewFile::new(".gitignore", ignoring(&ignored)));
        Ok(files)
    }

    fn refuse_overwriting(&self, files: &[NewFile]) -> Result<(), CommandError> {
        let mut taken = Vec::new();
        for file in files {
            if fs::read_if_there(&self.folder.join(&file.path))?.is_some_and(|there| there != file.bytes) {
                taken.push(file.path.display().to_string());
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        Err(CommandError::input(format!("these files are there already, and hold something else: {}", taken.join(", ")))
            .with_hint("move them away; nothing was written"))
    }

    pub fn write(&self, files: &[NewFile]) -> Result<(), fs::FsError> {
        files.iter().try_for_each(|file| scaffold::write(&self.folder, file))
    }
}

/// What a running server showed.
#[derive(Debug, Default)]
pub struct Tried {
    pub tools: Vec<String>,
    /// Those of the proposed cases that hold.
    pub cases: Vec<Value>,
}

impl Tried {
    async fn of(spec: &ChildSpec) -> Result<Self, ChildError> {
        let child = Child::start(spec).await?;
        let tools = child.tools().await?;
        let mut tried =
            Self { tools: tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect(), cases: Vec::new() };
        for case in adoption::smoke_cases(&tools) {
            if holds(&child, &case).await? {
                tried.cases.push(case);
            }
        }
        child.end().await;
        Ok(tried)
    }

    /// The tools that no case calls.
    pub fn untested(&self) -> Vec<&str> {
        self.tools.iter().map(String::as_str).filter(|tool| !self.cases.iter().any(|case| case["tool"] == *tool)).collect()
    }
}

async fn holds(child: &Child, case: &Value) -> Result<bool, ChildError> {
    let tool = case["tool"].as_str().unwrap_or_default();
    let result = match child.call(tool, &case["arguments"], serde_json::Map::new()).await {
        // an error of the protocol is no answer that a case could expect
        Err(ChildError::Refused { .. }) => return Ok(false),
        other => other?,
    };
    let answer = child.readable(tool, result.answer())?;
    Ok(adoption::holds(case, answer.is_error(), &answer.text()))
}

fn requirements(
    folder: &Path,
    project: &Project,
    command: &[String],
    packages: &[String],
    requires: &str,
) -> Result<Requirements, CommandError> {
    if !packages.is_empty() {
        return Ok(Requirements::Listed(packages.to_vec(), "--package"));
    }
    if folder.join(LOCK).exists() {
        return Ok(Requirements::Locked);
    }
    if folder.join("requirements.txt").exists() {
        return Ok(Requirements::File("requirements.txt".into()));
    }
    if !project.dependencies.is_empty() {
        return Ok(Requirements::Listed(project.dependencies.clone(), "pyproject.toml"));
    }
    let foreign = adoption::module(command).filter(|module| !has_module(folder, module));
    match foreign {
        None => Ok(Requirements::None),
        Some(module) => Ok(Requirements::Listed(vec![installed(folder, module, requires)?], "what is installed")),
    }
}

fn has_module(folder: &Path, module: &str) -> bool {
    let places = [folder.to_owned(), folder.join("src")];
    places.iter().any(|place| place.join(module).is_dir() || place.join(format!("{module}.py")).is_file())
}

const WHOSE: &str = "import sys
from importlib.metadata import packages_distributions, version
for name in packages_distributions().get(sys.argv[1], [])[:1]:
    print(name + '==' + version(name))";

/// The package, pinned, that an installed module belongs to.
fn installed(folder: &Path, module: &str, requires: &str) -> Result<String, CommandError> {
    let python = python::find(&Layout::new(folder), requires)?.executable;
    let pinned = Run::new(python).args(["-c", WHOSE, module]).succeed()?.text();
    if pinned.is_empty() {
        return Err(CommandError::input(format!("`{module}` is neither in this repository nor installed"))
            .with_hint("name the package it comes from: agent adopt --package NAME"));
    }
    Ok(pinned)
}

/// The Python files that could be a server: those at the top, and each package's `__main__.py`.
fn python_files(folder: &Path) -> Result<Vec<(String, String)>, CommandError> {
    let mut paths: Vec<String> =
        fs::names(folder)?.into_iter().filter(|name| Path::new(name).extension() == Some(OsStr::new("py"))).collect();
    for place in ["", "src/"] {
        let packages = fs::names(&folder.join(place))?.into_iter().map(|name| format!("{place}{name}/__main__.py"));
        paths.extend(packages.filter(|path| folder.join(path).is_file()));
    }
    let read = |path: String| Ok(fs::read_if_there(&folder.join(&path))?.map(|bytes| (path, String::from_utf8_lossy(&bytes).into_owned())));
    paths.into_iter().filter_map(|path| read(path).transpose()).collect()
}

fn first_state() -> Value {
    json!({"schema_version": 1})
}

fn schema(name: &str) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Raise x-schema-version and the const of schema_version together, and add a step in state/migrations.",
        "x-schema-version": 1,
        "title": format!("What {name} has learned"),
        "type": "object",
        "required": ["schema_version"],
        "properties": {"schema_version": {"const": 1}},
    })
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value serialises") + "\n"
}
