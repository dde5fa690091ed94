//! The facts of a clone and its remote that a synchronisation is planned with.

use super::error::SyncError;
use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::lineage;
use crate::world::git::{ACTIVE, Git, remote_active, tag_ref};
use agent_core::formats::object_id::ObjectId;
use agent_core::verification::tip::Violation;
use agent_core::version::Kind;
use agent_core::version::record_refs::{self, OWN, RefPurpose};
use agent_core::version::release::Lacked;
use agent_core::version::sync::{
    Checkout, Main, Served, Snapshot, Standing, Superseded, Tag, served,
};
use semver::Version;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The development branch.
pub const MAIN: &str = "refs/heads/main";
/// The number of newest versions that are checked individually.
const RECENT: usize = 4_096;

/// Fetches and observes what the remote serves.
pub fn snapshot(repository: &Repository, remote: Option<&str>) -> Result<Snapshot, Failure> {
    let git = &repository.git;
    let here = git.reference(ACTIVE)?.map(|tip| version(git, &tip, "active")).transpose()?;
    let standing = match remote {
        Some(remote) => {
            let seen = git.reference(&remote_active(remote))?;
            let there = git.fetch_active(remote)?;
            standing(git, remote, here.as_ref(), seen.as_ref(), there)?
        }
        None => Standing::Same,
    };
    let mut snapshot = Snapshot {
        remote: remote.map(str::to_owned),
        here,
        standing,
        lost: Vec::new(),
        tags: Vec::new(),
        main: Main::Contains,
    };
    let Some(served) = served(&snapshot).cloned() else { return Ok(snapshot) };
    if remote.is_some() {
        let way = Lineage::to(git, &served.commit)?;
        snapshot.lost = way.lost(snapshot.here.as_ref())?;
        snapshot.tags = way.tags(&snapshot.lost)?;
    }
    snapshot.main = main(git, remote, &served.commit)?;
    Ok(snapshot)
}

/// What a remote serves, where nothing is served here.
pub fn to_begin_with(git: &Git, remote: &str) -> Result<Option<Served>, Failure> {
    let there = git.fetch_active(remote)?;
    if git.reference(ACTIVE)?.is_some() {
        return Ok(None);
    }
    there.map(|there| sound(git, remote, &there)).transpose()
}

/// A commit as the version it declares.
fn version(git: &Git, commit: &ObjectId, whose: &str) -> Result<Served, Failure> {
    let info = git.commit(commit)?;
    match &info.trailers.version {
        Some(version) if info.trailers.as_version().is_some() => {
            Ok(Served { version: version.clone(), commit: commit.clone() })
        }
        _ => Err(SyncError::NotAVersion { whose: whose.to_owned(), commit: commit.clone() }.into()),
    }
}

fn standing(
    git: &Git,
    remote: &str,
    here: Option<&Served>,
    seen: Option<&ObjectId>,
    there: Option<ObjectId>,
) -> Result<Standing, Failure> {
    let Some(there) = there else {
        return match here {
            Some(here) => {
                Ok(Standing::Ahead { from: None, untagged: untagged(git, remote, here, None)? })
            }
            None => Ok(Standing::Same),
        };
    };
    let Some(here) = here else { return Ok(Standing::Behind { to: sound(git, remote, &there)? }) };
    if here.commit == there {
        return Ok(Standing::Same);
    }
    if let Some(was) = seen
        && git.is_ancestor(was, &here.commit)?
        && !git.is_ancestor(was, &there)?
    {
        return Ok(Standing::Rewound {
            was: was.clone(),
            is_before: git.is_ancestor(&there, was)?,
            now: there,
        });
    }
    match git.merge_base(&here.commit, &there)? {
        Some(base) if base == there => Ok(Standing::Ahead {
            untagged: untagged(git, remote, here, Some(&there))?,
            from: Some(there),
        }),
        Some(base) if base == here.commit => {
            Ok(Standing::Behind { to: sound(git, remote, &there)? })
        }
        Some(base) if git.commit(&base)?.trailers.as_version().is_some() => {
            Ok(Standing::Diverged { to: sound(git, remote, &there)? })
        }
        _ => Ok(Standing::Unrelated { there }),
    }
}

/// What a remote serves, where it may be served here as well. Its tags are not compared: those of
/// this clone are updated afterwards.
fn sound(git: &Git, remote: &str, there: &ObjectId) -> Result<Served, Failure> {
    let served = version(git, there, &format!("active of {remote}"))?;
    match git.violation(&git.commit(there)?)? {
        Some(Violation::Commit(why)) => {
            Err(SyncError::Unsound { remote: remote.to_owned(), served: served.to_string(), why }
                .into())
        }
        Some(Violation::Tag(_)) | None => Ok(served),
    }
}

/// The local versions after the remote's `active` that have no tag there, oldest first.
fn untagged(
    git: &Git,
    remote: &str,
    here: &Served,
    there: Option<&ObjectId>,
) -> Result<Vec<Served>, Failure> {
    let tagged = git.remote_refs(remote, &["refs/tags/v*".to_owned()])?;
    let mut untagged = Vec::new();
    for commit in git.first_parents(&here.commit) {
        let commit = commit?;
        let Some((_, made)) = commit.trailers.as_version().filter(|_| Some(&commit.id) != there)
        else {
            break;
        };
        match tagged.get(&tag_ref(made)) {
            None => untagged.push(Served { version: made.clone(), commit: commit.id.clone() }),
            Some(tagged) if *tagged == commit.id => {}
            Some(tagged) => {
                return Err(SyncError::TagTaken {
                    remote: remote.to_owned(),
                    version: made.clone(),
                    there: tagged.clone(),
                    here: commit.id,
                }
                .into());
            }
        }
    }
    untagged.reverse();
    Ok(untagged)
}

