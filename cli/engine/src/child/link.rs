//! One child and its two streams of newline-delimited JSON-RPC frames. Owned by one task: no locks,
//! no further tasks, large buffers.

use crate::world::child_process::{ChildStdin, ChildStdout, Listener, Pipe, Piped};
use crate::world::env;
use crate::world::lease::Lease;
use crate::world::process::ProcessError;
use agent_core::child::confinement::Confinement;
use agent_core::child::stderr_tail;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::manifest::Limits;
use agent_core::protocol::call_result::{Unreadable, value_of};
use agent_core::protocol::mcp::{self, Era, INTERNAL_ERROR, METHOD_NOT_FOUND};
pub use agent_core::protocol::rpc::RpcError;
use agent_core::protocol::rpc::{self, Line};
use agent_core::protocol::wire;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// The longest frame that is read; after a longer one the child is ended.
const FRAME_LIMIT: usize = 64 << 20;
const READ_CHUNK: usize = 256 << 10;
/// The number of characters of an invalid line that are shown.
const SHOWN: usize = 160;
/// Up to this many bytes between frames are a banner or misdirected logging; more is a program that
/// is not an MCP server.
const NOISE_LIMIT: usize = 64 << 10;

/// The role of a child, which names it in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Runner,
    Tuner,
    /// Uses plain JSON-RPC: no MCP handshake.
    Scorer,
}

impl std::fmt::Display for Role {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Runner => "Runner",
            Self::Tuner => "Tuner",
            Self::Scorer => "scorer process",
        })
    }
}

/// The first message to a child: many servers keep to the era it belongs to.
#[derive(Debug, Clone)]
pub enum Opening {
    /// `initialize` with these parameters.
    Handshake(Box<RawValue>),
    /// `server/discover`.
    Stateless,
}

impl Opening {
    /// As `agent` itself, for a child of which only the tools are needed.
    pub fn ours() -> Self {
        Self::of_revision(mcp::HANDSHAKE)
    }

    pub fn of_revision(revision: &str) -> Self {
        Self::Handshake(handshake(revision, &json!({})))
    }

    /// As a client with every capability: some servers hide tools from others.
    pub fn with_every_capability() -> Self {
        let capabilities = json!({
            "roots": {"listChanged": true},
            "sampling": {"context": {}, "tools": {}},
            "elicitation": {"form": {}, "url": {}},
            "tasks": {"list": {}, "cancel": {}, "requests": {"sampling": {"createMessage": {}},
                "elicitation": {"create": {}}}},
        });
        Self::Handshake(handshake(mcp::HANDSHAKE, &capabilities))
    }
}

const INITIALIZE: &str = "initialize";
const DISCOVER: &str = "server/discover";

/// The parameters of `initialize`.
fn handshake(revision: &str, capabilities: &Value) -> Box<RawValue> {
    let params = json!({"protocolVersion": revision, "capabilities": capabilities,
        "clientInfo": client_info()});
    to_raw_value(&params).expect("JSON serialises")
}

pub fn client_info() -> Value {
    json!({"name": "agent", "version": env!("CARGO_PKG_VERSION")})
}

/// How a child is started and how long it may take.
#[derive(Clone)]
pub struct ChildSpec {
    pub role: Role,
    pub command: Vec<OsString>,
    /// The checkout: working directory, and where Python imports from.
    pub directory: PathBuf,
    /// The variables that agent.toml declares.
    pub declared: Vec<(OsString, OsString)>,
    /// The variables that `agent` sets, which cannot be declared.
    pub environment: Vec<(OsString, OsString)>,
    /// Variables of our own environment that it does not get unless they are declared.
    pub withheld: Vec<OsString>,
    pub start_limit: Duration,
    pub call_limit: Duration,
    /// Tools with individual limits.
    pub tool_limits: BTreeMap<String, Duration>,
    /// The access of the child; without it, that of this process.
    pub confinement: Option<Confinement>,
    /// The memory limit of each of its processes, in bytes.
    pub memory: Option<u64>,
    /// Receives the child's stderr, line by line.
    pub listener: Option<Listener>,
    /// Keeps what it runs on from being removed while it runs.
    pub lease: Option<Arc<Lease>>,
    pub skipping: Option<Skipping>,
}

/// How lines on a child's stdout are handled that are no frames: the first one is warned of, each
/// one is logged.
#[derive(Clone)]
pub struct Skipping {
    warn: Listener,
    log: Listener,
    has_warned: Arc<AtomicBool>,
}

