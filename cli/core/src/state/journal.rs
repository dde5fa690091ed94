//! The Journal: the append-only record of every staging update, as JSON lines that any text tool
//! reads.
//!
//! The first line is the header: the version staging started from, and its state. After it come
//! groups: one line per update, then one commit line. A group counts when its commit line is
//! complete and its checksum matches, so an interrupted write leaves exactly the groups before it.
//! Space is reserved ahead of the end as empty lines (or zero bytes, as a file system leaves them
//! after a power cut); they have no meaning. Folding the Journal gives the staging state: it is the
//! only source.

pub mod rewriting;

use crate::formats::canonical;
use crate::formats::diagnose::{Diagnose, FailureKind};
use crate::formats::object_id::{self, ObjectId};
use crate::state::Path;
use crate::state::effect::Effects;
use crate::state::signal::{self, CONVERSATION_ARGUMENT};
use json_patch::Patch;
use memchr::{memchr, memmem, memrchr};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

pub const SCHEMA: &str = "agent/journal@1";

/// Between the lines of a block and its checksum; eight hex digits and `"}` and a newline follow.
const CHECKSUM_KEY: &[u8] = b",\"crc\":\"";
const CHECKSUM_LENGTH: usize = CHECKSUM_KEY.len() + 8 + 2 + 1;
const COMMIT_START: &[u8] = b"{\"commit\":";
/// A commit line carries the full state once the changes since the last full one are this many
/// times its size: this bounds what a reader applies.
const CHANGES_PER_CHECKPOINT: usize = 4;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JournalError {
    #[error("the Journal has no readable header: {0}")]
    Header(String),
    #[error("the Journal is in format `{0}`, which this version of `agent` does not support")]
    Unknown(String),
    #[error("the Journal is damaged at byte {offset}: {what}")]
    Damaged { offset: u64, what: String },
}

impl Diagnose for JournalError {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(_) => "use the `agent` that wrote it, or a newer one".to_owned(),
            _ => "nothing was changed; `agent state reset` sets the file aside whole and starts \
                staging from active again"
                .to_owned(),
        })
    }
}

/// The version of active that staging started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub version: Version,
    pub commit: ObjectId,
    /// The state file's blob id in that commit.
    pub revision: ObjectId,
}

/// The turns of a conversation, as the Tuner was shown them: a replay needs the same ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    pub id: String,
    #[serde(default)]
    pub turns: Vec<Value>,
}

/// One update, as it is read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts on across sealed Journals.
    pub seq: u64,
    /// The signal's id; each is counted once.
    pub id: String,
    /// The Tuner's tool, or `agent/…` for a direct edit of the state by a user or program.
    pub tool: String,
    pub arguments: Value,
    pub before: ObjectId,
    pub after: ObjectId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Conversation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    pub at: String,
    /// Tags, such as `person:42`: signals with a common tag can be withdrawn together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The effects that the Tuner's tool used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<Effects>,
    /// JSON Pointers of the parts of the state that the tool read or wrote, where it reported them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touched: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Value>,
    /// From the state before to the state after (RFC 6902); absent when nothing changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Patch>,
    /// The full state after, where that is shorter than the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
}

impl Record {
    /// Whether the Tuner made this update (a replay calls it again).
    pub fn is_by_tuner(&self) -> bool {
        is_by_tuner(&self.tool)
    }

    /// Whether it withdraws a signal of a version. Its change holds for the states of that version
    /// alone.
    pub fn is_withdrawal(&self) -> bool {
        is_withdrawal(&self.tool, &self.id)
    }

    /// Whether it is a signal that no longer applied when it was replayed.
    pub fn is_dropped(&self) -> bool {
        self.summary.as_ref().is_some_and(|summary| summary.get("dropped").is_some())
    }

    /// The digest of the signal's content: `Signal::content`.
    pub fn content(&self) -> String {
        if self.tool == WITHDRAW {
            return self.arguments["content"].as_str().unwrap_or_default().to_owned();
        }
        let named = self.conversation.as_ref().map(|conversation| conversation.id.as_str());
        signal::content(
            &self.tool,
            &self.arguments,
            named.or_else(|| self.arguments.get(CONVERSATION_ARGUMENT)?.as_str()),
        )
    }

    /// The values that an edit of the state set; `None` of any other update.
    pub fn edits(&self) -> Option<Vec<(Path, &Value)>> {
        let changes = self.arguments["changes"].as_array().filter(|_| self.tool == SET)?;
        changes
            .iter()
            .map(|change| Some((change["path"].as_str()?.parse().ok()?, change.get("value")?)))
            .collect()
    }

