//! Signals taken back: staging is as if they had never been sent, and no file has their content.

use crate::served::{Served, json_lines};
use serde_json::{Value, json};

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
    crate::world::World::finish(&mut command).ok().json()
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
        .stderr_has("staging has no signal `never`");
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

#[test]
fn signal_of_a_version_is_refused() {
    let served = served();
    served.agent(["tune", "reward", "arm=a", "value=1", "--id", "sent"]).ok();
    served.agent(["promote"]).ok();
    served
        .agent(["feedback", "withdraw", "sent"])
        .code(1)
        .stderr_has("signal `sent` is part of a version");
}
