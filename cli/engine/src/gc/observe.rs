//! The files that exist, by their place, and which of them a process uses.

use super::{Item, Kind, RetentionReason, Snapshot, outlived};
use crate::architect;
use crate::conversations::{self, IdleTimes};
use crate::error::Failure;
use crate::repository::{Repository, manifest_on_disk};
use crate::telemetry;
use crate::world::checkout::{CheckoutPurpose, record_of};
use crate::world::fs::{self, FileLock, FsError};
use crate::world::git::STATE_FILE;
use crate::world::layout::Layout;
use crate::world::lease::Lease;
use crate::world::{clock, python, temporary};
use agent_core::formats::object_id::ObjectId;
use agent_core::version::what::What;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders of an object store with content that can be recomputed.
const RESULTS: [&str; 3] = ["parts", "results", "traces"];
const EVALUATIONS: &str = "evals";
const CALLS: &str = "telemetry/calls";
const REPLAYS: &str = "replays";

pub fn observe(repository: &Repository) -> Result<Snapshot, Failure> {
    let layout = &repository.layout;
    let idle_times = IdleTimes::observe(layout)?;
    let served = served(repository)?;
    let mut items = checkouts(layout, &served)?;
    items.extend(states(layout, &served)?);
    items.extend(under_way(layout)?);
    items.extend(environments(layout)?);
    items.extend(workplaces(layout)?);
    if let Some(folder) = store(repository)? {
        items.extend(results(&folder)?);
        items.extend(record(repository, &folder));
        items.extend(evaluations(repository, &folder)?);
        items.extend(
            files_below(&folder)
                .into_iter()
                .filter(|path| is_staged(path))
                .filter_map(|path| Item::at(path, Kind::Leftover)),
        );
    }
    items.extend(
        entries(&layout.pending())?.into_iter().filter_map(|path| Item::leased(path, Kind::Result)),
    );
    items.extend(over(repository, &idle_times)?);
    Ok(Snapshot { items, now: clock::now(), idle_times })
}

impl Item {
    /// `None` for entries removed meanwhile.
    fn at(path: PathBuf, kind: Kind) -> Option<Self> {
        let used = modified(&path)?;
        Some(Self { bytes: size(&path), path, kind, used, retained: None })
    }

    /// An entry that a process leases while it uses it.
    fn leased(path: PathBuf, kind: Kind) -> Option<Self> {
        let item = Self::at(path, kind)?;
        // what cannot be opened is found again when it is removed
        let in_use =
            matches!(Lease::take_alone(&item.path), Ok(None)).then_some(RetentionReason::InUse);
        Some(Self { retained: in_use, ..item })
    }

    fn served(self, served: &BTreeSet<String>, id: &str) -> Self {
        let retained =
            if served.contains(id) { Some(RetentionReason::Served) } else { self.retained };
        Self { retained, ..self }
    }
}

/// What a lock keeps for as long as a process holds it.
fn while_held(lock: &Path) -> Option<RetentionReason> {
    let is_held = lock.exists() && matches!(FileLock::try_acquire(lock), Ok(None));
    is_held.then_some(RetentionReason::InUse)
}

/// Those of code and of evaluators, and records of removed ones.
fn checkouts(layout: &Layout, served: &BTreeSet<String>) -> Result<Vec<Item>, FsError> {
    let mut items = Vec::new();
    for purpose in CheckoutPurpose::ALL {
        let folder = purpose.folder(layout);
        for place in entries(&folder)? {
            let tree = name(&place).split('-').next().unwrap_or_default().to_owned();
            let used = modified(&record_of(layout, &place));
            let item = Item::leased(place, Kind::Checkout)
                .map(|item| Item { used: used.unwrap_or(item.used), ..item });
            items.extend(item.map(|item| item.served(served, &tree)));
        }
    }
    let has_none = |record: &PathBuf| {
        let of = record
            .strip_prefix(layout.checkout_records())
            .ok()
            .map(|path| layout.home().join(path.with_extension("")));
        record.extension().is_some_and(|extension| extension == "json")
            && of.is_some_and(|place| !place.exists())
    };
    let records = files_below(&layout.checkout_records()).into_iter().filter(has_none);
    items.extend(records.filter_map(|record| Item::at(record, Kind::Leftover)));
    Ok(items)
}