impl Skipping {
    pub fn new(warn: Listener, log: Listener) -> Self {
        Self { warn, log, has_warned: Arc::default() }
    }

    fn skipped(&self, role: Role, line: &str, why: &str) {
        (self.log)(&format!("skipped a line on the stdout of the {role}, {why}: {line}"));
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            (self.warn)(&format!(
                "the {role} printed a line that is not JSON-RPC on its stdout; such lines are \
                skipped: {line}"
            ));
        }
    }
}

impl ChildSpec {
    pub fn new(
        role: Role,
        command: Vec<OsString>,
        directory: impl Into<PathBuf>,
        limits: &Limits,
    ) -> Self {
        Self {
            role,
            command,
            directory: directory.into(),
            declared: Vec::new(),
            environment: Vec::new(),
            withheld: env::never_passed_on(),
            start_limit: limits.start(),
            call_limit: limits.call(),
            tool_limits: limits.tools(),
            confinement: None,
            memory: limits.memory(),
            listener: None,
            lease: None,
            skipping: None,
        }
    }

    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Grants a confined child writable folders and passes their paths: one for each use, possibly
    /// the same.
    #[must_use]
    pub fn with_folders(mut self, scratch: &Path, data: &Path, temporary: &Path) -> Self {
        self.confinement =
            self.confinement.map(|confinement| confinement.write_own([scratch, data, temporary]));
        self.env(wire::ENV_SCRATCH, scratch).env(wire::ENV_DATA, data).env("TMPDIR", temporary)
    }

    pub fn pipe(&self) -> Pipe {
        let mut environment = self.declared.clone();
        if self.role != Role::Scorer {
            environment.push(("PYTHONPATH".into(), self.directory.clone().into_os_string()));
        }
        environment.extend(self.environment.iter().cloned());
        Pipe {
            command: self.command.iter().map(|word| self.expanded(word)).collect(),
            directory: self.directory.clone(),
            environment,
            withheld: self.withheld.clone(),
            confinement: self.confinement.clone(),
            memory: self.memory,
            listener: self.listener.clone(),
        }
    }

    /// An argument of the command line with `$AGENT_DATA` replaced by the folder: a server that
    /// takes a path as an argument does not expand variables.
    fn expanded(&self, word: &OsString) -> OsString {
        let data = self
            .environment
            .iter()
            .rev()
            .find(|(name, _)| name == wire::ENV_DATA)
            .and_then(|(_, value)| value.to_str());
        match (word.to_str(), data) {
            (Some(text), Some(data)) if text.contains('$') => {
                let (braced, bare) =
                    (format!("${{{}}}", wire::ENV_DATA), format!("${}", wire::ENV_DATA));
                text.replace(&braced, data).replace(&bare, data).into()
            }
            _ => word.clone(),
        }
    }

    pub fn shown(&self) -> String {
        self.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

/// The failure of a child.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChildError {
    #[error("the {role} cannot be started: {reason}")]
    NotStarted { role: Role, reason: String },
    #[error("the {role} (`{command}`) was not ready after {} s{}", limit.as_secs_f64(),
        shown_stderr(stderr))]
    StartTimedOut { role: Role, command: String, limit: Duration, stderr: Vec<String> },
    #[error("the {role} (`{command}`) ended unexpectedly: \
        {status}{}{}", shown_limit(*memory, stderr),
        shown_stderr(stderr))]
    Died {
        role: Role,
        command: String,
        status: String,
        stderr: Vec<String>,
        /// The memory limit, in bytes.
        memory: Option<u64>,
    },
    #[error("the {role} (`{command}`) broke protocol: {problem}: {line}{}", shown_stderr(stderr))]
    ProtocolViolation {
        role: Role,
        command: String,
        problem: String,
        line: String,
        stderr: Vec<String>,
    },
    #[error("the {role} did not answer `{what}` within {} s", limit.as_secs_f64())]
    TimedOut { role: Role, what: String, limit: Duration },
    #[error("the {role} refused `{what}`: {error}")]
    Refused { role: Role, what: String, error: Box<RpcError> },
    #[error("the {role} answered `{what}` with JSON that cannot be read: {problem}")]
    Unreadable { role: Role, what: String, problem: Unreadable },
    #[error("the {role} answered `{what}` with a result that is not valid MCP: {problem}")]
    InvalidResult { role: Role, what: String, problem: &'static str },
    #[error("the {role} was stopped, because `agent` failed while reading its output")]
    ReaderFailed { role: Role },
}