/// The newest ancestors of the version to be served.
struct Lineage<'a> {
    git: &'a Git,
    tip: &'a ObjectId,
    commits: HashSet<ObjectId>,
    versions: BTreeMap<Version, ObjectId>,
}

impl<'a> Lineage<'a> {
    fn to(git: &'a Git, tip: &'a ObjectId) -> Result<Self, Failure> {
        let mut way = Self { git, tip, commits: HashSet::new(), versions: BTreeMap::new() };
        for commit in git.first_parents(tip).take(RECENT) {
            let commit = commit?;
            let Some((_, made)) = commit.trailers.as_version() else { break };
            way.versions.insert(made.clone(), commit.id.clone());
            way.commits.insert(commit.id);
        }
        Ok(way)
    }

    fn has(&self, commit: &ObjectId) -> Result<bool, Failure> {
        Ok(self.commits.contains(commit) || self.git.is_ancestor(commit, self.tip)?)
    }

    /// Superseded versions: served here earlier, or with the tag of a served version; newest first.
    fn lost(&self, here: Option<&Served>) -> Result<Vec<Superseded>, Failure> {
        let kept = self.kept()?;
        let was_served =
            here.map(|here| here.commit.clone()).into_iter().chain(self.git.past_tips(ACTIVE)?);
        let others = self.other_branches()?;
        let mut lost: HashMap<ObjectId, Superseded> = HashMap::new();
        for tip in was_served.chain(kept.iter().cloned()).chain(self.tagged_aside()?) {
            if lost.contains_key(&tip) || self.commits.contains(&tip) || !self.git.is_commit(&tip) {
                continue;
            }
            for (commit, kind, version) in self.aside(&tip, &others)? {
                let is_kept = kept.contains(&commit);
                lost.insert(commit.clone(), Superseded { version, commit, kind, is_kept });
            }
        }
        let mut lost: Vec<_> = lost.into_values().collect();
        lost.sort_by(|one, other| {
            (&other.version, &other.commit).cmp(&(&one.version, &one.commit))
        });
        Ok(lost)
    }

    /// What is kept already.
    fn kept(&self) -> Result<HashSet<ObjectId>, Failure> {
        let refs = self.git.references(OWN)?.into_iter();
        Ok(refs
            .filter(|(name, _)| record_refs::purpose(name) == Some(RefPurpose::Superseded))
            .map(|(_, commit)| commit)
            .collect())
    }

    fn other_branches(&self) -> Result<Vec<ObjectId>, Failure> {
        let branches = self.git.version_branches()?.into_iter();
        Ok(branches.filter(|(name, _)| name != ACTIVE).map(|(_, tip)| tip).collect())
    }

    /// Commits that have the tag of one of these versions, where the version itself is another
    /// commit.
    fn tagged_aside(&self) -> Result<Vec<ObjectId>, Failure> {
        let mut aside = Vec::new();
        for (version, commit) in &self.versions {
            aside.extend(self.git.version_commit(version)?.filter(|tagged| tagged != commit));
        }
        Ok(aside)
    }

    /// The versions from one back to its merge base with this one. None where it descends from what
    /// is to be served, or shares no history with it.
    fn aside(
        &self,
        tip: &ObjectId,
        others: &[ObjectId],
    ) -> Result<Vec<(ObjectId, Kind, Version)>, Failure> {
        let mut found = Vec::new();
        for commit in self.git.first_parents(tip) {
            let commit = commit?;
            if self.has(&commit.id)? {
                return Ok(if commit.id == *self.tip { Vec::new() } else { found });
            }
            let Some((kind, version)) = commit.trailers.as_version() else { break };
            for other in others {
                if self.git.is_ancestor(&commit.id, other)? {
                    return Ok(Vec::new());
                }
            }
            found.push((commit.id.clone(), kind, version.clone()));
        }
        Ok(Vec::new())
    }

    /// The tags that superseded versions still have.
    fn tags(&self, lost: &[Superseded]) -> Result<Vec<Tag>, Failure> {
        let mut tags = Vec::new();
        for Superseded { version, commit, .. } in lost {
            if self.git.target(&tag_ref(version))?.as_ref() == Some(commit) {
                tags.push(Tag {
                    version: version.clone(),
                    from: commit.clone(),
                    to: self.versions.get(version).cloned(),
                });
            }
        }
        Ok(tags)
    }
}

/// Whether `main` has the code of the newest release or rollback, and whether it can be moved
/// there.
pub fn main(git: &Git, remote: Option<&str>, served: &ObjectId) -> Result<Main, Failure> {
    let Some(at) = git.reference(MAIN)? else { return Ok(Main::Contains) };
    let Some(Lacked { version: lacks, .. }) = lineage::lacked(git, served, &at)?.into_iter().next()
    else {
        return Ok(Main::Contains);
    };
    let there = remote
        .map(|remote| git.reference(&format!("refs/remotes/{remote}/main")))
        .transpose()?
        .flatten();
    for tip in std::iter::once(&at).chain(&there) {
        if !git.is_ancestor(tip, served)? {
            return Ok(Main::Apart { lacks });
        }
    }
    let checkout = match git.checkout_of(MAIN)? {
        None => Checkout::None,
        Some(folder) if Git::is_clean(&folder)? => Checkout::Clean,
        Some(_) => Checkout::Changed,
    };
    Ok(Main::Behind { at, lacks, checkout })
}
