//! Repositories that cannot be written: commands that read or serve work, commands that write fail
//! without losing data.

#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

use crate::world::{AGENT, Ended, World};
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

/// How the repository `a` of a world is kept from being written.
enum Way {
    /// These of its folders are mounted read-only, in a mount namespace of the command.
    Mounted(&'static [&'static str]),
    /// It belongs to another user, and is readable.
    Foreign { program: PathBuf },
}

impl Way {
    /// `None`, with the reason on stderr, where this machine cannot create it.
    fn mounted(world: &World, folders: &'static [&'static str]) -> Option<Self> {
        let way = Self::Mounted(folders);
        let tried = World::finish(&mut way.command(world, "true", "", &[]));
        if tried.code != 0 {
            eprintln!("skipped: folders cannot be mounted read-only here: {}", tried.stderr);
            return None;
        }
        Some(way)
    }

    fn foreign(world: &World) -> Option<Self> {
        let program = world.path("agent-for-others");
        std::fs::copy(AGENT, &program).unwrap();
        World::finish(world.command("chmod", ".").args(["-R", "go+rX", "."])).ok();
        let way = Self::Foreign { program };
        let tried = World::finish(&mut way.command(world, "true", "", &[]));
        if tried.code != 0 {
            eprintln!("skipped: no command can be run as another user here: {}", tried.stderr);
            return None;
        }
        Some(way)
    }

    fn agent(&self, world: &World, arguments: &[&str]) -> Ended {
        let program = match self {
            Self::Mounted(_) => AGENT.to_owned(),
            Self::Foreign { program } => program.display().to_string(),
        };
        World::finish(&mut self.command(world, &program, "", arguments))
    }

    fn command(&self, world: &World, program: &str, input: &str, arguments: &[&str]) -> Command {
        let mut command = match self {
            Self::Mounted(folders) => {
                let mount = |folder: &&str| {
                    format!(
                        "mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && "
                    )
                };
                let mounts: String = folders.iter().map(mount).collect();
                let mut command = world.command("unshare", "a");
                command.args([
                    "-rm",
                    "sh",
                    "-c",
                    &format!("{mounts} cd . && cd \"$PWD\" && exec \"$@\""),
                    "sh",
                    program,
                ]);
                command
            }
            Self::Foreign { .. } => {
                let mut command = world.command("setpriv", "a");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
                command.env("HOME", "/nonexistent");
                for (name, value) in [("COUNT", "1"), ("KEY_0", "safe.directory"), ("VALUE_0", "*")]
                {
                    command.env(format!("GIT_CONFIG_{name}"), value);
                }
                command
            }
        };
        command.args(arguments).env("TMPDIR", temporary(world));
        if !input.is_empty() {
            let file = world.write("input", input);
            command.stdin(std::fs::File::open(file).unwrap());
        }
        command
    }
}

/// A folder for temporary files that any user can write.
fn temporary(world: &World) -> PathBuf {
    let folder = world.path("tmp");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, Permissions::from_mode(0o1777)).unwrap();
    folder
}

/// Two versions, an update in staging, results of a tier.
fn used() -> World {
    let world = World::new();
    world.agent(".", ["init", "a", "--template", "minimal"]).ok();
    world.agent("a", ["tune", "took", "task=review", "minutes=20"]).ok();
    world.agent("a", ["promote"]).ok();
    world.agent("a", ["tune", "took", "task=bug", "minutes=7", "--id", "kept"]).ok();
    world.agent("a", ["run", "estimate", "task=review", "--conversation", "c1"]).ok();
    world
}

const READING: [&[&str]; 17] = [
    &["run", "estimate", "task=review"],
    &["run", "estimate", "task=review", "--conversation", "c1"],
    &["run", "estimate", "task=review", "--at", "staging"],
    &["run", "estimate", "task=review", "--at", "worktree"],
    &["semver"],
    &["test"],
    &["test", "--at", "staging", "--against", "active"],
    &["state", "show"],
    &["state", "diff"],
    &["state", "log"],
    &["state", "verify"],
    &["versions"],
    &["versions", "diff", "v0.1.0", "v0.1.1"],
    &["log"],
    &["verify", "--all"],
    &["doctor"],
    &["architect", "list"],
];

const WRITING: [&[&str]; 10] = [
    &["tune", "took", "task=bug", "minutes=9"],
    &["state", "set", "minutes.bug=3"],
    &["state", "reset"],
    &["promote"],
    &["release"],
    &["rollback"],
    &["pin", "stable", "v0.1.0"],
    &["architect", "be faster", "--queue-only"],
    &["sync"],
    &["gc"],
];

fn reads_and_refuses(world: &World, way: &Way) {
    let revision = |shown: Ended| shown.ok().json()["revision"].clone();
    let staged = revision(world.agent("a", ["state", "show", "--json"]));
    for arguments in READING {
        let ended = way.agent(world, arguments).ok();
        let warnings = ended.stderr.lines().filter(|line| line.contains("cannot write")).count();
        assert!(warnings <= 1, "{arguments:?}: {}", ended.stderr);
    }
    assert_eq!(revision(way.agent(world, &["state", "show", "--json"])), staged);
    let before = world.git("a", ["for-each-ref"]);
    for arguments in WRITING {
        way.agent(world, arguments).code(6).stderr_has("cannot write to ");
    }
    assert_eq!(world.git("a", ["for-each-ref"]), before);
    assert_eq!(revision(world.agent("a", ["state", "show", "--json"])), staged);
    let left: Vec<_> = std::fs::read_dir(temporary(world)).unwrap().flatten().collect();
    assert!(left.is_empty(), "no command leaves temporary files: {left:?}");
    world.git("a", ["fsck", "--strict"]);
    world.agent("a", ["promote"]).ok();
    world.agent("a", ["verify", "--all"]).ok();
}