fn shown_stderr(lines: &[String]) -> String {
    if lines.is_empty() {
        String::new()
    } else {
        format!("\n  its last lines on stderr:\n    {}", stderr_tail::shown(lines).join("\n    "))
    }
}

impl Diagnose for ChildError {
    fn kind(&self) -> FailureKind {
        FailureKind::Child
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotStarted { .. } => Some("check its `command` in agent.toml, and run `agent \
                doctor`".to_owned()),
            Self::StartTimedOut { .. } => {
                Some("run that command by hand; `limits.start_s` in agent.toml is how long it may \
                    take".to_owned())
            }
            Self::TimedOut { .. } => Some(
                "`limits.call_s` in agent.toml is how long a call may take; `limits.tools` names \
                tools that may take longer".to_owned(),
            ),
            Self::ProtocolViolation { .. } => Some("its stdout carries MCP frames only; print to \
                stderr".to_owned()),
            Self::Unreadable { .. } => Some(
                "text is whole Unicode characters, lists and objects are at most 127 levels deep, \
                and no member appears twice".to_owned(),
            ),
            Self::ReaderFailed { .. } => Some(
                "please report it, with the lines on stderr before this one".to_owned(),
            ),
            Self::Died { role: Role::Scorer, stderr,
                .. } if stderr.iter().any(|line| line.starts_with("ModuleNotFoundError")) => Some(
                "scorers see `tests/` and `ci/` alone; what they import of the rest is named in \
                agent.toml: `import` under [evaluators]"
                    .to_owned(),
            ),
            Self::Died { .. } | Self::Refused { .. } | Self::InvalidResult { .. } => None,
        }
    }
}

/// The memory limit in bytes, when the child reports a failed allocation.
pub fn memory_limit(memory: Option<u64>, stderr: &str) -> Option<String> {
    // the messages of Python, C++, Node, Go and the C library
    const WORDS: [&str; 5] = [
        "MemoryError",
        "std::bad_alloc",
        "out of memory",
        "Out of memory",
        "Cannot allocate memory",
    ];
    let bytes = memory.filter(|_| WORDS.iter().any(|word| stderr.contains(word)))?;
    Some(format!(
        "it may allocate {} MiB: `limits.memory_mb` in agent.toml (`limits.serving_memory_mb` \
        while a host is served)",
        bytes >> 20
    ))
}

fn shown_limit(memory: Option<u64>, stderr: &[String]) -> String {
    stderr
        .iter()
        .find_map(|line| memory_limit(memory, line))
        .map(|limit| format!("; {limit}"))
        .unwrap_or_default()
}

/// A received message of a child.
#[derive(Debug)]
pub enum Incoming {
    Answer {
        id: u64,
        outcome: Result<Box<RawValue>, RpcError>,
    },
    /// A notification, with its received frame.
    Notification {
        method: String,
        frame: Box<RawValue>,
    },
    /// A request of the child to its client; allowed only for a child opened for a host.
    Request {
        id: Box<RawValue>,
        method: String,
        params: Option<Box<RawValue>>,
    },
}

#[derive(Serialize)]
struct Request<'a, P: Serialize> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: P,
}

#[derive(Serialize)]
struct Notification<'a> {
    jsonrpc: &'static str,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Reply<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RpcError>,
}

/// The answer to a child's request for a capability that is not offered.
pub fn not_offered(method: &str) -> RpcError {
    RpcError::new(METHOD_NOT_FOUND, format!("`{method}` is not offered by this client"))
}

pub struct Link {
    role: Role,
    command: String,
    call_limit: Duration,
    memory: Option<u64>,
    process: Piped,
    stdin: ChildStdin,
    stdout: ChildStdout,
    incoming: Vec<u8>,
    /// The start of the next line, and how far its end was searched.
    line_start: usize,
    scanned: usize,
    /// Answers that one wrong line gave to several requests.
    answers: VecDeque<Incoming>,
    /// How many bytes since the last frame were none.
    noise: usize,
    skipping: Option<Skipping>,
    outgoing: Vec<u8>,
    written: usize,
    next_id: u64,
    era: Era,
    initialize_result: Value,
    /// Whether requests of the child are forwarded to the host.
    forwards_requests: bool,
    _lease: Option<Arc<Lease>>,
}

impl Link {
    /// Starts a child and waits until it is ready.
    pub async fn start(spec: &ChildSpec) -> Result<Self, ChildError> {
        Self::begin(spec, &Opening::ours(), false).await
    }

