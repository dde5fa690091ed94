//! What `agent` takes over from the program that starts it: signals, limits, and git's variables.

use crate::served::{FOLDER, Served};
use crate::world::{AGENT, World};
use std::process::Stdio;

/// Ignores ends of children, blocks every signal and allows few open files, all of which `exec`
/// passes on.
const CARELESS: &str = "
import os, resource, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
resource.setrlimit(resource.RLIMIT_NOFILE, (24, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.execvp(sys.argv[1], sys.argv[1:])
";

#[test]
fn agent_works_with_inherited_ignored_signals_and_low_limits() {
    let served = Served::new();
    let careless = |folder: &str, words: &[&str]| {
        let mut command = served.world.command("python3", folder);
        World::finish(command.args(["-c", CARELESS, AGENT]).args(words)).ok()
    };
    careless(FOLDER, &["run", "estimate", "task=tea"]);
    careless(FOLDER, &["test", "--shards", "8"]);
    careless(FOLDER, &["tune", "took", "task=tea", "minutes=3", "--promote"]);
    careless(".", &["init", "another"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_blocked_signal_still_ends_a_server() {
    use std::os::unix::process::ExitStatusExt as _;
    let served = Served::new();
    let mut command = served.world.command("python3", FOLDER);
    command
        .args(["-c", CARELESS, AGENT, "mcp", "runner"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut shim = command.spawn().unwrap();
    World::finish(served.world.command("kill", FOLDER).args(["-TERM", &shim.id().to_string()]))
        .ok();
    let ended = shim.wait().unwrap();
    assert!(ended.signal() == Some(15) || ended.code().is_some(), "{ended:?}");
}

/// A hook of a linked worktree, which has git's variables for its repository, calls `agent` for
/// another one.
#[test]
fn gits_hook_variables_are_used_by_hooks_only() {
    let served = Served::new();
    let world = &served.world;
    world.git(".", ["init", "--quiet", "other"]);
    world.git("other", ["commit", "--quiet", "--allow-empty", "--message", "x"]);
    world.git("other", ["worktree", "add", "--quiet", "../linked"]);
    let there = served.path("").display().to_string();
    let out = world.path("out").display().to_string();
    let hook = format!(
        "#!/bin/sh\n\
        exec >'{out}' 2>&1\n\
        cd /\n\
        agent -C '{there}' versions\n\
        agent -C '{there}' tune took task=tea minutes=3 --promote\n\
        cd '{there}'\n\
        agent run seen_variables\n\
        agent test\n"
    );
    world.write("other/.git/hooks/post-commit", hook);
    std::fs::set_permissions(
        world.path("other/.git/hooks/post-commit"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let runner =
        world.read(format!("{FOLDER}/runner/__main__.py")).replacen("if __name__", VARIABLES, 1);
    world.write(format!("{FOLDER}/runner/__main__.py"), runner);
    served.git(["add", "--all"]);
    served.release("0.1.1");
    std::os::unix::fs::symlink(AGENT, world.path("agent")).unwrap();
    let mut commit = world.command("git", "linked");
    World::finish(
        commit
            .args(["commit", "--quiet", "--allow-empty", "--message", "y"])
            .env("PATH", world.path_led_by(".")),
    )
    .ok();
    let out = world.read("out");
    assert!(out.contains("v0.1.1") && out.contains("v0.1.2") && out.contains("passed"), "{out}");
    assert!(out.contains("[]"), "no variable of the hook reaches the Runner: {out}");
    assert!(!world.path("other/.agent").exists());
    let own = [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_COMMON_DIR",
        "GIT_NAMESPACE",
        "GIT_SHALLOW_FILE",
    ];
    for name in own {
        let mut command = served.command();
        World::finish(command.arg("versions").env(name, world.path("other/.git")))
            .ok()
            .stdout_has("v0.1.2");
        let mut command = served.command();
        World::finish(
            command
                .args(["tune", "took", "task=tea", "minutes=3"])
                .env(name, world.path("other/.git")),
        )
        .ok();
    }
}

const VARIABLES: &str = r#"import os

@server.tool
def seen_variables() -> str:
    """The variables of a hook that are there."""
    return str([name for name in os.environ if name.startswith("GIT_") and not name.startswith("GIT_CONFIG")])


if __name__"#;

/// git reads `safe.directory` from its environment too. Only root can make files another user's.
#[test]
fn trust_that_is_given_by_the_environment_counts_as_it_does_for_git() {
    let served = Served::new();
    let chown = World::finish(
        served.world.command("chown", ".").args(["-R", "65534"]).arg(served.path("")),
    );
    if chown.code != 0 {
        return;
    }
    let versions = |variables: &[(&str, &str)]| {
        World::finish(served.command().arg("versions").envs(variables.iter().copied()))
    };
    versions(&[]).code(3).stderr_has("belongs to another user").stderr_has("safe.directory");
    let counted = |value: &'static str| {
        [
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "safe.directory"),
            ("GIT_CONFIG_VALUE_0", value),
        ]
    };
    versions(&counted("/elsewhere")).code(3);
    versions(&counted("*")).ok().stdout_has("v0.1.0");
    versions(&[("GIT_CONFIG_PARAMETERS", "'safe.directory'='*'")]).ok().stdout_has("v0.1.0");
    let mut tune = served.command();
    World::finish(
        tune.args(["tune", "took", "task=tea", "minutes=3", "--promote"]).envs(counted("*")),
    )
    .ok()
    .stdout_has("v0.1.1");
}
