//! One Journal after another: sealed by a promotion, rebased on a new active, reset.
//!
//! Each of these writes the next Journal as a new file and renames it over `current.jsonl`: the
//! rename, and its folder's sync, is the commit point. An interruption before it leaves at most a
//! `counted` that covers a version staging is not based on yet; it is then rebuilt.

use super::error::StagingError;
use super::file::{End, JournalFile};
use super::manager::{Active, Staging};
use super::past::Standing;
use super::places::Places;
use super::recovery::fold_whole;
use super::view::{Notice, VIEW_BEHIND, View};
use crate::world::fs::{self};
use crate::world::layout::Layout;
use agent_core::formats::canonical;
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::object_id::{self, ObjectId};
use agent_core::state::journal::rewriting::{Replay, Replayed};
use agent_core::state::journal::{self, Draft, Fold, JournalError, Record, SealedAs};
use agent_core::version::{tag, tags};
use json_patch::Patch;
use semver::Version;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Replayed updates share a group up to this many.
pub(super) const REPLAYED_GROUP: usize = 256;

/// A Journal up to the update that is being promoted: what goes to the object store, and its digest
/// for the trailer `Agent-Journal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub seq: u64,
    pub bytes: Vec<u8>,
    pub digest: String,
}

/// The data that a reset discarded.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// `None` where there was no Journal, or none that could be read.
    pub updates: Option<u64>,
    /// Where the old Journal is.
    pub kept: Option<PathBuf>,
}

/// How a replay of staging on another version went.
#[derive(Debug, Default, PartialEq)]
pub struct Rebased {
    /// Updates that have no effect there, and why.
    pub dropped: Vec<(Record, String)>,
    /// How many updates were already counted up to that version.
    pub counted: u64,
    /// Ancestors of that version whose counted signals are not known.
    pub undetermined: Vec<Version>,
}

impl Rebased {
    /// Notices about it, a line each.
    pub fn lines(&self, onto: &Version) -> Vec<String> {
        let onto = tag(onto);
        let no_effect = |(record, why): &(Record, String)| {
            format!("signal `{}` has no effect on {onto}, which is served now: {why}", record.id)
        };
        let mut lines: Vec<_> = self.dropped.iter().map(no_effect).collect();
        if self.counted > 0 {
            lines.push(format!(
                "{} of staging's signals were already counted by {onto} or a version before it, \
                and are not counted again",
                self.counted
            ));
        }
        if !self.undetermined.is_empty() {
            lines.push(format!(
                "the signals that {} counted are not known here: one that was also sent to this \
                clone counts twice (`agent sync` fetches what other clones shared)",
                tags(&self.undetermined)
            ));
        }
        lines
    }
}

impl Staging {
    /// The Journal up to `seq`, as it will be sealed once the promotion is published. `Gone`:
    /// another process sealed it first.
    pub fn sealed(&mut self, seq: u64) -> Result<Sealed, StagingError> {
        let journal = self.journal()?;
        if self.has_sealed(seq) {
            return Err(StagingError::AlreadySealed(seq));
        }
        let bytes = journal::sealed(&journal, seq)
            .map_err(self.places.damaged())?
            .ok_or(StagingError::AlreadySealed(seq))?;
        Ok(Sealed { seq, digest: object_id::digest(bytes), bytes: bytes.to_vec() })
    }

    /// After a promotion was published: its updates leave staging, later ones stay, based on the
    /// new active.
    pub fn seal(&mut self, seq: u64, active: &Active) -> Result<Warnings, StagingError> {
        self.locked(|staging| staging.seal_locked(seq, active))
    }

    fn has_sealed(&self, seq: u64) -> bool {
        seq < self.fold.first
    }

    fn seal_locked(&mut self, seq: u64, active: &Active) -> Result<Warnings, StagingError> {
        let journal = self.journal()?;
        // a process that opened staging after the promotion has sealed it already
        if self.has_sealed(seq) {
            return Ok(Warnings::none());
        }
        let sealed = journal::sealed(&journal, seq)
            .map_err(self.places.damaged())?
            .ok_or(StagingError::AlreadySealed(seq))?;
        let mut ids = Vec::new();
        let fold = journal::walk(sealed, |record, _| ids.push(record.id.clone()))
            .map_err(self.places.damaged())?;
        // a cache: what it lacks is gathered from the sealed Journals
        let _ =
            self.counted.seal(&self.places, &active.base.commit, ids.iter().map(String::as_str));
        let sealed_as = SealedAs {
            journal: active.journal.clone().unwrap_or_else(|| object_id::digest(sealed)),
            version: active.base.version.clone(),
            commit: active.base.commit.clone(),
        };
        let mut next = journal::header_after(
            &active.base,
            seq + 1,
            &fold.state,
            &[fold.sealed, vec![sealed_as]].concat(),
        );
        next.extend_from_slice(&journal[sealed.len()..]);
        self.succeed(&next)
    }