    /// Like `start`, with these `initialize` parameters; requests of the child are still answered
    /// here.
    pub async fn start_as(spec: &ChildSpec, opening: &Opening) -> Result<Self, ChildError> {
        Self::begin(spec, opening, false).await
    }

    /// Starts a child on behalf of a host: the child is initialised with the host's parameters,
    /// falls back to the era it supports, and may send requests.
    pub async fn open(spec: &ChildSpec, opening: &Opening) -> Result<Self, ChildError> {
        Self::begin(spec, opening, true).await
    }

    async fn begin(
        spec: &ChildSpec,
        opening: &Opening,
        forwards_requests: bool,
    ) -> Result<Self, ChildError> {
        let (process, stdin, stdout) =
            spec.pipe().start().map_err(|error| not_started(spec.role, &error))?;
        let mut link = Self {
            role: spec.role,
            command: spec.shown(),
            call_limit: spec.call_limit,
            memory: spec.memory,
            process,
            stdin,
            stdout,
            incoming: Vec::with_capacity(READ_CHUNK),
            line_start: 0,
            scanned: 0,
            answers: VecDeque::new(),
            noise: 0,
            skipping: spec.skipping.clone(),
            outgoing: Vec::new(),
            written: 0,
            next_id: 0,
            era: Era::Handshake,
            initialize_result: Value::Null,
            forwards_requests,
            _lease: spec.lease.clone(),
        };
        match timeout(spec.start_limit, link.negotiate(opening, spec.start_limit / 2)).await {
            Ok(negotiated) => negotiated.map(|()| link),
            Err(_) => Err(ChildError::StartTimedOut {
                role: spec.role,
                command: link.command.clone(),
                limit: spec.start_limit,
                stderr: link.process.stderr_tail(),
            }),
        }
    }

    async fn negotiate(
        &mut self,
        opening: &Opening,
        discover_limit: Duration,
    ) -> Result<(), ChildError> {
        let (what, result) = match (self.role, opening) {
            (Role::Scorer, _) => ("list", self.request("list", &json!({})).await?),
            (_, Opening::Handshake(params)) => match self.initialize(params).await {
                // a child without the handshake may support the stateless era
                Err(ChildError::Refused { .. }) if self.forwards_requests => {
                    (DISCOVER, self.discover().await?)
                }
                initialized => (INITIALIZE, initialized?),
            },
            // an old server rejects unknown methods, or does not respond
            (_, Opening::Stateless) => match timeout(discover_limit, self.discover()).await {
                Err(_) | Ok(Err(ChildError::Refused { .. })) => {
                    (INITIALIZE, self.initialize(&handshake(mcp::HANDSHAKE, &json!({}))).await?)
                }
                Ok(discovered) => (DISCOVER, discovered?),
            },
        };
        self.initialize_result = self.checked_result(what, &result)?;
        Ok(())
    }

    fn checked_result(&self, what: &str, result: &RawValue) -> Result<Value, ChildError> {
        let (role, what) = (self.role, what.to_owned());
        let value = match value_of(result) {
            Ok(value) => value,
            Err(problem) => return Err(ChildError::Unreadable { role, what, problem }),
        };
        if !value.is_object() {
            return Err(ChildError::InvalidResult { role, what, problem: "it is not an object" });
        }
        if value.get("capabilities").is_some_and(|capabilities| !capabilities.is_object()) {
            return Err(ChildError::InvalidResult {
                role,
                what,
                problem: "its `capabilities` are no object",
            });
        }
        Ok(value)
    }

    async fn initialize(&mut self, params: &RawValue) -> Result<Box<RawValue>, ChildError> {
        self.era = Era::Handshake;
        let result = self.request(INITIALIZE, params).await?;
        self.notify("notifications/initialized", None);
        self.flush().await?;
        Ok(result)
    }

    async fn discover(&mut self) -> Result<Box<RawValue>, ChildError> {
        self.era = Era::Stateless;
        let meta = mcp::stateless_meta(&client_info(), &json!({}));
        self.request(DISCOVER, &json!({"_meta": meta})).await
    }

