//! One commit point: a branch moves by compare-and-swap, its tag follows, and whatever is missing
//! is recreated from the commit.

use super::error::GitError;
use super::objects::CommitInfo;
use super::refs::{Move, Moved};
use super::repository::{ACTIVE, Git};
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::object_id::ObjectId;
use agent_core::version;
use agent_core::version::legality::{self, RefUpdate};
use semver::Version;
use std::sync::PoisonError;

/// More versions than this without a tag are no sign of a kill but of a clone without tags.
const HEAL_AT_MOST: usize = 64;

/// A commit to be made a version: the branch moves to it, then the tag is created.
///
/// The tag is a lightweight one: it has no data besides the commit's trailers, so every repair
/// creates an identical tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// `active`, or `line/X.Y`.
    pub branch: String,
    /// Where the branch must still be; `None` when it must not exist.
    pub expect: Option<ObjectId>,
    pub commit: ObjectId,
    pub version: Version,
}

impl Publication {
    pub(super) fn branch_ref(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    pub(super) fn tag_ref(&self) -> String {
        tag_ref(&self.version)
    }

    /// The branch, then its tag, which must not exist.
    pub fn moves(&self) -> [Move; 2] {
        let branch = Move {
            name: self.branch_ref(),
            from: self.expect.clone(),
            to: Some(self.commit.clone()),
        };
        [branch, Move::create(self.tag_ref(), self.commit.clone())]
    }
}

fn refuse(update: &RefUpdate) -> Result<(), GitError> {
    let violations = legality::judge(update);
    if violations.is_empty() { Ok(()) } else { Err(GitError::Illegal { violations }) }
}

pub fn tag_ref(version: &Version) -> String {
    format!("refs/tags/{}", version::tag(version))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// The version is out.
    Done,
    /// The branch has moved on; nothing was changed.
    Conflict { found: Option<ObjectId> },
    /// Another commit already has this version's tag; nothing was changed.
    TagTaken { by: ObjectId },
}

/// The repairs of incomplete operations, and the problems that need the user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repairs {
    /// Missing tags that were recreated.
    pub tags: Vec<String>,
    /// Temporary object files of killed processes.
    pub temporary: usize,
    /// Notices: a tag that disagrees with its commit, a clone without tags.
    pub notes: Vec<String>,
}

impl Repairs {
    /// A failed repair does not prevent reading; the next command tries again.
    fn postponed(&mut self, what: &str, error: &GitError) {
        self.notes.push(format!("{what}: {}", error.messages().join(": ")));
    }

    /// One line for each thing, for the verb that repaired to pass on.
    pub fn lines(&self) -> Vec<String> {
        let tags = self.tags.iter().map(|tag| {
            format!("an earlier command was killed before it could tag {tag}; it is tagged now")
        });
        tags.chain(self.notes.iter().cloned()).collect()
    }
}

impl Git {
    /// Makes a commit a version. Idempotent. A tag that could not be made
    /// is a warning; the next command makes it.
    pub fn publish(&self, publication: &Publication) -> Result<Committed<Published>, GitError> {
        let lock = self.lock_refs()?;
        let (branch, tag) = (publication.branch_ref(), publication.tag_ref());
        let tagged = self.reference(&tag)?;
        if let Some(by) = tagged.clone().filter(|by| *by != publication.commit) {
            return Ok(Committed::whole(Published::TagTaken { by }));
        }
        let mut moves = Vec::new();
        let tip = self.target(&branch)?;
        if tip != publication.expect && tip.as_ref() != Some(&publication.commit) {
            return Ok(Committed::whole(Published::Conflict { found: tip }));
        }
        if tip.as_ref() != Some(&publication.commit) {
            self.refuse_illegal(&branch, tip.as_ref(), &publication.commit)?;
            moves.push(Move {
                name: branch,
                from: publication.expect.clone(),
                to: Some(publication.commit.clone()),
            });
        }
        if tagged.is_none() {
            moves.push(Move::create(tag, publication.commit.clone()));
        }
        if moves.is_empty() {
            return Ok(Committed::whole(Published::Done));
        }
        let mut warnings = Warnings::none();
        let value = match lock
            .apply(&moves, &format!("agent: v{}", publication.version))?
            .unpack(&mut warnings)
        {
            Moved::All => Published::Done,
            Moved::Conflict { found, .. } => Published::Conflict { found },
            Moved::FirstOnly { why } => {
                let tag = version::tag(&publication.version);
                warnings.push(format!(
                    "the tag {tag} is not made yet, the next command makes it: {why}"
                ));
                Published::Done
            }
        };
        Ok(Committed { value, warnings })
    }

    /// Moves one ref if the legality table allows it.
    pub fn move_legally(&self, change: Move, reason: &str) -> Result<Committed<Moved>, GitError> {
        let lock = self.lock_refs()?;
        refuse(&self.ref_update(&change.name, change.from.as_ref(), change.to.as_ref())?)?;
        lock.apply(&[change], reason)
    }

    fn refuse_illegal(
        &self,
        branch: &str,
        old: Option<&ObjectId>,
        new: &ObjectId,
    ) -> Result<(), GitError> {
        refuse(&self.ref_update(branch, old, Some(new))?)
    }

