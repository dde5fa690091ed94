//! `agent mcp runner --http`: Streamable HTTP in both eras, checked byte by byte.
#![expect(clippy::disallowed_methods, reason = "tests start processes themselves")]

use crate::bench::{Bench, FOLDER, RUNNER};
use crate::pipes::{DEADLINE, SOON, eventually, runs};
use crate::web::{Connection, Event, Head};
use crate::world::{World, source_root};
use agent_core::formats::manifest::Python;
use agent_engine::world::layout::Layout;
use agent_engine::world::python;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server that talks while it works.
const TALKING: &str = include_str!("programs/talking.py");

const JSON: (&str, &str) = ("content-type", "application/json");
const BOTH: (&str, &str) = ("accept", "application/json, text/event-stream");
const EVENTS: (&str, &str) = ("accept", "text/event-stream");
const STATELESS: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

/// The address that a server announces.
pub fn listening(process: &mut Child) -> SocketAddr {
    let mut lines =
        BufReader::new(process.stderr.take().expect("stderr")).lines().map_while(Result::ok);
    let mut said = Vec::new();
    let address = lines.find_map(|line| {
        let found =
            line.split("http://").nth(1).and_then(|rest| rest.strip_suffix("/mcp")?.parse().ok());
        said.push(line);
        found
    });
    std::thread::spawn(move || lines.for_each(drop));
    address.unwrap_or_else(|| panic!("the server said\n{}", said.join("\n")))
}

struct Server {
    bench: Bench,
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(runner: &str, more: &[&str]) -> Self {
        let bench = Bench::new(runner);
        let mut command = bench.agent(&["mcp", "runner", "--at", "worktree", "--http", "0"]);
        let mut process =
            command.args(more).stderr(Stdio::piped()).spawn().expect("the server starts");
        let address = listening(&mut process);
        Self { bench, process, address }
    }

    fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// A whole answer to one request, on a connection of its own.
    fn exchange(&self, method: &str, headers: &[(&str, &str)], body: &str) -> (Head, String) {
        let mut connection = self.connect();
        connection.ask(method, headers, body);
        let head = connection.head();
        let body = connection.body(&head);
        (head, body)
    }

    /// A new session of the handshake era.
    fn session(&self, revision: &str) -> Session<'_> {
        let params = json!({"protocolVersion": revision, "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "test", "version": "1"}});
        let (head, body) = self.exchange("POST", &[JSON, BOTH], &request(0, "initialize", &params));
        let answer: Value =
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert_eq!(
            (head.status, &answer["result"]["protocolVersion"]),
            (200, &json!(revision)),
            "{body}"
        );
        let id = head.header("mcp-session-id").expect("a session").to_owned();
        let session = Session { server: self, id };
        let (head, _) = session.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        assert_eq!(head.status, 202);
        session
    }

    /// A request of the stateless era, on its way.
    fn ask(&self, id: u64, method: &str, params: &Value, more: &[(&str, &str)]) -> Connection {
        let mut params = params.clone();
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let mut headers = vec![JSON, BOTH, STATELESS, ("mcp-method", method)];
        headers.extend(params["name"].as_str().map(|name| ("mcp-name", name)));
        headers.extend_from_slice(more);
        let mut connection = self.connect();
        connection.ask("POST", &headers, &request(id, method, &params));
        connection
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("the server runs");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Session<'a> {
    server: &'a Server,
    id: String,
}

impl Session<'_> {
    fn headers(&self) -> [(&str, &str); 3] {
        [JSON, BOTH, ("mcp-session-id", &self.id)]
    }

    fn post(&self, body: &str) -> (Head, String) {
        self.server.exchange("POST", &self.headers(), body)
    }

    /// A request on its way.
    fn ask(&self, body: &str) -> Connection {
        let mut connection = self.server.connect();
        connection.ask("POST", &self.headers(), body);
        connection
    }

    fn listen(&self, last_event: Option<&str>) -> Connection {
        let mut headers = vec![EVENTS, ("mcp-session-id", &self.id)];
        headers.extend(last_event.map(|last| ("last-event-id", last)));
        let mut connection = self.server.connect();
        connection.ask("GET", &headers, "");
        connection
    }
}

fn request(id: u64, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

fn call(id: u64, tool: &str, arguments: &Value) -> String {
    request(
        id,
        "tools/call",
        &json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "p"}}),
    )
}

