//! `agent hooks` and the hooks themselves, fired by real git.

use crate::world::{AGENT, Ended, World};
use std::path::Path;

fn program(world: &World, path: &str, script: &str) {
    let path = world.write(path, format!("#!/bin/sh\n{script}\n"));
    World::finish(world.command("chmod", ".").arg("+x").arg(path)).ok();
}

/// A repository that is no agent's, with one commit.
fn plain(world: &World, folder: &str) {
    world.git(".", ["init", "--quiet", folder]);
    world.write(Path::new(folder).join("a.txt"), "one\n");
    world.git(folder, ["add", "."]);
    world.git(folder, ["commit", "--quiet", "-m", "one"]);
}

fn commit(world: &World, folder: &str, arguments: &[&str]) -> Ended {
    let mut words = vec!["commit", "--quiet", "--allow-empty", "-m", "next"];
    words.extend(arguments);
    git_within(world, folder, "60", &words)
}

/// git, where the hooks have their own time limit: the usual one may be too short on a busy
/// machine.
fn git_within(world: &World, folder: &str, seconds: &str, arguments: &[&str]) -> Ended {
    World::finish(world.command("git", folder).args(arguments).env("AGENT_HOOK_LIMIT", seconds))
}

/// An agent repository without a version, made of the minimal template by hand. Its budgets ask for
/// answers alone, so that a busy machine changes nothing.
fn agent_repository(world: &World, folder: &str) {
    let templates = crate::world::source_root().join("templates");
    World::finish(world.command("cp", ".").arg("-r").arg(templates.join("minimal")).arg(folder))
        .ok();
    World::finish(
        world.command("cp", ".").arg("-r").arg(templates.join("runtime/agent_runtime")).arg(folder),
    )
    .ok();
    let untimed = r#"{"schema":"agent/budgets@1","tiers":{"micro":{"pass_rate":0.6},"fast":{"pass_rate":0.6}},"slos":[]}"#;
    world.write(Path::new(folder).join("ci/budgets.json"), format!("{untimed}\n"));
    world.git(folder, ["init", "--quiet"]);
    world.git(folder, ["add", "."]);
    world.git(folder, ["commit", "--quiet", "-m", "agent"]);
    world.agent(folder, ["hooks", "install"]).ok();
}

fn standing(world: &World, folder: &str) -> Vec<(String, bool)> {
    let document = world.agent(folder, ["hooks", "status", "--json"]).json();
    let hooks = document["hooks"].as_array().unwrap();
    hooks
        .iter()
        .map(|hook| (hook["standing"].as_str().unwrap().to_owned(), hook["fires"] == true))
        .collect()
}

#[test]
fn init_installs_hooks_that_fire_and_uninstall_silences_them() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    assert_eq!(standing(&world, "a"), vec![("ours".to_owned(), true); 3]);
    world.agent("a", ["hooks", "uninstall"]).ok();
    assert_eq!(world.git("a", ["status", "--porcelain"]), "");
    world.agent("a", ["hooks", "status"]).code(1).stdout_has("agent hooks install");
    world.agent("a", ["hooks", "install"]).ok();
    assert_eq!(standing(&world, "a"), vec![("ours".to_owned(), true); 3]);
}

#[test]
fn a_clone_takes_up_the_tracked_shims() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    world.git(".", ["clone", "--quiet", "a", "b"]);
    world.agent("b", ["hooks", "status"]).code(1);
    world.agent("b", ["hooks", "install"]).ok();
    assert_eq!(world.git("b", ["config", "--local", "core.hooksPath"]), ".githooks");
    assert_eq!(world.git("b", ["status", "--porcelain"]), "");
    // a linked worktree has the hooks of its repository
    world.git("b", ["worktree", "add", "--quiet", "../b tree", "-b", "side"]);
    assert_eq!(standing(&world, "b tree"), vec![("ours".to_owned(), true); 3]);
    commit(&world, "b tree", &[]).ok();
}

