//! State files, keyed by Revision: made once, shared by every process, never changed.

use crate::world::fs::{self, Durability, FsError};
use crate::world::layout::Layout;
use crate::world::lease::Lease;
use agent_core::formats::object_id::ObjectId;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that holds a state. `agent gc` does not remove it while this value, or a clone of it,
/// exists.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
    _lease: Arc<Option<Lease>>,
}

impl StateFile {
    /// The file with the bytes of a Revision; made when it is not there yet, and again when it
    /// holds other bytes.
    pub fn of(layout: &Layout, revision: &ObjectId, bytes: &[u8]) -> Result<Self, FsError> {
        let mut path = layout.state(revision);
        // what is no file is replaced by one
        let mut lease = Lease::take(&path).unwrap_or(None);
        if lease.is_some() && fs::read_if_there(&path)?.as_deref() == Some(bytes) {
            fs::mark_used(&path);
        } else {
            path = layout.to_write(path)?;
            fs::replace(&path, bytes, Durability::Rebuildable)?;
            lease = Lease::take(&path)?;
        }
        Ok(Self { path, _lease: Arc::new(lease) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_file_holds_its_revision_and_a_lease() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let revision = ObjectId::of_blob(b"{}\n");
        let path = StateFile::of(&layout, &revision, b"{}\n").unwrap().path().to_owned();
        std::fs::write(&path, b"torn").unwrap();
        let state = StateFile::of(&layout, &revision, b"{}\n").unwrap();
        assert_eq!(std::fs::read(state.path()).unwrap(), b"{}\n");
        assert!(Lease::take_alone(&path).unwrap().is_none());
        drop(state);
        Lease::take_alone_at_last(&path);
    }
}
