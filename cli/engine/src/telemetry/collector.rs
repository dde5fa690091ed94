//! A collector of OpenTelemetry's, where the usual variables name one: HTTP with protobuf or JSON,
//! in the background, by the SDK's own means.
//!
//! An unreachable collector loses its exports but delays nothing, except for a second at exit. A
//! failed export is reported once, as soon as it fails.

use crate::world::env;
use crate::world::store::provide_tls;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, Protocol, RetryPolicy, SpanExporter,
    WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{self, BatchLogProcessor, LogBatch, SdkLoggerProvider};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{self, BatchSpanProcessor, SpanData};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const END_WITHIN: Duration = Duration::from_secs(1);

/// What exports to it. The first two are handed to the providers, which have the spans and logs.
pub(super) struct Exporters {
    pub(super) spans: BatchSpanProcessor,
    pub(super) logs: BatchLogProcessor,
    pub(super) meters: SdkMeterProvider,
}

/// Reports a failed export.
pub(super) type ReportFailure = Box<dyn Fn(&str) + Send + Sync>;

/// Reports that exports to the collector fail: once, regardless of their number.
pub(super) struct FailureReport {
    say: ReportFailure,
    is_reported: AtomicBool,
}

impl FailureReport {
    pub(super) fn new(say: ReportFailure) -> Arc<Self> {
        Arc::new(Self { say, is_reported: AtomicBool::new(false) })
    }

    fn report_failure(&self, sent: OTelSdkResult) -> OTelSdkResult {
        if let Err(error) = &sent {
            self.report(&error.to_string());
        }
        sent
    }

    fn report(&self, why: &str) {
        if !self.is_reported.swap(true, Ordering::Relaxed) {
            (self.say)(&format!(
                "the OpenTelemetry collector did not get everything: {why}; further failures are \
                not reported"
            ));
        }
    }
}

impl std::fmt::Debug for FailureReport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FailureReport")
    }
}

/// An exporter that reports failures, except where the collector does not support its signal: many
/// accept only traces.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    is_wanted: bool,
    complaint: Arc<FailureReport>,
}

impl<E> Watched<E> {
    async fn reported(&self, export: impl Future<Output = OTelSdkResult>) -> OTelSdkResult {
        if self.is_wanted { self.complaint.report_failure(export.await) } else { Ok(()) }
    }
}

impl trace::SpanExporter for Watched<SpanExporter> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.reported(self.exporter.export(batch)).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl logs::LogExporter for Watched<LogExporter> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.reported(self.exporter.export(batch)).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl PushMetricExporter for Watched<MetricExporter> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.reported(self.exporter.export(metrics)).await
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

impl Exporters {
    /// `None` where nothing can be sent, which is reported.
    pub(super) fn open(resource: Resource, complaint: &Arc<FailureReport>) -> Option<Self> {
        let named = env::otlp_protocols();
        let known: Option<Vec<_>> = named.iter().map(|named| protocol(named.as_deref())).collect();
        let Some([spans, logs, metrics]) = known.as_deref() else {
            let named = named
                .into_iter()
                .flatten()
                .find(|named| protocol(Some(named)).is_none())
                .unwrap_or_default();
            complaint.report(&format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is `{named}`, and \
                `http/protobuf` and `http/json` are offered"
            ));
            return None;
        };
        let opened = Self::new(resource, complaint, [*spans, *logs, *metrics]);
        opened.map_err(|error| complaint.report(&error.to_string())).ok()
    }

    fn new(
        resource: Resource,
        complaint: &Arc<FailureReport>,
        [spans, logs, metrics]: [Protocol; 3],
    ) -> Result<Self, ExporterBuildError> {
        provide_tls();
        let once = || RetryPolicy::disabled();
        let spans = SpanExporter::builder()
            .with_http()
            .with_protocol(spans)
            .with_retry_policy(once())
            .build()?;
        let logs = LogExporter::builder()
            .with_http()
            .with_protocol(logs)
            .with_retry_policy(once())
            .build()?;
        let metrics = MetricExporter::builder()
            .with_http()
            .with_protocol(metrics)
            .with_retry_policy(once())
            .build()?;
        let wanted = env::otlp_signals();
        let reader = PeriodicReader::builder(watched(metrics, wanted[2], complaint)).build();
        Ok(Self {
            spans: BatchSpanProcessor::builder(watched(spans, wanted[0], complaint)).build(),
            logs: BatchLogProcessor::builder(watched(logs, wanted[1], complaint)).build(),
            meters: SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build(),
        })
    }
}

fn watched<E>(exporter: E, is_wanted: bool, complaint: &Arc<FailureReport>) -> Watched<E> {
    Watched { exporter, is_wanted, complaint: Arc::clone(complaint) }
}

/// As the specification has it: protobuf, where nothing else is named.
fn protocol(named: Option<&str>) -> Option<Protocol> {
    match named {
        Some("http/json") => Some(Protocol::HttpJson),
        Some("http/protobuf") | None => Some(Protocol::HttpBinary),
        Some(_) => None,
    }
}

/// The collector while things are recorded.
pub(super) struct Collector {
    meters: SdkMeterProvider,
    loggers: SdkLoggerProvider,
    complaint: Arc<FailureReport>,
}

impl Collector {
    pub(super) fn new(
        meters: SdkMeterProvider,
        loggers: SdkLoggerProvider,
        complaint: Arc<FailureReport>,
    ) -> Self {
        Self { meters, loggers, complaint }
    }

    /// Sends what there is, the spans by what flushes them.
    pub(super) fn flush(&self, spans: impl FnOnce() -> OTelSdkResult + Send + 'static) {
        let (sender, ended) = mpsc::channel();
        let (meters, loggers) = (self.meters.clone(), self.loggers.clone());
        std::thread::spawn(move || {
            // each of them, whatever became of the one before
            let sent = [spans(), loggers.force_flush(), meters.force_flush()];
            let _ = sender.send(sent.into_iter().find(Result::is_err));
        });
        match ended.recv_timeout(END_WITHIN) {
            Ok(None) => {}
            Ok(Some(failed)) => drop(self.complaint.report_failure(failed)),
            Err(_) => self
                .complaint
                .report(&format!("it did not answer within {} s", END_WITHIN.as_secs())),
        }
    }
}
