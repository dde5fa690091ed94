//! A tree's files as a separate repository for editing, and the resulting tree.
//!
//! No object, ref, configuration or hook of this repository is in the folder, and what git keeps
//! there plays no part afterwards: what is taken in are the bytes of regular files, under the
//! attributes and ignore rules of the tree that was handed out.

use super::error::GitError;
use super::objects::{Mode, TreeEdit};
use super::repository::Git;
use crate::world::fs::{self, FsError};
use crate::world::git_command::{FALLBACK_EMAIL, FALLBACK_NAME, GitCommand, of_readable_format};
use crate::world::process::Run;
use crate::world::temporary::Temporary;
use agent_core::bisection::difference::{PathChange, PathStatus};
use agent_core::formats::object_id::ObjectId;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The maximum number of files in the folder, ignored ones included.
const FILES_LIMIT: usize = 500_000;
/// The files that decide how git reads others, in any folder of a tree.
const ATTRIBUTES: &str = ".gitattributes";
const IGNORED: &str = ".gitignore";

/// A path from the folder's root, as the file system has it.
type Name = Vec<u8>;

/// The files that were handed out, as they were then.
#[derive(Debug)]
pub struct HandedOut {
    tree: ObjectId,
    files: BTreeMap<Name, Mark>,
}

/// By what a file is known again.
#[derive(Debug, PartialEq, Eq)]
enum Mark {
    File { length: u64, executable: bool, digest: String },
    Link { to: PathBuf },
}

/// A file that is in the folder now.
#[derive(Debug, Clone)]
enum Found {
    File { length: u64, executable: bool },
    Link,
}

/// What was edited.
#[derive(Debug, Default)]
pub struct Edited {
    /// By path; a name that is no UTF-8 has replacement characters.
    pub changes: Vec<PathChange>,
    /// New links, and those that lead elsewhere now.
    pub links: Vec<String>,
    /// Of the files that are new or changed.
    pub bytes: u64,
    executable: BTreeSet<String>,
}

/// Why nothing can be taken in from a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    Removed,
    TooMany(usize),
}

impl Git {
    /// Writes the files of a tree into a folder that is not there yet, and makes it a repository
    /// with one commit.
    pub fn hand_out(
        &self,
        tree: &ObjectId,
        folder: &Path,
        message: &str,
    ) -> Result<HandedOut, GitError> {
        fs::create_dir(folder)?;
        let listed = self.tree_files(tree)?;
        self.fill(tree, &listed, folder)?;
        for file in listed.iter().filter(|file| matches!(file.mode, Mode::File | Mode::Executable))
        {
            fs::set_mode(&folder.join(&file.path), permissions(file.mode == Mode::Executable))?;
        }
        let mut files = BTreeMap::new();
        for (name, found) in walked(folder)?.unwrap_or_default() {
            files.insert(name.clone(), marked(&folder.join(path_of(&name)), &found)?);
        }
        begin_history(folder, message)?;
        Ok(HandedOut { tree: tree.clone(), files })
    }

