//! The arguments of a tool on the command line: one JSON object, or `key=value` arguments.

use crate::formats::document::{self, Flaw, Problem};
use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    #[error("the arguments are no JSON object: {0}")]
    Json(String),
    #[error("`{0}` is neither a JSON object nor `key=value`")]
    Word(String),
    #[error("the value of `{key}`: {problem}")]
    Value { key: String, problem: String },
    #[error("`{0}` is given twice")]
    Twice(String),
}

impl crate::formats::diagnose::Diagnose for ArgumentsError {
    fn kind(&self) -> crate::formats::diagnose::FailureKind {
        crate::formats::diagnose::FailureKind::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(
            "write key=value arguments (a value that parses as JSON is JSON, any other is text), \
                or \
            one JSON object: '{\"k\": 5}'"
                .to_owned(),
        )
    }
}

/// `k=5` is a number, `q=for loops` and `q="5"` are text; a single argument that starts with `{` is
/// the complete object.
pub fn parse(words: &[String]) -> Result<Map<String, Value>, ArgumentsError> {
    match words {
        [only] if only.trim_start().starts_with('{') => {
            document::parse(only).map_err(|flaw| ArgumentsError::Json(flaw.to_string()))
        }
        _ => words.iter().try_fold(Map::new(), |mut map, word| {
            let (key, value) = word
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| ArgumentsError::Word(word.clone()))?;
            let value = value_of(value).map_err(|flaw| ArgumentsError::Value {
                key: key.to_owned(),
                problem: flaw.to_string(),
            })?;
            match map.insert(key.to_owned(), value) {
                None => Ok(map),
                Some(_) => Err(ArgumentsError::Twice(key.to_owned())),
            }
        }),
    }
}

/// A typed value: JSON where it is JSON, text in any other case.
pub fn value_of(written: &str) -> Result<Value, Flaw> {
    match document::parse(written) {
        Err(Flaw { problem: Problem::Syntax(_), .. }) => Ok(Value::String(written.to_owned())),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(words: &[&str], expected: Result<Value, &str>) {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let parsed = parse(&words).map(Value::Object).map_err(|error| error.to_string());
        assert_eq!(parsed, expected.map_err(ToOwned::to_owned), "{words:?}");
    }

    #[test]
    fn command_line_arguments_are_parsed() {
        check(&[], Ok(json!({})));
        check(
            &["query=for loops", "k=5", "exact=true"],
            Ok(json!({"query": "for loops", "k": 5, "exact": true})),
        );
        check(
            &["text=\"5\"", "list=[1, 2]", "sum=a=b"],
            Ok(json!({"text": "5", "list": [1, 2], "sum": "a=b"})),
        );
        check(&["{\"k\": 1}"], Ok(json!({"k": 1})));
        check(
            &["{\"k\": 1"],
            Err(
                "the arguments are no JSON object: line 1, column 7: no JSON: EOF while parsing an \
                object",
            ),
        );
        check(
            &["{\"k\": 1, \"k\": 2}"],
            Err(
                "the arguments are no JSON object: line 1, column 10: the key \"k\" appears twice \
                in one object",
            ),
        );
        check(
            &["o={\"k\": 1, \"k\": 2}"],
            Err("the value of `o`: line 1, column 10: the key \"k\" appears twice in one object"),
        );
        check(&["query"], Err("`query` is neither a JSON object nor `key=value`"));
        check(&["a=1", "a=2"], Err("`a` is given twice"));
    }
}
