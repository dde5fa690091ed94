//! Whether git objects match their ids: read as stored, and hashed again.
//!
//! Reading an object checks less: a loose one is read up to its length and not to its checksum, and
//! nothing compares it with its name.

use super::error::GitError;
use super::ids::{from_gix, loose_path, to_gix};
use super::repository::Git;
use crate::world::fs::{FsError, read_if_there};
use agent_core::formats::object_id::ObjectId;
use agent_core::verification::Objects;
use gix::bstr::ByteSlice;
use gix::zlib::{Decompress, FlushDecompress, Status};
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where `git replace` names the object it shows in place of another.
const REPLACED: &str = "refs/replace/";
const GRAFTS: &str = "info/grafts";
/// The length of the checksum at the end of a pack and its index, in bytes.
const CHECKSUM: usize = 20;

/// Checks each object once, however many versions have it.
#[derive(Debug)]
pub struct Integrity<'git> {
    git: &'git Git,
    /// A partial clone lacks objects and is valid all the same.
    is_partial: bool,
    /// Objects in whose place git's own commands show others.
    replaced: HashSet<ObjectId>,
    /// What was found of an object and of all below it.
    seen: HashMap<gix::ObjectId, Rc<Objects>>,
}

impl<'git> Integrity<'git> {
    pub fn new(git: &'git Git) -> Result<Self, GitError> {
        let refs = git.references(REPLACED)?;
        let replaced = refs
            .iter()
            .filter_map(|(name, _)| ObjectId::parse(name.strip_prefix(REPLACED)?))
            .chain(git.grafted()?);
        Ok(Self {
            git,
            is_partial: git.is_partial(),
            replaced: replaced.collect(),
            seen: HashMap::new(),
        })
    }

    /// A commit, its tree, and all that is in it.
    pub fn of_commit(&mut self, commit: &ObjectId, tree: &ObjectId) -> Objects {
        let mut objects = Objects::default();
        self.one(to_gix(commit), gix::objs::Kind::Commit, "", &mut objects);
        add(&mut objects, &self.below(to_gix(tree), gix::objs::Kind::Tree, ""));
        objects
    }

    /// One file's content.
    pub fn of_blob(&mut self, id: &ObjectId, path: &str) -> Objects {
        (*self.below(to_gix(id), gix::objs::Kind::Blob, path)).clone()
    }

    fn below(&mut self, id: gix::ObjectId, kind: gix::objs::Kind, path: &str) -> Rc<Objects> {
        if let Some(seen) = self.seen.get(&id) {
            return Rc::clone(seen);
        }
        let mut objects = Objects::default();
        let bytes = self.one(id, kind, path, &mut objects);
        if let Some(bytes) = bytes.filter(|_| kind == gix::objs::Kind::Tree) {
            self.entries(&bytes, path, &mut objects);
        }
        let seen = Rc::new(objects);
        self.seen.insert(id, Rc::clone(&seen));
        seen
    }

    fn entries(&mut self, tree: &[u8], path: &str, objects: &mut Objects) {
        for entry in gix::objs::TreeRefIter::from_bytes(tree, gix::hash::Kind::Sha1) {
            let Ok(entry) = entry else {
                objects.damaged.push(format!("the folder `{path}`"));
                return;
            };
            let name = entry.filename.to_str_lossy();
            let path = if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") };
            let kind = match entry.mode.kind() {
                // another repository's
                gix::objs::tree::EntryKind::Commit => continue,
                gix::objs::tree::EntryKind::Tree => gix::objs::Kind::Tree,
                _ => gix::objs::Kind::Blob,
            };
            add(objects, &self.below(entry.oid.to_owned(), kind, &path));
        }
    }

    /// Records the finding on one object; returns its bytes when it is valid.
    fn one(
        &self,
        id: gix::ObjectId,
        kind: gix::objs::Kind,
        path: &str,
        objects: &mut Objects,
    ) -> Option<Vec<u8>> {
        objects.count += 1;
        let own = from_gix(id);
        let place = if path.is_empty() { String::new() } else { format!(" ({path})") };
        let named = format!("{kind} {}{place}", own.short());
        if self.replaced.contains(&own) {
            objects.replaced.push(named.clone());
        }
        match self.git.stored(id) {
            Ok(Some((its, bytes))) if its == kind => return Some(bytes),
            Ok(Some(_)) => objects.damaged.push(named),
            Ok(None) if self.is_partial => objects.absent.push(named),
            Ok(None) => objects.damaged.push(format!("{named}: it is not in this repository")),
            Err(why) => objects.damaged.push(format!("{named}: {why}")),
        }
        None
    }
}

fn add(all: &mut Objects, more: &Objects) {
    all.count += more.count;
    all.damaged.extend(more.damaged.iter().cloned());
    all.absent.extend(more.absent.iter().cloned());
    all.replaced.extend(more.replaced.iter().cloned());
}

