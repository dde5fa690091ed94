//! The object store, the only module that uses `object_store`: `file:` and `s3://`. A put is
//! atomic; to files it is synced.

mod bound;
mod s3;

use crate::world::fs::{self, FileSystem, FsError};
use crate::world::layout::Layout;
use crate::world::read_only::WritableLayer;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::manifest::{Store as Settings, Tier};
pub use agent_core::version::registry::evaluation_key;
use bound::Bound;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use s3::S3;
pub use s3::provide_tls;
use std::collections::VecDeque;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("`{url}` is not an object store this `agent` serves")]
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
    fn kind(&self) -> FailureKind {
        match self {
            Self::Url { .. } => FailureKind::Input,
            Self::Failed { .. } => FailureKind::Surroundings,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Url { .. } => Some(
                "write `url = \"file:PATH\"` or `url \
                = \"s3://BUCKET/PREFIX\"` under [store] in agent.toml"
                    .to_owned(),
            ),
            Self::Failed { store, .. } if store.starts_with(S3_SCHEME) => Some(
                "its keys, region and endpoint are set by AWS_ACCESS_KEY_ID, \
                AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL (for http also \
                 AWS_ALLOW_HTTP=true); `agent doctor` tries it"
                    .to_owned(),
            ),
            Self::Failed { .. } => Some(
                "is there free space, and is it writable? [store] in \
                agent.toml sets its place"
                    .to_owned(),
            ),
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
    place: Place,
    shown: String,
    bound: Bound,
    waits: Option<Waits>,
    /// What is written to it the caller syncs.
    synced_later: Option<FileSystem>,
    /// The temporary layer for a read-only store: writes go there, and reads include it.
    above: Option<Arc<Self>>,
}

#[derive(Debug, Clone)]
enum Place {
    /// Opened when it is first needed: it is made by the first write, and one that is not there
    /// holds nothing.
    Folder {
        path: PathBuf,
        opened: Arc<OnceLock<Files>>,
    },
    Bucket {
        quick: Objects,
        patient: Objects,
    },
}

type Objects = Arc<dyn ObjectStore>;

#[derive(Debug, Clone)]
struct Files {
    synced: Objects,
    /// For data that can be rebuilt.
    unsynced: Objects,
}

/// Called with what a command waits for.
#[derive(Clone)]
struct Waits(Arc<dyn Fn(&str) + Send + Sync>);

impl std::fmt::Debug for Waits {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Waits")
    }
}

/// The duration after which a wait is reported.
const REPORT_AFTER: Duration = Duration::from_secs(2);

/// The observed behaviour of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// It gave back what it was given.
    pub keeps: bool,
    /// A conditional put was refused, because the object exists.
    pub refuses: bool,
}

impl Store {
    /// A store by its settings; a relative `file:` path starts at `root`. It is not accessed yet.
    pub fn open(settings: &Settings, root: &Path) -> Result<Self, StoreError> {
        let url = &settings.url;
        let bound = Bound::usual(settings.timeout());
        if let Some(bucket) = url.strip_prefix(S3_SCHEME).filter(|bucket| !bucket.is_empty()) {
            let S3 { quick, patient } = S3::open(bucket).map_err(failed("open", "", url))?;
            let place = Place::Bucket { quick: Arc::new(quick), patient: Arc::new(patient) };
            return Ok(Self {
                place,
                shown: url.clone(),
                bound,
                waits: None,
                synced_later: None,
                above: None,
            });
        }
        let path = url.strip_prefix("file:").ok_or_else(|| StoreError::Url { url: url.clone() })?;
        let path = root.join(path.strip_prefix("//").unwrap_or(path));
        let shown = path.display().to_string();
        Ok(Self {
            place: Place::Folder { path, opened: Arc::default() },
            shown,
            bound,
            waits: None,
            synced_later: None,
            above: None,
        })
    }

    /// This store, which also accepts writes where its folder is not writable: these last for the
    /// lifetime of this process. Evidence is not stored there.
    #[must_use]
    pub fn over(self, layout: &Layout) -> Self {
        let Place::Folder { path, .. } = &self.place else { return self };
        let Some(path) =
            WritableLayer::needed(layout.root(), path, &[]).and_then(|layer| layer.above(path))
        else {
            return self;
        };
        let place = Place::Folder { path, opened: Arc::default() };
        Self { above: Some(Arc::new(Self { place, ..self.clone() })), ..self }
    }

    /// This store for optional reads and writes: a remote store has two seconds to answer, and is
    /// skipped for a while after a timeout.
    #[must_use]
    pub fn briefly(&self) -> Self {
        Self { bound: self.bound.briefly(), waits: None, ..self.clone() }
    }

    /// This store, with a callback for long waits.
    #[must_use]
    pub fn waiting(self, report: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { waits: Some(Waits(Arc::new(report))), ..self }
    }

