//! Conversations: what a Runner's session did and remembers, one file each, appended turn by turn.
//!
//! `.agent/conversations/{id}.jsonl`: a header that pins the version, then a line a turn. Times are
//! RFC 3339 UTC, for information: no reader expires a conversation by them. Calls go through
//! `held`; `ending` is used by garbage collection.

mod ending;
mod held;

pub use ending::{IdleTimes, files};
pub use held::LockedConversation;

use crate::world::fs::{self, FsError};
use crate::world::layout::Layout;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::object_id::{ObjectId, short_digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const SCHEMA: &str = "agent/conversation@1";
/// The limit of the data that a Runner keeps between turns, in bytes of JSON.
pub const DATA_LIMIT: usize = 256 * 1024;
/// How many of the last turns a Tuner is shown.
pub const TURNS_SHOWN: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum ConversationError {
    #[error(
        "`{0}` is not a conversation id: it has 1 to 128 letters, digits, `.`, `_` or `-`, and \
        starts with none of `.` and `-`"
    )]
    Id(String),
    #[error("{}:{line}: {problem}", path.display())]
    Damaged { path: PathBuf, line: usize, problem: String },
    #[error("conversation `{id}` would remember {bytes} bytes; the limit is {DATA_LIMIT}")]
    TooMuchData { id: String, bytes: usize },
    #[error("conversation `{id}` is busy: turn {turn} has been in flight for {} s in another call; \
        this one was not made", limit.as_secs())]
    Busy { id: String, turn: u64, limit: Duration },
    #[error(
        "turn {turn} of conversation `{id}` was written by something else during the call; its \
        answer is not kept"
    )]
    Conflict { id: String, turn: u64 },
    #[error(transparent)]
    File(#[from] FsError),
}

impl Diagnose for ConversationError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Id(_) => FailureKind::Usage,
            Self::Damaged { .. } => FailureKind::Input,
            Self::TooMuchData { .. } => FailureKind::Child,
            Self::Busy { .. } | Self::Conflict { .. } => FailureKind::Conflict,
            Self::File(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { path, .. } => {
                Some(format!("move {} away to start that conversation again", path.display()))
            }
            Self::TooMuchData { .. } => {
                Some("the Runner keeps too much in `conversation().data`".to_owned())
            }
            Self::Busy { .. } => {
                Some("call again once it is answered, or in another conversation".to_owned())
            }
            Self::Conflict { .. } => {
                Some("call again; only `agent` may write the file of a conversation".to_owned())
            }
            Self::Id(_) | Self::File(_) => None,
        }
    }
}

/// The version a conversation is pinned to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub schema: String,
    pub id: String,
    pub version: Option<String>,
    pub commit: Option<ObjectId>,
    pub revision: ObjectId,
    pub opened: String,
    /// The canary during which it began, of whose comparison it is part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    pub turn: u64,
    pub tool: String,
    pub arguments: Value,
    #[serde(default)]
    pub is_error: bool,
    /// What the Runner noted for the Tuner.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
    /// The Runner's data after this turn.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    pub version: Option<String>,
    pub revision: ObjectId,
    pub at: String,
    pub duration_ms: f64,
    /// The span the call was, as W3C trace context: later feedback on this turn joins its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// A signal that staging took, of this conversation: a reward, as a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reward {
    pub signal: String,
    pub tool: String,
    pub arguments: Value,
    pub at: String,
}

/// The data of earlier turns that the next turn needs: the header and the last one.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    pub header: Header,
    pub last: Option<Turn>,
}

impl Latest {
    /// The Runner's data so far.
    pub fn data(&self) -> Map<String, Value> {
        self.last.as_ref().map(|turn| turn.data.clone()).unwrap_or_default()
    }

