//! Node: the packages of a repository. `npm ci` installs them once per lock; checkouts have a link
//! to them where Node searches.

use crate::world::fs::{self, FileLock, FsError};
use crate::world::layout::Layout;
use crate::world::process::{ProcessError, Run, on_path};
use crate::world::python::{MARKER, is_finished, lock_of};
use agent_core::adoption::package::{self, Package, PackageError};
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::manifest::Node;
use serde_json::json;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The folder Node searches for packages, from the folder of a file upwards.
pub const MODULES: &str = "node_modules";
/// The file with settings of npm.
const SETTINGS: &str = ".npmrc";
const MARKED: &str = "agent/node-environment@1";

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("`{program}` is not on PATH, and the server needs packages of Node")]
    NotFound { program: &'static str },
    #[error("agent.toml: `node.lock` names {}, and {} is not there", lock.display(),
        missing.display())]
    NoLock { lock: PathBuf, missing: PathBuf },
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("the packages of {} could not be installed", lock.display())]
    Environment {
        lock: PathBuf,
        #[source]
        source: ProcessError,
    },
    #[error("the packages of Node cannot be locked")]
    Lock {
        #[source]
        source: ProcessError,
    },
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Diagnose for NodeError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NoLock { .. } | Self::Package(_) => FailureKind::Input,
            Self::NotFound { .. } | Self::Environment { .. } | Self::Lock { .. } => {
                FailureKind::Surroundings
            }
            Self::Process(error) => error.kind(),
            Self::Fs(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => {
                Some("install Node with npm, from nodejs.org or your system's packages".to_owned())
            }
            Self::NoLock { .. } => Some(
                "commit both files; `npm install --package-lock-only` makes the lock".to_owned(),
            ),
            Self::Package(PackageError::Local { .. }) => {
                Some("publish that package, or name it by a version of a registry".to_owned())
            }
            Self::Package(PackageError::Malformed { .. }) | Self::Lock { .. } => None,
            Self::Environment { .. } => {
                Some("nothing was changed; run it again once the cause is fixed".to_owned())
            }
            Self::Process(error) => error.hint(),
            Self::Fs(error) => error.hint(),
        }
    }
}

/// The packages to install, from the files of one version of a repository.
#[derive(Debug, Clone)]
pub struct Packages {
    lock: PathBuf,
    description: Vec<u8>,
    locked: Vec<u8>,
    settings: Vec<u8>,
    folder: PathBuf,
}

