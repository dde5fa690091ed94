//! Files that users name: of any kind, from any editor, read once, and written without changing
//! the kind of an existing file.

use crate::served::{FOLDER, Served, json_lines};
use crate::world::{AGENT, Ended, World};
use serde_json::{Value, json};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::process::Stdio;

/// A script of bash in the repository, with `$agent`.
fn bash(served: &Served, script: &str) -> Ended {
    World::finish(served.world.command("bash", FOLDER).args(["-c", script]).env("agent", AGENT))
}

fn seen(served: &Served) -> Value {
    served.staging()["tasks"]["review"]["seen"].clone()
}

fn took(minutes: u32) -> Value {
    json!({"tool": "took", "arguments": {"task": "review", "minutes": minutes}})
}

#[test]
fn signals_are_read_once_from_files_pipes_and_stdin() {
    let served = Served::new();
    let applied =
        |ended: Ended, count: u32| ended.ok().stderr_has(&format!("{count} signals applied"));
    served.world.write(format!("{FOLDER}/signals.jsonl"), json_lines([took(1), took(2)]));
    applied(bash(&served, "timeout 60 $agent tune --signals <(cat signals.jsonl)"), 2);
    applied(bash(&served, "cat signals.jsonl | $agent tune --signals /dev/stdin"), 2);
    applied(bash(&served, "$agent tune --signals - <signals.jsonl"), 2);
    applied(
        bash(
            &served,
            "mkfifo pipe && (cat signals.jsonl >pipe &) && timeout 60 $agent tune --signals pipe",
        ),
        2,
    );
    assert_eq!(seen(&served), 8, "what comes through a pipe counts each time it comes");
    applied(bash(&served, "$agent tune --signals signals.jsonl"), 2);
    bash(&served, "$agent tune --signals signals.jsonl")
        .ok()
        .stderr_has("0 signals applied, 2 already counted");
    // a line at the top, and one that exists already
    served
        .world
        .write(format!("{FOLDER}/signals.jsonl"), json_lines([took(3), took(1), took(1), took(2)]));
    bash(&served, "$agent tune --signals signals.jsonl")
        .ok()
        .stderr_has("2 signals applied, 2 already counted");
    assert_eq!(seen(&served), 12);
}

#[test]
fn an_input_that_is_no_file_is_refused_immediately() {
    let served = Served::new();
    let _listener = std::os::unix::net::UnixListener::bind(served.path("socket")).unwrap();
    for (named, kind) in [("state", "a folder"), ("/dev/zero", "a device"), ("socket", "a socket")]
    {
        for verb in [&["tune", "--signals"][..], &["test", "merge"]] {
            let ended = World::finish(served.command().args(verb).arg(named)).code(3);
            assert!(
                ended.stderr.contains(&format!("is {kind}, not a file or a pipe")),
                "{}",
                ended.stderr
            );
        }
    }
    served.agent(["tune", "--signals", "nowhere"]).code(3).stderr_has("there is no file");
}

/// As an editor of another system would save it.
fn foreign(text: &str) -> String {
    format!("\u{feff}{}", text.replace("\r\n", "\n").replace('\n', "\r\n"))
}

#[test]
fn documents_of_any_editor_are_read() {
    let golden =
        r#"{"id":"g","tool":"estimate","arguments":{"task":"x"},"expect":{"golden":"g.txt"}}"#;
    let served = Served::with(&[
        ("tests/micro/golden.jsonl", golden),
        ("tests/micro/g.txt", "x: 30.0 minutes\n(never seen)\n"),
    ]);
    let says = served
        .agent(["run", "estimate", "task=x", "--at", "worktree", "--json"])
        .ok()
        .json()["result"]["content"][0]["text"]
        .clone();
    served.world.write(format!("{FOLDER}/tests/micro/g.txt"), says.as_str().unwrap());
    let revision = served
        .agent(["run", "estimate", "task=x", "--at", "worktree", "--json"])
        .ok()
        .json()["revision"]
        .clone();
    for path in [
        "agent.toml",
        "ci/budgets.json",
        "state/active.state.json",
        "state/schema.json",
        "tests/micro/estimates.jsonl",
        "tests/micro/golden.jsonl",
        "tests/micro/g.txt",
        "signals/feedback.jsonl",
    ] {
        let path = format!("{FOLDER}/{path}");
        let text = served.world.read(&path);
        served.world.write(&path, foreign(&text));
    }
    let called =
        served.agent(["run", "estimate", "task=x", "--at", "worktree", "--json"]).ok().json();
    assert_eq!(called["revision"], revision, "the Revision is that of what git would store");
    let tested = served.agent(["test", "--json"]).ok().json();
    assert_eq!(
        (
            &tested["tiers"]["micro"]["errored"],
            &tested["failures"].as_array().unwrap().iter().any(|one| one["id"] == "g")
        ),
        (&json!(0), &false),
        "{tested}"
    );
    served
        .agent(["tune", "--signals", "signals/feedback.jsonl"])
        .ok()
        .stderr_has("10 signals applied");
    let shown = served.agent(["state", "show", "--json"]).ok().json();
    let new = foreign(&serde_json::to_string_pretty(&shown["state"]).unwrap());
    served
        .agent_given(["state", "cas", "--expect", shown["revision"].as_str().unwrap()], &new)
        .ok();
}