    /// Replaces the Journal by the next one and continues with it.
    pub(super) fn succeed(&mut self, next: &[u8]) -> Result<Warnings, StagingError> {
        let mut warnings = self.places.replace(&self.places.current(), next)?;
        // if reading fails now, the next access detects the replaced file and reads it
        if warnings
            .note(self.reload(), "the Journal is in place, but could not be read back")
            .is_some()
        {
            warnings.note(self.view.put(&self.places, &self.fold), VIEW_BEHIND);
        }
        Ok(warnings)
    }

    /// Like `succeed`, where the fold of the next Journal is known and has every id of this one.
    pub(super) fn succeed_as(&mut self, next: &[u8], fold: Fold) -> Result<Warnings, StagingError> {
        let mut warnings = self.places.replace(&self.places.current(), next)?;
        let reopened = JournalFile::reopen(&self.places.current());
        if let Some(file) =
            warnings.note(reopened, "the Journal is in place, but could not be opened again")
        {
            (self.file, self.end) = (file, End::of(next, fold.end));
            self.fold = fold;
            self.synced = self.fold.end;
        }
        warnings.note(self.view.put(&self.places, &self.fold), VIEW_BEHIND);
        Ok(warnings)
    }

    /// Brings a Journal that is based on an earlier active forward, where that takes no Tuner: it
    /// was sealed, or it is empty.
    pub(super) fn fast_forward(&mut self, active: &Active) -> Result<(), StagingError> {
        if self.fold.base.commit == active.base.commit {
            return Ok(());
        }
        if self.past.standing(&self.fold.base.commit, &active.base.commit)? == Standing::Aside {
            self.restore_superseded(active)?;
        }
        if !self.is_behind(active) {
            return Ok(());
        }
        if let Some(seq) = self.sealed_by(active)? {
            let updates = seq + 1 - self.fold.first;
            let warnings = self.seal_locked(seq, active)?;
            self.notices.push(Notice::Resealed { updates });
            self.notices.extend(warnings.into_iter().map(Notice::Afterwards));
            return Ok(());
        }
        if self.fold.next == self.fold.first {
            let next = journal::header_after(
                &active.base,
                self.fold.next,
                &active.state,
                &self.fold.sealed,
            );
            let warnings = self.succeed(&next)?;
            self.notices.extend(warnings.into_iter().map(Notice::Afterwards));
        }
        Ok(())
    }

    /// The version that staging is based on lost the race for `active`: the updates of the Journals
    /// that this clone sealed on that lineage, and those since, become one Journal, based on the
    /// last common version. It has to be replayed like any other that is behind.
    fn restore_superseded(&mut self, active: &Active) -> Result<(), StagingError> {
        let Some(fork) = self.past.fork(&self.fold.base.commit, &active.base.commit)? else {
            return Ok(());
        };
        let (kept, lost) = self.parted(&active.base.commit)?;
        let mut journals = Vec::new();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for sealed in lost {
            match self.past.journal(&sealed)? {
                Some(journal) => {
                    journals.push(journal);
                    found.push(sealed.version);
                }
                None => missing.push(sealed.version),
            }
        }
        let old = self.journal()?;
        let first = journals
            .first()
            .map_or(Ok(self.fold.first), |journal| Fold::begin(journal).map(|fold| fold.first));
        let header = journal::header_after(
            &fork.base,
            first.map_err(self.places.damaged())?,
            &fork.state,
            &kept,
        );
        let mut next = NewJournal::begin(header).map_err(self.places.damaged())?;
        for journal in journals.iter().chain([&old]) {
            next.take_in(journal).map_err(self.places.damaged())?;
        }
        let updates = next.fold.next - next.fold.first - (self.fold.next - self.fold.first);
        self.places.set_aside("lost", "jsonl", &old)?;
        let warnings = self.succeed(&next.bytes)?;
        if !found.is_empty() {
            self.notices.push(Notice::Returned { versions: found, updates });
        }
        if !missing.is_empty() {
            self.notices.push(Notice::NotReturned { versions: missing });
        }
        self.notices.extend(warnings.into_iter().map(Notice::Afterwards));
        Ok(())
    }

