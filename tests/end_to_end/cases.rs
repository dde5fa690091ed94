//! What a case can ask for: repeats, quarantine.

use crate::tiers::{RUNNER, Shop, call, counts, tea};
use crate::world::{AGENT, Ended, World};
use serde_json::{Value, json};

/// A tool that answers by how often it was called, over all Runners: the count is the length of a file.
const COUNTING: &str = r#"
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
    shop.write("counts/.keep", "");
    shop
}

/// `agent test ARGUMENTS` on a day.
fn on(shop: &Shop, day: &str, arguments: &[&str]) -> Ended {
    let mut command = shop.world.command(AGENT, "shop");
    command.env("AGENT_NOW", format!("{day}T12:00:00Z")).env("COUNTS", shop.world.path("shop/counts"));
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
    let below = |limit: i64| json!({"schema": {"properties": {"result": {"exclusiveMaximum": limit}}}});
    let remember = json!({"tool": "remember", "arguments": {"word": "a"}, "expect": {"equals": ["a"]}});
    shop.cases(&[
        with(call("sometimes", "count", json!({"name": "sometimes"}), below(4)), "repeats", json!(5)),
        with(json!({"id": "conversation", "turns": [remember]}), "repeats", json!(2)),
        call("once", "count", json!({"name": "once"}), below(2)),
    ]);
    shop.commit();
    let ended = on(&shop, "2026-11-22", &["--at", "HEAD", "--json"]).code(1);
    assert_eq!(counts(&ended), [3, 2, 1, 0], "{}", ended.stdout);
    let micro = &ended.json()["tiers"]["micro"];
    assert_eq!((&micro["flaky"], &micro["missing"]), (&json!(1), &Value::Null));
    // 3 of 5 and 2 of 2: (3/5 + 1)/2, (3/5 * 2/4 + 1)/2
    let pass_hat_k: Vec<_> = micro["pass_hat_k"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect();
    assert!(pass_hat_k.len() == 2 && (pass_hat_k[0] - 1.6 / 2.0).abs() < 1e-12 && (pass_hat_k[1] - 1.3 / 2.0).abs() < 1e-12, "{micro}");
    let stored = results(&shop, &ended);
    let of = |id: &str| stored.iter().find(|result| result["id"] == id).expect("a result");
    assert_eq!((&of("sometimes")["runs"], &of("sometimes")["score"]), (&json!({"count": 5, "passed": 3}), &json!(0.6)));
    assert!(of("sometimes")["why"].as_str().unwrap().starts_with("run 4 of 5: $.result: 4 is"), "{}", of("sometimes"));
    assert_eq!(of("once")["runs"], Value::Null);

    // what was repeated for its chance is never taken from the cache
    on(&shop, "2026-11-22", &["--at", "HEAD"]).code(1);
    assert_eq!(shop.world.read("shop/counts/sometimes").len(), 10);
    on(&shop, "2026-11-22", &["--repeats", "3"]).code(1).stdout_has("run 1 of 3: $.result: 3");
    on(&shop, "2026-11-22", &["--repeats", "1"]).code(2);

    // a run that breaks its child is the last one
    shop.cases(&[
        with(call("dies", "die", json!({"code": 3}), json!({"subset": {}})), "repeats", json!(4)),
        tea("tea", json!({"subset": {}})),
    ]);
    shop.commit();
    let ended = on(&shop, "2026-11-22", &["--at", "HEAD", "--json"]).code(1);
    let dies = &results(&shop, &ended)[0];
    assert_eq!((&dies["runs"], &dies["outcome"]), (&json!({"count": 1, "passed": 0}), &json!("errored")));
    assert_eq!(ended.json()["tiers"]["micro"]["pass_hat_k"], json!([0.0]));
}

#[test]
fn a_quarantine_is_shown_and_ends() {
    let shop = counting();
    let quarantine = json!({"until": "2027-01-31", "why": "the shop is closed"});
    let gold = call("gold", "price", json!({"item": "gold"}), json!({"subset": {"price": 4}}));
    shop.cases(&[tea("tea", json!({"subset": {"price": 3}})), with(with(gold, "quarantine", quarantine), "must", json!(true))]);
    shop.commit();
    let before = on(&shop, "2027-01-30", &["--at", "HEAD", "--json", "--report", "junit=out.xml"]).ok();
    assert_eq!(counts(&before), [1, 1, 0, 0]);
    let micro = &before.json()["tiers"]["micro"];
    assert_eq!((&micro["quarantined"], &micro["score"], &micro["verdict"]), (&json!(1), &json!(1.0), &json!("pass")));
    assert_eq!(results(&shop, &before)[0]["quarantined"], json!(true));
    assert!(shop.world.read("shop/out.xml").contains("<skipped message=\"in quarantine until 2027-01-31: the shop is closed\"/>"));
    let cached = on(&shop, "2027-01-30", &["--at", "HEAD"]).ok();
    cached.stdout_has("(from the cache)").stdout_has("failed; in quarantine until 2027-01-31: the shop is closed");
    // the same code and the same state, a day later
    let after = on(&shop, "2027-01-31", &["--at", "HEAD"]).code(1);
    after.stdout_has("1 case that must pass did not: gold").stdout_has("its quarantine has ended on 2027-01-31 (the shop is closed)");
}
