//! Where people stand when they call `agent`: bare, detached, dirty, shallow, in a worktree, with a
//! broken manifest, schema or state.

use crate::served::{FOLDER, Served};
use crate::world::{AGENT, World};
use std::path::Path;

fn edit(served: &Served, path: &str, from: &str, to: &str) {
    let text = served.world.read(Path::new(FOLDER).join(path));
    assert!(text.contains(from), "{path} has no {from}");
    served.world.write(Path::new(FOLDER).join(path), text.replacen(from, to, 1));
}

#[test]
fn the_loop_works_on_a_detached_head_in_a_dirty_tree_from_a_subfolder_and_in_a_linked_worktree() {
    let served = Served::new();
    served.git(["checkout", "--quiet", "--detach"]);
    edit(&served, "runner/__main__.py", "server =", "# half an edit\nserver =");
    let dirty = served.git(["diff"]);
    let subfolder = Path::new(FOLDER).join("runner");
    served.world.agent(&subfolder, ["tune", "took", "task=lunch", "minutes=20", "--promote"]).ok();
    assert_eq!(served.git(["diff"]), dirty, "the working tree is the user's");
    served.git(["worktree", "add", "--quiet", "../linked", "active"]);
    served.world.agent("linked", ["tune", "took", "task=lunch", "minutes=30"]).ok();
    let staged = served.agent(["state", "show", "--json"]).ok().json();
    assert_eq!(staged["updates"], 1, "one staging for all worktrees");
    served.world.agent("linked", ["promote"]).ok().stdout_has("v0.1.2");
}

/// A folder on another file system than the worlds', where this machine has one that all users may
/// write.
fn elsewhere(served: &Served) -> Option<tempfile::TempDir> {
    use std::os::unix::fs::MetadataExt as _;
    let here = std::fs::metadata(served.path("")).unwrap().dev();
    let there = std::fs::metadata("/dev/shm").ok().filter(|there| there.dev() != here)?;
    there.is_dir().then(|| tempfile::tempdir_in("/dev/shm").ok()).flatten()
}