    /// The number of the next turn, from 1.
    pub fn next_turn(&self) -> u64 {
        self.last.as_ref().map_or(1, |turn| turn.turn + 1)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    pub header: Header,
    pub turns: Vec<Turn>,
}

impl Conversation {
    /// The last turns as passed to a Tuner: the call, the notes, and the version that served it.
    pub fn for_tuner(&self) -> Vec<Value> {
        let skipped = self.turns.len().saturating_sub(TURNS_SHOWN);
        self.turns[skipped..]
            .iter()
            .map(|turn| {
                serde_json::json!({
                    "tool": turn.tool, "arguments": turn.arguments, "facts": turn.facts,
                    "version": turn.version, "revision": turn.revision,
                })
            })
            .collect()
    }
}

/// The conversation as kept; `None` before its first turn.
pub fn load(layout: &Layout, id: &str) -> Result<Option<Conversation>, ConversationError> {
    let path = path(layout, id)?;
    let Some(bytes) = fs::read_if_there(&path)? else {
        return Ok(None);
    };
    parse(&path, &String::from_utf8_lossy(&bytes))
}

/// Its two ends, in a time that does not grow with it; `None` before its first turn.
pub fn latest(layout: &Layout, id: &str) -> Result<Option<Latest>, ConversationError> {
    let path = path(layout, id)?;
    match std::fs::File::open(&path) {
        Ok(file) => latest_in(&file, &path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FsError::while_doing("read", &path)(error).into()),
    }
}

fn latest_in(file: &std::fs::File, path: &Path) -> Result<Option<Latest>, ConversationError> {
    let ends = fs::first_and_last_line(file).map_err(FsError::while_doing("read", path))?;
    let Some((first, last)) = ends else { return Ok(None) };
    let header: Header = serde_json::from_str(&first).map_err(|error| damaged(path, 1, &error))?;
    let line = || std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
    let last = last
        .map(|last| serde_json::from_str(&last))
        .transpose()
        .map_err(|error| damaged(path, line(), &error))?;
    Ok(Some(Latest { header, last }))
}

fn damaged(path: &Path, line: usize, error: &serde_json::Error) -> ConversationError {
    ConversationError::Damaged { path: path.to_owned(), line, problem: error.to_string() }
}

/// The ids of all that are kept, the one with the newest turn first.
pub fn ids(layout: &Layout) -> Result<Vec<String>, ConversationError> {
    let mut entries = Vec::new();
    for folder in layout.conversation_folders() {
        match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            found => {
                entries.extend(found.map_err(FsError::while_doing("list", &folder))?.flatten());
            }
        }
    }
    let named = entries.into_iter().filter_map(|entry| {
        let id = entry.file_name().to_str()?.strip_suffix(".jsonl")?.to_owned();
        // one whose first call is in flight has no turn yet
        let file = entry.metadata().ok().filter(|file| file.len() > 0)?;
        Some((file.modified().ok()?, id))
    });
    let mut named: Vec<_> = named.collect();
    named.sort_unstable_by(|one, other| other.cmp(one));
    let mut seen = HashSet::new();
    named.retain(|(_, id)| seen.insert(id.clone()));
    Ok(named.into_iter().map(|(_, id)| id).collect())
}

/// Records that staging accepted a signal of a conversation. The Journal is authoritative; this
/// copy is for display of the conversation.
pub fn note_reward(layout: &Layout, id: &str, reward: &Reward) -> Result<(), ConversationError> {
    let path = layout.to_write(rewards_path(layout, id)?)?;
    let lock = fs::FileLock::acquire(&path)?;
    let line = serde_json::to_string(reward).expect("a reward serialises") + "\n";
    Ok(fs::append_lines(lock.to_write()?, &line).map_err(FsError::while_doing("write", &path))?)
}

