//! Telemetry: calls, rewards, tiers and versions as lines of OTLP/JSON in the object store, related
//! by their traces.

use crate::pipes::{DEADLINE, Pipes, eventually};
use crate::served::Served;
use crate::world::{Ended, World, source_root};
use agent::context::Context;
use agent::printer::{Color, Printer, Volume};
use agent_core::formats::manifest::Python;
use agent_core::protocol::kpi::Rewards;
use agent_engine::versions::kpi;
use agent_engine::world::layout::Layout;
use agent_engine::world::python;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};

/// A Runner that can fail, and a Tuner with a reward for a turn.
const RUNNER: &str = r#"
from agent_runtime import Server

runner = Server("on record")


@runner.tool
def ask(question: str, conversation_id: str = "") -> str:
    if not question:
        raise ValueError("there is no question")
    return question[::-1]


if __name__ == "__main__":
    runner.run()
"#;

const TUNER: &str = r#"
from agent_runtime import Tuner, state

tuner = Tuner("on record")


@tuner.tool
def reward(value: float, conversation_id: str = "") -> float:
    state()["tasks"].setdefault("rewarded", {"minutes": value, "seen": 0})["seen"] += 1
    return value


if __name__ == "__main__":
    tuner.run()
"#;

pub fn served() -> Served {
    Served::with(&[("runner/__main__.py", RUNNER), ("tuner/__main__.py", TUNER)])
}

/// The files of a signal (`traces`, `logs`, `metrics`) in the store.
fn files(served: &Served, signal: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![served.path(".agent/store/telemetry").join(signal)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let of = if entry.path().is_dir() { &mut folders } else { &mut files };
            of.push(entry.path());
        }
    }
    files
}

/// The one whose name is the last.
pub fn newest_file(served: &Served, signal: &str) -> PathBuf {
    files(served, signal).into_iter().max().expect("a file")
}

/// Everything of a signal that is in the store, line by line.
pub fn shipped(served: &Served, signal: &str) -> Vec<Value> {
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    let texts = files(served, signal).into_iter().map(read);
    let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
}

fn items(served: &Served, signal: &str, path: [&str; 3]) -> Vec<Value> {
    let [resource, scope, item] = path;
    let each = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let lines = shipped(served, signal).into_iter();
    lines
        .flat_map(|line| each(&line, resource))
        .flat_map(|one| each(&one, scope))
        .flat_map(|one| each(&one, item))
        .collect()
}

pub fn spans(served: &Served) -> Vec<Value> {
    items(served, "traces", ["resourceSpans", "scopeSpans", "spans"])
}

fn events(served: &Served) -> Vec<Value> {
    items(served, "logs", ["resourceLogs", "scopeLogs", "logRecords"])
}

/// An attribute's value, whatever its type.
fn attribute(of: &Value, key: &str) -> Value {
    let found =
        of["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == key);
    found
        .and_then(|attribute| attribute["value"].as_object().unwrap().values().next().cloned())
        .unwrap_or_default()
}

#[track_caller]
fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let names: Vec<_> = spans.iter().map(|span| span["name"].clone()).collect();
    spans
        .iter()
        .find(|span| span["name"] == name)
        .unwrap_or_else(|| panic!("no span `{name}` among {names:?}"))
}

#[test]
fn a_reward_belongs_to_the_trace_of_the_call_it_is_about() {
    let served = served();
    served.agent(["run", "ask", "question=why", "--conversation", "c1"]).ok().stdout_has("yhw");
    served.agent(["tune", "reward", "value=0.5", "--conversation", "c1"]).ok();
    let spans = spans(&served);
    let (verb, call, reward) = (
        named(&spans, "agent run"),
        named(&spans, "tools/call ask"),
        named(&spans, "tools/call reward"),
    );
    assert_eq!(call["parentSpanId"], verb["spanId"]);
    assert_eq!((&reward["traceId"], &reward["parentSpanId"]), (&call["traceId"], &call["spanId"]));
    for span in [call, reward] {
        assert_eq!(span["kind"], 3, "a client's");
        assert_eq!(attribute(span, "mcp.method.name"), "tools/call");
        assert_eq!(attribute(span, "gen_ai.operation.name"), "execute_tool");
        assert_eq!(attribute(span, "gen_ai.conversation.id"), "c1");
        assert_eq!(attribute(span, "network.transport"), "pipe");
    }
    assert_eq!(attribute(call, "agent.version"), "0.1.0");
    let events = events(&served);
    let [event] = events.as_slice() else { panic!("one reward: {events:?}") };
    assert_eq!(event["eventName"], "gen_ai.evaluation.result");
    assert_eq!((&event["traceId"], &event["spanId"]), (&call["traceId"], &call["spanId"]));
    assert_eq!(attribute(event, "gen_ai.evaluation.name"), "reward");
    assert_eq!(attribute(event, "gen_ai.evaluation.score.value"), 0.5);
    assert_eq!(attribute(event, "agent.version"), "0.1.0");
    // the Journal knows the span as well
    let trace = served.records()[0].trace.clone().unwrap();
    assert_eq!(
        trace,
        format!(
            "00-{}-{}-01",
            reward["traceId"].as_str().unwrap(),
            reward["spanId"].as_str().unwrap()
        )
    );
    assert_eq!(
        std::fs::read_dir(served.path(".agent/telemetry")).unwrap().count(),
        1,
        "but for the lock nothing is left of the spool"
    );
}

