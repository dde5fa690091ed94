//! Records as lines of OTLP/JSON: each a complete export request, by protobuf's rules for
//! JSON (ids in hex, 64-bit integers as text).

use super::json::{write_hex, write_json, write_text};
use super::record::{FLAGS, SpanRecord};
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::SpanContext;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, SpanFlags, span, status};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, SdkLogRecord};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

const SPANS: &str = "\"spans\":[";
/// About as long as a span is without its attributes.
const SPAN_LENGTH: usize = 320;
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
    pub(super) fn add_span(&self, line: &mut Vec<u8>, span: &SpanRecord) {
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

/// Appends a span. Members that have their default are left out, as protobuf's JSON allows: what
/// is written is half of what telemetry costs a call.
fn write_span(line: &mut Vec<u8>, span: &SpanRecord) {
    line.reserve(SPAN_LENGTH + span.attributes.json().len());
    line.extend_from_slice(b"{\"traceId\":\"");
    write_hex(line, &span.trace.to_bytes());
    line.extend_from_slice(b"\",\"spanId\":\"");
    write_hex(line, &span.span.to_bytes());
    if let Some(parent) = &span.parent {
        line.extend_from_slice(b"\",\"parentSpanId\":\"");
        write_hex(line, &parent.id.to_bytes());
    }
    line.extend_from_slice(b"\",\"flags\":");
    write_json(line, &flags(span.parent.is_some_and(|parent| parent.is_remote)));
    line.extend_from_slice(b",\"name\":");
    write_text(line, &span.name);
    line.extend_from_slice(b",\"kind\":");
    write_json(line, &(span::SpanKind::from(span.kind.clone()) as i32));
    line.extend_from_slice(b",\"startTimeUnixNano\":\"");
    write_json(line, &nanoseconds(span.started));
    line.extend_from_slice(b"\",\"endTimeUnixNano\":\"");
    write_json(line, &nanoseconds(span.ended()));
    line.extend_from_slice(b"\",\"attributes\":[");
    line.extend_from_slice(span.attributes.json());
    line.push(b']');
    write_links(line, &span.links);
    if let Some(failure) = &span.failure {
        line.extend_from_slice(b",\"status\":{\"message\":");
        write_text(line, failure);
        line.extend_from_slice(b",\"code\":");
        write_json(line, &(status::StatusCode::Error as i32));
        line.push(b'}');
    }
    line.push(b'}');
}

fn write_links(line: &mut Vec<u8>, links: &[SpanContext]) {
    for (at, link) in links.iter().enumerate() {
        line.extend_from_slice(if at == 0 { b",\"links\":[" } else { b"," });
        line.extend_from_slice(b"{\"traceId\":\"");
        write_hex(line, &link.trace_id().to_bytes());
        line.extend_from_slice(b"\",\"spanId\":\"");
        write_hex(line, &link.span_id().to_bytes());
        line.extend_from_slice(b"\",\"flags\":");
        write_json(line, &flags(link.is_remote()));
        line.push(b'}');
    }
    if !links.is_empty() {
        line.push(b']');
    }
}

fn flags(is_remote: bool) -> u32 {
    let remote = if is_remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    u32::from(FLAGS.to_u8()) | SpanFlags::ContextHasIsRemoteMask as u32 | remote
}

fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::labels::Labels;
    use crate::telemetry::request::Request;
    use opentelemetry::KeyValue;
    use opentelemetry::trace::{SpanId, SpanKind, TraceId, TraceState};
    use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
    use serde_json::json;

    fn remote(trace: u128, span: u64) -> SpanContext {
        let (trace, span) = (TraceId::from(trace), SpanId::from(span));
        SpanContext::new(trace, span, FLAGS, true, TraceState::NONE)
    }

    /// The spans that some work on a new span each makes.
    fn spans(works: &[fn(&mut SpanRecord)]) -> Vec<SpanRecord> {
        let parents = [None, Some(remote(7, 9))];
        let kinds = [SpanKind::Server, SpanKind::Client, SpanKind::Internal];
        let given = works.iter().zip(parents.iter().cycle()).zip(kinds.iter().cycle());
        given
            .map(|((work, parent), kind)| {
                let mut span = SpanRecord::begin(parent.as_ref(), true);
                span.name = "tools/call \"ask\"\n".into();
                span.kind = kind.clone();
                work(&mut span);
                span.end();
                span
            })
            .collect()
    }

    #[test]
    fn the_line_of_spans_is_read_as_the_crates_own() {
        let resource = Resource::builder_empty().with_attribute(KeyValue::new("a", "b")).build();
        let lines = Lines::of(&resource);
        let works: [fn(&mut SpanRecord); 7] = [
            |_| {},
            |span| {
                span.attributes.push("text", "é \u{1} \" \\ \u{2028}");
                span.attributes.push("owned", "x".repeat(300));
                span.attributes.push("integer", i64::MIN);
            },
            |span| {
                for number in [0.1, -1.0, 1e300, f64::NAN, f64::INFINITY] {
                    span.attributes.push("number", number);
                }
                span.attributes.push("truth", true);
            },
            |span| span.failure = Some("what went wrong\t".to_owned()),
            |span| span.links.push(remote(3, 4)),
            |span| span.links.extend([remote(3, 4), SpanRecord::begin(None, true).context()]),
            |span| {
                span.attributes.push("first", "x");
                span.describe(Labels::of(&Request::call("ask"), &SpanKind::Client));
                span.label("error.type", "timeout");
            },
        ];
        let spans = spans(&works);
        let mut line = Vec::new();
        for span in &spans {
            lines.add_span(&mut line, span);
        }
        lines.end_spans(&mut line);
        let scope = crate::telemetry::settings::scope();
        let data = spans.into_iter().map(|span| span.into_data(scope.clone())).collect();
        let theirs = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(data, &lines.attributes),
        };
        let line = String::from_utf8(line).unwrap();
        assert!(line.ends_with("}\n") && line.lines().count() == 1);
        assert!(line.len() < serde_json::to_string(&theirs).unwrap().len());
        assert_eq!(
            without_defaults(serde_json::from_str(&line).unwrap()),
            without_defaults(serde_json::to_value(&theirs).unwrap())
        );
    }

    /// A request without the members of its spans and their links that have their default.
    fn without_defaults(mut request: serde_json::Value) -> serde_json::Value {
        let defaults = [json!(""), json!(0), json!([]), json!({"message": "", "code": 0})];
        let spans = &mut request["resourceSpans"][0]["scopeSpans"][0]["spans"];
        for span in spans.as_array_mut().unwrap() {
            let links = span.get_mut("links").and_then(serde_json::Value::as_array_mut);
            for link in links.into_iter().flatten() {
                link.as_object_mut().unwrap().retain(|_, value| !defaults.contains(value));
            }
            span.as_object_mut().unwrap().retain(|_, value| !defaults.contains(value));
        }
        request
    }
}
