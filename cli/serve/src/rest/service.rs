//! What makes an API, and what its threads share.

use super::events::Streams;
use super::metrics::Metrics;
use super::route::Route;
use crate::access::Access;
use agent_engine::error::Failure;
use agent_engine::notices::Notices;
use std::sync::Arc;

/// An API.
pub struct Service<W> {
    pub title: &'static str,
    pub description: &'static str,
    /// A JSON object: the schemas that the routes refer to, by name.
    pub schemas: &'static str,
    pub routes: Vec<Route<W>>,
    /// Opens a worker's state. Each worker has its own because a repository belongs to one thread.
    pub open: Box<dyn Fn() -> Result<W, Failure> + Send + Sync>,
    /// The service's own lines for `/metrics`, in the text format of Prometheus.
    pub metrics: OwnMetrics<W>,
}

pub(super) type OwnMetrics<W> = fn(&mut W) -> Result<String, Failure>;

/// State that the front and the workers share.
pub(super) struct Shared {
    pub(super) access: Access,
    pub(super) metrics: Arc<Metrics>,
    pub(super) streams: Arc<Streams>,
    /// Paths that require no token.
    pub(super) open_paths: Vec<&'static str>,
    pub(super) notices: Notices,
}
