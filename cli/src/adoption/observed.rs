//! What is there: the server, its project, where its packages come from.

use super::LOCK;
use crate::context::Context;
use crate::error::CommandError;
use crate::world::fs;
use crate::world::git::Git;
use crate::world::git_command::GitCommand;
use crate::world::layout::Layout;
use crate::world::process::Run;
use crate::world::python::{self, Wanted};
use agent_core::adoption::{self, Fetched, Fetcher};
use agent_core::document;
use agent_core::manifest::Python;
use agent_core::package::{self, Package};
use agent_core::project::Project;
use agent_core::python_version::PythonRequirement;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const PROJECT: &str = "pyproject.toml";

/// What the user says of it.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    pub command: Option<&'a str>,
    pub packages: &'a [String],
    pub extras: &'a [String],
    /// `NAME` or `NAME=value`.
    pub env: &'a [String],
}

/// Where the server's packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirements {
    /// A lock with hashes that is there already.
    Locked,
    /// To be locked, and where that was found.
    Wanted { wanted: Wanted, origin: String },
    /// The standard library is enough, or the interpreter brings the rest.
    None,
}

/// Where the packages of Node come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodePackages {
    Locked(&'static str),
    /// `package.json` alone.
    Unlocked,
    /// A package that `npx` was to fetch.
    Named {
        package: String,
    },
}

impl NodePackages {
    pub fn lock(&self) -> &str {
        match self {
            Self::Locked(lock) => lock,
            Self::Unlocked | Self::Named { .. } => "package-lock.json",
        }
    }
}

/// What was found, and what will be made of it.
#[derive(Debug)]
pub struct Adoption {
    pub folder: PathBuf,
    pub name: String,
    pub command: Vec<String>,
    pub requires: String,
    /// Nothing in the project says which Pythons it is for.
    pub requires_is_assumed: bool,
    pub requirements: Requirements,
    /// The project file of a project with a name.
    pub project: Option<String>,
    pub version_is_computed: bool,
    pub node: Option<NodePackages>,
    /// The variables it reads.
    pub env: Vec<String>,
}

impl Adoption {
    /// Looks at the repository; starts nothing but Python, to ask which package an installed module belongs to.
    pub fn observe(context: &Context, wishes: Wishes<'_>) -> Result<Self, CommandError> {
        let folder = GitCommand::isolated(&context.directory).top_level()?.ok_or_else(|| {
            CommandError::input(format!("{} is in no git repository", context.directory.display()))
                .with_hint("git init, and commit what is there")
        })?;
        // before anything is made in a repository that cannot be read
        Git::discover(&folder)?;
        let layout = Layout::new(&folder);
        let had_home = layout.home().exists();
        let observed = Self::of(folder, wishes);
        if !had_home {
            // looking for Python keeps what it found
            fs::remove_folder(&layout.home())?;
        }
        observed
    }

    fn of(folder: PathBuf, wishes: Wishes<'_>) -> Result<Self, CommandError> {
        let is_under_way = Layout::new(&folder).adoption().exists();
        if folder.join("agent.toml").exists() && !is_under_way {
            return Err(CommandError::input("this is an agent repository already: it has an agent.toml").with_hint("agent doctor"));
        }
        let project = match fs::read_if_there(&folder.join(PROJECT))? {
            Some(bytes) => Project::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| CommandError::input(error.to_string()))?,
            None => Project::default(),
        };
        let description = fs::read_if_there(&folder.join(package::FILE))?;
        let package = description.map(|bytes| Package::parse(document::unmarked(&bytes), package::FILE)).transpose();
        let package = package.map_err(|error| CommandError::input(error.to_string()))?;
        let command = match wishes.command {
            Some(text) => adoption::words(text)?,
            None => adoption::detect(&project, &python_files(&folder)?, package.as_ref())?,
        };
        let fetched = adoption::fetched(&command);
        let command = fetched.as_ref().map_or(command, |fetched| fetched.command.clone());
        let stated = project.requires_python.clone().filter(|text| text.parse::<PythonRequirement>().is_ok());
        let requires = stated.clone().unwrap_or_else(|| Python::default().requires);
        let requirements =
            Sources { folder: &folder, project: &project, wishes, fetched: fetched.as_ref() }.requirements(&command, &requires)?;
        Ok(Self {
            name: name(&folder, &project, package.as_ref(), fetched.as_ref()),
            node: node_packages(&folder, package.as_ref(), fetched.as_ref()),
            project: project.name.as_ref().map(|_| PROJECT.to_owned()),
            version_is_computed: project.name.is_some() && project.version.is_none(),
            requires_is_assumed: stated.is_none(),
            env: wishes.env.to_vec(),
            folder,
            command,
            requires,
            requirements,
        })
    }
}

