//! Canaries over a real shim: conversations are assigned by chance and keep what they are served,
//! and their rewards and errors decide.

use crate::kill::{Moment, Moments, kill_at, kills};
use crate::pipes::Pipes;
use crate::rest::Api;
use crate::served::{Served, json_lines};
use crate::world::{Ended, World};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;

/// A Runner whose answers show the state it was served.
const RUNNER: &str = r#"
import json
import os

from agent_runtime import Server, state

with open(os.environ["AGENT_STATE_FILE"]) as file:
    if json.load(file)["tasks"].get("crashes"):
        raise SystemExit("it was learned to crash")

runner = Server("canary")


@runner.tool
def ask(question: str, conversation_id: str = "") -> str:
    learned = state()["tasks"].get("learned", {"seen": 0})
    if learned.get("fails"):
        raise ValueError("it was learned to fail")
    return f"learned {learned['seen']}"


@runner.tool
def look() -> str:
    return ask("x")


if __name__ == "__main__":
    runner.run()
"#;

const TUNER: &str = r#"
from agent_runtime import Tuner, state

tuner = Tuner("canary")


@tuner.tool
def reward(value: float, conversation_id: str = "") -> float:
    learned = state()["tasks"].setdefault("learned", {"minutes": 0.0, "seen": 0})
    learned["seen"] += 1
    return value


@tuner.tool
def fail() -> bool:
    state()["tasks"]["learned"] = {"minutes": 0.0, "seen": 0, "fails": True}
    return True


@tuner.tool
def crash() -> bool:
    state()["tasks"]["crashes"] = {"minutes": 0.0, "seen": 0}
    return True


if __name__ == "__main__":
    tuner.run()
"#;

/// Cases that both states pass, and a schema that knows what is learned.
fn served() -> Served {
    Served::with(&[
        ("runner/__main__.py", RUNNER),
        ("tuner/__main__.py", TUNER),
        (
            "tests/micro/estimates.jsonl",
            "{\"id\": \"any\", \"tool\": \"ask\", \"arguments\": {\"question\": \"x\"}, \
            \"expect\": {\"regex\": \"learned\"}}\n",
        ),
        ("state/schema.json", "{\"type\": \"object\", \"x-schema-version\": 1}\n"),
    ])
}

const CONVERSATION: &str = "dev.agentvc/conversation";

struct Host<'a> {
    served: &'a Served,
    shim: Pipes,
}

impl<'a> Host<'a> {
    fn of(served: &'a Served) -> Self {
        let mut shim = Pipes::start(served.command().args(["mcp", "runner"]));
        shim.initialize("2025-11-25");
        Self { served, shim }
    }

