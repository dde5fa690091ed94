//! Against `git gc`, which removes objects that no ref names yet: none begins while refs move, and
//! what an earlier one took is written again.
//!
//! A running gc writes `gc.pid` ("PID HOST"), and exits immediately where that file names a running
//! process. A ref update writes it for its duration; the file of an exited process is ignored.

use super::error::GitError;
use super::ids::to_gix;
use super::repository::Git;
use crate::world::clock;
use agent_core::formats::object_id::ObjectId;
use jiff::Timestamp;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a gc that runs is waited for. With git's defaults it removes nothing that is younger
/// than two weeks, so going on after that is safe.
const WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(1);
/// git takes an older `gc.pid` for one that was left.
const STALE_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// While it exists, no `git gc` starts.
#[derive(Debug)]
pub(super) struct GcLock {
    path: PathBuf,
    content: String,
}

impl Drop for GcLock {
    fn drop(&mut self) {
        if std::fs::read_to_string(&self.path).is_ok_and(|content| content == self.content) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl GcLock {
    /// `None` where a gc runs for longer than `wait`, or where the file cannot be written.
    fn acquire(common_dir: &Path, wait: Duration) -> Option<Self> {
        let (path, lock) = (common_dir.join("gc.pid"), common_dir.join("gc.pid.lock"));
        let content = format!("{} {}", std::process::id(), host());
        let until = Instant::now() + wait;
        loop {
            match std::fs::File::create_new(&path) {
                Ok(mut file) => {
                    let held = Self { path: path.clone(), content: content.clone() };
                    file.write_all(content.as_bytes()).ok()?;
                    // a gc that saw no file before this one was made renames its own over it
                    if !lock.exists()
                        && std::fs::read_to_string(&path).is_ok_and(|found| found == content)
                    {
                        return Some(held);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    if !names_a_living_process(&path) {
                        let _ = std::fs::remove_file(&path);
                        continue;
                    }
                }
                Err(_) => return None,
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(POLL);
        }
    }
}

/// By the rule of `git gc`. A missing file names none.
fn names_a_living_process(path: &Path) -> bool {
    let Ok(content) = std::fs::read_to_string(path) else { return false };
    let Some((process, other_host)) = content.trim_end().split_once(' ') else { return false };
    let Some(process) = process.parse().ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    let modified = path
        .metadata()
        .and_then(|file| file.modified())
        .ok()
        .and_then(|modified| Timestamp::try_from(modified).ok());
    let lives = || rustix::process::test_kill_process(process) != Err(rustix::io::Errno::SRCH);
    modified.is_none_or(|modified| clock::now() <= modified + STALE_AFTER)
        && (other_host != host() || lives())
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Git {
    /// Keeps `git gc` out, and writes again what it took of the objects that a ref is about to
    /// name.
    pub(super) fn without_collection(&self) -> Result<Option<GcLock>, GitError> {
        let held = GcLock::acquire(&self.common_dir, WAIT);
        let gone = self.written.not_loose(&self.objects_dir());
        if !gone.is_empty() {
            // a pack that a gc removed stays open in this one
            let opened = Self::isolated(&self.common_dir)?;
            for object in gone.iter().filter(|object| !opened.repository.has_object(object.id)) {
                self.write_loose(object.id, object.kind, &object.bytes)?;
            }
        }
        Ok(held)
    }

    /// Writes an object again that a gc took; whether it was one that was written lately.
    pub(super) fn write_again(&self, id: &ObjectId) -> Result<bool, GitError> {
        let Some(object) = self.written.get(&to_gix(id)) else { return Ok(false) };
        self.write_loose(object.id, object.kind, &object.bytes)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Repository;
    use super::super::{CommitSpec, Move, Moved, TreeEdit};
    use super::*;

    const NO_WAIT: Duration = Duration::ZERO;

    fn gc_pid(repository: &Repository) -> PathBuf {
        repository.path().join(".git/gc.pid")
    }

    #[test]
    fn no_gc_begins_while_refs_move() {
        let repository = Repository::with_code();
        let git = repository.open();
        let held = GcLock::acquire(git.common_dir(), NO_WAIT).unwrap();
        let refused = repository.run(&["gc", "-q", "--prune=now"]);
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains("gc is already running"),
            "{refused:?}"
        );
        drop(held);
        assert_eq!(repository.run(&["gc", "-q", "--prune=now"]).code, Some(0));
        assert!(!gc_pid(&repository).exists());
    }

    #[test]
    fn running_gc_blocks_and_a_stale_gc_lock_does_not() {
        let repository = Repository::with_code();
        let git = repository.open();
        let written = |content: String| std::fs::write(gc_pid(&repository), content).unwrap();
        for living in [format!("{} {}", std::process::id(), host()), "1 elsewhere".to_owned()] {
            written(living);
            assert!(GcLock::acquire(git.common_dir(), NO_WAIT).is_none());
        }
        for left in [format!("{} {}", i32::MAX, host()), String::new(), "cut sho".to_owned()] {
            written(left);
            assert!(GcLock::acquire(git.common_dir(), NO_WAIT).is_some());
        }
        // a gc that is about to write its file
        std::fs::write(repository.path().join(".git/gc.pid.lock"), "").unwrap();
        assert!(GcLock::acquire(git.common_dir(), NO_WAIT).is_none());
        assert!(!gc_pid(&repository).exists());
    }

    #[test]
    fn objects_removed_by_gc_are_rewritten() {
        let repository = Repository::with_code();
        let git = repository.open();
        let main = git.expect("main").unwrap();
        let blob = git.write_blob(b"new\n").unwrap();
        let tree = git.edit_tree(Some(&main), &[TreeEdit::file("state/more.json", blob)]).unwrap();
        let commit = git
            .write_commit(&CommitSpec { tree, parents: vec![main], message: "new".to_owned() })
            .unwrap();
        repository.git(&["gc", "-q", "--prune=now"]);
        assert!(!repository.open().exists(&commit));
        assert_eq!(git.commit(&commit).unwrap().message, "new");
        let moved = git.move_ref(Move::create("refs/heads/new", commit.clone()), "test").unwrap();
        assert_eq!(moved.value, Moved::All);
        assert_eq!(repository.git(&["show", "new:state/more.json"]), "new");
        assert_eq!(repository.git(&["fsck", "--strict"]), "");
    }
}
