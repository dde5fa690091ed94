//! A child that many callers share: requests go out as they come, answers find their caller by id.

pub use crate::runner::link::{ChildError, ChildSpec, Role, RpcError};
use crate::runner::link::{Incoming, Link};
pub use agent_core::call_result::CallResult;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Notifications nobody takes are dropped beyond this many.
const NOTIFICATIONS_KEPT: usize = 256;

/// The parameters of `tools/call`.
#[derive(Debug, Serialize)]
pub struct CallParams<'a> {
    pub name: &'a str,
    pub arguments: &'a Value,
    #[serde(rename = "_meta", skip_serializing_if = "Map::is_empty")]
    pub meta: &'a Map<String, Value>,
}

type Outcome = Result<Box<RawValue>, RpcError>;

enum Order {
    Request { id: u64, method: String, params: Box<RawValue>, reply: oneshot::Sender<Outcome> },
    Notify { method: String, params: Option<Value> },
    Cancel { id: u64 },
}

/// A running child. Dropping it ends its process group.
pub struct Child {
    role: Role,
    call_limit: Duration,
    greeting: Value,
    process_id: Option<u32>,
    next_id: AtomicU64,
    orders: mpsc::UnboundedSender<Order>,
    /// Set once, when the child died or broke protocol.
    failure: Arc<OnceLock<ChildError>>,
    driver: JoinHandle<()>,
    notifications: Option<mpsc::Receiver<Box<RawValue>>>,
}

impl Child {
    /// Starts a child and waits until it is ready.
    pub async fn start(spec: &ChildSpec) -> Result<Self, ChildError> {
        let link = Link::start(spec).await?;
        let (orders, order_queue) = mpsc::unbounded_channel();
        let (notify, notifications) = mpsc::channel(NOTIFICATIONS_KEPT);
        let failure = Arc::new(OnceLock::new());
        Ok(Self {
            role: spec.role,
            call_limit: spec.call_limit,
            greeting: link.greeting().clone(),
            process_id: link.process_id(),
            next_id: AtomicU64::new(link.next_id()),
            orders,
            failure: Arc::clone(&failure),
            driver: tokio::spawn(drive(link, order_queue, notify, failure)),
            notifications: Some(notifications),
        })
    }

    /// What the child answered to `initialize`.
    pub fn greeting(&self) -> &Value {
        &self.greeting
    }

    pub fn process_id(&self) -> Option<u32> {
        self.process_id
    }

    /// The child's notifications (progress, log messages, changed lists) as whole frames; can be taken once.
    pub fn take_notifications(&mut self) -> Option<mpsc::Receiver<Box<RawValue>>> {
        self.notifications.take()
    }

    /// Why no call will succeed any more, once that is so.
    pub fn failure(&self) -> Option<&ChildError> {
        self.failure.get()
    }

    /// Calls a tool. A tool's own error is a result with `is_error()`.
    pub async fn call(&self, tool: &str, arguments: &Value, meta: Map<String, Value>) -> Result<CallResult, ChildError> {
        let params = CallParams { name: tool, arguments, meta: &meta };
        self.exchange("tools/call", tool, raw(&params)).await.map(CallResult::parse)
    }

    /// Any other request.
    pub async fn request(&self, method: &str, params: Value) -> Result<Value, ChildError> {
        let result = self.exchange(method, method, raw(&params)).await?;
        Ok(serde_json::from_str(result.get()).expect("a raw value is JSON"))
    }

    /// A request whose parameters and result pass as the bytes they are.
    pub async fn pass(&self, method: &str, params: Box<RawValue>) -> Result<Box<RawValue>, ChildError> {
        self.exchange(method, method, params).await
    }

    /// The same for `tools/call`; failures name the tool.
    pub async fn pass_call(&self, tool: &str, params: Box<RawValue>) -> Result<CallResult, ChildError> {
        self.exchange("tools/call", tool, params).await.map(CallResult::parse)
    }

    pub fn notify(&self, method: &str, params: Option<Value>) {
        // a child that is gone needs no notification
        let _ = self.orders.send(Order::Notify { method: method.to_owned(), params });
    }

