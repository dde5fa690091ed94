//! Staging, open: what it is now, and updates under compare-and-swap.

use super::counted::{Counted, Known};
use super::error::{MAX_JOURNAL_BYTES, StagingError};
use super::file::{End, JournalFile};
use super::past::{IdDigest, Past, id_digest};
use super::places::{COUNTED, CURRENT, Places};
use super::recovery::{fold_whole, recover, unreadable_group, whole};
use super::view::{Notice, VIEW_BEHIND, View};
use crate::world::fs::{self, FileLock, FsError};
use crate::world::layout::Layout;
use crate::world::temporary::{self, Temporary};
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::object_id::ObjectId;
use agent_core::state::journal::{self, Base, Draft, Fold, Folded, Group, JournalError};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// One group's limit: a reader holds a group in memory.
const MAX_GROUP_BYTES: usize = 32 << 20;

/// The served version, as staging needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    pub base: Base,
    pub state: Value,
    /// The digest of the Journal that was sealed to make this version (its trailer
    /// `Agent-Journal`).
    pub journal: Option<String>,
}

/// Staging at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub base: Base,
    pub state: Value,
    pub revision: ObjectId,
    /// The seq of the last update; seal up to here to promote this snapshot.
    pub seq: u64,
    /// How many updates there are since the base.
    pub updates: u64,
    /// Whether their state differs from the base's.
    pub dirty: bool,
}

/// How a compare-and-swap went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Append {
    /// Durable: acknowledge it.
    Appended(Vec<Folded>),
    /// The Revision was another one, or one of the ids has been counted; nothing was written.
    Conflict,
}

/// Staging, open.
#[derive(Debug)]
pub struct Staging {
    pub(super) places: Places,
    pub(super) file: JournalFile,
    pub(super) fold: Fold,
    /// The part of the file that was folded.
    pub(super) end: End,
    /// Up to where the file is known to be durable.
    pub(super) synced: u64,
    pub(super) counted: Counted,
    /// Read when an id is repeated; `None` until then.
    contents: Option<Contents>,
    pub(super) past: Arc<dyn Past>,
    pub(super) view: View,
    pub(super) notices: Vec<Notice>,
    pub(super) held: Option<Held>,
    pub(super) copy: Option<Copy>,
    /// A shared lock while staging is in use: where none is held, a stale view was left by a killed
    /// process.
    pub(super) presence: Option<FileLock>,
}

/// The lock, held over several operations.
#[derive(Debug)]
pub(super) struct Held {
    _lock: FileLock,
    /// Until a group is written; its sync needs no lock.
    until_written: bool,
}

/// A group in the Journal that is not synced yet.
struct Written {
    group: Group,
    at: u64,
}

/// A temporary copy of staging that cannot be written.
#[derive(Debug)]
pub(super) struct Copy {
    refusal: FsError,
    _folder: Temporary,
}

/// The content digests of counted signals, by id.
#[derive(Debug)]
struct Contents {
    /// The version that the Journal is based on, and up to where it was read.
    read: (ObjectId, u64),
    by_id: HashMap<IdDigest, String>,
}

impl Staging {
    /// Opens staging, creates it from `active` where there is none, and repairs the leftovers of a
    /// killed process (see `notices`). Where it is not writable, a read-only copy is opened.
    pub fn open(
        layout: &Layout,
        active: &Active,
        past: Box<dyn Past>,
    ) -> Result<Self, StagingError> {
        let past = Arc::from(past);
        match Self::open_at(Places::new(layout), active, Arc::clone(&past)) {
            Err(StagingError::Fs(refusal)) if refusal.is_refused() => {
                Self::open_copy(layout, active, past, refusal)
            }
            opened => opened,
        }
    }

