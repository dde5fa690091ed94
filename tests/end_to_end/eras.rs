//! `agent mcp` between two protocol eras: a client is answered in its own era, whatever the child's
//! is.

use crate::bench::{Bench, PLAIN, RUNNER};
use crate::pipes::Pipes;
use serde_json::{Value, json};

/// A server that knows the stateless era alone.
const STATELESS: &str = include_str!("programs/stateless.py");
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// The parameters of a request in the stateless era.
pub fn stateless(params: &Value) -> Value {
    let mut params = params.clone();
    for (key, value) in
        [("protocolVersion", json!("2026-07-28")), ("clientCapabilities", json!({}))]
    {
        params["_meta"][format!("io.modelcontextprotocol/{key}")] = value;
    }
    params
}

fn ask(shim: &mut Pipes, method: &str, params: &Value) -> Value {
    shim.request(method, &stateless(params))
}

#[test]
fn a_stateless_host_needs_no_handshake() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.shim();
    let discovered = ask(&mut shim, "server/discover", &json!({}))["result"].clone();
    assert_eq!(discovered["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "bench");
    assert_eq!(discovered["capabilities"]["tools"]["listChanged"], true);
    let listed = ask(&mut shim, "tools/list", &json!({}))["result"].clone();
    assert_eq!(
        (&listed["resultType"], &listed["tools"][0]["name"]),
        (&json!("complete"), &json!("weight"))
    );
    assert!(listed["ttlMs"].is_u64() && listed["cacheScope"].is_string(), "{listed}");
    let called =
        ask(&mut shim, "tools/call", &json!({"name": "weight", "arguments": {}}))["result"].clone();
    assert_eq!(
        (&called["resultType"], &called["structuredContent"]["weight"]),
        (&json!("complete"), &json!(1))
    );
    assert_eq!(ask(&mut shim, "ping", &json!({}))["error"]["code"], -32601);
    let mut wrong = stateless(&json!({}));
    wrong["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    let refused = shim.request("tools/list", &wrong)["error"].clone();
    assert_eq!(
        (&refused["code"], &refused["data"]["supported"]),
        (&json!(-32022), &json!(["2026-07-28"]))
    );
    let lacking = shim.request(
        "tools/list",
        &json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}),
    );
    assert_eq!(lacking["error"]["code"], -32602);
    assert_eq!(
        shim.request("tools/list", &json!({}))["error"]["code"],
        -32602,
        "there was no handshake"
    );
}

/// The agent's name and the version that is served, in both eras and in every result that the
/// server signs; the rest of its `serverInfo` is unchanged.
#[test]
fn server_info_has_the_agents_name_and_version() {
    let bench =
        Bench::new(&RUNNER.replace(
            "Server(\"bench\", version=\"1.0.0\")",
            "Server(\"own-name\", version=\"9.9\")",
        ));
    bench.release();
    let server = |result: &Value| result["_meta"]["io.modelcontextprotocol/serverInfo"].clone();
    let released = json!({"name": "bench", "version": "0.1.0"});
    let mut shim = Pipes::start(&mut bench.agent(&["mcp", "runner"]));
    assert_eq!(shim.initialize("2025-11-25")["serverInfo"], released);
    let called = json!({"name": "weight", "arguments": {}});
    for (method, params) in [
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("tools/call", called),
        ("prompts/list", json!({})),
    ] {
        let mut shim = Pipes::start(&mut bench.agent(&["mcp", "runner"]));
        let result = ask(&mut shim, method, &params)["result"].clone();
        assert!(
            server(&result) == released || (method == "prompts/list" && result.is_null()),
            "{method}: {result}"
        );
    }
    let mut shim = bench.shim();
    assert_eq!(
        server(&ask(&mut shim, "server/discover", &json!({}))["result"]),
        json!({"name": "bench", "version": "worktree"})
    );
}

