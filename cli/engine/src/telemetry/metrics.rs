//! The histograms, and how what they counted is read.

use super::lines::Lines;
use super::record::Measurement;
use agent_core::protocol::conventions as names;
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

    fn record(&self, measurement: &Measurement) {
        let Measurement { labels, more, took } = measurement;
        let is_served = labels.kind == SpanKind::Server;
        let histogram = if is_served { &self.server } else { &self.client };
        if more.is_empty() {
            histogram.record(took.as_secs_f64(), labels.pairs());
        } else {
            histogram.record(took.as_secs_f64(), &[labels.pairs(), more].concat());
        }
    }
}

/// The histograms of this process: those whose lines are written here, and the collector's.
#[derive(Debug)]
pub(super) struct Meters {
    resource: Resource,
    /// Made when something is measured first: it takes a thread.
    own: Option<Measured>,
    collector: Option<Histograms>,
}

impl Meters {
    pub(super) fn new(resource: Resource, collector: Option<Histograms>) -> Self {
        Self { resource, own: None, collector }
    }

    pub(super) fn record(&mut self, measurements: &[Measurement]) {
        for measurement in measurements {
            let resource = &self.resource;
            let own = self.own.get_or_insert_with(|| Measured::new(resource.clone()));
            own.histograms.record(measurement);
            if let Some(collector) = &self.collector {
                collector.record(measurement);
            }
        }
    }

    /// What was measured since the last time.
    pub(super) fn line(&self) -> Option<Vec<u8>> {
        self.own.as_ref()?.line()
    }
}

/// The histograms whose lines are written here.
#[derive(Debug)]
struct Measured {
    histograms: Histograms,
    provider: SdkMeterProvider,
    read: Slot,
}

impl Measured {
    fn new(resource: Resource) -> Self {
        let read = Slot::default();
        let reader = PeriodicReader::builder(read.clone()).with_interval(NEVER).build();
        let provider =
            SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
        Self { histograms: Histograms::of(&provider), provider, read }
    }

    fn line(&self) -> Option<Vec<u8>> {
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
