//! What a case can ask for: repeats, quarantine, limits, judges, a scratch folder; and what one
//! case does not do to others.

use crate::tiers::{RUNNER, Shop, TOLD, call, counts, tea};
use crate::world::{AGENT, Ended, World};
use serde_json::{Value, json};

/// Tools that leave traces outside: how often they were called is the length of a file, over all
/// Runners.
const COUNTING: &str = r#"
from agent_runtime import cost, scratch

@server.tool
def pay(usd: float) -> str:
    """Costs something."""
    cost(usd=usd)
    return "paid"

@server.tool
def who(seconds: float = 0) -> str:
    """Says where it ran."""
    import time
    time.sleep(seconds)
    with open(os.path.join(os.environ["COUNTS"], "who"), "a") as file:
        file.write(f"{os.getpid()} {seconds}\n")
    return "me"

@server.tool
def wait_for(name: str) -> str:
    """Waits until a file is there."""
    import time
    time.sleep(0.3)
    while not os.path.exists(os.path.join(os.environ["COUNTS"], name)):
        time.sleep(0.01)
    return "it is there"

@server.tool
def shout(folder: str = "meta") -> list[str]:
    """Writes in.txt in capitals to out/loud.txt, and says what lies there."""
    from pathlib import Path
    place = scratch() if folder == "meta" else Path(os.environ["AGENT_SCRATCH"])
    there = sorted(path.name for path in place.iterdir())
    (place / "out").mkdir()
    (place / "out" / "loud.txt").write_text((place / "in.txt").read_text().upper())
    return there

@server.tool
def refuse(code: int) -> str:
    """Always fails."""
    raise RuntimeError(f"code {code}")

@server.tool
def count(name: str) -> int:
    """How often it was called under this name."""
    with open(os.path.join(os.environ["COUNTS"], name), "a+") as file:
        file.write(".")
        return file.tell()

server.run()
"#;

fn counting() -> Shop {
    let shop = Shop::with_runner(&RUNNER.replace("\nserver.run()\n", COUNTING));
    shop.manifest(&format!(
        "shared_memory = true\n[evaluators]\nenv = {TOLD}\n[limits]\ncall_s = 2.0\n"
    ));
    shop
}

/// `agent test ARGUMENTS` on a day.
fn on(shop: &Shop, day: &str, arguments: &[&str]) -> Ended {
    let mut command = shop.world.command(AGENT, "shop");
    command.env("AGENT_NOW", format!("{day}T12:00:00Z")).env("COUNTS", shop.world.shared(""));
    World::finish(command.arg("test").args(arguments))
}

fn with(mut case: Value, key: &str, value: Value) -> Value {
    case[key] = value;
    case
}

fn results(shop: &Shop, ended: &Ended) -> Vec<Value> {
    let commit = ended.json()["commit"].as_str().expect("a commit was tested").to_owned();
    let lines = shop.world.read(format!("shop/.agent/store/evals/{commit}/micro.jsonl"));
    lines.lines().map(|line| serde_json::from_str(line).expect("a stored line")).collect()
}

