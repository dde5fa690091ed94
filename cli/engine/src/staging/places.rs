//! Where the files of staging lie.

use super::error::StagingError;
use crate::world::fs::{self, FileLock, FsError};
use crate::world::layout::Layout;
use agent_core::formats::committed::Warnings;
use agent_core::state::journal::JournalError;
use std::path::{Path, PathBuf};

pub(super) const CURRENT: &str = "current.jsonl";
pub(super) const COUNTED: &str = "counted";
/// How many files of a kind are kept in `set-aside/`.
const KEPT_ASIDE: usize = 8;

/// The paths of staging's files.
#[derive(Debug, Clone)]
pub struct Places {
    pub(super) folder: PathBuf,
    pub(super) view: PathBuf,
    /// Folders that may have been made with the first Journal.
    pub(super) made_with: Vec<PathBuf>,
}

impl Places {
    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            folder: layout.journal(),
            view: layout.staging(),
            made_with: vec![layout.home(), layout.root().to_owned()],
        }
    }

    pub(super) fn current(&self) -> PathBuf {
        self.folder.join(CURRENT)
    }

    /// The temporary name of a file; it is fixed, because only the lock holder writes it.
    pub(super) fn under_way(&self) -> PathBuf {
        self.folder.join("under-way")
    }

    pub(super) fn lock(&self) -> Result<FileLock, FsError> {
        FileLock::acquire(&self.folder.join("lock"))
    }

    pub(super) fn presence(&self) -> PathBuf {
        self.folder.join("open")
    }

    /// Replaces a file; failures after the rename are only warnings.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<Warnings, FsError> {
        fs::replace_through(&self.under_way(), path, bytes)
    }

    /// Replaces a file that can be rebuilt.
    pub(super) fn replace_rebuildable(&self, path: &Path, bytes: &[u8]) -> Result<(), FsError> {
        fs::replace_view(&self.under_way(), path, bytes)
    }

    pub(super) fn damaged(&self) -> impl FnOnce(JournalError) -> StagingError + use<> {
        let path = self.current();
        move |source| StagingError::Journal { path, source }
    }

    /// The files in `set-aside/`.
    pub(super) fn aside(&self) -> Result<Vec<PathBuf>, FsError> {
        let folder = self.folder.join("set-aside");
        match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            found => {
                let entries = found.map_err(FsError::while_doing("list", &folder))?;
                Ok(entries.flatten().map(|entry| entry.path()).collect())
            }
        }
    }

    /// Stores bytes in `set-aside/` under a numbered name and deletes the oldest of their kind. The
    /// lock is held.
    pub(super) fn set_aside(
        &self,
        kind: &str,
        extension: &str,
        bytes: &[u8],
    ) -> Result<PathBuf, FsError> {
        let folder = self.folder.join("set-aside");
        fs::create_dir(&folder)?;
        let mut kept = numbers(&folder, kind, extension)?;
        let number = kept.last().map_or(1, |last| last + 1);
        let name = |number: u64| folder.join(format!("{kind}-{number:06}.{extension}"));
        // an unsynced folder does not justify failing the operation
        let _ = self.replace(&name(number), bytes)?;
        kept.push(number);
        for old in &kept[..kept.len().saturating_sub(KEPT_ASIDE)] {
            std::fs::remove_file(name(*old))
                .map_err(FsError::while_doing("remove", &name(*old)))?;
        }
        Ok(name(number))
    }
}

/// The numbers of the files of one kind, in order.
fn numbers(folder: &Path, kind: &str, extension: &str) -> Result<Vec<u64>, FsError> {
    let entries = std::fs::read_dir(folder).map_err(FsError::while_doing("list", folder))?;
    let number = |name: &str| {
        name.strip_prefix(kind)?
            .strip_prefix('-')?
            .strip_suffix(extension)?
            .strip_suffix('.')?
            .parse()
            .ok()
    };
    let mut numbers: Vec<u64> =
        entries.filter_map(|entry| number(entry.ok()?.file_name().to_str()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
