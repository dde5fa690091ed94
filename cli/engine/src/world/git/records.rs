//! Records in git: their heads, and commits on top of them. `agent_core::version::record_refs`
//! documents their refs.
//!
//! Each commit of a record has every known head as a parent, so a clone that has it has all of
//! them.

use super::error::GitError;
use super::ids::{from_gix, to_gix};
use super::objects::{CommitSpec, TreeEdit};
use super::refs::{Move, Moved};
use super::repository::Git;
use crate::world::fs::{self, Durability, FileLock};
use crate::world::random;
use agent_core::formats::committed::Committed;
use agent_core::formats::object_id::ObjectId;
use agent_core::version::record_refs::{self, OWN, PEERS, REMOTES, RefPurpose, SHARED};
use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

/// The number of retries of an edit after lost races.
const ATTEMPTS: usize = 64;
/// Seconds by which the clocks of clones may differ.
const CLOCK_SKEW: i64 = 24 * 60 * 60;
const CLONE_SCHEMA: &str = "agent/clone@1";

/// A commit to be put on a record.
#[derive(Debug)]
pub struct RecordEdit {
    pub subject: String,
    /// Every head that is known; the first one's tree is the one that is edited.
    pub heads: Vec<ObjectId>,
    pub edits: Vec<TreeEdit>,
}

/// The clone's id, and the git directory it was created for: a copied folder is another clone.
#[derive(Debug, Serialize, Deserialize)]
struct CloneId {
    schema: String,
    id: String,
    inode: u64,
}

impl Git {
    /// Every commit to which a ref of the record points, with one such ref, by commit; ancestors of
    /// others are omitted.
    pub fn record_heads(&self, record: &str) -> Result<BTreeMap<ObjectId, String>, GitError> {
        self.maximal(self.record_refs(record)?)
    }

    /// The commits at the refs of a record, each with one of its refs.
    fn record_refs(&self, record: &str) -> Result<BTreeMap<ObjectId, String>, GitError> {
        let mut found = BTreeMap::new();
        let shared = format!("{SHARED}{record}");
        if let Some(commit) = self.target(&shared)? {
            found.insert(commit, shared);
        }
        for prefix in [format!("{SHARED}{PEERS}"), OWN.to_owned(), REMOTES.to_owned()] {
            for (name, commit) in self.references(&prefix)? {
                if record_refs::is_head_of(&name[prefix.len()..], record) {
                    found.entry(commit).or_insert(name);
                }
            }
        }
        // objects missing after an interrupted fetch, and non-commits, are ignored
        found.retain(|commit, _| self.is_commit(commit));
        Ok(found)
    }

    /// Leaves out what others of them have among their ancestors.
    pub fn maximal(
        &self,
        mut commits: BTreeMap<ObjectId, String>,
    ) -> Result<BTreeMap<ObjectId, String>, GitError> {
        if commits.len() < 2 {
            return Ok(commits);
        }
        let times = commits
            .keys()
            .map(|id| Ok((self.commit(id)?.time.as_second(), id.clone())))
            .collect::<Result<BTreeSet<_>, GitError>>()?;
        // by clocks that disagree for longer than this, an ancestor may pass for a head; joining it
        // once more changes nothing
        let oldest = times.first().map_or(0, |(time, _)| *time) - CLOCK_SKEW;
        for (_, commit) in times.into_iter().rev() {
            if commits.len() > 1 && commits.contains_key(&commit) {
                let others = commits.keys().filter(|other| **other != commit).cloned().collect();
                for old in self.ancestors_among(&commit, others, oldest)? {
                    commits.remove(&old);
                }
            }
        }
        Ok(commits)
    }

