//! The template `prompts`: a prompt is learned by rewards, examples and GEPA, over a scripted
//! model.

use crate::world::World;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

const FOLDER: &str = "prompts";

/// A repository from the template; `None` where the package gepa cannot be installed.
fn made() -> Option<World> {
    let world = World::new();
    let ended = world.agent(".", ["init", FOLDER, "--template", "prompts"]);
    if ended.lacks_packages() {
        return None;
    }
    ended.ok();
    Some(world)
}

fn staging(world: &World) -> Value {
    world.agent(FOLDER, ["state", "show", "--json"]).ok().json()["state"].clone()
}

#[test]
fn reward_of_a_conversation_counts_once_for_its_variant() {
    let Some(world) = made() else { return };
    let route = |conversation: &str, question: &str| {
        let question = format!("question={question}");
        let ended = world
            .agent(FOLDER, ["run", "route", &question, "--conversation", conversation, "--json"]);
        ended.ok().json()["result"]["structuredContent"].clone()
    };
    let first = route("c1", "my account is locked");
    let variant = first["variant"].as_str().unwrap().to_owned();
    assert!(first["usd"].as_f64().unwrap() > 0.0);
    assert_eq!(route("c1", "where is my parcel?")["variant"], first["variant"]);

    world.agent(FOLDER, ["tune", "reward", "value=1", "conversation_id=c1"]).ok();
    world.agent(FOLDER, ["tune", "reward", "value=0.25", "conversation_id=c1"]).ok();
    let counted = &staging(&world)["variants"][&variant];
    assert_eq!((&counted["n"], &counted["sum"]), (&json!(1), &json!(0.25)));
    world
        .agent(FOLDER, ["tune", "reward", "value=2", "conversation_id=c1"])
        .code(1)
        .stderr_has("give a number from 0 (wrong) to 1 (right)");
    world
        .agent(FOLDER, ["tune", "reflect"])
        .code(1)
        .stderr_has("the state has 0 examples with a known label, and a reflection needs 6");
}

#[test]
fn reflection_finds_a_better_prompt_and_the_held_out_cases_confirm_it() {
    let Some(world) = made() else { return };
    world.agent(FOLDER, ["tune", "--signals", "signals/feedback.jsonl"]).ok();
    let steps = ["tune", "reflect", "--tier", "fast", "--budget", "12", "--seed", "1", "--json"];
    assert_eq!(world.agent(FOLDER, steps).ok().json()["applied"], 12);
    let first = staging(&world);
    world.agent(FOLDER, ["state", "reset"]).ok();
    world.agent(FOLDER, ["tune", "--signals", "signals/feedback.jsonl", "--unchecked"]).ok();
    world.agent(FOLDER, steps).ok();
    assert_eq!(staging(&world), first, "the same seed finds the same prompts");
    world.agent(FOLDER, ["tune", "bootstrap", "--tier", "fast", "--seed", "1"]).ok();
    let state = staging(&world);
    assert_ne!(state["served"], "plain");
    let score = |name: &str| state["variants"][name]["score"].as_f64().unwrap();
    assert!(score(state["served"].as_str().unwrap()) > score("plain"));
    // neither the model nor the tier is asked again
    world.agent(FOLDER, ["state", "verify"]).ok();
    world.agent(FOLDER, ["promote"]).ok();
    world.agent(FOLDER, ["verify", "v0.1.1"]).ok();
}

/// The scripted model as a server; it ends with this value.
struct Endpoint(Child);

impl Endpoint {
    fn start(world: &World) -> (Self, String) {
        let mut command = world.command("python3", FOLDER);
        command.args(["-m", "scripted", "--port", "0"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        (Self(child), url.trim().to_owned())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn model_behind_a_url_is_asked_by_runner_and_tuner() {
    let Some(world) = made() else { return };
    let (_endpoint, url) = Endpoint::start(&world);
    world.agent(FOLDER, ["tune", "--signals", "signals/feedback.jsonl"]).ok();
    world.agent(FOLDER, ["state", "set", &format!("endpoint.url={url}")]).ok();
    // the manifest that is served allows another port
    world
        .agent(FOLDER, ["tune", "reflect", "--tier", "micro"])
        .code(1)
        .stderr_has("begins with none of the URLs in `http` of [tuner.effects]");

    let manifest = world.read(format!("{FOLDER}/agent.toml"));
    let origin = url.strip_suffix("v1").unwrap();
    let manifest = manifest.replace("http://127.0.0.1:8399/", origin);
    world.write(format!("{FOLDER}/agent.toml"), manifest);
    world.git(FOLDER, ["commit", "--quiet", "--all", "--message", "feat: another port"]);
    world.agent(FOLDER, ["release"]).ok();
    world.agent(FOLDER, ["tune", "reflect", "--tier", "micro"]).ok();
    let question = ["run", "route", "question=my account is locked", "--at", "staging", "--json"];
    let answer = world.agent(FOLDER, question).ok().json();
    assert!(answer["result"]["structuredContent"]["usd"].as_f64().unwrap() > 0.0);
    world.agent(FOLDER, ["state", "verify"]).ok();
}
