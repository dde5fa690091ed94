//! The gate of a promotion: noise does not pass it, evidence does, and its ledger remembers every
//! try.

use crate::served::{FOLDER, Served, json_lines};
use agent_core::formats::object_id::digest;
use serde_json::{Value, json};
use std::path::Path;

/// A Runner that is right with the probability of the state's skill, on other cases with every
/// state: noise for the gate, and deterministic for this test.
const NOISY: &str = r#"
import zlib

from agent_runtime import Server, state

server = Server("noisy")


@server.tool
def guess(task: str) -> int:
    now = state()
    luck = zlib.crc32(f"d {task} {now['tasks']}".encode()) % 100
    return int(luck < now["usual_minutes"])


if __name__ == "__main__":
    server.run()
"#;

/// A Runner that never answers twice alike, whatever its state.
const RANDOM: &str = r#"
import random

from agent_runtime import Server, state

server = Server("random")


@server.tool
def guess(task: str) -> int:
    return int(random.random() < state()["usual_minutes"] / 60)


if __name__ == "__main__":
    server.run()
"#;

/// With this Runner, 40 cases, and a budget that asks nothing: only the gate judges. The skill is
/// 30 at first.
fn served(runner: &str, promote: &str) -> Served {
    let cases = (0..40).map(|number| {
        let task = format!("t{number}");
        json!({"id": task, "tool": "guess", "arguments": {"task": task}, "expect": {"equals": 1}})
    });
    let manifest =
        std::fs::read_to_string(crate::world::source_root().join("templates/minimal/agent.toml"))
            .unwrap();
    let (before, after) =
        (manifest.split("[promote]").next().unwrap(), manifest.split("[release]").nth(1).unwrap());
    let manifest = format!("{before}[promote]\ntier = \"micro\"\n{promote}\n\n[release]{after}");
    let budgets =
        json!({"schema": "agent/budgets@1", "tiers": {"micro": {"pass_rate": 0}}}).to_string();
    Served::with(&[
        ("runner/__main__.py", runner),
        ("tests/micro/estimates.jsonl", &json_lines(cases)),
        ("agent.toml", &manifest),
        ("ci/budgets.json", &budgets),
    ])
}

/// A Runner whose answers are noise until the skill is high.
pub fn noisy(promote: &str) -> Served {
    served(NOISY, promote)
}

