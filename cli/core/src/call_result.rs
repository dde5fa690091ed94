//! The result of `tools/call`, kept as the child sent it and read by its few known members.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::cell::OnceCell;

#[derive(Debug, Clone)]
pub struct CallResult {
    raw: Box<RawValue>,
    known: Box<Known>,
    /// All of it, once somebody asks: most judge by one member.
    whole: OnceCell<Box<Value>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Known {
    structured_content: Option<Value>,
    is_error: bool,
    #[serde(rename = "_meta")]
    meta: Option<Value>,
}

impl Known {
    /// Of a result whose members are not what they should be.
    fn of(whole: &Value) -> Self {
        Self {
            structured_content: whole.get("structuredContent").cloned(),
            is_error: whole.get("isError") == Some(&Value::Bool(true)),
            meta: whole.get("_meta").cloned(),
        }
    }
}

impl CallResult {
    pub fn parse(raw: Box<RawValue>) -> Self {
        let whole = OnceCell::new();
        // serde would read a list as the members in their order
        let is_object = raw.get().starts_with('{');
        let known = if is_object { serde_json::from_str(raw.get()).ok() } else { None };
        let known = known.unwrap_or_else(|| Known::of(whole.get_or_init(|| Box::new(value_of(&raw)))));
        Self { raw, known: Box::new(known), whole }
    }

    /// The very bytes, for passing on.
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }

    pub fn value(&self) -> &Value {
        self.whole.get_or_init(|| Box::new(value_of(&self.raw)))
    }

    /// Whether the tool itself says that it failed.
    pub fn is_error(&self) -> bool {
        self.known.is_error
    }

    /// All text blocks, each on its own lines.
    pub fn text(&self) -> String {
        let blocks = self.value().get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<_> = blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect();
        texts.join("\n")
    }

    pub fn structured(&self) -> Option<&Value> {
        self.known.structured_content.as_ref().filter(|value| !value.is_null())
    }

    /// One of the `_meta` keys.
    pub fn meta(&self, key: &str) -> Option<&Value> {
        self.known.meta.as_ref()?.get(key)
    }
}

fn value_of(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).expect("a raw value is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_members_and_number_spelling_survive() {
        let text = r#"{"content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}],"x":1.10}"#;
        let result = CallResult::parse(RawValue::from_string(text.to_owned()).unwrap());
        assert_eq!(result.text(), "a\nb");
        assert_eq!(result.raw().get(), text);
        assert!(!result.is_error() && result.structured().is_none() && result.meta("k").is_none());
    }

    #[test]
    fn a_result_of_another_shape_is_read_as_far_as_it_goes() {
        let read = |text: &str| CallResult::parse(RawValue::from_string(text.to_owned()).unwrap());
        let odd = read(r#"{"isError":"yes","structuredContent":{"a":1},"_meta":{"k":2}}"#);
        assert!(!odd.is_error());
        assert_eq!((odd.structured().unwrap()["a"].as_i64(), odd.meta("k").and_then(Value::as_i64)), (Some(1), Some(2)));
        assert!(read("[1]").structured().is_none() && read("7").text().is_empty());
        assert!(read(r#"{"isError":true,"structuredContent":null}"#).is_error());
    }
}
