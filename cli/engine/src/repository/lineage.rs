//! Releases and rollbacks: the versions that changed code. Whether a commit contains their code,
//! and whether its own code was yanked.

use crate::repository::error::RepositoryError;
use crate::world::git::{CommitInfo, Git, STATE_FILE};
use agent_core::formats::object_id::ObjectId;
use agent_core::version::Kind;
use agent_core::version::release::{Lacked, Yanked};
use agent_core::version::trailers;
use semver::Version;
use std::collections::BTreeMap;

/// Why a version is no longer served.
#[derive(Debug, Clone)]
struct Rollback {
    version: Version,
    reason: String,
}

#[derive(Debug)]
struct Decision {
    commit: CommitInfo,
    version: Version,
    undone_by: Option<Rollback>,
}

/// The releases and rollbacks up to a version, newest first.
fn decisions<'a>(
    git: &'a Git,
    tip: &ObjectId,
) -> impl Iterator<Item = Result<Decision, RepositoryError>> + 'a {
    let mut undone: BTreeMap<Version, Rollback> = BTreeMap::new();
    let mut commits = git.first_parents(tip);
    std::iter::from_fn(move || {
        loop {
            let commit = match commits.next()? {
                Ok(commit) => commit,
                Err(error) => return Some(Err(error.into())),
            };
            let (kind, version) =
                commit.trailers.as_version().map(|(kind, version)| (kind, version.clone()))?;
            for undoes in &commit.trailers.undoes {
                let rollback = || Rollback {
                    version: version.clone(),
                    reason: trailers::body(&commit.message).to_owned(),
                };
                undone.entry(undoes.clone()).or_insert_with(rollback);
            }
            if kind != Kind::Promotion {
                let undone_by = undone.get(&version).cloned();
                return Some(Ok(Decision { commit, version, undone_by }));
            }
        }
    })
}

/// The served code that a commit lacks, newest first. Yanked versions are not required.
pub fn lacked(
    git: &Git,
    tip: &ObjectId,
    commit: &ObjectId,
) -> Result<Vec<Lacked>, RepositoryError> {
    let mut lacked: Vec<Lacked> = Vec::new();
    for decision in decisions(git, tip) {
        let Decision { commit: decided, version, undone_by } = decision?;
        if contains(git, &decided, commit)? {
            let by = undone_by.map(|by| by.version);
            lacked
                .iter_mut()
                .filter(|lacked| Some(&lacked.version) == by.as_ref())
                .for_each(|lacked| lacked.took_out.push(version.clone()));
            break;
        }
        if undone_by.is_none() {
            lacked.push(Lacked {
                version,
                took_out: Vec::new(),
                reason: trailers::body(&decided.message).to_owned(),
            });
        }
    }
    Ok(lacked)
}

/// The version with the identical code of a commit, where the newest such version is yanked.
pub fn yanked(
    git: &Git,
    tip: &ObjectId,
    commit: &ObjectId,
) -> Result<Option<Yanked>, RepositoryError> {
    for decision in decisions(git, tip) {
        let Decision { commit: decided, version, undone_by } = decision?;
        if git.diff(Some(&decided.id), commit)?.iter().all(|change| is_not_served(&change.path)) {
            return Ok(undone_by.map(|Rollback { version: by, reason }| Yanked {
                version,
                by,
                reason,
            }));
        }
    }
    Ok(None)
}

/// Whether a path does not count as code: that of the learned state, and those of evaluators.
fn is_not_served(path: &str) -> bool {
    path == STATE_FILE || path.starts_with("tests/") || path.starts_with("ci/")
}

/// Whether a commit has the code of a version: by descent from it or from what it released, or
/// because its own history went through that very code, as it does where the version was brought in
/// as one commit.
fn contains(git: &Git, decided: &CommitInfo, commit: &ObjectId) -> Result<bool, RepositoryError> {
    let source = decided.parents.last().filter(|_| decided.trailers.kind == Some(Kind::Release));
    for has in std::iter::once(&decided.id).chain(source) {
        if git.exists(has) && git.is_ancestor(has, commit)? {
            return Ok(true);
        }
    }
    let Some(base) = git.merge_base(&decided.id, commit)? else { return Ok(false) };
    for passed in git.between(&base, commit)?.iter().chain([&base]) {
        if git.diff(Some(&decided.id), passed)?.iter().all(|change| change.path == STATE_FILE) {
            return Ok(true);
        }
    }
    Ok(false)
}
