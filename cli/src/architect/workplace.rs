//! The worktree a coder works in: made for an attempt, gone after it. The user's own index and working tree are never touched.
//!
//! Held-out cases are not in it: they are taken out before the coder comes, and stand as they were in what is made of its work. (A coder is no prisoner: it runs as
//! its user, who can read the repository. What is kept from it is what it would come across.)

use crate::error::CommandError;
use crate::world::fs;
use crate::world::git::{CommitSpec, Entry, Git, Mode, TreeEdit};
use crate::world::layout::Layout;
use agent_core::evaluation::held_out_folder;
use agent_core::object_id::ObjectId;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub struct Workplace<'a> {
    git: &'a Git,
    base: ObjectId,
    folder: PathBuf,
    held_out: Vec<Entry>,
}

impl<'a> Workplace<'a> {
    pub fn open(git: &'a Git, layout: &Layout, run: &str, base: &ObjectId) -> Result<Self, CommandError> {
        let folder = place(layout, run);
        clear(git, &folder)?;
        let held_out = held_out(git, base)?;
        git.add_worktree(&folder, &without(git, base, &held_out)?)?;
        Ok(Self { git, base: base.clone(), folder, held_out })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the coder left, as a tree: the only truth about what it did.
    pub fn tree(&self) -> Result<ObjectId, CommandError> {
        let left = self.git.snapshot_folder(&self.folder, &self.base)?;
        let back = |entry: &Entry| TreeEdit::Put { path: entry.path.clone(), id: entry.id.clone(), mode: Mode::Folder };
        Ok(self.git.edit_tree(Some(&left), &self.held_out.iter().map(back).collect::<Vec<_>>())?)
    }
}

impl Drop for Workplace<'_> {
    fn drop(&mut self) {
        // what cannot be removed now is removed by the next run
        let _ = clear(self.git, &self.folder);
    }
}

/// The folders of held-out cases of a commit.
fn held_out(git: &Git, base: &ObjectId) -> Result<Vec<Entry>, CommandError> {
    let files = git.files(base, "tests")?;
    let folders: BTreeSet<_> = files.iter().filter_map(|file| held_out_folder(&file.path)).collect();
    let mut entries = Vec::new();
    for folder in folders {
        entries.extend(git.entry(base, folder)?);
    }
    Ok(entries)
}

/// A commit on top of `base` that lacks these folders. Nothing points to it.
fn without(git: &Git, base: &ObjectId, folders: &[Entry]) -> Result<ObjectId, CommandError> {
    if folders.is_empty() {
        return Ok(base.clone());
    }
    let edits: Vec<_> = folders.iter().map(|entry| TreeEdit::Remove { path: entry.path.clone() }).collect();
    let tree = git.edit_tree(Some(base), &edits)?;
    let message = "architect: what a coder works on\n".to_owned();
    Ok(git.write_commit(&CommitSpec { tree, parents: vec![base.clone()], message })?)
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
