//! The template `preferences`: judgements rank its items, one is corrected, and the ranking is
//! promoted.

use crate::world::World;
use serde_json::{Value, json};

const FOLDER: &str = "judged";

fn call(world: &World, tool: &str, arguments: &Value, at: &str) -> Value {
    let arguments = arguments.to_string();
    let ended = world.agent(FOLDER, ["run", tool, &arguments, "--at", at, "--json"]);
    ended.ok().json()["result"]["structuredContent"].clone()
}

fn prefer(world: &World, arguments: &Value) {
    world.agent(FOLDER, ["tune", "prefer", &arguments.to_string()]).ok();
}

/// The counts of a pair in staging.
fn counts(world: &World, first: &str, second: &str) -> Value {
    world.agent(FOLDER, ["state", "show", "--json"]).ok().json()["state"]["pairs"][first][second]
        .clone()
}

#[test]
fn judgements_rank_prompts_and_can_be_corrected() {
    let world = World::new();
    world.agent(".", ["init", FOLDER, "--template", "preferences"]).ok();
    assert_eq!(call(&world, "best", &json!({}), "active")["probability"], 0.5);

    // a session offers other pairs with each call
    let offer = || {
        let ended = world.agent(FOLDER, ["run", "next_pair", "--conversation", "c1", "--json"]);
        ended.ok().json()["result"]["structuredContent"].clone()
    };
    let offered = [offer(), offer()];
    let names = |pair: &Value| {
        let mut names = [pair["first"].to_string(), pair["second"].to_string()];
        names.sort();
        names
    };
    assert_ne!(names(&offered[0]), names(&offered[1]));

    // a judgement is corrected under its id, and taken back
    let judgement = json!({"winner": "plain", "loser": "short", "judgement_id": "first"});
    prefer(&world, &judgement);
    assert_eq!(counts(&world, "plain", "short"), json!({"wins": 1, "losses": 0, "ties": 0}));
    let corrected =
        json!({"winner": "plain", "loser": "short", "judgement_id": "first", "tie": true});
    prefer(&world, &corrected);
    assert_eq!(counts(&world, "plain", "short"), json!({"wins": 0, "losses": 0, "ties": 1}));
    world.agent(FOLDER, ["tune", "withdraw", "judgement_id=first"]).ok();
    assert_eq!(counts(&world, "plain", "short"), json!({"wins": 0, "losses": 0, "ties": 0}));
    world
        .agent(FOLDER, ["tune", "prefer", "winner=plain", "loser=sonnet"])
        .code(1)
        .stderr_has("there is no item 'sonnet'");

    world.agent(FOLDER, ["tune", "--signals", "signals/feedback.jsonl", "--promote"]).ok();
    let best = call(&world, "best", &json!({}), "active");
    assert_eq!(best["item"], "chain");
    let ranking = call(&world, "ranking", &json!({}), "active");
    assert_eq!(ranking["judgements"], 180);
    let strengths = ranking["items"].as_array().unwrap();
    assert_eq!(strengths.len(), 6);
    let high_of_the_last = strengths[5]["high"].as_f64().unwrap();
    assert!(strengths[0]["low"].as_f64().unwrap() > high_of_the_last, "{ranking}");
    world.agent(FOLDER, ["versions", "list"]).ok().stdout_has("0.1.1");
}
