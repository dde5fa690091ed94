//! The result of `tools/call`: its bytes are passed through, its few known members are read on
//! demand, and it is parsed fully where it is judged or shown.

use crate::protocol::raw_object::{Members, Name};
use crate::protocol::wire;
use serde_json::Value;
use serde_json::value::RawValue;
use std::ops::Range;

/// JSON that this parser rejects, though others may accept it: lone surrogates, deep nesting,
/// duplicate members.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl Unreadable {
    pub fn of(error: &serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// Any value, parsed fully.
pub fn value_of(raw: &RawValue) -> Result<Value, Unreadable> {
    serde_json::from_str(raw.get()).map_err(|error| Unreadable::of(&error))
}

/// A result to be passed to a host. The tool's content is not parsed.
#[derive(Debug, Clone)]
pub struct CallResult {
    raw: Box<RawValue>,
    is_error: bool,
    meta: Option<Meta>,
}

#[derive(Debug, Clone)]
struct Meta {
    value: Value,
    /// Its bytes in the result.
    bytes: Range<usize>,
}

impl CallResult {
    pub fn parse(raw: Box<RawValue>) -> Result<Self, Unreadable> {
        if !raw.get().starts_with('{') {
            return Ok(Self { raw, is_error: false, meta: None });
        }
        let Members(members) = members(raw.get()).map_err(|error| Unreadable::of(&error))?;
        let member = |name: &str| {
            members.iter().find(|(known, _)| known.as_ref() == name).map(|(_, value)| *value)
        };
        let is_error = member("isError").is_some_and(|flag| flag.get() == "true");
        let meta = member("_meta").map(|meta| Meta::read(meta, &raw)).transpose()?;
        Ok(Self { raw, is_error, meta })
    }

    /// The very bytes, for passing on.
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }

    /// The bytes without some members of `_meta`, and without `_meta` where none is left of it.
    pub fn without_in_meta(self, is_removed: impl Fn(&str) -> bool) -> Box<RawValue> {
        let Some(Meta { value: Value::Object(meta), bytes }) = &self.meta else { return self.raw };
        let without = if meta.keys().all(|name| is_removed(name)) {
            without_member(self.raw.get(), "_meta", bytes)
        } else if meta.keys().any(|name| is_removed(name)) {
            without_in_meta(&self.raw, is_removed)
        } else {
            None
        };
        without.unwrap_or(self.raw)
    }

    /// With other bytes, in which `isError` and `_meta` are the same.
    #[must_use]
    pub fn with_raw(self, change: impl FnOnce(Box<RawValue>) -> Box<RawValue>) -> Self {
        Self { raw: change(self.raw), ..self }
    }

    /// Whether the tool reports a failure.
    pub fn is_error(&self) -> bool {
        self.is_error
    }

    /// One of the `_meta` keys.
    pub fn meta(&self, key: &str) -> Option<&Value> {
        self.meta.as_ref()?.value.get(key)
    }

    /// The cost of the call in US dollars, as the Runner reported it.
    pub fn cost_usd(&self) -> Option<f64> {
        wire::cost_usd(self.meta(wire::COST)?)
    }

    /// Why its `_meta` is unreadable, where it is present.
    pub fn meta_problem(&self) -> Option<&'static str> {
        let is_malformed =
            self.meta.as_ref().is_some_and(|meta| !meta.value.is_object() && !meta.value.is_null());
        let is_object = self.raw.get().starts_with('{');
        if is_malformed {
            Some("its `_meta` is not an object")
        } else {
            (!is_object).then_some("it is not an object")
        }
    }

    pub fn answer(&self) -> Result<Answer, Unreadable> {
        Answer::parse(&self.raw)
    }
}

impl Meta {
    /// Of a member that is part of the result.
    fn read(member: &RawValue, result: &RawValue) -> Result<Self, Unreadable> {
        let start = member.get().as_ptr().addr() - result.get().as_ptr().addr();
        Ok(Self { value: value_of(member)?, bytes: start..start + member.get().len() })
    }
}

fn members(object: &str) -> serde_json::Result<Members<&RawValue, Name<'_>>> {
    serde_json::from_str(object)
}

/// An object without a member, whose value is at these bytes. `None` where its name is spelled with
/// escapes.
fn without_member(object: &str, name: &str, value: &Range<usize>) -> Option<Box<RawValue>> {
    const SPACE: [char; 4] = [' ', '\n', '\r', '\t'];
    let before = object[..value.start].trim_end_matches(SPACE).strip_suffix(':')?;
    let before = before.trim_end_matches(SPACE).strip_suffix('"')?.strip_suffix(name)?;
    let before = before.strip_suffix('"')?.trim_end_matches(SPACE);
    let after = object[value.end..].trim_start_matches(SPACE);
    // with the comma before it, or the one after it
    let cut = match before.strip_suffix(',') {
        Some(before) => [before, after].concat(),
        None => [before, after.strip_prefix(',').unwrap_or(after)].concat(),
    };
    RawValue::from_string(cut).ok()
}

/// An object without some members of its member `_meta`, of which others are left. `None` where it
/// cannot be read.
fn without_in_meta(object: &RawValue, is_removed: impl Fn(&str) -> bool) -> Option<Box<RawValue>> {
    let Members(mut all) = members(object.get()).ok()?;
    let at = all.iter().position(|(name, _)| name.as_ref() == "_meta")?;
    let mut meta = members(all[at].1.get()).ok()?;
    meta.0.retain(|(name, _)| !is_removed(name.as_ref()));
    let meta = meta.to_raw();
    all[at].1 = &meta;
    Some(Members(all).to_raw())
}

/// A fully parsed result.
#[derive(Debug, Clone)]
pub struct Answer(Value);

