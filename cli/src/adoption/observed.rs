//! Reads the repository: the server, its project, the source of its packages.

use super::LOCK;
use crate::context::Context;
use agent_core::adoption::package::{self, Package};
use agent_core::adoption::project::{Project, Setup};
use agent_core::adoption::{self, AdoptionError, Fetched, Fetcher};
use agent_core::formats::document;
use agent_core::formats::manifest::{self, Python};
use agent_core::formats::python_version::PythonRequirement;
use agent_engine::error::Failure;
use agent_engine::world::fs;
use agent_engine::world::git::Git;
use agent_engine::world::git_command::GitCommand;
use agent_engine::world::layout::Layout;
use agent_engine::world::process::Run;
use agent_engine::world::python::{self, LockInputs};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const PROJECT: &str = "pyproject.toml";
/// The folder of projects with more than one list of requirements.
const REQUIREMENTS: &str = "requirements";
/// The file with the version of Python for version managers.
const PINNED_PYTHON: &str = ".python-version";
/// Locks of other package managers of Node.
const OTHER_LOCKS: [&str; 4] = [YARN_LOCK, "pnpm-lock.yaml", "bun.lock", "bun.lockb"];
pub const YARN_LOCK: &str = "yarn.lock";

/// The options of the command line.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    pub command: Option<&'a str>,
    pub packages: &'a [String],
    pub extras: &'a [String],
    /// `NAME` or `NAME=value`.
    pub env: &'a [String],
}

/// Where the server's packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirements {
    /// An existing lock with hashes.
    Locked,
    /// Requirements to be locked, and the file that lists them.
    LockInputs { wanted: LockInputs, origin: String },
    /// No packages beyond the interpreter's.
    None,
}

/// Where the packages of Node come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodePackages {
    Locked(&'static str),
    /// `package.json`, and perhaps the lock of another tool.
    Unlocked {
        other: Option<&'static str>,
    },
    /// A package that `npx` would fetch.
    Named {
        package: String,
    },
}

impl NodePackages {
    pub fn lock(&self) -> &str {
        match self {
            Self::Locked(lock) => lock,
            Self::Unlocked { .. } | Self::Named { .. } => "package-lock.json",
        }
    }
}

/// The result of reading the repository, from which the files are written.
#[derive(Debug)]
pub struct Adoption {
    pub folder: PathBuf,
    pub name: String,
    pub command: Vec<String>,
    pub requires: String,
    /// The project declares no Python versions.
    pub requires_is_assumed: bool,
    /// A notice about the chosen Python.
    pub python_note: Option<String>,
    pub requirements: Requirements,
    /// The project file of a project with a name.
    pub project: Option<String>,
    /// The project's own version, where its file declares one.
    pub version: Option<String>,
    pub version_is_computed: bool,
    pub node: Option<NodePackages>,
    /// The variables it reads.
    pub env: Vec<String>,
}

/// Whether the repository is an agent repository already, without an interrupted adoption.
pub fn is_adopted(context: &Context) -> Result<bool, Failure> {
    let folder = GitCommand::isolated(&context.directory).top_level()?;
    Ok(folder.is_some_and(|folder| {
        folder.join(manifest::FILE).exists() && !Layout::new(&folder).adoption().exists()
    }))
}

impl Adoption {
    /// Reads the repository; starts only Python, to find the package of an installed module.
    pub fn observe(context: &Context, options: Options<'_>) -> Result<Self, Failure> {
        let folder = GitCommand::isolated(&context.directory).top_level()?.ok_or_else(|| {
            Failure::input(format!("{} is in no git repository", context.directory.display()))
                .with_hint("run `git init`, commit the files, then run `agent adopt` again")
        })?;
        // before writing: an unreadable repository is refused
        Git::discover(&folder)?;
        let layout = Layout::new(&folder);
        let had_home = layout.home().exists();
        let observed = Self::of(folder, options);
        if !had_home {
            // the search for Python writes a cache
            fs::remove_folder(&layout.home())?;
        }
        observed
    }

