//! `agent doctor` in repositories that are well, and in ones that are not.

use crate::world::{AGENT, Ended, World};
use serde_json::Value;

/// The health of one check, and what was found.
fn finding(ended: &Ended, check: &str) -> (String, String) {
    let document = ended.json();
    let findings = document["findings"].as_array().unwrap();
    let found = findings
        .iter()
        .find(|finding| finding["check"] == check)
        .unwrap_or_else(|| panic!("no {check}: {document:#}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&found["health"]), format!("{} | {}", text(&found["found"]), text(&found["mend"])))
}

fn doctor(world: &World, folder: &str) -> Ended {
    world.agent(folder, ["doctor", "--json"])
}

#[test]
fn a_new_repository_is_well() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    let ended = doctor(&world, "a").ok();
    for check in [
        "git",
        "python",
        "repository",
        "store",
        "manifest",
        "history",
        "ignored",
        "locks",
        "hooks",
        "staging",
    ] {
        assert_eq!(finding(&ended, check).0, "ok", "{}", ended.stdout);
    }
    world.agent("a", ["doctor"]).ok().stdout_has("ok   git");
}

#[test]
fn fix_sets_up_hooks_and_refspecs_in_a_clone() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    world.git(".", ["clone", "--quiet", "--bare", "a", "server"]);
    world.git(".", ["clone", "--quiet", "server", "b"]);
    let ended = doctor(&world, "b").ok();
    assert_eq!(finding(&ended, "hooks").0, "warn");
    assert!(finding(&ended, "refspecs").1.contains("agent doctor --fix"));
    world.agent("b", ["doctor", "--fix"]).ok();
    world.agent("b", ["doctor", "--fix"]).ok();
    assert_eq!(finding(&doctor(&world, "b"), "refspecs").0, "ok");
    let set = |direction: &str| {
        world.git("b", ["config", "--get-all", &format!("remote.origin.{direction}")])
    };
    let clone: Value = serde_json::from_str(&world.read("b/.git/agent/clone.json")).unwrap();
    let clone = clone["id"].as_str().unwrap();
    assert_eq!(set("push"), format!("HEAD\nrefs/agent-own/{clone}/*:refs/agent/peers/{clone}/*"));
    let fetched = "+refs/agent/*:refs/agent-remotes/origin/*\n+refs/agent-own/*:refs/agent-remotes/origin/own/*";
    assert_eq!(set("fetch"), format!("+refs/heads/*:refs/remotes/origin/*\n{fetched}"));

    // a plain push and a plain fetch now carry what is ours, and the branch as before
    world.git("b", ["fetch", "--quiet", "origin", "active:active", "--tags"]);
    world.agent("b", ["pin", "stable", "v0.1.0"]).ok();
    let pin = world.git("b", ["rev-parse", "refs/agent/pins/stable"]);
    world.write("b/README.md", "changed\n");
    world.git("b", ["commit", "--quiet", "--all", "-m", "readme"]);
    world.git("b", ["push", "--quiet"]);
    assert_eq!(world.git("server", ["rev-parse", "refs/agent/pins/stable"]), pin);
    assert_eq!(world.git("server", ["rev-parse", "main"]), world.git("b", ["rev-parse", "main"]));
    world.git(".", ["clone", "--quiet", "server", "c"]);
    world.agent("c", ["doctor", "--fix"]).ok();
    world.git("c", ["fetch", "--quiet"]);
    world.git("c", ["fetch", "--quiet", "origin", "active:active"]);
    world.agent("c", ["pin"]).ok().stdout_has("stable = v0.1.0");
}

#[test]
fn refspecs_of_an_earlier_version_are_replaced() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    world.git(".", ["clone", "--quiet", "--bare", "a", "server"]);
    world.git(".", ["clone", "--quiet", "server", "b"]);
    for (key, value) in [
        ("fetch", "refs/agent/*:refs/agent/*"),
        ("push", "HEAD"),
        ("push", "refs/agent/*:refs/agent/*"),
    ] {
        world.git("b", ["config", "--add", &format!("remote.origin.{key}"), value]);
    }
    assert!(finding(&doctor(&world, "b"), "refspecs").1.contains("those of an earlier version"));
    world.agent("b", ["doctor", "--fix"]).ok();
    assert_eq!(finding(&doctor(&world, "b"), "refspecs").0, "ok");
    let all = world.git("b", ["config", "--get-regexp", "remote\\.origin\\.(push|fetch)"]);
    assert!(
        !all.contains(" refs/agent/*:refs/agent/*") && all.contains("remote.origin.push HEAD"),
        "{all}"
    );
}

#[test]
fn problems_are_reported_with_a_hint() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    world.git(
        ".",
        [
            "clone",
            "--quiet",
            "--depth",
            "1",
            &format!("file://{}", world.path("a").display()),
            "shallow",
        ],
    );
    let ended = doctor(&world, "shallow").code(6);
    assert!(finding(&ended, "history").1.contains("git fetch --unshallow --tags"));

    world.write("a/.gitignore", "*.pyc\n");
    world.write("a/agent.toml", "schema = 1\n");
    world.write("a/.git/packed-refs.lock", "");
    let ended = doctor(&world, "a").code(6);
    assert_eq!(finding(&ended, "ignored").0, "bad");
    assert!(finding(&ended, "manifest").1.starts_with("agent.toml:1:10"), "{}", ended.stdout);
    assert!(finding(&ended, "locks").1.contains("rm "));

    let ended = World::finish(
        world.command(AGENT, "a").args(["doctor", "--json"]).env("AGENT_PYTHON", "no-such-python"),
    );
    assert!(
        finding(&ended.code(6), "python").1.contains("AGENT_PYTHON=no-such-python: not on PATH")
    );
}

#[test]
fn an_unsupported_ref_format_is_reported() {
    let world = World::new();
    world.git(".", ["init", "--quiet", "--ref-format=reftable", "a"]);
    let ended = doctor(&world, "a").code(6);
    assert!(
        finding(&ended, "repository").1.contains("git refs migrate --ref-format=files"),
        "{}",
        ended.stdout
    );
}

#[test]
fn outside_a_repository_doctor_checks_the_machine() {
    let world = World::new();
    let ended = doctor(&world, ".").ok();
    assert_eq!(finding(&ended, "python").0, "ok");
    assert_eq!(finding(&ended, "repository").0, "warn");
}

/// Each attempt that is counted as stopped was made without a confinement as well, and was not
/// stopped there.
#[cfg(target_os = "linux")]
#[test]
fn doctor_tests_the_confinement_of_runners_and_tuners() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    let ended = doctor(&world, "a").ok();
    for check in ["runner", "tuner"] {
        let (health, found) = finding(&ended, check);
        assert_eq!(health, "ok", "{found}");
        for attempt in [
            "write",
            "read",
            "repository",
            "store",
            "mode",
            "time",
            "unix",
            "signal",
            "memory",
            "environment",
            "shared-memory",
        ] {
            assert!(
                found.split(['(', ':']).nth(1).unwrap().contains(attempt),
                "{attempt}: {found}"
            );
        }
        assert_eq!(found.contains("tcp, "), check == "tuner", "a Runner has the network: {found}");
    }
    assert_eq!(finding(&doctor(&world, "."), "tuner").0, "ok", "outside of any repository too");
}
