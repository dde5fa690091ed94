//! Faults in one promotion: killed, or out of disk, at each write, rename, sync and open.
#![expect(clippy::print_stderr, reason = "what was tried is said beside the test")]
#![expect(
    clippy::disallowed_methods,
    reason = "how many faults are tried is a variable of the person who runs it"
)]

use crate::served::{FOLDER, Served};
use crate::world::{AGENT, Ended, World};
use serde_json::{Value, json};
use std::path::Path;

/// What must hold whenever the next command has run.
fn check(served: &Served) -> Value {
    let versions = served.agent(["versions", "--json"]).ok().json();
    let newest = &versions["versions"][0];
    let tip = served.git(["rev-parse", "refs/heads/active"]);
    assert_eq!(
        newest["commit"],
        json!(tip),
        "the tip of active is the newest version, and it is tagged"
    );
    assert_eq!(served.git(["rev-parse", newest["tag"].as_str().unwrap()]), tip);
    newest.clone()
}

fn locks(served: &Served) -> Vec<String> {
    let found =
        World::finish(served.world.command("find", FOLDER).args([".git", "-name", "*.lock"])).ok();
    found.stdout.lines().map(ToOwned::to_owned).collect()
}

/// A repository one `agent promote` away from `v0.1.1`, its tests in the cache: what is left to go
/// wrong is writing.
fn one_promotion_away() -> Served {
    let served = Served::new();
    served.agent(["tune", "took", "task=review", "minutes=20"]).ok();
    for what in ["staging", "active"] {
        served.agent(["test", "--tier", "micro", "--at", what]).ok();
    }
    served.agent(["promote", "--dry-run"]).ok();
    served
}

fn restore(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// What came of a fault.
enum Met {
    /// There were fewer calls.
    Nothing,
    /// The call was on a pipe or an eventfd, where a disk cannot be full.
    NoFile,
    Fault(Ended),
}

/// One promotion with a fault at the K-th call.
fn with_fault(served: &Served, call: &str, fault: &str, number: usize) -> Met {
    let log = served.world.path("strace.log");
    let mut command = served.world.command("strace", FOLDER);
    command.arg("-o").arg(&log).args([
        "-qq",
        "-y",
        "-e",
        &format!("trace={call}"),
        "-e",
        &format!("inject={call}:{fault}:when={number}"),
    ]);
    let ended = World::finish(command.args([AGENT, "promote"]));
    let log = std::fs::read_to_string(&log).unwrap_or_default();
    // a killed call is the last line, and has no verdict of its own
    let met = if fault.starts_with("signal") {
        log.contains("SIGKILL")
    } else {
        log.contains("INJECTED")
    };
    let injected = log.lines().find(|line| line.contains("INJECTED")).unwrap_or_default();
    match met {
        false => Met::Nothing,
        true if injected.contains("anon_inode:")
            || injected.contains("<pipe:")
            || injected.contains("<socket:") =>
        {
            Met::NoFile
        }
        true => Met::Fault(ended),
    }
}

/// After a fault the next promotion comes to the same version as if nothing had happened.
fn recovers(served: &Served, ended: &Ended, which: &str) {
    assert!(!ended.stderr.contains("panicked"), "{which}: {}", ended.stderr);
    check(served);
    served.agent(["promote"]).ok();
    assert_eq!(check(served)["version"], json!("0.1.1"), "{which}");
    served.agent(["verify", "v0.1.1"]).ok();
    served.git(["fsck", "--strict"]);
    assert_eq!(locks(served), [""; 0], "{which}");
}

#[test]
fn promotion_survives_a_fault_at_each_call() {
    let strace = std::process::Command::new("strace").arg("-V").output();
    if !strace.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this needs strace");
        return;
    }
    let every = std::env::var("AGENT_TEST_FAULTS").is_ok_and(|value| value == "all");
    let served = one_promotion_away();
    let (repository, kept) = (served.world.path(FOLDER), served.world.path("kept"));
    assert!(
        std::process::Command::new("cp")
            .arg("-a")
            .arg(&repository)
            .arg(&kept)
            .status()
            .unwrap()
            .success()
    );
    let mut tried = 0;
    for (call, step) in
        [("write", 3), ("rename", 1), ("renameat2", 1), ("fdatasync", 1), ("openat", 40)]
    {
        for fault in ["signal=KILL", "error=ENOSPC"] {
            let numbers = (1..).step_by(if every { 1 } else { step });
            for number in numbers {
                match with_fault(&served, call, fault, number) {
                    Met::Nothing => break,
                    Met::NoFile => {}
                    Met::Fault(ended) => {
                        recovers(&served, &ended, &format!("{fault} at {call} {number}"));
                        tried += 1;
                    }
                }
                restore(&kept, &repository);
            }
            // the last one met no fault: it promoted
            restore(&kept, &repository);
        }
    }
    assert!(tried > 20, "only {tried} faults were met");
    eprintln!("{tried} faults");
}

/// The system calls of one promotion that put files in place and sync them, in order.
fn writes_of_a_promotion(served: &Served) -> Option<Vec<String>> {
    let log = served.world.path("strace.log");
    let mut command = served.world.command("strace", FOLDER);
    command.arg("-o").arg(&log).args([
        "-f",
        "-qq",
        "-y",
        "-z",
        "-e",
        "trace=fsync,syncfs,rename,renameat,renameat2,link,linkat",
    ]);
    let strace = std::process::Command::new("strace").arg("-V").output();
    if !strace.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this needs strace");
        return None;
    }
    World::finish(command.args([AGENT, "promote"])).ok();
    Some(std::fs::read_to_string(&log).unwrap().lines().map(ToOwned::to_owned).collect())
}

fn is_evidence(line: &str) -> bool {
    ["evals", "journal"].iter().any(|kind| line.contains(&format!("store/{kind}")))
}

#[test]
fn one_sync_makes_evidence_durable_before_active_moves() {
    let served = one_promotion_away();
    let Some(lines) = writes_of_a_promotion(&served) else { return };
    let last = lines.iter().rposition(|line| is_evidence(line)).expect("evidence is written");
    let moved = lines
        .iter()
        .position(|line| line.contains("refs/heads/active.lock") && line.contains("rename"))
        .expect("active moves");
    let synced = lines[..moved]
        .iter()
        .rposition(|line| line.contains("syncfs("))
        .expect("a sync before active moves");
    assert!(last < synced, "{lines:#?}");
    let apart: Vec<_> =
        lines.iter().filter(|line| line.contains("fsync(") && is_evidence(line)).collect();
    assert!(apart.is_empty(), "that sync is enough: {apart:#?}");
}

#[test]
fn evidence_on_another_file_system_is_synced_by_itself() {
    use std::os::unix::fs::MetadataExt as _;
    let served = one_promotion_away();
    let store = served.world.path(FOLDER).join(".agent/store");
    let device = |path: &Path| path.metadata().ok().map(|metadata| metadata.dev());
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else { return };
    if device(elsewhere.path()) == device(&store) {
        return;
    }
    let there = elsewhere.path().join("store");
    std::fs::create_dir(&there).unwrap();
    restore(&store, &there);
    std::fs::remove_dir_all(&store).unwrap();
    std::os::unix::fs::symlink(&there, &store).unwrap();
    let Some(lines) = writes_of_a_promotion(&served) else { return };
    for file in ["summary.json", "micro.jsonl", "gate.jsonl"] {
        assert!(
            lines.iter().any(|line| line.contains("fsync(") && line.contains(file)),
            "{file}: {lines:#?}"
        );
    }
}
