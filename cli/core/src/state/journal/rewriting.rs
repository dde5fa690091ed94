//! A Journal written again without some of its signals.
//!
//! The state as it was and as it is without them are followed side by side, and with them the parts
//! in which they differ. A Tuner's update that touched none of these keeps its change: the tool
//! would find the same values, and do the same to them. Any other one is replayed. Where the two
//! states are equal the lines are kept as they are.

use super::error::JournalError;
use super::fold::Fold;
use super::group::{Commit, CommitLine, RawGroup};
use super::lines::{lines, push_closing_line, push_line};
use super::reading::{fold_before, scan};
use super::record::{Record, WITHDRAW, is_by_tuner, withdrawn_id};
use crate::formats::canonical;
use crate::formats::object_id::ObjectId;
use crate::state::parts::{Part, PartSet, Parts, parts_of};
use crate::state::{MAX_BYTES, Rules};
use json_patch::Patch;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;

/// How far is looked ahead for updates that are replayed in one request.
const AHEAD: usize = 1 << 16;

/// The outcome of an update on another state.
#[derive(Debug, Clone, PartialEq)]
pub enum Replayed {
    Unchanged,
    State(Value),
    /// It no longer applies; its record stays, without effect, with the reason.
    Dropped(String),
}

/// An update, replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    pub outcome: Replayed,
    /// JSON Pointers of the parts of the state that it touched, where that is known.
    pub touched: Option<Vec<String>>,
}

impl From<Replayed> for Replay {
    fn from(outcome: Replayed) -> Self {
        Self { outcome, touched: None }
    }
}

/// One of several updates that were replayed in turn.
#[derive(Debug)]
pub enum BatchOutcome {
    Replay(Replay),
    /// What it changed; it is not known whether the outcome is valid. And the parts it touched.
    Change(Patch, Vec<String>),
}

impl BatchOutcome {
    fn touched(&self) -> Option<&[String]> {
        match self {
            Self::Replay(replay) => replay.touched.as_deref(),
            Self::Change(_, touched) => Some(touched),
        }
    }
}

/// The input that is needed to continue.
#[derive(Debug)]
pub enum Needed {
    /// The Tuner's outcomes of these updates in turn, from the state before the first: at least of
    /// that one.
    Replays(Vec<Record>),
    /// The outcome of an update that no Tuner made, and that changed this.
    Own(Box<Record>, Patch),
}

/// The Journal without the signals.
#[derive(Debug)]
pub struct Rewritten {
    pub bytes: Vec<u8>,
    pub fold: Fold,
    /// How many updates the Tuner made again; the others keep their changes.
    pub replayed: u64,
    /// The updates that no longer apply, with the reason.
    pub dropped: Vec<(Record, String)>,
}

/// A Journal under way.
pub struct Rewriting<'a> {
    old: &'a [u8],
    /// The state that the old one leads to.
    old_fold: &'a Fold,
    left_out: &'a HashSet<String>,
    rules: &'a Rules,
    /// The seq of the last of these signals.
    last: u64,
    /// Of the groups before the first of them.
    fold: Fold,
    /// Records that are read and not yet written.
    ahead: VecDeque<Ahead<'a>>,
    /// Up to where the old Journal is read.
    read: usize,
    was: Parts,
    is: Parts,
    differing: PartSet,
    /// Outcomes of updates that are still ahead.
    ready: VecDeque<(u64, BatchOutcome)>,
    /// What has changed since the state that these began with, other than by them.
    stale: PartSet,
    written: Written,
    replayed: u64,
    dropped: Vec<(Record, String)>,
    /// How many updates are asked for at once.
    asked: usize,
}

/// A line of the old Journal.
enum Ahead<'a> {
    Update(Box<Update<'a>>),
    /// The end of a group: whether it has the state, and the offset behind it.
    End {
        has_state: bool,
        at: usize,
    },
}

struct Update<'a> {
    line: &'a [u8],
    entry: Entry<'a>,
    touched: Option<Vec<String>>,
    change: Change,
}

enum Change {
    None,
    Patch(Patch),
    State(Value),
}

/// The members of a record that decide how it is rewritten.
#[derive(Deserialize)]
struct Entry<'a> {
    seq: u64,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    tool: Cow<'a, str>,
    #[serde(borrow)]
    before: &'a RawValue,
    #[serde(borrow)]
    after: &'a RawValue,
    #[serde(default)]
    touched: Option<Vec<String>>,
    #[serde(borrow, default)]
    change: Option<&'a RawValue>,
    #[serde(borrow, default)]
    state: Option<&'a RawValue>,
}

