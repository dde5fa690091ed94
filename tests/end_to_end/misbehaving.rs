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
    let bench = Bench::new(PLAIN);
    let ended = World::finish(bench.agent(&["run"]).args(["print", "--at", "worktree"])).ok();
    assert_eq!(ended.stdout, "printed\n");
    assert_eq!(ended.stderr.matches("warning:").count(), 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains(
            "printed a line that is not JSON-RPC on its stdout; such lines are skipped: debugging"
        ),
        "{}",
        ended.stderr
    );
}

#[test]
fn it_prints_without_end() {
    check(
        PLAIN,
        AMPLE,
        &["flood"],
        &["more than 64 KiB on its stdout that are no JSON-RPC: debugging", "print to stderr"],
    );
}

#[test]
fn it_sends_half_a_frame() {
    check(PLAIN, AMPLE, &["half"], &["broke protocol: half a frame on a line", "print to stderr"]);
}

#[test]
fn it_answers_rubbish() {
    check(
        PLAIN,
        AMPLE,
        &["rubbish"],
        &["the Runner refused `rubbish`: the answer of the Runner cannot be read: it has a \
            `result` and an `error`"],
    );
}

#[test]
fn a_result_with_a_lone_surrogate_is_an_error_of_its_call() {
    check(
        PLAIN,
        AMPLE,
        &["half_a_pair"],
        &[
            "the Runner answered `half_a_pair` with JSON that cannot be read",
            "whole Unicode characters",
        ],
    );
}

#[test]
fn a_result_nested_deeper_than_the_parsers_limit_is_an_error_of_its_call() {
    check(
        PLAIN,
        AMPLE,
        &["deep"],
        &[
            "the Runner answered `deep` with JSON that cannot be read: recursion limit exceeded",
            "127 levels",
        ],
    );
}

#[test]
fn it_hangs() {
    check(
        PLAIN,
        "start_s = 30\ncall_s = 1",
        &["hang"],
        &["did not answer `hang` within 1 s", "limits.call_s"],
    );
}

#[test]
fn it_dies() {
    check(
        RUNNER,
        AMPLE,
        &["die", "words=out of memory"],
        &["ended unexpectedly: exit status: 7", "out of memory"],
    );
}

#[test]
fn it_cannot_start() {
    check(
        "import no_such_module",
        AMPLE,
        &["weight"],
        &["ended unexpectedly: exit status: 1", "No module named 'no_such_module'"],
    );
}

#[test]
fn it_never_gets_ready() {
    check(
        "import time; time.sleep(600)",
        "start_s = 1",
        &["weight"],
        &["was not ready after 1 s", "limits.start_s"],
    );
}
