//! The judgement of an answer, and values shortened for its reason.

use serde_json::Value;

/// How much of a value or a text a reason shows.
const SHOWN: usize = 160;

#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// From 0 to 1.
    pub score: f64,
    pub passed: bool,
    /// Why it did not pass.
    pub why: Option<String>,
}

impl Judgement {
    pub fn passed() -> Self {
        Self { score: 1.0, passed: true, why: None }
    }

    pub fn failed(why: impl Into<String>) -> Self {
        Self { score: 0.0, passed: false, why: Some(why.into()) }
    }

    pub(crate) fn from_reason(why: Option<String>) -> Self {
        why.map_or_else(Self::passed, Self::failed)
    }
}

pub(crate) fn shown(value: &Value) -> String {
    shortened(&value.to_string())
}

pub(crate) fn quoted(text: &str) -> String {
    shown(&Value::String(text.to_owned()))
}

pub(crate) fn shortened(text: &str) -> String {
    cut(text, SHOWN)
}

/// Truncates to a number of characters, with three dots where there were more.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
