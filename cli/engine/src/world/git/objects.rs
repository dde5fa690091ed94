//! Blobs, trees and commits: reading them, and writing them so that a kill leaves nothing behind
//! and a torn one is repaired.

use super::error::GitError;
use super::ids::{from_gix, loose_path, to_gix};
use super::repository::Git;
use crate::world::clock;
use crate::world::fs::{self, FsError};
use agent_core::bisection::difference::{PathChange, PathStatus};
use agent_core::formats::object_id::ObjectId;
use agent_core::version::trailers::Trailers;
use gix::bstr::{BStr, ByteSlice};
use gix::objs::WriteTo;
use gix::objs::tree::EntryKind;
use jiff::Timestamp;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The committer when git has no identity configured.
const FALLBACK_IDENTITY: (&str, &str) = ("agent", "agent@localhost");
/// Root folders that are no code: the state, and what judges.
const NO_CODE: [&str; 3] = ["state", "tests", "ci"];
/// The prefix of temporary object files, which `git gc` prunes as well.
const TEMPORARY: &str = "tmp_obj_agent_";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    pub id: ObjectId,
    pub tree: ObjectId,
    pub parents: Vec<ObjectId>,
    pub message: String,
    pub trailers: Trailers,
    /// The author's name.
    pub author: String,
    pub time: Timestamp,
}

impl CommitInfo {
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

/// A commit to be written; author and committer are the user's git identity, or `agent`'s own when
/// there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSpec {
    pub tree: ObjectId,
    pub parents: Vec<ObjectId>,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    File,
    Executable,
    Link,
    Folder,
    Submodule,
}

impl Mode {
    const fn kind(self) -> EntryKind {
        match self {
            Self::File => EntryKind::Blob,
            Self::Executable => EntryKind::BlobExecutable,
            Self::Link => EntryKind::Link,
            Self::Folder => EntryKind::Tree,
            Self::Submodule => EntryKind::Commit,
        }
    }

    pub(super) const fn of(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Blob => Self::File,
            EntryKind::BlobExecutable => Self::Executable,
            EntryKind::Link => Self::Link,
            EntryKind::Tree => Self::Folder,
            EntryKind::Commit => Self::Submodule,
        }
    }
}

/// A file (or link, or submodule) of a tree, by its path from the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub id: ObjectId,
    pub mode: Mode,
}

/// A file, link or submodule of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// From the root of the tree, byte for byte.
    pub path: PathBuf,
    pub mode: Mode,
    pub id: ObjectId,
}

/// One change to a tree; folders are created and removed with their files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeEdit {
    Put {
        path: String,
        id: ObjectId,
        mode: Mode,
    },
    /// A file or a folder with its content; a no-op when there is none.
    Remove {
        path: String,
    },
}

impl TreeEdit {
    pub fn file(path: impl Into<String>, id: ObjectId) -> Self {
        Self::Put { path: path.into(), id, mode: Mode::File }
    }
}

impl Git {
    pub fn commit(&self, id: &ObjectId) -> Result<CommitInfo, GitError> {
        let commit =
            self.find(id)?.try_into_commit().map_err(GitError::reading(format!("commit {id}")))?;
        let decoded = commit.decode().map_err(GitError::reading(format!("commit {id}")))?;
        let message = decoded.message.to_str_lossy().into_owned();
        let seconds = decoded.time().map_err(GitError::reading(format!("commit {id}")))?.seconds;
        let author = decoded
            .author()
            .map(|author| author.name.to_str_lossy().into_owned())
            .map_err(GitError::reading(format!("commit {id}")))?;
        Ok(CommitInfo {
            id: id.clone(),
            tree: from_gix(decoded.tree()),
            parents: decoded.parents().map(from_gix).collect(),
            trailers: Trailers::parse(&message),
            message,
            author,
            time: Timestamp::from_second(seconds).unwrap_or_default(),
        })
    }

    /// The tree of a commit; a tree is its own.
    pub fn tree_of(&self, tree_or_commit: &ObjectId) -> Result<ObjectId, GitError> {
        Ok(from_gix(self.peeled_tree(tree_or_commit)?.id))
    }

    /// The bytes of a file; `None` when there is no such file (links and folders are no files).
    pub fn read(&self, tree_or_commit: &ObjectId, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        match self.entry(tree_or_commit, path)? {
            Some(Entry { id, mode: Mode::File | Mode::Executable, .. }) => self.blob(&id).map(Some),
            _ => Ok(None),
        }
    }

