//! `agent test`: real cases, real Runners, and Runners that misbehave.

use crate::served::{FOLDER, Served};
use crate::world::{AGENT, Ended, World, source_root};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A Runner on `agent_runtime`; `START_LOG` counts its starts.
pub const RUNNER: &str = r#"
import os
from agent_runtime import Server, conversation, state

server = Server("shop")
if log := os.environ.get("START_LOG"):
    with open(log, "a") as file:
        file.write("start\n")

@server.tool
def price(item: str) -> dict:
    """The price of an item."""
    if item not in state()["prices"]:
        raise ValueError(f"no item {item!r}")
    return {"item": item, "price": state()["prices"][item], "tax": 0.1 + 0.2}

@server.tool
def hello(name: str) -> str:
    """A greeting of two lines."""
    return f"hello {name}\nwelcome"

@server.tool
def remember(word: str) -> list[str]:
    """All words of the conversation."""
    words = conversation().data.setdefault("words", [])
    words.append(word)
    return words

@server.tool
def die(code: int) -> int:
    """Ends the process."""
    os._exit(code)

@server.tool
def hang(seconds: float) -> str:
    """Takes its time."""
    import time
    print("hanging", flush=True)
    time.sleep(seconds)
    return "done"

server.run()
"#;

const SCORERS: &str = r#"
def near(case, result):
    wanted = case["expect"]["scorer"]["price"]
    return 1 / (1 + abs(wanted - result["structuredContent"]["price"]))

def told(case, result):
    return {"score": 0.25, "passed": False, "why": "I do not like it"}

def raises(case, result):
    return 1 / 0

def rubbish(case, result):
    return "good"

def hangs(case, result):
    import time
    time.sleep(1000)
"#;

/// The variables with which tests configure Runners and judges.
pub const TOLD: &str = r#"["CALL_LOG", "COUNTS", "LOADED", "SEEN", "START_LOG"]"#;

/// An agent repository with one Runner.
pub struct Shop {
    pub world: World,
}

impl Shop {
    pub fn new() -> Self {
        Self::with_runner(RUNNER)
    }

    pub fn with_runner(runner: &str) -> Self {
        let shop = Self { world: World::new() };
        shop.manifest("shared_memory = true\n[limits]\ncall_s = 2.0\n");
        shop.write("runner/__main__.py", runner);
        shop.write("state/active.state.json", "{\n  \"prices\": {\n    \"tea\": 3\n  }\n}\n");
        shop.write("tests/scorers.py", SCORERS);
        shop.write(".gitignore", ".agent/\n");
        copy_runtime(&shop);
        shop.world.git("shop", ["init", "-q"]);
        shop.commit();
        shop
    }

    /// Writes a manifest that ends with `[runner]`; the Runner gets the variables of the tests.
    pub fn manifest(&self, rest: &str) {
        let begin = "schema = \"agent/manifest@1\"\n\
            name = \"shop\"\n\
            [runner]\n\
            command = [\"python\", \"-m\", \"runner\"]";
        self.write("agent.toml", &format!("{begin}\nenv = {TOLD}\n{rest}"));
    }

    pub fn write(&self, path: &str, text: &str) {
        self.world.write(format!("shop/{path}"), text);
    }

    pub fn commit(&self) {
        self.world.git("shop", ["add", "-A"]);
        self.world.git("shop", ["commit", "-q", "--allow-empty", "-m", "cases"]);
    }

    pub fn cases(&self, cases: &[Value]) -> &Self {
        let lines: Vec<_> = cases.iter().map(Value::to_string).collect();
        self.write("tests/micro/cases.jsonl", &lines.join("\n"));
        self
    }

    pub fn test(&self, arguments: &[&str]) -> Ended {
        let mut command = self.world.command(AGENT, "shop");
        World::finish(
            command.env("CALL_LOG", self.world.shared("calls")).arg("test").args(arguments),
        )
    }
}

