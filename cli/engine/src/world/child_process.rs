//! Children that `agent` exchanges messages with, and what ends them: the only file that names
//! `tokio::process`.

use crate::world::event_loop::block_on;
#[cfg(target_os = "linux")]
use crate::world::guard::{self, END};
#[cfg(target_os = "linux")]
use crate::world::limits::ALLOCATOR_RESERVES;
use crate::world::process::{Finished, OUTPUT_LIMIT, ProcessError, own_program};
use crate::world::{inherited, temporary};
use agent_core::child::confinement::Confinement;
use agent_core::child::stderr_tail::{self, StderrTail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use std::ffi::OsString;
use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
pub use tokio::process::{ChildStdin, ChildStdout};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

/// The verb of `agent` as a guard, and its option for a memory limit.
pub const LAUNCH: &str = "launch";
pub const MEMORY: &str = "--memory";

/// True in the `agent` binary on Linux, which starts its children through `agent launch`: each has
/// a guard then.
static GUARDS: AtomicBool = AtomicBool::new(false);

/// Called once by `main`: this executable can be a guard.
pub fn announce_launcher() {
    GUARDS.store(cfg!(target_os = "linux"), Ordering::Relaxed);
}

fn guards() -> bool {
    GUARDS.load(Ordering::Relaxed)
}

/// The signal that kills a child immediately: with a guard, the one on which it kills all
/// descendants; without, SIGKILL to its group.
fn end_at_once() -> Signal {
    if guards() { END } else { Signal::KILL }
}

#[cfg(not(target_os = "linux"))]
const END: Signal = Signal::KILL;

/// The process groups of the children that run, or of their guards.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// From now on an interrupt (Ctrl-C), SIGTERM or SIGHUP ends the children, each with all it
/// started, removes the temporary folders, and then ends this process with the code for it: 128 and
/// the signal's number.
///
/// For verbs that can be killed at any point, since their writes are atomic.
pub fn end_on_interrupt() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let (handlers, in_place) = mpsc::channel();
        std::thread::spawn(|| block_on(ending_signal(handlers)).map(end_by));
        // there is nothing to remove before
        let _ = in_place.recv();
    });
}

