//! The file that marks an environment as complete.

use super::interpreter::Interpreter;
use crate::world::fs::{self, Durability, FsError};
use serde::Serialize;
use std::path::Path;

/// Written last, so that an environment without it is one that was never finished.
pub const MARKER: &str = "agent-environment.json";
/// The schema of a marker. `agent/environment@1` marks an environment whose packages were compiled
/// on first import.
pub(super) const COMPILED: &str = "agent/environment@2";

#[derive(Serialize)]
pub(super) struct Marker<'a> {
    pub(super) schema: &'a str,
    pub(super) lock: &'a Path,
    pub(super) lock_digest: String,
    pub(super) python: &'a Interpreter,
    pub(super) made_with: &'a str,
}

impl Marker<'_> {
    pub(super) fn write(&self, folder: &Path) -> Result<(), FsError> {
        let text = serde_json::to_vec_pretty(self).expect("a marker serialises");
        fs::replace(&folder.join(MARKER), &text, Durability::Rebuildable)
    }
}

/// Whether an environment was made to its end.
pub fn is_finished(folder: &Path) -> bool {
    folder.join(MARKER).is_file()
}

/// Children write no compiled files, so packages are compiled when they are installed.
pub(super) fn is_compiled(folder: &Path) -> bool {
    let marker = fs::read_if_there(&folder.join(MARKER)).ok().flatten().unwrap_or_default();
    serde_json::from_slice::<serde_json::Value>(&marker)
        .is_ok_and(|marker| marker["schema"] == COMPILED)
}
