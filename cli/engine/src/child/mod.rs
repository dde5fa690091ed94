//! A child shared by many callers: requests are sent as they arrive, responses are matched to
//! callers by id.

pub mod link;

pub use crate::child::link::{
    ChildError, ChildSpec, Opening, Role, RpcError, Skipping, client_info, not_offered,
};
use crate::child::link::{Incoming, Link};
use crate::world::event_loop::Timers;
use crate::world::unwinding::OnPanic;
pub use agent_core::protocol::call_result::CallResult;
use agent_core::protocol::call_result::{Unreadable, value_of};
use agent_core::protocol::mcp;
pub use agent_core::protocol::mcp::Era;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// A paginated list with more pages than this is treated as endless.
const PAGES: usize = 1000;
/// Server-initiated messages that wait for their receiver; more are dropped.
const MESSAGES_KEPT: usize = 1024;

/// The parameters of `tools/call`.
#[derive(Debug, Serialize)]
pub struct CallParams<'a> {
    pub name: &'a str,
    pub arguments: &'a Value,
    #[serde(rename = "_meta", skip_serializing_if = "Map::is_empty")]
    pub meta: &'a Map<String, Value>,
}

type Outcome = Result<Box<RawValue>, RpcError>;

enum Outgoing {
    Request { id: u64, method: String, params: Box<RawValue>, reply: oneshot::Sender<Outcome> },
    Notify { method: String, params: Option<Box<RawValue>> },
    Cancel { id: u64 },
    Reply { id: Box<RawValue>, outcome: Outcome },
}

/// A server-initiated message.
#[derive(Debug)]
pub enum ServerMessage {
    /// Progress, log messages, changed lists: the received frame.
    Notification { method: String, frame: Box<RawValue> },
    /// It waits for `Child::reply`.
    Request { id: Box<RawValue>, method: String, params: Option<Box<RawValue>> },
}

/// A running child. Dropping it ends its process group.
pub struct Child {
    role: Role,
    call_limit: Duration,
    tool_limits: BTreeMap<String, Duration>,
    timers: Timers,
    era: Era,
    initialize_result: Value,
    process_id: Option<u32>,
    next_id: AtomicU64,
    /// Requests of the child without a response: while there are any, its timeout is suspended.
    pending_requests: Arc<AtomicUsize>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    /// Set once, when the child exited or broke protocol.
    failure: Arc<OnceLock<ChildError>>,
    driver: JoinHandle<()>,
    messages: Option<mpsc::Receiver<ServerMessage>>,
}

impl Child {
    /// Starts a child and waits until it is ready.
    pub async fn start(spec: &ChildSpec) -> Result<Self, ChildError> {
        Ok(Self::over(Link::start(spec).await?, spec))
    }

    /// Like `start`, with another opening of the session.
    pub async fn start_as(spec: &ChildSpec, opening: &Opening) -> Result<Self, ChildError> {
        Ok(Self::over(Link::start_as(spec, opening).await?, spec))
    }

    /// Starts a child on behalf of a host; see [`Link::open`].
    pub async fn open(spec: &ChildSpec, opening: &Opening) -> Result<Self, ChildError> {
        Ok(Self::over(Link::open(spec, opening).await?, spec))
    }

    fn over(link: Link, spec: &ChildSpec) -> Self {
        let (outgoing, queue) = mpsc::unbounded_channel();
        let (message_sender, messages) = mpsc::channel(MESSAGES_KEPT);
        let failure = Arc::new(OnceLock::new());
        let pending_requests = Arc::new(AtomicUsize::new(0));
        Self {
            role: spec.role,
            call_limit: spec.call_limit,
            tool_limits: spec.tool_limits.clone(),
            timers: Timers::default(),
            era: link.era(),
            initialize_result: link.initialize_result().clone(),
            process_id: link.process_id(),
            next_id: AtomicU64::new(link.next_id()),
            pending_requests: Arc::clone(&pending_requests),
            outgoing,
            failure: Arc::clone(&failure),
            driver: tokio::spawn(drive(
                Driver {
                    link,
                    messages: message_sender,
                    pending_requests,
                    callers: HashMap::new(),
                },
                queue,
                failure,
                spec.role,
            )),
            messages: Some(messages),
        }
    }

    /// The era of MCP that it was initialized in.
    pub fn era(&self) -> Era {
        self.era
    }

