//! The history of `active` for staging: from git, the sealed Journals in the object store, and the
//! signals that other clones recorded as counted.
//!
//! Sealed Journals stay where they were made unless clones share a store. The ids that they counted
//! travel by git, shortened to digests: the record `counted` has
//! `journals/<digest of the Journal>`, written when something is shared with a remote.

use crate::repository::error::RepositoryError;
use crate::repository::records::{COUNTED, View};
use crate::repository::{Repository, state_value};
use crate::staging::past::{
    CountedBy, Counts, Fork, ID_DIGEST, IdDigest, Past, PastError, Promoted, Standing, id_digest,
};
use crate::world::git::{ACTIVE, Git, STATE_FILE};
use crate::world::layout::Layout;
use crate::world::store::{Store, StoreError};
use agent_core::formats::committed::Committed;
use agent_core::formats::diagnose::{Diagnose as _, Messages as _};
use agent_core::formats::manifest::{self, Manifest};
use agent_core::formats::object_id::{ObjectId, digest as digest_of};
use agent_core::state::journal::{self, Base, SealedAs};
use agent_core::version::Kind;
use agent_core::version::registry::journal_key;
use std::collections::HashMap;

/// Consecutive versions whose signals are recorded already: earlier ones are recorded as well, or
/// unavailable.
const SHARED_BEFORE: usize = 64;

/// The number of newest Journals that are searched for the content of a repeated signal id.
const COMPARED: usize = 64;

#[derive(Debug)]
pub struct RepositoryPast {
    git: Git,
    layout: Layout,
}

impl RepositoryPast {
    pub fn new(git: &Git, layout: &Layout) -> Self {
        Self { git: git.clone(), layout: layout.clone() }
    }

    fn look(&self, commit: &ObjectId, active: &ObjectId) -> Result<Standing, RepositoryError> {
        if !self.git.is_commit(commit) {
            return Ok(Standing::Unknown);
        }
        Ok(match self.git.merge_base(commit, active)? {
            Some(base) if base == *commit => Standing::Before,
            Some(base) if base == *active => Standing::After,
            _ => Standing::Aside,
        })
    }

    fn fork_of(
        &self,
        commit: &ObjectId,
        active: &ObjectId,
    ) -> Result<Option<Fork>, RepositoryError> {
        for past in self.git.first_parents(commit) {
            let past = past?;
            let (Some((_, version)), Some(revision)) =
                (past.trailers.as_version(), &past.trailers.state)
            else {
                break;
            };
            if self.git.is_ancestor(&past.id, active)? {
                let base = Base {
                    version: version.clone(),
                    commit: past.id.clone(),
                    revision: revision.clone(),
                };
                let state = state_value(
                    &self.git.blob(revision)?,
                    &format!("{}:{STATE_FILE}", past.id.short()),
                )?;
                return Ok(Some(Fork { base, state }));
            }
        }
        Ok(None)
    }

    /// The store in the manifest of a version; none where that cannot be read.
    fn settings(&self, commit: &ObjectId) -> Option<manifest::Store> {
        let bytes = self.git.read(commit, manifest::FILE).ok()??;
        Some(Manifest::read(&bytes, manifest::FILE).ok()?.store)
    }

    fn journal_of(&self, sealed: &SealedAs) -> Result<Option<Vec<u8>>, RepositoryError> {
        let mut stores = Stores::new(self);
        let served = self.git.reference(ACTIVE)?;
        let mut silent = None;
        for commit in std::iter::once(&sealed.commit).chain(&served) {
            let Some(store) = stores.of(commit) else { continue };
            match sealed_in(store, &sealed.journal) {
                Ok(Some(journal)) => return Ok(Some(journal)),
                Ok(None) => {}
                Err(error) => silent = Some(error),
            }
        }
        // an unreachable store may have the Journal: acknowledged updates must not be dropped for
        // it
        let Some(error) = silent else { return Ok(None) };
        Err(RepositoryError::Superseded {
            version: Box::new(sealed.version.clone()),
            source: error,
        })
    }

