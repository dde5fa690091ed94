//! Triggers over real calls: a rule fires once, with its evidence, until it is cleared.

use crate::kill::{Moment, Moments, kill_at, kills};
use crate::pipes::{DEADLINE, Pipes, eventually};
use crate::rest::Api;
use crate::served::{FOLDER, Served, json_lines};
use crate::telemetry::served;
use crate::world::{AGENT, Ended, World, source_root};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};

const BURN: &str = r#"{"name": "errors-burn", "type": "burn", "objective": "calls-succeed",
    "min_events": 5}"#;

fn budgets(served: &Served, triggers: &[Value]) {
    let budgets = json!({"schema": "agent/budgets@1", "tiers": {},
        "slos": [{"name": "calls-succeed", "indicator": {"type": "success"}, "target": 0.99,
            "window": "28d"}],
        "triggers": triggers});
    std::fs::write(served.path("ci/budgets.json"), budgets.to_string()).unwrap();
}

fn burn(actions: Value) -> Value {
    let mut rule: Value = serde_json::from_str(BURN).unwrap();
    rule["actions"] = actions;
    rule
}

fn failing_calls(served: &Served, count: usize) {
    for _ in 0..count {
        served.agent(["run", "ask", "question="]).code(1);
    }
}

/// What `agent` does at this long after now.
fn later<const N: usize>(served: &Served, hours: i64, arguments: [&str; N]) -> Ended {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    let mut command = served.command();
    World::finish(command.args(arguments).env("AGENT_NOW", at.to_string()))
}

fn firings(served: &Served) -> Vec<Value> {
    let list = served.agent(["trigger", "list", "--json"]).ok().json();
    assert_eq!(list["schema"], "agent/triggers@1");
    list["firings"].as_array().unwrap().clone()
}

fn check(served: &Served) -> Value {
    let report = served.agent(["trigger", "check", "--json"]).ok().json();
    assert_eq!(report["schema"], "agent/trigger-check@1");
    report["rules"][0].clone()
}

#[test]
fn a_rule_fires_once_with_its_evidence_and_is_cleared() {
    let served = served();
    let notify = json!({"notify": {"command": ["sh", "-c", "cat >> notified.jsonl"]}});
    budgets(&served, &[burn(json!([notify]))]);
    assert_eq!(check(&served)["did"], "not enough events");
    served.agent(["run", "ask", "question=x"]).ok();
    failing_calls(&served, 6);
    let before = jiff::Timestamp::now();
    assert_eq!(check(&served)["did"], "fired");
    assert_eq!(check(&served)["did"], "firing");
    let [firing] = &firings(&served)[..] else { panic!("one firing") };
    let began: jiff::Timestamp = firing["began"].as_str().unwrap().parse().unwrap();
    assert!(before.duration_since(began) < jiff::SignedDuration::from_mins(5), "{firing}");
    assert_eq!(firing["traces"].as_array().unwrap().len(), 5);
    for trace in firing["traces"].as_array().unwrap() {
        let id = trace["trace"].as_str().unwrap();
        served.agent(["log", "--trace", id]).ok().stdout_has("ask");
    }
    assert_eq!(firing["changed"][0]["version"], "v0.1.0");
    let told = std::fs::read_to_string(served.path("notified.jsonl")).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["id"], firing["id"]);
    // one item of feedback, which names the traces
    let item = firing["feedback"].as_str().unwrap();
    let shown = served.agent(["architect", "show", item]).ok();
    shown.stdout_has("errors-burn").stdout_has(firing["traces"][0]["trace"].as_str().unwrap());

    let api =
        Api::start(served.command().args(["serve", "versions", "--json"]).stdout(Stdio::piped()));
    assert_eq!(api.get("/v1/firings")["firings"], json!([firing]));

    let id = firing["id"].as_str().unwrap();
    served.agent(["trigger", "ack", id, "--note", "a bad host"]).ok();
    assert_eq!(firings(&served)[0]["acknowledged"]["note"], "a bad host");
    served.agent(["trigger", "ack", "t-0"]).code(3).stderr_has("there is no firing `t-0`");

    // without further errors it is over, and its feedback is withdrawn with it
    later(&served, 80, ["trigger", "check"]).ok().stderr_has("errors-burn is cleared");
    let [firing] = &firings(&served)[..] else { panic!("one firing") };
    assert!(firing["cleared"].is_string(), "{firing}");
    served.agent(["architect", "show", item]).ok().stdout_has("withdrawn");
    later(&served, 81, ["trigger", "check"]).ok();
    assert_eq!(firings(&served).len(), 1);
}

