//! The template `bandit`: a router that learns from rewards, as its README shows it.

use crate::world::{World, source_root};
use agent_core::state::semantic;
use serde_json::{Value, json};

const FOLDER: &str = "router";
const REQUEST: &str = r#"context={"kind": "bug", "words": 80, "has_code": 1}"#;

fn router() -> World {
    let world = World::new();
    world.agent(".", ["init", FOLDER, "--template", "bandit"]).ok();
    world
}

fn staging(world: &World) -> Value {
    world.agent(FOLDER, ["state", "show", "--json"]).ok().json()["state"].clone()
}

/// The mean score of the held-out requests under a version.
fn held_out_score(world: &World, at: &str) -> f64 {
    let tested = world.agent(FOLDER, ["test", "--tier", "full", "--at", at, "--json"]).ok().json();
    tested["tiers"]["full"]["heldout"]["score"].as_f64().unwrap()
}

/// Some lines of the signals that come with the template.
fn signals(world: &World, lines: std::ops::Range<usize>) -> String {
    let all = world.read(format!("{FOLDER}/signals/feedback.jsonl"));
    let chosen: Vec<_> = all.lines().skip(lines.start).take(lines.len()).collect();
    let name = format!("signals-{}-{}.jsonl", lines.start, lines.end);
    world.write(&name, chosen.join("\n")).display().to_string()
}

#[test]
fn rewards_make_the_choice_of_held_out_requests_better() {
    let world = router();
    let tuned = world.agent(FOLDER, ["tune", "--signals", "signals/feedback.jsonl", "--json"]);
    assert_eq!(tuned.ok().json()["applied"], 200);
    let promoted = world.agent(FOLDER, ["promote", "--json"]).ok().json();
    assert_eq!((&promoted["done"], &promoted["version"]), (&json!(true), &json!("0.1.1")));
    let (before, after) = (held_out_score(&world, "v0.1.0"), held_out_score(&world, "v0.1.1"));
    assert!(before < 0.5 && after > 0.9, "{before} {after}");
    let choice = world.agent(FOLDER, ["run", "choose", REQUEST]).ok().json();
    assert!(choice["propensities"]["large-model"].as_f64().unwrap() > 0.8, "{choice}");
}

#[test]
fn choices_of_conversations_are_rewarded_once_and_corrected() {
    let world = router();
    let run = ["run", "choose", "--conversation", "c1", REQUEST];
    let choice = world.agent(FOLDER, run).ok().json();
    assert_eq!((&choice["call"], &choice["propensity"]), (&json!("c1/1"), &json!(0.25)));
    let arm = choice["arm"].as_str().unwrap();
    let mut rewarded = Value::Null;
    for value in ["value=1", "value=0", "value=0.4"] {
        let tune = ["tune", "reward", "--conversation", "c1", value];
        world.agent(FOLDER, tune).ok();
        rewarded = staging(&world)["arms"][arm].clone();
    }
    assert_eq!((&rewarded["n"], &rewarded["sum"]), (&json!(1), &json!(400_000)));
    let elsewhere = ["tune", "reward", "value=1", "call=c1/1"];
    world.agent(FOLDER, elsewhere).ok();
    assert_eq!(staging(&world)["arms"][arm]["sum"], 1_000_000);
    world
        .agent(FOLDER, ["tune", "reward", "value=1", "call=c1/9"])
        .code(1)
        .stderr_has("no recent reward is known");
}

/// By the rules of the template's schema, in the three-way merge that releases use.
#[test]
fn the_learning_of_two_machines_adds() {
    let world = router();
    let schema = source_root().join("templates/bandit/state/schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    let base = staging(&world);
    let learned = |lines| {
        let file = signals(&world, lines);
        world.agent(FOLDER, ["tune", "--signals", &file]).ok();
        let state = staging(&world);
        world.agent(FOLDER, ["state", "reset"]).ok();
        state
    };
    let (ours, theirs, both) = (learned(0..30), learned(30..50), learned(0..50));
    let merged = semantic::merge(&base, &ours, &theirs, Some(&schema)).unwrap();
    assert_eq!(merged["arms"], both["arms"]);
    assert_eq!(merged["steps"], 50);
    assert_eq!(merged["recent"].as_object().unwrap().len(), 50);
}
