//! Where everything of ours lies: `.agent/` beside the code, shared by every worktree of the repository.

use agent_core::manifest::Tier;
use agent_core::object_id::ObjectId;
use agent_core::object_id::short_digest;
use std::path::{Path, PathBuf};

/// The folder, at the root of the main working tree.
pub const HOME: &str = ".agent";

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
        self.root.join(HOME)
    }

    /// The view of the Journal's end that people and editors look at.
    pub fn staging(&self) -> PathBuf {
        self.root.join("state/staging.state.json")
    }

    pub fn states(&self) -> PathBuf {
        self.home().join("states")
    }

    /// A state by its Revision: content-addressed, never changed.
    pub fn state(&self, revision: &ObjectId) -> PathBuf {
        self.states().join(format!("{revision}.json"))
    }

    /// Checkouts, by names that begin with the id of their tree.
    pub fn checkouts(&self) -> PathBuf {
        self.home().join("checkouts")
    }

    /// Checkouts of what judges.
    pub fn evaluators(&self) -> PathBuf {
        self.home().join("evaluators")
    }

    /// What is known of checkouts, beside them: nothing in it is part of any.
    pub fn checkout_records(&self) -> PathBuf {
        self.home().join("records")
    }

    pub fn environments(&self) -> PathBuf {
        self.home().join("environments")
    }

    /// A Python environment by the digest of its lock file and interpreter.
    pub fn environment(&self, key: &str) -> PathBuf {
        self.environments().join(key)
    }

    /// There while `agent init` has not come to its end.
    pub fn unfinished(&self) -> PathBuf {
        self.home().join("init.json")
    }

    /// There while `agent adopt` has not come to its end.
    pub fn adoption(&self) -> PathBuf {
        self.home().join("adoption.json")
    }

    /// What the interpreters on this machine have answered.
    pub fn pythons(&self) -> PathBuf {
        self.home().join("pythons.json")
    }

    /// What the Node on this machine has answered.
    pub fn node(&self) -> PathBuf {
        self.home().join("node.txt")
    }

    /// Files of the Runner's own, which every version finds.
    pub fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    /// What servers wrote into their code folders, by the moment it was found.
    pub fn left_behind(&self) -> PathBuf {
        self.data().join("left-behind")
    }

    /// The Journal of staging and the sealed ones before it.
    pub fn journal(&self) -> PathBuf {
        self.home().join("journal")
    }

    /// What a server said of itself, by its code and role.
    pub fn discovery(&self, name: &str) -> PathBuf {
        self.discoveries().join(name)
    }

    pub fn discoveries(&self) -> PathBuf {
        self.home().join("discovery")
    }

    pub fn conversations(&self) -> PathBuf {
        self.home().join("conversations")
    }

    /// Telemetry on its way to the object store: a folder for each process that is alive, or was killed.
    pub fn telemetry(&self) -> PathBuf {
        self.home().join("telemetry")
    }

    /// What telemetry in the store comes to, as far as it was read.
    pub fn tally(&self) -> PathBuf {
        self.home().join("tally.json")
    }

    /// What the last promotion that no person asked for has seen of staging.
    pub fn auto_promotion(&self) -> PathBuf {
        self.home().join("auto-promotion.json")
    }

    /// Held while one is under way.
    pub fn auto_promotion_lock(&self) -> PathBuf {
        self.home().join("auto-promotion.lock")
    }

    /// What the Architect's runs leave here: a folder each.
    pub fn architect_runs(&self) -> PathBuf {
        self.home().join("architect")
    }

    /// Held by the one run that goes on.
    pub fn architect_lock(&self) -> PathBuf {
        self.architect_runs().join("lock")
    }

    pub fn architect(&self, run: &str) -> PathBuf {
        self.architect_runs().join(run)
    }

    /// Compiled Python of code that runs in a folder of the user's.
    pub fn bytecode(&self) -> PathBuf {
        self.home().join("bytecode")
    }

    /// The index of ours that `folder`, a working tree of the repository, is read through.
    pub fn worktree_index(&self, folder: &Path) -> PathBuf {
        self.home().join("worktrees").join(format!("{}.index", short_digest(folder.as_os_str().as_encoded_bytes())))
    }

    /// Results that are not in the object store yet: a file for each run of a tier that is under way, or was killed.
    pub fn pending(&self) -> PathBuf {
        self.home().join("pending")
    }

    /// What this machine remembers of earlier runs of a tier: how long its slow cases took, and with what it was run last.
    pub fn tier_history(&self, tier: Tier) -> PathBuf {
        self.home().join("history").join(format!("{tier}.json"))
    }

    /// Folders that confined children write, each with a lock beside it.
    pub fn scratch(&self) -> PathBuf {
        self.temporary().join("scratch")
    }

    /// Files under way; whatever is left here by a killed process may be removed.
    pub fn temporary(&self) -> PathBuf {
        self.home().join("tmp")
    }
}
