//! The result of `tools/call`, kept as the child sent it and read by its few known members.

use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Debug, Clone)]
pub struct CallResult {
    raw: Box<RawValue>,
    value: Value,
}

impl CallResult {
    pub fn parse(raw: Box<RawValue>) -> Self {
        let value = serde_json::from_str(raw.get()).expect("a raw value is JSON");
        Self { raw, value }
    }

    /// The very bytes, for passing on.
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether the tool itself says that it failed.
    pub fn is_error(&self) -> bool {
        self.value.get("isError") == Some(&Value::Bool(true))
    }

    /// All text blocks, each on its own lines.
    pub fn text(&self) -> String {
        let blocks = self.value.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<_> = blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect();
        texts.join("\n")
    }

    pub fn structured(&self) -> Option<&Value> {
        self.value.get("structuredContent").filter(|value| !value.is_null())
    }

    /// One of the `_meta` keys.
    pub fn meta(&self, key: &str) -> Option<&Value> {
        self.value.get("_meta")?.get(key)
    }
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
}
