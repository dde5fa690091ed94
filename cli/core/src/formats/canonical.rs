//! The one byte form of a JSON document that is hashed, stored or diffed: keys sorted, two spaces,
//! a newline at the end.

use crate::formats::object_id::ObjectId;
use serde_json::{Map, Number, Value};

/// Canonical bytes: what a state file holds, so that equal states have equal Revisions and git
/// shows small diffs.
pub fn to_bytes(value: &Value) -> Vec<u8> {
    normal_to_bytes(&normal(value))
}

/// Like `to_bytes`, for a result of `normal`: to bring a document into its normal form is most of
/// the work.
pub fn normal_to_bytes(normal: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(normal).expect("a JSON value serialises");
    bytes.push(b'\n');
    bytes
}

/// The Revision of a state: the git blob id of its canonical bytes.
pub fn revision(value: &Value) -> ObjectId {
    ObjectId::of_blob(&to_bytes(value))
}

/// Canonical compact text, for digests of parts.
pub fn to_compact(value: &Value) -> String {
    normal(value).to_string()
}

/// The document with its keys sorted and each number in its one spelling: Python writes `1e-07`
/// where Rust writes `1e-7`.
pub fn normal(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.clone(), normal(value)))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(normal).collect()),
        Value::Number(number) => Value::Number(normal_number(number)),
        other => other.clone(),
    }
}

fn normal_number(number: &Number) -> Number {
    if let Some(integer) = number.as_i64() {
        return integer.into();
    }
    if let Some(integer) = number.as_u64() {
        return integer.into();
    }
    // an integer too long for 64 bits keeps its digits
    let has_fraction = number.to_string().contains(['.', 'e', 'E']);
    number
        .as_f64()
        .filter(|_| has_fraction)
        .and_then(Number::from_f64)
        .unwrap_or_else(|| number.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn key_order_does_not_change_the_revision() {
        let one = json!({"b": [1, {"d": 0.1, "c": null}], "a": "x"});
        let two = json!({"a": "x", "b": [1, {"c": null, "d": 0.1}]});
        assert_eq!(revision(&one), revision(&two));
        assert!(to_bytes(&one).ends_with(b"}\n"));
    }

    #[test]
    fn number_has_one_canonical_form() {
        for (written, normal_form) in [
            ("1e-07", "1e-7"),
            ("1E5", "100000.0"),
            ("1.50", "1.5"),
            ("-0", "0"),
            ("7", "7"),
            ("123456789012345678901234", "123456789012345678901234"),
        ] {
            assert_eq!(
                to_compact(&serde_json::from_str(written).unwrap()),
                normal_form,
                "{written}"
            );
        }
    }
}
