//! Locks that hold for every platform and every Python of a requirement, made by `uv`; by pip alone
//! they hold for one interpreter on one platform.

use super::error::PythonError;
use super::installer::{Installer, Pip};
use super::interpreter::Interpreter;
use crate::world::fs;
use crate::world::process::{Finished, Run};
use agent_core::formats::python_version::PythonRequirement;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The requirements to lock.
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
                let report = self.report(wanted)?.text();
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

    /// The packages pip would install, where `uv` is unavailable.
    fn report(&self, wanted: &LockInputs) -> Result<Finished, PythonError> {
        let cannot = |source| PythonError::Lock { source };
        let pip = Pip::of(self.bare, self.place).map_err(cannot)?;
        // nothing is installed, so a system's own packages are not touched
        let run = pip.run().directory(self.folder).env("PIP_BREAK_SYSTEM_PACKAGES", "1");
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
        run.args(&wanted.listed).succeed().map_err(cannot)
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