fn states(layout: &Layout, served: &BTreeSet<String>) -> Result<Vec<Item>, FsError> {
    let state = |path: PathBuf| {
        let revision = name(&path).trim_end_matches(".json").to_owned();
        Item::leased(path, Kind::State).map(|item| item.served(served, &revision))
    };
    Ok(entries(&layout.states())?
        .into_iter()
        .filter(|path| !is_new(path))
        .filter_map(state)
        .collect())
}

/// Folders of commands, here and where there is no repository, and files that were about to be put
/// in place.
fn under_way(layout: &Layout) -> Result<Vec<Item>, FsError> {
    let scratch = layout.scratch();
    let temporary = entries(&layout.temporary())?
        .into_iter()
        .filter(|path| *path != scratch)
        .chain(temporary::outside());
    let mut items: Vec<_> =
        temporary.filter_map(|path| Item::leased(path, Kind::Temporary)).collect();
    for path in entries(&scratch)?.into_iter().filter(|path| path.is_dir()) {
        let retained = while_held(&path.with_extension("lock"));
        items.extend(Item::at(path, Kind::Temporary).map(|item| Item { retained, ..item }));
    }
    let own = [
        layout.home(),
        layout.states(),
        layout.checkout_records(),
        layout.conversations(),
        layout.journal(),
    ];
    for folder in own
        .into_iter()
        .chain(["discovery", "history", "worktrees"].map(|name| layout.home().join(name)))
    {
        items.extend(
            entries(&folder)?
                .into_iter()
                .filter(|path| is_new(path))
                .filter_map(|path| Item::at(path, Kind::Leftover)),
        );
    }
    Ok(items)
}

/// A file that was about to be put in the place of another.
fn is_new(path: &Path) -> bool {
    name(path).starts_with(fs::UNDER_WAY)
}

/// Those that a killed process was making: one that is being made is locked.
fn environments(layout: &Layout) -> Result<Vec<Item>, FsError> {
    let unfinished = entries(&layout.environments())?
        .into_iter()
        .filter(|path| path.is_dir() && !python::is_finished(path));
    let item = |path: PathBuf| {
        let retained = while_held(&python::lock_of(&path));
        Item::at(path, Kind::Environment).map(|item| Item { retained, ..item })
    };
    Ok(unfinished.filter_map(item).collect())
}

/// A run removes its own, so existing ones belong to a running or a crashed run.
fn workplaces(layout: &Layout) -> Result<Vec<Item>, FsError> {
    let runs = entries(&layout.architect_runs())?;
    let places: Vec<_> = runs
        .iter()
        .flat_map(|run| architect::leftovers(run))
        .filter(|place| place.is_dir())
        .collect();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let retained = while_held(&layout.architect_lock());
    Ok(places
        .into_iter()
        .filter_map(|place| Item::at(place, Kind::Workplace))
        .map(|item| Item { retained, ..item })
        .collect())
}

/// The folder of a file object store. Buckets have their own lifecycle rules.
fn store(repository: &Repository) -> Result<Option<PathBuf>, Failure> {
    let on_disk = repository.git.worktree().and_then(|folder| manifest_on_disk(&folder).ok());
    let Some(manifest) = on_disk.or_else(|| repository.served_manifest()) else { return Ok(None) };
    Ok(repository.store(&manifest)?.folder().map(Path::to_owned))
}

/// By folder: of one code, of the parts of one tier, of tiers whose keys begin alike.
fn results(store: &Path) -> Result<Vec<Item>, FsError> {
    let mut items = Vec::new();
    for kind in RESULTS {
        let of_kind =
            entries(&store.join(kind))?.into_iter().filter_map(|path| Item::at(path, Kind::Result));
        items.extend(of_kind.map(|item| Item { used: last_used(&item.path, item.used), ..item }));
    }
    Ok(items)
}

