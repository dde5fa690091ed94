//! A span in progress; without a subscriber it costs nothing.

use super::global::telemetry;
use super::subscriber::{KIND, NAME, PARENT, Spans, TARGET};
use super::traceparent;
use agent_core::protocol::conventions as names;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use std::future::Future;
use std::time::{Duration, SystemTime};
use tracing::Instrument as _;

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

    pub(super) fn open(
        name: &str,
        kind: &SpanKind,
        parent: Parent<'_>,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> Self {
        let kind = match kind {
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            _ => "internal",
        };
        let remote = match parent {
            Parent::Current => None,
            Parent::Remote(traceparent) => traceparent,
        };
        let span = tracing::info_span!(
            target: TARGET, "span", { NAME } = name, { KIND } = kind, { PARENT } = remote
        );
        // the fields of `tracing` are constants: those of a request are not
        Spans::with(&span, |span| span.set_attributes(attributes));
        Self(span)
    }

    /// An operation without a semantic convention.
    pub fn internal(name: &str, kind: &'static str) -> Self {
        Self::of_kind(name, kind, Parent::Current)
    }

    /// The same as the continuation of a trace.
    pub fn continuing(name: &str, kind: &'static str, traceparent: Option<&str>) -> Self {
        Self::of_kind(name, kind, Parent::Remote(traceparent))
    }

    fn of_kind(name: &str, kind: &'static str, parent: Parent<'_>) -> Self {
        Self::open(name, &SpanKind::Internal, parent, attributes_of(kind))
    }

    pub fn is_recorded(&self) -> bool {
        !self.0.is_disabled()
    }

    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if self.is_recorded() {
            self.set_pair(KeyValue::new(key, value));
        }
    }

    pub(super) fn set_pair(&self, pair: KeyValue) {
        Spans::with(&self.0, |span| span.set_attribute(pair));
    }

    /// The same, where there is a value.
    pub fn set_some<T: ToString>(&self, key: &'static str, value: Option<T>) {
        if let Some(value) = value.filter(|_| self.is_recorded()) {
            self.set(key, value.to_string());
        }
    }

    /// The agent it is about, and which version of it.
    pub fn of_agent(&self, version: Option<&impl ToString>) {
        if self.is_recorded() {
            let attributes = agent_attributes(version.map(ToString::to_string));
            Spans::with(&self.0, |span| span.set_attributes(attributes));
        }
    }

    /// What served: a version where there is one, and the state.
    pub fn served_by(&self, version: Option<&impl ToString>, revision: &impl ToString) {
        if self.is_recorded() {
            let version = version.map(ToString::to_string);
            let served = [
                version.clone().map(|version| KeyValue::new(names::VERSION, version)),
                Some(KeyValue::new(names::REVISION, revision.to_string())),
            ];
            let attributes = agent_attributes(version).chain(served.into_iter().flatten());
            Spans::with(&self.0, |span| span.set_attributes(attributes));
        }
    }

    /// Records a failure: the error type and the message.
    pub fn fail(&self, error_type: &str, description: impl Into<String>) {
        if self.is_recorded() {
            self.set(names::ERROR_TYPE, error_type.to_owned());
            let status = Status::error(description.into());
            Spans::with(&self.0, |span| span.set_status(status));
        }
    }

    /// A link to a span of another trace.
    pub fn link(&self, traceparent: &str) {
        if let Some(context) = traceparent::parse(traceparent) {
            Spans::with(&self.0, |span| span.add_link(context, Vec::new()));
        }
    }

    /// The W3C `traceparent` for continuing this trace. `None` when nothing is recorded.
    pub fn traceparent(&self) -> Option<String> {
        self.context().map(|context| traceparent::of(&context))
    }

    pub(super) fn context(&self) -> Option<SpanContext> {
        Spans::with(&self.0, |span| span.span_context().clone()).filter(SpanContext::is_valid)
    }

    /// Does something within it: spans that begin there are its children.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.in_scope(work)
    }

    pub async fn around<F: Future>(&self, work: F) -> F::Output {
        work.instrument(self.0.clone()).await
    }
}

/// What a span is about in our words, and in those of backends.
fn attributes_of(kind: &'static str) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new(names::KIND, kind)];
    match kind {
        names::TIER_KIND => {
            attributes.push(KeyValue::new(names::SPAN_KIND, names::SPAN_EVALUATOR));
        }
        names::RUN_KIND => {
            attributes.push(KeyValue::new(names::SPAN_KIND, names::SPAN_AGENT));
            attributes.push(KeyValue::new(names::OPERATION, names::INVOKE_AGENT));
        }
        _ => attributes.push(KeyValue::new(names::SPAN_KIND, names::SPAN_CHAIN)),
    }
    attributes
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
        let attributes: Vec<_> = self
            .attributes
            .into_iter()
            .chain(error_type)
            .map(|(key, value)| KeyValue::new(key, value))
            .chain(agent_attributes(self.version))
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
        Some(traceparent::of(span.span_context()))
    }
}

fn agent_attributes(version: Option<String>) -> impl Iterator<Item = KeyValue> {
    let name = telemetry().and_then(|telemetry| telemetry.agent.clone());
    let name = name.map(|name| KeyValue::new(names::AGENT_NAME, name));
    name.into_iter().chain(version.map(|version| KeyValue::new(names::AGENT_VERSION, version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disabled_span_is_not_recorded() {
        let span = Span::internal("promotion", "promotion");
        assert!(!span.is_recorded() && span.traceparent().is_none());
        assert_eq!(span.within(|| 7), 7);
    }
}
