//! Temporary folders. Each is removed when its value is dropped; those of processes killed by
//! SIGKILL are removed by `agent gc`.

use crate::world::fs::{self, FsError};
use crate::world::lease::Lease;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the names of our folders begin with in the folder for temporary files of the system.
const OURS: &str = "agent-";
/// What folders are made for that lie in no repository.
const PURPOSES: [&str; 5] = [DEMO, DOCTOR, JOURNAL, WRITABLE_LAYER, SERVE];
pub const DEMO: &str = "demo";
pub const DOCTOR: &str = "doctor";
pub const JOURNAL: &str = "journal";
pub const WRITABLE_LAYER: &str = "overlay";
pub const SERVE: &str = "serve";

#[derive(Debug)]
pub struct Temporary {
    folder: tempfile::TempDir,
    _lease: Option<Lease>,
    _listed: Listed,
}

/// The folders of this process, for an end that drops no values.
static IN_USE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A folder listed in `IN_USE` until this is dropped.
#[derive(Debug)]
struct Listed(PathBuf);

impl Listed {
    fn new(folder: &Path, in_use: &mut Vec<PathBuf>) -> Self {
        in_use.push(folder.to_owned());
        Self(folder.to_owned())
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        in_use().retain(|folder| *folder != self.0);
    }
}

fn in_use() -> MutexGuard<'static, Vec<PathBuf>> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the folders of this process before it ends. Children that are being killed may still
/// write for a moment, so it is tried again for as long as a terminal may wait; what stays then is
/// left to `agent gc`.
pub fn remove_all() {
    remove(&mut in_use());
}

/// Like `remove_all`, while other threads may still make folders: from now on none can.
pub fn remove_for_good() {
    let mut folders = in_use();
    remove(&mut folders);
    // locked until the process ends
    std::mem::forget(folders);
}

fn remove(folders: &mut Vec<PathBuf>) {
    const TRIES: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 0..TRIES {
        folders.retain(|folder| {
            std::fs::remove_dir_all(folder).is_err_and(|error| error.kind() != ErrorKind::NotFound)
        });
        if folders.is_empty() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

impl Temporary {
    /// A new folder outside of any repository; `purpose` is one of the constants here.
    pub fn outside(purpose: &str) -> Result<Self, FsError> {
        Self::below(&std::env::temp_dir(), &format!("{OURS}{purpose}"))
    }

    /// A new folder below another. Its name begins with what it is for.
    pub fn below(parent: &Path, purpose: &str) -> Result<Self, FsError> {
        fs::create_dir(parent)?;
        let (folder, listed) = {
            // a signal finds it listed, or not made yet
            let mut in_use = in_use();
            let folder = tempfile::Builder::new().prefix(&format!("{purpose}-")).tempdir_in(parent);
            let folder = folder.map_err(FsError::while_doing("create a folder in", parent))?;
            let listed = Listed::new(folder.path(), &mut in_use);
            (folder, listed)
        };
        Ok(Self { _lease: Lease::take(folder.path())?, _listed: listed, folder })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves it to the end of the process.
    pub fn kept_to_the_end(self) -> PathBuf {
        let path = self.folder.path().to_owned();
        std::mem::forget(self);
        path
    }

    /// Removes it now, and reports a failure.
    pub fn close(self) -> Result<(), FsError> {
        let path = self.folder.path().to_owned();
        self.folder.close().map_err(FsError::while_doing("remove", &path))
    }
}

/// The folders that processes of this user made outside of any repository, with those that are in
/// use.
pub fn outside() -> Vec<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let user = rustix::process::geteuid().as_raw();
    let is_ours = |path: &PathBuf| {
        if !path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user)
        {
            return false;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let purpose = name
            .strip_prefix(OURS)
            .and_then(|rest| rest.rsplit_once('-'))
            .map(|(purpose, _)| purpose);
        purpose.is_some_and(|purpose| PURPOSES.contains(&purpose))
    };
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_ours).collect()
}
