//! Switching telemetry on, and having it written at the end.

use super::collector::{Collector, Exporters, FailureReport};
use super::debug;
use super::global::{TELEMETRY, Telemetry, telemetry};
use super::pipeline::Buffer;
use super::settings::{Settings, scope};
use super::subscriber::Spans;
use crate::world::env;
use opentelemetry::logs::LoggerProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use std::sync::{Arc, OnceLock};

/// When it is dropped, what was recorded is written and shipped.
#[must_use = "what was recorded is written when this is dropped"]
pub struct Guard<'a> {
    /// Called with what could not be kept; `None` when another guard does it.
    complain: Option<Complain<'a>>,
}

type Complain<'a> = Box<dyn Fn(&str) + 'a>;

/// Starts telemetry, unless `OTEL_SDK_DISABLED` is set. Only the first call in a process has an
/// effect. `warn` is called when an export to a collector fails.
pub fn start<'a>(
    settings: Settings,
    complain: impl Fn(&str) + 'a,
    warn: impl Fn(&str) + Send + Sync + 'static,
) -> Guard<'a> {
    if env::telemetry_is_disabled() || TELEMETRY.get().is_some() {
        return Guard { complain: None };
    }
    let resource = settings.resource();
    let agent = settings.agent.as_deref().map(Arc::from);
    let buffer = Buffer::new(settings, &resource, || telemetry()?.measured.get()?.line());
    // a host that does not sample its own trace still has its calls on record here
    let mut tracers = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(Sampler::AlwaysOn);
    let mut loggers = SdkLoggerProvider::builder().with_resource(resource.clone());
    tracers = tracers.with_span_processor(buffer.clone());
    loggers = loggers.with_log_processor(buffer.clone());
    if env::shows_telemetry() {
        tracers = tracers.with_simple_exporter(debug::spans());
        loggers = loggers.with_simple_exporter(debug::logs());
    }
    let mut collected = None;
    let complaint = FailureReport::new(Box::new(warn));
    if env::names_collector()
        && let Some(exporters) = Exporters::open(resource.clone(), &complaint)
    {
        tracers = tracers.with_span_processor(exporters.spans);
        loggers = loggers.with_log_processor(exporters.logs);
        collected = Some(exporters.meters);
    }
    let (tracers, loggers) = (tracers.build(), loggers.build());
    let (logger, tracer) = (loggers.logger_with_scope(scope()), tracers.tracer_with_scope(scope()));
    // a program that uses this library may have installed another subscriber
    let _ = tracing::subscriber::set_global_default(Spans::new(tracer.clone()));
    let collector = collected.map(|meters| Collector::new(meters, tracers, loggers, complaint));
    let captures_content = env::captures_content();
    let telemetry = Telemetry {
        resource,
        buffer,
        logger,
        tracer,
        measured: OnceLock::new(),
        collector,
        agent,
        captures_content,
    };
    let is_first = TELEMETRY.set(telemetry).is_ok();
    Guard { complain: is_first.then(|| Box::new(complain) as Complain<'a>) }
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