fn copy_runtime(shop: &Shop) {
    let package = source_root().join("templates/runtime/agent_runtime");
    for entry in package.read_dir().expect("agent_runtime") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "py") {
            let text = std::fs::read_to_string(&path).expect("a module");
            shop.write(
                &format!("agent_runtime/{}", path.file_name().expect("a name").to_string_lossy()),
                &text,
            );
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "cases are written as literals")]
pub fn call(id: &str, tool: &str, arguments: Value, expect: Value) -> Value {
    json!({"id": id, "tool": tool, "arguments": arguments, "expect": expect})
}

pub fn tea(id: &str, expect: Value) -> Value {
    call(id, "price", json!({"item": "tea"}), expect)
}

pub fn counts(ended: &Ended) -> [u64; 4] {
    let micro = &ended.json()["tiers"]["micro"];
    ["cases", "passed", "failed", "errored"].map(|key| micro[key].as_u64().expect("a count"))
}

#[test]
fn every_expectation_is_judged() {
    let shop = Shop::new();
    let remember = |word: &str, words: Value| {
        json!({"tool": "remember",
        "arguments": {"word": word}, "expect": {"equals": words}})
    };
    shop.cases(&[
        tea(
            "equals",
            json!({"equals": {"item": "tea", "price": 3,
            "tax": 0.300_000_000_000_000_04}}),
        ),
        tea("subset", json!({"subset": {"price": 3}})),
        tea("approx", json!({"approx": {"value": {"item": "tea", "price": 3, "tax": 0.3}}})),
        tea("schema", json!({"schema": {"type": "object", "required": ["price"]}})),
        tea("golden", json!({"golden": "golden/tea.json"})),
        tea("scorer", json!({"scorer": {"name": "near", "at_least": 0.5, "price": 4}})),
        call("regex", "hello", json!({"name": "you"}), json!({"regex": "^hello you\nwel"})),
        call("text", "hello", json!({"name": "you"}), json!({"golden": "golden/hello.txt"})),
        call("error", "price", json!({"item": "gold"}), json!({"error": "no item 'gold'"})),
        json!({"id": "conversation", "turns": [{"tool": "remember", "arguments": {"word": "a"}},
            remember("b", json!(["a", "b"]))]}),
        json!({"id": "another", "turns": [remember("c", json!(["c"]))]}),
    ]);
    shop.write(
        "tests/micro/golden/tea.json",
        "{\"tax\": 0.30000000000000004, \"price\": 3.0, \"item\": \"tea\"}",
    );
    shop.write("tests/micro/golden/hello.txt", "hello you\nwelcome\n");
    let ended = shop.test(&["--json"]).ok();
    assert_eq!(counts(&ended), [11, 11, 0, 0]);
    let document = ended.json();
    assert_eq!(document["schema"], "agent/eval@1");
    assert_eq!(document["commit"], Value::Null);
    let micro = &document["tiers"]["micro"];
    assert_eq!(
        (&micro["verdict"], &micro["flaky"], &micro["cached"]),
        (&json!("pass"), &json!(0), &json!(0))
    );
    // ten cases of score 1 and one of 1/2
    assert!((micro["score"].as_f64().unwrap() - 10.5 / 11.0).abs() < 1e-9, "{micro}");
    assert!(micro["p95_ms"].as_f64().unwrap() > 0.0 && micro["wall_s"].as_f64().unwrap() > 0.0);
}

#[test]
fn failures_are_reported_with_position_and_reason() {
    let shop = Shop::new();
    let must = json!({"id": "must", "tool": "hello", "arguments": {"name": "x"},
        "expect": {"regex": "bye"}, "must": true});
    shop.cases(&[
        tea("good", json!({"subset": {"price": 3}})),
        tea("dear", json!({"subset": {"price": 4}})),
        tea("disliked", json!({"scorer": {"name": "told"}})),
        call("bought", "price", json!({"item": "gold"}), json!({"subset": {"price": 4}})),
        must,
    ]);
    shop.write(
        "ci/budgets.json",
        r#"{"schema": "agent/budgets@1", "tiers": {"micro": {"pass_rate": 0.1}}}"#,
    );
    let ended =
        shop.test(&["--report", "junit=out/junit.xml", "--report", "markdown=out.md"]).code(1);
    let ended = ended
        .stdout_has(
            "FAIL  must (must pass)  tests/micro/cases.jsonl:5\
            \n      `bye` does not match \"hello x\\n\
            welcome\"",
        )
        .stdout_has("FAIL  dear  tests/micro/cases.jsonl:2\n      $.price: expected 4, got 3")
        .stdout_has("I do not like it")
        .stdout_has("the tool failed: ValueError: no item 'gold'")
        .stdout_has("1 case that must pass did not: must");
    assert!(
        ended.stdout.find("(must pass)") < ended.stdout.find("dear"),
        "what must pass comes first"
    );
    assert!(
        shop.world
            .read("shop/out/junit.xml")
            .contains("<testsuite name=\"micro\" tests=\"5\" failures=\"4\" errors=\"0\"")
    );
    assert!(
        shop.world
            .read("shop/out.md")
            .contains("| must **(must pass)** | tests/micro/cases.jsonl:5 |")
    );
    shop.test(&["--report", "pdf=x"]).code(2).stderr_has("one of html, junit, markdown");
}

