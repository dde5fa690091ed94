//! Results that are known are not made again: case by case, across commits and states, after a
//! kill, and never where they are not certain.

use crate::served::Served;
use crate::tiers::{Shop, call};
use crate::world::{AGENT, World, source_root};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Notes each call in `CALL_LOG`.
const RUNNER: &str = r#"
import os, pathlib, time
from agent_runtime import Server, state

server = Server("shop")

def log(word):
    with open(os.environ["CALL_LOG"], "a") as file:
        file.write(word + "\n")

@server.tool
def look(key: str) -> int:
    """The value of a key of the state."""
    log("look " + key)
    return state().get(key, 0)

@server.tool
def count() -> int:
    """How many states there are in sight."""
    log("count")
    return len(state())

@server.tool
def upper(text: str) -> str:
    """The text in capitals."""
    log("upper " + text)
    return text.upper()

@server.tool
def wait(path: str) -> bool:
    """Waits for a file."""
    log("wait " + path)
    while not pathlib.Path(path).exists():
        time.sleep(0.01)
    return True

@server.tool
def tick() -> int:
    """One more than before."""
    log("tick")
    return len(pathlib.Path(os.environ["CALL_LOG"]).read_text().splitlines())

server.run()
"#;

fn shop() -> Shop {
    let shop = Shop::with_runner(RUNNER);
    shop.write("state/active.state.json", "{\n  \"a\": 1,\n  \"b\": 2\n}\n");
    shop
}

fn look(key: &str) -> Value {
    call(&format!("look-{key}"), "look", json!({"key": key}), json!({"schema": {}}))
}

fn cases() -> Vec<Value> {
    vec![
        look("a"),
        look("b"),
        look("none"),
        call("count", "count", json!({}), json!({"schema": {}})),
        call("upper", "upper", json!({"text": "x"}), json!({"golden": "upper.txt"})),
        call(
            "scored",
            "upper",
            json!({"text": "y"}),
            json!({"scorer": {"name": "told", "at_least": 0.1}}),
        ),
    ]
}

/// The calls that a run of the tier makes, sorted; it ends with `code`.
#[track_caller]
fn calls(shop: &Shop, arguments: &[&str], code: i32) -> Vec<String> {
    let log = shop.world.shared("calls");
    let _ = std::fs::remove_file(&log);
    let mut command = shop.world.command(AGENT, "shop");
    let ended =
        World::finish(command.env("CALL_LOG", &log).args(["test", "--json"]).args(arguments))
            .code(code);
    let mut calls: Vec<_> =
        std::fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect();
    calls.sort();
    let micro = &ended.json()["tiers"]["micro"];
    assert_eq!(
        micro["cached"].as_u64().unwrap() + calls.len() as u64,
        micro["cases"].as_u64().unwrap()
    );
    calls
}

#[test]
fn only_what_a_change_can_reach_is_run_again() {
    let shop = shop();
    shop.cases(&cases());
    shop.write("tests/micro/upper.txt", "X\n");
    shop.commit();
    let all = ["count", "look a", "look b", "look none", "upper x", "upper y"];
    // `told` is a judge that passes no case
    assert_eq!(calls(&shop, &["--at", "HEAD"], 1), all);
    assert!(calls(&shop, &[], 1).is_empty(), "a clean working tree is its commit");

    shop.write("state/active.state.json", "{\n  \"a\": 7,\n  \"b\": 2\n}\n");
    assert_eq!(calls(&shop, &[], 1), ["count", "look a"], "who read `a`, or all of it");
    shop.write("state/active.state.json", "{\n  \"a\": 7,\n  \"b\": 2,\n  \"none\": 0\n}\n");
    assert_eq!(
        calls(&shop, &[], 1),
        ["count", "look none"],
        "a key that was looked for and not there was read too"
    );
    shop.write("state/active.state.json", "{\n  \"a\": 1,\n  \"b\": 2\n}\n");
    assert!(calls(&shop, &[], 1).is_empty(), "a state that was there before");

    shop.write("README.md", "# Shop\n");
    shop.commit();
    assert_eq!(
        calls(&shop, &["--at", "HEAD"], 1),
        all,
        "whatever the Runner finds beside its code, it can read"
    );
    shop.write("tests/micro/notes.txt", "These are the cases.\n");
    shop.commit();
    assert!(
        calls(&shop, &["--at", "HEAD"], 1).is_empty(),
        "a commit that touches no code and no case"
    );
    shop.write("tests/words.txt", "");
    assert_eq!(calls(&shop, &[], 1), ["upper y"], "a file that a scorer can read");
    let mut others = cases();
    others[1]["weight"] = json!(2);
    shop.cases(&others);
    assert_eq!(calls(&shop, &[], 1), ["look b"], "a case that says something else");
    shop.write("tests/micro/upper.txt", "Z\n");
    assert_eq!(calls(&shop, &[], 1), ["upper x"], "a golden file");
    shop.write("tests/scorers.py", "def told(case, result):\n    return 0.5\n");
    assert_eq!(calls(&shop, &[], 1), ["upper y"], "a scorer");
    shop.write("runner/__main__.py", &format!("{RUNNER}\n# changed\n"));
    assert_eq!(calls(&shop, &[], 1), all, "the code");
    assert_eq!(calls(&shop, &["--no-cache"], 1), all);
    assert_eq!(calls(&shop, &["--no-cache", "--case", "look-a"], 0), ["look a"]);
    shop.test(&["--case", "look-c"])
        .code(3)
        .stderr_has("there is no case `look-c` in micro (did you mean \"look-");
}