    /// What the conversation is answered.
    fn ask(&mut self, conversation: &str) -> String {
        let answer = self.shim.request(
            "tools/call",
            &json!({"name": "ask", "arguments": {"question": "x"},
                "_meta": {CONVERSATION: {"id": conversation}}}),
        );
        let text = &answer["result"]["content"][0]["text"];
        text.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// What the session is answered by a tool without memory.
    fn look(&mut self) -> String {
        let answer = self.shim.call("look", &json!({}));
        answer["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// So many conversations of one call each, by their ids and answers.
    fn converse(&mut self, count: usize) -> Vec<(String, String)> {
        let ids = (0..count).map(|number| format!("c-{number}"));
        ids.map(|id| (id.clone(), self.ask(&id))).collect()
    }

    /// Ends the shim, whose spans are on record by then.
    fn end(mut self) -> &'a Served {
        self.shim.close();
        assert!(self.shim.exited(Duration::from_secs(20)).success());
        self.served
    }
}

/// Rewards conversations by what they were answered.
fn reward(served: &Served, conversations: &[(String, String)], value: impl Fn(&str) -> f64) {
    let signals = conversations.iter().map(|(id, answer)| {
        json!({"tool": "reward", "arguments": {"value": value(answer)}, "conversation": id})
    });
    let signals = json_lines(signals);
    served.agent_given(["tune", "--signals", "-"], &signals).ok();
}

/// What `agent` does an hour from now: conversations are over by then.
fn later<const N: usize>(served: &Served, arguments: [&str; N]) -> Ended {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    World::finish(served.command().args(arguments).env("AGENT_NOW", at.to_string()))
}

fn start<const N: usize>(served: &Served, options: [&str; N]) -> Value {
    let mut command = served.command();
    command.args(["canary", "start", "staging", "--json"]).args(options);
    World::finish(&mut command).ok().json()
}

fn versions(served: &Served) -> Vec<String> {
    served
        .git(["log", "--format=%s", "--first-parent", "active"])
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_better_staging_is_promoted_as_it_was_frozen() {
    let served = served();
    served.agent(["tune", "reward", "value=1"]).ok();
    let mut host = Host::of(&served);
    assert_eq!(host.ask("before"), "learned 0");
    let canary = start(&served, ["--share", "50", "--alpha", "0.1"]);
    // the running server takes it into account at its next request
    let conversations = host.converse(60);
    let of_canary = conversations.iter().filter(|(_, answer)| answer == "learned 1").count();
    assert!((5..=55).contains(&of_canary), "{of_canary}");
    // a conversation stays where it was, and one that began before is in no arm
    assert_eq!(host.ask("before"), "learned 0");
    for (id, answer) in &conversations[..10] {
        assert_eq!(&host.ask(id), answer);
    }
    reward(&served, &conversations, |answer| f64::from(u8::from(answer == "learned 1")));
    assert_ne!(served.staging(), Value::Null);
    let status = served.agent(["canary", "status", "--json"]).ok().json();
    assert_eq!(status["figures"]["conversations"], 0, "none is over yet: {status}");
    served.agent(["canary", "start", "staging"]).code(4).stderr_has("has not ended");

    let (id, answer) = conversations.iter().find(|(_, answer)| answer == "learned 1").unwrap();
    assert_eq!(&host.ask(id), answer);
    let served = host.end();
    let status = later(served, ["canary", "status", "--json"]).ok().json();
    assert_eq!(status["canary"]["end"]["outcome"], "promoted", "{status}");
    assert_eq!(status["canary"]["end"]["version"], "0.1.1", "{status}");
    assert!(status["figures"]["conversations"].as_u64().unwrap() < 60, "{status}");
    let message = served.git(["log", "-1", "--format=%B", "active"]);
    assert!(message.contains(canary["id"].as_str().unwrap()), "{message}");
    let state: Value =
        serde_json::from_str(&served.git(["show", "active:state/active.state.json"])).unwrap();
    assert_eq!(state["tasks"]["learned"]["seen"], 1, "as it was frozen");
    assert_eq!(served.staging()["tasks"]["learned"]["seen"], 61, "later signals stay in staging");
    // it ends once, and its conversations keep what they were served
    later(served, ["canary", "status"]).ok().stdout_has("promoted as v0.1.1");
    assert_eq!(versions(served).len(), 2);
    let listed = served.agent(["canary", "list", "--json"]).ok().json();
    let api =
        Api::start(served.command().args(["serve", "versions", "--json"]).stdout(Stdio::piped()));
    assert_eq!(api.get("/v1/canaries")["canaries"], listed["canaries"]);
    assert_eq!(listed["canaries"].as_array().unwrap().len(), 1, "{listed}");
    let mut host = Host::of(served);
    assert_eq!((host.ask(id), host.ask("after")), (answer.clone(), "learned 1".to_owned()));
}

#[test]
fn a_staging_that_fails_more_is_withdrawn() {
    let served = served();
    served.agent(["tune", "fail"]).ok();
    start(&served, ["--share", "50"]);
    let staged = served.staging();
    let mut host = Host::of(&served);
    let conversations = host.converse(60);
    assert!(conversations.iter().any(|(_, answer)| answer.contains("learned to fail")));
    let served = host.end();
    let ended = later(served, ["canary", "status", "--json"]).code(1).json();
    assert_eq!(ended["canary"]["end"]["outcome"], "withdrawn", "{ended}");
    assert_eq!(ended["canary"]["decision"]["verdict"], "more-errors", "{ended}");
    assert_eq!(served.staging(), staged, "staging stays as it is");
    assert_eq!(versions(served).len(), 1);
    let mut host = Host::of(served);
    for number in 0..10 {
        assert_eq!(host.ask(&format!("after-{number}")), "learned 0");
    }
    // without a canary, and with the same exit code
    served.agent(["canary", "status"]).code(1).stdout_has("withdrawn");
}

#[test]
fn a_canary_ends_at_its_limit_or_by_hand() {
    let served = served();
    served.agent(["canary", "status"]).ok().stderr_has("there was no canary");
    served.agent(["canary", "start", "staging"]).code(1).stderr_has("staging holds nothing");
    served.agent(["canary", "stop"]).code(4).stderr_has("no canary is running here");
    served.agent(["tune", "reward", "value=1"]).ok();
    start(&served, ["--share", "50", "--limit", "4"]);
    let mut host = Host::of(&served);
    host.converse(6);
    let served = host.end();
    later(served, ["canary", "status", "--wait"]).code(7).stdout_has("not-enough-evidence");
    // by time
    start(served, ["--for", "10m"]);
    served.agent(["canary", "status"]).ok().stdout_has("running");
    later(served, ["trigger", "check"]).ok().stderr_has("not-enough-evidence");
    start(served, []);
    served.agent(["canary", "stop", "--reason", "a bad prompt"]).ok().stdout_has("a bad prompt");
    served.agent(["canary", "status"]).ok().stdout_has("stopped: a bad prompt");
    // a version that is made meanwhile ends it
    start(served, []);
    served.agent(["tune", "reward", "value=1"]).ok();
    served.agent(["promote"]).ok();
    served.agent(["canary", "status"]).code(1).stdout_has("overtaken: v0.1.1 is served now");
    let listed = served.agent(["canary", "list"]).ok();
    listed.stdout_has("not-enough-evidence").stdout_has("overtaken").stdout_has("stopped");
}

#[test]
fn a_killed_canary_resumes_and_is_promoted_once() {
    let served = served();
    served.agent(["tune", "reward", "value=1"]).ok();
    let mut moments = Moments::new();
    let mut started = false;
    while !started {
        let moment = Moment::After(Duration::from_millis(moments.below(150)));
        kill_at(served.command().args(["canary", "start", "staging", "--share", "50"]), moment);
        let status = served.agent(["canary", "status", "--json"]).ok().json();
        started = status["canary"].is_object();
    }
    let mut host = Host::of(&served);
    let conversations = host.converse(40);
    reward(&served, &conversations, |answer| f64::from(u8::from(answer == "learned 1")));
    let served = host.end();
    for _ in 0..kills(10) {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let mut command = served.command();
        command.args(["canary", "status"]).env("AGENT_NOW", at.to_string());
        kill_at(&mut command, Moment::After(Duration::from_millis(moments.below(400))));
        assert!(versions(served).len() <= 2, "seed {}", moments.seed());
    }
    let status = later(served, ["canary", "status", "--json"]).ok().json();
    assert_eq!(status["canary"]["end"]["outcome"], "promoted", "seed {}", moments.seed());
    assert_eq!(versions(served).len(), 2, "seed {}", moments.seed());
    let listed = served.agent(["canary", "list", "--json"]).ok().json();
    assert_eq!(listed["canaries"].as_array().unwrap().len(), 1, "seed {}", moments.seed());
}

#[test]
fn a_decision_is_carried_out_after_a_kill_and_once() {
    let served = served();
    served.agent(["tune", "reward", "value=1"]).ok();
    let mut canary = start(&served, []);
    // later signals are in staging by the time of the promotion
    served.agent(["tune", "reward", "value=1"]).ok();
    let file = served.path(".agent/canary/current.json");
    canary["decision"] = json!({"at": canary["started"], "verdict": "better",
        "reason": "reward 0.9 against 0.7", "figures": {}});
    std::fs::write(&file, canary.to_string()).unwrap();
    let status = || served.agent(["canary", "status", "--json"]).ok().json();
    assert_eq!(status()["canary"]["end"]["version"], "0.1.1");
    assert!(!file.exists());
    // killed after the promotion, and before its end was recorded
    std::fs::write(&file, canary.to_string()).unwrap();
    let again = status();
    assert_eq!(again["canary"]["end"]["outcome"], "promoted", "{again}");
    assert_eq!(again["canary"]["end"]["version"], "0.1.1", "{again}");
    assert_eq!(versions(&served).len(), 2);
    // killed before it was on record, and staging was reset since
    served.agent(["tune", "reward", "value=1"]).ok();
    let mut other = start(&served, []);
    served.agent(["state", "reset"]).ok();
    other["decision"] = canary["decision"].clone();
    std::fs::write(&file, other.to_string()).unwrap();
    let refused = served.agent(["canary", "status", "--json"]).code(1).json();
    assert_eq!(refused["canary"]["end"]["outcome"], "refused", "{refused}");
    served.agent(["canary", "list"]).ok().stdout_has("staging was reset or replayed since");
}

#[test]
fn sessions_of_hosts_are_conversations_and_a_split_takes_no_part() {
    let served = served();
    served.agent(["tune", "reward", "value=1"]).ok();
    let id = start(&served, ["--share", "50", "--by", "errors"])["id"].clone();
    let mut answers = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let mut host = Host::of(&served);
        let answer = host.look();
        assert_eq!(host.look(), answer, "a session stays where it was");
        answers.insert(answer);
        host.end();
    }
    assert!(answers.iter().all(|answer| ["learned 0", "learned 1"].contains(&answer.as_str())));
    let mut split =
        Pipes::start(served.command().args(["mcp", "runner", "--at", "active=1,v0.1.0=1"]));
    split.initialize("2025-11-25");
    assert_eq!(split.call("look", &json!({}))["content"][0]["text"], "learned 0");
    split.close();
    split.exited(Duration::from_secs(20));
    let status = later(&served, ["canary", "status", "--json"]).ok().json();
    assert_eq!(status["figures"]["conversations"], 8, "{status}");
    let marked = |span: &&Value| {
        let attributes = span["attributes"].as_array().unwrap();
        attributes
            .iter()
            .any(|one| one["key"] == "agent.canary.id" && one["value"]["stringValue"] == id)
    };
    assert_eq!(crate::telemetry::spans(&served).iter().filter(marked).count(), 16);
}

#[test]
fn a_promotion_that_is_held_is_made_by_a_later_command() {
    let served = served();
    let budgets = json!({"schema": "agent/budgets@1", "tiers": {},
        "slos": [{"name": "calls", "indicator": {"type": "success"}, "target": 0.99,
            "window": "28d"}],
        "triggers": [{"name": "errors-burn", "type": "burn", "objective": "calls",
            "min_events": 5, "actions": ["freeze"]}]});
    std::fs::write(served.path("ci/budgets.json"), budgets.to_string()).unwrap();
    served.agent(["tune", "fail"]).ok();
    for _ in 0..6 {
        served.agent(["run", "ask", "question=x", "--at", "staging"]).code(1);
    }
    served.agent(["trigger", "check"]).ok().stderr_has("errors-burn fired");
    served.agent(["state", "reset"]).ok();
    served.agent(["tune", "reward", "value=1"]).ok();
    let mut canary = start(&served, []);
    canary["decision"] = json!({"at": canary["started"], "verdict": "better",
        "reason": "reward 0.9 against 0.7", "figures": {}});
    let file = served.path(".agent/canary/current.json");
    std::fs::write(file, canary.to_string()).unwrap();
    let held = served.agent(["canary", "status"]).ok();
    held.stderr_has("not promoted yet").stderr_has("errors-burn holds promotions");
    served.agent(["canary", "list"]).ok().stdout_has("decided, not carried out");
    served.agent(["trigger", "mute", "errors-burn", "--for", "1h"]).ok();
    served.agent(["trigger", "check"]).ok().stderr_has("promoted as v0.1.1");
    assert_eq!(versions(&served).len(), 2);
}

#[test]
fn calls_that_no_server_starts_for_count_as_errors() {
    let served = served();
    served.agent(["tune", "crash"]).ok();
    start(&served, ["--share", "99"]);
    let mut host = Host::of(&served);
    let conversations = host.converse(3);
    let failed = conversations.iter().filter(|(_, answer)| answer != "learned 0").count();
    let served = host.end();
    let status = later(served, ["canary", "status", "--json"]).ok().json();
    let success = &status["figures"]["success"];
    assert_eq!(success["canary"]["conversations"], failed, "{status}");
    assert!(failed > 0 && success["canary"]["mean"] == 0.0, "{status}");
}
