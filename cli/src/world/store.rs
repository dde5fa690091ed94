//! The object store, the only room that names `object_store`: `file:` and `s3://`. A put is whole or not at all; into files it is synced.

mod s3;

use agent_core::diagnose::{Diagnose, Exit};
use agent_core::manifest::Tier;
pub use agent_core::registry::evaluation_key;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use s3::S3;
pub(crate) use s3::provide_tls;
use std::collections::VecDeque;
use std::future::Future;
use std::path::{Path, PathBuf};
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
            Self::Url { .. } => Some("write `url = \"file:PATH\"` or `url = \"s3://BUCKET/PREFIX\"` under [store] in agent.toml".to_owned()),
            Self::Failed { store, .. } if store.starts_with(S3_SCHEME) => Some(
                "its keys, region and endpoint are told by AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL (for http also \
                 AWS_ALLOW_HTTP=true); `agent doctor` tries it"
                    .to_owned(),
            ),
            Self::Failed { .. } => Some("is there room, and may it be written? [store] in agent.toml says where it is".to_owned()),
        }
    }
}

/// Where its results lie, case by case.
pub fn results_key(commit: &str, tier: Tier) -> String {
    format!("evals/{commit}/{tier}.jsonl")
}

const S3_SCHEME: &str = "s3://";

/// The folder of a `file:` store.
pub fn folder(url: &str, root: &Path) -> Option<PathBuf> {
    let path = url.strip_prefix("file:")?;
    Some(root.join(path.strip_prefix("//").unwrap_or(path)))
}

#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// The same: for files without a sync, for what can be made again; over the network with more patience, for what is large.
    other: Arc<dyn ObjectStore>,
    shown: String,
    is_remote: bool,
}

/// What a store was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// It gave back what it was given.
    pub keeps: bool,
    /// It refused to write over an object where that was asked of it.
    pub refuses: bool,
}

impl Store {
    /// Opens a store by its URL; a relative `file:` path starts at `root`, and the folder is made when it is missing.
    pub fn open(url: &str, root: &Path) -> Result<Self, StoreError> {
        if let Some(place) = url.strip_prefix(S3_SCHEME).filter(|place| !place.is_empty()) {
            let S3 { quick, patient } = S3::open(place).map_err(failed("open", "", url))?;
            return Ok(Self { objects: Arc::new(quick), other: Arc::new(patient), shown: url.to_owned(), is_remote: true });
        }
        let folder = folder(url, root).ok_or_else(|| StoreError::Url { url: url.to_owned() })?;
        let shown = folder.display().to_string();
        std::fs::create_dir_all(&folder).map_err(failed("open", "", &shown))?;
        let unsynced = LocalFileSystem::new_with_prefix(&folder).map_err(failed("open", "", &shown))?;
        Ok(Self { objects: Arc::new(unsynced.clone().with_fsync(true)), other: Arc::new(unsynced), shown, is_remote: false })
    }

