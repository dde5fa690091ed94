//! From the hot path to the spool: a span that ends is added to a line under a short lock, and a
//! thread writes what has gathered once a second. What the span itself takes is free again at once,
//! in the thread that made it. How long requests took goes to the histograms in that thread, which
//! look up the labels of each.
//!
//! The thread starts with the first thing to write. Memory is bounded: beyond the bound things are
//! dropped, counted, and the count is recorded.

use super::content::{self, Waiting};
use super::lines::Lines;
use super::metrics::Meters;
use super::record::{Measurement, SpanRecord};
use super::settings::Settings;
use super::spool::{self, Signal, Spool, SpoolError};
use crate::world::clock;
use crate::world::fs::FsError;
use crate::world::store::Store;
use agent_core::protocol::conventions as names;
use jiff::SignedDuration;
use opentelemetry::InstrumentationScope;
use opentelemetry::logs::{LogRecord as _, Severity};
use opentelemetry::time::now;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest time whose records a kill may lose.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// A batch of this size is written immediately, without waiting for the interval.
const BATCH: usize = 512;
/// How often calls that are kept no longer are removed by a process that records.
const EXPIRE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// The memory that the buffer of a line keeps.
const LINE_KEPT: usize = 1 << 20;
/// Beyond this things are dropped.
const MOST: usize = 8192;
/// Bytes of calls that wait to be written; beyond this they are dropped.
const MOST_CALL_BYTES: usize = 32 << 20;
/// The end does not wait longer for a store that does not answer.
const END_WITHIN: Duration = Duration::from_secs(4);

type Log = (SdkLogRecord, InstrumentationScope);

#[derive(Default)]
struct Pending {
    /// A line that is not ended, and how many spans it has.
    line: Vec<u8>,
    spans: usize,
    measurements: Vec<Measurement>,
    logs: Vec<Log>,
    calls: Vec<Waiting>,
    call_bytes: usize,
    dropped: u64,
    /// Taken by the thread when it starts.
    unstarted: Option<Box<Writer>>,
    flushes_wanted: u64,
    flushes_done: u64,
    /// What went wrong, the first of it.
    problem: Option<String>,
}

impl Pending {
    fn len(&self) -> usize {
        self.spans + self.logs.len() + self.calls.len()
    }
}

/// What was recorded and is not written yet.
#[derive(Clone)]
pub(super) struct Buffer(Arc<Shared>);

struct Shared {
    pending: Mutex<Pending>,
    lines: Arc<Lines>,
    work: Condvar,
    done: Condvar,
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Buffer")
    }
}