#[test]
fn a_call_that_fails_says_how() {
    let served = served();
    served.agent(["run", "ask", "question="]).code(1);
    served.agent(["run", "answer"]).code(2);
    let spans = spans(&served);
    let failed = named(&spans, "tools/call ask");
    assert_eq!(
        (attribute(failed, "error.type"), &failed["status"]["code"]),
        (json!("tool_error"), &json!(2))
    );
    let refused = named(&spans, "tools/call answer");
    assert_eq!(attribute(refused, "error.type"), attribute(refused, "rpc.response.status_code"));
    assert_ne!(attribute(refused, "error.type"), Value::Null);
    let measured = items(&served, "metrics", ["resourceMetrics", "scopeMetrics", "metrics"]);
    assert_eq!(measured.len(), 2);
    for metric in measured {
        assert_eq!(
            (&metric["name"], &metric["unit"]),
            (&json!("mcp.client.operation.duration"), &json!("s"))
        );
        let [point] = metric["histogram"]["dataPoints"].as_array().unwrap().as_slice() else {
            panic!("one series: {metric}")
        };
        assert_eq!(point["count"], "1");
        assert_eq!(
            point["explicitBounds"],
            json!([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0])
        );
        assert_ne!(attribute(point, "error.type"), Value::Null);
    }
}

#[test]
fn a_tier_has_a_score_and_a_span_for_each_case_that_did_not_pass() {
    let case = |id: &str, expected: &str| {
        json!({"id": id, "tool": "ask", "arguments": {"question": "ab"},
            "expect": {"equals": expected}})
        .to_string()
    };
    let cases = format!("{}\n{}\n", case("right", "ba"), case("wrong", "ab"));
    let served =
        Served::with(&[("runner/__main__.py", RUNNER), ("tests/micro/estimates.jsonl", &cases)]);
    served.agent(["test", "--tier", "micro"]);
    let spans = spans(&served);
    assert_eq!(spans.len(), 2, "{spans:?}");
    let (tier, wrong) = (named(&spans, "tier micro"), named(&spans, "case wrong"));
    assert_eq!((&wrong["traceId"], &wrong["parentSpanId"]), (&tier["traceId"], &tier["spanId"]));
    assert_eq!(attribute(wrong, "error.type"), "case_failed");
    assert_eq!(
        (attribute(tier, "agent.tier.cases"), attribute(tier, "agent.tier.passed")),
        (json!("2"), json!("1"))
    );
    let events = events(&served);
    let scores: Vec<_> = events
        .iter()
        .map(|event| (&event["spanId"], attribute(event, "gen_ai.evaluation.score.value")))
        .collect();
    assert_eq!(scores, [(&tier["spanId"], json!(0.5)), (&wrong["spanId"], json!(0.0))]);
    // a cached tier is not run and not recorded again
    served.agent(["test", "--tier", "micro"]);
    assert_eq!(crate::telemetry::spans(&served).len(), 2);
}

#[test]
fn a_promotion_is_one_trace() {
    let served = Served::with(&[("tuner/__main__.py", TUNER)]);
    served.agent(["tune", "reward", "value=1"]).ok();
    served.agent(["promote", "--gate", "not-worse"]).ok();
    let spans = spans(&served);
    let (verb, promotion, tier) =
        (named(&spans, "agent promote"), named(&spans, "promotion"), named(&spans, "tier micro"));
    assert_eq!(
        (&promotion["parentSpanId"], &tier["parentSpanId"]),
        (&verb["spanId"], &promotion["spanId"])
    );
    assert_eq!(attribute(promotion, "agent.version"), "0.1.1");
}