    /// The entry at a path: file, link, folder or submodule.
    pub fn entry(&self, tree_or_commit: &ObjectId, path: &str) -> Result<Option<Entry>, GitError> {
        let tree = self.peeled_tree(tree_or_commit)?;
        let found = self.with_trees(&[tree_or_commit], || {
            tree.lookup_entry(path.split('/'))
                .map_err(GitError::reading(format!("{tree_or_commit}:{path}")))
        })?;
        Ok(found.map(|entry| Entry {
            path: path.to_owned(),
            id: from_gix(entry.object_id()),
            mode: Mode::of(entry.mode().kind()),
        }))
    }

    pub fn blob(&self, id: &ObjectId) -> Result<Vec<u8>, GitError> {
        let mut blob =
            self.find(id)?.try_into_blob().map_err(GitError::reading(format!("blob {id}")))?;
        Ok(blob.take_data())
    }

    /// Every file below `prefix` (a folder; the empty one is the root), sorted by path; paths are
    /// from the root. A name that is not UTF-8 is an error, since two such names could become
    /// equal.
    pub fn files(&self, tree_or_commit: &ObjectId, prefix: &str) -> Result<Vec<Entry>, GitError> {
        let prefix = prefix.trim_end_matches('/');
        let top = match prefix {
            "" => self.tree_of(tree_or_commit)?,
            _ => match self.entry(tree_or_commit, prefix)? {
                Some(Entry { id, mode: Mode::Folder, .. }) => id,
                _ => return Ok(Vec::new()),
            },
        };
        let tree = self.peeled_tree(&top)?;
        let read = || {
            tree.traverse()
                .breadthfirst
                .files()
                .map_err(GitError::reading(format!("the files of {tree_or_commit}:{prefix}")))
        };
        let records = self.with_trees(&[&top], read)?;
        let mut entries = records
            .into_iter()
            .filter(|record| !record.mode.is_tree())
            .map(|record| {
                let path = joined(prefix, record.filepath.as_bstr())?;
                Ok(Entry { path, id: from_gix(record.oid), mode: Mode::of(record.mode.kind()) })
            })
            .collect::<Result<Vec<_>, GitError>>()?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// All files at or below a path, sorted by path. Every traversed object is checked against its
    /// id, so that replaced objects are detected. A link or a submodule is listed as such.
    pub fn checked_files(
        &self,
        tree_or_commit: &ObjectId,
        path: &str,
    ) -> Result<Vec<Entry>, GitError> {
        let mut id = self.checked_tree_of(tree_or_commit)?;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let tree = self
                .checked(&id)?
                .try_into_tree()
                .map_err(GitError::reading(format!("tree {id}")))?;
            let found = tree
                .iter()
                .filter_map(Result::ok)
                .find(|entry| entry.filename() == part.as_bytes());
            let Some((next, mode)) =
                found.map(|entry| (from_gix(entry.object_id()), Mode::of(entry.mode().kind())))
            else {
                return Ok(Vec::new());
            };
            if mode != Mode::Folder {
                let is_it = parts.peek().is_none();
                return Ok(if is_it {
                    vec![Entry { path: path.to_owned(), id: next, mode }]
                } else {
                    Vec::new()
                });
            }
            id = next;
        }
        let entry = |file: Listed| {
            let below = joined(path, BStr::new(file.path.as_os_str().as_bytes()))?;
            Ok(Entry { path: below, id: file.id, mode: file.mode })
        };
        let mut entries =
            self.tree_files(&id)?.into_iter().map(entry).collect::<Result<Vec<_>, GitError>>()?;
        if self.is_partial() {
            self.bring(
                &entries
                    .iter()
                    .filter(|entry| entry.mode != Mode::Submodule)
                    .map(|entry| &entry.id)
                    .collect::<Vec<_>>(),
            )?;
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// A blob, checked against its id.
    pub fn checked_blob(&self, id: &ObjectId) -> Result<Vec<u8>, GitError> {
        let mut blob =
            self.checked(id)?.try_into_blob().map_err(GitError::reading(format!("blob {id}")))?;
        Ok(blob.take_data())
    }

    fn checked_tree_of(&self, tree_or_commit: &ObjectId) -> Result<ObjectId, GitError> {
        let object = self.checked(tree_or_commit)?;
        match object.kind {
            gix::objs::Kind::Commit => Ok(self.commit(tree_or_commit)?.tree),
            _ => Ok(tree_or_commit.clone()),
        }
    }

    fn checked(&self, id: &ObjectId) -> Result<gix::Object<'_>, GitError> {
        let object = self.find(id)?;
        let is_it = gix::objs::compute_hash(gix::hash::Kind::Sha1, object.kind, &object.data)
            .is_ok_and(|found| found == to_gix(id));
        if is_it { Ok(object) } else { Err(GitError::Forged { id: id.clone() }) }
    }

    /// What differs from `old` (the empty tree, when `None`) to `new`, sorted by path; renames are
    /// a removal and an addition.
    pub fn diff(
        &self,
        old: Option<&ObjectId>,
        new: &ObjectId,
    ) -> Result<Vec<PathChange>, GitError> {
        let old_tree = match old {
            Some(id) => self.peeled_tree(id)?,
            None => self.repository.empty_tree(),
        };
        let new_tree = self.peeled_tree(new)?;
        let compare = || {
            let mut recorder = gix::diff::tree::Recorder::default();
            gix::diff::tree(
                gix::objs::TreeRefIter::from_bytes(&old_tree.data, gix::hash::Kind::Sha1),
                gix::objs::TreeRefIter::from_bytes(&new_tree.data, gix::hash::Kind::Sha1),
                gix::diff::tree::State::default(),
                &self.repository.objects,
                &mut recorder,
            )
            .map_err(|source| {
                GitError::reading(format!("the changes up to {new}"))(gix::Error::from_error(
                    source,
                ))
            })?;
            Ok(recorder)
        };
        let recorder =
            self.with_trees(&old.into_iter().chain([new]).collect::<Vec<_>>(), compare)?;
        let mut changes: Vec<PathChange> =
            recorder.records.into_iter().filter_map(file_change).collect();
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }

    /// The best common ancestor; `None` for histories that share nothing.
    pub fn merge_base(&self, one: &ObjectId, two: &ObjectId) -> Result<Option<ObjectId>, GitError> {
        let mut cache = self.repository.revision_graph(None);
        let bases = self
            .repository
            .merge_bases_many_with_graph(to_gix(one), &[to_gix(two)], &mut cache)
            .map_err(GitError::reading(format!("the history of {one} and {two}")))?;
        Ok(bases.first().map(|id| from_gix(id.detach())))
    }

    /// Whether `ancestor` is `descendant` or one of its ancestors.
    pub fn is_ancestor(
        &self,
        ancestor: &ObjectId,
        descendant: &ObjectId,
    ) -> Result<bool, GitError> {
        Ok(ancestor == descendant
            || self.merge_base(ancestor, descendant)?.as_ref() == Some(ancestor))
    }

    pub fn exists(&self, id: &ObjectId) -> bool {
        self.repository.has_object(to_gix(id))
    }

    pub fn write_blob(&self, bytes: &[u8]) -> Result<ObjectId, GitError> {
        self.write_object(gix::objs::Kind::Blob, bytes)
    }

    /// `base` (the empty tree, when `None`) with the edits applied.
    pub fn edit_tree(
        &self,
        base: Option<&ObjectId>,
        edits: &[TreeEdit],
    ) -> Result<ObjectId, GitError> {
        self.with_trees(&base.into_iter().collect::<Vec<_>>(), || self.tree_with(base, edits))
    }

    fn tree_with(&self, base: Option<&ObjectId>, edits: &[TreeEdit]) -> Result<ObjectId, GitError> {
        let root = match base {
            Some(id) => decoded(&self.peeled_tree(id)?)?,
            None => gix::objs::Tree::empty(),
        };
        let mut editor =
            gix::objs::tree::Editor::new(root, &self.repository.objects, gix::hash::Kind::Sha1);
        for edit in edits {
            match edit {
                TreeEdit::Put { path, id, mode } => {
                    check_path(path, *mode)?;
                    editor.upsert(components(path), mode.kind(), to_gix(id))
                }
                TreeEdit::Remove { path } => editor.remove(components(path)),
            }
            .map_err(GitError::writing("a tree"))?;
        }
        let id = editor.write(|tree| self.write_tree_object(tree).map(|id| to_gix(&id)))?;
        Ok(from_gix(id))
    }

    /// The code of a tree, as an id: what its Runner and Tuner run from. That is all of it but
    /// `state/`, `tests/` and `ci/`. Nothing is written.
    pub fn code_tree(&self, tree_or_commit: &ObjectId) -> Result<ObjectId, GitError> {
        id_of(&self.code_root(tree_or_commit)?)
    }

    /// The code of a tree, as a tree that is in the repository.
    pub fn write_code_tree(&self, tree_or_commit: &ObjectId) -> Result<ObjectId, GitError> {
        self.write_tree_object(&self.code_root(tree_or_commit)?)
    }

    pub fn write_commit(&self, spec: &CommitSpec) -> Result<ObjectId, GitError> {
        self.write_commit_at(spec, clock::now())
    }

    /// Writes a commit of a given time, so that an equal commit has an equal id.
    pub fn write_commit_at(
        &self,
        spec: &CommitSpec,
        time: Timestamp,
    ) -> Result<ObjectId, GitError> {
        let identity = self.identity(time);
        let commit = gix::objs::Commit {
            tree: to_gix(&spec.tree),
            parents: spec.parents.iter().map(to_gix).collect(),
            author: identity.clone(),
            committer: identity,
            encoding: None,
            message: spec.message.as_str().into(),
            extra_headers: Vec::new(),
        };
        let mut bytes = Vec::new();
        commit
            .write_to(&mut bytes)
            .map_err(|source| GitError::writing("a commit")(gix::Error::from_error(source)))?;
        self.write_object(gix::objs::Kind::Commit, &bytes)
    }

    /// The name of git's identity here.
    pub fn user(&self) -> String {
        self.identity(Timestamp::UNIX_EPOCH).name.to_string()
    }

    fn identity(&self, time: Timestamp) -> gix::actor::Signature {
        let configured = self
            .repository
            .committer()
            .and_then(Result::ok)
            .map(|who| (who.name.to_owned(), who.email.to_owned()));
        let (name, email) =
            configured.unwrap_or_else(|| (FALLBACK_IDENTITY.0.into(), FALLBACK_IDENTITY.1.into()));
        gix::actor::Signature { name, email, time: gix::date::Time::new(time.as_second(), 0) }
    }

    fn code_root(&self, tree_or_commit: &ObjectId) -> Result<gix::objs::Tree, GitError> {
        let mut tree = decoded(&self.peeled_tree(tree_or_commit)?)?;
        tree.entries.retain(|entry| !NO_CODE.iter().any(|name| entry.filename == name.as_bytes()));
        Ok(tree)
    }

    fn write_tree_object(&self, tree: &gix::objs::Tree) -> Result<ObjectId, GitError> {
        self.write_object(gix::objs::Kind::Tree, &serialised(tree)?)
    }

    /// Writes an object. An existing one is read back first: a power cut can leave an empty file
    /// under the right name, and later writes of the same content would otherwise keep it.
    pub(super) fn write_object(
        &self,
        kind: gix::objs::Kind,
        bytes: &[u8],
    ) -> Result<ObjectId, GitError> {
        let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, bytes)
            .map_err(GitError::writing(format!("a {kind}")))?;
        let is_whole = self.repository.has_object(id)
            && self.repository.find_object(id).is_ok_and(|found| found.data == bytes);
        if !is_whole {
            self.write_loose(id, kind, bytes)?;
        }
        if !is_whole || self.objects_dir().join(loose_path(&id)).exists() {
            self.written.note(id, kind, bytes);
        }
        Ok(from_gix(id))
    }

