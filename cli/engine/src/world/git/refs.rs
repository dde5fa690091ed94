//! Moving refs: by compare-and-swap, through `git` (which fires the hooks), synced before and
//! after, one process at a time.
//!
//! The lock file is also what `git update-ref --stdin` reads: the child inherits the lock with it,
//! so that the lock is free only when both processes have exited, and the file then names the refs
//! that a killed predecessor was moving.

use super::error::GitError;
use super::ids::from_gix;
use super::repository::Git;
use crate::world::fs::{self, FileLock, FileSystem, FsError};
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::object_id::ObjectId;
use std::collections::HashSet;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NOTHING: &str = "0000000000000000000000000000000000000000";
/// The number of last moves of a branch that are read.
const PAST_TIPS: usize = 1_000;
/// How often the read of a ref is tried after it may have moved: the move cannot be undone, and one
/// failed read must not hide it.
const READS: usize = 3;
/// How long an empty lock file must be unchanged before it counts as abandoned: a running git fills
/// its own immediately.
const ABANDONED_AFTER: Duration = Duration::from_millis(150);

/// One ref update from the expected to the new value; `None` is a ref that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub name: String,
    pub from: Option<ObjectId>,
    pub to: Option<ObjectId>,
}

impl Move {
    pub fn create(name: impl Into<String>, to: ObjectId) -> Self {
        Self { name: name.into(), from: None, to: Some(to) }
    }

    fn transaction(&self) -> String {
        let hex = |id: &Option<ObjectId>| id.as_ref().map_or(NOTHING, ObjectId::as_str).to_owned();
        let line = match &self.to {
            Some(to) => format!("update {} {to} {}", self.name, hex(&self.from)),
            None => format!("delete {} {}", self.name, hex(&self.from)),
        };
        format!("start\n{line}\nprepare\ncommit\n")
    }
}

/// The outcome of ref updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// All of them, and synced.
    All,
    /// Conflict: this ref does not have the expected value. Nothing was moved.
    Conflict { name: String, found: Option<ObjectId> },
    /// The first was moved and synced, the others were not, with git's message.
    FirstOnly { why: String },
}

/// The lock that every move of a ref by `agent` is made under.
pub(super) struct RefLock<'git> {
    git: &'git Git,
    lock: FileLock,
}

/// The stamps of the files that hold a ref: the ref has not moved while they are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefStamp([Option<(u64, i64, i64)>; 2]);

impl Git {
    /// Every ref update replaces the loose or the packed ref file.
    pub fn ref_stamp(&self, name: &str) -> RefStamp {
        use std::os::unix::fs::MetadataExt as _;
        let look = |file: &str| {
            let seen = self.common_dir.join(file).metadata().ok()?;
            Some((seen.ino(), seen.mtime(), seen.mtime_nsec()))
        };
        RefStamp([look(name), look("packed-refs")])
    }

    /// Where a ref points, without following an annotated tag.
    pub fn target(&self, name: &str) -> Result<Option<ObjectId>, GitError> {
        let found = self.repository.try_find_reference(name).map_err(GitError::reading(name))?;
        Ok(found.and_then(|reference| reference.try_id().map(|id| from_gix(id.detach()))))
    }

    /// The refs below a prefix such as `refs/agent/pins/`, by full name and target, sorted by name.
    pub fn references(&self, prefix: &str) -> Result<Vec<(String, ObjectId)>, GitError> {
        let wrong = || GitError::Path { path: prefix.to_owned() };
        let platform = self.repository.references().map_err(GitError::reading(prefix))?;
        let iterator = platform.prefixed(prefix).map_err(|_| wrong())?;
        let mut found = Vec::new();
        for reference in iterator {
            let reference = reference.map_err(GitError::reading(prefix))?;
            found.extend(
                reference
                    .try_id()
                    .map(|id| (reference.name().as_bstr().to_string(), from_gix(id.detach()))),
            );
        }
        Ok(found)
    }

    /// The earlier values of a branch in its reflog, the newest first.
    pub fn past_tips(&self, branch: &str) -> Result<Vec<ObjectId>, GitError> {
        let log =
            fs::read_if_there(&self.common_dir.join("logs").join(branch))?.unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let mut seen = HashSet::new();
        let to = |line: &str| ObjectId::parse(line.split(' ').nth(1)?);
        Ok(log
            .lines()
            .rev()
            .take(PAST_TIPS)
            .filter_map(to)
            .filter(|commit| seen.insert(commit.clone()))
            .collect())
    }

    /// Moves one ref; the objects it points to are synced first.
    pub fn move_ref(&self, change: Move, reason: &str) -> Result<Committed<Moved>, GitError> {
        self.lock_refs()?.apply(&[change], reason)
    }

