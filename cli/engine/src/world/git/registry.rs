//! The registry, read from tags and trailers: quick among 100,000 tags, and the same in every
//! clone.

use super::error::GitError;
use super::objects::CommitInfo;
use super::refs::{Move, Moved};
use super::repository::Git;
use crate::world::clock;
use agent_core::formats::committed::Committed;
use agent_core::formats::object_id::ObjectId;
use agent_core::version::record_refs::{PINS, REMOTES, SHARED};
use agent_core::version::registry::{self, Entry, Filter, Listing, Pin, PinError};
use agent_core::version::what::What;
use agent_core::version::{self, Kind, tag};
use gix::bstr::ByteSlice;
use semver::{Version, VersionReq};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

const TAGS: &[u8] = b"refs/tags/";

/// Versions out of service, with the rollback that took each of them out; complete for versions
/// above `floor`, or for all.
#[derive(Default)]
struct Yanks {
    by: BTreeMap<Version, Version>,
    floor: Option<Version>,
    /// The versions of the branches above `floor`, newest first of each branch.
    made: Vec<(Version, ObjectId)>,
}

/// A snapshot of the registry, for repeated reads: only moved refs are read again.
#[derive(Debug, Default)]
pub struct Catalog {
    seen: Option<Stamp>,
    /// Oldest first.
    versions: Vec<Version>,
    /// Of the versions on the branches.
    kinds: HashMap<Version, Kind>,
    /// The versions out of service, each with the rollback that took it out.
    yanks: BTreeMap<Version, Version>,
    /// Commits of versions that were read: below them nothing is new.
    walked: HashSet<ObjectId>,
}

/// The stamp of the registry.
#[derive(Debug, PartialEq)]
struct Stamp {
    packed: Option<(SystemTime, u64)>,
    loose: Option<SystemTime>,
    branches: Vec<(String, ObjectId)>,
}

/// A pin that was removed.
#[derive(Debug, Default, PartialEq)]
pub struct Unpinned {
    /// The previous target; `None` when there was none.
    pub before: Option<What>,
    /// The remotes that were seen to have it.
    pub remotes: Vec<String>,
}

/// A file that was written a moment ago may be written again within the same tick of its clock.
const TICK: Duration = Duration::from_millis(100);

impl Stamp {
    fn is_settled(&self) -> bool {
        let times = [self.packed.map(|(time, _)| time), self.loose];
        times.into_iter().flatten().all(|time| time.elapsed().is_ok_and(|age| age > TICK))
    }
}

impl Catalog {
    /// The newest version in service that matches, among tags of which not each is a version's.
    fn newest(
        &self,
        range: Option<&VersionReq>,
        is_version: impl Fn(&Version) -> Result<bool, GitError>,
    ) -> Result<Option<Version>, GitError> {
        let matching = self
            .versions
            .iter()
            .rev()
            .filter(|version| range.is_none_or(|range| range.matches(version)));
        for version in matching.filter(|version| !self.yanks.contains_key(version)) {
            if self.kinds.contains_key(version) || is_version(version)? {
                return Ok(Some(version.clone()));
            }
        }
        Ok(None)
    }

    pub fn undone_by(&self, version: &Version) -> Option<&Version> {
        self.yanks.get(version)
    }

    /// At most `limit` versions below `after`, newest first, and whether there are more.
    fn page<E>(
        &self,
        limit: usize,
        after: Option<&Version>,
        mut is_wanted: impl FnMut(&Version, Option<Kind>) -> Result<bool, E>,
    ) -> Result<(Vec<Version>, bool), E> {
        let end = after.map_or(self.versions.len(), |after| {
            self.versions.partition_point(|version| version < after)
        });
        let mut page = Vec::new();
        for version in self.versions[..end].iter().rev() {
            if is_wanted(version, self.kinds.get(version).copied())? {
                if page.len() == limit {
                    return Ok((page, true));
                }
                page.push(version.clone());
            }
        }
        Ok((page, false))
    }
}