    fn of(folder: PathBuf, options: Options<'_>) -> Result<Self, Failure> {
        let is_under_way = Layout::new(&folder).adoption().exists();
        if folder.join("agent.toml").exists() && !is_under_way {
            return Err(Failure::input(
                "this is an agent repository already: it has an agent.toml",
            )
            .with_hint("run `agent doctor` to check it"));
        }
        let described = Described::read(&folder)?;
        let Described { project, package, .. } = &described;
        let command = described.command(&folder, options.command)?;
        let fetched = adoption::fetched(&command);
        let node = node_packages(&folder, package.as_ref(), fetched.as_ref());
        let takes_others = has_requirements(&folder, &options);
        refuse_workspace(project, package.as_ref().filter(|_| node.is_some()), takes_others)?;
        let command = fetched.as_ref().map_or(command, |fetched| fetched.command.clone());
        let stated = project
            .requires_python
            .clone()
            .filter(|text| text.parse::<PythonRequirement>().is_ok());
        let (requires, python_note) = match &stated {
            Some(stated) => (stated.clone(), None),
            None => pinned_python(&folder)?,
        };
        let requirements = Sources { folder: &folder, project, options, fetched: fetched.as_ref() }
            .requirements(&command, &requires)?;
        Ok(Self {
            name: described.name(&folder, fetched.as_ref()),
            python_note,
            node,
            project: project.name.as_ref().map(|_| PROJECT.to_owned()),
            version: described.version(),
            version_is_computed: project.name.is_some() && project.version.is_none(),
            requires_is_assumed: stated.is_none(),
            env: options.env.to_vec(),
            folder,
            command,
            requires,
            requirements,
        })
    }
}

/// A repository as its own files describe it.
struct Described {
    project: Project,
    package: Option<Package>,
    /// Of a setup file, where pyproject.toml names no project.
    setup: Setup,
}

impl Described {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let project = match fs::read_if_there(&folder.join(PROJECT))? {
            Some(bytes) => Project::parse(&String::from_utf8_lossy(&bytes))
                .map_err(|error| Failure::input(error.to_string()))?,
            None => Project::default(),
        };
        let package = fs::read_if_there(&folder.join(package::FILE))?
            .map(|bytes| Package::parse(document::unmarked(&bytes), package::FILE))
            .transpose()
            .map_err(|error| Failure::input(error.to_string()))?;
        let setup = if project.name.is_none() { setup(folder)? } else { Setup::default() };
        Ok(Self { project, package, setup })
    }

    /// The server's start command: the given one, else a script that is named, else a file that
    /// looks like a server.
    fn command(&self, folder: &Path, given: Option<&str>) -> Result<Vec<String>, Failure> {
        let files = python_files(folder)?;
        if let Some(text) = given {
            return Ok(adoption::words(text)?);
        }
        if let Some(command) = self.setup.command() {
            return Ok(command);
        }
        match adoption::detect(&self.project, &files, self.package.as_ref()) {
            Err(error @ AdoptionError::NoServer) => {
                refuse_workspace(&self.project, self.package.as_ref(), false)?;
                Err(error.into())
            }
            detected => Ok(detected?),
        }
    }

    fn version(&self) -> Option<String> {
        let of_project = self.project.version.clone();
        of_project
            .or_else(|| package_version(&self.project, self.package.as_ref()))
            .or_else(|| self.setup.version.clone())
    }

    fn name(&self, folder: &Path, fetched: Option<&Fetched>) -> String {
        let package = self.package.as_ref().and_then(Package::name);
        name(folder, [self.project.name.as_deref(), package, self.setup.name.as_deref()], fetched)
    }
}

/// The name: the project's, the package's, that of a setup file, of the package that a host would
/// fetch, else the folder's.
fn name(folder: &Path, own: [Option<&str>; 3], fetched: Option<&Fetched>) -> String {
    let of_fetched = fetched.map(|fetched| {
        let last = fetched.package.rsplit('/').next().unwrap_or_default();
        last.split(['@', '=', '[', '<', '>', '~', ' ']).next().unwrap_or_default().to_owned()
    });
    let own = own.into_iter().flatten().next().map(str::to_owned).or(of_fetched);
    let of_folder = || {
        folder
            .file_name()
            .map_or_else(|| "agent".to_owned(), |name| name.to_string_lossy().into_owned())
    };
    own.filter(|name| !name.trim().is_empty()).unwrap_or_else(of_folder)
}

/// A server of a workspace needs packages of the same repository installed, which no lock can name.
/// Without a project at the root, requirements named beside the members suffice.
fn refuse_workspace(
    project: &Project,
    package: Option<&Package>,
    takes_others: bool,
) -> Result<(), Failure> {
    let hint = "adopt the server's package in a repository of its own, with its other packages \
        taken by version from a registry";
    if let Some(folders) = package.and_then(Package::workspaces) {
        return Err(Failure::input(format!(
            "package.json is the root of an npm workspace ({folders}), which `agent` cannot install"
        ))
        .with_hint(hint));
    }
    let does_without = takes_others && project.name.is_none();
    if !project.members.is_empty() && !does_without {
        let members = project.members.join(", ");
        return Err(Failure::input(format!(
            "{PROJECT} needs members of a uv workspace ({members}), which `agent` cannot install"
        ))
        .with_hint(hint));
    }
    Ok(())
}