    /// What the child answered to `initialize`, or to `server/discover`.
    pub fn initialize_result(&self) -> &Value {
        &self.initialize_result
    }

    pub fn process_id(&self) -> Option<u32> {
        self.process_id
    }

    /// Its server-initiated messages; can be taken once.
    pub fn take_messages(&mut self) -> Option<mpsc::Receiver<ServerMessage>> {
        self.messages.take()
    }

    /// Answers a request of the child.
    pub fn reply(&self, id: Box<RawValue>, outcome: Result<Box<RawValue>, RpcError>) {
        let _ = self.outgoing.send(Outgoing::Reply { id, outcome });
    }

    /// Why no call will succeed any more, once that is so.
    pub fn failure(&self) -> Option<&ChildError> {
        self.failure.get()
    }

    /// The failure of a child that has exited.
    pub fn exit_error(&self) -> ChildError {
        self.failure().cloned().unwrap_or(ChildError::ReaderFailed { role: self.role })
    }

    /// Resolves when no call will succeed any more.
    pub async fn gone(&self) {
        self.outgoing.closed().await;
    }

    /// Calls a tool. A tool's own error is a result with `is_error()`.
    pub async fn call(
        &self,
        tool: &str,
        arguments: &Value,
        meta: Map<String, Value>,
    ) -> Result<CallResult, ChildError> {
        let params = CallParams { name: tool, arguments, meta: &meta };
        let result = self.exchange("tools/call", tool, raw(&params)).await?;
        self.readable(tool, CallResult::parse(result))
    }

    /// Any other request.
    pub async fn request(&self, method: &str, params: Value) -> Result<Value, ChildError> {
        let result = self.exchange(method, method, raw(&params)).await?;
        self.readable(method, value_of(&result))
    }

    /// An answer to `what`, or the error that it is unreadable.
    pub fn readable<T>(&self, what: &str, read: Result<T, Unreadable>) -> Result<T, ChildError> {
        read.map_err(|problem| ChildError::Unreadable {
            role: self.role,
            what: what.to_owned(),
            problem,
        })
    }

    /// An id for a request of this child that is still to be made.
    pub fn fresh_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A request whose parameters and result pass as the bytes they are.
    pub async fn pass(
        &self,
        method: &str,
        params: Box<RawValue>,
    ) -> Result<Box<RawValue>, ChildError> {
        self.exchange(method, method, params).await
    }

    /// Like `pass`, under an id from `fresh_id`.
    pub async fn pass_as(
        &self,
        id: u64,
        method: &str,
        params: Box<RawValue>,
    ) -> Result<Box<RawValue>, ChildError> {
        self.exchange_as(id, method, method, params).await
    }

    /// Like `pass_as`, for `tools/call`; failures name the tool.
    pub async fn pass_call(
        &self,
        id: u64,
        tool: &str,
        params: Box<RawValue>,
    ) -> Result<CallResult, ChildError> {
        let result = self.exchange_as(id, "tools/call", tool, params).await?;
        self.readable(tool, CallResult::parse(result))
    }

    /// A request without a time limit.
    pub async fn listen(
        &self,
        id: u64,
        method: &str,
        params: Box<RawValue>,
    ) -> Result<Box<RawValue>, ChildError> {
        let mut waiting = self.post(id, method, params);
        let answer = (&mut waiting.answer).await;
        waiting.cancels = false;
        self.answered(answer.ok(), method)
    }

    pub fn notify(&self, method: &str, params: Option<Box<RawValue>>) {
        // an exited child needs no notification
        let _ = self.outgoing.send(Outgoing::Notify { method: method.to_owned(), params });
    }

    /// The cheapest request of the era of MCP that it was initialized in.
    pub async fn sign_of_life(&self) -> Result<(), ChildError> {
        let (method, params) = match self.era {
            Era::Handshake => ("ping", json!({})),
            Era::Stateless => (
                "server/discover",
                json!({"_meta": mcp::stateless_meta(&client_info(), &json!({}))}),
            ),
        };
        self.request(method, params).await.map(drop)
    }

    /// All tools, page by page.
    pub async fn tools(&self) -> Result<Vec<Value>, ChildError> {
        self.list("tools/list", "tools").await
    }

