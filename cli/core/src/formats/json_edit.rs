//! A list or a value in a JSON file of the user's, changed without touching what else is in the
//! file.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstRootNode};
use serde_json::Value;

/// One change of a list.
#[derive(Debug, Clone, PartialEq)]
pub enum ListEdit {
    Append(Value),
    /// Puts a value in the place of the element at this index.
    Replace(usize, Value),
}

/// The text with the list under `key` of its object changed; the list is added where it is missing.
/// `None` where the text has no such place.
pub fn with_list(text: &str, key: &str, edits: Vec<ListEdit>) -> Option<String> {
    let root = CstRootNode::parse(text, &ParseOptions::default()).ok()?;
    let whole = root.object_value()?;
    let list = match whole.get(key) {
        Some(property) => property.array_value()?,
        None => whole.array_value_or_set(key),
    };
    for edit in edits {
        match edit {
            ListEdit::Append(value) => drop(list.append(input(value))),
            ListEdit::Replace(index, value) => {
                // an element that is replaced in its place is indented wrongly
                let element = list.elements().into_iter().nth(index)?;
                list.insert(index, input(value));
                element.remove();
            }
        }
    }
    Some(root.to_string())
}

/// The text with the value at a path of keys set; objects on the way are added where they are
/// missing. `None` where the path leads through something else than an object.
pub fn with_value(text: &str, path: &[&str], value: Value) -> Option<String> {
    let root = CstRootNode::parse(text, &ParseOptions::default()).ok()?;
    let (last, folders) = path.split_last()?;
    let object = folders
        .iter()
        .try_fold(root.object_value()?, |object, key| object.object_value_or_create(key))?;
    match object.get(last) {
        Some(property) => property.set_value(input(value)),
        None => drop(object.append(last, input(value))),
    }
    Some(root.to_string())
}

fn input(value: Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(flag) => CstInputValue::Bool(flag),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text),
        Value::Array(items) => CstInputValue::Array(items.into_iter().map(input).collect()),
        Value::Object(map) => {
            CstInputValue::Object(map.into_iter().map(|(key, value)| (key, input(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(text: &str, edits: Vec<ListEdit>, expected: &str) {
        assert_eq!(with_list(text, "l", edits).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_not_in_the_list_stays_as_it_is() {
        let append = || vec![ListEdit::Append(json!({"a": 1}))];
        check(
            "{\n  \"x\": {\"y\": [1,2]},\n  \"l\": [],\n  \"z\":1}\n",
            append(),
            "{\n  \"x\": {\"y\": [1,2]},\n  \"l\": [\n    {\n      \"a\": 1\n    }\n  ],\n  \"z\":1}\n",
        );
        check(
            "{\"x\": 1.50}",
            append(),
            "{\n  \"x\": 1.50,\n  \"l\": [\n    {\n      \"a\": 1\n    }\n  ]\n}",
        );
        check(
            "{\n\t\"l\": [\n\t\t{\"b\": 1e2},\n\t\t{\"c\": \"\\u00e9\"}\n\t]\n}\n",
            vec![ListEdit::Replace(0, json!({"b": 2}))],
            "{\n\t\"l\": [\n\t\t{\n\t\t\t\"b\": 2\n\t\t},\n\t\t{\"c\": \"\\u00e9\"}\n\t]\n}\n",
        );
        check(
            "{\n  \"l\": [\n    {\"b\": 1},\n    {\"c\": 1}\n  ]\n}\n",
            vec![ListEdit::Replace(1, json!({"d": 2}))],
            "{\n  \"l\": [\n    {\"b\": 1},\n    {\n      \"d\": 2\n    }\n  ]\n}\n",
        );
        check(
            "{\r\n  \"l\": [\r\n    {\"b\": 1}\r\n  ]\r\n}\r\n",
            append(),
            "{\r\n  \"l\": [\r\n    {\"b\": 1},\r\n    {\r\n      \"a\": 1\r\n    }\r\n  ]\r\n}\r\n",
        );
    }

    #[test]
    fn a_value_is_set_or_added_at_its_path() {
        let text = "{\n  \"a\": { \"b\": 1.50 },\n  \"c\": [1,2]\n}\n";
        let set = |path: &[&str]| with_value(text, path, json!(3));
        assert_eq!(set(&["a", "b"]).as_deref(), Some(text.replace("1.50", "3").as_str()));
        let added = set(&["a", "d"]).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&added).unwrap()["a"]["d"], json!(3));
        assert!(added.contains("1.50") && added.contains("[1,2]"), "{added}");
        assert_eq!(set(&["c", "d"]), None);
        assert_eq!(set(&[]), None);
    }

    #[test]
    fn a_text_without_the_place_is_not_changed() {
        for text in ["[]", "{", "{\"l\": 1}", ""] {
            assert_eq!(with_list(text, "l", vec![ListEdit::Append(json!(1))]), None, "{text}");
        }
    }
}
