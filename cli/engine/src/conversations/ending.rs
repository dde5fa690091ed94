//! The end of conversations: `agent gc` ends those that were idle for longer than their limit. See
//! `agent_core::protocol::idle_time`.
//!
//! Observations are stored in `.agent/conversations/silence.json`. If it is missing, the idle times
//! restart.

use super::held::LockedConversation;
use super::{ConversationError, ids, path, rewards_path};
use crate::world::clock;
use crate::world::fs::{self, Durability, FsError};
use crate::world::layout::Layout;
use agent_core::protocol::idle_time::{Moment, Observation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

const SCHEMA: &str = "agent/silence@1";

/// The observed idle time of each conversation.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct IdleTimes {
    schema: String,
    conversations: BTreeMap<String, Observation>,
}

impl IdleTimes {
    /// Observes all conversations.
    pub fn observe(layout: &Layout) -> Result<Self, ConversationError> {
        let before = read(layout)?;
        let now = clock::moment();
        let mut conversations = BTreeMap::new();
        for id in ids(layout)? {
            if let Some(seen) = observe(layout, &id, before.get(&id), &now)? {
                conversations.insert(id, seen);
            }
        }
        Ok(Self { schema: SCHEMA.to_owned(), conversations })
    }

    /// For the next observation.
    pub fn keep(&self, layout: &Layout) -> Result<(), FsError> {
        if self.conversations.is_empty() && !layout.conversations().is_dir() {
            return Ok(());
        }
        let bytes = serde_json::to_vec(self).expect("observations are JSON");
        fs::replace(&file(layout), &bytes, Durability::Rebuildable)
    }

    /// The ids of those with an observed idle time above a limit.
    pub fn over(&self, limit: Duration) -> impl Iterator<Item = &str> {
        self.conversations
            .iter()
            .filter(move |(_, seen)| seen.idle() > limit)
            .map(|(id, _)| id.as_str())
    }

    /// Ends a conversation, unless a call is in flight or it changed since; returns whether it did.
    pub fn end(&self, layout: &Layout, id: &str) -> Result<bool, ConversationError> {
        let Some(held) = LockedConversation::try_take(layout, id)? else { return Ok(false) };
        let seen = self.conversations.get(id);
        if stamp(layout, id)?.as_ref() != seen.map(|seen| &seen.looks) {
            return Ok(false);
        }
        for path in files(layout, id)? {
            fs::remove_if_there(&path)?;
        }
        drop(held);
        Ok(true)
    }
}

/// The files of a conversation: its turns, and the feedback on them.
pub fn files(layout: &Layout, id: &str) -> Result<[PathBuf; 2], ConversationError> {
    Ok([path(layout, id)?, rewards_path(layout, id)?])
}

fn file(layout: &Layout) -> PathBuf {
    layout.conversations().join("silence.json")
}

fn read(layout: &Layout) -> Result<BTreeMap<String, Observation>, FsError> {
    let bytes = fs::read_if_there(&file(layout))?.unwrap_or_default();
    let before =
        serde_json::from_slice::<IdleTimes>(&bytes).ok().filter(|before| before.schema == SCHEMA);
    Ok(before.map(|before| before.conversations).unwrap_or_default())
}

fn observe(
    layout: &Layout,
    id: &str,
    before: Option<&Observation>,
    now: &Moment,
) -> Result<Option<Observation>, ConversationError> {
    Ok(stamp(layout, id)?.map(|stamp| Observation::next(before, stamp, now.clone())))
}

/// The stamp of a conversation: each turn and each reward changes it. `None` where it does not
/// exist.
fn stamp(layout: &Layout, id: &str) -> Result<Option<String>, ConversationError> {
    let [turns, rewards] = files(layout, id)?.map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some(format!("{}:{}:{}.{}", file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
    });
    Ok(turns.map(|turns| format!("{turns} {}", rewards.unwrap_or_default())))
}
