//! The facts of a ref's update that the legality table judges.

use super::error::GitError;
use super::repository::{Git, STATE_FILE};
use agent_core::bisection::difference::PathStatus;
use agent_core::formats::object_id::ObjectId;
use agent_core::version;
use agent_core::version::legality::{CommitFacts, RefUpdate, Role, STAGING_FILE};
use agent_core::version::record_refs;
use std::collections::HashSet;

impl Git {
    /// The facts of a ref update; works before the update as well as in a hook that judges it.
    pub fn ref_update(
        &self,
        reference: &str,
        old: Option<&ObjectId>,
        new: Option<&ObjectId>,
    ) -> Result<RefUpdate, GitError> {
        let mut update = RefUpdate {
            reference: reference.to_owned(),
            old: old.cloned(),
            new: new.cloned(),
            ..RefUpdate::default()
        };
        let role = Role::of(reference);
        let Some(new) = new else {
            update.is_superseded = matches!(role, Role::VersionTag(_)) && self.gave_way(old)?;
            return Ok(update);
        };
        match role {
            Role::VersionTag(_) => {
                update.is_superseded = self.is_superseded(old, new)?;
                // a tag of something that is no commit names no version
                let named = self
                    .resolve(new.as_str())?
                    .map(|commit| self.commit_facts(&commit))
                    .transpose()?;
                update.added.push(named.unwrap_or_default());
            }
            Role::Active | Role::Line(..) => self.along_first_parents(&mut update, new)?,
            Role::Record => {
                update.is_forward = old.map_or(Ok(true), |old| self.holds_all_of(old, new))?;
            }
            Role::Free if reference.starts_with("refs/heads/") => {
                update.added.push(self.changes_at_once(old, new)?);
            }
            Role::Once | Role::Free => {}
        }
        Ok(update)
    }