    /// All of one of the server's lists, page by page.
    pub async fn list(&self, method: &str, member: &str) -> Result<Vec<Value>, ChildError> {
        let mut listed = Vec::new();
        let mut cursor = None;
        for _ in 0..PAGES {
            let mut params = cursor.as_ref().map_or_else(Map::new, |cursor: &Value| {
                Map::from_iter([("cursor".to_owned(), cursor.clone())])
            });
            if self.era == Era::Stateless {
                params.insert("_meta".to_owned(), mcp::stateless_meta(&client_info(), &json!({})));
            }
            let page = self.request(method, Value::Object(params)).await?;
            listed.extend(
                page[member]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|item| item.is_object())
                    .cloned(),
            );
            let next = page.get("nextCursor").filter(|next| next.is_string()).cloned();
            if next.is_none() || next == cursor {
                return Ok(listed);
            }
            cursor = next;
        }
        Err(ChildError::InvalidResult {
            role: self.role,
            what: method.to_owned(),
            problem: "the list has no end",
        })
    }

    async fn exchange(
        &self,
        method: &str,
        what: &str,
        params: Box<RawValue>,
    ) -> Result<Box<RawValue>, ChildError> {
        self.exchange_as(self.fresh_id(), method, what, params).await
    }

    async fn exchange_as(
        &self,
        id: u64,
        method: &str,
        what: &str,
        params: Box<RawValue>,
    ) -> Result<Box<RawValue>, ChildError> {
        let limit = self.tool_limits.get(what).copied().unwrap_or(self.call_limit);
        let mut waiting = self.post(id, method, params);
        let answer = loop {
            match self.timers.timeout(limit, &mut waiting.answer).await {
                Some(answer) => break answer,
                // it waits for an answer of its client, perhaps for user input
                None if self.pending_requests.load(Ordering::Relaxed) > 0 => {}
                None => {
                    return Err(ChildError::TimedOut {
                        role: self.role,
                        what: what.to_owned(),
                        limit,
                    });
                }
            }
        };
        waiting.cancels = false;
        self.answered(answer.ok(), what)
    }

    fn post(&self, id: u64, method: &str, params: Box<RawValue>) -> Waiting<'_> {
        let (reply, answer) = oneshot::channel();
        let _ =
            self.outgoing.send(Outgoing::Request { id, method: method.to_owned(), params, reply });
        Waiting { id, outgoing: &self.outgoing, cancels: true, answer }
    }

    fn answered(&self, answer: Option<Outcome>, what: &str) -> Result<Box<RawValue>, ChildError> {
        let outcome = answer.ok_or_else(|| self.exit_error())?;
        outcome.map_err(|error| ChildError::Refused {
            role: self.role,
            what: what.to_owned(),
            error: Box::new(error),
        })
    }

    /// Ends the child and all it started.
    pub async fn end(self) {
        drop(self.outgoing);
        let _ = self.driver.await;
    }
}

fn raw(params: &impl Serialize) -> Box<RawValue> {
    to_raw_value(params).expect("our parameters serialise")
}

/// A request that waits for its answer. It is cancelled at the child when it is dropped before
/// that.
struct Waiting<'a> {
    id: u64,
    outgoing: &'a mpsc::UnboundedSender<Outgoing>,
    cancels: bool,
    answer: oneshot::Receiver<Outcome>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.cancels {
            let _ = self.outgoing.send(Outgoing::Cancel { id: self.id });
        }
    }
}

struct Driver {
    link: Link,
    messages: mpsc::Sender<ServerMessage>,
    pending_requests: Arc<AtomicUsize>,
    callers: HashMap<u64, oneshot::Sender<Outcome>>,
}

/// Owns the link until all callers are dropped or the child has exited.
async fn drive(
    mut driver: Driver,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    failure: Arc<OnceLock<ChildError>>,
    role: Role,
) {
    let cause = Arc::clone(&failure);
    let _panicked = OnPanic::new(move || drop(cause.set(ChildError::ReaderFailed { role })));
    let error = loop {
        tokio::select! {
            message = outgoing.recv() => match message {
                None => return driver.link.end().await,
                Some(message) => {
                    driver.send(message);
                    // queued frames are sent in the same write
                    for _ in 0..outgoing.len() {
                        outgoing.try_recv().into_iter().for_each(|message| driver.send(message));
                    }
                }
            },
            incoming = driver.link.next() => match incoming {
                Ok(incoming) => driver.receive(incoming),
                Err(error) => break error,
            },
        }
    };
    let _ = failure.set(error);
}