#[test]
fn spans_have_their_kind_and_the_version_of_the_agent() {
    let case = json!({"id": "wrong", "tool": "ask", "arguments": {"question": "ab"},
        "expect": {"equals": 1}})
    .to_string();
    let files = [
        ("runner/__main__.py", RUNNER),
        ("tuner/__main__.py", TUNER),
        ("tests/micro/estimates.jsonl", &format!("{case}\n") as &str),
    ];
    let served = Served::with(&files);
    let mut shim = Pipes::start(served.command().args(["mcp", "runner"]));
    shim.initialize("2025-11-25");
    shim.call("ask", &json!({"question": "why"}));
    shim.close();
    served.agent(["run", "ask", "question=why"]).ok();
    served.agent(["tune", "reward", "value=0.5"]).ok();
    served.agent(["test", "--tier", "micro", "--at", "v0.1.0"]);
    let name = served.agent(["versions", "--json"]).ok().json()["agent"].clone();
    assert!(name.is_string());
    let spans = spans(&served);
    let [within, answers, asks] = [1, 2, 3].map(|kind| json!(kind));
    let (tool, chain, evaluator, none) =
        (json!("TOOL"), json!("CHAIN"), json!("EVALUATOR"), Value::Null);
    let call = json!("execute_tool");
    let expected = [
        ("initialize", &answers, &none, &none, false),
        ("tools/call ask", &answers, &tool, &call, true),
        ("tools/call ask", &asks, &tool, &call, true),
        ("agent run", &within, &chain, &none, false),
        ("tools/call reward", &asks, &tool, &call, true),
        ("tier micro", &within, &evaluator, &none, true),
        ("case wrong", &within, &evaluator, &none, true),
    ];
    for (span_name, kind, shown_as, operation, is_of_version) in expected {
        let span = spans.iter().find(|span| span["name"] == span_name && span["kind"] == *kind);
        let span = span.unwrap_or_else(|| panic!("{span_name} of kind {kind}: {spans:?}"));
        assert_eq!(attribute(span, "openinference.span.kind"), *shown_as, "{span_name}");
        assert_eq!(attribute(span, "gen_ai.operation.name"), *operation, "{span_name}");
        let agent =
            if is_of_version { (name.clone(), json!("0.1.0")) } else { (Value::Null, Value::Null) };
        assert_eq!(
            (attribute(span, "gen_ai.agent.name"), attribute(span, "gen_ai.agent.version")),
            agent,
            "{span_name}"
        );
    }
}

#[test]
fn it_can_be_switched_off() {
    let served = served();
    let mut command = served.command();
    crate::world::World::finish(
        command.args(["run", "ask", "question=why"]).env("OTEL_SDK_DISABLED", "true"),
    )
    .ok();
    assert!(
        !served.path(".agent/telemetry").exists()
            && !served.path(".agent/store/telemetry").exists()
    );
}

#[test]
fn a_version_has_the_kpis_of_its_calls_and_rewards() {
    let served = served();
    for question in ["why", "how", ""] {
        served.agent(["run", "ask", &format!("question={question}"), "--conversation", "c1"]);
    }
    for value in ["value=1", "value=0"] {
        served.agent(["tune", "reward", value, "--conversation", "c1"]).ok();
    }
    served.agent(["architect", "it should answer", "--conversation", "c1", "--queue-only"]).ok();
    let repository = context(&served).repository().unwrap();
    let check = || {
        let kpis = kpi::by_version(&repository).unwrap();
        let [kpi] = kpis.0.as_slice() else { panic!("one version: {kpis:?}") };
        assert_eq!(
            (kpi.version.as_str(), kpi.calls, kpi.errors, kpi.conversations, kpi.feedback),
            ("0.1.0", 3, 1, 1, 1)
        );
        assert_eq!(kpi.rewards, Rewards { count: 2, mean: Some(0.5) });
        assert!(kpi.p50_ms.unwrap() > 0.0 && kpi.p95_ms >= kpi.p50_ms);
    };
    check();
    // the aggregate is unchanged, and later records are added
    check();
    served.agent(["run", "ask", "question=who"]).ok();
    assert_eq!(kpi::by_version(&repository).unwrap().0[0].calls, 4);
    std::fs::write(served.path(".agent/tally.json"), "{\"torn").unwrap();
    assert_eq!(kpi::by_version(&repository).unwrap().0[0].calls, 4);
}