/// The ledger's lines; none before its first.
fn ledger(served: &Served) -> Vec<Value> {
    if served.git(["for-each-ref", "refs/agent/ledger"]).is_empty() {
        return Vec::new();
    }
    let text = served.git(["cat-file", "blob", "refs/agent/ledger:ledger.jsonl"]);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn repeated_attempts_do_not_promote_noise() {
    const TRIES: usize = 8;
    let served = served(NOISY, "gate = \"better\"");
    let mut promising = 0;
    for _ in 0..TRIES {
        served.agent(["tune", "took", "task=lunch", "minutes=5"]).ok();
        let ended = served.agent(["promote", "--json"]);
        let verdict = &ended.json()["verdict"]["gate"];
        assert!(ended.code == 7 || ended.code == 1, "{}", ended.stdout);
        promising +=
            usize::from(verdict["candidate_score"].as_f64() > verdict["baseline_score"].as_f64());
    }
    // by their means alone, many of them would have been promoted
    assert!(promising >= 3, "{promising}");
    let ledger = ledger(&served);
    assert_eq!(ledger.len(), TRIES);
    for (number, entry) in ledger.iter().enumerate() {
        let t = (number + 1) as f64;
        assert_eq!((&entry["index"], &entry["accepted"]), (&json!(number + 1), &json!(false)));
        assert!(
            (entry["level"].as_f64().unwrap() - 0.05 / (t * (t + 1.0))).abs() < 1e-15,
            "{entry}"
        );
    }
    assert_eq!(served.git(["rev-parse", "active"]), served.git(["rev-parse", "v0.1.0"]));
}

#[test]
fn an_insignificant_gain_reports_its_evidence_and_is_charged_once() {
    let served = served(NOISY, "gate = \"better\"");
    served.agent(["state", "set", "usual_minutes=39"]).ok();
    let plan = served.agent(["promote", "--dry-run", "--json"]).ok().json()["plan"].clone();
    let steps = [
        "run tier micro against v0.1.0, gate better",
        "record the comparison in the gate's ledger",
        "stop unless budgets and gate pass",
        "archive the Journal of 1 updates",
        "write the commit of v0.1.1",
        "store the evaluation",
        "move active to v0.1.1 and tag it",
        "begin a new Journal on it",
    ];
    assert_eq!(plan, json!(steps));
    assert_eq!(ledger(&served), [] as [Value; 0], "a dry run asks nothing");
    let asked = || {
        served
            .agent(["promote"])
            .code(7)
            .stdout_has("not enough evidence: not shown to be better: score 0.")
            .stdout
    };
    let first = asked();
    for part in [
        " better, 0 worse); evidence ",
        ", needs 40 (attempt 1); about ",
        " more cases like these would show it",
    ] {
        assert!(first.contains(part), "{part:?} is not in {first}");
    }
    // the same again is the same test; so it is in a clone that fetched the ledger
    assert_eq!(asked(), first);
    assert_eq!(ledger(&served).len(), 1);
    served.world.git(".", ["clone", "--quiet", FOLDER, "clone"]);
    served
        .world
        .git("clone", ["fetch", "--quiet", "origin", "refs/agent/*:refs/agent/*", "active:active"]);
    served.world.agent("clone", ["state", "set", "usual_minutes=39"]).ok();
    served.world.agent("clone", ["promote"]).code(7).stdout_has("(attempt 1)");
    assert_eq!(
        served.world.git("clone", ["rev-parse", "refs/agent/ledger"]),
        served.git(["rev-parse", "refs/agent/ledger"])
    );
    // another test of the same results is another try
    served
        .agent(["promote", "--test", "tango"])
        .code(7)
        .stdout_has("needs at most 0.0083 (tango, attempt 2)");
    assert_eq!(ledger(&served).len(), 2);
}

/// The gate's record that the commit of a version names, and the number of its pairs.
fn record(served: &Served, commit: &Value) -> (Value, usize) {
    let commit = commit.as_str().unwrap();
    let text = served
        .world
        .read(Path::new(FOLDER).join(format!(".agent/store/evals/{commit}/gate.jsonl")));
    let named = served.git(["log", "-1", "--format=%(trailers:key=Agent-Gate,valueonly)", commit]);
    assert_eq!(named.trim(), digest(text.as_bytes()));
    (serde_json::from_str(text.lines().next().unwrap()).unwrap(), text.lines().count() - 1)
}

#[test]
fn a_significant_gain_passes_and_is_recorded_in_the_version() {
    let served = served(NOISY, "gate = \"better\"\nmargin = 0.05");
    served.agent(["state", "set", "usual_minutes=95"]).ok();
    let outcome = served.agent(["promote", "--json"]).ok().json();
    let gate = &outcome["verdict"]["gate"];
    assert_eq!(
        (&gate["verdict"], &gate["test"], &gate["ledger"]),
        (&json!("pass"), &json!("e-process"), &json!(1))
    );
    assert!(gate["log_e_value"].as_f64().unwrap() >= -gate["level"].as_f64().unwrap().ln());
    assert!(gate["interval"][0].as_f64().unwrap() > 0.05, "{gate}");
    let message = served.git(["log", "-1", "--format=%b", "active"]);
    assert!(
        message.contains("; better by more than 0.05: ")
            && message.contains(", needs 40 (attempt 1)"),
        "{message}"
    );
    assert_eq!(ledger(&served)[0]["accepted"], true);
    let (record, pairs) = record(&served, &outcome["commit"]);
    assert_eq!((&record["schema"], &record["compared"]["verdict"]), (&json!("agent/gate@2"), gate));
    assert_eq!(json!(pairs), gate["pairs"]);
    served.agent(["verify", "v0.1.1"]).ok();
    served.agent(["versions", "show", "v0.1.1"]).ok();
    // what is lost again is refused, and had an attempt's level twice as high after the success
    served.agent(["state", "set", "usual_minutes=30"]).ok();
    served.agent(["promote"]).code(1).stdout_has("not better by more than 0.05");
    assert!((ledger(&served)[1]["level"].as_f64().unwrap() - 2.0 * 0.05 / 6.0).abs() < 1e-15);
}

#[test]
fn a_change_without_a_worse_case_passes_not_worse() {
    let served = served(NOISY, "gate = \"not-worse\"");
    served.agent(["state", "set", "usual_minutes=33"]).ok();
    served.agent(["promote"]).ok().stdout_has("not worse: ");
    assert_eq!(ledger(&served), [] as [Value; 0]);
    served.agent(["state", "set", "usual_minutes=20"]).ok();
    let refused = served
        .agent(["promote"])
        .code(1)
        .stdout_has("refused: 3 cases got worse, `")
        .stdout_has("the mean score fell: ")
        .stderr_has("agent state reset");
    assert_eq!(
        refused.stdout.matches("passed 1.000 -> failed 0.000").count(),
        3,
        "{}",
        refused.stdout
    );
    let refused = served.agent(["promote", "--json"]).code(1).json();
    let worse = refused["worse"].as_array().unwrap();
    assert!(
        worse.len() == 3 && worse.iter().all(|flip| flip["direction"] == "worse"),
        "{refused:#}"
    );
    assert!(refused["hint"].as_str().unwrap().contains("agent state reset"));
    served
        .agent(["promote", "--gate", "worse"])
        .code(2)
        .stderr_has("it has to be one of better, not-worse");
    served
        .agent(["promote", "--test", "anova"])
        .code(2)
        .stderr_has("it has to be one of e-process, mcnemar, tango, bootstrap, signed-rank");
}

#[test]
fn concurrent_attempts_are_separate_entries() {
    const TESTS: [&str; 4] = ["e-process", "mcnemar", "signed-rank", "tango"];
    let served = served(NOISY, "gate = \"better\"");
    served.agent(["state", "set", "usual_minutes=36"]).ok();
    std::thread::scope(|scope| {
        // each test twice: concurrent identical tests are one entry
        for test in TESTS.repeat(2) {
            let served = &served;
            scope.spawn(move || served.agent(["promote", "--test", test]).code(7));
        }
    });
    let ledger = ledger(&served);
    assert_eq!(
        ledger.iter().map(|entry| entry["index"].as_u64().unwrap()).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    let mut asked: Vec<_> =
        ledger.iter().map(|entry| entry["asked"]["test"].as_str().unwrap()).collect();
    asked.sort_unstable();
    assert_eq!(asked, TESTS);
}

#[test]
fn a_release_with_changed_cases_is_judged_by_the_previous_ones_and_becomes_the_baseline() {
    let served = Served::new();
    let cases = served.world.read(Path::new(FOLDER).join("tests/full/estimates.jsonl"));
    let another = json!({"id": "another", "tool": "estimate", "arguments": {"task": "sailing"},
        "expect": {"subset": {"seen": 0}}});
    served
        .world
        .write(Path::new(FOLDER).join("tests/full/estimates.jsonl"), format!("{cases}{another}\n"));
    served.git(["commit", "--quiet", "--all", "--message", "test: sailing"]);
    let outcome = served.agent(["release", "--json"]).ok().json();
    let verdict = &outcome["verdict"];
    assert_eq!(verdict["evaluators_changed"], json!(["cases"]));
    assert_eq!(
        (&verdict["gate"]["pairs"], &verdict["gate"]["held_out"]),
        (&json!(2), &json!(true))
    );
    assert!(
        served
            .git(["log", "-1", "--format=%b", "active"])
            .contains("; evaluators changed (cases); judged by the previous ones")
    );
    let commit = outcome["commit"].as_str().unwrap();
    let stored: Value = serde_json::from_str(
        &served
            .world
            .read(Path::new(FOLDER).join(format!(".agent/store/evals/{commit}/summary.json"))),
    )
    .unwrap();
    assert_eq!(stored["comparable_with"], json!([]));
    let (record, pairs) = record(&served, &outcome["commit"]);
    assert_eq!(
        (&record["compared"]["before"]["cases"], pairs),
        (&json!(5), 2),
        "the old evaluators' results are kept as well"
    );
    assert_ne!(record["compared"]["definitions"], stored["definitions"]);
    let before = served
        .world
        .read(Path::new(FOLDER).join(format!(".agent/store/evals/{commit}/before.jsonl")));
    assert_eq!(record["compared"]["before"]["results"], digest(before.as_bytes()));
    served
        .agent(["test", "--tier", "full", "--at", "active", "--against", "v0.1.0"])
        .code(7)
        .stdout_has("not comparable with v0.1.0: its cases differ");
}

#[test]
fn an_unreadable_ledger_refuses_every_promotion() {
    let served = served(NOISY, "gate = \"better\"");
    let blob = served.git(["hash-object", "-w", "ci/budgets.json"]);
    served
        .world
        .write(Path::new(FOLDER).join("listing"), format!("100644 blob {blob}\tledger.jsonl\n"));
    let listing = std::fs::File::open(served.path("listing")).unwrap();
    let ended = crate::world::World::finish(
        served.world.command("git", FOLDER).arg("mktree").stdin(listing),
    )
    .ok();
    let commit = served.git(["commit-tree", ended.stdout.trim(), "-m", "broken"]);
    served.git(["update-ref", "refs/agent/ledger", &commit]);
    served.agent(["state", "set", "usual_minutes=95"]).ok();
    served.agent(["promote"]).code(3).stderr_has("refs/agent/ledger:ledger.jsonl:1: ");
}

#[test]
fn calibration_runs_what_is_served_against_itself_and_keeps_the_rates() {
    let served = served(RANDOM, "gate = \"better\"");
    let ended = served.agent(["test", "--calibrate", "6", "--json"]).ok();
    let found = &ended.json()["calibrations"][0];
    assert_eq!(
        (&found["schema"], &found["rounds"], &found["changed"]),
        (&json!("agent/calibration@1"), &json!(6), &json!(6))
    );
    let names: Vec<_> = found["tests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rate| rate["test"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "e-process",
            "mcnemar",
            "tango",
            "bootstrap",
            "signed-rank",
            "e-process, ledger",
            "mean is higher"
        ]
    );
    let code = found["code"].as_str().unwrap();
    let kept: Vec<_> = std::fs::read_dir(served.path(&format!(".agent/store/calibration/{code}")))
        .unwrap()
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(ledger(&served), [] as [Value; 0], "nothing is acted on, so nothing is charged");
    served
        .agent(["test", "--calibrate", "1"])
        .ok()
        .stdout_has("micro of v0.1.0 against itself: 1 rounds of 40 cases; in 1 of them");
}
