//! Records as lines of OTLP/JSON: each a complete export request, by protobuf's rules for
//! JSON (ids in hex, 64-bit integers as text).

use opentelemetry::InstrumentationScope;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, SdkLogRecord};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::trace::SpanData;
use serde::Serialize;

/// The resource, repeated in each line.
#[derive(Debug)]
pub(super) struct Lines(ResourceAttributesWithSchema);

impl Lines {
    pub(super) fn of(resource: &Resource) -> Self {
        Self(resource.into())
    }

    pub(super) fn spans(&self, spans: Vec<SpanData>) -> Vec<u8> {
        line(&ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &self.0),
        })
    }

    pub(super) fn logs(&self, logs: &[(SdkLogRecord, InstrumentationScope)]) -> Vec<u8> {
        let borrowed: Vec<_> = logs.iter().map(|(record, scope)| (record, scope)).collect();
        let batch = LogBatch::new(&borrowed);
        line(&ExportLogsServiceRequest {
            resource_logs: group_logs_by_resource_and_scope(&batch, &self.0),
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