    fn counts_of(
        &self,
        commit: &ObjectId,
        known: Option<&ObjectId>,
        most: usize,
    ) -> Result<Counts, RepositoryError> {
        let mut sources =
            Sources { git: &self.git, stores: Stores::new(self), tip: commit, shared: None };
        let mut counts = Counts::default();
        let mut found = 0;
        for past in self.git.first_parents(commit) {
            let past = past?;
            if Some(&past.id) == known {
                counts.reaches_known = true;
                break;
            }
            let Some((_, version)) = past.trailers.as_version() else { break };
            let Some(journal) = &past.trailers.journal else { continue };
            let ids = sources.ids(&past.id, journal)?;
            found += ids.as_ref().map_or(0, Vec::len);
            counts.journals.push(CountedBy { version: version.clone(), ids });
            if found >= most {
                break;
            }
        }
        Ok(counts)
    }
}

/// The contents of the signals of a Journal.
pub fn contents(journal: &[u8]) -> HashMap<IdDigest, String> {
    let records = journal::records(journal).unwrap_or_default();
    records.iter().map(|record| (id_digest(&record.id), record.content())).collect()
}

/// The stores that versions name, each opened once.
struct Stores<'a> {
    past: &'a RepositoryPast,
    opened: Vec<(manifest::Store, Option<Store>)>,
}

impl<'a> Stores<'a> {
    const fn new(past: &'a RepositoryPast) -> Self {
        Self { past, opened: Vec::new() }
    }

    fn of(&mut self, commit: &ObjectId) -> Option<&Store> {
        let settings = self.past.settings(commit)?;
        let at =
            self.opened.iter().position(|(known, _)| *known == settings).unwrap_or_else(|| {
                let store = Store::open(&settings, self.past.layout.root()).ok();
                self.opened.push((settings, store));
                self.opened.len() - 1
            });
        self.opened[at].1.as_ref()
    }
}

/// Where the ids of a Journal are found.
struct Sources<'a> {
    git: &'a Git,
    stores: Stores<'a>,
    tip: &'a ObjectId,
    /// Read when something is not in the store.
    shared: Option<View<'a>>,
}

impl Sources<'_> {
    fn ids(
        &mut self,
        version: &ObjectId,
        journal: &str,
    ) -> Result<Option<Vec<IdDigest>>, RepositoryError> {
        // most Journals are in the store of the newest version; those from before a change of the
        // store are in an earlier one
        for commit in [self.tip, version] {
            if let Some(bytes) =
                self.stores.of(commit).and_then(|store| sealed_in(store, journal).ok().flatten())
            {
                return Ok(digests(&bytes));
            }
        }
        let shared = match self.shared.take() {
            Some(shared) => shared,
            None => COUNTED.view(self.git)?,
        };
        let found = self.shared.insert(shared).read(&path(journal))?;
        Ok(found.map(|bytes| bytes.as_chunks::<ID_DIGEST>().0.to_vec()))
    }
}

fn digests(journal: &[u8]) -> Option<Vec<IdDigest>> {
    Some(journal::ids(journal).ok()?.iter().map(|id| id_digest(id)).collect())
}

/// A sealed Journal, when a store has it as it was sealed.
fn sealed_in(store: &Store, journal: &str) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(store.get(&journal_key(journal))?.filter(|bytes| digest_of(bytes) == journal))
}

/// Where the record has the ids of a Journal.
fn path(journal: &str) -> String {
    format!("journals/{}", journal.trim_start_matches("sha256:"))
}

impl RepositoryPast {
    fn promoted_up_to(&self, commit: &ObjectId) -> Result<Vec<Promoted>, RepositoryError> {
        let mut stores = Stores::new(self);
        let mut promoted = Vec::new();
        for past in self.git.first_parents(commit) {
            let past = past?;
            let Some((Kind::Promotion, version)) = past.trailers.as_version() else { break };
            let Some(digest) = &past.trailers.journal else { break };
            let mut found = None;
            for at in [commit, &past.id] {
                if let (None, Some(store)) = (&found, stores.of(at)) {
                    found = sealed_in(store, digest)?;
                }
            }
            let journal =
                found.ok_or_else(|| RepositoryError::NoJournal { version: version.clone() })?;
            promoted.push(Promoted { version: version.clone(), journal });
        }
        promoted.reverse();
        Ok(promoted)
    }

