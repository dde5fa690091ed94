//! Telemetry on its way to the object store: files of this process in `.agent/telemetry/PROCESS/`,
//! a line at a time.
//!
//! A written line survives a kill. A process holds a lock while it runs; files of an exited process
//! are shipped by the next one.

use crate::world::clock;
use crate::world::fs::{self, FileLock, FsError};
use crate::world::layout::Layout;
use crate::world::store::{Store, StoreError};
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use jiff::civil::{Date, DateTime};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A file is shipped when it has this many bytes, or is this old.
const SHIP_AT_BYTES: u64 = 4 << 20;
const SHIP_AT_AGE: Duration = Duration::from_secs(60);
const LOCK: &str = "lock";
const EXTENSION: &str = ".jsonl";
/// Its location in the store: `telemetry/SIGNAL/YYYY/MM/DD/...`.
pub(super) const STORE_FOLDER: &str = "telemetry";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
    /// Arguments and results of calls, in lines of our own.
    Calls,
}

impl Signal {
    pub const ALL: [Self; 4] = [Self::Traces, Self::Metrics, Self::Logs, Self::Calls];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Calls => "calls",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Diagnose for SpoolError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Fs(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(error) => error.hint(),
            Self::Store(error) => error.hint(),
        }
    }
}

struct Open {
    signal: Signal,
    path: PathBuf,
    file: File,
    bytes: u64,
    began: Instant,
}

/// The files of this process.
pub(super) struct Spool {
    folder: PathBuf,
    _lock: FileLock,
    open: Vec<Open>,
    opened: usize,
}

impl Spool {
    pub(super) fn begin(layout: &Layout) -> Result<Self, FsError> {
        let all = layout.telemetry();
        // between its creation and its locking, a folder must not be mistaken for that of an exited
        // process
        let _guarded = FileLock::acquire(&all.join(LOCK))?;
        let folder = all.join(clock::fresh_id("p"));
        fs::create_dir(&folder)?;
        Ok(Self {
            _lock: FileLock::acquire(&folder.join(LOCK))?,
            folder,
            open: Vec::new(),
            opened: 0,
        })
    }

    /// One line, with its newline.
    pub(super) fn append(&mut self, signal: Signal, line: &[u8]) -> Result<(), FsError> {
        if !self.open.iter().any(|open| open.signal == signal) {
            self.open.push(self.create(signal)?);
            self.opened += 1;
        }
        let Some(open) = self.open.iter_mut().find(|open| open.signal == signal) else {
            return Ok(());
        };
        open.file.write_all(line).map_err(FsError::while_doing("write", &open.path))?;
        open.bytes += line.len() as u64;
        Ok(())
    }

    fn create(&self, signal: Signal) -> Result<Open, FsError> {
        let path = self.folder.join(file_name(signal, clock::now(), self.opened));
        // what users have sent is for the user alone that serves them
        let mode = if signal == Signal::Calls { 0o600 } else { 0o666 };
        let file = std::fs::OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(mode)
            .open(&path)
            .map_err(FsError::while_doing("create", &path))?;
        Ok(Open { signal, path, file, bytes: 0, began: Instant::now() })
    }

    /// When the oldest file is to be shipped.
    pub(super) fn due(&self) -> Option<Instant> {
        self.open.iter().map(|open| open.began + SHIP_AT_AGE).min()
    }

    /// Closes the files that are large or old enough, or all; returns whether there were any.
    pub(super) fn close(&mut self, all: bool) -> bool {
        let before = self.open.len();
        self.open.retain(|open| {
            !all && open.bytes < SHIP_AT_BYTES && open.began.elapsed() < SHIP_AT_AGE
        });
        self.open.len() < before
    }

    /// Ships what is closed.
    pub(super) fn ship(&self, store: &Store) -> Result<(), SpoolError> {
        ship_folder(&self.folder, store, |path| self.open.iter().any(|open| open.path == path))
    }

    /// At exit: removes an empty folder.
    pub(super) fn leave(&mut self) {
        if self.open.is_empty() && files(&self.folder).is_ok_and(|files| files.is_empty()) {
            // the next process removes it, so an error is ignored
            let _ = fs::remove_folder(&self.folder);
        }
    }
}