    /// What differs in the folder from what was handed out. Ignored files are left out by the rules
    /// that were handed out, whatever became of those there.
    pub fn edited(
        &self,
        folder: &Path,
        handed_out: &HandedOut,
    ) -> Result<Result<Edited, Unreadable>, GitError> {
        let found = match walked(folder)? {
            Ok(found) => found,
            Err(lost) => return Ok(Err(lost)),
        };
        let ignored = self.ignored(
            found.keys().filter(|name| !handed_out.files.contains_key(*name)),
            &handed_out.tree,
        )?;
        let modes_count = self.keeps_programs();
        let mut edited = Edited::default();
        for (name, found) in found.iter().filter(|(name, _)| !ignored.contains(*name)) {
            let before = handed_out.files.get(name);
            let same = before
                .map(|before| is_same(&folder.join(path_of(name)), found, before, modes_count))
                .transpose()?;
            if same != Some(true) {
                edited.add(name, found, before.is_some());
            }
        }
        for name in handed_out.files.keys().filter(|name| !found.contains_key(*name)) {
            edited.changes.push(PathChange { path: shown(name), status: PathStatus::Removed });
        }
        edited.changes.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Ok(edited))
    }

    /// A tree (or commit) with the edits on top of it. `base` is what was handed out, or that with
    /// more files. The changes' names are plain, and none is a link.
    pub fn take_in(
        &self,
        folder: &Path,
        edited: &Edited,
        base: &ObjectId,
    ) -> Result<ObjectId, GitError> {
        let scratch = self.scratch()?;
        let files = self.laid_out(base, ATTRIBUTES, scratch.path())?;
        let mut edits = Vec::new();
        let mut names = Vec::new();
        for PathChange { path, status } in &edited.changes {
            if *status == PathStatus::Removed {
                edits.push(TreeEdit::Remove { path: path.clone() });
                continue;
            }
            let executable = edited.executable.contains(path);
            let bytes = fs::read_regular(&folder.join(path))?;
            if is_named(path, ATTRIBUTES) {
                // it decides nothing yet
                edits.push(TreeEdit::Put {
                    path: path.clone(),
                    id: self.write_blob(&bytes)?,
                    mode: mode(executable),
                });
                continue;
            }
            fs::write(&files.join(path), &bytes)?;
            fs::set_mode(&files.join(path), permissions(executable))?;
            names.extend([path.as_bytes(), b"\0"].concat());
        }
        let index = scratch.path().join("index");
        self.with_index(&files, &index).args(["read-tree", base.as_str()]).succeed()?;
        // as at creation: without the user's line ending configuration
        let own = [
            "-c",
            "core.autocrlf=false",
            "-c",
            "core.eol=lf",
            "-c",
            "core.attributesFile=/dev/null",
        ];
        let add = ["add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul"];
        let add = self.with_index(&files, &index).args(own).args(add).stdin(names);
        add.env("GIT_LITERAL_PATHSPECS", "1").env("GIT_ATTR_NOSYSTEM", "1").succeed()?;
        let tree = self.written_tree(
            &self.with_index(&files, &index).args(["write-tree"]).succeed()?.text(),
        )?;
        self.edit_tree(Some(&tree), &edits)
    }

    /// Which of these files git would leave out by the ignore rules of a tree, of this repository
    /// and of the user.
    fn ignored<'a>(
        &self,
        names: impl Iterator<Item = &'a Name>,
        tree: &ObjectId,
    ) -> Result<BTreeSet<Name>, GitError> {
        let asked: Vec<u8> =
            names.flat_map(|name| [name.as_slice(), b"\0"]).flatten().copied().collect();
        if asked.is_empty() {
            return Ok(BTreeSet::new());
        }
        let scratch = self.scratch()?;
        let files = self.laid_out(tree, IGNORED, scratch.path())?;
        let question = ["check-ignore", "--no-index", "-z", "--stdin"];
        let index = scratch.path().join("index");
        // exit status 1: none is ignored
        let answer =
            self.with_index(&files, &index).args(question).stdin(asked).end_with(&[0, 1])?;
        Ok(answer
            .stdout
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(<[u8]>::to_vec)
            .collect())
    }

    /// A working tree of nothing but the files of this name, below `scratch`.
    fn laid_out(&self, tree: &ObjectId, name: &str, scratch: &Path) -> Result<PathBuf, GitError> {
        let files = scratch.join("files");
        fs::create_dir(&files)?;
        for entry in self.files(tree, "")?.into_iter().filter(|entry| is_named(&entry.path, name)) {
            if matches!(entry.mode, Mode::File | Mode::Executable) {
                fs::write(&files.join(&entry.path), &self.blob(&entry.id)?)?;
            }
        }
        Ok(files)
    }

    fn scratch(&self) -> Result<Temporary, GitError> {
        Ok(self.layout().temporary_folder("workplace")?)
    }
}

