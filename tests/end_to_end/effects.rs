//! Effects that a Tuner's tool requests, recorded with the signal.

use crate::pipes::Pipes;
use crate::served::{Served, json_lines};
use crate::world::{World, source_root};
use agent_core::state::effect::Effects;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const TUNER: &str = r#"
from agent_runtime import Tuner, effect, state

tuner = Tuner("effects")


@tuner.tool
def took(task: str, minutes: float) -> None:
    """A signal without effects."""
    state()["tasks"][task] = {"minutes": minutes, "seen": 1}


@tuner.tool
def draw() -> float:
    """Chance and the time of the signal."""
    state()["usual_minutes"] = round(100 * effect.random(), 6)
    assert effect.now().endswith("Z")
    return state()["usual_minutes"]


@tuner.tool
def search(tier: str = "fast") -> dict:
    """One step of a search: keeps the better of two values of `usual_minutes`."""
    tasks = state()["tasks"]
    step = tasks.setdefault("step", {"minutes": 0.0, "seen": 1})
    candidate = {**state(), "usual_minutes": 10.0 * step["seen"]}
    result = effect.evaluate(candidate, tier)
    step["seen"] += 1
    if result["score"] > step["minutes"]:
        step["minutes"] = result["score"]
        state()["usual_minutes"] = candidate["usual_minutes"]
    return {"done": step["seen"] > 4, "score": result["score"], "by_case": result["by_case"]}


@tuner.tool
def ask(url: str, usd: float = 0.0) -> str:
    """An answer of a model, with a secret in a header."""
    answer = effect.http(
        {
            "method": "POST",
            "url": url,
            "headers": {"authorization": {"env": "MODEL_KEY", "prefix": "Bearer "}},
            "body": "hello",
            "usd": usd,
        }
    )
    state()["usual_minutes"] = float(len(answer["body"]))
    return answer["body"]


@tuner.tool
def impossible() -> None:
    effect.evaluate({"no": "state"}, "fast")


if __name__ == "__main__":
    tuner.run()
"#;

const SECRET: &str = "sk-very-secret-0123456789";

/// A repository whose Tuner may send requests to this origin.
fn served(origin: &str) -> Served {
    let manifest =
        std::fs::read_to_string(source_root().join("templates/minimal/agent.toml")).unwrap();
    let effects = format!(
        "[tuner.effects]\nhttp = [\"{origin}\"]\nenv = [\"MODEL_KEY\"]\nusd = 0.5\n\n[python]"
    );
    Served::with(&[
        ("tuner/__main__.py", TUNER),
        ("agent.toml", &manifest.replace("[python]", &effects)),
    ])
}

/// A server that repeats the header `authorization` of each request.
struct Model {
    origin: String,
    requests: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Model {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}/", listener.local_addr().unwrap());
        let (requests, seen) =
            (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (count, log) = (Arc::clone(&requests), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut authorization, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.strip_prefix("authorization: ") {
                        value.trim().clone_into(&mut authorization);
                    }
                    if let Some(value) = line.strip_prefix("content-length: ") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                log.lock().unwrap().push(authorization.clone());
                let answer = format!("you sent {authorization}");
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
                    connection: close\r\n\r\n{answer}",
                    answer.len()
                )
                .unwrap();
            }
        });
        Self { origin, requests, seen }
    }
}

/// What the signals in staging used.
fn effects(served: &Served) -> Vec<Effects> {
    served.records().into_iter().filter_map(|record| record.effects).collect()
}

#[test]
fn chance_and_time_are_recorded_and_a_replay_gives_the_same_bytes() {
    let served = served("http://localhost/");
    for _ in 0..3 {
        served.agent(["tune", "draw"]).ok();
    }
    let recorded = effects(&served);
    assert_eq!(recorded.len(), 3);
    assert!(recorded.iter().all(|one| one.random.is_some() && one.now.is_some()));
    let seeds: Vec<_> = recorded.iter().map(|one| &one.random).collect();
    assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2]);
    served.agent(["state", "verify"]).ok();
    served.agent(["tune", "took", "task=a", "minutes=1"]).ok();
    assert_eq!(effects(&served).len(), 3, "a signal without effects records none");
}

#[test]
fn search_scores_states_until_it_is_done_and_never_on_held_out_cases() {
    let served = served("http://localhost/");
    let search = ["tune", "search", "--tier", "full", "--budget", "50", "--json"];
    let outcome = served.agent(search).ok().json();
    assert_eq!(outcome["applied"], json!(4));
    let recorded = effects(&served);
    assert_eq!(recorded.len(), 4);
    for one in &recorded {
        let results: Vec<_> = one.results.values().collect();
        let held_out = std::fs::read_to_string(
            source_root().join("templates/minimal/tests/full/heldout/estimates.jsonl"),
        )
        .unwrap();
        for line in held_out.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            assert!(results[0]["by_case"].get(case["id"].as_str().unwrap()).is_none());
        }
        assert!(results[0]["cases"].as_u64().unwrap() > 0);
    }
    // a replay runs no tier: the recorded scores lead to the same bytes
    served.agent(["state", "verify"]).ok();
    let refused = served.agent(["tune", "impossible"]).code(1);
    refused.stderr_has("the score of a state: the state would break state/schema.json");
}

