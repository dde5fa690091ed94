//! The user's `git`, for operations that have to honour their configuration, their hooks and their
//! index.

use crate::world::env;
use crate::world::process::{ProcessError, Run};
use agent_core::child::variable;
use agent_core::formats::object_id::ObjectId;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Configuration that a command line or the environment gives to git.
const CONFIGURATION: [&str; 3] = ["GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"];

/// The variables of a hook, for programs whose git is to find another repository, and to be
/// configured by files alone.
pub fn local_variables() -> impl Iterator<Item = OsString> {
    variable::GIT_LOCAL.into_iter().chain(CONFIGURATION).map(OsString::from)
}

#[derive(Debug, Clone)]
pub struct GitCommand {
    directory: PathBuf,
    isolated: bool,
}

impl GitCommand {
    /// git in a folder, free of the environment of a hook that may have started us.
    pub fn isolated(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), isolated: true }
    }

    /// git as the hook that started us sees it: its index, its git directory.
    pub fn inherited(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), isolated: false }
    }

    pub fn run(&self) -> Run {
        self.run_program(Path::new("git"))
    }

    /// Like `run`, with a git of the caller's choosing.
    pub fn run_program(&self, git: &Path) -> Run {
        let run = Run::new(git).directory(&self.directory);
        if self.isolated { isolated(run) } else { run }
    }

    fn text(&self, arguments: &[&str]) -> Result<String, ProcessError> {
        self.run().args(arguments).succeed().map(|finished| finished.text())
    }

    /// stdout of a question whose answer may be no.
    fn answer(&self, arguments: &[&str]) -> Result<Option<String>, ProcessError> {
        let finished = self.run().args(arguments).finish()?;
        Ok(finished.success().then(|| finished.text()))
    }

    /// `git version 2.47.3` without the prefix `git version`.
    pub fn version() -> Result<String, ProcessError> {
        let shown = Run::new("git").arg("--version").succeed()?.text();
        Ok(shown.trim_start_matches("git version ").to_owned())
    }

    /// Whether the repository has no working tree; `None` outside of any.
    pub fn is_bare(&self) -> Result<Option<bool>, ProcessError> {
        Ok(self.answer(&["rev-parse", "--is-bare-repository"])?.map(|answer| answer == "true"))
    }

    pub fn git_dir(&self) -> Result<PathBuf, ProcessError> {
        self.text(&["rev-parse", "--absolute-git-dir"]).map(PathBuf::from)
    }

    /// The root of the working tree that contains this folder.
    pub fn top_level(&self) -> Result<Option<PathBuf>, ProcessError> {
        Ok(self.answer(&["rev-parse", "--show-toplevel"])?.map(PathBuf::from))
    }

    /// A path inside the git directory, as `git rev-parse --git-path` resolves it.
    pub fn git_path(&self, name: &str) -> Result<PathBuf, ProcessError> {
        Ok(self.directory.join(self.text(&["rev-parse", "--git-path", name])?))
    }

    pub fn common_dir(&self) -> Result<PathBuf, ProcessError> {
        Ok(self.directory.join(self.text(&["rev-parse", "--git-common-dir"])?))
    }

    /// The difference of two commits but for some folders, whatever the user's configuration makes
    /// of differences.
    pub fn diff(
        &self,
        from: &ObjectId,
        to: &ObjectId,
        without: &[&str],
    ) -> Result<String, ProcessError> {
        let plain = [
            "diff",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--src-prefix=a/",
            "--dst-prefix=b/",
        ];
        let excluded = without.iter().map(|folder| format!(":(top,exclude,literal){folder}"));
        let finished = self
            .run()
            .args(plain)
            .args([from.as_str(), to.as_str(), "--", ":(top)"])
            .args(excluded)
            .succeed()?;
        Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
    }

    /// The tree of the index, as a commit would have it.
    pub fn write_tree(&self) -> Result<ObjectId, ProcessError> {
        let text = self.text(&["write-tree"])?;
        ObjectId::parse(&text).ok_or_else(|| ProcessError::Failed {
            command: "git write-tree".to_owned(),
            status: "an answer that is not an id of 40 digits".to_owned(),
            stdout: text,
            stderr: String::new(),
        })
    }

    pub fn init(&self) -> Result<(), ProcessError> {
        of_readable_format(self.run().args(["init", "--quiet", "--initial-branch=main"]))
            .succeed()
            .map(drop)
    }

    pub fn head(&self) -> Result<String, ProcessError> {
        self.text(&["rev-parse", "--verify", "HEAD^{commit}"])
    }

    /// Names the branch of the first commit in a repository that has none.
    pub fn name_unborn_branch(&self, branch: &str) -> Result<(), ProcessError> {
        self.text(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]).map(drop)
    }

    pub fn has_commit(&self) -> Result<bool, ProcessError> {
        Ok(self.answer(&["rev-parse", "--quiet", "--verify", "HEAD^{commit}"])?.is_some())
    }

    pub fn config(&self, key: &str) -> Result<Option<String>, ProcessError> {
        self.answer(&["config", "--get", key])
    }

    pub fn local_config(&self, key: &str) -> Result<Option<String>, ProcessError> {
        self.answer(&["config", "--local", "--get", key])
    }

    pub fn set_config(&self, key: &str, value: &str) -> Result<(), ProcessError> {
        self.text(&["config", "--local", key, value]).map(drop)
    }

    pub fn unset_config(&self, key: &str) -> Result<(), ProcessError> {
        self.answer(&["config", "--local", "--unset", key]).map(drop)
    }

    /// All values of a multi-valued key.
    pub fn config_values(&self, key: &str) -> Result<Vec<String>, ProcessError> {
        let answer = self.answer(&["config", "--local", "--get-all", key])?;
        Ok(answer.unwrap_or_default().lines().map(str::to_owned).collect())
    }

    pub fn add_config(&self, key: &str, value: &str) -> Result<(), ProcessError> {
        self.text(&["config", "--local", "--add", key, value]).map(drop)
    }

    /// Removes one value of such a key.
    pub fn remove_config(&self, key: &str, value: &str) -> Result<(), ProcessError> {
        self.text(&["config", "--local", "--fixed-value", "--unset-all", key, value]).map(drop)
    }

    pub fn remotes(&self) -> Result<Vec<String>, ProcessError> {
        Ok(self.text(&["remote"])?.lines().map(str::to_owned).collect())
    }

    /// Whether a path would be left out of `git add`, tracked or not.
    pub fn ignores(&self, path: &str) -> Result<bool, ProcessError> {
        Ok(self.answer(&["check-ignore", "--quiet", "--no-index", path])?.is_some())
    }

    /// Stages exactly these paths, ignored or not.
    pub fn add(&self, paths: &[PathBuf]) -> Result<(), ProcessError> {
        let list = paths
            .iter()
            .flat_map(|path| [path.as_os_str().as_encoded_bytes(), b"\0"])
            .flatten()
            .copied()
            .collect::<Vec<u8>>();
        self.run()
            .args(["add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul"])
            .stdin(list)
            .succeed()
            .map(drop)
    }

    /// Commits the index without running hooks; where git has no identity, that of `agent` is used.
    pub fn commit(&self, message: &str) -> Result<(), ProcessError> {
        let run = self.run().args(["commit", "--quiet", "--no-verify", "--file=-"]).stdin(message);
        self.with_identity(run)?.succeed().map(drop)
    }

    fn with_identity(&self, run: Run) -> Result<Run, ProcessError> {
        let mut run = run;
        for role in ["AUTHOR", "COMMITTER"] {
            if self.answer(&["var", &format!("GIT_{role}_IDENT")])?.is_none() {
                run = run
                    .env(format!("GIT_{role}_NAME"), FALLBACK_NAME)
                    .env(format!("GIT_{role}_EMAIL"), FALLBACK_EMAIL);
            }
        }
        Ok(run)
    }
}