/// Every event until the stream ends.
fn rest(connection: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| connection.event()).collect()
}

#[test]
fn a_session_has_a_beginning_and_an_end() {
    let server = Server::start(TALKING, &[]);
    let session = server.session("2025-11-25");
    let (head, body) = session.post(&request(1, "tools/list", &json!({})));
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("application/json")),
        "{body}"
    );
    assert!(body.contains(r#""name":"echo""#) || body.contains(r#""name": "echo""#), "{body}");
    let named = |id: &str| {
        server
            .exchange(
                "POST",
                &[JSON, BOTH, ("mcp-session-id", id)],
                &request(2, "ping", &json!({})),
            )
            .0
            .status
    };
    assert_eq!((named(&session.id), named("0123456789abcdef0123456789abcdef")), (200, 404));
    assert_eq!(server.exchange("DELETE", &[("mcp-session-id", &session.id)], "").0.status, 204);
    assert_eq!(named(&session.id), 404);
    assert_eq!(server.exchange("DELETE", &[("mcp-session-id", &session.id)], "").0.status, 404);
    assert_eq!(session.listen(None).head().status, 404);
}

#[test]
fn a_session_is_a_conversation_whose_id_grants_no_access() {
    let server = Server::start(crate::bench::RUNNER, &[]);
    let chat = |session: &Session<'_>, word: &str| {
        let (_, body) = session.post(&call(1, "chat", &json!({"word": word})));
        let answer: Value =
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        answer["result"]["structuredContent"].clone()
    };
    let (one, other) = (server.session("2025-11-25"), server.session("2025-11-25"));
    let first = chat(&one, "one");
    let id = first["conversation_id"].as_str().expect("it is told its conversation");
    assert!(
        first["result"] == json!(["one"]) && !one.id.contains(id.trim_start_matches("h-")),
        "{first}"
    );
    assert_eq!(chat(&one, "two"), json!({"result": ["one", "two"]}));
    assert_eq!(chat(&other, "x")["result"], json!(["x"]));
}

#[test]
fn results_are_passed_on_byte_by_byte_in_both_eras() {
    let server = Server::start(TALKING, &[]);
    let echoed = r#""vendor": {"z": 12345678901234567890123, "a": 1.1}"#;
    let session = server.session("2025-11-25");
    let body = r#"{"jsonrpc":"2.0","id":"é\n","method":"tools/call","params":{"name":"echo","arguments":{"n":98765432109876543210987}}}"#;
    let (head, answer) = session.post(body);
    assert_eq!(head.status, 200);
    let expected = format!(
        r#"{{"jsonrpc":"2.0","id":"é\n","result":{{"content": [], "params": {{"n": 98765432109876543210987}}, {echoed}}}}}"#
    );
    assert_eq!(answer, expected);

    let mut connection =
        server.ask(7, "tools/call", &json!({"name": "echo", "arguments": {}}), &[]);
    let head = connection.head();
    let answer = connection.body(&head);
    assert!(
        head.status == 200 && answer.contains(r#""z": 12345678901234567890123"#)
            || answer.contains(r#""z":12345678901234567890123"#),
        "{answer}"
    );
    assert!(answer.contains(r#""resultType""#), "{answer}");
}

#[test]
fn notifications_of_a_call_precede_its_answer() {
    let server = Server::start(TALKING, &[]);
    let gate = server.bench.world.write("gate", "");
    for revision in ["2025-06-18", "2025-11-25"] {
        let session = server.session(revision);
        let mut connection = session.ask(&call(5, "steps", &json!({"gate": gate})));
        let head = connection.head();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        let events = rest(&mut connection);
        // clients of the latest revision alone know what an event without data is for
        let (primed, said) = events.split_at(usize::from(revision == "2025-11-25"));
        assert!(
            primed.iter().all(|event| event.data.is_empty() && event.id.is_some()),
            "{events:?}"
        );
        assert_eq!(
            said.iter().map(|event| event.value()["method"].as_str().is_some()).collect::<Vec<_>>(),
            [true, true, false]
        );
        assert!(said[1].data.contains("12345678901234567890123"), "{events:?}");
        assert_eq!(said[2].value()["result"]["content"][0]["text"], "done");
    }
}

#[test]
fn a_broken_stream_is_resumed() {
    let server = Server::start(TALKING, &[]);
    let session = server.session("2025-11-25");
    let gate = server.bench.world.path("gate");
    let mut connection = session.ask(&call(5, "steps", &json!({"gate": gate})));
    connection.head();
    let (primed, first) = (connection.event().unwrap(), connection.event().unwrap());
    assert_eq!(first.value()["params"]["progress"], 1);
    drop(connection);

    let mut again = session.listen(first.id.as_deref());
    assert_eq!(again.head().status, 200);
    std::fs::write(&gate, "").unwrap();
    let events = rest(&mut again);
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[1].value()["result"]["content"][0]["text"], "done");

    // all events again for a client that lost them; none for one that received all
    assert_eq!(
        rest(&mut {
            let mut all = session.listen(primed.id.as_deref());
            all.head();
            all
        })
        .len(),
        3
    );
    assert_eq!(
        rest(&mut {
            let mut none = session.listen(events[1].id.as_deref());
            none.head();
            none
        }),
        []
    );
    for lost in ["99-0", "1-99", "x", ""] {
        assert_eq!(session.listen(Some(lost)).head().status, 400, "{lost}");
    }
    // another session has no part in it
    assert_eq!(server.session("2025-11-25").listen(first.id.as_deref()).head().status, 400);
}

#[test]
fn a_tool_asks_the_client_on_the_stream_of_its_call() {
    let server = Server::start(TALKING, &[]);
    let session = server.session("2025-11-25");
    let mut connection = session.ask(&call(1, "ask", &json!({"question": "who?"})));
    connection.head();
    connection.event().expect("the stream begins");
    let question = connection.event().unwrap().value();
    assert_eq!(
        (&question["method"], &question["params"]["message"]),
        (&json!("elicitation/create"), &json!("who?"))
    );
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept",
        "content": {"n": 1}}});
    assert_eq!(session.post(&answer.to_string()).0.status, 202);
    let result = connection.event().unwrap().value();
    assert_eq!(
        result["result"]["content"][0]["text"],
        r#"{"action": "accept", "content": {"n": 1}}"#
    );
}

