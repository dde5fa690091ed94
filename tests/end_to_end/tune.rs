//! `agent tune` and `agent state`, with a real Tuner.

use crate::pipes::{DEADLINE, Pipes, eventually};
use crate::served::{FOLDER, Served, json_lines};
use crate::world::{World, source_root};
use agent_core::formats::canonical;
use serde_json::{Value, json};

/// The template's Tuner, and tools that behave as Tuners in the wild do.
const TUNER: &str = r#"
import os
import random
import sys
import time

from agent_runtime import Tuner, conversation, state

tuner = Tuner("wild")


@tuner.tool
def took(task: str, minutes: float) -> float:
    """Learns how long a task took."""
    if minutes < 0:
        raise ValueError("minutes is negative")
    known = state()["tasks"].setdefault(task, {"minutes": 0.0, "seen": 0})
    known["seen"] += 1
    known["minutes"] += minutes
    return known["minutes"]


@tuner.tool
def praise(conversation_id: str) -> list[str]:
    """Learns from a conversation's turns."""
    tasks = [turn["arguments"]["task"] for turn in conversation().turns]
    for task in tasks:
        state()["tasks"].setdefault(task, {"minutes": 1.0, "seen": 0})["seen"] += 1
    return tasks


@tuner.tool
def put(value: str) -> None:
    """Sets what is usual to the value of an expression, whatever that is."""
    state()["usual_minutes"] = eval(value)


@tuner.tool
def look() -> float:
    return state()["usual_minutes"]


@tuner.tool
def guess() -> None:
    state()["usual_minutes"] = random.random()


@tuner.tool
def write(path: str) -> str:
    """Writes a file where it may not, and where it may."""
    with open(os.path.join(os.environ["AGENT_SCRATCH"], "mine"), "w") as file:
        file.write("x")
    try:
        with open(path, "w") as file:
            file.write("changed by the Tuner")
    except OSError as error:
        return type(error).__name__
    return "written"


@tuner.tool
def crash() -> None:
    print("the model file is corrupt", file=sys.stderr, flush=True)
    os._exit(3)


@tuner.tool
def hang() -> None:
    time.sleep(1000)


if __name__ == "__main__":
    tuner.run()
"#;

fn wild() -> Served {
    let manifest =
        std::fs::read_to_string(crate::world::source_root().join("templates/minimal/agent.toml"))
            .unwrap();
    Served::with(&[
        ("tuner/__main__.py", TUNER),
        ("agent.toml", &manifest.replace("call_s = 30", "call_s = 2")),
    ])
}

#[test]
fn a_signal_changes_staging_and_nothing_else() {
    let served = wild();
    let ended = served.agent(["tune", "took", "task=review", "minutes=20", "--json"]).ok();
    let outcome = ended.json();
    assert_eq!((&outcome["schema"], &outcome["applied"]), (&json!("agent/tune@1"), &json!(1)));
    assert_eq!(served.staging()["tasks"], json!({"review": {"minutes": 20.0, "seen": 1}}));
    assert_eq!(
        served.agent(["state", "show", "active", "--json"]).ok().json()["state"]["tasks"],
        json!({})
    );
    let view = std::fs::read(served.path("state/staging.state.json")).unwrap();
    assert_eq!(view, canonical::to_bytes(&served.staging()));
    assert_eq!(outcome["after"], json!(agent_core::formats::object_id::ObjectId::of_blob(&view)));
    assert_eq!(served.git(["status", "--porcelain"]), "");
}