#[test]
fn invalid_files_are_exit_3_with_their_position() {
    let shop = Shop::new();
    let check = |message: &str| {
        shop.test(&[]).code(3).stderr_has(message).stderr_has("hint:");
    };
    shop.write("tests/micro/cases.jsonl", "\n{\"id\": \"a\", \"tol\": 1}\n");
    check("tests/micro/cases.jsonl:2: \"tol\" is not a key of a case (did you mean \"tool\"?)");
    shop.cases(&[tea("a", json!({"golden": "a.json"}))]);
    shop.write("tests/micro/a.json", "{\"price\": }");
    check("tests/micro/a.json:1:11: no JSON");
    shop.cases(&[tea("a", json!({"scorer": {"name": "neer"}}))]);
    check(
        "tests/micro/cases.jsonl:1: there is no scorer \"neer\" in tests/scorers.py (did you \
        mean \"near\"?)",
    );
    shop.cases(&[tea("a", json!({"subset": {}}))]);
    shop.write(
        "ci/budgets.json",
        "{\"schema\": \"agent/budgets@1\", \"tiers\": {\"micro\": {\"pass_rat\": 1}}}",
    );
    check(
        "ci/budgets.json: tiers.micro: \"pass_rat\" is not a key of a tier's budget (did you \
        mean \"pass_rate\"?)",
    );
    shop.write("tests/scorers.py", "def near(case, result) return 1\n");
    shop.write("ci/budgets.json", "{\"schema\": \"agent/budgets@1\"}");
    shop.cases(&[tea("a", json!({"scorer": {"name": "near"}}))]);
    shop.test(&[]).code(5).stderr_has("the scorer process").stderr_has("SyntaxError");
}

#[test]
fn no_case_is_not_enough_evidence() {
    let shop = Shop::new();
    let ended = shop.test(&["--json"]).code(7);
    assert_eq!(ended.json()["tiers"]["micro"]["verdict"], "not-enough-evidence");
    shop.test(&[]).code(7).stdout_has("there are no cases");
}

/// A server that is fine until it is called.
fn misbehaving(line: &str) -> String {
    format!(
        r#"
import json, os, sys, time
for text in sys.stdin:
    frame = json.loads(text)
    if frame["method"] == "initialize":
        print(json.dumps({{"jsonrpc": "2.0", "id": frame["id"], "result": {{"protocolVersion": "2025-11-25"}}}}), flush=True)
    elif frame["method"] == "tools/call":
        print("about to fail", file=sys.stderr, flush=True)
        {line}
"#
    )
}