/// Recorded calls that are kept no longer, by the served manifest, and replays of that age.
fn record(repository: &Repository, store: &Path) -> Vec<Item> {
    let settings = repository.served_manifest().map(|manifest| manifest.record).unwrap_or_default();
    let below = |folder: &str| {
        let files = files_below(&store.join(folder)).into_iter();
        let item = |path: PathBuf| {
            let end = last_moment_of(&path);
            Item::at(path, Kind::Record).map(|item| match end {
                Some(end) => Item { used: item.used.min(end), ..item },
                None => item,
            })
        };
        files.filter_map(item).collect::<Vec<_>>()
    };
    let (now, keep) = (clock::now(), settings.keep());
    let mut gone = outlived(below(CALLS), now, keep, settings.keep_mb << 20);
    gone.extend(outlived(below(REPLAYS), now, keep, u64::MAX));
    gone
}

/// The end of the day that a file holds calls of: one that was copied or restored is younger.
fn last_moment_of(path: &Path) -> Option<Timestamp> {
    let next = telemetry::day_of(path)?.tomorrow().ok()?;
    Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Those of commits that are here and that no ref, and no record of where a ref was, leads to. What
/// another clone evaluated is that clone's.
fn evaluations(repository: &Repository, store: &Path) -> Result<Vec<Item>, Failure> {
    let git = &repository.git;
    let of_commit = |path: PathBuf| {
        ObjectId::parse(&name(&path))
            .filter(|commit| git.exists(commit))
            .map(|commit| (commit, path))
    };
    let evaluated: Vec<_> =
        entries(&store.join(EVALUATIONS))?.into_iter().filter_map(of_commit).collect();
    if evaluated.is_empty() {
        return Ok(Vec::new());
    }
    let reachable = git.reachable()?;
    let lost = evaluated.into_iter().filter(|(commit, _)| !reachable.contains(commit));
    Ok(lost
        .filter_map(|(_, path)| Item::at(path, Kind::Evaluation))
        .map(|item| Item { used: last_used(&item.path, item.used), ..item })
        .collect())
}

/// Temporary files of a file object store: keys of `agent` contain no `#`.
fn is_staged(path: &Path) -> bool {
    let number = name(path).rsplit_once('#').map(|(_, number)| number.to_owned());
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The expired conversations, by the served manifest; without a limit none expires.
fn over(repository: &Repository, idle_times: &IdleTimes) -> Result<Vec<Item>, Failure> {
    let Some(manifest) = repository.served_manifest() else { return Ok(Vec::new()) };
    let mut over = Vec::new();
    for id in idle_times.over(manifest.limits.conversation()) {
        let [path, rewards] = conversations::files(&repository.layout, id)?;
        over.push(Item {
            bytes: size(&path) + size(&rewards),
            path,
            kind: Kind::Conversation,
            used: clock::now(),
            retained: None,
        });
    }
    Ok(over)
}

/// The code trees and state Revisions of the served branches, the pins, and HEAD.
fn served(repository: &Repository) -> Result<BTreeSet<String>, Failure> {
    let git = &repository.git;
    let mut commits: Vec<ObjectId> =
        git.version_branches()?.into_iter().map(|(_, tip)| tip).collect();
    commits.extend(git.resolve("HEAD")?);
    for (name, _) in git.pins()? {
        // a pin whose range matches nothing any more serves nothing
        commits.extend(repository.commit_named(&What::Name(name)).ok());
    }
    let mut served = BTreeSet::new();
    for commit in commits {
        let code = git.code_tree(&commit)?;
        // one whose submodules are not here has no checkout
        served.extend(
            git.write_code_tree(&commit)
                .and_then(|code| git.with_submodules(&code))
                .ok()
                .map(|files| files.to_string()),
        );
        served.insert(code.to_string());
        served.extend(git.entry(&commit, STATE_FILE)?.map(|entry| entry.id.to_string()));
    }
    Ok(served)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FsError> {
    Ok(fs::names(folder)?.into_iter().map(|name| folder.join(name)).collect())
}

/// All files of a folder; those removed meanwhile are omitted.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.sort();
    files
}

fn modified(path: &Path) -> Option<Timestamp> {
    Timestamp::try_from(path.symlink_metadata().ok()?.modified().ok()?).ok()
}

/// Reading is a use as well, where the file system notes it.
fn last_used(folder: &Path, at_least: Timestamp) -> Timestamp {
    let files = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.metadata().ok());
    let times = files.flat_map(|file| [file.modified(), file.accessed()]).flatten();
    times.filter_map(|time| Timestamp::try_from(time).ok()).fold(at_least, Timestamp::max)
}

/// Bytes of a file, or of all files below a folder.
fn size(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum()
}
