//! The coder's workplace: a separate repository with the served code, created for an attempt and
//! removed after it.
//!
//! Held-out cases are not in it, and nothing leads from it to the repository it was made from: no
//! objects, refs, remotes, hooks or configuration.

use crate::architect::change::CoderResult;
use crate::error::Failure;
use crate::world::fs;
use crate::world::git::{Edited, Git, HandedOut, TreeEdit, Unreadable};
use crate::world::layout::Layout;
use agent_core::architect::paths::{self, BYTES_LIMIT};
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::case_result::held_out_folder;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub struct Workplace<'a> {
    git: &'a Git,
    base: ObjectId,
    home: PathBuf,
    handed_out: HandedOut,
}

impl<'a> Workplace<'a> {
    pub fn open(
        git: &'a Git,
        layout: &Layout,
        run: &str,
        base: &ObjectId,
    ) -> Result<Self, Failure> {
        let home = place(layout, run);
        fs::remove_stubborn_folder(&home)?;
        let tree = without_held_out(git, base)?;
        let handed_out = git.hand_out(&tree, &folder(&home), "what is served\n")?;
        fs::create_dir(&temporary(&home))?;
        Ok(Self { git, base: base.clone(), home, handed_out })
    }

    /// Where the coder works.
    pub fn folder(&self) -> PathBuf {
        folder(&self.home)
    }

    /// Its folder for temporary files.
    pub fn temporary(&self) -> PathBuf {
        temporary(&self.home)
    }

    /// The folder around both, with the brief and the commit message. The coder may change all of
    /// it.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The coder's edits, read from the workplace: what the coder reports about them is not used.
    pub fn left(&self) -> Result<CoderResult, Failure> {
        let edited = match self.git.edited(&self.folder(), &self.handed_out)? {
            Ok(edited) => edited,
            Err(Unreadable::Removed) => {
                return Ok(CoderResult::unfit("the coder removed the folder it was to work in"));
            }
            Err(Unreadable::TooMany(most)) => {
                return Ok(CoderResult::unfit(format!("the coder left more than {most} files")));
            }
        };
        match self.refused(&edited)? {
            Some(why) => Ok(CoderResult::Unfit {
                why,
                paths: edited.changes.into_iter().map(|change| change.path).collect(),
            }),
            None => Ok(CoderResult::Tree(self.git.take_in(&self.folder(), &edited, &self.base)?)),
        }
    }

    /// Why these edits are refused before they are read as a tree.
    fn refused(&self, edited: &Edited) -> Result<Option<String>, Failure> {
        if let Some(why) = paths::refused(&edited.changes) {
            return Ok(Some(why));
        }
        if let Some(link) = edited.links.first() {
            return Ok(Some(format!(
                "the change makes {link:?} a link, and must not: it would lead out of the \
                repository"
            )));
        }
        if edited.bytes > BYTES_LIMIT {
            let (bytes, most) = (edited.bytes >> 20, BYTES_LIMIT >> 20);
            return Ok(Some(format!(
                "the files of the change hold {bytes} MiB; at most {most} MiB are allowed"
            )));
        }
        let before = self.git.files(&self.base, "")?;
        Ok(paths::spelt_twice(before.iter().map(|file| file.path.as_str()), &edited.changes))
    }
}

impl Drop for Workplace<'_> {
    fn drop(&mut self) {
        // what cannot be removed now is removed by the next run
        let _ = fs::remove_stubborn_folder(&self.home);
    }
}

/// The code of a commit without its held-out cases, as a coder gets it.
fn without_held_out(git: &Git, base: &ObjectId) -> Result<ObjectId, Failure> {
    let files = git.files(base, "tests")?;
    let folders: BTreeSet<_> =
        files.iter().filter_map(|file| held_out_folder(&file.path)).collect();
    let edits: Vec<_> =
        folders.into_iter().map(|folder| TreeEdit::Remove { path: folder.to_owned() }).collect();
    Ok(git.edit_tree(Some(base), &edits)?)
}

const HOME: &str = "coder";

fn place(layout: &Layout, run: &str) -> PathBuf {
    layout.architect(run).join(HOME)
}

/// Possible leftovers of a crashed run: its workplace, and the working tree used by earlier
/// versions.
pub fn leftovers(run: &Path) -> [PathBuf; 2] {
    [HOME, "worktree"].map(|name| run.join(name))
}

fn folder(home: &Path) -> PathBuf {
    home.join("workplace")
}

fn temporary(home: &Path) -> PathBuf {
    home.join("tmp")
}

/// Removes the workplace of a crashed run.
pub fn clear(layout: &Layout, run: &str) -> Result<(), Failure> {
    Ok(fs::remove_stubborn_folder(&place(layout, run))?)
}
