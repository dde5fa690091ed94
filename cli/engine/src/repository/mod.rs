//! An agent repository, open: git, where our things lie, and the manifest of any tree.

pub mod canaries;
mod error;
pub mod firings;
pub mod githooks;
pub mod inbox;
mod lack;
pub mod ledger;
pub mod lineage;
pub mod past;
pub mod records;
pub mod refspecs;
pub mod registry;
pub mod run_report;
pub mod sharing;
pub mod soundness;

pub use error::RepositoryError;

use crate::notices::Notices;
use crate::repository::past::RepositoryPast;
use crate::staging::{Active, Staging};
use crate::telemetry;
use crate::world::fs::FsError;
use crate::world::git::{ACTIVE, Git, STATE_FILE};
use crate::world::layout::Layout;
use crate::world::store::Store;
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::document;
use agent_core::formats::manifest::{self, Manifest, ManifestError};
use agent_core::formats::object_id::ObjectId;
use agent_core::state::journal::Base;
use agent_core::version::promotion::Tip;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

pub struct Repository {
    pub git: Git,
    pub layout: Layout,
    /// The user's working directory in it.
    pub directory: PathBuf,
    pub notices: Notices,
    /// The state for the working tree, as last computed.
    pub merge_cache: RefCell<Option<CachedMerge>>,
    /// The last versions that were checked and are sound.
    sound: RefCell<VecDeque<Tip>>,
    unrecorded_reported: Cell<bool>,
}

/// What a command has to write in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// It only reads or serves.
    Nothing,
    /// `.agent`: staging, and data that is rebuilt when it is missing.
    Home,
    /// Objects and refs as well.
    Refs,
}

impl Writes {
    /// For a command with `--dry-run`.
    #[must_use]
    pub fn unless(self, is_dry_run: bool) -> Self {
        if is_dry_run { Self::Nothing } else { self }
    }
}

/// A folder in an agent repository, and where notices of work in it go. Each thread opens the
/// repository for itself.
#[derive(Debug, Clone)]
pub struct Location {
    pub directory: PathBuf,
    pub notices: Notices,
}

impl Location {
    /// Opens the repository, and finishes what a killed command left undone.
    pub fn open(&self) -> Result<Repository, RepositoryError> {
        let repository = self.open_without_recovery()?;
        let part = || repository.layout.writable_layer().map(|layer| layer.refusal().again());
        if let Some(refusal) = repository.refusal(Writes::Refs).or_else(part) {
            repository.warn_unrecorded(&refusal);
        }
        repository.finish()?;
        Ok(repository)
    }

    /// Opens the repository for a command that has to write: a read-only one is refused before
    /// anything is done.
    pub fn open_to(&self, writes: Writes) -> Result<Repository, RepositoryError> {
        if writes == Writes::Nothing {
            return self.open();
        }
        let repository = self.open_without_recovery()?;
        match repository.refusal(writes) {
            Some(refusal) => Err(refusal.into()),
            None => repository.finish().map(|()| repository),
        }
    }

    /// Opens the repository as it is: for a hook, which runs in the middle of a git command.
    pub fn open_without_recovery(&self) -> Result<Repository, RepositoryError> {
        Ok(Repository::on(Git::discover(&self.directory)?, self))
    }
}

/// The three-way merge of the served state with the state file of the working tree.
#[derive(Debug, Clone, PartialEq)]
pub enum MergeOutcome {
    State(Value),
    /// It was changed on both sides, differently, at these places.
    Conflict(Vec<String>),
    /// The code supports only an earlier schema than that of the served state.
    Older {
        served: u64,
        known: u64,
    },
}

/// The last merge, by all that it depends on.
#[derive(Debug, Clone)]
pub struct CachedMerge {
    pub key: String,
    pub outcome: MergeOutcome,
}

/// The bound of the cache: further versions are checked again.
const SOUND: usize = 16;