#[test]
fn an_existing_hook_runs_first_and_is_restored() {
    let world = World::new();
    plain(&world, "a");
    program(&world, "a/.git/hooks/pre-commit", "echo before >>ran; test ! -e refuse");
    program(&world, "a/.git/hooks/pre-push", "echo \"push $1\" >>ran; cat >>ran");
    world.agent("a", ["hooks", "install"]).ok();
    world.agent("a", ["hooks", "install"]).ok();
    assert_eq!(
        standing(&world, "a"),
        [("chained".to_owned(), true), ("ours".to_owned(), true), ("chained".to_owned(), true)],
        "a probe runs nothing"
    );
    assert!(!world.path("a/ran").exists(), "the probe runs no hook that was there");
    commit(&world, "a", &[]).ok();
    assert_eq!(world.read("a/ran"), "before\n");
    world.write("a/refuse", "");
    commit(&world, "a", &[]).code(1);
    std::fs::remove_file(world.path("a/refuse")).unwrap();
    std::fs::remove_file(world.path("a/ran")).unwrap();

    world.git(".", ["init", "--quiet", "--bare", "server"]);
    world.git("a", ["push", "--quiet", "../server", "HEAD:refs/heads/x"]);
    let ran = world.read("a/ran");
    assert!(
        ran.starts_with("push ../server\nHEAD ") && ran.contains(" refs/heads/x 0000"),
        "{ran}"
    );

    world.agent("a", ["hooks", "uninstall"]).ok();
    assert!(world.read("a/.git/hooks/pre-commit").contains("echo before"));
    assert!(!world.path("a/.git/hooks/pre-commit.before-agent").exists());
    assert!(!world.path("a/.git/agent-binary").exists());
    assert!(!world.path("a/.git/hooks/pre-merge-commit").exists());
}

#[test]
fn a_hooks_folder_for_all_repositories_is_left_alone_and_chained() {
    let world = World::new();
    plain(&world, "a");
    program(&world, "all hooks/pre-commit", "echo all >>ran");
    world.git(
        "a",
        ["config", "--global", "core.hooksPath", world.path("all hooks").to_str().unwrap()],
    );
    world.agent("a", ["hooks", "install"]).ok();
    assert!(world.read("all hooks/pre-commit").contains("echo all"));
    assert_eq!(standing(&world, "a")[0], ("chained".to_owned(), true));
    commit(&world, "a", &[]).ok();
    assert_eq!(world.read("a/ran"), "all\n");
    world.agent("a", ["hooks", "uninstall"]).ok();
    assert_eq!(
        world.git("a", ["config", "--get", "core.hooksPath"]),
        world.path("all hooks").to_str().unwrap()
    );
    commit(&world, "a", &[]).ok();
    assert_eq!(world.read("a/ran"), "all\nall\n");
}

#[test]
fn a_hooks_folder_of_the_repository_is_honoured() {
    let world = World::new();
    plain(&world, "a");
    program(&world, "a/tools/hooks/pre-commit", "echo tools >>../ran");
    world.git("a", ["config", "core.hooksPath", "tools/hooks"]);
    world.agent("a", ["hooks", "install"]).ok();
    assert_eq!(standing(&world, "a")[0], ("chained".to_owned(), true));
    assert!(world.path("a/tools/hooks/pre-commit.before-agent").exists());
    world.agent("a", ["hooks", "uninstall"]).ok();
    assert_eq!(world.git("a", ["config", "core.hooksPath"]), "tools/hooks");
    assert!(world.read("a/tools/hooks/pre-commit").contains("echo tools"));
}

