//! Server-sent events: a handler opens a stream and returns; the front forwards the events to the
//! client, so an open stream occupies no worker.

use super::problem::Problem;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The internal header by which a worker hands a stream of events to the front.
pub(super) const STREAM_HEADER: &str = "Agent-Stream";

/// Streams open at a time.
const STREAMS: usize = 64;
/// Events of a stream that are buffered and not sent yet; a sender blocks beyond these.
const AHEAD: usize = 256;

#[derive(Debug, Clone, Default)]
pub struct Event {
    /// The value of `Last-Event-ID` when the client reconnects.
    pub id: Option<String>,
    pub name: Option<String>,
    pub data: String,
}

impl Event {
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let one_line = |value: &str| value.replace(['\r', '\n', '\0'], " ");
        if let Some(name) = &self.name {
            let _ = writeln!(text, "event: {}", one_line(name));
        }
        if let Some(id) = &self.id {
            let _ = writeln!(text, "id: {}", one_line(id));
        }
        for line in self.data.replace("\r\n", "\n").split(['\n', '\r']) {
            let _ = writeln!(text, "data: {line}");
        }
        text.push('\n');
        text
    }
}

/// The sending half of a stream. Sending blocks, so it is not for use inside an event loop.
#[derive(Debug)]
pub struct Events(mpsc::Sender<Event>);

impl Events {
    /// False once the client has closed the stream.
    pub fn send(&self, event: Event) -> bool {
        self.0.blocking_send(event).is_ok()
    }

    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// The receiving half of a stream. It counts as open until it is dropped.
pub(super) struct Stream {
    pub(super) events: mpsc::Receiver<Event>,
    _permit: OwnedSemaphorePermit,
}

pub(super) struct Streams {
    permits: Arc<Semaphore>,
    waiting: Mutex<(u64, HashMap<u64, Stream>)>,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(STREAMS)), waiting: Mutex::default() }
    }

    pub(super) fn open(&self) -> Result<(Events, u64), Problem> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| {
            Problem::new(503, format!("{STREAMS} streams are open already"))
                .with_header("Retry-After", "5")
        })?;
        let (sender, events) = mpsc::channel(AHEAD);
        let mut waiting = self.waiting.lock().expect("no panic while it is held");
        waiting.0 += 1;
        let ticket = waiting.0;
        waiting.1.insert(ticket, Stream { events, _permit: permit });
        Ok((Events(sender), ticket))
    }

    pub(super) fn take(&self, ticket: u64) -> Option<Stream> {
        self.waiting.lock().expect("no panic while it is held").1.remove(&ticket)
    }

    pub(super) fn open_now(&self) -> usize {
        STREAMS - self.permits.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_field_starts_no_new_field() {
        let event = Event {
            id: Some("7\ndata: x".to_owned()),
            name: Some("line".to_owned()),
            data: "a\r\nb\rc\n".to_owned(),
        };
        assert_eq!(
            event.to_text(),
            "event: line\nid: 7 data: x\ndata: a\ndata: b\ndata: c\ndata: \n\n"
        );
    }

    #[test]
    fn streams_are_counted_until_they_end() {
        let streams = Streams::new();
        let open: Vec<_> = (0..STREAMS).map(|_| streams.open().expect("there is room")).collect();
        assert_eq!(streams.open().expect_err("there is none").status(), 503);
        let (events, ticket) = &open[3];
        drop(streams.take(*ticket));
        assert!(events.is_closed() && !events.send(Event::default()));
        assert_eq!(streams.open_now(), STREAMS - 1);
        assert!(streams.open().is_ok());
    }
}