/// The Runner starts while known results are looked up. Where they cover all cases, nothing depends
/// on it.
#[test]
fn a_runner_that_is_not_needed_may_fail() {
    let fails = "import json, os\n\
        with open(os.environ['AGENT_STATE_FILE']) as _state:\n    \
            if 'broken' in json.load(_state):\n        \
                raise SystemExit('the state is broken')\n";
    let shop = Shop::with_runner(&format!("{fails}{RUNNER}"));
    shop.cases(&[look("a"), look("b")]);
    shop.write("state/active.state.json", "{\"a\": 1, \"b\": 2}\n");
    assert_eq!(calls(&shop, &[], 0), ["look a", "look b"]);
    shop.write("state/active.state.json", "{\"a\": 1, \"b\": 2, \"broken\": true}\n");
    assert!(calls(&shop, &[], 0).is_empty(), "no case read the key");
    shop.write("state/active.state.json", "{\"a\": 7, \"b\": 2, \"broken\": true}\n");
    shop.test(&[]).code(5).stderr_has("the state is broken");
}

/// A Runner reports which keys of the state a case read. `agent test` relies on it to save runs; no
/// version's evidence does.
#[test]
fn evidence_reuses_no_result_of_another_state() {
    let lies = "import re\n\
        from agent_runtime import server as _server\n\
        _frame = _server.result_frame\n\
        _server.result_frame = lambda identifier, result: _frame(identifier, \
        re.sub(r'\"dev.agentvc/reads\":\\[[^]]*\\]', '\"dev.agentvc/reads\":[]', result))\n\
        server = Server";
    let runner =
        std::fs::read_to_string(source_root().join("templates/minimal/runner/__main__.py"))
            .unwrap();
    let served =
        Served::with(&[("runner/__main__.py", &runner.replacen("server = Server", lies, 1))]);
    served.agent(["tune", "took", "task=review", "minutes=20"]).ok();
    served.agent(["promote"]).ok();
    let good = served.agent(["run", "estimate", "task=review"]).ok().stdout;

    served.agent(["tune", "took", "task=review", "minutes=99999"]).ok();
    let daily = served.agent(["test", "--at", "staging", "--json"]).ok().json();
    assert_eq!(
        daily["tiers"]["micro"]["cached"], 2,
        "the daily test believes it, but for the case that fails and says nothing"
    );
    served.agent(["promote"]).code(1).stdout_has("worse");
    assert_eq!(served.agent(["run", "estimate", "task=review"]).ok().stdout, good);

    // a case that was found out is run each time from now on
    served.agent(["test", "--at", "staging"]).ok().stdout_has("FAIL  review");
    served.agent(["state", "reset"]).ok();
    served.agent(["tune", "took", "task=fishing", "minutes=9"]).ok();
    served.agent(["promote"]).ok();
}

