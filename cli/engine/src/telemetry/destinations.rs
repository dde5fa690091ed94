//! Where spans go at their end: the line of the buffer, and where they are switched on the
//! collector and stderr, by the SDK's processors.

use super::pipeline::Buffer;
use super::record::SpanRecord;
use super::settings::scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::SpanProcessor;

#[derive(Debug)]
pub(super) struct Destinations {
    buffer: Buffer,
    processors: Vec<Box<dyn SpanProcessor>>,
}

impl Destinations {
    pub(super) fn new(
        buffer: Buffer,
        mut processors: Vec<Box<dyn SpanProcessor>>,
        resource: &Resource,
    ) -> Self {
        for processor in &mut processors {
            processor.set_resource(resource);
        }
        Self { buffer, processors }
    }

    /// Whether spans need their attributes as pairs.
    pub(super) fn takes_pairs(&self) -> bool {
        !self.processors.is_empty()
    }

    /// Has the processors send what they have: each of them, whatever became of the one before.
    pub(super) fn flush(&self) -> OTelSdkResult {
        let flushed: Vec<_> =
            self.processors.iter().map(|processor| processor.force_flush()).collect();
        flushed.into_iter().collect()
    }

    /// A span that has ended.
    pub(super) fn end(&self, mut record: SpanRecord) {
        let measurement = record.take_measurement();
        self.buffer.push_span(&record, measurement);
        if !self.processors.is_empty() {
            let data = record.into_data(scope());
            self.processors.iter().for_each(|processor| processor.on_end(data.clone()));
        }
    }
}
