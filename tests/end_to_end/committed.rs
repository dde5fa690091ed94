//! After the commit point no failure changes the exit code, and before it none reports success.

use crate::pipes::Pipes;
use crate::served::Served;
use crate::world::{Ended, World};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;

fn warnings(document: &Value) -> Vec<String> {
    let warnings = document["warnings"].as_array().cloned().unwrap_or_default();
    warnings.iter().map(|warning| warning.as_str().unwrap().to_owned()).collect()
}

/// Warnings of this alone, in the JSON and on stderr alike.
#[track_caller]
fn warns(ended: &Ended, said: &str) {
    let warnings = warnings(&ended.json());
    assert!(
        !warnings.is_empty() && warnings.iter().all(|one| one.contains(said)),
        "{said:?} among {warnings:?}"
    );
    assert!(
        warnings.iter().all(|one| ended.stderr.contains(&format!("warning: {one}"))),
        "{warnings:?}\n{}",
        ended.stderr
    );
}

/// A folder where a file is to be put: no rename comes there, as on a full disk.
fn block(path: &Path) {
    let _ = std::fs::remove_file(path);
    std::fs::create_dir_all(path.join("in the way")).unwrap();
}

#[test]
fn an_unwritable_view_is_a_warning_and_written_by_the_next_command() {
    let served = Served::new();
    served.agent(["tune", "took", "task=tea", "minutes=3"]).ok();
    let view = served.path("state/staging.state.json");
    block(&view);
    let behind = "state/staging.state.json is behind the Journal";
    let tuned = served.agent(["tune", "took", "task=tea", "minutes=4", "--json"]).ok();
    assert_eq!(tuned.json()["applied"], 1);
    warns(&tuned, behind);
    let batch = (0..3).map(|number| {
        json!({"id": format!("b-{number}"), "tool": "took",
        "arguments": {"task": "tea", "minutes": 5}})
    });
    let batch = served
        .agent_given(["tune", "--signals", "-", "--json"], &crate::served::json_lines(batch))
        .ok();
    assert_eq!(batch.json()["applied"], 3);
    warns(&batch, behind);
    warns(&served.agent(["state", "set", "tasks.tea.seen=7", "--json"]).ok(), behind);
    assert_eq!(
        served.agent(["state", "show", "--json"]).ok().json()["updates"],
        6,
        "every one of them counts"
    );
    let promoted = served.agent(["promote", "--json"]).ok();
    assert_eq!(promoted.json()["version"], "0.1.1");
    warns(&promoted, behind);
    warns(&served.agent(["state", "reset", "--json"]).ok(), behind);
    std::fs::remove_dir_all(&view).unwrap();
    served.agent(["state", "show"]).ok();
    assert!(view.is_file(), "the next command rebuilds it");
}

#[test]
fn a_failed_tag_is_a_warning_and_made_by_the_next_command() {
    let served = Served::new();
    served.agent(["tune", "took", "task=tea", "minutes=3"]).ok();
    let lock = served.path(".git/refs/tags/v0.1.1.lock");
    std::fs::write(&lock, "").unwrap();
    let promoted = served.agent(["promote", "--json"]).ok();
    assert_eq!(
        (&promoted.json()["done"], &promoted.json()["version"]),
        (&json!(true), &json!("0.1.1"))
    );
    warns(&promoted, "the tag v0.1.1 is not made yet");
    served.agent(["versions"]).ok().stderr_has("cannot be tagged now");
    std::fs::remove_file(&lock).unwrap();
    served.agent(["versions"]).ok().stdout_has("v0.1.1");
    assert_eq!(served.git(["rev-parse", "v0.1.1"]), served.git(["rev-parse", "active"]));
}

#[test]
fn updates_that_cannot_be_sealed_after_a_promotion_are_sealed_by_the_next_command() {
    let served = Served::new();
    served.agent(["tune", "took", "task=tea", "minutes=3", "--id", "s-1"]).ok();
    // the next Journal is written here first
    block(&served.path(".agent/journal/under-way"));
    let promoted = served.agent(["promote", "--json"]).ok();
    assert_eq!(promoted.json()["version"], "0.1.1");
    warns(&promoted, "the updates of v0.1.1 are still in staging's Journal");
    std::fs::remove_dir_all(served.path(".agent/journal/under-way")).unwrap();
    let staging = served.agent(["state", "show", "--json"]).ok();
    assert_eq!(
        (&staging.json()["updates"], &staging.json()["base"]["version"]),
        (&json!(0), &json!("0.1.1"))
    );
    let again =
        served.agent(["tune", "took", "task=tea", "minutes=3", "--id", "s-1", "--json"]).ok();
    assert_eq!(again.json()["duplicates"], 1);
}

#[test]
fn a_host_gets_the_warning_in_the_result_of_its_call() {
    let served = Served::new();
    let mut shim = Pipes::start(served.command().args(["mcp", "tuner"]));
    shim.initialize("2025-11-25");
    block(&served.path("state/staging.state.json"));
    let answer = shim.request(
        "tools/call",
        &json!({"name": "took", "arguments": {"task": "tea", "minutes": 3}}),
    );
    let warning = answer["result"]["_meta"]["dev.agentvc/warnings"][0].as_str().unwrap_or_default();
    assert!(
        answer["result"]["isError"] != true && warning.contains("is behind the Journal"),
        "{answer}"
    );
    std::fs::remove_dir_all(served.path("state/staging.state.json")).unwrap();
    assert_eq!(served.staging()["tasks"]["tea"]["seen"], 1);
}

#[test]
fn a_full_stdout_is_exit_6_and_a_closed_pipe_is_no_error() {
    let served = Served::new();
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    for arguments in [
        &["versions", "--json"][..],
        &["state", "show"],
        &["--help"],
        &["--version"],
        &["completions", "bash"],
        &["man"],
    ] {
        let ended = World::finish(served.command().args(arguments).stdout(full()));
        ended.code(6);
    }
    let tuned = World::finish(
        served.command().args(["tune", "took", "task=tea", "minutes=3", "--json"]).stdout(full()),
    );
    tuned
        .code(6)
        .stderr_has("cannot write to stdout")
        .stderr_has("the command itself was carried out");
    assert_eq!(served.staging()["tasks"]["tea"]["seen"], 1);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    World::finish(served.command().args(["versions", "--json"]).stdout(writer)).ok();
}

#[test]
fn applied_signals_are_reported_when_the_promotion_fails() {
    let served = Served::new();
    // nothing can be kept beside the promotion: its evidence has no place
    block(&served.path(".agent/store/evals"));
    std::fs::write(served.path(".agent/store/journal"), "").unwrap();
    let ended =
        served.agent(["tune", "took", "task=tea", "minutes=3", "--promote", "--json"]).code(6);
    assert_eq!((&ended.json()["applied"], &ended.json()["promotion"]), (&json!(1), &Value::Null));
    assert_eq!(served.git(["tag", "--points-at", "active"]), "v0.1.0");
}
