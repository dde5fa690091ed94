//! The shim over stdio: a frame is a line.

use crate::listen::Ended;
use crate::mcp::frame_sink::{FrameSink, RelatedRequest};
use crate::mcp::session::Session;
use crate::mcp::shim::Shim;
use crate::mcp::tool_server::ToolServer;
use agent_engine::conversations;
use agent_engine::error::Failure;
use agent_engine::world::clock::fresh_id;
use agent_engine::world::interrupt::Interrupt;
use agent_engine::world::{env, stdout};
use rustix::fs::FileType;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io::BufRead;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

/// Requests that are read ahead of being handled; beyond these reading stops.
const LINES_AHEAD: usize = 256;
/// The size of one read.
const READ_CHUNK: usize = 64 << 10;

/// Serves one host until it closes stdin.
pub async fn serve<S: ToolServer>(shim: Rc<Shim<S>>) -> Result<Ended, Failure> {
    let mut lines = Lines::open();
    let mut interrupt = Interrupt::expected()?;
    let conversation =
        env::host_session().map_or_else(|| fresh_id("c"), |session| conversations::id_of(&session));
    let stdout = Rc::new(Stdout::default());
    let session = Session::open(&shim, Rc::clone(&stdout) as Rc<dyn FrameSink>, Some(conversation));
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(line) => {
                    session.receive(&line);
                    // those that came with it, without a look at the signals for each
                    while let Some(line) = lines.buffered() {
                        session.receive(&line);
                    }
                }
                None => break,
            },
            () = interrupt.received() => {
                stdout.0.close();
                return Ok(Ended::Interrupted);
            }
        }
    }
    // requests in flight are answered, unless the reader of stdout is gone
    tokio::select! {
        () = session.all_answered() => {}
        () = reader_gone() => {}
        () = interrupt.received() => {}
    }
    session.close().await;
    stdout.0.close();
    shim.end().await;
    Ok(Ended::Stopped)
}

/// Every frame goes to stdout; those that are ready at the same time go in one write.
#[derive(Default)]
struct Stdout(Rc<Frames>);

#[derive(Default)]
struct Frames {
    lines: RefCell<Vec<u8>>,
    /// Set at the end: later frames are dropped.
    is_closed: Cell<bool>,
}

impl FrameSink for Stdout {
    fn deliver(&self, frame: String, _related: RelatedRequest<'_>) {
        let frames = &self.0;
        let is_first = {
            let mut lines = frames.lines.borrow_mut();
            let is_first = lines.is_empty();
            lines.extend_from_slice(frame.as_bytes());
            lines.push(b'\n');
            is_first
        };
        if frames.is_closed.get() {
            frames.flush();
        } else if is_first {
            // runs after the tasks that are ready now
            let frames = Rc::clone(frames);
            tokio::task::spawn_local(async move { frames.flush() });
        }
    }
}

impl Frames {
    /// Write errors are ignored: a disconnected host also closes stdin, which ends the session.
    fn flush(&self) {
        let _ = stdout::write_all(&self.lines.take());
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.flush();
    }
}

/// The lines of stdin.
enum Lines {
    /// A pipe or a socket, read by the event loop without a second thread, which is the fastest.
    Woken(Chunks),
    /// Anything else, such as a file or a terminal, read by a thread: a blocking read cannot be
    /// cancelled and must not delay the end.
    Threaded(mpsc::Receiver<Vec<u8>>),
}

/// The input, as lines.
struct Chunks {
    stdin: Box<dyn AsyncRead + Unpin>,
    buffer: Vec<u8>,
    /// Where the next line begins, and how far its end was looked for.
    start: usize,
    scanned: usize,
}

impl Lines {
    fn open() -> Self {
        match Self::wakeable() {
            Ok(stdin) => Self::Woken(Chunks { stdin, buffer: Vec::new(), start: 0, scanned: 0 }),
            Err(_) => Self::threaded(),
        }
    }

    fn wakeable() -> std::io::Result<Box<dyn AsyncRead + Unpin>> {
        let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
        if FileType::from_raw_mode(rustix::fs::fstat(&stdin)?.st_mode) == FileType::Socket {
            let socket = std::os::unix::net::UnixStream::from(stdin);
            socket.set_nonblocking(true)?;
            return Ok(Box::new(UnixStream::from_std(socket)?));
        }
        Ok(Box::new(pipe::Receiver::from_owned_fd(stdin)?))
    }

    fn threaded() -> Self {
        let (sender, receiver) = mpsc::channel(LINES_AHEAD);
        std::thread::spawn(move || {
            let mut stdin = std::io::stdin().lock();
            let mut line = Vec::new();
            while matches!(stdin.read_until(b'\n', &mut line), Ok(count) if count > 0) {
                if sender.blocking_send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        Self::Threaded(receiver)
    }

    /// The next line; `None` at the end of stdin. Cancel-safe: dropping the future loses no input.
    async fn next(&mut self) -> Option<Cow<'_, str>> {
        match self {
            Self::Woken(chunks) => chunks.next().await,
            Self::Threaded(lines) => {
                let line = lines.recv().await?;
                Some(Cow::Owned(String::from_utf8_lossy(&line).into_owned()))
            }
        }
    }

    /// The next line, where it was read together with the one before.
    fn buffered(&mut self) -> Option<Cow<'_, str>> {
        match self {
            Self::Woken(chunks) => chunks.buffered(),
            Self::Threaded(_) => None,
        }
    }
}

impl Chunks {
    async fn next(&mut self) -> Option<Cow<'_, str>> {
        let bounds = loop {
            if let Some(bounds) = self.bounds() {
                break bounds;
            }
            self.buffer.drain(..self.start);
            (self.start, self.scanned) = (0, self.buffer.len());
            self.buffer.reserve(READ_CHUNK);
            if self.stdin.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                // the last line may lack its end
                let rest = 0..self.buffer.len();
                (self.start, self.scanned) = (rest.end, rest.end);
                break Some(rest).filter(|rest| !rest.is_empty())?;
            }
        };
        Some(self.text(bounds))
    }

    fn buffered(&mut self) -> Option<Cow<'_, str>> {
        let bounds = self.bounds()?;
        Some(self.text(bounds))
    }

    /// The bounds of the next line that was read whole, with its end.
    fn bounds(&mut self) -> Option<Range<usize>> {
        let rest = &self.buffer[self.scanned..];
        let end = self.scanned + rest.iter().position(|byte| *byte == b'\n')? + 1;
        let bounds = self.start..end;
        (self.start, self.scanned) = (end, end);
        Some(bounds)
    }

    fn text(&self, bounds: Range<usize>) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.buffer[bounds])
    }
}

/// Resolves when the reader of stdout is gone; never when stdout is a file.
async fn reader_gone() {
    use rustix::event::{PollFd, PollFlags, poll};
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let stdout = std::io::stdout();
        // without a requested event only the closing of the other end wakes it
        while matches!(
            poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None),
            Err(rustix::io::Errno::INTR)
        ) {}
        let _ = sender.send(());
    });
    let _ = receiver.await;
}
