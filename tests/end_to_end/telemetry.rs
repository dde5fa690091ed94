//! What is on record, and that it joins up: calls, rewards, tiers, versions, as lines of OTLP/JSON in the object store.

use crate::served::Served;
use agent::context::Context;
use agent::kpi;
use agent::printer::{Color, Printer, Volume};
use agent::repository::Repository;
use agent_core::kpi::Rewards;
use serde_json::{Value, json};
use std::path::Path;

/// A Runner that can fail, and a Tuner that is told how good a turn was.
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

/// Everything of a signal (`traces`, `logs`, `metrics`) that is in the store, line by line.
pub fn shipped(served: &Served, signal: &str) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut folders = vec![served.path(".agent/store/telemetry").join(signal)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let text = std::fs::read_to_string(entry.path()).unwrap();
                lines.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
            }
        }
    }
    lines
}

fn items(served: &Served, signal: &str, path: [&str; 3]) -> Vec<Value> {
    let [resource, scope, item] = path;
    let each = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let lines = shipped(served, signal).into_iter();
    lines.flat_map(|line| each(&line, resource)).flat_map(|one| each(&one, scope)).flat_map(|one| each(&one, item)).collect()
}

pub fn spans(served: &Served) -> Vec<Value> {
    items(served, "traces", ["resourceSpans", "scopeSpans", "spans"])
}

fn events(served: &Served) -> Vec<Value> {
    items(served, "logs", ["resourceLogs", "scopeLogs", "logRecords"])
}

/// An attribute's value, whatever its type.
fn attribute(of: &Value, key: &str) -> Value {
    let found = of["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == key);
    found.and_then(|attribute| attribute["value"].as_object().unwrap().values().next().cloned()).unwrap_or_default()
}

#[track_caller]
fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let names: Vec<_> = spans.iter().map(|span| span["name"].clone()).collect();
    spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no span `{name}` among {names:?}"))
}

#[test]
fn a_reward_belongs_to_the_trace_of_the_call_it_is_about() {
    let served = served();
    served.agent(["run", "ask", "question=why", "--conversation", "c1"]).ok().stdout_has("yhw");
    served.agent(["tune", "reward", "value=0.5", "--conversation", "c1"]).ok();
    let spans = spans(&served);
    let (verb, call, reward) = (named(&spans, "agent run"), named(&spans, "tools/call ask"), named(&spans, "tools/call reward"));
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
    assert_eq!(trace, format!("00-{}-{}-01", reward["traceId"].as_str().unwrap(), reward["spanId"].as_str().unwrap()));
    assert_eq!(std::fs::read_dir(served.path(".agent/telemetry")).unwrap().count(), 1, "but for the lock nothing is left of the spool");
}

#[test]
fn a_call_that_fails_says_how() {
    let served = served();
    served.agent(["run", "ask", "question="]).code(1);
    served.agent(["run", "answer"]).code(2);
    let spans = spans(&served);
    let failed = named(&spans, "tools/call ask");
    assert_eq!((attribute(failed, "error.type"), &failed["status"]["code"]), (json!("tool_error"), &json!(2)));
    let refused = named(&spans, "tools/call answer");
    assert_eq!(attribute(refused, "error.type"), attribute(refused, "rpc.response.status_code"));
    assert_ne!(attribute(refused, "error.type"), Value::Null);
    let measured = items(&served, "metrics", ["resourceMetrics", "scopeMetrics", "metrics"]);
    assert_eq!(measured.len(), 2);
    for metric in measured {
        assert_eq!((&metric["name"], &metric["unit"]), (&json!("mcp.client.operation.duration"), &json!("s")));
        let [point] = metric["histogram"]["dataPoints"].as_array().unwrap().as_slice() else { panic!("one series: {metric}") };
        assert_eq!(point["count"], "1");
        assert_eq!(point["explicitBounds"], json!([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0]));
        assert_ne!(attribute(point, "error.type"), Value::Null);
    }
}

