//! Watches the repository: refs that move, edited code, updates of staging, conversations with new
//! turns.

use crate::mcp::server::Server;
use crate::mcp::shim::Shim;
use agent_core::formats::object_id::ObjectId;
use agent_core::version::what::What;
use agent_engine::child::Role;
use agent_engine::world::watch::{self, Watch};
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// git cannot read a file while it is written: the read is retried after this pause, up to
/// [`RETRIES`] times.
const SETTLING: Duration = Duration::from_millis(200);
const RETRIES: usize = 25;

/// Ends the watch of refs when it is dropped.
pub struct Watching {
    _refs: watch::Folders,
    _conversations: Option<watch::Folders>,
    _staging: Option<watch::Folders>,
}

/// Starts the watches. Without one, because the system's limit is reached, children are not started
/// ahead; calls are served all the same.
pub fn start<S: Server>(shim: &Rc<Shim<S>>) -> Option<Watching> {
    let common = shim.repository.git.common_dir();
    let (refs, moved) =
        watch::Folders::start(&[(common.to_owned(), false), (common.join("refs"), true)]).ok()?;
    tokio::task::spawn_local(follow_refs(Rc::downgrade(shim), moved));
    if shim.targets.traffic.whats().any(|what| *what == What::Worktree) {
        watch_worktree(shim);
    }
    Some(Watching {
        _refs: refs,
        _conversations: watch_conversations(shim),
        _staging: watch_staging(shim),
    })
}

async fn follow_refs<S: Server>(shim: Weak<Shim<S>>, mut moved: mpsc::Receiver<PathBuf>) {
    while let Some(path) = moved.recv().await {
        let Some(shim) = shim.upgrade() else { return };
        // git creates and removes a lock file with every change of a ref
        if path.extension().is_none_or(|extension| extension != "lock") {
            shim.refresh();
        }
    }
}

/// Watches `.agent/conversations`, where each file is a conversation, and their rewards in
/// `rewards/` below it.
fn watch_conversations<S: Server>(shim: &Rc<Shim<S>>) -> Option<watch::Folders> {
    let folder = shim.repository.layout.conversations();
    agent_engine::world::fs::create_dir(&folder.join("rewards")).ok()?;
    let (folders, mut changed) = watch::Folders::start(&[(folder, true)]).ok()?;
    let shim = Rc::downgrade(shim);
    tokio::task::spawn_local(async move {
        while let Some(path) = changed.recv().await {
            let Some(shim) = shim.upgrade() else { return };
            if let (Some(id), Some("jsonl")) =
                (path.file_stem(), path.extension().and_then(|extension| extension.to_str()))
            {
                shim.conversation_changed(&id.to_string_lossy());
            }
        }
    });
    Some(folders)
}

/// Watches the Journal, where the state of staging is served: its overlay may change what is
/// listed. A changed state needs no restart, since it goes with each call.
fn watch_staging<S: Server>(shim: &Rc<Shim<S>>) -> Option<watch::Folders> {
    let serves_staging = shim.targets.traffic.whats().any(|what| *what == What::Staging);
    if S::ROLE != Role::Runner || !serves_staging {
        return None;
    }
    let folder = shim.repository.layout.journal();
    agent_engine::world::fs::create_dir(&folder).ok()?;
    let (folders, mut changed) = watch::Folders::start(&[(folder, false)]).ok()?;
    let shim = Rc::downgrade(shim);
    tokio::task::spawn_local(async move {
        while changed.recv().await.is_some() {
            // one update writes several times
            while changed.try_recv().is_ok() {}
            let Some(shim) = shim.upgrade() else { return };
            shim.notify_overlays_changed();
        }
    });
    Some(folders)
}

/// Restarts the child of the working tree when its code changes. A changed state changes at most
/// what its overlay shows.
fn watch_worktree<S: Server>(shim: &Rc<Shim<S>>) {
    let Ok(root) = shim.repository.worktree() else { return };
    let Ok(mut watch) = Watch::start(&root) else { return };
    let (saved, mut edits) = mpsc::channel(1);
    std::thread::spawn(move || while watch.wait().is_ok() && saved.blocking_send(()).is_ok() {});
    let shim = Rc::downgrade(shim);
    tokio::task::spawn_local(async move {
        let mut known = shim.upgrade().and_then(|shim| code_in(&shim, &root));
        while edits.recv().await.is_some() {
            let Some(shim) = shim.upgrade() else { return };
            let mut now = code_in(&shim, &root);
            for _ in 0..RETRIES {
                if now.is_some() {
                    break;
                }
                tokio::time::sleep(SETTLING).await;
                now = code_in(&shim, &root);
            }
            if now.is_some() && now != known {
                known = now;
                shim.worktree_changed();
            } else if S::ROLE == Role::Runner {
                shim.notify_overlays_changed();
            }
        }
    });
}

/// The code of the working tree as a tree; `None` while git cannot write one, as during a merge.
fn code_in<S: Server>(shim: &Shim<S>, root: &std::path::Path) -> Option<ObjectId> {
    let tree = shim.repository.git.snapshot_worktree(root, &shim.repository.layout).ok()?;
    shim.repository.git.code_tree(&tree).ok()
}
