//! The settings that determine a repository's refs and what git runs: recorded before an external
//! program works, compared after it, and restored where possible.

use super::error::GitError;
use super::repository::Git;
use crate::world::env;
use crate::world::fs::{self, Durability, FsError};
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::version::legality::{Role, judge};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Files of the git directory that decide what git does.
const DECISIVE: [&str; 8] = [
    "config",
    "config.worktree",
    "agent-binary",
    "info/attributes",
    "info/exclude",
    "info/grafts",
    "objects/info/alternates",
    "shallow",
];
/// The maximum number of hook files that are inspected.
const HOOKS_LIMIT: usize = 1_000;
/// The maximum size of a file saved for restoring.
const KEPT_LIMIT: u64 = 1 << 20;
/// A running git holds a lock for a shorter time.
const LOCKED: Duration = Duration::from_secs(1);

/// The files that git reads its configuration and its hooks from: of the repository, and of its
/// user.
#[derive(Debug)]
pub struct Settings {
    files: BTreeMap<PathBuf, SavedEntry>,
    hooks: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum SavedEntry {
    Absent,
    File {
        mode: u32,
        digest: String,
        bytes: Option<Vec<u8>>,
    },
    Link {
        to: PathBuf,
    },
    /// A folder, a pipe...
    Other,
}

/// Where refs are, and which are locked.
#[derive(Debug)]
pub struct Refs {
    refs: BTreeMap<String, ObjectId>,
    locks: BTreeSet<PathBuf>,
}

impl Git {
    pub fn settings(&self) -> Result<Settings, GitError> {
        let hooks = self.hooks_folder();
        let mut files = BTreeMap::new();
        for path in self.decisive(&hooks).into_iter().chain(self.configured()?) {
            // a link is as good as what it leads to
            for path in [path.canonicalize().ok(), Some(path)].into_iter().flatten() {
                files.insert(path.clone(), kept(&path)?);
            }
        }
        Ok(Settings { files, hooks })
    }

    /// The files that git reads its configuration from, included ones too.
    fn configured(&self) -> Result<Vec<PathBuf>, GitError> {
        let listed = self
            .command()
            .args(["config", "--list", "--show-origin", "--name-only", "-z"])
            .succeed()?
            .stdout;
        let origins = listed
            .split(|byte| *byte == 0)
            .step_by(2)
            .filter_map(|origin| origin.strip_prefix(b"file:"));
        let paths: BTreeSet<_> =
            origins.map(|path| self.common_dir().join(OsStr::from_bytes(path))).collect();
        Ok(paths.into_iter().collect())
    }

    /// Reports and reverts changes; the changed data is stored in the folder `evidence`.
    pub fn put_back(&self, before: &Settings, evidence: &Path) -> Result<Vec<String>, GitError> {
        let mut reports = Vec::new();
        let paths: BTreeSet<_> =
            self.decisive(&before.hooks).into_iter().chain(before.files.keys().cloned()).collect();
        for path in paths {
            let was = before.files.get(&path).unwrap_or(&SavedEntry::Absent);
            if kept(&path)? == *was {
                continue;
            }
            let name = format!(
                "{}-{}",
                reports.len(),
                path.file_name().unwrap_or_default().to_string_lossy()
            );
            let found = evidence.join(name);
            fs::create_dir(evidence)?;
            // out of the way of git before all else
            let moved = fs::move_aside(&path, &found)?;
            let restored = restore(&path, was)?;
            let where_now = if moved {
                format!("; what was found is {}", found.display())
            } else {
                String::new()
            };
            let what = if restored { "was restored" } else { "was removed and cannot be restored" };
            reports.push(format!("{} was changed and {what}{where_now}", path.display()));
        }
        Ok(reports)
    }

    fn decisive(&self, hooks: &Path) -> Vec<PathBuf> {
        let common = self.common_dir();
        let mut paths: Vec<PathBuf> = DECISIVE.iter().map(|name| common.join(name)).collect();
        let worktrees = fs::names(&common.join("worktrees")).unwrap_or_default();
        paths.extend(
            worktrees
                .iter()
                .map(|name| common.join("worktrees").join(name).join("config.worktree")),
        );
        for folder in BTreeSet::from([hooks.to_owned(), common.join("hooks")]) {
            paths.extend(files_below(&folder));
        }
        let home = env::home().map(PathBuf::from);
        let configuration = env::xdg_config_home().or_else(|| Some(home.as_ref()?.join(".config")));
        paths.extend(home.iter().map(|home| home.join(".gitconfig")));
        paths.extend(configuration.iter().flat_map(|folder| {
            ["config", "attributes", "ignore"].map(|name| folder.join("git").join(name))
        }));
        paths.extend(env::git_config_global());
        paths
    }

