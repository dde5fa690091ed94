//! A span in progress; without a subscriber it costs nothing.

use super::global::telemetry;
use agent_core::protocol::conventions as names;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
    TraceFlags, TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use std::future::Future;
use std::time::{Duration, SystemTime};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Only spans of this target are recorded, not those of dependencies.
pub(super) const TARGET: &str = "agent::telemetry";

/// Ends when its last copy is dropped.
#[derive(Debug, Clone)]
pub struct Span(tracing::Span);

/// Whose child a span is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parent<'a> {
    /// Of the span we are in; of none, it begins a trace.
    Current,
    /// Of a span somewhere else, as a W3C `traceparent`; one that cannot be read is none.
    Remote(Option<&'a str>),
}

impl Span {
    /// No parent.
    pub fn none() -> Self {
        Self(tracing::Span::none())
    }

    /// The one we are in.
    pub fn current() -> Self {
        Self(tracing::Span::current())
    }

    pub(super) fn open(name: &str, kind: &SpanKind, parent: Parent<'_>) -> Self {
        let kind = match kind {
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            _ => "internal",
        };
        let span = tracing::info_span!(target: TARGET, "span", otel.name = name, otel.kind = kind);
        if let Parent::Remote(Some(traceparent)) = parent
            && let Some(context) = parse_traceparent(traceparent)
        {
            // it was made a moment ago: it has no parent yet but the span we are in
            let _ = span.set_parent(Context::new().with_remote_span_context(context));
        }
        Self(span)
    }

    /// An operation without a semantic convention.
    pub fn internal(name: &str, kind: &'static str) -> Self {
        let span = Self::open(name, &SpanKind::Internal, Parent::Current);
        span.is_about(kind);
        span
    }

    /// The same as the continuation of a trace.
    pub fn continuing(name: &str, kind: &'static str, traceparent: Option<&str>) -> Self {
        let span = Self::open(name, &SpanKind::Internal, Parent::Remote(traceparent));
        span.is_about(kind);
        span
    }

    /// Its kind in the terms of `agent`, and in those of backends.
    fn is_about(&self, kind: &'static str) {
        self.set(names::KIND, kind);
        match kind {
            names::TIER_KIND => self.set(names::SPAN_KIND, names::SPAN_EVALUATOR),
            names::RUN_KIND => {
                self.set(names::SPAN_KIND, names::SPAN_AGENT);
                self.set(names::OPERATION, names::INVOKE_AGENT);
            }
            _ => self.set(names::SPAN_KIND, names::SPAN_CHAIN),
        }
    }

    pub fn is_recorded(&self) -> bool {
        !self.0.is_disabled()
    }

    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if self.is_recorded() {
            self.0.set_attribute(key, value);
        }
    }

    pub(super) fn set_pair(&self, pair: &KeyValue) {
        if self.is_recorded() {
            self.0.set_attribute(pair.key.clone(), pair.value.clone());
        }
    }

    /// The same, where there is a value.
    pub fn set_some<T: ToString>(&self, key: &'static str, value: Option<T>) {
        if let Some(value) = value.filter(|_| self.is_recorded()) {
            self.0.set_attribute(key, value.to_string());
        }
    }

    /// The agent it is about, and which version of it.
    pub fn of_agent(&self, version: Option<&impl ToString>) {
        if self.is_recorded() {
            for (key, value) in agent_attributes(version.map(ToString::to_string)) {
                self.set(key, value);
            }
        }
    }

    /// What served: a version where there is one, and the state.
    pub fn served_by(&self, version: Option<&impl ToString>, revision: &impl ToString) {
        self.of_agent(version);
        self.set_some(names::VERSION, version.map(ToString::to_string));
        self.set_some(names::REVISION, Some(revision.to_string()));
    }

    /// Records a failure: the error type and the message.
    pub fn fail(&self, error_type: &str, description: impl Into<String>) {
        if self.is_recorded() {
            self.0.set_attribute(names::ERROR_TYPE, error_type.to_owned());
            self.0.set_status(Status::error(description.into()));
        }
    }

    /// A link to a span of another trace.
    pub fn link(&self, traceparent: &str) {
        if let Some(context) = parse_traceparent(traceparent).filter(|_| self.is_recorded()) {
            self.0.add_link(context);
        }
    }

    /// The W3C `traceparent` for continuing this trace. `None` when nothing is recorded.
    pub fn traceparent(&self) -> Option<String> {
        self.context().map(|context| traceparent_of(&context))
    }

    pub(super) fn context(&self) -> Option<SpanContext> {
        if !self.is_recorded() {
            return None;
        }
        let context = self.0.context().span().span_context().clone();
        context.is_valid().then_some(context)
    }

    /// Does something within it: spans that begin there are its children.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.in_scope(work)
    }

    pub async fn around<F: Future>(&self, work: F) -> F::Output {
        work.instrument(self.0.clone()).await
    }
}

/// A span that is over when it is recorded: of many things the few that are worth one.
#[derive(Debug)]
pub struct Past<'a> {
    pub name: String,
    pub ended: SystemTime,
    pub took: Duration,
    pub attributes: Vec<(&'static str, String)>,
    /// The version of the agent it is about.
    pub version: Option<String>,
    /// The error type it ended with, and the message.
    pub failure: Option<(&'a str, String)>,
}

impl Past<'_> {
    /// As a child of a span; gives back its `traceparent`.
    pub fn record(self, parent: &Span) -> Option<String> {
        let (telemetry, parent) = (telemetry()?, parent.context()?);
        let error_type = self
            .failure
            .as_ref()
            .map(|(error_type, _)| (names::ERROR_TYPE, (*error_type).to_owned()));
        let agent = agent_attributes(self.version);
        let attributes: Vec<_> = self
            .attributes
            .into_iter()
            .chain(agent)
            .chain(error_type)
            .map(|(key, value)| KeyValue::new(key, value))
            .collect();
        let builder = SpanBuilder::from_name(self.name)
            .with_attributes(attributes)
            .with_start_time(self.ended - self.took);
        let mut span = telemetry
            .tracer
            .build_with_context(builder, &Context::new().with_remote_span_context(parent));
        if let Some((_, description)) = self.failure {
            span.set_status(Status::error(description));
        }
        span.end_with_timestamp(self.ended);
        Some(traceparent_of(span.span_context()))
    }
}

fn agent_attributes(version: Option<String>) -> impl Iterator<Item = (&'static str, String)> {
    let name = telemetry()
        .and_then(|telemetry| telemetry.agent.clone())
        .map(|name| (names::AGENT_NAME, name));
    name.into_iter().chain(version.map(|version| (names::AGENT_VERSION, version)))
}

pub(super) fn traceparent_of(context: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
}

/// Version 00, and what later versions begin with.
pub(super) fn parse_traceparent(text: &str) -> Option<SpanContext> {
    let parts: Vec<&str> = text.split('-').collect();
    let &[version, trace, span, flags, ..] = parts.as_slice() else { return None };
    let lengths = [(version, 2), (trace, 32), (span, 16), (flags, 2)];
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if lengths.iter().any(|(part, length)| part.len() != *length || !is_hex(part))
        || version == "ff"
        || (version == "00" && parts.len() > 4)
    {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        flags,
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent_of(&parse_traceparent(text).unwrap()), text);
        assert!(
            parse_traceparent(
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later"
            )
            .is_some()
        );
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-äbf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert!(parse_traceparent(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn disabled_span_is_not_recorded() {
        let span = Span::internal("promotion", "promotion");
        assert!(!span.is_recorded() && span.traceparent().is_none());
        assert_eq!(span.within(|| 7), 7);
    }
}
