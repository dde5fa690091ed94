//! `agent templates apply`: the Tuner of a template for a repository that has a Runner.

use crate::adopt;
use crate::world::{Ended, World};
use serde_json::{Value, json};

const FOLDER: &str = "a";

fn apply(world: &World, arguments: &[&str]) -> Ended {
    world.agent(FOLDER, ["templates", "apply"].iter().chain(arguments))
}

fn minimal() -> World {
    let world = World::new();
    world.agent(".", ["init", FOLDER]).ok();
    world
}

fn status(world: &World) -> String {
    world.git(FOLDER, ["status", "--porcelain", "--untracked-files=all"])
}

fn commit(world: &World) {
    world.git(FOLDER, ["add", "--all"]);
    let commit = ["commit", "--quiet", "--no-verify", "-m", "a template"];
    world.git(FOLDER, commit);
}

fn state(world: &World) -> Value {
    serde_json::from_str(&world.read("a/state/active.state.json")).unwrap()
}

#[test]
fn an_adopted_server_gets_a_tuner_before_its_first_commit() {
    let world = World::new();
    adopt::repository(&world);
    world.agent(FOLDER, ["adopt"]).ok();
    let manifest = format!("# about this server\n{}", world.read("a/agent.toml"));
    world.write("a/agent.toml", &manifest);
    let before = status(&world);
    let planned = apply(&world, &["bandit", "--dry-run", "--json"]).ok().json();
    assert_eq!((&planned["done"], status(&world)), (&json!(false), before.clone()));

    let applied = apply(&world, &["bandit", "--json"]).ok().json();
    assert_eq!((&applied["done"], &applied["files"]), (&json!(true), &planned["files"]));
    assert!(world.read("a/agent.toml").starts_with(&manifest), "the manifest keeps its text");
    assert_eq!(state(&world)["schema_version"], 2);
    assert!(!world.path("a/runner").exists() && !world.path("a/tests/full").exists());
    assert!(world.read("a/.gitignore").starts_with("*.log\n"));
    apply(&world, &["bandit"]).ok().stdout_has("all of bandit is here already");

    world.agent(FOLDER, ["test"]).ok();
    commit(&world);
    world.agent(FOLDER, ["release"]).ok();
    let context = r#"context={"kind": "bug", "words": 80, "has_code": 1}"#;
    let reward = ["tune", "reward", "call=r-1", "arm=person", "value=1", context];
    world.agent(FOLDER, reward).ok();
    world.agent(FOLDER, ["promote"]).ok();
    let served = world.agent(FOLDER, ["state", "show", "active", "--json"]).ok().json();
    assert_eq!(served["state"]["arms"]["person"]["n"], 1);
    assert!(world.agent(FOLDER, ["run", "double", "number=21"]).ok().stdout.contains("42"));
}

#[test]
fn an_adoption_is_as_before_once_a_template_is_taken_back() {
    let world = World::new();
    adopt::repository(&world);
    world.agent(FOLDER, ["adopt"]).ok();
    let files = status(&world);
    let read = || {
        ["agent.toml", "state/schema.json", ".gitignore"]
            .map(|path| world.read(format!("{FOLDER}/{path}")))
    };
    let before = read();
    apply(&world, &["rules"]).ok();
    // its Tuner imports modules of the Runner that is left out
    assert!(world.path("a/runner/conditions.py").exists());
    assert!(!world.path("a/runner/__main__.py").exists());
    apply(&world, &["--undo"]).ok().stdout_has("rules");
    assert_eq!((read(), status(&world)), (before, files));
}

#[test]
fn what_was_learned_is_kept_and_migrated() {
    let world = minimal();
    world.agent(FOLDER, ["tune", "took", "task=review", "minutes=20"]).ok();
    world.agent(FOLDER, ["promote"]).ok();
    apply(&world, &["bandit"]).ok();
    world.agent(FOLDER, ["test"]).ok();
    commit(&world);
    world.agent(FOLDER, ["release"]).ok();
    let served = world.agent(FOLDER, ["state", "show", "active", "--json"]).ok().json();
    assert_eq!(served["state"]["tasks"]["review"]["seen"], 1);
    assert_eq!(served["state"]["arms"]["faq"]["n"], 0);
    let tuned = ["tune", "--signals", "signals/feedback.jsonl", "--json"];
    assert_eq!(world.agent(FOLDER, tuned).ok().json()["applied"], 200);
    apply(&world, &["--undo"]).code(4).stderr_has("was applied and committed");
}