    /// All tools, page by page.
    pub async fn tools(&self) -> Result<Vec<Value>, ChildError> {
        let mut tools = Vec::new();
        let mut cursor = None;
        loop {
            let params = cursor.as_ref().map_or_else(Map::new, |cursor: &Value| Map::from_iter([("cursor".to_owned(), cursor.clone())]));
            let page = self.request("tools/list", Value::Object(params)).await?;
            tools.extend(page["tools"].as_array().into_iter().flatten().cloned());
            let next = page.get("nextCursor").filter(|next| next.is_string()).cloned();
            if next.is_none() || next == cursor {
                return Ok(tools);
            }
            cursor = next;
        }
    }

    async fn exchange(&self, method: &str, what: &str, params: Box<RawValue>) -> Result<Box<RawValue>, ChildError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let mut waiting = Waiting { id, orders: &self.orders, cancels: true };
        let _ = self.orders.send(Order::Request { id, method: method.to_owned(), params, reply });
        let answer = timeout(self.call_limit, answer).await.map_err(|_| ChildError::TimedOut {
            role: self.role,
            what: what.to_owned(),
            limit: self.call_limit,
        })?;
        waiting.cancels = false;
        let outcome = answer.map_err(|_| self.failure.get().expect("the driver says why before it leaves").clone())?;
        outcome.map_err(|error| ChildError::Refused { role: self.role, what: what.to_owned(), error: Box::new(error) })
    }

    /// Ends the child and all it started.
    pub async fn end(self) {
        drop(self.orders);
        let _ = self.driver.await;
    }
}

fn raw(params: &impl Serialize) -> Box<RawValue> {
    to_raw_value(params).expect("our parameters serialise")
}

/// Whoever stops waiting, by the limit or by being dropped, lets the child know.
struct Waiting<'a> {
    id: u64,
    orders: &'a mpsc::UnboundedSender<Order>,
    cancels: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.cancels {
            let _ = self.orders.send(Order::Cancel { id: self.id });
        }
    }
}

/// Owns the link until all callers are gone or the child is.
async fn drive(
    mut link: Link,
    mut orders: mpsc::UnboundedReceiver<Order>,
    notify: mpsc::Sender<Box<RawValue>>,
    failure: Arc<OnceLock<ChildError>>,
) {
    let mut callers: HashMap<u64, oneshot::Sender<Outcome>> = HashMap::new();
    let error = loop {
        tokio::select! {
            order = orders.recv() => match order {
                None => return link.end().await,
                Some(Order::Request { id, method, params, reply }) => {
                    link.post_as(id, &method, params);
                    callers.insert(id, reply);
                }
                Some(Order::Notify { method, params }) => link.notify(&method, params),
                Some(Order::Cancel { id }) => if callers.remove(&id).is_some() {
                    link.cancel(id, "nobody waits for it any more");
                },
            },
            incoming = link.next() => match incoming {
                // an answer to a cancelled request has no caller
                Ok(Incoming::Answer { id, outcome }) => if let Some(reply) = callers.remove(&id) {
                    let _ = reply.send(outcome);
                },
                Ok(Incoming::Notification { frame, .. }) => { let _ = notify.try_send(frame); }
                Err(error) => break error,
            },
        }
    };
    let _ = failure.set(error);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::process;
    use agent_core::diagnose::{Diagnose as _, Exit};
    use agent_core::manifest::Limits;
    use serde_json::json;
    use std::time::Instant;

    /// A small MCP server, not ours; each tool is one way to behave, or to misbehave.
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
        elif tool == "print": print("debugging"); sys.stdout.flush()
        elif tool == "rubbish": print('{"jsonrpc": "2.0", "id": 1, "result": 1, "error": 2}'); sys.stdout.flush()
        elif tool == "die": print("out of memory", file=sys.stderr); sys.stderr.flush(); os.kill(os.getpid(), signal.SIGSEGV)
        elif tool == "leave": sys.exit(7)
        elif tool == "spawn": answer(id, text(str(subprocess.Popen(["sleep", "1000"]).pid)))
        else: print(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "no such tool"}})); sys.stdout.flush()
