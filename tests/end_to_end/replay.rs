//! Calls of service on record, and their replay on a candidate.

use crate::gc::age;
use crate::pipes::{Pipes, eventually};
use crate::served::{FOLDER, Served};
use crate::world::{Ended, World};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Looks up a price, takes a note (which is a side effect), and counts within a conversation.
const RUNNER: &str = r#"
import os
from pathlib import Path

from agent_runtime import Server, conversation

runner = Server("shop")
PRICES = {"apple": 3, "pear": 4, "plum": 5}


@runner.tool(annotations={"readOnlyHint": True})
def price(item: str, api_key: str = "") -> int:
    return PRICES[item]


@runner.tool(annotations={"readOnlyHint": True})
def greet(name: str) -> str:
    return "Hello " + name


@runner.tool(annotations={"readOnlyHint": True})
def variable(name: str) -> str:
    return os.environ.get(name, "unset")


@runner.tool
def note(text: str) -> str:
    path = Path(os.environ["AGENT_DATA"]) / "notes.txt"
    with path.open("a") as file:
        file.write(text + "\n")
    return "noted"


@runner.tool(annotations={"readOnlyHint": True}, stateful=True)
def count() -> int:
    data = conversation().data
    data["n"] = data.get("n", 0) + 1
    return data["n"]


if __name__ == "__main__":
    runner.run()
"#;

const RECORD: &str = "[record]\ncontent = true\n";

fn shop(record: &str) -> Served {
    let manifest = include_str!("../../templates/minimal/agent.toml");
    let manifest = format!("{manifest}\n{record}");
    Served::with(&[
        ("agent.toml", &manifest),
        ("runner/__main__.py", RUNNER),
        (
            "tests/micro/prices.jsonl",
            "{\"id\": \"plum\", \"tool\": \"price\", \"arguments\": {\"item\": \"plum\"}, \
            \"expect\": {\"equals\": 5}}\n",
        ),
    ])
}

fn tool_call(tool: &str, arguments: &Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

fn turn(conversation: &str) -> Value {
    json!({"name": "count", "arguments": {},
        "_meta": {"dev.agentvc/conversation": {"id": conversation}}})
}

/// Serves these calls over stdio.
fn serve(served: &Served, calls: &[Value]) {
    converse(&mut Pipes::start(served.command().args(["mcp", "runner"])), calls);
}

fn converse(shim: &mut Pipes, calls: &[Value]) {
    shim.initialize("2025-11-25");
    answered(shim, calls);
}

fn answered(shim: &mut Pipes, calls: &[Value]) {
    for call in calls {
        let answer = shim.request("tools/call", call);
        assert!(answer["result"]["isError"] != true, "{answer}");
    }
    shim.close_stdin();
    assert!(shim.exited(Duration::from_secs(30)).success());
}

fn traffic() -> Vec<Value> {
    let mut calls = Vec::new();
    for item in ["apple", "pear", "plum", "apple"] {
        calls.push(tool_call("price", &json!({"item": item})));
    }
    calls.push(tool_call("note", &json!({"text": "buy apples"})));
    calls.push(tool_call("greet", &json!({"name": "Ann"})));
    calls.extend([turn("c1"), turn("c1"), turn("c1")]);
    calls
}

fn edit(served: &Served, from: &str, to: &str) {
    let path = Path::new(FOLDER).join("runner/__main__.py");
    assert!(RUNNER.contains(from), "{from}");
    served.world.write(path, RUNNER.replace(from, to));
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

/// The files of the record.
fn record_files(served: &Served) -> Vec<PathBuf> {
    let calls = served.world.path(FOLDER).join(".agent/store/telemetry/calls");
    files_below(&calls)
}

#[test]
fn a_planted_fault_is_found_and_no_side_effect_is_repeated() {
    let served = shop(RECORD);
    served.agent(["replay"]).code(7).stderr_has("no call is on record");
    serve(&served, &traffic());
    let notes = served.world.path(FOLDER).join(".agent/data/notes.txt");
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "buy apples\n");

    let same = served.agent(["replay", "--json"]).ok().json();
    assert_eq!(same["schema"], "agent/replay@1");
    assert_eq!(
        [&same["recorded"], &same["replayed"], &same["distinct"], &same["conversations"]],
        [&json!(9), &json!(8), &json!(4), &json!(1)],
        "{same}"
    );
    assert_eq!(same["left_out"]["withheld"], json!({"note": 1}), "{same}");
    assert_eq!((&same["verdict"], &same["same"]), (&json!("pass"), &json!(5)), "{same}");

    // a wrong answer where a case says what is right
    edit(&served, "\"plum\": 5", "\"plum\": 6");
    let worse = served.agent(["replay", "--json"]).code(1).json();
    assert_eq!((&worse["verdict"], &worse["worse"]), (&json!("fail"), &json!(1)), "{worse}");
    assert_eq!(worse["differing"][0]["tools"], json!(["price"]), "{worse}");
    served.agent(["replay"]).code(1).stdout_has("worse").stdout_has("note are not run");

    // a failure needs no expectation, and another answer alone decides nothing
    edit(&served, "return \"Hello \" + name", "return name.missing");
    served.agent(["replay"]).code(1).stdout_has("greet");
    edit(&served, "Hello", "Hi");
    let open = served.agent(["replay", "--json"]).code(7).json();
    assert_eq!((&open["undecided"], &open["worse"]), (&json!(1), &json!(0)), "{open}");
    let lines = "{\"tool\": \"greet\", \"expect\": {\"regex\": \"Ann\"}}\n\
        {\"tool\": \"gret\", \"ignore\": [\"/at\"]}\n";
    served.world.write(Path::new(FOLDER).join("tests/replay.jsonl"), lines);
    let alike = served.agent(["replay"]).ok().stdout_has("differs, judged alike");
    alike.stderr_has("tests/replay.jsonl:2: neither side has a tool `gret`");

    // a Runner that dies in every call is named with its side
    let dies = "import os as system; system._exit(3)";
    let all = ["return PRICES[item]", "return \"Hello \" + name", "return data[\"n\"]"];
    let dying = all.iter().fold(RUNNER.to_owned(), |code, answer| code.replace(answer, dies));
    served.world.write(Path::new(FOLDER).join("runner/__main__.py"), dying);
    served.agent(["replay"]).code(5).stderr_has("the calls cannot be run on worktree");

    // what a conversation remembers is carried through the candidate
    edit(&served, "data.get(\"n\", 0) + 1", "data.get(\"n\", 0) + 2");
    served.agent(["replay"]).code(7).stdout_has("turn 1");

    // a tool with a side effect was never run
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "buy apples\n");

    // one that the manifest names writes into a folder of the replay
    served.world.write(Path::new(FOLDER).join("runner/__main__.py"), RUNNER);
    let manifest = served.world.path(FOLDER).join("agent.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text + "replay = [\"note\"]\n").unwrap();
    let named = served.agent(["replay", "--json"]).ok().json();
    assert_eq!((&named["replayed"], &named["left_out"]["withheld"]), (&json!(9), &json!({})));
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "buy apples\n");
}