impl Git {
    /// Updates a catalog to the current refs. If none has moved, this costs two file system reads.
    pub fn refresh(&self, catalog: &mut Catalog) -> Result<(), GitError> {
        let seen = self.stamp()?;
        if catalog.seen.as_ref() == Some(&seen) {
            return Ok(());
        }
        if let Err(error) = self.walk(&seen.branches, catalog) {
            // a partial walk would be taken for a complete one
            *catalog = Catalog::default();
            return Err(error);
        }
        catalog.versions = self.versions()?;
        catalog.seen = seen.is_settled().then_some(seen);
        Ok(())
    }

    fn walk(&self, branches: &[(String, ObjectId)], catalog: &mut Catalog) -> Result<(), GitError> {
        for (_, tip) in branches {
            for commit in self.first_parents(tip) {
                let commit = commit?;
                let Some((kind, made)) = commit
                    .trailers
                    .as_version()
                    .filter(|_| catalog.walked.insert(commit.id.clone()))
                else {
                    break;
                };
                catalog.kinds.insert(made.clone(), kind);
                for undone in &commit.trailers.undoes {
                    let by = catalog.yanks.entry(undone.clone()).or_insert_with(|| made.clone());
                    if *by < *made {
                        by.clone_from(made);
                    }
                }
            }
        }
        Ok(())
    }

    fn stamp(&self) -> Result<Stamp, GitError> {
        let metadata = |path: &str| std::fs::metadata(self.common_dir.join(path)).ok();
        Ok(Stamp {
            packed: metadata("packed-refs")
                .and_then(|file| Some((file.modified().ok()?, file.len()))),
            loose: metadata("refs/tags").and_then(|folder| folder.modified().ok()),
            branches: self.version_branches()?,
        })
    }

    /// The versions of a page of the registry, and whether there are more.
    pub fn page(
        &self,
        catalog: &Catalog,
        limit: usize,
        after: Option<&Version>,
        filter: &Filter,
    ) -> Result<(Vec<Version>, bool), GitError> {
        catalog.page(limit, after, |version, kind| {
            if !filter.may_match(version) || (kind.is_none() && !self.is_version(version)?) {
                return Ok(false);
            }
            let Some(wanted) = filter.kind else { return Ok(true) };
            let kind = match kind {
                Some(kind) => Some(kind),
                // a tag that is on none of the branches
                None => self
                    .version_commit(version)?
                    .map(|commit| self.commit(&commit))
                    .transpose()?
                    .and_then(|info| info.trailers.kind),
            };
            Ok(kind == Some(wanted))
        })
    }

    /// The newest version in service, or of those in a range, from what is known.
    pub fn newest_known(
        &self,
        catalog: &Catalog,
        range: Option<&VersionReq>,
    ) -> Result<Option<Version>, GitError> {
        catalog.newest(range, |version| self.is_version(version))
    }

    /// Whether a tag named like a version is one, by its commit. Other programs make such tags too.
    fn is_version(&self, version: &Version) -> Result<bool, GitError> {
        let Some(tagged) = self.version_commit(version)? else { return Ok(false) };
        // one that is not here is reported by its reader
        Ok(!self.exists(&tagged)
            || self
                .commit(&tagged)
                .is_ok_and(|commit| commit.trailers.version.as_ref() == Some(version)))
    }

    /// At most `limit` versions below `after`, newest first, and whether there are more.
    fn page_of(
        &self,
        versions: &[Version],
        limit: usize,
        after: Option<&Version>,
        range: Option<&VersionReq>,
    ) -> Result<(Vec<Version>, bool), GitError> {
        let is_wanted = |version: &&Version| {
            after.is_none_or(|after| *version < after)
                && range.is_none_or(|range| range.matches(version))
        };
        let mut page = Vec::new();
        for version in versions.iter().rev().filter(is_wanted) {
            if !self.is_version(version)? {
                continue;
            }
            if page.len() == limit {
                return Ok((page, true));
            }
            page.push(version.clone());
        }
        Ok((page, false))
    }

    /// The commits of all tags named like a version, oldest first; not each is a version.
    pub fn versions(&self) -> Result<Vec<Version>, GitError> {
        let mut versions = Vec::new();
        self.each_packed_version(|version| versions.push(version))?;
        versions.extend(self.loose_versions()?);
        versions.extend(self.standing_in());
        versions.sort_unstable();
        versions.dedup();
        Ok(versions)
    }

