//! Which signals have been counted: each id once, in the Journal at hand and in the sealed ones before it.

use super::Places;
use crate::world::fs::{self, FsError};
use std::collections::HashSet;
use std::io::Write;

/// Ids of sealed Journals are remembered up to this many, the oldest forgotten first.
const MAX_REMEMBERED: usize = 1 << 20;
/// The file's first bytes; digests of the same length follow.
const MAGIC: &[u8; DIGEST] = b"agent/counted@1\n";
const DIGEST: usize = 16;

type Digest = [u8; DIGEST];

#[derive(Debug)]
pub(super) struct Counted {
    path: std::path::PathBuf,
    current: HashSet<Digest>,
    /// Read when first asked for.
    sealed: Option<HashSet<Digest>>,
}

impl Counted {
    pub(super) fn new<'a>(places: &Places, ids: impl Iterator<Item = &'a str>) -> Self {
        Self { path: places.folder.join("counted"), current: ids.map(digest).collect(), sealed: None }
    }

    pub(super) fn add<'a>(&mut self, ids: impl Iterator<Item = &'a str>) {
        self.current.extend(ids.map(digest));
    }

    pub(super) fn has(&mut self, id: &str) -> Result<bool, FsError> {
        let digest = digest(id);
        if self.current.contains(&digest) {
            return Ok(true);
        }
        let sealed = match self.sealed.take() {
            Some(sealed) => sealed,
            None => self.read()?.into_iter().collect(),
        };
        Ok(self.sealed.insert(sealed).contains(&digest))
    }

    pub(super) fn has_any<'a>(&mut self, ids: impl Iterator<Item = &'a str>) -> Result<bool, FsError> {
        for id in ids {
            if self.has(id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds the ids of a Journal that is being sealed to the file, durably. Adding some twice does no harm.
    pub(super) fn seal<'a>(&mut self, places: &Places, ids: impl Iterator<Item = &'a str>) -> Result<(), FsError> {
        let known = self.read()?;
        let added: Vec<Digest> = ids.map(digest).collect();
        if known.is_empty() || known.len() + added.len() > MAX_REMEMBERED {
            let all: Vec<Digest> = known.into_iter().chain(added).collect();
            let kept = &all[all.len().saturating_sub(MAX_REMEMBERED * 3 / 4)..];
            let bytes = [&MAGIC[..], &kept.concat()].concat();
            // the folder is synced again when the Journal is put in place
            return places.replace(&self.path, &bytes).map(drop);
        }
        // a write cut short leaves part of a digest at the end, which is no digest
        let whole = (MAGIC.len() + known.len() * DIGEST) as u64;
        let append = || {
            let mut file = std::fs::File::options().write(true).open(&self.path)?;
            file.set_len(whole)?;
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(whole))?;
            file.write_all(&added.concat())?;
            file.sync_data()
        };
        append().map_err(FsError::while_doing("append to", &self.path))
    }

    fn read(&self) -> Result<Vec<Digest>, FsError> {
        let bytes = fs::read_if_there(&self.path)?.unwrap_or_default();
        let digests = bytes.strip_prefix(&MAGIC[..]).unwrap_or_default();
        Ok(digests.as_chunks::<DIGEST>().0.to_vec())
    }
}

fn digest(id: &str) -> Digest {
    let hash = <sha2::Sha256 as sha2::Digest>::digest(id.as_bytes());
    hash[..DIGEST].try_into().expect("SHA-256 is longer")
}
