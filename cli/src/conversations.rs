//! Conversations: what a Runner's session did and remembers, one file each, appended turn by turn.
//!
//! `.agent/conversations/{id}.jsonl`: a header that pins the version, then a line a turn. Times are RFC 3339 UTC.

use crate::world::clock;
use crate::world::fs::{self, FsError};
use crate::world::layout::Layout;
use agent_core::diagnose::{Diagnose, Exit};
use agent_core::object_id::ObjectId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::io::Write;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const SCHEMA: &str = "agent/conversation@1";
/// What a Runner may remember between turns, in bytes of JSON.
pub const DATA_LIMIT: usize = 256 * 1024;
/// How many of the last turns a Tuner is shown.
pub const TURNS_SHOWN: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum ConversationError {
    #[error("`{0}` is no conversation id: it has 1 to 128 letters, digits, `.`, `_` or `-`, and starts with none of `.` and `-`")]
    Id(String),
    #[error("{}:{line}: {problem}", path.display())]
    Damaged { path: PathBuf, line: usize, problem: String },
    #[error("conversation `{id}` would remember {bytes} bytes; the limit is {DATA_LIMIT}")]
    TooMuchData { id: String, bytes: usize },
    #[error(transparent)]
    File(#[from] FsError),
}

impl Diagnose for ConversationError {
    fn exit(&self) -> Exit {
        match self {
            Self::Id(_) => Exit::Usage,
            Self::Damaged { .. } => Exit::Input,
            Self::TooMuchData { .. } => Exit::Child,
            Self::File(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { path, .. } => Some(format!("move {} away to start that conversation anew", path.display())),
            Self::TooMuchData { .. } => Some("the Runner keeps too much in `conversation().data`".to_owned()),
            Self::Id(_) | Self::File(_) => None,
        }
    }
}

/// What is served to a conversation for its whole life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub schema: String,
    pub id: String,
    pub version: Option<String>,
    pub commit: Option<ObjectId>,
    pub revision: ObjectId,
    pub opened: String,
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
    /// What the Runner remembers from here on.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    pub version: Option<String>,
    pub revision: ObjectId,
    pub at: String,
    pub duration_ms: f64,
    /// The span the call was, as W3C trace context: what is said of this turn later joins its trace.
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

/// What the next turn has to know of those before it: the header and the last one.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    pub header: Header,
    pub last: Option<Turn>,
}

impl Latest {
    /// What the Runner remembers so far.
    pub fn data(&self) -> Map<String, Value> {
        self.last.as_ref().map(|turn| turn.data.clone()).unwrap_or_default()
    }

    /// The number of the turn that comes next, from 1.
    pub fn next_turn(&self) -> u64 {
        self.last.as_ref().map_or(1, |turn| turn.turn + 1)
    }

    /// When something was last said in it.
    pub fn at(&self) -> &str {
        self.last.as_ref().map_or(&self.header.opened, |turn| &turn.at)
    }

    fn is_over(&self, limit: Duration) -> bool {
        let silent = self.at().parse::<Timestamp>().ok().map(|at| clock::now().duration_since(at));
        silent.is_some_and(|silent| silent.as_secs_f64() > limit.as_secs_f64())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    pub header: Header,
    pub turns: Vec<Turn>,
}

impl Conversation {
    /// The last turns as a Tuner is shown them: what was asked, what was noted, and what served it.
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

/// Its two ends, in a time that does not grow with it. One that was silent for longer than the limit is over, and forgotten here.
pub fn latest(layout: &Layout, id: &str, limit: Duration) -> Result<Option<Latest>, ConversationError> {
    let path = path(layout, id)?;
    let Some((first, last)) = fs::first_and_last_line(&path)? else { return Ok(None) };
    let damaged = |error: serde_json::Error| ConversationError::Damaged { path: path.clone(), line: 1, problem: error.to_string() };
    let header: Header = serde_json::from_str(&first).map_err(damaged)?;
    let last = last.map(|line| serde_json::from_str(&line)).transpose().map_err(|error| ConversationError::Damaged {
        path: path.clone(),
        line: std::fs::read_to_string(&path).map_or(0, |text| text.lines().count()),
        problem: error.to_string(),
    })?;
    let latest = Latest { header, last };
    if latest.is_over(limit) {
        forget(layout, id)?;
        return Ok(None);
    }
    Ok(Some(latest))
}

/// Takes a conversation away, with what was said of it.
fn forget(layout: &Layout, id: &str) -> Result<(), ConversationError> {
    for path in [path(layout, id)?, rewards_path(layout, id)?] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(FsError::while_doing("remove", &path)(error).into()),
            _ => {}
        }
    }
    Ok(())
}

/// The ids of all that are kept, the one with the newest turn first.
pub fn ids(layout: &Layout) -> Result<Vec<String>, ConversationError> {
    let folder = layout.conversations();
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(FsError::while_doing("list", &folder))?,
    };
    let named = entries.flatten().filter_map(|entry| {
        let id = entry.file_name().to_str()?.strip_suffix(".jsonl")?.to_owned();
        Some((entry.metadata().ok()?.modified().ok()?, id))
    });
    let mut named: Vec<_> = named.collect();
    named.sort_unstable_by(|one, other| other.cmp(one));
    Ok(named.into_iter().map(|(_, id)| id).collect())
}