    fn open_copy(
        layout: &Layout,
        active: &Active,
        past: Arc<dyn Past>,
        refusal: FsError,
    ) -> Result<Self, StagingError> {
        let own = Places::new(layout);
        let folder = Temporary::outside(temporary::JOURNAL)?;
        for name in [CURRENT, COUNTED] {
            if let Some(bytes) = fs::read_if_there(&own.folder.join(name))? {
                fs::write(&folder.path().join(name), &bytes)?;
            }
        }
        let places = Places {
            folder: folder.path().to_owned(),
            view: folder.path().join("view"),
            made_with: Vec::new(),
        };
        let mut staging = Self::open_at(places, active, past)?;
        staging.notices.clear();
        staging.copy = Some(Copy { refusal, _folder: folder });
        Ok(staging)
    }

    fn open_at(places: Places, active: &Active, past: Arc<dyn Past>) -> Result<Self, StagingError> {
        let lock = places.lock()?;
        let alone = FileLock::try_acquire(&places.presence())?.is_some();
        let presence = FileLock::share(&places.presence())?;
        let is_new = !places.current().exists();
        let mut notices = Vec::new();
        if is_new {
            let first = journal::header(&active.base, 1, &active.state);
            notices.extend(
                places.replace(&places.current(), &first)?.into_iter().map(Notice::Afterwards),
            );
            for folder in &places.made_with {
                fs::sync_dir(folder)?;
            }
        }
        let (file, bytes) = JournalFile::open(&places.current())?;
        let (fold, folded) = recover(&places, &file, &bytes, &mut notices)?;
        let mut staging = Self {
            view: View::new(),
            counted: Counted::new(
                &places,
                &fold.base.commit,
                folded.iter().map(|record| record.id.as_str()),
            ),
            contents: None,
            past,
            end: End::of(&bytes[..whole(&fold)], fold.end),
            synced: 0,
            places,
            file,
            fold,
            notices,
            held: Some(Held { _lock: lock, until_written: false }),
            copy: None,
            presence: Some(presence),
        };
        staging.fast_forward(active)?;
        let known = folded.into_iter().map(|record| record.after);
        let mut warnings = Warnings::none();
        let notice = warnings
            .note(staging.view.repair(&staging.places, &staging.fold, known, is_new), VIEW_BEHIND)
            .flatten();
        staging.notices.extend(notice);
        staging.notices.retain(|notice| alone || !notice.is_a_delay());
        staging.notices.extend(warnings.into_iter().map(Notice::Afterwards));
        staging.release();
        Ok(staging)
    }

    /// The repairs made when it was opened.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Staging as it is now, with what other processes appended.
    pub fn snapshot(&mut self) -> Result<Snapshot, StagingError> {
        self.catch_up()?;
        Ok(Snapshot {
            base: self.fold.base.clone(),
            state: self.fold.state.clone(),
            revision: self.fold.revision.clone(),
            seq: self.fold.next.saturating_sub(1),
            updates: self.fold.next - self.fold.first,
            dirty: self.fold.revision != self.fold.start,
        })
    }

    /// A snapshot in which every update is durable: what a promotion may build on.
    pub fn durable_snapshot(&mut self) -> Result<Snapshot, StagingError> {
        self.locked(|staging| {
            let snapshot = staging.snapshot()?;
            staging.sync_all()?;
            Ok(snapshot)
        })
    }

    /// Whether a signal with this id is in staging, or in a Journal of an ancestor of the version
    /// staging is based on.
    pub fn has_counted(&mut self, id: &str) -> Result<Known, StagingError> {
        Ok(self.counted.has(id, &*self.past)?)
    }