impl Git {
    /// An object as it is stored; `None` where this clone does not have it, the reason where it
    /// does not match its id.
    fn stored(&self, id: gix::ObjectId) -> Result<Option<(gix::objs::Kind, Vec<u8>)>, String> {
        if let Some(packed) = read_if_there(&self.objects_dir().join(loose_path(&id)))
            .map_err(|error| error.to_string())?
        {
            return whole_loose(id, &packed).map(Some);
        }
        if !self.repository.has_object(id) {
            return Ok(None);
        }
        let mut found = self.repository.find_object(id).map_err(|error| error.to_string())?;
        let (kind, bytes) = (found.kind, std::mem::take(&mut found.data));
        let named = gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, &bytes)
            .map_err(|error| error.to_string())?;
        if named == id {
            Ok(Some((kind, bytes)))
        } else {
            Err("what it holds has another name".to_owned())
        }
    }

    /// Why a blob is invalid; `None` when it is valid. One missing in a partial clone is fetched.
    pub fn blob_problem(&self, id: &ObjectId) -> Result<Option<String>, GitError> {
        if !self.exists(id) && self.is_partial() {
            self.bring(&[id])?;
        }
        Ok(match self.stored(to_gix(id)) {
            Ok(Some((gix::objs::Kind::Blob, _))) => None,
            Ok(Some((kind, _))) => Some(format!("{} is a {kind}", id.short())),
            Ok(None) => Some(format!("{} is not in this repository", id.short())),
            Err(why) => Some(format!("{}: {why}", id.short())),
        })
    }

    /// The commits whose parents a grafts file changes for git's own commands.
    fn grafted(&self) -> Result<Vec<ObjectId>, GitError> {
        let text = read_if_there(&self.common_dir().join(GRAFTS))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        Ok(text
            .lines()
            .filter_map(|line| ObjectId::parse(line.split_whitespace().next()?))
            .collect())
    }

    /// The packs and indexes that do not match their checksums.
    pub fn damaged_packs(&self) -> Result<Vec<PathBuf>, GitError> {
        let folder = self.objects_dir().join("pack");
        let mut damaged = Vec::new();
        for name in crate::world::fs::names(&folder)? {
            let path = folder.join(&name);
            let is_pack =
                path.extension().is_some_and(|extension| extension == "pack" || extension == "idx");
            if is_pack && !has_its_checksum(&path).map_err(FsError::while_doing("read", &path))? {
                damaged.push(path);
            }
        }
        damaged.sort();
        Ok(damaged)
    }

    /// The annotated version tags whose objects do not match their ids, each with the reason.
    pub fn damaged_tags(&self) -> Result<Vec<(String, String)>, GitError> {
        let mut damaged = Vec::new();
        for (name, id) in self.references("refs/tags/v")? {
            let id = to_gix(&id);
            let is_tag = self
                .repository
                .find_header(id)
                .map_or(true, |header| header.kind() == gix::objs::Kind::Tag);
            let is_version = agent_core::version::from_tag(&name["refs/tags/".len()..]).is_some();
            if let Some(why) = (is_tag && is_version).then(|| self.stored(id).err()).flatten() {
                damaged.push((name, why));
            }
        }
        Ok(damaged)
    }

    /// The files of tags of versions that hold anything else than a line with an object's name.
    pub fn garbled_tags(&self) -> Result<Vec<String>, GitError> {
        let mut garbled = Vec::new();
        for version in self.loose_versions()? {
            let tag = agent_core::version::tag(&version);
            let held =
                read_if_there(&self.common_dir().join("refs/tags").join(&tag))?.unwrap_or_default();
            let id = held
                .strip_suffix(b"\n")
                .and_then(|id| ObjectId::parse(std::str::from_utf8(id).ok()?));
            if id.is_none() {
                garbled.push(tag);
            }
        }
        Ok(garbled)
    }
}

/// A loose object, inflated to its end, which checks zlib's checksum, and hashed.
fn whole_loose(id: gix::ObjectId, packed: &[u8]) -> Result<(gix::objs::Kind, Vec<u8>), String> {
    let mut whole = inflated(packed)?;
    let (kind, size, header) =
        gix::objs::decode::loose_header(&whole).map_err(|error| error.to_string())?;
    let bytes = whole.split_off(header);
    let named = gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, &bytes)
        .map_err(|error| error.to_string())?;
    if size != bytes.len() as u64 || named != id {
        return Err("what it holds has another name".to_owned());
    }
    Ok((kind, bytes))
}

fn inflated(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut state = Decompress::new();
    let mut whole = vec![0; (packed.len() * 4).max(1024)];
    loop {
        let (read, written) = (at(state.total_in()), at(state.total_out()));
        if written == whole.len() {
            whole.resize(whole.len() * 2, 0);
        }
        let status = state
            .decompress(&packed[read..], &mut whole[written..], FlushDecompress::None)
            .map_err(|error| error.to_string())?;
        let stands_still = at(state.total_in()) == read && at(state.total_out()) == written;
        match status {
            Status::StreamEnd if at(state.total_in()) == packed.len() => {
                whole.truncate(at(state.total_out()));
                return Ok(whole);
            }
            Status::StreamEnd => return Err("there is something after its end".to_owned()),
            _ if stands_still => return Err("it ends too early".to_owned()),
            _ => {}
        }
    }
}

fn at(total: u64) -> usize {
    usize::try_from(total).expect("it is no longer than what is in memory")
}

/// Reads a file once, in pieces.
fn has_its_checksum(path: &Path) -> std::io::Result<bool> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    // the last bytes read are kept back, since they may be the checksum
    let mut held: Vec<u8> = Vec::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            break;
        }
        held.extend_from_slice(&piece[..length]);
        let done = held.len().saturating_sub(CHECKSUM);
        hasher.update(&held[..done]);
        held.drain(..done);
    }
    Ok(hasher.try_finalize().is_ok_and(|sum| sum.as_slice() == held))
}
