//! The files of a tree: what they are, and writing them to a folder as git holds them, whatever the
//! user's configuration makes of a working tree.

use super::error::GitError;
use super::ids::{from_gix, to_gix};
use super::objects::{Listed, Mode};
use super::repository::Git;
use crate::world::fs::{self, FsError};
use agent_core::formats::object_id::ObjectId;
use gix::bstr::{BStr, ByteSlice};
use gix::objs::tree::EntryKind;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

const ATTRIBUTES: &str = ".gitattributes";
/// Attributes by which git writes other bytes than a blob's, by a part of their names.
const CONVERTING: [&str; 4] = ["crlf", "encoding", "filter", "ident"];

impl Git {
    /// All files of a tree. Each tree object is checked against its id, so that the list matches
    /// that id.
    pub fn tree_files(&self, tree: &ObjectId) -> Result<Vec<Listed>, GitError> {
        let mut listed = Vec::new();
        let mut folders = vec![(PathBuf::new(), to_gix(tree))];
        while let Some((folder, id)) = folders.pop() {
            let object = self
                .find(&from_gix(id))?
                .try_into_tree()
                .map_err(GitError::reading(format!("tree {id}")))?;
            if gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Tree, &object.data)
                .ok()
                != Some(id)
            {
                return Err(GitError::Forged { id: from_gix(id) });
            }
            for entry in object.iter() {
                let entry = entry.map_err(GitError::reading(format!("tree {id}")))?;
                let path = folder.join(OsStr::from_bytes(entry.filename()));
                match entry.mode().kind() {
                    EntryKind::Tree => folders.push((path, entry.object_id())),
                    kind => listed.push(Listed {
                        path,
                        mode: Mode::of(kind),
                        id: from_gix(entry.object_id()),
                    }),
                }
            }
        }
        Ok(listed)
    }

    /// Whether git would write other bytes than those of the blobs: the attributes of the tree or
    /// of the clone name a filter, an encoding or line ends.
    pub fn converts(&self, listed: &[Listed]) -> Result<bool, GitError> {
        let converts = |bytes: &[u8]| CONVERTING.iter().any(|word| bytes.contains_str(word));
        let here = fs::read_if_there(&self.common_dir().join("info/attributes"))?;
        if here.is_some_and(|bytes| converts(&bytes)) {
            return Ok(true);
        }
        for file in
            listed.iter().filter(|file| file.path.file_name() == Some(OsStr::new(ATTRIBUTES)))
        {
            if file.mode != Mode::Link && converts(&self.blob(&file.id)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the file systems of this clone keep the bit that makes a file a program, and links,
    /// as git found out when it made the clone.
    pub fn keeps_programs(&self) -> bool {
        self.config("core.fileMode").is_none_or(|value| value != "false")
    }

    pub fn keeps_links(&self) -> bool {
        self.config("core.symlinks").is_none_or(|value| value != "false")
    }

    /// Writes the files of a tree into an empty folder, none of them writable. What git would only
    /// copy is copied here, in a fraction of the time.
    pub fn fill(&self, tree: &ObjectId, listed: &[Listed], folder: &Path) -> Result<(), GitError> {
        let is_plain = self.keeps_links()
            && listed.iter().all(|file| is_plain(&file.path))
            && !self.converts(listed)?;
        if is_plain && self.has_all(listed) {
            return self.copy(listed, folder);
        }
        self.read_tree(tree, folder)?;
        for file in listed.iter().filter(|file| matches!(file.mode, Mode::File | Mode::Executable))
        {
            let mode = if file.mode == Mode::Executable { PROGRAM } else { FILE };
            fs::set_mode(&folder.join(&file.path), mode)?;
        }
        Ok(())
    }

    /// A partial clone lacks blobs, which git fetches when it needs them.
    fn has_all(&self, listed: &[Listed]) -> bool {
        !self.is_partial()
            || listed.iter().all(|file| file.mode == Mode::Submodule || self.exists(&file.id))
    }

    /// Every name is created exclusively and links are not followed, so that duplicate names are an
    /// error and nothing is written outside of the folder.
    fn copy(&self, listed: &[Listed], folder: &Path) -> Result<(), GitError> {
        let mut folders = HashSet::from([Path::new("")]);
        for file in listed {
            make_folders(folder, &file.path, &mut folders)?;
            let path = folder.join(&file.path);
            match file.mode {
                Mode::File => write_new(&path, FILE, &self.blob(&file.id)?),
                Mode::Executable => write_new(&path, PROGRAM, &self.blob(&file.id)?),
                Mode::Link => symlink(OsStr::from_bytes(&self.blob(&file.id)?), &path),
                Mode::Submodule | Mode::Folder => std::fs::create_dir(&path),
            }
            .map_err(FsError::while_doing("create", &path))?;
        }
        Ok(())
    }

    /// Writes the files by git, with a separate index, where that needs git: filters, line endings
    /// and encodings from attributes, and blobs missing in a partial clone. The user's line ending
    /// configuration is ignored: a tree gives the same files on every machine.
    fn read_tree(&self, tree: &ObjectId, folder: &Path) -> Result<(), GitError> {
        const SETTINGS: [&str; 7] = [
            "core.bare=false",
            "core.fsmonitor=false",
            "core.splitIndex=false",
            "core.autocrlf=false",
            "core.eol=lf",
            "core.attributesFile=/dev/null",
            "advice.detachedHead=false",
        ];
        let index = tempfile::tempdir_in(folder.parent().unwrap_or(folder))
            .map_err(FsError::while_doing("create a folder beside", folder))?;
        self.command()
            .arg("--work-tree")
            .arg(folder)
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .args(["read-tree", "--reset", "-u", "--no-sparse-checkout", tree.as_str()])
            .env("GIT_INDEX_FILE", index.path().join("index"))
            .env("GIT_ATTR_NOSYSTEM", "1")
            .directory(folder)
            .succeed()?;
        Ok(())
    }
}

/// Without write permission: the files of a checkout are immutable.
const FILE: u32 = 0o444;
const PROGRAM: u32 = 0o555;

fn make_folders<'a>(
    folder: &Path,
    file: &'a Path,
    made: &mut HashSet<&'a Path>,
) -> Result<(), FsError> {
    let missing: Vec<_> =
        file.ancestors().skip(1).take_while(|parent| !made.contains(parent)).collect();
    for parent in missing.into_iter().rev() {
        let path = folder.join(parent);
        std::fs::create_dir(&path).map_err(FsError::while_doing("create the folder", &path))?;
        made.insert(parent);
    }
    Ok(())
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(bytes)
}

/// Names with the same meaning on every system; git handles the others.
pub(super) fn is_plain(path: &Path) -> bool {
    let is_plain = |part: &OsStr| {
        let options = gix::validate::path::component::Options::default();
        gix::validate::path::component(BStr::new(part.as_bytes()), None, options).is_ok()
    };
    path.iter().all(is_plain)
}