/// Ships what processes left that are no more.
pub(super) fn ship_left(layout: &Layout, store: &Store) -> Result<(), SpoolError> {
    let all = layout.telemetry();
    for folder in folders(&all)? {
        let Some(_lock) = claim(&all, &folder)? else { continue };
        ship_folder(&folder, store, |_| false)?;
        fs::remove_folder(&folder)?;
    }
    Ok(())
}

/// The lock of an exited process.
fn claim(all: &Path, folder: &Path) -> Result<Option<FileLock>, FsError> {
    let _guarded = FileLock::acquire(&all.join(LOCK))?;
    // another may have shipped and removed it a moment ago
    if folder.is_dir() { FileLock::try_acquire(&folder.join(LOCK)) } else { Ok(None) }
}

/// The folders of processes, oldest first as their names sort.
pub(super) fn folders(all: &Path) -> Result<Vec<PathBuf>, FsError> {
    Ok(fs::names(all)?.into_iter().filter(|name| name != LOCK).map(|name| all.join(name)).collect())
}

/// The files of a process, by name.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, FsError> {
    Ok(fs::names(folder)?
        .into_iter()
        .filter(|name| name.ends_with(EXTENSION))
        .map(|name| folder.join(name))
        .collect())
}

fn ship_folder(
    folder: &Path,
    store: &Store,
    is_open: impl Fn(&Path) -> bool,
) -> Result<(), SpoolError> {
    for path in files(folder)? {
        if is_open(&path) {
            continue;
        }
        let Some(key) = key_of(&path) else { continue };
        // the key does not depend on the process: shipping twice stores it once
        if !(fs::is_whole_lines(&path)? && store.move_in(&key, &path)) {
            put_lines(&path, &key, store)?;
        }
    }
    Ok(())
}

/// Puts the whole lines of a file: a kill may have cut the last one.
fn put_lines(path: &Path, key: &str, store: &Store) -> Result<(), SpoolError> {
    let Some(bytes) = fs::read_if_there(path)? else { return Ok(()) };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole > 0 {
        store.put_rebuildable(key, bytes[..whole].to_vec())?;
    }
    Ok(fs::remove_if_there(path)?)
}

/// `traces-20261122T120000123-0.jsonl`: when its first line was written, and the how manieth file
/// of its process it is.
fn file_name(signal: Signal, at: jiff::Timestamp, number: usize) -> String {
    let at = utc(at);
    format!(
        "{}-{:04}{:02}{:02}T{}-{number}{EXTENSION}",
        signal.as_str(),
        at.year(),
        at.month(),
        at.day(),
        time_of(at)
    )
}

fn utc(at: jiff::Timestamp) -> DateTime {
    jiff::tz::TimeZone::UTC.to_datetime(at)
}

fn time_of(at: DateTime) -> String {
    format!("{:02}{:02}{:02}{:03}", at.hour(), at.minute(), at.second(), at.millisecond())
}

/// The folder of a day in the store.
pub(super) fn day_folder(signal: Signal, day: Date) -> String {
    format!(
        "{STORE_FOLDER}/{}/{:04}/{:02}/{:02}",
        signal.as_str(),
        day.year(),
        day.month(),
        day.day()
    )
}