#[test]
fn a_runner_that_breaks_protocol_is_exit_5_with_the_reason() {
    let check = |line: &str, parts: &[&str]| {
        let shop = Shop::with_runner(&misbehaving(line));
        shop.cases(&[tea("a", json!({"subset": {}}))]);
        let ended = shop.test(&[]).code(5);
        parts.iter().fold(ended, |ended, part| ended.stderr_has(part));
    };
    let no_frame = "printed a line that is not JSON-RPC on its stdout; such lines are skipped";
    check("print('debugging', flush=True)", &[no_frame, "did not answer `price` within 2 s"]);
    check(
        "print('debugging\\n' * 10000, flush=True)",
        &["more than 64 KiB on its stdout that are no JSON-RPC: debugging", "print to stderr"],
    );
    check("print('{\"jsonrpc\": \"2.0\", \"id\": 77, \"result\": {}}', flush=True)", &[no_frame]);
    check(
        "print('{\"jsonrpc\": \"2.0\", \"id\": 1, \"resu', flush=True)",
        &["broke protocol: half a frame on a line"],
    );
    check("sys.exit(3)", &["ended unexpectedly: exit status: 3", "about to fail"]);
    check("os.kill(os.getpid(), 9)", &["ended unexpectedly: signal: 9", "about to fail"]);
    check("time.sleep(1000)", &["the Runner did not answer `price` within 2 s", "limits.call_s"]);

    let never_ready = Shop::with_runner("print('hello world', flush=True)\n");
    never_ready
        .cases(&[tea("a", json!({"subset": {}}))])
        .test(&[])
        .code(5)
        .stderr_has("skipped: hello world")
        .stderr_has("ended unexpectedly: exit status: 0");
    let broken = Shop::with_runner("import nowhere\n");
    broken
        .cases(&[tea("a", json!({"subset": {}}))])
        .test(&[])
        .code(5)
        .stderr_has("No module named 'nowhere'");
}

#[test]
fn one_bad_case_is_an_error_of_that_case_alone() {
    let shop = Shop::new();
    let mut cases: Vec<_> = (0..120)
        .map(|number| tea(&format!("good-{number}"), json!({"subset": {"price": 3}})))
        .collect();
    cases.insert(70, call("dies", "die", json!({"code": 9}), json!({"subset": {}})));
    cases.insert(
        75,
        call("raises", "price", json!({"item": "tea"}), json!({"scorer": {"name": "raises"}})),
    );
    cases.insert(
        80,
        call("rubbish", "price", json!({"item": "tea"}), json!({"scorer": {"name": "rubbish"}})),
    );
    cases.insert(90, call("hangs", "hang", json!({"seconds": 1000}), json!({"subset": {}})));
    cases.insert(
        95,
        call("scorer-hangs", "price", json!({"item": "tea"}), json!({"scorer": {"name": "hangs"}})),
    );
    cases.insert(100, call("unknown", "prise", json!({}), json!({"subset": {}})));
    shop.cases(&cases);
    for shards in ["1", "3"] {
        let ended = shop.test(&["--json", "--shards", shards]).code(1);
        assert_eq!(counts(&ended), [126, 120, 0, 6], "{}", ended.stdout);
        let document = ended.json();
        let why = |id: &str| {
            let failures = document["failures"].as_array().expect("failures");
            failures
                .iter()
                .find(|failure| failure["id"] == id)
                .map(|failure| failure["why"].to_string())
                .unwrap_or_default()
        };
        for (id, part) in [
            ("dies", "ended unexpectedly: exit status: 9"),
            ("raises", "ZeroDivisionError"),
            ("rubbish", "returned a str"),
            ("hangs", "did not answer `hang` within 2 s"),
            ("scorer-hangs", "the scorer process did not answer"),
            ("unknown", "prise"),
        ] {
            assert!(why(id).contains(part), "{id}: {}", why(id));
        }
    }
}

#[test]
fn an_errored_case_fails_its_tier_under_any_budget() {
    let shop = Shop::new();
    shop.write(
        "ci/budgets.json",
        r#"{"schema": "agent/budgets@1", "tiers": {"micro": {"pass_rate": 0.1, "score": 0.1}}}"#,
    );
    let good = tea("good", json!({"subset": {"price": 3}}));
    let wrong = [
        tea("raises", json!({"scorer": {"name": "raises"}})),
        tea("judge", json!({"command": {"run": ["python", "-c", "1 / 0"]}})),
        call("dies", "die", json!({"code": 3}), json!({"subset": {}})),
    ];
    for wrong in wrong {
        let id = wrong["id"].as_str().expect("an id").to_owned();
        shop.cases(&[good.clone(), wrong]);
        shop.test(&[]).code(5).stdout_has(&format!("1 case could not be judged: {id}"));
        assert_eq!(shop.test(&["--json"]).code(5).json()["tiers"]["micro"]["verdict"], "fail");
    }
    shop.cases(&[good, tea("disliked", json!({"scorer": {"name": "told"}}))]);
    shop.test(&[]).ok();
}

