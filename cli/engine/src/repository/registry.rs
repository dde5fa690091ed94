//! Versions by name: what a range or a pin means, and the registry with what the object store adds
//! to it.

use crate::repository::Repository;
use crate::repository::error::RepositoryError;
use crate::world::git::Catalog;
use agent_core::formats::committed::Warnings;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::evaluation::Evaluation;
use agent_core::version::registry::{Entry, Filter, Listing};
use agent_core::version::tag;
use agent_core::version::what::What;
use semver::{Version, VersionReq};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

/// Entries that are kept; one has a few kilobytes.
const ENTRIES: usize = 4096;

/// A cached registry for frequent readers, shared between threads: the cost of a page does not
/// depend on the number of versions.
#[derive(Debug, Default)]
pub struct Known {
    catalog: Mutex<Catalog>,
    /// The data of a version's commit and evaluation, which is immutable.
    entries: Mutex<HashMap<Version, Entry>>,
}

const TIERS_NOT_SHOWN: &str =
    "the object store cannot be read, so the tiers of versions are not shown";

/// Whether the store has nothing of the evaluation that it names.
fn has_no_tiers(entry: &Entry) -> bool {
    entry.eval.as_ref().is_some_and(|eval| eval.tiers.as_ref().is_none_or(BTreeMap::is_empty))
}

impl Repository {
    /// A page of the registry, newest first, from what is known.
    pub fn known_listing(
        &self,
        known: &Known,
        limit: usize,
        after: Option<&Version>,
        filter: &Filter,
    ) -> Result<(Listing, Warnings), RepositoryError> {
        let (page, more) = self.up_to_date(known, |catalog| {
            let (page, more) = self.git.page(catalog, limit, after, filter)?;
            let page: Vec<_> = page
                .into_iter()
                .map(|version| (catalog.undone_by(&version).cloned(), version))
                .collect();
            Ok((page, more))
        })?;
        let next = page.last().filter(|_| more).map(|(_, version)| version.clone());
        let (entries, warnings) = self.known_entries(known, page)?;
        Ok((Listing { agent: self.agent_name(), ..Listing::new(entries, next) }, warnings))
    }

    fn agent_name(&self) -> Option<String> {
        self.served_manifest().map(|manifest| manifest.name)
    }

    /// One version of it; `None` where there is no such version.
    pub fn known_entry(
        &self,
        known: &Known,
        version: &Version,
    ) -> Result<Option<(Entry, Warnings)>, RepositoryError> {
        if self.git.version_commit(version)?.is_none() {
            return Ok(None);
        }
        let by = self.up_to_date(known, |catalog| Ok(catalog.undone_by(version).cloned()))?;
        let (mut entries, warnings) = self.known_entries(known, vec![(by, version.clone())])?;
        Ok(entries.pop().map(|entry| (entry, warnings)))
    }

    /// The newest version in service, or of those in a range.
    pub fn known_newest(
        &self,
        known: &Known,
        range: Option<&VersionReq>,
    ) -> Result<Option<Version>, RepositoryError> {
        self.up_to_date(known, |catalog| Ok(self.git.newest_known(catalog, range)?))
    }

    fn up_to_date<T>(
        &self,
        known: &Known,
        look: impl FnOnce(&Catalog) -> Result<T, RepositoryError>,
    ) -> Result<T, RepositoryError> {
        let mut catalog = known.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        self.git.refresh(&mut catalog)?;
        look(&catalog)
    }

    /// The entries of versions, each with the rollback that took it out of service.
    fn known_entries(
        &self,
        known: &Known,
        wanted: Vec<(Option<Version>, Version)>,
    ) -> Result<(Vec<Entry>, Warnings), RepositoryError> {
        let mut found: Vec<Option<Entry>> = {
            let entries = known.entries.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.iter().map(|(_, version)| entries.get(version).cloned()).collect()
        };
        let missing = wanted.iter().zip(&found).filter(|(_, found)| found.is_none());
        let mut read = missing
            .map(|((_, version), _)| self.git.described(version, None))
            .collect::<Result<Vec<_>, _>>()?;
        let warnings = self.add_tiers(&mut read);
        let mut entries = known.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() + read.len() > ENTRIES {
            entries.clear();
        }
        // an evaluation that is not in the store may be added later
        let whole = |entry: &&Entry| !has_no_tiers(entry);
        entries
            .extend(read.iter().filter(whole).map(|entry| (entry.version.clone(), entry.clone())));
        drop(entries);
        let mut read = read.into_iter();
        for slot in found.iter_mut().filter(|slot| slot.is_none()) {
            *slot = read.next();
        }
        Ok((
            found
                .into_iter()
                .flatten()
                .zip(wanted)
                .map(|(entry, (by, _))| entry.undone_by(by))
                .collect(),
            warnings,
        ))
    }