    /// The newest version, yanked or not.
    pub fn latest(&self) -> Result<Option<Version>, GitError> {
        match self.latest_tag()? {
            Some(latest) if !self.is_version(&latest)? => {
                Ok(self.page_of(&self.versions()?, 1, Some(&latest), None)?.0.pop())
            }
            latest => Ok(latest),
        }
    }

    /// One pass over the packed refs, without a list of them.
    fn latest_tag(&self) -> Result<Option<Version>, GitError> {
        let mut latest = self.loose_versions()?.into_iter().chain(self.standing_in()).max();
        self.each_packed_version(|version| {
            if latest.as_ref().is_none_or(|latest| *latest < version) {
                latest = Some(version);
            }
        })?;
        Ok(latest)
    }

    /// The newest version in service that matches the range.
    pub fn newest(&self, range: Option<&VersionReq>) -> Result<Option<Version>, GitError> {
        let mut yanks = Yanks::default();
        registry::newest(self.versions()?, range, |version| {
            if yanks.floor.as_ref().is_none_or(|floor| version < floor) {
                yanks = self.yanks_above(Some(version))?;
            }
            Ok(yanks.by.contains_key(version) || !self.is_version(version)?)
        })
    }

    /// The commit a version's tag is on, or would be on if it could be made.
    pub fn version_commit(&self, version: &Version) -> Result<Option<ObjectId>, GitError> {
        let tagged = self.reference(&format!("refs/tags/{}", tag(version)))?;
        Ok(tagged.or_else(|| {
            self.untagged.lock().unwrap_or_else(PoisonError::into_inner).get(version).cloned()
        }))
    }

    /// A page of the registry, newest first: at most `limit` versions below `after`. Versions of
    /// the branches that have no tag are tagged again.
    pub fn listing(
        &self,
        limit: usize,
        after: Option<&Version>,
        range: Option<&VersionReq>,
    ) -> Result<Listing, GitError> {
        let mut versions = self.versions()?;
        let (mut page, mut more) = self.page_of(&versions, limit, after, range)?;
        let mut yanks = self.yanks_above(page.last().filter(|_| more))?;
        let untagged: Vec<_> = yanks
            .made
            .drain(..)
            .filter(|(version, _)| versions.binary_search(version).is_err())
            .collect();
        if !untagged.is_empty() {
            self.tag_again(untagged)?;
            versions = self.versions()?;
            (page, more) = self.page_of(&versions, limit, after, range)?;
        }
        let next = page.last().filter(|_| more).cloned();
        let entries = page
            .iter()
            .map(|version| self.described(version, yanks.by.get(version)))
            .collect::<Result<_, _>>()?;
        Ok(Listing::new(entries, next))
    }

    /// The commit of an untagged version of a branch; a missing tag of a sound version is
    /// recreated.
    pub fn untagged(&self, version: &Version) -> Result<Option<ObjectId>, GitError> {
        for (_, tip) in self.version_branches()? {
            for commit in self.first_parents(&tip) {
                let commit = commit?;
                let Some((_, made)) =
                    commit.trailers.as_version().filter(|(_, made)| *made >= version)
                else {
                    break;
                };
                if made == version {
                    self.tag_again(vec![(made.clone(), commit.id.clone())])?;
                    return self.version_commit(version);
                }
            }
        }
        Ok(None)
    }

    /// One version of the registry.
    pub fn registered(&self, version: &Version) -> Result<Entry, GitError> {
        let yanks = self.yanks_above(Some(version))?;
        self.described(version, yanks.by.get(version))
    }

