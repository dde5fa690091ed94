//! The expectation of a case, and the judgement of a result with a readable reason.

use crate::formats::document::{DocumentError, Fields};
use crate::formats::number;
use crate::formats::schema::Schema;
use crate::formats::suggestion::did_you_mean;
use crate::formats::text_difference;
use crate::protocol::call_result::Answer;
use crate::testing::judgement::{Judgement, quoted, shortened, shown};
use crate::testing::opinion::CommandCall;
use crate::testing::ranking::Ranking;
use crate::testing::similarity::Similar;
use regex::Regex;
use serde_json::{Map, Value};

const KINDS: [&str; 11] = [
    "equals", "subset", "regex", "approx", "schema", "golden", "ranking", "similar", "scorer",
    "command", "error",
];
/// The kinds of expectations of an error.
const ERROR_KINDS: [&str; 5] = ["equals", "subset", "regex", "approx", "schema"];
/// How many differences a reason names.
const DIFFERENCES_SHOWN: usize = 3;

#[derive(Debug)]
pub enum Expectation {
    Local(Check),
    /// Judged by a function of `tests/scorers.py`.
    Scorer(ScorerCall),
    /// Judged by a program of the repository.
    Command(CommandCall),
}

/// Expectations that need the result alone.
#[derive(Debug)]
pub enum Check {
    Equals(Value),
    /// Every named key is present and matches; other keys are allowed.
    Subset(Value),
    /// Searched in the text.
    Regex(Regex),
    /// Equal, numbers within a tolerance: `|got - value| <= max(abs, rel * |value|)`. As in pytest,
    /// `rel` is 1e-9 where neither is given, and 0 beside `abs`.
    Approx {
        value: Value,
        rel: f64,
        abs: f64,
    },
    Schema(Box<Schema>),
    Golden(Golden),
    Ranking(Ranking),
    Similar(Similar),
    /// The tool fails, and its message matches.
    Error(Box<Check>),
}

