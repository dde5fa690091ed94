//! Which signals have been counted: each id once, in the current Journal and in those of the
//! ancestors of its base.
//!
//! The second are gathered from the sealed Journals and kept in `counted`: a header line with the
//! version they are counted up to, their number and their checksum, then the digests. It is a
//! cache: where it is missing, damaged or of another lineage, it is rebuilt; where `active` has
//! advanced, it is extended.

use super::past::{CountedBy, Counts, ID_DIGEST, IdDigest, Past, PastError, id_digest};
use super::places::{COUNTED, Places};
use crate::world::fs::{self, FsError};
use agent_core::formats::object_id::ObjectId;
use semver::Version;
use std::collections::HashSet;

/// Ids of sealed Journals are remembered up to this many, the oldest forgotten first.
const MAX_REMEMBERED: usize = 1 << 20;
const FORMAT: &str = "agent/counted@2";
/// The header of files without a covered version; digests of the same length follow.
const OLD_FORMAT: &[u8] = b"agent/counted@1\n";

/// Whether a signal was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    No,
    Yes,
    /// The Journals of these versions are not here, nor what they counted.
    Undetermined(Vec<Version>),
}

/// The ids in sealed Journals of a version and its ancestors, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Covered {
    up_to: ObjectId,
    ids: Vec<IdDigest>,
}

/// The ids of `Covered` as a set, with the versions whose ids are missing.
#[derive(Debug)]
struct Sealed {
    ids: HashSet<IdDigest>,
    missing: Vec<Version>,
    /// The ids not in the file yet.
    unwritten: Option<Covered>,
}

#[derive(Debug)]
pub(super) struct Counted {
    path: std::path::PathBuf,
    /// The version that the Journal at hand is based on.
    base: ObjectId,
    current: HashSet<IdDigest>,
    /// Collected on first use.
    sealed: Option<Sealed>,
}

impl Counted {
    pub(super) fn new<'a>(
        places: &Places,
        base: &ObjectId,
        ids: impl Iterator<Item = &'a str>,
    ) -> Self {
        Self {
            path: places.folder.join(COUNTED),
            base: base.clone(),
            current: ids.map(id_digest).collect(),
            sealed: None,
        }
    }

    pub(super) fn add<'a>(&mut self, ids: impl Iterator<Item = &'a str>) {
        self.current.extend(ids.map(id_digest));
    }

    pub(super) fn has(&mut self, id: &str, past: &dyn Past) -> Result<Known, PastError> {
        let digest = id_digest(id);
        if self.current.contains(&digest) {
            return Ok(Known::Yes);
        }
        Ok(self.gathered(past)?.has(&digest))
    }

    pub(super) fn has_any<'a>(
        &mut self,
        ids: impl Iterator<Item = &'a str>,
        past: &dyn Past,
    ) -> Result<bool, PastError> {
        for id in ids {
            if self.has(id, past)? == Known::Yes {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The ids counted up to another version, for a Journal that is rebased on it.
    pub(super) fn counted_up_to(
        &self,
        base: &ObjectId,
        past: &dyn Past,
    ) -> Result<CountedUpTo, PastError> {
        gather(&read(&self.path), base, past).map(CountedUpTo)
    }

    fn gathered(&mut self, past: &dyn Past) -> Result<&Sealed, PastError> {
        let sealed = match self.sealed.take() {
            Some(sealed) => sealed,
            None => gather(&read(&self.path), &self.base, past)?,
        };
        Ok(self.sealed.insert(sealed))
    }

    /// Writes the ids that had to be collected. The caller holds the lock; if the file cannot be
    /// written, the ids are collected again.
    pub(super) fn keep(&mut self, places: &Places) -> Result<(), FsError> {
        match self.sealed.as_mut().and_then(|sealed| sealed.unwritten.take()) {
            Some(covered) => write(places, &self.path, &covered),
            None => Ok(()),
        }
    }

    /// Extends the file when a Journal is sealed as a version on top of this one's base. It is a
    /// cache: the Journal itself is in the object store.
    pub(super) fn seal<'a>(
        &self,
        places: &Places,
        version: &ObjectId,
        ids: impl Iterator<Item = &'a str>,
    ) -> Result<(), FsError> {
        let CountedFile::Covered(mut covered) = read(&self.path) else { return Ok(()) };
        if covered.up_to != self.base {
            return Ok(());
        }
        covered.ids.extend(ids.map(id_digest));
        covered.up_to = version.clone();
        covered.forget_the_oldest();
        write(places, &self.path, &covered)
    }
}

/// The ids counted up to a version.
#[derive(Debug)]
pub(super) struct CountedUpTo(Sealed);

impl CountedUpTo {
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.ids.contains(&id_digest(id))
    }

    pub(super) fn missing(&self) -> &[Version] {
        &self.0.missing
    }
}

