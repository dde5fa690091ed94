//! A value that a JSON schema allows.

use serde_json::{Map, Value, json};

/// The depth limit for schemas: some are recursive.
const DEPTH: usize = 8;

/// A value that a schema allows, the plainest there is.
pub(super) fn example(schema: &Value) -> Value {
    within(schema, schema, "", 0)
}

/// The value of the property `name` of an example of `root`.
fn within(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    if depth > DEPTH {
        return Value::Null;
    }
    let follow = |schema: &Value| within(schema, root, name, depth + 1);
    if let Some(reference) =
        schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'))
    {
        return root.pointer(reference).map_or(Value::Null, follow);
    }
    let first = |key: &str| schema[key].as_array().and_then(|list| list.first()).cloned();
    let given = first("examples")
        .or_else(|| schema.get("default").cloned())
        .or_else(|| schema.get("const").cloned())
        .or_else(|| first("enum"));
    if let Some(given) = given.filter(|given| !given.is_null()) {
        return given;
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        let options = schema[key].as_array().into_iter().flatten();
        if let Some(option) = options
            .clone()
            .find(|option| option["type"] != "null")
            .or_else(|| options.clone().next())
        {
            return follow(option);
        }
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"].as_array()?.iter().find_map(Value::as_str));
    match kind {
        Some("object") | None if schema["properties"].is_object() || depth == 0 => {
            let required =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let members = required.map(|key| {
                (key.to_owned(), within(&schema["properties"][key], root, key, depth + 1))
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        Some("object") => json!({}),
        Some("array") => {
            let count =
                usize::try_from(schema["minItems"].as_u64().unwrap_or(1).min(4)).unwrap_or(1);
            Value::Array((0..count).map(|_| follow(&schema["items"])).collect())
        }
        Some("integer") => number(schema, true),
        Some("number") => number(schema, false),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        _ => Value::String(word(schema, name)),
    }
}

fn number(schema: &Value, is_whole: bool) -> Value {
    let least = schema["minimum"]
        .as_f64()
        .or_else(|| schema["exclusiveMinimum"].as_f64().map(|bound| bound + 1.0));
    let most = schema["maximum"]
        .as_f64()
        .or_else(|| schema["exclusiveMaximum"].as_f64().map(|bound| bound - 1.0));
    let value = 1.0_f64.max(least.unwrap_or(f64::MIN)).min(most.unwrap_or(f64::MAX));
    #[expect(clippy::cast_possible_truncation, reason = "an example need not be exact")]
    if is_whole || value.fract() == 0.0 { json!(value.ceil() as i64) } else { json!(value) }
}

fn word(schema: &Value, name: &str) -> String {
    let of_format = match schema["format"].as_str() {
        Some("date") => Some("2026-01-31"),
        Some("time") => Some("12:30:00"),
        Some("date-time") => Some("2026-01-31T12:30:00Z"),
        Some("uri" | "url" | "uri-reference") => Some("https://example.org/"),
        Some("email") => Some("ann@example.org"),
        Some("uuid") => Some("6f1e2a4c-1d2b-4c3d-8e4f-5a6b7c8d9e0f"),
        _ => None,
    };
    let name = name.to_ascii_lowercase();
    let of_name = || {
        const NAMES: [(&str, &str); 9] = [
            ("timezone", "Europe/Paris"),
            ("time", "12:30"),
            ("date", "2026-01-31"),
            ("url", "https://example.org/"),
            ("uri", "https://example.org/"),
            ("email", "ann@example.org"),
            ("path", "."),
            ("query", "example"),
            ("expression", "1 + 1"),
        ];
        NAMES.iter().find(|(part, _)| name.contains(part)).map(|(_, word)| *word)
    };
    let word = of_format.or_else(of_name).unwrap_or("example").to_owned();
    let least = usize::try_from(schema["minLength"].as_u64().unwrap_or(0).min(1024)).unwrap_or(0);
    let most = schema["maxLength"]
        .as_u64()
        .and_then(|most| usize::try_from(most).ok())
        .unwrap_or(usize::MAX);
    let padded =
        if word.len() < least { format!("{word}{}", "x".repeat(least - word.len())) } else { word };
    padded.chars().take(most).collect()
}
