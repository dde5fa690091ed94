//! Where everything of ours lies: `.agent/` beside the code, shared by every worktree of the repository.

use agent_core::object_id::ObjectId;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub struct Layout {
    /// The main working tree (the git directory itself, when bare).
    root: PathBuf,
}

impl Layout {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn home(&self) -> PathBuf {
        self.root.join(".agent")
    }

    /// The view of the Journal's end that people and editors look at.
    pub fn staging(&self) -> PathBuf {
        self.root.join("state/staging.state.json")
    }

    /// A state by its Revision: content-addressed, never changed.
    pub fn state(&self, revision: &ObjectId) -> PathBuf {
        self.home().join("states").join(format!("{revision}.json"))
    }

    /// A checkout by its code tree (the tree without `state/`).
    pub fn checkout(&self, code_tree: &ObjectId) -> PathBuf {
        self.home().join("checkouts").join(code_tree.as_str())
    }

    /// A Python environment by the digest of its lock file and interpreter.
    pub fn environment(&self, key: &str) -> PathBuf {
        self.home().join("environments").join(key)
    }

    /// There while `agent init` has not come to its end.
    pub fn unfinished(&self) -> PathBuf {
        self.home().join("init.json")
    }

    /// What the interpreters on this machine have answered.
    pub fn pythons(&self) -> PathBuf {
        self.home().join("pythons.json")
    }

    /// The Journal of staging and the sealed ones before it.
    pub fn journal(&self) -> PathBuf {
        self.home().join("journal")
    }

    pub fn conversations(&self) -> PathBuf {
        self.home().join("conversations")
    }

    /// What the Architect's runs leave here: a folder each.
    pub fn architect_runs(&self) -> PathBuf {
        self.home().join("architect")
    }

    pub fn architect(&self, run: &str) -> PathBuf {
        self.architect_runs().join(run)
    }

    /// Compiled Python, kept out of the checkouts.
    pub fn bytecode(&self) -> PathBuf {
        self.home().join("bytecode")
    }

    /// Files under way; whatever is left here by a killed process may be removed.
    pub fn temporary(&self) -> PathBuf {
        self.home().join("tmp")
    }
}
