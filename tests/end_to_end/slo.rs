//! Service level objectives: counted from real calls and rewards, in the terminal and as JSON.

use crate::rest::Api;
use crate::served::Served;
use crate::telemetry::served;
use agent_core::formats::yaml;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};

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
    // a file that was stored twice counts once
    let file = crate::telemetry::newest_file(&served, "traces");
    std::fs::copy(&file, file.with_extension("again.jsonl")).unwrap();
    assert_eq!(seen(), expected(5));
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

#[test]
fn objectives_are_exchanged_as_openslo() {
    let served = served();
    let slos = json!([
        {"name": "calls-succeed", "display_name": "Calls succeed", "description": "no: errors",
            "indicator": {"type": "success"}, "target": 0.99, "window": "28d"},
        {"name": "fast-answers", "indicator": {"type": "latency", "at_most_ms": 500.0},
            "filter": {"tool": "ask", "version": "^0.1", "line": "0.1"}, "target": 0.9995,
            "window": "6h"},
    ]);
    let path = served.path("ci/budgets.json");
    std::fs::write(&path, budgets(&slos)).unwrap();
    let exported = served.agent(["slo", "export"]).ok().stdout.clone();
    assert!(exported.starts_with("apiVersion: openslo/v1\nkind: SLO\n"), "{exported}");
    assert!(exported.contains("target: 0.99\n"), "{exported}");
    let one = served.agent(["slo", "export", "fast-answers"]).ok().stdout.clone();
    assert!(!one.contains("calls-succeed"), "{one}");
    served.agent(["slo", "export", "fast"]).code(3).stderr_has("there is no objective `fast`");
    let file = served.path("slos.yaml");
    std::fs::write(&file, &exported).unwrap();

    // into a file that has others, whose text stays as it is
    let there = "{\n  \"schema\": \"agent/budgets@1\",\n  \"tiers\": {\"fast\": {\"score\": \
        0.50}},\n  \"slos\": [\n    {\"name\": \"other\", \"indicator\": {\"type\": \"success\"}, \
        \"target\": 0.5, \"window\": \"1d\"}";
    std::fs::write(&path, format!("{there}\n  ]\n}}\n")).unwrap();
    let text = || std::fs::read_to_string(&path).unwrap();
    let before = text();
    let imported = served.agent(["slo", "import", "slos.yaml", "--dry-run", "--json"]).ok().json();
    assert_eq!(imported["objectives"][0]["change"], "added");
    assert_eq!(text(), before, "--dry-run");
    served.agent(["slo", "import", "slos.yaml"]).ok().stdout_has("added     fast-answers");
    assert!(text().starts_with(there), "{}", text());
    assert_eq!(
        served.agent(["slo", "export", "calls-succeed", "fast-answers"]).ok().stdout.clone(),
        exported
    );
    let (imported, unchanged) = (text(), served.agent(["slo", "import", "slos.yaml"]).ok());
    unchanged.stdout_has("same      calls-succeed");
    assert_eq!(text(), imported);

    // other content is replaced where that is wanted
    std::fs::write(&file, exported.replace("0.9995", "0.5")).unwrap();
    served
        .agent(["slo", "import", "slos.yaml"])
        .code(3)
        .stderr_has("ci/budgets.json has other objectives of the same name: fast-answers")
        .stderr_has("--replace");
    assert_eq!(text(), imported);
    served
        .agent(["slo", "import", "slos.yaml", "--replace"])
        .ok()
        .stdout_has("same      calls-succeed")
        .stdout_has("replaced  fast-answers");
    assert!(text().contains("0.5") && !text().contains("0.9995"), "{}", text());

    // what cannot be counted says what can
    std::fs::write(&file, exported.replace("type: agent", "type: Prometheus")).unwrap();
    served
        .agent(["slo", "import", "slos.yaml"])
        .code(3)
        .stderr_has("slos.yaml: SLO calls-succeed: spec.indicator.spec.ratioMetric.good")
        .stderr_has("events of the type \"Prometheus\" are not on record")
        .stderr_has("type: agent");
    std::fs::write(&file, "a: [").unwrap();
    served.agent(["slo", "import", "slos.yaml"]).code(3).stderr_has("slos.yaml:");
    served.agent(["slo", "import", "no.yaml"]).code(3).stderr_has("there is no file");
    // from stdin, into a repository without the file
    std::fs::remove_file(&path).unwrap();
    served.agent_given(["slo", "import", "-"], &exported).ok().stdout_has("added     fast-answers");
    assert_eq!(served.agent(["slo", "export"]).ok().stdout.clone(), exported);
    // and not into one without a working tree
    served.git(["clone", "--quiet", "--bare", ".", "../bare.git"]);
    served
        .world
        .agent("bare.git", ["slo", "import", "../slos.yaml"])
        .code(3)
        .stderr_has("there is no file ../slos.yaml");
    std::fs::write(served.world.path("slos.yaml"), &exported).unwrap();
    served
        .world
        .agent("bare.git", ["slo", "import", "../slos.yaml"])
        .code(3)
        .stderr_has("this repository is bare: it has no working tree with ci/budgets.json");
}