    /// The state after this update, from the state before it.
    pub fn apply(&self, before: &mut Value) -> Result<(), json_patch::PatchError> {
        if let Some(whole) = &self.state {
            before.clone_from(whole);
        } else if let Some(change) = &self.change {
            json_patch::patch(before, change)?;
        }
        Ok(())
    }
}

/// The members by which a signal is found; the rest of its record is skipped, not parsed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Heading {
    pub seq: u64,
    pub id: String,
    pub tool: String,
    #[serde(default)]
    pub tags: Vec<String>,
}

impl Heading {
    /// As of a record.
    pub fn is_by_tuner(&self) -> bool {
        is_by_tuner(&self.tool)
    }

    /// As of a record.
    pub fn is_withdrawal(&self) -> bool {
        is_withdrawal(&self.tool, &self.id)
    }
}

fn is_by_tuner(tool: &str) -> bool {
    !tool.starts_with(OWN_TOOLS)
}

fn is_withdrawal(tool: &str, id: &str) -> bool {
    tool == WITHDRAW && id.starts_with(WITHDRAWN_FROM_A_VERSION)
}

/// The names of updates that no Tuner made start with this.
pub const OWN_TOOLS: &str = "agent/";
pub const SET: &str = "agent/set";
pub const CAS: &str = "agent/cas";
/// The tool of a record in the place of a withdrawn signal: only the digest of the content is kept.
pub const WITHDRAW: &str = "agent/withdraw";

/// The prefix of the digest of a withdrawn signal's id.
const WITHDRAWN: &str = "withdrawn:";
/// The prefix for a signal that is part of a version.
const WITHDRAWN_FROM_A_VERSION: &str = "withdrawal:";

/// The id of the record in the place of a withdrawn signal.
pub fn withdrawn_id(id: &str) -> String {
    format!("{WITHDRAWN}{}", object_id::digest(id.as_bytes()))
}

/// The id of the record that withdraws a signal of a version, whose own record stays.
pub fn withdrawal_id(id: &str) -> String {
    format!("{WITHDRAWN_FROM_A_VERSION}{}", object_id::digest(id.as_bytes()))
}

/// The digest in the first of these, in hexadecimal digits.
pub fn digest_of_withdrawn(id: &str) -> Option<&str> {
    id.strip_prefix(WITHDRAWN)?.strip_prefix("sha256:").filter(|digest| digest.len() == 64)
}

/// An update that is to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub id: String,
    pub tool: String,
    pub arguments: Value,
    pub conversation: Option<Conversation>,
    pub trace: Option<String>,
    pub at: String,
    pub tags: Vec<String>,
    pub effects: Option<Effects>,
    pub touched: Option<Vec<String>>,
    pub summary: Option<Value>,
    /// The state after; `None` when the update changed nothing.
    pub state: Option<Value>,
}

/// A Journal that was sealed before this one began, and the version that it became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedAs {
    /// The digest of its bytes, as the version's commit names it.
    pub journal: String,
    pub version: Version,
    pub commit: ObjectId,
}

/// The number of newest sealed Journals listed: more versions than a clone can lose in one race for
/// `active`.
const SEALED_KEPT: usize = 64;

#[derive(Serialize, Deserialize)]
struct HeaderLine {
    schema: String,
    base: Base,
    /// The seq of the first record that follows.
    first: u64,
    /// The Journals this clone sealed, oldest first: if their version is superseded on `active`,
    /// its updates are restored from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sealed: Vec<SealedAs>,
    state: Value,
}

#[derive(Serialize, Deserialize)]
struct CommitLine {
    commit: Commit,
}

#[derive(Serialize, Deserialize)]
struct Commit {
    /// The seq of the group's last record.
    seq: u64,
    /// The number of bytes of record lines before this line: the start of the group is computed
    /// from its end.
    bytes: usize,
    after: ObjectId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<Value>,
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
    unfolded: usize,
}

/// A group ready to be written at `Fold::end`, and what the fold becomes once it is.
#[derive(Debug)]
pub struct Group {
    pub bytes: Vec<u8>,
    pub records: Vec<Folded>,
    after: Fold,
}

/// The first line of a clone's first Journal.
pub fn header(base: &Base, first: u64, state: &Value) -> Vec<u8> {
    header_after(base, first, state, &[])
}