    /// One request and its response, with no other request in flight.
    async fn request(
        &mut self,
        method: &str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<Box<RawValue>, ChildError> {
        let asked = self.post(method, params);
        loop {
            if let Incoming::Answer { id, outcome } = self.next().await?
                && id == asked
            {
                return outcome.map_err(|error| ChildError::Refused {
                    role: self.role,
                    what: method.to_owned(),
                    error: Box::new(error),
                });
            }
        }
    }

    /// The era of MCP that the child was initialized in.
    pub fn era(&self) -> Era {
        self.era
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn call_limit(&self) -> Duration {
        self.call_limit
    }

    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// What the child answered when it was started: `initialize`'s result, or a scorer process's
    /// `list`.
    pub fn initialize_result(&self) -> &Value {
        &self.initialize_result
    }

    /// Queues a request and gives its id; it is sent by the next `next` or `flush`.
    pub fn post(&mut self, method: &str, params: impl Serialize) -> u64 {
        let id = self.next_id;
        self.post_as(id, method, params);
        id
    }

    /// Like `post`, with an id that the caller chose, from `next_id` on.
    pub fn post_as(&mut self, id: u64, method: &str, params: impl Serialize) {
        self.next_id = self.next_id.max(id + 1);
        self.queue(&Request { jsonrpc: "2.0", id, method, params });
    }

    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    pub fn notify(&mut self, method: &str, params: Option<&RawValue>) {
        self.queue(&Notification { jsonrpc: "2.0", method, params });
    }

    /// Notifies the child that a request is cancelled.
    pub fn cancel(&mut self, id: u64, reason: &str) {
        let params =
            to_raw_value(&json!({"requestId": id, "reason": reason})).expect("JSON serialises");
        self.notify("notifications/cancelled", Some(&params));
    }

    fn queue(&mut self, frame: &impl Serialize) {
        serde_json::to_writer(&mut self.outgoing, frame).expect("our frames serialise");
        self.outgoing.push(b'\n');
    }

    /// Receives the next message of the child, sending queued frames meanwhile. Cancel-safe.
    pub async fn next(&mut self) -> Result<Incoming, ChildError> {
        loop {
            if let Some(incoming) = self.try_next()? {
                return Ok(incoming);
            }
            self.pump().await?;
        }
    }

    /// The next message already received.
    pub fn try_next(&mut self) -> Result<Option<Incoming>, ChildError> {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Ok(Some(answer));
            }
            let Some((start, end)) = self.take_line() else { return Ok(None) };
            if let Some(incoming) = self.read_frame(start, end)? {
                return Ok(Some(incoming));
            }
        }
    }

    /// Sends queued frames, without waiting for a response.
    pub async fn flush(&mut self) -> Result<(), ChildError> {
        while self.written < self.outgoing.len() {
            self.pump().await?;
        }
        Ok(())
    }

    /// Moves some bytes, in whichever direction can.
    async fn pump(&mut self) -> Result<(), ChildError> {
        if self.written == self.outgoing.len() {
            self.outgoing.clear();
            self.written = 0;
        }
        if self.line_start > 0 {
            self.incoming.drain(..self.line_start);
            self.scanned -= self.line_start;
            self.line_start = 0;
        }
        self.incoming.reserve(READ_CHUNK);
        let pending = self.written < self.outgoing.len();
        tokio::select! {
            biased;
            wrote = self.stdin.write(&self.outgoing[self.written..]), if pending => match wrote {
                Ok(count) => self.written += count,
                // a closed pipe: the child's last output explains more, so continue reading
                Err(_) => self.written = self.outgoing.len(),
            },
            read = self.stdout.read_buf(&mut self.incoming) => if read.unwrap_or(0) == 0 {
                return Err(self.died().await);
            },
        }
        if self.incoming.len() - self.line_start > FRAME_LIMIT {
            return Err(self.broke_protocol(
                &format!("a line of more than {} MiB", FRAME_LIMIT >> 20),
                self.line_start,
                self.line_start + SHOWN,
            ));
        }
        Ok(())
    }

    /// The bounds of the next complete line, without its newline.
    fn take_line(&mut self) -> Option<(usize, usize)> {
        let found = self.incoming[self.scanned..].iter().position(|byte| *byte == b'\n');
        let Some(offset) = found else {
            self.scanned = self.incoming.len();
            return None;
        };
        let (start, end) = (self.line_start, self.scanned + offset);
        self.line_start = end + 1;
        self.scanned = end + 1;
        Some((start, end))
    }

