//! Live traffic over time: the endpoint behind the page.

use crate::rest::Api;
use crate::served::{FOLDER, Served};
use crate::world::{AGENT, World, source_root};
use serde_json::{Value, json};
use std::process::Stdio;

const RUNNER: &str = r#"
from agent_runtime import Server, cost

runner = Server("priced")


@runner.tool
def ask(usd: float) -> str:
    if usd < 0:
        raise ValueError("a negative cost")
    if usd > 0:
        cost(usd=usd)
    return "x"


if __name__ == "__main__":
    runner.run()
"#;

fn sum(series: &Value, key: &str) -> f64 {
    series[key].as_array().unwrap().iter().filter_map(Value::as_f64).sum()
}

#[test]
fn live_traffic_is_served_in_steps_by_version() {
    let served = Served::with(&[("runner/__main__.py", RUNNER)]);
    for usd in ["0", "0.25", "0.5", "-1"] {
        served.agent(["run", "ask", &format!("usd={usd}")]);
    }
    let api =
        Api::start(served.command().args(["serve", "versions", "--json"]).stdout(Stdio::piped()));
    for (since, steps, step_s) in [
        ("1h", 60, 60),
        ("6h", 72, 300),
        ("24h", 96, 900),
        ("7d", 84, 7200),
        ("28d", 84, 28800),
        ("90d", 90, 86400),
    ] {
        let live = api.get(&format!("/v1/live?since={since}"));
        assert_eq!((&live["range"], &live["step_s"]), (&json!(since), &json!(step_s)));
        let [series] = &live["versions"].as_array().unwrap()[..] else { panic!("{live}") };
        assert_eq!(series["version"], "0.1.0");
        for key in ["calls", "errors", "p50_ms", "p95_ms", "rewards", "reward_mean", "cost_usd"] {
            assert_eq!(series[key].as_array().unwrap().len(), steps, "{since} {key}");
        }
        assert_eq!((sum(series, "calls"), sum(series, "errors")), (4.0, 1.0), "{since}");
        assert!((sum(series, "cost_usd") - 0.75).abs() < 1e-9, "{since}: {live}");
        let total = &series["total"];
        assert_eq!((&total["calls"], &total["reward_mean"]), (&json!(4), &Value::Null));
        assert!(total["p95_ms"].as_f64().unwrap() >= total["p50_ms"].as_f64().unwrap());
        assert_eq!(live["marks"][0]["kind"], "release", "{live}");
    }
    assert_eq!(api.get("/v1/live")["range"], "24h");
    assert_eq!(api.ask("GET", "/v1/live?since=2h", "").status, 400);
    // what was read is read once, and what is new is added
    served.agent(["run", "ask", "usd=0.25"]).ok();
    let live = api.get("/v1/live?since=1h");
    assert_eq!(live["versions"][0]["total"]["calls"], 5);
    // a cache that is torn is made again
    let cache = served.path(".agent/live-series.json");
    assert!(cache.exists());
    std::fs::write(&cache, "{").unwrap();
    assert_eq!(api.get("/v1/live?since=1h")["versions"][0]["total"]["calls"], 5);
}

#[test]
fn one_frame_of_top_is_a_table_or_a_document() {
    let served = Served::with(&[("runner/__main__.py", RUNNER)]);
    served.agent(["top"]).ok().stdout_has("no calls and no rewards in the last 1h");
    for usd in ["0", "0.25", "0.5", "-1"] {
        served.agent(["run", "ask", &format!("usd={usd}")]);
    }
    let slos = json!([{"name": "calls-succeed", "indicator": {"type": "success"}, "target": 0.5,
        "window": "28d"}]);
    let budgets = json!({"schema": "agent/budgets@1", "tiers": {}, "slos": slos}).to_string();
    std::fs::write(served.path("ci/budgets.json"), budgets).unwrap();
    // stdout is no terminal, so it ends after a frame
    let frame = served
        .agent(["top", "--since", "24h"])
        .ok()
        .stdout_has("VERSION  CALLS/MIN  ERRORS  P50")
        .stdout_has("v0.1.0   0.0        25 %")
        .stdout_has("$0.7500")
        .stdout_has("calls-succeed  75 %  50 %    28d     4       50 %");
    assert!(!frame.stdout.contains('\u{1b}'), "{}", frame.stdout);
    let document = served.agent(["top", "--json"]).ok().json();
    assert_eq!((&document["schema"], &document["range"]), (&json!("agent/top@1"), &json!("1h")));
    let version = &document["versions"][0];
    assert_eq!((&version["calls"], &version["errors"]), (&json!(4), &json!(1)));
    let per_minute = version["calls_per_minute"].as_f64().unwrap();
    assert!((per_minute - 4.0 / 60.0).abs() < 1e-9, "{per_minute}");
    assert_eq!(document["objectives"][0]["good"], 3);
    served.agent(["top", "--since", "2h"]).code(2).stderr_has("give one of 1h, 6h");
}

#[test]
fn top_updates_a_terminal_and_leaves_it_as_it_was() {
    let served = Served::with(&[("runner/__main__.py", RUNNER)]);
    served.agent(["run", "ask", "usd=0.25"]).ok();
    let program = source_root().join("tests/end_to_end/programs/terminal.py");
    for (key, exit) in [("q", 0), ("\u{3}", 130), ("SIGTERM", 130)] {
        let mut command = served.world.command("python3", FOLDER);
        command.arg(&program).args(["q quits", "3", key, AGENT, "top", "--every", "100ms"]);
        let ended: Value = serde_json::from_str(&World::finish(&mut command).ok().stdout).unwrap();
        assert_eq!((&ended["exit"], &ended["restored"]), (&json!(exit), &json!(true)), "{ended}");
        let shown = ended["shown"].as_str().unwrap();
        assert!(shown.starts_with("\u{1b}[?1049h") && shown.contains("v0.1.0"), "{shown}");
        assert!(shown.trim_end().ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{shown}");
    }
}
