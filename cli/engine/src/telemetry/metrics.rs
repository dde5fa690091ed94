//! The histograms, and how what they counted is read.

use super::lines::Lines;
use agent_core::protocol::conventions as names;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, MeterProvider as _};
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// It is read when something is written; this is never reached.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The histograms of one destination.
#[derive(Debug)]
pub(super) struct Histograms {
    server: Histogram<f64>,
    client: Histogram<f64>,
}

impl Histograms {
    pub(super) fn of(provider: &SdkMeterProvider) -> Self {
        let meter = provider.meter_with_scope(super::settings::scope());
        let histogram = |name| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_boundaries(names::DURATION_BOUNDS.to_vec())
                .build()
        };
        Self {
            server: histogram(names::SERVER_DURATION),
            client: histogram(names::CLIENT_DURATION),
        }
    }

    pub(super) fn record(&self, kind: &SpanKind, took: Duration, labels: &[KeyValue]) {
        let histogram = if *kind == SpanKind::Server { &self.server } else { &self.client };
        histogram.record(took.as_secs_f64(), labels);
    }
}

/// The histograms whose lines are written here.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) histograms: Histograms,
    provider: SdkMeterProvider,
    read: Slot,
}

impl Measured {
    pub(super) fn new(resource: Resource) -> Self {
        let read = Slot::default();
        let reader = PeriodicReader::builder(read.clone()).with_interval(NEVER).build();
        let provider =
            SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
        Self { histograms: Histograms::of(&provider), provider, read }
    }

    /// What was measured since the last time.
    pub(super) fn line(&self) -> Option<Vec<u8>> {
        self.provider.force_flush().ok()?;
        self.read.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The last collected metrics, until they are taken.
#[derive(Debug, Clone, Default)]
struct Slot(Arc<Mutex<Option<Vec<u8>>>>);

impl PushMetricExporter for Slot {
    async fn export(&self, measured: &ResourceMetrics) -> OTelSdkResult {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Lines::metrics(measured);
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    /// Many short processes write into one store: what each adds can be summed.
    fn temporality(&self) -> Temporality {
        Temporality::Delta
    }
}
