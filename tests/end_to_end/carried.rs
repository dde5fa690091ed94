//! `worktree` means what a release of it would serve: its code, and the state that is served,
//! carried over.

use crate::served::{FOLDER, Served};
use crate::world::{AGENT, World};
use serde_json::{Value, json};

const SCHEMA: &str = "state/schema.json";
const COPY: &str = "state/active.state.json";

fn edit(served: &Served, file: &str, edit: impl Fn(&str) -> String) {
    let path = format!("{FOLDER}/{file}");
    let text = served.world.read(&path);
    let edited = edit(&text);
    assert_ne!(text, edited, "{file} is edited");
    served.world.write(&path, edited);
}

/// Schema version 2: the state has a greeting.
fn add_greeting(served: &Served) {
    edit(served, SCHEMA, |text| {
        let mut schema: Value = serde_json::from_str(text).unwrap();
        schema["x-schema-version"] = json!(2);
        schema["properties"]["schema_version"] = json!({"const": 2});
        schema["properties"]["greeting"] = json!({"type": "string"});
        schema["required"].as_array_mut().unwrap().push(json!("greeting"));
        schema.to_string()
    });
    let step = "def migrate(state):\
        \n    state['schema_version'] = 2\
        \n    state['greeting'] = 'hello'\
        \n    return state\n";
    served.world.write(format!("{FOLDER}/state/migrations/2.py"), step);
    let tool = "@server.tool\n\
        def greet() -> str:\
        \n    \"\"\"Greets.\"\"\"\
        \n    return state()[\"greeting\"]\n\n\n\
        if __name__";
    edit(served, "runner/__main__.py", |text| text.replace("if __name__", tool));
    edit(served, "tests/micro/estimates.jsonl", |text| {
        format!(
            "{text}{}\n",
            json!({"id": "greets", "tool": "greet", "arguments": {}, "expect": {"equals": "hello"},
                "must": true})
        )
    });
}

fn commit(served: &Served) {
    served.git(["add", "--all"]);
    served.git(["commit", "--quiet", "--message", "feat: it"]);
}

#[track_caller]
fn minutes(served: &Served, at: &str, task: &str) -> String {
    served.agent(["run", "estimate", &format!("task={task}"), "--at", at]).ok().json()["minutes"]
        .to_string()
}

fn learn(served: &Served, task: &str, minutes: u32) {
    served
        .agent([
            "tune",
            "took",
            &format!("task={task}"),
            &format!("minutes={minutes}"),
            "--promote",
            "-q",
        ])
        .ok();
}

#[test]
fn the_working_tree_runs_with_what_was_learned_and_what_its_user_changed() {
    let served = Served::new();
    learn(&served, "deploy", 500);
    assert_eq!(minutes(&served, "worktree", "deploy"), "500.0");
    let cases = json!({"id": "learned", "tool": "estimate", "arguments": {"task": "deploy"},
        "expect": {"subset": {"minutes": 500.0}}, "must": true});
    edit(&served, "tests/micro/estimates.jsonl", |text| format!("{text}{cases}\n"));
    served.agent(["test"]).ok().stdout_has("4 passed");
    served.git(["add", "--all"]);
    served.agent(["hook", "pre-commit"]).ok();
    // what is changed beside the code is joined with what was learned
    let walk = json!({"walk": {"minutes": 7.0, "seen": 1}});
    edit(&served, COPY, |text| text.replace("\"tasks\": {}", &format!("\"tasks\": {walk}")));
    assert_eq!(
        (minutes(&served, "worktree", "deploy"), minutes(&served, "worktree", "walk")),
        ("500.0".to_owned(), "7.0".to_owned())
    );
    assert_eq!(minutes(&served, "active", "walk"), "30.0");
    commit(&served);
    assert_eq!(
        (minutes(&served, "worktree", "deploy"), minutes(&served, "worktree", "walk")),
        ("500.0".to_owned(), "7.0".to_owned())
    );
    served.agent(["release"]).ok();
    assert_eq!(
        (minutes(&served, "active", "deploy"), minutes(&served, "active", "walk")),
        ("500.0".to_owned(), "7.0".to_owned())
    );
    // the difference to the working tree is that to what a release of it would serve
    let state = |served: &Served| {
        served.agent(["versions", "diff", "active", "worktree", "--json"]).ok().json()["state"]
            .clone()
    };
    assert_eq!(state(&served), json!([]));
    learn(&served, "paint", 60);
    assert_eq!(state(&served), json!([]), "what is learned is not a difference");
    edit(&served, COPY, |text| text.replace("\"seen\":1", "\"seen\":2"));
    let differing = served.agent(["versions", "diff", "active", "worktree", "--json"]).ok().json();
    assert_eq!(differing["state"][0]["path"], "tasks.walk.seen", "{differing}");
    let missing = differing["missing"][0]["how"].as_str().unwrap().to_owned();
    World::finish(served.command().args(missing.split(' ').skip(1))).ok();
    let again = served.agent(["versions", "diff", "active", "worktree", "--json"]).ok().json();
    assert!(!again["missing"].to_string().contains(&missing), "{again}");
    edit(&served, COPY, |text| text.replace("\"seen\":2", "\"seen\":1"));
    // and where both sides changed the same, a person has to say which it is
    learn(&served, "walk", 9);
    edit(&served, COPY, |text| text.replace("7.0", "70.0"));
    let run = ["run", "estimate", "task=walk", "--at", "worktree"];
    let own = served.agent(run).ok().stderr_has(
        "changed both on active and in the working tree, differently: /tasks/walk/minutes",
    );
    assert_eq!(own.json()["minutes"], 70.0);
    commit(&served);
    served.agent(["release"]).code(4).stderr_has("/tasks/walk/minutes");
}

