//! Servers whose lists depend on the client, and whose calls are tasks.

use crate::bench::{Bench, FOLDER};
use crate::pipes::{Pipes, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const SERVER: &str = include_str!("programs/conditional.py");

fn bench() -> Bench {
    let bench = Bench::new(SERVER);
    let manifest = "schema = \"agent/manifest@1\"\n\
        name = \"bench\"\n\
        [runner]\n\
        command = [\"python\", \"runner.py\"]\n\
        [limits]\n\
        start_s = 30\n\
        call_s = 30\n";
    bench.world.write(format!("{FOLDER}/agent.toml"), manifest);
    bench.release();
    bench
}

fn names(listed: &Value) -> Vec<&str> {
    listed["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect()
}

fn greeted(bench: &Bench, capabilities: &Value, slow: bool) -> Pipes {
    let mut command = bench.agent(&["mcp", "runner"]);
    let mut shim = Pipes::start(if slow { command.env("SLOW_START", "1") } else { &mut command });
    let info = json!({"name": "t", "version": "1"});
    shim.request(
        "initialize",
        &json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": info}),
    );
    shim
}

#[test]
fn the_contract_hides_no_tool_and_lists_are_answered_while_the_server_starts() {
    let bench = bench();
    // the Contract is recorded, with the server's discovery
    let compared = bench.agent(&["semver", "active..active"]).output().unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
    let asking = json!({"sampling": {}});
    assert_eq!(
        names(&greeted(&bench, &asking, true).request("tools/list", &json!({}))),
        ["begin", "asking"]
    );
    let mut plain = greeted(&bench, &json!({}), true);
    assert_eq!(names(&plain.request("tools/list", &json!({}))), ["begin"]);
    assert_eq!(
        plain.request("prompts/list", &json!({}))["result"]["prompts"][0]["name"],
        "hello-one"
    );
    // a host without the capability is not warned of what its child does not list
    let mut plain = greeted(&bench, &json!({}), false);
    plain.request("tools/call", &json!({"name": "begin", "arguments": {}}));
    assert!(!plain.stderr().contains("other tools than the Contract"), "{}", plain.stderr());
}

#[test]
fn a_task_request_goes_to_the_child_that_made_it_after_a_code_change() {
    let bench = bench();
    let mut shim = bench.greeted();
    let begun = shim
        .request("tools/call", &json!({"name": "begin", "arguments": {}, "task": {"ttl": 60_000}}));
    assert_eq!(begun["result"]["task"]["taskId"], "t1", "{begun}");
    let result = |shim: &mut Pipes, id: &str| {
        shim.request("tasks/result", &json!({"taskId": id}))["result"]["content"][0]["text"].clone()
    };
    assert_eq!(result(&mut shim, "t1"), "made by one");
    bench.program("runner", &SERVER.replace("VERSION = \"one\"", "VERSION = \"two\""));
    eventually(Duration::from_secs(60), "the new code serves", || {
        shim.request("prompts/list", &json!({}))["result"]["prompts"][0]["name"] == "hello-two"
    });
    assert_eq!(result(&mut shim, "t1"), "made by one");
}