#[test]
fn without_the_binary_the_hook_fails_with_a_hint_and_can_be_skipped() {
    let world = World::new();
    plain(&world, "a");
    let copy = world.path("agent copy");
    std::fs::copy(AGENT, &copy).unwrap();
    World::finish(world.command(&copy, "a").args(["hooks", "install"])).ok();
    std::fs::remove_file(&copy).unwrap();
    commit(&world, "a", &[])
        .code(1)
        .stderr_has("cannot find `agent`")
        .stderr_has("agent copy")
        .stderr_has("AGENT_SKIP_HOOKS=1");
    World::finish(
        world
            .command("git", "a")
            .args(["commit", "--quiet", "--allow-empty", "-m", "x"])
            .env("AGENT_SKIP_HOOKS", "1"),
    )
    .ok();
    // PATH is the second place to look
    std::fs::create_dir(world.path("bin")).unwrap();
    std::os::unix::fs::symlink(AGENT, world.path("bin/agent")).unwrap();
    let path = world.path_led_by("bin");
    World::finish(
        world
            .command("git", "a")
            .args(["commit", "--quiet", "--allow-empty", "-m", "x"])
            .env("PATH", path),
    )
    .ok();
}

#[test]
fn a_skipped_hook_says_so() {
    let world = World::new();
    plain(&world, "a");
    world.agent("a", ["hooks", "install"]).ok();
    let ended = World::finish(
        world
            .command("git", "a")
            .args(["commit", "--quiet", "--allow-empty", "-m", "x"])
            .env("AGENT_SKIP_HOOKS", "1"),
    );
    ended.ok().stderr_has("pre-commit is skipped: AGENT_SKIP_HOOKS is set");
}

#[test]
fn outside_a_repository_the_error_names_the_searched_folder() {
    let world = World::new();
    world.agent(".", ["hooks", "install"]).code(3).stderr_has("is in no git repository");
}

#[test]
fn a_commit_on_active_is_refused_with_the_way_to_go() {
    let world = World::new();
    agent_repository(&world, "a");
    world.git("a", ["switch", "--quiet", "--create", "active"]);
    let ended = commit(&world, "a", &[]).code(1);
    ended
        .stderr_has("active: the commit would be added to active")
        .stderr_has("AGENT_SKIP_HOOKS=1 git commit");
    assert_eq!(world.git("a", ["rev-list", "--count", "HEAD"]), "1");
    world.git("a", ["switch", "--quiet", "main"]);
    assert_eq!(commit(&world, "a", &[]).ok().stderr, "", "quiet when all is well");
}

#[test]
fn pre_commit_tests_the_index_and_not_the_working_tree() {
    let world = World::new();
    agent_repository(&world, "a");
    let staging = "a/state/staging.state.json";
    world.write(staging, "{}");
    commit(&world, "a", &[]).ok();
    world.git("a", ["add", "--force", "state/staging.state.json"]);
    // gone from the working tree, still in the index
    std::fs::remove_file(world.path(staging)).unwrap();
    commit(&world, "a", &[]).code(1).stderr_has("staging-is-not-tracked");
    // another index, named by the environment or made by `git commit --only`
    let mut command = world.command("git", "a");
    command
        .args(["commit", "--quiet", "--allow-empty", "-m", "x"])
        .env("GIT_INDEX_FILE", world.path("a/.git/other-index"));
    let other = World::finish(
        world
            .command("git", "a")
            .args(["read-tree", "HEAD"])
            .env("GIT_INDEX_FILE", world.path("a/.git/other-index")),
    );
    other.ok();
    World::finish(&mut command).ok();
    world.write("a/README.md", "changed\n");
    commit(&world, "a", &["--only", "README.md"]).ok();
    assert_eq!(world.read("a/README.md"), "changed\n");
}

#[test]
fn a_merge_is_judged_too() {
    let world = World::new();
    agent_repository(&world, "a");
    world.git("a", ["switch", "--quiet", "--create", "side"]);
    world.write("a/side.txt", "side\n");
    world.git("a", ["add", "side.txt"]);
    commit(&world, "a", &[]).ok();
    world.git("a", ["switch", "--quiet", "--create", "active", "main"]);
    let merge = |branch: &str| {
        git_within(&world, "a", "60", &["merge", "--quiet", "--no-ff", "--no-edit", branch])
    };
    merge("side")
        .code(1)
        .stderr_has("pre-merge-commit refuses the change")
        .stderr_has("AGENT_SKIP_HOOKS=1 git merge");
    world.git("a", ["merge", "--abort"]);
    world.git("a", ["switch", "--quiet", "main"]);
    merge("side").ok();
}

