//! Locks that hold for every platform and every Python of a requirement, made by `uv`: the one on
//! PATH, or one that pip fetches for the moment.

use super::{Interpreter, PythonError, on_path};
use crate::world::fs;
use crate::world::process::{Finished, ProcessError, Run};
use agent_core::formats::python_version::PythonRequirement;
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
    /// What this machine has.
    pub fn found() -> Self {
        match on_path(OsStr::new("uv")) {
            Some(program) => Self::Uv { program, settings: Vec::new() },
            None => Self::Pip,
        }
    }

    /// The same, else a `uv` that pip puts into `folder`.
    pub fn fetched(bare: &Interpreter, folder: &Path, say: &dyn Fn(&str)) -> Self {
        if let found @ Self::Uv { .. } = Self::found() {
            return found;
        }
        say("downloading uv with pip: it locks packages for every platform");
        match fetch(bare, folder) {
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

fn fetch(bare: &Interpreter, folder: &Path) -> Result<PathBuf, PythonError> {
    let lock = folder.join("uv.lock.txt");
    fs::write(&lock, UV.as_bytes())?;
    let target = folder.join("uv");
    let install = pip(&bare.executable).args([
        "install",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]);
    let install = install.arg("--target").arg(&target).arg("-r").arg(&lock);
    if let Err(source) = install.succeed() {
        // some interpreters come without pip, but with `ensurepip`
        let venv = folder.join("pip");
        let failed = |_| PythonError::Environment { lock: lock.clone(), source };
        Run::new(&bare.executable)
            .args(["-I", "-m", "venv"])
            .arg(&venv)
            .succeed()
            .map_err(failed)?;
        let install = pip(&venv.join("bin/python")).args([
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
        ]);
        let install = install.arg("--target").arg(&target).arg("-r").arg(&lock);
        install
            .succeed()
            .map_err(|source| PythonError::Environment { lock: lock.clone(), source })?;
    }
    Ok(target.join("bin/uv"))
}

/// The installed pip, independent of the user's Python variables.
fn pip(python: &Path) -> Run {
    ["PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"]
        .into_iter()
        .fold(Run::new(python), Run::env_remove)
        .args(["-I", "-m", "pip", "--no-input", "--disable-pip-version-check"])
}

/// pip's package indexes as variables for `uv`. The user's own settings for `uv` take precedence.
fn settings_of_pip(bare: &Interpreter) -> Vec<(OsString, OsString)> {
    const MEANT: [(&str, &str); 4] = [
        ("index-url", "UV_DEFAULT_INDEX"),
        ("extra-index-url", "UV_INDEX"),
        ("trusted-host", "UV_INSECURE_HOST"),
        ("cert", "SSL_CERT_FILE"),
    ];
    let said = pip(&bare.executable)
        .args(["config", "list"])
        .succeed()
        .map(|finished| finished.text())
        .unwrap_or_default();
    let values = said.lines().filter_map(|line| line.split_once('='));
    let settings = values.filter_map(|(key, value)| {
        let name = key.rsplit(['.', ':']).next()?;
        let (_, meant) = MEANT.iter().find(|(known, _)| *known == name)?;
        let value = value.trim_matches('\'').replace("\\n", " ");
        Some((OsString::from(*meant), OsString::from(value.trim())))
    });
    settings.filter(|(name, _)| crate::world::env::is_unset(name)).collect()
}

/// What is to be locked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockInputs {
    /// Requirements files and project files, from the folder of the repository.
    pub files: Vec<PathBuf>,
    pub listed: Vec<String>,
    /// Versions that another lock has chosen.
    pub constraints: Vec<String>,
    /// Optional dependencies of the project.
    pub extras: Vec<String>,
    /// The project itself, which is no part of its lock.
    pub project: Option<String>,
    /// A lock of uv, which is written in another form and resolved no more.
    pub exports: bool,
}

/// The outcome of locking.
pub struct Locked {
    pub bytes: Vec<u8>,
    /// It holds for the interpreter and the platform it was made on alone.
    pub is_local: bool,
}

/// Where and for what a lock is made.
pub struct Locking<'a> {
    pub by: &'a Installer,
    /// The repository.
    pub folder: &'a Path,
    /// A folder for files of the moment.
    pub place: &'a Path,
    pub bare: &'a Interpreter,
    pub requires: &'a str,
}