/// The discovery of each era is answered from that era, once both are recorded.
#[test]
fn each_era_is_answered_as_the_server_answers_it() {
    let refuses = r#"return {"error": {"code": -32022, "message": "Unsupported protocol version", "data": {"supported": ["2026-07-28"]}}}"#;
    let greets = r#"return {"result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "both", "version": "1"},
            "tools": [{"name": "meta", "inputSchema": {"type": "object"}}], "content": []}}"#;
    let (one_order, another) = (
        r#"{"name": "meta", "inputSchema": {"type": "object"}}"#,
        r#"{"inputSchema": {"type": "object"}, "name": "meta"}"#,
    );
    let both = STATELESS.replace(one_order, another).replace(refuses, greets);
    assert!(both.contains(greets) && both.contains(another));
    let bench = Bench::new(&both);
    bench.release();
    for _ in 0..2 {
        let mut shim = Pipes::start(&mut bench.agent(&["mcp", "runner"]));
        shim.initialize("2025-11-25");
        shim.post("tools/list", &json!({}));
        let line = shim.line().unwrap();
        assert!(line.contains(r#"{"name":"meta","inputSchema":{"type":"object"}}"#), "{line}");
        shim.call("meta", &json!({}));
        // the first host of the other era has its list from the child, the second from the record
        ask(&mut shim, "tools/call", &json!({"name": "meta", "arguments": {}}));
        shim.post("tools/list", &stateless(&json!({})));
        let line = shim.line().unwrap();
        assert!(line.contains(r#"{"inputSchema":{"type":"object"},"name":"meta"}"#), "{line}");
    }
}

#[test]
fn both_eras_are_served_by_one_process() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let old = shim.call("weight", &json!({}));
    let new =
        ask(&mut shim, "tools/call", &json!({"name": "weight", "arguments": {}}))["result"].clone();
    assert_eq!(old["resultType"], Value::Null);
    assert_eq!(new["resultType"], "complete");
}

#[test]
fn a_child_of_the_handshake_era_serves_a_stateless_host() {
    let bench = Bench::new(&PLAIN.replace(
        "return call(params) if method == \"tools/call\" else {}",
        "return call(params) if method == \"tools/call\" else None",
    ));
    // as old servers do: what it does not know is an error
    let program = bench.world.read(format!("{}/runner.py", crate::bench::FOLDER)).replace(
        "send({\"id\": frame[\"id\"], \"result\": answer(frame[\"method\"], frame.get(\"params\", \
        {}))})",
        "result = answer(frame[\"method\"], frame.get(\"params\", {}))\
        \n        send({\"id\": frame[\"id\"], **({\"error\": {\"code\": \
        -32602, \"message\": \"no\"}} if result is None else {\"result\": result})})",
    );
    bench.program("runner", &program);
    let mut shim = bench.shim();
    let discovered = ask(&mut shim, "server/discover", &json!({}))["result"].clone();
    assert_eq!(
        discovered["_meta"]["io.modelcontextprotocol/serverInfo"],
        json!({"name": "bench", "version": "worktree"})
    );
    let called =
        ask(&mut shim, "tools/call", &json!({"name": "state", "arguments": {}}))["result"].clone();
    assert_eq!(
        (&called["resultType"], &called["structuredContent"]["weight"]),
        (&json!("complete"), &json!(1))
    );
}

#[test]
fn a_stateless_child_serves_a_host_of_the_handshake_era() {
    let bench = Bench::new(STATELESS);
    let mut shim = bench.shim();
    let greeting = shim.initialize("2025-06-18");
    assert_eq!(
        (&greeting["serverInfo"]["name"], &greeting["protocolVersion"]),
        (&json!("bench"), &json!("2025-06-18"))
    );
    let listed = shim.request("tools/list", &json!({}))["result"].clone();
    assert_eq!(listed, json!({"tools": [{"name": "meta", "inputSchema": {"type": "object"}}]}));
    let called = shim.call("meta", &json!({}));
    assert_eq!(called["resultType"], Value::Null);
    assert_eq!(
        called["structuredContent"]["meta"]["io.modelcontextprotocol/clientInfo"]["name"],
        "test"
    );
}

/// Input that a child requires is requested from a host of the handshake era, and the call is
/// repeated with its answer.
#[test]
fn a_result_that_requires_input_becomes_a_request_in_the_handshake_era() {
    let bench = Bench::new(STATELESS);
    let mut shim = bench.greeted();
    let id = shim.post("tools/call", &json!({"name": "meta", "arguments": {"ask": true}}));
    let question = shim.value();
    assert_eq!(
        (&question["method"], &question["params"]["message"]),
        (&json!("elicitation/create"), &json!("which one?"))
    );
    shim.send(json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept",
        "content": {"n": 1}}}));
    let answer = shim.value();
    assert_eq!(answer["id"], id, "{answer}");
    let shown = &answer["result"]["structuredContent"];
    assert_eq!(shown["given"], json!({"which": {"action": "accept", "content": {"n": 1}}}));
    assert_eq!(shown["state"], "sealed");
    let asked_directly = ask(
        &mut shim,
        "tools/call",
        &json!({"name": "meta", "arguments": {"ask": true}}),
    )["result"]
        .clone();
    assert_eq!(
        (&asked_directly["resultType"], &asked_directly["requestState"]),
        (&json!("input_required"), &json!("sealed"))
    );
}

