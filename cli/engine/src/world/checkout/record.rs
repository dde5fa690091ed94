//! The record of a verified checkout, stored outside of it, so that the next comparison need not
//! read every file.

use super::scan::{Found, summary};
use crate::world::fs::{self, Durability, FsError};
use agent_core::formats::object_id::{ObjectId, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

const SCHEMA: &str = "agent/checkout@1";
/// The clock of most file systems moves every few milliseconds; that of a coarse one is not waited
/// for.
const CLOCK_MOVES_WITHIN: Duration = Duration::from_millis(12);
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    schema: String,
    tree: ObjectId,
    /// Of all paths and marks.
    marks: String,
    /// A file changed within the clock's resolution of the comparison can keep its stamp: only
    /// stamps older than the comparison are reliable.
    certain: bool,
    /// Compiled Python that was added to the files of the tree, by path, with digests.
    pub compiled: BTreeMap<String, String>,
}

impl Record {
    pub fn new(
        tree: &ObjectId,
        found: &[Found],
        certain: bool,
        compiled: BTreeMap<String, String>,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            tree: tree.clone(),
            marks: digest(&summary(found)),
            certain,
            compiled,
        }
    }

    /// The record of a tree's checkout; an unreadable one counts as missing.
    pub fn read(path: &Path, tree: &ObjectId) -> Option<Self> {
        let bytes = fs::read_if_there(path).ok().flatten()?;
        let record: Self = serde_json::from_slice(&bytes).ok()?;
        (record.schema == SCHEMA && record.tree == *tree).then_some(record)
    }

    pub fn write(&self, path: &Path) -> Result<(), FsError> {
        fs::replace(
            path,
            &serde_json::to_vec(self).expect("a record serialises"),
            Durability::Rebuildable,
        )
    }

    /// Whether nothing was changed since the record was written.
    pub fn holds(&self, found: &[Found]) -> bool {
        self.certain && self.marks == digest(&summary(found))
    }
}

/// Waits until the clock of the file system has passed all changes of these files, and returns
/// whether it has: later changes have other stamps.
pub(super) fn clock_is_past(found: &[Found], folder: &Path) -> Result<bool, FsError> {
    use std::os::unix::fs::MetadataExt as _;
    fs::create_dir(folder)?;
    let failed = || FsError::while_doing("read the clock of the file system of", folder);
    let mut file = tempfile::tempfile_in(folder).map_err(failed())?;
    let last = found.iter().map(|found| found.marks.changed).max().unwrap_or_default();
    let until = Instant::now() + CLOCK_MOVES_WITHIN;
    loop {
        file.write_all(b".").map_err(failed())?;
        let metadata = file.metadata().map_err(failed())?;
        if (metadata.mtime(), metadata.mtime_nsec()) > last {
            return Ok(true);
        }
        if Instant::now() > until {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
}