impl Edited {
    fn add(&mut self, name: &Name, found: &Found, was_there: bool) {
        let path = shown(name);
        let status = if was_there { PathStatus::Modified } else { PathStatus::Added };
        self.changes.push(PathChange { path: path.clone(), status });
        match found {
            Found::File { length, executable } => {
                self.bytes += length;
                if *executable {
                    self.executable.insert(path);
                }
            }
            Found::Link => self.links.push(path),
        }
    }
}

/// git in a workplace: it uses the workplace's repository, regardless of inherited variables.
fn git_in(folder: &Path) -> Run {
    let quiet = [
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "maintenance.auto=false",
        "-c",
        "gc.auto=0",
    ];
    GitCommand::isolated(folder).run().args(quiet)
}

fn begin_history(folder: &Path, message: &str) -> Result<(), GitError> {
    of_readable_format(git_in(folder).args([
        "init",
        "--quiet",
        "--template=",
        "--initial-branch=main",
    ]))
    .succeed()?;
    git_in(folder).args(["add", "--all", "--force", "."]).succeed()?;
    let commit = git_in(folder)
        .args(["commit", "--quiet", "--no-verify", "--no-gpg-sign", "--allow-empty", "--file=-"])
        .stdin(message);
    let by = |run: Run, role: &str| {
        run.env(format!("GIT_{role}_NAME"), FALLBACK_NAME)
            .env(format!("GIT_{role}_EMAIL"), FALLBACK_EMAIL)
    };
    by(by(commit, "AUTHOR"), "COMMITTER").succeed()?;
    Ok(())
}

/// Every file and link below a folder, but for what its own repository keeps; what is neither
/// cannot be in a tree.
fn walked(folder: &Path) -> Result<Result<BTreeMap<Name, Found>, Unreadable>, FsError> {
    let is_folder = folder.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    if !is_folder {
        return Ok(Err(Unreadable::Removed));
    }
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(relative) = folders.pop() {
        let place = folder.join(&relative);
        for entry in
            std::fs::read_dir(&place).map_err(FsError::while_doing("list the folder", &place))?
        {
            let entry = entry.map_err(FsError::while_doing("list the folder", &place))?;
            if relative.as_os_str().is_empty() && entry.file_name() == ".git" {
                continue;
            }
            let name = relative.join(entry.file_name());
            let metadata =
                entry.metadata().map_err(FsError::while_doing("inspect", &entry.path()))?;
            if metadata.is_dir() {
                folders.push(name);
            } else if metadata.is_symlink() {
                found.insert(name.into_os_string().into_vec(), Found::Link);
            } else if metadata.is_file() {
                let executable =
                    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0;
                found.insert(
                    name.into_os_string().into_vec(),
                    Found::File { length: metadata.len(), executable },
                );
            }
            if found.len() + folders.len() > FILES_LIMIT {
                return Ok(Err(Unreadable::TooMany(FILES_LIMIT)));
            }
        }
    }
    Ok(Ok(found))
}

fn marked(path: &Path, found: &Found) -> Result<Mark, FsError> {
    Ok(match found {
        Found::Link => Mark::Link { to: fs::link_target(path)? },
        Found::File { length, executable } => Mark::File {
            length: *length,
            executable: *executable,
            digest: fs::digest_of_regular(path)?,
        },
    })
}

fn is_same(path: &Path, found: &Found, before: &Mark, modes_count: bool) -> Result<bool, FsError> {
    match (found, before) {
        (Found::Link, Mark::Link { to }) => Ok(fs::link_target(path)? == *to),
        (
            Found::File { length, executable },
            Mark::File { length: old, executable: was, digest: known },
        ) => {
            let looks_the_same = length == old && (executable == was || !modes_count);
            Ok(looks_the_same && fs::digest_of_regular(path)? == *known)
        }
        _ => Ok(false),
    }
}

const fn permissions(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

fn mode(executable: bool) -> Mode {
    if executable { Mode::Executable } else { Mode::File }
}

fn is_named(path: &str, name: &str) -> bool {
    path.rsplit('/').next() == Some(name)
}

fn path_of(name: &Name) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

fn shown(name: &Name) -> String {
    String::from_utf8_lossy(name).into_owned()
}
