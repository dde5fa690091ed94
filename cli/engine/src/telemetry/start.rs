//! Telemetry: spans, measurements and events by OpenTelemetry's conventions, as lines of OTLP/JSON in the object store, and to a collector where one is named.
//!
//! `span`, `operation` and `evaluation` are what the rest of `agent` calls; they cost nothing until `start` was called, which a verb does that has
//! something to tell. `pipeline` takes what was recorded to the `spool`, `spool` to the store, and `records` reads it back. The names are in `agent_core::protocol::conventions`.

mod collector;
mod debug;
mod evaluation;
mod lines;
mod metrics;
mod operation;
mod pipeline;
mod records;
mod span;
mod spool;

pub use agent_core::protocol::conventions;
pub use evaluation::Evaluation;
pub use operation::{Operation, Request, Transport};
pub use records::{Records, Source};
pub use span::{Past, Span};
pub use spool::{Signal, SpoolError};

use crate::world::env;
use crate::world::layout::Layout;
use agent_core::formats::manifest::Store;
use collector::{Collector, Complaint, Exporters};
use metrics::Measured;
use opentelemetry::logs::LoggerProvider as _;
use opentelemetry::trace::{SpanKind, TracerProvider as _};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use pipeline::Buffer;
use std::sync::OnceLock;
use std::time::Duration;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

/// Whose telemetry it is, and where it goes.
#[derive(Debug, Clone)]
pub struct Settings {
    pub layout: Layout,
    /// The object store, as `agent.toml` has it.
    pub store: Store,
    /// The agent's name there.
    pub agent: Option<String>,
}

/// What is there once telemetry is on, for the rest of the process.
struct Telemetry {
    resource: Resource,
    buffer: Buffer,
    logger: SdkLogger,
    tracer: SdkTracer,
    /// Made when something is measured first: it takes a thread.
    measured: OnceLock<Measured>,
    collector: Option<Collector>,
    /// The agent's name.
    agent: Option<String>,
    captures_content: bool,
}

static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();

/// `None` before `start`, and where it is switched off.
fn telemetry() -> Option<&'static Telemetry> {
    TELEMETRY.get()
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("agent").with_version(env!("CARGO_PKG_VERSION")).build()
}

impl Telemetry {
    fn record_duration(&self, kind: &SpanKind, took: Duration, labels: &[KeyValue]) {
        let measured = self.measured.get_or_init(|| Measured::new(self.resource.clone()));
        measured.histograms.record(kind, took, labels);
        if let Some(collector) = &self.collector {
            collector.histograms.record(kind, took, labels);
        }
    }
}

/// Whether what tools are given and what they answer goes on record.
fn captures_content() -> bool {
    telemetry().is_some_and(|telemetry| telemetry.captures_content)
}

/// Whoever holds it has what was recorded written and shipped in the end.
#[must_use = "what was recorded is written when this is dropped"]
pub struct Guard<'a> {
    /// Hears what could not be kept; `None` when another guard sees to it.
    complain: Option<Complain<'a>>,
}

type Complain<'a> = Box<dyn Fn(&str) + 'a>;

/// Switches telemetry on, unless `OTEL_SDK_DISABLED` says otherwise. Of several in one process the first is the one that counts. `warn` is called with what a collector did not get.
pub fn start<'a>(settings: Settings, complain: impl Fn(&str) + 'a, warn: impl Fn(&str) + Send + Sync + 'static) -> Guard<'a> {
    if env::telemetry_is_disabled() || TELEMETRY.get().is_some() {
        return Guard { complain: None };
    }
    let resource = resource(&settings);
    let agent = settings.agent.clone();
    let buffer = Buffer::new(settings, &resource, || telemetry()?.measured.get()?.line());
    // a host that does not sample its own trace still has its calls on record here
    let mut tracers = SdkTracerProvider::builder().with_resource(resource.clone()).with_sampler(Sampler::AlwaysOn);
    let mut loggers = SdkLoggerProvider::builder().with_resource(resource.clone());
    tracers = tracers.with_span_processor(buffer.clone());
    loggers = loggers.with_log_processor(buffer.clone());
    if env::shows_telemetry() {
        tracers = tracers.with_simple_exporter(debug::spans());
        loggers = loggers.with_simple_exporter(debug::logs());
    }
    let mut collected = None;
    let complaint = Complaint::new(Box::new(warn));
    if env::names_collector()
        && let Some(exporters) = Exporters::open(resource.clone(), &complaint)
    {
        tracers = tracers.with_span_processor(exporters.spans);
        loggers = loggers.with_log_processor(exporters.logs);
        collected = Some(exporters.meters);
    }
    let (tracers, loggers) = (tracers.build(), loggers.build());
    listen(&tracers);
    let (logger, tracer) = (loggers.logger_with_scope(scope()), tracers.tracer_with_scope(scope()));
    let collector = collected.map(|meters| Collector::new(meters, tracers, loggers, complaint));
    let captures_content = env::captures_content();
    let telemetry = Telemetry { resource, buffer, logger, tracer, measured: OnceLock::new(), collector, agent, captures_content };
    let is_first = TELEMETRY.set(telemetry).is_ok();
    Guard { complain: is_first.then(|| Box::new(complain) as Complain<'a>) }
}

/// From here on spans of ours are recorded, and nobody else's.
fn listen(tracers: &SdkTracerProvider) {
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracers.tracer_with_scope(scope()))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false);
    let ours = Targets::new().with_target(span::TARGET, LevelFilter::INFO);
    // another subscriber is there when a program that uses this library has one of its own
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(ours).with(spans));
}

/// The process, by the usual variables where they are set.
fn resource(settings: &Settings) -> Resource {
    let mut attributes =
        vec![KeyValue::new("service.version", env!("CARGO_PKG_VERSION")), KeyValue::new("process.pid", i64::from(std::process::id()))];
    attributes.extend(settings.agent.clone().map(|name| KeyValue::new("agent.name", name)));
    let builder = Resource::builder().with_attributes(attributes);
    if env::names_service() { builder.build() } else { builder.with_service_name("agent").build() }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let (Some(complain), Some(telemetry)) = (&self.complain, telemetry()) else { return };
        if let Some(problem) = telemetry.buffer.flush() {
            complain(&format!("telemetry is not in the object store yet: {problem}"));
        }
        if let Some(collector) = &telemetry.collector {
            collector.flush();
        }
    }
}