impl Repository {
    fn on(git: Git, location: &Location) -> Self {
        let layout = git.layout();
        if layout.home().exists()
            || git.worktree().is_some_and(|folder| folder.join(manifest::FILE).exists())
        {
            // a command that has to write there reports why it cannot
            let _ = layout.make_home();
        }
        let Location { directory, notices } = location.clone();
        Self {
            layout,
            git,
            directory,
            notices,
            merge_cache: RefCell::default(),
            sound: RefCell::default(),
            unrecorded_reported: Cell::default(),
        }
    }

    /// Where another thread opens it for itself.
    pub fn location(&self) -> Location {
        Location { directory: self.directory.clone(), notices: self.notices.clone() }
    }

    /// Why this cannot be written, where it cannot.
    pub fn refusal(&self, writes: Writes) -> Option<FsError> {
        let home = self
            .layout
            .writable_layer()
            .filter(|layer| layer.is_whole())
            .map(|layer| layer.refusal().again());
        match writes {
            Writes::Nothing => None,
            Writes::Home => home,
            Writes::Refs => home.or_else(|| self.git.refusal()),
        }
    }

    /// Reports once that new files are not retained.
    fn warn_unrecorded(&self, refusal: &FsError) {
        if !self.unrecorded_reported.replace(true) {
            let why = refusal.messages().join(": ");
            self.warn(&format!(
                "{why}; missing files are made in a temporary folder, and nothing is recorded"
            ));
        }
    }

    /// Finishes what a killed command left undone. What cannot be finished now is a warning, and
    /// does not stop a command that only reads.
    pub fn finish(&self) -> Result<(), RepositoryError> {
        for line in self.git.repair()?.lines() {
            self.notices.warn(line);
        }
        Ok(())
    }

    /// The manifest of a commit or tree.
    pub fn manifest(&self, tree: &ObjectId) -> Result<Manifest, RepositoryError> {
        let origin = format!("{}:{}", tree.short(), manifest::FILE);
        let bytes = self
            .git
            .read(tree, manifest::FILE)?
            .ok_or_else(|| ManifestError::Missing { origin: origin.clone() })?;
        Ok(Manifest::read(&bytes, &origin)?)
    }

    /// The tip of what is served; `None` before the first release. One that is no sound version is
    /// an error.
    pub fn tip(&self) -> Result<Option<Tip>, RepositoryError> {
        self.git.reference(ACTIVE)?.map(|commit| self.version_at(&commit)).transpose()
    }

    pub fn known_sound(&self, commit: &ObjectId) -> Option<Tip> {
        self.sound.borrow().iter().find(|tip| tip.commit == *commit).cloned()
    }

    pub fn remember_sound(&self, tip: &Tip) {
        let mut sound = self.sound.borrow_mut();
        sound.push_front(tip.clone());
        sound.truncate(SOUND);
    }

    /// The tip of what is served; an error where there is none.
    pub fn expect_tip(&self) -> Result<Tip, RepositoryError> {
        self.tip()?.ok_or_else(|| self.nothing_served())
    }

    /// Why a command that needs a version has none.
    pub fn nothing_served(&self) -> RepositoryError {
        RepositoryError::NothingServed { is_shallow: self.git.is_shallow() }
    }

    /// The state a commit holds; null where it holds none.
    pub fn state_at(&self, commit: &ObjectId) -> Result<Value, RepositoryError> {
        match self.git.read(commit, STATE_FILE)? {
            Some(bytes) => state_value(&bytes, &format!("{}:{STATE_FILE}", commit.short())),
            None => Ok(Value::Null),
        }
    }

    /// The object store that a manifest names.
    pub fn store(&self, manifest: &Manifest) -> Result<Store, RepositoryError> {
        self.store_of(&manifest.store)
    }

    /// The object store of these settings; long waits are reported.
    pub fn store_of(&self, settings: &manifest::Store) -> Result<Store, RepositoryError> {
        let store = self.own_store(settings)?.over(&self.layout);
        // further write failures were reported when the repository was opened
        if self.layout.writable_layer().is_none()
            && let Some(refusal) = store.refusal()
        {
            self.warn_unrecorded(&refusal);
        }
        Ok(store)
    }

    fn own_store(&self, settings: &manifest::Store) -> Result<Store, RepositoryError> {
        let notices = self.notices.clone();
        Ok(Store::open(settings, self.layout.root())?.waiting(move |text| notices.info(text)))
    }

