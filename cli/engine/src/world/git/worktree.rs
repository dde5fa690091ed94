//! The user's working tree as a tree.

use super::error::GitError;
use super::repository::Git;
use crate::world::fs::{self, Durability, FileLock, FsError};
use crate::world::git_command::GitCommand;
use crate::world::layout::{self, Layout};
use crate::world::process::Run;
use crate::world::unwinding::joined;
use agent_core::formats::object_id::{ObjectId, hex};
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
            self.add_all(folder, &index)?;
        } else {
            self.add_all_but_ignored(folder, &index)?;
        }
        self.leave_out_home(folder, &index)?;
        self.tree_of_worktree_index(folder, &index)
    }

    /// In a sparse checkout, only the user's index lists the files that are absent without being
    /// deleted, and the `.gitignore` files among them.
    fn take_users_index(&self, index: &Path) -> Result<(), GitError> {
        match fs::read_if_there(&self.repository.git_dir().join("index"))? {
            Some(bytes) => Ok(fs::write(index, &bytes)?),
            None => Ok(fs::remove_if_there(index)?),
        }
    }

    fn add_all(&self, folder: &Path, index: &Path) -> Result<(), GitError> {
        self.with_index(folder, index).args(["add", "--all", "."]).succeed()?;
        Ok(())
    }

    /// `git add` keeps what an index holds already, and takes nothing new that is ignored. What is
    /// tracked counts whatever is ignored, and nothing else that is.
    fn add_all_but_ignored(&self, folder: &Path, index: &Path) -> Result<(), GitError> {
        const IGNORED: [&str; 5] =
            ["ls-files", "-z", "--cached", "--ignored", "--exclude-standard"];
        let held = self.with_index(folder, index).args(IGNORED);
        let tracked = self.command().args(IGNORED).directory(folder);
        // two of the three only read, and git replaces an index as a whole. Whether the ignored
        // paths are those before or after the addition is the same: it changes none of them, but
        // for those without a file, which are not in the tree either way
        let (held, tracked, added) = std::thread::scope(|scope| {
            let held = scope.spawn(|| held.succeed());
            let tracked = scope.spawn(|| tracked.succeed());
            let added = self.add_all(folder, index);
            (joined(held), joined(tracked), added)
        });
        added?;
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

    /// A link to `.agent` is not part of the code, but `.agent/` in a .gitignore matches folders
    /// only.
    fn leave_out_home(&self, folder: &Path, index: &Path) -> Result<(), GitError> {
        if folder.join(layout::HOME).is_symlink() {
            self.with_index(folder, index)
                .args(["update-index", "--force-remove", "--", layout::HOME])
                .succeed()?;
        }
        Ok(())
    }

    /// The tree of an index that only `snapshot_worktree` uses. It is noted beside the index, with
    /// the checksum that ends it: git is asked only when the index has changed.
    fn tree_of_worktree_index(&self, folder: &Path, index: &Path) -> Result<ObjectId, GitError> {
        let note = index.with_extension("tree");
        let noted = fs::read_if_there(&note)?.and_then(|bytes| String::from_utf8(bytes).ok());
        if let (Some(noted), Some(checksum)) = (noted, index_checksum(index)?)
            && let Some((of, tree)) = noted.split_once(' ')
            && let Some(tree) = ObjectId::parse(tree)
            && of == checksum
            && self.exists(&tree)
        {
            return Ok(tree);
        }
        let written = self.with_index(folder, index).args(["write-tree"]).succeed()?;
        let tree = self.written_tree(&written.text())?;
        // `git write-tree` keeps the trees in the index, so its checksum is another one now
        if let Some(checksum) = index_checksum(index)? {
            fs::replace(&note, format!("{checksum} {tree}").as_bytes(), Durability::Rebuildable)?;
        }
        Ok(tree)
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

    pub(super) fn written_tree(&self, text: &str) -> Result<ObjectId, GitError> {
        let id = ObjectId::parse(text).ok_or_else(|| GitError::NoCommit {
            revision: text.to_owned(),
            shallow: self.is_shallow(),
        })?;
        Ok(id)
    }
}

/// The SHA-1 at the end of an index, in hexadecimal digits. `None` where there is none: with
/// `index.skipHash` git writes zeros.
fn index_checksum(index: &Path) -> Result<Option<String>, FsError> {
    let bytes = fs::read_if_there(index)?.unwrap_or_default();
    let checksum = bytes.last_chunk::<20>().filter(|checksum| **checksum != [0; 20]);
    Ok(checksum.map(|checksum| hex(checksum)))
}

/// Of paths that each end with a NUL, those that are not among the others.
fn paths_without(paths: &[u8], others: &[u8]) -> Vec<u8> {
    let each = |paths| <[u8]>::split_inclusive(paths, |byte| *byte == 0);
    let others: HashSet<_> = each(others).collect();
    each(paths).filter(|path| !others.contains(path)).flatten().copied().collect()
}