#[test]
fn the_loop_works_with_dot_agent_on_another_file_system() {
    let served = Served::new();
    let Some(other) = elsewhere(&served) else { return };
    std::os::unix::fs::symlink(other.path(), served.path(".agent")).unwrap();
    let quiet = |arguments: &[&str]| {
        let ended = World::finish(served.command().args(arguments)).ok();
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    };
    quiet(&["tune", "took", "task=tea", "minutes=3"]);
    quiet(&["tune", "took", "task=tea", "minutes=5"]);
    let view: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(served.path("state/staging.state.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(view["tasks"]["tea"]["seen"], 2, "the view is on the other side");
    quiet(&["run", "estimate", "task=tea", "--conversation", "c1"]);
    quiet(&["promote"]);
    quiet(&["test"]);
    assert_eq!(
        served.agent(["test", "--json"]).ok().json()["tiers"]["micro"]["cached"],
        served.agent(["test", "--json"]).ok().json()["tiers"]["micro"]["cases"]
    );
    edit(&served, "runner/__main__.py", "server =", "# an edit\nserver =");
    served.git(["commit", "--quiet", "--all", "--message", "an edit"]);
    quiet(&["release"]);
    quiet(&["rollback", "v0.1.1"]);
    quiet(&["state", "reset"]);
    quiet(&["gc", "--days", "0"]);
    quiet(&["verify", "v0.1.1"]);
    let left: Vec<_> = std::fs::read_dir(served.path("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[test]
fn a_bare_clone_serves_versions_and_reports_what_is_missing() {
    let served = Served::new();
    served.git(["clone", "--quiet", "--bare", ".", "../bare.git"]);
    served.world.agent("bare.git", ["versions"]).ok().stdout_has("v0.1.0");
    served.world.agent("bare.git", ["run", "estimate", "task=lunch"]).ok().stdout_has("minutes");
    served.world.agent("bare.git", ["test", "--at", "worktree"]).code(3).stderr_has("bare");
}

#[test]
fn a_shallow_clone_reports_why_no_version_is_found() {
    let served = Served::new();
    let url = format!("file://{}", served.path("").display());
    World::finish(served.world.command("git", ".").args([
        "clone",
        "--quiet",
        "--depth=1",
        "--branch=main",
        &url,
        "shallow",
    ]))
    .ok();
    served.world.agent("shallow", ["run", "estimate", "task=lunch"]).code(3).stderr_has("shallow");
}

#[test]
fn an_invalid_file_is_exit_3_with_position_and_hint() {
    let check = |path: &str, from: &str, to: &str, arguments: &[&str], said: &str| {
        let served = Served::new();
        edit(&served, path, from, to);
        served.world.agent(FOLDER, arguments).code(3).stderr_has(said);
    };
    let run = ["run", "estimate", "task=lunch", "--at", "worktree"];
    check("agent.toml", "[runner]", "[runer]", &run, "agent.toml");
    check("agent.toml", "\"python\"", "\"python", &run, "agent.toml:");
    check("state/active.state.json", "{", "{,", &run, "state/active.state.json:1:2");
    check("state/schema.json", "\"object\"", "\"objekt\"", &["state", "migrate"], "schema");
    check(
        "tests/micro/estimates.jsonl",
        "\"id\"",
        "\"ident\"",
        &["test"],
        "tests/micro/estimates.jsonl:1",
    );
}

#[test]
fn what_is_not_there_is_said() {
    let served = Served::new();
    served
        .agent(["run", "estimate", "task=lunch", "--at", "v9.9.9"])
        .code(3)
        .stderr_has("there is no v9.9.9");
    served.agent(["run", "estimate", "task=lunch", "--at", "^7"]).code(3).stderr_has("^7");
    served
        .agent(["run", "estimate", "task=lunch", "--at", "nothing-by-that-name"])
        .code(3)
        .stderr_has("nothing-by-that-name");
    served.agent(["run", "estimat", "task=lunch"]).code(2).stderr_has("its tools are: estimate");
    served.agent(["rollback", "v0.0.9"]).code(3).stderr_has("v0.0.9");
    served.agent(["promote"]).ok().stdout_has("nothing");
}

#[test]
fn a_rollback_takes_back_what_a_promotion_did_and_tuning_goes_on() {
    let served = Served::new();
    served.agent(["tune", "took", "task=lunch", "minutes=20", "--promote"]).ok();
    served.agent(["rollback"]).code(7).stderr_has("evaluation");
    served.agent(["tune", "took", "task=lunch", "minutes=40", "--promote"]).ok();
    served
        .agent(["rollback", "--reason", "worse", "--dry-run"])
        .ok()
        .stdout_has("reuse the evaluation of v0.1.1");
    let outcome = served.agent(["rollback", "--reason", "worse", "--json"]).ok().json();
    assert_eq!((&outcome["done"], &outcome["tag"]), (&true.into(), &"v0.1.3".into()));
    assert_eq!(
        served.git(["rev-parse", "v0.1.3^{tree}"]),
        served.git(["rev-parse", "v0.1.1^{tree}"])
    );
    let versions = served.agent(["versions", "--json"]).ok().json();
    let yanked: Vec<_> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["yanked"] != false && !entry["yanked"].is_null())
        .collect();
    assert_eq!(yanked, [false, true, false, false], "newest first");
    served
        .agent(["tune", "took", "task=lunch", "minutes=30", "--promote"])
        .ok()
        .stdout_has("v0.1.4");
    served.agent(["verify", "v0.1.4"]).ok();
}

/// The main job, in the surroundings of a fresh machine.
#[test]
fn the_demo_improves_at_each_step_without_home_or_identity() {
    let world = World::new();
    std::fs::remove_file(world.home().join(".gitconfig")).unwrap();
    let mut command = world.command(AGENT, ".");
    command
        .args(["demo", "--json", "--keep", "kept é", "--svg", "loop.svg"])
        .env_remove("HOME")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    let demo = World::finish(&mut command).ok().json();
    let steps = demo["steps"].as_array().unwrap();
    let scores: Vec<f64> = steps.iter().map(|step| step["score"].as_f64().unwrap()).collect();
    let versions: Vec<_> = steps.iter().map(|step| step["version"].as_str().unwrap()).collect();
    assert_eq!(versions, ["v0.1.0", "staging", "v0.1.1", "v0.2.0", "v0.2.1", "v0.3.0"]);
    assert!(scores[1] > scores[0] + 0.05, "tuning helps: {scores:?}");
    assert!(scores[3] > scores[2] + 0.03, "the Architect helps: {scores:?}");
    assert!((scores[4] - scores[2]).abs() < 1e-12, "and it can be taken back: {scores:?}");
    assert!(world.read("loop.svg").contains("<svg"));
    let fired = world.agent("kept é", ["trigger", "list", "--json"]).ok().json();
    let [firing] = &fired["firings"].as_array().unwrap()[..] else { panic!("one firing: {fired}") };
    assert_eq!(firing["outcome"]["version"], "v0.3.0");
    assert!(firing["cleared"].is_string(), "{firing}");
    for version in ["v0.1.0", "v0.1.1", "v0.2.0", "v0.2.1", "v0.3.0"] {
        world.agent("kept é", ["verify", version]).ok();
    }
}
