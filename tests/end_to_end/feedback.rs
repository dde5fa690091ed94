//! Withdrawn signals: staging is as if they had never been sent, and no file has their content.

use crate::kill::{Moment, Moments, kill_at, kills};
use crate::served::{Served, json_lines};
use crate::world::World;
use serde_json::{Value, json};
use std::time::Duration;

/// Sums by arm, and the last arm: what follows a signal depends on it.
const TUNER: &str = r#"
from agent_runtime import Tuner, state

tuner = Tuner("sums")


@tuner.tool
def reward(arm: str, value: float) -> float:
    learned = state()["tasks"].setdefault(arm, {"minutes": 0.0, "seen": 0})
    learned["minutes"] = learned["minutes"] * 0.9 + value
    learned["seen"] += 1
    state()["last"] = arm
    return value


@tuner.tool
def doubled(arm: str) -> None:
    state()["tasks"][arm]["minutes"] *= 2


if __name__ == "__main__":
    tuner.run()
"#;

fn served() -> Served {
    Served::with(&[
        ("tuner/__main__.py", TUNER),
        ("state/schema.json", "{\"type\": \"object\", \"x-schema-version\": 1}\n"),
    ])
}

/// Of 60 signals, every tenth is of one person.
fn signals(skipped: impl Fn(u32) -> bool) -> String {
    json_lines((0..60u32).filter(|number| !skipped(*number)).map(|number| {
        let tags = if number % 10 == 3 { json!(["person:42"]) } else { json!([]) };
        json!({"id": format!("secret-{number}"), "tool": "reward", "tags": tags,
            "arguments": {"arm": format!("arm-{}", number % 4), "value": f64::from(number) / 7.0}})
    }))
}

/// The bytes of staging after these signals alone.
fn bytes_after(skipped: impl Fn(u32) -> bool) -> Vec<u8> {
    let served = served();
    served.agent_given(["tune", "--signals", "-"], &signals(skipped)).ok();
    std::fs::read(served.path("state/staging.state.json")).expect("the view of staging")
}

fn withdraw(served: &Served, arguments: &str) -> Value {
    let mut command = served.command();
    command.args(["feedback", "withdraw", "--json"]).args(arguments.split(' '));
    World::finish(&mut command).ok().json()
}

#[test]
fn staging_is_as_if_a_signal_had_never_been_sent() {
    let served = served();
    served.agent_given(["tune", "--signals", "-"], &signals(|_| false)).ok();
    let before = served.staging();
    assert_eq!(withdraw(&served, "secret-7 --dry-run")["withdrawn"], 1);
    assert_eq!(served.staging(), before);
    let done = withdraw(&served, "secret-7 --verify");
    assert_eq!((&done["withdrawn"], &done["verified"]), (&json!(1), &json!(true)), "{done}");
    let bytes = || std::fs::read(served.path("state/staging.state.json")).expect("the view");
    assert_eq!(bytes(), bytes_after(|number| number == 7));

    let done = withdraw(&served, "--tag person:42 --verify");
    assert_eq!((&done["withdrawn"], &done["verified"]), (&json!(6), &json!(true)), "{done}");
    let expected = bytes_after(|number| number == 7 || number % 10 == 3);
    assert_eq!(bytes(), expected);
    let journal = std::fs::read_to_string(served.path(".agent/journal/current.jsonl")).unwrap();
    for gone in ["secret-7\"", "secret-13\"", "person:42"] {
        assert!(!journal.contains(gone), "{gone} is in {journal}");
    }
    assert!(journal.contains("\"tool\":\"agent/withdraw\""), "{journal}");

    // once is enough, also where the file of signals is sent again
    assert_eq!(withdraw(&served, "secret-7")["withdrawn"], 0);
    served.agent_given(["tune", "--signals", "-"], &signals(|_| false)).ok();
    assert_eq!(bytes(), expected);
    served
        .agent(["feedback", "withdraw", "never"])
        .code(3)
        .stderr_has("no signal `never` was counted here");
}

