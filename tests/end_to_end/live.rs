//! Live traffic over time: the endpoint behind the page.

use crate::rest::Api;
use crate::served::Served;
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