/// Python with what reads the files, in an environment that `agent` itself makes from the lock,
/// once.
fn reader() -> PathBuf {
    let layout = Layout::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("telemetry"));
    std::fs::create_dir_all(layout.root()).expect("a folder under target/");
    let locked = Python { lock: Some("requirements.lock".to_owned()), ..Python::default() };
    python::interpreter(&layout, &source_root().join("tests/telemetry"), &locked,
        &|_| {}).unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        panic!(
            "DuckDB could not be installed; this test needs a package index (PyPI, or one named in \
            pip's configuration)\n\
            {error}: {cause}"
        )
    })
}

#[test]
fn duckdb_joins_calls_with_rewards_and_protobuf_reads_every_line() {
    let served = served();
    for (conversation, value) in [("c1", "value=0.5"), ("c2", "value=-1")] {
        served.agent(["run", "ask", "question=why", "--conversation", conversation]).ok();
        served.agent(["tune", "reward", value, "--conversation", conversation]).ok();
    }
    served.agent(["test", "--tier", "micro"]);
    let read = |program: &str| {
        let mut command = served.world.command(reader(), "");
        let ended = World::finish(
            command
                .arg(source_root().join("tests/telemetry").join(program))
                .arg(served.path(".agent/store/telemetry")),
        );
        ended.ok().json()
    };
    assert_eq!(read("joined.py"), json!([["tools/call ask", -1.0], ["tools/call ask", 0.5]]));
    let counts = read("messages.py");
    assert!(
        ["traces", "metrics", "logs"].iter().all(|kind| counts[kind].as_u64().unwrap() >= 2),
        "{counts}"
    );
}

/// Takes what is sent to a collector: the path and the body of each request.
fn collector(listener: TcpListener) -> Receiver<(String, Value)> {
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, sender) = (stream.unwrap(), sender.clone());
            // a connection is kept for the next request, and each signal has its own
            std::thread::spawn(move || {
                while request(&mut stream).is_some_and(|request| sender.send(request).is_ok()) {}
            });
        }
    });
    received
}

/// Reads one request and answers it; `None` at the end.
fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim().to_ascii_lowercase());
    }
    let said = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let is_json = said("content-type:") == Some("application/json");
    assert_eq!(said("x-key:"), Some("secret"));
    let mut body = vec![0; said("content-length:")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let path = head[0].split(' ').nth(1)?.to_owned();
    if is_json {
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            )
            .ok()?;
        return Some((path, serde_json::from_slice(&body).unwrap()));
    }
    assert_eq!(said("content-type:"), Some("application/x-protobuf"));
    stream
        .write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
        )
        .ok()?;
    // its names and ids stand in the bytes as they are
    Some((path, Value::String(String::from_utf8_lossy(&body).into_owned())))
}

fn run_with_collector(served: &Served, at: SocketAddr, protocol: Option<&str>) -> Ended {
    run_with_collector_and(
        served,
        at,
        protocol.map(|protocol| ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)).as_slice(),
    )
}

