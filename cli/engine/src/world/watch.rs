//! What changes in a working tree while somebody works in it: the only file that names `notify`.

use crate::world::fs::FsError;
use crate::world::layout;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// An editor saves in several steps: so long nothing has to happen for them to be over.
const QUIET: Duration = Duration::from_millis(20);
/// What we and git write ourselves.
const UNWATCHED: [&str; 2] = [".git", layout::HOME];

/// Paths that were changed and not yet looked at.
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

    /// Folders at the root, each with all below: not ours and git's, where something is written all
    /// the time.
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
        let mut quiet_at = Instant::now() + QUIET;
        loop {
            match self.events.recv_timeout(quiet_at.saturating_duration_since(Instant::now())) {
                // a file that is only read, again and again, is at rest
                Ok(event) if !self.matters(&event) => {}
                Ok(_) => quiet_at = Instant::now() + QUIET,
                Err(RecvTimeoutError::Timeout) => return self.add_folders(),
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
    }

    /// An overflow of the kernel's queue tells nothing of what, so it matters.
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

/// Folders whose files are followed for as long as this lives.
pub struct Folders {
    _watcher: RecommendedWatcher,
}

impl Folders {
    /// Each with all below it, where that is said. The receiver gets the paths that were written,
    /// made or removed; one that is not emptied in time misses some, and has then others to look
    /// at.
    pub fn start(
        folders: &[(PathBuf, bool)],
    ) -> Result<(Self, tokio::sync::mpsc::Receiver<PathBuf>), FsError> {
        let (sender, paths) = tokio::sync::mpsc::channel(PATHS_KEPT);
        let told = move |event: notify::Result<Event>| {
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
        let mut watcher = notify::recommended_watcher(told).map_err(failed)?;
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
    fn what_a_person_saves_is_seen_and_what_we_write_is_not() {
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