#[test]
fn a_muted_rule_does_not_fire_and_a_mistake_names_its_place() {
    let served = served();
    served.agent(["trigger", "check"]).ok().stderr_has("there are no triggers");
    budgets(&served, &[burn(json!(["wak"]))]);
    let message = "ci/budgets.json: triggers[0].actions[0]: the action is \"wak\"";
    served.agent(["trigger", "check"]).code(3).stderr_has(message);
    served.agent(["trigger", "watch"]).code(3).stderr_has(message);
    budgets(&served, &[burn(json!([]))]);
    served
        .agent(["trigger", "mute", "errors", "--for", "1h"])
        .code(3)
        .stderr_has("there is no trigger `errors`");
    served.agent(["trigger", "mute", "errors-burn", "--for", "1h", "--reason", "load"]).ok();
    failing_calls(&served, 5);
    let state = check(&served)["did"].as_str().unwrap().to_owned();
    assert!(state.starts_with("muted until "), "{state}");
    served.agent(["trigger", "list"]).ok().stdout_has("errors-burn is muted until");
    assert!(firings(&served).is_empty());
    served.agent(["trigger", "mute", "errors-burn", "--for", "0m"]).ok();
    assert_eq!(check(&served)["did"], "fired");
}

#[test]
fn a_firing_holds_promotions_until_it_is_cleared() {
    let served = served();
    budgets(&served, &[burn(json!(["freeze"]))]);
    failing_calls(&served, 5);
    assert_eq!(check(&served)["did"], "fired");
    served
        .agent(["promote"])
        .code(1)
        .stderr_has("the trigger errors-burn holds promotions")
        .stderr_has("agent trigger mute errors-burn");
    served.agent(["trigger", "mute", "errors-burn", "--for", "1h"]).ok();
    served.agent(["promote"]).ok();
    served.agent(["trigger", "mute", "errors-burn", "--for", "0m"]).ok();
    served.agent(["promote"]).code(1);
    later(&served, 80, ["trigger", "check"]).ok();
    served.agent(["promote"]).ok();
}

#[test]
fn every_firing_with_a_freeze_holds_promotions_until_it_or_its_rule_is_gone() {
    let served = served();
    let [mut one, two] = [burn(json!(["freeze"])), burn(json!(["freeze"]))];
    one["name"] = json!("burns-too");
    budgets(&served, &[one, two]);
    failing_calls(&served, 5);
    served.agent(["trigger", "check"]).ok();
    for muted in ["errors-burn", "burns-too"] {
        served.agent(["trigger", "mute", muted, "--for", "1h"]).ok();
        served.agent(["promote"]).code(1);
        served.agent(["trigger", "mute", muted, "--for", "0m"]).ok();
    }
    // rules that were removed, or renamed, clear nothing any more
    budgets(&served, &[]);
    served.agent(["promote"]).code(1).stderr_has("agent trigger check");
    served.agent(["trigger", "check"]).ok();
    for firing in firings(&served) {
        assert!(firing["cleared"].is_string(), "{firing}");
        assert_eq!(firing["outcome"]["status"], "the rule was removed");
        let item = firing["feedback"].as_str().unwrap();
        served.agent(["architect", "show", item]).ok().stdout_has("withdrawn");
    }
    served.agent(["promote"]).ok();
}