    /// The object store for evidence of a commit that no ref names yet: its objects become durable
    /// by the sync before the ref moves.
    pub fn store_of_evidence(&self, manifest: &Manifest) -> Result<Store, RepositoryError> {
        Ok(self.own_store(&manifest.store)?.synced_with(self.git.synced_file_system()))
    }

    /// The served version, as staging needs it.
    pub fn active(&self) -> Result<Active, RepositoryError> {
        self.active_at(&self.expect_tip()?)
    }

    pub fn active_at(&self, tip: &Tip) -> Result<Active, RepositoryError> {
        let base = Base {
            version: tip.version.clone(),
            commit: tip.commit.clone(),
            revision: tip.revision.clone(),
        };
        let state = state_value(
            &self.git.blob(&tip.revision)?,
            &format!("{}:{STATE_FILE}", tip.commit.short()),
        )?;
        let journal = self.git.commit(&tip.commit)?.trailers.journal;
        Ok(Active { base, state, journal })
    }

    /// Staging on the served version; repairs are reported.
    pub fn staging(&self) -> Result<Staging, RepositoryError> {
        self.staging_on(&self.active()?)
    }

    pub fn staging_on(&self, active: &Active) -> Result<Staging, RepositoryError> {
        let staging = Staging::open(
            &self.layout,
            active,
            Box::new(RepositoryPast::new(&self.git, &self.layout)),
        )?;
        for notice in staging.notices() {
            self.warn(&notice.to_string());
        }
        Ok(staging)
    }

    /// Telemetry from here on, into the object store of what is served.
    pub fn telemetry(&self) -> telemetry::Guard<'_> {
        // without one the defaults do: telemetry is no reason to refuse anything
        let manifest = self.served_manifest();
        let store = manifest.as_ref().map(|manifest| manifest.store.clone()).unwrap_or_default();
        let settings = telemetry::Settings {
            layout: self.layout.clone(),
            store,
            agent: manifest.map(|manifest| manifest.name),
        };
        let notices = self.notices.clone();
        telemetry::start(
            settings,
            |problem| self.notices.detail(problem),
            move |problem| notices.warn(problem),
        )
    }

    /// What is on record.
    pub fn records(&self) -> Result<telemetry::Records, RepositoryError> {
        let settings = self.served_manifest().map(|manifest| manifest.store).unwrap_or_default();
        Ok(telemetry::Records::new(
            self.layout.clone(),
            Store::open(&settings, self.layout.root())?.briefly(),
        ))
    }

    /// The manifest of what is served, where something is.
    pub fn served_manifest(&self) -> Option<Manifest> {
        self.git.reference(ACTIVE).ok().flatten().and_then(|tip| self.manifest(&tip).ok())
    }

    pub fn warn(&self, text: &str) {
        self.notices.warn(text);
    }

    /// The value of a committed outcome; failures after the commit point are reported.
    pub fn unpack<T>(&self, committed: Committed<T>) -> T {
        let mut warnings = Warnings::none();
        let value = committed.unpack(&mut warnings);
        self.say(warnings);
        value
    }

    /// Reports failures after a commit point.
    pub fn say(&self, warnings: Warnings) {
        warnings.into_iter().for_each(|warning| self.warn(&warning));
    }

    /// The user's working tree; a bare repository has none.
    pub fn worktree(&self) -> Result<std::path::PathBuf, RepositoryError> {
        self.git.worktree().ok_or(RepositoryError::Bare)
    }
}

/// A state file's content; `origin` names it in errors.
pub fn state_value(bytes: &[u8], origin: &str) -> Result<Value, RepositoryError> {
    Ok(document::json(bytes, origin)?)
}

/// The manifest of a folder on disk.
pub fn manifest_on_disk(folder: &Path) -> Result<Manifest, RepositoryError> {
    let path = folder.join(manifest::FILE);
    let bytes = crate::world::fs::read_if_there(&path)?;
    let bytes =
        bytes.ok_or_else(|| ManifestError::Missing { origin: folder.display().to_string() })?;
    Ok(Manifest::read(&bytes, manifest::FILE)?)
}
