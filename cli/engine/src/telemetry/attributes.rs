//! The attributes of a span: as the JSON of our lines, written when they are set, and as pairs
//! where an exporter of the SDK takes them as well.

use super::json::{write_json, write_text};
use opentelemetry::{KeyValue, Value};
use std::borrow::Cow;

/// The attributes of a call are about this long.
const LENGTH: usize = 1024;

/// A value that an attribute can have here.
#[derive(Debug, Clone)]
pub enum AttributeValue<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    Number(f64),
    Truth(bool),
}

#[derive(Debug)]
pub(super) struct Attributes {
    /// The elements of OTLP's list, with commas between them.
    json: Vec<u8>,
    pairs: Option<Vec<KeyValue>>,
}

impl Attributes {
    /// `with_pairs` where an exporter of the SDK takes the span.
    pub(super) fn new(with_pairs: bool) -> Self {
        Self { json: Vec::with_capacity(LENGTH), pairs: with_pairs.then(Vec::new) }
    }

    pub(super) fn push<'a>(&mut self, key: &'static str, value: impl Into<AttributeValue<'a>>) {
        let value = value.into();
        self.separate();
        write_attribute(&mut self.json, key, &value);
        if let Some(pairs) = &mut self.pairs {
            pairs.push(KeyValue::new(key, Value::from(value)));
        }
    }

    /// Appends all of another's, which has pairs.
    pub(super) fn extend(&mut self, other: &Self) {
        self.separate();
        self.json.extend_from_slice(&other.json);
        if let Some(pairs) = &mut self.pairs {
            pairs.extend_from_slice(other.pairs());
        }
    }

    pub(super) fn json(&self) -> &[u8] {
        &self.json
    }

    /// Empty where they are not kept.
    pub(super) fn pairs(&self) -> &[KeyValue] {
        self.pairs.as_deref().unwrap_or_default()
    }

    pub(super) fn into_pairs(self) -> Vec<KeyValue> {
        self.pairs.unwrap_or_default()
    }

    fn separate(&mut self) {
        if !self.json.is_empty() {
            self.json.push(b',');
        }
    }
}

fn write_attribute(json: &mut Vec<u8>, key: &str, value: &AttributeValue<'_>) {
    json.extend_from_slice(b"{\"key\":\"");
    // the keys are constants without anything to escape
    json.extend_from_slice(key.as_bytes());
    json.extend_from_slice(b"\",\"value\":{");
    match value {
        AttributeValue::Text(text) => {
            json.extend_from_slice(b"\"stringValue\":");
            write_text(json, text);
        }
        AttributeValue::Integer(integer) => {
            json.extend_from_slice(b"\"intValue\":\"");
            write_json(json, integer);
            json.push(b'"');
        }
        AttributeValue::Number(number) => {
            json.extend_from_slice(b"\"doubleValue\":");
            write_json(json, number);
        }
        AttributeValue::Truth(truth) => {
            json.extend_from_slice(b"\"boolValue\":");
            write_json(json, truth);
        }
    }
    json.extend_from_slice(b"}}");
}

impl From<AttributeValue<'_>> for Value {
    fn from(value: AttributeValue<'_>) -> Self {
        match value {
            AttributeValue::Text(text) => text.into_owned().into(),
            AttributeValue::Integer(integer) => integer.into(),
            AttributeValue::Number(number) => number.into(),
            AttributeValue::Truth(truth) => truth.into(),
        }
    }
}

impl<'a> From<&'a str> for AttributeValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for AttributeValue<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for AttributeValue<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for AttributeValue<'_> {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<f64> for AttributeValue<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for AttributeValue<'_> {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}