    pub fn described(
        &self,
        version: &Version,
        undone_by: Option<&Version>,
    ) -> Result<Entry, GitError> {
        let tagged = self.version_commit(version)?;
        let commit = self.commit(
            &tagged.map_or_else(|| self.expect(&format!("refs/tags/{}", tag(version))), Ok)?,
        )?;
        let base = match commit.trailers.base.as_ref().filter(|base| self.exists(base)) {
            Some(base) => self.commit(base)?.trailers.version,
            None => None,
        };
        let CommitInfo { id, trailers, time, .. } = commit;
        Ok(Entry::new(
            version.clone(),
            id,
            &trailers,
            clock::rfc3339(time),
            base,
            undone_by.cloned(),
        ))
    }

    /// The versions yanked by rollbacks above `version`. Versions rise along a branch and a
    /// rollback yanks versions below it, so the walk ends at `version`.
    fn yanks_above(&self, floor: Option<&Version>) -> Result<Yanks, GitError> {
        let mut yanks = Yanks { floor: floor.cloned(), ..Yanks::default() };
        for (_, tip) in self.version_branches()? {
            for commit in self.first_parents(&tip) {
                let commit = commit?;
                let Some((_, made)) = commit
                    .trailers
                    .as_version()
                    .filter(|(_, made)| floor.is_none_or(|floor| *made > floor))
                else {
                    break;
                };
                for undone in &commit.trailers.undoes {
                    yanks.by.entry(undone.clone()).or_insert_with(|| made.clone());
                }
                yanks.made.push((made.clone(), commit.id));
            }
        }
        Ok(yanks)
    }