#[test]
fn a_duplicate_json_key_is_refused_in_every_input() {
    let served = Served::new();
    let repeat = |path: &str, from: &str, to: &str| {
        let path = format!("{FOLDER}/{path}");
        let text = served.world.read(&path);
        assert!(text.contains(from), "{path}");
        served.world.write(&path, text.replacen(from, to, 1));
        move |served: &Served| drop(served.world.write(&path, &text))
    };
    let refused = |ended: Ended, code: i32, place: &str, key: &str| {
        let ended = ended.code(code);
        assert!(
            ended.stderr.contains(place)
                && ended.stderr.contains(&format!("the key \"{key}\" appears twice in one object")),
            "{}",
            ended.stderr
        );
    };
    for (path, from, to, place, key) in [
        (
            "tests/micro/estimates.jsonl",
            r#""expect":"#,
            r#""tool":"t","expect":"#,
            "tests/micro/estimates.jsonl:1:",
            "tool",
        ),
        (
            "tests/micro/estimates.jsonl",
            r#"{"task":"review"}"#,
            r#"{"task":"review","task":"x"}"#,
            "tests/micro/estimates.jsonl:1:",
            "task",
        ),
        (
            "ci/budgets.json",
            r#""slos": []"#,
            r#""slos": [{"a": 1, "a": 2}]"#,
            "ci/budgets.json:8:",
            "a",
        ),
        (
            "state/active.state.json",
            r#""tasks""#,
            r#""usual_minutes": 1, "tasks""#,
            "state/active.state.json:",
            "usual_minutes",
        ),
    ] {
        let put_back = repeat(path, from, to);
        refused(served.agent(["test"]), 3, place, key);
        put_back(&served);
    }
    let put_back = repeat("state/schema.json", r#""title""#, r#""type": "object", "title""#);
    served.git(["add", "--all"]);
    served.release("0.1.1");
    refused(served.agent(["tune", "took", "task=a", "minutes=1"]), 3, "state/schema.json:", "type");
    put_back(&served);
    served.git(["add", "--all"]);
    served.release("0.1.2");
    let line = r#"{"tool":"took","arguments":{"task":"a","minutes":1,"minutes":2}}"#;
    refused(
        served.agent_given(["tune", "--signals", "-"], line),
        3,
        "line 1: column 52",
        "minutes",
    );
    refused(
        served.agent(["run", "estimate", r#"{"task":"a","task":"b"}"#]),
        2,
        "column 13",
        "task",
    );
    refused(served.agent(["state", "set", r#"tasks={"a":1,"a":2}"#]), 2, "`tasks`", "a");
    let revision = served.agent(["state", "show", "--json"]).ok().json()["revision"]
        .as_str()
        .unwrap()
        .to_owned();
    refused(
        served
            .agent_given(["state", "cas", "--expect", &revision], "{\"tasks\":{},\n\"tasks\":{}}"),
        3,
        "stdin:2:1",
        "tasks",
    );
}

#[test]
fn text_that_is_not_utf8_is_refused_with_its_line() {
    let served = Served::new();
    std::fs::write(
        served.path("signals.jsonl"),
        b"{\"tool\":\"took\",\"arguments\":{\"task\":\"a\",\"minutes\":1}}\n{\"tool\":\"\xff\"}\n",
    )
    .unwrap();
    served
        .agent(["tune", "--signals", "signals.jsonl"])
        .code(3)
        .stderr_has("line 2: it is not UTF-8")
        .stderr_has("1 signal applied");
    std::fs::write(served.path("agent.toml"), b"schema = \"agent/manifest@1\"\nname = \"\xe9\"\n")
        .unwrap();
    served.agent(["test"]).code(3).stderr_has("agent.toml:2: this line is not UTF-8");
}

#[test]
fn hooks_run_in_a_checkout_with_crlf() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    world.git(".", ["clone", "--quiet", "--config", "core.autocrlf=true", "a", "b"]);
    world.git("b", ["config", "core.autocrlf", "true"]);
    world.agent("b", ["hooks", "install"]).ok();
    assert_eq!(world.git("b", ["status", "--porcelain"]), "");
    world.git("b", ["worktree", "add", "--quiet", "../wt", "-b", "wt"]);
    world.write("wt/README.md", "changed");
    world.git("wt", ["commit", "--quiet", "--all", "--message", "docs: x"]);
    let text = world.read("wt/.githooks/pre-commit");
    world.write("wt/.githooks/pre-commit", text.replace('\n', "\r\n"));
    world
        .agent("wt", ["hooks", "status"])
        .code(1)
        .stdout_has("has CRLF line ends, so no shell runs it");
    world.agent("wt", ["hooks", "install"]).ok();
}

#[test]
fn a_report_does_not_change_the_kind_of_an_existing_file() {
    let served = Served::new();
    let report =
        |named: &str| served.agent(["test", "-q", "--report", &format!("junit={named}")]).ok();
    std::fs::write(served.path("real.xml"), "old").unwrap();
    std::fs::set_permissions(served.path("real.xml"), std::fs::Permissions::from_mode(0o604))
        .unwrap();
    symlink("real.xml", served.path("link.xml")).unwrap();
    report("link.xml");
    assert!(served.path("link.xml").is_symlink());
    assert_eq!(served.path("real.xml").metadata().unwrap().permissions().mode() & 0o777, 0o604);
    assert!(served.world.read(format!("{FOLDER}/real.xml")).contains("<testsuites"));
    report("/dev/null");
    assert!(std::path::Path::new("/dev/null").metadata().unwrap().file_type().is_char_device());
    let script = "mkfifo pipe && (cat pipe >got &) && timeout 60 $agent test -q --report \
        junit=pipe && until grep -q '</testsuites>' got; do :; done";
    bash(&served, script).ok();
    assert!(served.path("pipe").metadata().unwrap().file_type().is_fifo());
    bash(
        &served,
        "$agent test -q --report junit=>(cat >through) && until grep -q '</testsuites>' \
        through; do :; done",
    )
    .ok();
    bash(&served, "$agent test -q --report html=>(head -c 1 >first)").ok();
    served
        .agent(["test", "-q", "--report", "junit=state"])
        .code(6)
        .stderr_has("cannot write")
        .stderr_has("state");
}

#[test]
fn a_dash_writes_only_the_file_to_stdout() {
    let served = Served::new();
    let junit = served.agent(["test", "-q", "--report", "junit=-"]).ok().stdout;
    assert!(junit.starts_with("<?xml") && junit.trim_end().ends_with("</testsuites>"), "{junit}");
    let appended = bash(
        &served,
        "{ echo before; $agent test -q --report junit=/dev/stdout; } \
        >out; head -1 out; tail -1 out",
    )
    .ok()
    .stdout;
    assert_eq!(appended, "before\n</testsuites>\n");
    let events = served.agent(["test", "--events", "-"]).ok().stdout;
    assert!(events.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{events}");
    for both in [
        &["--events", "-", "--json"][..],
        &["--report", "junit=-", "--json"],
        &["--report", "junit=-", "--events", "-"],
    ] {
        World::finish(served.command().arg("test").args(both))
            .code(2)
            .stderr_has("write to stdout");
    }
    World::finish(
        served
            .command()
            .args(["test", "--report", "junit=-"])
            .stdout(Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap())),
    )
    .code(6);
}