impl Answer {
    pub fn parse(raw: &RawValue) -> Result<Self, Unreadable> {
        value_of(raw).map(Self)
    }

    pub fn of(value: Value) -> Self {
        Self(value)
    }

    pub fn value(&self) -> &Value {
        &self.0
    }

    pub fn is_error(&self) -> bool {
        self.0.get("isError") == Some(&Value::Bool(true))
    }

    /// All text blocks, each on its own lines.
    pub fn text(&self) -> String {
        let blocks =
            self.0.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<_> = blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect();
        texts.join("\n")
    }

    pub fn structured(&self) -> Option<&Value> {
        self.0.get("structuredContent").filter(|value| !value.is_null())
    }

    /// One of the `_meta` keys.
    pub fn meta(&self, key: &str) -> Option<&Value> {
        self.0.get("_meta")?.get(key)
    }

    /// For a tool's error: the line of the server's code that raised it, where the server reports
    /// it.
    pub fn place(&self) -> Option<&str> {
        self.meta(wire::WHERE)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_object_meta_is_distinguished_from_absence() {
        for (text, expected) in [
            (r#"{"content":[]}"#, None),
            (r#"{"_meta":{}}"#, None),
            (r#"{"_meta":null}"#, None),
            (r#"{"_meta":[1]}"#, Some("its `_meta` is not an object")),
            (r#"{"_meta":"x"}"#, Some("its `_meta` is not an object")),
            ("[1]", Some("it is not an object")),
            ("null", Some("it is not an object")),
        ] {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            assert_eq!(CallResult::parse(raw).unwrap().meta_problem(), expected, "{text}");
        }
    }

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn unknown_members_and_number_spelling_survive() {
        let text = r#"{"content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}],"x":1.10}"#;
        let result = CallResult::parse(raw(text)).unwrap();
        assert_eq!(result.raw().get(), text);
        let answer = result.answer().unwrap();
        assert_eq!(answer.text(), "a\nb");
        assert!(!result.is_error() && !answer.is_error() && answer.structured().is_none());
        assert!(result.meta("k").is_none() && answer.meta("k").is_none());
    }

    #[test]
    fn malformed_result_is_read_partially() {
        let read = |text: &str| {
            let result = CallResult::parse(raw(text)).unwrap();
            let answer = result.answer().unwrap();
            assert_eq!(
                (result.is_error(), result.meta("k")),
                (answer.is_error(), answer.meta("k")),
                "{text}"
            );
            answer
        };
        let malformed = read(r#"{"isError":"yes","structuredContent":{"a":1},"_meta":{"k":2}}"#);
        assert!(!malformed.is_error());
        assert_eq!(
            (
                malformed.structured().unwrap()["a"].as_i64(),
                malformed.meta("k").and_then(Value::as_i64)
            ),
            (Some(1), Some(2))
        );
        assert!(read("[1]").structured().is_none() && read("7").text().is_empty());
        assert!(read(r#"{"isError":true,"structuredContent":null}"#).is_error());
    }

    #[test]
    fn members_of_meta_are_removed_and_all_else_keeps_its_bytes() {
        for (text, expected) in [
            (r#"{"content":[],"n":1.10}"#, r#"{"content":[],"n":1.10}"#),
            (r#"{"content":[],"_meta":{"a/x":["b"]},"n":1.10}"#, r#"{"content":[],"n":1.10}"#),
            (r#"{ "n" : 1.10 , "_meta" : {"a/x":1} }"#, r#"{ "n" : 1.10 }"#),
            (r#"{"_meta":{"a/x":1},"n":1.10}"#, r#"{"n":1.10}"#),
            (r#"{"_meta" :{"a/x":{"_meta":1},"a/y":2}}"#, "{}"),
            (r#"{"_meta":{}}"#, "{}"),
            (r#"{"_meta":{"b/x":1e2}}"#, r#"{"_meta":{"b/x":1e2}}"#),
            (
                r#"{"_meta":{"a/x":1,"b/x":12345678901234567890123},"n":1.10}"#,
                r#"{"_meta":{"b/x":12345678901234567890123},"n":1.10}"#,
            ),
            (r#"{"_meta":null}"#, r#"{"_meta":null}"#),
            (
                r#"{"structuredContent":{"_meta":{"a/x":1}}}"#,
                r#"{"structuredContent":{"_meta":{"a/x":1}}}"#,
            ),
            ("[1]", "[1]"),
        ] {
            let removed = CallResult::parse(raw(text))
                .unwrap()
                .without_in_meta(|name| name.starts_with("a/"));
            assert_eq!(removed.get(), expected, "{text}");
        }
        // a name that is spelled with escapes is passed on: nothing of ours is spelled so
        let spelled = r#"{"\u005fmeta":{"a/x":1}}"#;
        let passed = CallResult::parse(raw(spelled)).unwrap().without_in_meta(|_| true);
        assert_eq!(passed.get(), spelled);
    }

    #[test]
    fn unreadable_tool_result_is_passed_through() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for content in [r#""cut \ud83d""#, &deep, r#"{"\udead":1}"#] {
            let text = format!(r#"{{"structuredContent":{content},"_meta":{{"k":1}}}}"#);
            let result = CallResult::parse(raw(&text)).unwrap();
            assert_eq!(
                (result.raw().get(), result.meta("k").and_then(Value::as_i64)),
                (text.as_str(), Some(1))
            );
            assert!(result.answer().is_err(), "{content}");
        }
        for ours in [
            r#"{"_meta":{"k":"\ud83d"}}"#,
            r#"{"_meta":{},"_meta":{}}"#,
            r#"{"isError":true,"isError":false}"#,
            r#"{"\udead":1}"#,
        ] {
            assert!(CallResult::parse(raw(ours)).is_err(), "{ours}");
        }
    }
}