/// The failing frame of a program is the last one of a traceback: it is shown, however long that
/// is.
#[test]
fn a_traceback_includes_its_last_frame() {
    let nested = (0..40).fold(String::new(), |text, depth| {
        format!("{text}def level_{depth}(): return level_{}()\n", depth + 1)
    });
    let place = "level_40(): raise KeyError('the place')";
    let tool = "@server.tool\n\
        def nested() -> str:\
        \n    \"\"\"Fails.\"\"\"\
        \n    return level_0()\n\n\
        server.run()";
    let shop =
        Shop::with_runner(&RUNNER.replace("server.run()", &format!("{nested}def {place}\n{tool}")));
    shop.world
        .agent("shop", ["run", "nested", "--at", "worktree", "-vv"])
        .code(1)
        .stderr_has(place)
        .stderr_has("return level_0()");
    shop.write(
        "runner/__main__.py",
        &format!(
            "import sys\n{nested}def {place}\nprint('x' * 70000, file=sys.stderr)\nlevel_0()\n"
        ),
    );
    let ended = shop.world.agent("shop", ["run", "nested", "--at", "worktree"]).code(5);
    ended
        .stderr_has("Traceback (most recent call last)")
        .stderr_has("return level_2()")
        .stderr_has(place);
}

#[test]
fn a_runner_that_fails_again_and_again_ends_the_tier() {
    let shop = Shop::new();
    let mut cases = vec![tea("good", json!({"subset": {}}))];
    cases.extend((0..20).map(|number| {
        call(&format!("dies-{number}"), "die", json!({"code": 1}), json!({"subset": {}}))
    }));
    shop.cases(&cases)
        .test(&["--shards", "1"])
        .code(5)
        .stderr_has("ended unexpectedly: exit status: 1");
}

#[test]
fn blessing_shows_the_difference_before_it_writes() {
    let shop = Shop::new();
    shop.cases(&[
        tea("a", json!({"golden": "golden/tea.json"})),
        call("b", "hello", json!({"name": "x"}), json!({"golden": "b.txt"})),
    ]);
    shop.write("tests/micro/golden/tea.json", "{\"price\": 2}\n");
    shop.test(&[])
        .code(1)
        .stdout_has("there is no golden file tests/micro/b.txt")
        .stdout_has("$.price: expected 2, got 3");
    shop.test(&["--bless", "--dry-run"])
        .ok()
        .stdout_has("+  \"price\": 3")
        .stdout_has("+welcome")
        .stderr_has("2 golden files would change");
    assert_eq!(shop.world.read("shop/tests/micro/golden/tea.json"), "{\"price\": 2}\n");
    shop.test(&["--bless"])
        .ok()
        .stdout_has("-{\"price\": 2}")
        .stderr_has("2 golden files changed")
        .stdout_has("2 passed");
    assert_eq!(shop.world.read("shop/tests/micro/b.txt"), "hello x\nwelcome\n");
    shop.test(&["--bless"]).ok().stderr_has("0 golden files changed");
    shop.test(&["--bless", "--at", "HEAD"])
        .code(2)
        .stderr_has("`--bless` writes into the working tree");
    shop.test(&["--dry-run"]).code(2);
}

