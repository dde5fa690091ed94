//! The registry, read from tags and trailers: quick among 100,000 tags, and the same in every clone.

use super::{CommitInfo, Git, GitError, Move, Moved};
use crate::world::clock;
use agent_core::object_id::ObjectId;
use agent_core::registry::{self, Entry, Listing, Pin};
use agent_core::version::{self, tag};
use agent_core::what::What;
use gix::bstr::ByteSlice;
use semver::{Version, VersionReq};
use std::collections::BTreeMap;

const TAGS: &[u8] = b"refs/tags/";
const PINS: &str = "refs/agent/pins/";

/// Versions out of service, with the rollback that took each of them out; complete for versions above `floor`.
struct Yanks {
    by: BTreeMap<Version, Version>,
    floor: Option<Version>,
}

impl Git {
    /// Every version, oldest first.
    pub fn versions(&self) -> Result<Vec<Version>, GitError> {
        let mut versions = Vec::new();
        self.each_packed_version(|version| versions.push(version))?;
        versions.extend(self.loose_versions()?);
        versions.sort_unstable();
        versions.dedup();
        Ok(versions)
    }

    /// The newest version, yanked or not: one pass over the packed refs, without a list of them.
    pub fn latest(&self) -> Result<Option<Version>, GitError> {
        let mut latest = self.loose_versions()?.into_iter().max();
        self.each_packed_version(|version| {
            if latest.as_ref().is_none_or(|latest| *latest < version) {
                latest = Some(version);
            }
        })?;
        Ok(latest)
    }

    /// The newest version in service that matches the range.
    pub fn newest(&self, range: Option<&VersionReq>) -> Result<Option<Version>, GitError> {
        let mut yanks = Yanks { by: BTreeMap::new(), floor: None };
        registry::newest(self.versions()?, range, |version| {
            if yanks.floor.as_ref().is_none_or(|floor| version < floor) {
                yanks = self.yanks_above(version)?;
            }
            Ok(yanks.by.contains_key(version))
        })
    }

    /// The commit a version's tag is on.
    pub fn version_commit(&self, version: &Version) -> Result<Option<ObjectId>, GitError> {
        self.reference(&format!("refs/tags/{}", tag(version)))
    }

    /// A page of the registry, newest first: at most `limit` versions below `after`.
    pub fn listing(&self, limit: usize, after: Option<&Version>, range: Option<&VersionReq>) -> Result<Listing, GitError> {
        let mut page: Vec<Version> = self
            .versions()?
            .into_iter()
            .rev()
            .filter(|version| after.is_none_or(|after| version < after) && range.is_none_or(|range| range.matches(version)))
            .take(limit.saturating_add(1))
            .collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let Some(oldest) = page.last() else { return Ok(Listing::new(Vec::new(), None)) };
        let yanks = self.yanks_above(oldest)?;
        let next = more.then(|| oldest.clone());
        let entries = page.iter().map(|version| self.described(version, yanks.by.get(version))).collect::<Result<_, _>>()?;
        Ok(Listing::new(entries, next))
    }

    /// One version of the registry.
    pub fn registered(&self, version: &Version) -> Result<Entry, GitError> {
        let yanks = self.yanks_above(version)?;
        self.described(version, yanks.by.get(version))
    }

    fn described(&self, version: &Version, undone_by: Option<&Version>) -> Result<Entry, GitError> {
        let commit = self.commit(&self.expect(&format!("refs/tags/{}", tag(version)))?)?;
        let base = match commit.trailers.base.as_ref().filter(|base| self.exists(base)) {
            Some(base) => self.commit(base)?.trailers.version,
            None => None,
        };
        let CommitInfo { id, trailers, time, .. } = commit;
        Ok(Entry::new(version.clone(), id, &trailers, clock::rfc3339(time), base, undone_by.cloned()))
    }

    /// What rollbacks above `version` took out of service. Versions rise along a branch and a rollback undoes what is below it, so
    /// the walk ends where the branch comes down to `version`.
    fn yanks_above(&self, version: &Version) -> Result<Yanks, GitError> {
        let mut by = BTreeMap::new();
        for (_, tip) in self.version_branches()? {
            for commit in self.first_parents(&tip) {
                let trailers = commit?.trailers;
                let Some((_, made)) = trailers.as_version() else { break };
                if made <= version {
                    break;
                }
                for undone in &trailers.undoes {
                    by.entry(undone.clone()).or_insert_with(|| made.clone());
                }
            }
        }
        Ok(Yanks { by, floor: Some(version.clone()) })
    }

    fn each_packed_version(&self, mut visit: impl FnMut(Version)) -> Result<(), GitError> {
        let packed = self.repository.refs.cached_packed_buffer().map_err(GitError::reading("packed-refs"))?;
        let Some(packed) = packed else { return Ok(()) };
        let tags = packed.iter_prefixed(TAGS.into()).map_err(GitError::reading("packed-refs"))?;
        for reference in tags {
            let reference = reference.map_err(GitError::reading("packed-refs"))?;
            let name = reference.name.as_bstr().strip_prefix(TAGS).and_then(|name| name.to_str().ok());
            if let Some(version) = name.and_then(version::from_tag) {
                visit(version);
            }
        }
        Ok(())
    }

    fn loose_versions(&self) -> Result<Vec<Version>, GitError> {
        let folder = self.common_dir.join("refs/tags");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(crate::world::fs::FsError::while_doing("read", &folder)(error).into()),
        };
        Ok(entries.flatten().filter_map(|entry| version::from_tag(entry.file_name().to_str()?)).collect())
    }

    /// What a pin points to; `None` when there is no such pin.
    pub fn pin(&self, name: &str) -> Result<Option<What>, GitError> {
        if registry::check_pin_name(name).is_err() {
            return Ok(None);
        }
        match self.target(&format!("{PINS}{name}"))? {
            Some(blob) => Ok(Some(Pin::parse(name, &self.blob(&blob)?)?)),
            None => Ok(None),
        }
    }

    /// Every pin by name, with what it points to.
    pub fn pins(&self) -> Result<Vec<(String, What)>, GitError> {
        let mut pins = Vec::new();
        for (reference, blob) in self.references(PINS)? {
            let name = reference.trim_start_matches(PINS).to_owned();
            let what = Pin::parse(&name, &self.blob(&blob)?)?;
            pins.push((name, what));
        }
        Ok(pins)
    }

    /// Sets a pin, or moves it; gives back what it pointed to before.
    pub fn set_pin(&self, name: &str, what: &What) -> Result<Option<What>, GitError> {
        registry::check_pin_name(name)?;
        let blob = self.write_blob(&Pin::new(what).to_bytes())?;
        self.replace_pin(name, Some(blob))
    }

    /// Removes a pin; gives back what it pointed to, `None` when there was none.
    pub fn remove_pin(&self, name: &str) -> Result<Option<What>, GitError> {
        registry::check_pin_name(name)?;
        self.replace_pin(name, None)
    }

    fn replace_pin(&self, name: &str, to: Option<ObjectId>) -> Result<Option<What>, GitError> {
        let reference = format!("{PINS}{name}");
        let from = self.target(&reference)?;
        // a pin that cannot be read can still be set again or removed
        let before = from.as_ref().and_then(|blob| Pin::parse(name, &self.blob(blob).ok()?).ok());
        if from == to {
            return Ok(before);
        }
        match self.move_ref(Move { name: reference.clone(), from, to }, "agent: pin")? {
            Moved::Conflict { .. } => Err(GitError::Busy { name: reference }),
            Moved::All | Moved::FirstOnly { .. } => Ok(before),
        }
    }
}