    pub(super) fn write_loose(
        &self,
        id: gix::ObjectId,
        kind: gix::objs::Kind,
        bytes: &[u8],
    ) -> Result<(), GitError> {
        let mut packed =
            gix::zlib::stream::deflate::Write::new(Vec::new(), gix::zlib::Compression::BEST_SPEED);
        packed
            .write_all(&gix::objs::encode::loose_header(kind, bytes.len() as u64))
            .and_then(|()| packed.write_all(bytes))
            .and_then(|()| packed.flush())
            .map_err(|source| {
                GitError::writing(format!("a {kind}"))(gix::Error::from_error(source))
            })?;
        self.place_loose(id, &packed.into_inner())
    }

    /// Writes a loose object file by a rename. The temporary file is locked, and the kernel drops
    /// the lock on a kill, so `sweep_temporary` detects leftovers.
    fn place_loose(&self, id: gix::ObjectId, packed: &[u8]) -> Result<(), GitError> {
        let objects = self.objects_dir();
        let path = objects.join(loose_path(&id));
        let folder = path.parent().expect("an object file is in a folder");
        loop {
            fs::create_dir(folder)?;
            let mut file = temporary_object(&objects)
                .map_err(FsError::while_doing("create an object in", &objects))?;
            let written = file.as_file().lock().and_then(|()| file.write_all(packed));
            written.map_err(FsError::while_doing("write the object", &path))?;
            match file.persist(&path) {
                Ok(_) => return Ok(()),
                // a sweep ran between the creation and the lock, or a gc removed the empty folder
                Err(error)
                    if error.error.kind() == std::io::ErrorKind::NotFound && objects.is_dir() => {}
                Err(error) => {
                    return Err(FsError::while_doing("put in place", &path)(error.error).into());
                }
            }
        }
    }