#[test]
fn a_repository_that_is_mounted_read_only_is_read_served_and_tested() {
    let world = used();
    let Some(way) = Way::mounted(&world, &["."]) else { return };
    reads_and_refuses(&world, &way);
}

#[test]
fn a_repository_of_another_user_is_read_served_and_tested() {
    let world = used();
    let Some(way) = Way::foreign(&world) else { return };
    reads_and_refuses(&world, &way);
}

/// Neither checkouts nor a Journal are there yet.
#[test]
fn a_fresh_clone_that_cannot_be_written_is_served_and_tested() {
    let world = used();
    world.git(".", ["clone", "-q", "a", "b"]);
    world.git("b", ["branch", "-q", "active", "origin/active"]);
    world.git("a", ["config", "core.bare", "false"]);
    std::fs::rename(world.path("a"), world.path("origin")).unwrap();
    std::fs::rename(world.path("b"), world.path("a")).unwrap();
    world.git("a", ["remote", "set-url", "origin", "../origin"]);
    let Some(way) = Way::mounted(&world, &["."]) else { return };
    for arguments in [
        &["run", "estimate", "task=review"][..],
        &["test"],
        &["state", "show"],
        &["run", "estimate", "task=bug", "--at", "staging"],
    ] {
        way.agent(&world, arguments).ok().stderr_has("nothing is recorded");
    }
    assert!(!world.path("a/.agent").exists());
}

/// A command that another user ran, such as root, left folders in `.agent` that this user cannot
/// write.
#[test]
fn an_unwritable_part_of_dot_agent_does_not_block_readers() {
    let world = used();
    let parts = &[
        ".agent/journal",
        ".agent/tmp",
        ".agent/records",
        ".agent/states",
        ".agent/store",
        ".agent/checkouts",
        ".agent/telemetry",
    ];
    let Some(way) = Way::mounted(&world, parts) else { return };
    for arguments in READING {
        way.agent(&world, arguments).ok();
    }
    way.agent(&world, &["tune", "took", "task=bug", "minutes=9"])
        .code(6)
        .stderr_has("Read-only file system");
    let store: &[&str] = &[".agent/store", ".agent/conversations", ".agent/pending"];
    let Some(way) = Way::mounted(&world, store) else { return };
    way.agent(&world, &["run", "estimate", "task=review", "--conversation", "c1"]).ok();
}

/// A host's conversation goes on in memory, and feedback is refused.
#[test]
fn hosts_are_served_where_nothing_can_be_written() {
    let world = used();
    let Some(way) = Way::mounted(&world, &["."]) else { return };
    let call = |name: &str, arguments: Value| {
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"}});
        let frames = [
            json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
            json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": name,
                "arguments": arguments}}),
        ];
        frames.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n"
    };
    let answer = |role: &str, input: String| {
        let ended = World::finish(&mut way.command(&world, AGENT, &input, &["mcp", role])).ok();
        let last = ended
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find(|frame| frame["id"] == 2);
        last.unwrap_or_else(|| panic!("{ended:?}"))["result"].clone()
    };
    let served = answer("runner", call("estimate", json!({"task": "review"})));
    assert_eq!(served["structuredContent"]["minutes"], json!(20.0), "{served}");
    let refused = answer("tuner", call("took", json!({"task": "bug", "minutes": 1})));
    assert_eq!(refused["isError"], json!(true));
    assert!(
        refused["content"][0]["text"].as_str().unwrap().contains("Read-only file system"),
        "{refused}"
    );
}

/// A tag is made again from its commit. While git's lock exists, readers find the version by its
/// branch.
#[test]
fn a_missing_tag_and_a_stale_git_lock_do_not_block_readers() {
    let world = used();
    world.git("a", ["pack-refs", "--all"]);
    world.git("a", ["tag", "-d", "v0.1.1"]);
    for lock in
        ["refs/tags/v0.1.1.lock", "packed-refs.lock", "index.lock", "HEAD.lock", "config.lock"]
    {
        world.write(format!("a/.git/{lock}"), "");
    }
    for arguments in READING {
        world.agent("a", arguments).ok();
    }
    let verified = world.agent("a", ["verify", "v0.1.1"]).ok();
    assert!(
        verified
            .stdout
            .contains("gap      tag          its commit declares v0.1.1, but the tag is missing"),
        "{}",
        verified.stdout
    );
    world.agent("a", ["run", "estimate", "task=review", "--at", "v0.1.1"]).ok();
    world.agent("a", ["run", "estimate", "task=review", "--at", "^0.1"]).ok();
    world.agent("a", ["versions", "list"]).ok().stdout_has("0.1.1");
    std::fs::remove_file(world.path("a/.git/refs/tags/v0.1.1.lock")).unwrap();
    world.agent("a", ["versions", "list"]).ok().stderr_has("it is tagged now");
    assert_eq!(world.git("a", ["rev-parse", "v0.1.1"]), world.git("a", ["rev-parse", "active"]));
}

/// `.agent` is not committed, even where the repository's own `.gitignore` does not name it.
#[test]
fn our_folder_ignores_itself() {
    let world = used();
    let ignored = world
        .read("a/.gitignore")
        .lines()
        .filter(|line| !line.contains(".agent"))
        .collect::<Vec<_>>()
        .join("\n")
        + "\n";
    world.write("a/.gitignore", ignored);
    assert!(!world.git("a", ["status", "--porcelain", "--untracked-files=all"]).contains(".agent"));
    let tested = world.agent("a", ["test"]).ok();
    assert!(!tested.stderr.contains("where it stands"), "{}", tested.stderr);
    world.git("a", ["add", "-A"]);
    assert_eq!(world.git("a", ["ls-files", ".agent"]), "");
}