    /// Splits the Journals that this clone sealed into those of ancestors of `active` and the
    /// others.
    fn parted(&self, active: &ObjectId) -> Result<(Vec<SealedAs>, Vec<SealedAs>), StagingError> {
        let sealed = &self.fold.sealed;
        let mut kept = sealed.len();
        while kept > 0 && self.past.standing(&sealed[kept - 1].commit, active)? != Standing::Before
        {
            kept -= 1;
        }
        Ok((sealed[..kept].to_vec(), sealed[kept..].to_vec()))
    }

    /// The last update that active's own Journal holds, when that Journal is a prefix of this one.
    fn sealed_by(&mut self, active: &Active) -> Result<Option<u64>, StagingError> {
        let Some(digest) = &active.journal else { return Ok(None) };
        let journal = self.journal()?;
        journal::sealed_at(&journal, digest).map_err(self.places.damaged())
    }

    /// Replays staging's updates on what is served now, under the lock, and swaps the outcome in as
    /// one new Journal.
    ///
    /// `replay` computes the outcome of a Tuner update on a state; other updates are applied as
    /// recorded. Signals already counted up to the served version are not replayed: another clone
    /// applied the same signal.
    pub async fn rebase<E: From<StagingError>>(
        &mut self,
        active: &Active,
        replay: impl AsyncFnMut(&Value, &Record) -> Result<Replay, E>,
    ) -> Result<Committed<Rebased>, E> {
        self.hold()?;
        let outcome = self.rebase_locked(active, replay).await;
        self.release();
        outcome
    }

    async fn rebase_locked<E: From<StagingError>>(
        &mut self,
        active: &Active,
        mut replay: impl AsyncFnMut(&Value, &Record) -> Result<Replay, E>,
    ) -> Result<Committed<Rebased>, E> {
        // others may have appended, or replayed all of it, before the lock was taken
        self.catch_up()?;
        if self.fold.base.commit == active.base.commit {
            return Ok(Committed::whole(Rebased::default()));
        }
        self.drop_torn_tail()?;
        let old = self.journal()?;
        let records = with_own_changes(&old).map_err(self.places.damaged())?;
        let header =
            journal::header_after(&active.base, self.fold.first, &active.state, &self.fold.sealed);
        let mut next = NewJournal::begin(header).map_err(self.places.damaged())?;
        let mut state = next.fold.state.clone();
        let there = self
            .counted
            .counted_up_to(&active.base.commit, &*self.past)
            .map_err(StagingError::from)?;
        let mut rebased = Rebased { undetermined: there.missing().to_vec(), ..Rebased::default() };
        for group in records.chunks(REPLAYED_GROUP) {
            let mut drafts = Vec::with_capacity(group.len());
            for (record, own) in group {
                let is_counted = there.has(&record.id);
                let replayed = match own {
                    _ if is_counted => Replayed::Dropped(format!(
                        "it is already counted in {} or an earlier version",
                        tag(&active.base.version)
                    ))
                    .into(),
                    None => replay(&state, record).await?,
                    Some(change) => reapply(&state, record, change).into(),
                };
                rebased.counted += u64::from(is_counted);
                if let (Replayed::Dropped(why), false) = (&replayed.outcome, is_counted) {
                    rebased.dropped.push((record.clone(), why.clone()));
                }
                drafts.push(redraft(record, replayed, &mut state));
            }
            next.add(drafts);
        }
        self.places.set_aside("rebased", "jsonl", &old).map_err(StagingError::from)?;
        Ok(Committed { value: rebased, warnings: self.succeed(&next.bytes)? })
    }