    /// Removes temporary object files of killed processes; returns their number.
    pub fn sweep_temporary(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.objects_dir()) else { return 0 };
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(TEMPORARY))
            .filter(|entry| {
                std::fs::File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
            })
            .filter(|entry| std::fs::remove_file(entry.path()).is_ok())
            .count()
    }

    pub(super) fn objects_dir(&self) -> PathBuf {
        self.repository.objects.store_ref().path().to_owned()
    }

    /// Reads an object; a recently written one that is missing is written again, one missing in a
    /// partial clone is fetched.
    pub(super) fn find(&self, id: &ObjectId) -> Result<gix::Object<'_>, GitError> {
        let found = self.repository.find_object(to_gix(id));
        let found = if found.is_err() && self.write_again(id)? {
            self.repository.find_object(to_gix(id))
        } else {
            found
        };
        let is_left_out = found.is_err() && !self.exists(id) && self.is_partial();
        let found = if is_left_out {
            self.bring(&[id]).map(|()| self.repository.find_object(to_gix(id)))?
        } else {
            found
        };
        found.map_err(GitError::reading(id.as_str()))
    }

    pub(super) fn peeled_tree(&self, tree_or_commit: &ObjectId) -> Result<gix::Tree<'_>, GitError> {
        let object = self.find(tree_or_commit)?;
        // the tree of a commit is brought like any other object
        let tree = if object.kind == gix::objs::Kind::Commit {
            self.find(&self.commit(tree_or_commit)?.tree)?
        } else {
            object
        };
        tree.peel_to_tree().map_err(GitError::reading(format!("the tree of {tree_or_commit}")))
    }
}

