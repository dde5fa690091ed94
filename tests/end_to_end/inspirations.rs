//! The built-in coder on the faulty agent of each inspiration (`templates/inspirations/ID/test`):
//! cases fail, its feedback makes the coder apply that inspiration, and then all cases pass.

use crate::world::{World, source_root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The faulty versions are released as well, so no case is required.
const BUDGETS: &str = r#"{"schema":"agent/budgets@1","tiers":{
    "micro":{"pass_rate":0.0},"fast":{"pass_rate":0.0},"full":{"pass_rate":0.0}},"slos":[]}"#;
const TIERS: [&str; 3] = ["micro", "fast", "full"];
const OVERLAY: [(&str, &str); 4] = [
    ("runner.py", "a/runner/__main__.py"),
    ("tuner.py", "a/tuner/__main__.py"),
    ("schema.json", "a/state/schema.json"),
    ("state.json", "a/state/active.state.json"),
];

fn folder(id: &str) -> PathBuf {
    source_root().join("templates/inspirations").join(id).join("test")
}

fn given(id: &str, file: &str) -> Option<String> {
    std::fs::read_to_string(folder(id).join(file)).ok()
}

/// The minimal template with the files of the test in place of its own, released as v0.1.0.
fn faulty(id: &str) -> World {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    for left in [".git", ".agent", "tests/full/heldout"] {
        std::fs::remove_dir_all(world.path("a").join(left)).unwrap();
    }
    for (source, target) in OVERLAY {
        if let Some(text) = given(id, source) {
            world.write(target, text);
        }
    }
    for tier in TIERS {
        for file in std::fs::read_dir(world.path("a/tests").join(tier)).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        world.write(format!("a/tests/{tier}/cases.jsonl"), given(id, "cases.jsonl").unwrap());
    }
    world.write("a/ci/budgets.json", BUDGETS);
    world.git("a", ["init", "--quiet"]);
    world.git("a", ["add", "--all"]);
    world.git("a", ["commit", "--quiet", "--message", "feat: an agent with a fault"]);
    world.agent("a", ["release", "--quiet"]).ok();
    world
}

/// The signals of the test through the Tuner, each after the call of its conversation. A
/// conversation keeps its version, so each round has its own.
fn tune(world: &World, signals: &[Value], round: &str) {
    let mut called = BTreeSet::new();
    let mut file = String::new();
    for signal in signals {
        let mut signal = signal.clone();
        let call = signal.as_object_mut().unwrap().remove("call");
        if let Some(call) = call {
            let talk =
                format!("{round}-{}", signal["arguments"]["conversation_id"]).replace('"', "");
            signal["arguments"]["conversation_id"] = talk.clone().into();
            let arguments = call["arguments"].to_string();
            let tool = call["tool"].as_str().unwrap();
            if called.insert(talk.clone()) {
                world.agent("a", ["run", tool, &arguments, "--conversation", &talk]).ok();
            }
        }
        writeln!(file, "{signal}").unwrap();
    }
    world.write("signals.jsonl", file);
    // refused signals are part of some faults
    world.agent("a", ["tune", "--signals", "../signals.jsonl", "--json"]);
}

/// How many of the cases of the micro tier pass, and how many there are.
fn passed(world: &World, at: &str) -> (u64, u64) {
    let ended = world.agent("a", ["test", "--tier", "micro", "--at", at, "--json"]);
    let micro = &ended.json()["tiers"]["micro"];
    (micro["passed"].as_u64().unwrap(), micro["cases"].as_u64().unwrap())
}

#[track_caller]
fn check(id: &str) {
    let world = faulty(id);
    let signals: Vec<Value> = given(id, "signals.jsonl")
        .unwrap_or_default()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let at = if signals.is_empty() { "active" } else { "staging" };
    tune(&world, &signals, "before");
    let (before, cases) = passed(&world, at);
    assert!(before < cases, "{id}: no case fails before");
    world.agent("a", ["state", "reset"]).ok();

    let feedback = given(id, "feedback.txt").unwrap();
    let run = world.agent("a", ["architect", "--json", feedback.trim()]).json();
    let said = run["attempts"][0]["said"].as_str().unwrap_or_default();
    assert!(said.starts_with(&format!("{id}: ")), "{run:#}");
    if run["status"] != "released" {
        // its gain shows after signals alone, which no trial has: a person decides
        let why = run["why"].as_str().unwrap_or_default();
        assert!(why.contains("no case improved"), "{run:#}");
        assert!(!signals.is_empty(), "{id}: its cases show no gain: {run:#}");
        world.agent("a", ["architect", "accept", run["run"].as_str().unwrap()]).ok();
    }
    tune(&world, &signals, "after");
    assert_eq!(passed(&world, at), (cases, cases), "{id}");
}

macro_rules! each {
    ($($name:ident),* $(,)?) => {
        const IDS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                check(&stringify!($name).replace('_', "-"));
            }
        )*
    };
}

each! {
    abstain,
    answer_cache,
    argument_limit,
    cap_playbook,
    clean_arguments,
    clip_rewards,
    compass_search,
    default_argument,
    discount,
    fallback_model,
    few_shots,
    helpful_errors,
    iso_dates,
    json_repair,
    note_propensity,
    note_rule,
    pairwise_tool,
    redact_secrets,
    retire_rule,
    retry_backoff,
    reward_once,
    shrunk_mean,
    stable_ties,
    stale_answer,
    thompson,
    tunable_constant,
}

#[test]
fn every_inspiration_with_a_fault_is_checked() {
    let folders = std::fs::read_dir(source_root().join("templates/inspirations")).unwrap();
    let mut ids: Vec<_> = folders
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|id| folder(id).is_dir())
        .collect();
    ids.sort();
    let checked: Vec<_> = IDS.iter().map(|id| id.replace('_', "-")).collect();
    assert_eq!(ids, checked);
}