    /// Discards staging: a new Journal from active; the old file is moved to `set-aside/`, even
    /// when it is unreadable.
    pub fn reset(layout: &Layout, active: &Active) -> Result<Committed<Discarded>, StagingError> {
        let places = Places::new(layout);
        let _lock = places.lock()?;
        let old = fs::read_if_there(&places.current())?;
        let fold = old
            .as_deref()
            .and_then(|bytes| fold_whole(&places, bytes).ok())
            .map(|(fold, _, _)| fold);
        let kept = old.map(|bytes| places.set_aside("discarded", "jsonl", &bytes)).transpose()?;
        let (first, sealed) = fold.as_ref().map_or((1, &[][..]), |fold| (fold.next, &fold.sealed));
        let next = journal::header_after(&active.base, first, &active.state, sealed);
        let fresh = Fold::begin(&next).map_err(places.damaged())?;
        let known: Vec<_> = fold.iter().map(|fold| fold.revision.clone()).collect();
        let mut warnings = places.replace(&places.current(), &next)?;
        warnings.note(View::new().repair(&places, &fresh, known, true), VIEW_BEHIND);
        Ok(Committed {
            value: Discarded { updates: fold.map(|fold| fold.next - fold.first), kept },
            warnings,
        })
    }
}

/// A Journal that is being put together.
pub(super) struct NewJournal {
    pub bytes: Vec<u8>,
    pub fold: Fold,
}

impl NewJournal {
    pub fn begin(header: Vec<u8>) -> Result<Self, JournalError> {
        Ok(Self { fold: Fold::begin(&header)?, bytes: header })
    }

    pub fn add(&mut self, drafts: Vec<Draft>) {
        let group = self.fold.compose(drafts);
        self.bytes.extend_from_slice(&group.bytes);
        self.fold.accept(group);
    }

    /// Every update of another Journal, to be replayed later: until then a Tuner's leads to the
    /// state that it was recorded to lead to.
    pub fn take_in(&mut self, journal: &[u8]) -> Result<(), JournalError> {
        let mut before = Fold::begin(journal)?.state;
        let mut state = self.fold.state.clone();
        let mut drafts = Vec::new();
        journal::walk(journal, |record, after| {
            let again = if record.is_by_tuner() {
                // on another state the tool would touch other parts
                let touched = record.touched.clone().filter(|_| state == before);
                Replay { outcome: Replayed::State(after.clone()), touched }
            } else {
                reapply(&state, record, &json_patch::diff(&before, after)).into()
            };
            drafts.push(redraft(record, again, &mut state));
            before.clone_from(after);
            if drafts.len() == REPLAYED_GROUP {
                self.add(std::mem::take(&mut drafts));
            }
        })?;
        if !drafts.is_empty() {
            self.add(drafts);
        }
        Ok(())
    }
}

/// The records of a Journal; those that no Tuner made each with what they changed.
fn with_own_changes(journal: &[u8]) -> Result<Vec<(Record, Option<Patch>)>, JournalError> {
    let mut before = Fold::begin(journal)?.state;
    let mut records = Vec::new();
    journal::walk(journal, |record, after| {
        let own = (!record.is_by_tuner()).then(|| json_patch::diff(&before, after));
        records.push((record.clone(), own));
        before.clone_from(after);
    })?;
    Ok(records)
}

/// A direct edit, on another state: the same paths get the same values. Of what wrote whole states,
/// the differences are made again.
pub(super) fn reapply(state: &Value, record: &Record, change: &Patch) -> Replayed {
    if record.is_withdrawal() {
        return Replayed::Dropped(
            "it withdrew a signal of an earlier version, which is part of this state again; \
                `agent feedback withdraw` withdraws it again"
                .to_owned(),
        );
    }
    let mut after = state.clone();
    let done = match record.edits() {
        Some(edits) => {
            edits.into_iter().try_for_each(|(path, value)| path.set(&mut after, value.clone()))
        }
        None => json_patch::patch(&mut after, change).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => Replayed::State(after),
        Err(error) => Replayed::Dropped(format!(
            "{} does not apply to what is served now: {error}",
            record.tool
        )),
    }
}

pub(super) fn redraft(record: &Record, replay: Replay, state: &mut Value) -> Draft {
    let mut summary = record.summary.clone();
    let after = match replay.outcome {
        Replayed::Unchanged => None,
        Replayed::State(after) => {
            *state = canonical::normal(&after);
            Some(after)
        }
        Replayed::Dropped(why) => {
            summary = Some(json!({ "dropped": why }));
            None
        }
    };
    Draft {
        id: record.id.clone(),
        tool: record.tool.clone(),
        arguments: record.arguments.clone(),
        conversation: record.conversation.clone(),
        trace: record.trace.clone(),
        at: record.at.clone(),
        tags: record.tags.clone(),
        effects: record.effects.clone(),
        touched: replay.touched,
        summary,
        state: after,
    }
}
