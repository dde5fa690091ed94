//! What can be made again and is no longer used: checkouts, states, folders that killed processes left, and what cases gave.

use crate::conversations::{self, Silences};
use crate::error::CommandError;
use crate::repository::{Repository, manifest_on_disk};
use crate::world::clock;
use crate::world::fs::{self, FsError};
use crate::world::layout::Layout;
use agent_core::object_id::ObjectId;
use agent_core::what::What;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Nothing is under way for this long.
const ABANDONED_AFTER: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Checkout,
    State,
    Temporary,
    /// What cases gave: traces, tiers and parts in an object store of files.
    Result,
    /// One that was seen to be silent for longer than its limit, with what was said of it.
    Conversation,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::State => "state",
            Self::Temporary => "temporary",
            Self::Result => "result",
            Self::Conversation => "conversation",
        }
    }
}

/// A thing that can be made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    pub path: PathBuf,
    pub kind: Kind,
    pub bytes: u64,
    #[serde(skip)]
    pub used: Timestamp,
}

/// Everything there is, and what is being served.
pub struct Snapshot {
    pub items: Vec<Item>,
    pub served: BTreeSet<PathBuf>,
    pub now: Timestamp,
    /// How long each conversation was silent; those that are over are among the items.
    pub silences: Silences,
}

pub fn observe(repository: &Repository) -> Result<Snapshot, CommandError> {
    let layout = &repository.layout;
    let mut items = Vec::new();
    for (folder, kind) in [
        (layout.checkouts(), Kind::Checkout),
        (layout.evaluators(), Kind::Checkout),
        (layout.home().join("states"), Kind::State),
        (layout.temporary(), Kind::Temporary),
    ] {
        items.extend(things_in(&folder, kind)?);
    }
    items.extend(results(repository)?);
    let silences = Silences::observe(layout)?;
    items.extend(over(repository, &silences)?);
    Ok(Snapshot { items, served: served(repository, layout)?, now: clock::now(), silences })
}

/// What is neither served nor was used lately.
pub fn plan(snapshot: &Snapshot, unused_for: SignedDuration) -> Vec<Item> {
    let is_expendable = |item: &&Item| {
        let age = snapshot.now.duration_since(item.used);
        match item.kind {
            Kind::Temporary => age > ABANDONED_AFTER,
            Kind::Result => age > unused_for,
            Kind::Conversation => true,
            Kind::Checkout | Kind::State => age > unused_for && !snapshot.served.contains(&item.path),
        }
    };
    snapshot.items.iter().filter(is_expendable).cloned().collect()
}

/// The conversations that are over, by the manifest that is served; what no manifest limits goes on.
fn over(repository: &Repository, silences: &Silences) -> Result<Vec<Item>, CommandError> {
    let Some(manifest) = repository.served_manifest() else { return Ok(Vec::new()) };
    let mut over = Vec::new();
    for id in silences.over(manifest.limits.conversation()) {
        let [path, rewards] = conversations::files(&repository.layout, id)?;
        over.push(Item { bytes: size(&path) + size(&rewards), path, kind: Kind::Conversation, used: clock::now() });
    }
    Ok(over)
}

/// False for one that goes on: it is no longer silent.
fn end_conversation(layout: &Layout, silences: &Silences, item: &Item) -> Result<bool, CommandError> {
    let id = item.path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(silences.end(layout, &id)?)
}

/// Removes a thing; false where it is in use again by now.
pub fn remove(layout: &Layout, snapshot: &Snapshot, item: &Item) -> Result<bool, CommandError> {
    if item.kind == Kind::Conversation {
        return end_conversation(layout, &snapshot.silences, item);
    }
    remove_files(layout, item)?;
    Ok(true)
}

/// A checkout goes by a rename first, so that nobody ever finds half of one; half of a result is seen by its digest.
fn remove_files(layout: &Layout, item: &Item) -> Result<(), FsError> {
    let failed = || FsError::while_doing("remove", &item.path);
    if item.kind == Kind::Result {
        return fs::remove_folder(&item.path);
    }
    if !item.path.is_dir() || item.path.is_symlink() {
        return std::fs::remove_file(&item.path).map_err(failed());
    }
    let temporary = layout.temporary();
    fs::create_dir(&temporary)?;
    let grave = tempfile::Builder::new().prefix("removed-").tempdir_in(&temporary).map_err(failed())?;
    std::fs::rename(&item.path, grave.path().join("it")).map_err(failed())?;
    grave.close().map_err(failed())
}