impl Driver {
    fn send(&mut self, message: Outgoing) {
        match message {
            Outgoing::Request { id, method, params, reply } => {
                self.link.post_as(id, &method, params);
                self.callers.insert(id, reply);
            }
            Outgoing::Notify { method, params } => self.link.notify(&method, params.as_deref()),
            Outgoing::Cancel { id } => {
                if self.callers.remove(&id).is_some() {
                    self.link.cancel(id, "nothing waits for its answer any more");
                }
            }
            Outgoing::Reply { id, outcome } => {
                self.pending_requests.fetch_sub(1, Ordering::Relaxed);
                self.link.reply(&id, outcome.as_deref());
            }
        }
    }

    fn receive(&mut self, incoming: Incoming) {
        match incoming {
            // an answer to a cancelled request has no caller
            Incoming::Answer { id, outcome } => {
                if let Some(reply) = self.callers.remove(&id) {
                    let _ = reply.send(outcome);
                }
            }
            Incoming::Notification { method, frame } => {
                let _ = self.messages.try_send(ServerMessage::Notification { method, frame });
            }
            Incoming::Request { id, method, params } => {
                self.pending_requests.fetch_add(1, Ordering::Relaxed);
                if let Err(undelivered) =
                    self.messages.try_send(ServerMessage::Request { id, method, params })
                    && let ServerMessage::Request { id, method, .. } = undelivered.into_inner()
                {
                    self.pending_requests.fetch_sub(1, Ordering::Relaxed);
                    self.link.reply(&id, Err(&not_offered(&method)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::event_loop;
    use agent_core::formats::diagnose::{Diagnose as _, FailureKind};
    use agent_core::formats::manifest::Limits;
    use std::time::Instant;

    /// A small independent MCP server; each tool shows one correct or faulty behaviour.
    const SERVER: &str = r#"
import json, os, signal, subprocess, sys, threading, time
def answer(id, result):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}) + "\n"); sys.stdout.flush()
def text(value): return {"content": [{"type": "text", "text": value}], "extra": 1.10}
for line in sys.stdin:
    frame = json.loads(line)
    method, id, params = frame["method"], frame.get("id"), frame.get("params", {})
    if method == "initialize": answer(id, {"protocolVersion": params["protocolVersion"], "capabilities": {}, "serverInfo": {"name": "t", "version": "1"}})
    elif method == "notifications/cancelled": answer(99999 if params["requestId"] < 0 else held.pop(params["requestId"]), text("late"))
    elif method == "tools/list":
        page = int(params.get("cursor", 0))
        answer(id, {"tools": [{"name": f"t{page}"}], **({"nextCursor": str(page + 1)} if page < 2 else {})})
    elif method == "tools/call":
        tool, arguments = params["name"], params["arguments"]
        if tool == "echo": answer(id, text(json.dumps([arguments, params.get("_meta")])))
        elif tool == "slow": threading.Timer(0.05, answer, (id, text("slow"))).start()
        elif tool == "hang": held = {id: id}
        elif tool == "print": print("debugging\n{not: json}"); answer(id, text("printed"))
        elif tool == "two": print(json.dumps({"jsonrpc": "2.0", "id": id, "result": 1, "error": 2})); sys.stdout.flush()
        elif tool == "nan": answer(id, {"structuredContent": {"x": float("nan")}})
        elif tool == "half a pair": answer(id, text("\ud83d"))
        elif tool == "deep": print('{"jsonrpc": "2.0", "id": %d, "result": {"structuredContent": %s}}' % (id, "[" * 200 + "]" * 200)); sys.stdout.flush()
        elif tool == "twice": print('{"jsonrpc": "2.0", "id": %d, "result": {"_meta": {}, "_meta": {}}}' % id); sys.stdout.flush()
        elif tool == "odd error": print('{"jsonrpc": "2.0", "id": %d, "error": {"code": 1e999, "message": "no"}}' % id); sys.stdout.flush()
        elif tool == "half": print('{"jsonrpc": "2.0", "id": %d, "res' % id); sys.stdout.flush()
        elif tool == "flood": print("line\n" * 20000); sys.stdout.flush()
        elif tool == "die": print("out of memory", file=sys.stderr); sys.stderr.flush(); os.kill(os.getpid(), signal.SIGSEGV)
        elif tool == "leave": sys.exit(7)
        elif tool == "spawn": answer(id, text(str(subprocess.Popen(["sleep", "1000"]).pid)))
        else: print(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "no such tool"}})); sys.stdout.flush()
"#;