/// A new Journal's first line, after those that were sealed.
pub fn header_after(base: &Base, first: u64, state: &Value, sealed: &[SealedAs]) -> Vec<u8> {
    let sealed = sealed[sealed.len().saturating_sub(SEALED_KEPT)..].to_vec();
    let line = HeaderLine {
        schema: SCHEMA.to_owned(),
        base: base.clone(),
        first,
        sealed,
        state: canonical::normal(state),
    };
    let mut block = Vec::new();
    push_closing_line(&mut block, &line);
    block
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

/// A complete group: its record lines, its commit line, its length in bytes.
struct RawGroup<'a> {
    records: &'a [u8],
    commit: Commit,
    length: usize,
}

impl<'a> RawGroup<'a> {
    /// The group `bytes` starts with; `None` unless it is complete.
    fn next(bytes: &'a [u8]) -> Option<Self> {
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
    fn closing(bytes: &'a [u8], start: usize) -> Option<Self> {
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

/// Every record of a Journal in order, each with the state after it.
pub fn walk(bytes: &[u8], mut visit: impl FnMut(&Record, &Value)) -> Result<Fold, JournalError> {
    let mut fold = Fold::begin(bytes)?;
    let mut state = fold.state.clone();
    let mut rest = &bytes[usize::try_from(fold.end).unwrap_or(usize::MAX)..];
    while let Some(group) = RawGroup::next(rest) {
        let damaged = |what: String| JournalError::Damaged { offset: fold.end, what };
        for line in lines(group.records) {
            let record: Record =
                serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
            record.apply(&mut state).map_err(|error| damaged(error.to_string()))?;
            visit(&record, &state);
        }
        fold.extend(&rest[..group.length])?;
        rest = &rest[group.length..];
    }
    if holds_a_group(rest) {
        return Err(JournalError::Damaged {
            offset: fold.end,
            what: "a group with a wrong checksum, and whole ones after it".to_owned(),
        });
    }
    Ok(fold)
}

/// The headings of a Journal that is known to be whole, in order, and the records of those that are
/// taken.
pub fn scan(
    bytes: &[u8],
    mut takes: impl FnMut(Heading) -> bool,
) -> Result<Vec<Record>, JournalError> {
    let header = usize::try_from(Fold::begin(bytes)?.end).unwrap_or(usize::MAX);
    let mut rest = &bytes[header..];
    let mut records = Vec::new();
    while let Some(group) = RawGroup::next(rest) {
        let damaged = |error: serde_json::Error| JournalError::Damaged {
            offset: (bytes.len() - rest.len()) as u64,
            what: error.to_string(),
        };
        for line in lines(group.records) {
            if takes(serde_json::from_slice(line).map_err(damaged)?) {
                records.push(serde_json::from_slice(line).map_err(damaged)?);
            }
        }
        rest = &rest[group.length..];
    }
    Ok(records)
}

/// Every record of a Journal, in order.
pub fn records(bytes: &[u8]) -> Result<Vec<Record>, JournalError> {
    let mut all = Vec::new();
    walk(bytes, |record, _| all.push(record.clone()))?;
    Ok(all)
}

/// The ids of a Journal's signals, in order: what is to be known of one to count each signal once.
pub fn ids(bytes: &[u8]) -> Result<Vec<String>, JournalError> {
    let mut fold = Fold::begin(bytes)?;
    let header = usize::try_from(fold.end).unwrap_or(usize::MAX);
    let (folded, _) = fold.extend(&bytes[header..])?;
    Ok(folded.into_iter().map(|record| record.id).collect())
}

/// A Journal up to and with the record `seq`: what is sealed when that state becomes active. `None`
/// when no group ends there.
pub fn sealed(bytes: &[u8], seq: u64) -> Result<Option<&[u8]>, JournalError> {
    let fold = Fold::begin(bytes)?;
    let mut end = usize::try_from(fold.end).unwrap_or(usize::MAX);
    if fold.first == seq + 1 {
        return Ok(Some(&bytes[..end]));
    }
    while let Some(group) = RawGroup::next(&bytes[end..]) {
        end += group.length;
        if group.commit.seq == seq {
            return Ok(Some(&bytes[..end]));
        }
    }
    Ok(None)
}

/// The fold of the header and the groups before the one with the record `seq`, of a Journal that is
/// known to be whole: from the last full state there on.
fn fold_before(bytes: &[u8], seq: u64) -> Result<Fold, JournalError> {
    let mut fold = Fold::begin(bytes)?;
    let mut end = usize::try_from(fold.end).unwrap_or(usize::MAX);
    while let Some(group) = RawGroup::next(&bytes[end..]).filter(|group| group.commit.seq < seq) {
        end += group.length;
        if let Some(state) = group.commit.state {
            (fold.state, fold.revision) = (state, group.commit.after);
            (fold.next, fold.end) = (group.commit.seq + 1, end as u64);
        }
    }
    let folded = usize::try_from(fold.end).unwrap_or(usize::MAX);
    fold.extend(&bytes[folded..end])?;
    Ok(fold)
}

/// The records of a Journal that is known to be whole whose lines have this text, and that are
/// taken.
pub fn find(
    bytes: &[u8],
    text: &str,
    takes: impl Fn(&Heading) -> bool,
) -> Result<Vec<Record>, JournalError> {
    let header = usize::try_from(Fold::begin(bytes)?.end).unwrap_or(usize::MAX);
    let mut records = Vec::new();
    let mut from = header;
    while let Some(at) = bytes.get(from..).and_then(|rest| memmem::find(rest, text.as_bytes())) {
        let start = memrchr(b'\n', &bytes[..from + at]).map_or(0, |before| before + 1);
        let line = first_line(&bytes[start..]).unwrap_or(&bytes[start..]);
        from = start + line.len();
        let damaged = |error: serde_json::Error| JournalError::Damaged {
            offset: start as u64,
            what: error.to_string(),
        };
        if !line.starts_with(COMMIT_START) && takes(&serde_json::from_slice(line).map_err(damaged)?)
        {
            records.push(serde_json::from_slice(line).map_err(damaged)?);
        }
    }
    Ok(records)
}

/// What a record with this id has in its line.
pub fn text_of_id(id: &str) -> String {
    format!("\"id\":{}", Value::from(id))
}

/// Whether a record may withdraw a signal of a version.
pub fn has_withdrawals(bytes: &[u8]) -> bool {
    let text = format!("\"id\":\"{WITHDRAWN_FROM_A_VERSION}");
    memmem::find(bytes, text.as_bytes()).is_some()
}

/// Finds the group end whose prefix has this digest: where an interrupted promotion had
/// sealed the Journal.
pub fn sealed_at(bytes: &[u8], digest: &str) -> Result<Option<u64>, JournalError> {
    let fold = Fold::begin(bytes)?;
    let mut end = usize::try_from(fold.end).unwrap_or(usize::MAX);
    while let Some(group) = RawGroup::next(&bytes[end..]) {
        end += group.length;
        if crate::formats::object_id::digest(&bytes[..end]) == digest {
            return Ok(Some(group.commit.seq));
        }
    }
    Ok(None)
}

fn is_padding(byte: u8) -> bool {
    matches!(byte, b'\n' | 0)
}

fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr(b'\n', bytes)?;
    Some(&bytes[..=end])
}

fn lines(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let line = first_line(bytes).unwrap_or(bytes);
        bytes = &bytes[line.len()..];
        (!line.is_empty()).then_some(line)
    })
}