#[test]
fn a_server_refuses_illegal_ref_updates() {
    let world = World::new();
    agent_repository(&world, "a");
    world.git(".", ["clone", "--quiet", "--bare", "a", "server"]);
    world.agent("server", ["hooks", "install"]).ok();
    assert_eq!(standing(&world, "server"), [("ours".to_owned(), true)]);
    let push = |arguments: &[&str]| {
        git_within(&world, "a", "60", &[&["push", "--quiet", "../server"], arguments].concat())
    };
    push(&["main:refs/heads/active", "--no-verify"])
        .code(1)
        .stderr_has("update refuses the change")
        .stderr_has("that is not a version");
    push(&["main:refs/tags/v9.0.0", "--no-verify"])
        .code(1)
        .stderr_has("would name a commit that is not a version");
    // the same refusal, before anything is sent
    push(&["main:refs/heads/active"]).code(1).stderr_has("pre-push refuses the change");
    push(&["main:refs/heads/topic"]).ok();
    assert_eq!(
        world.git("server", ["for-each-ref", "--format=%(refname)"]),
        "refs/heads/main\nrefs/heads/topic"
    );
    push(&[":refs/heads/topic"]).ok();
}

#[test]
fn the_other_hooks_of_a_server_answer_when_called() {
    let world = World::new();
    agent_repository(&world, "a");
    let head = world.git("a", ["rev-parse", "HEAD"]);
    let null = "0".repeat(40);
    let hook = |arguments: &[&str], input: &str| {
        let path = world.write("input", input);
        World::finish(
            world
                .command(AGENT, "a")
                .arg("hook")
                .args(arguments)
                .stdin(std::fs::File::open(path).unwrap()),
        )
    };
    hook(&["pre-receive"], &format!("{head} {null} refs/heads/active\n"))
        .code(1)
        .stderr_has("active would be deleted");
    hook(&["pre-receive"], &format!("{null} {head} refs/heads/active\n")).ok();
    hook(&["reference-transaction", "prepared"], &format!("{null} {head} refs/heads/active\n"))
        .code(1);
    hook(&["reference-transaction", "committed"], &format!("{null} {head} refs/heads/active\n"))
        .ok();
    hook(&["pre-receive"], "nonsense\n").code(2).stderr_has("line 1 of the input of `pre-receive`");
    hook(&["post-commit"], "").code(2).stderr_has("not a hook of `agent`");
}

/// The Runner of the minimal template answers wrongly from now on; staged.
fn break_runner(world: &World) {
    let runner = world.read("a/runner/__main__.py");
    assert!(runner.contains("import"));
    world.write("a/runner/__main__.py", format!("raise SystemExit('broken on purpose')\n{runner}"));
    world.git("a", ["add", "runner/__main__.py"]);
}

/// A case that cannot pass; staged.
fn add_failing_case(world: &World) {
    let case = r#"{"id":"impossible","tool":"estimate","arguments":{"task":"review"},"expect":{"equals":{"minutes":-1}},"must":true}"#;
    world.write("a/tests/micro/impossible.jsonl", format!("{case}\n"));
    world.git("a", ["add", "tests/micro/impossible.jsonl"]);
}

#[test]
fn a_failing_case_blocks_the_commit_with_the_next_command() {
    let world = World::new();
    agent_repository(&world, "a");
    add_failing_case(&world);
    let ended = commit(&world, "a", &[]).code(1);
    let ended = ended
        .stderr_has("pre-commit refuses the change")
        .stderr_has("impossible")
        .stderr_has("tests/micro/impossible.jsonl:1");
    ended.stderr_has("again: agent test --tier micro").stderr_has("AGENT_SKIP_HOOKS=1 git commit");
    // the cached failure is as loud as the first
    git_within(&world, "a", "0", &["commit", "-m", "x"]).code(1).stderr_has("impossible");
    assert_eq!(world.git("a", ["rev-list", "--count", "HEAD"]), "1");
    let skipped = World::finish(
        world
            .command("git", "a")
            .args(["commit", "--quiet", "-m", "x"])
            .env("AGENT_SKIP_HOOKS", "1"),
    );
    skipped.ok().stderr_has("is skipped");
}

