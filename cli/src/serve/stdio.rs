//! Lines in, lines out: the host's side of the shim.

use crate::error::{CommandError, CommandResult};
use crate::serve::frame::{self, Incoming};
use crate::serve::runner::Shim;
use agent_core::diagnose::Exit;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::rc::Rc;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// Requests read ahead of being handled; a host that floods waits.
const LINES_AHEAD: usize = 256;

/// Serves one host until it closes its end.
pub async fn serve(shim: Rc<Shim>) -> CommandResult {
    let mut lines = read_lines();
    let mut interrupt = signals()?;
    let mut host = Host { shim, tasks: JoinSet::new(), running: HashMap::new() };
    host.shim.warm_up();
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => host.take(&line),
                None => break,
            },
            Some(done) = host.tasks.join_next(), if !host.tasks.is_empty() => host.forget(done.ok().flatten()),
            () = host.shim.forward_notification() => {}
            () = interrupt.received() => return Ok(Exit::Interrupted),
        }
    }
    host.finish(&mut interrupt).await;
    host.shim.end().await;
    Ok(Exit::Done)
}

struct Host {
    shim: Rc<Shim>,
    /// Each gives back the id it answered.
    tasks: JoinSet<Option<String>>,
    running: HashMap<String, AbortHandle>,
}

impl Host {
    fn take(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        let Ok(incoming) = serde_json::from_str::<Incoming>(line) else {
            let problem = if serde_json::from_str::<&RawValue>(line).is_ok() {
                frame::error(frame::INVALID_REQUEST, "not a JSON-RPC request: one object with `jsonrpc`, `method` and an `id`")
            } else {
                frame::error(frame::PARSE_ERROR, "not JSON")
            };
            return write_line(&frame::refusal(None, &problem));
        };
        match (&incoming.method, &incoming.id) {
            (Some(method), None) if method == "notifications/cancelled" => self.cancel(&incoming),
            (Some(_), None) => {}
            (Some(_), Some(id)) if incoming.jsonrpc.as_deref() == Some("2.0") => self.begin(id.get().to_owned(), incoming),
            (None, Some(_)) if line.contains("\"result\"") || line.contains("\"error\"") => {}
            (_, id) => write_line(&frame::refusal(id.as_deref(), &frame::error(frame::INVALID_REQUEST, "not a JSON-RPC 2.0 request"))),
        }
    }

    fn begin(&mut self, id: String, incoming: Incoming) {
        let shim = Rc::clone(&self.shim);
        let answered = id.clone();
        let handle = self.tasks.spawn_local(async move {
            let id = incoming.id.clone().expect("a request has an id");
            write_line(&match shim.handle(incoming).await {
                Ok(result) => frame::answer(&id, &result),
                Err(error) => frame::refusal(Some(&id), &error),
            });
            Some(answered)
        });
        self.running.insert(id, handle);
    }

    /// A cancelled request gets no answer; dropping its task tells the child.
    fn cancel(&mut self, incoming: &Incoming) {
        if let Some(id) = incoming.params().get("requestId")
            && let Some(task) = self.running.remove(id.get())
        {
            task.abort();
        }
    }

    fn forget(&mut self, answered: Option<String>) {
        if let Some(id) = answered {
            self.running.remove(&id);
        }
    }

    /// The host has said all it will: what is under way is answered, unless nobody reads answers any more.
    async fn finish(&mut self, interrupt: &mut Interrupt) {
        let gone = reader_gone();
        tokio::pin!(gone);
        while !self.tasks.is_empty() {
            tokio::select! {
                _ = self.tasks.join_next() => {}
                () = self.shim.forward_notification() => {}
                () = &mut gone => return,
                () = interrupt.received() => return,
            }
        }
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
pub fn write_line(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush());
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

struct Interrupt {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Interrupt {
    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn signals() -> Result<Interrupt, CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| CommandError::new(Exit::Surroundings, format!("cannot listen for signals: {error}"));
    Ok(Interrupt {
        terminate: signal(SignalKind::terminate()).map_err(failed)?,
        interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
    })
}
