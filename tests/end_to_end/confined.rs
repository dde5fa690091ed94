//! Attempts to get out of a confinement, made by a Runner under test, by a Tuner, and by a process
//! that is not confined: what the last one gets done and the first two do not, the confinement has
//! refused.

use crate::pipes::{SOON, eventually, runs};
use crate::served::{FOLDER, Served};
use crate::world::{AGENT, World};
use agent_engine::world::sandbox;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command};

const HOSTILE: &str = include_str!("programs/hostile.py");
const RUNNER_TOOL: &str = "
@server.tool
def attempt(aims: dict) -> dict:
    \"\"\"Tries to get out.\"\"\"
    import hostile
    return {\"attempts\": hostile.attempts(aims), \"left\": hostile.left_behind()}


if __name__";
const TUNER_TOOL: &str = "
@tuner.tool
def attempt(aims: dict) -> str:
    \"\"\"Tries to get out.\"\"\"
    import hostile, json
    return json.dumps({\"attempts\": hostile.attempts(aims), \"left\": hostile.left_behind()})


if __name__";
const KEEP: &str = "

def keep(case, result):
    import json
    from pathlib import Path
    Path(case[\"expect\"][\"scorer\"][\"into\"]).write_text(json.dumps(result[\"structuredContent\"]))
    return 1.0
";

/// A process that keeps a signal it is sent.
const VICTIM: &str = "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, \
    [signal.SIGUSR1]); os.execvp('sleep', ['sleep', '1000'])";

/// What any machine has that runs these tests, so that a control that fails there is a fault of the
/// control.
const NEVER_LACKING: [&str; 40] = [
    "write a file",
    "create a file",
    "create in /tmp",
    "create in HOME",
    "write the user's folder",
    "write a ref",
    "write a hook",
    "write an object",
    "write the store",
    "write its own code",
    "create beside its own code",
    "write its state",
    "take a file",
    "put a file",
    "link to a file",
    "link from a file",
    "write by another program",
    "write in a session of its own",
    "change a mode",
    "change its code's mode",
    "change a time",
    "change a time by a descriptor",
    "read held-out cases",
    "read held-out cases by another program",
    "read held-out cases by git",
    "read held-out cases from memory",
    "read an object",
    "list the store",
    "list what is under way",
    "read a file of the user's",
    "read an inherited file",
    "find a token",
    "find the agent of ssh",
    "read the environment of a process",
    "signal a process",
    "signal a group",
    "connect over TCP",
    "send over UDP",
    "connect to a socket in a folder",
    "connect to an abstract socket",
];

/// What the attempts are made on.
struct Stage {
    served: Served,
    victim: Child,
    aims: Value,
    _listeners: (TcpListener, UdpSocket, UnixListener, UnixListener),
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

impl Stage {
    fn set() -> Self {
        let template = Served::new();
        let edited = |path: &str, tool: &str| {
            template.world.read(format!("{FOLDER}/{path}")).replace("\nif __name__", tool)
        };
        let (runner, tuner) =
            (edited("runner/__main__.py", RUNNER_TOOL), edited("tuner/__main__.py", TUNER_TOOL));
        let manifest = template.world.read(format!("{FOLDER}/agent.toml")).replacen(
            "\"runner\"]",
            "\"runner\"]\nnetwork = false",
            1,
        );
        let served = Served::with(&[
            ("hostile.py", HOSTILE),
            ("runner/__main__.py", &runner),
            ("tuner/__main__.py", &tuner),
            ("agent.toml", &manifest),
            ("tests/micro/heldout/cases.jsonl", ""),
        ]);
        let world = &served.world;
        world.write("control/hostile.py", HOSTILE);
        for file in ["file", "extra", "secret"] {
            world.write(format!("outside/{file}"), "the user's own");
        }
        std::fs::create_dir(world.path("outside/folder")).unwrap();
        // everything that is aimed at is there
        served.agent(["test", "--tier", "micro"]);
        served.agent(["tune", "took", "task=review", "minutes=1"]).ok();
        let object = served.git(["rev-parse", "HEAD"]);
        let name = format!("agent-test-{}", std::process::id());
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let by_path = UnixListener::bind(world.path("socket")).unwrap();
        let by_name =
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let victim = world.command("python3", ".").args(["-c", VICTIM]).spawn().unwrap();
        let aims = json!({
            "outside": world.path("outside"),
            "repository": served.path(""),
            "object": served.path(&format!(".git/objects/{}/{}", &object[..2], &object[2..])),
            "victim": victim.id(),
            "tcp": tcp.local_addr().unwrap().port(),
            "udp": udp.local_addr().unwrap().port(),
            "socket": world.path("socket"),
            "abstract": name,
        });
        Self { served, victim, aims, _listeners: (tcp, udp, by_path, by_name) }
    }

    /// A command with secrets in its environment, and with an open file that is one.
    fn command(&self, program: &str, directory: &str) -> Command {
        let mut command = self.served.world.command("sh", directory);
        command
            .args(["-c", "exec 9<\"$1\"; shift; exec \"$@\"", "sh"])
            .arg(self.served.world.path("outside/secret"))
            .arg(program);
        for name in ["AGENT_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "GIT_AUTHOR_NAME"] {
            command.env(name, "secret");
        }
        command
    }

    fn control(&self) -> Attempts {
        let mut command = self.command("python3", "control");
        Attempts::read(
            &World::finish(command.arg("hostile.py").arg(self.aims.to_string())).ok().stdout,
        )
    }

    fn runner(&self) -> Attempts {
        let world = &self.served.world;
        let into = world.path("kept.json");
        let expect = json!({"scorer": {"name": "keep", "into": into}});
        let case = json!({"id": "out", "tool": "attempt", "arguments": {"aims": self.aims},
            "expect": expect});
        world.write(format!("{FOLDER}/tests/micro/out.jsonl"), case.to_string());
        world.write(
            format!("{FOLDER}/tests/scorers.py"),
            world.read(format!("{FOLDER}/tests/scorers.py")) + KEEP,
        );
        World::finish(self.command(AGENT, FOLDER).args(["test", "--tier", "micro", "--no-cache"]));
        Attempts::read(&world.read("kept.json"))
    }

    fn tuner(&self) -> Attempts {
        let aims = format!("aims={}", self.aims);
        let ended =
            World::finish(self.command(AGENT, FOLDER).args(["tune", "attempt", &aims])).ok();
        Attempts::read(ended.json()["result"].as_str().expect("what the tool said"))
    }
}

#[derive(serde::Deserialize)]
struct Attempts {
    /// What each came to, by its name.
    attempts: BTreeMap<String, String>,
    /// A process that was left behind.
    left: u64,
}

impl Attempts {
    fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn is_done(&self, name: &str) -> bool {
        self.attempts[name].starts_with("done")
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "what cannot be tried here is said")]
fn a_runner_under_test_and_a_tuner_cannot_change_anything_outside() {
    if !sandbox::has_landlock() {
        println!("skipped: this kernel has no Landlock");
        return;
    }
    let stage = Stage::set();
    let (runner, tuner, control) = (stage.runner(), stage.tuner(), stage.control());
    assert!(runs(control.left), "an unguarded process continues");
    let left = control.left.to_string();
    World::finish(stage.served.world.command("kill", ".").args(["-9", &left])).ok();
    for (who, confined) in [("a Runner", &runner), ("a Tuner", &tuner)] {
        eventually(SOON, &format!("what {who} left behind ends"), || !runs(confined.left));
        assert_eq!(confined.attempts.len(), control.attempts.len(), "{who}");
        let done: Vec<_> =
            confined.attempts.iter().filter(|(_, came_to)| came_to.starts_with("done")).collect();
        assert!(done.is_empty(), "{who} got done: {done:#?}");
    }
    let lacking: Vec<_> =
        control.attempts.iter().filter(|(name, _)| !control.is_done(name)).collect();
    println!("{} attempts; not to be tried on this machine: {lacking:#?}", control.attempts.len());
    let wrong: Vec<_> = NEVER_LACKING
        .iter()
        .filter(|name| !control.is_done(name))
        .map(|name| (name, &control.attempts[*name]))
        .collect();
    assert!(wrong.is_empty(), "a process that is not confined did not get done: {wrong:#?}");
}

const RUNNER: &str = r#"
import os

from agent_runtime import Server

server = Server("bounded")


@server.tool
def take(mb: int) -> int:
    """Allocates memory."""
    return len(bytearray(mb << 20)) >> 20


@server.tool
def variables() -> list[str]:
    """The names of some variables, as far as they are there."""
    return [name for name in ("AGENT_TOKEN", "MIMALLOC_ARENA_EAGER_COMMIT", "MY_API_KEY", "MY_MODE", "MY_SETTING", "TZ") if name in os.environ]


server.run()
"#;

fn bounded(cases: &[Value]) -> Served {
    let manifest = "schema = \"agent/manifest@1\"\n\
        name = \"bounded\"\n\
        [runner]\n\
        command = [\"python\", \"-m\", \"runner\"]\n\
        env = [\"MY_API_KEY\", \"MY_MODE=quick\"]\n\
        [limits]\n\
        memory_mb = 256\n";
    let cases = cases.iter().map(|case| case.to_string() + "\n").collect::<Vec<_>>().concat();
    Served::with(&[
        ("agent.toml", manifest),
        ("runner/__main__.py", RUNNER),
        ("tests/micro/estimates.jsonl", &cases),
    ])
}

/// Less than what the allocator of `agent` reserves, which the guard of the child has to do with as
/// well.
#[test]
fn a_memory_limit_applies_to_the_child_and_is_reported_when_exceeded() {
    let take = |id: &str, mb: u64| {
        json!({"id": id, "tool": "take", "arguments": {"mb": mb},
        "expect": {"equals": mb}})
    };
    let served = bounded(&[take("little", 100), take("much", 1024)]);
    let ended = served.agent(["test", "--tier", "micro"]).code(1);
    assert!(ended.stdout.contains("1 passed, 1 failed of 2"), "{}", ended.stdout);
    ended.stdout_has("FAIL  much").stdout_has(
        "the tool failed: MemoryError (runner/__main__.py:12); it may allocate 256 \
            MiB: `limits.memory_mb` in agent.toml",
    );
}

#[test]
fn a_runner_under_test_has_the_variables_that_the_manifest_names_and_those_every_program_needs() {
    let expect = json!({"equals": ["MY_API_KEY", "MY_MODE", "TZ"]});
    let served =
        bounded(&[json!({"id": "names", "tool": "variables", "arguments": {}, "expect": expect})]);
    let mut command = served.command();
    for name in ["AGENT_TOKEN", "MY_API_KEY", "MY_SETTING", "TZ"] {
        command.env(name, "value");
    }
    World::finish(command.args(["test", "--tier", "micro"])).ok();
}