fn has_requirements(folder: &Path, options: &Options<'_>) -> bool {
    !options.packages.is_empty()
        || ["requirements.txt", LOCK].iter().any(|file| folder.join(file).is_file())
}

fn text_of(path: &Path) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&fs::read_if_there(path)?.unwrap_or_default()).into_owned())
}

fn setup(folder: &Path) -> Result<Setup, Failure> {
    Ok(Setup::read(&text_of(&folder.join("setup.py"))?, &text_of(&folder.join("setup.cfg"))?))
}

/// The Python requirement of a project that names its Python only in `.python-version`: that
/// version or newer, where it is installed.
fn pinned_python(folder: &Path) -> Result<(String, Option<String>), Failure> {
    let assumed = Python::default().requires;
    let text = text_of(&folder.join(PINNED_PYTHON))?;
    let version: Option<String> = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned);
    let Some(version) = version else { return Ok((assumed, None)) };
    let parts: Vec<_> = version.split('.').take(2).collect();
    let from = format!(">={}", parts.join("."));
    if from.parse::<PythonRequirement>().is_err() {
        return Ok((assumed, None));
    }
    let layout = Layout::new(folder);
    match (python::find(&layout, &from), python::find(&layout, &assumed)) {
        (Err(_), Ok(other)) => {
            let note = format!(
                "{PINNED_PYTHON} names Python {version}, which is not installed; Python {} is used \
                instead",
                other.version
            );
            Ok((assumed, Some(note)))
        }
        _ => Ok((from, None)),
    }
}

/// The version of a Node package, where there is no Python project.
fn package_version(project: &Project, package: Option<&Package>) -> Option<String> {
    package.filter(|_| project.name.is_none()).and_then(Package::version).map(str::to_owned)
}

fn node_packages(
    folder: &Path,
    package: Option<&Package>,
    fetched: Option<&Fetched>,
) -> Option<NodePackages> {
    if let Some(fetched) = fetched.filter(|fetched| fetched.by == Fetcher::Npx && package.is_none())
    {
        return Some(NodePackages::Named { package: fetched.package.clone() });
    }
    let lock = package::LOCKS.into_iter().find(|lock| folder.join(lock).is_file());
    match lock {
        Some(lock) => package.map(|_| NodePackages::Locked(lock)),
        None => package.filter(|package| package.has_dependencies()).map(|_| {
            let other = OTHER_LOCKS.into_iter().find(|lock| folder.join(lock).is_file());
            NodePackages::Unlocked { other }
        }),
    }
}

struct Sources<'a> {
    folder: &'a Path,
    project: &'a Project,
    options: Options<'a>,
    fetched: Option<&'a Fetched>,
}