#[test]
fn a_request_is_cancelled_by_notification_or_by_closing_the_connection() {
    let server = Server::start(TALKING, &[]);
    let (word, gone) = (server.bench.world.path("word"), server.bench.world.path("gone"));
    let session = server.session("2025-11-25");
    let mut connection = session.ask(&call(1, "until_cancelled", &json!({"mark": word})));
    connection.head();
    connection.event().expect("the stream begins");
    assert_eq!(connection.event().unwrap().value()["params"]["data"], "waiting");
    assert_eq!(
        session
            .post(
                r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#
            )
            .0
            .status,
        202
    );
    assert_eq!(rest(&mut connection), [], "a cancelled request has no answer");
    eventually(DEADLINE, "the tool hears of it", || word.exists());

    let meta = json!({"io.modelcontextprotocol/logLevel": "info"});
    let params = json!({"name": "until_cancelled", "arguments": {"mark": gone}, "_meta": meta});
    let mut connection = server.ask(1, "tools/call", &params, &[]);
    connection.head();
    assert_eq!(connection.event().unwrap().value()["params"]["data"], "waiting");
    drop(connection);
    eventually(DEADLINE, "the tool hears of it", || gone.exists());
}

#[test]
fn an_idle_session_is_closed() {
    let server = Server::start(TALKING, &["--session-idle", "0.5"]);
    let (used, idle) = (server.session("2025-11-25"), server.session("2025-11-25"));
    let mut listening = used.listen(None);
    assert_eq!(listening.head().status, 200);
    let process = |session: &Session<'_>| {
        let (_, answer) = session.post(&call(1, "who", &json!({})));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["result"]["content"][0]["text"]
            .as_str()
            .and_then(|pid| pid.parse::<u64>().ok())
            .unwrap_or_else(|| panic!("{answer}"))
    };
    let (of_used, of_idle) = (process(&used), process(&idle));
    eventually(DEADLINE, "the idle session's server ends", || !runs(of_idle));
    assert!(runs(of_used), "a session with a stream is in use");
    assert_eq!(idle.post(&request(2, "ping", &json!({}))).0.status, 404);
    assert_eq!(used.post(&request(1, "ping", &json!({}))).0.status, 200);
}

