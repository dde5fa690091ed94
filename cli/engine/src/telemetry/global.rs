//! The telemetry of this process.

use super::collector::Collector;
use super::metrics::Measured;
use super::pipeline::Buffer;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLogger;
use opentelemetry_sdk::trace::SdkTracer;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The process-wide telemetry, once started.
pub(super) struct Telemetry {
    pub(super) resource: Resource,
    pub(super) buffer: Buffer,
    pub(super) logger: SdkLogger,
    pub(super) tracer: SdkTracer,
    /// Made when something is measured first: it takes a thread.
    pub(super) measured: OnceLock<Measured>,
    pub(super) collector: Option<Collector>,
    /// The agent's name.
    pub(super) agent: Option<Arc<str>>,
    pub(super) captures_content: bool,
}

pub(super) static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();

/// `None` before `start`, and where it is switched off.
pub(super) fn telemetry() -> Option<&'static Telemetry> {
    TELEMETRY.get()
}

impl Telemetry {
    pub(super) fn record_duration(&self, kind: &SpanKind, took: Duration, labels: &[KeyValue]) {
        let measured = self.measured.get_or_init(|| Measured::new(self.resource.clone()));
        measured.histograms.record(kind, took, labels);
        if let Some(collector) = &self.collector {
            collector.histograms.record(kind, took, labels);
        }
    }
}

/// Whether arguments and results of tools are recorded.
pub(super) fn captures_content() -> bool {
    telemetry().is_some_and(|telemetry| telemetry.captures_content)
}
