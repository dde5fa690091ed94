//! Removing things, each only where no process uses it by now.

use super::{Item, Kind, Snapshot};
use crate::error::Failure;
use crate::repository::Repository;
use crate::target::spec;
use crate::world::checkout::{Checkout, record_of};
use crate::world::fs::{self, FileLock, FsError};
use crate::world::layout::Layout;
use crate::world::lease::Lease;
use crate::world::python;
use std::io::ErrorKind;
use std::path::Path;

/// Removes an item; false where it is in use again, or removed already.
pub fn remove(repository: &Repository, snapshot: &Snapshot, item: &Item) -> Result<bool, Failure> {
    let layout = &repository.layout;
    let path = &item.path;
    match item.kind {
        Kind::Conversation => {
            let id = path.file_stem().unwrap_or_default().to_string_lossy();
            return Ok(snapshot.idle_times.end(layout, &id)?);
        }
        Kind::Workplace => return remove_workplace(repository, path),
        Kind::Environment => locked(&python::lock_of(path), || buried(layout, path)),
        Kind::Temporary if path.parent() == Some(&layout.scratch()) => {
            locked(&path.with_extension("lock"), || buried(layout, path))
        }
        Kind::Checkout => leased(path, || {
            keep_own_files(repository, path);
            let is_gone = buried(layout, path)?;
            fs::remove_if_there(&record_of(layout, path))?;
            Ok(is_gone)
        }),
        Kind::State | Kind::Temporary => leased(path, || buried(layout, path)),
        Kind::Result => leased(path, || in_place(path)),
        Kind::Leftover | Kind::Evaluation | Kind::Record => in_place(path),
    }
    .map_err(Failure::from)
}

/// A server's own files in a removed checkout are kept, with a notice.
fn keep_own_files(repository: &Repository, place: &Path) {
    let checkout = Checkout::at(&repository.git, &repository.layout, place);
    if let Some(kept) =
        checkout.and_then(|checkout| checkout.keep_own_files(&repository.git).ok().flatten())
    {
        repository.warn(&spec::moved(&kept.paths, &kept.folder));
    }
}

/// Where no process holds a lease.
fn leased(path: &Path, remove: impl FnOnce() -> Result<bool, FsError>) -> Result<bool, FsError> {
    // links and unreadable entries are not in use
    match Lease::take_alone(path) {
        Ok(None) => Ok(false),
        Ok(Some(_alone)) => remove(),
        Err(_) => remove(),
    }
}

/// Where no process holds a lock.
fn locked(lock: &Path, remove: impl FnOnce() -> Result<bool, FsError>) -> Result<bool, FsError> {
    if !lock.exists() {
        return remove();
    }
    match FileLock::try_acquire(lock)? {
        None => Ok(false),
        Some(_lock) => remove(),
    }
}

fn remove_workplace(repository: &Repository, path: &Path) -> Result<bool, Failure> {
    let Some(_lock) = FileLock::try_acquire(&repository.layout.architect_lock())? else {
        return Ok(false);
    };
    repository.git.forget_worktree(path)?;
    fs::remove_stubborn_folder(path)?;
    Ok(true)
}

/// A folder is renamed before removal, so that no process finds a partial one.
fn buried(layout: &Layout, path: &Path) -> Result<bool, FsError> {
    let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    if !is_folder {
        return in_place(path);
    }
    let grave = layout.temporary_folder("removed")?;
    match std::fs::rename(path, grave.path().join("it")) {
        Ok(()) => {
            fs::remove_stubborn_folder(&grave.path().join("it"))?;
            grave.close().map(|()| true)
        }
        // outside of `.agent` no process reads it
        Err(error) if error.kind() == ErrorKind::CrossesDevices => in_place(path),
        Err(error) => vanished(FsError::while_doing("remove", path)(error)),
    }
}

/// Removes without a rename first. A partly removed result is detected by its digest; everything
/// else that is removed in place is unreferenced.
fn in_place(path: &Path) -> Result<bool, FsError> {
    let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    let removed =
        if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.map_err(FsError::while_doing("remove", path)).map_or_else(vanished, |()| Ok(true))
}

/// What another process removed, or added to, is left to the next time.
fn vanished(error: FsError) -> Result<bool, FsError> {
    match error.io_kind() {
        ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty => Ok(false),
        _ => Err(error),
    }
}