/// Served calls and rewards with two objectives, and the API over them.
fn watched() -> (Served, Api) {
    let served = served();
    for question in ["a", "b", "c", ""] {
        served.agent(["run", "ask", &format!("question={question}"), "--conversation", "c1"]);
    }
    served.agent(["tune", "reward", "value=1", "--conversation", "c1"]).ok();
    let slos = json!([
        {"name": "calls-succeed", "indicator": {"type": "success"}, "target": 0.5, "window": "28d"},
        {"name": "never-called", "indicator": {"type": "success"}, "filter": {"tool": "other"},
            "target": 0.9, "window": "1h"},
    ]);
    std::fs::write(served.path("ci/budgets.json"), budgets(&slos)).unwrap();
    let api =
        Api::start(served.command().args(["serve", "versions", "--json"]).stdout(Stdio::piped()));
    (served, api)
}

#[test]
fn objectives_are_served_as_a_document_and_as_metrics() {
    let (served, api) = watched();
    let document = api.get("/v1/slos");
    let mut printed = served.agent(["slo", "--json"]).ok().json();
    printed["at"] = document["at"].clone();
    assert_eq!(document, printed);
    let metrics = api.ask("GET", "/metrics", "").body;
    for line in [
        "# TYPE agent_slo_objective_ratio gauge",
        "agent_slo_objective_ratio{slo=\"calls-succeed\"} 0.5",
        "agent_slo_window_seconds{slo=\"never-called\"} 3600",
        "agent_slo_compliance_ratio{slo=\"calls-succeed\"} 0.75",
        "agent_slo_error_budget_remaining_ratio{slo=\"calls-succeed\"} 0.5",
        "agent_slo_burn_rate{slo=\"calls-succeed\",window=\"3d\"} 0.5",
        "agent_slo_window_events{slo=\"never-called\",window=\"1h\"} 0",
        "# TYPE agent_slo_events_total counter",
        "agent_slo_good_events_total{slo=\"calls-succeed\"} 3",
        "agent_slo_events_total{slo=\"calls-succeed\"} 4",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
    for absent in [
        "agent_slo_compliance_ratio{slo=\"never-called\"}",
        "agent_slo_burn_rate{slo=\"never-called\",window=\"6h\"}",
    ] {
        assert!(!metrics.contains(absent), "{absent}\n{metrics}");
    }
    let own: Vec<_> = metrics.lines().filter(|line| line.contains("agent_slo_")).collect();
    promtool("check metrics", "metrics", &(own.join("\n") + "\n"));
    // what is wrong in the file does not hide the other metrics
    std::fs::write(served.path("ci/budgets.json"), "{").unwrap();
    let metrics = api.ask("GET", "/metrics", "").body;
    assert!(metrics.contains("# ci/budgets.json:1:"), "{metrics}");
    assert!(metrics.contains("agent_version_calls_total{version=\"0.1.0\"} 4\n"), "{metrics}");
}

#[test]
fn rules_and_dashboard_use_metrics_that_are_exposed() {
    let (served, api) = watched();
    let metrics = api.ask("GET", "/metrics", "").body;
    let exposed: BTreeSet<_> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    let export =
        |format: &str| served.agent(["slo", "export", "--format", format]).ok().stdout.clone();
    let rules = export("prometheus");
    let documents = yaml::documents(&rules, "rules.yml").unwrap();
    let alerts = documents[0]["groups"][0]["rules"].as_array().unwrap();
    let of_rules: Vec<_> = alerts.iter().map(|rule| rule["expr"].to_string()).collect();
    let dashboard: Value = serde_json::from_str(&export("grafana")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let of_dashboard = targets.map(|target| target["expr"].to_string());
    let used: Vec<_> = of_rules.into_iter().chain(of_dashboard).collect();
    assert!(used.len() > 10, "{used:?}");
    for expression in &used {
        let words =
            expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let names: Vec<_> = words.filter(|word| word.starts_with("agent_")).collect();
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            assert!(exposed.contains(name), "{name} of {expression} is not among {exposed:?}");
        }
        // the windows that alerts ask for are those of the series
        for window in
            expression.split("window=\\\"").skip(1).filter_map(|rest| rest.split('\\').next())
        {
            assert!(metrics.contains(&format!("window=\"{window}\"")), "{window} of {expression}");
        }
    }
    promtool("check rules", "rules.yml", &rules);
    served
        .agent(["slo", "export", "calls-succeed", "--format", "grafana"])
        .code(2)
        .stderr_has("--format grafana takes no names of objectives");
}

/// Prometheus' own check, where it is installed.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the test asks another program, and says where there is none"
)]
fn promtool(check: &str, file: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new("promtool");
    command.args(check.split(' '));
    match check {
        "check metrics" => command.stdin(std::fs::File::open(&path).unwrap()),
        _ => command.arg(&path),
    };
    match command.output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
            assert!(output.status.success(), "{said:?}");
        }
        Err(_) => eprintln!("skipped: there is no promtool on PATH"),
    }
}
