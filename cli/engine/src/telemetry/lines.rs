//! Records as lines of OTLP/JSON: each a complete export request, by protobuf's rules for
//! JSON (ids in hex, 64-bit integers as text).

use opentelemetry::trace::{SpanId, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as ProtoSpan, SpanFlags, span, status,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, SdkLogRecord};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::trace::SpanData;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt::Display;
use std::time::{SystemTime, UNIX_EPOCH};

const SPANS: &str = "\"spans\":[";
const NO_SPANS: &str = "\"spans\":[]";

/// The resource, repeated in each line.
#[derive(Debug)]
pub(super) struct Lines {
    attributes: ResourceAttributesWithSchema,
    /// What stands before the spans of a line, and after them.
    head: String,
    tail: String,
}

impl Lines {
    pub(super) fn of(resource: &Resource) -> Self {
        let attributes = ResourceAttributesWithSchema::from(resource);
        let empty = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(ProtoResource {
                    attributes: attributes.attributes.0.clone(),
                    ..ProtoResource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    scope: Some((&super::settings::scope(), None).into()),
                    ..ScopeSpans::default()
                }],
                schema_url: attributes.schema_url.clone().unwrap_or_default(),
            }],
        };
        let empty = serde_json::to_string(&empty).expect("an export request is JSON");
        // within a string the quotation marks would be escaped
        let (head, tail) = empty.split_once(NO_SPANS).expect("there are none yet");
        let (head, tail) = (format!("{head}{SPANS}"), format!("]{tail}\n"));
        Self { attributes, head, tail }
    }

    /// Adds a span of our scope to the line, which is empty before the first one.
    pub(super) fn add_span(&self, line: &mut Vec<u8>, span: &SpanData) {
        line.extend_from_slice(if line.is_empty() { self.head.as_bytes() } else { b"," });
        serde_json::to_writer(line, &SpanLine(span)).expect("a span is JSON");
    }

    /// Ends a line of spans.
    pub(super) fn end_spans(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(self.tail.as_bytes());
    }

    pub(super) fn logs(&self, logs: &[(SdkLogRecord, InstrumentationScope)]) -> Vec<u8> {
        let borrowed: Vec<_> = logs.iter().map(|(record, scope)| (record, scope)).collect();
        let batch = LogBatch::new(&borrowed);
        line(&ExportLogsServiceRequest {
            resource_logs: group_logs_by_resource_and_scope(&batch, &self.attributes),
        })
    }

    /// `None` when nothing was measured.
    pub(super) fn metrics(measured: &ResourceMetrics) -> Option<Vec<u8>> {
        let mut request = ExportMetricsServiceRequest::from(measured);
        for scope in
            request.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics)
        {
            scope.metrics.retain(|metric| match &metric.data {
                Some(Data::Histogram(histogram)) => !histogram.data_points.is_empty(),
                other => other.is_some(),
            });
        }
        let measured = request
            .resource_metrics
            .iter()
            .flat_map(|resource| &resource.scope_metrics)
            .any(|scope| !scope.metrics.is_empty());
        measured.then(|| line(&request))
    }
}

fn line(request: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(request).expect("an export request is JSON");
    line.push(b'\n');
    line
}

/// A span as the crate's own type is serialised, byte for byte, but without that type where the
/// span has nothing rare: every call makes two spans, and the type copies each part of them.
struct SpanLine<'a>(&'a SpanData);

impl Serialize for SpanLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let span = self.0;
        let is_plain = span.events.is_empty()
            && span.links.is_empty()
            && span.span_context.trace_state().header().is_empty()
            && !span.attributes.iter().any(|pair| matches!(pair.value, Value::Array(_)));
        if is_plain {
            PlainSpan::of(span).serialize(serializer)
        } else {
            ProtoSpan::from(span.clone()).serialize(serializer)
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlainSpan<'a> {
    #[serde(serialize_with = "hex")]
    trace_id: [u8; 16],
    #[serde(serialize_with = "hex")]
    span_id: [u8; 8],
    trace_state: &'static str,
    #[serde(serialize_with = "hex")]
    parent_span_id: Vec<u8>,
    flags: u32,
    name: &'a str,
    kind: i32,
    start_time_unix_nano: Text<u64>,
    end_time_unix_nano: Text<u64>,
    #[serde(serialize_with = "attributes")]
    attributes: &'a [KeyValue],
    dropped_attributes_count: u32,
    events: [(); 0],
    dropped_events_count: u32,
    links: [(); 0],
    dropped_links_count: u32,
    status: PlainStatus<'a>,
}

#[derive(Serialize)]
struct PlainStatus<'a> {
    message: &'a str,
    code: i32,
}

