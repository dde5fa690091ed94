//! The debug switch: spans and events as text on stderr, at the moment they end.
//!
//! `opentelemetry-stdout` prints to stdout, which is data here. So while it prints, stdout's
//! descriptor is redirected to stderr, and this holds the lock of stdout so that other output
//! waits.

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::future::Future;
use std::io::Write as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// An exporter of `opentelemetry-stdout`, turned to stderr.
#[derive(Debug)]
pub(super) struct OnStderr<E>(E);

pub(super) fn spans() -> OnStderr<opentelemetry_stdout::SpanExporter> {
    OnStderr(opentelemetry_stdout::SpanExporter::default())
}

pub(super) fn logs() -> OnStderr<opentelemetry_stdout::LogExporter> {
    OnStderr(opentelemetry_stdout::LogExporter::default())
}

impl SpanExporter for OnStderr<opentelemetry_stdout::SpanExporter> {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        std::future::ready(printed(self.0.export(batch)))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

impl LogExporter for OnStderr<opentelemetry_stdout::LogExporter> {
    fn export(&self, batch: LogBatch<'_>) -> impl Future<Output = OTelSdkResult> + Send {
        std::future::ready(printed(self.0.export(batch)))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// Runs what prints; it waits for nothing, so that one poll is all of it.
fn printed(printing: impl Future<Output = OTelSdkResult>) -> OTelSdkResult {
    let failed = |error: std::io::Error| OTelSdkError::InternalFailure(error.to_string());
    // the lock is one that this thread may take again, as printing does
    let mut stdout = std::io::stdout().lock();
    stdout.flush().map_err(failed)?;
    let aside = rustix::io::dup(&stdout).map_err(|error| failed(error.into()))?;
    rustix::stdio::dup2_stdout(std::io::stderr()).map_err(|error| failed(error.into()))?;
    let outcome = pin!(printing).poll(&mut Context::from_waker(Waker::noop()));
    let flushed = stdout.flush();
    rustix::stdio::dup2_stdout(&aside).map_err(|error| failed(error.into()))?;
    flushed.map_err(failed)?;
    match outcome {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(OTelSdkError::InternalFailure(
            "the export did not complete \
                synchronously"
                .to_owned(),
        )),
    }
}
