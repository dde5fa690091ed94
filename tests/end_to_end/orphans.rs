//! Nothing outlives `agent`: not a child, not what a tool started, not what left its session for
//! one of its own.
#![cfg(target_os = "linux")]

use crate::bench::Bench;
use crate::pipes::{DEADLINE, Pipes, SOON, eventually, runs};
use serde_json::json;

/// Each tool starts a process in its own session, and one whose parent exits immediately, and
/// returns both process ids.
const RUNNER: &str = r#"
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from agent_runtime import Server

server = Server("bench", version="1.0.0")
DAEMON = "import os, subprocess; print(subprocess.Popen(['sleep', '1000'], start_new_session=True).pid, flush=True)"


def started() -> list[int]:
    own = subprocess.Popen(["sleep", "1000"], start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    left = subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, text=True)
    orphan = int(left.stdout.readline())
    left.kill()
    left.wait()
    return [os.getpid(), own.pid, orphan]


@server.tool
def start() -> list[int]:
    """Goes on."""
    return started()


@server.tool
def end(mark: str, how: str) -> int:
    """Ends in some way after it told `mark`."""
    Path(mark).write_text(" ".join(map(str, started())) + "\n")
    if how == "block":
        time.sleep(600)
    if how == "exit":
        os._exit(7)
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


server.run()
"#;

/// Calls `end` and gives its number and the processes there are.
fn ending(bench: &Bench, shim: &mut Pipes, how: &str) -> (u64, Vec<u64>) {
    let mark = bench.world.path(how);
    let id =
        shim.post("tools/call", &json!({"name": "end", "arguments": {"mark": mark, "how": how}}));
    let mut processes = Vec::new();
    eventually(DEADLINE, "the tool tells its processes", || {
        let told = std::fs::read_to_string(&mark).unwrap_or_default();
        processes = told
            .strip_suffix('\n')
            .unwrap_or_default()
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        processes.len() == 3
    });
    (id, processes)
}

#[track_caller]
fn all_end(processes: &[u64]) {
    for process in processes {
        eventually(SOON, &format!("process {process} of {processes:?} ends"), || !runs(*process));
    }
}

#[test]
fn a_killed_shim_ends_the_descendants_of_a_blocking_tool() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let (_, processes) = ending(&bench, &mut shim, "block");
    assert!(processes.iter().all(|process| runs(*process)), "{processes:?}");
    shim.kill();
    all_end(&processes);
}

#[test]
fn a_shim_that_ends_ends_all_children() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let told = shim.call("start", &json!({}))["structuredContent"]["result"].clone();
    let processes: Vec<_> =
        told.as_array().unwrap().iter().map(|process| process.as_u64().unwrap()).collect();
    assert!(processes.iter().all(|process| runs(*process)), "{processes:?}");
    shim.close_stdin();
    assert!(shim.exited(SOON).success());
    all_end(&processes);
}

#[test]
fn a_runner_that_exits_is_reported_with_its_status_and_leaves_no_process() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    for (how, told) in [
        ("exit", "ended unexpectedly: exit status: 7"),
        ("crash", "ended unexpectedly: signal: 11 (SIGSEGV)"),
    ] {
        let (id, processes) = ending(&bench, &mut shim, how);
        let answer = shim.value();
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(answer["id"] == id && text.contains(told), "{answer}");
        all_end(&processes);
    }
}

/// What was started and has ended is collected, however long a Runner lives.
#[test]
fn an_adopted_process_that_ends_leaves_no_zombie() {
    let bench = Bench::new(RUNNER);
    let mut shim = bench.greeted();
    let told = shim.call("start", &json!({}))["structuredContent"]["result"].clone();
    let orphan = told[2].as_i64().unwrap();
    let process = rustix::process::Pid::from_raw(i32::try_from(orphan).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    eventually(SOON, "it is collected", || rustix::process::test_kill_process(process).is_err());
}
