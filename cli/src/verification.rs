//! What is known of a version's evidence: gathered from git and the object store, judged in core.

use crate::error::CommandError;
use crate::records::INBOX;
use crate::repository::Repository;
use crate::world::git::STATE_FILE;
use crate::world::store::{evaluation_key, results_key};
use agent_core::manifest::Tier;
use agent_core::object_id::ObjectId;
use agent_core::registry::journal_key;
use agent_core::verification::Facts;
use semver::Version;
use std::collections::BTreeMap;

pub fn facts(repository: &Repository, version: &Version) -> Result<Facts, CommandError> {
    let git = &repository.git;
    let commit = git.commit(&repository.commit_of(version)?)?;
    let store = repository.store(&repository.manifest(&commit.id)?)?;
    let first_parent = commit.parents.first().cloned();
    let known_parent = first_parent.as_ref().filter(|parent| git.exists(parent));
    let mut results = BTreeMap::new();
    for tier in Tier::ALL {
        results.extend(store.get(&results_key(commit.id.as_str(), tier))?.map(|bytes| (tier, bytes)));
    }
    let journal = match &commit.trailers.journal {
        Some(digest) => store.get(&journal_key(digest))?,
        None => None,
    };
    Ok(Facts {
        version: version.clone(),
        branch: branch_with(repository, &commit.id, version)?,
        is_shallow: git.is_shallow(),
        state: git.entry(&commit.id, STATE_FILE)?.map(|entry| entry.id),
        changed: git.diff(known_parent, &commit.id)?.into_iter().map(|change| change.path).collect(),
        base_state: base_state(repository, commit.trailers.base.as_ref())?,
        evaluation: store.get(&evaluation_key(commit.id.as_str()))?,
        results,
        journal,
        feedback: in_inbox(repository, &commit.trailers.feedback)?,
        tree: commit.tree,
        first_parent,
        trailers: commit.trailers,
        commit: commit.id,
    })
}

/// The served branch that has a commit along its first parents; versions rise along it, so the walk ends below the version.
fn branch_with(repository: &Repository, commit: &ObjectId, version: &Version) -> Result<Option<String>, CommandError> {
    for (branch, tip) in repository.git.version_branches()? {
        for past in repository.git.first_parents(&tip) {
            let past = past?;
            if past.id == *commit {
                return Ok(Some(branch.trim_start_matches("refs/heads/").to_owned()));
            }
            if past.trailers.version.as_ref().is_none_or(|past| past < version) {
                break;
            }
        }
    }
    Ok(None)
}

fn base_state(repository: &Repository, base: Option<&ObjectId>) -> Result<Option<ObjectId>, CommandError> {
    let Some(base) = base.filter(|base| repository.git.exists(base)) else { return Ok(None) };
    Ok(repository.git.entry(base, STATE_FILE)?.map(|entry| entry.id))
}

fn in_inbox(repository: &Repository, items: &[String]) -> Result<Vec<String>, CommandError> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let inbox = INBOX.view(&repository.git)?;
    let mut found = Vec::new();
    for item in items {
        found.extend(inbox.read(&format!("items/{item}.json"))?.map(|_| item.clone()));
    }
    Ok(found)
}
