//! `agent gc`: files in use are kept, however old they are; leftovers of killed commands are
//! removed.

use crate::pipes::{Pipes, eventually};
use crate::served::{FOLDER, Served};
use crate::world::{AGENT, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

const RUNNER: &str = r#"
import os
from agent_runtime import Server, state

server = Server("gc")

@server.tool
def usual() -> float:
    """From a module that is loaded late, and a state that is read late."""
    from runner import late
    return late.of(state())

@server.tool
def die() -> int:
    """Ends the process."""
    os._exit(1)

server.run()
"#;

pub fn age(path: &Path, days: u64) {
    let time =
        SystemTime::from(agent_engine::world::clock::now()) - Duration::from_secs(days * 24 * 3600);
    let times = std::fs::FileTimes::new().set_modified(time).set_accessed(time);
    std::fs::File::open(path)
        .unwrap()
        .set_times(times)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Lets a folder and all below it look as if nothing had used it for weeks.
fn age_all(path: &Path) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            age_all(&entry.unwrap().path());
        }
    }
    if !path.is_symlink() {
        age(path, 30);
    }
}

fn folders(of: &Path) -> BTreeSet<PathBuf> {
    std::fs::read_dir(of)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect()
}

#[test]
fn gc_keeps_files_of_a_running_server() {
    let served = Served::with(&[
        ("runner/__main__.py", RUNNER),
        ("runner/late.py", "def of(state):\n    return state[\"usual_minutes\"]\n"),
    ]);
    // served no longer, but pinned
    served
        .world
        .write(Path::new(FOLDER).join("runner/late.py"), "def of(state):\n    return 666\n");
    served.world.write(
        Path::new(FOLDER).join("state/active.state.json"),
        served.world.read(Path::new(FOLDER).join("state/active.state.json")).replace("30", "31"),
    );
    served.git(["add", "--all"]);
    served.release("0.2.0");
    let mut runner = Pipes::start(served.command().args(["mcp", "runner", "--at", "v0.1.0"]));
    runner.initialize("2025-11-25");
    assert_eq!(runner.call("usual", &json!({}))["structuredContent"], json!({"result": 30.0}));
    let mut tuner = Pipes::start(served.command().args(["mcp", "tuner"]));
    tuner.initialize("2025-11-25");
    tuner.call("took", &json!({"task": "a", "minutes": 3}));

    let (checkouts, scratch) =
        (folders(&served.path(".agent/checkouts")), folders(&served.path(".agent/tmp/scratch")));
    for folder in ["checkouts", "records", "states", "tmp"] {
        age_all(&served.path(&format!(".agent/{folder}")));
    }
    let gc = served.agent(["gc", "--days", "0", "--json"]).ok().json();
    assert_eq!(
        (folders(&served.path(".agent/checkouts")), folders(&served.path(".agent/tmp/scratch"))),
        (checkouts.clone(), scratch),
        "{gc}"
    );
    tuner.call("took", &json!({"task": "a", "minutes": 3}));

    // a child that is started again finds what it runs on, even where that was removed by hand
    for checkout in &checkouts {
        std::fs::remove_dir_all(checkout).unwrap();
    }
    runner.request("tools/call", &json!({"name": "die", "arguments": {}}));
    assert_eq!(runner.call("usual", &json!({}))["structuredContent"], json!({"result": 30.0}));

    // it is not in use any more
    drop((runner, tuner));
    for folder in ["checkouts", "records", "states", "tmp"] {
        age_all(&served.path(&format!(".agent/{folder}")));
    }
    served.agent(["gc"]).ok();
    let left = folders(&served.path(".agent/checkouts"));
    assert!(
        left.len() < checkouts.len() && folders(&served.path(".agent/tmp/scratch")).is_empty(),
        "{left:?}"
    );
    assert!(left.iter().all(|checkout| {
        served
            .path(".agent/records/checkouts")
            .join(format!("{}.json", checkout.file_name().unwrap().display()))
            .is_file()
    }));
}