#[test]
fn nothing_is_recorded_unless_the_manifest_has_it_so() {
    let served = shop("");
    serve(&served, &traffic());
    assert!(record_files(&served).is_empty());
    served.agent(["replay"]).code(7).stderr_has("`content = true`");
}

#[test]
fn secrets_and_what_rules_name_are_never_written() {
    let rules = "[record]\ncontent = true\nredact = [{ pattern = \"(?i)ann\", with = \"N\" }]\n";
    let served = shop(rules);
    serve(
        &served,
        &[
            tool_call("price", &json!({"item": "pear", "api_key": "hunter2hunter2"})),
            tool_call("greet", &json!({"name": "Ann"})),
            tool_call("note", &json!({"text": "token ghp_0123456789abcdefghij"})),
        ],
    );
    let files = record_files(&served);
    let text: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert!(text.contains("\"item\":\"pear\"") && text.contains("[redacted]"), "{text}");
    for secret in ["hunter2", "ghp_", "Ann"] {
        let written = files_below(&served.world.path(FOLDER).join(".agent"));
        // the Runner's own files and its code are not the record's
        let own =
            ["data", "checkouts"].map(|name| served.world.path(FOLDER).join(".agent").join(name));
        for path in written.iter().filter(|path| !own.iter().any(|own| path.starts_with(own))) {
            let bytes = std::fs::read(path).unwrap_or_default();
            let has = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!has, "{secret}: {}", path.display());
        }
        assert!(!text.contains(secret), "{text}");
    }
    let replayed = served.agent(["replay", "--json"]).code(7).json();
    assert_eq!(replayed["left_out"]["redacted"], 2, "{replayed}");
}

#[test]
fn calls_that_differed_become_cases_that_active_passes() {
    let served = shop(RECORD);
    serve(&served, &traffic());
    edit(&served, "\"apple\": 3", "\"apple\": 2");
    served.agent(["replay"]).code(7).stdout_has("expected 3, got 2");
    served.agent(["test", "add", "--from-log", "--differing", "--dry-run"]).ok();
    let file = served.world.path(FOLDER).join("tests/micro/recorded.jsonl");
    assert!(!file.exists());
    let added = served.agent(["test", "add", "--from-log", "--differing", "--json"]).ok().json();
    assert_eq!(added["schema"], "agent/test-add-from-log@1");
    assert_eq!(added["added"].as_array().unwrap().len(), 1, "{added}");
    let case: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(case["arguments"], json!({"item": "apple"}));
    assert_eq!(case["expect"], json!({"equals": {"result": 3}}));
    let id = case["id"].as_str().unwrap();
    served.agent(["test", "--case", id]).code(1);
    // with the case, the difference is a loss; without the fault, both pass
    served.agent(["replay"]).code(1).stdout_has("worse");
    served.world.write(Path::new(FOLDER).join("runner/__main__.py"), RUNNER);
    served.agent(["test", "--case", id]).ok();

    // all others: a note has a side effect, turns belong to their conversation
    let rest = served.agent(["test", "add", "--from-log", "--json"]).ok().json();
    let tools: Vec<_> =
        rest["added"].as_array().unwrap().iter().map(|one| one["tool"].clone()).collect();
    assert_eq!(tools, ["greet", "price", "price"], "{rest}");
    assert_eq!(rest["skipped"][0]["why"], "a case with the same arguments exists", "{rest}");
    for one in rest["added"].as_array().unwrap() {
        served.agent(["test", "--case", one["id"].as_str().unwrap()]).ok();
    }
    let notes = served.world.path(FOLDER).join(".agent/data/notes.txt");
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "buy apples\n");
}

