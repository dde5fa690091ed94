//! The request that a run stop: a file in its folder, which any process may write.

use crate::world::fs::{self, FsError};
use std::path::Path;

const FILE: &str = "cancel";

/// Requests cancellation of the run of this folder.
pub fn request(folder: &Path) -> Result<(), FsError> {
    fs::write(&folder.join(FILE), b"")
}

pub fn is_requested(folder: &Path) -> bool {
    folder.join(FILE).exists()
}
