//! The template `search`: CMA-ES through the Tuner, across processes, promotions and replays.

use crate::served::json_lines;
use crate::world::World;
use serde_json::{Value, json};

const FOLDER: &str = "a";

fn world() -> World {
    let world = World::new();
    world.agent(".", ["init", FOLDER, "--template", "search"]).ok();
    world
}

/// `agent tune TOOL ARGUMENTS`: what the tool answered.
fn tune(world: &World, tool: &str, arguments: &Value) -> Value {
    world.agent(FOLDER, ["tune", tool, &arguments.to_string()]).ok().json()
}

fn staging(world: &World) -> Value {
    world.agent(FOLDER, ["state", "show", "--json"]).ok().json()
}

fn recorded(world: &World, count: usize) -> Vec<Value> {
    let text = world.read(format!("{FOLDER}/signals/feedback.jsonl"));
    text.lines().take(count).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_tuner_that_is_started_anew_for_each_value_makes_the_same_state_as_one_for_all() {
    let world = world();
    let signals = recorded(&world, 15);
    world.write(format!("{FOLDER}/few.jsonl"), json_lines(signals.iter().cloned()));
    world.agent(FOLDER, ["tune", "--signals", "few.jsonl"]).ok();
    let at_once = staging(&world);
    world.agent(FOLDER, ["state", "reset"]).ok();
    for signal in &signals {
        tune(&world, "tell", &signal["arguments"]);
    }
    let one_by_one = staging(&world);
    assert_eq!(at_once["revision"], one_by_one["revision"]);
    assert_eq!(at_once["state"]["search"]["generation"], json!(1));
    world.agent(FOLDER, ["state", "verify"]).ok().stderr_has("15 updates replayed");
}

/// The recorded values are those of this search, so its steps make the same state as they do.
#[test]
fn a_search_over_a_tier_goes_on_where_it_was_and_replays_without_running_it() {
    let world = world();
    let search = |budget: &str| {
        let step = ["tune", "search", "--tier", "fast", "--budget", budget];
        world.agent(FOLDER, step).ok();
    };
    search("6");
    search("8");
    let searched = staging(&world)["state"]["search"].clone();
    assert_eq!((&searched["evaluations"], &searched["generation"]), (&json!(14), &json!(1)));
    world.agent(FOLDER, ["state", "verify"]).ok().stderr_has("14 updates replayed");
    let best = searched["best"]["value"].as_f64().unwrap();
    let told: Vec<_> = recorded(&world, 14);
    let highest = told
        .iter()
        .map(|signal| signal["arguments"]["value"].as_f64().unwrap())
        .fold(0.0, f64::max);
    assert!((best - highest).abs() < 1e-6, "{best} {highest}");
    world.agent(FOLDER, ["state", "set", "settings.target=0.3"]).ok();
    tune(&world, "begin", &json!({}));
    search("50");
    let ended = staging(&world)["state"]["search"].clone();
    assert_eq!(
        (&ended["evaluations"], &ended["done"]),
        (&json!(1), &json!("the target 0.3 is reached"))
    );
    let again = tune(&world, "search", &json!({}));
    assert_eq!((&again["done"], &again["evaluations"]), (&json!(true), &json!(1)));
    world
        .agent(FOLDER, ["tune", "search", "--tier", "full", "budget=0"])
        .code(1)
        .stderr_has("budget is 0");
}

#[test]
fn what_a_search_found_is_promoted_by_series_it_has_not_seen() {
    let world = world();
    world.agent(FOLDER, ["tune", "--signals", "signals/feedback.jsonl"]).ok();
    let found = staging(&world)["state"].clone();
    assert_eq!(found["parameters"], found["search"]["best"]["parameters"]);
    assert_eq!(found["parameters"]["period"], json!(12));
    let outcome = world.agent(FOLDER, ["promote", "--json"]).ok().json();
    assert_eq!((&outcome["done"], &outcome["version"]), (&json!(true), &json!("0.1.1")));
    let why = outcome["why"].as_str().unwrap();
    assert!(why.contains("held-out score 0.586 (was 0.506)"), "{why}");
}

#[test]
fn rewards_of_conversations_move_the_candidates_that_served_them() {
    let world = world();
    world.agent(FOLDER, ["state", "set", "explore=1"]).ok();
    tune(&world, "begin", &json!({}));
    world.agent(FOLDER, ["promote"]).ok();
    let mut periods = std::collections::BTreeSet::new();
    let mut counted = 0;
    for number in 0..8 {
        let id = format!("c{number}");
        let call = ["run", "forecast", "history=[3,5,4,6]", "--conversation", &id];
        periods.insert(world.agent(FOLDER, call).ok().json()["period"].as_u64().unwrap());
        let reward = ["tune", "reward", "value=0.5", "--conversation", &id];
        counted = world.agent(FOLDER, reward).ok().json()["evaluations"].as_u64().unwrap();
    }
    assert!(periods.len() > 2 && counted == 8, "{periods:?} {counted}");
    let told = staging(&world)["state"]["search"]["told"].clone();
    let values: u64 = told.as_array().unwrap().iter().map(|one| one[0].as_u64().unwrap()).sum();
    assert_eq!(values, 8);
    // a call outside a conversation is served what is promoted
    let plain = world.agent(FOLDER, ["run", "forecast", "history=[3,5,4,6]"]).ok().json();
    assert_eq!(plain["period"], json!(1));
    let to_none = ["tune", "reward", "value=1"];
    world.agent(FOLDER, to_none).code(1).stderr_has("name the conversation");
}

#[test]
fn values_out_of_place_and_a_changed_space_are_refused() {
    let world = world();
    let refused = |arguments: &str, why: &str| {
        world.agent(FOLDER, ["tune", "tell", arguments]).code(1).stderr_has(why);
    };
    refused(r#"{"id": "0.3.1", "value": 1}"#, "no candidate of that id");
    refused(r#"{"id": "first", "value": 1}"#, "as in '0.12.3'");
    tune(&world, "tell", &json!({"id": "start", "value": 0.5}));
    world.agent(FOLDER, ["state", "set", "space.period.high=36"]).ok();
    refused(r#"{"id": "0.0.0", "value": 1}"#, "`begin` starts another");
    assert_eq!(tune(&world, "begin", &json!({"seed": 3}))["evaluations"], json!(0));
    assert_eq!(staging(&world)["state"]["search"]["settings"]["seed"], json!(3));
    world.agent(FOLDER, ["state", "set", "space.period.low=40"]).ok();
    world.agent(FOLDER, ["tune", "begin"]).code(1).stderr_has("space.period: low is 40");
}
