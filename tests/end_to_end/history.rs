//! `agent bisect`: by what is stored, by running one case, and inside a promotion.

use crate::served::{Served, json_lines};
use crate::versions::{FOLDER, Registry};
use crate::world::Ended;
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::version::Kind;
use serde_json::{Value, json};

fn failed(id: &str) -> CaseResult {
    CaseResult {
        outcome: Outcome::Failed,
        score: 0.0,
        why: Some("$: expected 1, got 2".to_owned()),
        ..CaseResult::passed(id)
    }
}

/// Twenty promotions; `case` passes from the third to the twelfth, `never` never, `always` always.
fn long() -> Registry {
    let registry = Registry::new();
    for patch in 1..=20 {
        let case = if patch < 13 { CaseResult::passed("case") } else { failed("case") };
        let mut results = vec![CaseResult::passed("always"), failed("never")];
        results.extend((patch >= 3).then_some(case));
        registry.publish_with(Kind::Promotion, patch, patch, &[], &results);
    }
    registry
}

#[test]
fn a_long_history_is_searched_by_what_is_stored() {
    let registry = long();
    let bisect =
        |arguments: &[&str]| registry.world.agent(FOLDER, ["bisect"].iter().chain(arguments));
    let ended = bisect(&["case"]).ok();
    let ended = ended
        .stdout_has("case: it broke with v0.1.13, a promotion: it passed at v0.1.12")
        .stdout_has("n: 12 -> 13");
    assert!(ended.stderr.lines().count() <= 8, "{}", ended.stderr);
    let document = bisect(&["case", "--json"]).ok().json();
    assert_eq!((&document["schema"], &document["found"]), (&json!("agent/bisect@1"), &json!(true)));
    assert_eq!(
        (&document["good"]["version"], &document["bad"]["version"]),
        (&json!("0.1.12"), &json!("0.1.13"))
    );
    let looked = document["looked"].as_array().unwrap();
    assert!(looked.iter().all(|look| look["how"] == "stored"), "{looked:?}");
    bisect(&["case", "--good", "v0.1.5", "--bad", "v0.1.15"])
        .ok()
        .stdout_has("it broke with v0.1.13");
    bisect(&["case", "--good", "v0.1.14"])
        .code(1)
        .stdout_has("it fails at v0.1.14 already, which was given as good");
    bisect(&["case", "--bad", "v0.1.12"])
        .code(1)
        .stdout_has("it passes at v0.1.12: nothing broke it");
    bisect(&["always"]).code(1).stdout_has("nothing broke it");
    bisect(&["case", "--good", "v0.1.20"])
        .code(3)
        .stderr_has("`v0.1.20` is not a version that v0.1.20 was made from");
    bisect(&["never", "--good", "v0.1.1"]).code(1).stdout_has("it fails at v0.1.1 already");
    bisect(&["cse"]).code(3).stderr_has("there is no case `cse` in v0.1.20");
}

#[test]
fn a_rollback_has_the_results_of_the_restored_version() {
    let registry = Registry::new();
    registry.publish_with(Kind::Promotion, 1, 1, &[], &[CaseResult::passed("case")]);
    registry.publish_with(Kind::Promotion, 2, 2, &[], &[failed("case")]);
    // the tree of v0.1.1 again, whose results are stored under that version alone
    registry.publish(Kind::Rollback, 3, 1, &[2]);
    registry.publish_with(Kind::Promotion, 4, 4, &[], &[failed("case")]);
    let document = registry.world.agent(FOLDER, ["bisect", "case", "--json"]).ok().json();
    assert_eq!(
        (&document["good"]["version"], &document["bad"]["version"]),
        (&json!("0.1.3"), &json!("0.1.4"))
    );
}

const CASES: &str = r#"{"id":"lunch-is-short","tool":"estimate","arguments":{"task":"lunch"},"expect":{"schema":{"properties":{"minutes":{"maximum":60}}}}}
{"id":"nap","tool":"estimate","arguments":{"task":"nap"},"expect":{"subset":{"minutes":30.0}}}
"#;

fn lunches(served: &Served, minutes: &[(&str, u32)]) -> Ended {
    let signal = |(id, minutes): &(&str, u32)| {
        json!({"id": id, "tool": "took",
        "arguments": {"task": "lunch", "minutes": minutes}})
    };
    let file = served.world.write("signals.jsonl", json_lines(minutes.iter().map(signal)));
    served.agent(["tune", "--signals", file.to_str().unwrap(), "--promote"]).ok()
}

fn history() -> Served {
    let served = Served::with(&[("tests/fast/estimates.jsonl", CASES)]);
    lunches(&served, &[("s-1", 20)]);
    lunches(&served, &[("s-2", 25), ("s-3", 20), ("s-4", 500), ("s-5", 20), ("s-6", 30)]);
    lunches(&served, &[("s-7", 100)]);
    served
}

