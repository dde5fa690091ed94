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

#[cfg(test)]
mod tests {
    use super::*;
    use agent_engine::world::process;
    use std::time::Duration;
    use tokio::time::timeout;

    /// What a reader hears until it would have to wait.
    fn heard(reader: &mut Reader) -> Vec<String> {
        let mut frames = Vec::new();
        while let Poll::Ready(Some((number, frame))) = reader.look() {
            frames.push(format!("{number}:{}", String::from_utf8_lossy(&frame)));
        }
        frames
    }

    #[test]
    fn the_latest_reader_has_the_stream_and_hears_what_nobody_did() {
        process::block_on(async {
            let stream = Stream::until_answered(1, 1, true);
            let mut first = stream.read();
            stream.say("a".to_owned());
            assert_eq!(heard(&mut first), ["1:a"]);
            stream.say("b".to_owned());
            let mut second = stream.read();
            assert!(first.next().await.is_none(), "it was taken over");
            assert_eq!(heard(&mut second), ["2:b"]);
            assert!(timeout(Duration::from_millis(1), second.next()).await.is_err(), "more will come");
            assert!(stream.answer("c".to_owned()));
            assert_eq!((second.next().await.unwrap().0, second.is_done()), (3, true));
            assert!(second.next().await.is_none());
            assert_eq!(heard(&mut stream.read_after(1).unwrap()), ["2:b", "3:c"]);
            assert!(stream.read_after(4).is_none(), "there never was a fourth");
        })
        .unwrap();
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_answer_is_kept() {
        process::block_on(async {
            let stream = Stream::until_answered(1, 1, true);
            let mut slow = stream.read();
            let big = "x".repeat(BYTES_KEPT / 2);
            for _ in 0..5 {
                stream.say(big.clone());
            }
            stream.answer("y".repeat(BYTES_KEPT + 1));
            assert_eq!(stream.bytes(), BYTES_KEPT + 1);
            assert!(stream.read_after(1).is_none(), "that is gone");
            let mut slow_again = stream.read();
            assert!(slow.next().await.is_none());
            let (number, answer) = slow_again.next().await.unwrap();
            assert_eq!((number, answer.len(), slow_again.is_done()), (6, BYTES_KEPT + 1, true));
        })
        .unwrap();
    }

    #[test]
    fn without_replay_nothing_is_kept_that_was_heard() {
        process::block_on(async {
            let stream = Stream::until_answered(0, 1, false);
            let mut reader = stream.read();
            stream.say("a".to_owned());
            stream.say("b".to_owned());
            assert_eq!((heard(&mut reader), stream.bytes()), (vec!["1:a".to_owned(), "2:b".to_owned()], 0));
        })
        .unwrap();
    }
}