/// A file beside the case with the expected result; the loader of the cases fills `content`.
#[derive(Debug)]
pub struct Golden {
    pub path: String,
    pub content: Option<GoldenContent>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum GoldenContent {
    Json(Value),
    Text(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct ScorerCall {
    pub name: String,
    /// The passing score, where the scorer does not decide.
    pub at_least: f64,
}

impl Expectation {
    /// Reads the object under `expect`.
    pub fn parse(value: Value, place: &str) -> Result<Self, DocumentError> {
        let hint = format!("give it exactly one of {}", KINDS.join(", "));
        let Value::Object(map) = value else {
            return Err(DocumentError::new(place, "\"expect\" is not an object", hint));
        };
        if map.len() != 1 {
            return Err(DocumentError::new(
                place,
                format!("\"expect\" has {} keys, not one", map.len()),
                hint,
            ));
        }
        let (kind, value) = map.into_iter().next().expect("it has one key");
        let check = match kind.as_str() {
            "equals" | "subset" | "regex" | "approx" | "schema" => plain(&kind, value, place)?,
            "error" => error(value, place)?,
            "golden" => Check::Golden(Golden::parse(&value, place)?),
            "ranking" => Check::Ranking(Ranking::parse(value, place)?),
            "similar" => Check::Similar(Similar::parse(value, place)?),
            "scorer" => return scorer(value, place).map(Self::Scorer),
            "command" => return CommandCall::parse(value, place).map(Self::Command),
            other => {
                let problem =
                    format!("\"{other}\" is not an expectation{}", did_you_mean(other, KINDS));
                return Err(DocumentError::new(place, problem, hint));
            }
        };
        Ok(Self::Local(check))
    }

    pub fn golden(&self) -> Option<&Golden> {
        match self {
            Self::Local(Check::Golden(golden)) => Some(golden),
            _ => None,
        }
    }

    pub fn golden_mut(&mut self) -> Option<&mut Golden> {
        match self {
            Self::Local(Check::Golden(golden)) => Some(golden),
            _ => None,
        }
    }
}

/// One of the checks of the answer alone.
fn plain(kind: &str, value: Value, place: &str) -> Result<Check, DocumentError> {
    Ok(match kind {
        "equals" => Check::Equals(value),
        "subset" => Check::Subset(value),
        "regex" => Check::Regex(pattern(&value, "regex", place)?),
        "approx" => approx(value, place)?,
        _ => schema(&value, place)?,
    })
}

/// A regular expression for the error's text, or one of the other checks for its content.
fn error(value: Value, place: &str) -> Result<Check, DocumentError> {
    let check = match value {
        Value::Object(map)
            if map.len() == 1 && map.keys().all(|kind| ERROR_KINDS.contains(&kind.as_str())) =>
        {
            let (kind, value) = map.into_iter().next().expect("it has one key");
            plain(&kind, value, place)?
        }
        Value::Object(_) => {
            let hint =
                format!("write a regular expression, or exactly one of {}", ERROR_KINDS.join(", "));
            return Err(DocumentError::new(place, "\"error\" does not state what to match", hint));
        }
        text => Check::Regex(pattern(&text, "error", place)?),
    };
    Ok(Check::Error(Box::new(check)))
}

pub(crate) fn pattern(value: &Value, key: &str, place: &str) -> Result<Regex, DocumentError> {
    let Some(text) = value.as_str() else {
        return Err(DocumentError::new(
            place,
            format!("\"{key}\" is not a text"),
            "write a regular expression in quotes",
        ));
    };
    Regex::new(text).map_err(|error| {
        let reason = error
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        let hint = "a literal `.`, `(` or `[` needs two backslashes before it in JSON";
        DocumentError::new(
            place,
            format!("\"{key}\" is not a regular expression: {reason}: {text}"),
            hint,
        )
    })
}

fn approx(value: Value, place: &str) -> Result<Check, DocumentError> {
    let mut fields = Fields::new(value, place, "\"approx\"", &["value", "rel", "abs"])?;
    let value = fields.take("value").ok_or_else(|| {
        fields.missing("value", "\"approx\" is {\"value\": ..., \"rel\": 1e-9, \"abs\": 0}")
    })?;
    let (rel, abs) = (fields.number("rel")?, fields.number("abs")?);
    let (rel, abs) = (rel.unwrap_or(if abs.is_some() { 0.0 } else { 1e-9 }), abs.unwrap_or(0.0));
    if rel < 0.0 || abs < 0.0 {
        return Err(fields.error(
            "a tolerance of \"approx\" is below zero",
            "make \"rel\" and \"abs\" zero or more",
        ));
    }
    Ok(Check::Approx { value, rel, abs })
}

fn schema(value: &Value, place: &str) -> Result<Check, DocumentError> {
    let schema = Schema::new(value).map_err(|flaw| {
        let problem = format!(
            "\"schema\" is not a JSON Schema: {} (at {})",
            flaw.problem,
            path_of(&flaw.pointer)
        );
        DocumentError::new(place, problem, "fix the schema")
    })?;
    Ok(Check::Schema(Box::new(schema)))
}

impl Golden {
    pub(crate) fn parse(value: &Value, place: &str) -> Result<Self, DocumentError> {
        match value.as_str().filter(|path| !path.is_empty()) {
            Some(path) if !path.starts_with('/') => {
                Ok(Self { path: path.to_owned(), content: None })
            }
            _ => Err(DocumentError::new(
                place,
                "\"golden\" is not a relative path",
                "name a file, relative to the case file",
            )),
        }
    }
}

/// The scorer reads its own keys from the case, so only the keys of `agent` are checked here.
fn scorer(value: Value, place: &str) -> Result<ScorerCall, DocumentError> {
    let hint = "\"scorer\" is {\"name\": \"function in tests/scorers.py\", \"at_least\": 0.5}";
    let Value::Object(map) = value else {
        return Err(DocumentError::new(place, "\"scorer\" is not an object", hint));
    };
    let Some(name) = map.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
        return Err(DocumentError::new(place, "\"scorer\" has no \"name\"", hint));
    };
    let at_least = match map.get("at_least") {
        None => 1.0,
        Some(value) => {
            value.as_f64().filter(|score| (0.0..=1.0).contains(score)).ok_or_else(|| {
                DocumentError::new(place, "\"at_least\" is not a number from 0 to 1", hint)
            })?
        }
    };
    Ok(ScorerCall { name: name.to_owned(), at_least })
}

/// Judges a result; pure, and the same on every machine.
pub fn judge(check: &Check, result: &Answer) -> Judgement {
    match check {
        Check::Error(check) if result.is_error() => judge_content(check, result, "the error "),
        Check::Error(_) => Judgement::failed(format!(
            "expected an error, the tool answered {}",
            quoted(&text_of(result))
        )),
        _ if result.is_error() => tool_failed(result),
        check => judge_content(check, result, ""),
    }
}

/// A tool's error where an answer was expected.
pub fn tool_failed(result: &Answer) -> Judgement {
    let place = result.place().map(|place| format!(" ({place})")).unwrap_or_default();
    Judgement::failed(format!("the tool failed: {}{place}", shortened(&text_of(result))))
}

/// The content of an answer, or of an error, which `what` names then.
fn judge_content(check: &Check, result: &Answer, what: &str) -> Judgement {
    Judgement::from_reason(match check {
        Check::Equals(expected) => {
            differences(expected, &answer(result, expected), &Matching::EXACT)
        }
        Check::Subset(expected) => differences(
            expected,
            &answer(result, expected),
            &Matching { subset: true, ..Matching::EXACT },
        ),
        Check::Approx { value, rel, abs } => differences(
            value,
            &answer(result, value),
            &Matching { subset: false, rel: *rel, abs: *abs },
        ),
        Check::Regex(pattern) => unmatched(pattern, &text_of(result), what),
        Check::Schema(schema) => schema_violations(schema, &answer(result, &Value::Null)),
        Check::Golden(golden) => {
            judge_golden(golden, || answer(result, &Value::Null), &text_of(result))
        }
        Check::Ranking(ranking) => return ranking.judge(&answer(result, &Value::Null)),
        Check::Similar(similar) => return similar.judge(&text_of(result)),
        Check::Error(check) => return judge(check, result),
    })
}

/// Judges the bytes of a file; why they are not what was expected.
pub(crate) fn judge_bytes(check: &Check, bytes: &[u8]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Some("it is not UTF-8".to_owned()) };
    let value = || serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    match check {
        Check::Equals(expected @ Value::String(_)) => {
            differences(expected, &Value::String(text.to_owned()), &Matching::EXACT)
        }
        Check::Equals(expected) => differences(expected, &value(), &Matching::EXACT),
        Check::Regex(pattern) => unmatched(pattern, text, ""),
        Check::Golden(golden) => judge_golden(golden, value, text),
        _ => unreachable!("files are held to nothing else"),
    }
}

fn unmatched(pattern: &Regex, text: &str, what: &str) -> Option<String> {
    (!pattern.is_match(text)).then(|| format!("`{pattern}` does not match {what}{}", quoted(text)))
}

fn judge_golden(golden: &Golden, value: impl FnOnce() -> Value, text: &str) -> Option<String> {
    match &golden.content {
        None => {
            Some(format!("there is no golden file {}; `agent test --bless` writes it", golden.path))
        }
        Some(GoldenContent::Json(expected)) => {
            differences(expected, &unwrapped(value(), expected), &Matching::EXACT)
                .map(|why| format!("against {}: {why}", golden.path))
        }
        Some(GoldenContent::Text(expected)) => {
            let text = &text.replace("\r\n", "\n");
            (expected.trim_end() != text.trim_end())
                .then(|| format!("against {}:\n{}", golden.path, text_diff(expected, text)))
        }
    }
}

/// The content of a golden file of this name for this result.
pub fn golden_bytes(path: &str, result: &Answer) -> Vec<u8> {
    if is_json(path) {
        let mut bytes = serde_json::to_vec_pretty(&answer(result, &Value::Null))
            .expect("a JSON value serialises");
        bytes.push(b'\n');
        return bytes;
    }
    let mut text = text_of(result);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.into_bytes()
}

/// Golden files are JSON by their name.
pub fn is_json(path: &str) -> bool {
    path.rsplit('.').next().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// The structured content, or the text when there is none: as JSON where it is JSON and no text is
/// expected.
fn answer(result: &Answer, expected: &Value) -> Value {
    let Some(structured) = result.structured() else {
        let text = result.text();
        let parsed = if expected.is_string() { None } else { serde_json::from_str(&text).ok() };
        return parsed.unwrap_or(Value::String(text));
    };
    unwrapped(structured.clone(), expected)
}

/// The `equals` value that matches this answer.
pub fn expected_of(result: &Answer) -> Value {
    answer(result, &Value::Null)
}

/// Servers wrap an answer that is not an object as `{"result": answer}`; unless that form is
/// expected, the inner answer is compared.
fn unwrapped(answer: Value, expected: &Value) -> Value {
    match answer.as_object().and_then(only_result) {
        Some(inner)
            if !expected.is_null() && expected.as_object().and_then(only_result).is_none() =>
        {
            inner.clone()
        }
        _ => answer,
    }
}

fn only_result(map: &Map<String, Value>) -> Option<&Value> {
    map.get("result").filter(|_| map.len() == 1)
}

/// The text, or the structured content in one line when there is no text.
pub(crate) fn text_of(result: &Answer) -> String {
    let text = result.text();
    match result.structured() {
        Some(structured) if text.is_empty() => structured.to_string(),
        _ => text,
    }
}

fn schema_violations(schema: &Schema, got: &Value) -> Option<String> {
    let mut found: Vec<_> = schema
        .violations(got)
        .into_iter()
        .map(|flaw| format!("{}: {}", path_of(&flaw.pointer), flaw.problem))
        .collect();
    let more = found.len().saturating_sub(DIFFERENCES_SHOWN);
    found.truncate(DIFFERENCES_SHOWN);
    listed(&found, more)
}

/// `$.a[0]` from a JSON pointer.
fn path_of(pointer: &str) -> String {
    pointer.split('/').skip(1).fold("$".to_owned(), |path, token| match token.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) => format!("{path}.{}", token.replace("~1", "/").replace("~0", "~")),
    })
}

