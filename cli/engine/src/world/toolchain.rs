//! The toolchain of a checkout's children: the interpreter of its lock, the project as if it was
//! installed, the packages of Node.

use crate::world::fs::{self, FsError};
use crate::world::layout::Layout;
use crate::world::node::{MODULES, NodeError, Packages};
use crate::world::process::on_path;
use crate::world::python::{self, Bytecode, Installer, Interpreter, PythonError};
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::manifest::{EntryPoint, Manifest, Python};
use agent_core::formats::suggestion::did_you_mean;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    #[error("there is no program `{program}`{}", did_you_mean(program,
        known.iter().map(String::as_str)))]
    NoProgram { program: String, known: Vec<String> },
    #[error(transparent)]
    Python(#[from] PythonError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Diagnose for ToolchainError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NoProgram { .. } => FailureKind::Input,
            Self::Python(error) => error.kind(),
            Self::Node(error) => error.kind(),
            Self::Fs(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoProgram { known, .. } if known.is_empty() => {
                Some("it is neither on PATH nor in the environment".to_owned())
            }
            Self::NoProgram { known, .. } => {
                Some(format!("it is not on PATH either; the environment has {}", known.join(", ")))
            }
            Self::Python(error) => error.hint(),
            Self::Node(error) => error.hint(),
            Self::Fs(error) => error.hint(),
        }
    }
}

pub struct Toolchain {
    pub interpreter: PathBuf,
    /// The project as if it was installed.
    project: Option<PathBuf>,
    /// Folders with programs, the first first.
    programs: Vec<PathBuf>,
}

/// Whether all that takes its time is made already.
pub fn is_ready(layout: &Layout, code: &Path, manifest: &Manifest) -> Result<bool, ToolchainError> {
    let packages = packages(layout, code, manifest)?;
    Ok(packages.is_none_or(|packages| packages.is_ready())
        && python::is_ready(layout, code, &manifest.python)?)
}

fn packages(
    layout: &Layout,
    code: &Path,
    manifest: &Manifest,
) -> Result<Option<Packages>, ToolchainError> {
    let read = |path: &Path| Ok::<_, ToolchainError>(fs::read_if_there(&code.join(path))?);
    manifest.node.as_ref().map(|node| Packages::of(layout, node, read)).transpose()
}

impl Toolchain {
    /// For a checkout; missing parts are created. `say` is called with slow steps.
    pub fn of(
        layout: &Layout,
        code: &Path,
        manifest: &Manifest,
        say: &dyn Fn(&str),
    ) -> Result<Self, ToolchainError> {
        Self::by(Installer::found, layout, code, manifest, say)
    }

    /// Like `of`, with this installer, should packages of Python have to be installed.
    pub fn by(
        installer: impl FnOnce(&Interpreter) -> Installer,
        layout: &Layout,
        code: &Path,
        manifest: &Manifest,
        say: &dyn Fn(&str),
    ) -> Result<Self, ToolchainError> {
        let interpreter = python::interpreter_by(installer, layout, code, &manifest.python, say)?;
        let project = python::project(layout, code, &manifest.python)?;
        let mut programs: Vec<_> = interpreter.parent().map(Path::to_owned).into_iter().collect();
        programs.extend(project.as_ref().map(|folder| folder.join("bin")));
        if let Some(node) = &manifest.node {
            if let Some(packages) = packages(layout, code, manifest)? {
                packages.install(say)?;
            }
            let modules = Path::new(&node.lock).with_file_name(MODULES);
            programs.push(code.join(modules).join(".bin"));
        }
        Ok(Self { interpreter, project, programs })
    }

    /// A child's command line: `python` and `python3` are replaced by the interpreter, a name
    /// without a path by the program of that name in the environment, the project or a Node
    /// package, else on PATH.
    pub fn command(&self, entry: &EntryPoint) -> Result<Vec<OsString>, ToolchainError> {
        let mut command = python::command(entry, &self.interpreter);
        let Some(program) =
            command.first().cloned().filter(|program| Path::new(program).components().count() == 1)
        else {
            return Ok(command);
        };
        let script = self
            .project
            .as_ref()
            .map(|folder| folder.join("bin").join(&program))
            .filter(|path| path.is_file());
        if let Some(script) = script {
            command.splice(..1, [self.interpreter.clone().into(), script.into()]);
            return Ok(command);
        }
        if let Some(found) = self
            .programs
            .iter()
            .map(|folder| folder.join(&program))
            .find(|path| fs::is_program(path))
        {
            command[0] = found.into();
        } else if on_path(&program).is_none() {
            return Err(ToolchainError::NoProgram {
                program: program.to_string_lossy().into_owned(),
                known: self.known(),
            });
        }
        Ok(command)
    }

    /// The programs that packages and the project brought, by name.
    fn known(&self) -> Vec<String> {
        const OF_EVERY_ENVIRONMENT: [&str; 6] =
            ["activate", "deactivate", "pip", "python", "pydoc", "Activate"];
        let has_environment = python::environment_of(&self.interpreter).is_some();
        let folders = self.programs.iter().skip(usize::from(!has_environment));
        let names = folders.flat_map(|folder| fs::names(folder).unwrap_or_default());
        let mut names: Vec<_> = names
            .filter(|name| !OF_EVERY_ENVIRONMENT.iter().any(|known| name.starts_with(known)))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// What every child finds in its environment besides the user's own.
    pub fn environment(
        &self,
        bytecode: &Bytecode,
        code: &Path,
        python: &Python,
    ) -> Vec<(OsString, OsString)> {
        let mut environment = python::child_environment(bytecode, code, python);
        let searched = environment.iter_mut().find(|(name, _)| name == "PYTHONPATH");
        if let (Some((_, searched)), Some(project)) = (searched, &self.project) {
            let roots =
                std::env::split_paths(&*searched).chain([project.clone()]).collect::<Vec<_>>();
            *searched = std::env::join_paths(roots).unwrap_or_else(|_| searched.clone());
        }
        environment
    }
}

/// The folders below `.agent` that a command line and an environment refer to: environments,
/// projects, packages.
pub fn led_to<'a>(
    layout: &Layout,
    code: &Path,
    words: impl IntoIterator<Item = &'a OsStr>,
) -> Vec<PathBuf> {
    let folders = layout.environment_folders();
    let own = |path: &Path| {
        let environments = folders.iter().find(|folder| path.starts_with(folder))?;
        match path.strip_prefix(environments).ok()?.components().next()? {
            Component::Normal(name) => Some(environments.join(name)),
            _ => None,
        }
    };
    let modules = code.join(MODULES).read_link().ok();
    let words: Vec<_> = words.into_iter().flat_map(std::env::split_paths).chain(modules).collect();
    let mut found: Vec<_> = words.iter().filter_map(|path| own(path)).collect();
    found.sort();
    found.dedup();
    found
}
