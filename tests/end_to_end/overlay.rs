//! The overlay of an adopted server: what hosts are listed, what calls and results become, what a
//! promotion may change.

use crate::adopt;
use crate::clients::{call, with_client};
use crate::pipes::Pipes;
use crate::world::{AGENT, World};
use rmcp::model::ProtocolVersion;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An MCP server on the standard library, written without `agent` in mind. `meter` answers with
/// what it was called with.
const SERVER: &str = r#"
import json, os, sys
# stands where `from mcp.server import ...` would
NUMBER = {"type": "number", "maximum": 1000}
TOOLS = [
    {"name": "meter", "description": "Measures.", "vendor/x": 12345678901234567890123, "inputSchema": {"type": "object",
        "properties": {"number": NUMBER, "unit": {"enum": ["km", "mile"]}}, "required": ["number"]}},
    {"name": "erase", "description": "Erases all.", "inputSchema": {"type": "object", "properties": {}}},
]

def answer(method, params):
    if method == "initialize":
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "meter", "version": "1"}}
    if method == "tools/list":
        return {"tools": TOOLS}
    if params["name"] == "meter" and "number" not in params.get("arguments", {}):
        return {"content": [{"type": "text", "text": "missing argument: number"}], "isError": True}
    said = {"arguments": params.get("arguments", {}), "process": os.getpid()}
    text = json.dumps(said["arguments"], sort_keys=True)
    return {"content": [{"type": "text", "text": text}], "structuredContent": said, "x": 1.10}

for line in sys.stdin:
    frame = json.loads(line)
    if "id" not in frame:
        continue
    if frame["method"] in ("initialize", "tools/list", "tools/call"):
        said = {"result": answer(frame["method"], frame.get("params", {}))}
    else:
        said = {"error": {"code": -32601, "message": "Method not found"}}
    print(json.dumps({"jsonrpc": "2.0", "id": frame["id"], **said}), flush=True)
"#;

/// One case that any answer of the tool passes.
const CASES: &str = "{\"id\": \"meter\", \"tool\": \"meter\", \"arguments\": {\"number\": 1}, \
    \"expect\": {\"schema\": {}}}\n";

/// The adopted server, released.
fn adopted(promote: &str) -> World {
    let world = World::new();
    world.git(".", ["init", "--quiet", "a"]);
    world.write("a/server.py", SERVER);
    world.git("a", ["add", "."]);
    world.git("a", ["commit", "--quiet", "-m", "a server"]);
    world.agent("a", ["adopt"]).ok();
    world.write("a/tests/micro/adopted.jsonl", CASES);
    let manifest = world.read("a/agent.toml");
    assert!(manifest.contains("[promote]\n"), "{manifest}");
    world.write("a/agent.toml", manifest.replace("[promote]\n", &format!("[promote]\n{promote}")));
    adopt::release(&world);
    world
}

fn serve(world: &World, at: &str) -> Pipes {
    let mut command = world.command(AGENT, "a");
    let mut shim = Pipes::start(command.args(["mcp", "runner", "--at", at]));
    shim.initialize("2025-11-25");
    shim
}

fn listed(shim: &mut Pipes) -> Vec<Value> {
    shim.request("tools/list", &json!({}))["result"]["tools"].as_array().expect("tools").clone()
}

fn set(world: &World, changes: &[&str]) {
    world.agent("a", [&["state", "set"], changes].concat()).ok();
}

