//! New keys of the state: the schema with the keys, its version raised, and the step that migrates
//! a state without them.

use super::STATE_VERSION_KEY;
use crate::formats::json_edit::{ListEdit, with_list, with_value};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const SCHEMA_FILE: &str = "state/schema.json";

/// A key at the top of the state.
#[derive(Debug, Clone, PartialEq)]
pub struct NewKey {
    pub key: String,
    /// Its value in a state that is migrated; `None` where the key stays absent.
    pub default: Option<Value>,
    /// The JSON Schema of its value.
    pub schema: Value,
    pub is_required: bool,
}

/// The changed schema and the new step, by path. `read` has the files that are there.
pub fn added(
    keys: &[NewKey],
    read: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut text = read(SCHEMA_FILE).ok_or_else(|| format!("there is no {SCHEMA_FILE}"))?;
    let schema: Value =
        serde_json::from_str(&text).map_err(|error| format!("{SCHEMA_FILE}: {error}"))?;
    let next = next_version(&schema)?;
    for one in keys {
        if schema["properties"].get(&one.key).is_some() {
            return Err(format!("the state already has the key `{}`", one.key));
        }
        text = with_key(&text, one).ok_or_else(|| format!("{SCHEMA_FILE} is not an object"))?;
    }
    let raised = raised(&text, &schema, next);
    let text = raised.ok_or_else(|| format!("{SCHEMA_FILE} is not an object"))?;
    let step = format!("state/migrations/{next}.py");
    if read(&step).is_some() {
        return Err(format!("{step} is already there"));
    }
    Ok(BTreeMap::from([(SCHEMA_FILE.to_owned(), text), (step, migration(keys, next))]))
}

/// The version of the schema with further keys.
pub fn next_version(schema: &Value) -> Result<u64, String> {
    schema[STATE_VERSION_KEY].as_u64().map(|version| version + 1).ok_or_else(|| {
        format!("{SCHEMA_FILE} has no `{STATE_VERSION_KEY}`, which a migration needs")
    })
}

fn with_key(text: &str, key: &NewKey) -> Option<String> {
    let text = with_value(text, &["properties", &key.key], key.schema.clone())?;
    if !key.is_required {
        return Some(text);
    }
    with_list(&text, "required", vec![ListEdit::Append(json!(key.key))])
}

fn raised(text: &str, schema: &Value, next: u64) -> Option<String> {
    let text = with_value(text, &[STATE_VERSION_KEY], json!(next))?;
    match schema.pointer("/properties/schema_version/const") {
        Some(_) => with_value(&text, &["properties", "schema_version", "const"], json!(next)),
        None => Some(text),
    }
}

fn migration(keys: &[NewKey], version: u64) -> String {
    let names: Vec<_> = keys.iter().map(|one| format!("`{}`", one.key)).collect();
    let defaults = keys.iter().filter_map(|one| {
        let default = one.default.as_ref()?;
        Some(format!("    state.setdefault({}, {})\n", json!(one.key), python(default)))
    });
    let defaults: String = defaults.collect();
    format!(
        "\"\"\"Adds {} to the state.\"\"\"\n\n\n\
        def migrate(state):\n{defaults}    \
        if \"schema_version\" in state:\n        \
        state[\"schema_version\"] = {version}\n    \
        return state\n",
        names.join(" and ")
    )
}

/// The value as a Python expression.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(python).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => {
            let members =
                members.iter().map(|(key, value)| format!("{}: {}", json!(key), python(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_a_python_expression() {
        let value = json!({"a": [true, null, 1.5, "x\"y"]});
        assert_eq!(python(&value), r#"{"a": [True, None, 1.5, "x\"y"]}"#);
    }

    #[test]
    fn an_optional_key_gets_no_value() {
        let schema = json!({"x-schema-version": 1, "properties": {}}).to_string();
        let key = NewKey {
            key: "overlay".into(),
            default: None,
            schema: json!({"type": "object"}),
            is_required: false,
        };
        let read = |path: &str| (path == SCHEMA_FILE).then(|| schema.clone());
        let files = added(&[key], &read).unwrap();
        let changed: Value = serde_json::from_str(&files[SCHEMA_FILE]).unwrap();
        assert_eq!(
            changed,
            json!({"x-schema-version": 2, "properties": {"overlay": {"type": "object"}}})
        );
        assert!(!files["state/migrations/2.py"].contains("setdefault"), "{files:?}");
    }
}