    pub(super) fn lock_refs(&self) -> Result<RefLock<'_>, GitError> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.again().into());
        }
        let lock = FileLock::acquire(&self.lock_path())?;
        let lock = RefLock { git: self, lock };
        lock.reap()?;
        Ok(lock)
    }

    /// Whether a process was killed while it moved refs, as far as visible without the lock.
    pub(super) fn has_unfinished_moves(&self) -> bool {
        std::fs::metadata(self.lock_path()).is_ok_and(|file| file.len() > 0)
    }

    fn lock_path(&self) -> PathBuf {
        self.common_dir.join("agent/refs-under-way")
    }

    /// Written data is durable before a managed ref moves. `None` where that is not certain.
    pub fn synced_file_system(&self) -> Option<FileSystem> {
        if cfg!(target_os = "linux") { FileSystem::of(&self.objects_dir()) } else { None }
    }

    /// Everything written so far reaches the disk: the objects before a ref names them, the ref
    /// before it is acknowledged.
    fn sync(&self) -> Result<(), GitError> {
        let folder = self.objects_dir();
        let open =
            |path: &Path| std::fs::File::open(path).map_err(FsError::while_doing("open", path));
        sync_filesystem(&open(&folder)?).map_err(FsError::while_doing("sync", &folder))?;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn sync_filesystem(folder: &std::fs::File) -> std::io::Result<()> {
    rustix::fs::syncfs(folder).map_err(Into::into)
}

#[cfg(not(target_os = "linux"))]
fn sync_filesystem(folder: &std::fs::File) -> std::io::Result<()> {
    rustix::fs::sync();
    folder.sync_all()
}

impl RefLock<'_> {
    /// Makes the moves in order, each in a separate transaction; the first is the commit point.
    ///
    /// An error means that nothing was moved, except `GitError::InDoubt`.
    pub(super) fn apply(&self, moves: &[Move], reason: &str) -> Result<Committed<Moved>, GitError> {
        for change in moves {
            let found = self.git.target(&change.name)?;
            if found != change.from {
                return Ok(Committed::whole(Moved::Conflict { name: change.name.clone(), found }));
            }
        }
        let _held = self.git.without_collection()?;
        let script: String = moves.iter().map(Move::transaction).collect();
        self.record(&script)?;
        self.git.sync()?;
        let value = self.update(moves, reason)?;
        if matches!(value, Moved::Conflict { .. }) {
            // the next to take the lock clears a record that is left
            let _ = self.record("");
            return Ok(Committed::whole(value));
        }
        let mut warnings = Warnings::none();
        warnings.note(
            self.git.remember_moved(moves),
            "the ref update could not be recorded: a later reset of the ref would not be detected",
        );
        let meaning = format!(
            "{} is moved, but a power cut may undo that until the next command has synced it",
            moves[0].name
        );
        // the record stays until the sync has succeeded: the process that finds it syncs
        if warnings.note(self.git.sync(), &meaning).is_some() {
            warnings.note(
                self.record(""),
                "the record of pending ref updates could not be cleared; the next command does it",
            );
        }
        Ok(Committed { value, warnings })
    }

    fn update(&self, moves: &[Move], reason: &str) -> Result<Moved, GitError> {
        let stdin = self
            .lock
            .to_write()?
            .try_clone()
            .map_err(FsError::while_doing("hand over", &self.git.lock_path()))?;
        // git syncs the ref file before its rename, so the second ref can never be on disk without
        // the first
        let run = self
            .git
            .command()
            .args(["-c", "core.fsync=reference", "update-ref", "--stdin", "-m", reason])
            .stdin_file(stdin);
        let finished = run.finish();
        if finished.as_ref().map_or(true, |finished| finished.code.is_none()) {
            // killed, or its output was incomplete: repaired now, or by the next lock holder
            let _ = self.reap();
        }
        let committed =
            finished.as_ref().map_or(0, |finished| finished.text().matches("commit: ok").count());
        if committed == moves.len() {
            return Ok(Moved::All);
        }
        let why = match &finished {
            Ok(finished) => String::from_utf8_lossy(&finished.stderr).trim().to_owned(),
            Err(error) => error.messages().join(": "),
        };
        if committed > 0 {
            return Ok(Moved::FirstOnly { why });
        }
        let Move { name, from, to } = &moves[0];
        let found = self.read_back(name).map_err(|error| GitError::InDoubt {
            name: name.clone(),
            why: why.clone(),
            source: error.into(),
        })?;
        if found == *to {
            // moved, but git could not report it
            return Ok(if moves.len() == 1 { Moved::All } else { Moved::FirstOnly { why } });
        }
        if found != *from {
            return Ok(Moved::Conflict { name: name.clone(), found });
        }
        let _ = self.record("");
        Err(finished.map_or_else(GitError::Process, |_| self.not_moved(name, why)))
    }

    /// Why git did not move a ref: a lock is held, a hook refused it, or what git prints.
    fn not_moved(&self, name: &str, why: String) -> GitError {
        let name = name.to_owned();
        let git_dir = self.git.common_dir();
        let locks = [name.as_str(), "packed-refs", "HEAD"].map(|file| format!("{file}.lock"));
        if let Some(lock) =
            locks.map(|lock| git_dir.join(lock)).into_iter().find(|lock| lock.exists())
        {
            return GitError::Locked { name, lock };
        }
        // git has no exit code for it; with LC_ALL=C its text is the same everywhere
        if why.contains("aborted by") && why.contains("hook") {
            return GitError::RefusedByHook { name, why };
        }
        GitError::NotMoved { name, why }
    }

    /// Where a ref is that may have been moved.
    fn read_back(&self, name: &str) -> Result<Option<ObjectId>, GitError> {
        let mut found = self.git.target(name);
        for _ in 1..READS {
            if found.is_ok() {
                break;
            }
            found = self.git.target(name);
        }
        found
    }

    /// Replaces the pending updates in the lock file and leaves its position at the start, where
    /// git begins to read.
    fn record(&self, script: &str) -> Result<(), GitError> {
        let mut file = self.lock.to_write()?;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(script.as_bytes()))
            .and_then(|()| file.rewind())
            .map_err(FsError::while_doing("write", &self.git.lock_path()))?;
        Ok(())
    }

    /// Removes only the lock files that a killed git of `agent` left: they belong to the refs it
    /// was moving, are no older than its record, and hold the pending value.
    fn reap(&self) -> Result<Vec<PathBuf>, GitError> {
        let path = self.git.lock_path();
        let mut script = String::new();
        let mut file = self.lock.to_write()?;
        file.rewind()
            .and_then(|()| file.read_to_string(&mut script))
            .map_err(FsError::while_doing("read", &path))?;
        if script.is_empty() {
            return Ok(Vec::new());
        }
        let since = file
            .metadata()
            .and_then(|file| file.modified())
            .map_err(FsError::while_doing("read", &path))?;
        let mut reaped = Vec::new();
        for (name, to) in script.lines().filter_map(parse_line) {
            let lock = Leftover::at(self.git.common_dir.join(format!("{name}.lock")), since);
            let was_ours = lock.as_ref().is_some_and(|lock| lock.is_abandoned(&to));
            let moved =
                self.git.target(&name)?.map_or(NOTHING.to_owned(), |id| id.to_string()) == to;
            if was_ours || moved {
                reaped.extend(
                    self.head_locks(&name, since)
                        .into_iter()
                        .filter(|lock| lock.is_abandoned(&to))
                        .map(|lock| lock.path),
                );
            }
            if was_ours {
                reaped.extend(lock.map(|lock| lock.path));
            }
        }
        for lock in &reaped {
            std::fs::remove_file(lock).map_err(FsError::while_doing("remove", lock))?;
        }
        // the one that left the record may have moved its refs without syncing them
        self.git.sync()?;
        self.record("")?;
        Ok(reaped)
    }

    /// The lock of each worktree's HEAD that is on this branch: git takes it along with the
    /// branch's own.
    fn head_locks(&self, branch: &str, since: std::time::SystemTime) -> Vec<Leftover> {
        let linked = std::fs::read_dir(self.git.common_dir.join("worktrees"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        std::iter::once(self.git.common_dir.clone())
            .chain(linked)
            .filter(|folder| {
                std::fs::read_to_string(folder.join("HEAD"))
                    .is_ok_and(|head| head.trim_end() == format!("ref: {branch}"))
            })
            .filter_map(|folder| Leftover::at(folder.join("HEAD.lock"), since))
            .collect()
    }
}

/// A lock file that may have been left behind.
struct Leftover {
    path: PathBuf,
}

impl Leftover {
    fn at(path: PathBuf, since: std::time::SystemTime) -> Option<Self> {
        let modified = std::fs::metadata(&path).and_then(|file| file.modified()).ok()?;
        (modified >= since).then_some(Self { path })
    }

    /// Holds the pending value of the killed process, or has been empty for longer than a running
    /// one takes.
    fn is_abandoned(&self, to: &str) -> bool {
        let content = || std::fs::read(&self.path).ok();
        match content() {
            Some(bytes) if bytes.is_empty() => {
                std::thread::sleep(ABANDONED_AFTER);
                content().is_some_and(|bytes| bytes.is_empty())
            }
            Some(bytes) => bytes.trim_ascii_end() == to.as_bytes(),
            None => false,
        }
    }
}

/// The ref and its new target in a line of the record; a line torn by a power cut is none.
fn parse_line(line: &str) -> Option<(String, String)> {
    let mut words = line.split(' ');
    let (verb, name, to) = (words.next()?, words.next()?, words.next()?);
    let plain = name.starts_with("refs/") && !name.split('/').any(|part| part == "..");
    match verb {
        "update" if plain && to.len() == NOTHING.len() => Some((name.to_owned(), to.to_owned())),
        "delete" if plain => Some((name.to_owned(), NOTHING.to_owned())),
        _ => None,
    }
}
