//! What is said to a client about one request, or unasked: numbered, within bounds, heard by one connection at a time.

use hyper::body::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;
use tokio::sync::Notify;

/// Frames that are kept for a reader who is slow or away; beyond these the oldest go first.
const FRAMES_KEPT: usize = 1024;
const BYTES_KEPT: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Stream {
    /// Within its session.
    pub number: u64,
    /// Whether what was heard is kept, for a reader who lost it on the way.
    replays: bool,
    said: RefCell<Said>,
    /// Whether a reader was told how to come back.
    resumable: Cell<bool>,
    changed: Notify,
}

/// Frames are numbered from 1.
#[derive(Debug, Default)]
struct Said {
    kept: VecDeque<Bytes>,
    /// How many were dropped from the front.
    dropped: u64,
    /// How many somebody has heard.
    heard: u64,
    bytes: usize,
    /// Answers still to come.
    awaited: usize,
    ended: bool,
    /// Which reader has the stream: the latest.
    reader: u64,
}

impl Stream {
    /// One that ends with the last of so many answers.
    pub fn until_answered(number: u64, answers: usize, replays: bool) -> Rc<Self> {
        let said = RefCell::new(Said { awaited: answers, ..Said::default() });
        Rc::new(Self { number, replays, said, resumable: Cell::new(false), changed: Notify::new() })
    }

    /// One that goes on until it is ended.
    pub fn unasked(number: u64) -> Rc<Self> {
        let stream = Self::until_answered(number, 0, true);
        stream.resumable.set(true);
        stream
    }

    pub fn say(&self, frame: String) {
        self.said.borrow_mut().keep(frame.into());
        self.changed.notify_waiters();
    }

    /// Whether that was the last of them.
    pub fn answer(&self, frame: String) -> bool {
        self.say(frame);
        let mut said = self.said.borrow_mut();
        said.awaited = said.awaited.saturating_sub(1);
        said.ended = said.awaited == 0;
        said.ended
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.said.borrow_mut().ended = true;
        self.changed.notify_waiters();
    }

    pub fn is_ended(&self) -> bool {
        self.said.borrow().ended
    }

    pub fn is_resumable(&self) -> bool {
        self.resumable.get()
    }

    pub fn bytes(&self) -> usize {
        self.said.borrow().bytes
    }

    /// Takes the stream over from whoever reads it, after the frame of that number; `None` when frames after it are gone, or it never was.
    pub fn read_after(self: &Rc<Self>, number: u64) -> Option<Reader> {
        let mut said = self.said.borrow_mut();
        if number < said.dropped || number > said.dropped + said.kept.len() as u64 {
            return None;
        }
        said.reader += 1;
        let turn = said.reader;
        drop(said);
        self.changed.notify_waiters();
        Some(Reader { stream: Rc::clone(self), turn, heard: number })
    }

    /// The same after all that was heard so far.
    pub fn read(self: &Rc<Self>) -> Reader {
        let said = self.said.borrow();
        let after = said.heard.max(said.dropped);
        drop(said);
        self.read_after(after).expect("what was not heard is kept, or yet to come")
    }
}

impl Said {
    fn keep(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.kept.push_back(frame);
        while self.kept.len() > FRAMES_KEPT || (self.bytes > BYTES_KEPT && self.kept.len() > 1) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(frame) = self.kept.pop_front() {
            self.bytes -= frame.len();
            self.dropped += 1;
        }
    }
}

#[derive(Debug)]
pub(super) struct Reader {
    pub stream: Rc<Stream>,
    turn: u64,
    heard: u64,
}

impl Reader {
    /// The next frame with its number; `None` when the stream has ended, or another reader has it.
    pub async fn next(&mut self) -> Option<(u64, Bytes)> {
        loop {
            if let Poll::Ready(next) = self.look() {
                return next;
            }
            self.stream.changed.notified().await;
        }
    }

    fn look(&mut self) -> Poll<Option<(u64, Bytes)>> {
        let mut said = self.stream.said.borrow_mut();
        if said.reader != self.turn {
            return Poll::Ready(None);
        }
        self.heard = self.heard.max(said.dropped);
        let at = usize::try_from(self.heard - said.dropped).unwrap_or(usize::MAX);
        let Some(frame) = said.kept.get(at).cloned() else {
            return if said.ended { Poll::Ready(None) } else { Poll::Pending };
        };
        self.heard += 1;
        said.heard = said.heard.max(self.heard);
        if !self.stream.replays {
            said.drop_first();
        }
        Poll::Ready(Some((self.heard, frame)))
    }

    /// Whether all that will ever be said has been heard.
    pub fn is_done(&self) -> bool {
        let said = self.stream.said.borrow();
        said.ended && self.heard >= said.dropped + said.kept.len() as u64
    }

    /// From here on the client knows numbers to come back with.
    pub fn promise_resumption(&self) {
        self.stream.resumable.set(true);
    }

    pub fn heard(&self) -> u64 {
        self.heard
    }
}