/// The signal that ends this process. Drops the sender once the handlers are in place.
async fn ending_signal(handlers: mpsc::Sender<()>) -> Signal {
    let mut signals: Vec<_> = [Signal::INT, Signal::TERM, Signal::HUP]
        .into_iter()
        .filter(|ending| !stays_ignored(*ending))
        .filter_map(|ending| Some((ending, signal(SignalKind::from_raw(ending.as_raw())).ok()?)))
        .collect();
    drop(handlers);
    poll_fn(|context| {
        let arrived = signals
            .iter_mut()
            .find_map(|(ending, signal)| signal.poll_recv(context).is_ready().then_some(*ending));
        arrived.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// One that is ignored from the start, as SIGHUP is under `nohup`; not SIGINT, which shells ignore
/// for the background jobs of a script and the script may send.
fn stays_ignored(signal: Signal) -> bool {
    signal != Signal::INT && inherited::ignores(signal.as_raw())
}

#[expect(clippy::exit, reason = "the other threads may be in the middle of something")]
fn end_by(signal: Signal) {
    ENDS_BY_SIGNAL.store(true, Ordering::SeqCst);
    end_all_children();
    temporary::remove_for_good();
    std::process::exit(128 + signal.as_raw());
}

/// Kills all children and waits until they have ended, so that none writes any more; one that
/// cannot be killed is not waited for longer than a terminal may wait. None is started after.
fn end_all_children() {
    const LONGEST: Duration = Duration::from_secs(2);
    const PAUSE: Duration = Duration::from_millis(2);
    // locked until the process ends
    let groups = ManuallyDrop::new(groups());
    for group in groups.iter() {
        let _ = rustix::process::kill_process_group(*group, end_at_once());
    }
    let until = Instant::now() + LONGEST;
    while groups.iter().any(|group| runs(*group)) && Instant::now() < until {
        std::thread::sleep(PAUSE);
    }
}

/// Set before the children are killed.
static ENDS_BY_SIGNAL: AtomicBool = AtomicBool::new(false);

/// Waits for the end of this process where a signal ends it: the deaths of its children are then no
/// result of the verb.
pub fn wait_if_ended_by_signal() {
    while ENDS_BY_SIGNAL.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

fn groups() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    GROUPS.lock().expect("no panic while it is held")
}

/// How long a child may take to leave after each of: its stdin closed, SIGTERM.
const GRACE: Duration = Duration::from_millis(400);
/// How long the end of a child with all it started may take.
const LONGEST_END: Duration = Duration::from_secs(10);

/// Receives each line of a child's stream.
pub type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// A child to start with pipes on all three streams, in a separate process group.
#[derive(Clone)]
pub struct Pipe {
    pub command: Vec<OsString>,
    pub directory: PathBuf,
    pub environment: Vec<(OsString, OsString)>,
    /// Variables of our own environment that the child does not get.
    pub withheld: Vec<OsString>,
    /// The access of the child; without it, that of this process.
    pub confinement: Option<Confinement>,
    /// The memory limit of each of its processes, in bytes.
    pub memory: Option<u64>,
    pub listener: Option<Listener>,
}

/// A child that is running. Dropping it ends it with all it started.
#[derive(Debug)]
pub struct Piped {
    group: Option<Pid>,
    /// How it ended, once it has.
    ended: watch::Receiver<Option<ExitStatus>>,
    waiting: tokio::task::JoinHandle<()>,
    stderr: OutputTail,
}

impl Pipe {
    /// A child with the environment and the access of this process.
    pub fn new(command: Vec<OsString>, directory: PathBuf) -> Self {
        Self {
            command,
            directory,
            environment: Vec::new(),
            withheld: Vec::new(),
            confinement: None,
            memory: None,
            listener: None,
        }
    }

    /// Starts the child. Its guard's parent-death signal is bound to the calling thread, so that
    /// thread has to live as long as the child should.
    pub fn start(&self) -> Result<(Piped, ChildStdin, ChildStdout), ProcessError> {
        adopt_strays();
        let (mut child, group) = self
            .spawn()
            .map_err(|source| ProcessError::NotStarted { program: self.program(), source })?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let stderr = OutputTail::of(stderr.expect("stderr is piped"), self.listener.clone());
        let (end, ended) = watch::channel(None);
        let waiting = tokio::spawn(async move {
            let status = child.wait().await.ok();
            if let (Some(guard), Some(KILLED)) = (group, status.and_then(|status| status.signal()))
            {
                end_strays(guard);
            }
            let _ = end.send(status);
        });
        Ok((
            Piped { group, ended, waiting, stderr },
            stdin.expect("stdin is piped"),
            stdout.expect("stdout is piped"),
        ))
    }

    /// A signal that ends this process finds the child listed, or not started.
    fn spawn(&self) -> std::io::Result<(tokio::process::Child, Option<Pid>)> {
        let mut command = self.tokio_command();
        let mut groups = groups();
        let child = command.spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        groups.extend(group);
        Ok((child, group))
    }

    /// Runs the child to its end on some input. Dropping the future ends it, with all it started.
    pub async fn exchange(&self, input: Vec<u8>) -> Result<Finished, ProcessError> {
        self.exchange_within(input, OUTPUT_LIMIT).await
    }

    /// Like `exchange`, reading at most this many bytes of its stdout.
    pub async fn exchange_within(
        &self,
        input: Vec<u8>,
        most: u64,
    ) -> Result<Finished, ProcessError> {
        let (mut child, mut stdin, stdout) = self.start()?;
        let mut output = Vec::new();
        let write = async {
            // a child that needs no input may close it
            let _ = stdin.write_all(&input).await;
            drop(stdin);
        };
        let mut bounded = stdout.take(most);
        let ((), read) = tokio::join!(write, bounded.read_to_end(&mut output));
        // a child that writes more than is read gets SIGPIPE
        drop(bounded);
        read.map_err(|source| ProcessError::NotStarted { program: self.program(), source })?;
        let status = child.wait().await;
        child.stderr.to_the_end().await;
        Ok(Finished {
            code: status.and_then(|status| status.code()),
            stdout: output,
            stderr: child.stderr_tail().join("\n").into_bytes(),
        })
    }

    fn program(&self) -> String {
        self.command
            .first()
            .map(|program| program.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    fn tokio_command(&self) -> tokio::process::Command {
        let words = self.words();
        let mut command = tokio::process::Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.directory);
        for name in &self.withheld {
            command.env_remove(name);
        }
        #[cfg(target_os = "linux")]
        if self.memory.is_some() {
            command.env(ALLOCATOR_RESERVES.0, ALLOCATOR_RESERVES.1);
        }
        command
            .env(agent_core::protocol::wire::ENV_PARENT_PID, std::process::id().to_string())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            // a killed guard ends no descendants
            .kill_on_drop(!guards());
        command
    }

    /// The command line to start: through `agent launch` where there are guards.
    fn words(&self) -> Vec<OsString> {
        if !guards() {
            return self.command.clone();
        }
        let mut words: Vec<OsString> = vec![own_program(), LAUNCH.into()];
        if let Some(bytes) = self.memory {
            words.extend([MEMORY.into(), bytes.to_string().into()]);
        }
        words.extend(self.confinement.iter().flat_map(Confinement::to_arguments));
        words.push("--".into());
        words.extend(self.command.iter().cloned());
        words
    }
}

impl Piped {
    /// The last lines the child wrote to stderr.
    pub fn stderr_tail(&self) -> Vec<String> {
        self.stderr.lines()
    }

    pub fn id(&self) -> Option<u32> {
        self.group.map(|group| group.as_raw_nonzero().get().cast_unsigned())
    }

    /// Waits until the child ends, however long that takes.
    pub async fn wait(&mut self) -> Option<ExitStatus> {
        *self.ended.wait_for(Option::is_some).await.ok()?
    }

    /// Waits for a child that has closed its stdout; `None` when it stays.
    pub async fn wait_a_little(&mut self) -> Option<ExitStatus> {
        let status = timeout(GRACE, self.wait()).await.ok()?;
        self.stderr.to_the_end().await;
        status
    }

    /// Ends it with all it started, by SIGTERM first. The child's stdin has to be closed by now.
    pub async fn end(mut self) {
        if timeout(GRACE, self.wait()).await.is_err() {
            self.signal(Signal::TERM);
            let _ = timeout(GRACE, self.wait()).await;
        }
    }

    /// Ends it with all its descendants, and returns when that is done.
    pub async fn end_at_once(&mut self) {
        self.signal(end_at_once());
        // a process that cannot be killed is not waited for
        if timeout(LONGEST_END, self.wait()).await.is_ok() {
            self.stderr.to_the_end().await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // an empty group needs no signal
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        self.signal(end_at_once());
        groups().retain(|group| Some(*group) != self.group);
        self.waiting.abort();
        if let Some(guard) = self.group.filter(|guard| was_killed(*guard)) {
            end_strays(guard);
        }
    }
}

/// Of a child whose end was not taken notice of yet.
fn was_killed(child: Pid) -> bool {
    how_it_ended(child).is_ok_and(|status| {
        status.is_some_and(|status| status.terminating_signal() == Some(KILLED))
    })
}

fn runs(child: Pid) -> bool {
    how_it_ended(child).is_ok_and(|status| status.is_none())
}

/// `None` while it runs; an error once its end was taken notice of, which this does not.
fn how_it_ended(child: Pid) -> rustix::io::Result<Option<WaitIdStatus>> {
    waitid(
        WaitId::Pid(child),
        WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
    )
}

const KILLED: i32 = Signal::KILL.as_raw();

/// Only a killed guard leaves anything behind.
#[cfg(target_os = "linux")]
fn end_strays(guard: Pid) {
    if guards() {
        guard::end_strays(guard);
    }
}

#[cfg(not(target_os = "linux"))]
fn end_strays(_guard: Pid) {}

fn adopt_strays() {
    #[cfg(target_os = "linux")]
    {
        static ONCE: Once = Once::new();
        if guards() {
            ONCE.call_once(guard::adopt_strays);
        }
    }
}

/// What a child writes to one of its streams: it is read to the end, so that the child never
/// blocks, and the last part is kept. Dropped, it reads no more.
#[derive(Debug)]
pub struct OutputTail {
    tail: Arc<Mutex<StderrTail>>,
    task: tokio::task::JoinHandle<()>,
}

impl OutputTail {
    pub fn of(
        stream: impl tokio::io::AsyncRead + Unpin + Send + 'static,
        listener: Option<Listener>,
    ) -> Self {
        let tail = Arc::<Mutex<StderrTail>>::default();
        let task = tokio::spawn(read_lines(stream, Arc::clone(&tail), listener));
        Self { tail, task }
    }

    /// The last lines.
    pub fn lines(&self) -> Vec<String> {
        self.tail.lock().expect("no panic while it is held").lines()
    }

    /// Reads the last output of an exited child. With a guard no process holds the stream open, so
    /// its end is reached; without one, a descendant of the child may hold it open indefinitely.
    pub async fn to_the_end(&mut self) {
        let limit = if guards() { LONGEST_END } else { GRACE };
        if !self.task.is_finished() {
            let _ = timeout(limit, &mut self.task).await;
        }
    }
}

impl Drop for OutputTail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_lines(
    stream: impl tokio::io::AsyncRead + Unpin,
    tail: Arc<Mutex<StderrTail>>,
    listener: Option<Listener>,
) {
    let mut reader = tokio::io::BufReader::new(stream);
    let mut line = Vec::new();
    while read_line_bounded(&mut reader, &mut line).await {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some(listener) = &listener {
            listener(&text);
        }
        tail.lock().expect("no panic while it is held").push(text);
    }
}

/// Reads one line, of which at most `stderr_tail::LIMIT` are kept; false at the end.
async fn read_line_bounded(
    reader: &mut (impl tokio::io::AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> bool {
    line.clear();
    loop {
        let Ok(chunk) = reader.fill_buf().await else { return false };
        if chunk.is_empty() {
            return !line.is_empty();
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(chunk.len(), |end| end + 1);
        line.extend_from_slice(&chunk[..taken.min(stderr_tail::LIMIT.saturating_sub(line.len()))]);
        reader.consume(taken);
        if end.is_some() {
            return true;
        }
    }
}
