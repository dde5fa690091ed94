//! Calls that servers answer while they are recorded: `agent mcp runner` writes them,
//! `agent adopt --record` reads them.
//!
//! The folder exists while calls are recorded, and the recorder holds its lock: the folder of a
//! killed command records nothing.

use super::fs::{self, Durability, FileLock, FsError};
use super::layout::Layout;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

const SCHEMA: &str = "agent/recorded-call@1";
const CALLS: &str = "calls.jsonl";
const LOCK: &str = "lock";
/// A call that is longer than this with its result becomes no case.
const MOST: usize = 1 << 20;

/// A finished call of a tool.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recorded {
    schema: String,
    pub tool: String,
    pub arguments: Box<RawValue>,
    pub result: Box<RawValue>,
}

impl Recorded {
    pub fn new(tool: &str, arguments: Box<RawValue>, result: Box<RawValue>) -> Self {
        Self { schema: SCHEMA.to_owned(), tool: tool.to_owned(), arguments, result }
    }
}

/// Calls are recorded until this is dropped.
#[derive(Debug)]
pub struct Recording {
    folder: PathBuf,
    /// How far the file of calls was read.
    read: u64,
    _lock: FileLock,
}

impl Recording {
    /// `None` where another command records.
    pub fn begin(layout: &Layout) -> Result<Option<Self>, FsError> {
        let folder = layout.recording();
        let Some(lock) = FileLock::try_acquire(&folder.join(LOCK))? else { return Ok(None) };
        fs::replace(&folder.join(CALLS), b"", Durability::Rebuildable)?;
        Ok(Some(Self { folder, read: 0, _lock: lock }))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The calls that finished since the last call of this.
    pub fn new_calls(&mut self) -> Result<Vec<Recorded>, FsError> {
        let path = self.folder.join(CALLS);
        let mut text = Vec::new();
        let mut file = std::fs::File::open(&path).map_err(FsError::while_doing("read", &path))?;
        let sought =
            file.seek(SeekFrom::Start(self.read)).and_then(|_| file.read_to_end(&mut text));
        sought.map_err(FsError::while_doing("read", &path))?;
        // a line that is still being written is read next time
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.read += whole as u64;
        let lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok(lines
            .filter_map(|line| serde_json::from_slice::<Recorded>(line).ok())
            .filter(|call| call.schema == SCHEMA)
            .collect())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = fs::remove_folder(&self.folder);
    }
}

/// Whether calls are recorded here. Evaluated per call, so it costs one file system access where
/// they are not.
pub fn is_under_way(layout: &Layout) -> bool {
    let folder = layout.recording();
    folder.join(CALLS).exists() && matches!(FileLock::try_acquire(&folder.join(LOCK)), Ok(None))
}

/// Keeps a finished call. Where it cannot be kept it becomes no case: the call itself is answered
/// all the same.
pub fn keep(layout: &Layout, tool: &str, arguments: Box<RawValue>, result: &RawValue) {
    let call = Recorded::new(tool, arguments, result.to_owned());
    let Ok(mut line) = serde_json::to_vec(&call) else { return };
    // a server may break its lines within a value
    line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    line.push(b'\n');
    if line.len() <= MOST {
        let _ = fs::append(&layout.recording().join(CALLS), &line, Durability::Rebuildable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn recorded_calls_are_drained_once() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        assert!(!is_under_way(&layout));
        let mut recording = Recording::begin(&layout).unwrap().unwrap();
        assert!(is_under_way(&layout) && Recording::begin(&layout).unwrap().is_none());
        keep(&layout, "a", raw("{\n}"), &raw("{\"content\": []}"));
        keep(&layout, "b", raw("{}"), &raw(&format!("\"{}\"", "x".repeat(MOST))));
        std::fs::write(folder.path().join("torn"), "").unwrap();
        let calls = recording.new_calls().unwrap();
        assert_eq!(
            calls.iter().map(|call| (call.tool.as_str(), call.result.get())).collect::<Vec<_>>(),
            [("a", "{\"content\": []}")]
        );
        assert!(recording.new_calls().unwrap().is_empty());
        // half a line is one later
        let calls = layout.recording().join(CALLS);
        let whole = std::fs::read(&calls).unwrap();
        fs::append(&calls, &whole[..10], Durability::Rebuildable).unwrap();
        assert!(recording.new_calls().unwrap().is_empty());
        fs::append(&calls, &whole[10..], Durability::Rebuildable).unwrap();
        assert_eq!(recording.new_calls().unwrap().len(), 1);
        drop(recording);
        assert!(!is_under_way(&layout) && !layout.recording().exists());
        // what a killed command left
        fs::write(&calls, b"").unwrap();
        assert!(!is_under_way(&layout));
    }
}