#[test]
fn a_migration_is_tried_tested_and_committed_before_it_is_released() {
    let served = Served::new();
    learn(&served, "deploy", 500);
    add_greeting(&served);
    assert_eq!(served.agent(["run", "greet", "--at", "worktree"]).ok().json()["result"], "hello");
    assert_eq!(minutes(&served, "worktree", "deploy"), "500.0");
    served.agent(["test"]).ok().stdout_has("4 passed");
    served.agent(["test", "--explain", "greets"]).ok().stdout_has("would not be run");
    served.git(["add", "--all"]);
    let mut hook = served.command();
    let hook = World::finish(hook.args(["hook", "pre-commit"]).env("AGENT_HOOK_LIMIT", "60")).ok();
    assert_eq!(hook.stderr, "", "it was judged, and nothing speaks against it");
    // a step that fails is found here, and not at the release
    let step = served.world.read(format!("{FOLDER}/state/migrations/2.py"));
    served.world.write(
        format!("{FOLDER}/state/migrations/2.py"),
        "def migrate(state):\n    raise ValueError('no')\n",
    );
    served.agent(["test"]).code(5).stderr_has("state/migrations/2.py");
    served.agent(["run", "greet", "--at", "worktree"]).code(5).stderr_has("state/migrations/2.py");
    std::fs::remove_file(served.path("state/migrations/2.py")).unwrap();
    served.agent(["test"]).code(3).stderr_has("there is no state/migrations/2.py");
    served.world.write(format!("{FOLDER}/state/migrations/2.py"), step);
    commit(&served);
    served.agent(["release"]).ok();
    assert_eq!(
        (minutes(&served, "active", "deploy"), minutes(&served, "worktree", "deploy")),
        ("500.0".to_owned(), "500.0".to_owned())
    );
    // a branch from before runs with its own state, and can be committed to
    served.git(["switch", "--quiet", "--create", "before", "v0.1.0"]);
    served
        .agent(["run", "estimate", "task=deploy", "--at", "worktree"])
        .ok()
        .stderr_has("the working tree supports only 1");
    served.agent(["test"]).ok().stderr_has("git merge active");
}

#[test]
fn a_copy_of_the_served_state_is_no_change() {
    let served = Served::new();
    // the shell empties the file before `agent` runs
    let copied = |served: &Served| {
        let redirected = format!("exec \"$0\" state migrate > {COPY}");
        World::finish(served.world.command("sh", FOLDER).args(["-c", &redirected, AGENT])).ok();
        commit(served);
    };
    learn(&served, "deploy", 500);
    copied(&served);
    learn(&served, "deploy", 300);
    edit(&served, "tuner/__main__.py", |text| format!("{text}# a comment\n"));
    commit(&served);
    served.agent(["release"]).ok();
    assert_eq!(minutes(&served, "active", "deploy"), "400.0", "what was learned since is served");
    // together with a migration, before its release and after it
    add_greeting(&served);
    copied(&served);
    learn(&served, "deploy", 700);
    assert_eq!(minutes(&served, "worktree", "deploy"), "500.0");
    served.agent(["release"]).ok();
    assert_eq!(minutes(&served, "active", "deploy"), "500.0");
    copied(&served);
    learn(&served, "deploy", 900);
    edit(&served, "tuner/__main__.py", |text| format!("{text}# another\n"));
    edit(&served, COPY, |text| text.replace("\"hello\"", "\"good day\""));
    commit(&served);
    served.agent(["release"]).ok();
    assert_eq!(served.agent(["run", "greet"]).ok().json()["result"], "good day");
    assert_eq!(minutes(&served, "active", "deploy"), "600.0");
}

#[test]
fn a_case_of_a_conversation_is_judged_under_the_state_that_is_served() {
    let served = Served::new();
    learn(&served, "deploy", 500);
    served.agent(["run", "estimate", "task=deploy", "--conversation", "c1"]).ok();
    let wanted =
        ["test", "add", "--conversation", "c1", "--expect", r#"{"subset":{"minutes":30.0}}"#];
    served.agent(wanted).ok().stdout_has("it fails now").stdout_has("500");
}