"#;

    fn spec(script: &str) -> ChildSpec {
        let limits = Limits { start_s: 5.0, call_s: 5.0 };
        ChildSpec::new(Role::Runner, vec!["python3".into(), "-c".into(), script.into()], ".", &limits)
    }

    fn with_child<T>(spec: &ChildSpec, work: impl AsyncFnOnce(&Child) -> T) -> T {
        process::block_on(async {
            let child = Child::start(spec).await.unwrap();
            let outcome = work(&child).await;
            child.end().await;
            outcome
        })
        .unwrap()
    }

    async fn call(child: &Child, tool: &str) -> Result<String, ChildError> {
        child.call(tool, &json!({"a": 1}), Map::new()).await.map(|result| result.text())
    }

    #[test]
    fn answers_find_their_caller_in_any_order() {
        let meta = Map::from_iter([("dev.agentvc/state".to_owned(), json!({"revision": "r"}))]);
        with_child(&spec(SERVER), async |child| {
            let arguments = json!({"b": 2, "a": "é\n"});
            let (slow, quick) = tokio::join!(call(child, "slow"), child.call("echo", &arguments, meta));
            assert_eq!(slow.unwrap(), "slow");
            let quick = quick.unwrap();
            assert_eq!(quick.text(), r#"[{"b": 2, "a": "\u00e9\n"}, {"dev.agentvc/state": {"revision": "r"}}]"#);
            assert!(quick.raw().get().contains(r#""extra": 1.1"#));
            let tools = child.tools().await.unwrap();
            assert_eq!(tools, [json!({"name": "t0"}), json!({"name": "t1"}), json!({"name": "t2"})]);
        });
    }

    /// What a misbehaving tool makes of the call, and of the one after it.
    fn check(tool: &str, expected: &[&str]) {
        with_child(&spec(SERVER), async |child| {
            let first = call(child, tool).await.unwrap_err();
            for part in expected {
                assert!(first.to_string().contains(part), "{tool}: {first}");
            }
            assert_eq!(first.exit(), Exit::Child);
            let second = call(child, "echo").await.unwrap_err();
            assert_eq!(second.to_string(), first.to_string(), "a broken child stays broken");
        });
    }

    #[test]
    fn a_broken_child_says_how_it_broke() {
        check("print", &["broke protocol: a line is no JSON: debugging"]);
        check("rubbish", &["broke protocol", "no JSON-RPC frame", r#""error": 2"#]);
        check("die", &["died: signal: 11 (SIGSEGV)", "out of memory"]);
        check("leave", &["died: exit status: 7"]);
    }

    #[test]
    fn a_hanging_call_ends_at_its_limit_and_the_child_hears_of_it() {
        let mut spec = spec(SERVER);
        spec.call_limit = Duration::from_millis(300);
        with_child(&spec, async |child| {
            let error = call(child, "hang").await.unwrap_err();
            assert_eq!(error.to_string(), "the Runner did not answer `hang` within 0.3 s");
            // the late answer the cancellation provokes is nobody's; the child goes on
            assert!(call(child, "echo").await.is_ok());
        });
    }

    #[test]
    fn a_refusal_is_that_calls_alone() {
        with_child(&spec(SERVER), async |child| {
            let error = call(child, "bogus").await.unwrap_err();
            assert_eq!(error.to_string(), "the Runner refused `bogus`: no such tool (code -32602)");
            assert!(call(child, "echo").await.is_ok());
        });
    }

    #[test]
    fn a_child_that_never_gets_ready_is_given_up() {
        let start = |spec: ChildSpec| process::block_on(async move { Child::start(&spec).await.err().unwrap().to_string() }).unwrap();
        let mut silent = spec("import sys, time; print('importing', file=sys.stderr, flush=True); time.sleep(1000)");
        silent.start_limit = Duration::from_millis(500);
        let began = Instant::now();
        let error = start(silent);
        assert!(error.contains("was not ready after 0.5 s") && error.contains("importing"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(4));

        assert!(start(spec("raise SystemExit('no module named x')")).contains("no module named x"));
        let mut missing = spec("");
        missing.command = vec!["/nowhere/python".into()];
        assert!(start(missing).contains("cannot be started"));
    }

    #[test]
    fn the_whole_process_group_ends() {
        let grandchild = with_child(&spec(SERVER), async |child| call(child, "spawn").await.unwrap());
        let gone = || !std::path::Path::new("/proc").join(&grandchild).join("fd").read_dir().is_ok_and(|mut files| files.next().is_some());
        let deadline = Instant::now() + Duration::from_secs(5);
        while !gone() {
            assert!(Instant::now() < deadline, "process {grandchild} lives on");
            std::thread::yield_now();
        }
    }
}
