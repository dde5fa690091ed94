//! The streams of one session: one for each request in flight, one for unsolicited messages.

use crate::mcp::frame_sink::{FrameSink, RelatedRequest};
use crate::mcp::http::stream::Stream;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// Finished streams that a session keeps, for clients that lost the connection before the end.
const FINISHED_KEPT: usize = 32;
const FINISHED_BYTES_KEPT: usize = 4 << 20;

/// The number of the stream of unsolicited messages.
const UNSOLICITED: u64 = 0;

pub(super) struct Outbox(RefCell<Streams>);

struct Streams {
    unsolicited: Rc<Stream>,
    /// By the id of the request, as its JSON text.
    requests: HashMap<String, Rc<Stream>>,
    finished: VecDeque<Rc<Stream>>,
    latest: u64,
}

impl Outbox {
    pub fn new() -> Rc<Self> {
        let streams = Streams {
            unsolicited: Stream::unsolicited(UNSOLICITED),
            requests: HashMap::new(),
            finished: VecDeque::new(),
            latest: UNSOLICITED,
        };
        Rc::new(Self(RefCell::new(streams)))
    }

    /// Opens a stream for the answers to these requests; `None` when one of the ids is in use.
    pub fn open(&self, ids: &[&RawValue]) -> Option<Rc<Stream>> {
        let mut streams = self.0.borrow_mut();
        streams.latest += 1;
        let stream = Stream::until_answered(streams.latest, ids.len(), true);
        for (at, id) in ids.iter().enumerate() {
            if streams.requests.contains_key(id.get()) {
                for id in &ids[..at] {
                    streams.requests.remove(id.get());
                }
                return None;
            }
            streams.requests.insert(id.get().to_owned(), Rc::clone(&stream));
        }
        Some(stream)
    }

    /// The client cancelled the request: no answer follows.
    pub fn abandon(&self, id: &RawValue) {
        if let Some(stream) = self.0.borrow_mut().requests.remove(id.get()) {
            stream.end();
        }
    }

    pub fn unsolicited(&self) -> Rc<Stream> {
        Rc::clone(&self.0.borrow().unsolicited)
    }

    pub fn find(&self, number: u64) -> Option<Rc<Stream>> {
        let streams = self.0.borrow();
        let mut all =
            streams.requests.values().chain(&streams.finished).chain([&streams.unsolicited]);
        all.find(|stream| stream.number == number).map(Rc::clone)
    }

    pub fn end(&self) {
        let mut streams = self.0.borrow_mut();
        streams.unsolicited.end();
        streams.requests.drain().for_each(|(_, stream)| stream.end());
    }
}

impl Streams {
    fn answer(&mut self, id: &RawValue, frame: String) {
        // the stream of a cancelled request is closed
        let Some(stream) = self.requests.remove(id.get()) else { return };
        if stream.answer(frame) && stream.is_resumable() {
            self.finished.push_back(stream);
        }
        while self.finished.len() > FINISHED_KEPT
            || (self.finished.len() > 1
                && self.finished.iter().map(|stream| stream.bytes()).sum::<usize>()
                    > FINISHED_BYTES_KEPT)
        {
            self.finished.pop_front();
        }
    }
}

impl FrameSink for Outbox {
    fn deliver(&self, frame: String, related: RelatedRequest<'_>) {
        let mut streams = self.0.borrow_mut();
        match related {
            RelatedRequest::Answer(id) => streams.answer(id, frame),
            RelatedRequest::Request(id) => {
                streams.requests.get(id.get()).unwrap_or(&streams.unsolicited).push(frame);
            }
            RelatedRequest::Nothing => streams.unsolicited.push(frame),
        }
    }
}