impl<'a> Update<'a> {
    fn read(line: &'a [u8]) -> serde_json::Result<Self> {
        let mut entry: Entry<'a> = serde_json::from_slice(line)?;
        let change = match (entry.state, entry.change) {
            (Some(state), _) => Change::State(serde_json::from_str(state.get())?),
            (None, Some(change)) => Change::Patch(serde_json::from_str(change.get())?),
            (None, None) => Change::None,
        };
        Ok(Self { line, touched: entry.touched.take(), entry, change })
    }

    fn record(&self) -> serde_json::Result<Record> {
        serde_json::from_slice(self.line)
    }

    fn is_by_tuner(&self) -> bool {
        is_by_tuner(&self.entry.tool)
    }
}

impl<'a> Rewriting<'a> {
    /// `old` is known to be whole; it has the first and the last of the signals under these
    /// sequence numbers.
    pub fn begin(
        old: &'a [u8],
        old_fold: &'a Fold,
        (first, last): (u64, u64),
        left_out: &'a HashSet<String>,
        rules: &'a Rules,
    ) -> Result<Self, JournalError> {
        let fold = fold_before(old, first)?;
        let kept = usize::try_from(fold.end).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(old.len() + old.len() / 16);
        bytes.extend_from_slice(&old[..kept]);
        let state = Parts::of(&fold.state)
            .ok_or_else(|| JournalError::Header("its state is no object".to_owned()))?;
        Ok(Self {
            old,
            old_fold,
            left_out,
            rules,
            last,
            ahead: VecDeque::new(),
            read: kept,
            was: state.clone(),
            is: state,
            differing: PartSet::default(),
            ready: VecDeque::new(),
            stale: PartSet::default(),
            written: Written {
                bytes,
                group: kept,
                revision: fold.revision.clone(),
                seq: fold.next.saturating_sub(1),
                text: Vec::new(),
            },
            fold,
            replayed: 0,
            dropped: Vec::new(),
            asked: FEW,
        })
    }

    /// The state without the signals, before the update that an outcome is needed of.
    pub fn state(&self) -> Value {
        self.is.value()
    }

