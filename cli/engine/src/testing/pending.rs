//! Results not yet in the object store: a file for each run, locked while its process runs, so that
//! the next run finds the results of a killed one.

use crate::world::fs::{FileLock, FsError, remove_if_there};
use crate::world::layout::Layout;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Pending {
    lock: FileLock,
    path: PathBuf,
}

impl Pending {
    pub fn create(layout: &Layout, run: &str) -> Result<Self, FsError> {
        let free = (0..).map(|number| {
            layout.pending().join(format!("{run}-{}-{number}.jsonl", std::process::id()))
        });
        let path = free.into_iter().find(|path| !path.exists()).expect("numbers do not end");
        Ok(Self { lock: FileLock::acquire(&path)?, path })
    }

    /// The results of killed runs of the same code, complete lines only; the caller takes
    /// ownership.
    pub fn adopt(layout: &Layout, run: &str) -> Result<Vec<(Self, String)>, FsError> {
        let Ok(entries) = std::fs::read_dir(layout.pending()) else { return Ok(Vec::new()) };
        let of_run = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(run))
        };
        let mut adopted = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()).filter(of_run) {
            if let Some(lock) = FileLock::try_acquire(&path)? {
                let text = whole_lines(lock.file(), &path)?;
                adopted.push((Self { lock, path }, text));
            }
        }
        Ok(adopted)
    }

    pub fn append(&self, text: &str) -> Result<(), FsError> {
        self.lock
            .to_write()?
            .write_all(text.as_bytes())
            .map_err(FsError::while_doing("write", &self.path))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it is in the store.
    pub fn done(self) -> Result<(), FsError> {
        remove_if_there(&self.path)
    }
}

/// A kill cuts the last line anywhere.
fn whole_lines(mut file: &std::fs::File, path: &Path) -> Result<String, FsError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(FsError::while_doing("read", path))?;
    bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