impl Locking<'_> {
    /// Locks for the Pythons of `requires`.
    pub fn lock(&self, wanted: &LockInputs) -> Result<Locked, PythonError> {
        let cannot = |source| PythonError::Lock { source };
        match self.by {
            Installer::Uv { program, settings } => {
                let run = if wanted.exports {
                    export(program, wanted)
                } else {
                    self.compile(program, wanted)?
                };
                let run = settings
                    .iter()
                    .fold(run.directory(self.folder), |run, (name, value)| run.env(name, value));
                Ok(Locked {
                    bytes: run.env_remove("VIRTUAL_ENV").succeed().map_err(cannot)?.stdout,
                    is_local: false,
                })
            }
            Installer::Pip => {
                let report = self.report(wanted).map_err(cannot)?.text();
                Ok(Locked {
                    bytes: agent_core::adoption::lock(&report)?.into_bytes(),
                    is_local: true,
                })
            }
        }
    }

    fn compile(&self, uv: &Path, wanted: &LockInputs) -> Result<Run, PythonError> {
        let oldest = self
            .requires
            .parse::<PythonRequirement>()
            .ok()
            .and_then(|requirement| requirement.oldest());
        let oldest =
            oldest.map_or_else(|| self.bare.version.clone(), |version| version.to_string());
        let run = Run::new(uv).args([
            "pip",
            "compile",
            "--quiet",
            "--universal",
            "--generate-hashes",
            "--no-header",
            "--no-annotate",
        ]);
        let run = run
            .args(["--python-version", oldest.trim_end_matches(".0"), "--python"])
            .arg(&self.bare.executable);
        let run = wanted.extras.iter().fold(run, |run, extra| run.args(["--extra", extra]));
        let run = wanted
            .project
            .iter()
            .fold(run, |run, project| run.args(["--no-emit-package", project]));
        let run = wanted.files.iter().fold(run, Run::arg);
        let run = if wanted.listed.is_empty() {
            run
        } else {
            run.arg(self.file("listed.in", &wanted.listed)?)
        };
        Ok(if wanted.constraints.is_empty() {
            run
        } else {
            run.arg("--constraints").arg(self.file("constraints.txt", &wanted.constraints)?)
        })
    }

    fn file(&self, name: &str, lines: &[String]) -> Result<PathBuf, PythonError> {
        let path = self.place.join(name);
        fs::write(&path, (lines.join("\n") + "\n").as_bytes())?;
        Ok(path)
    }

    /// The packages pip would install, where `uv` is unavailable. The interpreter may have no pip,
    /// so a separate one is used.
    fn report(&self, wanted: &LockInputs) -> Result<Finished, ProcessError> {
        let venv = self.place.join("resolve");
        Run::new(&self.bare.executable).args(["-I", "-m", "venv"]).arg(&venv).succeed()?;
        let run = pip(&venv.join("bin/python")).directory(self.folder);
        let run =
            run.args(["install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]);
        let is_list = |file: &&PathBuf| file.extension() == Some(OsStr::new("txt"));
        let run =
            wanted.files.iter().filter(is_list).fold(run, |run, file| run.arg("-r").arg(file));
        let extras = if wanted.extras.is_empty() {
            String::new()
        } else {
            format!("[{}]", wanted.extras.join(","))
        };
        let run = if wanted.files.iter().all(|file| is_list(&file)) {
            run
        } else {
            run.arg(format!(".{extras}"))
        };
        run.args(&wanted.listed).succeed()
    }
}

/// A lock of uv's own in the form that installers share; nothing is resolved again.
fn export(uv: &Path, wanted: &LockInputs) -> Run {
    let run = Run::new(uv).args([
        "export",
        "--quiet",
        "--frozen",
        "--format",
        "requirements-txt",
        "--no-dev",
        "--no-emit-workspace",
    ]);
    let run = run.args(["--no-header", "--no-annotate"]);
    wanted.extras.iter().fold(run, |run, extra| run.args(["--extra", extra]))
}