#[test]
fn a_repeated_case_passes_when_every_run_does() {
    let shop = counting();
    let below =
        |limit: i64| json!({"schema": {"properties": {"result": {"exclusiveMaximum": limit}}}});
    let remember =
        json!({"tool": "remember", "arguments": {"word": "a"}, "expect": {"equals": ["a"]}});
    shop.cases(&[
        with(
            call("sometimes", "count", json!({"name": "sometimes"}), below(4)),
            "repeats",
            json!(5),
        ),
        with(json!({"id": "conversation", "turns": [remember]}), "repeats", json!(2)),
        call("once", "count", json!({"name": "once"}), below(2)),
    ]);
    shop.commit();
    let ended = on(&shop, "2026-11-22", &["--at", "HEAD", "--json"]).code(1);
    assert_eq!(counts(&ended), [3, 2, 1, 0], "{}", ended.stdout);
    let micro = &ended.json()["tiers"]["micro"];
    assert_eq!((&micro["flaky"], &micro["missing"]), (&json!(1), &Value::Null));
    // 3 of 5 and 2 of 2: (3/5 + 1)/2, (3/5 * 2/4 + 1)/2
    let pass_hat_k: Vec<_> = micro["pass_hat_k"]
        .as_array()
        .unwrap()
        .iter()
        .map(|share| share.as_f64().unwrap())
        .collect();
    assert!(
        pass_hat_k.len() == 2
            && (pass_hat_k[0] - 1.6 / 2.0).abs() < 1e-12
            && (pass_hat_k[1] - 1.3 / 2.0).abs() < 1e-12,
        "{micro}"
    );
    let stored = results(&shop, &ended);
    let of = |id: &str| stored.iter().find(|result| result["id"] == id).expect("a result");
    assert_eq!(
        (&of("sometimes")["runs"], &of("sometimes")["score"]),
        (&json!({"count": 5, "passed": 3}), &json!(0.6))
    );
    assert!(
        of("sometimes")["why"].as_str().unwrap().starts_with("run 4 of 5: $.result: 4 is"),
        "{}",
        of("sometimes")
    );
    assert_eq!(of("once")["runs"], Value::Null);

    // what was repeated for its chance is never taken from the cache
    on(&shop, "2026-11-22", &["--at", "HEAD"]).code(1);
    assert_eq!(shop.world.read(shop.world.shared("sometimes")).len(), 10);
    on(&shop, "2026-11-22", &["--repeats", "3"]).code(1).stdout_has("run 1 of 3: $.result: 2");
    on(&shop, "2026-11-22", &["--repeats", "1"]).code(2);

    // a run that breaks its child is the last one
    shop.cases(&[
        with(call("dies", "die", json!({"code": 3}), json!({"subset": {}})), "repeats", json!(4)),
        tea("tea", json!({"subset": {}})),
    ]);
    shop.commit();
    let ended = on(&shop, "2026-11-22", &["--at", "HEAD", "--json"]).code(1);
    let dies = &results(&shop, &ended)[0];
    assert_eq!(
        (&dies["runs"], &dies["outcome"]),
        (&json!({"count": 1, "passed": 0}), &json!("errored"))
    );
    assert_eq!(ended.json()["tiers"]["micro"]["pass_hat_k"], json!([0.0]));
}

#[test]
fn a_quarantine_is_shown_and_ends() {
    let shop = counting();
    let quarantine = json!({"until": "2027-01-31", "why": "the shop is closed"});
    let gold = call("gold", "price", json!({"item": "gold"}), json!({"subset": {"price": 4}}));
    shop.cases(&[
        tea("tea", json!({"subset": {"price": 3}})),
        with(with(gold, "quarantine", quarantine), "must", json!(true)),
    ]);
    shop.commit();
    let before =
        on(&shop, "2027-01-30", &["--at", "HEAD", "--json", "--report", "junit=out.xml"]).ok();
    assert_eq!(counts(&before), [1, 1, 0, 0]);
    let micro = &before.json()["tiers"]["micro"];
    assert_eq!(
        (&micro["quarantined"], &micro["score"], &micro["verdict"]),
        (&json!(1), &json!(1.0), &json!("pass"))
    );
    assert_eq!(results(&shop, &before)[0]["quarantined"], json!(true));
    let told = &before.json()["quarantines"][0];
    assert_eq!(
        (&told["id"], &told["in_force"], &told["outcome"]),
        (&json!("gold"), &json!(true), &json!("failed"))
    );
    assert!(
        shop.world
            .read("shop/out.xml")
            .contains("<skipped message=\"in quarantine until 2027-01-31: the shop is closed\"/>")
    );
    let cached = on(&shop, "2027-01-30", &["--at", "HEAD"]).ok();
    cached
        .stdout_has("(from the cache)")
        .stdout_has("failed; in quarantine until 2027-01-31: the shop is closed");
    // the same code and the same state, a day later
    let after = on(&shop, "2027-01-31", &["--at", "HEAD"]).code(1);
    after
        .stdout_has("1 case that must pass did not: gold")
        .stdout_has("its quarantine has ended on 2027-01-31 (the shop is closed)");
}