    fn hooks_folder(&self) -> PathBuf {
        match self.config("core.hooksPath") {
            Some(path) => match (path.strip_prefix("~/"), env::home()) {
                (Some(below), Some(home)) => PathBuf::from(home).join(below),
                _ => self.root().join(path),
            },
            None => self.common_dir().join("hooks"),
        }
    }

    pub fn refs(&self) -> Result<Refs, GitError> {
        Ok(Refs { refs: self.references("refs/")?.into_iter().collect(), locks: self.locks() })
    }

    /// Reports changed refs. Managed refs with a value no command would have set are restored,
    /// without running hooks.
    pub fn refs_put_back(&self, before: &Refs) -> Result<Vec<String>, GitError> {
        // one that cannot be read keeps all from being listed
        let one_by_one = || {
            before
                .refs
                .keys()
                .filter_map(|name| Some((name.clone(), self.target(name).ok()??)))
                .collect()
        };
        let now: BTreeMap<_, _> =
            self.references("refs/").unwrap_or_else(|_| one_by_one()).into_iter().collect();
        let mut reports = Vec::new();
        for name in before.refs.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
            let (was, is) = (before.refs.get(name), now.get(name));
            if was != is && !is_of_others(name) {
                reports.extend(self.moved(name, was, is));
            }
        }
        reports.extend(
            self.left_locked(&before.locks)
                .into_iter()
                .map(|lock| format!("{} was left behind", lock.display())),
        );
        Ok(reports)
    }

    fn moved(&self, name: &str, was: Option<&ObjectId>, is: Option<&ObjectId>) -> Option<String> {
        let shown = |id: Option<&ObjectId>| id.map_or("nothing", ObjectId::short).to_owned();
        let text = format!("{name} was moved from {} to {}", shown(was), shown(is));
        if Role::of(name) == Role::Free {
            return Some(text);
        }
        // what it names may be no commit at all
        let is_lawful =
            self.ref_update(name, was, is).is_ok_and(|update| judge(&update).is_empty());
        if is_lawful {
            return None;
        }
        let back = match was {
            Some(was) => self.force(&["update-ref", "--no-deref", name, was.as_str()], name),
            None => self.force(&["update-ref", "--no-deref", "-d", name], name),
        };
        Some(format!(
            "{text}{}",
            if back { ", and was restored" } else { ", and could not be restored" }
        ))
    }

    /// Without hooks, since they would judge it; a ref that git cannot even read is removed first.
    fn force(&self, arguments: &[&str], name: &str) -> bool {
        let run = || {
            self.command()
                .args(["-c", "core.hooksPath=/dev/null"])
                .args(arguments)
                .succeed()
                .is_ok()
        };
        run() || (fs::remove_if_there(&self.common_dir().join(name)).is_ok() && run())
    }

    fn left_locked(&self, before: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let begun = Instant::now();
        loop {
            let left: Vec<_> = self.locks().difference(before).cloned().collect();
            if left.is_empty() || begun.elapsed() > LOCKED {
                return left;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn locks(&self) -> BTreeSet<PathBuf> {
        let common = self.common_dir();
        let top = fs::names(common).unwrap_or_default().into_iter().map(|name| common.join(name));
        let below =
            ["refs", "worktrees"].iter().flat_map(|folder| files_below(&common.join(folder)));
        top.chain(below)
            .filter(|path| path.extension().is_some_and(|extension| extension == "lock"))
            .collect()
    }
}

/// Refs that other programs move whenever they like, and that serve nothing.
fn is_of_others(name: &str) -> bool {
    ["refs/remotes/", "refs/prefetch/", "refs/bisect/", "refs/stash"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => files.push(entry.path()),
            }
            if files.len() + folders.len() > HOOKS_LIMIT {
                return files;
            }
        }
    }
    files
}

fn kept(path: &Path) -> Result<SavedEntry, FsError> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(SavedEntry::Absent) };
    if metadata.is_symlink() {
        return Ok(SavedEntry::Link { to: fs::link_target(path)? });
    }
    if !metadata.is_file() {
        return Ok(SavedEntry::Other);
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    if metadata.len() > KEPT_LIMIT {
        let digest = fs::digest_of_regular(path)?;
        return Ok(SavedEntry::File { mode, digest, bytes: None });
    }
    let bytes = fs::read_regular(path)?;
    Ok(SavedEntry::File { mode, digest: digest(&bytes), bytes: Some(bytes) })
}

/// Puts a file back where now is nothing; false where it was not kept.
fn restore(path: &Path, was: &SavedEntry) -> Result<bool, FsError> {
    match was {
        SavedEntry::Absent => Ok(true),
        SavedEntry::File { mode, bytes: Some(bytes), .. } => {
            fs::replace(path, bytes, Durability::Durable)?;
            fs::set_mode(path, *mode)?;
            Ok(true)
        }
        SavedEntry::Link { to } => fs::link(to, path).map(|()| true),
        SavedEntry::File { bytes: None, .. } | SavedEntry::Other => Ok(false),
    }
}