/// The state of an agent of a template after some of its signals: all but these.
fn learned(world: &World, template: &str, folder: &str, skipped: Option<u64>) -> Vec<u8> {
    world.agent(".", ["init", folder, "--template", template]).ok();
    let file = world.read(format!("{folder}/signals/feedback.jsonl"));
    let lines = file.lines().take(40).enumerate();
    let signals =
        lines.filter(|(number, _)| skipped != Some(*number as u64)).map(|(number, line)| {
            let mut signal: Value = serde_json::from_str(line).expect("a signal");
            signal["id"] = json!(format!("s-{number}"));
            signal
        });
    world.write(format!("{folder}/some.jsonl"), json_lines(signals));
    // a signal that corrects or repeats the one that is left out may be refused without it
    let tuned = world.agent(folder, ["tune", "--signals", "some.jsonl"]);
    if skipped.is_none() {
        tuned.ok();
    }
    staging_of(world, folder)
}

fn staging_of(world: &World, folder: &str) -> Vec<u8> {
    std::fs::read(world.path(format!("{folder}/state/staging.state.json"))).expect("the view")
}

#[test]
fn what_templates_learned_is_as_if_a_signal_had_never_been_sent() {
    for template in ["minimal", "bandit", "preferences", "rules"] {
        let world = World::new();
        learned(&world, template, "all", None);
        let sent = world.read("all/some.jsonl").lines().count() as u64;
        let journal = world.path("all/.agent/journal/current.jsonl");
        let all = std::fs::read(&journal).unwrap();
        for number in [0, sent / 3, sent * 2 / 3, sent - 1] {
            std::fs::write(&journal, &all).unwrap();
            let id = format!("s-{number}");
            let ended = world.agent("all", ["feedback", "withdraw", &id, "--verify", "--json"]);
            assert_eq!(ended.ok().json()["verified"], true, "{template} without {id}");
            let never = learned(&world, template, &format!("never-{number}"), Some(number));
            let found = staging_of(&world, "all");
            assert!(found == never, "{template} without {id}");
        }
    }
}

#[test]
fn only_signals_that_touched_what_differs_are_replayed() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    let of_kinds = (0..40).map(|number| {
        json!({"id": format!("s-{number}"), "tool": "took",
            "arguments": {"task": format!("kind-{}", number % 4), "minutes": number}})
    });
    world.write("a/some.jsonl", json_lines(of_kinds));
    world.agent("a", ["tune", "--signals", "some.jsonl"]).ok();
    let withdrawn =
        |id| world.agent("a", ["feedback", "withdraw", id, "--verify", "--json"]).ok().json();
    let done = withdrawn("s-22");
    assert_eq!((&done["replayed"], &done["verified"]), (&json!(4), &json!(true)), "{done}");

    let journal = world.path("a/.agent/journal/current.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    assert!(text.contains("\"touched\":[\"/tasks/kind-1\"]"), "{text}");
}

#[test]
fn later_signals_are_replayed_only_until_the_states_agree() {
    let served = served();
    served.agent_given(["tune", "--signals", "-"], &signals(|_| false)).ok();
    // a signal that no later state depends on: an edit replaces all that was learned
    let edited = served.agent(["state", "set", "tasks={}"]);
    edited.ok();
    let more = (0..20).map(|number| {
        json!({"id": format!("more-{number}"), "tool": "reward",
            "arguments": {"arm": "arm-1", "value": 1.0}})
    });
    served.agent_given(["tune", "--signals", "-"], &json_lines(more)).ok();
    let before = served.staging();
    let done = withdraw(&served, "secret-50 --verify");
    assert_eq!(done["verified"], true, "{done}");
    assert!(done["replayed"].as_u64().unwrap() < 15, "{done}");
    assert_eq!(served.staging(), before);
}

/// Three versions of 20 signals each, and 20 signals in staging, without these.
fn promoted(skipped: impl Fn(u32) -> bool) -> Served {
    let served = served();
    for version in 0..4u32 {
        let those = signals(|number| skipped(number + 60 * version) || number % 3 != 0);
        let those = those.replace("secret-", &format!("secret-{version}-"));
        served.agent_given(["tune", "--signals", "-"], &those).ok();
        if version < 3 {
            served.agent(["promote"]).ok();
        }
    }
    served
}

