//! Off-policy evaluation: of a state that is not served yet by the decisions of the one that is, as
//! a requirement of a promotion, and of logged decisions from elsewhere.

use crate::pipes::Pipes;
use crate::served::{Served, json_lines};
use crate::world::World;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Chooses `b` with the chance that was learned, and notes it. Its generator is seeded by the call.
const RUNNER: &str = r#"
import random

from agent_runtime import Server, note, state

runner = Server("arms")


@runner.tool
def choose(seed: int) -> str:
    chance = state().get("chance", 0.25)
    arm = "b" if random.Random(seed).random() < chance else "a"
    chances = {"a": 1 - chance, "b": chance}
    note(arm=arm, propensity=chances[arm], propensities=chances, context={"even": seed % 2 == 0})
    return arm


if __name__ == "__main__":
    runner.run()
"#;

const TUNER: &str = r#"
from agent_runtime import Tuner, state

tuner = Tuner("arms")


@tuner.tool
def reward(value: float) -> float:
    return value


@tuner.tool
def learn(chance: float) -> float:
    state()["chance"] = chance
    return chance


if __name__ == "__main__":
    tuner.run()
"#;

const REQUIREMENT: &str =
    "[promote]\ntier = \"micro\"\noff_policy = { floor = 20, min_gain = 0.0 }";

fn served() -> Served {
    let manifest = include_str!("../../templates/minimal/agent.toml");
    let manifest = manifest.replace("[promote]\ntier = \"micro\"", REQUIREMENT);
    assert!(manifest.contains("off_policy"), "{manifest}");
    Served::with(&[
        ("agent.toml", &manifest),
        ("runner/__main__.py", RUNNER),
        ("tuner/__main__.py", TUNER),
        (
            "tests/micro/estimates.jsonl",
            "{\"id\": \"any\", \"tool\": \"choose\", \"arguments\": {\"seed\": 1}, \
            \"expect\": {\"regex\": \"[ab]\"}}\n",
        ),
        ("state/schema.json", "{\"type\": \"object\", \"x-schema-version\": 1}\n"),
    ])
}

/// Conversations of one decision each; `b` is rewarded in four of five, `a` in one of five.
fn converse(served: &Served, seeds: std::ops::Range<u32>) {
    let mut shim = Pipes::start(served.command().args(["mcp", "runner"]));
    shim.initialize("2025-11-25");
    let mut signals = Vec::new();
    for seed in seeds {
        let conversation = format!("c-{seed}");
        let answer = shim.request(
            "tools/call",
            &json!({"name": "choose", "arguments": {"seed": seed},
                "_meta": {"dev.agentvc/conversation": {"id": conversation}}}),
        );
        let is_rare = seed % 5 == 0;
        let good = (answer["result"]["content"][0]["text"] == "b") != is_rare;
        let id = format!("s-{seed}");
        signals.push(json!({"id": id, "tool": "reward", "conversation": conversation,
            "arguments": {"value": f64::from(u8::from(good))}}));
    }
    shim.close();
    served.agent_given(["tune", "--signals", "-"], &json_lines(signals)).ok();
}

fn estimate(policy: &Value, estimator: &str) -> f64 {
    let all = policy["estimates"].as_array().unwrap_or_else(|| panic!("{policy}"));
    let found = all.iter().find(|one| one["estimator"] == estimator);
    found.and_then(|one| one["value"].as_f64()).unwrap_or_else(|| panic!("{policy}"))
}