#[test]
fn malformed_requests_are_refused_with_the_reason() {
    let server = Server::start(TALKING, &[]);
    let session = server.session("2025-11-25");
    let named = ("mcp-session-id", session.id.as_str());
    let ping = &request(1, "ping", &json!({}));
    let huge = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":\"{}\"}}",
        "x".repeat(16 << 20)
    );
    for (method, headers, body, status, words) in [
        ("POST", &[JSON, BOTH][..], ping.as_str(), 400, "Mcp-Session-Id"),
        ("POST", &[JSON, BOTH, named], "{\"jsonrpc\":", 400, "-32700"),
        ("POST", &[JSON, BOTH, named], "[]", 400, "-32600"),
        (
            "POST",
            &[JSON, BOTH, named],
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            400,
            "-32600",
        ),
        ("POST", &[JSON, BOTH, named], &format!("[{ping}]"), 400, "batches"),
        ("POST", &[JSON, BOTH, named, ("mcp-protocol-version", "2024-01-01")], ping, 400, "-32602"),
        ("POST", &[BOTH, named], ping, 415, "Content-Type"),
        ("POST", &[JSON, named], ping, 406, "Accept"),
        ("POST", &[JSON, EVENTS, named], ping, 406, "Accept"),
        ("GET", &[("accept", "application/json"), named], "", 406, "Accept"),
        ("PUT", &[JSON, BOTH, named], ping, 405, "GET, POST, DELETE"),
        ("GET", &[EVENTS, STATELESS], "", 405, "POST"),
        ("POST", &[JSON, BOTH, named], &huge, 413, "16777216"),
        (
            "POST",
            &[JSON, BOTH, named, ("host", "evil.example")],
            ping,
            403,
            "not a name of this server",
        ),
        (
            "POST",
            &[JSON, BOTH, named, ("host", "localhost"), ("Host", "evil.example")],
            ping,
            400,
            "`host` is given more than once",
        ),
        (
            "POST",
            &[JSON, BOTH, named, ("host", "localhost"), ("HOST", "")],
            ping,
            400,
            "`host` is given more than once",
        ),
        (
            "POST",
            &[JSON, BOTH, named, ("host", "localhost, evil.example")],
            ping,
            400,
            "`Host` must be one name",
        ),
        ("POST", &[JSON, BOTH, named, ("host", "")], ping, 400, "`Host` must be one name"),
        ("POST", &[JSON, BOTH, named, ("host", "\u{e9}vil.example")], ping, 400, "not ASCII text"),
        (
            "POST",
            &[JSON, BOTH, named, ("authorization", "Bearer a"), ("Authorization", "Bearer b")],
            ping,
            400,
            "more than once",
        ),
        (
            "POST",
            &[JSON, BOTH, named, ("authorization", "Bearer a, Bearer b")],
            ping,
            400,
            "one credential",
        ),
        ("POST", &[JSON, BOTH, named, ("origin", "\u{e9}")], ping, 400, "not ASCII text"),
        ("POST", &[JSON, BOTH, named, named], ping, 400, "more than once"),
        ("POST", &[JSON, JSON, BOTH, named], ping, 400, "more than once"),
        (
            "POST",
            &[JSON, BOTH, named, ("origin", "http://evil.example")],
            ping,
            403,
            "the origin `",
        ),
        ("POST", &[JSON, BOTH, named, ("origin", "null")], ping, 403, "the origin `"),
        (
            "POST",
            &[JSON, BOTH, STATELESS],
            r#"{"jsonrpc":"2.0","id":9,"result":{}}"#,
            400,
            "no answers",
        ),
    ] {
        let (head, answer) = server.exchange(method, headers, body);
        assert_eq!(head.status, status, "{method} {headers:?}: {answer}");
        assert!(answer.contains(words), "{method} {headers:?}: {answer}");
    }
}