    /// Goes on until an outcome is needed, or to the end.
    pub fn needed(&mut self) -> Result<Option<Needed>, JournalError> {
        while let Some(next) = self.next()? {
            match next {
                Ahead::End { has_state, at } => {
                    self.written.end_group(has_state.then(|| self.is.value()));
                    if self.differing.is_empty() && self.is_behind_all() {
                        self.keep_from(at)?;
                        return Ok(None);
                    }
                }
                Ahead::Update(update) => {
                    if let Some(needed) = self.write(update)? {
                        return Ok(Some(needed));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The outcomes of what was needed, the first ones at least.
    pub fn answer(&mut self, records: &[Record], replays: Vec<BatchOutcome>) {
        self.asked = (2 * replays.len()).min(REPLAYS);
        self.stale = PartSet::default();
        self.ready = records.iter().map(|record| record.seq).zip(replays).collect();
    }

    /// The outcome of an update that no Tuner made.
    pub fn answer_own(&mut self, record: Record, outcome: Replayed) -> Result<(), JournalError> {
        self.ready.clear();
        let Some(Ahead::Update(update)) = self.ahead.pop_front() else { return Ok(()) };
        self.follow(&update)?;
        self.make(record, BatchOutcome::Replay(outcome.into()));
        Ok(())
    }

    pub fn finish(self) -> Rewritten {
        let Self { written, replayed, dropped, is, .. } = self;
        let fold = Fold {
            state: is.value(),
            revision: written.revision,
            next: written.seq + 1,
            end: written.bytes.len() as u64,
            // so the next group has the state
            unfolded: usize::MAX / 2,
            ..self.fold
        };
        Rewritten { bytes: written.bytes, fold, replayed, dropped }
    }

    fn is_behind_all(&self) -> bool {
        self.written.seq >= self.last
    }

    /// The next line, read together with those of its group.
    fn next(&mut self) -> Result<Option<Ahead<'a>>, JournalError> {
        if self.ahead.is_empty() {
            self.read_group()?;
        }
        Ok(self.ahead.pop_front())
    }

    fn read_group(&mut self) -> Result<bool, JournalError> {
        let old = self.old;
        let Some(group) = RawGroup::next(&old[self.read..]) else { return Ok(false) };
        let offset = self.read as u64;
        let damaged = |error: serde_json::Error| damaged(offset, &error);
        for line in lines(group.records) {
            self.ahead.push_back(Ahead::Update(Box::new(Update::read(line).map_err(damaged)?)));
        }
        self.read += group.length;
        let has_state = group.commit.state.is_some();
        self.ahead.push_back(Ahead::End { has_state, at: self.read });
        Ok(true)
    }

    /// The rest of the old Journal leads from the same state to the same ones.
    fn keep_from(&mut self, at: usize) -> Result<(), JournalError> {
        self.written.bytes.extend_from_slice(&self.old[at..]);
        self.written.revision = self.old_fold.revision.clone();
        self.written.seq = self.old_fold.next.saturating_sub(1);
        let state = Parts::of(&self.old_fold.state);
        self.is = state.ok_or_else(|| self.damaged("its state is no object".to_owned()))?;
        self.ahead.clear();
        self.read = self.old.len();
        Ok(())
    }

    fn is_left_out(&self, update: &Update<'_>) -> bool {
        update.is_by_tuner() && self.left_out.contains(&*update.entry.id)
    }

    /// Whether a Tuner's update does on the state without the signals what it did.
    fn keeps_its_change(&self, update: &Update<'_>) -> bool {
        if self.differing.is_empty() {
            return true;
        }
        let Some(touched) = &update.touched else { return false };
        let is_in_them = match &update.change {
            Change::None | Change::State(_) => true,
            Change::Patch(change) => parts_of(change).all(|part| part.is_in(touched)),
        };
        is_in_them
            && self.rules.are_by_part()
            && !self.differing.meets(touched)
            // it could grow beyond the limit, which the Tuner's outcomes are held to
            && self.written.text.len() + update.line.len() * 8 < MAX_BYTES
    }

    /// Writes the next update; where an outcome is needed first, it stays the next one.
    fn write(&mut self, update: Box<Update<'a>>) -> Result<Option<Needed>, JournalError> {
        let damaged = |error: serde_json::Error| damaged(self.read as u64, &error);
        if self.is_left_out(&update) {
            let record = update.record().map_err(damaged)?;
            self.follow(&update)?;
            self.written.record(without_content(withdrawn_id(&record.id), &record));
            return Ok(None);
        }
        if !update.is_by_tuner() && !self.differing.is_empty() {
            let record = update.record().map_err(damaged)?;
            let change = self.change_of(&update);
            self.ahead.push_front(Ahead::Update(update));
            return Ok(Some(Needed::Own(Box::new(record), change)));
        }
        let is_first = self.ready.front().is_some_and(|(seq, _)| *seq == update.entry.seq);
        if self.keeps_its_change(&update) {
            if is_first {
                self.ready.pop_front();
            }
            self.keep(&update)?;
            return Ok(None);
        }
        match self.ready.pop_front().filter(|_| is_first) {
            Some((_, replay)) if self.is_current(&replay) => {
                let record = update.record().map_err(damaged)?;
                self.follow(&update)?;
                self.replayed += 1;
                self.make(record, replay);
                Ok(None)
            }
            _ => {
                self.ready.clear();
                self.ahead.push_front(Ahead::Update(update));
                Ok(Some(Needed::Replays(self.next_replays()?)))
            }
        }
    }

    /// Whether a replay found the values that it would find now.
    fn is_current(&self, replay: &BatchOutcome) -> bool {
        self.stale.is_empty() || replay.touched().is_some_and(|touched| !self.stale.meets(touched))
    }

    /// The next update and those after it that are likely to be replayed after it, up to one that
    /// would find something which was changed in between.
    fn next_replays(&mut self) -> Result<Vec<Record>, JournalError> {
        let mut records = Vec::new();
        let mut stale = PartSet::default();
        let mut at = 0;
        while at < AHEAD && records.len() < self.asked {
            if at == self.ahead.len() && !self.read_group()? {
                break;
            }
            let Ahead::Update(update) = &self.ahead[at] else {
                at += 1;
                continue;
            };
            at += 1;
            if self.is_left_out(update) {
                continue;
            }
            if !update.is_by_tuner() {
                break;
            }
            if self.keeps_its_change(update) {
                match &update.change {
                    Change::None => {}
                    Change::Patch(change) => parts_of(change).for_each(|part| stale.insert(part)),
                    Change::State(_) => {
                        let touched = update.touched.iter().flatten();
                        touched.for_each(|pointer| stale.insert(Part::at(pointer)));
                    }
                }
                continue;
            }
            let touched = update.touched.as_ref();
            if !stale.is_empty() && touched.is_none_or(|touched| stale.meets(touched)) {
                break;
            }
            records.push(update.record().map_err(|error| damaged(self.read as u64, &error))?);
        }
        Ok(records)
    }

    /// What an update changed in the state with the signals.
    fn change_of(&self, update: &Update<'_>) -> Patch {
        match &update.change {
            Change::None => Patch(Vec::new()),
            Change::Patch(change) => change.clone(),
            Change::State(after) => json_patch::diff(&self.was.value(), &canonical::normal(after)),
        }
    }

    /// The state with the signals goes on.
    fn follow(&mut self, update: &Update<'_>) -> Result<(), JournalError> {
        let change = self.change_of(update);
        let parts = self.was.apply(&change).map_err(|what| self.damaged(what))?;
        self.was.compare(&self.is, &parts, &mut self.differing);
        Ok(())
    }

    fn damaged(&self, what: String) -> JournalError {
        JournalError::Damaged { offset: self.read as u64, what }
    }

    /// The update has the same change on both states.
    fn keep(&mut self, update: &Update<'_>) -> Result<(), JournalError> {
        let change = self.change_of(update);
        let parts = self.is.apply(&change).map_err(|what| self.damaged(what))?;
        if !self.was.take(&parts, &self.is) {
            self.was.apply(&change).map_err(|what| self.damaged(what))?;
            self.was.compare(&self.is, &parts, &mut self.differing);
        }
        if self.differing.is_empty() {
            return self.written.line(update).map_err(|error| damaged(self.read as u64, &error));
        }
        if !self.ready.is_empty() {
            for part in parts {
                self.stale.insert(part);
            }
        }
        if matches!(update.change, Change::State(_)) {
            let mut record = update.record().map_err(|error| damaged(self.read as u64, &error))?;
            (record.change, record.state) = (Some(change), None);
            self.written.changed(record, &self.is);
        } else {
            self.written.line_again(update, &self.is);
        }
        Ok(())
    }

    /// An update with an outcome of its own.
    fn make(&mut self, mut record: Record, replay: BatchOutcome) {
        (record.change, record.state) = (None, None);
        record.touched = replay.touched().map(<[String]>::to_vec);
        let made = match replay {
            BatchOutcome::Change(change, _) => self.of_change(change).map(Some),
            BatchOutcome::Replay(Replay { outcome, .. }) => match outcome {
                Replayed::Unchanged => Ok(None),
                Replayed::State(after) => self.of_state(&after).map(Some),
                Replayed::Dropped(why) => Err(why),
            },
        };
        let made = match made {
            Ok(made) => made,
            Err(why) => {
                self.ready.clear();
                let is_new = !record.is_withdrawal();
                record.summary = Some(json!({ "dropped": why }));
                self.written.record(record.clone());
                if is_new {
                    self.dropped.push((record, why));
                }
                return;
            }
        };
        if record.is_dropped() {
            record.summary = None;
        }
        if let Some(Made { state, parts, change }) = made {
            self.is = state;
            self.was.compare(&self.is, &parts, &mut self.differing);
            record.change = change;
        }
        self.written.changed(record, &self.is);
    }

    fn of_state(&self, after: &Value) -> Result<Made, String> {
        let state = Parts::of(after).ok_or("a state is a JSON object")?;
        let change = json_patch::diff(&self.is.value(), &canonical::normal(after));
        let mut again = self.is.clone();
        let parts = again.apply(&change);
        let trusted = parts.ok().filter(|_| again.is_same(&state, &[Part::All]));
        let change = trusted.is_some().then_some(change);
        Ok(Made { state, parts: trusted.unwrap_or_else(|| vec![Part::All]), change })
    }

    /// A change whose outcome has to be valid. It sets parts; what is recorded is the difference.
    fn of_change(&self, change: Patch) -> Result<Made, String> {
        let mut state = self.is.clone();
        let parts = state.apply(&change)?;
        self.rules.check_parts(&state, &parts)?;
        let mut difference = Patch(Vec::new());
        for part in &parts {
            let pair = (self.is.excerpt_of(part), state.excerpt_of(part));
            difference.0.extend(json_patch::diff(&pair.0, &pair.1).0);
        }
        let mut again = self.is.clone();
        let is_trusted = again.apply(&difference).is_ok() && again.is_same(&state, &parts);
        let change = if is_trusted { difference } else { change };
        Ok(Made { state, parts, change: Some(change) })
    }
}

/// The outcome of an update.
struct Made {
    state: Parts,
    /// In which it may be another one than before.
    parts: Vec<Part<'static>>,
    /// `None` where the state is written down as a whole.
    change: Option<Patch>,
}

/// The new Journal.
struct Written {
    bytes: Vec<u8>,
    /// Where the group under way begins.
    group: usize,
    /// The seq of the last line.
    seq: u64,
    revision: ObjectId,
    /// The canonical bytes of the state that was written last, where they were needed.
    text: Vec<u8>,
}

impl Written {
    /// A line as it was.
    fn line(&mut self, update: &Update<'_>) -> serde_json::Result<()> {
        self.bytes.extend_from_slice(update.line);
        self.seq = update.entry.seq;
        self.revision = serde_json::from_str(update.entry.after.get())?;
        Ok(())
    }

    /// A line with the states that it has now.
    fn line_again(&mut self, update: &Update<'_>, state: &Parts) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(update.line);
        self.seq = update.entry.seq;
        let before = self.revision.clone();
        if !matches!(update.change, Change::None) {
            self.move_to(state);
        }
        for (place, id) in [(update.entry.before, &before), (update.entry.after, &self.revision)] {
            // the text of a member of the line is a part of the line
            let at = begin + (place.get().as_ptr() as usize - update.line.as_ptr() as usize) + 1;
            self.bytes[at..at + id.as_str().len()].copy_from_slice(id.as_str().as_bytes());
        }
    }

    /// A record whose update leads to this state.
    fn changed(&mut self, mut record: Record, state: &Parts) {
        record.before = self.revision.clone();
        self.move_to(state);
        record.after = self.revision.clone();
        if record.after == record.before {
            record.change = None;
        } else {
            let length = |change| serde_json::to_string(change).map_or(usize::MAX, |it| it.len());
            let is_short = record.change.as_ref().is_some_and(|it| length(it) <= self.text.len());
            if !is_short {
                (record.change, record.state) = (None, Some(state.value()));
            }
        }
        self.push(&record);
    }

    /// A record without an effect.
    fn record(&mut self, mut record: Record) {
        record.before = self.revision.clone();
        record.after = self.revision.clone();
        self.push(&record);
    }

    fn push(&mut self, record: &Record) {
        self.seq = record.seq;
        push_line(&mut self.bytes, record);
    }

    fn move_to(&mut self, state: &Parts) {
        self.text.clear();
        state.write(&mut self.text);
        self.revision = ObjectId::of_blob(&self.text);
    }

    fn end_group(&mut self, state: Option<Value>) {
        let mut group = self.bytes.split_off(self.group);
        let commit =
            Commit { seq: self.seq, bytes: group.len(), after: self.revision.clone(), state };
        push_closing_line(&mut group, &CommitLine { commit });
        self.bytes.append(&mut group);
        self.group = self.bytes.len();
    }
}

/// How many updates are asked for at first: whether more of them can be replayed in one request is
/// not known yet.
const FEW: usize = 64;
/// How many updates are replayed in one request at most.
const REPLAYS: usize = 1024;

fn damaged(offset: u64, error: &serde_json::Error) -> JournalError {
    JournalError::Damaged { offset, what: error.to_string() }
}

/// The sequence numbers of the first and the last of these signals.
pub fn ends_of(
    bytes: &[u8],
    ids: &HashSet<String, impl BuildHasher>,
) -> Result<(u64, u64), JournalError> {
    let (mut first, mut last) = (u64::MAX, 0);
    scan(bytes, |heading| {
        if heading.is_by_tuner() && ids.contains(&heading.id) {
            first = first.min(heading.seq);
            last = heading.seq;
        }
        false
    })?;
    Ok((first, last))
}

/// The record in the place of a withdrawn signal.
pub fn without_content(id: String, record: &Record) -> Record {
    Record {
        id,
        tool: WITHDRAW.to_owned(),
        arguments: json!({ "content": record.content() }),
        conversation: None,
        trace: None,
        tags: Vec::new(),
        effects: None,
        touched: None,
        summary: None,
        change: None,
        state: None,
        ..record.clone()
    }
}

#[cfg(test)]
mod tests;
