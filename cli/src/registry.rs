//! Versions by name: what a range or a pin means, and the registry with what the object store adds to it.

use crate::error::CommandError;
use crate::repository::Repository;
use agent_core::evaluation::Evaluation;
use agent_core::object_id::ObjectId;
use agent_core::registry::{Entry, Listing};
use agent_core::suggestion::did_you_mean;
use agent_core::version::tag;
use agent_core::what::What;
use semver::{Version, VersionReq};
use serde_json::json;

impl Repository {
    /// A page of the registry, newest first.
    pub fn listing(&self, limit: usize, after: Option<&Version>, range: Option<&VersionReq>) -> Result<Listing, CommandError> {
        let mut listing = self.git.listing(limit, after, range)?;
        self.add_tiers(&mut listing.versions)?;
        Ok(listing)
    }

    /// One version of the registry.
    pub fn entry(&self, version: &Version) -> Result<Entry, CommandError> {
        self.commit_of(version)?;
        let mut entries = [self.git.registered(version)?];
        self.add_tiers(&mut entries)?;
        let [entry] = entries;
        Ok(entry)
    }

    /// The summaries of the evaluations, as far as the object store has those that the commits name.
    fn add_tiers(&self, entries: &mut [Entry]) -> Result<(), CommandError> {
        let Some(newest) = entries.first() else { return Ok(()) };
        // a tag made by hand may be on anything
        let Ok(manifest) = self.manifest(&newest.commit) else { return Ok(()) };
        let store = self.store(&manifest)?;
        for eval in entries.iter_mut().filter_map(|entry| entry.eval.as_mut()) {
            let stored = store.get(&eval.uri)?.and_then(|bytes| Evaluation::from_bytes(&bytes));
            let Some(stored) = stored.filter(|stored| stored.digest() == eval.digest) else { continue };
            eval.tiers = stored.tiers.iter().map(|(tier, summary)| (tier.to_string(), json!(summary))).collect();
        }
        Ok(())
    }

    /// The commit of a version.
    pub fn commit_of(&self, version: &Version) -> Result<ObjectId, CommandError> {
        self.git.version_commit(version)?.ok_or_else(|| self.no_version(version))
    }

    /// The newest version in service that a range means.
    pub fn newest_in(&self, range: &VersionReq) -> Result<Version, CommandError> {
        self.git.newest(Some(range))?.ok_or_else(|| {
            let hint = match self.git.latest() {
                Ok(Some(latest)) => format!("the newest version is v{latest}; `agent versions` lists them all, and which are yanked"),
                _ => self.why_no_versions(),
            };
            CommandError::input(format!("no version in service matches `{range}`")).with_hint(hint)
        })
    }

    /// The version that WHAT means.
    pub fn version_named(&self, what: &What) -> Result<Version, CommandError> {
        match what {
            What::Version(version) => self.commit_of(version).map(|_| version.clone()),
            What::Range(range) => self.newest_in(range),
            What::Active => Ok(self.expect_tip()?.version),
            other => {
                let commit = self.commit_named(other)?;
                let version = self.git.commit(&commit)?.trailers.version;
                version.ok_or_else(|| {
                    CommandError::input(format!("`{other}` is commit {}, which is no version", commit.short()))
                        .with_hint("`agent versions` lists the versions")
                })
            }
        }
    }

    /// What a name stands for: a pin if there is one, else whatever git knows by it.
    pub fn commit_of_name(&self, name: &str) -> Result<ObjectId, CommandError> {
        match self.git.pin(name)? {
            Some(what) => self.commit_named(&what),
            None => Ok(self.git.expect(name)?),
        }
    }

    fn no_version(&self, version: &Version) -> CommandError {
        let known: Vec<String> = self.git.versions().unwrap_or_default().iter().map(tag).collect();
        let hint = if known.is_empty() { self.why_no_versions() } else { "`agent versions` lists them".to_owned() };
        let suggestion = did_you_mean(&tag(version), known.iter().map(String::as_str));
        CommandError::input(format!("there is no v{version}{suggestion}")).with_hint(hint)
    }

    fn why_no_versions(&self) -> String {
        let shallow = "this clone is shallow and has no tags: git fetch --unshallow --tags";
        if self.git.is_shallow() { shallow.to_owned() } else { "there is none yet: `agent release` makes the first".to_owned() }
    }
}