impl Sources<'_> {
    fn has(&self, file: &str) -> bool {
        self.folder.join(file).is_file()
    }

    fn requirements(&self, command: &[String], requires: &str) -> Result<Requirements, Failure> {
        if self.has(LOCK) && self.options.packages.is_empty() {
            return Ok(Requirements::Locked);
        }
        let mut wanted = self.wanted()?;
        wanted.extras = self.options.extras.to_vec();
        wanted.project.clone_from(&self.project.name);
        wanted.listed.extend_from_slice(self.options.packages);
        if let Some(fetched) = self
            .fetched
            .filter(|fetched| fetched.by == Fetcher::Uvx && wanted == LockInputs::default())
        {
            wanted.listed.push(fetched.package.clone());
        }
        let origin: Vec<_> = wanted
            .files
            .iter()
            .map(|file| file.display().to_string())
            .chain(wanted.listed.iter().cloned())
            .collect();
        let is_empty = wanted.files.is_empty() && wanted.listed.is_empty() && !wanted.exports;
        if !is_empty {
            let origin = if wanted.exports { "uv.lock".to_owned() } else { origin.join(", ") };
            return Ok(Requirements::LockInputs { wanted, origin });
        }
        let foreign = adoption::module(command).filter(|module| !has_module(self.folder, module));
        match foreign {
            None => Ok(Requirements::None),
            Some(module) => {
                let wanted = LockInputs {
                    listed: vec![installed(self.folder, module, requires)?],
                    ..LockInputs::default()
                };
                Ok(Requirements::LockInputs {
                    origin: format!("the installed packages ({})", wanted.listed[0]),
                    wanted,
                })
            }
        }
    }

    /// The requirements of the repository's own files: another tool's lock first, then the list of
    /// requirements, then the project.
    fn wanted(&self) -> Result<LockInputs, Failure> {
        let is_project = self.project.name.is_some();
        let of_project = || LockInputs { files: vec![PROJECT.into()], ..LockInputs::default() };
        if self.has("uv.lock") && is_project && self.options.packages.is_empty() {
            return Ok(LockInputs { exports: true, ..LockInputs::default() });
        }
        let is_package = is_project && self.project.unpackaged.is_empty();
        if let Some(lock) = ["poetry.lock", "pdm.lock", "uv.lock"]
            .into_iter()
            .find(|lock| is_package && self.has(lock))
        {
            let text = fs::read_if_there(&self.folder.join(lock))?.unwrap_or_default();
            let constraints = adoption::constraints(&String::from_utf8_lossy(&text));
            return Ok(LockInputs { constraints, ..of_project() });
        }
        if self.has("requirements.txt") {
            return Ok(LockInputs {
                files: vec!["requirements.txt".into()],
                ..LockInputs::default()
            });
        }
        let folder = self.folder.join(REQUIREMENTS);
        if let Some(list) = adoption::main_list(&fs::names(&folder)?)
            .filter(|_| self.project.dependencies.is_empty())
        {
            return Ok(LockInputs {
                files: vec![Path::new(REQUIREMENTS).join(list)],
                ..LockInputs::default()
            });
        }
        if !self.project.unpackaged.is_empty() {
            let constraints = adoption::constraints(&text_of(&self.folder.join("poetry.lock"))?);
            return Ok(LockInputs {
                listed: self.project.unpackaged.clone(),
                constraints,
                ..LockInputs::default()
            });
        }
        if !self.project.dependencies.is_empty() || self.project.has_dynamic_dependencies {
            return Ok(of_project());
        }
        let old = ["setup.py", "setup.cfg"].into_iter().find(|file| !is_project && self.has(file));
        Ok(LockInputs {
            files: old.map(PathBuf::from).into_iter().collect(),
            ..LockInputs::default()
        })
    }
}

fn has_module(folder: &Path, module: &str) -> bool {
    let places = [folder.to_owned(), folder.join("src")];
    places
        .iter()
        .any(|place| place.join(module).is_dir() || place.join(format!("{module}.py")).is_file())
}

const OWNING_PACKAGE: &str = "import sys
from importlib.metadata import packages_distributions, version
for name in packages_distributions().get(sys.argv[1], [])[:1]:
    print(name + '==' + version(name))";

/// The pinned package that an installed module belongs to.
fn installed(folder: &Path, module: &str, requires: &str) -> Result<String, Failure> {
    let python = python::find(&Layout::new(folder), requires)?.executable;
    let pinned = Run::new(python).args(["-c", OWNING_PACKAGE, module]).succeed()?.text();
    if pinned.is_empty() {
        return Err(Failure::input(format!(
            "`{module}` is neither in this repository nor installed"
        ))
        .with_hint("name the package it comes from: agent adopt --package NAME"));
    }
    Ok(pinned)
}

/// The Python files that could be a server: those at the top, and each package's `__main__.py`.
fn python_files(folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut paths: Vec<String> = fs::names(folder)?
        .into_iter()
        .filter(|name| Path::new(name).extension() == Some(OsStr::new("py")))
        .collect();
    for place in ["", "src/"] {
        let packages = fs::names(&folder.join(place))?
            .into_iter()
            .map(|name| format!("{place}{name}/__main__.py"));
        paths.extend(packages.filter(|path| folder.join(path).is_file()));
    }
    // packages of a namespace, which has no file of its own
    for space in fs::names(&folder.join("src"))?
        .into_iter()
        .filter(|space| !folder.join("src").join(space).join("__init__.py").exists())
    {
        let packages = fs::names(&folder.join("src").join(&space))?
            .into_iter()
            .map(|name| format!("src/{space}/{name}/__main__.py"));
        paths.extend(packages.filter(|path| folder.join(path).is_file()));
    }
    let read = |path: String| {
        Ok(fs::read_if_there(&folder.join(&path))?
            .map(|bytes| (path, String::from_utf8_lossy(&bytes).into_owned())))
    };
    paths.into_iter().filter_map(|path| read(path).transpose()).collect()
}