fn push_line(block: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *block, line).expect("a record serialises");
    block.push(b'\n');
}

/// Adds the line that closes a block: its last key is the checksum of everything before it.
fn push_closing_line(block: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *block, line).expect("a commit line serialises");
    block.pop();
    let checksum = crc32fast::hash(block);
    block.extend_from_slice(CHECKSUM_KEY);
    block.extend_from_slice(format!("{checksum:08x}\"}}\n").as_bytes());
}

/// Whether a block that ends with a line from `last` on has the checksum it states.
fn is_closed(block: &[u8], last: usize) -> bool {
    let Some(start) = block.len().checked_sub(CHECKSUM_LENGTH).filter(|start| *start > last) else {
        return false;
    };
    let (covered, closing) = block.split_at(start);
    closing.starts_with(CHECKSUM_KEY)
        && closing[CHECKSUM_KEY.len()..]
            == *format!("{:08x}\"}}\n", crc32fast::hash(covered)).as_bytes()
}

/// Why a first line is not a header; a separate error for the header of a newer format.
fn unknown_schema(line: &[u8]) -> Result<String, JournalError> {
    match serde_json::from_slice::<Value>(line) {
        Err(error) => Ok(error.to_string()),
        Ok(header) => match header["schema"].as_str() {
            Some(schema) if schema != SCHEMA => Err(JournalError::Unknown(schema.to_owned())),
            _ => Ok("its checksum is wrong".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn base() -> Base {
        let id = ObjectId::of_blob(b"any");
        Base { version: Version::new(0, 1, 0), commit: id.clone(), revision: id }
    }

    fn draft(id: &str, state: Option<Value>) -> Draft {
        Draft {
            id: id.to_owned(),
            tool: "reward".to_owned(),
            arguments: json!({"value": 1.5}),
            conversation: None,
            trace: None,
            at: "2026-11-22T12:00:00.000Z".to_owned(),
            tags: Vec::new(),
            effects: None,
            touched: None,
            summary: None,
            state,
        }
    }

    /// A Journal of these groups of states, and where each group ends.
    fn journal(start: &Value, groups: &[Vec<Value>]) -> (Vec<u8>, Vec<(usize, Value)>) {
        let mut bytes = header(&base(), 1, start);
        let mut fold = Fold::begin(&bytes).unwrap();
        let mut ends = vec![(bytes.len(), fold.state.clone())];
        for states in groups {
            let drafts = states.iter().map(|state| draft("s", Some(state.clone()))).collect();
            let group = fold.compose(drafts);
            bytes.extend(&group.bytes);
            fold.accept(group);
            ends.push((bytes.len(), fold.state.clone()));
        }
        (bytes, ends)
    }

    fn fold(bytes: &[u8]) -> Result<(Fold, Tail), JournalError> {
        let mut fold = Fold::begin(bytes)?;
        let (_, tail) = fold.extend(&bytes[usize::try_from(fold.end).unwrap()..])?;
        Ok((fold, tail))
    }

    #[test]
    fn a_group_reads_as_json_lines() {
        let (bytes, _) = journal(
            &json!({"n": 0, "long enough for a change to be the shorter": true}),
            &[vec![json!({"n": 1, "long enough for a change to be the shorter": true})]],
        );
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"
        {"schema":"agent/journal@1","base":{"version":"0.1.0","commit":"124009d7b7878b04309093e268eb3bbf1e099a72","revision":"124009d7b7878b04309093e268eb3bbf1e099a72"},"first":1,"state":{"long enough for a change to be the shorter":true,"n":0},"crc":"2a0a03a9"}
        {"seq":1,"id":"s","tool":"reward","arguments":{"value":1.5},"before":"57389d6d45c6ff9e9066c51e8a94aa01949b1055","after":"fe5a420f974fef933146ae392694b91ae86ea24a","at":"2026-11-22T12:00:00.000Z","change":[{"op":"replace","path":"/n","value":1}]}
        {"commit":{"seq":1,"bytes":246,"after":"fe5a420f974fef933146ae392694b91ae86ea24a"},"crc":"ef0369eb"}
        "#);
    }

    #[test]
    fn the_records_come_back_as_they_were_written() {
        let (bytes, _) = journal(
            &json!({"n": 0}),
            &[vec![json!({"n": 1}), json!({"n": 1})], vec![json!({"n": 2})]],
        );
        let records = records(&bytes).unwrap();
        assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(records[1].before, records[1].after);
        assert!(records[1].change.is_none() && records[1].state.is_none());
        assert_eq!(records[2].after, canonical::revision(&json!({"n": 2})));
    }

    #[test]
    fn invalid_byte_is_damage_in_the_middle_and_a_torn_tail_at_the_end() {
        let (bytes, ends) = journal(
            &json!({"n": 0}),
            &[vec![json!({"n": 1})], vec![json!({"n": 2})], vec![json!({"n": 3})]],
        );
        let middle = ends[1].0 + 30;
        let mut damaged = bytes.clone();
        damaged[middle] ^= 1;
        let (known, tail) = fold(&damaged).unwrap();
        assert_eq!((known.end, tail), (ends[1].0 as u64, Tail::Torn));
        assert!(holds_a_group(&damaged[ends[1].0..]));
        assert!(matches!(walk(&damaged, |_, _| ()), Err(JournalError::Damaged { .. })));

        let mut torn = bytes;
        torn[ends[2].0 + 30] ^= 1;
        assert_eq!(fold(&torn).unwrap().0.state, json!({"n": 2}));
        assert!(!holds_a_group(&torn[ends[2].0..]));
    }

    #[test]
    fn newer_format_is_named() {
        let line = b"{\"schema\":\"agent/journal@9\",\"more\":1}\n";
        assert_eq!(Fold::begin(line), Err(JournalError::Unknown("agent/journal@9".to_owned())));
        for wrong in [&b""[..], b"{", b"rubbish\n", b"{\"schema\":\"agent/journal@1\"}\n"] {
            assert!(matches!(Fold::begin(wrong), Err(JournalError::Header(_))), "{wrong:?}");
        }
    }

    #[test]
    fn next_journal_lists_sealed_digests() {
        let commit = ObjectId::of_blob(b"c");
        let sealed = |patch: u64| SealedAs {
            journal: format!("sha256:{patch}"),
            version: Version::new(0, 1, patch),
            commit: commit.clone(),
        };
        let many: Vec<_> = (0..100).map(sealed).collect();
        let base = Base {
            version: Version::new(0, 1, 99),
            commit: commit.clone(),
            revision: commit.clone(),
        };
        let fold = Fold::begin(&header_after(&base, 1, &json!({}), &many)).unwrap();
        assert_eq!(fold.sealed, many[100 - SEALED_KEPT..]);
        assert!(
            !String::from_utf8(header(&base, 1, &json!({}))).unwrap().contains("sealed"),
            "the format is as it was where there are none"
        );
    }

    #[test]
    fn the_ids_of_a_journal_are_those_of_its_records() {
        let (bytes, _) = journal(
            &json!({"n": 0}),
            &[vec![json!({"n": 1}), json!({"n": 2})], vec![json!({"n": 3})]],
        );
        let records = records(&bytes).unwrap();
        assert_eq!(
            ids(&bytes).unwrap(),
            records.iter().map(|record| record.id.clone()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_sealed_prefix_is_found_again_by_its_digest() {
        let (bytes, ends) = journal(
            &json!({"n": 0}),
            &[vec![json!({"n": 1}), json!({"n": 2})], vec![json!({"n": 3})]],
        );
        assert_eq!(sealed(&bytes, 0).unwrap().unwrap().len(), ends[0].0);
        assert_eq!(sealed(&bytes, 1).unwrap(), None);
        let prefix = sealed(&bytes, 2).unwrap().unwrap();
        assert_eq!(prefix.len(), ends[1].0);
        assert_eq!(sealed_at(&bytes, &crate::formats::object_id::digest(prefix)).unwrap(), Some(2));
        assert_eq!(sealed_at(&bytes, "sha256:other").unwrap(), None);
    }

    fn any_state() -> impl Strategy<Value = Value> {
        prop::collection::vec(("[a-c~/]{0,3}", any_value()), 0..4)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9f64..1e9).prop_map(Value::from),
            "[a-z~/.\"\\n]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c~/]{0,3}", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Truncated anywhere, a Journal folds to the state after its last complete group and
        /// reports whether bytes remain.
        #[test]
        fn any_truncation_folds_to_the_last_whole_group(
            start in any_state(),
            groups in prop::collection::vec(prop::collection::vec(any_state(), 1..4), 0..6),
            cut in any::<prop::sample::Index>(),
            reserve in 0usize..40,
        ) {
            let (bytes, ends) = journal(&start, &groups);
            let header = ends[0].0;
            let cut = header + cut.index(bytes.len() - header + 1);
            // reserved space is newlines: a group that lacks only its last newline is complete
            let cut = if reserve > 0 && bytes.get(cut) == Some(&b'\n') { cut + 1 } else { cut };
            let (end, state) = ends.iter().rev().find(|(end, _)| *end <= cut).unwrap();
            let mut written = bytes[..cut].to_vec();
            written.resize(cut + reserve, b'\n');
            let (known, tail) = fold(&written).unwrap();
            prop_assert_eq!(&known.state, state);
            prop_assert_eq!(known.end, *end as u64);
            prop_assert_eq!(tail == Tail::Clean, cut == *end);
            prop_assert!(!holds_a_group(&written[*end..]));
        }

        /// An incremental fold equals the full fold, and the records rebuild the same bytes.
        #[test]
        fn incremental_fold_equals_the_full_fold(
            start in any_state(),
            groups in prop::collection::vec(prop::collection::vec(any_state(), 1..4), 1..6),
            split in any::<prop::sample::Index>(),
        ) {
            let (bytes, ends) = journal(&start, &groups);
            let at = ends[split.index(ends.len())].0;
            let mut in_two = fold(&bytes[..at]).unwrap().0;
            in_two.extend(&bytes[at..]).unwrap();
            prop_assert_eq!(&in_two, &fold(&bytes).unwrap().0);

            let mut states = Vec::new();
            walk(&bytes, |record, state| states.push((record.after.clone(),
                canonical::to_bytes(state)))).unwrap();
            for (after, state) in states {
                prop_assert_eq!(after, ObjectId::of_blob(&state));
            }
        }
    }
}
