//! JSON Schemas of what the Architect takes and gives, by name. The REST API's document and the MCP tools are made of the same ones.

use serde_json::Value;

pub(super) const SCHEMAS: &str = include_str!("schemas.json");

/// One of them, by its name, whole: what it refers to stands in it.
pub(super) fn resolved(name: &str) -> Value {
    let all: Value = serde_json::from_str(SCHEMAS).expect("the schemas are ours");
    let mut schema = all[name].clone();
    resolve(&mut schema, &all);
    schema
}

fn resolve(schema: &mut Value, all: &Value) {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next()) {
        *schema = all[name].clone();
    }
    match schema {
        Value::Object(object) => object.values_mut().for_each(|value| resolve(value, all)),
        Value::Array(array) => array.iter_mut().for_each(|value| resolve(value, all)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architect::events::{Kind, RunEvent, SCHEMA};
    use agent_core::feedback::{Feedback, Status};

    #[test]
    fn what_is_given_is_what_the_schemas_say() {
        let mut item = Feedback::new("plurals", None, "api", "2026-11-22T12:00:00.000Z").unwrap();
        item.status = Status::Answered { run: "r-0123456789".to_owned(), version: "v0.2.0".to_owned() };
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
        for (name, value) in [("Feedback", serde_json::to_value(&item).unwrap()), ("RunEvent", serde_json::to_value(&event).unwrap())] {
            let schema = resolved(name);
            let required = schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap());
            let given: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(required.collect::<Vec<_>>(), given, "{name}");
        }
        assert_eq!(resolved("FeedbackPage")["properties"]["feedback"]["items"], resolved("Feedback"));
        assert!(!resolved("RunPage").to_string().contains("$ref"));
    }
}