#[test]
fn the_tier_runs_on_what_is_staged() {
    let world = World::new();
    agent_repository(&world, "a");
    let sound = world.read("a/runner/__main__.py");
    // broken in the working tree, sound in the index: the commit may pass
    world.write("a/runner/__main__.py", "raise SystemExit(3)\n");
    world.write("a/README.md", "changed\n");
    world.git("a", ["add", "README.md"]);
    assert_eq!(commit(&world, "a", &[]).ok().stderr, "");
    assert_eq!(world.read("a/runner/__main__.py"), "raise SystemExit(3)\n");
    // sound in the working tree, broken in the index: it may not
    world.write("a/runner/__main__.py", &sound);
    break_runner(&world);
    world.write("a/runner/__main__.py", &sound);
    commit(&world, "a", &[]).code(1).stderr_has("broken on purpose");
    assert_eq!(world.read("a/runner/__main__.py"), sound);
    // `--all` has an index of its own
    commit(&world, "a", &["--all"]).ok();
}

#[test]
fn known_trees_start_no_python_and_slow_tiers_are_skipped() {
    let world = World::new();
    agent_repository(&world, "a");
    world.write("a/README.md", "one\n");
    world.git("a", ["add", "README.md"]);
    let late = git_within(&world, "a", "0", &["commit", "--quiet", "-m", "late"]).ok();
    late.stderr_has("pre-commit: tests skipped: micro did not finish within 0 s; CI runs them");
    assert_eq!(commit(&world, "a", &[]).ok().stderr, "");
    // the same tree again: no time at all is time enough
    assert_eq!(
        git_within(&world, "a", "0", &["commit", "--quiet", "--allow-empty", "-m", "known"])
            .ok()
            .stderr,
        ""
    );
}

#[test]
fn a_push_runs_the_fast_tier_on_what_is_pushed() {
    let world = World::new();
    agent_repository(&world, "a");
    world.git(".", ["init", "--quiet", "--bare", "server"]);
    let push = |reference: &str| {
        git_within(&world, "a", "60", &["push", "--quiet", "../server", reference])
    };
    assert_eq!(push("main:refs/heads/main").ok().stderr, "");
    let case = r#"{"id":"impossible","tool":"estimate","arguments":{"task":"review"},"expect":{"equals":{"minutes":-1}},"must":true}"#;
    world.write("a/tests/fast/impossible.jsonl", format!("{case}\n"));
    world.git("a", ["add", "."]);
    commit(&world, "a", &[]).ok();
    let head = world.git("a", ["rev-parse", "--short=9", "HEAD"]);
    let ended = push("main:refs/heads/main")
        .code(1)
        .stderr_has("pre-push refuses the change")
        .stderr_has("impossible");
    ended
        .stderr_has(&format!("again: agent test --tier fast --at {head}"))
        .stderr_has("AGENT_SKIP_HOOKS=1 git push");
    // what is pushed is judged, not what is checked out
    push("HEAD~1:refs/heads/other").ok();
}

#[test]
fn a_timeout_on_a_slow_machine_does_not_refuse_a_commit() {
    let world = World::new();
    agent_repository(&world, "a");
    let hasty = r#"{"schema":"agent/budgets@1","tiers":{"micro":{"pass_rate":0.6,"p95_ms":0.000001}},"slos":[]}"#;
    world.write("a/ci/budgets.json", hasty);
    commit(&world, "a", &["--all"])
        .ok()
        .stderr_has("tests skipped: the 95th percentile of latency");
    // a wrong file is, whatever the time
    world.write("a/ci/budgets.json", "{");
    commit(&world, "a", &["--all"]).code(1).stderr_has("ci/budgets.json:1:");
}
