//! YAML, read as the values of JSON and written from them: the one place of `serde_saphyr`.

use super::document::{DocumentError, without_mark};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The documents of a file; `file` names it in errors. A key may not appear twice in one mapping.
pub fn documents(text: &str, file: &str) -> Result<Vec<Value>, DocumentError> {
    serde_saphyr::from_multiple(without_mark(text)).map_err(|error| {
        let error = error.without_snippet();
        let place = error.location().map_or_else(
            || file.to_owned(),
            |location| format!("{file}:{}:{}", location.line(), location.column()),
        );
        let message = error.to_string();
        let problem = message.rsplit_once(" at line ").map_or(message.as_str(), |(text, _)| text);
        DocumentError::new(place, format!("not valid YAML: {problem}"), "fix the YAML")
    })
}

/// The text of a file of these documents.
pub fn text(documents: &[Value]) -> String {
    let documents: Vec<_> = documents.iter().map(Plain).collect();
    serde_saphyr::to_string_multiple(&documents).expect("a JSON value is written as YAML")
}

/// A value whose numbers are numbers for every format: with its feature `arbitrary_precision`,
/// which a dependency turns on, `serde_json` serializes them as a mapping that it alone
/// understands.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(whole), _, _) => serializer.serialize_i64(whole),
                (None, Some(whole), _) => serializer.serialize_u64(whole),
                (None, None, Some(number)) => serializer.serialize_f64(number),
                (None, None, None) => serializer.serialize_str(&number.to_string()),
            },
            Value::Array(items) => serializer.collect_seq(items.iter().map(Plain)),
            Value::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(key, value)| (key, Plain(value))))
            }
            other => other.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn an_error_names_its_place_in_the_file() {
        for (text, message) in [
            ("a: 1\na: 2\n", "slo.yaml:2:1: not valid YAML: duplicate mapping key: a"),
            ("a: [1\nb: 2\n", "slo.yaml:2:2: not valid YAML: illegal placement of ':' indicator"),
            ("---\na: 1\n---\nb: 'x\n", "slo.yaml:"),
        ] {
            let error = documents(text, "slo.yaml").unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn empty_documents_and_comments_are_skipped() {
        let text = "\u{feff}# a comment\n---\n---\na: &a [1]\nb: *a\n---\n# the end\n";
        assert_eq!(documents(text, "f").unwrap(), [json!({"a": [1], "b": [1]})]);
        assert_eq!(documents("", "f").unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn aliases_do_not_grow_without_bound() {
        let line = |level: usize| {
            let before = if level == 0 { "x".to_owned() } else { format!("*a{}", level - 1) };
            format!("a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(", "))
        };
        let text: String = (0..12).map(line).collect();
        assert!(documents(&text, "f").is_err());
    }

    #[test]
    fn numbers_are_written_as_other_programs_read_them() {
        let value = json!({"a": 0.99, "b": [1, -2, u64::MAX], "c": {"d": 1.0}});
        let text = text(&[value]);
        for line in ["a: 0.99\n", "- -2\n", "- 18446744073709551615\n", "d: 1.0\n"] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("private"), "{text}");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            prop::sample::select(vec![
                "1.0",
                "yes",
                "null",
                "~",
                "0x1",
                "a: b",
                "# c",
                " x",
                "x ",
                "- x",
                "x\n",
                "\n",
                "x\n\ny",
                "&a",
                "*a",
                "!t",
                "1e3",
                "2020-01-01",
                ".nan",
                "---",
                "...",
                "? x",
                "%",
                "<<",
                "=",
                "''",
                "\"",
                "\\",
                "\r\n",
                "\u{85}",
                "\u{2028}",
                "\u{feff}",
                "0o7",
                "07",
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".{0,8}", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(value in value()) {
            let documents_before = vec![json!({"value": value}), json!({"x": 1})];
            let text = text(&documents_before);
            let read = documents(&text, "f");
            prop_assert_eq!(read, Ok(documents_before), "{}", text);
        }
    }
}
