//! A group of updates: their lines, and the commit line by which they count.

use super::lines::{first_line, is_closed, is_padding};
use crate::formats::object_id::ObjectId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) const COMMIT_START: &[u8] = b"{\"commit\":";
#[derive(Serialize, Deserialize)]
pub(super) struct CommitLine {
    pub(super) commit: Commit,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Commit {
    /// The seq of the group's last record.
    pub(super) seq: u64,
    /// The number of bytes of record lines before this line: the start of the group is computed
    /// from its end.
    pub(super) bytes: usize,
    pub(super) after: ObjectId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<Value>,
}

/// A complete group: its record lines, its commit line, its length in bytes.
pub(super) struct RawGroup<'a> {
    pub(super) records: &'a [u8],
    pub(super) commit: Commit,
    pub(super) length: usize,
}

impl<'a> RawGroup<'a> {
    /// The group `bytes` starts with; `None` unless it is complete.
    pub(super) fn next(bytes: &'a [u8]) -> Option<Self> {
        let mut start = 0;
        while bytes.get(start).is_some_and(|byte| !is_padding(*byte)) {
            let line = first_line(&bytes[start..])?;
            if line.starts_with(COMMIT_START) {
                return Self::closing(&bytes[..start + line.len()], start)
                    .filter(|group| group.records.len() == start);
            }
            start += line.len();
        }
        None
    }

    /// The group that the commit line at `start` closes; `bytes` end with that line.
    pub(super) fn closing(bytes: &'a [u8], start: usize) -> Option<Self> {
        let line = &bytes[start..];
        let CommitLine { commit } = serde_json::from_slice(line).ok()?;
        let group = &bytes[start.checked_sub(commit.bytes)?..];
        is_closed(group, commit.bytes).then(|| Self {
            records: &group[..commit.bytes],
            length: group.len(),
            commit,
        })
    }
}

/// Whether `bytes` contains a complete group: then unreadable content before it is damage, not a
/// torn tail.
pub fn holds_a_group(bytes: &[u8]) -> bool {
    let mut start = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        if line.starts_with(COMMIT_START) && RawGroup::closing(&bytes[..end], start).is_some() {
            return true;
        }
        start = end;
    }
    false
}

/// Whether `bytes` are reserved space through and through.
pub fn is_reserved(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| is_padding(*byte))
}