const KEY: &str = "RECORD_KEY";

fn keyed(served: &Served, key: Option<&str>, arguments: &[&str]) -> Ended {
    let mut command = served.command();
    command.args(arguments).env_remove(KEY);
    if let Some(key) = key {
        command.env(KEY, key);
    }
    World::finish(&mut command)
}

#[test]
fn an_encrypted_record_is_read_with_its_key_alone() {
    let served = shop("[record]\ncontent = true\nkey = \"RECORD_KEY\"\n");
    let key = "0123456789abcdef".repeat(4);
    // without its key nothing is recorded, and no plain text is written
    serve(&served, &traffic());
    assert!(record_files(&served).is_empty());
    keyed(&served, None, &["doctor"]).stdout_has("RECORD_KEY");

    let mut shim = Pipes::start(served.command().args(["mcp", "runner"]).env(KEY, &key));
    shim.initialize("2025-11-25");
    let mut calls = traffic();
    calls.truncate(4);
    calls.push(tool_call("greet", &json!({"name": "Ann"})));
    let found = shim.request("tools/call", &tool_call("variable", &json!({"name": KEY})));
    assert_eq!(found["result"]["content"][0]["text"], "unset", "the key is not the Runner's");
    answered(&mut shim, &calls);
    let files = record_files(&served);
    assert!(!files.is_empty());
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("agent/sealed@1"), "{text}");
        for word in ["apple", "price", "Ann", "served-call"] {
            assert!(!text.contains(word), "{text}");
        }
    }
    keyed(&served, Some(&key), &["doctor"]).stdout_has("recorded, encrypted, for 30 days");
    let replayed = keyed(&served, Some(&key), &["replay", "--json"]).ok().json();
    assert_eq!(replayed["recorded"], 6, "{replayed}");
    keyed(&served, None, &["replay"]).code(6).stderr_has("RECORD_KEY").stderr_has("is not set");
    keyed(&served, Some("short"), &["replay"]).code(6).stderr_has("holds no key");
    let other = "f".repeat(64);
    keyed(&served, Some(&other), &["replay"]).code(6).stderr_has("another key");

    // a torn end and a changed line are left out, with a warning
    let mut text = std::fs::read_to_string(&files[0]).unwrap();
    text.push_str("{\"schema\":\"agent/sealed@1\",\"salt\":\"AAAA\"}\n{\"schema\":\"agent/sea");
    std::fs::write(&files[0], text).unwrap();
    let mended = keyed(&served, Some(&key), &["replay"]);
    mended.ok().stderr_has("1 lines of the record cannot be read");
}

#[test]
fn a_record_is_removed_after_its_days() {
    let served = shop("[record]\ncontent = true\nkeep_days = 2\n");
    serve(&served, &traffic());
    served.agent(["replay"]).ok();
    let files = record_files(&served);
    served.agent(["gc"]).ok();
    assert_eq!(record_files(&served), files, "they are new");
    for path in &files {
        age(path, 3);
    }
    served.agent(["gc", "--dry-run"]).ok().stdout_has("record");
    assert_eq!(record_files(&served), files);
    served.agent(["gc"]).ok();
    assert!(record_files(&served).is_empty());
    served.agent(["replay"]).code(7);

    // a server that records removes days that are over
    let old = "agent repo ü/.agent/store/telemetry/calls/2020/01/01/120000000-p-0.jsonl";
    let old = served.world.write(old, "{}\n");
    serve(&served, &traffic());
    assert!(!old.exists() && !record_files(&served).is_empty());
}

#[test]
fn a_killed_server_loses_no_call_that_was_written() {
    let served = shop(RECORD);
    let mut shim = Pipes::start(served.command().args(["mcp", "runner"]));
    shim.initialize("2025-11-25");
    let calls = traffic();
    for call in &calls {
        shim.request("tools/call", call);
    }
    let spool = served.world.path(FOLDER).join(".agent/telemetry");
    let written = || -> usize {
        let files = files_below(&spool).into_iter();
        let of_calls = files.filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("calls-"))
        });
        of_calls.map(|path| std::fs::read_to_string(path).unwrap().lines().count()).sum()
    };
    eventually(Duration::from_secs(30), "the calls are written", || written() == calls.len());
    // killed: nothing is shipped, and the next command finds it
    drop(shim);
    assert_eq!(served.agent(["replay", "--json"]).ok().json()["recorded"], calls.len());
    assert!(!record_files(&served).is_empty(), "and ships it");
}
