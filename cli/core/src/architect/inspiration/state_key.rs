//! New keys of the state: the schema with the keys, its version raised, and the step that migrates
//! a state without them.

use super::binding::Bound;
use crate::contract::new_keys::{self, NewKey};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A key at the top of the state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateKey {
    key: String,
    /// Its value in a state that is migrated. A text that is one placeholder is read as JSON.
    default: Value,
    /// The JSON Schema of its value.
    schema: Value,
    /// For a number above 0: it may become so many times smaller or greater than its default.
    spread: Option<f64>,
}

/// The changed schema and the new step, by path.
pub(super) fn added(
    keys: &[StateKey],
    bound: &Bound,
    read: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, String> {
    let keys = keys.iter().map(|key| key.resolved(bound)).collect::<Result<Vec<_>, _>>()?;
    new_keys::added(&keys, read)
}

impl StateKey {
    fn resolved(&self, bound: &Bound) -> Result<NewKey, String> {
        let key = bound.filled(&self.key);
        let default = match self.default.as_str() {
            Some(text) if text.starts_with("{{") => {
                let filled = bound.filled(text);
                serde_json::from_str(&filled)
                    .map_err(|_| format!("`{filled}` is not a JSON value for `{key}`"))?
            }
            _ => self.default.clone(),
        };
        let mut schema: Value = serde_json::from_str(&bound.filled(&self.schema.to_string()))
            .map_err(|error| format!("the schema of `{key}`: {error}"))?;
        if let Some(spread) = self.spread {
            let value = default
                .as_f64()
                .filter(|value| *value > 0.0)
                .ok_or_else(|| format!("`{key}` is {default}: its bounds need a number above 0"))?;
            schema["minimum"] = json!(value / spread);
            schema["maximum"] = json!(value * spread);
        }
        Ok(NewKey { key, default: Some(default), schema, is_required: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::new_keys::SCHEMA_FILE;

    const SCHEMA: &str = r#"{
  "x-schema-version": 3,
  "required": ["schema_version"],
  "properties": {
    "schema_version": { "const": 3 }
  }
}
"#;

    fn key(text: &str) -> StateKey {
        toml::from_str(text).unwrap()
    }

    fn changed(files: &[(&str, &str)], keys: &[StateKey]) -> Result<Vec<String>, String> {
        let read = |path: &str| {
            files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        };
        added(keys, &Bound::default(), &read).map(|files| files.into_values().collect())
    }

    #[test]
    fn a_key_raises_the_version_and_brings_its_migration() {
        let keys = [
            key("key = 'cutoff'\ndefault = 2.0\nspread = 4.0\nschema = { type = 'number' }"),
            key("key = 'seen'\ndefault = {}\nschema = { type = 'object' }"),
        ];
        let files = changed(&[(SCHEMA_FILE, SCHEMA)], &keys).unwrap();
        let [step, schema] = files.as_slice() else { panic!("{files:?}") };
        let schema: Value = serde_json::from_str(schema).unwrap();
        assert_eq!(
            schema,
            json!({
                "x-schema-version": 4,
                "required": ["schema_version", "cutoff", "seen"],
                "properties": {
                    "schema_version": {"const": 4},
                    "cutoff": {"type": "number", "minimum": 0.5, "maximum": 8.0},
                    "seen": {"type": "object"},
                }
            })
        );
        assert!(step.contains("    state.setdefault(\"cutoff\", 2.0)\n"), "{step}");
        assert!(step.contains("        state[\"schema_version\"] = 4\n"), "{step}");
    }

    #[test]
    fn a_state_without_a_version_and_a_key_that_exists_are_refused() {
        let cutoff = [key("key = 'cutoff'\ndefault = 0\nspread = 2.0\nschema = {}")];
        let refused = |files: &[(&str, &str)], keys: &[StateKey]| changed(files, keys).unwrap_err();
        assert!(refused(&[(SCHEMA_FILE, SCHEMA)], &cutoff).contains("a number above 0"));
        let seen = [key("key = 'seen'\ndefault = {}\nschema = {}")];
        assert!(refused(&[(SCHEMA_FILE, "{}")], &seen).contains("x-schema-version"));
        assert!(refused(&[], &seen).contains("there is no state/schema.json"));
        let taken = SCHEMA.replace("\"schema_version\": {", "\"seen\": {");
        assert!(refused(&[(SCHEMA_FILE, &taken)], &seen).contains("already has the key `seen`"));
    }
}
