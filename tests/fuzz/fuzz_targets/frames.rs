//! Whatever a child sends: each line is told from the others, and what an answer holds is read,
//! judged and recorded.

#![no_main]

use agent_core::protocol::call_result::CallResult;
use agent_core::protocol::discovery::{Discovery, Lifetime};
use agent_core::testing::expectation::{Expectation, judge};
use agent_core::protocol::mcp::{self, Era};
use agent_core::testing::opinion::Opinion;
use agent_core::protocol::raw_object::RawObject;
use agent_core::protocol::rpc::{self, Line};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use serde_json::{Value, json};

fuzz_target!(|stream: &[u8]| {
    for line in stream.split(|byte| *byte == b'\n') {
        match rpc::read(line) {
            Line::Answer { outcome: Ok(result), .. } => answered(result),
            Line::Notification { frame, .. } => drop(RawObject::parse(frame)),
            Line::Request { params: Some(params), .. } => drop(RawObject::parse(params)),
            _ => {}
        }
    }
});

fn answered(result: &RawValue) {
    mcp::wants_input(result);
    let _ = (mcp::to_stateless("tools/list", result), mcp::to_handshake(result));
    let _ = CallResult::parse(result.to_owned());
    let Ok(answer) =
        CallResult::parse(result.to_owned()).and_then(|result| result.answer()) else { return };
    let _ = Opinion::read(answer.value(), 0.5);
    for expected in [
        json!({"equals": {"a": [1, 2.5, "x"]}}),
        json!({"subset": {"a": {}}}),
        json!({"approx": {"value": [1e300, 5], "rel": 0.1}}),
        json!({"schema": {"uniqueItems": true, "maximum": 18446744073709551616_f64,
            "const": {"a": 1}}}),
        json!({"ranking": {"relevant": ["a"], "k": 3}}),
        json!({"error": "x"}),
    ] {
        if let Ok(Expectation::Local(check)) = Expectation::parse(expected, "fuzz") {
            let judgement = judge(&check, &answer);
            assert!((0.0..=1.0).contains(&judgement.score), "{judgement:?}");
        }
    }
    if answer.value().is_object()
        && answer.value().get("capabilities").is_none_or(Value::is_object) {
        let tools =
            answer.value().get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
        let tools: Vec<_> = tools.into_iter().filter(Value::is_object).collect();
        let discovery = Discovery::new(Some(answer.value().clone()), None, tools);
        let _ = (discovery.initialize(mcp::HANDSHAKE), discovery.discover(Lifetime(0)));
        let _ = (discovery.list(Era::Handshake, Lifetime(0)), discovery.list(Era::Stateless,
            Lifetime(0)));
    }
}
