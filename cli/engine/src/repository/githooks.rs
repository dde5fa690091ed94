//! The hooks of `agent` in a repository: installed beside existing hooks, removed without residue,
//! and tested to fire.

use crate::world::env;
use crate::world::fs::{self, FsError};
use crate::world::git_command::GitCommand;
use crate::world::process::{ProcessError, on_path};
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_hooks::event::HookName;
use agent_hooks::shim::{self, Binary};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Tracked hooks, and the value of `core.hooksPath`.
pub const HOOKS_FOLDER: &str = ".githooks";
/// Beside the tracked hooks: a `#!/bin/sh` that git checks out with CRLF starts no shell.
pub const HOOKS_ATTRIBUTES_FILE: &str = ".githooks/.gitattributes";
pub const HOOKS_ATTRIBUTES: &str = "* text eol=lf\n";

const HOOKS_PATH: &str = "core.hooksPath";

#[derive(Debug, thiserror::Error)]
pub enum HooksError {
    #[error("{} is in no git repository", .0.display())]
    NoRepository(PathBuf),
    #[error("{} and {} are both user hooks: only one of them can run before the hook of agent",
        kept.display(), hook.display())]
    TwoBefore { hook: PathBuf, kept: PathBuf },
    #[error("the path of the `agent` executable cannot be determined on this system")]
    NoBinary,
    #[error(transparent)]
    Git(#[from] ProcessError),
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Diagnose for HooksError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NoRepository(_) | Self::TwoBefore { .. } => FailureKind::Input,
            Self::NoBinary => FailureKind::Surroundings,
            Self::Git(error) => error.kind(),
            Self::Fs(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoRepository(_) => Some(
                "`git init` makes one; `agent init DIR` makes a complete agent \
                    repository"
                    .to_owned(),
            ),
            Self::TwoBefore { kept, .. } => {
                Some(format!("merge the two, remove {}, and run it again", kept.display()))
            }
            Self::NoBinary => None,
            Self::Git(error) => error.hint(),
            Self::Fs(error) => error.hint(),
        }
    }
}

/// The location of a repository's hooks, and the ones to install.
#[derive(Debug)]
pub struct Hooks {
    git: GitCommand,
    /// The root of the working tree, or the git directory of a bare repository: where git runs
    /// hooks.
    root: PathBuf,
    common: PathBuf,
    bare: bool,
    /// The folder git uses now.
    folder: PathBuf,
}

/// The current content at the path of one hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    Ours,
    /// The shim of `agent`, which runs the previous hook first.
    Chained,
    /// A hook that `agent` did not install.
    Foreign,
    Missing,
}

impl Hooks {
    pub fn of(directory: &Path) -> Result<Self, HooksError> {
        let asked = GitCommand::isolated(directory);
        let Some(bare) = asked.is_bare()? else {
            return Err(HooksError::NoRepository(directory.to_owned()));
        };
        let root = if bare {
            asked.git_dir()?
        } else {
            asked.top_level()?.unwrap_or_else(|| directory.to_owned())
        };
        let git = GitCommand::isolated(&root);
        Ok(Self { folder: git.git_path("hooks")?, common: git.common_dir()?, git, root, bare })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The hooks for this repository: client-side where there is a working tree, server-side in a
    /// bare one.
    pub fn names(&self) -> &'static [HookName] {
        if self.bare { &HookName::SERVER } else { &HookName::CLIENT }
    }

    pub fn standing(&self, hook: HookName) -> Result<Standing, HooksError> {
        let Some(text) = fs::read_if_there(&self.folder.join(hook.as_str()))? else {
            return Ok(Standing::Missing);
        };
        Ok(match (shim::is_ours(&text), self.before(hook).is_some()) {
            (true, true) => Standing::Chained,
            (true, false) => Standing::Ours,
            (false, _) => Standing::Foreign,
        })
    }

    /// The previous hook, which runs before the shim, if there was one.
    fn before(&self, hook: HookName) -> Option<PathBuf> {
        before(&self.folder.join(hook.as_str()), &self.common, hook)
    }

    /// Installs the hooks; existing ones keep running. Idempotent.
    pub fn install(&mut self) -> Result<(), HooksError> {
        let binary = env::binary().ok_or(HooksError::NoBinary)?;
        self.choose_folder()?;
        for hook in self.names() {
            self.put(*hook, &binary)?;
        }
        Ok(fs::link(&binary, &self.common.join(shim::LINK))?)
    }

    /// The folder to install into. A folder in this repository's configuration is honoured; a
    /// tracked `.githooks` made by `agent` is used; a global hooks folder of the user is not
    /// changed, but chained.
    fn choose_folder(&mut self) -> Result<(), HooksError> {
        if self.bare || self.git.local_config(HOOKS_PATH)?.is_some() {
            return Ok(());
        }
        let usual = self.common.join("hooks");
        let tracked = self.root.join(HOOKS_FOLDER);
        let wanted = if self.is_shipped(&tracked)? { tracked } else { usual };
        if same(&wanted, &self.folder) {
            return Ok(());
        }
        self.keep_running(&wanted)?;
        let value = if wanted.ends_with(HOOKS_FOLDER) {
            OsStr::new(HOOKS_FOLDER)
        } else {
            wanted.as_os_str()
        };
        self.git.set_config(HOOKS_PATH, &value.to_string_lossy())?;
        self.folder = wanted;
        Ok(())
    }

    /// Whether a folder of the working tree holds the shims that `agent init` and `agent adopt`
    /// write.
    fn is_shipped(&self, folder: &Path) -> Result<bool, HooksError> {
        let text = fs::read_if_there(&folder.join(HookName::PreCommit.as_str()))?;
        Ok(!self.bare && text.is_some_and(|text| shim::is_ours(&text)))
    }

