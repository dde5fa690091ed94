//! First cases, from what trial calls answered.

use crate::adoption::trial::Trial;
use crate::protocol::call_result::Answer;
use crate::testing::expectation::{self, Expectation};
use serde_json::{Value, json};

/// The length limit of an answer copied to a case.
const REPEATED: usize = 4096;

/// A case of a call that succeeded twice, in separate processes. `varies` holds values of the place
/// and time of the call: for an answer that contains one of them, or that differed the second time,
/// the case expects only success.
pub fn recorded(trial: &Trial, answers: [&Answer; 2], varies: &[String]) -> Value {
    let value = expectation::expected_of(answers[0]);
    let text = value.to_string();
    let is_same = value == expectation::expected_of(answers[1]) && text.len() <= REPEATED;
    let is_steady = is_same && !varies.iter().any(|word| text.contains(word.as_str()));
    let expect = if is_steady { json!({"equals": value}) } else { json!({"schema": {}}) };
    json!({"id": format!("{}-answers", trial.tool), "tool": trial.tool,
        "arguments": trial.arguments, "expect": expect, "tags": ["adopted"]})
}

/// A case of a call without the tool's required arguments.
pub fn refusal(trial: &Trial) -> Option<Value> {
    let required = trial.required.as_ref()?;
    Some(json!({
        "id": format!("{}-needs-{required}", trial.tool), "tool": trial.tool, "arguments": {},
            "expect": {"error": regex::escape(required)},
        "tags": ["adopted"],
    }))
}

/// A case of a call that failed alike in two processes, for a server of which no other call works
/// where it is tried.
pub fn failure(trial: &Trial, answers: [&Answer; 2]) -> Option<Value> {
    let texts = answers.map(Answer::text);
    let line = texts[0].lines().find(|line| !line.trim().is_empty())?;
    let is_steady = answers.iter().all(|answer| answer.is_error()) && texts[0] == texts[1];
    is_steady.then(|| {
        let beginning: String = line.chars().take(60).collect();
        json!({
            "id": format!("{}-fails", trial.tool), "tool": trial.tool, "arguments": trial.arguments,
            "expect": {"error": regex::escape(&beginning)}, "tags": ["adopted"],
        })
    })
}

/// Whether a case holds for this answer, judged as a tier would.
pub fn holds(case: &Value, answer: &Answer) -> bool {
    match Expectation::parse(case["expect"].clone(), "the case") {
        Ok(Expectation::Local(check)) => expectation::judge(&check, answer).passed,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adoption::trial::trials;

    fn answer(text: &str) -> Answer {
        let raw = json!({"content": [{"type": "text", "text": text}]}).to_string();
        Answer::parse(&serde_json::value::RawValue::from_string(raw).unwrap()).unwrap()
    }

    #[test]
    fn stable_results_are_recorded_with_their_calls() {
        let trial = &trials(&[json!({"name": "t", "inputSchema": {"required": ["a.b"]}})])[0];
        let recorded = |one: &str, two: &str| {
            recorded(trial, [&answer(one), &answer(two)], &["2026-11-28".to_owned()])
        };
        let steady = recorded("fine", "fine");
        assert_eq!(steady["expect"], json!({"equals": "fine"}));
        assert!(holds(&steady, &answer("fine")) && !holds(&steady, &answer("other")));
        for (one, two) in
            [("1", "2"), ("on 2026-11-28", "on 2026-11-28"), (&"x".repeat(5000), &"x".repeat(5000))]
        {
            let case = recorded(one, two);
            assert_eq!(case["expect"], json!({"schema": {}}));
            assert!(holds(&case, &answer("anything")));
        }
        assert_eq!(refusal(trial).unwrap()["expect"], json!({"error": "a\\.b"}));
    }
}