#[test]
fn staging_is_evaluated_by_the_decisions_of_active_and_promoted_for_its_gain() {
    let served = served();
    served.agent(["tune", "learn", "chance=0.6"]).ok();
    served
        .agent(["evaluate", "--off-policy"])
        .code(7)
        .stdout_has("no turn on record has an arm with its propensity");
    served.agent(["promote"]).code(7).stdout_has("no turn on record");

    converse(&served, 0..12);
    let few = served.agent(["evaluate", "--off-policy", "--floor", "20"]);
    few.code(7).stdout_has("below the floor of 20");
    served.agent(["promote"]).code(7).stdout_has("below the floor of 20");

    converse(&served, 12..300);
    let report = served
        .agent(["evaluate", "--off-policy", "--floor", "20", "--min-gain", "0", "--json"])
        .ok()
        .json();
    assert_eq!(report["schema"], "agent/off-policy@1");
    assert_eq!((&report["decisions"], &report["arms"]), (&json!(300), &json!(2)), "{report}");
    assert_eq!(report["verdict"], "yes", "{report}");
    let (candidate, baseline) = (&report["candidate"], &report["baseline"]);
    for estimator in ["ips", "snips", "doubly-robust", "switch-dr"] {
        // 0.4 * 0.2 + 0.6 * 0.8, and what was logged
        let value = estimate(candidate, estimator);
        assert!((value - 0.56).abs() < 0.1, "{estimator}: {value}");
        let logged = report["logged_mean"].as_f64().unwrap();
        assert!((estimate(baseline, estimator) - logged).abs() < 1e-9, "{estimator}: {report}");
    }
    assert_eq!(baseline["effective_sample_size"], 300.0, "{report}");
    let effective = candidate["effective_sample_size"].as_f64().unwrap();
    assert!((100.0..250.0).contains(&effective), "{report}");
    let again = served
        .agent(["evaluate", "--off-policy", "--floor", "20", "--min-gain", "0", "--json"])
        .ok()
        .json();
    assert_eq!(again, report, "the same decisions give the same figures");
    let better = ["evaluate", "--off-policy", "--floor", "20", "--min-gain", "0.9"];
    served.agent(better).code(1).stdout_has("below +0.900000, which is required");

    served.agent(["promote", "--dry-run"]).ok().stdout_has("off-policy evaluation");
    served.agent(["promote"]).ok();
    let message = served.git(["log", "-1", "--format=%B", "active"]);
    assert!(message.contains("off-policy evaluation: the gain is between +0."), "{message}");

    // now all decisions are of an earlier version, whose Runner is asked under both states
    served.agent(["tune", "learn", "chance=0.1"]).ok();
    let asked = "evaluate --off-policy --floor 20 --min-gain 0 --interval fixed --json";
    let worse = World::finish(served.command().args(asked.split(' '))).code(1).json();
    assert!(estimate(&worse["gain"], "snips") < -0.2, "{worse}");
    assert!((estimate(&worse["baseline"], "snips") - 0.56).abs() < 0.1, "{worse}");
    // beside another policy than the logged one, the interval that holds at every look is wide
    served.agent(["promote"]).code(7).stdout_has("off-policy evaluation: the gain is between");
}

/// The Runner is not asked where a file has the probabilities.
#[test]
fn probabilities_are_given_in_a_file() {
    let served = served();
    converse(&served, 0..30);
    let lines = json_lines((0..30).map(
        |seed| json!({"conversation": format!("c-{seed}"), "turn": 1, "propensities": {"b": 1.0}}),
    ));
    served.world.write("b.jsonl", &lines);
    let file = served.world.path("b.jsonl");
    let report = World::finish(
        served
            .command()
            .args(["evaluate", "--off-policy", "--floor", "1", "--json", "--propensities"])
            .arg(&file),
    );
    let report = report.ok().json();
    // all weight is on the rewards of `b`, which are 1 but where the seed is a multiple of 5
    let value = estimate(&report["candidate"], "snips");
    assert!((0.5..=1.0).contains(&value), "{report}");
    served.world.write("b.jsonl", lines.replace("1.0", "0.5"));
    let wrong = World::finish(
        served.command().args(["evaluate", "--off-policy", "--propensities"]).arg(&file),
    );
    wrong.code(3).stderr_has("b.jsonl:1: the probabilities add up to 0.5, not to 1");
}

#[test]
fn logged_decisions_from_elsewhere_are_evaluated() {
    let world = World::new();
    let mut text = "item_id,position,click,propensity_score,user_feature_0\n".to_owned();
    for number in 0..400 {
        let item = usize::from(number % 4 == 0);
        let propensity = [0.75, 0.25][item];
        let click = usize::from(number % 8 == 0 || number % 5 == 1);
        writeln!(text, "{item},1,{click},{propensity},u{}", number % 3).expect("a line");
    }
    world.write("log.csv", &text);
    let evaluate = ["evaluate", "--off-policy", "--log"];
    let run = |more: &[&str]| {
        let arguments: Vec<_> = evaluate.iter().chain(more).copied().collect();
        World::finish(world.command(crate::world::AGENT, "").args(arguments))
    };
    let report = run(&["log.csv", "--json"]).ok().json();
    // weights 2 for 100 decisions and 2/3 for 300
    let effective = report["candidate"]["effective_sample_size"].as_f64().unwrap();
    assert!((effective - 400.0 * 400.0 / (400.0 + 300.0 * 4.0 / 9.0)).abs() < 1e-6, "{report}");
    assert_eq!(report["candidate"]["policy"], "uniform");
    assert_eq!(report["verdict"], "estimated");
    let linear = run(&["log.csv", "--json", "--model", "linear"]).ok().json();
    assert_eq!(linear["model"], "linear");
    let [one, other] = [&linear, &report].map(|of| estimate(&of["candidate"], "doubly-robust"));
    assert!((one - other).abs() > 1e-9, "{one} {other}");
    run(&["log.csv", "--floor", "301"]).code(7).stdout_has("the effective sample size");
    run(&["log.csv"]).ok().stdout_has("doubly-robust").stdout_has("anytime-valid");
    run(&["log.csv", "--reward", "bought"]).code(3).stderr_has("log.csv: line 2: it has no column");
    run(&["missing.csv"]).code(3).stderr_has("there is no file");
    run(&["log.txt"]).code(2).stderr_has("neither .csv nor .jsonl");
    let repository = World::finish(world.command(crate::world::AGENT, "").args(["evaluate"]));
    repository.code(2).stderr_has("--off-policy");
}