#[test]
fn stored_results_are_reused() {
    let shop = Shop::new();
    shop.cases(&[tea("a", json!({"subset": {"price": 3}}))]);
    shop.commit();
    let log = shop.world.shared("starts");
    let test = |arguments: &[&str]| {
        let mut command = shop.world.command(AGENT, "shop");
        World::finish(
            command.env("START_LOG", &log).args(["test", "--json", "--at", "HEAD"]).args(arguments),
        )
        .ok()
        .json()
    };
    let starts = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    let first = test(&[]);
    assert_eq!((starts(), &first["tiers"]["micro"]["cached"]), (1, &json!(0)));
    let second = test(&[]);
    assert_eq!((starts(), &second["tiers"]["micro"]["cached"]), (1, &json!(1)));
    assert_eq!(second["tiers"]["micro"]["results"], first["tiers"]["micro"]["results"]);
    test(&["--no-cache"]);
    assert_eq!(starts(), 2);
    // another state is another result, another message is not
    shop.commit();
    test(&[]);
    assert_eq!(starts(), 2);
    shop.write(
        "state/active.state.json",
        "{\n  \"prices\": {\n    \"tea\": 3,\n    \"gin\": 9\n  }\n}\n",
    );
    shop.commit();
    test(&[]);
    assert_eq!(starts(), 3);

    let commit = shop.world.git("shop", ["rev-parse", "HEAD"]);
    let stored: Value = serde_json::from_str(
        &shop.world.read(format!("shop/.agent/store/evals/{commit}/summary.json")),
    )
    .unwrap();
    assert_eq!(stored["commit"], commit);
    let line = shop.world.read(format!("shop/.agent/store/evals/{commit}/micro.jsonl"));
    assert!(
        line.starts_with(
            "{\"schema\":\"agent/event@1\",\"event\":\"case-finished\",\"tier\":\"micro\",\"id\":\"a\",\"outcome\":\"passed\""
        )
    );
    assert!(line.contains("\"reads\":[\"prices\"]"), "{line}");
}

#[test]
fn parts_of_a_tier_make_the_whole() {
    let shop = Shop::new();
    shop.cases(
        &(0..20)
            .map(|number| tea(&format!("c{number}"), json!({"subset": {"price": 3}})))
            .collect::<Vec<_>>(),
    );
    let one = counts(&shop.test(&["--json", "--shard", "1/2"]).ok())[0];
    let two = counts(&shop.test(&["--json", "--shard", "2/2"]).ok())[0];
    assert!(one > 0 && two > 0);
    assert_eq!(one + two, 20);
    shop.test(&["--shard", "3/2"]).code(2).stderr_has("`3/2` is not a part");
}

#[test]
fn a_comparison_pairs_cases_and_applies_the_gate() {
    let shop = Shop::new();
    shop.cases(
        &(0..6)
            .map(|number| tea(&format!("c{number}"), json!({"subset": {"price": 3}})))
            .collect::<Vec<_>>(),
    );
    shop.write(
        "ci/budgets.json",
        r#"{"schema": "agent/budgets@1", "tiers": {"micro": {"pass_rate": 0}}}"#,
    );
    shop.commit();
    shop.write("state/active.state.json", "{\n  \"prices\": {\n    \"tea\": 4\n  }\n}\n");
    let ended = shop.test(&["--against", "HEAD", "--json"]).code(1);
    let against = &ended.json()["against"];
    assert_eq!(
        (&against["verdict"], &against["tiers"]["micro"]["worse"]),
        (&json!("fail"), &json!(6))
    );
    let head = shop.world.git("shop", ["rev-parse", "HEAD"]);
    assert_eq!(ended.json()["comparable_with"], json!([head]));
    shop.test(&["--against", "worktree"])
        .ok()
        .stdout_has("not worse, no case scored lower: score 0.0000, was 0.0000, on 6 shared cases");
    // other cases are another measure
    shop.cases(&[tea("c0", json!({"subset": {}}))]);
    shop.test(&["--against", "HEAD"])
        .code(7)
        .stdout_has("not comparable with")
        .stdout_has("its cases differ");
}