    /// Completes the interrupted operation of a killed command. Every verb that looks at versions
    /// begins with this; it costs a few reads when there is nothing to do.
    pub fn repair(&self) -> Result<Repairs, GitError> {
        let mut repairs = Repairs { temporary: self.sweep_temporary(), ..Repairs::default() };
        if self.has_unfinished_moves()
            && let Err(error) = self.lock_refs()
        {
            repairs.postponed(
                "an earlier command did not finish its ref updates, and they cannot be completed \
                    now",
                &error,
            );
        }
        for (branch, tip) in self.version_branches()? {
            self.repair_branch(&branch, &tip, &mut repairs)?;
        }
        Ok(repairs)
    }

    /// `active` and every `line/X.Y`, with their tips.
    pub fn version_branches(&self) -> Result<Vec<(String, ObjectId)>, GitError> {
        let active = self.target(ACTIVE)?.map(|tip| (ACTIVE.to_owned(), tip));
        Ok(active.into_iter().chain(self.references("refs/heads/line/")?).collect())
    }

    fn repair_branch(
        &self,
        branch: &str,
        tip: &ObjectId,
        repairs: &mut Repairs,
    ) -> Result<(), GitError> {
        let untagged = self.untagged_versions(tip, repairs)?;
        if untagged.is_empty() {
            return Ok(());
        }
        if self.is_shallow() || untagged.len() > HEAL_AT_MOST {
            repairs.notes.push(format!(
                "{branch} has versions without tags: this clone lacks them (git \
                    fetch --tags, or --unshallow --tags)"
            ));
            return Ok(());
        }
        if let Err(error) = self.make_tags(&untagged, repairs) {
            self.stand_in(untagged)?;
            repairs.postponed(
                &format!("{branch} has versions without tags, and they cannot be tagged now"),
                &error,
            );
        }
        Ok(())
    }

    /// Makes the tags of versions of a branch that have none. A clone that lacks all of them has to
    /// fetch them.
    pub fn tag_again(&self, untagged: Vec<(Version, ObjectId)>) -> Result<Repairs, GitError> {
        let mut repairs = Repairs::default();
        if !untagged.is_empty() && !self.is_shallow() && untagged.len() <= HEAL_AT_MOST {
            // a reader continues without the tag, and the next command tries again
            if let Err(error) = self.make_tags(&untagged, &mut repairs) {
                self.stand_in(untagged)?;
                repairs.postponed("versions without tags cannot be tagged now", &error);
            }
        }
        Ok(repairs)
    }

    /// Oldest first, so that a kill in between leaves the same kind of gap. No commit that is not
    /// sound becomes a version by its tag.
    fn make_tags(
        &self,
        untagged: &[(Version, ObjectId)],
        repairs: &mut Repairs,
    ) -> Result<(), GitError> {
        let lock = self.lock_refs()?;
        for (version, commit) in untagged.iter().rev() {
            if self.target(&tag_ref(version))?.is_some()
                || self.violation(&self.commit(commit)?)?.is_some()
            {
                continue;
            }
            let moved =
                lock.apply(&[Move::create(tag_ref(version), commit.clone())], "agent: repair")?;
            repairs.notes.extend(moved.warnings);
            if moved.value == Moved::All {
                repairs.tags.push(version::tag(version));
            }
        }
        Ok(())
    }

    /// For what only reads: versions that lack their tags are found all the same.
    pub fn note_untagged(&self) -> Result<(), GitError> {
        for (_, tip) in self.version_branches()? {
            let untagged = self.untagged_versions(&tip, &mut Repairs::default())?;
            if !self.is_shallow() && untagged.len() <= HEAL_AT_MOST {
                self.stand_in(untagged)?;
            }
        }
        Ok(())
    }

    /// In this process these are found as if they were tagged.
    fn stand_in(&self, untagged: Vec<(Version, ObjectId)>) -> Result<(), GitError> {
        for (version, commit) in untagged {
            if self.violation(&self.commit(&commit)?)?.is_none() {
                self.untagged
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(version, commit);
            }
        }
        Ok(())
    }

    /// The versions from a tip back to the first one with a tag, newest first.
    fn untagged_versions(
        &self,
        tip: &ObjectId,
        repairs: &mut Repairs,
    ) -> Result<Vec<(Version, ObjectId)>, GitError> {
        let mut untagged = Vec::new();
        for commit in self.first_parents(tip) {
            let commit = commit?;
            let Some((_, version)) = commit.trailers.as_version() else { break };
            match self.reference(&tag_ref(version))? {
                None => untagged.push((version.clone(), commit.id)),
                Some(tagged) if tagged == commit.id => break,
                Some(tagged) => {
                    repairs.notes.push(format!(
                        "tag v{version} is on {}, but {} on the branch declares that version; \
                        `agent verify v{version}` shows more",
                        tagged.short(),
                        commit.id.short()
                    ));
                    break;
                }
            }
            if untagged.len() > HEAL_AT_MOST {
                break;
            }
        }
        Ok(untagged)
    }

    /// A commit and its first parents, newest first, as far as this clone has them.
    pub fn first_parents(
        &self,
        tip: &ObjectId,
    ) -> impl Iterator<Item = Result<CommitInfo, GitError>> + '_ {
        let mut next = Some(tip.clone());
        std::iter::from_fn(move || {
            let id = next.take()?;
            let commit = self.commit(&id);
            if let Ok(commit) = &commit {
                next = commit.parents.first().filter(|parent| self.exists(parent)).cloned();
            }
            Some(commit)
        })
    }
}
