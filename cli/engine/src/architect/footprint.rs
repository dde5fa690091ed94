//! What an unconfined coder may have changed outside of its workplace: recorded before it works,
//! compared afterwards.
//!
//! It is not known which process moved a ref or wrote into the store: changes of other processes at
//! that time end the run as well.

use crate::error::Failure;
use crate::repository::Repository;
use crate::world::fs::{self, FsError, Stamp};
use crate::world::git::{ACTIVE, Refs, Settings};
use crate::world::store;
use agent_core::formats::manifest::Manifest;
use agent_core::formats::object_id::{ObjectId, digest};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The number of changed files that are named; further ones are counted.
const NAMED: usize = 8;

/// The record from before a coder works.
pub struct Footprint {
    settings: Settings,
    /// Only of a coder that is not confined.
    unconfined: Option<Unconfined>,
}

struct Unconfined {
    refs: Refs,
    folders: Vec<PathBuf>,
    files: BTreeMap<PathBuf, Stamp>,
    active: Option<ObjectId>,
    journal: PathBuf,
    /// The files of Journals, which grow while signals arrive; a promotion seals them.
    journals: BTreeMap<PathBuf, Written>,
}

/// The content of an append-only file, without the space reserved at its end.
#[derive(PartialEq, Eq)]
struct Written {
    length: usize,
    digest: String,
}

impl Footprint {
    /// For a confined coder, only git's settings are recorded: it cannot write anything else
    /// outside of its workplace.
    pub fn of(
        repository: &Repository,
        manifest: &Manifest,
        is_confined: bool,
    ) -> Result<Self, Failure> {
        let settings = repository.git.settings()?;
        let unconfined =
            if is_confined { None } else { Some(Unconfined::of(repository, manifest)?) };
        Ok(Self { settings, unconfined })
    }

    /// Reports each change outside of the workplace, and reverts it where possible. The changed
    /// data is stored in the folder `evidence`.
    pub fn compare(
        &self,
        repository: &Repository,
        evidence: &Path,
    ) -> Result<Vec<String>, Failure> {
        // the configuration first, before git is run
        let mut changes = repository.git.put_back(&self.settings, evidence)?;
        if let Some(unconfined) = &self.unconfined {
            changes.extend(repository.git.refs_put_back(&unconfined.refs)?);
            changes.extend(unconfined.compare(repository)?);
        }
        Ok(changes)
    }
}

impl Unconfined {
    fn of(repository: &Repository, manifest: &Manifest) -> Result<Self, Failure> {
        let layout = &repository.layout;
        let mut folders =
            vec![layout.environments(), layout.pending(), layout.discoveries(), layout.pythons()];
        folders.extend(store::folder(&manifest.store.url, layout.root()));
        let journal = layout.journal();
        Ok(Self {
            refs: repository.git.refs()?,
            files: stamps(&folders)?,
            folders,
            active: repository.git.reference(ACTIVE)?,
            journals: journals(&journal)?,
            journal,
        })
    }

    fn compare(&self, repository: &Repository) -> Result<Vec<String>, Failure> {
        let now = stamps(&self.folders)?;
        let changed = now
            .iter()
            .filter(|(path, stamp)| self.files.get(*path) != Some(stamp))
            .map(|(path, _)| path);
        let gone = self.files.keys().filter(|path| !now.contains_key(*path));
        let mut found: Vec<_> = changed.chain(gone).collect();
        let was_sealed = repository.git.reference(ACTIVE)? != self.active;
        let journals = journals(&self.journal)?;
        let lost = |(path, was): &(&PathBuf, &Written)| {
            journals.get(*path).is_none_or(|is| !begins_with(path, is, was))
        };
        found.extend(
            self.journals.iter().filter(|_| !was_sealed).filter(lost).map(|(path, _)| path),
        );
        let more = found.len().saturating_sub(NAMED);
        let named =
            found.into_iter().take(NAMED).map(|path| format!("{} was changed", path.display()));
        Ok(named.chain((more > 0).then(|| format!("and {more} files more were changed"))).collect())
    }
}

/// The files below folders, except telemetry, which changes all the time and is no evidence.
fn stamps(folders: &[PathBuf]) -> Result<BTreeMap<PathBuf, Stamp>, FsError> {
    let mut stamps = BTreeMap::new();
    for folder in folders {
        fs::stamp_below(
            folder,
            &|path| path.file_name().is_some_and(|name| name == "telemetry"),
            &mut stamps,
        )?;
    }
    Ok(stamps)
}

fn journals(folder: &Path) -> Result<BTreeMap<PathBuf, Written>, FsError> {
    let mut found = BTreeMap::new();
    for name in fs::names(folder)?
        .into_iter()
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "jsonl"))
    {
        let path = folder.join(name);
        let bytes = written(&path)?;
        found.insert(path, Written { length: bytes.len(), digest: digest(&bytes) });
    }
    Ok(found)
}

/// The file without the newlines that fill its reserved space.
fn written(path: &Path) -> Result<Vec<u8>, FsError> {
    let mut bytes = fs::read_if_there(path)?.unwrap_or_default();
    let end = bytes.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
    bytes.truncate(end);
    Ok(bytes)
}

fn begins_with(path: &Path, is: &Written, was: &Written) -> bool {
    is == was
        || written(path).is_ok_and(|bytes| {
            bytes.get(..was.length).is_some_and(|begin| digest(begin) == was.digest)
        })
}