/// Removes the copy of a withdrawn signal. Its line is overwritten with spaces, which is
/// whole at every moment: no other line moves.
pub fn forget_reward(layout: &Layout, id: &str, signal: &str) -> Result<(), ConversationError> {
    let path = layout.to_write(rewards_path(layout, id)?)?;
    let lock = fs::FileLock::acquire(&path)?;
    let bytes = fs::read_if_there(&path)?.unwrap_or_default();
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if serde_json::from_slice::<Reward>(line).is_ok_and(|reward| reward.signal == signal) {
            let blank = vec![b' '; line.trim_ascii_end().len()];
            let file = lock.to_write()?;
            std::os::unix::fs::FileExt::write_all_at(file, &blank, at)
                .and_then(|()| file.sync_data())
                .map_err(FsError::while_doing("write", &path))?;
        }
        at += line.len() as u64;
    }
    Ok(())
}

/// The feedback on a conversation, oldest first.
pub fn rewards(layout: &Layout, id: &str) -> Result<Vec<Reward>, ConversationError> {
    let bytes = fs::read_if_there(&rewards_path(layout, id)?)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

fn parse(path: &Path, text: &str) -> Result<Option<Conversation>, ConversationError> {
    // a line without its newline was never acknowledged
    let Some((whole, _torn)) = text.rsplit_once('\n') else {
        return Ok(None);
    };
    let mut lines = whole.lines().enumerate();
    let Some((_, first)) = lines.next() else {
        return Ok(None);
    };
    let header = serde_json::from_str(first).map_err(|error| damaged(path, 1, &error))?;
    let turns = lines.map(|(number, line)| {
        serde_json::from_str(line).map_err(|error| damaged(path, number + 1, &error))
    });
    let turns = turns.collect::<Result<_, _>>()?;
    Ok(Some(Conversation { header, turns }))
}

fn rewards_path(layout: &Layout, id: &str) -> Result<PathBuf, ConversationError> {
    let path = path(layout, id)?;
    Ok(layout.conversation(&Path::new("rewards").join(path.file_name().expect("it has a name"))))
}

/// The conversation id for a host's session name: the name itself, where it is a valid id.
pub fn id_of(name: &str) -> String {
    if is_id(name) { name.to_owned() } else { format!("h-{}", short_digest(name.as_bytes())) }
}

fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=128).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with(['.', '-'])
}

