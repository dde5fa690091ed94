//! A served branch from its tip back, and the facts of a tip, for verification.

use super::error::GitError;
use super::objects::CommitInfo;
use super::objects::decoded;
use super::publish::tag_ref;
use super::repository::{Git, STATE_FILE};
use agent_core::formats::first_version::FIRST;
use agent_core::formats::manifest::{self, Manifest};
use agent_core::formats::object_id::ObjectId;
use agent_core::verification::history::{Chain, End, Link};
use agent_core::verification::tip::{self, Before, Tip, Violation};
use agent_core::version::Kind;
use agent_core::version::legality::STATE_FOLDER;
use gix::bstr::ByteSlice;
use semver::Version;

/// How far back the tree of a rollback is searched before it is served; `agent verify` searches the
/// complete history.
const SEARCH_DEPTH: usize = 1_000;

impl Git {
    /// Why a commit must not be served as the version it declares, from git alone; a few reads.
    pub fn violation(&self, commit: &CommitInfo) -> Result<Option<Violation>, GitError> {
        Ok(tip::violation(&self.tip_facts(commit)?))
    }

    fn tip_facts(&self, commit: &CommitInfo) -> Result<Tip, GitError> {
        let state = self.entry(&commit.id, STATE_FILE)?.map(|entry| entry.id);
        Ok(Tip {
            link: link(commit, self.tag_of(commit)?, self.first_of(commit)?),
            state_problem: state
                .as_ref()
                .map(|state| self.blob_problem(state))
                .transpose()?
                .flatten(),
            state,
            before: self.before(commit)?,
            changed: self.changed_root(commit)?,
            restores: self.restores(commit)?,
        })
    }

    fn tag_of(&self, commit: &CommitInfo) -> Result<Option<ObjectId>, GitError> {
        commit
            .trailers
            .version
            .as_ref()
            .map_or(Ok(None), |version| self.reference(&tag_ref(version)))
    }

    /// What the manifest of a version calls a first release, where the version claims to be one
    /// under another number than the usual.
    fn first_of(&self, commit: &CommitInfo) -> Result<Version, GitError> {
        let claims = commit.trailers.base.is_none()
            && commit.trailers.version.as_ref().is_some_and(|version| *version != FIRST);
        let manifest = if claims { self.read(&commit.id, manifest::FILE)? } else { None };
        let manifest = manifest.and_then(|bytes| Manifest::read(&bytes, manifest::FILE).ok());
        Ok(manifest.map_or(FIRST, |manifest| manifest.first()))
    }

    fn before(&self, commit: &CommitInfo) -> Result<Before, GitError> {
        let Some(parent) = commit.parents.first() else { return Ok(Before::None) };
        if !self.exists(parent) {
            return Ok(Before::Absent);
        }
        let parent = self.commit(parent)?;
        Ok(match parent.trailers.as_version() {
            Some(_) => Before::Version(Box::new(link(&parent, None, FIRST))),
            None => Before::None,
        })
    }

    /// The differences at the root from the commit with the expected code: the parent, or a
    /// release's source.
    fn changed_root(&self, commit: &CommitInfo) -> Result<Option<String>, GitError> {
        let of = match commit.trailers.kind {
            Some(Kind::Promotion) => commit.parents.first(),
            Some(Kind::Release) => commit.parents.last(),
            _ => None,
        };
        match of.filter(|of| self.exists(of)) {
            Some(of) => self.root_difference(&self.tree_of(of)?, &commit.tree),
            None => Ok(None),
        }
    }

    /// The first name in the root, other than `state`, that two trees do not have alike.
    fn root_difference(
        &self,
        one: &ObjectId,
        other: &ObjectId,
    ) -> Result<Option<String>, GitError> {
        let entries = |tree: &ObjectId| -> Result<Vec<gix::objs::tree::Entry>, GitError> {
            let mut tree = decoded(&self.peeled_tree(tree)?)?;
            tree.entries.retain(|entry| format!("{}/", entry.filename) != STATE_FOLDER);
            Ok(tree.entries)
        };
        let (one, other) = (entries(one)?, entries(other)?);
        let differs = one
            .iter()
            .find(|entry| !other.contains(entry))
            .or_else(|| other.iter().find(|entry| !one.contains(entry)));
        Ok(differs.map(|entry| entry.filename.to_str_lossy().into_owned()))
    }

    /// For a rollback: whether an earlier version has its tree; `None` where that needs a longer
    /// search.
    fn restores(&self, commit: &CommitInfo) -> Result<Option<bool>, GitError> {
        if commit.trailers.kind != Some(Kind::Rollback) {
            return Ok(None);
        }
        for past in self.first_parents(&commit.id).skip(1).take(SEARCH_DEPTH) {
            let past = past?;
            if past.trailers.as_version().is_none() {
                return Ok(Some(false));
            }
            if past.tree == commit.tree {
                return Ok(Some(true));
            }
        }
        Ok(None)
    }

    /// Every served branch with its versions, as far back as there are any.
    pub fn chains(&self) -> Result<Vec<Chain>, GitError> {
        let branches = self.version_branches()?.into_iter();
        Ok(branches
            .map(|(branch, tip)| self.chain(branch.trim_start_matches("refs/heads/"), tip))
            .collect())
    }

    fn chain(&self, branch: &str, tip: ObjectId) -> Chain {
        let mut chain = Chain {
            branch: branch.to_owned(),
            tip: tip.clone(),
            links: Vec::new(),
            end: End::First,
        };
        let mut next = Some(tip);
        while let Some(id) = next.take() {
            let commit = match self.commit(&id) {
                Ok(commit) => commit,
                Err(_) if !self.exists(&id) && self.is_shallow() => {
                    chain.end = End::Shallow;
                    break;
                }
                Err(error) => {
                    chain.end = End::Unreadable { commit: id, why: explained(&error) };
                    break;
                }
            };
            if commit.trailers.as_version().is_none() {
                if chain.links.is_empty() {
                    chain.end = End::NoVersion;
                }
                break;
            }
            // an unreadable tag is checked separately
            let tagged = self.tag_of(&commit).unwrap_or_default();
            let first = self.first_of(&commit).unwrap_or(FIRST);
            chain.links.push(link(&commit, tagged, first));
            next = commit.parents.first().cloned();
        }
        chain
    }
}

pub fn link(commit: &CommitInfo, tagged: Option<ObjectId>, first: Version) -> Link {
    let CommitInfo { id, tree, parents, trailers, .. } = commit.clone();
    Link { commit: id, tree, parents, trailers, tagged, first }
}

/// An error with its causes, in one line.
fn explained(error: &GitError) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        texts.push(inner.to_string());
        cause = inner.source();
    }
    texts.join(": ")
}
