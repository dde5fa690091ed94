//! One call in a conversation: the conversation is locked from before its last turn is read until
//! the next one is kept, across processes.
//!
//! The lock is on the conversation's own file, which the kernel releases when a process exits.
//! Without it two concurrent calls would each answer without the other's turn. The turn is still
//! written by compare-and-swap, because a lock does not prevent moving or editing the file.

use super::{ConversationError, DATA_LIMIT, Header, Latest, Turn, path};
use crate::world::fs::{self, FileLock, FsError};
use crate::world::layout::Layout;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::oneshot;

/// A locked conversation: no other call is in flight.
#[derive(Debug)]
pub struct LockedConversation {
    id: String,
    path: PathBuf,
    lock: FileLock,
    /// The file's length when `latest` was read.
    length: u64,
    latest: Option<Latest>,
}

impl LockedConversation {
    /// Locks the conversation if no other call is in flight.
    pub fn try_take(layout: &Layout, id: &str) -> Result<Option<Self>, ConversationError> {
        let path = layout.to_write(path(layout, id)?)?;
        loop {
            let Some(lock) = FileLock::try_acquire(&path)? else { return Ok(None) };
            if let Some(held) = Self::read(id, &path, lock)? {
                return Ok(Some(held));
            }
        }
    }

    /// Waits for earlier calls and locks it. Refused when no turn was added within the limit: then
    /// a call hangs or is slow.
    pub async fn take(
        layout: &Layout,
        id: &str,
        limit: Duration,
    ) -> Result<Self, ConversationError> {
        loop {
            if let Some(held) = Self::try_take(layout, id)? {
                return Ok(held);
            }
            let path = layout.to_write(path(layout, id)?)?;
            let (sender, mut lock) = oneshot::channel();
            let waiting = path.clone();
            // on a separate thread, because only the kernel queues waiters. An abandoned wait
            // releases the lock immediately
            std::thread::spawn(move || drop(sender.send(FileLock::acquire(&waiting))));
            let mut seen = length(&path);
            let lock = loop {
                if let Ok(lock) = tokio::time::timeout(limit, &mut lock).await {
                    break lock.expect("the thread sends before it ends")?;
                }
                let now = length(&path);
                if now == seen {
                    let turn = super::latest(layout, id)?.map_or(1, |latest| latest.next_turn());
                    return Err(ConversationError::Busy { id: id.to_owned(), turn, limit });
                }
                seen = now;
            };
            if let Some(held) = Self::read(id, &path, lock)? {
                return Ok(held);
            }
        }
    }

    /// `None` when the file that is locked is no longer the conversation's.
    fn read(id: &str, path: &Path, lock: FileLock) -> Result<Option<Self>, ConversationError> {
        if !is_at(&lock, path) {
            return Ok(None);
        }
        let length = lock.file().metadata().map_err(FsError::while_doing("read", path))?.len();
        let latest = super::latest_in(lock.file(), path)?;
        Ok(Some(Self { id: id.to_owned(), path: path.to_owned(), lock, length, latest }))
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The data needed for the next turn; `None` before the first.
    pub const fn latest(&self) -> Option<&Latest> {
        self.latest.as_ref()
    }

    /// Appends a turn if none was added since; the first one also writes the header. When this
    /// returns, the turn is stored.
    pub fn keep(&mut self, header: Header, turn: Turn) -> Result<(), ConversationError> {
        let bytes = serde_json::to_vec(&turn.data).map_or(0, |data| data.len());
        if bytes > DATA_LIMIT {
            return Err(ConversationError::TooMuchData { id: self.id.clone(), bytes });
        }
        self.check_is_next(&turn)?;
        let mut lines = String::new();
        if self.latest.is_none() {
            lines.push_str(&serde_json::to_string(&header).expect("a header serialises"));
            lines.push('\n');
        }
        lines.push_str(&serde_json::to_string(&turn).expect("a turn serialises"));
        lines.push('\n');
        fs::append_lines(self.lock.to_write()?, &lines)
            .map_err(FsError::while_doing("write", &self.path))?;
        self.length = length(&self.path);
        self.latest = Some(Latest { header, last: Some(turn) });
        Ok(())
    }

    /// Nothing was written since the last turn was read, or nothing that matters.
    fn check_is_next(&self, turn: &Turn) -> Result<(), ConversationError> {
        let is_there = is_at(&self.lock, &self.path);
        let is_as_read = is_there && length(&self.path) == self.length;
        let latest = if is_as_read {
            self.latest.clone()
        } else {
            super::latest_in(self.lock.file(), &self.path)?
        };
        if is_there && latest.map_or(1, |latest| latest.next_turn()) == turn.turn {
            return Ok(());
        }
        Err(ConversationError::Conflict { id: self.id.clone(), turn: turn.turn })
    }
}

impl Drop for LockedConversation {
    fn drop(&mut self) {
        // a call without a turn leaves no file: a waiter detects the removal and creates a new one
        if self.latest.is_none() && length(&self.path) == 0 && is_at(&self.lock, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether the locked file is the one at a path.
pub(super) fn is_at(lock: &FileLock, path: &Path) -> bool {
    let (Ok(locked), Ok(there)) = (lock.file().metadata(), std::fs::metadata(path)) else {
        return false;
    };
    (locked.dev(), locked.ino()) == (there.dev(), there.ino())
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}
