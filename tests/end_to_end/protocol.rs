//! The wire between Rust and Python: the fixtures that both sides read.

use crate::bench::{Bench, FOLDER, PLAIN};
use crate::pipes::{DEADLINE, Pipes};
use crate::world::{World, source_root};
use agent_core::protocol::wire;
use agent_engine::world::layout::Layout;
use agent_engine::world::python;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    source_root().join("tests/protocol")
}

fn programs() -> PathBuf {
    source_root().join("templates/runtime/tests/programs")
}

/// The interpreter itself, behind shims on PATH.
pub fn interpreter() -> PathBuf {
    python::find(&Layout::new("/nowhere"), ">=3.11")
        .expect("the tests need Python 3.11 or newer")
        .executable
}

/// A fixture's header and its lines; `${FIXTURES}` is where they lie.
fn read(path: &Path) -> (Value, Vec<Map<String, Value>>) {
    let text = std::fs::read_to_string(path)
        .unwrap()
        .replace("${FIXTURES}", fixtures().to_str().expect("a plain path"));
    let mut lines = text.lines().map(|line| {
        serde_json::from_str::<Value>(line)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    });
    let header = lines.next().expect("a header");
    assert_eq!(header["fixture"], "agent/protocol@1", "{}", path.display());
    (header, lines.map(|line| line.as_object().expect("an object").clone()).collect())
}

fn all() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    paths.sort();
    assert!(paths.len() > 10, "{paths:?}");
    paths
}

fn play(world: &World, path: &Path) {
    let (header, lines) = read(path);
    let mut command = world.command(interpreter(), ".");
    let command = match header["program"].as_str().expect("a program") {
        "scorers" => {
            command.args(["-m", "agent_runtime.scorers"]).arg(programs().join("scorers.py"))
        }
        program => command.arg(programs().join(format!("{program}.py"))),
    };
    command
        .env("PYTHONPATH", source_root().join("templates/runtime"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(wire::ENV_PARENT_PID, std::process::id().to_string());
    let mut child = Pipes::start(command);
    for line in lines {
        let (kind, value) = line.into_iter().next().expect("one member");
        match kind.as_str() {
            "in" => child.send(value),
            "in_text" => child.send(value.as_str().expect("a text")),
            "out" => assert_eq!(child.value(), value, "{}", path.display()),
            other => panic!("{}: a line of the kind `{other}`", path.display()),
        }
    }
    child.close_stdin();
    assert_eq!(child.line(), None, "{}: it says more than the fixture", path.display());
    assert!(child.exited(DEADLINE).success(), "{}", path.display());
}

#[test]
fn every_fixture_holds_for_the_real_programs() {
    let world = World::new();
    for path in all() {
        play(&world, &path);
    }
}

/// Every `_meta` in a session's frames of one direction.
fn metas(fixture: &str, direction: &str) -> Vec<Value> {
    let (_, lines) = read(&fixtures().join(fixture));
    let member = if direction == "in" { "params" } else { "result" };
    let metas: Vec<_> = lines
        .iter()
        .filter_map(|line| line.get(direction)?.get(member)?.get("_meta"))
        .filter(|meta| meta.is_object())
        .cloned()
        .collect();
    assert!(!metas.is_empty(), "{fixture} has no `_meta` in `{direction}`");
    metas
}

/// Each place in a value with the type of what is there; what is the user's own is one place.
fn shape(value: &Value) -> BTreeSet<String> {
    const THE_USERS: [&str; 4] = ["value", "data", "facts", "arguments"];
    fn walk(value: &Value, place: &str, places: &mut BTreeSet<String>) {
        let kind = match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let place = format!("{place}/{name}");
                    if THE_USERS.contains(&name.as_str()) {
                        places.insert(place);
                    } else {
                        walk(member, &place, places);
                    }
                }
                return;
            }
            Value::Array(elements) => {
                return elements
                    .iter()
                    .for_each(|element| walk(element, &format!("{place}/*"), places));
            }
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            Value::Null => "null",
        };
        places.insert(format!("{place}: {kind}"));
    }
    let mut places = BTreeSet::new();
    walk(value, "", &mut places);
    places
}

