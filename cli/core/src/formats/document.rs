//! Documents that users write: text in any common encoding and JSON without duplicate keys. They
//! are read key by key, so that every error names its location and its fix.

use crate::formats::diagnose::{Diagnose, FailureKind};
use crate::formats::json_text::repeated_key;
use crate::formats::suggestion::did_you_mean;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// The byte order mark that some editors write before UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A wrong place in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct DocumentError {
    /// `FILE:LINE`, or `FILE` and the key's path.
    pub place: String,
    pub problem: String,
    pub hint: String,
}

impl DocumentError {
    pub fn new(
        place: impl Into<String>,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { place: place.into(), problem: problem.into(), hint: hint.into() }
    }
}

impl Diagnose for DocumentError {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }

    fn hint(&self) -> Option<String> {
        Some(self.hint.clone())
    }
}

/// The text of a file, without a byte order mark; line ends stay what they are.
pub fn text<'a>(bytes: &'a [u8], file: &str) -> Result<&'a str, DocumentError> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(DocumentError::new(file, "it is UTF-16", "save it as UTF-8"));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(without_mark(text)),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            Err(DocumentError::new(
                format!("{file}:{line}"),
                "this line is not UTF-8",
                "save the file as UTF-8",
            ))
        }
    }
}

/// The text with normalised line endings.
pub fn normal(bytes: Vec<u8>) -> Vec<u8> {
    let bytes =
        if unmarked(&bytes).len() < bytes.len() { unmarked(&bytes).to_vec() } else { bytes };
    if !bytes.contains(&b'\r') {
        return bytes;
    }
    let ends = bytes.iter().zip(bytes.iter().skip(1).chain(&[0]));
    ends.filter(|pair| *pair != (&b'\r', &b'\n')).map(|(byte, _)| *byte).collect()
}

pub fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

pub fn without_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// The problem of a text as JSON, and its place: line and column, from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct Flaw {
    pub line: usize,
    pub column: usize,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("no JSON: {0}")]
    Syntax(String),
    #[error("{0}")]
    Content(String),
    #[error("the key \"{0}\" appears twice in one object")]
    Repeated(String),
}

impl Flaw {
    fn of(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned();
        let problem = if error.is_data() { Problem::Content(what) } else { Problem::Syntax(what) };
        Self { line: error.line(), column: error.column(), problem }
    }

    fn repeated(text: &str, at: usize, key: String) -> Self {
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let column = at - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
        Self { line, column, problem: Problem::Repeated(key) }
    }

    fn hint(&self) -> &'static str {
        match self.problem {
            Problem::Syntax(_) => "fix the JSON",
            Problem::Content(_) => "write what is expected there",
            Problem::Repeated(_) => "leave one of the two",
        }
    }

    /// As an error of that file.
    pub fn within(self, file: &str) -> DocumentError {
        DocumentError::new(
            format!("{file}:{}:{}", self.line, self.column),
            self.problem.to_string(),
            self.hint(),
        )
    }

    /// As an error of a document that is one line of a file; `place` is file and line.
    pub fn on_line(self, place: &str) -> DocumentError {
        DocumentError::new(
            format!("{place}:{}", self.column),
            self.problem.to_string(),
            self.hint(),
        )
    }
}

/// Reads JSON in which no object has a key twice.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Flaw> {
    let text = without_mark(text);
    let value = serde_json::from_str(text).map_err(|error| Flaw::of(&error))?;
    match repeated_key(text) {
        None => Ok(value),
        Some((at, key)) => Err(Flaw::repeated(text, at, key.into_owned())),
    }
}

/// Reads a JSON file in which no object has a key twice.
pub fn json<T: DeserializeOwned>(bytes: &[u8], file: &str) -> Result<T, DocumentError> {
    parse(text(bytes, file)?).map_err(|flaw| flaw.within(file))
}

/// An object with a known set of keys, which are consumed one by one.
pub struct Fields {
    place: String,
    map: Map<String, Value>,
}

