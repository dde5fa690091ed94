//! `agent mcp`: to a host it behaves like the server itself, except that it does not exit.

use crate::bench::{Bench, FOLDER, PLAIN, RUNNER};
use crate::pipes::{DEADLINE, Pipes, SOON, eventually, runs};
use crate::world::{AGENT, World};
use serde_json::{Value, json};

#[test]
fn every_handshake_revision_is_agreed_on() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.shim();
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("2025-03-26", "2025-03-26"),
    ] {
        let greeting = shim.initialize(asked);
        assert_eq!(greeting["protocolVersion"], agreed);
        assert_eq!(greeting["serverInfo"], json!({"name": "bench", "version": "worktree"}));
        assert_eq!(greeting["capabilities"]["tools"]["listChanged"], true);
    }
    assert_eq!(shim.request("ping", &json!({}))["result"], json!({}));
    let tools = shim.request("tools/list", &json!({}))["result"]["tools"].clone();
    assert_eq!(tools[0]["name"], "weight");
    assert_eq!(shim.call("weight", &json!({}))["structuredContent"]["weight"], 1);
}

#[test]
fn a_batch_is_answered_as_one_where_the_revision_has_them() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let batch = r#"[{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"weight","arguments":{}}},{"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"2.0","id":"b","method":"ping"},7]"#;
    shim.send(batch);
    assert_eq!(shim.value()["error"]["message"], "batches belong to revision 2025-03-26");
    shim.initialize("2025-03-26");
    shim.send(batch);
    let answers = shim.value();
    let with = |id: &Value| {
        answers.as_array().unwrap().iter().find(|answer| answer["id"] == *id).unwrap().clone()
    };
    assert_eq!(answers.as_array().unwrap().len(), 3, "{answers}");
    assert_eq!(with(&json!("a"))["result"]["structuredContent"]["weight"], 1);
    assert_eq!(with(&json!("b"))["result"], json!({}));
    assert_eq!(with(&Value::Null)["error"]["code"], -32600);
}

#[test]
fn malformed_messages_are_refused_and_the_next_is_served() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    for (line, code) in [
        ("{\"jsonrpc\":\"2.0\",", -32700),
        ("[]", -32600),
        ("7", -32600),
        ("[\"2.0\", 1, \"ping\"]", -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", -32600),
        ("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", -32600),
    ] {
        shim.send(line);
        assert_eq!(shim.value()["error"]["code"], code, "{line}");
    }
    shim.send("\r\n");
    shim.send(json!({"jsonrpc": "2.0", "id": 7, "result": {}}));
    assert_eq!(shim.request("no/such", &json!({}))["error"]["code"], -32601);
    assert_eq!(shim.request("server/discover", &json!({}))["error"]["code"], -32601);
    assert_eq!(shim.request("tools/call", &json!({"name": "no_such"}))["error"]["code"], -32602);
    assert_eq!(shim.request("ping", &json!({}))["result"], json!({}));
}

#[test]
fn unknown_members_pass_the_shim_unchanged() {
    let bench = Bench::new(PLAIN);
    let mut shim = bench.greeted();
    shim.send(
        r#"{"jsonrpc":"2.0","id":98765432109876543210987,"method":"tools/call","params":{"name":"echo","arguments":{"big":12345678901234567890123,"z":1.10,"a":"é"},"_meta":{"vendor/y":{"deep":[98765432109876543210987]},"progressToken":"p-1"},"extra":null}}"#,
    );
    let progress = shim.line().unwrap();
    assert_eq!(
        progress,
        r#"{"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "p-1", "progress": 12345678901234567890123}}"#
    );
    let answer = shim.line().unwrap();
    for part in [
        r#""id":98765432109876543210987,"#,
        r#""arguments": {"big": 12345678901234567890123, "z": 1.1, "a": "\u00e9"}"#,
        r#""vendor/y": {"deep": [98765432109876543210987]}, "progressToken": "p-1""#,
        r#""extra": null"#,
        r#""_meta":{"vendor/x":12345678901234567890123}"#,
    ] {
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
    let value: Value = serde_json::from_str(&answer).unwrap();
    let state = &value["result"]["params"]["_meta"]["dev.agentvc/state"];
    assert!(
        state["path"]
            .as_str()
            .unwrap()
            .ends_with(&format!("{}.json", state["revision"].as_str().unwrap())),
        "{state}"
    );
}

/// A blocking call under way, and the process it blocks.
fn blocked(bench: &Bench, shim: &mut Pipes) -> (u64, u64) {
    let mark = bench.world.path("mark");
    let id = shim.post("tools/call", &json!({"name": "block", "arguments": {"mark": mark}}));
    let mut process = None;
    eventually(DEADLINE, "the tool blocks", || {
        process = std::fs::read_to_string(&mark)
            .ok()
            .and_then(|text| text.strip_suffix('\n')?.parse().ok());
        process.is_some()
    });
    (id, process.unwrap())
}

#[test]
fn a_cancelled_call_has_no_answer_and_frees_the_runner() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let (id, process) = blocked(&bench, &mut shim);
    shim.send(
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}),
    );
    assert_eq!(
        shim.call("weight", &json!({}))["structuredContent"],
        json!({"weight": 1, "process": process})
    );
}