#[test]
fn a_case_is_explained() {
    let shop = shop();
    shop.cases(&cases());
    let explain = |id: &str| shop.test(&["--explain", id]).ok().stdout;
    assert!(explain("look-a").contains("would be run: it was not run with this code"));
    calls(&shop, &[], 1);
    assert_eq!(
        explain("look-a"),
        "look-a (micro, tests/micro/cases.jsonl:1) would not be run: its result is known and \
        still valid: what it read of the state is the same: a\n"
    );
    shop.write("state/active.state.json", "{\n  \"a\": 7,\n  \"b\": 2\n}\n");
    assert!(explain("look-a").contains("would be run: the state has changed where it was read: a"));
    assert!(
        explain("count").contains("would be run: the state has changed, and it read all of it")
    );
    shop.write("runner/__main__.py", &format!("{RUNNER}\n# changed\n"));
    let other = shop.test(&["--explain", "look-b", "--json"]).ok().json();
    assert_eq!(
        (&other["schema"], &other["would_run"]),
        (&json!("agent/explanation@1"), &json!(true))
    );
    assert!(
        other["why"]
            .as_str()
            .unwrap()
            .ends_with("changed since the last run here: runner/__main__.py"),
        "{other}"
    );
    shop.test(&["--explain", "nobody"]).code(3).stderr_has("there is no case `nobody`");
}

const MODE: &str = r#"
import os
from agent_runtime import Server

server = Server("shop")

@server.tool
def mode() -> str:
    """What the host says."""
    return os.environ.get("MODE", "none")

server.run()
"#;

#[test]
fn a_result_holds_for_the_variables_it_was_made_with() {
    let shop = shop();
    let tier = |variables: &[(&str, &str)], code: i32| {
        let mut command = shop.world.command(AGENT, "shop");
        let command = command.envs(variables.iter().copied()).args(["test", "--json"]);
        World::finish(command).code(code).json()["tiers"]["micro"]["cached"].as_u64().unwrap()
    };
    shop.write("runner/__main__.py", MODE);
    let scorer = "import os\n\
        def told(case, result):\
        \n    return 0.0 if os.environ.get('MODE') == 'strict' else 1.0\n";
    shop.write("tests/scorers.py", scorer);
    shop.cases(&[
        call("said", "mode", json!({}), json!({"equals": "none"})),
        call("scored", "mode", json!({}), json!({"scorer": {"name": "told", "at_least": 0.1}})),
    ]);
    // undeclared, it reaches neither of them
    assert_eq!(tier(&[], 0), 0);
    assert_eq!(tier(&[("MODE", "strict")], 0), 2);
    // what changes how programs print and sort is passed on, and counts
    assert_eq!(tier(&[("TZ", "Asia/Tokyo")], 0), 0);
    assert_eq!(tier(&[("TZ", "Asia/Tokyo")], 0), 2);

    shop.manifest("[evaluators]\nenv = [\"MODE\"]\n");
    assert_eq!(tier(&[], 0), 0);
    assert_eq!(tier(&[("MODE", "strict")], 1), 1, "only what is scored");
    assert_eq!(tier(&[], 0), 2);
    let runner = shop
        .world
        .read("shop/agent.toml")
        .replace("\"SEEN\"", "\"MODE\"")
        .replace("[evaluators]\nenv = [\"MODE\"]\n", "");
    shop.write("agent.toml", &runner);
    assert_eq!(tier(&[], 0), 0);
    assert_eq!(tier(&[("MODE", "strict")], 1), 0);
    let mut command = shop.world.command(AGENT, "shop");
    let explained =
        World::finish(command.env("MODE", "other").args(["test", "--explain", "said"])).ok();
    explained.stdout_has("the environment variable MODE");
    assert_eq!(tier(&[("MODE", "strict")], 1), 2);
    assert_eq!(tier(&[], 0), 2);

    // a value of the manifest's own, whatever the host has
    shop.write("agent.toml", &runner.replace("\"MODE\"", "\"MODE=none\""));
    assert_eq!(tier(&[("MODE", "strict")], 0), 0);
    assert_eq!(tier(&[], 0), 2);
}