impl Fields {
    /// A misspelt key is reported before what it makes missing.
    pub fn new(
        value: Value,
        place: &str,
        what: &str,
        known: &[&str],
    ) -> Result<Self, DocumentError> {
        let Value::Object(map) = value else {
            let problem = format!("{what} is {}, not an object", kind(&value));
            return Err(DocumentError::new(place, problem, "write it as {\"key\": value, ...}"));
        };
        if let Some(unknown) = map.keys().find(|key| !known.contains(&key.as_str())) {
            let problem = format!(
                "\"{unknown}\" is not a key of {what}{}",
                did_you_mean(unknown, known.iter().copied())
            );
            return Err(DocumentError::new(
                place,
                problem,
                format!("its keys are {}", known.join(", ")),
            ));
        }
        Ok(Self { place: place.to_owned(), map })
    }

    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key)
    }

    pub fn text(&mut self, key: &str) -> Result<Option<String>, DocumentError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, &other, "a text that is not empty")),
        }
    }

    pub fn number(&mut self, key: &str) -> Result<Option<f64>, DocumentError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Number(number)) => match number.as_f64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.error(
                    format!("\"{key}\" is {number}, which is out of range"),
                    format!("make \"{key}\" a smaller number"),
                )),
            },
            Some(other) => Err(self.wrong(key, &other, "a number")),
        }
    }

    /// A number from 0 to 1.
    pub fn share(&mut self, key: &str) -> Result<Option<f64>, DocumentError> {
        match self.number(key)? {
            Some(share) if !(0.0..=1.0).contains(&share) => Err(self.error(
                format!("\"{key}\" is {share}, not a number from 0 to 1"),
                format!("make \"{key}\" a number from 0 to 1"),
            )),
            share => Ok(share),
        }
    }

    /// A whole number within bounds.
    pub fn count(
        &mut self,
        key: &str,
        bounds: RangeInclusive<u32>,
    ) -> Result<Option<u32>, DocumentError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let count = value
            .as_u64()
            .and_then(|count| u32::try_from(count).ok())
            .filter(|count| bounds.contains(count));
        let wanted = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
        count.map(Some).ok_or_else(|| self.wrong(key, &value, &wanted()))
    }

    pub fn flag(&mut self, key: &str) -> Result<bool, DocumentError> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.wrong(key, &other, "true or false")),
        }
    }

    pub fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>, DocumentError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(key, &other, "a list")),
        }
    }

    pub fn wrong(&self, key: &str, value: &Value, wanted: &str) -> DocumentError {
        DocumentError::new(
            &self.place,
            format!("\"{key}\" is {}, not {wanted}", kind(value)),
            format!("make \"{key}\" {wanted}"),
        )
    }

    pub fn missing(&self, key: &str, hint: &str) -> DocumentError {
        self.error(format!("\"{key}\" is missing"), hint)
    }

    pub fn error(&self, problem: impl Into<String>, hint: impl Into<String>) -> DocumentError {
        DocumentError::new(&self.place, problem, hint)
    }
}

/// The type of a value, for messages.
pub fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_encoding_is_read() {
        assert_eq!(text(b"\xef\xbb\xbfa\r\nb", "f").unwrap(), "a\r\nb");
        assert_eq!(normal(b"\xef\xbb\xbfa\r\n\rb\r\r\nc\r".to_vec()), b"a\n\rb\r\nc\r");
        let wrong = |bytes: &[u8]| text(bytes, "f").unwrap_err().to_string();
        assert_eq!(wrong(b"\xff\xfea\0"), "f: it is UTF-16");
        assert_eq!(wrong(b"a\nb\xe9"), "f:2: this line is not UTF-8");
    }

    #[test]
    fn json_of_any_encoding_is_read_and_duplicate_keys_are_refused() {
        let read = |bytes: &[u8]| {
            json::<Value>(bytes, "f").map_err(|error| (error.to_string(), error.hint))
        };
        assert_eq!(read(b"\xef\xbb\xbf{\r\n  \"a\": 1\r\n}\r\n").unwrap()["a"], 1);
        let repeated = "f:2:5: the key \"a\" appears twice in one object".to_owned();
        assert_eq!(
            read(b"{\"a\": 1,\r\n    \"\\u0061\": 2}").unwrap_err(),
            (repeated, "leave one of the two".to_owned())
        );
        assert_eq!(read(b"{\n1").unwrap_err().0, "f:2:1: no JSON: key must be a string");
        assert_eq!(
            json::<u8>(b"300", "f").unwrap_err().to_string(),
            "f:1:3: invalid value: integer `300`, expected u8"
        );
    }

    #[test]
    fn number_out_of_range_is_refused() {
        let value = parse("{\"n\": 1e999}").unwrap();
        let mut fields = Fields::new(value, "f", "it", &["n"]).unwrap();
        assert_eq!(
            fields.number("n").unwrap_err().to_string(),
            "f: \"n\" is 1e+999, which is out of range"
        );
    }
}
