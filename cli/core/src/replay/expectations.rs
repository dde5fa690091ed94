//! The expectations of recorded calls: lines of `tests/replay.jsonl`, and cases with the same tool
//! and arguments.

use crate::formats::canonical;
use crate::formats::document::{self, DocumentError, Fields};
use crate::testing::attempt::Given;
use crate::testing::case::Case;
use crate::testing::expectation::{Expectation, contains, difference};
use serde_json::{Value, json};
use std::collections::HashMap;

/// In the repository.
pub const FILE: &str = "tests/replay.jsonl";
/// Beside it are golden files and judges.
const FOLDER: &str = "tests/";
const KEYS: [&str; 4] = ["tool", "arguments", "expect", "ignore"];

/// A line: what is expected of a tool's answers, or which of their members vary.
#[derive(Debug)]
struct Rule {
    /// `tests/replay.jsonl:LINE`.
    place: String,
    tool: String,
    /// The call has these among its arguments.
    arguments: Option<Value>,
    expect: Option<Value>,
    /// JSON pointers into the answer.
    ignore: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Expectations {
    rules: Vec<Rule>,
    /// Expectations of cases, by call.
    cases: HashMap<String, Value>,
}

impl Expectations {
    /// Adds the lines of `tests/replay.jsonl`.
    pub fn read(&mut self, text: &str) -> Result<(), DocumentError> {
        let lines = document::without_mark(text).lines().enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            self.rules.push(rule(line, &format!("{FILE}:{}", index + 1))?);
        }
        Ok(())
    }

    /// Adds what a case expects of its one call. Held-out cases are left out, since a replay shows
    /// why an answer is judged as it is; and cases that check files or are in quarantine.
    pub fn add(&mut self, case: &Case) {
        let is_plain = !case.is_conversation && case.files.is_none() && !case.quarantined;
        if !is_plain || crate::testing::case_result::is_held_out(&case.place) {
            return;
        }
        let [step] = &case.steps[..] else { return };
        let Some(mut expect) = case.written(0).get("expect").cloned() else { return };
        if let Some(golden) = step.expect.as_ref().and_then(Expectation::golden) {
            expect = json!({"golden": golden.path.strip_prefix(FOLDER).unwrap_or(&golden.path)});
        }
        self.cases.entry(key(&step.tool, &step.arguments)).or_insert(expect);
    }

    /// The expectation of a call's answer: that of a case with the same call, else of the first
    /// line.
    pub fn of(&self, tool: &str, arguments: &Value) -> Option<&Value> {
        let of_rule = || self.rules_of(tool, arguments).find_map(|rule| rule.expect.as_ref());
        self.cases.get(&key(tool, arguments)).or_else(of_rule)
    }

    /// The lines about tools that are not there, each with its place.
    pub fn without_effect(&self, is_there: impl Fn(&str) -> bool) -> Vec<String> {
        let lost = self.rules.iter().filter(|rule| !is_there(&rule.tool));
        lost.map(|Rule { place, tool, .. }| {
            format!("{place}: neither side has a tool `{tool}`; the line has no effect")
        })
        .collect()
    }

    /// An answer without what varies.
    #[must_use]
    fn steady(&self, tool: &str, arguments: &Value, mut answer: Value) -> Value {
        for pointer in self.rules_of(tool, arguments).flat_map(|rule| &rule.ignore) {
            if let Some(value) = answer.pointer_mut(pointer) {
                *value = Value::Null;
            }
        }
        answer
    }

    /// How another answer to a call differs from the first, apart from what varies.
    pub fn difference(
        &self,
        (tool, arguments): (&str, &Value),
        old: &Given,
        new: &Given,
    ) -> Option<String> {
        if old.is_error != new.is_error {
            return Some(format!("{}, was {}", new.shown(), old.shown()));
        }
        let steady = |value: &Value| self.steady(tool, arguments, value.clone());
        let content = |given: &Given| given.content.as_ref().map(steady).unwrap_or_default();
        difference(&steady(&old.value), &steady(&new.value)).or_else(|| {
            let why = difference(&content(old), &content(new))?;
            Some(format!("its text content: {why}"))
        })
    }

