//! The paths of `.agent/` beside the code, shared by every worktree of the repository.

use crate::world::fs::{self, Durability, FsError};
use crate::world::read_only::WritableLayer;
use crate::world::temporary::Temporary;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::formats::object_id::short_digest;
use std::path::{Path, PathBuf};

/// The folder, at the root of the main working tree.
pub const HOME: &str = ".agent";

/// Data that can be rebuilt or is optional: where one of these is not writable, a temporary layer
/// replaces it.
const PARTS: [&str; 17] = [
    "bytecode",
    "checkouts",
    "conversations",
    "conversations/rewards",
    "discovery",
    "environments",
    "evaluators",
    "history",
    "pending",
    "records",
    "records/checkouts",
    "records/evaluators",
    "states",
    "telemetry",
    "tmp",
    "tmp/scratch",
    "worktrees",
];

#[derive(Debug, Clone)]
pub struct Layout {
    /// The main working tree (the git directory itself, when bare).
    root: PathBuf,
    writable_layer: Option<WritableLayer>,
}

impl Layout {
    /// Of a folder that can be written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), writable_layer: None }
    }

    /// Of a repository as it is found.
    pub fn of(root: &Path) -> Self {
        Self {
            writable_layer: WritableLayer::needed(root, &root.join(HOME), &PARTS),
            ..Self::new(root)
        }
    }

    /// The temporary layer over `.agent`, where it is not writable.
    pub const fn writable_layer(&self) -> Option<&WritableLayer> {
        self.writable_layer.as_ref()
    }

    /// Makes `.agent`, with a `.gitignore` that keeps it out of every commit.
    pub fn make_home(&self) -> Result<(), FsError> {
        let ignored = self.home().join(".gitignore");
        if self.writable_layer.is_some() || ignored.exists() {
            return Ok(());
        }
        fs::replace(&ignored, b"*\n", Durability::Rebuildable)
    }

    /// Where what is below `.agent` is, or is to be made.
    fn item(&self, path: PathBuf) -> PathBuf {
        match &self.writable_layer {
            Some(layer) => layer.find(path),
            None => path,
        }
    }

    /// A folder in which things are made.
    fn folder(&self, name: &str) -> PathBuf {
        let path = self.home().join(name);
        self.writable_layer.as_ref().and_then(|layer| layer.above(&path)).unwrap_or(path)
    }

    /// The folder in which things are made, and the folder below `.agent` that it covers: both are
    /// read.
    fn folders(&self, name: &str) -> Vec<PathBuf> {
        let (made_in, own) = (self.folder(name), self.home().join(name));
        if made_in == own { vec![own] } else { vec![made_in, own] }
    }

    /// Where a file is to be written, with what it holds.
    pub fn to_write(&self, path: PathBuf) -> Result<PathBuf, FsError> {
        match &self.writable_layer {
            Some(layer) => layer.to_write(path),
            None => Ok(path),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn home(&self) -> PathBuf {
        self.root.join(HOME)
    }

    /// The view of the Journal's end for users and editors.
    pub fn staging(&self) -> PathBuf {
        self.root.join("state/staging.state.json")
    }

    /// A new temporary folder below `.agent`. Its name begins with what it is for.
    pub fn temporary_folder(&self, purpose: &str) -> Result<Temporary, FsError> {
        Temporary::below(&self.temporary(), purpose)
    }

    pub fn states(&self) -> PathBuf {
        self.folder("states")
    }

    /// A state by its Revision: content-addressed, never changed.
    pub fn state(&self, revision: &ObjectId) -> PathBuf {
        self.item(self.home().join("states").join(format!("{revision}.json")))
    }

    /// Checkouts, by names that begin with the id of their tree.
    pub fn checkouts(&self) -> PathBuf {
        self.folder("checkouts")
    }

    /// A checkout or what is known of one, by its path below `.agent`.
    pub fn known(&self, path: &Path) -> PathBuf {
        self.item(self.home().join(path))
    }

    /// The path below `.agent`, or in its temporary layer.
    pub fn below_home(&self, path: &Path) -> Option<PathBuf> {
        let own = self.writable_layer.as_ref().and_then(|layer| layer.below(path));
        own.as_deref().unwrap_or(path).strip_prefix(self.home()).ok().map(Path::to_owned)
    }

    /// Checkouts of what judges.
    pub fn evaluators(&self) -> PathBuf {
        self.folder("evaluators")
    }

    /// The records of checkouts, which are outside of the checkouts.
    pub fn checkout_records(&self) -> PathBuf {
        self.folder("records")
    }

    pub fn environments(&self) -> PathBuf {
        self.folder("environments")
    }

    /// A Python environment by the digest of its lock file and interpreter.
    pub fn environment(&self, key: &str) -> PathBuf {
        self.item(self.home().join("environments").join(key))
    }

    /// Where environments may be.
    pub fn environment_folders(&self) -> Vec<PathBuf> {
        self.folders("environments")
    }

    /// Exists while `agent init` is incomplete.
    pub fn unfinished(&self) -> PathBuf {
        self.home().join("init.json")
    }

    /// Exists while `agent adopt` is incomplete.
    pub fn adoption(&self) -> PathBuf {
        self.home().join("adoption.json")
    }

    /// The record of a template that is being applied.
    pub fn applying(&self) -> PathBuf {
        self.home().join("applying.json")
    }

    /// The records of templates that were applied, by number.
    pub fn applied(&self) -> PathBuf {
        self.home().join("applied")
    }

    /// Calls of hosts, while they are recorded.
    pub fn recording(&self) -> PathBuf {
        self.home().join("recording")
    }

    /// The versions of the interpreters on this machine.
    pub fn pythons(&self) -> PathBuf {
        self.home().join("pythons.json")
    }

    /// The version of Node on this machine.
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

    /// The discovery results of a server, by its code and role.
    pub fn discovery(&self, name: &str) -> PathBuf {
        self.item(self.home().join("discovery").join(name))
    }

    pub fn discoveries(&self) -> PathBuf {
        self.folder("discovery")
    }

    pub fn conversations(&self) -> PathBuf {
        self.folder("conversations")
    }

    /// Where conversations may be.
    pub fn conversation_folders(&self) -> Vec<PathBuf> {
        self.folders("conversations")
    }

    /// A file of a conversation.
    pub fn conversation(&self, name: &Path) -> PathBuf {
        self.item(self.home().join("conversations").join(name))
    }

    /// Telemetry not yet in the object store: a folder for each process that is running, or was
    /// killed.
    pub fn telemetry(&self) -> PathBuf {
        self.folder("telemetry")
    }

    /// The aggregate of telemetry files in the store that were read.
    pub fn tally(&self) -> PathBuf {
        self.home().join("tally.json")
    }

    /// Good and all events of each SLO, as far as telemetry in the store was read.
    pub fn slo_counts(&self) -> PathBuf {
        self.home().join("slo-counts.json")
    }

    /// Calls and rewards over time by version, as far as telemetry in the store was read.
    pub fn live_series(&self) -> PathBuf {
        self.home().join("live-series.json")
    }

    /// The staging position of the last automatic promotion.
    pub fn auto_promotion(&self) -> PathBuf {
        self.home().join("auto-promotion.json")
    }

    /// Locked during one.
    pub fn auto_promotion_lock(&self) -> PathBuf {
        self.home().join("auto-promotion.lock")
    }

    /// The Architect's runs: a folder each.
    pub fn architect_runs(&self) -> PathBuf {
        self.home().join("architect")
    }

    /// Locked by the active run.
    pub fn architect_lock(&self) -> PathBuf {
        self.architect_runs().join("lock")
    }

    /// The results of tiers that triggers run again.
    pub fn trigger_evaluations(&self) -> PathBuf {
        self.home().join("trigger-evaluations.json")
    }

    /// Locked by a check of the triggers.
    pub fn trigger_lock(&self) -> PathBuf {
        self.folder("locks").join("trigger")
    }

    /// The canary that runs here.
    pub fn canary_current(&self) -> PathBuf {
        self.home().join("canary").join("current.json")
    }

    /// The last one that ended here.
    pub fn canary_last(&self) -> PathBuf {
        self.home().join("canary").join("last.json")
    }

    /// The conversations that it was judged by.
    pub fn canary_taken(&self) -> PathBuf {
        self.home().join("canary").join("taken.json")
    }

    /// What is known of its conversations, as far as telemetry in the store was read.
    pub fn canary_observed(&self) -> PathBuf {
        self.home().join("canary").join("observed.json")
    }

    /// Locked while it is started, brought up to date or ended.
    pub fn canary_lock(&self) -> PathBuf {
        self.folder("locks").join("canary")
    }

    pub fn architect(&self, run: &str) -> PathBuf {
        self.architect_runs().join(run)
    }

    /// Compiled Python of code that runs in a folder of the user's.
    pub fn bytecode(&self) -> PathBuf {
        self.folder("bytecode")
    }

    /// The separate index for reading `folder`, a working tree of the repository.
    pub fn worktree_index(&self, folder: &Path) -> PathBuf {
        self.folder("worktrees")
            .join(format!("{}.index", short_digest(folder.as_os_str().as_encoded_bytes())))
    }

    /// Results not yet in the object store: a file for each run of a tier that is active, or was
    /// killed.
    pub fn pending(&self) -> PathBuf {
        self.folder("pending")
    }

    /// What this machine remembers of earlier runs of a tier: how long its slow cases took, and
    /// with what it was run last.
    pub fn tier_history(&self, tier: Tier) -> PathBuf {
        self.item(self.home().join("history").join(format!("{tier}.json")))
    }

    /// Folders that confined children write, each with a lock beside it.
    pub fn scratch(&self) -> PathBuf {
        self.folder("tmp/scratch")
    }

    /// Temporary files; leftovers of killed processes may be removed.
    pub fn temporary(&self) -> PathBuf {
        self.folder("tmp")
    }
}