/// The message that a child received, which `plain.py` returns as its text.
#[track_caller]
fn told(door: &mut Pipes, params: &Value) -> Value {
    let answer = door.request("tools/call", params);
    let text =
        answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[track_caller]
fn is_as_in(fixture: &str, meta: &Value) {
    let known: Vec<_> = metas(fixture, "in").iter().map(shape).collect();
    assert!(
        known.contains(&shape(meta)),
        "{fixture} has nothing of the shape of {meta:#}\nit has {known:#?}"
    );
}

#[test]
fn rust_sends_children_the_messages_of_the_fixtures() {
    let bench = Bench::new(PLAIN);
    bench.program("tuner", PLAIN);
    bench.release();

    let mut runner = Pipes::start(&mut bench.agent(&["mcp", "runner"]));
    runner.initialize("2025-11-25");
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = told(
        &mut runner,
        &json!({"name": "meta", "arguments": {}, "_meta": {"traceparent": traceparent}}),
    );
    let continued = traced[wire::TRACEPARENT].as_str().unwrap();
    assert!(
        continued.starts_with(&traceparent[..36]) && continued != traceparent,
        "its own span in the host's trace: {continued}"
    );
    let in_conversation = json!({"name": "meta", "arguments": {"conversation_id": "c1"}});
    let (first, second) =
        (told(&mut runner, &in_conversation), told(&mut runner, &in_conversation));
    assert_eq!(first[wire::CONVERSATION], json!({"id": "c1", "turn": 1}));
    assert_eq!(second[wire::CONVERSATION], json!({"id": "c1", "turn": 2, "data": {"turns": 1}}));
    for meta in [first, second, told(&mut runner, &json!({"name": "meta", "arguments": {}}))] {
        is_as_in("runner-meta.jsonl", &without_trace(meta));
    }
    is_as_in("runner-meta.jsonl", &traced);

    let mut tuner = Pipes::start(&mut bench.agent(&["mcp", "tuner"]));
    tuner.initialize("2025-11-25");
    let plain = told(&mut tuner, &json!({"name": "meta", "arguments": {}}));
    let credited = told(&mut tuner, &in_conversation);
    let turn = &credited[wire::CONVERSATION]["turns"][1];
    assert_eq!(
        (&turn["tool"], &turn["version"], &turn["facts"]),
        (&json!("meta"), &json!("0.1.0"), &json!({"tool": "meta"}))
    );
    assert_eq!(turn["revision"], credited[wire::STATE]["revision"]);
    for meta in [plain, credited] {
        is_as_in("tuner-meta.jsonl", &without_trace(meta));
    }
}

/// Every call is in some trace, be it one of its own.
fn without_trace(mut meta: Value) -> Value {
    assert!(meta.as_object_mut().unwrap().remove(wire::TRACEPARENT).is_some(), "{meta}");
    meta
}

#[test]
fn requests_of_a_tier_have_the_form_of_requests_in_service() {
    let state = r#"\{"dev.agentvc/state": \{"revision": "[0-9a-f]{40}", "path": "[^"]+"\}"#;
    let turn = |rest: &str| {
        format!(r#"^{state}, "dev.agentvc/conversation": \{{"id": "[^"]+", {rest}\}}\}}$"#)
    };
    let expect = |regex: &str| json!({"tool": "meta", "arguments": {}, "expect": {"regex": regex}});
    let mut alone = expect(&format!(r"^{state}\}}$"));
    alone["id"] = json!("c-1");
    let together = json!({"id": "c-2", "turns": [expect(&turn(r#""turn": 1"#)),
        expect(&turn(r#""turn": 2, "data": \{"turns": 1\}"#))]});
    let bench = Bench::new(PLAIN);
    bench
        .world
        .write(format!("{FOLDER}/tests/micro/cases.jsonl"), format!("{alone}\n{together}\n"));
    World::finish(&mut bench.agent(&["test", "--tier", "micro", "--at", "worktree"])).ok();
}

#[test]
fn rust_uses_the_names_of_the_fixtures() {
    let keys = |fixture: &str, direction: &str| -> BTreeSet<String> {
        metas(fixture, direction)
            .iter()
            .flat_map(|meta| meta.as_object().unwrap().keys().cloned())
            .collect()
    };
    let words =
        |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        keys("runner-meta.jsonl", "in"),
        words(&[wire::STATE, wire::CONVERSATION, wire::TRACEPARENT])
    );
    assert_eq!(keys("runner-meta.jsonl", "out"), words(&[wire::CONVERSATION, wire::READS]));
    assert_eq!(
        keys("tuner-meta.jsonl", "in"),
        words(&[wire::STATE, wire::CONVERSATION, wire::SIGNAL, wire::EFFECTS])
    );
    assert_eq!(
        keys("tuner-meta.jsonl", "out"),
        words(&[wire::STATE, wire::TOUCHED, wire::EFFECTS])
    );
    for key in [wire::STATE, wire::CONVERSATION, wire::SIGNAL, wire::READS, wire::EFFECTS] {
        assert!(wire::is_ours(key));
    }
}