    /// Whether a record's commit descends from another and has all its content: missing objects
    /// cannot be checked and count as removed.
    fn holds_all_of(&self, old: &ObjectId, new: &ObjectId) -> Result<bool, GitError> {
        if !self.is_commit(old) || !self.is_ancestor(old, new)? {
            return Ok(false);
        }
        for change in self.diff(Some(old), new)? {
            let keeps = match change.status {
                PathStatus::Removed => false,
                // in a file of lines each is an entry; what became of an item or a run may change
                PathStatus::Modified if has_lines(&change.path) => {
                    let [old, new] = [old, new].map(|commit| {
                        self.read(commit, &change.path).map(Option::unwrap_or_default)
                    });
                    let (old, new) = (old?, new?);
                    let lines: HashSet<&[u8]> = new.split(|byte| *byte == b'\n').collect();
                    old.split(|byte| *byte == b'\n').all(|line| lines.contains(line))
                }
                PathStatus::Added | PathStatus::Modified => true,
            };
            if !keeps {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a commit lost the race for `active` to what a remote serves, and is stored below
    /// `lost/`.
    fn is_superseded(&self, old: Option<&ObjectId>, new: &ObjectId) -> Result<bool, GitError> {
        let Some(old) = old.filter(|old| *old != new) else { return Ok(false) };
        if !self.is_set_aside(old)? {
            return Ok(false);
        }
        Ok(self.is_commit(new) && self.is_on_any(new, &self.served_by_remotes()?)?)
    }

    /// Whether a commit is stored as one that lost the race, and no served branch has it, here or
    /// at a remote: its tag is obsolete.
    fn gave_way(&self, old: Option<&ObjectId>) -> Result<bool, GitError> {
        let Some(old) = old else { return Ok(false) };
        let there = self.served_by_remotes()?;
        if there.is_empty() || !self.is_set_aside(old)? {
            return Ok(false);
        }
        let here = self.version_branches()?.into_iter().map(|(_, tip)| tip).collect::<Vec<_>>();
        Ok(!self.is_on_any(old, &there)? && !self.is_on_any(old, &here)?)
    }

    fn is_on_any(&self, commit: &ObjectId, tips: &[ObjectId]) -> Result<bool, GitError> {
        for tip in tips {
            if self.is_ancestor(commit, tip)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The tips of what remotes serve, as it was last fetched.
    fn served_by_remotes(&self) -> Result<Vec<ObjectId>, GitError> {
        let mut tips = Vec::new();
        for remote in self.remotes() {
            let branches = self.references(&format!("refs/remotes/{remote}/"))?.into_iter();
            tips.extend(
                branches
                    .filter(|(name, _)| name.ends_with("/active") || name.contains("/line/"))
                    .map(|(_, tip)| tip),
            );
        }
        Ok(tips)
    }

    /// Whether a commit is stored as a version that lost the race for `active`.
    fn is_set_aside(&self, commit: &ObjectId) -> Result<bool, GitError> {
        let kept = self.references(record_refs::OWN)?;
        Ok(kept.iter().any(|(name, kept)| {
            kept == commit
                && record_refs::purpose(name) == Some(record_refs::RefPurpose::Superseded)
        }))
    }

    /// What a commit on a branch that is free brings, as one change from where the branch was.
    fn changes_at_once(
        &self,
        old: Option<&ObjectId>,
        new: &ObjectId,
    ) -> Result<CommitFacts, GitError> {
        let known = old.filter(|old| self.exists(old));
        let changed = self.diff(known, new)?.into_iter().map(|change| change.path).collect();
        Ok(CommitFacts {
            id: Some(new.clone()),
            changed,
            tracks_staging: self.tracks_staging(new)?,
            ..CommitFacts::default()
        })
    }

    fn along_first_parents(&self, update: &mut RefUpdate, new: &ObjectId) -> Result<(), GitError> {
        let old = update.old.clone();
        let is_new = old.is_none();
        update.is_superseded = self.is_superseded(old.as_ref(), new)?;
        let from = match old.filter(|old| self.exists(old)) {
            Some(old) if update.is_superseded => self.merge_base(&old, new)?,
            other => other,
        };
        if let Some(from) = &from {
            update.old_version = self.commit(from)?.trailers.version;
        }
        for commit in self.first_parents(new) {
            let commit = commit?;
            let is_on_it = from.as_ref() == Some(&commit.id);
            update.is_forward = is_on_it && !update.is_superseded;
            // a branch that begins does so on commits that are no versions
            let begins = is_new && commit.trailers.as_version().is_none();
            if is_on_it || begins {
                break;
            }
            update.added.push(self.commit_facts(&commit.id)?);
        }
        if !is_new && !update.is_forward && !update.is_superseded {
            // not a descendant: its history is irrelevant to the branch
            update.added.clear();
        }
        update.added.reverse();
        Ok(())
    }

    fn commit_facts(&self, id: &ObjectId) -> Result<CommitFacts, GitError> {
        let commit = self.commit(id)?;
        let parent = commit.parents.first().filter(|parent| self.exists(parent));
        let tagged = match &commit.trailers.version {
            Some(version) => self.reference(&format!("refs/tags/{}", version::tag(version)))?,
            None => None,
        };
        // the tag of a version that lost the race follows the one that won
        let tagged = match tagged {
            Some(tagged) if tagged != *id && self.is_superseded(Some(&tagged), id)? => None,
            other => other,
        };
        Ok(CommitFacts {
            id: Some(id.clone()),
            state: self.entry(id, STATE_FILE)?.map(|entry| entry.id),
            changed: self.diff(parent, id)?.into_iter().map(|change| change.path).collect(),
            tracks_staging: self.tracks_staging(id)?,
            trailers: commit.trailers,
            tagged,
        })
    }

    fn tracks_staging(&self, id: &ObjectId) -> Result<bool, GitError> {
        Ok(self.entry(id, STAGING_FILE)?.is_some())
    }
}

fn has_lines(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "jsonl")
}
