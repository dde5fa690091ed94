//! The frames for one request of a client, or the unsolicited ones. They are numbered, bounded, and
//! read by one connection at a time.

use hyper::body::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;
use tokio::sync::Notify;

/// Frames kept for a slow or disconnected reader; beyond these the oldest are dropped.
const FRAMES_KEPT: usize = 1024;
const BYTES_KEPT: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Stream {
    /// The stream's number in its session.
    pub number: u64,
    /// Whether delivered frames are kept, for a reader that reconnects.
    replays: bool,
    frames: RefCell<Frames>,
    /// Whether a reader has an event id to resume from.
    resumable: Cell<bool>,
    changed: Notify,
}

/// Frames are numbered from 1.
#[derive(Debug, Default)]
struct Frames {
    kept: VecDeque<Bytes>,
    /// The number of frames dropped from the front.
    dropped: u64,
    /// The number of delivered frames.
    delivered: u64,
    bytes: usize,
    /// The number of outstanding answers.
    awaited: usize,
    ended: bool,
    /// The current reader: the latest one.
    reader: u64,
}

impl Stream {
    /// A stream that ends with the last of this many answers.
    pub fn until_answered(number: u64, answers: usize, replays: bool) -> Rc<Self> {
        let frames = RefCell::new(Frames { awaited: answers, ..Frames::default() });
        Rc::new(Self {
            number,
            replays,
            frames,
            resumable: Cell::new(false),
            changed: Notify::new(),
        })
    }

    /// A stream that lasts until `end`.
    pub fn unsolicited(number: u64) -> Rc<Self> {
        let stream = Self::until_answered(number, 0, true);
        stream.resumable.set(true);
        stream
    }

    pub fn push(&self, frame: String) {
        self.frames.borrow_mut().keep(frame.into());
        self.changed.notify_waiters();
    }

    /// Adds an answer; true for the last one.
    pub fn answer(&self, frame: String) -> bool {
        self.push(frame);
        let mut frames = self.frames.borrow_mut();
        frames.awaited = frames.awaited.saturating_sub(1);
        frames.ended = frames.awaited == 0;
        frames.ended
    }

    /// No frame follows.
    pub fn end(&self) {
        self.frames.borrow_mut().ended = true;
        self.changed.notify_waiters();
    }

    pub fn is_ended(&self) -> bool {
        self.frames.borrow().ended
    }

    pub fn is_resumable(&self) -> bool {
        self.resumable.get()
    }

    pub fn bytes(&self) -> usize {
        self.frames.borrow().bytes
    }

    /// A reader that replaces the current one and begins after the frame of that number. `None`
    /// when later frames were dropped, or there is no such frame.
    pub fn read_after(self: &Rc<Self>, number: u64) -> Option<Reader> {
        let mut frames = self.frames.borrow_mut();
        if number < frames.dropped || number > frames.dropped + frames.kept.len() as u64 {
            return None;
        }
        frames.reader += 1;
        let turn = frames.reader;
        drop(frames);
        self.changed.notify_waiters();
        Some(Reader { stream: Rc::clone(self), turn, delivered: number })
    }

    /// A reader that replaces the current one and begins after the last delivered frame.
    pub fn read(self: &Rc<Self>) -> Reader {
        let frames = self.frames.borrow();
        let after = frames.delivered.max(frames.dropped);
        drop(frames);
        self.read_after(after).expect("an undelivered frame is kept or follows")
    }
}

impl Frames {
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
    delivered: u64,
}

impl Reader {
    /// The next frame with its number; `None` when the stream has ended or another reader has
    /// replaced this one.
    pub async fn next(&mut self) -> Option<(u64, Bytes)> {
        loop {
            if let Poll::Ready(next) = self.look() {
                return next;
            }
            self.stream.changed.notified().await;
        }
    }

    fn look(&mut self) -> Poll<Option<(u64, Bytes)>> {
        let mut frames = self.stream.frames.borrow_mut();
        if frames.reader != self.turn {
            return Poll::Ready(None);
        }
        self.delivered = self.delivered.max(frames.dropped);
        let at = usize::try_from(self.delivered - frames.dropped).unwrap_or(usize::MAX);
        let Some(frame) = frames.kept.get(at).cloned() else {
            return if frames.ended { Poll::Ready(None) } else { Poll::Pending };
        };
        self.delivered += 1;
        frames.delivered = frames.delivered.max(self.delivered);
        if !self.stream.replays {
            frames.drop_first();
        }
        Poll::Ready(Some((self.delivered, frame)))
    }

    /// Whether the stream has ended and every frame was delivered.
    pub fn is_done(&self) -> bool {
        let frames = self.stream.frames.borrow();
        frames.ended && self.delivered >= frames.dropped + frames.kept.len() as u64
    }

    /// The client has event ids from here on.
    pub fn promise_resumption(&self) {
        self.stream.resumable.set(true);
    }

    pub fn delivered(&self) -> u64 {
        self.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_engine::world::event_loop;
    use std::time::Duration;
    use tokio::time::timeout;

    /// The frames that a reader gets without waiting.
    fn delivered(reader: &mut Reader) -> Vec<String> {
        let mut frames = Vec::new();
        while let Poll::Ready(Some((number, frame))) = reader.look() {
            frames.push(format!("{number}:{}", String::from_utf8_lossy(&frame)));
        }
        frames
    }

    #[test]
    fn the_latest_reader_gets_the_undelivered_frames() {
        event_loop::block_on(async {
            let stream = Stream::until_answered(1, 1, true);
            let mut first = stream.read();
            stream.push("a".to_owned());
            assert_eq!(delivered(&mut first), ["1:a"]);
            stream.push("b".to_owned());
            let mut second = stream.read();
            assert!(first.next().await.is_none(), "another reader has replaced it");
            assert_eq!(delivered(&mut second), ["2:b"]);
            assert!(
                timeout(Duration::from_millis(1), second.next()).await.is_err(),
                "the stream has not ended"
            );
            assert!(stream.answer("c".to_owned()));
            assert_eq!((second.next().await.unwrap().0, second.is_done()), (3, true));
            assert!(second.next().await.is_none());
            assert_eq!(delivered(&mut stream.read_after(1).unwrap()), ["2:b", "3:c"]);
            assert!(stream.read_after(4).is_none(), "there is no fourth frame");
        })
        .unwrap();
    }

    #[test]
    fn kept_frames_are_bounded_and_the_answer_is_always_kept() {
        event_loop::block_on(async {
            let stream = Stream::until_answered(1, 1, true);
            let mut slow = stream.read();
            let big = "x".repeat(BYTES_KEPT / 2);
            for _ in 0..5 {
                stream.push(big.clone());
            }
            stream.answer("y".repeat(BYTES_KEPT + 1));
            assert_eq!(stream.bytes(), BYTES_KEPT + 1);
            assert!(stream.read_after(1).is_none(), "the first frame was dropped");
            let mut slow_again = stream.read();
            assert!(slow.next().await.is_none());
            let (number, answer) = slow_again.next().await.unwrap();
            assert_eq!((number, answer.len(), slow_again.is_done()), (6, BYTES_KEPT + 1, true));
        })
        .unwrap();
    }

    #[test]
    fn without_replay_delivered_frames_are_not_kept() {
        event_loop::block_on(async {
            let stream = Stream::until_answered(0, 1, false);
            let mut reader = stream.read();
            stream.push("a".to_owned());
            stream.push("b".to_owned());
            assert_eq!(
                (delivered(&mut reader), stream.bytes()),
                (vec!["1:a".to_owned(), "2:b".to_owned()], 0)
            );
        })
        .unwrap();
    }
}