/// The checkouts and states of the served branches, the pins, and HEAD.
fn served(repository: &Repository, layout: &Layout) -> Result<BTreeSet<PathBuf>, CommandError> {
    let git = &repository.git;
    let mut commits: Vec<ObjectId> = git.version_branches()?.into_iter().map(|(_, tip)| tip).collect();
    commits.extend(git.resolve("HEAD")?);
    for (name, _) in git.pins()? {
        // a pin whose range matches nothing any more serves nothing
        commits.extend(repository.commit_named(&What::Name(name)).ok());
    }
    let mut served = BTreeSet::new();
    for commit in commits {
        let code = git.code_tree(&commit)?;
        let is_of_it = |name: &String| name.starts_with(code.as_str());
        served.extend(fs::names(&layout.checkouts())?.iter().filter(|name| is_of_it(name)).map(|name| layout.checkouts().join(name)));
        served.extend(git.entry(&commit, crate::world::git::STATE_FILE)?.map(|entry| layout.state(&entry.id)));
    }
    Ok(served)
}

/// By folder: of one code, of the parts of one tier, of tiers whose keys begin alike. A bucket has rules of its own for what is old.
fn results(repository: &Repository) -> Result<Vec<Item>, CommandError> {
    let Some(manifest) = repository.git.worktree().and_then(|folder| manifest_on_disk(&folder).ok()) else { return Ok(Vec::new()) };
    let store = repository.store(&manifest)?;
    let Some(folder) = store.folder() else { return Ok(Vec::new()) };
    let mut items = Vec::new();
    for kind in ["parts", "results", "traces"] {
        items.extend(things_in(&folder.join(kind), Kind::Result)?);
    }
    for item in &mut items {
        item.used = last_used(&item.path, item.used);
    }
    Ok(items)
}

/// Reading is a use as well, where the file system notes it.
fn last_used(folder: &Path, at_least: Timestamp) -> Timestamp {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok());
    let times = files.flat_map(|file| [file.modified(), file.accessed()]).flatten();
    times.filter_map(|time| Timestamp::try_from(time).ok()).fold(at_least, Timestamp::max)
}

fn things_in(folder: &Path, kind: Kind) -> Result<Vec<Item>, FsError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FsError::while_doing("read", folder)(error)),
    };
    let mut items: Vec<Item> = entries
        .flatten()
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let used = Timestamp::try_from(metadata.modified().ok()?).ok()?;
            Some(Item { bytes: size(&entry.path()), path: entry.path(), kind, used })
        })
        .collect();
    items.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(items)
}

/// Bytes of a file, or of all files below a folder.
fn size(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, hours_unused: i64, is_served: bool, goes: bool) {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let path = PathBuf::from("x");
        let item = Item { path: path.clone(), kind, bytes: 1, used: now - SignedDuration::from_hours(hours_unused) };
        let served = is_served.then_some(path).into_iter().collect();
        let snapshot = Snapshot { items: vec![item], served, now, silences: Silences::default() };
        let removed = plan(&snapshot, SignedDuration::from_hours(24));
        assert_eq!(!removed.is_empty(), goes, "{kind:?} unused for {hours_unused} h, served: {is_served}");
    }

    #[test]
    fn what_is_served_or_was_used_lately_stays() {
        check(Kind::Checkout, 25, false, true);
        check(Kind::Checkout, 23, false, false);
        check(Kind::Checkout, 2500, true, false);
        check(Kind::State, 25, false, true);
        check(Kind::State, 25, true, false);
        check(Kind::Result, 25, false, true);
        check(Kind::Result, 23, false, false);
        check(Kind::Conversation, 0, false, true);
        check(Kind::Temporary, 2, false, true);
        check(Kind::Temporary, 0, false, false);
    }
}
