//! The event log of a run: lines of JSON in `events.jsonl` of the run's folder, each on disk before
//! the next step begins. Other processes may read it, during the run and after it.

use crate::error::Failure;
use crate::world::clock;
use crate::world::fs::{self, Durability};
use agent_core::architect::run::Run;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub const SCHEMA: &str = "agent/run-event@1";
const FILE: &str = "events.jsonl";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Began,
    /// The run entered the phase that `status` names.
    Moved,
    /// A message for the user.
    #[serde(rename = "said")]
    Message,
    /// The last event; the result of the run is in its report and in the inbox.
    Ended,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Moved => "moved",
            Self::Message => "said",
            Self::Ended => "ended",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEvent {
    pub schema: String,
    pub run: String,
    /// From 1, without a gap.
    pub number: u64,
    /// RFC 3339, UTC.
    pub at: String,
    pub kind: Kind,
    /// As in the run's report.
    pub status: String,
    pub attempt: u32,
    pub text: String,
}

/// The event log of one run; the process of the run appends to it.
#[derive(Debug)]
pub struct Log {
    file: PathBuf,
    run: String,
    last: u64,
}

impl Log {
    pub fn open(folder: &Path, run: &str) -> Result<Self, Failure> {
        let last = read(folder, 0)?.last().map_or(0, |event| event.number);
        Ok(Self { file: folder.join(FILE), run: run.to_owned(), last })
    }

    pub fn append(&mut self, kind: Kind, progress: &Run, text: &str) -> Result<(), Failure> {
        self.last += 1;
        let event = RunEvent {
            schema: SCHEMA.to_owned(),
            run: self.run.clone(),
            number: self.last,
            at: clock::rfc3339(clock::now()),
            kind,
            status: progress.phase.as_str().to_owned(),
            attempt: progress.attempt,
            text: text.to_owned(),
        };
        let line = serde_json::to_string(&event).expect("an event is JSON");
        // the first append ends a line torn by a kill; readers skip it
        Ok(fs::append(&self.file, format!("\n{line}\n").as_bytes(), Durability::Durable)?)
    }
}

/// The events after the one of this number, up to the last complete one.
pub fn read(folder: &Path, after: u64) -> Result<Vec<RunEvent>, Failure> {
    let bytes = fs::read_if_there(&folder.join(FILE))?.unwrap_or_default();
    let whole = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let events = whole.filter_map(|line| serde_json::from_slice::<RunEvent>(line).ok());
    Ok(events.filter(|event| event.schema == SCHEMA && event.number > after).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::architect::run::Limits;
    use agent_core::formats::manifest::Tier;

    #[test]
    fn torn_line_is_skipped_and_sequence_continues() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::new(Limits { attempts: 1, release_tier: Tier::Full });
        assert_eq!(read(folder.path(), 0).unwrap(), []);
        Log::open(folder.path(), "r-1").unwrap().append(Kind::Began, &run, "a\nb").unwrap();
        fs::append(&folder.path().join(FILE), b"{\"schema\":\"agent/run-ev", Durability::Durable)
            .unwrap();
        assert_eq!(read(folder.path(), 0).unwrap().len(), 1);
        Log::open(folder.path(), "r-1").unwrap().append(Kind::Ended, &run, "done").unwrap();
        let events = read(folder.path(), 0).unwrap();
        assert_eq!(
            events.iter().map(|event| (event.number, event.kind)).collect::<Vec<_>>(),
            [(1, Kind::Began), (2, Kind::Ended)]
        );
        assert_eq!((events[0].text.as_str(), events[0].status.as_str()), ("a\nb", "queued"));
        assert_eq!(read(folder.path(), 1).unwrap(), events[1..]);
    }
}