    fn spec(script: &str) -> ChildSpec {
        let limits = Limits { start_s: 5.0, call_s: 5.0, ..Limits::default() };
        ChildSpec::new(
            Role::Runner,
            vec!["python3".into(), "-c".into(), script.into()],
            ".",
            &limits,
        )
    }

    fn with_child<T>(spec: &ChildSpec, work: impl AsyncFnOnce(&Child) -> T) -> T {
        event_loop::block_on(async {
            let child = Child::start(spec).await.unwrap();
            let outcome = work(&child).await;
            child.end().await;
            outcome
        })
        .unwrap()
    }

    async fn call(child: &Child, tool: &str) -> Result<String, ChildError> {
        child
            .call(tool, &json!({"a": 1}), Map::new())
            .await
            .and_then(|result| child.readable(tool, result.answer()))
            .map(|answer| answer.text())
    }

    #[test]
    fn responses_are_matched_to_requests_in_any_order() {
        let meta = Map::from_iter([("dev.agentvc/state".to_owned(), json!({"revision": "r"}))]);
        with_child(&spec(SERVER), async |child| {
            let arguments = json!({"b": 2, "a": "é\n"});
            let (slow, quick) =
                tokio::join!(call(child, "slow"), child.call("echo", &arguments, meta));
            assert_eq!(slow.unwrap(), "slow");
            let quick = quick.unwrap();
            assert_eq!(
                quick.answer().unwrap().text(),
                r#"[{"b": 2, "a": "\u00e9\n"}, {"dev.agentvc/state": {"revision": "r"}}]"#
            );
            assert!(quick.raw().get().contains(r#""extra": 1.1"#));
            let tools = child.tools().await.unwrap();
            assert_eq!(
                tools,
                [json!({"name": "t0"}), json!({"name": "t1"}), json!({"name": "t2"})]
            );
        });
    }

    /// The outcomes of a call of a misbehaving tool, and of the call after it.
    fn check(tool: &str, expected: &[&str]) {
        with_child(&spec(SERVER), async |child| {
            let first = call(child, tool).await.unwrap_err();
            for part in expected {
                assert!(first.to_string().contains(part), "{tool}: {first}");
            }
            assert_eq!(first.kind(), FailureKind::Child);
            let second = call(child, "echo").await.unwrap_err();
            assert_eq!(second.to_string(), first.to_string(), "a broken child stays broken");
        });
    }

    #[test]
    fn child_failure_reports_the_cause() {
        check("half", &["broke protocol: half a frame on a line", r#""res"#]);
        check(
            "flood",
            &["broke protocol: more than 64 KiB on its stdout that are no JSON-RPC: line"],
        );
        check("die", &["ended unexpectedly: signal: 11 (SIGSEGV)", "out of memory"]);
        check("leave", &["ended unexpectedly: exit status: 7"]);
    }

    /// A malformed response fails only its own call: the outcome of the call, while others
    /// continue.
    #[test]
    fn malformed_response_fails_only_its_request() {
        with_child(&spec(SERVER), async |child| {
            for (tool, expected) in [
                (
                    "two",
                    "refused `two`: the answer of the Runner cannot be read: it has a `result` and \
                    an `error`",
                ),
                ("nan", "refused `nan`: the answer of the Runner cannot be read: expected value"),
                (
                    "half a pair",
                    "answered `half a pair` with JSON that cannot be read: unexpected end of hex \
                    escape",
                ),
                ("deep", "answered `deep` with JSON that cannot be read: recursion limit exceeded"),
                (
                    "twice",
                    "answered `twice` with JSON that cannot be read: the member `_meta` appears \
                    there twice",
                ),
                ("odd error", "refused `odd error`: no (code -32603)"),
            ] {
                let slow = call(child, "slow");
                let (wrong, slow) = tokio::join!(call(child, tool), slow);
                let error = wrong.unwrap_err();
                assert!(error.to_string().contains(expected), "{tool}: {error}");
                assert_eq!((error.kind(), slow.unwrap()), (FailureKind::Child, "slow".to_owned()));
            }
        });
    }

    #[test]
    fn tool_result_bytes_are_passed_through() {
        with_child(&spec(SERVER), async |child| {
            let params = raw(&json!({"name": "half a pair", "arguments": {}}));
            let passed = child.pass_call(child.fresh_id(), "half a pair", params).await.unwrap();
            assert!(passed.raw().get().contains(r#""text": "\ud83d""#), "{}", passed.raw());
        });
    }

    #[test]
    fn stdout_banner_is_skipped_with_one_warning() {
        let (sender, received) = std::sync::mpsc::channel();
        let listener = |kind: &'static str| -> crate::world::child_process::Listener {
            let sender = sender.clone();
            Arc::new(move |line: &str| drop(sender.send(format!("{kind}: {line}"))))
        };
        let mut spec = spec(&format!("print('Server started')\n{SERVER}"));
        spec.skipping = Some(Skipping::new(listener("warning"), listener("log")));
        with_child(&spec, async |child| assert_eq!(call(child, "print").await.unwrap(), "printed"));
        let received: Vec<_> = received.try_iter().collect();
        assert_eq!(
            received,
            [
                "log: skipped a line on the stdout of the Runner, it is not a JSON object: Server \
                started",
                "warning: the Runner printed a line that is not JSON-RPC on its stdout; such lines \
                are skipped: Server started",
                "log: skipped a line on the stdout of the Runner, it is not a JSON object: \
                debugging",
                "log: skipped a line on the stdout of the Runner, it is not JSON: {not: json}",
            ]
        );
    }

    #[test]
    fn invalid_initialize_result_is_refused() {
        for (result, expected) in [
            ("7", "answered `initialize` with a result that is not valid MCP: it is not an object"),
            (r#"{"capabilities": "tools"}"#, "its `capabilities` are no object"),
            (
                r#"{"serverInfo": {"name": "\ud83d"}}"#,
                "answered `initialize` with JSON that cannot be read",
            ),
        ] {
            let script = format!(
                "input(); print('{{\"jsonrpc\": \"2.0\", \"id\": 0, \"result\": ' + \
                r'''{result}''' + '}}'); input()"
            );
            let error = event_loop::block_on(async {
                Child::start(&spec(&script)).await.err().unwrap().to_string()
            })
            .unwrap();
            assert!(error.contains(expected), "{result}: {error}");
        }
    }

    #[test]
    fn timed_out_call_is_cancelled_at_the_child() {
        let mut spec = spec(SERVER);
        spec.call_limit = Duration::from_millis(300);
        with_child(&spec, async |child| {
            let error = call(child, "hang").await.unwrap_err();
            assert_eq!(error.to_string(), "the Runner did not answer `hang` within 0.3 s");
            // the late response after the cancellation is ignored; the child continues
            assert!(call(child, "echo").await.is_ok());
        });
    }

    #[test]
    fn error_response_fails_only_its_request() {
        with_child(&spec(SERVER), async |child| {
            let error = call(child, "bogus").await.unwrap_err();
            assert_eq!(error.to_string(), "the Runner refused `bogus`: no such tool (code -32602)");
            assert!(call(child, "echo").await.is_ok());
        });
    }

    #[test]
    fn startup_timeout_is_reported() {
        let start = |spec: ChildSpec| {
            event_loop::block_on(
                async move { Child::start(&spec).await.err().unwrap().to_string() },
            )
            .unwrap()
        };
        let mut silent = spec(
            "import sys, time; print('importing', file=sys.stderr, flush=True); time.sleep(1000)",
        );
        silent.start_limit = Duration::from_millis(500);
        let began = Instant::now();
        let error = start(silent);
        assert!(
            error.contains("was not ready after 0.5 s") && error.contains("importing"),
            "{error}"
        );
        assert!(began.elapsed() < Duration::from_secs(4));

        assert!(start(spec("raise SystemExit('no module named x')")).contains("no module named x"));
        let mut missing = spec("");
        missing.command = vec!["/nowhere/python".into()];
        assert!(start(missing).contains("cannot be started"));
    }

    #[test]
    fn process_group_is_terminated() {
        let grandchild =
            with_child(&spec(SERVER), async |child| call(child, "spawn").await.unwrap());
        let gone = || {
            !std::path::Path::new("/proc")
                .join(&grandchild)
                .join("fd")
                .read_dir()
                .is_ok_and(|mut files| files.next().is_some())
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while !gone() {
            assert!(Instant::now() < deadline, "process {grandchild} lives on");
            std::thread::yield_now();
        }
    }
}
