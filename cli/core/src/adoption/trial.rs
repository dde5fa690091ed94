//! Trial calls: for each tool, arguments derived from its schema.

use crate::adoption::example::example;
use serde_json::Value;

/// A trial call of a tool: arguments derived from its schema, with an example of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    pub tool: String,
    pub arguments: Value,
    /// A required argument of the tool.
    pub required: Option<String>,
}

/// Trial calls for each tool that is not marked destructive.
pub fn trials(tools: &[Value]) -> Vec<Trial> {
    tools.iter().filter_map(trial).collect()
}

fn trial(tool: &Value) -> Option<Trial> {
    let annotations = &tool["annotations"];
    if annotations["destructiveHint"] == true && annotations["readOnlyHint"] != true {
        return None;
    }
    let schema = &tool["inputSchema"];
    let required = schema["required"]
        .as_array()
        .and_then(|required| required.first())
        .and_then(Value::as_str)
        .map(str::to_owned);
    Some(Trial { tool: tool["name"].as_str()?.to_owned(), arguments: example(schema), required })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tried(schema: &Value) -> Value {
        trials(&[json!({"name": "t", "inputSchema": schema})])[0].arguments.clone()
    }

    #[test]
    fn arguments_are_derived_from_the_schema() {
        let schema = json!({
            "type": "object", "required": ["zone", "at", "n", "deep", "kind", "many", "maybe",
                "short"],
            "properties": {
                "zone": {"type": "string", "examples": ["Asia/Tokyo"]}, "at": {"type": "string",
                    "format": "date"}, "n": {"type": "integer", "minimum": 3},
                "deep": {"$ref": "#/$defs/Deep"}, "kind": {"enum": ["a", "b"]},
                    "many": {"type": "array", "items": {"type": "number", "maximum": 0.5}},
                "maybe": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
                    "short": {"type": "string", "maxLength": 2}, "optional": {"type": "string"},
            },
            "$defs": {"Deep": {"type": "object", "required": ["url"],
                "properties": {"url": {"type": "string"}}}},
        });
        assert_eq!(
            tried(&schema),
            json!({
                "zone": "Asia/Tokyo", "at": "2026-01-31", "n": 3,
                    "deep": {"url": "https://example.org/"}, "kind": "a", "many": [0.5],
                    "maybe": false,
                "short": "ex",
            })
        );
        assert_eq!(tried(&json!({})), json!({}));
        let endless = json!({"$defs": {"A": {"$ref": "#/$defs/A"}}, "type": "object",
            "required": ["a"], "properties": {"a": {"$ref": "#/$defs/A"}}});
        assert_eq!(tried(&endless), json!({"a": null}));
    }

    #[test]
    fn destructive_tools_are_not_called() {
        let destroys =
            json!({"name": "drop", "inputSchema": {}, "annotations": {"destructiveHint": true}});
        let reads = json!({"name": "look", "inputSchema": {},
            "annotations": {"destructiveHint": true, "readOnlyHint": true}});
        assert_eq!(
            trials(&[destroys, reads]).iter().map(|trial| trial.tool.as_str()).collect::<Vec<_>>(),
            ["look"]
        );
    }
}