/// Notes that staging took a signal of a conversation; the Journal is where it counts, this is where the conversation is looked at.
pub fn note_reward(layout: &Layout, id: &str, reward: &Reward) -> Result<(), ConversationError> {
    let path = rewards_path(layout, id)?;
    fs::create_dir(path.parent().expect("it is in a folder"))?;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).map_err(FsError::while_doing("open", &path))?;
    let line = serde_json::to_string(reward).expect("a reward serialises") + "\n";
    file.write_all(line.as_bytes()).map_err(FsError::while_doing("write", &path))?;
    Ok(())
}

/// What was said of a conversation, oldest first.
pub fn rewards(layout: &Layout, id: &str) -> Result<Vec<Reward>, ConversationError> {
    let bytes = fs::read_if_there(&rewards_path(layout, id)?)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
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
    let damaged = |line: usize, error: serde_json::Error| ConversationError::Damaged {
        path: path.to_owned(),
        line: line + 1,
        problem: error.to_string(),
    };
    let header = serde_json::from_str(first).map_err(|error| damaged(0, error))?;
    let turns = lines.map(|(number, line)| serde_json::from_str(line).map_err(|error| damaged(number, error))).collect::<Result<_, _>>()?;
    Ok(Some(Conversation { header, turns }))
}

/// Appends a turn; the header is written with the first one. Two processes in one conversation take turns under a lock.
pub fn append(layout: &Layout, header: &Header, turn: &Turn) -> Result<(), ConversationError> {
    let bytes = serde_json::to_vec(&turn.data).map_or(0, |data| data.len());
    if bytes > DATA_LIMIT {
        return Err(ConversationError::TooMuchData { id: header.id.clone(), bytes });
    }
    let path = path(layout, &header.id)?;
    fs::create_dir(&layout.conversations())?;
    let _lock = fs::FileLock::acquire(&layout.conversations().join("lock"))?;
    let mut file =
        std::fs::OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(FsError::while_doing("open", &path))?;
    drop_torn_line(&path, &file)?;
    let mut lines = String::new();
    if file.metadata().map_err(FsError::while_doing("read", &path))?.len() == 0 {
        lines.push_str(&serde_json::to_string(header).expect("a header serialises"));
        lines.push('\n');
    }
    lines.push_str(&serde_json::to_string(turn).expect("a turn serialises"));
    lines.push('\n');
    file.write_all(lines.as_bytes()).map_err(FsError::while_doing("write", &path))?;
    Ok(())
}

/// What a killed writer left after the last newline goes before anything is appended to it.
fn drop_torn_line(path: &Path, file: &std::fs::File) -> Result<(), ConversationError> {
    let length = file.metadata().map_err(FsError::while_doing("read", path))?.len();
    let mut last = [0];
    let whole = length == 0 || (file.read_exact_at(&mut last, length - 1).is_ok() && last == *b"\n");
    if !whole {
        let bytes = std::fs::read(path).map_err(FsError::while_doing("read", path))?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(end as u64).map_err(FsError::while_doing("mend", path))?;
    }
    Ok(())
}

fn rewards_path(layout: &Layout, id: &str) -> Result<PathBuf, ConversationError> {
    let path = path(layout, id)?;
    Ok(layout.conversations().join("rewards").join(path.file_name().expect("it has a name")))
}

fn path(layout: &Layout, id: &str) -> Result<PathBuf, ConversationError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let valid = (1..=128).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with(['.', '-']);
    if !valid {
        return Err(ConversationError::Id(id.to_owned()));
    }
    Ok(layout.conversations().join(format!("{id}.jsonl")))
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

    #[test]
    fn turns_are_kept_and_a_torn_one_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        assert_eq!(load(&layout, "c1").unwrap(), None);
        append(&layout, &header(), &turn(1)).unwrap();
        let file = layout.conversations().join("c1.jsonl");
        let mut torn = std::fs::read(&file).unwrap();
        torn.extend_from_slice(b"{\"turn\":2,\"too");
        std::fs::write(&file, torn).unwrap();
        assert_eq!(load(&layout, "c1").unwrap().unwrap().turns.len(), 1);
        append(&layout, &header(), &turn(2)).unwrap();
        let conversation = load(&layout, "c1").unwrap().unwrap();
        assert_eq!(conversation.turns, [turn(1), turn(2)]);
        let year = Duration::from_secs(365 * 86_400);
        let latest = latest(&layout, "c1", year * 100).unwrap().unwrap();
        assert_eq!((&latest.header, latest.last.as_ref()), (&header(), Some(&turn(2))));
        assert_eq!((latest.data(), latest.next_turn()), (turn(2).data, 3));
    }

    #[test]
    fn one_that_was_silent_too_long_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        append(&layout, &header(), &turn(1)).unwrap();
        let reward = Reward { signal: "s".to_owned(), tool: "reward".to_owned(), arguments: json!({"value": 1}), at: header().opened };
        note_reward(&layout, "c1", &reward).unwrap();
        assert_eq!((ids(&layout).unwrap(), rewards(&layout, "c1").unwrap()), (vec!["c1".to_owned()], vec![reward]));
        assert_eq!(latest(&layout, "c1", Duration::from_millis(1)).unwrap(), None);
        assert_eq!((ids(&layout).unwrap(), rewards(&layout, "c1").unwrap()), (vec![], vec![]));
    }

    #[test]
    fn ids_that_would_leave_the_folder_are_refused() {
        let layout = Layout::new("/nowhere");
        for id in ["", "../x", ".hidden", "a/b", "-x", &"a".repeat(129)] {
            assert!(matches!(load(&layout, id), Err(ConversationError::Id(_))), "{id}");
        }
    }
}
