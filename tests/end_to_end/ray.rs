//! `--executor ray` on a real cluster of this machine.

use crate::pipes::{DEADLINE, eventually, runs};
use crate::tiers::{Shop, call, tea};
use crate::world::{AGENT, Ended, World, source_root};
use agent_core::formats::manifest::Python;
use agent_engine::world::layout::Layout;
use agent_engine::world::python;
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `lose` answers from its second call on; `stay` never answers. Each returns its id.
const RUNNER: &str = r#"
import os, pathlib, time
from agent_runtime import Server, state

server = Server("shop")

def stand(marker):
    pathlib.Path(marker + "~").write_text(str(os.getpid()))
    os.rename(marker + "~", marker)
    time.sleep(1000)

@server.tool
def price(item: str) -> dict:
    """The price of an item."""
    return {"price": state()["prices"][item]}

@server.tool
def lose(marker: str) -> bool:
    """Stays, the first time."""
    if not pathlib.Path(marker).exists():
        stand(marker)
    return True

@server.tool
def stay(marker: str) -> bool:
    """Says that it is there, and stays."""
    stand(marker)
    return True

server.run()
"#;

/// In an environment that `agent` itself makes from the lock, once.
fn python_with_ray() -> PathBuf {
    let layout = Layout::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("ray"));
    std::fs::create_dir_all(layout.root()).expect("a folder under target/");
    let locked = Python { lock: Some("requirements.lock".to_owned()), ..Python::default() };
    python::interpreter(&layout, &source_root().join("tests/ray"), &locked, &|_| {})
        .expect("ray from a package index")
}

struct Cluster {
    process: Child,
    address: String,
    python: PathBuf,
}

impl Cluster {
    #[expect(clippy::disallowed_methods, reason = "the test starts its own cluster")]
    fn start(world: &World) -> Self {
        let python = python_with_ray();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(&python);
        command.args([
            "-m",
            "ray.scripts.scripts",
            "start",
            "--head",
            "--block",
            "--num-cpus",
            "2",
            "--disable-usage-stats",
        ]);
        command.args([
            "--include-dashboard",
            "false",
            "--node-ip-address",
            "127.0.0.1",
            "--port",
            &port.to_string(),
        ]);
        command
            .arg("--temp-dir")
            .arg(world.path("ray"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().expect("the cluster starts");
        let mut lines =
            BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line.contains("Ray runtime started")),
            "the cluster did not start"
        );
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address: format!("127.0.0.1:{port}"), python }
    }

    fn command(&self, shop: &Shop, arguments: &[&str]) -> Command {
        let mut command = shop.world.command(AGENT, "shop");
        command.args(["test", "--executor", "ray"]).args(arguments);
        command.env("RAY_ADDRESS", &self.address).env("AGENT_RAY_PYTHON", &self.python);
        command
    }

    fn test(&self, shop: &Shop, arguments: &[&str]) -> Ended {
        World::finish(&mut self.command(shop, arguments))
    }
}

#[expect(clippy::disallowed_methods, reason = "signals are sent by a program")]
fn kill(signal: &str, process: &Child) -> Ended {
    World::finish(Command::new("kill").args([signal, &process.id().to_string()]))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // it ends all its processes on a signal
        let _ = kill("-TERM", &self.process);
        let _ = self.process.wait();
    }
}

/// Kills the worker of the cluster that a Runner runs for: above the Runner are a guard,
/// `agent test`, a guard again, and then the worker.
fn kill_worker(runner: i32) {
    let parent = |process: i32| -> i32 {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let worker = (0..4).fold(runner, |process, _| parent(process));
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(worker).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

fn shop() -> Shop {
    let shop = Shop::with_runner(RUNNER);
    let mut cases: Vec<_> =
        (0..20).map(|number| tea(&format!("c{number}"), json!({"subset": {"price": 3}}))).collect();
    cases.push(tea("dear", json!({"subset": {"price": 30}})));
    cases.push(call(
        "lost",
        "lose",
        json!({"marker": shop.world.shared("lost")}),
        json!({"equals": true}),
    ));
    shop.cases(&cases);
    shop.commit();
    shop
}

#[test]
#[cfg(target_os = "linux")]
fn a_cluster_gives_the_same_result_as_one_machine() {
    let shop = shop();
    let cluster = Cluster::start(&shop.world);
    let far = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            cluster.test(
                &shop,
                &["--at", "HEAD", "--shards", "3", "--json", "--events", "events.jsonl"],
            )
        });
        let marker = shop.world.shared("lost");
        eventually(DEADLINE, "the case runs", || marker.exists());
        kill_worker(std::fs::read_to_string(marker).unwrap().parse().unwrap());
        run.join().unwrap().code(1)
    });
    let commit = shop.world.git("shop", ["rev-parse", "HEAD"]);
    assert!(shop.world.path(format!("shop/.agent/store/evals/{commit}/summary.json")).exists());
    let near = shop.test(&["--at", "HEAD", "--json"]).code(1);
    for member in ["cases", "passed", "failed", "errored", "score", "verdict", "reasons"] {
        assert_eq!(
            far.json()["tiers"]["micro"][member],
            near.json()["tiers"]["micro"][member],
            "{member}"
        );
    }
    for member in ["commit", "tree", "state", "definitions", "failures"] {
        assert_eq!(far.json()[member], near.json()[member], "{member}");
    }
    let merged = shop.test(&["merge", "events.jsonl", "--json"]).code(1);
    assert_eq!(merged.json()["tiers"], far.json()["tiers"]);

    // what no commit holds travels too
    shop.write("state/active.state.json", "{\n  \"prices\": {\n    \"tea\": 30\n  }\n}\n");
    let changed = cluster.test(&shop, &["--json", "--against", "HEAD"]).code(1);
    assert_eq!(changed.json()["tiers"]["micro"]["passed"], 2, "`dear` and `lost`");
    assert_eq!(
        changed.json()["against"]["incomparable"],
        json!({}),
        "what it is compared with was run there too"
    );

    // an interrupt ends what runs far away
    let marker = shop.world.shared("staying");
    shop.cases(&[call("stay", "stay", json!({"marker": marker}), json!({"equals": true}))]);
    let mut run = cluster
        .command(&shop, &["--shards", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually(DEADLINE, "the case runs", || {
        std::fs::read_to_string(&marker).is_ok_and(|id| !id.is_empty())
    });
    kill("-INT", &run).ok();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let runner = std::fs::read_to_string(&marker).unwrap();
    eventually(DEADLINE, "its Runner is ended", || !runs(runner.parse().unwrap()));
}

#[test]
fn without_ray_it_is_said() {
    let shop = shop();
    let mut command = shop.world.command(AGENT, "shop");
    let ended = World::finish(
        command.args(["test", "--executor", "ray"]).env("AGENT_RAY_PYTHON", "/bin/false"),
    );
    ended.code(6).stderr_has("no Python here has `ray`").stderr_has("AGENT_RAY_PYTHON=PATH");
    shop.test(&["--executor", "ray", "--shard", "1/2"]).code(2);
}
