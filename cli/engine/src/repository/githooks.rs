//! Our hooks in a repository: put in beside whatever is there, taken out without a trace, and shown
//! to fire.

use crate::world::env;
use crate::world::fs::{self, FsError};
use crate::world::git_command::GitCommand;
use crate::world::process::ProcessError;
use crate::world::python::on_path;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_hooks::event::HookName;
use agent_hooks::shim::{self, Binary};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Tracked hooks, and what `core.hooksPath` says.
pub const HOOKS_FOLDER: &str = ".githooks";
/// Beside the tracked hooks: a `#!/bin/sh` that git checks out with CRLF starts no shell.
pub const HOOKS_ATTRIBUTES_FILE: &str = ".githooks/.gitattributes";
pub const HOOKS_ATTRIBUTES: &str = "* text eol=lf\n";

const HOOKS_PATH: &str = "core.hooksPath";

#[derive(Debug, thiserror::Error)]
pub enum HooksError {
    #[error("{} is in no git repository", .0.display())]
    NoRepository(PathBuf),
    #[error("{} was a hook of yours and {} is one too: only one of them can run before ours",
        kept.display(), hook.display())]
    TwoBefore { hook: PathBuf, kept: PathBuf },
    #[error("this system does not say where `agent` itself lies")]
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
                "`git init` makes one; `agent init DIR` makes a whole agent repository".to_owned(),
            ),
            Self::TwoBefore { kept, .. } => {
                Some(format!("join the two, remove {}, and run it again", kept.display()))
            }
            Self::NoBinary => None,
            Self::Git(error) => error.hint(),
            Self::Fs(error) => error.hint(),
        }
    }
}

/// Where a repository's hooks lie, and which of ours belong there.
#[derive(Debug)]
pub struct Hooks {
    git: GitCommand,
    /// The root of the working tree, or the git directory of a bare repository: where git runs
    /// hooks.
    root: PathBuf,
    common: PathBuf,
    bare: bool,
    /// The folder git looks into now.
    folder: PathBuf,
}

/// What stands in the place of one hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    Ours,
    /// Ours, and the one that was there runs before it.
    Chained,
    SomebodyElses,
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

    /// The hooks that belong in this repository: people's where there is a working tree, the
    /// server's in a bare one.
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
            (false, _) => Standing::SomebodyElses,
        })
    }

    /// The hook that runs before ours, if one was there.
    fn before(&self, hook: HookName) -> Option<PathBuf> {
        before(&self.folder.join(hook.as_str()), &self.common, hook)
    }

    /// Puts our hooks in; what was there before goes on running. Done twice it is done once.
    pub fn install(&mut self) -> Result<(), HooksError> {
        let binary = env::binary().ok_or(HooksError::NoBinary)?;
        self.choose_folder()?;
        for hook in self.names() {
            self.put(*hook, &binary)?;
        }
        Ok(fs::link(&binary, &self.common.join(shim::LINK))?)
    }

    /// The folder to install into. A folder that this repository's own configuration names is
    /// honoured; a tracked `.githooks` of ours is taken up; a folder for all of the user's
    /// repositories is left alone, and chained.
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

    /// Remembers the hooks of the folder that git looked into so far, so that ours run them first.
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

    /// Says beside tracked hooks how git is to check them out, unless something is said there
    /// already.
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

    /// Takes our hooks out and puts back what was there.
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
                std::fs::rename(&kept, &path).map_err(FsError::while_doing("put back", &path))?
            );
        }
        Ok(fs::remove_if_there(&path)?)
    }

    /// Asks git itself to run a hook, with the PATH of a program that was not started from a shell,
    /// and looks whether we answered.
    pub fn fires(&self, hook: HookName) -> Result<bool, HooksError> {
        let word = format!("agent-{hook}-{}", std::process::id());
        let Some(program) = on_path(OsStr::new("git")) else { return Ok(false) };
        let run =
            self.git.run_program(&program).args(["hook", "run", "--ignore-missing", hook.as_str()]);
        let finished = run.env(env::HOOK_PROBE, &word).env("PATH", bare_path(&program)).finish()?;
        // git shows a hook's stdout on stderr
        let said = [finished.stdout, finished.stderr].concat();
        Ok(String::from_utf8_lossy(&said).contains(&word))
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

/// The hook that was in the place of the shim `from`, or in the folder that git looked into before.
pub fn before(from: &Path, common: &Path, hook: HookName) -> Option<PathBuf> {
    [kept_beside(from), common.join(shim::BEFORE_FOLDER).join(hook.as_str())]
        .into_iter()
        .find(|path| fs::is_program(path))
}

fn same(one: &Path, other: &Path) -> bool {
    let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    resolved(one) == resolved(other)
}
