//! Switching telemetry on, and having it written at the end.

use super::collector::{Collector, Exporters, FailureReport};
use super::debug;
use super::destinations::Destinations;
use super::global::{TELEMETRY, Telemetry, telemetry};
use super::metrics::{Histograms, Meters};
use super::pipeline::Buffer;
use super::settings::{Settings, scope};
use super::subscriber::Spans;
use crate::world::env;
use opentelemetry::logs::LoggerProvider as _;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::{SimpleSpanProcessor, SpanProcessor};
use std::sync::Arc;

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
    let agent = settings.agent.clone();
    let complaint = FailureReport::new(Box::new(warn));
    let exporters =
        env::names_collector().then(|| Exporters::open(resource.clone(), &complaint)).flatten();
    let histograms = exporters.as_ref().map(|exporters| Histograms::of(&exporters.meters));
    let buffer = Buffer::new(settings, &resource, Meters::new(resource.clone(), histograms));
    let mut processors: Vec<Box<dyn SpanProcessor>> = Vec::new();
    let mut loggers = SdkLoggerProvider::builder()
        .with_resource(resource.clone())
        .with_log_processor(buffer.clone());
    if env::shows_telemetry() {
        processors.push(Box::new(SimpleSpanProcessor::new(debug::spans())));
        loggers = loggers.with_simple_exporter(debug::logs());
    }
    let mut collected = None;
    if let Some(Exporters { spans, logs, meters }) = exporters {
        processors.push(Box::new(spans));
        loggers = loggers.with_log_processor(logs);
        collected = Some(meters);
    }
    let loggers = loggers.build();
    let logger = loggers.logger_with_scope(scope());
    let destinations = Arc::new(Destinations::new(buffer.clone(), processors, &resource));
    let ended = Arc::clone(&destinations);
    let spans = Spans::new(move |record| ended.end(record), destinations.takes_pairs());
    // a program that uses this library may have installed another subscriber
    let _ = tracing::subscriber::set_global_default(spans);
    let collector = collected.map(|meters| Collector::new(meters, loggers, complaint));
    let captures_content = env::captures_content();
    let telemetry = Telemetry { buffer, logger, destinations, collector, agent, captures_content };
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
            let spans = Arc::clone(&telemetry.destinations);
            collector.flush(move || spans.flush());
        }
    }
}
