//! A span in progress, and what it is when it has ended.

use super::attributes::Attributes;
use super::labels::Labels;
use agent_core::protocol::conventions as names;
use opentelemetry::time::now;
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents, SpanLinks,
};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// A host that does not sample its own trace still has its calls on record here.
pub(super) const FLAGS: TraceFlags = TraceFlags::SAMPLED;

#[derive(Debug)]
pub(super) struct SpanRecord {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) parent: Option<ParentSpan>,
    pub(super) kind: SpanKind,
    pub(super) name: Arc<str>,
    pub(super) started: SystemTime,
    began: Instant,
    /// How long it took, once it has ended.
    pub(super) took: Duration,
    pub(super) attributes: Attributes,
    pub(super) links: Vec<SpanContext>,
    /// The message of the failure it ended with.
    pub(super) failure: Option<String>,
    /// Of a request, whose duration is measured.
    measurement: Option<Measurement>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ParentSpan {
    pub(super) id: SpanId,
    pub(super) is_remote: bool,
}

/// How long a request took.
#[derive(Debug)]
pub(super) struct Measurement {
    pub(super) labels: Arc<Labels>,
    /// The labels of how it ended.
    pub(super) more: Vec<KeyValue>,
    /// Zero until it has ended.
    pub(super) took: Duration,
}

impl SpanRecord {
    /// `with_pairs` where an exporter of the SDK takes it.
    pub(super) fn begin(parent: Option<&SpanContext>, with_pairs: bool) -> Self {
        let ids = RandomIdGenerator::default();
        let mut record = Self {
            trace: TraceId::INVALID,
            span: ids.new_span_id(),
            parent: None,
            kind: SpanKind::Internal,
            name: Arc::default(),
            started: now(),
            began: Instant::now(),
            took: Duration::ZERO,
            attributes: Attributes::new(with_pairs),
            links: Vec::new(),
            failure: None,
            measurement: None,
        };
        match parent {
            Some(parent) => record.continue_from(parent),
            None => record.trace = ids.new_trace_id(),
        }
        record
    }

    /// Makes it a child of another span.
    pub(super) fn continue_from(&mut self, parent: &SpanContext) {
        self.trace = parent.trace_id();
        self.parent = Some(ParentSpan { id: parent.span_id(), is_remote: parent.is_remote() });
    }

    /// Makes it the span of a request: its name, its first attributes, and its duration is
    /// measured.
    pub(super) fn describe(&mut self, labels: Arc<Labels>) {
        self.kind = labels.kind.clone();
        self.name = Arc::clone(&labels.name);
        self.attributes.extend(&labels.attributes);
        self.measurement = Some(Measurement { labels, more: Vec::new(), took: Duration::ZERO });
    }

    /// An attribute that is a label of the histogram as well, where there is one.
    pub(super) fn label(&mut self, key: &'static str, value: &str) {
        self.attributes.push(key, value);
        if let Some(measurement) = &mut self.measurement {
            measurement.more.push(KeyValue::new(key, value.to_owned()));
        }
    }

    /// Records a failure; of two the last message is kept.
    pub(super) fn fail(&mut self, error_type: &str, message: String) {
        self.label(names::ERROR_TYPE, error_type);
        self.failure = Some(message);
    }

    pub(super) fn end(&mut self) {
        self.took = self.began.elapsed();
    }

    /// What the histograms get once it has ended. It can be taken once.
    pub(super) fn take_measurement(&mut self) -> Option<Measurement> {
        let measurement = self.measurement.take()?;
        Some(Measurement { took: self.took, ..measurement })
    }

    pub(super) fn ended(&self) -> SystemTime {
        self.started + self.took
    }

    pub(super) fn context(&self) -> SpanContext {
        SpanContext::new(self.trace, self.span, FLAGS, false, TraceState::NONE)
    }

    /// As the SDK's exporters have it.
    pub(super) fn into_data(self, scope: InstrumentationScope) -> SpanData {
        let mut links = SpanLinks::default();
        links.links.extend(self.links.iter().cloned().map(Link::with_context));
        SpanData {
            span_context: self.context(),
            parent_span_id: self.parent.map_or(SpanId::INVALID, |parent| parent.id),
            parent_span_is_remote: self.parent.is_some_and(|parent| parent.is_remote),
            start_time: self.started,
            end_time: self.ended(),
            span_kind: self.kind,
            name: self.name.to_string().into(),
            attributes: self.attributes.into_pairs(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: self.failure.map_or(Status::Unset, Status::error),
            instrumentation_scope: scope,
        }
    }
}