    fn rules_of<'a, 'b>(
        &'a self,
        tool: &'b str,
        arguments: &'b Value,
    ) -> impl Iterator<Item = &'a Rule> + use<'a, 'b> {
        self.rules.iter().filter(move |rule| {
            let fits = |wanted: &Value| contains(wanted, arguments);
            rule.tool == tool && rule.arguments.as_ref().is_none_or(fits)
        })
    }
}

fn key(tool: &str, arguments: &Value) -> String {
    format!("{tool} {}", canonical::to_compact(arguments))
}

fn rule(line: &str, place: &str) -> Result<Rule, DocumentError> {
    let value: Value = document::parse(line).map_err(|flaw| flaw.on_line(place))?;
    let mut fields = Fields::new(value, place, "a line", &KEYS)?;
    let tool = fields
        .text("tool")?
        .ok_or_else(|| fields.missing("tool", "name the tool whose answers it is about"))?;
    let arguments = fields.take("arguments");
    if let Some(other) = arguments.as_ref().filter(|arguments| !arguments.is_object()) {
        return Err(fields.wrong("arguments", other, "an object"));
    }
    let expect = fields.take("expect");
    if let Some(expect) = &expect {
        Expectation::parse(expect.clone(), place)?;
    }
    let ignore = fields.list("ignore")?.unwrap_or_default();
    let pointer = |value: &Value| {
        let text = value.as_str().filter(|text| text.starts_with('/'));
        text.map(str::to_owned).ok_or_else(|| {
            fields.wrong("ignore", value, "a list of JSON pointers, such as \"/at\"")
        })
    };
    let ignore = ignore.iter().map(pointer).collect::<Result<Vec<_>, _>>()?;
    if expect.is_none() && ignore.is_empty() {
        let hint = "add what is expected, such as {\"schema\": {}}, or what varies: \"ignore\"";
        return Err(fields.missing("expect", hint));
    }
    Ok(Rule { place: place.to_owned(), tool, arguments, expect, ignore })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::case::Cases;

    #[test]
    fn a_case_with_the_same_call_comes_before_lines_for_its_tool() {
        let mut expectations = Expectations::default();
        expectations
            .read(
                "{\"tool\": \"t\", \"ignore\": [\"/at\"]}\n\n\
                {\"tool\": \"t\", \"arguments\": {\"n\": 1}, \"expect\": {\"equals\": \"one\"}}\n\
                {\"tool\": \"t\", \"expect\": {\"schema\": {\"type\": \"string\"}}}\n",
            )
            .unwrap();
        let mut cases = Cases::default();
        cases
            .read(
                "{\"id\":\"a\",\"tool\":\"t\",\"arguments\":{\"n\":2},\"expect\":{\"equals\":2}}\n",
                "tests/micro/a.jsonl",
            )
            .unwrap();
        cases
            .read(
                "{\"id\":\"b\",\"tool\":\"u\",\"expect\":{\"equals\":2}}\n",
                "tests/micro/heldout/b.jsonl",
            )
            .unwrap();
        cases.list.iter().for_each(|case| expectations.add(case));
        let of = |arguments: Value| expectations.of("t", &arguments).cloned();
        assert_eq!(of(json!({"n": 2})), Some(json!({"equals": 2})));
        assert_eq!(of(json!({"m": 0, "n": 1})), Some(json!({"equals": "one"})));
        assert_eq!(of(json!({"n": 3})), Some(json!({"schema": {"type": "string"}})));
        assert_eq!(expectations.of("u", &json!({})), None, "held-out cases judge no replay");
        let answer = expectations.steady("t", &json!({}), json!({"at": 5, "n": 1}));
        assert_eq!(answer, json!({"at": null, "n": 1}));
    }

    #[test]
    fn an_unreadable_line_names_its_place() {
        for (line, problem) in [
            ("{\"tool\": \"t\"}", "tests/replay.jsonl:1: \"expect\" is missing"),
            ("{\"expect\": {}}", "tests/replay.jsonl:1: \"tool\" is missing"),
            ("{\"tool\": \"t\", \"expect\": {\"equal\": 1}}", "\"equal\" is not an expectation"),
            ("{\"tool\": \"t\", \"ignore\": [\"at\"]}", "JSON pointers"),
        ] {
            let error = Expectations::default().read(line).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