fn run_with_collector_and(served: &Served, at: SocketAddr, variables: &[(&str, &str)]) -> Ended {
    let mut command = served.command();
    command
        .args(["run", "ask", "question=why"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{at}"));
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret").env("OTEL_SERVICE_NAME", "shop");
    World::finish(command.envs(variables.iter().copied())).ok().stdout_has("yhw")
}

#[test]
fn a_disabled_telemetry_signal_is_not_exported() {
    let served = served();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let received = collector(listener);
    let paths = |off: &[&str]| {
        let off: Vec<_> = off.iter().map(|name| (*name, "none")).collect();
        assert!(!run_with_collector_and(&served, at, &off).stderr.contains("warning:"));
        received.try_iter().map(|(path, _)| path).collect::<BTreeSet<_>>()
    };
    assert!(paths(&[]).contains("/v1/metrics"));
    assert_eq!(
        paths(&["OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"]),
        BTreeSet::from(["/v1/traces".to_owned()])
    );
    assert!(!paths(&["OTEL_TRACES_EXPORTER"]).contains("/v1/traces"));
}

/// The specification's default, which Phoenix and most collectors accept.
#[test]
fn a_collector_gets_protobuf_unless_json_is_named() {
    let served = served();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let received = collector(listener);
    for protocol in [None, Some("http/protobuf")] {
        assert!(!run_with_collector(&served, at, protocol).stderr.contains("warning:"));
        let received: Vec<_> = received.try_iter().collect();
        let traces = received
            .iter()
            .find(|(path, _)| path == "/v1/traces")
            .expect("spans")
            .1
            .as_str()
            .expect("protobuf")
            .to_owned();
        for name in ["tools/call ask", "gen_ai.agent.name", "openinference.span.kind", "TOOL"] {
            assert!(traces.contains(name), "{name} is not in {traces}");
        }
        assert!(received.iter().any(|(path, _)| path == "/v1/metrics"), "{received:?}");
    }
    let refused = run_with_collector(&served, at, Some("grpc"));
    assert!(
        refused.stderr.contains("is `grpc`, and `http/protobuf` and `http/json` are offered"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_refused_export_is_reported_once() {
    let served = served();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut read = vec![0; 1 << 16];
                while stream.read(&mut read).is_ok_and(|count| count > 0) {
                    let answer =
                        b"HTTP/1.1 415 Unsupported Media Type\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let ended = run_with_collector(&served, at, None);
    assert_eq!(
        ended.stderr.matches("the OpenTelemetry collector did not get everything").count(),
        1,
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.matches("warning:").count(), 1, "{}", ended.stderr);
}

#[test]
fn arguments_and_results_are_recorded_only_when_enabled() {
    let served = served();
    let run = |wish: Option<&str>| {
        let mut command = served.command();
        command
            .args(["run", "ask", "question=why"])
            .envs(wish.map(|wish| ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", wish)));
        World::finish(&mut command).ok();
        let spans = spans(&served);
        let has_key = |span: &Value, key: &str| {
            span["attributes"].as_array().unwrap().iter().any(|one| one["key"] == key)
        };
        let of = |key: &str| spans.iter().filter(|span| has_key(span, key)).count();
        ["gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "input.value", "output.value"]
            .map(of)
    };
    assert_eq!(run(None), [0; 4]);
    assert_eq!(run(Some("true")), [1; 4]);
    let call = spans(&served)
        .into_iter()
        .find(|span| attribute(span, "input.value") != Value::Null)
        .unwrap();
    assert_eq!(
        (attribute(&call, "input.value"), attribute(&call, "input.mime_type")),
        (json!(r#"{"question":"why"}"#), json!("application/json"))
    );
}

#[test]
fn a_collector_gets_what_the_store_gets() {
    let served = served();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let received = collector(listener);
    run_with_collector(&served, at, Some("http/json"));
    let received: Vec<_> = received.try_iter().collect();
    let ids = |spans: Vec<Value>| {
        spans
            .iter()
            .map(|span| span["spanId"].as_str().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let sent = received.iter().filter(|(path, _)| path == "/v1/traces").map(|(_, body)| body);
    let sent: Vec<_> = sent
        .flat_map(|body| {
            body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
        })
        .collect();
    assert_eq!(ids(sent), ids(spans(&served)));
    assert!(received.iter().any(|(path, _)| path == "/v1/metrics"), "{received:?}");
    let resource = &shipped(&served, "traces")[0]["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name"), "shop");
}

#[test]
fn the_debug_switch_prints_on_stderr_and_leaves_stdout_as_it_is() {
    let served = served();
    let mut command = served.command();
    let ended = World::finish(
        command.args(["run", "ask", "question=why", "--json"]).env("AGENT_SHOW_TELEMETRY", "1"),
    )
    .ok();
    assert_eq!(ended.json()["schema"], "agent/call@1");
    assert!(!ended.stdout.contains("Span #0"));
    ended.stderr_has("Name         : agent run").stderr_has("Name         : tools/call ask");
}

/// The whole way: a host's call through the shim, the shim killed, and the reward that came later.
#[test]
fn a_hosts_trace_goes_on_to_the_reward_whatever_happens_to_the_shim() {
    const HOST: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let served = served();
    let mut shim = Pipes::start(served.command().args(["mcp", "runner"]));
    shim.initialize("2025-11-25");
    let call = json!({"name": "ask", "arguments": {"question": "why", "conversation_id": "c1"},
        "_meta": {"traceparent": HOST}});
    assert_eq!(shim.request("tools/call", &call)["result"]["content"][0]["text"], "yhw");
    // within a second it is written, and then a kill takes nothing of it
    let spool = served.path(".agent/telemetry");
    let is_written = || {
        walk(&spool).iter().any(|path| {
            std::fs::read_to_string(path).is_ok_and(|text| text.contains("tools/call ask"))
        })
    };
    eventually(DEADLINE, "the call is on record", is_written);
    shim.kill();
    served.agent(["tune", "reward", "value=1", "--conversation", "c1"]).ok();
    let spans = spans(&served);
    let of = |name: &str, kind: u8| {
        spans
            .iter()
            .find(|span| span["name"] == name && span["kind"] == kind)
            .unwrap_or_else(|| panic!("{name} {kind}: {spans:?}"))
    };
    let (door, child, reward) =
        (of("tools/call ask", 2), of("tools/call ask", 3), of("tools/call reward", 3));
    for span in [door, child, reward] {
        assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736", "the host's");
    }
    assert_eq!(door["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(reward["parentSpanId"], child["spanId"]);
    assert_eq!(attribute(door, "mcp.protocol.version"), "2025-11-25");
    assert_eq!(events(&served)[0]["spanId"], child["spanId"]);
    served.agent(["log", "--trace", "4bf92f35"]).ok().stdout_has("* reward 1");
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// An unreachable collector, and one that never responds.
#[test]
fn an_unreachable_collector_does_not_fail_a_command() {
    let served = served();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    run_with_collector(&served, at, None);
    drop(listener);
    run_with_collector(&served, at, None);
    assert_eq!(spans(&served).len(), 4);
}

/// Two traces: a conversation that a host began, with a reward an hour later, and a promotion that
/// was refused.
fn recorded() -> Served {
    let served = served();
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = |trace: &str,
                id: &str,
                parent: &str,
                name: &str,
                kind: u8,
                began: u64,
                ms: u64,
                attributes: Vec<Value>| {
        let (began, ended) = (began * 1_000_000, (began + ms) * 1_000_000);
        json!({"traceId": trace, "spanId": id, "parentSpanId": parent, "name": name, "kind": kind,
            "startTimeUnixNano": began.to_string(),
            "endTimeUnixNano": ended.to_string(), "attributes": attributes, "status": {"code": 0}})
    };
    let (call, promotion, noon) =
        ("4bf92f3577b34da6a3ce929d0e0e4736", "11111111111111111111111111111111", 1_795_348_800_000);
    let talk =
        || vec![attribute("gen_ai.conversation.id", "c1"), attribute("agent.version", "0.1.0")];
    let of = |role: &str| [talk(), vec![attribute("agent.role", role)]].concat();
    let mut refused = span(
        promotion,
        "0000000000000009",
        "",
        "promotion",
        1,
        noon + 60_000,
        1500,
        vec![attribute("error.type", "no")],
    );
    refused["status"] = json!({"code": 2, "message": "worse: score 0.5 against 0.6"});
    let spans = [
        span(call, "0000000000000001", "00000000000000ff", "tools/call ask", 2, noon, 15, talk()),
        span(
            call,
            "0000000000000002",
            "0000000000000001",
            "tools/call ask",
            3,
            noon + 2,
            12,
            of("runner"),
        ),
        refused,
    ];
    let later = span(
        call,
        "0000000000000003",
        "0000000000000002",
        "tools/call reward",
        3,
        noon + 3_660_000,
        4,
        of("tuner"),
    );
    let reward = json!({"timeUnixNano": ((noon + 3_660_005) * 1_000_000).to_string(),
        "eventName": "gen_ai.evaluation.result", "traceId": call,
        "spanId": "0000000000000002", "attributes": [attribute("gen_ai.evaluation.name", "reward"),
            attribute("gen_ai.conversation.id", "c1"),
            json!({"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.5}})]});
    let write =
        |path: &str, line: Value| served.world.write(served.path(path), format!("{line}\n"));
    let traces = |spans: &[Value]| json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
    write(".agent/store/telemetry/traces/2026/11/22/120000000-p-1-0.jsonl", traces(&spans));
    // the later part is still on its way
    write(".agent/telemetry/p-2/traces-20261122T130100000-0.jsonl", traces(&[later]));
    write(
        ".agent/telemetry/p-2/logs-20261122T130100005-1.jsonl",
        json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [reward]}]}]}),
    );
    served
}

const TREE: &str = "\
trace 4bf92f3577b34da6a3ce929d0e0e4736  2026-11-22 12:00:00.000
tools/call ask              +0.0 ms  15.0 ms  v0.1.0  [c1]
└─ tools/call ask           +2.0 ms  12.0 ms  the runner  v0.1.0  [c1]
   ├─ tools/call reward  +1 h 1 min   4.0 ms  the tuner  v0.1.0  [c1]
   └─ * reward 0.5       +1 h 1 min
";

const NEWEST: &str = "\
2026-11-22 12:00:00.000     15.0 ms  tools/call ask  tools/call ask, tools/call reward  v0.1.0  [c1]  4bf92f3577b34da6a3ce929d0e0e4736
2026-11-22 12:01:00.000       1.5 s  promotion  no: worse: score 0.5 against 0.6  11111111111111111111111111111111
";

#[test]
fn the_log_shows_a_conversation_as_a_tree_from_the_call_to_the_reward() {
    let served = recorded();
    let tree = served.agent(["log", "--conversation", "c1"]).ok().stdout;
    assert_eq!(tree, TREE);
    assert_eq!(served.agent(["log", "--trace", "4BF92F35"]).ok().stdout, tree);
    let newest = served.agent(["log"]).ok().stdout;
    assert_eq!(newest, NEWEST);
    assert_eq!(
        served.agent(["log", "-n", "1"]).ok().stdout,
        newest.lines().last().map(|line| format!("{line}\n")).unwrap()
    );
    let log = served.agent(["log", "--conversation", "c1", "--json"]).ok().json();
    assert_eq!(log["schema"], "agent/log@1");
    let [trace] = log["traces"].as_array().unwrap().as_slice() else { panic!("one trace: {log}") };
    let names: Vec<_> = trace["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| span["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["tools/call ask", "tools/call ask", "tools/call reward"]);
    assert_eq!(trace["events"][0]["attributes"]["gen_ai.evaluation.score.value"], 0.5);
    served.agent(["log", "--conversation", "c9"]).ok().stderr_has("no matching record was found");
    served
        .agent(["log", "--since", "2026-11-22T13:30:00Z"])
        .ok()
        .stderr_has("no matching record was found");
    served.agent(["log", "--since", "soon"]).code(2).stderr_has("how long ago");
    served.agent(["log", "--trace", "xyz"]).code(2).stderr_has("hexadecimal");
}

#[test]
fn the_log_can_be_followed() {
    let served = served();
    let mut command = served.command();
    let mut log = command
        .args(["log", "--follow", "--conversation", "c7"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(log.stdout.take().unwrap()).lines().map_while(Result::ok);
    // it may not watch yet when the first calls are made
    let heard = std::thread::spawn(move || lines.next());
    while !heard.is_finished() {
        served.agent(["run", "ask", "question=other", "--conversation", "c8"]).ok();
        served.agent(["run", "ask", "question=why", "--conversation", "c7"]).ok();
    }
    let line = heard.join().unwrap().unwrap();
    assert!(line.contains("  tools/call ask  the runner  v0.1.0  [c7]  "), "{line}");
    log.kill().unwrap();
    log.wait().unwrap();
}

fn context(served: &Served) -> Context {
    Context {
        directory: served.path(""),
        printer: Printer::new(false, Volume::Silent, Color::Never),
    }
}

/// A span of a process that was killed while it waited for its child is lost; the ones before are
/// shipped by the next process.
#[test]
fn telemetry_of_a_killed_process_is_shipped_by_the_next() {
    let served = served();
    let left = served.path(".agent/telemetry/p-0-killed");
    std::fs::create_dir_all(&left).unwrap();
    let line = r#"{"resourceSpans":[]}"#;
    std::fs::write(
        left.join("traces-20260102T030405006-0.jsonl"),
        format!("{line}\n{{\"resourceSp"),
    )
    .unwrap();
    served.agent(["run", "ask", "question=why"]).ok();
    let key = "2026/01/02/030405006-p-0-killed-0.jsonl";
    let shipped =
        std::fs::read_to_string(Path::new(&served.path(".agent/store/telemetry/traces")).join(key))
            .unwrap();
    assert_eq!(shipped, format!("{line}\n"));
    assert!(!left.exists());
}
