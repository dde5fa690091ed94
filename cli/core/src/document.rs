//! JSON documents that people write: read key by key, so that every complaint names its place and how to mend it.

use crate::diagnose::{Diagnose, Exit};
use crate::suggestion::did_you_mean;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// A wrong place in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct DocumentError {
    /// `FILE:LINE`, or `FILE` and the key's path.
    pub place: String,
    pub problem: String,
    pub mend: String,
}

impl DocumentError {
    pub fn new(place: impl Into<String>, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into(), mend: mend.into() }
    }
}

impl Diagnose for DocumentError {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    fn hint(&self) -> Option<String> {
        Some(self.mend.clone())
    }
}

/// An object with a known set of keys, taken one by one.
pub struct Fields {
    place: String,
    map: Map<String, Value>,
}

impl Fields {
    /// A misspelt key is told before whatever it makes missing.
    pub fn new(value: Value, place: &str, what: &str, known: &[&str]) -> Result<Self, DocumentError> {
        let Value::Object(map) = value else {
            let problem = format!("{what} is {}, not an object", kind(&value));
            return Err(DocumentError::new(place, problem, "write it as {\"key\": value, ...}"));
        };
        if let Some(unknown) = map.keys().find(|key| !known.contains(&key.as_str())) {
            let problem = format!("\"{unknown}\" is no key of {what}{}", did_you_mean(unknown, known.iter().copied()));
            return Err(DocumentError::new(place, problem, format!("its keys are {}", known.join(", "))));
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
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(other) => Err(self.wrong(key, &other, "a number")),
        }
    }

    /// A number from 0 to 1.
    pub fn share(&mut self, key: &str) -> Result<Option<f64>, DocumentError> {
        match self.number(key)? {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                Err(self.error(format!("\"{key}\" is {share}, not a number from 0 to 1"), format!("make \"{key}\" a number from 0 to 1")))
            }
            share => Ok(share),
        }
    }

    /// A whole number within bounds.
    pub fn count(&mut self, key: &str, bounds: RangeInclusive<u32>) -> Result<Option<u32>, DocumentError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let count = value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| bounds.contains(count));
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
        DocumentError::new(&self.place, format!("\"{key}\" is {}, not {wanted}", kind(value)), format!("make \"{key}\" {wanted}"))
    }

    pub fn missing(&self, key: &str, mend: &str) -> DocumentError {
        self.error(format!("\"{key}\" is missing"), mend)
    }

    pub fn error(&self, problem: impl Into<String>, mend: impl Into<String>) -> DocumentError {
        DocumentError::new(&self.place, problem, mend)
    }
}

/// What a value is, in words.
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
