//! A Runner that misbehaves, at the command line: exit 5, what happened, and what to do.

use crate::bench::{Bench, PLAIN, RUNNER};
use crate::world::World;

const AMPLE: &str = "start_s = 30\ncall_s = 30";

#[track_caller]
fn check(runner: &str, limits: &str, call: &[&str], words: &[&str]) {
    let bench = Bench::new(runner);
    bench.manifest(limits);
    let ended = World::finish(bench.agent(&["run"]).args(call).args(["--at", "worktree"])).code(5);
    assert_eq!(ended.stdout, "");
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is not in\n{}", ended.stderr);
    }
}

#[test]
fn it_prints_to_stdout() {
    check(PLAIN, AMPLE, &["print"], &["a line is no JSON: debugging", "print to stderr"]);
}

#[test]
fn it_answers_rubbish() {
    check(PLAIN, AMPLE, &["rubbish"], &["no JSON-RPC frame", r#""error": 2"#]);
}

#[test]
fn it_hangs() {
    check(PLAIN, "start_s = 30\ncall_s = 1", &["hang"], &["did not answer `hang` within 1 s", "limits.call_s"]);
}

#[test]
fn it_dies() {
    check(RUNNER, AMPLE, &["die", "words=out of memory"], &["died: exit status: 7", "out of memory"]);
}

#[test]
fn it_cannot_start() {
    check("import no_such_module", AMPLE, &["weight"], &["died: exit status: 1", "No module named 'no_such_module'"]);
}

#[test]
fn it_never_gets_ready() {
    check("import time; time.sleep(600)", "start_s = 1", &["weight"], &["was not ready after 1 s", "limits.start_s"]);
}