#[test]
fn a_case_and_a_tier_have_limits_of_their_own() {
    let shop = counting();
    let hang = |id: &str, seconds: f64| {
        call(id, "hang", json!({"seconds": seconds}), json!({"regex": "done"}))
    };
    shop.cases(&[
        with(hang("short", 1000.0), "limit_s", json!(0.3)),
        with(hang("long", 2.5), "limit_s", json!(60)),
        tea("tea", json!({"subset": {}})),
    ]);
    let ended = on(&shop, "2026-11-22", &["--shards", "1"]).code(1);
    ended
        .stdout_has("ERROR short")
        .stdout_has("the Runner did not answer `hang` within 0.3 s")
        .stdout_has("2 passed, 0 failed, 1 errored of 3");

    shop.cases(&[
        tea("tea", json!({"subset": {}})),
        call("never", "wait_for", json!({"name": "never"}), json!({"regex": "x"})),
        tea("after", json!({"subset": {}})),
    ]);
    shop.write(
        "ci/budgets.json",
        r#"{"schema": "agent/budgets@1", "tiers": {"micro": {"limit_s": 1}}}"#,
    );
    shop.manifest("");
    let ended = on(&shop, "2026-11-22", &["--shards", "1", "--json"]).code(7);
    let micro = &ended.json()["tiers"]["micro"];
    assert_eq!(
        (&micro["cases"], &micro["passed"], &micro["missing"]),
        (&json!(1), &json!(1), &json!(2))
    );
    assert_eq!(
        micro["reasons"][0],
        "the time limit of 1 s for the tier was reached: its children were ended"
    );
}

#[test]
fn spend_is_counted_and_capped() {
    let shop = counting();
    let paid = |number: usize| {
        call(&format!("p{number}"), "pay", json!({"usd": 0.1}), json!({"equals": "paid"}))
    };
    shop.cases(&(0..10).map(paid).collect::<Vec<_>>());
    let budget = |usd: f64| {
        shop.write(
            "ci/budgets.json",
            &json!({"schema": "agent/budgets@1", "tiers": {"micro": {"spend_usd": usd}}})
                .to_string(),
        );
    };
    budget(0.25);
    let ended = on(&shop, "2026-11-22", &["--shards", "1", "--json", "--no-cache"]).code(7);
    let micro = &ended.json()["tiers"]["micro"];
    assert_eq!(
        (&micro["cases"], &micro["missing"], &micro["cost_usd"]),
        (&json!(3), &json!(7), &json!(0.1 + 0.1 + 0.1))
    );
    assert_eq!(
        micro["reasons"][0],
        "the spend of $0.3000 has passed the budget of $0.25: no further case was started"
    );
    budget(1.5);
    on(&shop, "2026-11-22", &["--no-cache"]).ok().stdout_has("cost $1.0000");
}

const JUDGE: &str = r#"
import json, os, sys
asked = json.load(sys.stdin)
with open(os.path.join(os.environ["COUNTS"], "judge"), "a") as file:
    file.write(".")
    turn = file.tell()
price = asked["result"]["structuredContent"]["price"]
how = sys.argv[1] if len(sys.argv) > 1 else "score"
if how == "dies": sys.exit("no key")
if how == "hangs": __import__("time").sleep(1000)
if how == "rubbish": print("well"); sys.exit()
if how == "wavers": print(json.dumps({"passed": turn % 3 != 0})); sys.exit()
print(json.dumps({"score": 1 / price, "why": f"{asked['case']['id']} costs {price}"}))
"#;

#[test]
fn a_judge_command_is_run_once_and_its_answer_reused() {
    let shop = counting();
    shop.write("tests/judge.py", JUDGE);
    let judged = |id: &str, more: Value| {
        let mut command = json!({"run": ["python", "tests/judge.py"], "at_least": 0.3});
        command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tea(id, json!({"command": command}))
    };
    let asked = || std::fs::read_to_string(shop.world.shared("judge")).map_or(0, |text| text.len());
    shop.cases(&[judged("good", json!({})), judged("bad", json!({"at_least": 0.5}))]);
    on(&shop, "2026-11-22", &[]).code(1).stdout_has("1 passed, 1 failed").stdout_has("bad costs 3");
    assert_eq!(asked(), 2);
    // other code, the same answer: nothing to pay for
    shop.write("README.md", "a change that no case reads");
    on(&shop, "2026-11-22", &[]).code(1).stdout_has("bad costs 3");
    assert_eq!(asked(), 2);
    on(&shop, "2026-11-22", &["--no-cache"]).code(1);
    assert_eq!(asked(), 4);
    shop.write("tests/judge.py", &JUDGE.replace("costs", "is"));
    on(&shop, "2026-11-22", &[]).code(1).stdout_has("bad is 3");
    assert_eq!(asked(), 6);

    shop.world.write(shop.world.shared("judge"), "");
    shop.cases(&[judged(
        "wavers",
        json!({"run": ["python", "tests/judge.py", "wavers"], "votes": 3, "agree": 0.67}),
    )]);
    on(&shop, "2026-11-22", &["--no-cache"]).code(1).stdout_has("the judge's votes differ: 2 of 3");
    shop.cases(&[judged(
        "wavers",
        json!({"run": ["python", "tests/judge.py", "wavers"], "votes": 3}),
    )]);
    on(&shop, "2026-11-22", &["--no-cache"]).ok().stdout_has("score 0.667");
}