#[test]
fn a_tier_has_a_score_and_a_span_for_each_case_that_did_not_pass() {
    let case = |id: &str, expected: &str| {
        json!({"id": id, "tool": "ask", "arguments": {"question": "ab"}, "expect": {"equals": expected}}).to_string()
    };
    let cases = format!("{}\n{}\n", case("right", "ba"), case("wrong", "ab"));
    let served = Served::with(&[("runner/__main__.py", RUNNER), ("tests/micro/estimates.jsonl", &cases)]);
    served.agent(["test", "--tier", "micro"]);
    let spans = spans(&served);
    assert_eq!(spans.len(), 2, "{spans:?}");
    let (tier, wrong) = (named(&spans, "tier micro"), named(&spans, "case wrong"));
    assert_eq!((&wrong["traceId"], &wrong["parentSpanId"]), (&tier["traceId"], &tier["spanId"]));
    assert_eq!(attribute(wrong, "error.type"), "case_failed");
    assert_eq!((attribute(tier, "agent.tier.cases"), attribute(tier, "agent.tier.passed")), (json!("2"), json!("1")));
    let events = events(&served);
    let scores: Vec<_> = events.iter().map(|event| (&event["spanId"], attribute(event, "gen_ai.evaluation.score.value"))).collect();
    assert_eq!(scores, [(&tier["spanId"], json!(0.5)), (&wrong["spanId"], json!(0.0))]);
    // what is known as a whole is not run, and not told again
    served.agent(["test", "--tier", "micro"]);
    assert_eq!(crate::telemetry::spans(&served).len(), 2);
}

#[test]
fn a_promotion_is_one_trace() {
    let served = Served::with(&[("tuner/__main__.py", TUNER)]);
    served.agent(["tune", "reward", "value=1"]).ok();
    served.agent(["promote", "--gate", "not-worse"]).ok();
    let spans = spans(&served);
    let (verb, promotion, tier) = (named(&spans, "agent promote"), named(&spans, "promotion"), named(&spans, "tier micro"));
    assert_eq!((&promotion["parentSpanId"], &tier["parentSpanId"]), (&verb["spanId"], &promotion["spanId"]));
    assert_eq!(attribute(promotion, "agent.version"), "0.1.1");
}

#[test]
fn it_can_be_switched_off() {
    let served = served();
    let mut command = served.command();
    crate::world::World::finish(command.args(["run", "ask", "question=why"]).env("OTEL_SDK_DISABLED", "true")).ok();
    assert!(!served.path(".agent/telemetry").exists() && !served.path(".agent/store/telemetry").exists());
}

#[test]
fn a_version_is_told_by_its_calls_and_rewards() {
    let served = served();
    for question in ["why", "how", ""] {
        served.agent(["run", "ask", &format!("question={question}"), "--conversation", "c1"]);
    }
    for value in ["value=1", "value=0"] {
        served.agent(["tune", "reward", value, "--conversation", "c1"]).ok();
    }
    served.agent(["architect", "it should answer", "--conversation", "c1", "--queue-only"]).ok();
    let repository = Repository::open(&context(&served)).unwrap();
    let check = || {
        let kpis = kpi::by_version(&repository).unwrap();
        let [kpi] = kpis.as_slice() else { panic!("one version: {kpis:?}") };
        assert_eq!((kpi.version.as_str(), kpi.calls, kpi.errors, kpi.conversations, kpi.feedback), ("0.1.0", 3, 1, 1, 1));
        assert_eq!(kpi.rewards, Rewards { count: 2, mean: Some(0.5) });
        assert!(kpi.p50_ms.unwrap() > 0.0 && kpi.p95_ms >= kpi.p50_ms);
    };
    check();
    // what is kept of it says the same, and what comes after is added
    check();
    served.agent(["run", "ask", "question=who"]).ok();
    assert_eq!(kpi::by_version(&repository).unwrap()[0].calls, 4);
    std::fs::write(served.path(".agent/tally.json"), "{\"torn").unwrap();
    assert_eq!(kpi::by_version(&repository).unwrap()[0].calls, 4);
}

fn context(served: &Served) -> Context {
    Context { directory: served.path(""), printer: Printer::new(false, Volume::Silent, Color::Never) }
}

/// A span of a process that was killed while it waited for its child is lost; the ones before are shipped by the next process.
#[test]
fn what_a_killed_process_left_is_shipped_by_the_next() {
    let served = served();
    let left = served.path(".agent/telemetry/p-0-killed");
    std::fs::create_dir_all(&left).unwrap();
    let line = r#"{"resourceSpans":[]}"#;
    std::fs::write(left.join("traces-20260102T030405006-0.jsonl"), format!("{line}\n{{\"resourceSp")).unwrap();
    served.agent(["run", "ask", "question=why"]).ok();
    let key = "2026/01/02/030405006-p-0-killed-0.jsonl";
    let shipped = std::fs::read_to_string(Path::new(&served.path(".agent/store/telemetry/traces")).join(key)).unwrap();
    assert_eq!(shipped, format!("{line}\n"));
    assert!(!left.exists());
}