    /// Classifies a line; `None` for what is answered or skipped here.
    fn read_frame(&mut self, start: usize, end: usize) -> Result<Option<Incoming>, ChildError> {
        let line = self.incoming[start..end].trim_ascii();
        if line.is_empty() {
            return Ok(None);
        }
        let incoming = match rpc::read(line) {
            Line::Answer { id, outcome } if id < self.next_id => {
                Incoming::Answer { id, outcome: outcome.map(ToOwned::to_owned) }
            }
            Line::Notification { method, frame } => {
                Incoming::Notification { method, frame: frame.to_owned() }
            }
            Line::Request { id, method, params } => {
                let (id, params) = (id.to_owned(), params.map(ToOwned::to_owned));
                self.noise = 0;
                if self.forwards_requests && method != "ping" {
                    return Ok(Some(Incoming::Request { id, method, params }));
                }
                self.answer(&method, &id);
                return Ok(None);
            }
            Line::Wrong { ids, problem } if ids.iter().any(|id| *id < self.next_id) => {
                let answers: Vec<_> = ids
                    .into_iter()
                    .filter(|id| *id < self.next_id)
                    .map(|id| self.unreadable(id, &problem))
                    .collect();
                self.answers.extend(answers);
                return Ok(self.answers.pop_front());
            }
            Line::Answer { .. } | Line::Wrong { .. } => {
                return self.skip(start, end, "it answers no request");
            }
            Line::Torn => return Err(self.broke_protocol("half a frame on a line", start, end)),
            Line::Noise(why) => return self.skip(start, end, why),
        };
        self.noise = 0;
        Ok(Some(incoming))
    }

    /// The answer that a wrong line is to the request it names.
    fn unreadable(&self, id: u64, problem: &str) -> Incoming {
        let message = format!("the answer of the {} cannot be read: {problem}", self.role);
        Incoming::Answer { id, outcome: Err(RpcError::new(INTERNAL_ERROR, message)) }
    }

    /// Skips lines that are not frames, as the official clients do, up to a limit.
    fn skip(
        &mut self,
        start: usize,
        end: usize,
        why: &str,
    ) -> Result<Option<Incoming>, ChildError> {
        self.noise += end - start;
        if self.noise > NOISE_LIMIT {
            let problem =
                format!("more than {} KiB on its stdout that are no JSON-RPC", NOISE_LIMIT >> 10);
            return Err(self.broke_protocol(&problem, start, end));
        }
        if let Some(skipping) = &self.skipping {
            skipping.skipped(
                self.role,
                &shortened(&String::from_utf8_lossy(&self.incoming[start..end])),
                why,
            );
        }
        Ok(None)
    }

    /// A child's own requests: a ping is answered, and there are no roots; sampling and the like
    /// are not offered.
    fn answer(&mut self, method: &str, id: &RawValue) {
        let offered = match method {
            "ping" => json!({}),
            "roots/list" => json!({"roots": []}),
            _ => return self.reply(id, Err(&not_offered(method))),
        };
        self.reply(id, Ok(&to_raw_value(&offered).expect("JSON serialises")));
    }

    /// Answers a request of the child.
    pub fn reply(&mut self, id: &RawValue, outcome: Result<&RawValue, &RpcError>) {
        match outcome {
            Ok(result) => {
                self.queue(&Reply { jsonrpc: "2.0", id, result: Some(result), error: None });
            }
            Err(error) => {
                self.queue(&Reply { jsonrpc: "2.0", id, result: None, error: Some(error) });
            }
        }
    }

    fn broke_protocol(&self, problem: &str, start: usize, end: usize) -> ChildError {
        ChildError::ProtocolViolation {
            role: self.role,
            command: self.command.clone(),
            problem: problem.to_owned(),
            line: shortened(&String::from_utf8_lossy(&self.incoming[start..end])),
            stderr: self.process.stderr_tail(),
        }
    }

    async fn died(&mut self) -> ChildError {
        let status = match self.process.wait_a_little().await {
            Some(status) => status.to_string(),
            None => "it closed its stdout and did not exit".to_owned(),
        };
        ChildError::Died {
            role: self.role,
            command: self.command.clone(),
            status,
            stderr: self.process.stderr_tail(),
            memory: self.memory,
        }
    }

    /// Ends the child and all it started.
    pub async fn end(self) {
        drop((self.stdin, self.stdout));
        self.process.end().await;
    }
}

fn not_started(role: Role, error: &ProcessError) -> ChildError {
    let cause =
        std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    ChildError::NotStarted { role, reason: format!("{error}{cause}") }
}

fn shortened(line: &str) -> String {
    let line = line.trim();
    if line.chars().count() <= SHOWN {
        return line.to_owned();
    }
    format!("{}...", line.chars().take(SHOWN).collect::<String>())
}