#[test]
fn signals_of_versions_are_taken_back_by_the_next_version() {
    let served = promoted(|_| false);
    let bytes = |served: &Served| {
        std::fs::read(served.path("state/staging.state.json")).expect("the view of staging")
    };
    // one of the second version
    let one = |number| number == 66;
    let planned = withdraw(&served, "secret-1-6 --dry-run");
    assert_eq!((&planned["withdrawn"], &planned["versions"]), (&json!(1), &json!(["0.1.2"])));
    let done = withdraw(&served, "secret-1-6 --verify");
    assert_eq!((&done["verified"], &done["versions"]), (&json!(true), &json!(["0.1.2"])), "{done}");
    assert_eq!(bytes(&served), bytes(&promoted(one)));
    assert_eq!(withdraw(&served, "secret-1-6")["withdrawn"], 0);
    served.agent(["state", "verify"]).ok();

    // all of one person, in each version and in staging, after that
    let done = withdraw(&served, "--tag person:42 --verify");
    let versions = json!(["0.1.1", "0.1.2", "0.1.3"]);
    assert_eq!((&done["verified"], &done["versions"]), (&json!(true), &versions), "{done}");
    let all = |number: u32| number == 66 || number % 10 == 3;
    assert_eq!(bytes(&served), bytes(&promoted(all)));
    let journal = std::fs::read_to_string(served.path(".agent/journal/current.jsonl")).unwrap();
    assert!(!journal.contains("person:42"), "{journal}");

    // the next version is without them, and its evidence holds
    served.agent(["promote"]).ok();
    served.agent(["verify", "--run"]).ok();
    let expected = bytes(&served);
    let again = signals(|number| number % 3 != 0).replace("secret-", "secret-1-");
    served.agent_given(["tune", "--signals", "-"], &again).ok().stderr_has("20 already counted");
    assert_eq!(bytes(&served), expected);

    // and a later withdrawal of another one leaves these out as well
    let done = withdraw(&served, "secret-0-0 --verify");
    assert_eq!(done["verified"], true, "{done}");
    assert_eq!(bytes(&served), bytes(&promoted(|number| all(number) || number == 0)));
}

#[test]
fn edits_set_the_same_values_and_what_no_longer_applies_is_reported() {
    let reward = ["tune", "reward", "arm=a", "value=1", "--id", "gone"];
    let edits = ["state", "set", "tasks.b={\"minutes\":1.0,\"seen\":1}", "last=edited"];
    let (served, never) = (served(), served());
    served.agent(reward).ok();
    served.agent(["tune", "doubled", "arm=a", "--id", "after"]).ok();
    for repository in [&served, &never] {
        repository.agent(["tune", "reward", "arm=b", "value=2"]).ok();
        repository.agent(edits).ok();
    }
    let mut command = served.command();
    command.args(["feedback", "withdraw", "gone", "--json"]);
    let ended = World::finish(&mut command).ok();
    assert_eq!(ended.json()["dropped"][0]["id"], "after");
    ended.stderr_has("signal `after` came after them and has no effect without them");
    assert_eq!(served.staging(), never.staging());
}

#[test]
fn withdrawal_survives_kills_at_random_moments() {
    let served = served();
    served.agent_given(["tune", "--signals", "-"], &signals(|_| false)).ok();
    let place = served.path(".agent/journal/current.jsonl");
    let journal = std::fs::read(&place).unwrap();
    let with = served.staging();
    withdraw(&served, "--tag person:42");
    let without = served.staging();
    let mut moments = Moments::new();
    for kill in 0..kills(10) {
        std::fs::write(&place, &journal).unwrap();
        let mut command = served.command();
        command.args(["feedback", "withdraw", "--tag", "person:42"]);
        kill_at(&mut command, Moment::After(Duration::from_millis(moments.below(600))));
        let state = served.staging();
        assert!(state == with || state == without, "kill {kill} of {}: {state}", moments.seed());
        withdraw(&served, "--tag person:42");
        assert_eq!(served.staging(), without, "kill {kill} of {}", moments.seed());
        served.agent(["state", "verify"]).ok();
    }
}

#[test]
fn signal_before_a_release_is_refused() {
    let served = served();
    served.agent(["tune", "reward", "arm=a", "value=1", "--id", "sent"]).ok();
    served.agent(["promote"]).ok();
    served.release("0.2.0");
    served
        .agent(["feedback", "withdraw", "sent"])
        .code(1)
        .stderr_has("signal `sent` was counted before the newest release or rollback");
}