#[test]
fn a_file_of_signals_counts_each_once_and_reports_wrong_lines_by_number() {
    let served = wild();
    let lines = [
        r#"{"id":"s-1","tool":"took","arguments":{"task":"a","minutes":1}}"#,
        r#"{"id":"s-2","tool":"#,
        "",
        r#"{"id":"s-1","tool":"took","arguments":{"task":"a","minutes":1}}"#,
        r#"{"id":"s-3","arguments":{"task":"a","minutes":2}}"#,
        r#"{"id":"s-4","tool":"took","arguments":{"task":"a","minutes":-2}}"#,
        r#"{"tool":"nope"}"#,
        r#"{"tool":"took","arguments":{"task":"b","minutes":1e999}}"#,
        r#"{"tool":"took","arguments":{"task":"b","minutes":4}}"#,
    ];
    let file = served.world.write("signals.jsonl", lines.join("\n"));
    let file = file.to_str().unwrap();
    let outcome = served
        .agent(["tune", "took", "--signals", file, "--json"])
        .code(3)
        .stderr_has("line 2: column")
        .json();
    assert_eq!((&outcome["applied"], &outcome["duplicates"]), (&json!(3), &json!(1)));
    let wrong: Vec<_> = outcome["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["line"].as_u64().unwrap())
        .collect();
    assert_eq!(wrong, [2, 6, 7, 8]);
    assert_eq!(
        served.staging()["tasks"],
        json!({"a": {"minutes": 3.0, "seen": 2}, "b": {"minutes": 4.0, "seen": 1}})
    );

    let again = served.agent(["tune", "took", "--signals", file, "--json"]).code(3).json();
    assert_eq!((&again["applied"], &again["duplicates"]), (&json!(0), &json!(4)));
    assert_eq!(again["before"], again["after"]);
    served.agent(["tune", "--signals", "/nowhere.jsonl"]).code(3).stderr_has("/nowhere.jsonl");
}

#[test]
fn signals_are_acknowledged_one_by_one_from_stdin() {
    let served = wild();
    let lines = json_lines((0..300).map(
        |number| json!({"id": format!("s-{number}"), "arguments": {"task": "t", "minutes": 1}}),
    ));
    let ended =
        served.agent_given(["tune", "took", "--signals", "-", "--acknowledge"], &lines).ok();
    let acknowledged: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(acknowledged.len(), 300);
    assert_eq!(acknowledged[299], "s-299");
    assert_eq!(served.staging()["tasks"]["t"], json!({"minutes": 300.0, "seen": 300}));
    assert_eq!(served.records().len(), 300);
    served.agent(["state", "verify"]).ok().stderr_has("300 updates replayed");
}

#[test]
fn a_conversations_turns_reach_the_tuner_and_the_journal() {
    let served = wild();
    served
        .agent(["tune", "praise", "--conversation", "c1"])
        .code(1)
        .stderr_has("conversation `c1` is not known here");
    served.agent(["run", "estimate", "task=review", "--conversation", "c1"]).ok();
    served.agent(["run", "estimate", "task=deploy", "--conversation", "c1"]).ok();
    served.agent(["tune", "praise", "--conversation", "c1"]).ok().stdout_has("review");
    served.agent(["tune", "praise", "conversation_id=c1"]).ok();
    assert_eq!(served.staging()["tasks"]["deploy"]["seen"], 2);
    let talk = served.records()[0].conversation.clone().unwrap();
    assert_eq!((talk.id.as_str(), talk.turns.len()), ("c1", 2));
    // the conversation goes on; what the Tuner was shown stays what it was
    served.agent(["run", "estimate", "task=late", "--conversation", "c1"]).ok();
    served.agent(["state", "verify"]).ok();
}

/// A signal that fails: its error, and staging is unchanged.
fn check_refused(served: &Served, words: &[&str], said: &str) {
    let before = served.staging();
    let ended = World::finish(served.command().arg("tune").args(words)).code(1);
    assert!(ended.stderr.contains(said), "{words:?} should say {said:?}: {}", ended.stderr);
    assert_eq!(served.staging(), before);
}

#[test]
fn an_invalid_state_is_refused_with_its_path() {
    let served = wild();
    check_refused(&served, &["put", "value=-1"], "value");
    check_refused(
        &served,
        &["put", r#"value="-1""#],
        "state/schema.json at `/usual_minutes`: -1 is less than the minimum of 0",
    );
    check_refused(&served, &["put", r#"value="float('nan')""#], "not JSON compliant");
    check_refused(&served, &["put", r#"value="float('inf')""#], "not JSON compliant");
    check_refused(
        &served,
        &["put", r#"value="2**70""#],
        "1180591620717411303424 at `usual_minutes` is too large",
    );
    check_refused(&served, &["put", r#"value="{1}""#], "set");
    check_refused(&served, &["took", "task=a", "minutes=-1"], "minutes is negative");
    served.agent(["tune", "bogus"]).code(2).stderr_has("no tool `bogus`").stderr_has("took");
    served.agent(["tune", "took", "task"]).code(2).stderr_has("key=value");
    served.agent(["tune", "took", "{\"task\":"]).code(2).stderr_has("no JSON object");
    served.agent(["tune", "took", "task=a", "minutes=1e999"]).code(2).stderr_has("too large");
    assert_eq!(served.records().len(), 0);
}

#[test]
fn the_same_id_with_other_content_is_refused() {
    let served = Served::new();
    let took = |minutes: &str| served.agent(["tune", "took", "task=a", minutes, "--id", "s-1"]);
    let refused =
        "signal `s-1` was counted before, with other content; a new signal needs a new id";
    took("minutes=1").ok();
    took("minutes=1").ok().stderr_has("1 already counted");
    took("minutes=2").code(1).stderr_has(refused);
    served
        .agent(["tune", "took", "task=a", "minutes=2", "--id", "s-1", "--dry-run"])
        .code(1)
        .stderr_has(refused);
    // within a file, in whose first group both are
    let line = |minutes: u32| {
        json!({"id": "s-2", "tool": "took", "arguments": {"task": "b", "minutes": minutes}})
            .to_string()
            + "\n"
    };
    let file = served.world.write("signals.jsonl", line(1) + &line(1) + &line(2));
    for dry in [true, false] {
        let file = file.to_str().unwrap();
        let arguments = if dry {
            vec!["--signals", file, "--dry-run", "--json"]
        } else {
            vec!["--signals", file, "--json"]
        };
        let told = World::finish(served.command().arg("tune").args(arguments)).code(1).json();
        assert_eq!(
            (&told["applied"], &told["duplicates"], &told["rejected"][0]["line"]),
            (&json!(1), &json!(1), &json!(3)),
            "{told}"
        );
    }
    // and after a version has counted it
    served.agent(["promote"]).ok();
    took("minutes=1").ok().stderr_has("1 already counted");
    took("minutes=2").code(1).stderr_has(refused);
    let mut shim = Pipes::start(served.command().args(["mcp", "tuner"]));
    shim.initialize("2025-11-25");
    let meta = json!({"dev.agentvc/signal": {"id": "s-2"}});
    let arguments = json!({"task": "b", "minutes": 5});
    let told =
        shim.request("tools/call", &json!({"name": "took", "arguments": arguments, "_meta": meta}))
            ["result"]
            .clone();
    assert_eq!(told["isError"], true);
    assert!(told["content"][0]["text"].as_str().unwrap().contains("with other content"), "{told}");
    assert_eq!(
        served.staging()["tasks"],
        json!({"a": {"minutes": 1.0, "seen": 1}, "b": {"minutes": 1.0, "seen": 1}})
    );
}

#[test]
fn a_signal_without_effect_is_counted_too() {
    let served = wild();
    served.agent(["tune", "look", "--id", "l-1"]).ok().stderr_has("staging is unchanged");
    let again = served.agent(["tune", "look", "--id", "l-1", "--json"]).ok().json();
    assert_eq!((&again["applied"], &again["duplicates"]), (&json!(0), &json!(1)));
}

#[test]
fn a_tuner_that_crashes_or_hangs_is_exit_5_and_applied_signals_remain() {
    let served = wild();
    for (tool, said) in
        [("crash", "the model file is corrupt"), ("hang", "did not answer `hang` within 2 s")]
    {
        let lines =
            json_lines(["took", "took", tool, "took"].iter().enumerate().map(|(number, name)| {
                let arguments =
                    if *name == "took" { json!({"task": tool, "minutes": 1}) } else { json!({}) };
                json!({"id": format!("{tool}-{number}"), "tool": name, "arguments": arguments})
            }));
        let ended = served.agent_given(["tune", "--signals", "-", "--acknowledge"], &lines).code(5);
        let ended = ended.stderr_has(said).stderr_has("2 signals applied before that stay");
        assert_eq!(
            ended.stdout.lines().collect::<Vec<_>>(),
            [format!("{tool}-0"), format!("{tool}-1")]
        );
        assert_eq!(served.staging()["tasks"][tool]["seen"], 2);
    }
}

#[test]
fn the_tuner_writes_only_its_scratch_folder() {
    let served = wild();
    let victim = served.path("state/active.state.json");
    let before = std::fs::read(&victim).unwrap();
    let said = served.agent(["tune", "write", &format!("path={}", victim.display())]).ok().stdout;
    if agent_engine::world::sandbox::has_landlock() {
        assert!(said.contains("PermissionError"), "{said}");
        assert_eq!(std::fs::read(&victim).unwrap(), before);
    } else {
        assert!(
            said.contains("written"),
            "where the kernel has no Landlock, nothing holds it: {said}"
        );
    }
    // what it wrote in its scratch folder is gone when the next Tuner starts
    served.agent(["tune", "look"]).ok();
    let scratch: Vec<_> = std::fs::read_dir(served.path(".agent/tmp/scratch/0")).unwrap().collect();
    assert!(scratch.is_empty(), "{scratch:?}");
}

#[test]
fn a_dry_run_appends_nothing() {
    let served = wild();
    let outcome =
        served.agent(["tune", "took", "task=a", "minutes=1", "--dry-run", "--json"]).ok().json();
    assert_eq!((&outcome["applied"], &outcome["dry_run"]), (&json!(1), &json!(true)));
    assert_ne!(outcome["before"], outcome["after"]);
    served.agent(["state", "set", "usual_minutes=5", "--dry-run"]).ok();
    assert_eq!(served.records().len(), 0);
    assert_eq!(served.staging()["usual_minutes"], 30.0);
}

#[test]
fn state_verify_detects_a_nondeterministic_tuner() {
    let served = wild();
    served.agent(["tune", "took", "task=a", "minutes=1"]).ok();
    served.agent(["state", "verify"]).ok();
    served.agent(["tune", "guess", "--id", "g-1"]).ok();
    let ended = served.agent(["state", "verify", "--json"]).code(1).stderr_has("no randomness");
    assert_eq!(ended.json()["mismatch"]["id"], "g-1");
}

/// A tool sees the order of an object's keys, which is the same in a replay.
#[test]
fn keys_are_in_the_same_order_in_service_and_in_a_replay() {
    let tuner = r#"
from agent_runtime import Tuner, state

tuner = Tuner("order")
SEEN = {"minutes": 1.0, "seen": 1}


@tuner.tool
def add(names: list[str]) -> None:
    for name in names:
        state()["tasks"][name] = SEEN


@tuner.tool
def first() -> None:
    state()["tasks"]["first " + next(iter(state()["tasks"]))] = SEEN


if __name__ == "__main__":
    tuner.run()
"#;
    for tuner in [tuner.to_owned(), tuner.replace("\"order\"", "\"order\", tracks_parts=True")] {
        let served = Served::with(&[("tuner/__main__.py", &tuner)]);
        served.agent(["tune", "add", "names=[\"x\"]", "--id", "s-1"]).ok();
        served.agent(["tune", "add", "names=[\"zz\", \"a\"]"]).ok();
        served.agent(["tune", "first"]).ok();
        assert!(served.staging()["tasks"]["first a"].is_object(), "{}", served.staging());
        served.agent(["state", "verify"]).ok();
        served.agent(["feedback", "withdraw", "s-1", "--verify"]).ok();
        assert!(served.staging()["tasks"]["first a"].is_object(), "{}", served.staging());
        served.agent(["promote"]).ok();
        served.agent(["verify", "--run"]).ok();
    }
}

#[test]
fn signals_of_concurrent_tune_processes_all_count() {
    const WRITERS: usize = 4;
    const EACH: usize = 40;
    let served = wild();
    let inputs: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let line = |number| {
                json!({"id": format!("{writer}-{number}"),
                "arguments": {"task": "t", "minutes": 1}})
            };
            let lines = json_lines((0..EACH).map(line));
            served.world.write(format!("{writer}.jsonl"), lines)
        })
        .collect();
    std::thread::scope(|scope| {
        for input in &inputs {
            scope.spawn(|| {
                served.agent(["tune", "took", "--signals", input.to_str().unwrap()]).ok()
            });
        }
        // with concurrent edits, readers never read a torn file
        scope.spawn(|| served.agent(["state", "set", "usual_minutes=31"]).ok());
        scope.spawn(|| {
            for _ in 0..20 {
                served.agent(["state", "show", "--json"]).ok().json();
            }
        });
    });
    let total = WRITERS * EACH;
    assert_eq!(served.staging()["tasks"]["t"], json!({"minutes": 160.0, "seen": total}));
    assert_eq!(served.staging()["usual_minutes"], 31);
    assert_eq!(served.records().len(), total + 1);
    served.agent(["state", "verify"]).ok();
}

#[test]
fn staging_moves_to_the_version_that_is_served_now() {
    let served = wild();
    served.agent(["tune", "took", "task=a", "minutes=1", "--id", "s-1"]).ok();
    served.agent(["tune", "put", r#"value="7""#, "--id", "s-2"]).ok();
    // a release that changes the state and drops a tool
    let mut state: Value = serde_json::from_str(
        &std::fs::read_to_string(served.path("state/active.state.json")).unwrap(),
    )
    .unwrap();
    state["tasks"]["a"] = json!({"minutes": 100.0, "seen": 5});
    std::fs::write(served.path("state/active.state.json"), canonical::to_bytes(&state)).unwrap();
    let tuner = TUNER.replace("@tuner.tool\ndef put", "def put");
    std::fs::write(served.path("tuner/__main__.py"), tuner).unwrap();
    served.git(["add", "--all"]);
    served.release("0.2.0");

    served
        .agent(["tune", "took", "task=b", "minutes=2"])
        .ok()
        .stderr_has("signal `s-2` has no effect on v0.2.0");
    let staging = served.staging();
    assert_eq!(
        staging["tasks"],
        json!({"a": {"minutes": 101.0, "seen": 6}, "b": {"minutes": 2.0, "seen": 1}})
    );
    assert_eq!(staging["usual_minutes"], 30.0);
    assert_eq!(served.records().iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3]);
    let again = json!({"id": "s-2", "tool": "put", "arguments": {"value": "7"}}).to_string();
    let again = served.agent_given(["tune", "--signals", "-", "--json"], &again).ok().json();
    assert_eq!(again["duplicates"], 1, "what was acknowledged is not counted again");
    served.agent(["state", "verify"]).ok();
}

#[test]
fn state_cas_is_the_interface_for_tuners_in_any_language() {
    let served = wild();
    let shown = served.agent(["state", "show", "--json"]).ok().json();
    let (revision, mut state) =
        (shown["revision"].as_str().unwrap().to_owned(), shown["state"].clone());
    assert_eq!(
        (&shown["schema"], &shown["which"], &shown["dirty"]),
        (&json!("agent/state@1"), &json!("staging"), &json!(false))
    );
    state["usual_minutes"] = json!(12);
    let swap = |revision: &str, state: &str| {
        served.agent_given(["state", "cas", "--expect", revision, "--id", "x-1"], state)
    };
    let after = swap(&revision, &state.to_string()).ok().stdout.trim().to_owned();
    assert_eq!(after, canonical::revision(&state).to_string());
    // sent again it counts once; under another id it is late
    assert_eq!(swap(&revision, &state.to_string()).ok().stdout.trim(), after);
    served
        .agent_given(["state", "cas", "--expect", &revision], &state.to_string())
        .code(4)
        .stderr_has(&after);
    served
        .agent_given(["state", "cas", "--expect", &after], "{\"usual_minutes\":")
        .code(3)
        .stderr_has("stdin:1:");
    served
        .agent_given(["state", "cas", "--expect", &after], "{}")
        .code(3)
        .stderr_has("required property");
    served
        .agent_given(["state", "cas", "--expect", "beef"], "{}")
        .code(2)
        .stderr_has("40 hex digits");
    assert_eq!(served.staging()["usual_minutes"], 12);
    assert_eq!(served.records().len(), 1);
}

#[test]
fn an_edit_of_staging_is_in_diff_log_and_blame_and_undone_by_reset() {
    let served = wild();
    served.agent(["tune", "took", "task=a", "minutes=1", "--id", "s-1"]).ok();
    served.agent(["state", "set", "tasks.a.minutes=50", "/usual_minutes=4"]).ok();
    served
        .agent(["state", "set", "tasks.a.minutes.x=1"])
        .code(3)
        .stderr_has("`tasks.a.minutes` is neither object nor array");
    served.agent(["state", "set", "usual_minutes=-4"]).code(3).stderr_has("minimum of 0");
    served.agent(["state", "set", "usual_minutes"]).code(2).stderr_has("PATH=VALUE");
    let diff = served.agent(["state", "diff"]).ok();
    assert_eq!(
        diff.stdout.trim(),
        "tasks.a: (nothing) -> {\"minutes\":50,\"seen\":1}\nusual_minutes: 30.0 -> 4"
    );
    let log = served.agent(["state", "log", "--json"]).ok().json();
    let tools: Vec<_> = log["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["tool"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(tools, ["agent/set", "took"]);
    let blame = served.agent(["state", "blame", "tasks.a.minutes", "--json"]).ok().json();
    assert_eq!(blame["steps"][1]["by"]["signal"], "s-1");
    assert_eq!((&blame["steps"][0]["old"], &blame["steps"][0]["new"]), (&json!(1.0), &json!(50)));
    served.agent(["state", "blame", "usual_minutes"]).ok().stdout_has("v0.1.0 (release)");
    served.agent(["state", "blame", "bogus"]).code(3).stderr_has("a value at `bogus`");
    assert_eq!(served.agent(["state", "show", "--key", "usual_minutes"]).ok().stdout.trim(), "4");

    served.agent(["state", "reset", "--dry-run"]).ok().stderr_has("2 updates would be discarded");
    served.agent(["state", "reset"]).ok().stderr_has("2 updates discarded");
    served.agent(["state", "diff"]).ok().stderr_has("have the same state");
    assert_eq!(
        served.agent(["tune", "took", "task=a", "minutes=1", "--id", "s-1", "--json"]).ok().json()
            ["applied"],
        1
    );
}

#[test]
fn a_damaged_view_and_a_damaged_journal_are_distinguished() {
    let served = wild();
    served.agent(["tune", "took", "task=a", "minutes=1"]).ok();
    served.agent(["tune", "took", "task=a", "minutes=2"]).ok();
    std::fs::write(served.path("state/staging.state.json"), "{\"usual_min").unwrap();
    served
        .agent(["state", "show"])
        .ok()
        .stderr_has("state/staging.state.json was no JSON")
        .stderr_has("set-aside");
    served.agent(["state", "show"]).ok();

    let journal = served.path(".agent/journal/current.jsonl");
    let whole = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, whole.replacen("\"minutes\":1", "\"minutes\":7", 1)).unwrap();
    served.agent(["tune", "look"]).code(3).stderr_has("damaged").stderr_has("agent state reset");
    served.agent(["state", "reset"]).ok();
    assert_eq!(served.staging()["tasks"], json!({}));
}

#[test]
fn blame_names_the_signals_of_a_promotion() {
    let served = Served::new();
    served.agent(["tune", "took", "task=tea", "minutes=10", "--id", "s-1"]).ok();
    served.agent(["tune", "took", "task=tea", "minutes=20", "--id", "s-2"]).ok();
    served.agent(["promote"]).ok();
    served.agent(["tune", "took", "task=tea", "minutes=40", "--id", "s-3"]).ok();
    let signals = || -> Vec<(Value, Value)> {
        let blame = served.agent(["state", "blame", "tasks.tea.minutes", "--json"]).ok().json();
        blame["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| (step["by"]["signal"].clone(), step["by"]["version"].clone()))
            .collect()
    };
    assert_eq!(
        signals(),
        [
            (json!("s-3"), Value::Null),
            (json!("s-2"), json!("0.1.1")),
            (json!("s-1"), json!("0.1.1"))
        ]
    );
    served
        .agent(["state", "blame", "tasks.tea.minutes"])
        .ok()
        .stdout_has("(signal s-2, ")
        .stdout_has(", v0.1.1)");
    // without its Journal the promotion is one step
    std::fs::remove_dir_all(served.world.path(FOLDER).join(".agent/store/journal")).unwrap();
    assert_eq!(signals(), [(json!("s-3"), Value::Null), (Value::Null, json!("0.1.1"))]);
}

/// A template with `[promote] auto`.
fn promoting(auto: &str) -> Served {
    let manifest =
        std::fs::read_to_string(crate::world::source_root().join("templates/minimal/agent.toml"))
            .unwrap();
    Served::with(&[(
        "agent.toml",
        &manifest.replace("[promote]\n", &format!("[promote]\nauto = {auto}\n")),
    )])
}

fn takes(shim: &mut Pipes, minutes: f64) {
    let arguments = json!({"task": "deploy", "minutes": minutes});
    let told =
        shim.request("tools/call", &json!({"name": "took", "arguments": arguments}))["result"]
            .clone();
    assert_ne!(told["isError"], true, "{told}");
}

fn tags(served: &Served) -> String {
    served.git(["tag"])
}

#[test]
fn staging_is_promoted_after_the_configured_number_of_signals() {
    let served = promoting("{ every = 2 }");
    let mut shim = Pipes::start(served.command().args(["mcp", "tuner"]));
    shim.initialize("2025-11-25");
    takes(&mut shim, 10.0);
    assert!(!served.path(".agent/auto-promotion.json").exists(), "one is not enough");
    takes(&mut shim, 20.0);
    eventually(DEADLINE, "v0.1.1 is made", || tags(&served).contains("v0.1.1"));
    // it went through the gate, as any promotion does
    served.agent(["verify", "v0.1.1"]).ok();
    takes(&mut shim, 30.0);
    assert_eq!(tags(&served), "v0.1.0\nv0.1.1");
    takes(&mut shim, 40.0);
    eventually(DEADLINE, "v0.1.2 is made", || tags(&served).contains("v0.1.2"));
    shim.close_stdin();
    assert!(shim.exited(DEADLINE).success());
}

#[test]
fn staging_is_promoted_after_the_configured_time() {
    let served = promoting("{ every = 100, after_s = 1 }");
    let mut shim = Pipes::start(served.command().args(["mcp", "tuner"]));
    shim.initialize("2025-11-25");
    takes(&mut shim, 10.0);
    eventually(DEADLINE, "v0.1.1 is made", || tags(&served).contains("v0.1.1"));
    eventually(DEADLINE, "it is said", || {
        shim.stderr().contains("promoted by [promote] auto: v0.1.0 -> v0.1.1")
    });
    shim.close_stdin();
    assert!(shim.exited(DEADLINE).success());
}

#[test]
fn a_refused_staging_is_retried_only_after_new_signals() {
    // what a case asks for, no state but the first gives
    let served = promoting("{ every = 1 }");
    let case = json!({"id": "unknown", "tool": "estimate", "arguments": {"task": "deploy"},
        "expect": {"subset": {"seen": 0}}, "must": true});
    let path = format!("{}/tests/micro/estimates.jsonl", crate::served::FOLDER);
    served.world.write(&path, format!("{}{case}\n", served.world.read(&path)));
    served.git(["add", "--all"]);
    served.release("0.2.0");
    let mut shim = Pipes::start(served.command().args(["mcp", "tuner"]));
    shim.initialize("2025-11-25");
    let refused = |shim: &Pipes| {
        shim.stderr().matches("staging was not promoted and waits for new signals: ").count()
    };
    for attempts in 1..=2 {
        takes(&mut shim, 10.0);
        eventually(DEADLINE, "it was tried", || refused(&shim) == attempts);
    }
    assert_eq!(tags(&served), "v0.1.0\nv0.2.0");
    assert_eq!(served.records().len(), 2, "what was acknowledged stays");
    shim.close_stdin();
    assert!(shim.exited(DEADLINE).success());
    assert_eq!(refused(&shim), 2, "each attempt was for a new signal");
}

#[test]
fn a_shim_follows_changes_by_other_processes_between_signals() {
    let served = Served::new();
    let mut shim = Pipes::start(served.command().args(["mcp", "tuner"]));
    shim.initialize("2025-11-25");
    let seen = || served.staging()["tasks"]["a"]["seen"].clone();
    let signal = |shim: &mut Pipes| {
        let told = shim.request(
            "tools/call",
            &json!({"name": "took", "arguments": {"task": "a", "minutes": 1}}),
        );
        assert_ne!(told["result"]["isError"], true, "{told}");
    };
    signal(&mut shim);
    signal(&mut shim);
    served.agent(["tune", "took", "task=a", "minutes=1"]).ok();
    signal(&mut shim);
    assert_eq!((seen(), served.records().len()), (json!(4), 4), "another process appended");
    served.agent(["promote"]).ok();
    signal(&mut shim);
    assert_eq!((seen(), served.records().len()), (json!(5), 1), "another process promoted");
    served.agent(["state", "reset"]).ok();
    signal(&mut shim);
    assert_eq!((seen(), served.records().len()), (json!(5), 1), "another process reset staging");
    std::fs::write(served.path("state/staging.state.json"), "edited").unwrap();
    signal(&mut shim);
    eventually(DEADLINE, "the edit is kept", || {
        shim.stderr().contains("what was there is kept in")
    });
    std::fs::remove_dir_all(served.path(".agent/journal")).unwrap();
    signal(&mut shim);
    assert_eq!((seen(), served.records().len()), (json!(5), 1), "the Journal was removed");
    shim.kill();
    assert_eq!(
        (seen(), served.records().len()),
        (json!(5), 1),
        "what was answered is there after a kill"
    );
}

#[test]
fn a_shim_killed_at_any_time_loses_no_acknowledged_signal() {
    let served = Served::new();
    let mut answered = 0;
    for round in 0..3 {
        let mut shim = Pipes::start(served.command().args(["mcp", "tuner"]));
        shim.initialize("2025-11-25");
        for _ in 0..=round {
            takes(&mut shim, 1.0);
            answered += 1;
        }
        // one more is under way
        shim.post(
            "tools/call",
            &json!({"name": "took", "arguments": {"task": "deploy", "minutes": 1}}),
        );
        shim.kill();
        let kept = served.records().len();
        assert!(kept == answered || kept == answered + 1, "{kept} of {answered} answered signals");
        answered = kept;
        served.agent(["state", "verify"]).ok();
    }
}

#[test]
fn edits_are_promoted_on_a_later_version_without_a_tuner() {
    let manifest = std::fs::read_to_string(source_root().join("templates/minimal/agent.toml"));
    let manifest =
        manifest.unwrap().replace("[tuner]\ncommand = [\"python\", \"-m\", \"tuner\"]\n", "");
    assert!(!manifest.contains("[tuner]"), "{manifest}");
    let served = Served::with(&[("agent.toml", &manifest)]);
    served.agent(["state", "set", "usual_minutes=20"]).ok();
    std::fs::write(served.path("note.txt"), "more").unwrap();
    served.git(["add", "note.txt"]);
    served.release("0.1.1");
    served.agent(["promote"]).ok().stdout_has("v0.1.2");
    assert_eq!(served.agent(["state", "show", "--json"]).ok().json()["state"]["usual_minutes"], 20);
}