    /// A page of the registry, newest first; missing data of the object store is reported.
    pub fn listing(
        &self,
        limit: usize,
        after: Option<&Version>,
        range: Option<&VersionReq>,
    ) -> Result<Listing, RepositoryError> {
        let mut listing = self.git.listing(limit, after, range)?;
        listing.agent = self.agent_name();
        self.say(self.add_tiers(&mut listing.versions));
        Ok(listing)
    }

    /// One version of the registry.
    pub fn entry(&self, version: &Version) -> Result<Entry, RepositoryError> {
        self.commit_of(version)?;
        let mut entries = [self.git.registered(version)?];
        self.say(self.add_tiers(&mut entries));
        let [entry] = entries;
        Ok(entry)
    }

    /// The summaries of the evaluations, as far as the object store has those that the commits
    /// name. They are optional: an unreachable store is not retried.
    fn add_tiers(&self, entries: &mut [Entry]) -> Warnings {
        let mut warnings = Warnings::none();
        let Some(newest) = entries.first() else { return warnings };
        // a tag made manually may be on any object
        let Ok(manifest) = self.manifest(&newest.commit) else { return warnings };
        let Some(store) = warnings.note(self.store(&manifest), TIERS_NOT_SHOWN) else {
            return warnings;
        };
        let store = store.briefly();
        for eval in entries.iter_mut().filter_map(|entry| entry.eval.as_mut()) {
            let Some(stored) = warnings.note(store.get(&eval.uri), TIERS_NOT_SHOWN) else { break };
            let stored = stored
                .and_then(|bytes| Evaluation::from_bytes(&bytes))
                .filter(|stored| stored.digest() == eval.digest);
            let tiers = stored.into_iter().flat_map(|stored| stored.tiers);
            eval.tiers =
                Some(tiers.map(|(tier, summary)| (tier.to_string(), json!(summary))).collect());
        }
        let lacking = entries.iter().filter(|entry| has_no_tiers(entry)).count();
        // a store that did not answer is the reason, and is named already
        if warnings.is_empty() && lacking > 0 {
            warnings.push(match lacking {
                1 => {
                    "the evaluation of one version here is not in the object store: its tiers are \
                    not shown"
                        .to_owned()
                }
                more => format!(
                    "the evaluations of {more} versions here are not in the object \
                    store: their tiers are not shown"
                ),
            });
        }
        warnings
    }

    /// The commit of a version. A missing tag of a version on the branch is recreated.
    pub fn commit_of(&self, version: &Version) -> Result<ObjectId, RepositoryError> {
        if let Some(commit) = self.git.version_commit(version)? {
            return Ok(commit);
        }
        let commit = self.git.untagged(version)?.ok_or_else(|| self.no_version(version))?;
        let ended = match self.git.reference(&format!("refs/tags/{}", tag(version)))? {
            Some(_) => "was missing; it is recreated from its commit",
            None => {
                "is missing and cannot be recreated now; its commit is the one on the branch that \
                    declares \
                it is that version"
            }
        };
        self.warn(&format!("the tag {} {ended}", tag(version)));
        Ok(commit)
    }

    /// The newest version in service that a range means.
    pub fn newest_in(&self, range: &VersionReq) -> Result<Version, RepositoryError> {
        self.git.newest(Some(range))?.ok_or_else(|| RepositoryError::NoneInRange {
            range: range.clone(),
            newest: self.git.latest().ok().flatten(),
            is_shallow: self.git.is_shallow(),
        })
    }

    /// The version that WHAT means.
    pub fn version_named(&self, what: &What) -> Result<Version, RepositoryError> {
        match what {
            What::Version(version) => self.commit_of(version).map(|_| version.clone()),
            What::Range(range) => self.newest_in(range),
            What::Active => Ok(self.expect_tip()?.version),
            other => {
                let commit = self.commit_named(other)?;
                let version = self.git.commit(&commit)?.trailers.version;
                version.ok_or_else(|| RepositoryError::NotAVersion { what: other.clone(), commit })
            }
        }
    }

    /// The commit a version, a range, a pin or any revision names.
    pub fn commit_named(&self, what: &What) -> Result<ObjectId, RepositoryError> {
        match what {
            What::Active | What::Staging => Ok(self.expect_tip()?.commit),
            What::Worktree => Ok(self.git.expect("HEAD")?),
            What::Version(version) => self.commit_of(version),
            What::Range(range) => self.commit_of(&self.newest_in(range)?),
            What::Name(name) => self.commit_of_name(name),
        }
    }

    /// Resolves a name: a pin if there is one, else a revision of git.
    pub fn commit_of_name(&self, name: &str) -> Result<ObjectId, RepositoryError> {
        match self.git.pin_meant(name)? {
            Some(what) => self.commit_named(&what),
            None => Ok(self.git.expect(name)?),
        }
    }

    fn no_version(&self, version: &Version) -> RepositoryError {
        RepositoryError::NoVersion {
            version: version.clone(),
            known: self.git.versions().unwrap_or_default().iter().map(tag).collect(),
            is_shallow: self.git.is_shallow(),
        }
    }
}
