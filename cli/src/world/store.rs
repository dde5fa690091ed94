//! The object store: the only file that names `object_store`. `file:` is served; a put is whole or not at all, and synced.

use agent_core::diagnose::{Diagnose, Exit};
use agent_core::manifest::Tier;
pub use agent_core::registry::evaluation_key;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use std::collections::VecDeque;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("`{url}` is no object store this `agent` serves")]
    Url { url: String },
    #[error("cannot {action} `{key}` in the object store {store}")]
    Failed {
        action: &'static str,
        key: String,
        store: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Diagnose for StoreError {
    fn exit(&self) -> Exit {
        match self {
            Self::Url { .. } => Exit::Input,
            Self::Failed { .. } => Exit::Surroundings,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Url { .. } => Some("write `url = \"file:PATH\"` under [store] in agent.toml".to_owned()),
            Self::Failed { .. } => Some("is there room, and may it be written? [store] in agent.toml says where it is".to_owned()),
        }
    }
}

/// Where its results lie, case by case.
pub fn results_key(commit: &str, tier: Tier) -> String {
    format!("evals/{commit}/{tier}.jsonl")
}

#[derive(Debug)]
pub struct Store {
    objects: LocalFileSystem,
    /// The same, for what can be made again: nothing is synced.
    unsynced: LocalFileSystem,
    shown: String,
}

impl Store {
    /// Opens a store by its URL; a relative `file:` path starts at `root`. The folder is made when it is missing.
    pub fn open(url: &str, root: &Path) -> Result<Self, StoreError> {
        let path = url.strip_prefix("file:").ok_or_else(|| StoreError::Url { url: url.to_owned() })?;
        let folder = root.join(path.strip_prefix("//").unwrap_or(path));
        let shown = folder.display().to_string();
        std::fs::create_dir_all(&folder).map_err(failed("open", "", &shown))?;
        let unsynced = LocalFileSystem::new_with_prefix(&folder).map_err(failed("open", "", &shown))?;
        Ok(Self { objects: unsynced.clone().with_fsync(true), unsynced, shown })
    }

    /// Writes an object, whole, over what was there.
    pub fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        wait(self.objects.put(&Key::from(key), PutPayload::from(bytes))).map(drop).map_err(failed("write", key, &self.shown))
    }

    /// The same for what can be made again, and is checked when it is read: a power cut may take it.
    pub fn put_rebuildable(&self, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        wait(self.unsynced.put(&Key::from(key), PutPayload::from(bytes))).map(drop).map_err(failed("write", key, &self.shown))
    }

    /// Removes an object; one that is not there is as good.
    pub fn remove(&self, key: &str) -> Result<(), StoreError> {
        match wait(self.objects.delete(&Key::from(key))) {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(failed("remove", key, &self.shown)(error)),
        }
    }

    /// Writes an object unless there is one; false when there was.
    pub fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<bool, StoreError> {
        match wait(self.objects.put_opts(&Key::from(key), PutPayload::from(bytes), PutMode::Create.into())) {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(failed("write", key, &self.shown)(error)),
        }
    }

    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let read = async { self.objects.get(&Key::from(key)).await?.bytes().await };
        match wait(read) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read", key, &self.shown)(error)),
        }
    }

    /// All keys under a folder, sorted.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        let mut folders = VecDeque::from([Key::from(prefix)]);
        while let Some(folder) = folders.pop_front() {
            let found = wait(self.objects.list_with_delimiter(Some(&folder))).map_err(failed("list", folder.as_ref(), &self.shown))?;
            keys.extend(found.objects.into_iter().map(|object| object.location.to_string()));
            folders.extend(found.common_prefixes);
        }
        keys.sort();
        Ok(keys)
    }
}

fn failed<E: std::error::Error + Send + Sync + 'static>(action: &'static str, key: &str, store: &str) -> impl FnOnce(E) -> StoreError {
    let (key, store) = (key.to_owned(), store.to_owned());
    move |source| StoreError::Failed { action, key, store, source: Box::new(source) }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a store's future to its end on this thread, inside an event loop or outside of any.
fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_put_once_or_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("file:.agent/my store", folder.path()).unwrap();
        assert_eq!(store.get("evals/c/summary.json").unwrap(), None);
        store.put("evals/c/summary.json", b"1".to_vec()).unwrap();
        store.put("evals/c/summary.json", b"2".to_vec()).unwrap();
        assert!(!store.put_new("evals/c/summary.json", b"3".to_vec()).unwrap());
        assert!(store.put_new("evals/c/micro.jsonl", b"4".to_vec()).unwrap());
        assert_eq!(store.get("evals/c/summary.json").unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!(store.list("evals").unwrap(), ["evals/c/micro.jsonl", "evals/c/summary.json"]);
        assert!(store.list("nothing").unwrap().is_empty());
        assert!(folder.path().join(".agent/my store/evals/c/summary.json").is_file());
    }

    #[test]
    fn it_works_inside_an_event_loop() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("file://{}", folder.path().display()), Path::new("/nowhere")).unwrap();
        crate::world::process::block_on(async { store.put("a/b", b"x".to_vec()).unwrap() }).unwrap();
        assert_eq!(store.get("a/b").unwrap().as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn what_cannot_be_served_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Store::open("s3://bucket", folder.path()).unwrap_err().exit(), Exit::Input);
        std::fs::write(folder.path().join("file"), "").unwrap();
        let error = Store::open("file:file/store", folder.path()).unwrap_err();
        assert_eq!(error.exit(), Exit::Surroundings);
    }
}