#[test]
fn a_failed_notification_says_how_and_is_recorded_with_its_beginning_alone() {
    let served = served();
    let [loud, silent] =
        ["head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", "exit 3"].map(|script| {
            let rule = json!({"notify": {"command": ["sh", "-c", script]}});
            (rule, format!("notify sh -c {script}"))
        });
    budgets(&served, &[burn(json!([loud.0, silent.0]))]);
    failing_calls(&served, 5);
    assert_eq!(check(&served)["did"], "fired");
    let actions = &firings(&served)[0]["actions"];
    assert_eq!(actions[&silent.1]["result"], "the command failed with exit code 3");
    let result = actions[&loud.1]["result"].as_str().unwrap();
    assert!(result.starts_with("the command failed with exit code 1: xxx"), "{result}");
    assert!(result.len() < 1100, "{}", result.len());
}

#[test]
fn a_rule_that_cannot_be_judged_keeps_no_other_from_firing() {
    let served = served();
    served.agent(["test", "--at", "active", "--tier", "fast"]);
    failing_calls(&served, 5);
    // promotions are held before a notification that looks is run
    let looks =
        json!({"notify": {"command": ["sh", "-c", "agent trigger list --json > seen.json"]}});
    let nightly = json!({"name": "nightly", "type": "evaluation", "tier": "fast", "every": "0m"});
    budgets(&served, &[nightly, burn(json!([looks, "freeze"]))]);
    let program = std::path::Path::new(AGENT).parent().unwrap();
    let mut command = served.command();
    command.env("AGENT_PYTHON", "/nonexistent").env("PATH", served.world.path_led_by(program));
    let report = World::finish(command.args(["trigger", "check", "--json"])).ok().json();
    let [nightly, burn] = &report["rules"].as_array().unwrap()[..] else { panic!("{report}") };
    assert!(nightly["summary"].as_str().unwrap().starts_with("it was not judged: "), "{nightly}");
    assert_eq!(burn["did"], "fired");
    let seen = std::fs::read_to_string(served.path("seen.json")).unwrap();
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert!(seen["firings"][0]["actions"]["freeze"].is_object(), "{seen}");
    served.agent(["promote"]).code(1).stderr_has("holds promotions");
}

#[test]
fn complaints_that_say_the_same_are_one_item() {
    let served = served();
    let rule = json!({"name": "complaints", "type": "feedback", "window": "1d", "at_least": 3,
        "alike": 0.5});
    budgets(&served, &[rule]);
    for text in ["search finds no plurals", "plurals are not found by the search", "too slow"] {
        served.agent(["architect", "--queue-only", text]).ok();
    }
    assert_eq!(check(&served)["did"], "ok");
    served.agent(["architect", "--queue-only", "the search does not find a plural"]).ok();
    let rule = check(&served);
    assert_eq!(rule["did"], "fired");
    assert_eq!(rule["figures"]["items"].as_array().unwrap().len(), 3, "{rule}");
    let item = rule["firing"]["feedback"].as_str().unwrap().to_owned();
    served
        .agent(["architect", "show", &item])
        .ok()
        .stdout_has("plurals are not found by the search");
    assert_eq!(check(&served)["did"], "firing");
}

/// A Runner whose answers depend on what stands behind it: a model at an API, here a variable.
const DEPENDENT: &str = r#"
import os

from agent_runtime import Server

runner = Server("dependent")


@runner.tool
def ask(question: str) -> str:
    return "?" if os.environ.get("MODEL") == "worse" else question[::-1]


if __name__ == "__main__":
    runner.run()
"#;

