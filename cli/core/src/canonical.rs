//! The one byte form of a JSON document that is hashed, stored or diffed: keys sorted, two spaces, a newline at the end.

use crate::object_id::ObjectId;
use serde_json::{Map, Value};

/// Canonical bytes: what a state file holds, so that equal states have equal Revisions and git shows small diffs.
pub fn to_bytes(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(&sorted(value)).expect("a JSON value serialises");
    bytes.push(b'\n');
    bytes
}

/// The Revision of a state: the git blob id of its canonical bytes.
pub fn revision(value: &Value) -> ObjectId {
    ObjectId::of_blob(&to_bytes(value))
}

/// Canonical compact text, for digests of parts.
pub fn to_compact(value: &Value) -> String {
    sorted(value).to_string()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
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
}
