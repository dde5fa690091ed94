//! The worktree a coder works in: made for an attempt, gone after it. The user's own index and working tree are never touched.

use crate::error::CommandError;
use crate::world::fs;
use crate::world::git::Git;
use crate::world::layout::Layout;
use agent_core::object_id::ObjectId;
use std::path::{Path, PathBuf};

pub struct Workplace<'a> {
    git: &'a Git,
    base: ObjectId,
    folder: PathBuf,
}

impl<'a> Workplace<'a> {
    pub fn open(git: &'a Git, layout: &Layout, run: &str, base: &ObjectId) -> Result<Self, CommandError> {
        let folder = place(layout, run);
        clear(git, &folder)?;
        git.add_worktree(&folder, base)?;
        Ok(Self { git, base: base.clone(), folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the coder left, as a tree: the only truth about what it did.
    pub fn tree(&self) -> Result<ObjectId, CommandError> {
        Ok(self.git.snapshot_folder(&self.folder, &self.base)?)
    }
}

impl Drop for Workplace<'_> {
    fn drop(&mut self) {
        // what cannot be removed now is removed by the next run
        let _ = clear(self.git, &self.folder);
    }
}

pub fn place(layout: &Layout, run: &str) -> PathBuf {
    layout.architect(run).join("worktree")
}

/// Removes a worktree, whole or half made.
pub fn clear(git: &Git, folder: &Path) -> Result<(), CommandError> {
    if folder.exists() && git.remove_worktree(folder).is_err() {
        fs::remove_folder(folder)?;
    }
    Ok(())
}