    /// The content digest of a counted signal; `None` where its Journal is absent.
    pub fn counted_content(&mut self, id: &str) -> Result<Option<String>, StagingError> {
        let id = id_digest(id);
        let here = (self.fold.base.commit.clone(), self.fold.end);
        let is_known =
            |contents: &Contents| contents.read == here || contents.by_id.contains_key(&id);
        if !self.contents.as_ref().is_some_and(is_known) {
            let before = self
                .contents
                .take()
                .filter(|contents| contents.read.0 == here.0)
                .map(|contents| contents.by_id);
            let mut by_id = before.map_or_else(|| self.past.contents(&here.0), Ok)?;
            let (_, bytes) = JournalFile::open(&self.places.current())?;
            let records = journal::records(&bytes).map_err(self.places.damaged())?;
            by_id.extend(records.iter().map(|record| (id_digest(&record.id), record.content())));
            self.contents = Some(Contents { read: here, by_id });
        }
        Ok(self.contents.as_ref().and_then(|contents| contents.by_id.get(&id).cloned()))
    }

    /// Whether active has moved on to a version that staging is not based on: rebase before more is
    /// appended.
    pub fn is_behind(&self, active: &Active) -> bool {
        self.fold.base.commit != active.base.commit && self.fold.base.version <= active.base.version
    }

    /// Locks staging until `release`.
    pub fn hold(&mut self) -> Result<(), StagingError> {
        self.take_lock(false)
    }

    /// Locks staging until an update is appended or `release`: used after a lost race.
    pub fn hold_until_appended(&mut self) -> Result<(), StagingError> {
        self.take_lock(true)
    }

    fn take_lock(&mut self, until_written: bool) -> Result<(), StagingError> {
        if let Some(copy) = &self.copy {
            return Err(copy.refusal.again().into());
        }
        if self.held.is_none() {
            self.held = Some(Held { _lock: self.places.lock()?, until_written });
        }
        Ok(())
    }

    pub fn release(&mut self) {
        self.held = None;
    }

    /// Appends updates as one group if staging still has the Revision they were made from. When
    /// this returns, they are durable: the sync is the commit point, and an error means that
    /// nothing was appended, except `StagingError::InDoubt`.
    pub fn append(
        &mut self,
        drafts: Vec<Draft>,
        expected: &ObjectId,
    ) -> Result<Committed<Append>, StagingError> {
        let written = self.locked(|staging| staging.write_locked(drafts, expected))?;
        let Some(Written { group, at }) = written else {
            return Ok(Committed::whole(Append::Conflict));
        };
        if self.held.as_ref().is_some_and(|held| held.until_written) {
            self.release();
        }
        if let Err(error) = self.file.sync() {
            return self.locked(|staging| {
                Err(staging.file.truncate_tail(at, group.bytes.len(), error).into())
            });
        }
        let records = group.records.clone();
        self.end = End::of(&group.bytes, at + group.bytes.len() as u64);
        self.fold.accept(group);
        self.synced = self.fold.end;
        self.counted.add(records.iter().map(|record| record.id.as_str()));
        let mut warnings = Warnings::none();
        if self.view.is_due(&self.fold) && !self.view.is_recent(&self.places) {
            let put = self.locked(Self::put_view);
            warnings.note(put, VIEW_BEHIND);
        }
        Ok(Committed { value: Append::Appended(records), warnings })
    }

    /// Writes a group; `None` where the compare-and-swap is lost.
    fn write_locked(
        &mut self,
        drafts: Vec<Draft>,
        expected: &ObjectId,
    ) -> Result<Option<Written>, StagingError> {
        self.catch_up()?;
        self.drop_torn_tail()?;
        if self.fold.revision != *expected
            || self.counted.has_any(drafts.iter().map(|draft| draft.id.as_str()), &*self.past)?
        {
            return Ok(None);
        }
        let group = self.fold.compose(drafts);
        if group.bytes.len() > MAX_GROUP_BYTES {
            return Err(StagingError::TooLarge(group.bytes.len()));
        }
        if self.fold.end + group.bytes.len() as u64 > MAX_JOURNAL_BYTES {
            return Err(StagingError::Full);
        }
        // a cache of sealed Journals' ids; if it cannot be written, the next process rebuilds it
        let _ = self.counted.keep(&self.places);
        let at = self.fold.end;
        self.file.write(at, &group.bytes)?;
        Ok(Some(Written { group, at }))
    }