#[test]
fn the_end_of_stdin_ends_all_processes() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let runner = shim.call("weight", &json!({}))["structuredContent"]["process"].as_u64().unwrap();
    let grandchild =
        shim.call("spawn", &json!({}))["structuredContent"]["result"].as_u64().unwrap();
    let last = shim.post("tools/call", &json!({"name": "weight", "arguments": {}}));
    shim.close_stdin();
    assert_eq!(shim.value()["id"], last, "what was asked before the end is answered");
    assert_eq!(shim.line(), None);
    assert!(shim.exited(SOON).success());
    for process in [runner, grandchild] {
        eventually(SOON, "no process is left", || !runs(process));
    }
}

#[test]
fn a_blocking_tool_ends_when_its_host_disconnects() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let (_, process) = blocked(&bench, &mut shim);
    shim.close();
    shim.exited(SOON);
    eventually(SOON, "no process is left", || !runs(process));
}

#[test]
fn a_killed_shim_leaves_no_orphan_even_in_a_blocking_tool() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let (_, process) = blocked(&bench, &mut shim);
    assert!(runs(process));
    shim.kill();
    eventually(SOON, "no process is left", || !runs(process));
}

#[test]
fn a_runner_that_dies_fails_that_call_and_serves_the_next() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let first = shim.call("weight", &json!({}))["structuredContent"]["process"].clone();
    for words in ["out of memory", "again"] {
        let told = shim.call_fails("die", &json!({"words": words}));
        assert!(
            told.contains("ended unexpectedly: exit status: 7") && told.contains(words),
            "{told}"
        );
        let now = shim.call("weight", &json!({}))["structuredContent"].clone();
        assert_eq!(now["weight"], 1);
        assert_ne!(now["process"], first);
    }
}

#[test]
fn a_runner_that_hangs_is_ended_at_its_limit_and_replaced() {
    let bench = Bench::new(PLAIN);
    bench.manifest("start_s = 30\ncall_s = 1");
    let mut shim = bench.greeted();
    let told = shim.call_fails("hang", &json!({}));
    assert!(
        told.contains("did not answer `hang` within 1 s") && told.contains("limits.call_s"),
        "{told}"
    );
    assert_eq!(shim.call("meta", &json!({}))["content"][0]["type"], "text");
}

#[test]
fn a_broken_stream_is_reported_and_the_next_call_works() {
    let bench = Bench::new(PLAIN);
    let mut shim = bench.greeted();
    for (tool, problem) in [("flood", "no JSON-RPC: debugging"), ("half", "half a frame on a line")]
    {
        let told = shim.call_fails(tool, &json!({}));
        assert!(told.contains(problem) && told.contains("print to stderr"), "{told}");
        assert!(shim.call("meta", &json!({}))["isError"].is_null());
    }
}

