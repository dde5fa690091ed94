//! What is known of an interpreter.

use crate::world::env;
use agent_core::formats::python_version::PythonVersion;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A probed interpreter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// The executable itself, resolved through shims on PATH.
    pub executable: PathBuf,
    pub version: String,
    /// `cpython`, and the letter of a build of another kind (`cpython-t`: free-threaded).
    pub implementation: String,
    /// The folders it is installed in.
    pub prefixes: Vec<PathBuf>,
}

impl Interpreter {
    pub(super) fn release(&self) -> Option<PythonVersion> {
        self.version.parse().ok()
    }

    /// Where `pip install --user` puts packages.
    pub(super) fn user_packages(&self) -> Option<PathBuf> {
        let base =
            env::python_user_base().or_else(|| Some(PathBuf::from(env::home()?).join(".local")))?;
        let (minor, _) = self.version.rsplit_once('.')?;
        Some(base.join(format!("lib/python{minor}/site-packages")))
    }
}