/// How two values are compared.
struct Matching {
    subset: bool,
    rel: f64,
    abs: f64,
}

impl Matching {
    const EXACT: Self = Self { subset: false, rel: 0.0, abs: 0.0 };
}

/// How an answer differs from another one, as `equals` has it.
pub fn difference(expected: &Value, got: &Value) -> Option<String> {
    differences(expected, got, &Matching::EXACT)
}

/// Whether a value has what another one names, as `subset` has it.
pub fn contains(expected: &Value, got: &Value) -> bool {
    differences(expected, got, &Matching { subset: true, ..Matching::EXACT }).is_none()
}

fn differences(expected: &Value, got: &Value, matching: &Matching) -> Option<String> {
    let mut found = Vec::new();
    compare("$", expected, got, matching, &mut found);
    let more = found.len().saturating_sub(DIFFERENCES_SHOWN);
    found.truncate(DIFFERENCES_SHOWN);
    listed(&found, more)
}

fn listed(first: &[String], more: usize) -> Option<String> {
    if first.is_empty() {
        return None;
    }
    let tail = if more > 0 { format!("; and {more} more") } else { String::new() };
    Some(first.join("; ") + &tail)
}

fn compare(
    path: &str,
    expected: &Value,
    got: &Value,
    matching: &Matching,
    found: &mut Vec<String>,
) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            compare_objects(path, expected, got, matching, found);
        }
        (Value::Array(expected), Value::Array(got)) => {
            compare_lists(path, expected, got, matching, found);
        }
        (Value::Number(one), Value::Number(two))
            if number::is_near(one, two, matching.rel, matching.abs) => {}
        _ if expected == got => {}
        (Value::String(one), Value::String(two)) if one.contains('\n') && two.contains('\n') => {
            found.push(format!("{path}:\n{}", text_diff(one, two)));
        }
        _ => found.push(format!("{path}: expected {}, got {}", shown(expected), shown(got))),
    }
}