#[test]
fn a_tier_that_falls_without_a_new_version_fires() {
    let manifest = std::fs::read_to_string(source_root().join("templates/minimal/agent.toml"));
    let manifest = manifest.unwrap().replace("[runner]\n", "[runner]\nenv = [\"MODEL\"]\n");
    assert!(manifest.contains("MODEL"));
    let cases = (0..40).map(|number| {
        let question = format!("a{number}");
        let answer: String = question.chars().rev().collect();
        json!({"id": question, "tool": "ask", "arguments": {"question": question},
            "expect": {"equals": answer}})
    });
    let served = Served::with(&[
        ("agent.toml", &manifest),
        ("runner/__main__.py", DEPENDENT),
        ("tests/full/estimates.jsonl", ""),
        ("tests/full/heldout/estimates.jsonl", &json_lines(cases)),
    ]);
    let rule = json!({"name": "nightly", "type": "evaluation", "every": "1d"});
    budgets(&served, &[rule]);
    let with = |model: &str, hours: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
        let mut command = served.command();
        command.args(["trigger", "check", "--json"]).env("MODEL", model);
        let report = World::finish(command.env("AGENT_NOW", at.to_string())).ok().json();
        report["rules"][0].clone()
    };
    let rule = with("usual", 0);
    assert!(rule["summary"].as_str().unwrap().contains("has no results of tier full"), "{rule}");
    served.agent(["test", "--at", "active", "--tier", "full"]).ok();
    assert_eq!(with("usual", 1)["did"], "ok");
    assert_eq!(with("worse", 2)["did"], "ok", "it is run again once a day");
    let rule = with("worse", 26);
    assert_eq!((&rule["did"], &rule["figures"]["now"]), (&json!("fired"), &json!(0.0)), "{rule}");
    assert_eq!(with("usual", 27)["did"], "firing");
    assert_eq!(with("usual", 51)["did"], "cleared");
}

#[test]
fn a_bad_version_is_rolled_back_where_the_one_before_is_shown_to_be_better() {
    let world = World::new();
    world.agent(".", ["init", FOLDER]).ok();
    let served = Served { world };
    let cases = (0..40).map(|number| {
        json!({"id": format!("c{number}"), "tool": "estimate", "arguments": {"task": "x"},
            "expect": {"subset": {"seen": 0}}})
    });
    std::fs::write(served.path("tests/micro/more.jsonl"), json_lines(cases)).unwrap();
    budgets(&served, &[burn(json!(["rollback"]))]);
    let commit = || {
        served.git(["add", "--all"]);
        served.git(["commit", "--quiet", "--no-verify", "--message", "fix: more cases"]);
    };
    commit();
    served.agent(["release"]).ok();
    let good = served.git(["describe", "--tags", "active"]);
    let runner = std::fs::read_to_string(served.path("runner/__main__.py")).unwrap();
    let broken =
        runner.replace("    known = state()", "    raise ValueError(task)\n    known = state()");
    assert_ne!(broken, runner);
    std::fs::write(served.path("runner/__main__.py"), broken).unwrap();
    // a version that no hook and no gate would let through
    served.git(["config", "core.hooksPath", "/dev/null"]);
    commit();
    served.release("0.9.0");
    for _ in 0..6 {
        served.agent(["run", "estimate", "task=x"]).code(1);
    }
    let rule = check(&served);
    let result = rule["firing"]["actions"]["rollback"]["result"].as_str().unwrap();
    assert!(result.contains("v0.9.1 serves what") && result.contains(&good), "{result}");
    assert!(result.contains("v0.9.0 scores 0.023"), "one case expects an error: {result}");
    served.agent(["run", "estimate", "task=x"]).ok();
    let newest = || served.git(["log", "-1", "--format=%B", "active"]);
    let message = newest();
    assert!(message.contains("trigger errors-burn"), "{message}");
    // it is tried once
    assert_eq!(check(&served)["did"], "firing");
    assert_eq!(newest(), message);
}

const FAULT: &str = "raise RuntimeError(\"no index of bugs\")";

/// A coder that finds the fault which the feedback names.
fn coder() -> String {
    format!(
        "import os, pathlib\n\
        brief = pathlib.Path(os.environ['AGENT_BRIEF']).read_text()\n\
        assert 'errors-burn' in brief and 'estimate failed' in brief, brief\n\
        runner = pathlib.Path('runner/__main__.py')\n\
        runner.write_text(runner.read_text().replace({FAULT:?}, 'pass'))\n"
    )
}

