//! Lines in, lines out: the host's side of the shim.

use crate::error::{CommandError, CommandResult};
use crate::serve::frame::{self, Incoming, Wrong};
use crate::serve::shim::{Server, Shim};
use agent_core::diagnose::Exit;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::rc::Rc;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// Requests read ahead of being handled; a host that floods waits.
const LINES_AHEAD: usize = 256;

/// Serves one host until it closes its end.
pub async fn serve<S: Server>(shim: Rc<Shim<S>>) -> CommandResult {
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
            () = interrupt.received() => return Ok(Exit::Interrupted),
        }
    }
    host.finish(&mut interrupt).await;
    host.shim.end().await;
    Ok(Exit::Done)
}

struct Host<S> {
    shim: Rc<Shim<S>>,
    /// Each gives back the id it answered.
    tasks: JoinSet<Option<String>>,
    running: HashMap<String, AbortHandle>,
}

impl<S: Server> Host<S> {
    fn take(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        match frame::batch(line) {
            Ok(None) => self.take_message(line, Reply::Line),
            Ok(Some(elements)) => self.take_batch(&elements),
            Err(wrong) => write_line(&wrong.line()),
        }
    }

    fn take_message(&mut self, text: &str, reply: Reply) {
        match Incoming::read(text) {
            Err(wrong) => reply.give(wrong.line()),
            Ok(incoming) => match (incoming.method.as_deref(), &incoming.id) {
                (Some("notifications/cancelled"), None) => self.cancel(&incoming),
                (Some(_), Some(id)) => self.begin(id.get().to_owned(), incoming, reply),
                // other notifications, and answers: this server asks nothing of its host
                _ => {}
            },
        }
    }

    /// The answers of a batch are one line, once all that will come are there.
    fn take_batch(&mut self, elements: &[Box<RawValue>]) {
        if elements.is_empty() || !self.shim.takes_batches() {
            let why = if elements.is_empty() { "an empty batch" } else { "batches belong to revision 2025-03-26" };
            return write_line(&Wrong::request(why).line());
        }
        let gathered = Rc::new(Gathered::default());
        for element in elements {
            self.take_message(element.get(), Reply::Gathered(Rc::clone(&gathered)));
        }
    }

    fn begin(&mut self, id: String, incoming: Incoming, reply: Reply) {
        let shim = Rc::clone(&self.shim);
        let answered = id.clone();
        let handle = self.tasks.spawn_local(async move {
            let id = incoming.id.clone().expect("a request has an id");
            reply.give(match shim.handle(incoming).await {
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
                () = &mut gone => return,
                () = interrupt.received() => return,
            }
        }
    }
}

/// Where an answer goes.
enum Reply {
    Line,
    Gathered(Rc<Gathered>),
}

impl Reply {
    fn give(&self, answer: String) {
        match self {
            Self::Line => write_line(&answer),
            Self::Gathered(gathered) => gathered.0.borrow_mut().push(answer),
        }
    }
}

/// Written as one line when the last request of the batch is answered or cancelled.
#[derive(Default)]
struct Gathered(RefCell<Vec<String>>);

impl Drop for Gathered {
    fn drop(&mut self) {
        let answers = self.0.take();
        if !answers.is_empty() {
            write_line(&format!("[{}]", answers.join(",")));
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
