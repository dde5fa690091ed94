//! Processes: the only file that names duct or `tokio::process`.

#[cfg(target_os = "linux")]
use crate::world::guard::END;
use crate::world::{inherited, temporary};
use agent_core::child::confinement::Confinement;
use agent_core::child::last_words::{self, LastWords};
use agent_core::formats::diagnose::{Diagnose, Exit};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
pub use tokio::process::{ChildStdin, ChildStdout};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("`{program}` cannot be started")]
    NotStarted {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the event loop cannot go on: {failure}")]
    EventLoop { failure: String },
    #[error("`{command}` failed with {status}{}", streams(stdout, stderr))]
    Failed { command: String, status: String, stdout: String, stderr: String },
}

fn streams(stdout: &str, stderr: &str) -> String {
    [("stdout", stdout), ("stderr", stderr)]
        .into_iter()
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(name, text)| format!("\n  {name}: {}", text.trim().replace('\n', "\n          ")))
        .collect::<Vec<_>>()
        .concat()
}

impl Diagnose for ProcessError {
    fn exit(&self) -> Exit {
        Exit::Surroundings
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotStarted { program, .. } => Some(format!("is `{program}` installed and on PATH? `agent doctor` looks")),
            Self::EventLoop { .. } => Some("look what was done before it is run again".to_owned()),
            Self::Failed { .. } => None,
        }
    }
}

/// A finished process, whatever its status.
#[derive(Debug, Clone)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Finished {
    fn of(output: std::process::Output) -> Self {
        Self { code: output.status.code(), stdout: output.stdout, stderr: output.stderr }
    }

    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// What it said on stderr.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

/// A process to run to its end.
#[derive(Debug, Clone)]
pub struct Run {
    program: OsString,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Vec<(OsString, Option<OsString>)>,
    stdin: Stdin,
}

#[derive(Debug, Clone)]
enum Stdin {
    Bytes(Vec<u8>),
    File(std::sync::Arc<std::fs::File>),
}

impl Run {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            directory: None,
            environment: Vec::new(),
            stdin: Stdin::Bytes(Vec::new()),
        }
    }

    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// An open file as stdin; the process shares its position, and its lock.
    #[must_use]
    pub fn stdin_file(mut self, file: std::fs::File) -> Self {
        self.stdin = Stdin::File(std::sync::Arc::new(file));
        self
    }

    /// Runs to the end and hands back whatever the status was.
    pub fn finish(&self) -> Result<Finished, ProcessError> {
        self.run_to_end(&self.expression()?.stdout_capture().stderr_capture()).map(Finished::of)
    }

    /// The same within a time; what takes longer is ended, and there is `None`.
    pub fn finish_within(&self, limit: Duration) -> Result<Option<Finished>, ProcessError> {
        let expression = self.expression()?.stdout_capture().stderr_capture();
        let started = expression.unchecked().start().map_err(|source| self.not_started(source))?;
        let output = started.wait_timeout(limit).map_err(|source| self.not_started(source))?.cloned();
        if output.is_none() {
            started.kill().map_err(|source| self.not_started(source))?;
        }
        Ok(output.map(Finished::of))
    }

    /// Runs to the end with our own stdout and stderr as its own; gives the exit code, `None` after a signal.
    pub fn pass_through(&self) -> Result<Option<i32>, ProcessError> {
        self.run_to_end(&self.expression()?).map(|output| output.status.code())
    }

    fn run_to_end(&self, expression: &duct::Expression) -> Result<std::process::Output, ProcessError> {
        expression.unchecked().run().map_err(|source| self.not_started(source))
    }

    fn not_started(&self, source: std::io::Error) -> ProcessError {
        ProcessError::NotStarted { program: self.program.to_string_lossy().into_owned(), source }
    }

    fn expression(&self) -> Result<duct::Expression, ProcessError> {
        let mut expression = duct::cmd(&self.program, &self.arguments);
        expression = match &self.stdin {
            Stdin::Bytes(bytes) => expression.stdin_bytes(bytes.clone()),
            Stdin::File(file) => expression.stdin_file(file.try_clone().map_err(|source| self.not_started(source))?),
        };
        if let Some(directory) = &self.directory {
            expression = expression.dir(directory);
        }
        // duct lets the first word on a variable win; here the last one does
        for (name, value) in self.environment.iter().rev() {
            expression = match value {
                Some(value) => expression.env(name, value),
                None => expression.env_remove(name),
            };
        }
        Ok(expression)
    }

    /// Starts a process that outlives this one: in a group of its own, its stderr in a file.
    #[expect(clippy::disallowed_methods, reason = "this is the door to processes, and duct ends what it started")]
    pub fn start_apart(&self, stderr: std::fs::File) -> Result<Apart, ProcessError> {
        use std::os::unix::process::CommandExt as _;
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).process_group(0);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command.spawn().map_err(|source| self.not_started(source))?;
        let stdout = std::io::BufReader::new(child.stdout.take().expect("stdout is piped"));
        Ok(Apart { child, stdout })
    }

    /// Runs to the end; anything but success is an error that shows command, status and both streams.
    pub fn succeed(&self) -> Result<Finished, ProcessError> {
        self.end_with(&[0])
    }

    /// The same for a program that answers by its exit code: any but these is an error.
    pub fn end_with(&self, codes: &[i32]) -> Result<Finished, ProcessError> {
        let finished = self.finish()?;
        if finished.code.is_some_and(|code| codes.contains(&code)) {
            return Ok(finished);
        }
        Err(ProcessError::Failed {
            command: self.shown(),
            status: finished.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit status {code}")),
            stdout: String::from_utf8_lossy(&finished.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&finished.stderr).into_owned(),
        })
    }

    fn shown(&self) -> String {
        std::iter::once(&self.program).chain(&self.arguments).map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

/// A process that outlives this one.
#[derive(Debug)]
pub struct Apart {
    child: std::process::Child,
    stdout: std::io::BufReader<std::process::ChildStdout>,
}

impl Apart {
    /// The first line it prints; `None` when it ends without one.
    pub fn first_line(&mut self) -> Option<String> {
        use std::io::BufRead as _;
        let mut line = String::new();
        let read = self.stdout.by_ref().take(OUTPUT_LIMIT).read_line(&mut line);
        read.is_ok_and(|count| count > 0).then_some(line)
    }

    /// Its exit code; `None` after a signal.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().ok()?.code()
    }

    /// Leaves it to itself; its end is collected, should this process live to see it.
    pub fn let_go(mut self) {
        std::thread::spawn(move || self.child.wait());
    }
}