    /// Puts the view in place; it shows durable updates alone.
    fn put_view(&mut self) -> Result<(), StagingError> {
        self.catch_up()?;
        self.sync_all()?;
        Ok(self.view.put(&self.places, &self.fold)?)
    }

    /// Makes the updates of others durable as well. The lock is held.
    fn sync_all(&mut self) -> Result<(), FsError> {
        if self.synced < self.fold.end {
            self.file.sync()?;
            self.synced = self.fold.end;
        }
        Ok(())
    }

    /// The Journal's bytes, complete groups only.
    pub fn journal(&mut self) -> Result<Vec<u8>, StagingError> {
        self.catch_up()?;
        let mut bytes = self.file.read_from(0)?;
        bytes.truncate(whole(&self.fold));
        Ok(bytes)
    }

    /// Whether a Tuner made any update of this Journal.
    pub fn has_signals(&mut self) -> Result<bool, StagingError> {
        let mut has_any = false;
        let bytes = self.journal()?;
        journal::scan(&bytes, |heading| {
            has_any |= heading.is_by_tuner();
            false
        })
        .map_err(self.places.damaged())?;
        Ok(has_any)
    }

    /// An error of the Journal, with the file it is in.
    pub fn unreadable(&self, error: JournalError) -> StagingError {
        self.places.damaged()(error)
    }

    /// Puts the view in place if it is not the Journal's end.
    pub fn flush_view(&mut self) -> Warnings {
        let mut warnings = Warnings::none();
        if self.view.is_due(&self.fold) {
            let put = self.locked(Self::put_view);
            warnings.note(put, VIEW_BEHIND);
        }
        warnings
    }

    /// Does something under the lock, taking it unless it is held already.
    pub(super) fn locked<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StagingError>,
    ) -> Result<T, StagingError> {
        if self.held.is_some() {
            return work(self);
        }
        self.hold()?;
        let outcome = work(self);
        self.release();
        outcome
    }

    /// Folds what others appended since; starts over when the Journal was sealed or rebased.
    pub(super) fn catch_up(&mut self) -> Result<(), StagingError> {
        if self.file.was_replaced()? || !self.file.still_ends(&self.end)? {
            return self.reload();
        }
        let bytes = self.file.read_news(self.fold.end)?;
        if !bytes.is_empty() {
            let begun = self.fold.end;
            let (folded, _) = self.fold.extend(&bytes).map_err(self.places.damaged())?;
            let read = usize::try_from(self.fold.end - begun).unwrap_or(usize::MAX);
            if read > 0 {
                self.end = End::of(&bytes[..read], self.fold.end);
            }
            self.counted.add(folded.iter().map(|record| record.id.as_str()));
        }
        Ok(())
    }

    /// Rereads the Journal.
    pub(super) fn reload(&mut self) -> Result<(), StagingError> {
        let (file, bytes) = JournalFile::open(&self.places.current())?;
        let (fold, folded, _) = fold_whole(&self.places, &bytes)?;
        self.counted = Counted::new(
            &self.places,
            &fold.base.commit,
            folded.iter().map(|record| record.id.as_str()),
        );
        self.end = End::of(&bytes[..whole(&fold)], fold.end);
        (self.file, self.fold) = (file, fold);
        self.synced = 0;
        Ok(())
    }

    /// Under the lock there is no other writer: an incomplete group was left by a killed process.
    pub(super) fn drop_torn_tail(&mut self) -> Result<(), StagingError> {
        let rest = self.file.read_rest(self.fold.end)?;
        if rest.is_empty() {
            return Ok(());
        }
        if journal::holds_a_group(&rest) {
            return Err(self.places.damaged()(unreadable_group(self.fold.end)));
        }
        Ok(self.file.cut(self.fold.end)?)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // errors were reported earlier; the next open of staging rebuilds the view
        let _ = self.flush_view();
    }
}