fn compare_objects(
    path: &str,
    expected: &Map<String, Value>,
    got: &Map<String, Value>,
    matching: &Matching,
    found: &mut Vec<String>,
) {
    for (key, value) in expected {
        match got.get(key) {
            Some(other) => compare(&format!("{path}.{key}"), value, other, matching, found),
            None => found.push(format!("{path}.{key}: expected {}, it is missing", shown(value))),
        }
    }
    if !matching.subset {
        let unexpected = got.iter().filter(|(key, _)| !expected.contains_key(*key));
        found.extend(
            unexpected.map(|(key, value)| format!("{path}.{key}: unexpected {}", shown(value))),
        );
    }
}

fn compare_lists(
    path: &str,
    expected: &[Value],
    got: &[Value],
    matching: &Matching,
    found: &mut Vec<String>,
) {
    if expected.len() != got.len() {
        found.push(format!("{path}: expected {} items, got {}", expected.len(), got.len()));
    }
    for (index, (value, other)) in expected.iter().zip(got).enumerate() {
        compare(&format!("{path}[{index}]"), value, other, matching, found);
    }
}

/// The changed lines with one line around them, at most twenty.
fn text_diff(expected: &str, got: &str) -> String {
    let unified = text_difference::unified(expected, got, 1, None);
    let mut lines: Vec<_> = unified.lines().take(20).map(|line| format!("    {line}")).collect();
    if unified.lines().count() > lines.len() {
        lines.push("    ...".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use serde_json::value::to_raw_value;

    fn text(text: &str) -> Value {
        json!({"content": [{"type": "text", "text": text}]})
    }

    fn structured(value: &Value) -> Value {
        json!({"content": [{"type": "text", "text": value.to_string()}],
            "structuredContent": value})
    }

    /// `why` is empty for a pass.
    #[track_caller]
    fn check(expect: Value, result: &Value, why: &str) {
        let Expectation::Local(check) = Expectation::parse(expect, "c.jsonl:1").unwrap() else {
            panic!("not local")
        };
        let judged = judge(&check, &Answer::parse(&to_raw_value(result).unwrap()).unwrap());
        assert_eq!(judged.why.as_deref().unwrap_or_default(), why);
        assert_eq!(
            (judged.passed, judged.score),
            if why.is_empty() { (true, 1.0) } else { (false, 0.0) }
        );
    }

    #[test]
    fn equals_compares_structured_content_then_text() {
        check(json!({"equals": {"a": 1, "b": [1.0]}}), &structured(&json!({"b": [1], "a": 1})), "");
        check(json!({"equals": 5}), &structured(&json!({"result": 5})), "");
        check(json!({"equals": {"result": 5}}), &structured(&json!({"result": 5})), "");
        check(json!({"equals": "5"}), &text("5"), "");
        check(json!({"equals": 5}), &text("5"), "");
        check(
            json!({"equals": {"a": 1, "b": [1, 2], "c": 0}}),
            &structured(&json!({"a": "x", "b": [1], "d": null})),
            "$.a: expected 1, got \"x\"; $.b: expected 2 items, got 1; $.c: expected 0, it is \
            missing; and 1 more",
        );
    }

    #[test]
    fn subset_ignores_other_members() {
        check(
            json!({"subset": {"a": {"b": 1}}}),
            &structured(&json!({"a": {"b": 1, "c": 2}, "d": 3})),
            "",
        );
        check(
            json!({"subset": {"a": [1]}}),
            &structured(&json!({"a": [1, 2]})),
            "$.a: expected 1 items, got 2",
        );
    }

    #[test]
    fn integers_are_compared_exactly_at_any_size() {
        for (expected, next) in [
            ("1915883588174806059", "1915883588174806058"),
            ("18446744073709551617", "18446744073709551616"),
            ("-123456789012345678901234567890", "-123456789012345678901234567891"),
        ] {
            let answered = |number: &str| {
                serde_json::from_str::<Value>(&format!(
                    r#"{{"structuredContent":{{"result":{number}}}}}"#
                ))
                .unwrap()
            };
            for expect in [
                format!(r#"{{"equals":{expected}}}"#),
                format!(r#"{{"subset":{expected}}}"#),
                format!(r#"{{"approx":{{"value":{expected},"abs":0}}}}"#),
                format!(r#"{{"approx":{{"value":{expected},"abs":0.5}}}}"#),
                format!(r#"{{"schema":{{"properties":{{"result":{{"const":{expected}}}}}}}}}"#),
                format!(
                    r#"{{"ranking":{{"relevant":[{expected}],"metric":"mrr","path":"/ids"}}}}"#
                ),
            ] {
                let Expectation::Local(check) =
                    Expectation::parse(serde_json::from_str(&expect).unwrap(), "c").unwrap()
                else {
                    panic!("{expect}")
                };
                let passes = |number: &str| {
                    let mut result = answered(number);
                    if expect.contains("ranking") {
                        result["structuredContent"] =
                            json!({"ids": [result["structuredContent"]["result"]]});
                    }
                    judge(&check, &Answer::parse(&to_raw_value(&result).unwrap()).unwrap()).passed
                };
                assert_eq!((passes(expected), passes(next)), (true, false), "{expect}");
            }
        }
    }

    #[test]
    fn regex_searches_the_text() {
        check(
            json!({"regex": "^wor.d$"}),
            &text("hello\nworld"),
            "`^wor.d$` does not match \"hello\\nworld\"",
        );
        check(json!({"regex": "(?m)^wor.d$"}), &text("hello\nworld"), "");
    }

    #[test]
    fn approx_allows_either_tolerance() {
        check(
            json!({"approx": {"value": {"x": 100, "s": "a"}, "rel": 0.01}}),
            &structured(&json!({"x": 100.9, "s": "a"})),
            "",
        );
        check(json!({"approx": {"value": [0], "abs": 0.1}}), &text("[0.05]"), "");
        check(json!({"approx": {"value": 1e9}}), &text("1000000000.5"), "");
        // as pytest has it: who gives an absolute tolerance means that one alone
        check(
            json!({"approx": {"value": 1e9, "abs": 0.1}}),
            &text("1000000000.5"),
            "$: expected 1000000000.0, got 1000000000.5",
        );
        check(json!({"approx": {"value": 1, "rel": 0.01}}), &text("1.1"), "$: expected 1, got 1.1");
    }

    #[test]
    fn schema_expectation_names_the_path() {
        let schema =
            json!({"schema": {"properties": {"n": {"type": "array", "items": {"minimum": 1}}}}});
        check(schema.clone(), &structured(&json!({"n": [1]})), "");
        check(
            schema,
            &structured(&json!({"n": [1, 0]})),
            "$.n[1]: 0 is less than the minimum of 1",
        );
    }

    #[test]
    fn expected_error_must_occur_and_match() {
        let failed = json!({"content": [{"type": "text", "text": "k is 0"}], "isError": true});
        check(json!({"error": "k is"}), &failed, "");
        check(json!({"error": "j is"}), &failed, "`j is` does not match the error \"k is 0\"");
        check(
            json!({"error": "k is"}),
            &text("fine"),
            "expected an error, the tool answered \"fine\"",
        );
        check(json!({"equals": "k is 0"}), &failed, "the tool failed: k is 0");
        let coded =
            json!({"content": [], "structuredContent": {"code": 7, "what": "k"}, "isError": true});
        check(json!({"error": {"subset": {"code": 7}}}), &coded, "");
        check(json!({"error": {"subset": {"code": 8}}}), &coded, "$.code: expected 8, got 7");
        check(json!({"error": {"equals": "k is 0"}}), &failed, "");
        check(json!({"error": "\"code\":7"}), &coded, "");
        check(json!({"equals": 1}), &coded, "the tool failed: {\"code\":7,\"what\":\"k\"}");
    }

    #[test]
    fn ranking_and_similarity_have_fractional_scores() {
        let judged = |expect, result: &Value| {
            let Expectation::Local(check) = Expectation::parse(expect, "c.jsonl:1").unwrap() else {
                panic!("not local")
            };
            judge(&check, &Answer::parse(&to_raw_value(result).unwrap()).unwrap())
        };
        let ranked = json!({"ranking": {"relevant": ["b"], "metric": "mrr", "at_least": 0.4}});
        assert_eq!(
            judged(ranked.clone(), &structured(&json!({"result": ["a", "b"]}))),
            Judgement { score: 0.5, passed: true, why: None }
        );
        assert_eq!(judged(ranked, &text("[\"b\"]")), Judgement::passed());
        let alike =
            json!({"similar": {"text": "kitten", "metric": "levenshtein", "at_least": 0.5}});
        assert!(judged(alike, &text("sitting")).passed);
    }

    #[test]
    fn golden_files_are_compared_by_their_type() {
        let judge_with = |path: &str, content, result: &Value| {
            let golden = Golden { path: path.to_owned(), content };
            judge(&Check::Golden(golden), &Answer::parse(&to_raw_value(result).unwrap()).unwrap())
                .why
                .unwrap_or_default()
        };
        assert_eq!(
            judge_with("g.json", None, &text("a")),
            "there is no golden file g.json; `agent test --bless` writes it"
        );
        let json_content = Some(GoldenContent::Json(json!({"a": 1})));
        assert_eq!(
            judge_with("g.json", json_content, &structured(&json!({"a": 2}))),
            "against g.json: $.a: expected 1, got 2"
        );
        let why = judge_with(
            "g.txt",
            Some(GoldenContent::Text("one\ntwo\n".to_owned())),
            &text("one\n2"),
        );
        assert!(why.starts_with("against g.txt:\n") && why.contains("    -two\n    +2"), "{why}");
        assert_eq!(
            judge_with(
                "g.txt",
                Some(GoldenContent::Text("one\ntwo\n".to_owned())),
                &text("one\r\ntwo")
            ),
            ""
        );
        let result =
            Answer::parse(&to_raw_value(&structured(&json!({"a": [1]}))).unwrap()).unwrap();
        assert_eq!(golden_bytes("g.json", &result), b"{\n  \"a\": [\n    1\n  ]\n}\n");
        assert_eq!(golden_bytes("g.txt", &result), b"{\"a\":[1]}\n");
    }

    #[track_caller]
    fn check_wrong(expect: Value, message: &str) {
        assert_eq!(
            Expectation::parse(expect, "c.jsonl:7").unwrap_err().to_string(),
            format!("c.jsonl:7: {message}")
        );
    }

    #[test]
    fn expectation_error_names_the_key() {
        check_wrong(
            json!({"equal": 1}),
            "\"equal\" is not an expectation (did you mean \"equals\"?)",
        );
        check_wrong(json!({}), "\"expect\" has 0 keys, not one");
        check_wrong(json!({"equals": 1, "subset": 2}), "\"expect\" has 2 keys, not one");
        check_wrong(
            json!({"regex": "("}),
            "\"regex\" is not a regular expression: unclosed group: (",
        );
        check_wrong(
            json!({"approx": {"val": 1}}),
            "\"val\" is not a key of \"approx\" (did you mean \"value\"?)",
        );
        check_wrong(json!({"scorer": {"at_least": 1}}), "\"scorer\" has no \"name\"");
        check_wrong(
            json!({"scorer": {"name": "x", "at_least": 2}}),
            "\"at_least\" is not a number from 0 to 1",
        );
        check_wrong(json!({"error": 7}), "\"error\" is not a text");
        check_wrong(json!({"error": {"golden": "x"}}), "\"error\" does not state what to match");
        check_wrong(json!({"command": {"run": "x"}}), "\"run\" is a text, not a list");
        check_wrong(json!({"golden": "/etc/passwd"}), "\"golden\" is not a relative path");
        check_wrong(
            json!({"schema": {"type": "objekt"}}),
            "\"schema\" is not a JSON Schema: \"objekt\" is not valid under any of the schemas \
            listed in the 'anyOf' keyword (at $.type)",
        );
    }
}
