//! Watches a working tree for changes: the only file that uses `notify`.

use crate::world::fs::FsError;
use crate::world::layout;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The debounce interval: an editor saves in several steps.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Paths that `agent` and git write themselves.
const UNWATCHED: [&str; 2] = [".git", layout::HOME];

/// The number of changed paths that are queued.
const PATHS_KEPT: usize = 256;

pub struct Watch {
    watcher: RecommendedWatcher,
    events: Receiver<notify::Result<Event>>,
    root: PathBuf,
}

impl Watch {
    /// From now on; `root` is a working tree.
    pub fn start(root: &Path) -> Result<Self, FsError> {
        let failed = || FsError::while_doing("watch", root);
        let (sender, events) = channel();
        let watcher = notify::recommended_watcher(sender)
            .map_err(|error| failed()(std::io::Error::other(error)))?;
        let mut watch = Self { watcher, events, root: root.to_owned() };
        watch
            .watcher
            .watch(root, RecursiveMode::NonRecursive)
            .map_err(|error| failed()(std::io::Error::other(error)))?;
        watch.add_folders()?;
        Ok(watch)
    }

    /// The folders at the root, watched recursively, except `.agent` and `.git`, which change
    /// constantly.
    fn add_folders(&mut self) -> Result<(), FsError> {
        let entries =
            std::fs::read_dir(&self.root).map_err(FsError::while_doing("list", &self.root))?;
        let folders: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir() && !self.is_unwatched(path))
            .collect();
        for path in folders {
            let watched = self.watcher.watch(&path, RecursiveMode::Recursive);
            watched.map_err(|error| {
                FsError::while_doing("watch", &path)(std::io::Error::other(error))
            })?;
        }
        Ok(())
    }

    fn is_unwatched(&self, path: &Path) -> bool {
        let first = path.strip_prefix(&self.root).ok().and_then(|path| path.components().next());
        first.is_none_or(|first| UNWATCHED.iter().any(|name| first.as_os_str() == *name))
    }

    /// Waits until something has changed and is at rest again.
    pub fn wait(&mut self) -> Result<(), FsError> {
        let gone = || {
            FsError::while_doing("watch", &self.root)(std::io::Error::other(
                "the watcher has ended",
            ))
        };
        loop {
            let event = self.events.recv().map_err(|_| gone())?;
            if self.matters(&event) {
                break;
            }
        }
        let mut quiet_at = Instant::now() + DEBOUNCE;
        loop {
            match self.events.recv_timeout(quiet_at.saturating_duration_since(Instant::now())) {
                // a file that is only read, again and again, is at rest
                Ok(event) if !self.matters(&event) => {}
                Ok(_) => quiet_at = Instant::now() + DEBOUNCE,
                Err(RecvTimeoutError::Timeout) => return self.add_folders(),
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
    }

    /// An overflow of the kernel's queue names no path, so it counts as a change.
    fn matters(&self, event: &notify::Result<Event>) -> bool {
        match event {
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => false,
            Ok(event) => {
                event.paths.is_empty() || event.paths.iter().any(|path| !self.is_unwatched(path))
            }
            Err(_) => true,
        }
    }
}

/// Watched folders, until this is dropped.
pub struct Folders {
    _watcher: RecommendedWatcher,
}

impl Folders {
    /// Recursive where requested. The receiver gets the paths that were written, created or
    /// removed; if it is not drained in time, some are dropped.
    pub fn start(
        folders: &[(PathBuf, bool)],
    ) -> Result<(Self, tokio::sync::mpsc::Receiver<PathBuf>), FsError> {
        let (sender, paths) = tokio::sync::mpsc::channel(PATHS_KEPT);
        let on_event = move |event: notify::Result<Event>| {
            for path in event
                .into_iter()
                .filter(|event| !matches!(event.kind, EventKind::Access(_)))
                .flat_map(|event| event.paths)
            {
                let _ = sender.try_send(path);
            }
        };
        let Some((first, _)) = folders.first() else { unreachable!("there is a folder to watch") };
        let failed = |error| FsError::while_doing("watch", first)(std::io::Error::other(error));
        let mut watcher = notify::recommended_watcher(on_event).map_err(failed)?;
        for (folder, below) in folders {
            let mode = if *below { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            watcher.watch(folder, mode).map_err(|error| {
                FsError::while_doing("watch", folder)(std::io::Error::other(error))
            })?;
        }
        Ok((Self { _watcher: watcher }, paths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_edits_trigger_the_watch_and_agent_writes_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            std::fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(path), path).unwrap();
        };
        for path in ["tests/micro/a.jsonl", ".agent/store/x", ".git/index"] {
            write(path);
        }
        let mut watch = Watch::start(folder.path()).unwrap();
        for path in ["tests/micro/a.jsonl", "agent.toml", "state/new.json"] {
            write(path);
            watch.wait().unwrap();
        }
        // a folder that was not there at first
        write("state/new.json");
        watch.wait().unwrap();
        let saved = |path: &str| Ok(Event::new(EventKind::Any).add_path(folder.path().join(path)));
        assert!(watch.matters(&saved("state/new.json")));
        for ours in [".agent/store/x", ".git/index", ".agent"] {
            assert!(!watch.matters(&saved(ours)), "{ours}");
        }
    }
}
