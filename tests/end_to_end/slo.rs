//! Service level objectives: counted from real calls and rewards, in the terminal and as JSON.

use crate::served::Served;
use crate::telemetry::served;
use serde_json::{Value, json};

fn budgets(slos: &Value) -> String {
    json!({"schema": "agent/budgets@1", "tiers": {}, "slos": slos}).to_string()
}

#[test]
fn objectives_are_counted_from_calls_and_rewards() {
    let served = served();
    for question in ["a", "b", "c", ""] {
        served.agent(["run", "ask", &format!("question={question}"), "--conversation", "c1"]);
    }
    for value in ["1", "0"] {
        served.agent(["tune", "reward", &format!("value={value}"), "--conversation", "c1"]).ok();
    }
    let objective = |name: &str, indicator: Value| json!({"name": name, "indicator": indicator, "target": 0.5, "window": "28d"});
    let mut slos = vec![
        objective("calls-succeed", json!({"type": "success"})),
        objective("calls-are-fast", json!({"type": "latency", "at_most_ms": 100_000})),
        objective("rewards-are-high", json!({"type": "reward", "at_least": 1})),
    ];
    slos.push(json!({"name": "another-tool", "indicator": {"type": "success"},
        "filter": {"tool": "other"}, "target": 0.5, "window": "1h"}));
    std::fs::write(served.path("ci/budgets.json"), budgets(&json!(slos))).unwrap();
    let seen = || {
        let report = served.agent(["slo", "--json"]).ok().json();
        assert_eq!(report["schema"], "agent/slos@1");
        let objectives = report["objectives"].as_array().unwrap().clone();
        let counts = |objective: &Value| {
            (
                objective["name"].as_str().unwrap().to_owned(),
                objective["good"].as_u64().unwrap(),
                objective["total"].as_u64().unwrap(),
            )
        };
        objectives.iter().map(counts).collect::<Vec<_>>()
    };
    let expected = |calls: u64| {
        vec![
            ("calls-succeed".to_owned(), calls - 1, calls),
            ("calls-are-fast".to_owned(), calls, calls),
            ("rewards-are-high".to_owned(), 1, 2),
            ("another-tool".to_owned(), 0, 0),
        ]
    };
    assert_eq!(seen(), expected(4));
    assert_eq!(seen(), expected(4), "what was read before counts once");
    served.agent(["run", "ask", "question=d"]).ok();
    assert_eq!(seen(), expected(5), "what is new is added");
    // objectives that share their events count each of them once
    let mut stricter = objective("calls-succeed-strictly", json!({"type": "success"}));
    stricter["target"] = json!(0.99);
    slos.push(stricter);
    std::fs::write(served.path("ci/budgets.json"), budgets(&json!(slos))).unwrap();
    std::fs::remove_file(served.path(".agent/slo-counts.json")).unwrap();
    let shared = seen();
    assert_eq!(shared[..4], expected(5));
    assert_eq!(shared[4], ("calls-succeed-strictly".to_owned(), 4, 5));
    slos.pop();
    // a new objective is counted from the beginning
    slos.remove(0);
    slos.push(objective("answers-of-a-line", json!({"type": "success"})));
    slos[3]["filter"] = json!({"line": "0.1"});
    std::fs::write(served.path("ci/budgets.json"), budgets(&json!(slos))).unwrap();
    assert_eq!(seen()[3], ("answers-of-a-line".to_owned(), 4, 5));

    let table = served.agent(["slo", "answers-of-a-line"]).ok();
    table.stdout_has("answers-of-a-line  80 %  50 %    28d     5       60 %");
    served.agent(["slo", "answers"]).code(3).stderr_has("there is no objective `answers`");
}

#[test]
fn a_mistake_in_an_objective_names_file_and_key() {
    let served = served();
    served.agent(["slo"]).ok().stderr_has("there are no objectives");
    let wrong =
        json!([{"name": "a", "indicator": {"type": "success"}, "target": 99, "window": "1d"}]);
    std::fs::write(served.path("ci/budgets.json"), budgets(&wrong)).unwrap();
    let message = "ci/budgets.json: slos[0]: \"target\" is 99";
    served.agent(["slo"]).code(3).stderr_has(message);
    served.agent(["test"]).code(3).stderr_has(message);
}

#[test]
fn the_cost_that_a_runner_reports_is_counted() {
    let runner = r#"
from agent_runtime import Server, cost

runner = Server("priced")


@runner.tool
def ask(usd: float) -> str:
    if usd > 0:
        cost(usd=usd)
    return "x"


if __name__ == "__main__":
    runner.run()
"#;
    let served = Served::with(&[("runner/__main__.py", runner)]);
    for usd in ["0", "0.01", "0.02"] {
        served.agent(["run", "ask", &format!("usd={usd}")]).ok();
    }
    let slos = json!([{"name": "calls-are-cheap", "indicator": {"type": "cost",
        "at_most_usd": 0.01}, "target": 0.9, "window": "1d"}]);
    std::fs::write(served.path("ci/budgets.json"), budgets(&slos)).unwrap();
    let report = served.agent(["slo", "--json"]).ok().json();
    let objective = &report["objectives"][0];
    assert_eq!((&objective["good"], &objective["total"]), (&json!(1), &json!(2)), "{report}");
    let left = objective["budget_left"].as_f64().unwrap();
    assert!((left + 4.0).abs() < 1e-9, "half of the calls are bad where a tenth may be: {left}");
}
