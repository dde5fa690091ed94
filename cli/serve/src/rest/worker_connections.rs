//! The connections to the workers. Each carries one request at a time; requests wait for a free one
//! in order of arrival.

use super::events::STREAM_HEADER;
use std::cell::RefCell;
use std::io;
use std::os::unix::net::UnixStream as Connected;
use std::rc::Rc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, oneshot};

/// A worker's complete response.
pub(super) struct Answer {
    /// Status line and headers, without the empty line that ends them.
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// The stream of events that comes in place of a body.
    pub(super) stream: Option<u64>,
}

pub(super) struct WorkerConnections {
    free: Semaphore,
    idle: RefCell<Vec<UnixStream>>,
}

impl WorkerConnections {
    pub(super) fn new(connected: Vec<Connected>) -> io::Result<Self> {
        let idle = connected.into_iter().map(|stream| {
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        });
        let idle = idle.collect::<io::Result<Vec<_>>>()?;
        Ok(Self { free: Semaphore::new(idle.len()), idle: RefCell::new(idle) })
    }

    /// Waits for a free worker and sends it the request. The exchange runs to its end even where
    /// the receiver is dropped, so the connection is never left in the middle of a response.
    pub(super) async fn exchange(
        self: &Rc<Self>,
        request: Vec<u8>,
        has_body: bool,
    ) -> oneshot::Receiver<io::Result<Answer>> {
        self.free.acquire().await.expect("it is never closed").forget();
        let mut connection = self.idle.borrow_mut().pop().expect("as many connections as permits");
        let (sender, receiver) = oneshot::channel();
        let workers = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let answer = exchanged(&mut connection, &request, has_body).await;
            // after a failed exchange the connection's state is unknown: it is not reused
            if answer.is_ok() {
                workers.idle.borrow_mut().push(connection);
                workers.free.add_permits(1);
            }
            let _ = sender.send(answer);
        });
        receiver
    }
}

async fn exchanged(
    connection: &mut UnixStream,
    request: &[u8],
    has_body: bool,
) -> io::Result<Answer> {
    connection.write_all(request).await?;
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if connection.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((head, length, stream, end)) = understood(&bytes)? {
            let mut body = bytes.split_off(end);
            let missing = if has_body && head_has_body(&bytes) {
                length.saturating_sub(body.len())
            } else {
                0
            };
            if missing > 0 {
                let begun = body.len();
                body.resize(length, 0);
                connection.read_exact(&mut body[begun..]).await?;
            }
            return Ok(Answer { head, body, stream });
        }
    }
}

/// 204 and 304 have no body, whatever their Content-Length.
fn head_has_body(head: &[u8]) -> bool {
    !(head.starts_with(b"HTTP/1.1 204") || head.starts_with(b"HTTP/1.1 304"))
}

type Understood = (Vec<u8>, usize, Option<u64>, usize);

/// The head as it is forwarded to the client, the length of the body, the ticket of the stream, and
/// the offset at which the head ends.
fn understood(bytes: &[u8]) -> io::Result<Option<Understood>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let end = match response.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Complete(end) => end,
        httparse::Status::Partial => return Ok(None),
    };
    let (mut head, mut length, mut stream) = (Vec::with_capacity(end), 0, None);
    let status = response.code.unwrap_or_default();
    head.extend_from_slice(
        format!("HTTP/1.1 {status} {}\r\n", response.reason.unwrap_or_default()).as_bytes(),
    );
    for header in response.headers.iter() {
        let number =
            || std::str::from_utf8(header.value).ok().and_then(|value| value.parse::<u64>().ok());
        if header.name.eq_ignore_ascii_case(STREAM_HEADER) {
            stream = number();
            continue;
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            length = number()
                .and_then(|length| usize::try_from(length).ok())
                .ok_or_else(|| io::Error::other("invalid Content-Length"))?;
            if stream.is_some() || matches!(status, 204 | 304) {
                continue;
            }
        }
        if header.name.eq_ignore_ascii_case("server") {
            continue;
        }
        for part in [header.name.as_bytes(), b": ", header.value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    Ok(Some((head, length, stream, end)))
}