#[test]
fn every_call_is_answered_whatever_a_runner_sends() {
    let bench = Bench::new(PLAIN);
    let mut shim = bench.greeted();
    let process = shim.call("state", &json!({}))["structuredContent"]["process"].clone();
    let mut call = |tool: &str| {
        let answer = shim.request("tools/call", &json!({"name": tool, "arguments": {}}));
        assert_eq!(
            shim.call("state", &json!({}))["structuredContent"]["process"],
            process,
            "{tool}"
        );
        answer
    };
    for (tool, code, problem) in [
        ("rubbish", -32603, "has a `result` and an `error`"),
        ("nan", -32603, "cannot be read: expected value"),
        ("twice", -32603, "the member `_meta` appears there twice"),
        ("odd_error", -32603, "the message of its error cannot be read"),
    ] {
        let error = call(tool)["error"].clone();
        assert_eq!(error["code"], code, "{tool}: {error}");
        assert!(error["message"].as_str().unwrap().contains(problem), "{tool}: {error}");
    }
    assert_eq!(call("print")["result"]["content"][0]["text"], "printed");
    // what a parser of ours cannot take, another one may: the bytes pass
    for (tool, bytes) in
        [("half_a_pair", r#""text": "cut \ud83d""#), ("deep", &"[".repeat(200)), ("huge", "1e999")]
    {
        shim.post("tools/call", &json!({"name": tool, "arguments": {}}));
        let frame = shim.line().expect("an answer");
        assert!(frame.contains(bytes) && frame.contains(r#""result":{"#), "{tool}: {frame}");
    }
}

#[test]
fn prints_of_a_runner_on_the_runtime_stay_off_the_stream() {
    let bench = Bench::new(&RUNNER.replace(
        "def weight() -> dict:\n",
        "def weight() -> dict:\n    os.write(1, b'raw')\n    print('text')\n",
    ));
    let mut shim = bench.greeted();
    assert_eq!(shim.call("weight", &json!({}))["structuredContent"]["weight"], 1);
}

#[test]
fn calls_report_why_a_runner_cannot_start() {
    let bench = Bench::new("raise SystemExit('no index: run make index')");
    let mut shim = bench.shim();
    let greeting = shim.initialize("2025-11-25");
    assert_eq!(
        (&greeting["protocolVersion"], &greeting["serverInfo"]["name"]),
        (&json!("2025-11-25"), &json!("bench"))
    );
    let told = shim.call_fails("weight", &json!({}));
    assert!(told.contains("no index: run make index"), "{told}");
    let listed = shim.request("tools/list", &json!({}));
    assert!(listed["error"]["message"].as_str().unwrap().contains("no index"), "{listed}");
    bench.program("runner", RUNNER);
    assert_eq!(shim.call("weight", &json!({}))["structuredContent"]["weight"], 1);
}

#[test]
fn a_runner_that_never_starts_is_waited_for_once() {
    let bench = Bench::new(
        "import sys, time\nprint('importing', file=sys.stderr, flush=True)\ntime.sleep(600)",
    );
    bench.manifest("start_s = 3\ncall_s = 30");
    let mut shim = bench.greeted();
    let told = shim.call_fails("weight", &json!({}));
    assert!(
        told.contains("was not ready after 3 s")
            && told.contains("importing")
            && told.contains("limits.start_s"),
        "{told}"
    );
    // one that starts for ever does not hold up the end
    shim.post("tools/list", &json!({}));
    shim.close();
    shim.exited(SOON);
}

#[test]
fn a_conversation_outlives_the_shim() {
    let bench = Bench::new(RUNNER);
    for (turn, word, words) in [(1, "one", json!(["one"])), (2, "two", json!(["one", "two"]))] {
        let mut shim = bench.greeted();
        let said = shim.call("remember", &json!({"word": word, "conversation_id": "c1"}));
        assert_eq!(said["structuredContent"], json!({"turn": turn, "words": words}));
        assert!(said["_meta"].is_null(), "{said}");
        let other = shim
            .call("remember", &json!({"word": word, "conversation_id": format!("other-{turn}")}));
        assert_eq!(other["structuredContent"], json!({"turn": 1, "words": [word]}));
    }
}

#[test]
fn concurrent_calls_of_one_conversation_lose_no_turn() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    for number in 0..10 {
        let meta = json!({"dev.agentvc/conversation": {"id": "c1"}});
        shim.post(
            "tools/call",
            &json!({"name": "remember",
            "arguments": {"word": format!("w{number}")}, "_meta": meta}),
        );
    }
    let most = (0..10)
        .map(|_| shim.value()["result"]["structuredContent"]["words"].as_array().unwrap().len())
        .max();
    assert_eq!(most, Some(10));
}

#[test]
fn an_edited_state_is_what_the_next_call_sees() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let before = shim.call("weight", &json!({}))["structuredContent"].clone();
    bench.state(2);
    let after = shim.call("weight", &json!({}))["structuredContent"].clone();
    assert_eq!((&before["weight"], &after["weight"]), (&json!(1), &json!(2)));
    assert_eq!(before["process"], after["process"]);
    bench.world.write(format!("{FOLDER}/state/active.state.json"), "{\"weight\": ");
    let told = shim.call_fails("weight", &json!({}));
    assert!(told.contains("state/active.state.json:1:"), "{told}");
    bench.state(3);
    assert_eq!(shim.call("weight", &json!({}))["structuredContent"]["weight"], 3);
}

#[test]
fn a_tuner_call_is_a_signal_that_staging_keeps() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    let mut shim = Pipes::start(world.command(AGENT, "a").args(["mcp", "tuner"]));
    assert_eq!(shim.initialize("2025-11-25")["serverInfo"]["name"], "time-estimates-tuner");
    assert_eq!(shim.request("tools/list", &json!({}))["result"]["tools"][0]["name"], "took");
    let mut took = |minutes: f64, signal: &str| {
        let meta = json!({"dev.agentvc/signal": {"id": signal}});
        let arguments = json!({"task": "juggling", "minutes": minutes});
        shim.request("tools/call", &json!({"name": "took", "arguments": arguments, "_meta": meta}))
            ["result"]
            .clone()
    };
    assert_eq!(took(10.5, "s-1")["structuredContent"]["result"], 10.5);
    assert_eq!(took(10.5, "s-1")["content"][0]["text"], "signal `s-1` was already counted");
    assert_eq!(took(20.5, "s-2")["structuredContent"]["result"], 15.5);
    let refused = took(-1.0, "s-3");
    assert_eq!(refused["isError"], true);
    assert!(refused["content"][0]["text"].as_str().unwrap().contains("minutes is -1"), "{refused}");
    let staged: Value = serde_json::from_str(&world.read("a/state/staging.state.json")).unwrap();
    assert_eq!(staged["tasks"]["juggling"], json!({"minutes": 15.5, "seen": 2}));
    // `agent mcp runner --at staging` serves it
    let mut runner =
        Pipes::start(world.command(AGENT, "a").args(["mcp", "runner", "--at", "staging"]));
    runner.initialize("2025-11-25");
    assert_eq!(
        runner.call("estimate", &json!({"task": "juggling"}))["structuredContent"]["minutes"],
        15.5
    );
    shim.close_stdin();
    assert!(shim.exited(SOON).success());
}