    /// This store for a caller that syncs the file system before anything names what was written:
    /// objects there are not synced one by one.
    #[must_use]
    pub fn synced_with(self, file_system: Option<FileSystem>) -> Self {
        Self { synced_later: file_system, ..self }
    }

    /// Why writes are not retained after the process, if so.
    pub fn refusal(&self) -> Option<FsError> {
        self.above.as_ref().and_then(|_| self.folder()).and_then(fs::refusal)
    }

    /// Writes an object atomically, replacing an existing one.
    pub fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let place = self.above.as_deref().unwrap_or(self);
        place.write(key, bytes.into(), PutMode::Overwrite, true).map_err(self.failed("write", key))
    }

    /// Like `put`, for data that can be rebuilt and is checked when it is read: it is not synced.
    pub fn put_rebuildable(&self, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let place = self.above.as_deref().unwrap_or(self);
        place.write(key, bytes.into(), PutMode::Overwrite, false).map_err(self.failed("write", key))
    }

    /// Moves a file into a store of files, over what was there and not synced; false where it
    /// cannot be moved, as into a bucket or to another file system.
    pub fn move_in(&self, key: &str, file: &Path) -> bool {
        let place = self.above.as_deref().unwrap_or(self);
        let Some(to) = place.folder().map(|folder| folder.join(key)) else { return false };
        to.parent().is_some_and(|folder| fs::create_dir(folder).is_ok())
            && fs::rename(file, &to).is_ok()
    }

    /// Removes an object; nothing happens when there is none.
    pub fn remove(&self, key: &str) -> Result<(), StoreError> {
        if let Some(above) = &self.above {
            return above.remove(key);
        }
        let remove = |objects: Objects, at: Key, bound: Bound| async move {
            bound.keep(0, objects.delete(&at)).await
        };
        match self.request("remove", key, remove) {
            None | Some(Ok(()) | Err(object_store::Error::NotFound { .. })) => Ok(()),
            Some(Err(error)) => Err(self.failed("remove", key)(error)),
        }
    }

    /// Writes an object unless there is one; false when there was.
    pub fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<bool, StoreError> {
        if let Some(above) = &self.above {
            return Ok(self.get(key)?.is_none() && above.put_new(key, bytes)?);
        }
        let payload = PutPayload::from(bytes);
        for attempt in 1.. {
            let error = match self.write(key, payload.clone(), PutMode::Create, true) {
                Ok(()) => return Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) if !self.is_remote() => {
                    return Ok(false);
                }
                Err(error) => error,
            };
            let answers = matches!(
                error,
                object_store::Error::AlreadyExists { .. } | object_store::Error::Generic { .. }
            );
            if !self.is_remote() || !answers || attempt > LOST_RESPONSE_RETRIES {
                return Err(self.failed("write", key)(error));
            }
            // the response may have been lost after the object was written: then the existing
            // object is this one
            if let Some(there) = self.get(key)? {
                return Ok(payload.iter().flatten().eq(&there));
            }
        }
        unreachable!("the loop ends by its last attempt")
    }

    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(found) = self.above.as_ref().and_then(|above| above.get(key).transpose()) {
            return found.map(Some);
        }
        let read = |objects: Objects, at: Key, bound: Bound| async move {
            bound.read(objects.get(&at)).await
        };
        match self.request("read", key, read) {
            None | Some(Err(object_store::Error::NotFound { .. })) => Ok(None),
            Some(found) => found.map(Some).map_err(self.failed("read", key)),
        }
    }

    /// All keys under a folder, sorted.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let list = |objects: Objects, at: Key, bound: Bound| async move {
            bound.keep(0, objects.list_with_delimiter(Some(&at))).await
        };
        let mut keys = Vec::new();
        let mut folders = VecDeque::from([prefix.to_owned()]);
        while let Some(folder) = folders.pop_front() {
            let Some(found) = self
                .request("list", &folder, list)
                .transpose()
                .map_err(self.failed("list", &folder))?
            else {
                continue;
            };
            keys.extend(found.objects.into_iter().map(|object| object.location.to_string()));
            folders.extend(found.common_prefixes.into_iter().map(|folder| folder.to_string()));
        }
        keys.extend(
            self.above
                .iter()
                .map(|above| above.list(prefix))
                .collect::<Result<Vec<_>, _>>()?
                .concat(),
        );
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    /// Writes, reads and removes an object at an unused key.
    pub fn probe(&self, key: &str) -> Result<Probe, StoreError> {
        self.put_new(key, b"first".to_vec())?;
        let refuses = !self.put_new(key, b"second".to_vec())?;
        let keeps = self
            .get(key)?
            .is_some_and(|bytes| bytes == if refuses { &b"first"[..] } else { b"second" });
        self.remove(key)?;
        Ok(Probe { keeps, refuses })
    }

    /// The folder of a store of files.
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder { path, .. } => Some(path),
            Place::Bucket { .. } => None,
        }
    }

    /// Its location, for display.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    const fn is_remote(&self) -> bool {
        matches!(self.place, Place::Bucket { .. })
    }

    fn write(
        &self,
        key: &str,
        payload: PutPayload,
        mode: PutMode,
        durably: bool,
    ) -> Result<(), object_store::Error> {
        let size = payload.content_length();
        let at = Key::from(key);
        match &self.place {
            Place::Folder { path, .. } => {
                std::fs::create_dir_all(path).map_err(|error| generic(error.into()))?;
                let Some(files) = self.files()? else {
                    return Err(generic("its folder was removed".into()));
                };
                let is_synced_later = || {
                    self.synced_later.is_some()
                        && self.synced_later == FileSystem::of(&path.join(key))
                };
                let objects =
                    if durably && !is_synced_later() { files.synced } else { files.unsynced };
                wait(async move { objects.put_opts(&at, payload, mode.into()).await.map(drop) })
            }
            Place::Bucket { quick, patient } => {
                let (objects, bound) =
                    (if size >= s3::LARGE { patient } else { quick }.clone(), self.bound);
                let put = async move {
                    bound
                        .keep(size as u64, objects.put_opts(&at, payload, mode.into()))
                        .await
                        .map(drop)
                };
                self.wait("write", key, put)
            }
        }
    }

    /// Runs an operation on the store; `None` where there is no store yet.
    fn request<T, F>(
        &self,
        action: &str,
        key: &str,
        operation: impl FnOnce(Objects, Key, Bound) -> F,
    ) -> Option<Result<T, object_store::Error>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, object_store::Error>> + Send + 'static,
    {
        let at = Key::from(key);
        match &self.place {
            Place::Folder { .. } => match self.files() {
                Ok(files) => files.map(|files| wait(operation(files.unsynced, at, Bound::NONE))),
                Err(error) => Some(Err(error)),
            },
            Place::Bucket { quick, .. } => {
                Some(self.wait(action, key, operation(quick.clone(), at, self.bound)))
            }
        }
    }

    /// The folder, open; `None` while there is none.
    fn files(&self) -> Result<Option<Files>, object_store::Error> {
        let Place::Folder { path, opened } = &self.place else { return Ok(None) };
        if let Some(files) = opened.get() {
            return Ok(Some(files.clone()));
        }
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(|error| generic(error.into()))?,
        };
        let unsynced = LocalFileSystem::new_with_prefix(path)?;
        let files = Files {
            synced: Arc::new(unsynced.clone().with_fsync(true)),
            unsynced: Arc::new(unsynced),
        };
        Ok(Some(opened.get_or_init(|| files).clone()))
    }

    fn failed(
        &self,
        action: &'static str,
        key: &str,
    ) -> impl FnOnce(object_store::Error) -> StoreError {
        let failed = failed(action, key, &self.shown);
        let remote = self.is_remote().then(|| self.shown.clone());
        let brief = self.bound.brief;
        move |error| {
            if let (Some(url), object_store::Error::Generic { .. }) = (remote, &error) {
                s3::note_unreachable(url, brief);
            }
            failed(error)
        }
    }

    /// Runs a future of a store elsewhere to its end on this thread, inside an event loop or
    /// outside of any.
    fn wait<T, F>(&self, action: &str, key: &str, future: F) -> Result<T, object_store::Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, object_store::Error>> + Send + 'static,
    {
        if s3::was_unreachable(&self.shown, self.bound.brief) {
            return Err(generic("it did not answer a moment ago".into()));
        }
        let task = s3::spawn(future).map_err(|error| generic(error.into()))?;
        let report = || {
            if let Some(Waits(report)) = &self.waits {
                let within = self.bound.seconds();
                report(&format!(
                    "waiting for the object store {} to {action} `{key}`, {within} s at most and \
                    longer only while bytes move",
                    self.shown
                ));
            }
        };
        wait_with_notice(task, report).map_err(|error| generic(error.into()))?
    }
}

fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
    object_store::Error::Generic { store: "store", source }
}

/// The number of retries of a write whose response was lost and whose object is absent.
const LOST_RESPONSE_RETRIES: u32 = 2;

fn failed<E: std::error::Error + Send + Sync + 'static>(
    action: &'static str,
    key: &str,
    store: &str,
) -> impl FnOnce(E) -> StoreError {
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
    wait_with_notice(future, || {})
}

/// Waits, and reports a long wait once.
fn wait_with_notice<F: Future>(future: F, report: impl FnOnce()) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    let (began, mut report) = (Instant::now(), Some(report));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        match REPORT_AFTER.checked_sub(began.elapsed()).filter(|_| report.is_some()) {
            Some(left) => std::thread::park_timeout(left),
            None => match report.take() {
                Some(report) => report(),
                None => std::thread::park(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str, root: &Path) -> Result<Store, StoreError> {
        Store::open(&Settings { url: url.to_owned(), ..Settings::default() }, root)
    }

    #[test]
    fn objects_are_put_once_or_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = open("file:.agent/my store", folder.path()).unwrap();
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
        let store =
            open(&format!("file://{}", folder.path().display()), Path::new("/nowhere")).unwrap();
        crate::world::event_loop::block_on(async { store.put("a/b", b"x".to_vec()).unwrap() })
            .unwrap();
        assert_eq!(store.get("a/b").unwrap().as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn missing_store_is_empty_and_created_by_the_first_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = open("file:a/store", folder.path()).unwrap();
        assert_eq!((store.get("x/y").unwrap(), store.list("x").unwrap()), (None, Vec::new()));
        store.remove("x/y").unwrap();
        assert!(!folder.path().join("a").exists(), "looking makes nothing");
        store.put_rebuildable("x/y", b"1".to_vec()).unwrap();
        assert_eq!(store.get("x/y").unwrap().as_deref(), Some(&b"1"[..]));
    }

    /// A store elsewhere that takes its time.
    fn slow(name: &str, within: Duration) -> Store {
        use object_store::memory::InMemory;
        use object_store::throttle::{ThrottleConfig, ThrottledStore};
        let config = ThrottleConfig {
            wait_get_per_byte: Duration::from_secs(1),
            wait_put_per_call: Duration::from_mins(1),
            wait_list_with_delimiter_per_call: Duration::from_mins(1),
            ..ThrottleConfig::default()
        };
        let holds = InMemory::new();
        wait(holds.put(&Key::from("a"), PutPayload::from(vec![b'x'; 100_000]))).unwrap();
        let objects: Objects = Arc::new(ThrottledStore::new(holds, config));
        let place = Place::Bucket { quick: objects.clone(), patient: objects };
        Store {
            place,
            shown: format!("s3://{name}"),
            bound: Bound::usual(within),
            waits: None,
            synced_later: None,
            above: None,
        }
    }

    #[track_caller]
    fn fails<T: std::fmt::Debug>(outcome: Result<T, StoreError>, expected: &str) {
        let error = outcome.unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains(expected) && error.kind() == FailureKind::Surroundings, "{why}");
    }

    #[test]
    fn slow_store_is_abandoned_within_the_limit() {
        let began = Instant::now();
        let within = Duration::from_millis(200);
        fails(slow("reads", within).get("a"), "within 0.2 s");
        fails(slow("writes", within).put("a", b"x".to_vec()), "within 0.2 s");
        fails(slow("lists", within).list("a"), "within 0.2 s");
        assert!(began.elapsed() < Duration::from_secs(10));
        let store = slow("reads", within);
        fails(store.get("a"), "a moment ago");
        fails(store.briefly().get("a"), "a moment ago");
    }

    #[test]
    fn optional_read_timeout_does_not_mark_the_store_unreachable() {
        let store = slow("nice", Duration::from_millis(200));
        fails(store.briefly().get("a"), "within 0.2 s");
        fails(store.briefly().get("a"), "a moment ago");
        fails(store.get("a"), "within 0.2 s");
    }

    #[test]
    fn long_wait_is_reported() {
        let notices = Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = notices.clone();
        let store = slow("said", REPORT_AFTER + Duration::from_millis(500))
            .waiting(move |text| sink.lock().unwrap().push(text.to_owned()));
        fails(store.get("a"), "within 2.5 s");
        assert_eq!(
            *notices.lock().unwrap(),
            ["waiting for the object store s3://said to read `a`, 2.5 s at most and longer only \
                while bytes move"]
        );
    }

    #[test]
    fn file_store_conforms() {
        let folder = tempfile::tempdir().unwrap();
        let store = open("file:store", folder.path()).unwrap();
        assert_eq!(store.probe("probe/1").unwrap(), Probe { keeps: true, refuses: true });
        assert!(store.list("probe").unwrap().is_empty());
    }

    #[test]
    fn unsupported_store_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        for wrong in ["gs://bucket", "s3://", "bucket"] {
            assert_eq!(
                open(wrong, folder.path()).unwrap_err().kind(),
                FailureKind::Input,
                "{wrong}"
            );
        }
        std::fs::write(folder.path().join("file"), "").unwrap();
        let store = open("file:file/store", folder.path()).unwrap();
        assert_eq!(store.get("a").unwrap_err().kind(), FailureKind::Surroundings);
        assert_eq!(store.put("a", b"x".to_vec()).unwrap_err().kind(), FailureKind::Surroundings);
    }
}