impl<'a> PlainSpan<'a> {
    fn of(span: &'a SpanData) -> Self {
        let context = &span.span_context;
        let mut flags =
            u32::from(context.trace_flags().to_u8()) | SpanFlags::ContextHasIsRemoteMask as u32;
        if span.parent_span_is_remote {
            flags |= SpanFlags::ContextIsRemoteMask as u32;
        }
        let message = match &span.status {
            Status::Error { description } => description,
            Status::Unset | Status::Ok => "",
        };
        Self {
            trace_id: context.trace_id().to_bytes(),
            span_id: context.span_id().to_bytes(),
            trace_state: "",
            parent_span_id: Some(span.parent_span_id)
                .filter(|parent| *parent != SpanId::INVALID)
                .map_or_else(Vec::new, |parent| parent.to_bytes().to_vec()),
            flags,
            name: &span.name,
            kind: span::SpanKind::from(span.span_kind.clone()) as i32,
            start_time_unix_nano: nanoseconds(span.start_time),
            end_time_unix_nano: nanoseconds(span.end_time),
            attributes: &span.attributes,
            dropped_attributes_count: span.dropped_attributes_count,
            events: [],
            dropped_events_count: span.events.dropped_count,
            links: [],
            dropped_links_count: span.links.dropped_count,
            status: PlainStatus { message, code: status::StatusCode::from(&span.status) as i32 },
        }
    }
}

fn hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    let text = std::str::from_utf8(&text[..bytes.len() * 2]).expect("digits are ASCII");
    serializer.serialize_str(text)
}

fn nanoseconds(at: SystemTime) -> Text<u64> {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Text(since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()))
}

/// A number as a text.
struct Text<T>(T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn attributes<S: Serializer>(pairs: &[KeyValue], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(pairs.iter().map(|pair| Attribute {
        key: pair.key.as_str(),
        value: match &pair.value {
            Value::Bool(truth) => Scalar::Bool(*truth),
            Value::I64(integer) => Scalar::Int(Text(*integer)),
            Value::F64(number) => Scalar::Double(*number),
            other => Scalar::String(other.as_str()),
        },
    }))
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'a str,
    value: Scalar<'a>,
}

#[derive(Serialize)]
enum Scalar<'a> {
    #[serde(rename = "boolValue")]
    Bool(bool),
    #[serde(rename = "intValue")]
    Int(Text<i64>),
    #[serde(rename = "doubleValue")]
    Double(f64),
    #[serde(rename = "stringValue")]
    String(Cow<'a, str>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{
        Span as _, SpanBuilder, SpanContext, SpanKind, TraceContextExt as _, TraceFlags, TraceId,
        TraceState, Tracer as _, TracerProvider as _,
    };
    use opentelemetry::{Array, Context};
    use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span};

    /// The spans that some work on a new span each makes.
    fn spans(works: &[fn(&mut Span)]) -> Vec<SpanData> {
        let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).build();
        let tracer = provider.tracer_with_scope(crate::telemetry::settings::scope());
        let remote = SpanContext::new(
            TraceId::from(7),
            SpanId::from(9),
            TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        );
        let parents = [Context::new(), Context::new().with_remote_span_context(remote)];
        let kinds = [SpanKind::Server, SpanKind::Client, SpanKind::Internal];
        let mut spans = Vec::new();
        for ((work, parent), kind) in
            works.iter().zip(parents.iter().cycle()).zip(kinds.iter().cycle())
        {
            let builder = SpanBuilder::from_name("tools/call \"ask\"\n").with_kind(kind.clone());
            let mut span = tracer.build_with_context(builder, parent);
            work(&mut span);
            spans.extend(span.exported_data());
        }
        spans
    }

    #[test]
    fn the_line_of_spans_is_the_crates_own_byte_for_byte() {
        let resource = Resource::builder_empty().with_attribute(KeyValue::new("a", "b")).build();
        let lines = Lines::of(&resource);
        let other = SpanContext::new(
            TraceId::from(3),
            SpanId::from(4),
            TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        );
        let works: [fn(&mut Span); 7] = [
            |_| {},
            |span| {
                span.set_attribute(KeyValue::new("text", "é \u{1} \" \\ \u{2028}"));
                span.set_attribute(KeyValue::new("owned", "x".repeat(300)));
                span.set_attribute(KeyValue::new("integer", i64::MIN));
            },
            |span| {
                for number in [0.1, -1.0, 1e300, f64::NAN, f64::INFINITY] {
                    span.set_attribute(KeyValue::new("number", number));
                }
                span.set_attribute(KeyValue::new("truth", true));
            },
            |span| span.set_status(Status::error("what went wrong\t")),
            |span| span.set_status(Status::Ok),
            |span| {
                let list = Array::from(vec![1_i64, 2]);
                span.set_attribute(KeyValue::new("list", Value::Array(list)));
            },
            |span| span.add_event("event", vec![KeyValue::new("text", "x")]),
        ];
        let mut spans = spans(&works);
        assert_eq!(spans.len(), works.len());
        let mut linked = spans[1].clone();
        linked.links.links.push(opentelemetry::trace::Link::with_context(other));
        spans.push(linked);
        let mut line = Vec::new();
        for span in &spans {
            lines.add_span(&mut line, span);
        }
        lines.end_spans(&mut line);
        let theirs = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &lines.attributes),
        };
        assert_eq!(
            String::from_utf8(line).unwrap(),
            serde_json::to_string(&theirs).unwrap() + "\n"
        );
    }
}