/// Without the variables that select a hook's repository. The user's configuration in the
/// environment is kept, such as `safe.directory`.
pub(super) fn isolated(run: Run) -> Run {
    variable::GIT_LOCAL.into_iter().fold(run, Run::env_remove)
}

/// `git init` that makes what `agent` can read, whatever the user's git makes by default. Older
/// versions of git, which make nothing else, have no options for it.
pub(super) fn of_readable_format(init: Run) -> Run {
    init.env("GIT_DEFAULT_HASH", "sha1").env("GIT_DEFAULT_REF_FORMAT", "files")
}

/// The identity for commits where git has none.
pub const FALLBACK_NAME: &str = "agent";
pub const FALLBACK_EMAIL: &str = "agent@localhost";

/// The git directory that all worktrees share, for a hook that git started in `directory`; found
/// without a process.
pub fn common_dir_of_hook(directory: &Path) -> PathBuf {
    let given = env::git_dir().map_or_else(|| PathBuf::from(".git"), PathBuf::from);
    let git_dir = through_link(&directory.join(given), "gitdir: ");
    through_link(&git_dir.join("commondir"), "").canonicalize().unwrap_or(git_dir)
}

/// The target of a `.git` file; for a folder, or a missing file, the folder or its parent.
fn through_link(path: &Path, prefix: &str) -> PathBuf {
    let folder = path.parent().unwrap_or(Path::new("."));
    match std::fs::read_to_string(path) {
        Ok(text) => folder.join(text.trim_end().trim_start_matches(prefix)),
        Err(_) if path.is_dir() => path.to_owned(),
        Err(_) => folder.to_owned(),
    }
}