impl Buffer {
    pub(super) fn new(settings: Settings, resource: &Resource, meters: Meters) -> Self {
        let lines = Arc::new(Lines::of(resource));
        let writer = Writer {
            settings,
            meters,
            measures_at: None,
            lines: Arc::clone(&lines),
            spool: None,
            store: None,
            keep: None,
            expires_at: Instant::now(),
        };
        let pending = Pending { unstarted: Some(Box::new(writer)), ..Pending::default() };
        Self(Arc::new(Shared {
            pending: Mutex::new(pending),
            lines,
            work: Condvar::new(),
            done: Condvar::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, add: impl FnOnce(&mut Pending)) {
        let mut pending = self.lock();
        if pending.len() >= MOST {
            pending.dropped += 1;
            return;
        }
        add(&mut pending);
        match pending.len() {
            1 => self.wake(pending),
            BATCH => self.0.work.notify_one(),
            _ => {}
        }
    }

    /// A span that has ended.
    pub(super) fn push_span(&self, span: &SpanRecord, measurement: Option<Measurement>) {
        self.push(|pending| {
            self.0.lines.add_span(&mut pending.line, span);
            pending.spans += 1;
            pending.measurements.extend(measurement);
        });
    }

    /// A call with its content, which is not parsed yet.
    pub(super) fn push_call(&self, call: Waiting) {
        self.push(|pending| {
            let bytes = pending.call_bytes + call.bytes();
            if content::is_too_long(&call) || bytes > MOST_CALL_BYTES {
                pending.dropped += 1;
            } else {
                pending.call_bytes = bytes;
                pending.calls.push(call);
            }
        });
    }

    fn wake(&self, mut pending: MutexGuard<'_, Pending>) {
        match pending.unstarted.take() {
            None => self.0.work.notify_one(),
            Some(mut writer) => {
                let buffer = self.clone();
                let started = std::thread::Builder::new()
                    .name("telemetry".to_owned())
                    .spawn(move || writer.work(&buffer));
                if let Err(error) = started {
                    pending.problem = Some(format!("cannot start a thread for telemetry: {error}"));
                }
            }
        }
    }

    /// Writes and ships everything; returns the failures since the start.
    pub(super) fn flush(&self) -> Option<String> {
        let mut pending = self.lock();
        if pending.unstarted.is_none() {
            pending.flushes_wanted += 1;
            let wanted = pending.flushes_wanted;
            self.0.work.notify_one();
            let waiting = |pending: &mut Pending| pending.flushes_done < wanted;
            let (after, timeout) = self
                .0
                .done
                .wait_timeout_while(pending, END_WITHIN, waiting)
                .unwrap_or_else(PoisonError::into_inner);
            pending = after;
            if timeout.timed_out() {
                pending
                    .problem
                    .get_or_insert_with(|| "the object store does not answer".to_owned());
            }
        }
        pending.problem.take()
    }

    /// Waits for something to do: a batch, a flush, or what is due. The line given is empty; its
    /// memory is for what is recorded next.
    fn take(&self, due: Option<Instant>, mut line: Vec<u8>) -> Batch {
        let mut pending = self.lock();
        while pending.len() == 0 && pending.flushes_wanted == pending.flushes_done {
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            pending = match left {
                Some(left) => {
                    self.0
                        .work
                        .wait_timeout(pending, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self.0.work.wait(pending).unwrap_or_else(PoisonError::into_inner),
            };
        }
        let more = |pending: &mut Pending| {
            (1..BATCH).contains(&pending.len()) && pending.flushes_wanted == pending.flushes_done
        };
        pending = self
            .0
            .work
            .wait_timeout_while(pending, WRITE_EVERY, more)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        std::mem::swap(&mut pending.line, &mut line);
        pending.spans = 0;
        pending.call_bytes = 0;
        Batch {
            line,
            measurements: std::mem::take(&mut pending.measurements),
            logs: std::mem::take(&mut pending.logs),
            calls: std::mem::take(&mut pending.calls),
            dropped: std::mem::take(&mut pending.dropped),
            flush: (pending.flushes_wanted > pending.flushes_done)
                .then_some(pending.flushes_wanted),
        }
    }

    fn done(&self, flushed: Option<u64>, problem: Option<String>) {
        let mut pending = self.lock();
        pending.problem = pending.problem.take().or(problem);
        if let Some(flushed) = flushed {
            pending.flushes_done = flushed;
            self.0.done.notify_all();
        }
    }
}

struct Batch {
    line: Vec<u8>,
    measurements: Vec<Measurement>,
    logs: Vec<Log>,
    calls: Vec<Waiting>,
    dropped: u64,
    flush: Option<u64>,
}

/// The state of the thread.
struct Writer {
    settings: Settings,
    meters: Meters,
    /// When to write next what was measured; `None` when nothing can have been since.
    measures_at: Option<Instant>,
    lines: Arc<Lines>,
    spool: Option<Spool>,
    store: Option<Store>,
    /// For how long calls are kept, where some were recorded.
    keep: Option<SignedDuration>,
    expires_at: Instant,
}

impl Writer {
    fn work(&mut self, buffer: &Buffer) {
        let mut line = Vec::new();
        loop {
            let mut taken = buffer.take(self.due(), std::mem::take(&mut line));
            let problem = self.write(&mut taken).err().map(|error| error.to_string());
            buffer.done(taken.flush, problem);
            line = taken.line;
            line.clear();
            line.shrink_to(LINE_KEPT);
        }
    }

    fn due(&self) -> Option<Instant> {
        self.spool.as_ref().and_then(Spool::due).into_iter().chain(self.measures_at).min()
    }

    fn write(&mut self, taken: &mut Batch) -> Result<(), SpoolError> {
        let flush = taken.flush.is_some();
        self.meters.record(&taken.measurements);
        self.append(taken)?;
        let Some(spool) = &mut self.spool else { return Ok(()) };
        if spool.close(flush) {
            let store = match &mut self.store {
                Some(store) => store,
                none => {
                    none.insert(Store::open(&self.settings.store, self.settings.layout.root())?)
                }
            };
            // the end of a command is not kept waiting: what is not shipped now, the next one ships
            let brief = flush.then(|| store.briefly());
            let store = brief.as_ref().unwrap_or(store);
            spool.ship(store)?;
            if flush {
                spool.leave();
                self.spool = None;
            }
            spool::ship_left(&self.settings.layout, store)?;
            // the end of a command does not wait for a bucket
            let may_wait = !flush || store.folder().is_some();
            let is_due = self.expires_at <= Instant::now();
            if let Some(keep) = self.keep.filter(|_| may_wait && is_due) {
                self.expires_at = Instant::now() + EXPIRE_EVERY;
                content::expire(store, clock::now(), keep)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, taken: &mut Batch) -> Result<(), FsError> {
        taken.logs.extend((taken.dropped > 0).then(|| dropped_record(taken.dropped)));
        if !taken.line.is_empty() {
            self.lines.end_spans(&mut taken.line);
            self.put(Signal::Traces, &taken.line)?;
        }
        if !taken.logs.is_empty() {
            self.put(Signal::Logs, &self.lines.logs(&taken.logs))?;
        }
        self.keep = taken.calls.last().map(Waiting::keep).or(self.keep);
        let calls = content::lines(std::mem::take(&mut taken.calls));
        if !calls.is_empty() {
            self.put(Signal::Calls, &calls)?;
        }
        if let Some(measured) = self.measure(taken) {
            self.put(Signal::Metrics, &measured)?;
        }
        Ok(())
    }

    /// What was measured, once a second and at a flush: under load there are many batches a second.
    fn measure(&mut self, taken: &Batch) -> Option<Vec<u8>> {
        let now = Instant::now();
        if taken.flush.is_none() && self.measures_at.is_some_and(|at| at > now) {
            return None;
        }
        let is_idle = taken.line.is_empty() && taken.logs.is_empty();
        self.measures_at = (!is_idle).then(|| now + WRITE_EVERY);
        self.meters.line()
    }

    fn put(&mut self, signal: Signal, line: &[u8]) -> Result<(), FsError> {
        let spool = match &mut self.spool {
            Some(spool) => spool,
            none => none.insert(Spool::begin(&self.settings.layout)?),
        };
        spool.append(signal, line)
    }
}

/// The number of dropped records is recorded as well.
fn dropped_record(count: u64) -> Log {
    let scope = super::settings::scope();
    // only a logger makes records
    let provider = opentelemetry_sdk::logs::SdkLoggerProvider::builder().build();
    let logger = opentelemetry::logs::LoggerProvider::logger_with_scope(&provider, scope.clone());
    let mut record = opentelemetry::logs::Logger::create_log_record(&logger);
    record.set_event_name(names::DROPPED);
    record.set_severity_number(Severity::Warn);
    record.set_timestamp(now());
    record.set_observed_timestamp(now());
    record.add_attribute(names::DROPPED, i64::try_from(count).unwrap_or(i64::MAX));
    (record, scope)
}

impl LogProcessor for Buffer {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        self.push(|pending| pending.logs.push((record.clone(), scope.clone())));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::protocol::otlp;
    use opentelemetry::logs::{Logger as _, LoggerProvider as _};
    use opentelemetry_sdk::logs::SdkLoggerProvider;

    #[test]
    fn overflow_is_dropped_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let layout = crate::world::layout::Layout::new(folder.path());
        let settings = Settings {
            layout: layout.clone(),
            store: agent_core::formats::manifest::Store::default(),
            agent: None,
        };
        let buffer = {
            let resource = Resource::builder_empty().build();
            Buffer::new(settings, &resource, Meters::new(resource.clone(), None))
        };
        // simulates a slow disk: the writer thread is blocked
        let mut writer = buffer.lock().unstarted.take().unwrap();
        let logger =
            SdkLoggerProvider::builder().with_log_processor(buffer.clone()).build().logger("test");
        for _ in 0..MOST + 5 {
            let mut record = logger.create_log_record();
            record.set_event_name("event");
            logger.emit(record);
        }
        assert_eq!(buffer.lock().len(), MOST);
        writer.write(&mut buffer.take(None, Vec::new())).unwrap();
        let files = spool::files(&spool::folders(&layout.telemetry()).unwrap()[0]).unwrap();
        let text = std::fs::read_to_string(&files[0]).unwrap();
        let events: Vec<_> = text.lines().flat_map(|line| otlp::events(line).unwrap()).collect();
        assert_eq!(events.len(), MOST + 1);
        assert_eq!(
            events
                .iter()
                .find(|event| event.name == names::DROPPED)
                .unwrap()
                .number(names::DROPPED),
            Some(5.0)
        );
    }
}