#[test]
fn a_childs_request_reaches_the_host_and_the_answer_the_child() {
    let bench = Bench::new(PLAIN);
    let mut shim = bench.greeted();
    let id = shim.post("tools/call", &json!({"name": "ask", "arguments": {}}));
    let question = shim.line().unwrap();
    assert!(question.contains(r#""big": 12345678901234567890123"#), "{question}");
    let question: Value = serde_json::from_str(&question).unwrap();
    shim.send(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"action":"accept","big":98765432109876543210987}}}}"#, question["id"]));
    let answer = shim.line().unwrap();
    assert!(answer.contains("98765432109876543210987"), "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["id"], &answer["result"]["structuredContent"]["answer"]["id"]),
        (&json!(id), &json!(1))
    );
    // a child that waits for its host is not late, and a host may say no
    shim.post("tools/call", &json!({"name": "ask", "arguments": {}}));
    let question = shim.value();
    shim.send(
        json!({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}}),
    );
    assert_eq!(
        shim.value()["result"]["structuredContent"]["answer"]["error"],
        json!({"code": -1, "message": "no"})
    );
}

#[test]
fn a_subscription_receives_updates_of_a_conversation_until_cancelled() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.shim();
    let filter = json!({"toolsListChanged": true, "promptsListChanged": true,
        "resourceSubscriptions": ["session://c1", "file:///x"]});
    let id = shim.post("subscriptions/listen", &stateless(&json!({"notifications": filter})));
    let acknowledged = shim.value();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION], id);
    // the Runner has no prompts, and no resources but conversations
    assert_eq!(
        acknowledged["params"]["notifications"],
        json!({"toolsListChanged": true, "resourceSubscriptions": ["session://c1"]})
    );
    let chat =
        stateless(&json!({"name": "chat", "arguments": {"word": "one", "conversation_id": "c1"}}));
    let updated = |shim: &mut Pipes| {
        let call = shim.post("tools/call", &chat);
        let mut told = 0;
        loop {
            let frame = shim.value();
            if frame["id"] == call {
                return (told, frame["result"]["structuredContent"].clone());
            }
            assert_eq!(
                (&frame["params"]["uri"], &frame["params"]["_meta"][SUBSCRIPTION]),
                (&json!("session://c1"), &json!(id))
            );
            told += 1;
        }
    };
    let (before, words) = updated(&mut shim);
    assert_eq!(words, json!({"result": ["one"]}));
    if before == 0 {
        assert_eq!(shim.value()["method"], "notifications/resources/updated");
    }
    shim.send(
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}),
    );
    shim.close_stdin();
    assert!(
        std::iter::from_fn(|| shim.line()).all(|line| line.contains("resources/updated")),
        "nothing answers a cancelled request"
    );
}
