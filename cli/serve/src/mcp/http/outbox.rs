//! The streams of one session: one for each request that is open, one for what nobody asked for.

use crate::mcp::http::stream::Stream;
use crate::mcp::session::{About, Outlet};
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// What a session keeps of streams that were told to their end, for clients that did not hear it.
const TOLD_KEPT: usize = 32;
const TOLD_BYTES_KEPT: usize = 4 << 20;

/// The number of the stream that nobody asked for.
const UNASKED: u64 = 0;

pub(super) struct Outbox(RefCell<Streams>);

struct Streams {
    unasked: Rc<Stream>,
    /// By the id of the request, as it was written.
    asked: HashMap<String, Rc<Stream>>,
    told: VecDeque<Rc<Stream>>,
    latest: u64,
}

impl Outbox {
    pub fn new() -> Rc<Self> {
        let streams = Streams { unasked: Stream::unasked(UNASKED), asked: HashMap::new(), told: VecDeque::new(), latest: UNASKED };
        Rc::new(Self(RefCell::new(streams)))
    }

    /// A stream for the answers to these requests; `None` when one of the ids is in use.
    pub fn ask(&self, ids: &[&RawValue]) -> Option<Rc<Stream>> {
        let mut streams = self.0.borrow_mut();
        streams.latest += 1;
        let stream = Stream::until_answered(streams.latest, ids.len(), true);
        for (at, id) in ids.iter().enumerate() {
            if streams.asked.contains_key(id.get()) {
                for id in &ids[..at] {
                    streams.asked.remove(id.get());
                }
                return None;
            }
            streams.asked.insert(id.get().to_owned(), Rc::clone(&stream));
        }
        Some(stream)
    }

    /// The client does not wait for that answer any more, and there will be none.
    pub fn give_up(&self, id: &RawValue) {
        if let Some(stream) = self.0.borrow_mut().asked.remove(id.get()) {
            stream.end();
        }
    }

    pub fn unasked(&self) -> Rc<Stream> {
        Rc::clone(&self.0.borrow().unasked)
    }

    pub fn find(&self, number: u64) -> Option<Rc<Stream>> {
        let streams = self.0.borrow();
        let mut all = streams.asked.values().chain(&streams.told).chain([&streams.unasked]);
        all.find(|stream| stream.number == number).map(Rc::clone)
    }

    pub fn end(&self) {
        let mut streams = self.0.borrow_mut();
        streams.unasked.end();
        streams.asked.drain().for_each(|(_, stream)| stream.end());
    }
}

impl Streams {
    fn answer(&mut self, id: &RawValue, frame: String) {
        // nobody waits for the answer to a request that was given up
        let Some(stream) = self.asked.remove(id.get()) else { return };
        if stream.answer(frame) && stream.is_resumable() {
            self.told.push_back(stream);
        }
        while self.told.len() > TOLD_KEPT
            || (self.told.len() > 1 && self.told.iter().map(|stream| stream.bytes()).sum::<usize>() > TOLD_BYTES_KEPT)
        {
            self.told.pop_front();
        }
    }
}

impl Outlet for Outbox {
    fn deliver(&self, frame: String, about: About<'_>) {
        let mut streams = self.0.borrow_mut();
        match about {
            About::Answer(id) => streams.answer(id, frame),
            About::Request(id) => streams.asked.get(id.get()).unwrap_or(&streams.unasked).say(frame),
            About::Nothing => streams.unasked.say(frame),
        }
    }
}