/// The process ids that the Runner reports when it is called.
fn start_hanging(shop: &Shop) -> (std::process::Child, u32) {
    shop.cases(&[call("hangs", "hang", json!({"seconds": 1000}), json!({"subset": {}}))]);
    shop.manifest("");
    let runner = RUNNER.replace(
        "    print(\"hanging\", flush=True)\n",
        "    print(\"pid\", os.getpid(), flush=True)\n",
    );
    shop.write("runner/__main__.py", &runner);
    let mut agent = shop
        .world
        .command(AGENT, "shop")
        .args(["-v", "test"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("agent");
    let stderr = BufReader::new(agent.stderr.take().expect("stderr"));
    let line = stderr
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("pid "))
        .expect("the Runner's stderr passes on under -v");
    let digits: String = line
        .split("pid ")
        .nth(1)
        .expect("a pid")
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    (agent, digits.parse().expect("a number"))
}

#[track_caller]
fn wait_until_gone(pid: u32) {
    let files = std::path::PathBuf::from(format!("/proc/{pid}/fd"));
    let deadline = Instant::now() + Duration::from_secs(10);
    // a process that ended but was not waited for has no files left
    while files.read_dir().is_ok_and(|mut files| files.next().is_some()) {
        assert!(Instant::now() < deadline, "process {pid} lives on");
        std::thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn children_end_with_agent_however_it_ends() {
    let shop = Shop::new();
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let (mut agent, runner) = start_hanging(&shop);
        World::finish(shop.world.command("kill", "shop").args([signal, &agent.id().to_string()]))
            .ok();
        assert_eq!(agent.wait().expect("it ended").code(), Some(code), "{signal}");
        wait_until_gone(runner);
        let left = std::fs::read_dir(shop.world.path("shop/.agent/tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let left: Vec<_> =
            left.filter(|name| name.to_string_lossy().starts_with("tier-")).collect();
        assert!(left.is_empty(), "{signal}: {left:?}");
    }

    let (mut agent, runner) = start_hanging(&shop);
    agent.kill().expect("SIGKILL");
    agent.wait().expect("it ended");
    wait_until_gone(runner);
}

#[test]
fn a_failure_shows_the_answer_and_the_expectation() {
    let scorer = "def never(case, result):\n    return {\"score\": 0.25, \"passed\": False}\n";
    let case = |id: &str, expect: Value| {
        json!({"id": id, "tool": "estimate", "arguments": {"task": "tea"}, "expect": expect})
            .to_string()
            + "\n"
    };
    let cases = case("scored", json!({"scorer": {"name": "never", "minutes": 7}}))
        + &case("shaped", json!({"schema": {"required": ["price"]}}))
        + &case("equal", json!({"subset": {"minutes": 31.5}}))
        + &case("fine", json!({"subset": {"seen": 0}}));
    let served = Served::with(&[
        ("tests/micro/estimates.jsonl", cases.as_str()),
        ("tests/scorers.py", scorer),
    ]);
    let shown = served.agent(["test"]).code(1);
    assert_eq!(
        shown.stdout.matches("answered {").count(),
        2,
        "where the reason does not quote both: {}",
        shown.stdout
    );
    shown
        .stdout_has("expected {\"scorer\":{")
        .stdout_has("\"minutes\":30")
        .stdout_has("$.minutes: expected 31.5, got 30");
    served.agent(["test", "--report", "html=r.html", "--report", "junit=r.xml"]).code(1);
    assert!(served.world.read(format!("{FOLDER}/r.xml")).contains("answered {"));
    assert!(served.world.read(format!("{FOLDER}/r.html")).contains("\"answered\":\"{"));

    // withheld where the manifest has `answers = false`
    let manifest = served.world.read(format!("{FOLDER}/agent.toml"));
    served.world.write(
        format!("{FOLDER}/agent.toml"),
        manifest.replace("answers = true", "answers = false"),
    );
    assert!(!served.agent(["test", "--no-cache"]).code(1).stdout.contains("answered"));
}

#[test]
fn a_tools_error_names_the_line_it_came_from() {
    let served = Served::new();
    let runner = served.world.read(format!("{FOLDER}/runner/__main__.py"));
    let line = runner.lines().position(|line| line.contains("raise ValueError")).unwrap() + 1;
    served
        .agent(["run", "estimate", "task="])
        .code(1)
        .stderr_has(&format!("answered with an error, from runner/__main__.py:{line}"));
    let seen = served.agent(["run", "estimate", "task=", "--json"]).code(1).json();
    assert_eq!(seen["result"]["_meta"], Value::Null, "for the terminal, and not for a host");
    let case = json!({"id": "a", "tool": "estimate", "arguments": {"task": ""},
        "expect": {"subset": {"seen": 0}}});
    served.world.write(format!("{FOLDER}/tests/micro/estimates.jsonl"), case.to_string());
    served.agent(["test"]).code(1).stdout_has(&format!("(runner/__main__.py:{line})"));
}