/// Live traffic through the shim, a fault in it, a watch: what follows needs no person.
#[test]
#[expect(clippy::print_stdout, reason = "how long it took is a figure that is asked for")]
fn an_incident_in_live_traffic_is_found_and_fixed() {
    let template = source_root().join("templates/minimal");
    let read = |path: &str| std::fs::read_to_string(template.join(path)).unwrap();
    let manifest = read("agent.toml").replace(
        "coder = \"builtin\"",
        &format!("coder = \"command\"\ncommand = [\"python\", \"-c\", {:?}]", coder()),
    );
    let runner = read("runner/__main__.py").replace(
        "    known = state()",
        &format!("    if task == \"bug\":\n        {FAULT}\n    known = state()"),
    );
    let budgets = json!({"schema": "agent/budgets@1",
        "tiers": {"micro": {"pass_rate": 0.6}, "fast": {"pass_rate": 0.3},
            "full": {"pass_rate": 0.3}},
        "slos": [{"name": "calls-succeed", "indicator": {"type": "success"}, "target": 0.9,
            "window": "28d"}],
        "triggers": [{"name": "errors-burn", "type": "burn", "objective": "calls-succeed",
            "windows": [{"long": "1h", "short": "5m", "rate": 3}], "actions": ["wake"]}]});
    let served = Served::with(&[
        ("agent.toml", &manifest),
        ("runner/__main__.py", &runner),
        ("ci/budgets.json", &budgets.to_string()),
    ]);
    let mut watch =
        served.command().args(["-q", "trigger", "watch", "--every", "1s"]).spawn().unwrap();
    let mut shim = Pipes::start(served.command().args(["mcp", "runner"]));
    shim.initialize("2025-11-25");
    for _ in 0..10 {
        shim.call("estimate", &json!({"task": "review"}));
    }
    assert!(firings(&served).is_empty());
    let began = Instant::now();
    for _ in 0..10 {
        shim.call_fails("estimate", &json!({"task": "bug"}));
    }
    eventually(DEADLINE, "the trigger fires", || !firings(&served).is_empty());
    println!("from the first bad call to the firing: {:.1} s", began.elapsed().as_secs_f64());
    eventually(DEADLINE, "a version answers", || {
        firings(&served)[0]["outcome"]["version"].is_string()
    });
    println!("to the version that answers it: {:.1} s", began.elapsed().as_secs_f64());
    shim.call("estimate", &json!({"task": "bug"}));
    watch.kill().unwrap();
    watch.wait().unwrap();
    later(&served, 80, ["trigger", "check"]).ok().stderr_has("errors-burn is cleared");
    let [firing] = &firings(&served)[..] else { panic!("it fired once") };
    assert!(firing["cleared"].is_string(), "{firing}");
    let listed = served.agent(["architect", "list", "--json"]).ok().json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["runs"][0]["version"], firing["outcome"]["version"]);
}

#[test]
fn a_killed_check_fires_once_and_wakes_once() {
    let served = served();
    budgets(&served, &[burn(json!(["wake"]))]);
    failing_calls(&served, 5);
    let mut moments = Moments::new();
    for _ in 0..kills(10) {
        let moment = Duration::from_millis(moments.below(120));
        kill_at(served.command().args(["trigger", "check"]), Moment::After(moment));
        assert!(firings(&served).len() <= 1, "seed {}", moments.seed());
    }
    let report = check(&served);
    assert!(["fired", "firing"].contains(&report["did"].as_str().unwrap()), "{report}");
    let [firing] = &firings(&served)[..] else { panic!("one firing; seed {}", moments.seed()) };
    assert!(firing["actions"]["wake"].is_object(), "{firing}");
    let listed = served.agent(["architect", "list", "--json"]).ok().json();
    let of_trigger = |list: &Value| {
        let items = list["feedback"].as_array().unwrap();
        items.iter().filter(|item| item["source"] == "trigger").count()
    };
    assert_eq!(of_trigger(&listed), 1, "{listed}");
    assert_eq!(listed["runs"].as_array().unwrap().len(), 1, "{listed}");
}
