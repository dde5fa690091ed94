//! The cheap part of a version's verification, which runs once per commit before it is served or
//! judged.

use crate::repository::Repository;
use crate::repository::error::RepositoryError;
use crate::world::env::SKIP_HOOKS;
use crate::world::git::{ACTIVE, CommitInfo, link};
use crate::world::store::evaluation_key;
use agent_core::formats::first_version::FIRST;
use agent_core::formats::object_id::ObjectId;
use agent_core::verification::tip::{Violation, evaluation_violation};
use agent_core::version::promotion::Tip;
use agent_core::version::tag;
use semver::Version;

/// How far back to search for a sound version to name in the hint.
const SEARCH_DEPTH: usize = 1_000;

impl Repository {
    /// A commit as the version it declares, if it has no defect.
    pub fn version_at(&self, commit: &ObjectId) -> Result<Tip, RepositoryError> {
        if let Some(tip) = self.known_sound(commit) {
            return Ok(tip);
        }
        let info = self.git.commit(commit)?;
        let violation = match self.git.violation(&info)? {
            Some(violation) => Some(violation),
            None => self.evaluation_defect(&info)?.map(Violation::Commit),
        };
        match (violation, &info.trailers.version, &info.trailers.state) {
            (None, Some(version), Some(revision)) => {
                let tip = Tip {
                    version: version.clone(),
                    commit: commit.clone(),
                    revision: revision.clone(),
                };
                self.remember_sound(&tip);
                Ok(tip)
            }
            (violation, ..) => Err(self.unsound(&info, violation)),
        }
    }

    /// Like `version_at` for a commit that was requested by its version: another version is an
    /// error.
    pub fn sound_version(
        &self,
        version: &Version,
        commit: &ObjectId,
    ) -> Result<(), RepositoryError> {
        let found = self.version_at(commit)?;
        if found.version == *version {
            return Ok(());
        }
        Err(RepositoryError::TagElsewhere {
            version: version.clone(),
            commit: commit.clone(),
            declared: found.version,
        })
    }

    /// The defect of its evaluation, where the store is a local folder; a remote store would be too
    /// slow here.
    fn evaluation_defect(&self, commit: &CommitInfo) -> Result<Option<String>, RepositoryError> {
        let manifest = self.manifest(&commit.id)?;
        if manifest.store.is_remote() {
            return Ok(None);
        }
        // an unreadable store does not prevent serving
        let stored = self.store(&manifest)?.get(&evaluation_key(commit.id.as_str())).ok().flatten();
        Ok(stored.and_then(|stored| evaluation_violation(&link(commit, None, FIRST), &stored)))
    }

    fn unsound(&self, commit: &CommitInfo, violation: Option<Violation>) -> RepositoryError {
        let violation = violation
            .unwrap_or_else(|| Violation::Commit("it does not declare its state".to_owned()));
        let is_tip = self.git.reference(ACTIVE).ok().flatten().as_ref() == Some(&commit.id);
        let hint = match (&violation, &commit.trailers.version) {
            (Violation::Tag(_), Some(version)) => format!(
                "`agent verify` shows which of the two is right; `git fetch origin tag {0} \
                --force` brings the published tag, and \
                 `{SKIP_HOOKS}=1 git tag --force {0} {1}` makes it again",
                tag(version),
                commit.id
            ),
            _ if is_tip => self.way_back(commit),
            _ => "`agent verify --all` shows more; `agent versions` lists the others".to_owned(),
        };
        RepositoryError::Unsound {
            commit: commit.id.clone(),
            version: commit.trailers.version.clone().map(Box::new),
            violation,
            hint,
        }
    }

    /// The command that moves an unsound tip back to the newest sound version.
    fn way_back(&self, tip: &CommitInfo) -> String {
        let mut before =
            self.git.first_parents(&tip.id).skip(1).take(SEARCH_DEPTH).map_while(Result::ok);
        let sound = before.find_map(|past| self.version_at_quietly(&past));
        let Some(sound) = sound else {
            return "`agent verify` shows more; in a clone, `git fetch origin +active:active \
                --tags` brings the published branch"
                .to_owned();
        };
        format!(
            "`agent verify` shows more; {} is the newest valid version before it, and to serve \
            that again: {SKIP_HOOKS}=1 git update-ref {ACTIVE} {} {}",
            tag(&sound.version),
            sound.commit,
            tip.id
        )
    }

    fn version_at_quietly(&self, commit: &CommitInfo) -> Option<Tip> {
        let is_sound = matches!(self.git.violation(commit), Ok(None))
            && matches!(self.evaluation_defect(commit), Ok(None));
        let (version, revision) =
            (commit.trailers.version.clone()?, commit.trailers.state.clone()?);
        is_sound.then_some(Tip { version, commit: commit.id.clone(), revision })
    }
}