/// The very program that runs now, even when its file was replaced since.
pub fn own_program() -> OsString {
    if cfg!(target_os = "linux") {
        return "/proc/self/exe".into();
    }
    crate::world::env::binary().map_or_else(|| "agent".into(), PathBuf::into_os_string)
}

/// What the `git push` that runs this hook was told, and does not tell the hook: as far as its command line can be seen (Linux).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushFlags {
    /// It changes nothing, and runs the hook all the same.
    pub dry_run: bool,
    /// It makes the remote what is here, and deletes the rest, which git leaves out of what it lists.
    pub mirror: bool,
    /// It deletes what is not here among what it pushes, likewise.
    pub prune: bool,
}

pub fn parent_push_flags() -> PushFlags {
    let parent = rustix::process::getppid();
    let arguments = parent.and_then(|parent| std::fs::read(format!("/proc/{}/cmdline", parent.as_raw_nonzero())).ok());
    push_flags(&arguments.unwrap_or_default())
}

/// From words that end in zero bytes.
fn push_flags(arguments: &[u8]) -> PushFlags {
    let words = arguments.split(|byte| *byte == 0).skip_while(|word| *word != b"push").take_while(|word| *word != b"--");
    let mut flags = PushFlags::default();
    for word in words.skip(1) {
        let is_short = word.starts_with(b"-") && !word.starts_with(b"--");
        flags.dry_run |= word == b"--dry-run" || (is_short && word.contains(&b'n'));
        flags.mirror |= word == b"--mirror";
        flags.prune |= word == b"--prune";
    }
    flags
}

/// Asks the kernel for a signal when the thread that started this process ends.
///
/// `parent` is who that should be: when it is gone already, the wish comes too late and this process has to end by itself.
#[cfg(target_os = "linux")]
pub fn hear_of_the_end_of(parent: Option<u32>, signal: Signal) -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(signal))?;
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    if parent.is_some() && parent != now {
        return Err(std::io::Error::other("the process that started this one is gone"));
    }
    Ok(())
}