impl Sealed {
    fn has(&self, digest: &IdDigest) -> Known {
        if self.ids.contains(digest) {
            Known::Yes
        } else if self.missing.is_empty() {
            Known::No
        } else {
            Known::Undetermined(self.missing.clone())
        }
    }
}

impl Covered {
    fn forget_the_oldest(&mut self) {
        if self.ids.len() > MAX_REMEMBERED {
            // some more than needed, so that it is not done every time
            self.ids.drain(..self.ids.len() - MAX_REMEMBERED * 3 / 4);
        }
    }
}

fn gather(kept: &CountedFile, base: &ObjectId, past: &dyn Past) -> Result<Sealed, PastError> {
    let covered = match kept {
        CountedFile::Covered(covered) if covered.up_to == *base => {
            return Ok(Sealed {
                ids: covered.ids.iter().copied().collect(),
                missing: Vec::new(),
                unwritten: None,
            });
        }
        CountedFile::Covered(covered) => Some(covered),
        CountedFile::Old(_) | CountedFile::Nothing => None,
    };
    let Counts { journals, reaches_known } =
        past.counts(base, covered.map(|covered| &covered.up_to), MAX_REMEMBERED)?;
    let mut ids = match (covered, kept) {
        (Some(covered), _) if reaches_known => covered.ids.clone(),
        // files without a covered version contain only ids of Journals sealed by this clone
        (_, CountedFile::Old(ids)) => ids.clone(),
        _ => Vec::new(),
    };
    let is_old = matches!(kept, CountedFile::Old(_));
    let missing = journals
        .iter()
        .filter(|journal| journal.ids.is_none() && !is_old)
        .map(|journal| journal.version.clone())
        .collect::<Vec<_>>();
    for CountedBy { ids: counted, .. } in journals.into_iter().rev() {
        ids.extend(counted.into_iter().flatten());
    }
    let mut covered = Covered { up_to: base.clone(), ids };
    covered.forget_the_oldest();
    let set = covered.ids.iter().copied().collect();
    // a file states that nothing is missing
    let unwritten = missing.is_empty().then_some(covered);
    Ok(Sealed { ids: set, missing, unwritten })
}

/// The parsed file.
#[derive(Debug, PartialEq, Eq)]
enum CountedFile {
    Covered(Covered),
    /// A file in the format without a covered version.
    Old(Vec<IdDigest>),
    /// There is none, or it is damaged.
    Nothing,
}

/// A file that cannot be read is rebuilt.
fn read(path: &std::path::Path) -> CountedFile {
    fs::read_if_there(path).ok().flatten().map_or(CountedFile::Nothing, |bytes| parse(&bytes))
}

fn parse(bytes: &[u8]) -> CountedFile {
    if let Some(digests) = bytes.strip_prefix(OLD_FORMAT) {
        return CountedFile::Old(digests.as_chunks::<ID_DIGEST>().0.to_vec());
    }
    parse_covered(bytes).map_or(CountedFile::Nothing, CountedFile::Covered)
}

fn parse_covered(bytes: &[u8]) -> Option<Covered> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, digests) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]);
    let (header, checksum) = line.rsplit_once(' ')?;
    let [format, up_to, count] = header.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let (ids, rest) = digests.as_chunks::<ID_DIGEST>();
    let is_whole = format == FORMAT
        && count.parse() == Ok(ids.len())
        && rest.is_empty()
        && checksum == checksum_of(header, digests);
    is_whole
        .then(|| ObjectId::parse(up_to))
        .flatten()
        .map(|up_to| Covered { up_to, ids: ids.to_vec() })
}

fn write(places: &Places, path: &std::path::Path, covered: &Covered) -> Result<(), FsError> {
    let header = format!("{FORMAT} {} {}", covered.up_to, covered.ids.len());
    let digests = covered.ids.as_flattened();
    let line = format!("{header} {}\n", checksum_of(&header, digests));
    places.replace_rebuildable(path, &[line.as_bytes(), digests].concat())
}

fn checksum_of(header: &str, digests: &[u8]) -> String {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(header.as_bytes());
    checksum.update(digests);
    format!("{:08x}", checksum.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_and_any_flipped_bit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::new(&crate::world::layout::Layout::new(folder.path()));
        fs::create_dir(&places.folder).unwrap();
        let path = places.folder.join(COUNTED);
        let covered = Covered {
            up_to: ObjectId::of_blob(b"v"),
            ids: ["a", "b", "c"].map(id_digest).to_vec(),
        };
        write(&places, &path, &covered).unwrap();
        assert_eq!(read(&path), CountedFile::Covered(covered));
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(parse(&flipped), CountedFile::Nothing, "bit {bit} of byte {at}");
            }
            assert_eq!(parse(&bytes[..at]), CountedFile::Nothing, "cut at {at}");
        }
        let old = [OLD_FORMAT, &id_digest("a"), b"half a digest"].concat();
        assert_eq!(parse(&old), CountedFile::Old(vec![id_digest("a")]));
    }
}