#[test]
fn gc_removes_leftovers_of_killed_commands_only() {
    let served = Served::new();
    served.agent(["test"]).ok();
    let tmp = served.world.path("tmp");
    let lost = served.git(["commit-tree", "-m", "a race that was lost", "HEAD^{tree}"]);
    let released = served.git(["rev-parse", "HEAD"]);
    served.git(["branch", "gone", &lost]);
    let once = served.git(["commit-tree", "-m", "where a branch was", "-p", &lost, "HEAD^{tree}"]);
    served.git(["update-ref", "--create-reflog", "refs/heads/moved", &once]);
    served.git(["update-ref", "refs/heads/moved", &released]);
    served.git(["branch", "--delete", "--force", "gone"]);
    let forked = served.git(["commit-tree", "-m", "another race", "HEAD^{tree}"]);
    let foreign = "0123456789012345678901234567890123456789";

    let goes = [
        ".agent/tmp/tier-dead/0/file".to_owned(),
        ".agent/tmp/checkout-dead/files/agent.toml".to_owned(),
        ".agent/tmp/scratch/7/file".to_owned(),
        ".agent/states/.agent-dead".to_owned(),
        ".agent/.agent-dead".to_owned(),
        ".agent/records/checkouts/0000.json".to_owned(),
        ".agent/store/results/ab/x.json#1".to_owned(),
        ".agent/store/evals/deep/er/x.json#12".to_owned(),
        ".agent/environments/dead/bin/python".to_owned(),
        ".agent/architect/run-1/coder/workplace/file".to_owned(),
        format!(".agent/store/evals/{forked}/summary.json"),
    ];
    let stays = [
        ".agent/tmp/tier-new/file".to_owned(),
        ".agent/store/results/ab/new.json#1".to_owned(),
        ".agent/environments/whole/agent-environment.json".to_owned(),
        ".agent/architect/run-1/report.txt".to_owned(),
        // where a branch leads, where one led, and what another clone may know
        format!(".agent/store/evals/{released}/summary.json"),
        format!(".agent/store/evals/{lost}/summary.json"),
        format!(".agent/store/evals/{foreign}/summary.json"),
    ];
    for path in goes.iter().chain(&stays) {
        served.world.write(Path::new(FOLDER).join(path), "half");
    }
    served.world.write("tmp/agent-demo-dead/file", "half");
    served.world.write("tmp/agent-other", "theirs");
    age_all(&served.path(".agent"));
    age_all(&tmp);
    for path in &stays[..2] {
        age(&served.path(path), 0);
        age(served.path(path).parent().unwrap(), 0);
    }
    // an environment that is being made, and a run that goes on
    let lock = std::fs::File::create(served.path(".agent/environments/under-way.lock")).unwrap();
    lock.lock().unwrap();
    served.world.write(Path::new(FOLDER).join(".agent/environments/under-way/bin/python"), "half");

    let gc = |words: &[&str]| {
        let told = crate::world::World::finish(
            served.command().args(["gc", "--json"]).args(words).env("TMPDIR", &tmp),
        )
        .ok()
        .json();
        let removed = |item: &Value| {
            (item["kind"].as_str().unwrap().to_owned(), item["path"].as_str().unwrap().to_owned())
        };
        told["removed"].as_array().unwrap().iter().map(removed).collect::<BTreeSet<_>>()
    };
    let (would, removed) = (gc(&["--dry-run"]), gc(&[]));
    assert_eq!(would, removed);
    for path in &goes {
        assert!(!served.path(path).exists(), "{path} is still there: {removed:#?}");
    }
    for path in stays.iter().chain([&".agent/environments/under-way/bin/python".to_owned()]) {
        assert!(served.path(path).exists(), "{path} is gone: {removed:#?}");
    }
    assert_eq!(
        (tmp.join("agent-demo-dead").exists(), tmp.join("agent-other").exists()),
        (false, true)
    );
    served.agent(["run", "estimate", "task=review"]).ok();
}

/// Everything counts as old, and is in use a moment later.
#[test]
fn commands_work_during_a_gc_of_everything_unused() {
    let served = Served::new();
    let verbs: [&[&str]; 4] = [
        &["run", "estimate", "task=review"],
        &["tune", "took", "task=a", "minutes=2"],
        &["test", "--at", "staging"],
        &["run", "estimate", "task=a", "--at", "main"],
    ];
    for round in 0..8 {
        for folder in ["checkouts", "records", "states", "store/results", "store/traces"] {
            let folder = served.path(&format!(".agent/{folder}"));
            if folder.exists() {
                age_all(&folder);
            }
        }
        std::thread::scope(|scope| {
            let gc = scope.spawn(|| served.agent(["gc", "--days", "0"]));
            let ended =
                crate::world::World::finish(served.command().args(verbs[round % verbs.len()]));
            ended.ok();
            gc.join().unwrap().ok();
        });
    }
    served.agent(["verify"]).code(7);
}

#[test]
fn an_interrupted_demo_leaves_no_folder() {
    use rustix::process::{Pid, Signal, kill_process};
    // before its first child starts, and while a child tests the new repository
    for below in ["", "docs-search/.agent/states"] {
        let world = World::new();
        let temporary = world.path("tmp");
        std::fs::create_dir(&temporary).unwrap();
        let mut command = world.command(AGENT, ".");
        command.arg("demo").env("TMPDIR", &temporary).stdout(Stdio::null());
        let mut demo = command.spawn().unwrap();
        let entries = || std::fs::read_dir(&temporary).unwrap().flatten();
        eventually(Duration::from_secs(60), "the demo has its folder", || {
            entries().any(|entry| entry.path().join(below).exists())
        });
        kill_process(Pid::from_child(&demo), Signal::TERM).unwrap();
        assert_eq!(demo.wait().unwrap().code(), Some(143));
        let left: Vec<_> = entries().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