/// The word for `agent` as a guard, and its option for a limit of memory.
pub const LAUNCH: &str = "launch";
pub const MEMORY: &str = "--memory";

/// Has the allocator of a guard reserve its memory without the right to write it: otherwise it counts as 1 GiB against the limit that the guard hands on.
#[cfg(target_os = "linux")]
pub const ALLOCATOR_RESERVES: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");

/// Limits what this process, and each that it starts, may allocate: private memory that is written to. Address space that is only reserved does not
/// count, since runtimes with a compiler of their own reserve more of it than there is memory.
pub fn limit_memory(bytes: Option<u64>) -> std::io::Result<()> {
    bytes.map_or(Ok(()), |bytes| limit(Resource::Data, bytes))
}

/// Limits the files that this process, and each that it starts, may write, and has none of them leave its memory in one.
pub fn limit_files() -> std::io::Result<()> {
    limit(Resource::Fsize, FILE_SIZE)?;
    limit(Resource::Core, 0)
}

const FILE_SIZE: u64 = 1 << 30;

/// What is lower already stays.
fn limit(resource: Resource, most: u64) -> std::io::Result<()> {
    let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// True in the `agent` binary on Linux, which starts its children through `agent launch`: each has a guard then.
static GUARDS: AtomicBool = AtomicBool::new(false);

/// Said once by `main`: this executable can be a guard.
pub fn announce_launcher() {
    GUARDS.store(cfg!(target_os = "linux"), Ordering::Relaxed);
}

fn guards() -> bool {
    GUARDS.load(Ordering::Relaxed)
}

/// What ends a child at once: its guard is told to, and does it thoroughly; without one its group is killed.
fn end_at_once() -> Signal {
    if guards() { END } else { Signal::KILL }
}

#[cfg(not(target_os = "linux"))]
const END: Signal = Signal::KILL;

/// The process groups of the children that run, or of their guards.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// From now on an interrupt (Ctrl-C), SIGTERM or SIGHUP ends the children, each with all it started, removes the temporary folders, and then ends this process
/// with the code for it: 128 and the signal's number.
///
/// For verbs that can be cut off anywhere, since what they write is whole or not there.
pub fn end_on_interrupt() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::thread::spawn(|| {
            if let Ok(Ok(signal)) = block_on(ending_signal()) {
                for group in groups().drain(..) {
                    let _ = rustix::process::kill_process_group(group, end_at_once());
                }
                temporary::remove_all();
                exit(128 + signal.as_raw());
            }
        });
    });
}

/// The signal that ends this process. One that is ignored from the start, as SIGHUP is under `nohup`, stays ignored.
async fn ending_signal() -> std::io::Result<Signal> {
    let arrived = |kind: SignalKind| async move {
        if inherited::ignores(kind.as_raw_value()) {
            return std::future::pending().await;
        }
        signal(kind)?.recv().await;
        Ok::<_, std::io::Error>(())
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| Signal::INT),
        terminated = arrived(SignalKind::terminate()) => terminated.map(|()| Signal::TERM),
        hung_up = arrived(SignalKind::hangup()) => hung_up.map(|()| Signal::HUP),
    }
}

fn groups() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    GROUPS.lock().expect("no panic while it is held")
}

#[expect(clippy::exit, reason = "the other threads are in the middle of something and are not asked")]
fn exit(code: i32) {
    std::process::exit(code);
}