fn path(layout: &Layout, id: &str) -> Result<PathBuf, ConversationError> {
    if !is_id(id) {
        return Err(ConversationError::Id(id.to_owned()));
    }
    Ok(layout.conversation(format!("{id}.jsonl").as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn header() -> Header {
        Header {
            schema: SCHEMA.to_owned(),
            id: "c1".to_owned(),
            version: Some("0.1.0".to_owned()),
            commit: None,
            revision: ObjectId::of_blob(b"{}\n"),
            opened: "2026-11-22T00:00:00Z".to_owned(),
            canary: None,
        }
    }

    fn turn(number: u64) -> Turn {
        Turn {
            turn: number,
            tool: "ask".to_owned(),
            arguments: json!({"question": "why"}),
            is_error: false,
            facts: Map::from_iter([("strategy".to_owned(), json!("bm25"))]),
            data: Map::from_iter([("topic".to_owned(), json!(number))]),
            version: Some("0.1.0".to_owned()),
            revision: ObjectId::of_blob(b"{}\n"),
            at: "2026-11-22T00:00:01Z".to_owned(),
            duration_ms: 1.5,
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        }
    }

    fn keep(layout: &Layout, number: u64) {
        LockedConversation::try_take(layout, "c1")
            .unwrap()
            .expect("it is free")
            .keep(header(), turn(number))
            .unwrap();
    }

    #[test]
    fn turns_are_stored_and_a_torn_turn_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        assert_eq!(load(&layout, "c1").unwrap(), None);
        keep(&layout, 1);
        let file = layout.conversations().join("c1.jsonl");
        let mut torn = std::fs::read(&file).unwrap();
        torn.extend_from_slice(b"{\"turn\":2,\"too");
        std::fs::write(&file, torn).unwrap();
        assert_eq!(load(&layout, "c1").unwrap().unwrap().turns.len(), 1);
        keep(&layout, 2);
        let conversation = load(&layout, "c1").unwrap().unwrap();
        assert_eq!(conversation.turns, [turn(1), turn(2)]);
        let latest = latest(&layout, "c1").unwrap().unwrap();
        assert_eq!((&latest.header, latest.last.as_ref()), (&header(), Some(&turn(2))));
        assert_eq!((latest.data(), latest.next_turn()), (turn(2).data, 3));
    }

    #[test]
    fn conversation_is_locked_per_call() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let held = LockedConversation::try_take(&layout, "c1").unwrap().unwrap();
        assert!(LockedConversation::try_take(&layout, "c1").unwrap().is_none());
        assert!(ids(&layout).unwrap().is_empty(), "it has no turn yet");
        drop(held);
        assert!(
            !layout.conversations().join("c1.jsonl").exists(),
            "a call without a turn leaves none"
        );
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let layout = layout.clone();
                std::thread::spawn(move || {
                    for _ in 0..25 {
                        let limit = Duration::from_secs(60);
                        let held = crate::world::event_loop::block_on(LockedConversation::take(
                            &layout, "c1", limit,
                        ))
                        .unwrap();
                        let mut held = held.unwrap();
                        let next = held.latest().map_or(1, Latest::next_turn);
                        held.keep(header(), turn(next)).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        let turns = load(&layout, "c1").unwrap().unwrap().turns;
        assert_eq!(
            turns.iter().map(|turn| turn.turn).collect::<Vec<_>>(),
            (1..=100).collect::<Vec<_>>()
        );
    }

    #[test]
    fn conflict_and_busy_conversation_are_distinct_errors() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        keep(&layout, 1);
        let file = layout.conversations().join("c1.jsonl");
        let mut held = LockedConversation::try_take(&layout, "c1").unwrap().unwrap();
        let busy = crate::world::event_loop::block_on(LockedConversation::take(
            &layout,
            "c1",
            Duration::from_millis(20),
        ))
        .unwrap()
        .unwrap_err();
        assert!(
            matches!(&busy, ConversationError::Busy { turn: 2, .. })
                && busy.kind() == FailureKind::Conflict,
            "{busy}"
        );
        assert!(busy.to_string().contains("`c1`"), "{busy}");
        // a manual write that bypasses the lock
        let by_hand = std::fs::read_to_string(&file).unwrap()
            + &serde_json::to_string(&turn(2)).unwrap()
            + "\n";
        std::fs::write(&file, by_hand).unwrap();
        let lost = held.keep(header(), turn(2)).unwrap_err();
        assert!(
            matches!(&lost, ConversationError::Conflict { turn: 2, .. })
                && lost.kind() == FailureKind::Conflict,
            "{lost}"
        );
        assert_eq!(load(&layout, "c1").unwrap().unwrap().turns, [turn(1), turn(2)]);
        std::fs::rename(&file, folder.path().join("away")).unwrap();
        assert!(matches!(
            held.keep(header(), turn(3)).unwrap_err(),
            ConversationError::Conflict { turn: 3, .. }
        ));
        assert_eq!(load(&layout, "c1").unwrap(), None);
    }

    #[test]
    fn host_session_name_is_mapped_to_an_id() {
        let thread = "01a2b3c4-d5e6-7f80-9123-456789abcdef";
        assert_eq!(id_of(thread), thread);
        for name in ["../x", "a b", &"x".repeat(200)] {
            assert!(is_id(&id_of(name)), "{name}");
        }
        assert_ne!(id_of("a b"), id_of("a c"));
    }

    #[test]
    fn ids_that_would_leave_the_folder_are_refused() {
        let layout = Layout::new("/nowhere");
        for id in ["", "../x", ".hidden", "a/b", "-x", &"a".repeat(129)] {
            assert!(matches!(load(&layout, id), Err(ConversationError::Id(_))), "{id}");
        }
    }
}
