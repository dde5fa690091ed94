//! Records: histories of ours that every clone adds to, such as the gate's ledger and the inbox.
//!
//! Two clones must be able to push at any time, in any order, without one of them ever being refused. So a clone with a remote writes to a ref of its own,
//! and reads all that it knows of together:
//! - `refs/agent/NAME`: the record as it is shared. Where there is no remote, this is where it is written.
//! - `refs/agent-own/CLONE/NAME`: what this clone wrote, which nobody else moves and no fetch writes over. It lies outside of `refs/agent/`, so that a
//!   `git fetch --prune` of `refs/agent/*` cannot take it.
//! - `refs/agent/peers/CLONE/NAME`: where the clones push theirs to.
//! - `refs/agent-remotes/REMOTE/...`: what a remote was seen to have, as `refs/remotes/` has its branches.
//!
//! Each commit of a record has every head that was known as a parent, so whoever has it has all of them.

use super::objects::{from_gix, to_gix};
use super::{CommitSpec, Git, GitError, Move, Moved, TreeEdit};
use crate::world::fs::{self, Durability, FileLock};
use crate::world::random;
use agent_core::committed::Committed;
use agent_core::object_id::ObjectId;
use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

/// What is shared through a remote.
pub const SHARED: &str = "refs/agent/";
/// What this clone alone writes.
pub const OWN: &str = "refs/agent-own/";
/// What remotes were seen to have.
pub const REMOTES: &str = "refs/agent-remotes/";
/// Below `SHARED`: where each clone pushes its own.
pub const PEERS: &str = "peers/";

/// How often an edit is made anew when others were first.
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

/// What a clone calls itself, and the git directory it said so of: a copy of the folder is another clone.
#[derive(Debug, Serialize, Deserialize)]
struct CloneId {
    schema: String,
    id: String,
    inode: u64,
}