/// The project's name, the package's, that of what a host would fetch, else the folder's.
fn name(folder: &Path, project: &Project, package: Option<&Package>, fetched: Option<&Fetched>) -> String {
    let of_fetched = fetched.map(|fetched| {
        let last = fetched.package.rsplit('/').next().unwrap_or_default();
        last.split(['@', '=', '[', '<', '>', '~', ' ']).next().unwrap_or_default().to_owned()
    });
    let own = project.name.clone().or_else(|| package.and_then(Package::name).map(str::to_owned)).or(of_fetched);
    let of_folder = || folder.file_name().map_or_else(|| "agent".to_owned(), |name| name.to_string_lossy().into_owned());
    own.filter(|name| !name.trim().is_empty()).unwrap_or_else(of_folder)
}

fn node_packages(folder: &Path, package: Option<&Package>, fetched: Option<&Fetched>) -> Option<NodePackages> {
    if let Some(fetched) = fetched.filter(|fetched| fetched.by == Fetcher::Npx && package.is_none()) {
        return Some(NodePackages::Named { package: fetched.package.clone() });
    }
    let lock = package::LOCKS.into_iter().find(|lock| folder.join(lock).is_file());
    match lock {
        Some(lock) => package.map(|_| NodePackages::Locked(lock)),
        None => package.filter(|package| package.has_dependencies()).map(|_| NodePackages::Unlocked),
    }
}

struct Sources<'a> {
    folder: &'a Path,
    project: &'a Project,
    wishes: Wishes<'a>,
    fetched: Option<&'a Fetched>,
}

impl Sources<'_> {
    fn has(&self, file: &str) -> bool {
        self.folder.join(file).is_file()
    }

    fn requirements(&self, command: &[String], requires: &str) -> Result<Requirements, CommandError> {
        if self.has(LOCK) && self.wishes.packages.is_empty() {
            return Ok(Requirements::Locked);
        }
        let mut wanted = self.wanted()?;
        wanted.extras = self.wishes.extras.to_vec();
        wanted.project.clone_from(&self.project.name);
        wanted.listed.extend_from_slice(self.wishes.packages);
        if let Some(fetched) = self.fetched.filter(|fetched| fetched.by == Fetcher::Uvx && wanted == Wanted::default()) {
            wanted.listed.push(fetched.package.clone());
        }
        let origin: Vec<_> = wanted.files.iter().map(|file| file.display().to_string()).chain(wanted.listed.iter().cloned()).collect();
        let is_empty = wanted.files.is_empty() && wanted.listed.is_empty() && !wanted.exports;
        if !is_empty {
            let origin = if wanted.exports { "uv.lock".to_owned() } else { origin.join(", ") };
            return Ok(Requirements::Wanted { wanted, origin });
        }
        let foreign = adoption::module(command).filter(|module| !has_module(self.folder, module));
        match foreign {
            None => Ok(Requirements::None),
            Some(module) => {
                let wanted = Wanted { listed: vec![installed(self.folder, module, requires)?], ..Wanted::default() };
                Ok(Requirements::Wanted { origin: format!("what is installed ({})", wanted.listed[0]), wanted })
            }
        }
    }

    /// What the repository's own files ask for: another tool's lock first, then the list of requirements, then the project.
    fn wanted(&self) -> Result<Wanted, CommandError> {
        let is_project = self.project.name.is_some();
        let of_project = || Wanted { files: vec![PROJECT.into()], ..Wanted::default() };
        if self.has("uv.lock") && is_project && self.wishes.packages.is_empty() {
            return Ok(Wanted { exports: true, ..Wanted::default() });
        }
        if let Some(lock) = ["poetry.lock", "pdm.lock", "uv.lock"].into_iter().find(|lock| is_project && self.has(lock)) {
            let text = fs::read_if_there(&self.folder.join(lock))?.unwrap_or_default();
            let constraints = adoption::constraints(&String::from_utf8_lossy(&text));
            return Ok(Wanted { constraints, ..of_project() });
        }
        if self.has("requirements.txt") {
            return Ok(Wanted { files: vec!["requirements.txt".into()], ..Wanted::default() });
        }
        if !self.project.dependencies.is_empty() || self.project.has_dynamic_dependencies {
            return Ok(of_project());
        }
        let old = ["setup.py", "setup.cfg"].into_iter().find(|file| !is_project && self.has(file));
        Ok(Wanted { files: old.map(PathBuf::from).into_iter().collect(), ..Wanted::default() })
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