#[test]
fn a_file_of_the_users_is_a_conflict_and_nothing_is_written() {
    let world = minimal();
    let tuner = world.read("a/tuner/__main__.py");
    let mine = format!("{tuner}# mine\n");
    world.write("a/tuner/__main__.py", &mine);
    let refused = |arguments: &[&str], reason: &str| {
        let before = (status(&world), adopt::files(&world, FOLDER));
        apply(&world, arguments).code(4).stderr_has(reason);
        assert_eq!((status(&world), adopt::files(&world, FOLDER)), before);
    };
    refused(&["bandit"], "tuner/__main__.py: it exists with other content, which is not committed");
    refused(&["bandit", "--force"], "not committed");
    commit(&world);
    refused(&["bandit"], "agent templates apply bandit --force");
    world.write("a/state/schema.json", world.read("a/state/schema.json") + "\n");
    refused(&["bandit", "--force"], "state/schema.json: it has uncommitted changes");
    world.git(FOLDER, ["checkout", "--", "state"]);
    apply(&world, &["bandit", "--force"]).ok().stdout_has("replaced  tuner/__main__.py");
    assert_ne!(world.read("a/tuner/__main__.py"), mine);
    apply(&world, &["--undo"]).ok();
    assert_eq!((world.read("a/tuner/__main__.py"), status(&world)), (mine, String::new()));

    let schema = world.read("a/state/schema.json").replace("tasks", "arms");
    world.write("a/state/schema.json", schema);
    world.write("a/state/active.state.json", r#"{"schema_version":1,"usual_minutes":1,"arms":{}}"#);
    commit(&world);
    let planned = apply(&world, &["bandit", "--force", "--dry-run", "--json"]).code(4).json();
    assert_eq!(planned["conflicts"][0]["path"], "state/schema.json");
    refused(&["bandit", "--force"], "the state has a key `arms` already, with another schema");
}

#[test]
fn windows_line_ends_stay() {
    let world = minimal();
    let files = ["a/agent.toml", "a/state/active.state.json", "a/state/schema.json"];
    for file in files {
        world.write(file, world.read(file).replace('\n', "\r\n"));
    }
    world.git(FOLDER, ["commit", "--quiet", "--no-verify", "--all", "--allow-empty", "-m", "ends"]);
    apply(&world, &["bandit", "--force"]).ok();
    for file in files {
        let text = world.read(file);
        assert!(text.contains("\r\n") && !text.replace("\r\n", "").contains('\n'), "{file}");
    }
}

#[test]
fn a_folder_that_is_a_link_is_not_written_through() {
    let world = minimal();
    world.git(FOLDER, ["rm", "--quiet", "-r", "tuner"]);
    world.git(FOLDER, ["commit", "--quiet", "--no-verify", "-m", "no Tuner"]);
    std::fs::create_dir(world.path("outside")).unwrap();
    std::os::unix::fs::symlink(world.path("outside"), world.path("a/tuner")).unwrap();
    apply(&world, &["bandit"]).code(4).stderr_has("tuner/__main__.py: a folder above it is a link");
    assert!(std::fs::read_dir(world.path("outside")).unwrap().next().is_none());
}

#[test]
fn templates_are_taken_back_one_after_another() {
    let world = minimal();
    apply(&world, &["bandit"]).ok();
    apply(&world, &["preferences"]).code(4).stderr_has("agent templates apply --undo");
    apply(&world, &["search"]).ok();
    world.write("a/optimiser/space.py", "# mine\n");
    apply(&world, &["--undo"]).code(4).stderr_has("search was applied: optimiser/space.py");
    assert_eq!(world.read("a/optimiser/space.py"), "# mine\n");
    let original = world
        .agent(FOLDER, ["templates", "show", "search", "--file", "optimiser/space.py"])
        .ok()
        .stdout;
    world.write("a/optimiser/space.py", original);
    let undone = apply(&world, &["--undo", "--json"]).ok().json();
    assert_eq!(undone["template"], "search");
    apply(&world, &["--undo"]).ok();
    assert_eq!(status(&world), "");
    apply(&world, &["--undo"]).code(4).stderr_has("no template was applied here");
}