#[test]
fn ambiguous_requests_are_refused() {
    let server = Server::start(TALKING, &[]);
    let session = server.session("2025-11-25");
    let ping = &request(1, "ping", &json!({}));
    // where a target and Host could name two servers, and where a body could be two
    for (target, headers, status) in [
        ("http://localhost/mcp", "host: localhost\r\n", 415),
        ("http://evil.example/mcp", "host: localhost\r\n", 400),
        ("http://evil.example/mcp", "host: evil.example\r\n", 421),
        ("http://localhost:1/mcp", "host: localhost\r\n", 400),
        ("/mcp", "", 400),
        ("/mcp", "host: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n", 400),
        ("/mcp", "host: localhost\r\n folded\r\n", 400),
        ("/mcp", "host: localhost\r\nx: a\u{0}b\r\n", 400),
    ] {
        let mut connection = server.connect();
        connection.send(format!("POST {target} HTTP/1.1\r\n{headers}\r\n"));
        assert_eq!(connection.head().status, status, "{target} {headers:?}");
    }
    // what comes after a body that could be read two ways is no request
    let mut two = server.connect();
    let chunked = format!("{:x}\r\n{ping}\r\n0\r\n\r\n", ping.len());
    let head = format!(
        "content-type: application/json\r\n\
        accept: application/json, text/event-stream\r\n\
        mcp-session-id: {}\r\n",
        session.id
    );
    two.send(format!(
        "POST /mcp HTTP/1.1\r\n\
        host: localhost\r\n\
        content-length: 3\r\n\
        transfer-encoding: chunked\r\n\
        {head}\r\n\
        {chunked}GET /next"
    ));
    let answered = two.head();
    assert_eq!((answered.status, answered.header("connection")), (200, Some("close")));
    // a stream of nonsense ends that connection alone
    let mut nonsense = server.connect();
    nonsense.send(b"\x16\x03\x01\x00nonsense\r\n\r\n");
    assert_eq!(nonsense.head().status, 400);
    assert!(nonsense.is_closed());
    assert_eq!(session.post(ping).0.status, 200);
}

#[test]
fn headers_of_the_stateless_era_are_checked() {
    let server = Server::start(TALKING, &[]);
    let check =
        |id, method: &str, params: Value, more: &[(&str, &str)], status, code: Option<i64>| {
            let mut connection = server.ask(id, method, &params, more);
            let head = connection.head();
            let answer: Value = serde_json::from_str(&connection.body(&head)).unwrap();
            assert_eq!(
                (head.status, answer["error"]["code"].as_i64(), &answer["id"]),
                (status, code, &json!(id)),
                "{method} {params} {more:?}: {answer}"
            );
            assert_eq!(head.header("mcp-session-id"), None);
        };
    check(1, "server/discover", json!({}), &[], 200, None);
    check(2, "tools/list", json!({}), &[], 200, None);
    check(3, "ping", json!({}), &[], 404, Some(-32601));
    check(4, "no/such", json!({}), &[], 404, Some(-32601));
    check(5, "tools/list", json!({}), &[("mcp-method", "tools/list")], 400, Some(-32020));
    let region = json!({"name": "echo", "arguments": {"region": "west"}});
    check(6, "tools/call", region.clone(), &[("mcp-param-region", "west")], 200, None);
    check(
        7,
        "tools/call",
        region.clone(),
        &[("mcp-param-region", "=?base64?d2VzdA==?=")],
        200,
        None,
    );
    check(8, "tools/call", region.clone(), &[("mcp-param-region", "east")], 400, Some(-32020));
    check(9, "tools/call", region, &[], 400, Some(-32020));
}

#[test]
fn a_token_is_required_where_one_is_set() {
    let server = Server::start(TALKING, &["--token", "s3cret"]);
    let ping = request(1, "ping", &json!({}));
    for (authorization, status) in [("", 401), ("Bearer other", 401), ("Bearer s3cret", 400)] {
        let (head, answer) =
            server.exchange("POST", &[JSON, BOTH, ("authorization", authorization)], &ping);
        assert_eq!(head.status, status, "{answer}");
        assert_eq!(head.header("www-authenticate"), (status == 401).then_some("Bearer"));
    }
}

#[test]
fn an_address_in_use_is_reported() {
    let server = Server::start(TALKING, &[]);
    let taken = server.address.to_string();
    let ended = World::finish(
        &mut server.bench.agent(&["mcp", "runner", "--at", "worktree", "--http", &taken]),
    )
    .code(6);
    assert!(
        ended.stderr.contains(&format!("cannot listen on {taken}"))
            && ended.stderr.contains("choose another"),
        "{}",
        ended.stderr
    );
    World::finish(&mut server.bench.agent(&["mcp", "runner", "--http", "nowhere"]))
        .code(2)
        .stderr_has("HOST:PORT");
}