#[test]
fn inside_a_promotion_the_signal_is_named() {
    let served = history();
    let ended = served.agent(["bisect", "lunch-is-short"]).ok();
    ended
        .stdout_has("lunch-is-short: it broke with v0.1.2, a promotion: it passed at v0.1.1")
        .stdout_has("  by its signal 3 of 5: s-4 (took {\"task\":\"lunch\",\"minutes\":500})")
        .stdout_has("    tasks.lunch.minutes: 21.667 -> 141.25")
        .stderr_has("v0.1.2 after 2 signals  run");
    let document = served.agent(["bisect", "lunch-is-short", "--json"]).ok().json();
    assert_eq!((&document["tier"], &document["kind"]), (&json!("fast"), &json!("promotion")));
    assert_eq!(
        (&document["signal"]["id"], &document["signal"]["number"]),
        (&json!("s-4"), &json!(3))
    );
    served.agent(["bisect", "nap"]).code(1).stdout_has("nothing broke it");
    served
        .agent(["bisect", "lunch-is-shrt"])
        .code(3)
        .stderr_has("did you mean \"lunch-is-short\"?");
}

#[test]
fn a_release_lists_its_commits_and_changed_evaluators() {
    let served = history();
    let runner = served
        .world
        .read("agent repo ü/runner/__main__.py")
        .replace("known[\"minutes\"],", "known[\"minutes\"] / 100,");
    served.world.write("agent repo ü/runner/__main__.py", runner);
    served.git(["commit", "--quiet", "--all", "--message", "feat: hours"]);
    served.world.write("agent repo ü/tests/fast/estimates.jsonl", CASES.replace("30.0", "31.0"));
    served.git(["commit", "--quiet", "--all", "--message", "test: naps are longer"]);
    served.release_under("active", "0.2.0");
    let document = served.agent(["bisect", "nap", "--json"]).ok().json();
    assert_eq!(
        (&document["bad"]["version"], &document["kind"]),
        (&json!("0.2.0"), &json!("release"))
    );
    assert_eq!(document["redefined"], json!(["case"]));
    let subjects: Vec<_> = document["commits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|commit| commit["subject"].clone())
        .collect();
    assert_eq!(subjects, ["test: naps are longer", "feat: hours"]);
    served
        .agent(["bisect", "nap"])
        .ok()
        .stdout_has("note: the case changed with it")
        .stdout_has("feat: hours");
}

#[test]
fn a_tier_that_is_run_later_is_stored_beside_the_published_evaluation() {
    let served = history();
    let diff = || {
        served
            .agent(["versions", "diff", "v0.1.1", "v0.1.2", "--tier", "fast", "--json"])
            .ok()
            .json()
    };
    let missing: Vec<Value> = diff()["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|missing| missing["how"].clone())
        .collect();
    assert_eq!(
        missing,
        ["agent test --at v0.1.1 --tier fast", "agent test --at v0.1.2 --tier fast"]
    );
    served.agent(["test", "--at", "v0.1.1", "--tier", "fast"]).ok();
    served.agent(["test", "--at", "v0.1.2", "--tier", "fast"]).code(1);
    let document = diff();
    assert_eq!(document["missing"], json!([]));
    assert_eq!(document["tiers"][0]["cases"]["flips"][0]["id"], "lunch-is-short");
    served.agent(["verify", "v0.1.1"]).ok();
    // and a bisect need not run what is kept
    let looked = served
        .agent(["bisect", "lunch-is-short", "--bad", "v0.1.2", "--json"])
        .ok()
        .json()["looked"]
        .clone();
    let stored = looked.as_array().unwrap().iter().filter(|look| look["how"] == "stored").count();
    assert_eq!(stored, 2, "{looked}");
}

#[test]
fn a_reverted_commit_raises_no_bump() {
    let served = Served::new();
    let next = || served.agent(["semver", "--json"]).ok().json()["next"].clone();
    let manifest = served.world.read(format!("{}/agent.toml", crate::served::FOLDER));
    served.world.write(format!("{}/agent.toml", crate::served::FOLDER), manifest + "# new\n");
    served.git(["commit", "--quiet", "--all", "--no-verify", "--message", "feat!: x"]);
    assert_eq!(next(), "v1.0.0");
    served.git(["revert", "--no-edit", "HEAD"]);
    served.git(["commit", "--quiet", "--allow-empty", "--no-verify", "--message", "docs: y"]);
    assert_eq!(next(), Value::Null, "nothing differs from what is served");
    // to revert the revert makes the break again
    served.git(["revert", "--no-edit", "HEAD~1"]);
    assert_eq!(next(), "v1.0.0");
}
