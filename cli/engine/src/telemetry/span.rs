//! A span in progress; without a subscriber it costs nothing.

use super::attributes::AttributeValue;
use super::global::telemetry;
use super::record::SpanRecord;
use super::served::{push_agent, push_served};
use super::subscriber::{Spans, TARGET};
use super::traceparent;
use agent_core::formats::object_id::ObjectId;
use agent_core::protocol::conventions as names;
use opentelemetry::trace::SpanContext;
use semver::Version;
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

    /// Opens a span and describes it.
    pub(super) fn open(parent: Parent<'_>, describe: impl FnOnce(&mut SpanRecord)) -> Self {
        let span = Self(tracing::info_span!(target: TARGET, "span"));
        span.edit(|record| {
            if let Parent::Remote(Some(traceparent)) = parent
                && let Some(remote) = traceparent::parse(traceparent)
            {
                record.continue_from(&remote);
            }
            describe(record);
        });
        span
    }

    /// An operation without a semantic convention.
    pub fn internal(name: &str, kind: &'static str) -> Self {
        Self::of_kind(name, kind, Parent::Current)
    }

    /// An operation without a semantic convention that continues a trace.
    pub fn continuing(name: &str, kind: &'static str, traceparent: Option<&str>) -> Self {
        Self::of_kind(name, kind, Parent::Remote(traceparent))
    }

    fn of_kind(name: &str, kind: &'static str, parent: Parent<'_>) -> Self {
        Self::open(parent, |record| {
            record.name = name.into();
            mark_kind(record, kind);
        })
    }

    pub fn is_recorded(&self) -> bool {
        !self.0.is_disabled()
    }

    /// Works on the record, where there is one.
    pub(super) fn edit<T>(&self, work: impl FnOnce(&mut SpanRecord) -> T) -> Option<T> {
        Spans::with(&self.0, work)
    }

    pub fn set<'a>(&self, key: &'static str, value: impl Into<AttributeValue<'a>>) {
        self.edit(|record| record.attributes.push(key, value));
    }

    /// Sets an attribute that has a value.
    pub fn set_some<T: ToString>(&self, key: &'static str, value: Option<T>) {
        if let Some(value) = value {
            self.edit(|record| record.attributes.push(key, value.to_string()));
        }
    }

    /// The agent it is about, and which version of it.
    pub fn of_agent(&self, version: Option<&impl ToString>) {
        self.edit(|record| {
            let version = version.map(ToString::to_string);
            push_agent(&mut record.attributes, agent(), version.as_deref());
        });
    }

    /// What served: a version where there is one, and the state.
    pub fn served_by(&self, version: Option<&Version>, revision: &ObjectId) {
        self.edit(|record| {
            push_served(&mut record.attributes, agent(), version, revision);
        });
    }

    /// Records a failure: the error type and the message.
    pub fn fail(&self, error_type: &str, description: impl Into<String>) {
        self.edit(|record| record.fail(error_type, description.into()));
    }

    /// A link to a span of another trace.
    pub fn link(&self, traceparent: &str) {
        if let Some(context) = traceparent::parse(traceparent) {
            self.edit(|record| record.links.push(context));
        }
    }

    /// The W3C `traceparent` for continuing this trace. `None` when nothing is recorded.
    pub fn traceparent(&self) -> Option<String> {
        self.context().map(|context| traceparent::of(&context))
    }

    pub(super) fn context(&self) -> Option<SpanContext> {
        self.edit(|record| record.context())
    }

    /// Does something within it: spans that begin there are its children.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.in_scope(work)
    }

    pub async fn around<F: Future>(&self, work: F) -> F::Output {
        work.instrument(self.0.clone()).await
    }
}

/// The agent's name.
fn agent() -> Option<&'static str> {
    telemetry()?.agent.as_deref()
}

/// What a span is about in our words, and in those of backends.
fn mark_kind(record: &mut SpanRecord, kind: &'static str) {
    let attributes = &mut record.attributes;
    attributes.push(names::KIND, kind);
    match kind {
        names::TIER_KIND => attributes.push(names::SPAN_KIND, names::SPAN_EVALUATOR),
        names::RUN_KIND => {
            attributes.push(names::SPAN_KIND, names::SPAN_AGENT);
            attributes.push(names::OPERATION, names::INVOKE_AGENT);
        }
        _ => attributes.push(names::SPAN_KIND, names::SPAN_CHAIN),
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
        let mut record = SpanRecord::begin(Some(&parent), telemetry.destinations.takes_pairs());
        record.started = self.ended - self.took;
        record.took = self.took;
        record.name = self.name.into();
        for (key, value) in self.attributes {
            record.attributes.push(key, value);
        }
        if let Some((error_type, description)) = self.failure {
            record.fail(error_type, description);
        }
        push_agent(&mut record.attributes, agent(), self.version.as_deref());
        let traceparent = traceparent::of(&record.context());
        telemetry.destinations.end(record);
        Some(traceparent)
    }
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
