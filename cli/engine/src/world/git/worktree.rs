//! The user's working tree as a tree.

use super::error::GitError;
use super::repository::Git;
use crate::world::fs::{self, FileLock};
use crate::world::git_command::GitCommand;
use crate::world::layout::{self, Layout};
use crate::world::process::Run;
use agent_core::formats::object_id::ObjectId;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

impl Git {
    /// Has git forget a folder that is one of its working trees; nothing happens when it is none.
    pub fn forget_worktree(&self, place: &Path) -> Result<(), GitError> {
        if place.join(".git").is_file() {
            self.command()
                .args(["worktree", "remove", "--force", "--force"])
                .arg(place)
                .succeed()?;
        }
        Ok(())
    }

    /// The files of the user's working tree as a tree, through a separate index that caches
    /// unchanged files; the user's index is not touched.
    pub fn snapshot_worktree(&self, folder: &Path, layout: &Layout) -> Result<ObjectId, GitError> {
        let index = layout.worktree_index(folder);
        let _turn = FileLock::acquire(&index.with_extension("turn"))?;
        // a killed git leaves its lock behind; no other process can hold it, since callers are
        // serialised
        fs::remove_if_there(&index.with_extension("index.lock"))?;
        if self.is_sparse() {
            self.take_users_index(&index)?;
        } else {
            self.settle_ignored(folder, &index)?;
        }
        self.tree_of_folder(folder, &index)
    }

    /// In a sparse checkout, only the user's index lists the files that are absent without being
    /// deleted, and the `.gitignore` files among them.
    fn take_users_index(&self, index: &Path) -> Result<(), GitError> {
        match fs::read_if_there(&self.repository.git_dir().join("index"))? {
            Some(bytes) => Ok(fs::write(index, &bytes)?),
            None => Ok(fs::remove_if_there(index)?),
        }
    }

    /// `git add` keeps what an index holds already, and takes nothing new that is ignored. What is
    /// tracked counts whatever is ignored, and nothing else that is.
    fn settle_ignored(&self, folder: &Path, index: &Path) -> Result<(), GitError> {
        const IGNORED: [&str; 5] =
            ["ls-files", "-z", "--cached", "--ignored", "--exclude-standard"];
        let held = self.with_index(folder, index).args(IGNORED);
        let tracked = self.command().args(IGNORED).directory(folder);
        // each of the two only reads
        let (held, tracked) = std::thread::scope(|scope| {
            let held = scope.spawn(|| held.succeed());
            let tracked = tracked.succeed();
            (held.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), tracked)
        });
        let (held, tracked) = (held?.stdout, tracked?.stdout);
        self.update_index(folder, index, "--force-remove", paths_without(&held, &tracked))?;
        self.update_index(folder, index, "--add", paths_without(&tracked, &held))
    }

    fn update_index(
        &self,
        folder: &Path,
        index: &Path,
        how: &str,
        paths: Vec<u8>,
    ) -> Result<(), GitError> {
        if !paths.is_empty() {
            self.with_index(folder, index)
                .args(["update-index", "-z", "--remove", how, "--stdin"])
                .stdin(paths)
                .succeed()?;
        }
        Ok(())
    }

    /// The working tree that has a branch checked out.
    pub fn checkout_of(&self, branch: &str) -> Result<Option<PathBuf>, GitError> {
        let listed = self.command().args(["worktree", "list", "--porcelain", "-z"]).succeed()?;
        let head = format!("branch {branch}");
        let of_branch = |one: &&str| one.split('\0').any(|line| line == head);
        let text = listed.text();
        let found = text.split("\0\0").find(of_branch);
        Ok(found
            .and_then(|one| one.split('\0').find_map(|line| line.strip_prefix("worktree ")))
            .map(PathBuf::from))
    }

    /// Whether a working tree matches its HEAD, ignoring untracked files.
    pub fn is_clean(folder: &Path) -> Result<bool, GitError> {
        let status = GitCommand::isolated(folder)
            .run()
            .args(["status", "--porcelain", "--untracked-files=no"])
            .succeed()?;
        Ok(status.stdout.is_empty())
    }

    /// Moves the branch that is checked out in a folder forward, with its files: git's own
    /// fast-forward, which takes over no file that it would have to replace.
    pub fn fast_forward(folder: &Path, commit: &ObjectId) -> Result<(), GitError> {
        GitCommand::isolated(folder)
            .run()
            .args(["merge", "--ff-only", "--quiet", commit.as_str()])
            .succeed()?;
        Ok(())
    }

    fn tree_of_folder(&self, folder: &Path, index: &Path) -> Result<ObjectId, GitError> {
        self.with_index(folder, index).args(["add", "--all", "."]).succeed()?;
        // a link to `.agent` is not part of the code, but `.agent/` in a .gitignore matches folders
        // only
        if folder.join(layout::HOME).is_symlink() {
            self.with_index(folder, index)
                .args(["update-index", "--force-remove", "--", layout::HOME])
                .succeed()?;
        }
        self.written_tree(&self.with_index(folder, index).args(["write-tree"]).succeed()?.text())
    }

    /// Whether git leaves files out of the working tree.
    pub fn is_sparse(&self) -> bool {
        self.repository.config_snapshot().boolean("core.sparseCheckout") == Some(true)
    }

    pub(super) fn with_index(&self, folder: &Path, index: &Path) -> Run {
        self.command()
            .arg("--work-tree")
            .arg(folder)
            .args([
                "-c",
                "core.bare=false",
                "-c",
                "core.fsmonitor=false",
                "-c",
                "core.sparseCheckout=false",
            ])
            .env("GIT_INDEX_FILE", index)
            .directory(folder)
    }

    /// The tree of an index: what `git commit` is about to commit, when `index` is the hook's
    /// `GIT_INDEX_FILE`.
    pub fn index_tree(&self, index: &Path) -> Result<ObjectId, GitError> {
        let written = self.command().env("GIT_INDEX_FILE", index).args(["write-tree"]).succeed()?;
        self.written_tree(&written.text())
    }

    pub(super) fn written_tree(&self, text: &str) -> Result<ObjectId, GitError> {
        let id = ObjectId::parse(text).ok_or_else(|| GitError::NoCommit {
            revision: text.to_owned(),
            shallow: self.is_shallow(),
        })?;
        Ok(id)
    }
}

/// Of paths that each end with a NUL, those that are not among the others.
fn paths_without(paths: &[u8], others: &[u8]) -> Vec<u8> {
    let each = |paths| <[u8]>::split_inclusive(paths, |byte| *byte == 0);
    let others: HashSet<_> = each(others).collect();
    each(paths).filter(|path| !others.contains(path)).flatten().copied().collect()
}