    /// The given commits that are ancestors of one, as far back as `oldest`.
    fn ancestors_among(
        &self,
        commit: &ObjectId,
        mut wanted: HashSet<ObjectId>,
        oldest: i64,
    ) -> Result<Vec<ObjectId>, GitError> {
        let what = || format!("the history of {}", commit.short());
        let newest_first =
            Sorting::ByCommitTimeCutoff { order: CommitTimeOrder::NewestFirst, seconds: oldest };
        let walk = self
            .repository
            .rev_walk([to_gix(commit)])
            .sorting(newest_first)
            .all()
            .map_err(GitError::reading(what()))?;
        let mut found = Vec::new();
        for info in walk {
            found.extend(wanted.take(&from_gix(info.map_err(GitError::reading(what()))?.id)));
            if wanted.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    pub fn is_commit(&self, id: &ObjectId) -> bool {
        self.repository
            .try_find_header(to_gix(id))
            .is_ok_and(|found| found.is_some_and(|found| found.kind() == gix::objs::Kind::Commit))
    }

    /// The ref that this clone writes a record to.
    pub fn record_home(&self, record: &str) -> Result<String, GitError> {
        if self.remotes().is_empty() {
            Ok(format!("{SHARED}{record}"))
        } else {
            Ok(format!("{OWN}{}/{record}", self.clone_id()?))
        }
    }

    pub fn remotes(&self) -> Vec<String> {
        self.repository.remote_names().into_iter().map(|name| name.to_string()).collect()
    }

    /// Adds a commit to a record, computed from its current content, and again after each lost
    /// race; `None` from an edit makes no change. Once this returns without a warning, it is
    /// durable.
    pub fn edit_record<E: From<GitError>>(
        &self,
        record: &str,
        mut edit: impl FnMut() -> Result<Option<RecordEdit>, E>,
    ) -> Result<Committed<Option<ObjectId>>, E> {
        let home = self.record_home(record)?;
        for _ in 0..ATTEMPTS {
            let from = self.target(&home)?;
            let Some(RecordEdit { subject, heads, edits }) = edit()? else {
                return Ok(Committed::whole(None));
            };
            let commit = match heads.as_slice() {
                // nothing but what one of them holds
                [head] if edits.is_empty() => head.clone(),
                _ => self.record_commit(&subject, &heads, &edits)?,
            };
            if from.as_ref() == Some(&commit) {
                return Ok(Committed::whole(Some(commit)));
            }
            let moved = self
                .move_ref(Move { name: home.clone(), from, to: Some(commit.clone()) }, &subject)?;
            if !matches!(moved.value, Moved::Conflict { .. }) {
                return Ok(moved.map(|_| Some(commit)));
            }
        }
        Err(GitError::Busy { name: home }.into())
    }

    /// Writes a commit that has every head as a parent; nothing points to it yet.
    pub fn record_commit(
        &self,
        subject: &str,
        heads: &[ObjectId],
        edits: &[TreeEdit],
    ) -> Result<ObjectId, GitError> {
        let tree = self.edit_tree(heads.first(), edits)?;
        self.write_commit(&CommitSpec {
            tree,
            parents: heads.to_vec(),
            message: format!("{subject}\n"),
        })
    }

    /// What this clone is called among the clones of the repository; one that has no name yet gets
    /// one.
    pub fn clone_id(&self) -> Result<String, GitError> {
        if let Some(known) = self.known_clone_id()? {
            return Ok(known);
        }
        let path = self.clone_file();
        let _lock = FileLock::acquire(&path.with_extension("lock"))?;
        if let Some(known) = self.known_clone_id()? {
            return Ok(known);
        }
        let id = random::secret().map_err(|error| GitError::Random { why: error.to_string() })?
            [..16]
            .to_owned();
        let of_another = self.clone_document()?.map(|document| document.id);
        let document =
            CloneId { schema: CLONE_SCHEMA.to_owned(), id: id.clone(), inode: self.inode() };
        fs::replace(
            &path,
            &serde_json::to_vec(&document).expect("an id is JSON"),
            Durability::Durable,
        )?;
        if let Some(other) = of_another {
            self.replace_push_refspec(
                &record_refs::push_refspec(&other),
                &record_refs::push_refspec(&id),
            )?;
        }
        Ok(id)
    }

    /// `None` while this clone has no id: it is new, or a copied folder.
    pub fn known_clone_id(&self) -> Result<Option<String>, GitError> {
        Ok(self
            .clone_document()?
            .filter(|document| document.inode == self.inode())
            .map(|document| document.id))
    }

    /// Takes another id, because another clone pushes with this one: a copied folder can be
    /// indistinguishable from the original.
    pub fn rename_clone(&self) -> Result<String, GitError> {
        if let Some(document) = self.clone_document()? {
            let document = CloneId { inode: 0, ..document };
            fs::replace(
                &self.clone_file(),
                &serde_json::to_vec(&document).expect("an id is JSON"),
                Durability::Durable,
            )?;
        }
        self.clone_id()
    }

    fn clone_document(&self) -> Result<Option<CloneId>, GitError> {
        let bytes = fs::read_if_there(&self.clone_file())?;
        let document = bytes.and_then(|bytes| serde_json::from_slice::<CloneId>(&bytes).ok());
        Ok(document.filter(|document| document.schema == CLONE_SCHEMA))
    }

    /// In the configuration of every remote.
    fn replace_push_refspec(&self, old: &str, new: &str) -> Result<(), GitError> {
        for remote in self.remotes() {
            let key = format!("remote.{remote}.push");
            // a remote without it is left as it is, which git calls a failure
            self.command()
                .args(["config", "--local", "--fixed-value", "--replace-all", &key, new, old])
                .finish()?;
        }
        Ok(())
    }

    fn clone_file(&self) -> PathBuf {
        self.common_dir.join("agent/clone.json")
    }

    fn inode(&self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        self.common_dir.metadata().map_or(0, |folder| folder.ino())
    }

    /// The commit that this clone last put on a record, wherever its refs are now: a ref that was
    /// deleted or moved back is found by it.
    pub fn remembered_head(&self, record: &str) -> Result<Option<ObjectId>, GitError> {
        let text = fs::read_if_there(&self.remembered_file())?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let of_record = |line: &str| {
            line.split_once(' ')
                .filter(|(name, _)| *name == record)
                .and_then(|(_, id)| ObjectId::parse(id))
        };
        Ok(text.lines().find_map(of_record))
    }

    /// Called under the lock that refs are moved under, before what was moved is synced.
    pub(super) fn remember_moved(&self, moves: &[Move]) -> Result<(), GitError> {
        let heads: Vec<_> = moves
            .iter()
            .filter_map(|change| Some((written_record(&change.name)?, change.to.as_ref()?)))
            .collect();
        if heads.is_empty() {
            return Ok(());
        }
        let path = self.remembered_file();
        let text = fs::read_if_there(&path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let others = text
            .lines()
            .filter(|line| !heads.iter().any(|(record, _)| line.split(' ').next() == Some(record)));
        let lines = others
            .map(str::to_owned)
            .chain(heads.iter().map(|(record, commit)| format!("{record} {commit}")));
        let text: String = lines.map(|line| line + "\n").collect();
        Ok(fs::replace(&path, text.as_bytes(), Durability::Rebuildable)?)
    }

    fn remembered_file(&self) -> PathBuf {
        self.common_dir.join("agent/record-heads")
    }
}

/// The record that a ref is the home of in some clone.
fn written_record(name: &str) -> Option<&str> {
    match record_refs::purpose(name) {
        Some(RefPurpose::Record(record)) if !name.starts_with(&format!("{SHARED}{PEERS}")) => {
            Some(record)
        }
        _ => None,
    }
}