#[test]
fn calls_in_flight_are_answered_before_the_shim_ends() {
    let mut server = Server::start(TALKING, &[]);
    let gate = server.bench.world.path("gate");
    let session = server.session("2025-11-25");
    let mut listening = session.listen(None);
    listening.head();
    let mut connection = session.ask(&call(1, "steps", &json!({"gate": gate})));
    connection.head();
    connection.event().expect("the stream begins");
    connection.event().expect("the first step");
    server.signal(Signal::TERM);
    assert!(
        rest(&mut listening).iter().all(|event| event.data.is_empty()),
        "nothing was said unasked"
    );
    std::fs::write(&gate, "").unwrap();
    assert_eq!(
        rest(&mut connection).last().unwrap().value()["result"]["content"][0]["text"],
        "done"
    );
    let mut status = None;
    eventually(SOON, "the server ends", || {
        status = server.process.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(130));
}

/// The official client, in the environment that the runtime's own tests have.
fn client() -> std::path::PathBuf {
    let layout = Layout::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("python"));
    std::fs::create_dir_all(layout.root()).expect("a folder under target/");
    let locked = Python { lock: Some("requirements.lock".to_owned()), ..Python::default() };
    let tests = source_root().join("templates/runtime/tests");
    python::interpreter(&layout, &tests, &locked, &|_| {}).unwrap_or_else(|error| {
        panic!(
            "the official client could not be installed; this test needs a package index (PyPI, or \
            one named in pip's configuration)\n\
            {error}"
        )
    })
}

const OFFICIAL: &str = r#"
import asyncio, json, sys
from mcp import Client

async def main(url, mode, gate):
    heard = []
    async def progress(done, total, message):
        heard.append(done)
    async with Client(url, mode=mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        echo = await client.call_tool("echo", {"region": "größe"})
        steps = await client.call_tool("steps", {"gate": gate}, progress_callback=progress)
        print(json.dumps({"version": client.protocol_version, "tools": tools, "steps": steps.content[0].text, "heard": len(heard), "error": echo.is_error}))

asyncio.run(main(*sys.argv[1:]))
"#;

#[test]
fn the_official_client_in_both_eras() {
    let server = Server::start(TALKING, &[]);
    let gate = server.bench.world.write("gate", "");
    let url = format!("http://{}/mcp", server.address);
    for (mode, version) in
        [("legacy", "2025-11-25"), ("auto", "2026-07-28"), ("2026-07-28", "2026-07-28")]
    {
        let mut command = Command::new(client());
        let ended = World::finish(command.args(["-c", OFFICIAL, &url, mode]).arg(&gate)).ok();
        let expected = json!({"version": version, "tools": ["echo", "who", "steps", "ask",
            "until_cancelled"], "steps": "done", "heard": 2, "error": false});
        assert_eq!(ended.json(), expected, "{mode}: {}", ended.stderr);
    }
}

#[test]
fn an_overlay_is_applied_in_both_eras() {
    let server = Server::start(RUNNER, &[]);
    let overlay = json!({"weight": 1, "overlay": {"tools": {
        "weight": {"title": "Weighs", "append": "In kilos."}, "remember": {"hidden": true}}}});
    server.bench.world.write(format!("{FOLDER}/state/active.state.json"), overlay.to_string());
    let session = server.session("2025-11-25");
    let of_session = |body: &str| -> Value { serde_json::from_str(&session.post(body).1).unwrap() };
    let stateless = |method: &str, params: &Value| -> Value {
        let mut connection = server.ask(1, method, params, &[]);
        let head = connection.head();
        serde_json::from_str(&connection.body(&head)).unwrap()
    };
    let weigh = json!({"name": "weight", "arguments": {}});
    for (listed, called) in [
        (
            of_session(&request(1, "tools/list", &json!({}))),
            of_session(&request(2, "tools/call", &weigh)),
        ),
        (stateless("tools/list", &json!({})), stateless("tools/call", &weigh)),
    ] {
        let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
        let weight = tools.iter().find(|tool| tool["name"] == "weight").expect("it is listed");
        assert_eq!(weight["title"], "Weighs");
        assert!(tools.iter().all(|tool| tool["name"] != "remember"));
        let content = called["result"]["content"].as_array().unwrap_or_else(|| panic!("{called}"));
        assert_eq!(content.last().unwrap()["text"], "In kilos.");
    }
}
