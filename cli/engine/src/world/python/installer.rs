//! The installer of packages: the `uv` on PATH, one in a cache of `agent`, or pip.

use super::error::PythonError;
use super::interpreter::Interpreter;
use crate::world::env;
use crate::world::fs::{self, FileLock};
use crate::world::process::{ProcessError, Run, on_path};
use agent_core::formats::object_id::digest;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The `uv` that is fetched where there is none.
const UV: &str = include_str!("uv.lock.txt");

/// What installs packages.
#[derive(Debug, Clone)]
pub enum Installer {
    /// With variables that pass pip's configuration on to it.
    Uv {
        program: PathBuf,
        settings: Vec<(OsString, OsString)>,
    },
    Pip,
}

impl Installer {
    /// The installers on this machine.
    pub fn found(bare: &Interpreter) -> Self {
        if let Some(program) = on_path(OsStr::new("uv")) {
            return Self::Uv { program, settings: Vec::new() };
        }
        let cached = Cached::place().map(|cached| cached.program());
        match cached.filter(|program| fs::is_program(program)) {
            Some(program) => Self::Uv { program, settings: settings_of_pip(bare) },
            None => Self::Pip,
        }
    }

    /// An installer on this machine, else a `uv` that pip downloads into the cache, or into
    /// `folder` where there is none. `say` is called before the download.
    pub fn fetched(bare: &Interpreter, folder: &Path, say: &dyn Fn(&str)) -> Self {
        if let found @ Self::Uv { .. } = Self::found(bare) {
            return found;
        }
        say("downloading uv with pip, once: it locks packages for every platform");
        let cached = Cached::place().map(|cached| cached.fetch(bare, folder));
        let fetched = match cached {
            // the cache cannot be written
            None | Some(Err(PythonError::Fs(_))) => {
                let target = folder.join("uv");
                fetch(bare, folder, &target).map(|()| target.join(PROGRAM))
            }
            Some(fetched) => fetched,
        };
        match fetched {
            Ok(program) => Self::Uv { program, settings: settings_of_pip(bare) },
            Err(_) => Self::Pip,
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Uv { .. } => "uv",
            Self::Pip => "venv and pip",
        }
    }
}

const PROGRAM: &str = "bin/uv";

/// The place of `uv` in the user's cache folder, by the digest of the lock that names it: processes
/// and versions of `agent` share it. It can be removed at any time.
struct Cached {
    folder: PathBuf,
}

impl Cached {
    /// `None` without a cache folder.
    fn place() -> Option<Self> {
        let digest = digest(UV.as_bytes());
        let key = &digest.trim_start_matches("sha256:")[..16];
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        let folder = env::cache_folder()?.join(format!("tools/uv-{key}-{platform}"));
        Some(Self { folder })
    }

    fn program(&self) -> PathBuf {
        self.folder.join(PROGRAM)
    }

    /// Downloads it beside its place, and moves it there whole. Other processes wait.
    fn fetch(&self, bare: &Interpreter, place: &Path) -> Result<PathBuf, PythonError> {
        let beside = |end: &str| {
            let mut path = self.folder.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        };
        if let Some(parent) = self.folder.parent() {
            fs::create_dir(parent)?;
        }
        let _turn = FileLock::acquire(&beside(".lock"))?;
        if !fs::is_program(&self.program()) {
            let part = beside(".part");
            // what a killed process left
            fs::remove_folder(&part)?;
            fetch(bare, place, &part)?;
            fs::remove_folder(&self.folder)?;
            fs::rename(&part, &self.folder)?;
        }
        Ok(self.program())
    }
}

fn fetch(bare: &Interpreter, place: &Path, target: &Path) -> Result<(), PythonError> {
    let lock = place.join("uv.lock.txt");
    fs::write(&lock, UV.as_bytes())?;
    let failed = |source| PythonError::Environment { lock: lock.clone(), source };
    let pip = Pip::of(bare, place).map_err(failed)?;
    let install = pip.run().args([
        "install",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--no-compile",
        "--retries",
        "1",
    ]);
    let install = install.arg("--target").arg(target).arg("-r").arg(&lock);
    install.succeed().map(drop).map_err(failed)
}

/// A pip, independent of the user's Python variables.
pub(super) struct Pip {
    python: PathBuf,
    /// The interpreter of another environment that it installs into.
    target: Option<PathBuf>,
}

impl Pip {
    /// That of the interpreter; some interpreters come without pip, but with `ensurepip`, which
    /// makes one in `place`.
    pub(super) fn of(bare: &Interpreter, place: &Path) -> Result<Self, ProcessError> {
        if version(bare)?.is_some() {
            return Ok(Self { python: bare.executable.clone(), target: None });
        }
        let venv = place.join("pip");
        let python = venv.join("bin/python");
        if !fs::is_program(&python) {
            Run::new(&bare.executable).args(["-I", "-m", "venv"]).arg(&venv).succeed()?;
        }
        Ok(Self { python, target: None })
    }

    /// For an environment: the interpreter's own pip where it can install into another
    /// environment, else one in the environment, which takes seconds to make.
    pub(super) fn within(bare: &Interpreter, environment: &Path) -> Result<Self, ProcessError> {
        const TAKES_PYTHON: (u32, u32) = (22, 3);
        if version(bare)?.is_some_and(|version| version >= TAKES_PYTHON) {
            let target = Some(environment.to_owned());
            return Ok(Self { python: bare.executable.clone(), target });
        }
        Run::new(environment).args(["-I", "-m", "ensurepip", "--default-pip"]).succeed()?;
        Ok(Self { python: environment.to_owned(), target: None })
    }

    pub(super) fn run(&self) -> Run {
        let run = ["PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"]
            .into_iter()
            .fold(Run::new(&self.python), Run::env_remove)
            .args(["-I", "-m", "pip", "--no-input", "--disable-pip-version-check"]);
        self.target.iter().fold(run, |run, target| run.arg("--python").arg(target))
    }
}

/// The version of an interpreter's pip; `None` without one.
fn version(bare: &Interpreter) -> Result<Option<(u32, u32)>, ProcessError> {
    const QUESTION: &str = "from importlib.metadata import version; print(version('pip'))";
    let told = Run::new(&bare.executable).args(["-I", "-c", QUESTION]).finish()?;
    let text = told.text();
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    Ok(told.success().then(|| (parts.next().unwrap_or(0), parts.next().unwrap_or(0))))
}

/// pip's package indexes as variables for `uv`. The user's own settings for `uv` take precedence.
fn settings_of_pip(bare: &Interpreter) -> Vec<(OsString, OsString)> {
    const MEANT: [(&str, &str); 4] = [
        ("index-url", "UV_DEFAULT_INDEX"),
        ("extra-index-url", "UV_INDEX"),
        ("trusted-host", "UV_INSECURE_HOST"),
        ("cert", "SSL_CERT_FILE"),
    ];
    let pip = Pip { python: bare.executable.clone(), target: None };
    let said = pip.run().args(["config", "list"]).succeed();
    let said = said.map(|finished| finished.text()).unwrap_or_default();
    let values = said.lines().filter_map(|line| line.split_once('='));
    let settings = values.filter_map(|(key, value)| {
        let name = key.rsplit(['.', ':']).next()?;
        let (_, meant) = MEANT.iter().find(|(known, _)| *known == name)?;
        let value = value.trim_matches('\'').replace("\\n", " ");
        Some((OsString::from(*meant), OsString::from(value.trim())))
    });
    settings.filter(|(name, _)| env::is_unset(name)).collect()
}
