//! The front of the HTTP server: it enforces limits on every client and forwards only complete
//! requests to the workers.
//!
//! All connections are read and written in one event loop, so an idle or slow one costs some memory
//! and no thread. At the limit of connections the one that has been idle the longest is closed.

use super::events::Stream;
use super::head::{self, HEAD_LIMIT, Head};
use super::problem::Problem;
use super::service::Shared;
use super::worker_connections::{Answer, WorkerConnections};
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

/// Limits and timeouts of connections and requests.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) connections: usize,
    /// Between two requests.
    pub(super) idle: Duration,
    /// From the first byte of a head to its last.
    pub(super) head: Duration,
    pub(super) body: Duration,
    pub(super) body_bytes: usize,
    /// Of all bodies in memory together, beyond the first few kilobytes of each.
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
/// An idle stream sends a comment after this long. It keeps proxies from closing the connection and
/// detects a client that is gone.
const STREAM_SILENCE: Duration = Duration::from_secs(15);
/// How long input is still drained after a refusal. Closing with unread input would reset the
/// connection and discard the response.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 1 << 20;
/// How long requests in flight may take after a signal to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

pub(super) struct Front {
    shared: Arc<Shared>,
    limits: Limits,
    workers: Rc<WorkerConnections>,
    bodies: Rc<Budget>,
    slots: Slots,
    ending: watch::Receiver<bool>,
}

/// Counts open connections. Those that wait for their client's next request can be evicted.
#[derive(Default)]
struct Slots {
    taken: Cell<usize>,
    arrivals: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<()>>>,
}

/// The outcome of waiting for a client's next request.
enum Arrived {
    Request(Head),
    /// The client closed the connection or was idle for too long, or the connection was evicted.
    Closed,
}

/// Serves until `ending` is true; then requests in flight have [`SHUTDOWN_GRACE`] to finish.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    limits: Limits,
    workers: WorkerConnections,
    mut ending: watch::Receiver<bool>,
) {
    let bodies = Budget::new(limits.bodies_bytes);
    let front = Rc::new(Front {
        shared,
        limits,
        workers: Rc::new(workers),
        bodies,
        slots: Slots::default(),
        ending: ending.clone(),
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|ending| *ending) => break,
        };
        match accepted {
            Ok((socket, _)) => front.admit(socket),
            // out of descriptors, or the client has closed already: both are transient
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    drop(listener);
    let all_gone = async {
        while front.slots.taken.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = timeout(SHUTDOWN_GRACE, all_gone).await;
}

impl Front {
    fn admit(self: &Rc<Self>, socket: TcpStream) {
        if self.slots.taken.get() >= self.limits.connections && !self.slots.evict_one() {
            self.shared.metrics.refused(503);
            return;
        }
        self.count(1);
        let front = Rc::clone(self);
        tokio::task::spawn_local(async move {
            // the only error here is a connection closed by the client
            let _ = front.converse(socket).await;
            front.count(-1);
        });
    }

    fn count(&self, by: isize) {
        self.slots.taken.set(self.slots.taken.get().saturating_add_signed(by));
        self.shared.metrics.connected(self.slots.taken.get());
    }

    /// Serves the requests of one connection in order.
    async fn converse(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = Vec::new();
        loop {
            let head = match self.head(&mut socket, &mut buffer).await {
                Ok(Arrived::Request(head)) => head,
                Ok(Arrived::Closed) => return Ok(()),
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

    /// Reads the next head; bytes after it stay in the buffer.
    async fn head(&self, socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Arrived, Problem> {
        let (place, mut evicted) = self.slots.wait();
        let _leave = Leave { slots: &self.slots, place };
        if buffer.is_empty() {
            // an idle connection holds no buffer
            *buffer = Vec::new();
            let mut ending = self.ending.clone();
            tokio::select! {
                ready = timeout(self.limits.idle, socket.readable()) => if !matches!(ready,
                    Ok(Ok(()))) { return Ok(Arrived::Closed) },
                _ = &mut evicted => return Ok(Arrived::Closed),
                _ = ending.wait_for(|ending| *ending) => return Ok(Arrived::Closed),
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
                    return Ok(Arrived::Closed);
                }
            }
        };
        let read = tokio::select! {
            read = timeout(self.limits.head, read) => read,
            _ = &mut evicted => return Ok(Arrived::Closed),
        };
        match read {
            Ok(read) => read,
            // a spurious wake-up
            Err(_) if buffer.is_empty() => Ok(Arrived::Closed),
            Err(_) => Err(Problem::new(408, "the head of the request did not arrive in time")),
        }
    }

    /// Checks host, access and size, then reads the body; `None` where the client closed the
    /// connection.
    async fn body(
        &self,
        socket: &mut TcpStream,
        buffer: &mut Vec<u8>,
        head: &Head,
    ) -> Result<Option<(Vec<u8>, Share)>, Problem> {
        if let Some(authority) =
            head.authority.as_ref().filter(|authority| !self.shared.access.allows_host(authority))
        {
            return Err(Problem::new(421, format!("`{authority}` is not a name of this server")));
        }
        let is_open = self.shared.open_paths.contains(&head.path());
        self.shared.access.check(head.sender(), is_open)?;
        if head.body > self.limits.body_bytes {
            return Err(Problem::new(
                413,
                format!("the limit of a body is {} bytes", self.limits.body_bytes),
            ));
        }
        let rest = buffer.split_off(head.body.min(buffer.len()));
        let body = std::mem::replace(buffer, rest);
        let late = |_| Problem::new(408, "the body of the request did not arrive in time");
        timeout(self.limits.body, self.arrived(socket, body, head)).await.map_err(late)?
    }

    /// Memory is allocated for bytes that have arrived, not for the announced length.
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
                let full = "the memory for request bodies is in use by other requests";
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
            timeout(self.limits.queue, self.workers.exchange(head.passed_on(body), has_body))
                .await
                .map_err(busy)?;
        match timeout(self.limits.answer, receiver).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(_) => Err(Problem::new(500, "a worker failed")),
            Err(_) => {
                Err(Problem::new(504, "the worker did not answer in time; its operation continues"))
            }
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
        // head and first piece go in one write: with delayed acknowledgements a second write
        // would wait
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

    /// Forwards events until the handler ends the stream or the client closes the connection.
    async fn carry(&self, socket: &mut TcpStream, mut stream: Stream) -> io::Result<()> {
        let mut ending = self.ending.clone();
        let mut ignored = [0; 256];
        loop {
            let next = tokio::select! {
                next = timeout(STREAM_SILENCE, stream.events.recv()) => next,
                // input is ignored on a stream; reading detects that the client has closed it
                read = socket.read(&mut ignored) => match read {
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

    /// Sends an error and closes the connection. Input is drained first (see [`LINGER`]).
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

impl Slots {
    /// Registers a connection that waits for its client.
    fn wait(&self) -> (u64, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        let place = self.arrivals.get();
        self.arrivals.set(place + 1);
        self.waiting.borrow_mut().insert(place, sender);
        (place, receiver)
    }

    /// Evicts the connection that has waited the longest; false where none waits.
    fn evict_one(&self) -> bool {
        self.waiting.borrow_mut().pop_first().is_some_and(|(_, evicted)| evicted.send(()).is_ok())
    }
}

/// Ends the registration when the wait ends, on every path.
struct Leave<'a> {
    slots: &'a Slots,
    place: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.slots.waiting.borrow_mut().remove(&self.place);
    }
}
