//! The door: it holds every client to its limits, and lets whole requests through to the workers.
//!
//! All connections are read and written in one event loop, so one that is idle or slow costs some
//! memory and no thread. Where all seats are taken the connection that has kept us waiting the
//! longest goes.

use super::Shared;
use super::events::Stream;
use super::head::{self, HEAD_LIMIT, Head};
use super::lanes::{Answer, Lanes};
use super::problem::Problem;
use crate::budget::{Budget, Share};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// What a client is allowed.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) connections: usize,
    /// Between two requests.
    pub(super) idle: Duration,
    /// From the first byte of a head to its last.
    pub(super) head: Duration,
    pub(super) body: Duration,
    pub(super) body_bytes: usize,
    /// Of the bodies of all clients together, beyond the first few kilobytes of each.
    pub(super) bodies_bytes: usize,
    /// Until a worker is free.
    pub(super) queue: Duration,
    /// From then to the answer.
    pub(super) answer: Duration,
    /// For each piece of the answer.
    pub(super) write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connections: 4096,
            idle: seconds(60),
            head: seconds(10),
            body: seconds(30),
            body_bytes: 1 << 20,
            bodies_bytes: 64 << 20,
            queue: seconds(10),
            answer: seconds(60),
            write: seconds(10),
        }
    }
}

/// Bytes written at a time.
const PIECE: usize = 64 * 1024;
/// After so much silence a stream says a word, by which it also finds out who has gone.
const STREAM_SILENCE: Duration = Duration::from_secs(15);
/// What a client still sends after it was refused is read for so long, so that it gets to read the
/// answer.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 1 << 20;
/// How long what is under way may take once the end was asked for.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub(super) struct Guard {
    shared: Arc<Shared>,
    limits: Limits,
    lanes: Rc<Lanes>,
    bodies: Rc<Budget>,
    seats: Seats,
    ending: watch::Receiver<bool>,
}

/// Who sits here; those who wait for nothing but their own client can be asked to go.
#[derive(Default)]
struct Seats {
    taken: Cell<usize>,
    arrivals: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<()>>>,
}

/// What comes of waiting for a client.
enum Arrived {
    Request(Head),
    /// It went, or was silent for too long, or somebody else needs the seat.
    Gone,
}

