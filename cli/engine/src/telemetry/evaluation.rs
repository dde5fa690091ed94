//! The event `gen_ai.evaluation.result`: a score or a reward, tied to the span of what it is about.

use super::global::telemetry;
use super::span::Span;
use super::traceparent;
use agent_core::protocol::conventions as names;
use opentelemetry::logs::{LogRecord as _, Logger as _, Severity};
use opentelemetry::time::now;

/// Only its name has to be there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evaluation<'a> {
    /// The source of the measurement: a tier, a Tuner's tool...
    pub name: &'a str,
    pub score: Option<f64>,
    /// `pass`, `fail`, `not-enough-evidence`.
    pub label: Option<&'a str>,
    pub explanation: Option<&'a str>,
    pub conversation: Option<&'a str>,
    /// The version that served the judged call.
    pub version: Option<&'a str>,
    pub signal: Option<&'a str>,
    pub case: Option<&'a str>,
}

impl Evaluation<'_> {
    /// Of what happened in a span.
    pub fn record(&self, of: &Span) {
        self.emit(of.context().as_ref());
    }

    /// Of what happened in a span that may be long over.
    pub fn record_for(&self, traceparent: &str) {
        self.emit(traceparent::parse(traceparent).as_ref());
    }

    fn emit(&self, of: Option<&opentelemetry::trace::SpanContext>) {
        let Some(telemetry) = telemetry() else { return };
        let mut record = telemetry.logger.create_log_record();
        record.set_event_name(names::EVALUATION);
        record.set_severity_number(Severity::Info);
        let now = now();
        record.set_timestamp(now);
        record.set_observed_timestamp(now);
        record.add_attribute(names::EVALUATION_NAME, self.name.to_owned());
        if let Some(score) = self.score {
            record.add_attribute(names::SCORE, score);
        }
        let texts = [
            (names::LABEL, self.label),
            (names::EXPLANATION, self.explanation),
            (names::CONVERSATION, self.conversation),
            (names::VERSION, self.version),
            (names::SIGNAL, self.signal),
            (names::CASE, self.case),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                record.add_attribute(key, value.to_owned());
            }
        }
        if let Some(context) = of {
            record.set_trace_context(
                context.trace_id(),
                context.span_id(),
                Some(context.trace_flags()),
            );
        }
        telemetry.logger.emit(record);
    }
}