#[test]
fn a_bad_judge_or_scorer_is_an_error_of_its_own_cases_alone() {
    let shop = counting();
    shop.write("tests/judge.py", JUDGE);
    shop.manifest(&format!("[evaluators]\nenv = {TOLD}\n[limits]\ncall_s = 1.5\n"));
    let command = |id: &str, how: &str| {
        tea(id, json!({"command": {"run": ["python", "tests/judge.py", how]}}))
    };
    let scorer = |id: String, name: &str| tea(&id, json!({"scorer": {"name": name, "price": 3}}));
    let mut cases: Vec<_> =
        (0..6).map(|number| scorer(format!("hangs{number}"), "hangs")).collect();
    cases.extend([
        command("dies", "dies"),
        command("rubbish", "rubbish"),
        with(command("stays", "hangs"), "limit_s", json!(0.5)),
    ]);
    cases.push(tea("absent", json!({"command": {"run": ["no-such-judge"]}})));
    cases.push(call(
        "failed",
        "price",
        json!({"item": "gold"}),
        json!({"command": {"run": ["python", "tests/judge.py"]}}),
    ));
    cases.extend((0..20).map(|number| scorer(format!("near{number}"), "near")));
    cases.extend((0..20).map(|number| tea(&format!("tea{number}"), json!({"subset": {}}))));
    shop.cases(&cases);
    let ended = on(&shop, "2026-11-22", &["--json", "--shards", "1"]).code(1);
    assert_eq!(counts(&ended), [51, 40, 1, 10], "{}", ended.stdout);
    let document = ended.json();
    let why = |id: &str| {
        let failures = document["failures"].as_array().expect("failures");
        failures
            .iter()
            .find(|failure| failure["id"] == id)
            .map(|failure| failure["why"].as_str().expect("a reason").to_owned())
            .expect(id)
    };
    assert!(
        why("dies").contains("tests/judge.py dies` ended with exit status 1: no key"),
        "{}",
        why("dies")
    );
    assert!(
        why("rubbish").ends_with(r#"printed no {"score": 0 to 1, "passed", "why"}: "well""#),
        "{}",
        why("rubbish")
    );
    assert!(why("stays").ends_with("gave no answer within 0.5 s"), "{}", why("stays"));
    assert!(why("absent").contains("no-such-judge"), "{}", why("absent"));
    assert_eq!(
        why("failed"),
        "the tool failed: ValueError: no item 'gold' (runner/__main__.py:14)"
    );
    assert_eq!(why("hangs2"), "the scorer process did not answer `price` within 1.5 s");
    assert_eq!(
        why("hangs5"),
        "the scorer `hangs` has ended its process 3 times and is not called again"
    );
}

#[test]
fn files_of_a_case_are_provided_and_checked() {
    let shop = counting();
    let files = |given: Value, expect: Value| json!({"given": given, "expect": expect});
    let shout = |id: &str, folder: &str, files: Value| {
        with(json!({"id": id, "tool": "shout", "arguments": {"folder": folder}}), "files", files)
    };
    let loud = json!({"out/loud.txt": {"equals": "HELLO"}, "left": {"absent": true}});
    let mut cases = vec![
        shout("text", "meta", files(json!({"in.txt": "hello"}), loud.clone())),
        shout(
            "copy",
            "meta",
            files(
                json!({"in.txt": {"copy": "data/in.txt"}}),
                json!({"out/loud.txt": {"golden": "loud.txt"}}),
            ),
        ),
        shout("foreign", "environment", files(json!({"in.txt": "hello"}), loud)),
        with(
            shout(
                "again",
                "meta",
                files(json!({"in.txt": "x"}), json!({"out/loud.txt": {"regex": "^X$"}})),
            ),
            "repeats",
            json!(2),
        ),
        with(
            call("listed", "shout", json!({}), json!({"equals": ["a", "in.txt"]})),
            "files",
            files(json!({"in.txt": "", "a": ""}), json!({})),
        ),
        shout(
            "wrong",
            "meta",
            files(
                json!({"in.txt": "hello"}),
                json!({"out/loud.txt": {"equals": "hello"}, "more": {"regex": "."}}),
            ),
        ),
    ];
    // quick ones between them, pipelined
    cases.extend((0..100).map(|number| tea(&format!("tea{number}"), json!({"subset": {}}))));
    let step = cases.len() / 6;
    for index in 0..6 {
        cases.swap(index, index * step + 5);
    }
    shop.cases(&cases);
    shop.write("tests/micro/data/in.txt", "file");
    shop.write("tests/micro/loud.txt", "FILE");
    for shards in ["1", "2"] {
        let ended = on(&shop, "2026-11-22", &["--shards", shards, "--no-cache", "--json"]).code(1);
        assert_eq!(counts(&ended), [106, 105, 1, 0], "{}", ended.stdout);
        assert_eq!(
            ended.json()["failures"][0]["why"],
            "file out/loud.txt: $: expected \"hello\", got \"HELLO\""
        );
    }
    shop.write("tests/micro/loud.txt", "other");
    on(&shop, "2026-11-22", &["--bless"]).code(1);
    assert_eq!(shop.world.read("shop/tests/micro/loud.txt"), "FILE");
    let left: Vec<_> = std::fs::read_dir(shop.world.path("shop/.agent/tmp"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("tier-")), "{left:?}");
}

#[test]
fn an_expected_error_is_compared_by_its_message() {
    let shop = counting();
    shop.cases(&[
        call("text", "refuse", json!({"code": 7}), json!({"error": "code 7"})),
        call(
            "equal",
            "refuse",
            json!({"code": 7}),
            json!({"error": {"equals": "RuntimeError: code 7"}}),
        ),
        call("refused", "no_such_tool", json!({}), json!({"error": "Unknown tool: no_such_tool"})),
        call("coded", "no_such_tool", json!({}), json!({"error": {"subset": {"code": -32602}}})),
        json!({"id": "turns", "turns": [
            {"tool": "refuse", "arguments": {"code": 1}, "expect": {"error": "code 1"}},
            {"tool": "remember", "arguments": {"word": "a"}, "expect": {"equals": ["a"]}}]}),
    ]);
    on(&shop, "2026-11-22", &[]).ok().stdout_has("5 passed");
}

#[test]
fn one_slow_case_holds_nobody() {
    let shop = counting();
    let quick =
        |number: usize| call(&format!("quick{number}"), "who", json!({}), json!({"equals": "me"}));
    let mut cases: Vec<_> = (0..40).map(quick).collect();
    let slow = call("slow", "wait_for", json!({"name": "go"}), json!({"regex": "there"}));
    cases.insert(20, with(slow, "limit_s", json!(60)));
    cases.push(call("last", "who", json!({}), json!({"equals": "me"})));
    shop.cases(&cases);
    let last = RUNNER.replace("\nserver.run()\n", COUNTING).replace(
        "    return \"me\"\n",
        r#"    with open(os.path.join(os.environ["COUNTS"], "who")) as file:
        if len(file.readlines()) == 41:
            open(os.path.join(os.environ["COUNTS"], "go"), "w").close()
    return "me"
"#,
    );
    shop.write("runner/__main__.py", &last);
    let ran = |shop: &Shop| {
        let who = shop.world.read(shop.world.shared("who"));
        let mut by_child = std::collections::BTreeMap::<String, usize>::new();
        for line in who.lines() {
            *by_child.entry(line.split(' ').next().unwrap().to_owned()).or_default() += 1;
        }
        by_child.into_values().collect::<Vec<_>>()
    };
    // at first the cause is unknown: cases that its Runner answered concurrently share its time
    shop.world.write(shop.world.shared("go"), "");
    on(&shop, "2026-11-22", &["--shards", "2", "--no-cache"]).ok().stdout_has("42 passed");
    assert_eq!(ran(&shop).iter().sum::<usize>(), 41);

    // known to be slow, it goes first and alone. Now it ends when all others have: were one of them
    // behind it, none would
    for file in ["who", "go"] {
        std::fs::remove_file(shop.world.shared(file)).unwrap();
    }
    on(&shop, "2026-11-22", &["--shards", "2", "--no-cache"]).ok().stdout_has("42 passed");
    assert_eq!(ran(&shop).iter().sum::<usize>(), 41);
}

#[test]
fn a_conversation_becomes_a_case() {
    let shop = counting();
    let run = |tool: &str, arguments: &str| {
        shop.world
            .agent("shop", ["run", tool, arguments, "--conversation", "c1", "--at", "worktree"])
    };
    let add = |arguments: &[&str]| {
        shop.world.agent("shop", ["test", "add", "--conversation", "c1"].iter().chain(arguments))
    };
    add(&[]).code(3).stderr_has("unknown conversation `c1`");
    run("remember", r#"{"word": "a"}"#).ok();
    run("remember", r#"{"word": "b"}"#).ok();
    run("price", r#"{"item": "gold"}"#);
    let written = || shop.world.read("shop/tests/micro/conversations.jsonl");

    add(&["--turn", "2"]).code(2).stderr_has("so an expectation is needed").stderr_has("--golden");
    add(&["--turn", "4"]).code(2).stderr_has("has 3 turns, not 4");
    add(&["--expect", "{"]).code(2).stderr_has("--expect: line 1, column 1: no JSON");
    add(&["--expect", r#"{"equal": 1}"#])
        .code(2)
        .stderr_has("--expect: \"equal\" is not an expectation (did you mean \"equals\"?)");
    add(&["--golden", "--expect", "{}"]).code(2);
    add(&["--dry-run"])
        .ok()
        .stdout_has(r#"{"id":"c1","turns":[{"tool":"remember","arguments":{"word":"a"}}"#);
    assert!(!shop.world.path("shop/tests/micro/conversations.jsonl").exists());

    let failed = add(&["--json"]).ok().json();
    assert_eq!(
        (&failed["schema"], &failed["outcome"]),
        (&json!("agent/test-add@1"), &json!("failed"))
    );
    assert_eq!(failed["case"]["turns"][2]["expect"], json!({"schema": {}}));
    assert_eq!(
        failed["why"],
        "turn 3: the tool failed: ValueError: no item 'gold' (runner/__main__.py:14)"
    );
    add(&[])
        .code(2)
        .stderr_has("the id `c1` is taken by tests/micro/conversations.jsonl:1")
        .stderr_has("--id");
    // an editor may have left the last line without its end
    shop.write("tests/micro/conversations.jsonl", written().trim_end());
    add(&["--id", "words", "--turn", "2", "--golden"])
        .ok()
        .stdout_has("it passes now")
        .stderr_has("tests/micro/golden/words.json has the present answer");
    assert_eq!(
        shop.world.read("shop/tests/micro/golden/words.json"),
        "{\n  \"result\": [\n    \"a\",\n    \"b\"\n  ]\n}\n"
    );
    add(&["--id", "two", "--turn", "2", "--expect", r#"{"equals": ["a"]}"#]).ok().stdout_has(
        "it fails now, as it should until the fault is fixed: turn 2: $: expected 1 items, got 2",
    );
    assert_eq!(written().lines().count(), 3);
    // nothing but the user's own git touches the index
    assert_eq!(shop.world.git("shop", ["status", "--porcelain", "--", "tests"]), "?? tests/micro/");

    // mended, the case passes
    shop.write(
        "state/active.state.json",
        "{\n  \"prices\": {\n    \"tea\": 3,\n    \"gold\": 900\n  }\n}\n",
    );
    shop.test(&["--case", "c1", "--case", "words"]).ok().stdout_has("2 passed");
}

#[test]
fn a_case_that_a_repeat_shows_to_be_flaky_stays_flaky() {
    let shop = counting();
    let once = json!({"schema": {"properties": {"result": {"maximum": 1}}}});
    shop.cases(&[
        call("sometimes", "count", json!({"name": "sometimes"}), once),
        tea("dear", json!({"subset": {"price": 4}})),
    ]);
    let run = |arguments: &[&str]| {
        on(&shop, "2026-11-22", &[&["--json"], arguments].concat()).code(1).json()["tiers"]["micro"]
            .clone()
    };
    let repeated = run(&["--repeats", "2"]);
    assert_eq!((&repeated["flaky"], &repeated["passed"]), (&json!(1), &json!(0)));
    let first = run(&[]);
    assert_eq!((&first["flaky"], &first["cached"]), (&json!(1), &json!(0)));
    // one that fails each time is as certain as before, however often it is run
    run(&["--repeats", "3"]);
    let second = run(&[]);
    assert_eq!((&second["flaky"], &second["cached"]), (&json!(1), &json!(1)));
    assert_eq!(shop.world.read(shop.world.shared("sometimes")).len(), 2 + 1 + 3 + 1);
}