impl Git {
    /// Every commit that a ref says is a head of a record, with one such ref, by commit; those that another of them has among its ancestors are left out.
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
                if is_record(&name[prefix.len()..], record) {
                    found.entry(commit).or_insert(name);
                }
            }
        }
        // what a fetch was cut short of, and what is no commit, says nothing
        found.retain(|commit, _| self.is_commit(commit));
        Ok(found)
    }

    /// Leaves out what others of them have among their ancestors.
    pub fn maximal(&self, mut commits: BTreeMap<ObjectId, String>) -> Result<BTreeMap<ObjectId, String>, GitError> {
        if commits.len() < 2 {
            return Ok(commits);
        }
        let times =
            commits.keys().map(|id| Ok((self.commit(id)?.time.as_second(), id.clone()))).collect::<Result<BTreeSet<_>, GitError>>()?;
        // by clocks that disagree for longer than this, an ancestor may pass for a head; joining it once more changes nothing
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

    /// Those of the wanted commits that are ancestors of one, as far back as `oldest`.
    fn ancestors_among(&self, commit: &ObjectId, mut wanted: HashSet<ObjectId>, oldest: i64) -> Result<Vec<ObjectId>, GitError> {
        let what = || format!("the history of {}", commit.short());
        let newest_first = Sorting::ByCommitTimeCutoff { order: CommitTimeOrder::NewestFirst, seconds: oldest };
        let walk = self.repository.rev_walk([to_gix(commit)]).sorting(newest_first).all().map_err(GitError::reading(what()))?;
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
        self.repository.try_find_header(to_gix(id)).is_ok_and(|found| found.is_some_and(|found| found.kind() == gix::objs::Kind::Commit))
    }

    /// The ref that this clone writes a record to.
    pub fn record_home(&self, record: &str) -> Result<String, GitError> {
        if self.remotes().is_empty() { Ok(format!("{SHARED}{record}")) } else { Ok(format!("{OWN}{}/{record}", self.clone_id()?)) }
    }

    pub fn remotes(&self) -> Vec<String> {
        self.repository.remote_names().into_iter().map(|name| name.to_string()).collect()
    }

    /// Adds a commit to a record, made of what is known of it, anew whenever others were first; `None` of an edit leaves it as it is.
    /// Once this returns without a warning, it is on disk.
    pub fn edit_record<E: From<GitError>>(
        &self,
        record: &str,
        mut edit: impl FnMut() -> Result<Option<RecordEdit>, E>,
    ) -> Result<Committed<Option<ObjectId>>, E> {
        let home = self.record_home(record)?;
        for _ in 0..ATTEMPTS {
            let from = self.target(&home)?;
            let Some(RecordEdit { subject, heads, edits }) = edit()? else { return Ok(Committed::whole(None)) };
            let commit = match heads.as_slice() {
                // nothing but what one of them holds
                [head] if edits.is_empty() => head.clone(),
                _ => self.record_commit(&subject, &heads, &edits)?,
            };
            if from.as_ref() == Some(&commit) {
                return Ok(Committed::whole(Some(commit)));
            }
            let moved = self.move_ref(Move { name: home.clone(), from, to: Some(commit.clone()) }, &subject)?;
            if !matches!(moved.value, Moved::Conflict { .. }) {
                return Ok(moved.map(|_| Some(commit)));
            }
        }
        Err(GitError::Busy { name: home }.into())
    }

    /// Writes a commit that has every head as a parent; nothing points to it yet.
    pub fn record_commit(&self, subject: &str, heads: &[ObjectId], edits: &[TreeEdit]) -> Result<ObjectId, GitError> {
        let tree = self.edit_tree(heads.first(), edits)?;
        self.write_commit(&CommitSpec { tree, parents: heads.to_vec(), message: format!("{subject}\n") })
    }

    /// What this clone is called among the clones of the repository.
    pub fn clone_id(&self) -> Result<String, GitError> {
        let path = self.clone_file();
        if let Some(known) = self.known_clone_id()? {
            return Ok(known);
        }
        let _lock = FileLock::acquire(&path.with_extension("lock"))?;
        if let Some(known) = self.known_clone_id()? {
            return Ok(known);
        }
        let id = random::secret().map_err(|error| GitError::Random { why: error.to_string() })?[..16].to_owned();
        let document = CloneId { schema: CLONE_SCHEMA.to_owned(), id: id.clone(), inode: self.inode() };
        let bytes = serde_json::to_vec(&document).expect("an id is JSON");
        fs::replace(&path, &bytes, Durability::Durable)?;
        Ok(id)
    }

    /// `None` while this clone has no name: it is new, or a copy of another's folder.
    pub fn known_clone_id(&self) -> Result<Option<String>, GitError> {
        let bytes = fs::read_if_there(&self.clone_file())?;
        let known = bytes.and_then(|bytes| serde_json::from_slice::<CloneId>(&bytes).ok());
        Ok(known.filter(|known| known.schema == CLONE_SCHEMA && known.inode == self.inode()).map(|known| known.id))
    }

    fn clone_file(&self) -> PathBuf {
        self.common_dir.join("agent/clone.json")
    }

    fn inode(&self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        self.common_dir.metadata().map_or(0, |folder| folder.ino())
    }

    /// The commit that this clone last put on a record, wherever its refs are now: a ref that was deleted or moved back is found by it.
    pub fn remembered_head(&self, record: &str) -> Result<Option<ObjectId>, GitError> {
        let text = fs::read_if_there(&self.remembered_file())?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let of_record = |line: &str| line.split_once(' ').filter(|(name, _)| *name == record).and_then(|(_, id)| ObjectId::parse(id));
        Ok(text.lines().find_map(of_record))
    }

    /// Called under the lock that refs are moved under, before what was moved is synced.
    pub(super) fn remember_moved(&self, moves: &[Move]) -> Result<(), GitError> {
        let heads: Vec<_> = moves.iter().filter_map(|change| Some((written_record(&change.name)?, change.to.as_ref()?))).collect();
        if heads.is_empty() {
            return Ok(());
        }
        let path = self.remembered_file();
        let text = fs::read_if_there(&path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let others = text.lines().filter(|line| !heads.iter().any(|(record, _)| line.split(' ').next() == Some(record)));
        let lines = others.map(str::to_owned).chain(heads.iter().map(|(record, commit)| format!("{record} {commit}")));
        let text: String = lines.map(|line| line + "\n").collect();
        Ok(fs::replace(&path, text.as_bytes(), Durability::Rebuildable)?)
    }

    fn remembered_file(&self) -> PathBuf {
        self.common_dir.join("agent/record-heads")
    }
}

/// Whether a ref, by its name below one of the prefixes, is a head of a record: `CLONE/NAME`, `REMOTE/NAME`, `REMOTE/peers/CLONE/NAME`, `REMOTE/own/CLONE/NAME`.
fn is_record(name: &str, record: &str) -> bool {
    let Some(before) = name.strip_suffix(record).and_then(|before| before.strip_suffix('/')) else { return false };
    // a pin may be called like a record
    !before.is_empty() && !before.ends_with("/pins")
}

/// The record that a ref is the home of in some clone.
fn written_record(name: &str) -> Option<&str> {
    let own = name.strip_prefix(OWN).and_then(|rest| rest.split_once('/')).map(|(_, record)| record);
    own.or_else(|| name.strip_prefix(SHARED)).filter(|record| !record.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_known_by_where_they_stand() {
        for (name, expected) in [
            ("a1/ledger", true),
            ("origin/ledger", true),
            ("origin/peers/a1/ledger", true),
            ("team/origin/own/a1/ledger", true),
            ("origin/pins/ledger", false),
            ("ledger", false),
            ("a1/inbox", false),
            ("a1/my-ledger", false),
        ] {
            assert_eq!(is_record(name, "ledger"), expected, "{name}");
        }
        assert_eq!(written_record("refs/agent-own/a1/ledger"), Some("ledger"));
        assert_eq!(written_record("refs/agent/inbox"), Some("inbox"));
        assert_eq!(written_record("refs/agent/peers/a1/inbox"), None);
        assert_eq!(written_record("refs/heads/inbox"), None);
    }
}
