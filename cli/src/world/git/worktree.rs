//! Working trees of our own, for a Coder to edit, and what was edited there as a tree.

use super::{Git, GitError};
use crate::world::fs::{self, FsError};
use agent_core::object_id::ObjectId;
use std::path::Path;

impl Git {
    /// A worktree at a commit, detached, without the repository's checkout hooks.
    pub fn add_worktree(&self, place: &Path, commit: &ObjectId) -> Result<(), GitError> {
        if let Some(folder) = place.parent() {
            fs::create_dir(folder)?;
        }
        self.command()
            .args(["-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach"])
            .arg(place)
            .arg(commit.as_str())
            .succeed()?;
        Ok(())
    }

    /// Removes a worktree with whatever was edited there.
    pub fn remove_worktree(&self, place: &Path) -> Result<(), GitError> {
        self.command().args(["worktree", "remove", "--force", "--force"]).arg(place).succeed()?;
        Ok(())
    }

    /// The files of a folder as a tree, seen as changes to `base`: ignored files stay out, and the folder's own index, commits and
    /// branches do not matter.
    pub fn snapshot_folder(&self, folder: &Path, base: &ObjectId) -> Result<ObjectId, GitError> {
        let scratch = tempfile::tempdir().map_err(FsError::while_doing("create a folder in", &std::env::temp_dir()))?;
        let index = scratch.path().join("index");
        let git = || {
            self.command()
                .arg("--work-tree")
                .arg(folder)
                .args(["-c", "core.bare=false", "-c", "core.fsmonitor=false", "-c", "core.sparseCheckout=false"])
                .env("GIT_INDEX_FILE", &index)
                .directory(folder)
        };
        git().args(["read-tree", base.as_str()]).succeed()?;
        git().args(["add", "--all", "."]).succeed()?;
        self.written_tree(&git().args(["write-tree"]).succeed()?.text())
    }

    /// The tree of an index: what `git commit` is about to commit, when `index` is the hook's `GIT_INDEX_FILE`.
    pub fn index_tree(&self, index: &Path) -> Result<ObjectId, GitError> {
        let written = self.command().env("GIT_INDEX_FILE", index).args(["write-tree"]).succeed()?;
        self.written_tree(&written.text())
    }

    fn written_tree(&self, text: &str) -> Result<ObjectId, GitError> {
        let id = ObjectId::parse(text).ok_or_else(|| GitError::NoCommit { revision: text.to_owned(), shallow: self.is_shallow() })?;
        Ok(id)
    }
}
