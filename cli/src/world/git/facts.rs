//! The facts of a ref's update that the legality table judges.

use super::{Git, GitError, STATE_FILE};
use agent_core::legality::{CommitFacts, RefUpdate, Role, STAGING_FILE};
use agent_core::object_id::ObjectId;
use agent_core::version;

impl Git {
    /// What moving a ref would mean; works before the move as well as in a hook that asks whether it may happen.
    pub fn ref_update(&self, reference: &str, old: Option<&ObjectId>, new: Option<&ObjectId>) -> Result<RefUpdate, GitError> {
        let mut update = RefUpdate {
            reference: reference.to_owned(),
            old: old.cloned(),
            new: new.cloned(),
            is_forward: false,
            old_version: None,
            added: Vec::new(),
        };
        let Some(new) = new else { return Ok(update) };
        match Role::of(reference) {
            Role::VersionTag(_) => {
                // a tag of something that is no commit names no version
                let named = self.resolve(new.as_str())?.map(|commit| self.commit_facts(&commit)).transpose()?;
                update.added.push(named.unwrap_or_default());
            }
            Role::Active | Role::Line(..) => self.along_first_parents(&mut update, new)?,
            Role::Record => update.is_forward = old.map_or(Ok(true), |old| self.is_ancestor(old, new))?,
            Role::Free if reference.starts_with("refs/heads/") => update.added.push(self.changes_at_once(old, new)?),
            Role::Once | Role::Free => {}
        }
        Ok(update)
    }

    /// What a commit on a branch that is free brings, as one change from where the branch was.
    fn changes_at_once(&self, old: Option<&ObjectId>, new: &ObjectId) -> Result<CommitFacts, GitError> {
        let known = old.filter(|old| self.exists(old));
        let changed = self.diff(known, new)?.into_iter().map(|change| change.path).collect();
        Ok(CommitFacts { id: Some(new.clone()), changed, tracks_staging: self.tracks_staging(new)?, ..CommitFacts::default() })
    }

    fn along_first_parents(&self, update: &mut RefUpdate, new: &ObjectId) -> Result<(), GitError> {
        let old = update.old.clone();
        if let Some(old) = old.as_ref().filter(|old| self.exists(old)) {
            update.old_version = self.commit(old)?.trailers.version;
        }
        for commit in self.first_parents(new) {
            let commit = commit?;
            update.is_forward = old.as_ref() == Some(&commit.id);
            // a branch that begins does so on commits that are no versions
            let begins = old.is_none() && commit.trailers.as_version().is_none();
            if update.is_forward || begins {
                break;
            }
            update.added.push(self.commit_facts(&commit.id)?);
        }
        if old.is_some() && !update.is_forward {
            // not on top of it: its own history says nothing about the branch
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
