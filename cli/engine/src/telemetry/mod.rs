//! Telemetry: spans, measurements and events by OpenTelemetry's conventions, as lines of OTLP/JSON
//! in the object store, and to a collector where one is named.
//!
//! `span`, `operation` and `evaluation` are what the rest of `agent` calls; they cost nothing until
//! `start` was called, which verbs with telemetry do. `subscriber` makes spans of `tracing` those
//! of OpenTelemetry. `content` takes over the content of calls. `pipeline` writes records to the
//! `spool`, `spool` to the store, and `records` reads it back. The names are in
//! `agent_core::protocol::conventions`.

mod attributes;
mod cached_fold;
mod collector;
mod content;
mod debug;
mod destinations;
mod evaluation;
mod global;
mod json;
mod labels;
mod lines;
mod metrics;
mod operation;
mod pipeline;
mod recent;
mod record;
mod records;
mod request;
mod served;
mod settings;
mod span;
mod spool;
mod start;
mod subscriber;
mod traceparent;

pub use agent_core::protocol::conventions;
pub use attributes::AttributeValue;
pub use cached_fold::CachedFold;
pub use content::{AnsweredCall, KeyError, Recorder, key_of};
pub use evaluation::Evaluation;
pub use global::record_call;
pub use operation::Operation;
pub use records::{Recorded, Records, Source};
pub use request::{Request, Transport};
pub use settings::Settings;
pub use span::{Past, Span};
pub use spool::{Signal, SpoolError, day_of};
pub use start::{Guard, start};
