//! The telemetry of this process.

use super::collector::Collector;
use super::content::{AnsweredCall, Recorder, Waiting};
use super::destinations::Destinations;
use super::pipeline::Buffer;
use opentelemetry_sdk::logs::SdkLogger;
use std::sync::{Arc, OnceLock};

/// The process-wide telemetry, once started.
pub(super) struct Telemetry {
    pub(super) buffer: Buffer,
    pub(super) logger: SdkLogger,
    pub(super) destinations: Arc<Destinations>,
    pub(super) collector: Option<Collector>,
    /// The agent's name.
    pub(super) agent: Option<String>,
    pub(super) captures_content: bool,
}

pub(super) static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();

/// `None` before `start`, and where it is switched off.
pub(super) fn telemetry() -> Option<&'static Telemetry> {
    TELEMETRY.get()
}

/// Has a call recorded. It returns at once; a call beyond what is buffered is dropped and counted.
pub fn record_call(call: AnsweredCall, recorder: &Arc<Recorder>) {
    if let Some(telemetry) = telemetry() {
        telemetry.buffer.push_call(Waiting::new(call, recorder));
    }
}

/// Whether arguments and results of tools are recorded.
pub(super) fn captures_content() -> bool {
    telemetry().is_some_and(|telemetry| telemetry.captures_content)
}