#[test]
fn an_adopted_server_is_presented_by_the_state_and_learns_in_patches() {
    let world = adopted("");
    let mut shim = serve(&world, "active");
    let before = listed(&mut shim);
    assert_eq!(before[0]["description"], "Measures.");
    let process = shim.call("meter", &json!({"number": 1}))["structuredContent"]["process"].clone();

    set(
        &world,
        &[
            "overlay.tools.meter.description=Measures a distance.",
            "overlay.tools.meter.keywords=[\"far\", \"distance\"]",
            "overlay.tools.meter.parameters.unit.default=km",
            "overlay.tools.meter.append=Ask for mile or km.",
        ],
    );
    world.agent("a", ["promote"]).ok();
    assert_eq!(shim.value()["method"], "notifications/tools/list_changed");
    let now = listed(&mut shim);
    assert_eq!(now[0]["description"], "Measures a distance.\n\nUse it for: far, distance.");
    assert_eq!(now[0]["inputSchema"]["properties"]["unit"]["default"], "km");
    assert_eq!(now[0]["vendor/x"], before[0]["vendor/x"]);
    assert_eq!(now[1], before[1]);
    let result = shim.call("meter", &json!({"number": 2}));
    assert_eq!(result["structuredContent"]["arguments"], json!({"number": 2, "unit": "km"}));
    assert_eq!(result["content"][1], json!({"type": "text", "text": "Ask for mile or km."}));
    assert_eq!(result["x"], 1.10);
    assert_eq!(result["structuredContent"]["process"], process, "the server was not restarted");
    assert!(!shim.stderr().contains("other tools"), "{}", shim.stderr());
    assert_eq!(world.git("a", ["tag"]), "v0.1.0\nv0.1.1");
    let log = world.git("a", ["log", "-1", "--format=%s", "active"]);
    assert!(log.contains("promote: v0.1.1"), "{log}");
    let told = world.agent("a", ["semver", "v0.1.0..v0.1.1", "--json"]).ok().json();
    let rules: Vec<_> = told["changes"]
        .as_array()
        .unwrap_or_else(|| panic!("{told}"))
        .iter()
        .filter(|change| change["tool"] == "meter")
        .map(|change| change["rule"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(rules, ["parameter-default-changed", "tool-description-changed"]);
}

#[test]
fn a_host_of_what_is_tuned_or_edited_is_notified_of_the_tools_as_well() {
    let world = adopted("");
    let path = "a/state/active.state.json";
    let described = |shim: &mut Pipes| listed(shim)[0]["description"].clone();
    let mut of_staging = serve(&world, "staging");
    let mut of_worktree = serve(&world, "worktree");
    let before = described(&mut of_staging);
    assert_eq!(described(&mut of_worktree), before);

    set(&world, &["overlay.tools.meter.description=Measures a distance."]);
    assert_eq!(of_staging.value()["method"], "notifications/tools/list_changed");
    assert_eq!(described(&mut of_staging), "Measures a distance.");

    let mut state: Value = serde_json::from_str(&world.read(path)).unwrap();
    state["overlay"] = json!({"tools": {"meter": {"description": "Edited."}}});
    world.write(path, state.to_string());
    assert_eq!(of_worktree.value()["method"], "notifications/tools/list_changed");
    assert_eq!(described(&mut of_worktree), "Edited.");
}

#[test]
fn a_limit_and_a_tool_left_out_hold_for_every_caller_of_both_eras() {
    let world = adopted(
        "overlay = [\"tool-removed\", \"parameter-narrowed\"]
",
    );
    set(
        &world,
        &[
            "overlay.tools.meter.parameters.number.maximum=9",
            "overlay.tools.meter.max_result_chars=10",
            "overlay.tools.erase.hidden=true",
        ],
    );
    world.agent("a", ["promote"]).ok();
    for revision in [ProtocolVersion::LATEST_WITH_INITIALIZE, ProtocolVersion::LATEST] {
        let mut command = world.command(AGENT, "a");
        command.args(["mcp", "runner"]);
        with_client(command, &revision, async |client| {
            let tools = client.list_all_tools().await.unwrap();
            let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
            assert_eq!(names, ["meter"]);
            assert_eq!(tools[0].input_schema["properties"]["number"]["maximum"], 9);
            let text = async |tool: &'static str, arguments: Value| {
                let result = call(client, tool, arguments).await.unwrap();
                let text = result.content[0].as_text().expect("a text").text.clone();
                (result.is_error == Some(true), text)
            };
            assert_eq!(
                text("meter", json!({"number": 10})).await,
                (
                    true,
                    "the argument `number` of `meter`: 10 is greater than the maximum of 9"
                        .to_owned()
                )
            );
            assert_eq!(
                text("erase", json!({})).await,
                (true, "the tool `erase` is hidden by the overlay".to_owned())
            );
            assert_eq!(
                text("meter", json!({"number": 9})).await,
                (false, "{\"number\":\n[cut: 10 of 13 characters]".to_owned())
            );
        });
    }
    world.agent("a", ["run", "meter", "number=10"]).code(1).stdout_has("greater than the maximum");
    world.agent("a", ["run", "erase"]).code(1).stdout_has("is hidden by the overlay");
}

#[test]
fn a_promotion_changes_no_more_than_a_patch_may() {
    let world = adopted("");
    for (change, rule) in [
        ("overlay.tools.erase.hidden=true", "tool `erase` is gone (tool-removed: major)"),
        ("overlay.tools.meter.parameters.number.maximum=9", ": major)"),
        (
            "overlay.variants={\"v\": {\"tools\": {\"erase\": {\"hidden\": true}}}}",
            "tool `erase` is gone",
        ),
    ] {
        set(&world, &[change]);
        world
            .agent("a", ["promote"])
            .code(1)
            .stdout_has("the change of the overlay is more than a PATCH")
            .stdout_has(rule)
            .stderr_has("[promote] overlay");
        world.agent("a", ["state", "reset"]).ok();
    }
    for (change, problem) in [
        ("overlay.tools.meters.title=Meters", "`tools.meters`: the server has no such tool"),
        ("overlay.tools.meter.parameters.n.default=1", "it has number, unit"),
        ("overlay.tools.meter.parameters.unit.default=yard", "`default` is refused"),
        ("overlay.tools.meter.parameters.number.default=1001", "greater than the maximum of 1000"),
    ] {
        set(&world, &[change]);
        for verb in
            [&["promote"][..], &["test", "--at", "staging"], &["run", "meter", "--at", "staging"]]
        {
            world.agent("a", verb).code(3).stderr_has(problem);
        }
        world.agent("a", ["state", "reset"]).ok();
    }
    world.agent("a", ["state", "set", "overlay.tools.meter.descripton=x"]).code(3);
    assert_eq!(world.git("a", ["tag"]), "v0.1.0");
}

#[test]
fn an_overlay_that_does_not_fit_leaves_the_listing_whole() {
    let world = adopted("");
    set(&world, &["overlay.tools.meters.title=Meters", "overlay.tools.meter.title=Meter"]);
    let mut shim = serve(&world, "staging");
    let tools = listed(&mut shim);
    assert_eq!((tools.len(), &tools[0]["title"]), (2, &json!("Meter")));
    assert_eq!(shim.call("meter", &json!({"number": 1}))["content"].as_array().unwrap().len(), 1);
    assert!(
        shim.stderr().contains("`tools.meters`: the server has no such tool"),
        "{}",
        shim.stderr()
    );
}

#[test]
fn cases_are_run_through_the_overlay() {
    let world = adopted("");
    let case = |id: &str, arguments: Value, expect: Value| {
        json!({"id": id, "tool": "meter", "arguments": arguments, "expect": expect}).to_string()
            + "\n"
    };
    let cases = [
        case("filled", json!({"number": 1}), json!({"subset": {"arguments": {"unit": "mile"}}})),
        case("limit", json!({"number": 10}), json!({"error": "maximum of 9"})),
    ];
    world.write("a/tests/micro/adopted.jsonl", cases.concat());
    world.agent("a", ["test"]).code(1);
    let overlay = json!({"schema_version": 1, "overlay": {"tools": {"meter": {"parameters": {
        "unit": {"default": "mile"}, "number": {"maximum": 9}}}}}});
    world.write("a/state/active.state.json", overlay.to_string());
    world.agent("a", ["test"]).ok();
}

#[test]
fn a_release_counts_what_its_overlay_leaves_out() {
    let world = adopted("");
    let hidden = json!({"schema_version": 1, "overlay": {"tools": {"erase": {"hidden": true}}}});
    world.write("a/state/active.state.json", hidden.to_string());
    world.git("a", ["commit", "--quiet", "--no-verify", "--all", "-m", "leave erase out"]);
    let told = world.agent("a", ["semver", "--json"]).ok().json();
    assert_eq!(told["bump"], "major", "{told}");
    world.agent("a", ["release"]).ok();
    assert_eq!(world.git("a", ["tag"]), "v0.1.0\nv1.0.0");
    assert_eq!(listed(&mut serve(&world, "active")).len(), 1);
}

/// A variant that half of the conversations are shown.
const SPLIT: [&str; 2] = [
    "overlay.variants={\"long\": {\"tools\": {\"meter\": {\"description\": \"Measures far.\", \"parameters\": {\"unit\": {\"default\": \"mile\"}}}}}}",
    "overlay.shares.long=0.5",
];

/// The conversation's variant, by its turns.
fn facts(world: &World, conversation: &str) -> Value {
    let text = world.read(format!("a/.agent/conversations/{conversation}.jsonl"));
    let last: Value = serde_json::from_str(text.lines().last().expect("a turn")).unwrap();
    last["facts"].clone()
}

/// The first tool as a thread of a host is listed it, and the result of a call in the thread.
fn in_thread(shim: &mut Pipes, thread: &str) -> (Value, Value) {
    let meta = json!({"threadId": thread});
    let tools = shim.request("tools/list", &json!({"_meta": meta}))["result"]["tools"].clone();
    let params = json!({"name": "meter", "arguments": {"number": 1}, "_meta": meta});
    (tools[0].clone(), shim.request("tools/call", &params)["result"].clone())
}

#[test]
fn a_conversation_is_listed_and_served_one_variant() {
    let world = adopted("");
    set(&world, &SPLIT);
    world.agent("a", ["promote"]).ok();
    let mut shim = serve(&world, "active");
    let mut by_arm = BTreeMap::new();
    for thread in ["t-1", "t-2", "t-3", "t-4", "t-5", "t-6"] {
        let (tool, first) = in_thread(&mut shim, thread);
        let is_long = tool["description"] == "Measures far.";
        let unit = first["structuredContent"]["arguments"]["unit"].clone();
        assert_eq!(unit, if is_long { json!("mile") } else { Value::Null });
        let id = first["_meta"]["dev.agentvc/conversation"]["id"].as_str().expect("an id");
        assert_eq!(first["content"].as_array().unwrap().len(), 1, "the content is the server's");
        let arm = if is_long { "long" } else { "plain" };
        let draw =
            json!({"arm": arm, "propensity": 0.5, "propensities": {"long": 0.5, "plain": 0.5}});
        let mut first_facts = draw.clone();
        first_facts["overlay"] = draw.clone();
        assert_eq!(facts(&world, id), first_facts);
        assert_eq!(in_thread(&mut shim, thread).1["_meta"], Value::Null);
        assert_eq!(facts(&world, id), json!({"overlay": draw}), "a conversation decides once");
        by_arm.insert(arm, thread);
    }
    assert_eq!(by_arm.len(), 2, "the draw is a function of the thread");

    set(&world, &["overlay.shares.long=0", "overlay.tools.meter.title=Meter"]);
    world.agent("a", ["promote"]).ok();
    let mut other = serve(&world, "active");
    assert_eq!(listed(&mut other)[0]["title"], "Meter");
    let (tool, result) = in_thread(&mut other, by_arm["long"]);
    assert_eq!((&tool["description"], &tool["title"]), (&json!("Measures far."), &Value::Null));
    assert_eq!(result["structuredContent"]["arguments"]["unit"], "mile");
}

#[test]
fn shares_are_evaluated_on_the_record_without_a_call() {
    let world = adopted("");
    world.agent("a", ["templates", "apply", "presentation"]).ok();
    world.git("a", ["add", "--all"]);
    world.git("a", ["commit", "--quiet", "--no-verify", "-m", "a Tuner"]);
    world.agent("a", ["release"]).ok();
    set(&world, &SPLIT);
    world.agent("a", ["promote"]).ok();
    for number in 0..12 {
        let id = format!("c-{number}");
        world.agent("a", ["run", "meter", "--conversation", &id, "number=1"]).ok();
        let is_long = facts(&world, &id)["arm"] == "long";
        let value = if is_long { "value=1" } else { "value=0" };
        world.agent("a", ["tune", "reward", "--conversation", &id, value]).ok();
    }
    set(&world, &["overlay.shares.long=1"]);
    let evaluate = ["evaluate", "--off-policy", "--json"];
    let said = world.agent("a", evaluate).code(7).json();
    let text = said.to_string();
    assert!(text.contains("\"decisions\":12"), "{text}");
}

#[test]
fn a_tuner_is_added_that_learns_descriptions_and_variants() {
    let world = adopted("");
    world.agent("a", ["templates", "apply", "presentation"]).ok();
    world.git("a", ["add", "--all"]);
    world.git("a", ["commit", "--quiet", "--no-verify", "-m", "a Tuner"]);
    world.agent("a", ["release"]).ok();
    let mut shim = serve(&world, "active");
    listed(&mut shim);
    for (request, right, wrong) in [
        ("How far is the station?", "meter", "erase"),
        ("Which distance did I run?", "meter", "erase"),
        ("Throw the old files out", "erase", "meter"),
    ] {
        let words = [
            format!("request={request}"),
            format!("right_tool={right}"),
            format!("wrong_tool={wrong}"),
        ];
        let tune = [&["tune".to_owned(), "picked".to_owned()][..], &words].concat();
        world.agent("a", tune).ok();
    }
    world.agent("a", ["promote"]).ok();
    assert_eq!(shim.value()["method"], "notifications/tools/list_changed");
    let tools = listed(&mut shim);
    assert_eq!(tools[0]["description"], "Measures.\n\nUse it for: distance, far, run, station.");
    assert_eq!(tools[1]["description"], "Erases all.\n\nUse it for: files, throw.");

    let tools = r#"tools={"meter": {"description": "Measures far."}}"#;
    world.agent("a", ["tune", "add", "name=long", tools]).ok();
    world.agent("a", ["promote"]).ok();
    let called = ["run", "meter", "--conversation", "c1", "number=1"];
    world.agent("a", called).ok();
    let arm = facts(&world, "c1")["arm"].as_str().expect("an arm").to_owned();
    let rewarded = world.agent("a", ["tune", "reward", "--conversation", "c1", "value=1"]).ok();
    let shares: Value = serde_json::from_str(&rewarded.stdout).unwrap();
    let share = shares["shares"][&arm].as_f64().unwrap();
    assert!(share > 0.5, "{shares}");
    world.agent("a", ["tune", "reward", "--conversation", "c2", "value=1"]).code(1);
    world.agent("a", ["tune", "settle", "name=long"]).ok();
    world.agent("a", ["promote"]).ok();
    let tools = listed(&mut serve(&world, "active"));
    assert_eq!(
        tools[0]["description"],
        "Measures far.\n\nUse it for: distance, far, run, station."
    );
}
