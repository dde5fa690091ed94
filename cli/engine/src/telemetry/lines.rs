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
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

const SPANS: &str = "\"spans\":[";
/// About as long as the span of a call is.
const SPAN_LENGTH: usize = 1024;
const NO_SPANS: &str = "\"spans\":[]";

/// The resource, repeated in each line.
#[derive(Debug)]
pub(super) struct Lines {
    attributes: ResourceAttributesWithSchema,
    /// The text before the spans of a line, and after them.
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
        write_span(line, span);
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

/// Appends a span, by the crate's own type only where it has something rare: every call makes two
/// spans, and that type copies each part of them.
fn write_span(line: &mut Vec<u8>, span: &SpanData) {
    let is_plain = span.events.is_empty()
        && span.links.is_empty()
        && span.span_context.trace_state().header().is_empty()
        && !span.attributes.iter().any(|pair| matches!(pair.value, Value::Array(_)));
    if is_plain {
        write_plain(line, span);
    } else {
        write_json(line, &ProtoSpan::from(span.clone()));
    }
}

/// Members that have their default are left out, as protobuf's JSON allows: what is written is half
/// of what telemetry costs a call.
fn write_plain(line: &mut Vec<u8>, span: &SpanData) {
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
    line.reserve(SPAN_LENGTH);
    line.extend_from_slice(b"{\"traceId\":\"");
    write_hex(line, &context.trace_id().to_bytes());
    line.extend_from_slice(b"\",\"spanId\":\"");
    write_hex(line, &context.span_id().to_bytes());
    if span.parent_span_id != SpanId::INVALID {
        line.extend_from_slice(b"\",\"parentSpanId\":\"");
        write_hex(line, &span.parent_span_id.to_bytes());
    }
    line.extend_from_slice(b"\",\"flags\":");
    write_json(line, &flags);
    line.extend_from_slice(b",\"name\":");
    write_text(line, &span.name);
    line.extend_from_slice(b",\"kind\":");
    write_json(line, &(span::SpanKind::from(span.span_kind.clone()) as i32));
    line.extend_from_slice(b",\"startTimeUnixNano\":\"");
    write_json(line, &nanoseconds(span.start_time));
    line.extend_from_slice(b"\",\"endTimeUnixNano\":\"");
    write_json(line, &nanoseconds(span.end_time));
    line.extend_from_slice(b"\",\"attributes\":[");
    write_attributes(line, &span.attributes);
    line.push(b']');
    write_count(line, b",\"droppedAttributesCount\":", span.dropped_attributes_count);
    write_count(line, b",\"droppedEventsCount\":", span.events.dropped_count);
    write_count(line, b",\"droppedLinksCount\":", span.links.dropped_count);
    if span.status != Status::Unset {
        line.extend_from_slice(b",\"status\":{\"message\":");
        write_text(line, message);
        line.extend_from_slice(b",\"code\":");
        write_json(line, &(status::StatusCode::from(&span.status) as i32));
        line.push(b'}');
    }
    line.push(b'}');
}

fn write_count(line: &mut Vec<u8>, name: &[u8], count: u32) {
    if count > 0 {
        line.extend_from_slice(name);
        write_json(line, &count);
    }
}

fn write_attributes(line: &mut Vec<u8>, pairs: &[KeyValue]) {
    for (at, pair) in pairs.iter().enumerate() {
        line.extend_from_slice(if at == 0 { b"{\"key\":" } else { b",{\"key\":" });
        write_text(line, pair.key.as_str());
        line.extend_from_slice(b",\"value\":{");
        match &pair.value {
            Value::Bool(truth) => {
                line.extend_from_slice(b"\"boolValue\":");
                write_json(line, truth);
            }
            Value::I64(integer) => {
                line.extend_from_slice(b"\"intValue\":\"");
                write_json(line, integer);
                line.push(b'"');
            }
            Value::F64(number) => {
                line.extend_from_slice(b"\"doubleValue\":");
                write_json(line, number);
            }
            other => {
                line.extend_from_slice(b"\"stringValue\":");
                write_text(line, &other.as_str());
            }
        }
        line.extend_from_slice(b"}}");
    }
}

fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
}

pub(super) fn write_hex(line: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        line.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// A text that has nothing to escape is copied whole. All of it is looked at, which the compiler
/// does many bytes at a time.
fn write_text(line: &mut Vec<u8>, text: &str) {
    let escapes = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().fold(0, |all, byte| all | u8::from(escapes(byte))) == 0 {
        line.push(b'"');
        line.extend_from_slice(text.as_bytes());
        line.push(b'"');
    } else {
        write_json(line, text);
    }
}

fn write_json(line: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(line, value).expect("it is JSON");
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
    use serde_json::json;

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
    fn the_line_of_spans_is_read_as_the_crates_own() {
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
        let line = String::from_utf8(line).unwrap();
        assert!(line.ends_with("}\n") && line.lines().count() == 1);
        assert!(line.len() < serde_json::to_string(&theirs).unwrap().len());
        assert_eq!(
            without_defaults(serde_json::from_str(&line).unwrap()),
            without_defaults(serde_json::to_value(&theirs).unwrap())
        );
    }

    /// A request without the members of its spans that have their default.
    fn without_defaults(mut request: serde_json::Value) -> serde_json::Value {
        let defaults = [json!(""), json!(0), json!([]), json!({"message": "", "code": 0})];
        let spans = &mut request["resourceSpans"][0]["scopeSpans"][0]["spans"];
        for span in spans.as_array_mut().unwrap() {
            span.as_object_mut().unwrap().retain(|_, value| !defaults.contains(value));
        }
        request
    }
}
