//! Conversations across processes: each turn once, one version for the whole life, and no end by a
//! clock.

use crate::pipes::Pipes;
use crate::served::Served;
use crate::world::{World, source_root};
use serde_json::{Value, json};

fn served(limits: &str) -> Served {
    let manifest =
        std::fs::read_to_string(source_root().join("templates/minimal/agent.toml")).unwrap();
    let (before, after) = manifest.split_once("[limits]\n").unwrap();
    let after = &after[after.find("\n[").map_or(after.len(), |end| end + 1)..];
    Served::with(&[("agent.toml", &format!("{before}[limits]\n{limits}\n{after}"))])
}

fn turns(served: &Served, id: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(served.path(&format!(".agent/conversations/{id}.jsonl")))
        .unwrap_or_default();
    text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(served: &Served, id: &str) -> Vec<u64> {
    turns(served, id).iter().map(|turn| turn["turn"].as_u64().unwrap()).collect()
}

const IN_C1: &str = "dev.agentvc/conversation";

#[test]
fn concurrent_users_of_one_conversation_lose_no_turn() {
    const CALLS: u64 = 12;
    let served = Served::new();
    std::thread::scope(|scope| {
        for host in 0..2 {
            let served = &served;
            scope.spawn(move || {
                let mut shim = Pipes::start(served.command().args(["mcp", "runner"]));
                shim.initialize("2025-11-25");
                for call in 0..CALLS {
                    let arguments = json!({"task": format!("host-{host}-{call}")});
                    let answer = shim.request(
                        "tools/call",
                        &json!({"name": "estimate",
                            "arguments": arguments, "_meta": {IN_C1: {"id": "c1"}}}),
                    );
                    assert!(answer["result"]["isError"] == false, "{answer}");
                }
                shim.close();
            });
        }
        scope.spawn(|| {
            for call in 0..3 {
                served
                    .agent([
                        "run",
                        "estimate",
                        &format!("task=typed-{call}"),
                        "--conversation",
                        "c1",
                    ])
                    .ok();
            }
        });
        // what is served moves on meanwhile; the conversation does not
        scope.spawn(|| served.agent(["tune", "took", "task=tea", "minutes=3", "--promote"]).ok());
    });
    let turns = turns(&served, "c1");
    let count = 2 * CALLS + 3;
    assert_eq!(numbers(&served, "c1"), (1..=count).collect::<Vec<_>>());
    let asked: std::collections::BTreeSet<_> =
        turns.iter().map(|turn| turn["arguments"]["task"].as_str().unwrap()).collect();
    assert_eq!(asked.len() as u64, count, "each was kept once");
    assert!(
        turns.iter().all(|turn| turn["version"] == turns[0]["version"]),
        "one version for its whole life"
    );
}

#[test]
fn a_conversation_that_stays_busy_is_refused_by_name() {
    let served = served("call_s = 1.5");
    served.agent(["run", "estimate", "task=tea", "--conversation", "c1"]).ok();
    let file = std::fs::File::open(served.path(".agent/conversations/c1.jsonl")).unwrap();
    file.lock().unwrap();
    served
        .agent(["run", "estimate", "task=tea", "--conversation", "c1"])
        .code(4)
        .stderr_has("conversation `c1` is busy: turn 2");
    let mut shim = Pipes::start(served.command().args(["mcp", "runner"]));
    shim.initialize("2025-11-25");
    let call = |id: &str| {
        json!({"name": "estimate", "arguments": {"task": "tea"},
        "_meta": {IN_C1: {"id": id}}})
    };
    let refused = shim.request("tools/call", &call("c1"));
    let message = refused["result"]["content"][0]["text"].as_str().unwrap_or_default();
    assert!(
        refused["result"]["isError"] == true
            && message.contains("conversation `c1` is busy: turn 2"),
        "{refused}"
    );
    assert!(shim.request("tools/call", &call("c2"))["result"]["isError"] == false, "others go on");
    file.unlock().unwrap();
    assert!(shim.request("tools/call", &call("c1"))["result"]["isError"] == false);
    assert_eq!(numbers(&served, "c1"), [1, 2]);
}

#[test]
fn a_clock_that_jumps_ends_no_conversation() {
    let served = served("conversation_days = 1");
    let at = |now: &str, arguments: &[&str]| {
        World::finish(served.command().env("AGENT_NOW", now).args(arguments)).ok()
    };
    let call = ["run", "estimate", "task=tea", "--conversation", "c1"];
    let (today, ahead, back) =
        ("2026-11-22T12:00:00Z", "2046-11-22T12:00:00Z", "1970-01-02T00:00:00Z");
    for (number, now) in [today, ahead, back, today].into_iter().enumerate() {
        at(now, &call);
        for now in [today, ahead, back, ahead] {
            at(now, &["gc", "--days", "3650"]);
        }
        assert_eq!(numbers(&served, "c1").len(), number + 1, "at {now}");
    }
    let silence: Value = serde_json::from_slice(
        &std::fs::read(served.path(".agent/conversations/silence.json")).unwrap(),
    )
    .unwrap();
    assert!(silence["conversations"]["c1"]["silent_ms"].as_u64().unwrap() < 3_600_000, "{silence}");
}

#[test]
fn gc_removes_idle_conversations_and_none_in_use() {
    // a hundredth of a second, which two runs of gc can observe
    let served = served("conversation_days = 0.0000001");
    for id in ["c1", "c2"] {
        served.agent(["run", "estimate", "task=tea", "--conversation", id]).ok();
    }
    let busy = std::fs::File::open(served.path(".agent/conversations/c2.jsonl")).unwrap();
    busy.lock().unwrap();
    let removed = |ended: &crate::world::Ended| {
        ended.json()["removed"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|item| item["kind"] == "conversation")
            .count()
    };
    assert_eq!(removed(&served.agent(["gc", "--json"]).ok()), 0, "it is seen for the first time");
    assert_eq!(removed(&served.agent(["gc", "--json", "--dry-run"]).ok()), 2);
    assert_eq!(
        removed(&served.agent(["gc", "--json"]).ok()),
        1,
        "a call is under way in the other"
    );
    assert_eq!((numbers(&served, "c1").len(), numbers(&served, "c2").len()), (0, 1));
    busy.unlock().unwrap();
    served.agent(["run", "estimate", "task=tea", "--conversation", "c1"]).ok();
    assert_eq!(numbers(&served, "c1"), [1], "it begins anew");
}