    fn contents_of(&self, commit: &ObjectId) -> Result<HashMap<IdDigest, String>, RepositoryError> {
        let mut stores = Stores::new(self);
        let mut by_id = HashMap::new();
        let mut journals = 0;
        for past in self.git.first_parents(commit) {
            let past = past?;
            if past.trailers.as_version().is_none() {
                break;
            }
            let Some(journal) = past.trailers.journal else { continue };
            for at in [commit, &past.id] {
                if let Some(bytes) =
                    stores.of(at).and_then(|store| sealed_in(store, &journal).ok().flatten())
                {
                    by_id.extend(contents(&bytes));
                    break;
                }
            }
            journals += 1;
            if journals == COMPARED {
                break;
            }
        }
        Ok(by_id)
    }
}

impl Past for RepositoryPast {
    fn standing(&self, commit: &ObjectId, active: &ObjectId) -> Result<Standing, PastError> {
        Ok(self.look(commit, active)?)
    }

    fn fork(&self, commit: &ObjectId, active: &ObjectId) -> Result<Option<Fork>, PastError> {
        Ok(self.fork_of(commit, active)?)
    }

    fn journal(&self, sealed: &SealedAs) -> Result<Option<Vec<u8>>, PastError> {
        Ok(self.journal_of(sealed)?)
    }

    fn counts(
        &self,
        commit: &ObjectId,
        known: Option<&ObjectId>,
        most: usize,
    ) -> Result<Counts, PastError> {
        Ok(self.counts_of(commit, known, most)?)
    }

    fn promoted(&self, commit: &ObjectId) -> Result<Vec<Promoted>, PastError> {
        Ok(self.promoted_up_to(commit)?)
    }

    fn contents(&self, commit: &ObjectId) -> Result<HashMap<IdDigest, String>, PastError> {
        Ok(self.contents_of(commit)?)
    }
}

impl From<RepositoryError> for PastError {
    fn from(error: RepositoryError) -> Self {
        Self { message: error.messages().join(": "), kind: error.kind(), hint: error.hint() }
    }
}

/// Puts the ids that the versions of `active` counted into the record, as far as their Journals are
/// here: other clones cannot read them.
pub fn share_counts(repository: &Repository) -> Result<Committed<()>, RepositoryError> {
    let new = unshared_counts(repository, usize::MAX)?;
    if new.is_empty() {
        return Ok(Committed::whole(()));
    }
    let subject = format!("counted: the signals of {} versions", new.len());
    COUNTED.edit(&repository.git, |_| Ok(Some((subject.clone(), new.clone()))))
}

/// Whether there are such ids.
pub fn has_unshared_counts(repository: &Repository) -> Result<bool, RepositoryError> {
    Ok(!unshared_counts(repository, 1)?.is_empty())
}

fn unshared_counts(
    repository: &Repository,
    most: usize,
) -> Result<Vec<(String, Vec<u8>)>, RepositoryError> {
    let git = &repository.git;
    let Some(tip) = git.reference(ACTIVE)? else { return Ok(Vec::new()) };
    let past = RepositoryPast::new(git, &repository.layout);
    let mut stores = Stores::new(&past);
    let shared = COUNTED.view(git)?;
    let (mut new, mut there) = (Vec::new(), 0);
    for version in git.first_parents(&tip) {
        let version = version?;
        if version.trailers.as_version().is_none() || there == SHARED_BEFORE || new.len() == most {
            break;
        }
        let Some(journal) = &version.trailers.journal else { continue };
        if shared.has(&path(journal))? {
            there += 1;
            continue;
        }
        // an unreachable remote is retried by the next command that synchronises
        let counted = stores
            .of(&tip)
            .and_then(|store| sealed_in(store, journal).ok().flatten())
            .and_then(|bytes| digests(&bytes));
        new.extend(counted.map(|counted| (path(journal), counted.concat())));
    }
    Ok(new)
}
