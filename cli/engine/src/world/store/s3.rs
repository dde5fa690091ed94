//! `s3://BUCKET/PREFIX`: any S3-compatible store, configured by the usual `AWS_*` variables. Failed
//! requests are retried for a limited time.

use crate::world::env;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, RetryConfig};
use std::future::Future;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// After this nothing is retried; one last attempt may still be in flight.
const GIVE_UP_AFTER: Duration = Duration::from_secs(6);
const CONNECT_WITHIN: &str = "2 seconds";
/// For a server that took the request and does not answer.
const ANSWER_WITHIN: &str = "4 seconds";
/// Objects of this size need a longer breath.
pub(super) const LARGE: usize = 1 << 20;
const ANSWER_LARGE_WITHIN: &str = "120 seconds";

/// Two clients of one bucket.
#[derive(Debug)]
pub(super) struct S3 {
    pub(super) quick: PrefixStore<AmazonS3>,
    /// For large objects.
    pub(super) patient: PrefixStore<AmazonS3>,
}

impl S3 {
    /// `place` is what follows `s3://`. Nothing is sent yet.
    pub(super) fn open(place: &str) -> Result<Self, object_store::Error> {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let client = |answer_within| -> Result<_, object_store::Error> {
            Ok(PrefixStore::new(
                builder(bucket, answer_within).build()?,
                prefix.trim_end_matches('/'),
            ))
        };
        provide_tls();
        Ok(Self { quick: client(ANSWER_WITHIN)?, patient: client(ANSWER_LARGE_WITHIN)? })
    }
}

/// The TLS crypto provider for verifying certificates.
pub fn provide_tls() {
    // already set by an earlier call
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn builder(bucket: &str, answer_within: &str) -> AmazonS3Builder {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(2),
        base: 2.0,
    };
    let retry = RetryConfig { backoff, max_retries: 8, retry_timeout: GIVE_UP_AFTER };
    let client = AmazonS3ConfigKey::Client;
    let builder = AmazonS3Builder::new()
        .with_retry(retry)
        .with_config(client(ClientConfigKey::ConnectTimeout), CONNECT_WITHIN)
        .with_config(client(ClientConfigKey::ReadTimeout), answer_within)
        .with_config(client(ClientConfigKey::Timeout), ANSWER_LARGE_WITHIN);
    let settings = env::aws()
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)));
    settings
        .fold(builder, |builder, (key, value)| builder.with_config(key, value))
        .with_bucket_name(bucket)
}

/// An unreachable store, with the time of the failure: a command with ten requests waits once.
struct Unreachable {
    url: String,
    /// The failed request was optional, with a short limit; a longer one may succeed.
    brief: bool,
    when: Instant,
}

static UNREACHABLE: Mutex<Vec<Unreachable>> = Mutex::new(Vec::new());
const RETRY_AFTER: Duration = Duration::from_secs(30);

fn unreachable() -> MutexGuard<'static, Vec<Unreachable>> {
    let mut unreachable = UNREACHABLE.lock().unwrap_or_else(PoisonError::into_inner);
    unreachable.retain(|one| one.when.elapsed() < RETRY_AFTER);
    unreachable
}

pub(super) fn note_unreachable(url: String, brief: bool) {
    if !was_unreachable(&url, brief) {
        unreachable().push(Unreachable { url, brief, when: Instant::now() });
    }
}

/// Whether to skip a request: all of them, or only optional ones.
pub(super) fn was_unreachable(url: &str, brief: bool) -> bool {
    unreachable().iter().any(|one| one.url == url && (brief || !one.brief))
}

/// Runs a future on the network event loop, a separate thread: the caller may be in another event
/// loop.
pub(super) fn spawn<F: Future<Output: Send> + Send + 'static>(
    future: F,
) -> std::io::Result<JoinHandle<F::Output>> {
    static NETWORK: OnceLock<Handle> = OnceLock::new();
    if let Some(handle) = NETWORK.get() {
        return Ok(handle.spawn(future));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = NETWORK.get_or_init(|| runtime.handle().clone()).clone();
    // where another thread was first, its loop runs already, and this one is dropped
    if handle.id() == runtime.handle().id() {
        std::thread::Builder::new()
            .name("network".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    }
    Ok(handle.spawn(future))
}