/// The day of a file below such a folder.
pub fn day_of(path: &Path) -> Option<Date> {
    let mut parts = path.parent()?.iter().rev().map(|part| part.to_str()?.parse::<i16>().ok());
    let (day, month, year) = (parts.next()??, parts.next()??, parts.next()??);
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// No file that began at this time or later has a key before this.
pub(super) fn key_at(signal: Signal, at: jiff::Timestamp) -> String {
    let at = utc(at);
    format!("{}/{}", day_folder(signal, at.date()), time_of(at))
}

/// The store location of a spool file; `None` for a file that is not part of the spool.
pub(super) fn key_of(path: &Path) -> Option<String> {
    store_key(path.file_name()?.to_str()?, path.parent()?.file_name()?.to_str()?)
}

fn store_key(name: &str, process: &str) -> Option<String> {
    let mut parts = name.strip_suffix(EXTENSION)?.split('-');
    let (signal, at, number) = (parts.next()?, parts.next()?, parts.next()?);
    let (date, time) = at.split_once('T')?;
    let is_number = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_whole = is_number(date, 8) && is_number(time, 9) && is_number(number, number.len());
    if !Signal::ALL.iter().any(|known| known.as_str() == signal) || !is_whole {
        return None;
    }
    Some(format!(
        "{STORE_FOLDER}/{signal}/{}/{}/{}/{time}-{process}-{number}{EXTENSION}",
        &date[..4],
        &date[4..6],
        &date[6..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (tempfile::TempDir, Layout, Store) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let store =
            Store::open(&agent_core::formats::manifest::Store::default(), folder.path()).unwrap();
        (folder, layout, store)
    }

    fn shipped(store: &Store) -> Vec<String> {
        let keys = store.list(STORE_FOLDER).unwrap();
        keys.iter()
            .map(|key| String::from_utf8(store.get(key).unwrap().unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn the_day_of_a_file_is_that_of_its_folder() {
        let day = Date::new(2026, 2, 9).unwrap();
        let folder = day_folder(Signal::Calls, day);
        assert_eq!(day_of(Path::new(&format!("/store/{folder}/120000000-p-0.jsonl"))), Some(day));
        for none in ["/store/replays/1-r.json", "f", "2026/02/30/f"] {
            assert_eq!(day_of(Path::new(none)), None, "{none}");
        }
    }

    #[test]
    fn spool_file_is_stored_by_date() {
        let name = file_name(Signal::Traces, "2026-11-22T01:02:03.004Z".parse().unwrap(), 7);
        assert_eq!(name, "traces-20261122T010203004-7.jsonl");
        let at = "2026-11-22T01:02:03.004Z".parse().unwrap();
        assert_eq!(key_at(Signal::Traces, at), "telemetry/traces/2026/11/22/010203004");
        assert_eq!(
            store_key(&name, "p-1").unwrap(),
            "telemetry/traces/2026/11/22/010203004-p-1-7.jsonl"
        );
        for other in [
            "lock",
            "traces.jsonl",
            "spans-20261122T010203004-7.jsonl",
            "traces-2026T01-7.jsonl",
            "traces-ä0261122T010203004-7.jsonl",
        ] {
            assert_eq!(store_key(other, "p"), None, "{other}");
        }
    }

    #[test]
    fn closed_files_are_shipped_and_open_files_are_kept() {
        let (_folder, layout, store) = world();
        let mut spool = Spool::begin(&layout).unwrap();
        spool.append(Signal::Traces, b"1\n").unwrap();
        spool.append(Signal::Traces, b"2\n").unwrap();
        assert!(!spool.close(false));
        spool.ship(&store).unwrap();
        assert!(shipped(&store).is_empty());
        // to another process it is running
        ship_left(&layout, &store).unwrap();
        assert!(shipped(&store).is_empty());
        assert!(spool.close(true));
        spool.append(Signal::Logs, b"3\n").unwrap();
        spool.ship(&store).unwrap();
        assert_eq!(shipped(&store), ["1\n2\n"]);
        spool.leave();
        assert!(spool.folder.is_dir(), "a log is open in it");
        spool.close(true);
        spool.ship(&store).unwrap();
        spool.leave();
        assert!(!spool.folder.exists());
    }

    #[test]
    fn orphaned_file_is_shipped_up_to_its_last_complete_line() {
        let (_folder, layout, store) = world();
        let mut killed = Spool::begin(&layout).unwrap();
        killed.append(Signal::Traces, b"whole\n").unwrap();
        killed.append(Signal::Traces, b"{\"to").unwrap();
        killed.append(Signal::Logs, b"{\"torn").unwrap();
        let folder = killed.folder.clone();
        drop(killed);
        ship_left(&layout, &store).unwrap();
        assert_eq!(shipped(&store), ["whole\n"]);
        assert!(!folder.exists());
        ship_left(&layout, &store).unwrap();
        assert_eq!(shipped(&store).len(), 1);
    }
}
