//! `agent init` and `agent templates`.

use crate::world::{AGENT, World};

/// A `git` of the world's own, in front of the real one.
fn fake_git(world: &World, script: &str) -> std::ffi::OsString {
    use std::os::unix::fs::PermissionsExt;
    let real = World::finish(world.command("sh", ".").args(["-c", "command -v git"]))
        .ok()
        .stdout
        .trim()
        .to_owned();
    let fake = world
        .write("fake/git", format!("#!/bin/sh\nreal={real}\n{script}\nexec \"$real\" \"$@\"\n"));
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.path_led_by("fake")
}

#[test]
fn a_new_repository_is_committed_on_main_with_hooks_and_runtime() {
    let world = World::new();
    let ended = world.agent(".", ["init", "my agents/übersicht", "--json"]).ok();
    let folder = "my agents/übersicht";
    let outcome = ended.json();
    assert_eq!((&outcome["schema"], &outcome["done"]), (&"agent/init@1".into(), &true.into()));
    assert_eq!(world.git(folder, ["rev-parse", "main"]), outcome["commit"].as_str().unwrap());
    assert_eq!(world.git(folder, ["status", "--porcelain"]), "");
    assert_eq!(world.git(folder, ["config", "core.hooksPath"]), ".githooks");
    let tracked = world.git(
        folder,
        ["ls-files", "-s", ".githooks", "agent_runtime/__init__.py", "agent.toml", ".github"],
    );
    assert_eq!(tracked.lines().filter(|line| line.starts_with("100755")).count(), 3, "{tracked}");
    assert_eq!(tracked.lines().count(), 7, "{tracked}");
    assert!(world.read(format!("{folder}/agent.toml")).contains("name = \"übersicht\""));
    assert!(!world.path(folder).join(".agent/init.json").exists());
}

#[test]
fn a_folder_that_is_not_empty_is_refused_and_unchanged() {
    let world = World::new();
    world.write("full/notes.txt", "mine");
    world
        .agent(".", ["init", "full"])
        .code(3)
        .stderr_has("it holds `notes.txt`")
        .stderr_has("agent adopt");
    assert_eq!(std::fs::read_dir(world.path("full")).unwrap().count(), 1);
    world.agent(".", ["init", "full/notes.txt"]).code(3).stderr_has("is a file");
    world
        .agent(".", ["init", "new", "--template", "huge"])
        .code(2)
        .stderr_has("minimal, docs-search");
    assert!(!world.path("new").exists());
}

#[test]
fn an_empty_clone_is_accepted_like_an_empty_folder() {
    let world = World::new();
    world.git(".", ["init", "--quiet", "--initial-branch=trunk", "cloned"]);
    world.agent("cloned", ["init", "."]).ok();
    assert_eq!(world.git("cloned", ["branch", "--show-current"]), "main");
    world.agent("cloned", ["init", "."]).code(3);
}

#[test]
fn init_works_without_home_and_git_identity() {
    let world = World::new();
    std::fs::remove_file(world.home().join(".gitconfig")).unwrap();
    let ended = World::finish(
        world
            .command(AGENT, ".")
            .args(["init", "a"])
            .env_remove("HOME")
            .env("GIT_CONFIG_GLOBAL", "/dev/null"),
    );
    ended.ok();
    assert!(!world.git("a", ["log", "-1", "--format=%an <%ae>"]).is_empty());
}

#[test]
fn init_inside_another_repository_is_reported() {
    let world = World::new();
    world.git(".", ["init", "--quiet", "outer"]);
    world
        .agent("outer", ["init", "inner"])
        .ok()
        .stderr_has("lies inside the repository")
        .stderr_has("outer");
    // started from a hook of the outer repository, it still makes its own
    let mut command = world.command(AGENT, "outer");
    command
        .args(["init", "other"])
        .env("GIT_DIR", world.path("outer/.git"))
        .env("GIT_INDEX_FILE", world.path("outer/.git/index"));
    World::finish(&mut command).ok();
    assert_eq!(world.git("outer/other", ["branch", "--show-current"]), "main");
    assert_eq!(world.git("outer", ["for-each-ref"]), "");
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = World::new();
    let plan = world
        .agent(".", ["init", "a", "--template", "docs-search", "--dry-run", "--json"])
        .ok()
        .json();
    assert_eq!(plan["done"], false);
    assert!(plan["files"].as_array().unwrap().iter().any(|file| file == "runner/__main__.py"));
    assert!(!world.path("a").exists());
}

#[test]
fn a_killed_command_is_continued() {
    for (stage, at) in [("init", "init)"), ("add", "add)"), ("commit", "commit)")] {
        let world = World::new();
        let path = fake_git(
            &world,
            &format!(
                "case $1 in {at} touch .git/index.lock 2>/dev/null; kill -9 $PPID; exit 1;; esac"
            ),
        );
        let ended = World::finish(world.command(AGENT, ".").args(["init", "a"]).env("PATH", path));
        assert_eq!(ended.code, -1, "killed at git {stage}");
        world.agent(".", ["init", "a"]).ok();
        assert_eq!(world.git("a", ["status", "--porcelain"]), "", "killed at git {stage}");
        assert_eq!(world.git("a", ["rev-list", "--count", "main"]), "1");
        assert!(!world.path("a/.agent/init.json").exists());
    }
}

#[test]
fn without_git_or_python_init_reports_what_is_missing_and_writes_nothing() {
    let world = World::new();
    let empty = world.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let ended = World::finish(world.command(AGENT, ".").args(["init", "a"]).env("PATH", &empty));
    ended.code(6).stderr_has("`git` cannot be started");
    let old =
        world.write("old-python", "#!/bin/sh\nprintf '/usr/bin/python3\\n3.8.1\\ncpython\\n'\n");
    World::finish(world.command("chmod", ".").arg("+x").arg(&old)).ok();
    let ended =
        World::finish(world.command(AGENT, ".").args(["init", "a"]).env("AGENT_PYTHON", &old));
    ended
        .code(6)
        .stderr_has("no Python >=3.11 was found")
        .stderr_has("Python 3.8.1 at /usr/bin/python3");
    assert!(!world.path("a").exists());
}

#[test]
fn templates_are_listed_and_shown() {
    let world = World::new();
    world
        .agent(".", ["templates", "list"])
        .ok()
        .stdout_has("answers from Python's own help topics");
    let shown = world.agent(".", ["templates", "show", "minimal", "--json"]).ok().json();
    assert!(shown["files"].as_array().unwrap().iter().any(|file| file == "tuner/__main__.py"));
    let example = world.agent(".", ["templates", "show", "wine", "--json"]).ok().json();
    assert_eq!(example["base"], "bandit");
    let files: Vec<_> = example["files"].as_array().unwrap().iter().collect();
    for path in ["bandit/policy.py", "tests/scorers.py", "traffic/client.py", "wines.csv"] {
        assert!(files.iter().any(|file| *file == path), "{path} {files:?}");
    }
    assert!(!files.iter().any(|file| *file == "signals/feedback.jsonl"), "{files:?}");
    world
        .agent(".", ["templates", "show", "minimal", "--file", "agent.toml"])
        .ok()
        .stdout_has("schema = \"agent/manifest@1\"");
    world
        .agent(".", ["templates", "show", "minimal", "--file", "bogus"])
        .code(2)
        .stderr_has("has no file bogus");
}
