//! Withdrawn signals: staging as it would be had they never been sent.
//!
//! The Journal is kept up to the group of the first of them; what follows is replayed without them.
//! In the place of each is a record with digests alone, so that it is not counted again when it is
//! sent again, and no file of staging has its content. The new Journal replaces the old one by a
//! rename, which is the commit point.
//!
//! A signal of a version stays in that version, whose evidence is not changed. The Journals of that
//! version and of those since are replayed without it, and the new Journal of staging begins with a
//! record that leads from the served state to the outcome: the next promotion makes it a version.
//! Such a record holds for the served state alone, so what is replayed here begins before the first
//! version with a signal that was ever withdrawn.

use super::error::StagingError;
use super::manager::Staging;
use super::past::Promoted;
use super::places::Places;
use super::succession::{NewJournal, REPLAYED_GROUP, reapply, redraft};
use crate::world::fs::FsError;
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::object_id::ObjectId;
use agent_core::state::Rules;
use agent_core::state::journal::rewriting::{
    BatchOutcome, Needed, Replay, Replayed, Rewriting, Rewritten, ends_of, without_content,
};
use agent_core::state::journal::{self, Draft, Fold, Heading, JournalError, Record};
use semver::Version;
use serde_json::Value;
use std::collections::HashSet;

/// Where signals are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In staging, and in versions where staging has none.
    First,
    /// In staging and in all promotions since the last release or rollback.
    All,
}

/// The signals that a selection takes, and what is to be replayed without them.
#[derive(Debug, Default)]
pub struct Selected {
    pub records: Vec<Record>,
    /// The versions that have some of them.
    pub versions: Vec<Version>,
    /// The Journals to replay before that of staging, oldest first.
    journals: Vec<Promoted>,
    /// The ids of these signals, and of those of the Journals that were withdrawn before.
    left_out: HashSet<String>,
    /// How many of the records are in these Journals.
    sealed: usize,
    /// Staging's own Journal.
    current: Vec<u8>,
}

/// What a withdrawal did.
#[derive(Debug)]
pub struct Withdrawn {
    /// How many signals.
    pub signals: u64,
    /// The versions that have some of them.
    pub versions: Vec<Version>,
    /// How many later updates the Tuner made again; the others have the recorded effects.
    pub replayed: u64,
    /// The updates that no longer apply, with the reason. They stay without effect.
    pub dropped: Vec<(Record, String)>,
    pub before: ObjectId,
    pub after: ObjectId,
    /// The Journal in which the outcome was replayed.
    pub replay: Vec<u8>,
}

impl Staging {
    /// The signals that a selection takes: those with this text in their lines of which `takes` is
    /// true.
    pub fn selected(
        &mut self,
        text: &str,
        takes: impl Fn(&Heading) -> bool,
        scope: Scope,
    ) -> Result<Selected, StagingError> {
        let current = self.journal()?;
        let takes = |heading: &Heading| heading.is_by_tuner() && takes(heading);
        if scope == Scope::First && !journal::has_withdrawals(&current) {
            let records = journal::find(&current, text, takes).map_err(self.places.damaged())?;
            if !records.is_empty() {
                return Ok(Selected::alone(records, current));
            }
        }
        let here = Found::in_journal(&current, &takes).map_err(self.places.damaged())?;
        let promoted = self.past.promoted(&self.fold.base.commit)?;
        let mut found = Vec::with_capacity(promoted.len());
        for Promoted { journal, .. } in &promoted {
            found.push(Found::in_journal(journal, &takes).map_err(self.places.damaged())?);
        }
        let gone: HashSet<String> =
            found.iter().chain([&here]).flat_map(|one| one.gone.iter().cloned()).collect();
        let found: Vec<_> = found.into_iter().map(|one| one.without(&gone)).collect();
        let Some(first) = found.iter().position(Found::has_any) else {
            return Ok(Selected::alone(here.records, current));
        };
        let mut selected = Selected { current, ..Selected::default() };
        for (promoted, found) in promoted.into_iter().zip(found).skip(first) {
            if !found.records.is_empty() {
                selected.versions.push(promoted.version.clone());
            }
            selected.take(found);
            selected.journals.push(promoted);
        }
        selected.sealed = selected.records.len();
        selected.take(here.without(&gone));
        Ok(selected)
    }

