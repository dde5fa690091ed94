//! The state that a Journal gives, and the next group that continues it.

use super::error::JournalError;
use super::group::{Commit, CommitLine, RawGroup};
use super::header::{Base, HeaderLine, SCHEMA, SealedAs, unknown_schema};
use super::lines::{first_line, is_closed, is_padding, lines, push_closing_line, push_line};
use super::record::{Draft, Record};
use crate::formats::canonical;
use crate::formats::object_id::ObjectId;
use json_patch::Patch;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A commit line carries the full state once the changes since the last full one are this many
/// times its size: this bounds what a reader applies.
const CHANGES_PER_CHECKPOINT: usize = 4;

/// A record that a fold went over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    pub seq: u64,
    pub id: String,
    pub after: ObjectId,
}

/// The content after the last complete group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing, or reserved space.
    Clean,
    /// Bytes that are not a complete group.
    Torn,
}

/// The staging state, and how far into the Journal it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    pub base: Base,
    pub state: Value,
    pub revision: ObjectId,
    /// The Revision the Journal began with, in canonical form (the base's own file may be spelled
    /// otherwise).
    pub start: ObjectId,
    /// The seq the first record of this Journal has or would have.
    pub first: u64,
    /// The seq the next record gets.
    pub next: u64,
    /// The Journals this clone sealed, oldest first.
    pub sealed: Vec<SealedAs>,
    /// The length of the header and all complete groups.
    pub end: u64,
    /// Bytes of changes since the last line with the full state.
    pub(super) unfolded: usize,
}

/// A group ready to be written at `Fold::end`, and what the fold becomes once it is.
#[derive(Debug)]
pub struct Group {
    pub bytes: Vec<u8>,
    pub records: Vec<Folded>,
    after: Fold,
}

/// The members of a record that the fold needs; the rest is skipped, not parsed.
#[derive(Deserialize)]
struct RecordKey<'a> {
    seq: u64,
    id: String,
    after: ObjectId,
    #[serde(borrow, default)]
    change: Option<&'a RawValue>,
    #[serde(borrow, default)]
    state: Option<&'a RawValue>,
}

impl Fold {
    /// The fold of a Journal's header alone; `bytes` may hold more than that.
    pub fn begin(bytes: &[u8]) -> Result<Self, JournalError> {
        let line = first_line(bytes)
            .ok_or_else(|| JournalError::Header("its first line does not end".to_owned()))?;
        if !is_closed(line, 0) {
            return Err(JournalError::Header(unknown_schema(line)?));
        }
        let header: HeaderLine = serde_json::from_slice(line)
            .map_err(|error| JournalError::Header(error.to_string()))?;
        if header.schema != SCHEMA {
            return Err(JournalError::Unknown(header.schema));
        }
        let revision = canonical::revision(&header.state);
        Ok(Self {
            base: header.base,
            start: revision.clone(),
            revision,
            state: header.state,
            first: header.first,
            next: header.first,
            sealed: header.sealed,
            end: line.len() as u64,
            unfolded: 0,
        })
    }

