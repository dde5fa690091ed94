use super::*;
use crate::protocol::otlp::Kind;
use serde_json::json;
use std::collections::BTreeMap;

fn read(value: Value) -> Result<Objective, String> {
    let mut read = parse(vec![value], "ci/budgets.json: slos").map_err(|error| {
        assert!(!error.hint.is_empty());
        error.to_string()
    })?;
    Ok(read.remove(0))
}

fn whole() -> Value {
    json!({"name": "fast-answers", "description": "d", "indicator": {"type": "latency",
        "at_most_ms": 500}, "filter": {"tool": "ask", "version": "^1", "line": "1.2"},
        "target": 0.95, "window": "4w"})
}

#[test]
fn an_objective_is_read() {
    let objective = read(whole()).unwrap();
    assert_eq!(objective.indicator, Indicator::Latency { at_most_ms: 500.0 });
    assert_eq!(objective.window.to_string(), "28d");
    assert_eq!(objective.filter.line, Some(Line { major: 1, minor: 2 }));
    let plain = json!({"name": "a", "indicator": {"type": "success"}, "target": 0.5,
        "window": "90m"});
    let plain = read(plain).unwrap();
    assert_eq!((plain.filter, plain.window.to_string().as_str()), (Filter::default(), "90m"));
}

#[test]
fn a_mistake_in_an_objective_names_its_place() {
    let with = |key: &str, value: Value| {
        let mut wrong = whole();
        wrong[key] = value;
        read(wrong).unwrap_err()
    };
    let place = "ci/budgets.json: slos[0]";
    for (key, value, message) in [
        ("name", json!("A b"), ": \"name\" is \"A b\""),
        ("target", json!(1), ": \"target\" is 1"),
        ("target", json!("x"), ": \"target\" is a text, not a number"),
        ("window", json!("1y"), ": \"window\" is \"1y\""),
        ("window", json!("91d"), ": \"window\" is \"91d\""),
        ("window", json!("0d"), ": \"window\" is \"0d\""),
        ("window", json!("é"), ": \"window\" is \"é\""),
        ("targt", json!(1), ": \"targt\" is not a key of an SLO (did you mean \"target\"?)"),
        ("indicator", json!("x"), ".indicator: an indicator is a text, not an object"),
        ("indicator", json!({}), ".indicator: \"type\" is missing"),
        ("indicator", json!({"type": "speed"}), ".indicator: \"type\" is \"speed\""),
        (
            "indicator",
            json!({"type": 1}),
            ".indicator: \"type\" is 1, not one of success, latency, reward, cost",
        ),
        ("indicator", json!({"type": "cost"}), ".indicator: \"at_most_usd\" is missing"),
        (
            "indicator",
            json!({"type": "latency", "at_most_ms": 0}),
            ".indicator: \"at_most_ms\" is 0",
        ),
        (
            "indicator",
            json!({"type": "success", "at_least": 1}),
            ".indicator: \"at_least\" is not a key of the indicator \"success\"",
        ),
        ("filter", json!({"line": "1"}), ".filter: \"line\" is \"1\""),
    ] {
        let message = format!("{place}{message}");
        assert_eq!(with(key, value), message);
    }
    assert!(with("filter", json!({"version": "x y"})).starts_with(&format!("{place}.filter: ")));
    let twice = parse(vec![whole(), whole()], "f").unwrap_err().to_string();
    assert_eq!(twice, "f[1]: a second objective has the name \"fast-answers\"");
    for key in ["name", "indicator", "target", "window"] {
        let mut missing = whole();
        missing.as_object_mut().unwrap().shift_remove(key);
        assert_eq!(read(missing).unwrap_err(), format!("{place}: \"{key}\" is missing"));
    }
}

fn call(version: &str, tool: &str, ms: u64, failed: bool) -> Span {
    Span {
        trace: "t".to_owned(),
        id: "s".to_owned(),
        parent: None,
        name: format!("tools/call {tool}"),
        kind: Kind::Client,
        began: 0,
        ended: ms * 1_000_000,
        attributes: BTreeMap::from([
            (names::METHOD.to_owned(), json!(names::TOOLS_CALL)),
            (names::ROLE.to_owned(), json!(names::RUNNER)),
            (names::VERSION.to_owned(), json!(version)),
            (names::TOOL.to_owned(), json!(tool)),
        ]),
        failed,
        message: String::new(),
        links: Vec::new(),
    }
}

#[test]
fn events_outside_the_filter_do_not_count() {
    let objective = read(whole()).unwrap();
    for (span, expected) in [
        (call("1.2.7", "ask", 500, false), Some(true)),
        (call("1.2.7", "ask", 501, false), Some(false)),
        (call("1.2.7", "other", 1, false), None),
        (call("1.3.0", "ask", 1, false), None),
        (call("2.2.0", "ask", 1, false), None),
        (Span { kind: Kind::Server, ..call("1.2.7", "ask", 1, false) }, None),
    ] {
        assert_eq!(objective.of_span(&span), expected, "{span:?}");
    }
}

#[test]
fn each_indicator_counts_its_own_events() {
    let with = |indicator: Value| {
        read(json!({"name": "a", "indicator": indicator, "target": 0.5, "window": "1d"})).unwrap()
    };
    let failed = call("0.1.0", "ask", 1, true);
    assert_eq!(with(json!({"type": "success"})).of_span(&failed), Some(false));
    let cost = with(json!({"type": "cost", "at_most_usd": 0.01}));
    assert_eq!(cost.of_span(&failed), None, "a call without a cost does not count");
    let mut paid = call("0.1.0", "ask", 1, false);
    paid.attributes.insert(names::COST.to_owned(), json!(0.01));
    assert_eq!(cost.of_span(&paid), Some(true));
    let reward = with(json!({"type": "reward", "at_least": 0.5}));
    let event = |score: f64| Event {
        trace: None,
        span: None,
        at: 0,
        name: names::EVALUATION.to_owned(),
        attributes: BTreeMap::from([
            (names::SIGNAL.to_owned(), json!("s-1")),
            (names::SCORE.to_owned(), json!(score)),
        ]),
    };
    assert_eq!(reward.of_event(&event(0.5)), Some(true));
    assert_eq!(reward.of_event(&event(0.49)), Some(false));
    assert_eq!(reward.of_span(&failed), None);
    assert_eq!(cost.of_event(&event(1.0)), None);
}
