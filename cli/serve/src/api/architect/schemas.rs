//! JSON Schemas of the Architect's inputs and results, by name, shared by the REST API's document
//! and the MCP tools.

use serde_json::{Map, Value};

pub(super) const SCHEMAS: &str = include_str!("schemas.json");

/// A schema by its name, with all references resolved.
pub(super) fn resolved(name: &str) -> Value {
    let all: Value = serde_json::from_str(SCHEMAS).expect("the schemas are constants and tested");
    let mut schema = all[name].clone();
    resolve(&mut schema, &all);
    schema
}

fn resolve(schema: &mut Value, all: &Value) {
    if let Some(name) = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| reference.rsplit('/').next())
    {
        *schema = all[name].clone();
    }
    match schema {
        Value::Object(object) => object.values_mut().for_each(|value| resolve(value, all)),
        Value::Array(array) => array.iter_mut().for_each(|value| resolve(value, all)),
        _ => {}
    }
}

/// The schema with one type for each property: several hosts and model APIs accept no other. A
/// nullable property becomes an optional one.
pub(super) fn of_one_type(mut schema: Value) -> Value {
    forbid_nulls(&mut schema);
    schema
}

fn forbid_nulls(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let nullable: Vec<_> = object
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter(|(_, property)| other_than_null(property).is_some())
                .map(|(name, _)| Value::from(name.as_str()))
                .collect();
            if let Some(required) = object.get_mut("required").and_then(Value::as_array_mut) {
                required.retain(|name| !nullable.contains(name));
            }
            for value in object.values_mut() {
                if let Some(other) = other_than_null(value)
                    && let Value::Object(members) = value
                {
                    members.shift_remove("anyOf");
                    let described = std::mem::take(members);
                    *members = other.into_iter().chain(described).collect();
                }
                forbid_nulls(value);
            }
        }
        Value::Array(array) => array.iter_mut().for_each(forbid_nulls),
        _ => {}
    }
}

/// The other type of a nullable property.
fn other_than_null(schema: &Value) -> Option<Map<String, Value>> {
    let [other, null] = schema.get("anyOf")?.as_array()?.as_slice() else { return None };
    other.as_object().filter(|_| null["type"] == "null").cloned()
}

/// A document without its members that are null.
pub(super) fn without_nulls(document: &mut Value) {
    match document {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(without_nulls);
        }
        Value::Array(array) => array.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::architect::feedback::{Feedback, Status};
    use agent_engine::architect::events::{Kind, RunEvent, SCHEMA};

    #[test]
    fn documents_have_the_properties_of_their_schemas() {
        let mut item = Feedback::new("plurals", None, "api", "2026-11-22T12:00:00.000Z").unwrap();
        item.status =
            Status::Answered { run: "r-0123456789".to_owned(), version: "v0.2.0".to_owned() };
        let event = RunEvent {
            schema: SCHEMA.to_owned(),
            run: "r-0123456789".to_owned(),
            number: 1,
            at: item.at.clone(),
            kind: Kind::Began,
            status: "queued".to_owned(),
            attempt: 0,
            text: String::new(),
        };
        for (name, value) in [
            ("Feedback", serde_json::to_value(&item).unwrap()),
            ("RunEvent", serde_json::to_value(&event).unwrap()),
        ] {
            let schema = resolved(name);
            let required =
                schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap());
            let given: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(required.collect::<Vec<_>>(), given, "{name}");
        }
        assert_eq!(
            resolved("FeedbackPage")["properties"]["feedback"]["items"],
            resolved("Feedback")
        );
        assert!(!resolved("RunPage").to_string().contains("$ref"));
    }

    /// Each property of each schema below this one.
    fn properties(schema: &Value) -> Vec<(String, Value)> {
        let own = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let own: Vec<_> = own.map(|(name, property)| (name.clone(), property.clone())).collect();
        let below = own.iter().flat_map(|(_, property)| properties(property)).collect::<Vec<_>>();
        let items = schema.get("items").map(properties).unwrap_or_default();
        own.into_iter().chain(below).chain(items).collect()
    }

    #[test]
    fn a_schema_for_models_has_one_type_for_each_property() {
        let all: Value = serde_json::from_str(SCHEMAS).unwrap();
        for name in all.as_object().unwrap().keys() {
            for (property, schema) in properties(&of_one_type(resolved(name))) {
                assert!(
                    schema["type"].is_string() && schema.get("anyOf").is_none(),
                    "{name}.{property}: {schema}"
                );
            }
        }
        let page = of_one_type(resolved("RunPage"));
        assert_eq!(page["required"], serde_json::json!(["schema", "runs"]));
        let mut given = serde_json::json!({"runs": [{"why": null, "run": "r"}], "next": null});
        without_nulls(&mut given);
        assert_eq!(given, serde_json::json!({"runs": [{"run": "r"}]}));
    }
}
