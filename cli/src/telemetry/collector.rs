//! A collector of OpenTelemetry's, where the usual variables name one: HTTP with JSON, in the background, by the SDK's own means.
//!
//! One that does not answer costs nothing but what it did not get: nobody waits for it, but for a second at the end.

use super::metrics::Histograms;
use crate::world::store::provide_tls;
use opentelemetry_otlp::{ExporterBuildError, LogExporter, MetricExporter, RetryPolicy, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{BatchLogProcessor, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use std::sync::mpsc;
use std::time::Duration;

const END_WITHIN: Duration = Duration::from_secs(1);

/// What exports to it. The first two are handed to the providers, which have the spans and logs.
pub(super) struct Exporters {
    pub(super) spans: BatchSpanProcessor,
    pub(super) logs: BatchLogProcessor,
    pub(super) meters: SdkMeterProvider,
}

impl Exporters {
    pub(super) fn new(resource: Resource) -> Result<Self, ExporterBuildError> {
        provide_tls();
        let once = || RetryPolicy::disabled();
        let spans = SpanExporter::builder().with_http().with_retry_policy(once()).build()?;
        let logs = LogExporter::builder().with_http().with_retry_policy(once()).build()?;
        let metrics = MetricExporter::builder().with_http().with_retry_policy(once()).build()?;
        let reader = PeriodicReader::builder(metrics).build();
        Ok(Self {
            spans: BatchSpanProcessor::builder(spans).build(),
            logs: BatchLogProcessor::builder(logs).build(),
            meters: SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build(),
        })
    }
}

/// The collector while things are recorded.
pub(super) struct Collector {
    pub(super) histograms: Histograms,
    meters: SdkMeterProvider,
    tracers: SdkTracerProvider,
    loggers: SdkLoggerProvider,
}

impl Collector {
    pub(super) fn new(meters: SdkMeterProvider, tracers: SdkTracerProvider, loggers: SdkLoggerProvider) -> Self {
        Self { histograms: Histograms::of(&meters), meters, tracers, loggers }
    }

    /// Sends what there is; says why that did not work.
    pub(super) fn flush(&self) -> Option<String> {
        let (sender, ended) = mpsc::channel();
        let (meters, tracers, loggers) = (self.meters.clone(), self.tracers.clone(), self.loggers.clone());
        std::thread::spawn(move || {
            let sent = tracers.force_flush().and(loggers.force_flush()).and(meters.force_flush());
            let _ = sender.send(sent);
        });
        match ended.recv_timeout(END_WITHIN) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the OpenTelemetry collector did not get everything: {error}")),
            Err(_) => Some(format!("the OpenTelemetry collector did not answer within {} s", END_WITHIN.as_secs())),
        }
    }
}