/// Lets this process hold so many files and connections open, as far as the system allows it.
pub fn allow_open_files(count: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(count, |maximum| count.min(maximum));
    if current.is_some_and(|current| current < wanted) {
        // fewer connections then
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// How long a child may take to leave after each of: its stdin closed, SIGTERM.
const GRACE: Duration = Duration::from_millis(400);
/// How long the end of a child with all it started may take.
const LONGEST_END: Duration = Duration::from_secs(10);
/// What an exchange reads of a child's stdout.
const OUTPUT_LIMIT: u64 = 1 << 20;

/// Hears each line of a child's stream.
pub type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// A child to start with pipes on all three streams, in a process group of its own.
#[derive(Clone)]
pub struct Pipe {
    pub command: Vec<OsString>,
    pub directory: PathBuf,
    pub environment: Vec<(OsString, OsString)>,
    /// Variables of our own environment that the child does not get.
    pub withheld: Vec<OsString>,
    /// What the child may reach; without it, all that this process may.
    pub confinement: Option<Confinement>,
    /// What each of its processes may allocate, in bytes.
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
    stderr: Hearing,
}

impl Pipe {
    /// Starts the child. What its guard hears is bound to the calling thread, so that thread has to live as long as the child should.
    pub fn start(&self) -> Result<(Piped, ChildStdin, ChildStdout), ProcessError> {
        adopt_strays();
        let mut child = self.tokio_command().spawn().map_err(|source| ProcessError::NotStarted { program: self.program(), source })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        groups().extend(group);
        let stderr = Hearing::of(stderr.expect("stderr is piped"), self.listener.clone());
        let (end, ended) = watch::channel(None);
        let waiting = tokio::spawn(async move {
            let status = child.wait().await.ok();
            if let (Some(guard), Some(KILLED)) = (group, status.and_then(|status| status.signal())) {
                end_strays(guard);
            }
            let _ = end.send(status);
        });
        Ok((Piped { group, ended, waiting, stderr }, stdin.expect("stdin is piped"), stdout.expect("stdout is piped")))
    }

    /// Runs the child to its end on some input. Dropping the future ends it, with all it started.
    pub async fn exchange(&self, input: Vec<u8>) -> Result<Finished, ProcessError> {
        self.exchange_within(input, OUTPUT_LIMIT).await
    }

    /// The same, reading so many bytes of its stdout at most.
    pub async fn exchange_within(&self, input: Vec<u8>, most: u64) -> Result<Finished, ProcessError> {
        let (mut child, mut stdin, stdout) = self.start()?;
        let mut said = Vec::new();
        let write = async {
            // who needs no input may close it
            let _ = stdin.write_all(&input).await;
            drop(stdin);
        };
        let mut bounded = stdout.take(most);
        let ((), read) = tokio::join!(write, bounded.read_to_end(&mut said));
        // one that says more than anybody reads is told so by its closed pipe
        drop(bounded);
        read.map_err(|source| ProcessError::NotStarted { program: self.program(), source })?;
        let status = child.wait().await;
        child.stderr.to_the_end().await;
        Ok(Finished { code: status.and_then(|status| status.code()), stdout: said, stderr: child.stderr_tail().join("\n").into_bytes() })
    }

    fn program(&self) -> String {
        self.command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default()
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
            // a guard that is killed guards nobody
            .kill_on_drop(!guards());
        command
    }

    /// The words to start: through `agent launch` where there are guards.
    fn words(&self) -> Vec<OsString> {
        if !guards() {
            return self.command.clone();
        }
        let mut words: Vec<OsString> = vec![own_program(), LAUNCH.into()];
        if let Some(bytes) = self.memory {
            words.extend([MEMORY.into(), bytes.to_string().into()]);
        }
        words.extend(self.confinement.iter().flat_map(Confinement::to_words));
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

    /// Ends it with all it started, gently at first. The child's stdin has to be closed by now.
    pub async fn end(mut self) {
        if timeout(GRACE, self.wait()).await.is_err() {
            self.signal(Signal::TERM);
            let _ = timeout(GRACE, self.wait()).await;
        }
    }

    /// Ends it with all it started, and comes back when that is done.
    pub async fn end_at_once(&mut self) {
        self.signal(end_at_once());
        // a process that cannot be killed is not waited for
        if timeout(LONGEST_END, self.wait()).await.is_ok() {
            self.stderr.to_the_end().await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // an empty group is what we want anyway
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

/// Of a process whose end was not taken notice of yet.
fn was_killed(process: Pid) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let ended = waitid(WaitId::Pid(process), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT);
    ended.is_ok_and(|status| status.is_some_and(|status| status.terminating_signal() == Some(KILLED)))
}

const KILLED: i32 = Signal::KILL.as_raw();

/// Only a killed guard leaves anything behind.
#[cfg(target_os = "linux")]
fn end_strays(guard: Pid) {
    if guards() {
        crate::world::guard::end_strays(guard);
    }
}

#[cfg(not(target_os = "linux"))]
fn end_strays(_guard: Pid) {}

fn adopt_strays() {
    #[cfg(target_os = "linux")]
    {
        static ONCE: Once = Once::new();
        if guards() {
            ONCE.call_once(crate::world::guard::adopt_strays);
        }
    }
}

/// What a child writes to one of its streams: it is read to the end, so that the child never blocks, and the last part is kept. Dropped, it reads no more.
#[derive(Debug)]
pub struct Hearing {
    heard: Arc<Mutex<LastWords>>,
    task: tokio::task::JoinHandle<()>,
}

impl Hearing {
    pub fn of(stream: impl tokio::io::AsyncRead + Unpin + Send + 'static, listener: Option<Listener>) -> Self {
        let heard = Arc::<Mutex<LastWords>>::default();
        let task = tokio::spawn(hear(stream, Arc::clone(&heard), listener));
        Self { heard, task }
    }

    /// The last lines.
    pub fn lines(&self) -> Vec<String> {
        self.heard.lock().expect("no panic while it is held").lines()
    }

    /// Reads what a child that has ended wrote last. With a guard nothing is left that holds the stream open, and its end comes as soon as this process is
    /// given the time to read; without one, a process that the child left behind may hold it open for ever.
    pub async fn to_the_end(&mut self) {
        let limit = if guards() { LONGEST_END } else { GRACE };
        if !self.task.is_finished() {
            let _ = timeout(limit, &mut self.task).await;
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hear(stream: impl tokio::io::AsyncRead + Unpin, heard: Arc<Mutex<LastWords>>, listener: Option<Listener>) {
    let mut reader = tokio::io::BufReader::new(stream);
    let mut line = Vec::new();
    while read_line_bounded(&mut reader, &mut line).await {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some(listener) = &listener {
            listener(&text);
        }
        heard.lock().expect("no panic while it is held").push(text);
    }
}

/// Reads one line, of which at most `last_words::LIMIT` are kept; false at the end.
async fn read_line_bounded(reader: &mut (impl tokio::io::AsyncBufRead + Unpin), line: &mut Vec<u8>) -> bool {
    line.clear();
    loop {
        let Ok(chunk) = reader.fill_buf().await else { return false };
        if chunk.is_empty() {
            return !line.is_empty();
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(chunk.len(), |end| end + 1);
        line.extend_from_slice(&chunk[..taken.min(last_words::LIMIT.saturating_sub(line.len()))]);
        reader.consume(taken);
        if end.is_some() {
            return true;
        }
    }
}

/// Runs a future to its end on this thread, which is also the one that starts children.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, ProcessError> {
    let runtime = event_loop()?;
    Ok(runtime.block_on(future))
}

/// How tokio says that the kernel does not let it wake its own event loop, which it cannot go on from.
const NOT_WOKEN: &str = "failed to wake I/O driver";

/// Runs what may run event loops. One that the kernel fails is an error of the surroundings, and no bug to print a stack of.
pub fn with_event_loops<T>(work: impl FnOnce() -> T) -> Result<T, ProcessError> {
    let failure = |payload: &(dyn std::any::Any + Send)| {
        let message = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        message.filter(|message| message.starts_with(NOT_WOKEN)).map(str::to_owned)
    };
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if failure(panic.payload()).is_none() {
            usual(panic);
        }
    }));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|payload| match failure(&*payload) {
        Some(failure) => ProcessError::EventLoop { failure },
        None => std::panic::resume_unwind(payload),
    })
}

/// The same for a future that may leave a read of stdin behind, which nothing can take back: it is not waited for.
pub fn block_on_and_leave<F: Future>(future: F) -> Result<F::Output, ProcessError> {
    let runtime = event_loop()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}

/// How many threads run at once here. The kernel is asked once: it answers from half a dozen files.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

fn event_loop() -> Result<tokio::runtime::Runtime, ProcessError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().map_err(|source| ProcessError::NotStarted { program: "the event loop".to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_push_was_told_is_read_off_its_words() {
        let none = PushFlags::default();
        for (words, expected) in [
            ("git push origin", none),
            ("git -c x=n push --dry-run origin", PushFlags { dry_run: true, ..none }),
            ("git push -qn origin main", PushFlags { dry_run: true, ..none }),
            ("git push --mirror origin", PushFlags { mirror: true, ..none }),
            ("git push --prune origin refs/agent/*", PushFlags { prune: true, ..none }),
            ("git push origin -- --mirror", none),
            ("", none),
        ] {
            assert_eq!(push_flags(words.replace(' ', "\0").as_bytes()), expected, "{words}");
        }
    }
}