#[test]
fn results_with_varying_outcomes_are_not_reused() {
    let shop = shop();
    shop.cases(&[call("tick", "tick", json!({}), json!({"equals": 1})), look("a")]);
    assert_eq!(calls(&shop, &[], 0), ["look a", "tick"]);
    assert!(calls(&shop, &[], 0).is_empty());
    // the second tick of one log
    let log = shop.world.write(shop.world.shared("calls"), "tick\n");
    let mut command = shop.world.command(AGENT, "shop");
    World::finish(command.env("CALL_LOG", &log).args(["test", "--no-cache"]))
        .code(1)
        .stdout_has("FAIL  tick");
    assert_eq!(calls(&shop, &[], 0), ["tick"]);
    assert_eq!(calls(&shop, &[], 0), ["tick"], "however often it comes out the same from now on");
    assert!(
        shop.test(&["--explain", "tick"])
            .ok()
            .stdout
            .contains("it gave two results although nothing had changed")
    );
}

#[test]
fn a_killed_run_is_continued() {
    let shop = shop();
    let gate = shop.world.shared("gate");
    let mut cases: Vec<_> = (0..40).map(|number| look(&number.to_string())).collect();
    cases.push(call("wait", "wait", json!({"path": gate}), json!({"equals": true})));
    shop.cases(&cases);
    let log = shop.world.shared("calls");
    let mut command = shop.world.command(AGENT, "shop");
    command
        .env("CALL_LOG", &log)
        .args(["test", "--shards", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut run = command.spawn().unwrap();
    let pending = shop.world.path("shop/.agent/pending");
    let written = || {
        let files = std::fs::read_dir(&pending).into_iter().flatten().flatten();
        files
            .map(|file| std::fs::read_to_string(file.path()).unwrap_or_default().lines().count())
            .sum::<usize>()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while written() == 0 {
        assert!(Instant::now() < deadline, "nothing was written down");
        std::thread::yield_now();
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let done = written();
    std::fs::write(&gate, "").unwrap();
    let again = calls(&shop, &[], 0);
    assert_eq!(again.len(), 41 - done, "what was written down is not run again");
    assert!(again.contains(&format!("wait {}", gate.display())));
    assert_eq!(pending.read_dir().unwrap().count(), 0, "all of it is in the store");

    let resumed = shop.test(&["--json"]).ok().json();
    std::fs::remove_dir_all(shop.world.path("shop/.agent")).unwrap();
    calls(&shop, &[], 0);
    let whole = shop.test(&["--json"]).ok().json();
    for member in ["cases", "passed", "failed", "score", "verdict"] {
        assert_eq!(resumed["tiers"]["micro"][member], whole["tiers"]["micro"][member], "{member}");
    }
}

#[test]
fn a_store_that_cannot_be_reached_loses_nothing() {
    let shop = shop();
    shop.cases(&[look("a"), look("b")]);
    // files where folders should be
    shop.write(".agent/store/traces", "");
    shop.write(".agent/store/results", "");
    shop.test(&[])
        .ok()
        .stderr_has("cannot read earlier results")
        .stderr_has("and the next run puts them there");
    std::fs::remove_file(shop.world.path("shop/.agent/store/traces")).unwrap();
    assert!(calls(&shop, &[], 0).is_empty(), "what was finished then is known now");
    assert!(shop.world.path("shop/.agent/store/traces").is_dir());
}

#[test]
fn a_save_runs_the_cases_that_it_can_affect() {
    let shop = shop();
    shop.cases(&[
        look("a"),
        look("b"),
        call("upper", "upper", json!({"text": "x"}), json!({"equals": "X"})),
    ]);
    let log = shop.world.shared("calls");
    let mut command = shop.world.command(AGENT, "shop");
    let mut watch = command
        .env("CALL_LOG", &log)
        .args(["test", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next =
        || lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("micro ")).unwrap();
    assert!(next().contains("3 passed"));
    shop.write("state/active.state.json", "{\n  \"a\": 7,\n  \"b\": 2\n}\n");
    assert!(next().contains("3 passed"));
    let mut wrong = vec![look("a"), look("b")];
    wrong.push(call("upper", "upper", json!({"text": "x"}), json!({"equals": "Y"})));
    shop.cases(&wrong);
    assert!(next().contains("1 failed"));
    assert_eq!(
        shop.world.read(shop.world.shared("calls")).lines().skip(3).collect::<Vec<_>>(),
        ["look a", "upper x"]
    );
    watch.kill().unwrap();
    watch.wait().unwrap();
    shop.test(&["--watch", "--at", "HEAD"]).code(2).stderr_has("the working tree");
    shop.test(&["--watch", "--json"]).code(2).stderr_has("`--json` is one document");
}