    /// Records the folder git used so far, so that the shims run its hooks first.
    fn keep_running(&self, wanted: &Path) -> Result<(), HooksError> {
        for hook in self.names() {
            let hitherto = self.folder.join(hook.as_str());
            let ours = fs::read_if_there(&hitherto)?.is_none_or(|text| shim::is_ours(&text));
            if !ours && fs::is_program(&hitherto) && !same(wanted, &self.folder) {
                fs::link(&hitherto, &self.common.join(shim::BEFORE_FOLDER).join(hook.as_str()))?;
            }
        }
        Ok(())
    }

    fn put(&self, hook: HookName, binary: &Path) -> Result<(), HooksError> {
        let path = self.folder.join(hook.as_str());
        if let Some(text) = fs::read_if_there(&path)?
            && !shim::is_ours(&text)
        {
            let kept = kept_beside(&path);
            if kept.exists() {
                return Err(HooksError::TwoBefore { hook: path, kept });
            }
            std::fs::rename(&path, &kept).map_err(FsError::while_doing("keep", &path))?;
        }
        // a folder of the working tree may be tracked and go to other machines
        let tracked = !self.bare && path.starts_with(&self.root) && !path.starts_with(&self.common);
        if tracked && self.folder.ends_with(HOOKS_FOLDER) {
            self.put_attributes()?;
        }
        let text = shim::text(hook, if tracked { Binary::Linked } else { Binary::At(binary) });
        if fs::read_if_there(&path)?.is_some_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
        Ok(fs::replace_program(&path, text.as_bytes())?)
    }

    /// Writes the attributes for checking out tracked hooks, unless there are some already.
    fn put_attributes(&self) -> Result<(), HooksError> {
        let path = self.folder.join(".gitattributes");
        if !path.exists() {
            fs::write(&path, HOOKS_ATTRIBUTES.as_bytes())?;
        }
        Ok(())
    }

    /// Whether git checked a hook out with CRLF, with which no shell is found to run it.
    pub fn has_carriage_returns(&self, hook: HookName) -> bool {
        fs::read_if_there(&self.folder.join(hook.as_str()))
            .is_ok_and(|text| text.is_some_and(|text| text.contains(&b'\r')))
    }

    /// Removes the hooks and restores the previous ones.
    pub fn uninstall(&mut self) -> Result<(), HooksError> {
        let value = self.git.local_config(HOOKS_PATH)?;
        let shipped = value.as_deref() == Some(HOOKS_FOLDER);
        if !shipped {
            for hook in HookName::ALL {
                self.take_out(hook)?;
            }
        }
        // only a value that `install` sets: the tracked shims, or the usual folder against one for
        // all repositories
        if shipped || value.is_some_and(|value| same(Path::new(&value), &self.common.join("hooks")))
        {
            self.git.unset_config(HOOKS_PATH)?;
        }
        for hook in HookName::ALL {
            fs::remove_if_there(&self.common.join(shim::BEFORE_FOLDER).join(hook.as_str()))?;
        }
        let _ = std::fs::remove_dir(self.common.join(shim::BEFORE_FOLDER));
        fs::remove_if_there(&self.common.join(shim::LINK))?;
        self.folder = self.git.git_path("hooks")?;
        Ok(())
    }

    fn take_out(&self, hook: HookName) -> Result<(), HooksError> {
        let path = self.folder.join(hook.as_str());
        let ours = fs::read_if_there(&path)?.is_some_and(|text| shim::is_ours(&text));
        if !ours {
            return Ok(());
        }
        let kept = kept_beside(&path);
        if kept.exists() {
            return Ok(
                std::fs::rename(&kept, &path).map_err(FsError::while_doing("restore", &path))?
            );
        }
        Ok(fs::remove_if_there(&path)?)
    }

    /// Lets git run a hook, with the PATH of a program that was not started from a shell, and
    /// checks whether the shim ran.
    pub fn fires(&self, hook: HookName) -> Result<bool, HooksError> {
        let word = format!("agent-{hook}-{}", std::process::id());
        let Some(program) = on_path(OsStr::new("git")) else { return Ok(false) };
        let run =
            self.git.run_program(&program).args(["hook", "run", "--ignore-missing", hook.as_str()]);
        let finished = run.env(env::HOOK_PROBE, &word).env("PATH", bare_path(&program)).finish()?;
        // git shows a hook's stdout on stderr
        let output = [finished.stdout, finished.stderr].concat();
        Ok(String::from_utf8_lossy(&output).contains(&word))
    }
}

/// What a program started from a desktop has on PATH, and git itself.
fn bare_path(git: &Path) -> std::ffi::OsString {
    let folder = git.parent().unwrap_or(Path::new("/usr/bin"));
    std::env::join_paths([Path::new("/usr/bin"), Path::new("/bin"), folder])
        .unwrap_or_else(|_| "/usr/bin:/bin".into())
}

fn kept_beside(hook: &Path) -> PathBuf {
    let mut kept = hook.as_os_str().to_owned();
    kept.push(shim::BEFORE);
    kept.into()
}

/// The hook that the shim `from` replaced, or the one in the folder that git used before.
pub fn before(from: &Path, common: &Path, hook: HookName) -> Option<PathBuf> {
    [kept_beside(from), common.join(shim::BEFORE_FOLDER).join(hook.as_str())]
        .into_iter()
        .find(|path| fs::is_program(path))
}

fn same(one: &Path, other: &Path) -> bool {
    let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    resolved(one) == resolved(other)
}