    fn standing_in(&self) -> Vec<Version> {
        self.untagged.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn each_packed_version(&self, mut visit: impl FnMut(Version)) -> Result<(), GitError> {
        let packed = self
            .repository
            .refs
            .cached_packed_buffer()
            .map_err(GitError::reading("packed-refs"))?;
        let Some(packed) = packed else { return Ok(()) };
        let tags = packed.iter_prefixed(TAGS.into()).map_err(GitError::reading("packed-refs"))?;
        for reference in tags {
            let reference = reference.map_err(GitError::reading("packed-refs"))?;
            let name =
                reference.name.as_bstr().strip_prefix(TAGS).and_then(|name| name.to_str().ok());
            if let Some(version) = name.and_then(version::from_tag) {
                visit(version);
            }
        }
        Ok(())
    }

    pub(super) fn loose_versions(&self) -> Result<Vec<Version>, GitError> {
        let folder = self.common_dir.join("refs/tags");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(crate::world::fs::FsError::while_doing("read", &folder)(error).into());
            }
        };
        Ok(entries
            .flatten()
            .filter_map(|entry| version::from_tag(entry.file_name().to_str()?))
            .collect())
    }

    /// What a pin points to, here or as a remote was seen to have it, whichever was set last;
    /// `None` when there is no such pin.
    pub fn pin(&self, name: &str) -> Result<Option<What>, GitError> {
        if registry::check_pin_name(name).is_err() {
            return Ok(None);
        }
        let mut newest = self.pin_at(&format!("{SHARED}{PINS}{name}"), name)?;
        for (reference, _) in self.pins_of_remotes()?.into_iter().filter(|(_, pin)| pin == name) {
            // an unreadable pin of a remote has to be fixed by the clone that set it
            let Ok(Some(theirs)) = self.pin_at(&reference, name) else { continue };
            if newest.as_ref().is_none_or(|(_, at)| *at < theirs.1) {
                newest = Some(theirs);
            }
        }
        Ok(newest.map(|(what, _)| what))
    }

    /// Like `pin`, for resolving a name: a branch, a tag, another ref and an object id take
    /// precedence over a pin.
    pub fn pin_meant(&self, name: &str) -> Result<Option<What>, GitError> {
        if self.is_taken(name)? { Ok(None) } else { self.pin(name) }
    }

    /// Whether git resolves a name.
    fn is_taken(&self, name: &str) -> Result<bool, GitError> {
        if registry::is_like_an_id(name) && self.resolve(name)?.is_some() {
            return Ok(true);
        }
        // a name that no ref can have is no ref's
        Ok(self.repository.try_find_reference(name).is_ok_and(|found| found.is_some()))
    }

    /// Whether a word may name a new pin.
    pub fn check_new_pin(&self, name: &str) -> Result<(), GitError> {
        registry::check_pin_name(name)?;
        let wrong = |why| Err(PinError::Name { name: name.to_owned(), why }.into());
        if registry::is_like_an_id(name) {
            return wrong("it could be the id of an object");
        }
        if self.is_taken(name)? {
            return wrong("a branch, a tag or another ref is called that");
        }
        Ok(())
    }

    /// What the pin at a ref points to, and when that was set.
    pub fn pin_at(
        &self,
        reference: &str,
        name: &str,
    ) -> Result<Option<(What, Option<String>)>, GitError> {
        match self.target(reference)? {
            Some(blob) => Ok(Some(Pin::parse(name, &self.blob(&blob)?)?)),
            None => Ok(None),
        }
    }

    /// Every pin by name, with what it points to.
    pub fn pins(&self) -> Result<Vec<(String, What)>, GitError> {
        let mut names: BTreeSet<String> =
            self.own_pins()?.into_iter().map(|(name, _)| name).collect();
        names.extend(self.pins_of_remotes()?.into_iter().map(|(_, name)| name));
        let mut pins = Vec::new();
        for name in names {
            pins.extend(self.pin(&name)?.map(|what| (name, what)));
        }
        Ok(pins)
    }

    /// The pins at this clone's own refs, by name, each with its blob.
    pub fn own_pins(&self) -> Result<Vec<(String, ObjectId)>, GitError> {
        let prefix = format!("{SHARED}{PINS}");
        Ok(self
            .references(&prefix)?
            .into_iter()
            .map(|(name, blob)| (name[prefix.len()..].to_owned(), blob))
            .collect())
    }

    /// The refs and names of the pins that remotes were seen to have.
    fn pins_of_remotes(&self) -> Result<Vec<(String, String)>, GitError> {
        let between = format!("/{PINS}");
        let named = |reference: String| {
            reference
                .rsplit_once(&between)
                .map(|(_, name)| name.to_owned())
                .map(|name| (reference, name))
        };
        Ok(self
            .references(REMOTES)?
            .into_iter()
            .filter_map(|(reference, _)| named(reference))
            .collect())
    }

    /// Sets a pin, or moves it; gives back what it pointed to before.
    pub fn set_pin(&self, name: &str, what: &What) -> Result<Committed<Option<What>>, GitError> {
        self.check_new_pin(name)?;
        let before = self.pin(name).ok().flatten();
        if before.as_ref() == Some(what) {
            return Ok(Committed::whole(before));
        }
        let blob = self.write_blob(&Pin::new(what, clock::rfc3339(clock::now())).to_bytes())?;
        Ok(self.replace_pin(name, Some(blob))?.map(|()| before))
    }

    /// Removes a pin from this clone.
    pub fn remove_pin(&self, name: &str) -> Result<Committed<Unpinned>, GitError> {
        registry::check_pin_name(name)?;
        let before = self.pin(name).ok().flatten();
        let mut removed = self.replace_pin(name, None)?;
        let mut remotes = Vec::new();
        for (reference, _) in self.pins_of_remotes()?.into_iter().filter(|(_, pin)| pin == name) {
            let from = self.target(&reference)?;
            self.move_ref(Move { name: reference.clone(), from, to: None }, "agent: pin")?
                .unpack(&mut removed.warnings);
            remotes.extend(
                reference
                    .strip_prefix(REMOTES)
                    .and_then(|rest| rest.strip_suffix(&format!("/{PINS}{name}")))
                    .map(str::to_owned),
            );
        }
        Ok(removed.map(|()| Unpinned { before, remotes }))
    }

    fn replace_pin(&self, name: &str, to: Option<ObjectId>) -> Result<Committed<()>, GitError> {
        let reference = format!("{SHARED}{PINS}{name}");
        let from = self.target(&reference)?;
        if from == to {
            return Ok(Committed::whole(()));
        }
        let moved = self.move_ref(Move { name: reference.clone(), from, to }, "agent: pin")?;
        match moved.value {
            Moved::Conflict { .. } => Err(GitError::Busy { name: reference }),
            Moved::All | Moved::FirstOnly { .. } => Ok(moved.map(drop)),
        }
    }
}