impl Packages {
    /// `read` gives a file of the version, by its path from the root.
    pub fn of<E>(
        layout: &Layout,
        node: &Node,
        read: impl Fn(&Path) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Self, E>
    where
        E: From<NodeError>,
    {
        let lock = PathBuf::from(&node.lock);
        let beside = |name: &str| lock.with_file_name(name);
        let need = |path: &Path| {
            let missing = || NodeError::NoLock { lock: lock.clone(), missing: path.to_owned() };
            read(path)?.ok_or_else(|| E::from(missing()))
        };
        let description = Package::parse(&need(&beside(package::FILE))?, package::FILE)
            .map_err(NodeError::from)?
            .to_install();
        let locked = need(&lock)?;
        let settings = read(&beside(SETTINGS))?.unwrap_or_default();
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        let key = package::key(&version(layout)?, &platform, &description, &locked, &settings);
        let folder = layout.environment(&format!("node-{key}"));
        Ok(Self { lock, description, locked, settings, folder })
    }

    pub fn modules(&self) -> PathBuf {
        self.folder.join(MODULES)
    }

    pub fn is_ready(&self) -> bool {
        is_finished(&self.folder)
    }

    /// The key of this environment, for names.
    pub fn kind(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.trim_start_matches("node-")[..8].to_owned()
    }

    /// Installs missing packages. `say` is called with slow steps.
    pub fn install(&self, say: &dyn Fn(&str)) -> Result<(), NodeError> {
        if self.is_ready() {
            return Ok(());
        }
        package::refuse_local(&self.locked, &self.lock.display().to_string())?;
        let npm = on_path(OsStr::new("npm")).ok_or(NodeError::NotFound { program: "npm" })?;
        let _turn = FileLock::acquire(&lock_of(&self.folder))?;
        if self.is_ready() {
            return Ok(());
        }
        say(&format!("installing the packages of {} (npm ci)", self.lock.display()));
        let made = self.make(&npm);
        if made.is_err() {
            let _ = fs::remove_folder(&self.folder);
        }
        made
    }

    /// Takes the packages that `install` put into a folder together with their lock.
    pub fn take(&self, made: &Path) -> Result<(), NodeError> {
        package::refuse_local(&self.locked, &self.lock.display().to_string())?;
        let _turn = FileLock::acquire(&lock_of(&self.folder))?;
        if self.is_ready() {
            return Ok(());
        }
        self.begin()?;
        let modules = made.join(MODULES);
        if modules.is_dir() {
            fs::rename(&modules, &self.modules())?;
        }
        self.mark()
    }

    fn make(&self, npm: &Path) -> Result<(), NodeError> {
        self.begin()?;
        let run = run(npm, "ci", &self.folder);
        // the lock has hashes of the packages, so one in npm's cache needs no request to the
        // registry
        let made = run.arg("--prefer-offline").succeed();
        made.map_err(|source| NodeError::Environment { lock: self.lock.clone(), source })?;
        self.mark()
    }

    /// The files that describe the packages.
    fn begin(&self) -> Result<(), FsError> {
        fs::remove_folder(&self.folder)?;
        let name = self.lock.file_name().unwrap_or_default();
        fs::write(&self.folder.join(package::FILE), &self.description)?;
        fs::write(&self.folder.join(name), &self.locked)?;
        if self.settings.is_empty() {
            return Ok(());
        }
        fs::write(&self.folder.join(SETTINGS), &self.settings)
    }

    /// The packages are complete.
    fn mark(&self) -> Result<(), NodeError> {
        // a lock without packages makes none
        fs::create_dir(&self.modules())?;
        let marker = json!({"schema": MARKED, "lock": self.lock, "made_with": "npm"}).to_string();
        Ok(fs::write(&self.folder.join(MARKER), marker.as_bytes())?)
    }
}

/// Chooses the versions of the packages that package.json of a folder names, and of `package`;
/// locks and installs them there, under the settings of a repository.
pub fn install(folder: &Path, of: &Path, package: Option<&String>) -> Result<(), NodeError> {
    let npm = on_path(OsStr::new("npm")).ok_or(NodeError::NotFound { program: "npm" })?;
    if let Some(settings) = fs::read_if_there(&of.join(SETTINGS))? {
        fs::write(&folder.join(SETTINGS), &settings)?;
    }
    let run = run(&npm, "install", folder).args(package);
    run.succeed().map(drop).map_err(|source| NodeError::Lock { source })
}

fn run(npm: &Path, verb: &str, folder: &Path) -> Run {
    let run = Run::new(npm).arg(verb).directory(folder).env_remove("NODE_ENV");
    run.args(["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel", "error"])
}

/// The version of Node; cached by the executable's stamp.
pub fn version(layout: &Layout) -> Result<String, NodeError> {
    let node = on_path(OsStr::new("node")).ok_or(NodeError::NotFound { program: "node" })?;
    let metadata = node.metadata().map_err(FsError::while_doing("look at", &node))?;
    let key = format!(
        "{} {}.{} {}",
        node.display(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.size()
    );
    let known = fs::read_if_there(&layout.node())?.unwrap_or_default();
    if let Some(version) = String::from_utf8_lossy(&known).strip_prefix(&format!("{key}\n")) {
        return Ok(version.to_owned());
    }
    let version = Run::new(&node).arg("--version").succeed()?.text();
    if layout.root().is_dir() {
        // a cache: where it cannot be written, the program is run again
        let _ = fs::replace(
            &layout.node(),
            format!("{key}\n{version}").as_bytes(),
            fs::Durability::Rebuildable,
        );
    }
    Ok(version)
}