    /// Writes an object, whole, over what was there.
    pub fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let payload = PutPayload::from(bytes);
        self.write(self.objects_for(&payload), key, payload, PutMode::Overwrite).map_err(self.failed("write", key))
    }

    /// The same for what can be made again, and is checked when it is read: a power cut may take it.
    pub fn put_rebuildable(&self, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let payload = PutPayload::from(bytes);
        let objects = if self.is_remote { self.objects_for(&payload) } else { &self.other };
        self.write(objects, key, payload, PutMode::Overwrite).map_err(self.failed("write", key))
    }

    /// Removes an object; one that is not there is as good.
    pub fn remove(&self, key: &str) -> Result<(), StoreError> {
        let (objects, at) = (self.objects.clone(), Key::from(key));
        match self.wait(async move { objects.delete(&at).await }) {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(self.failed("remove", key)(error)),
        }
    }

    /// Writes an object unless there is one; false when there was.
    pub fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<bool, StoreError> {
        let payload = PutPayload::from(bytes);
        for attempt in 1.. {
            let error = match self.write(self.objects_for(&payload), key, payload.clone(), PutMode::Create) {
                Ok(()) => return Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) if !self.is_remote => return Ok(false),
                Err(error) => error,
            };
            let answers = matches!(error, object_store::Error::AlreadyExists { .. } | object_store::Error::Generic { .. });
            if !self.is_remote || !answers || attempt > LOST_ANSWERS {
                return Err(self.failed("write", key)(error));
            }
            // an answer may have been lost after the object was written: then what is there is ours
            if let Some(there) = self.get(key)? {
                return Ok(payload.iter().flatten().eq(&there));
            }
        }
        unreachable!("the loop ends by its last attempt")
    }

    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (objects, at) = (self.objects.clone(), Key::from(key));
        match self.wait(async move { objects.get(&at).await?.bytes().await }) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", key)(error)),
        }
    }

    /// All keys under a folder, sorted.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        let mut folders = VecDeque::from([Key::from(prefix)]);
        while let Some(folder) = folders.pop_front() {
            let (objects, at) = (self.objects.clone(), folder.clone());
            let found = self.wait(async move { objects.list_with_delimiter(Some(&at)).await });
            let found = found.map_err(self.failed("list", folder.as_ref()))?;
            keys.extend(found.objects.into_iter().map(|object| object.location.to_string()));
            folders.extend(found.common_prefixes);
        }
        keys.sort();
        Ok(keys)
    }

    /// Writes, reads and removes an object at a key that nobody else uses.
    pub fn probe(&self, key: &str) -> Result<Probe, StoreError> {
        self.put_new(key, b"first".to_vec())?;
        let refuses = !self.put_new(key, b"second".to_vec())?;
        let keeps = self.get(key)?.is_some_and(|bytes| bytes == if refuses { &b"first"[..] } else { b"second" });
        self.remove(key)?;
        Ok(Probe { keeps, refuses })
    }

    /// The folder of a store of files.
    pub fn folder(&self) -> Option<&Path> {
        (!self.is_remote).then(|| Path::new(&self.shown))
    }

    /// Where it is, for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    fn objects_for(&self, payload: &PutPayload) -> &Arc<dyn ObjectStore> {
        if self.is_remote && payload.content_length() >= s3::LARGE { &self.other } else { &self.objects }
    }

    fn write(&self, objects: &Arc<dyn ObjectStore>, key: &str, payload: PutPayload, mode: PutMode) -> Result<(), object_store::Error> {
        let (objects, at) = (objects.clone(), Key::from(key));
        self.wait(async move { objects.put_opts(&at, payload, mode.into()).await.map(drop) })
    }

    fn failed(&self, action: &'static str, key: &str) -> impl FnOnce(object_store::Error) -> StoreError {
        let failed = failed(action, key, &self.shown);
        let remote = self.is_remote.then(|| self.shown.clone());
        move |error| {
            if let (Some(url), object_store::Error::Generic { .. }) = (remote, &error) {
                s3::note_unreachable(url);
            }
            failed(error)
        }
    }

    /// Runs a future of the store to its end on this thread, inside an event loop or outside of any.
    fn wait<T, F>(&self, future: F) -> Result<T, object_store::Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, object_store::Error>> + Send + 'static,
    {
        let broken = |source: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic { store: "network", source };
        if !self.is_remote {
            return wait(future);
        }
        if s3::was_unreachable(&self.shown) {
            return Err(broken("it did not answer a moment ago".into()));
        }
        let task = s3::spawn(future).map_err(|error| broken(error.into()))?;
        wait(task).map_err(|error| broken(error.into()))?
    }
}

/// So often an object is written anew whose answer was lost, and that is not there.
const LOST_ANSWERS: u32 = 2;

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
    fn a_store_of_files_does_what_is_asked_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("file:store", folder.path()).unwrap();
        assert_eq!(store.probe("probe/1").unwrap(), Probe { keeps: true, refuses: true });
        assert!(store.list("probe").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_served_is_said() {
        let folder = tempfile::tempdir().unwrap();
        for wrong in ["gs://bucket", "s3://", "bucket"] {
            assert_eq!(Store::open(wrong, folder.path()).unwrap_err().exit(), Exit::Input, "{wrong}");
        }
        std::fs::write(folder.path().join("file"), "").unwrap();
        let error = Store::open("file:file/store", folder.path()).unwrap_err();
        assert_eq!(error.exit(), Exit::Surroundings);
    }
}