    /// Whether a signal of this id was withdrawn here.
    pub fn has_withdrawn(&mut self, id: &str) -> Result<bool, StagingError> {
        let ids = [journal::withdrawn_id(id), journal::withdrawal_id(id)];
        let here = journal::ids(&self.journal()?).map_err(|error| self.unreadable(error))?;
        if here.iter().any(|id| ids.contains(id)) {
            return Ok(true);
        }
        for Promoted { journal, .. } in self.past.promoted(&self.fold.base.commit)? {
            let there = journal::ids(&journal).map_err(|error| self.unreadable(error))?;
            if there.iter().any(|id| ids.contains(id)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Withdraws the selected signals. Staging has been locked since they were selected, and is
    /// released afterwards. `replay` computes the outcomes of a prefix of the given updates, at
    /// least of the first, from the state before it. `rules` check each state.
    pub async fn withdraw<E: From<StagingError>>(
        &mut self,
        selected: Selected,
        rules: &Rules,
        replay: impl AsyncFnMut(&Value, &[Record]) -> Result<Vec<BatchOutcome>, E>,
    ) -> Result<Committed<Withdrawn>, E> {
        let outcome = self.withdraw_locked(selected, rules, replay).await;
        self.release();
        outcome
    }

    async fn withdraw_locked<E: From<StagingError>>(
        &mut self,
        selected: Selected,
        rules: &Rules,
        replay: impl AsyncFnMut(&Value, &[Record]) -> Result<Vec<BatchOutcome>, E>,
    ) -> Result<Committed<Withdrawn>, E> {
        self.drop_torn_tail()?;
        let before = self.fold.revision.clone();
        let places = self.places.clone();
        let damaged = |error| places.damaged()(error);
        let Selected { current, records, .. } = &selected;
        let joined = joined(&selected.journals, current).map_err(damaged)?;
        let (old, fold, ends) = match (&joined, records.first(), records.last()) {
            (None, Some(first), Some(last)) => (&**current, &self.fold, (first.seq, last.seq)),
            (None, ..) => (&**current, &self.fold, (u64::MAX, 0)),
            (Some((journal, _)), ..) => {
                let ends = ends_of(&journal.bytes, &selected.left_out).map_err(damaged)?;
                (&*journal.bytes, &journal.fold, ends)
            }
        };
        let left_out = &selected.left_out;
        let next = Rewriting::begin(old, fold, ends, left_out, rules).map_err(damaged)?;
        let Rewritten { bytes: replay, fold, replayed, dropped } =
            without(next, &places, replay).await?;
        let follow_on =
            joined.map(|(_, boundary)| follow_on(current, &replay, boundary, &selected));
        let follow_on = follow_on.transpose().map_err(damaged)?;
        let (next, fold) = match &follow_on {
            None => (&replay, fold),
            Some(next) => (&next.bytes, next.fold.clone()),
        };
        let after = fold.revision.clone();
        let mut warnings =
            forget_aside(&self.places, &selected.records).map_err(StagingError::from)?;
        warnings.extend(self.succeed_as(next, fold)?);
        let signals = selected.records.len() as u64;
        let versions = selected.versions;
        let value = Withdrawn { signals, versions, replayed, dropped, before, after, replay };
        Ok(Committed { value, warnings })
    }
}

/// The records of one Journal that matter.
struct Found {
    records: Vec<Record>,
    /// All ids of signals, for those that were withdrawn later.
    signals: Vec<String>,
    /// The ids of the records that withdraw signals of versions.
    gone: HashSet<String>,
}

impl Found {
    fn in_journal(bytes: &[u8], takes: &impl Fn(&Heading) -> bool) -> Result<Self, JournalError> {
        let mut found = Self { records: Vec::new(), signals: Vec::new(), gone: HashSet::new() };
        found.records = journal::scan(bytes, |heading| {
            let is_taken = takes(&heading);
            if heading.is_withdrawal() {
                found.gone.insert(heading.id);
            } else if heading.is_by_tuner() && !is_taken {
                found.signals.push(heading.id);
            }
            is_taken
        })?;
        Ok(found)
    }

    /// The records without those that later records have withdrawn.
    fn without(mut self, gone: &HashSet<String>) -> Self {
        let is_gone = |id: &str| !gone.is_empty() && gone.contains(&journal::withdrawal_id(id));
        self.signals.retain(|id| is_gone(id));
        let (taken, gone): (Vec<_>, Vec<_>) =
            self.records.into_iter().partition(|record| !is_gone(&record.id));
        self.records = taken;
        self.signals.extend(gone.into_iter().map(|record| record.id));
        self
    }

    fn has_any(&self) -> bool {
        !(self.records.is_empty() && self.signals.is_empty())
    }
}

impl Selected {
    /// Of staging, where no version has to be replayed.
    fn alone(records: Vec<Record>, current: Vec<u8>) -> Self {
        let left_out = records.iter().map(|record| record.id.clone()).collect();
        Self { records, left_out, current, ..Self::default() }
    }

    fn take(&mut self, found: Found) {
        self.left_out.extend(found.records.iter().map(|record| record.id.clone()));
        self.left_out.extend(found.signals);
        self.records.extend(found.records);
    }
}

/// One Journal of those of versions and staging's, and where staging's begins in it. `None` where
/// there are none of versions.
fn joined(
    journals: &[Promoted],
    current: &[u8],
) -> Result<Option<(NewJournal, u64)>, JournalError> {
    let Some(first) = journals.first() else { return Ok(None) };
    let start = Fold::begin(&first.journal)?;
    let header = journal::header(&start.base, start.first, &start.state);
    let mut joined = NewJournal::begin(header)?;
    for Promoted { journal, .. } in journals {
        joined.take_in(journal)?;
    }
    let boundary = joined.fold.next;
    joined.take_in(current)?;
    Ok(Some((joined, boundary)))
}

/// A Journal replayed without signals.
async fn without<E: From<StagingError>>(
    mut next: Rewriting<'_>,
    places: &Places,
    mut replay: impl AsyncFnMut(&Value, &[Record]) -> Result<Vec<BatchOutcome>, E>,
) -> Result<Rewritten, E> {
    let damaged = |error| places.damaged()(error);
    while let Some(needed) = next.needed().map_err(damaged)? {
        match needed {
            Needed::Replays(records) => {
                let replays = replay(&next.state(), &records).await?;
                next.answer(&records, replays);
            }
            Needed::Own(record, change) => {
                let again = reapply(&next.state(), &record, &change);
                next.answer_own(*record, again).map_err(damaged)?;
            }
        }
    }
    Ok(next.finish())
}

/// Staging's Journal after a replay that began in earlier versions: from the served state to the
/// outcome of these, then staging's own updates.
fn follow_on(
    current: &[u8],
    replayed: &[u8],
    boundary: u64,
    selected: &Selected,
) -> Result<NewJournal, JournalError> {
    let header = usize::try_from(Fold::begin(current)?.end).unwrap_or(usize::MAX);
    let mut next = NewJournal::begin(current[..header].to_vec())?;
    let mut outcome = Fold::begin(replayed)?.state;
    let mut later = Vec::new();
    journal::walk(replayed, |record, after| {
        if record.seq < boundary {
            outcome.clone_from(after);
        } else {
            later.push((record.clone(), after.clone()));
        }
    })?;
    let (before, later): (Vec<_>, Vec<_>) =
        later.into_iter().partition(|(record, _)| record.is_withdrawal());
    let again = before.iter().map(|(record, _)| (record.id.clone(), record));
    let new = selected.records[..selected.sealed].iter();
    let new = new.map(|record| (journal::withdrawal_id(&record.id), record));
    let mut drafts: Vec<_> =
        again.chain(new).map(|(id, record)| draft_without_content(id, record)).collect();
    if let Some(last) = drafts.last_mut() {
        last.state = Some(outcome.clone());
    }
    next.add(drafts);
    let mut state = outcome;
    for group in later.chunks(REPLAYED_GROUP) {
        let drafts = group.iter().map(|(record, after)| {
            let outcome = Replayed::State(after.clone());
            redraft(record, Replay { outcome, touched: record.touched.clone() }, &mut state)
        });
        next.add(drafts.collect());
    }
    Ok(next)
}

/// The record in the place of a withdrawn signal.
fn draft_without_content(id: String, record: &Record) -> Draft {
    let Record { id, tool, arguments, at, .. } = without_content(id, record);
    Draft {
        id,
        tool,
        arguments,
        conversation: None,
        trace: None,
        at,
        tags: Vec::new(),
        effects: None,
        touched: None,
        summary: None,
        state: None,
    }
}

/// Removes the files that were set aside and have one of the signals.
fn forget_aside(places: &Places, selected: &[Record]) -> Result<Warnings, FsError> {
    let mut warnings = Warnings::none();
    for path in places.aside()? {
        let text = std::fs::read(&path).map_err(FsError::while_doing("read", &path))?;
        let text = String::from_utf8_lossy(&text);
        let has = |record: &Record| text.contains(&format!("\"id\":{}", Value::from(&*record.id)));
        if selected.iter().any(has) {
            std::fs::remove_file(&path).map_err(FsError::while_doing("remove", &path))?;
            warnings.push(format!("{} is removed: it had a withdrawn signal", path.display()));
        }
    }
    Ok(warnings)
}
