//! Checkouts keyed by code tree, and state files keyed by Revision: made once, shared by every process, never changed.

use super::{Git, GitError};
use crate::world::clock;
use crate::world::fs::{self, Durability, FsError};
use crate::world::layout::Layout;
use agent_core::object_id::ObjectId;
use std::path::{Path, PathBuf};

impl Git {
    /// The folder with the code of a tree (see [`Git::code_tree`]); made when it is not there yet.
    pub fn checkout(&self, layout: &Layout, tree_or_commit: &ObjectId) -> Result<PathBuf, GitError> {
        let code = self.code_tree(tree_or_commit)?;
        if let Some(place) = standing(layout, &code) {
            return Ok(place);
        }
        self.check_out(layout, &self.write_code_tree(tree_or_commit)?)
    }

    /// The folder with all files of a tree, which is in the repository; made when it is not there yet.
    ///
    /// It is written beside its place and renamed into it, so a reader sees all of it or nothing, and of two makers one wins.
    pub fn check_out(&self, layout: &Layout, tree: &ObjectId) -> Result<PathBuf, GitError> {
        if let Some(place) = standing(layout, tree) {
            return Ok(place);
        }
        let place = layout.checkout(tree);
        let temporary = layout.temporary();
        fs::create_dir(&temporary)?;
        let work = tempfile::Builder::new()
            .prefix("checkout-")
            .tempdir_in(&temporary)
            .map_err(FsError::while_doing("create a folder in", &temporary))?;
        let files = work.path().join("files");
        fs::create_dir(&files)?;
        self.fill(tree, &files, &work.path().join("index"))?;
        put_in_place(&files, &place)?;
        Ok(place)
    }

    /// Writes a tree's files with an index of its own; `git` applies line endings, filters, modes and links as the user's checkout has them.
    fn fill(&self, tree: &ObjectId, files: &Path, index: &Path) -> Result<(), GitError> {
        self.command()
            .arg("--work-tree")
            .arg(files)
            .args(["-c", "core.bare=false", "-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false"])
            .args(["read-tree", "--reset", "-u", "--no-sparse-checkout", tree.as_str()])
            .env("GIT_INDEX_FILE", index)
            .directory(files)
            .succeed()?;
        Ok(())
    }
}

/// The checkout of a tree that was made before; this is a use of it.
fn standing(layout: &Layout, tree: &ObjectId) -> Option<PathBuf> {
    let place = layout.checkout(tree);
    place.is_dir().then(|| {
        mark_used(&place);
        place
    })
}

fn put_in_place(files: &Path, place: &Path) -> Result<(), GitError> {
    if let Some(folder) = place.parent() {
        fs::create_dir(folder)?;
    }
    match std::fs::rename(files, place) {
        Err(_) if place.is_dir() => Ok(()),
        other => other.map_err(FsError::while_doing("put in place", place)).map_err(Into::into),
    }
}

/// The read-only file that holds a state; made when it is not there yet.
pub fn materialise_state(layout: &Layout, revision: &ObjectId, bytes: &[u8]) -> Result<PathBuf, FsError> {
    let path = layout.state(revision);
    if fs::read_if_there(&path)?.as_deref() == Some(bytes) {
        mark_used(&path);
    } else {
        fs::replace(&path, bytes, Durability::Rebuildable)?;
    }
    Ok(path)
}

/// `agent gc` leaves alone what was used lately. Where that cannot be written down, nothing worse than making it again can come of it.
fn mark_used(path: &Path) {
    let _ = std::fs::File::open(path).and_then(|file| file.set_modified(clock::now().into()));
}
