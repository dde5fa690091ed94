//! The template `rules`: rules are mined from feedback, explain themselves, and are promoted.

use crate::world::World;
use serde_json::{Value, json};

const FOLDER: &str = "routed";

fn call(world: &World, tool: &str, arguments: &Value, at: &str) -> Value {
    let arguments = arguments.to_string();
    let ended = world.agent(FOLDER, ["run", tool, &arguments, "--at", at, "--json"]);
    ended.ok().json()["result"]["structuredContent"].clone()
}

#[test]
fn rules_are_mined_from_feedback_and_explain_a_decision() {
    let world = World::new();
    world.agent(".", ["init", FOLDER, "--template", "rules"]).ok();
    let ticket = json!({"features": {"subject": "my refund please", "amount": 260.0}});
    assert_eq!(call(&world, "classify", &ticket, "active")["rule"], Value::Null);
    assert_eq!(call(&world, "rules", &json!({}), "active")["result"], json!([]));

    world
        .agent(FOLDER, ["tune", "labelled", r#"{"features": {}, "label": "billing"}"#])
        .code(1)
        .stderr_has("features is empty");
    world.agent(FOLDER, ["tune", "--signals", "signals/feedback.jsonl", "--promote"]).ok();
    world.agent(FOLDER, ["versions", "list"]).ok().stdout_has("0.1.1");

    let answer = call(&world, "classify", &ticket, "active");
    assert_eq!(answer["label"], "billing");
    let explained = call(&world, "explain", &ticket, "active");
    let strongest = &explained["fired"][0];
    assert_eq!(strongest["rule"], answer["rule"]);
    assert!(strongest["sentence"].as_str().unwrap().ends_with("then billing"), "{strongest}");
    assert!(strongest["confidence"].as_f64().unwrap() > 0.6, "{strongest}");

    // one rule, tested by itself: what its only condition needs makes it fire
    let rules = call(&world, "rules", &json!({"label": "technical"}), "active");
    let rule = rules["result"].as_array().unwrap().iter().find(|rule| {
        rule["sentence"].as_str().unwrap().starts_with("if subject contains 'slow' then")
    });
    let rule = rule.unwrap_or_else(|| panic!("{rules}"));
    let subject = json!({"features": {"subject": "slow again"}});
    let fired = call(&world, "explain", &subject, "active");
    assert_eq!(fired["fired"][0]["rule"], rule["rule"]);

    // a correction changes the example and no count of examples
    let seen = || world.agent(FOLDER, ["state", "show", "--json"]).ok().json()["state"].clone();
    let before = seen();
    let (id, example) = before["examples"].as_object().unwrap().iter().next().unwrap();
    let other = if example["label"] == "sales" { "billing" } else { "sales" };
    let corrected =
        json!({"features": example["features"], "label": other, "example_id": id}).to_string();
    world.agent(FOLDER, ["tune", "labelled", &corrected]).ok();
    let after = seen();
    assert_eq!(after["seen"], before["seen"]);
    assert_eq!(after["examples"][id]["label"], other);
    let count = |state: &Value, label: &str| state["labels"][label].as_i64().unwrap();
    assert_eq!(count(&after, other), count(&before, other) + 1);
}
