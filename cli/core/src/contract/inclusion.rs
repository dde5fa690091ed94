//! Whether every value of one schema is a value of another: a proof, a counterexample, or neither.

use jsoncompat::{CompatibilityResult, Role, SchemaDocument, analyze_compat};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Inclusion {
    Proven,
    Refuted { example: Value },
    Unknown { reason: String },
}

/// Is every value of `part` that has only declared properties also a value of `whole`?
pub(super) fn inclusion(part: &Value, whole: &Value) -> Inclusion {
    if let Some(reference) = references(part)
        .into_iter()
        .chain(references(whole))
        .find(|reference| !is_definition(reference))
    {
        return Inclusion::Unknown { reason: format!("`$ref` to `{reference}` is not followed") };
    }
    let documents = SchemaDocument::from_json(part)
        .and_then(|part| Ok((part, SchemaDocument::from_json(whole)?)));
    let (part, whole) = match documents {
        Ok(documents) => documents,
        Err(error) => return Inclusion::Unknown { reason: error.to_string() },
    };
    match analyze_compat(&part, &whole, Role::Deserializer) {
        Ok(CompatibilityResult::Compatible) => Inclusion::Proven,
        Ok(CompatibilityResult::Incompatible { counterexample, .. }) => {
            Inclusion::Refuted { example: counterexample }
        }
        Ok(CompatibilityResult::Unknown { reason }) => Inclusion::Unknown { reason },
        Err(error) => Inclusion::Unknown { reason: error.to_string() },
    }
}

fn is_definition(reference: &str) -> bool {
    reference.starts_with("#/$defs/") || reference.starts_with("#/definitions/")
}

fn references(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(map) => {
            let own = map.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(map.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_declared_properties_count() {
        let open = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let more = json!({"type": "object", "properties": {"a": {"type": "string"},
            "b": {"type": "integer"}}});
        assert_eq!(inclusion(&open, &more), Inclusion::Proven);
    }

    #[test]
    fn undecidable_inclusion_reports_the_reason() {
        let elsewhere = json!({"$ref": "https://example.org/schema.json"});
        let answer = inclusion(&elsewhere, &json!({"type": "string"}));
        assert_eq!(
            answer,
            Inclusion::Unknown {
                reason: "`$ref` to `https://example.org/schema.json` is not followed".to_owned()
            }
        );
    }
}