    /// Folds the complete groups of `bytes`, which start at `self.end`.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(Vec<Folded>, Tail), JournalError> {
        let mut folded = Vec::new();
        let mut changes = Changes::default();
        let mut rest = bytes;
        let mut last = None;
        while let Some(group) = RawGroup::next(rest) {
            self.take_keys(&group, &mut folded, &mut changes)?;
            self.end += group.length as u64;
            rest = &rest[group.length..];
            last = Some(group.commit.after);
        }
        changes
            .apply(&mut self.state)
            .map_err(|what| JournalError::Damaged { offset: self.end, what })?;
        if let Some(after) = last {
            self.arrive(&after)?;
        }
        let tail = if rest.first().is_none_or(|byte| is_padding(*byte)) {
            Tail::Clean
        } else {
            Tail::Torn
        };
        Ok((folded, tail))
    }

    fn take_keys<'a>(
        &mut self,
        group: &RawGroup<'a>,
        folded: &mut Vec<Folded>,
        changes: &mut Changes<'a>,
    ) -> Result<(), JournalError> {
        let offset = self.end;
        let damaged = |what: String| JournalError::Damaged { offset, what };
        for line in lines(group.records) {
            let key: RecordKey =
                serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
            if key.seq != self.next {
                return Err(damaged(format!(
                    "found record {} where {} was expected",
                    key.seq, self.next
                )));
            }
            self.next += 1;
            self.unfolded += key.change.map_or(0, |change| change.get().len());
            changes.push(key.change, key.state);
            folded.push(Folded { seq: key.seq, id: key.id, after: key.after });
        }
        if let Some(state) = &group.commit.state {
            changes.restart(state.clone());
            self.unfolded = 0;
        }
        Ok(())
    }

    fn arrive(&mut self, after: &ObjectId) -> Result<(), JournalError> {
        let mut revision = ObjectId::of_blob(&canonical::normal_to_bytes(&self.state));
        if revision != *after {
            // what is written as the normal form of that Revision is in that form: to bring it into
            // it costs more than all else here, and changes of this `agent` leave nothing to do
            self.state = canonical::normal(&self.state);
            revision = ObjectId::of_blob(&canonical::normal_to_bytes(&self.state));
        }
        if revision != *after {
            let what = format!(
                "its changes result in the state {}, but its commit line states {}",
                revision.short(),
                after.short()
            );
            return Err(JournalError::Damaged { offset: self.end, what });
        }
        self.revision = revision;
        Ok(())
    }

    /// Writes updates down as one group that continues this fold.
    pub fn compose(&self, drafts: Vec<Draft>) -> Group {
        let mut after = self.clone();
        let mut bytes = Vec::new();
        let mut records = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let record = after.record(draft);
            push_line(&mut bytes, &record);
            records.push(Folded { seq: record.seq, id: record.id, after: record.after });
        }
        let state = after.checkpoint();
        let commit = Commit {
            seq: after.next.saturating_sub(1),
            bytes: bytes.len(),
            after: after.revision.clone(),
            state,
        };
        push_closing_line(&mut bytes, &CommitLine { commit });
        after.end += bytes.len() as u64;
        Group { bytes, records, after }
    }

    /// The group is written: the fold moves behind it.
    pub fn accept(&mut self, group: Group) {
        *self = group.after;
    }

    fn record(&mut self, draft: Draft) -> Record {
        let before = self.revision.clone();
        let (change, state) = draft.state.map_or((None, None), |state| self.step(&state));
        let record = Record {
            seq: self.next,
            id: draft.id,
            tool: draft.tool,
            arguments: draft.arguments,
            before,
            after: self.revision.clone(),
            conversation: draft.conversation,
            trace: draft.trace,
            at: draft.at,
            tags: draft.tags,
            effects: draft.effects,
            touched: draft.touched,
            summary: draft.summary,
            change,
            state,
        };
        self.next += 1;
        record
    }

    /// Moves to `state`; returns the change, or the full state where that is shorter.
    fn step(&mut self, state: &Value) -> (Option<Patch>, Option<Value>) {
        let state = canonical::normal(state);
        let bytes = canonical::normal_to_bytes(&state);
        let revision = ObjectId::of_blob(&bytes);
        if revision == self.revision {
            return (None, None);
        }
        let change = json_patch::diff(&self.state, &state);
        let length = serde_json::to_string(&change).map_or(usize::MAX, |text| text.len());
        let whole = length > bytes.len() || !leads_to(&self.state, &change, &state);
        self.unfolded = if whole { 0 } else { self.unfolded + length };
        self.revision = revision;
        self.state.clone_from(&state);
        if whole { (None, Some(state)) } else { (Some(change), None) }
    }

    fn checkpoint(&mut self) -> Option<Value> {
        let due = self.unfolded > CHANGES_PER_CHECKPOINT * self.state.to_string().len();
        due.then(|| {
            self.unfolded = 0;
            self.state.clone()
        })
    }
}

/// A change is trusted only when applying it gives the state it was made for.
fn leads_to(before: &Value, change: &Patch, after: &Value) -> bool {
    let mut state = before.clone();
    // both are in normal form, so equal numbers are spelled alike
    json_patch::patch(&mut state, change).is_ok() && state == *after
}

/// Changes not applied yet: only those after the last full state matter.
#[derive(Default)]
struct Changes<'a> {
    from: Option<Value>,
    raw: Vec<&'a RawValue>,
    raw_state: Option<&'a RawValue>,
}

impl<'a> Changes<'a> {
    fn push(&mut self, change: Option<&'a RawValue>, state: Option<&'a RawValue>) {
        if state.is_some() {
            self.raw.clear();
            self.from = None;
            self.raw_state = state;
        }
        self.raw.extend(change);
    }

    fn restart(&mut self, state: Value) {
        self.raw.clear();
        self.raw_state = None;
        self.from = Some(state);
    }

    fn apply(self, state: &mut Value) -> Result<(), String> {
        if let Some(whole) = self.raw_state {
            *state = serde_json::from_str(whole.get()).map_err(|error| error.to_string())?;
        } else if let Some(from) = self.from {
            *state = from;
        }
        for raw in self.raw {
            let change: Patch =
                serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
            json_patch::patch(state, &change).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
