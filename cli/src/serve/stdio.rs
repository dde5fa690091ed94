//! Lines in, lines out: the host's side of the shim.

use crate::error::{CommandError, CommandResult};
use crate::serve::session::{About, Outlet, Session};
use crate::serve::shim::{Server, Shim};
use agent_core::diagnose::Exit;
use std::io::{BufRead, Write};
use std::rc::Rc;
use tokio::sync::mpsc;

/// Requests read ahead of being handled; a host that floods waits.
const LINES_AHEAD: usize = 256;

/// Serves one host until it closes its end.
pub async fn serve<S: Server>(shim: Rc<Shim<S>>) -> CommandResult {
    let mut lines = read_lines();
    let mut interrupt = Interrupt::expected()?;
    let session = Session::open(&shim, Rc::new(Stdout));
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => session.take(&line),
                None => break,
            },
            () = interrupt.received() => return Ok(Exit::Interrupted),
        }
    }
    // what is under way is answered, unless nobody reads answers any more
    tokio::select! {
        () = session.settled() => {}
        () = reader_gone() => {}
        () = interrupt.received() => {}
    }
    session.close().await;
    shim.end().await;
    Ok(Exit::Done)
}

/// Everything goes out the one way there is.
struct Stdout;

impl Outlet for Stdout {
    fn deliver(&self, frame: String, _about: About<'_>) {
        write_line(frame);
    }
}

/// A thread of its own: a blocking read cannot be taken back, and must not hold up the end.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut bytes = Vec::new();
        while matches!(stdin.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
            let line = String::from_utf8_lossy(&bytes).into_owned();
            bytes.clear();
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// One frame, whole; a host that has gone away is noticed at the end of its stdin.
fn write_line(mut frame: String) {
    frame.push('\n');
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(frame.as_bytes()).and_then(|()| stdout.flush());
}

/// Resolves when the reader of our stdout is gone; never when stdout is a file.
async fn reader_gone() {
    use rustix::event::{PollFd, PollFlags, poll};
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let stdout = std::io::stdout();
        // no event is asked for: only the far end's closing wakes it
        while matches!(poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None), Err(rustix::io::Errno::INTR)) {}
        let _ = sender.send(());
    });
    let _ = receiver.await;
}

/// The signals that end a server.
pub(crate) struct Interrupt {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Interrupt {
    pub fn expected() -> Result<Self, CommandError> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error: std::io::Error| CommandError::new(Exit::Surroundings, format!("cannot listen for signals: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
