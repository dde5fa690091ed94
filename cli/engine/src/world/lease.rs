//! Leases: a process that uses a file or folder which `agent gc` may remove holds a shared lock on
//! it, and gc removes only what it can lock for itself.
//!
//! The lock is on the file or folder itself, so it needs no lock file, changes no time stamp, works
//! on a read-only file system and ends with the process.

use crate::world::fs::FsError;
use rustix::fs::{Mode, OFlags};
use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long gc may hold what it is about to rename. A lock that is held for longer is not gc's, and
/// the caller continues without a lease.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// Keeps gc away from a file or folder while the value exists.
#[derive(Debug)]
pub struct Lease {
    _locked: File,
}

impl Lease {
    /// `None` when there is neither a file nor a folder at this path.
    pub fn take(path: &Path) -> Result<Option<Self>, FsError> {
        let failed = || FsError::while_doing("use", path);
        let until = Instant::now() + LOCK_TIMEOUT;
        loop {
            let Some(file) = open(path).map_err(failed())? else { return Ok(None) };
            match file.try_lock_shared() {
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(PAUSE);
                }
                // on a file system without locks age alone keeps gc away
                Err(_) => return Ok(Some(Self { _locked: file })),
                Ok(()) if is_at(&file, path).map_err(failed())? => {
                    return Ok(Some(Self { _locked: file }));
                }
                // it was renamed between the two
                Ok(()) => {}
            }
        }
    }

    /// For the removal of what is at this path; `None` while a process uses it, and when it does
    /// not exist.
    pub fn take_alone(path: &Path) -> Result<Option<Self>, FsError> {
        let failed = || FsError::while_doing("lock", path);
        let Some(file) = open(path).map_err(failed())? else { return Ok(None) };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(_)) => Ok(Some(Self { _locked: file })),
            Ok(()) => Ok(is_at(&file, path).map_err(failed())?.then_some(Self { _locked: file })),
        }
    }
}

/// Opens a file or folder, and nothing that opening would change or wait for.
fn open(path: &Path) -> std::io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()).map_err(Error::from) {
        Ok(opened) => Ok(Some(opened.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    let opened = file.metadata()?;
    match path.symlink_metadata() {
        Ok(there) => Ok((there.dev(), there.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
impl Lease {
    /// Waits for the lock of what no process uses any more: a process that another thread of the
    /// tests starts holds a copy of each open file, and of its lock, until it executes its program.
    pub fn take_alone_at_last(path: &Path) -> Self {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            match Self::take_alone(path).unwrap() {
                Some(lease) => return lease,
                None => assert!(Instant::now() < until, "{} stays in use", path.display()),
            }
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_lease_blocks_an_exclusive_one() {
        let folder = tempfile::tempdir().unwrap();
        let used = folder.path().join("used");
        assert!(Lease::take(&used).unwrap().is_none());
        std::fs::create_dir(&used).unwrap();
        let before = used.metadata().unwrap();
        let (one, other) =
            (Lease::take(&used).unwrap().unwrap(), Lease::take(&used).unwrap().unwrap());
        drop(one);
        assert!(Lease::take_alone(&used).unwrap().is_none());
        drop(other);
        let alone = Lease::take_alone_at_last(&used);
        assert_eq!(
            (before.ctime_nsec(), before.mtime_nsec()),
            (used.metadata().unwrap().ctime_nsec(), used.metadata().unwrap().mtime_nsec())
        );
        drop(alone);
        assert!(Lease::take_alone(&folder.path().join("gone")).unwrap().is_none());
    }

    /// A process that waits for the lock of a folder which is then renamed away gets the lease of
    /// the folder that took its place.
    #[test]
    fn lease_follows_the_path_after_a_replacement() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        let other = folder.path().join("other");
        std::fs::create_dir(&place).unwrap();
        std::fs::create_dir(&other).unwrap();
        let removal = Lease::take_alone(&place).unwrap().unwrap();
        let lease = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Lease::take(&place).unwrap());
            crate::world::fs::exchange(&place, &other).unwrap();
            drop(removal);
            waiting.join().unwrap()
        });
        assert!(lease.is_some());
        assert!(Lease::take_alone(&place).unwrap().is_none());
        Lease::take_alone_at_last(&other);
    }
}
