//! Whether a schema of states judges each part by itself: then a state is valid when it was before
//! a change and the changed parts are.

use serde_json::Value;
use std::collections::BTreeSet;

/// Keywords of an object that hold for each member by itself, and those that hold for nothing.
const BY_MEMBER: [&str; 16] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "type",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "required",
    "$ref",
];
/// References to references are followed this often.
const REFERENCES: usize = 8;

/// The names that may be required somewhere; `None` where the schema compares parts with each
/// other, or where that is not known.
pub fn required_names(schema: &Value) -> Option<BTreeSet<String>> {
    let root = resolved(schema, schema)?;
    let by_itself = judges_members_alone(root)
        && members_of(root).all(|member| {
            resolved(schema, member)
                .is_some_and(|member| is_no_object(member) || judges_members_alone(member))
        });
    by_itself.then(|| {
        let mut names = BTreeSet::new();
        gather(schema, &mut names);
        names
    })
}

fn judges_members_alone(schema: &Value) -> bool {
    match schema {
        Value::Bool(_) => true,
        Value::Object(keywords) => keywords
            .keys()
            .all(|keyword| keyword.starts_with("x-") || BY_MEMBER.contains(&keyword.as_str())),
        _ => false,
    }
}

/// Whether only what is a part as a whole can be valid.
fn is_no_object(schema: &Value) -> bool {
    let is_object = |value: &Value| value.is_object();
    let types = &schema["type"];
    let by_type = match types {
        Value::String(one) => one != "object",
        Value::Array(some) => !some.iter().any(|one| one == "object"),
        _ => false,
    };
    by_type
        || schema.get("const").is_some_and(|value| !is_object(value))
        || schema["enum"].as_array().is_some_and(|values| !values.iter().any(is_object))
}

/// The schemas of the members of an object.
fn members_of(schema: &Value) -> impl Iterator<Item = &Value> {
    let named =
        |keyword: &str| schema[keyword].as_object().into_iter().flat_map(|all| all.values());
    named("properties").chain(named("patternProperties")).chain(schema.get("additionalProperties"))
}

/// What a schema that is nothing but a reference into the document refers to.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let mut schema = schema;
    for _ in 0..REFERENCES {
        let Some(reference) = schema.get("$ref") else { return Some(schema) };
        let keywords = schema.as_object()?.keys();
        let is_alone = keywords
            .filter(|keyword| *keyword != "$ref")
            .all(|keyword| keyword.starts_with("x-") || keyword == "description");
        schema = document.pointer(reference.as_str()?.strip_prefix('#')?).filter(|_| is_alone)?;
    }
    None
}

fn gather(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(keywords) => {
            let required = keywords.get("required").and_then(Value::as_array);
            names.extend(
                required.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned),
            );
            keywords.values().for_each(|inner| gather(inner, names));
        }
        Value::Array(items) => items.iter().for_each(|inner| gather(inner, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_that_compare_parts_are_known() {
        let task = json!({"type": "object", "required": ["seen"], "minProperties": 1});
        for (schema, expected) in [
            (json!({"type": "object"}), Some(vec![])),
            (
                json!({"required": ["tasks"], "properties": {"tasks": {"type": "object",
                    "additionalProperties": task}, "n": {"type": "integer", "minimum": 0}}}),
                Some(vec!["seen", "tasks"]),
            ),
            (
                json!({"properties": {"tasks": {"$ref": "#/$defs/tasks"}},
                    "$defs": {"tasks": {"additionalProperties": task}}}),
                Some(vec!["seen"]),
            ),
            (json!({"properties": {"tasks": {"maxProperties": 3}}}), None),
            (json!({"properties": {"tasks": {"type": "array", "maxItems": 3}}}), Some(vec![])),
            (json!({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}), None),
            (json!({"properties": {"v": {"const": 1}, "w": {"enum": ["a"]}}}), Some(vec![])),
            (json!({"properties": {"v": {"const": {"a": 1, "b": 2}}}}), None),
            (json!({"additionalProperties": {"$ref": "urn:other"}}), None),
        ] {
            let names = required_names(&schema);
            let names = names.map(|names| names.into_iter().collect::<Vec<_>>());
            assert_eq!(
                names,
                expected.map(|all: Vec<&str>| {
                    all.into_iter().map(str::to_owned).collect::<Vec<_>>()
                }),
                "{schema}"
            );
        }
    }
}
