//! The overlay over a result that is no error: its texts are cut, and a text is added. All else
//! keeps its bytes; `structuredContent` as well, which has to stay what the tool's output schema
//! declares.

use super::definition::{Presentation, Tool};
use crate::protocol::mcp;
use crate::protocol::raw_object::RawObject;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

impl Presentation {
    /// The result of a tool as hosts see it.
    pub fn result(&self, tool: &str, result: Box<RawValue>) -> Box<RawValue> {
        let over = self.tools.get(tool).filter(|over| over.changes_results());
        over.and_then(|over| over.put_over_result(&result)).unwrap_or(result)
    }
}

impl Tool {
    fn changes_results(&self) -> bool {
        self.append.is_some() || self.max_result_chars.is_some()
    }

    /// `None` where nothing changes: an error, a result that has no content yet, or one that is not
    /// readable.
    fn put_over_result(&self, result: &RawValue) -> Option<Box<RawValue>> {
        if mcp::needs_input(result) {
            return None;
        }
        let mut members = RawObject::parse(result)?;
        if members.get("isError").is_some_and(|raw| raw.get() == "true") {
            return None;
        }
        let mut content: Vec<Box<RawValue>> =
            serde_json::from_str(members.get("content")?.get()).ok()?;
        if let Some(limit) = self.max_result_chars {
            content = cut(content, limit);
        }
        if let Some(text) = &self.append {
            content.push(raw(&json!({"type": "text", "text": text})));
        }
        members.set("content", &content);
        Some(members.to_raw())
    }
}

/// The blocks with so many characters of text; the one that exceeds them ends with a note, and
/// texts after it are left out. Blocks of other kinds stay.
fn cut(content: Vec<Box<RawValue>>, limit: usize) -> Vec<Box<RawValue>> {
    let texts: Vec<Option<String>> = content.iter().map(|block| text_of(block)).collect();
    let whole: usize = texts.iter().flatten().map(|text| text.chars().count()).sum();
    if whole <= limit {
        return content;
    }
    let mut left = Some(limit);
    let blocks = content.into_iter().zip(texts).filter_map(|(block, text)| {
        let Some(text) = text else { return Some(block) };
        let count = text.chars().count();
        let rest = left?;
        if count <= rest {
            left = Some(rest - count);
            return Some(block);
        }
        left = None;
        let kept: String = text.chars().take(rest).collect();
        let mut members = RawObject::parse(&block)?;
        members.set("text", &format!("{kept}\n[cut: {limit} of {whole} characters]"));
        Some(members.to_raw())
    });
    blocks.collect()
}

fn text_of(block: &RawValue) -> Option<String> {
    let members = RawObject::parse(block)?;
    members.text("type").filter(|kind| kind == "text")?;
    members.text("text")
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    to_raw_value(value).expect("JSON serialises")
}

#[cfg(test)]
mod tests {
    use crate::overlay::{KEY, Overlay};
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(over: &Value, result: &str, expected: &str) {
        let state = json!({"overlay": {"tools": {"t": over}}});
        let overlay = Overlay::read(&state, KEY).unwrap().unwrap();
        let result = RawValue::from_string(result.to_owned()).unwrap();
        assert_eq!(overlay.plain().result("t", result).get(), expected);
    }

    #[test]
    fn a_text_is_added_and_all_else_keeps_its_bytes() {
        check(
            &json!({"append": "More: page 2."}),
            r#"{"content":[{"type":"text","text":"a","n":1.10}],"structuredContent":{"n":1e2},"x":12345678901234567890123}"#,
            r#"{"content":[{"type":"text","text":"a","n":1.10},{"type":"text","text":"More: page 2."}],"structuredContent":{"n":1e2},"x":12345678901234567890123}"#,
        );
        for unchanged in [
            r#"{"content":[],"isError":true}"#,
            r#"{"resultType":"input_required","content":[]}"#,
            r#"{"task":{"taskId":"1"}}"#,
            "[1]",
        ] {
            check(&json!({"append": "x"}), unchanged, unchanged);
        }
    }

    #[test]
    fn texts_are_cut_at_a_number_of_characters() {
        let cut = json!({"max_result_chars": 4});
        check(
            &cut,
            r#"{"content":[{"type":"text","text":"äöü"},{"type":"image","data":"aaaaaaa"},{"type":"text","text":"defg","_meta":{"n":1.0}},{"type":"text","text":"h"}]}"#,
            "{\"content\":[{\"type\":\"text\",\"text\":\"äöü\"},{\"type\":\"image\",\"data\":\"aaaaaaa\"},{\"type\":\"text\",\"text\":\"d\\n[cut: 4 of 8 characters]\",\"_meta\":{\"n\":1.0}}]}",
        );
        check(
            &cut,
            r#"{"content":[{"type":"text","text":"äöüß"}]}"#,
            r#"{"content":[{"type":"text","text":"äöüß"}]}"#,
        );
    }
}