#[test]
fn budget_ends_a_search_that_is_not_done() {
    let served = served("http://localhost/");
    let search = ["tune", "search", "--tier", "fast", "--budget", "2", "--json"];
    assert_eq!(served.agent(search).ok().json()["applied"], json!(2));
    served.agent(["tune", "search", "--budget", "0"]).code(2);
}

#[test]
fn secret_goes_to_the_model_and_into_no_record() {
    let model = Model::start();
    let served = served(&model.origin);
    let url = format!("url={}v1/chat", model.origin);
    let ended =
        World::finish(served.command().args(["tune", "ask", &url]).env("MODEL_KEY", SECRET));
    ended.ok().stdout_has("you sent Bearer [redacted]");
    assert_eq!(*model.seen.lock().unwrap(), [format!("Bearer {SECRET}")]);
    let journal = std::fs::read(served.path(".agent/journal/current.jsonl")).unwrap();
    assert!(!journal.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
    served.agent(["state", "verify"]).ok();
    assert_eq!(model.requests.load(Ordering::SeqCst), 1, "a replay sends nothing");
}

#[test]
fn other_signals_are_settled_while_an_effect_is_carried_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}/", listener.local_addr().unwrap());
    let served = served(&origin);
    let mut shim = Pipes::start(served.command().args(["mcp", "tuner"]).env("MODEL_KEY", SECRET));
    shim.initialize("2025-11-25");
    let ask = json!({"name": "ask", "arguments": {"url": origin}});
    let asked = shim.post("tools/call", &ask);
    // the request is sent and not answered yet
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).unwrap();
    }
    shim.call("took", &json!({"task": "a", "minutes": 1}));
    assert_eq!(served.staging()["tasks"]["a"]["minutes"], json!(1.0));

    let answer = "content-type: text/plain\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    write!(stream, "HTTP/1.1 200 OK\r\n{answer}").unwrap();
    let answered = shim.value();
    assert_eq!(answered["id"], asked);
    assert_eq!(answered["result"]["content"][0]["text"], "ok", "{answered}");
    // on the state that the other signal left
    let staging = served.staging();
    assert_eq!(
        (&staging["usual_minutes"], &staging["tasks"]["a"]["seen"]),
        (&json!(2.0), &json!(1))
    );
    served.agent(["state", "verify"]).ok();
}

#[test]
fn effects_outside_the_limits_are_refused_and_failures_count_nothing() {
    let model = Model::start();
    let served = served(&model.origin);
    served
        .agent(["tune", "ask", "url=http://elsewhere.example/"])
        .code(1)
        .stderr_has("begins with none of the URLs in `http` of [tuner.effects]");
    let url = format!("url={}", model.origin);
    served
        .agent(["tune", "ask", &url, "usd=0.75"])
        .code(1)
        .stderr_has("cost up to 0.75 US dollars");
    let asks = (0..3).map(|number| {
        let arguments = json!({"url": model.origin, "usd": 0.25});
        json!({"id": format!("a-{number}"), "tool": "ask", "arguments": arguments})
    });
    served.world.write("asks.jsonl", json_lines(asks));
    let asks = served.world.path("asks.jsonl");
    let ended = World::finish(
        served
            .command()
            .args(["tune", "--usd", "0.6", "--signals"])
            .arg(asks)
            .env("MODEL_KEY", SECRET),
    );
    ended.code(1).stderr_has("cost up to 0.75 US dollars, and --usd is 0.6");
    assert_eq!((model.requests.swap(0, Ordering::SeqCst), effects(&served).len()), (2, 2));
    served.agent(["state", "reset"]).ok();
    served.agent(["tune", "ask", &url]).code(6).stderr_has("MODEL_KEY is not set");
    served.agent(["tune", "ask", &url, "--dry-run"]).code(1).stderr_has("a dry run does not send");
    assert_eq!(model.requests.load(Ordering::SeqCst), 0);
    assert!(effects(&served).is_empty());
}

#[test]
fn replay_on_another_state_requests_nothing_and_reports_what_is_missing() {
    let served = served("http://localhost/");
    served.agent(["tune", "draw"]).ok();
    served.agent(["tune", "search"]).ok();
    // a version moves `active`: staging is replayed on a state that the score was not made for
    let state = std::fs::read_to_string(served.path("state/active.state.json")).unwrap();
    let mut state: Value = serde_json::from_str(&state).unwrap();
    state["tasks"] = json!({"new": {"minutes": 7.0, "seen": 1}});
    std::fs::write(served.path("state/active.state.json"), state.to_string()).unwrap();
    served.git(["add", "state"]);
    served.release("0.1.1");
    let ended = served.agent(["tune", "took", "task=b", "minutes=2"]).ok();
    ended.stderr_has("it requests the score of a state on fast here, whose result is not recorded");
    let drawn = effects(&served);
    assert_eq!(drawn.len(), 2, "what was recorded stays recorded");
    served.agent(["state", "verify"]).ok();
}