/// Serves until `ending` says so; then what is under way has a few seconds.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    limits: Limits,
    lanes: Lanes,
    mut ending: watch::Receiver<bool>,
) {
    let bodies = Budget::new(limits.bodies_bytes);
    let guard = Rc::new(Guard {
        shared,
        limits,
        lanes: Rc::new(lanes),
        bodies,
        seats: Seats::default(),
        ending: ending.clone(),
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|ending| *ending) => break,
        };
        match accepted {
            Ok((socket, _)) => guard.admit(socket),
            // out of files, or a client that went before it was in: the next may do better
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    drop(listener);
    let all_gone = async {
        while guard.seats.taken.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = timeout(LAST_WORDS, all_gone).await;
}

impl Guard {
    fn admit(self: &Rc<Self>, socket: TcpStream) {
        if self.seats.taken.get() >= self.limits.connections && !self.seats.free_one() {
            self.shared.metrics.refused(503);
            return;
        }
        self.count(1);
        let guard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            // an error here is the client's going
            let _ = guard.converse(socket).await;
            guard.count(-1);
        });
    }

    fn count(&self, by: isize) {
        self.seats.taken.set(self.seats.taken.get().saturating_add_signed(by));
        self.shared.metrics.connected(self.seats.taken.get());
    }

    /// One request after the other.
    async fn converse(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = Vec::new();
        loop {
            let head = match self.head(&mut socket, &mut buffer).await {
                Ok(Arrived::Request(head)) => head,
                Ok(Arrived::Gone) => return Ok(()),
                Err(problem) => return self.refuse(socket, &problem, true).await,
            };
            let (body, _share) = match self.body(&mut socket, &mut buffer, &head).await {
                Ok(Some(body)) => body,
                Ok(None) => return Ok(()),
                Err(problem) => return self.refuse(socket, &problem, head.method != "HEAD").await,
            };
            let has_body = head.method != "HEAD";
            let answer = match self.answered(&head, &body, has_body).await {
                Ok(answer) => answer,
                Err(problem) => return self.refuse(socket, &problem, has_body).await,
            };
            let keeps_alive = head.keeps_alive && answer.stream.is_none() && !*self.ending.borrow();
            self.write_answer(&mut socket, answer, keeps_alive, has_body).await?;
            if !keeps_alive {
                return socket.shutdown().await;
            }
        }
    }

    /// The next head; what came after it stays in the buffer.
    async fn head(&self, socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Arrived, Problem> {
        let (place, mut asked_to_go) = self.seats.wait();
        let _leave = Leave { seats: &self.seats, place };
        if buffer.is_empty() {
            // an idle connection holds no buffer
            *buffer = Vec::new();
            let mut ending = self.ending.clone();
            tokio::select! {
                ready = timeout(self.limits.idle, socket.readable()) => if !matches!(ready,
                    Ok(Ok(()))) { return Ok(Arrived::Gone) },
                _ = &mut asked_to_go => return Ok(Arrived::Gone),
                _ = ending.wait_for(|ending| *ending) => return Ok(Arrived::Gone),
            }
        }
        let read = async {
            loop {
                if let Some((head, length)) = head::parse(buffer)? {
                    buffer.drain(..length);
                    return Ok(Arrived::Request(head));
                }
                buffer.reserve(1024);
                let mut part = socket.take((HEAD_LIMIT - buffer.len()) as u64);
                if !matches!(part.read_buf(buffer).await, Ok(1..)) {
                    return Ok(Arrived::Gone);
                }
            }
        };
        let read = tokio::select! {
            read = timeout(self.limits.head, read) => read,
            _ = &mut asked_to_go => return Ok(Arrived::Gone),
        };
        match read {
            Ok(read) => read,
            // woken for nothing
            Err(_) if buffer.is_empty() => Ok(Arrived::Gone),
            Err(_) => Err(Problem::new(408, "the head of the request did not come in time")),
        }
    }

    /// The whole body, once it is known that somebody wants it; `None` where the client went.
    async fn body(
        &self,
        socket: &mut TcpStream,
        buffer: &mut Vec<u8>,
        head: &Head,
    ) -> Result<Option<(Vec<u8>, Share)>, Problem> {
        if let Some(authority) =
            head.authority.as_ref().filter(|authority| !self.shared.access.knows(authority))
        {
            return Err(Problem::new(421, format!("`{authority}` is not a name of this server")));
        }
        let is_open = self.shared.open_paths.contains(&head.path());
        self.shared.access.check(head.sender(), is_open)?;
        if head.body > self.limits.body_bytes {
            return Err(Problem::new(
                413,
                format!("a body may have {} bytes", self.limits.body_bytes),
            ));
        }
        let rest = buffer.split_off(head.body.min(buffer.len()));
        let body = std::mem::replace(buffer, rest);
        let late = |_| Problem::new(408, "the body of the request did not come in time");
        timeout(self.limits.body, self.arrived(socket, body, head)).await.map_err(late)?
    }

    /// Memory is taken for what has arrived, whatever was announced.
    async fn arrived(
        &self,
        socket: &mut TcpStream,
        mut body: Vec<u8>,
        head: &Head,
    ) -> Result<Option<(Vec<u8>, Share)>, Problem> {
        if head.expects_continue
            && body.len() < head.body
            && socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err()
        {
            return Ok(None);
        }
        let mut share = self.bodies.share();
        while body.len() < head.body {
            if !share.make_room(&mut body, head.body) {
                let full = "the bodies of other requests take all the memory there is for them";
                return Err(Problem::new(503, full).with_header("Retry-After", "1"));
            }
            let mut part = (&mut *socket).take((head.body - body.len()) as u64);
            if !matches!(part.read_buf(&mut body).await, Ok(1..)) {
                return Ok(None);
            }
        }
        Ok(Some((body, share)))
    }

    async fn answered(&self, head: &Head, body: &[u8], has_body: bool) -> Result<Answer, Problem> {
        let busy = |_| Problem::new(503, "all workers are busy").with_header("Retry-After", "1");
        let receiver =
            timeout(self.limits.queue, self.lanes.exchange(head.passed_on(body), has_body))
                .await
                .map_err(busy)?;
        match timeout(self.limits.answer, receiver).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(_) => Err(Problem::new(500, "a worker failed")),
            Err(_) => Err(Problem::new(504, "the worker is still at it; it was left to finish")),
        }
    }

    async fn write_answer(
        &self,
        socket: &mut TcpStream,
        answer: Answer,
        keeps_alive: bool,
        has_body: bool,
    ) -> io::Result<()> {
        let Answer { mut head, body, stream } = answer;
        let stream = stream.and_then(|ticket| self.shared.streams.take(ticket));
        head.extend_from_slice(if keeps_alive { b"\r\n" } else { b"Connection: close\r\n\r\n" });
        // one write where one does: a client that acknowledges late would hold a second one back
        head.extend_from_slice(&body[..body.len().min(PIECE)]);
        self.write(socket, &head).await?;
        for piece in body.chunks(PIECE).skip(1) {
            self.write(socket, piece).await?;
        }
        match stream {
            Some(stream) if has_body => self.carry(socket, stream).await,
            _ => Ok(()),
        }
    }

    async fn write(&self, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        timeout(self.limits.write, socket.write_all(bytes))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Carries events to the client until either side has enough.
    async fn carry(&self, socket: &mut TcpStream, mut stream: Stream) -> io::Result<()> {
        let mut ending = self.ending.clone();
        let mut said = [0; 256];
        loop {
            let next = tokio::select! {
                next = timeout(STREAM_SILENCE, stream.events.recv()) => next,
                // a client has nothing more to say here: only its going is heard
                read = socket.read(&mut said) => match read {
                    Ok(1..) => continue,
                    _ => return Ok(()),
                },
                _ = ending.wait_for(|ending| *ending) => return Ok(()),
            };
            match next {
                Ok(Some(event)) => self.write(socket, event.to_text().as_bytes()).await?,
                Ok(None) => return Ok(()),
                Err(_) => self.write(socket, b":\n\n").await?,
            }
        }
    }

    /// The last answer on a connection. Closing it while the client still sends would take the
    /// answer from it.
    async fn refuse(
        &self,
        mut socket: TcpStream,
        problem: &Problem,
        has_body: bool,
    ) -> io::Result<()> {
        self.shared.metrics.refused(problem.status());
        let body = problem.to_bytes();
        let mut text = format!("HTTP/1.1 {} {}\r\n", problem.status(), reason(problem.status()));
        let fixed = [
            ("Content-Type", super::problem::MEDIA),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ];
        let own = problem.headers().iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in fixed.into_iter().chain(own) {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let mut bytes = format!("{text}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        if has_body {
            bytes.extend_from_slice(&body);
        }
        self.write(&mut socket, &bytes).await?;
        socket.shutdown().await?;
        let mut rest = socket.take(LINGER_BYTES as u64);
        let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
        Ok(())
    }
}

fn reason(status: u16) -> &'static str {
    tiny_http::StatusCode(status).default_reason_phrase()
}

impl Seats {
    /// Takes a place among those who wait for their client.
    fn wait(&self) -> (u64, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        let place = self.arrivals.get();
        self.arrivals.set(place + 1);
        self.waiting.borrow_mut().insert(place, sender);
        (place, receiver)
    }

    /// Asks whoever waits the longest to go; false where nobody waits.
    fn free_one(&self) -> bool {
        self.waiting.borrow_mut().pop_first().is_some_and(|(_, asked)| asked.send(()).is_ok())
    }
}

/// Gives the place back, however the wait ends.
struct Leave<'a> {
    seats: &'a Seats,
    place: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.seats.waiting.borrow_mut().remove(&self.place);
    }
}