fn temporary_object(objects: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o444));
    builder.tempfile_in(objects)
}

pub(super) fn decoded(tree: &gix::Tree<'_>) -> Result<gix::objs::Tree, GitError> {
    tree.decode()
        .map(Into::into)
        .map_err(|source| GitError::reading(format!("tree {}", tree.id))(source))
}

fn id_of(tree: &gix::objs::Tree) -> Result<ObjectId, GitError> {
    let id =
        gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Tree, &serialised(tree)?);
    id.map(from_gix).map_err(GitError::writing("a tree"))
}

fn serialised(tree: &gix::objs::Tree) -> Result<Vec<u8>, GitError> {
    let mut bytes = Vec::new();
    tree.write_to(&mut bytes)
        .map_err(|source| GitError::writing("a tree")(gix::Error::from_error(source)))?;
    Ok(bytes)
}

fn components(path: &str) -> impl Iterator<Item = &BStr> {
    path.split('/').map(BStr::new)
}

fn check_path(path: &str, mode: Mode) -> Result<(), GitError> {
    let link = (mode == Mode::Link).then_some(gix::validate::path::component::Mode::Symlink);
    let options = gix::validate::path::component::Options::default();
    let valid =
        components(path).all(|part| gix::validate::path::component(part, link, options).is_ok());
    if valid { Ok(()) } else { Err(GitError::Path { path: path.to_owned() }) }
}

fn joined(prefix: &str, path: &BStr) -> Result<String, GitError> {
    let name = path
        .to_str()
        .map_err(|_| GitError::Name { path: format!("{prefix}/{}", path.to_str_lossy()) })?;
    Ok(if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") })
}

fn file_change(change: gix::diff::tree::recorder::Change) -> Option<PathChange> {
    use gix::diff::tree::recorder::Change as Recorded;
    let (mode, path, status) = match change {
        Recorded::Addition { entry_mode, path, .. } => (entry_mode, path, PathStatus::Added),
        Recorded::Deletion { entry_mode, path, .. } => (entry_mode, path, PathStatus::Removed),
        Recorded::Modification { entry_mode, path, .. } => (entry_mode, path, PathStatus::Modified),
    };
    (!mode.is_tree()).then(|| PathChange { path: path.to_str_lossy().into_owned(), status })
}
