//! The overlay over tools as they are listed.

use super::definition::{Parameter, Presentation, Tool, Tools};
use serde_json::{Map, Value, json};

impl Presentation {
    /// The tools as hosts see them, in the order of the server.
    pub fn listed(&self, tools: Vec<Value>) -> Vec<Value> {
        let shown = tools.into_iter().filter_map(|mut tool| {
            let Some(over) = tool["name"].as_str().and_then(|name| self.tools.get(name)) else {
                return Some(tool);
            };
            if over.is_hidden() {
                return None;
            }
            over.put_over(&mut tool);
            Some(tool)
        });
        shown.collect()
    }

    /// Whether both list all tools alike: they differ at most in what lies over results.
    pub fn lists_as(&self, other: &Self) -> bool {
        self.listing() == other.listing()
    }

    fn listing(&self) -> Tools {
        let listing = self.tools.iter().map(|(name, over)| {
            (name.clone(), Tool { append: None, max_result_chars: None, ..over.clone() })
        });
        listing.filter(|(_, over)| *over != Tool::default()).collect()
    }
}

impl Tool {
    fn put_over(&self, tool: &mut Value) {
        if let Some(title) = &self.title {
            tool["title"] = json!(title);
        }
        if let Some(description) = self.described(tool["description"].as_str()) {
            tool["description"] = json!(description);
        }
        for (name, over) in &self.parameters {
            over.put_over(name, tool);
        }
    }

    /// The description with the keywords after it, where either is given.
    fn described(&self, own: Option<&str>) -> Option<String> {
        let text = self.description.as_deref();
        let keywords = self.keywords.as_deref().unwrap_or_default().join(", ");
        if keywords.is_empty() {
            return text.map(str::to_owned);
        }
        let text = text.or(own).unwrap_or_default().trim_end();
        let gap = if text.is_empty() { "" } else { "\n\n" };
        Some(format!("{text}{gap}Use it for: {keywords}."))
    }
}

impl Parameter {
    /// Does nothing where the tool has no such parameter.
    fn put_over(&self, name: &str, tool: &mut Value) {
        let Some(input) = tool.get_mut("inputSchema") else { return };
        let Some(schema) = input.pointer_mut("/properties").and_then(|all| all.get_mut(name))
        else {
            return;
        };
        *schema = self.over_schema(schema);
        if self.default.is_some() {
            no_longer_required(name, input);
        }
    }

    /// The schema of the parameter with what lies over it. The narrower of two limits counts.
    pub(super) fn over_schema(&self, schema: &Value) -> Value {
        let mut narrowed = match schema {
            Value::Object(members) => members.clone(),
            // `true` allows all values
            _ => Map::new(),
        };
        let given = [("description", self.description.as_ref().map(|text| json!(text)))];
        let given = given.into_iter().chain([("default", self.default.clone())]);
        for (key, value) in given {
            if let Some(value) = value {
                narrowed.insert(key.to_owned(), value);
            }
        }
        for (key, limit, is_least) in self.bounds() {
            let own = narrowed.get(key).and_then(Value::as_f64);
            let is_narrower = |own: f64| {
                limit.as_f64().is_some_and(|limit| if is_least { limit > own } else { limit < own })
            };
            if own.is_none_or(is_narrower) {
                narrowed.insert(key.to_owned(), limit);
            }
        }
        if let Some(values) = &self.values {
            narrowed.insert("enum".to_owned(), json!(values));
        }
        Value::Object(narrowed)
    }

    /// The keyword of each limit, its value, and whether it is a least one.
    pub(super) fn bounds(&self) -> Vec<(&'static str, Value, bool)> {
        let number = |given: &Option<serde_json::Number>| given.clone().map(Value::Number);
        let count = |given: Option<u64>| given.map(|count| json!(count));
        [
            ("minimum", number(&self.minimum), true),
            ("maximum", number(&self.maximum), false),
            ("minLength", count(self.min_length), true),
            ("maxLength", count(self.max_length), false),
            ("minItems", count(self.min_items), true),
            ("maxItems", count(self.max_items), false),
        ]
        .into_iter()
        .filter_map(|(key, limit, is_least)| Some((key, limit?, is_least)))
        .collect()
    }
}

fn no_longer_required(name: &str, input: &mut Value) {
    let Some(required) = input.get_mut("required").and_then(Value::as_array_mut) else { return };
    required.retain(|known| known != name);
    if required.is_empty()
        && let Some(input) = input.as_object_mut()
    {
        // draft 4 allows no empty list; shifted, so that the other members keep their order
        input.shift_remove("required");
    }
}

#[cfg(test)]
mod tests {
    use crate::overlay::{KEY, Overlay};
    use serde_json::{Value, json};

    fn listed(overlay: &Value, tools: Value) -> Value {
        let overlay = Overlay::read(&json!({"overlay": {"tools": overlay}}), KEY).unwrap();
        let Value::Array(tools) = tools else { unreachable!("tests list tools") };
        Value::Array(overlay.unwrap().plain().listed(tools))
    }

    #[test]
    fn texts_are_replaced_and_what_is_not_named_stays() {
        let tools = json!([
            {"name": "a", "description": "A.", "inputSchema": {"type": "object"}, "vendor": 1},
            {"name": "b", "x/y": [1]},
            {"name": "c"},
        ]);
        let overlay = json!({
            "a": {"title": "The A", "keywords": ["clock", "time zone"]},
            "b": {"description": "B."},
            "c": {"hidden": true},
        });
        assert_eq!(
            listed(&overlay, tools),
            json!([
                {"name": "a", "description": "A.\n\nUse it for: clock, time zone.",
                    "inputSchema": {"type": "object"}, "vendor": 1, "title": "The A"},
                {"name": "b", "x/y": [1], "description": "B."},
            ])
        );
    }

    #[test]
    fn what_lies_over_results_is_not_listed() {
        let plain = |tools: Value| {
            let overlay = Overlay::read(&json!({"overlay": {"tools": tools}}), KEY);
            overlay.unwrap().unwrap().plain()
        };
        let titled = json!({"t": {"title": "T"}});
        let more = json!({"t": {"title": "T", "append": "x"}, "u": {"max_result_chars": 9}});
        assert!(plain(titled.clone()).lists_as(&plain(more.clone())));
        for other in [json!({}), json!({"t": {"title": "U"}}), json!({"u": {"hidden": true}})] {
            assert!(!plain(titled.clone()).lists_as(&plain(other.clone())), "{other}");
            assert!(!plain(other).lists_as(&plain(more.clone())));
        }
    }

    #[test]
    fn a_parameter_is_narrowed_and_one_with_a_default_is_optional() {
        let tools = json!([{"name": "t", "inputSchema": {
            "required": ["n"],
            "properties": {
                "n": {"type": "integer", "minimum": 3, "maximum": 50},
                "m": {"type": "string"},
            },
        }}]);
        let overlay = json!({"t": {"parameters": {
            "n": {"default": 5, "minimum": 1, "maximum": 9, "description": "How many."},
            "m": {"enum": ["x"]},
            "unknown": {"default": 1},
        }}});
        assert_eq!(
            listed(&overlay, tools)[0]["inputSchema"],
            json!({"properties": {
                "n": {"type": "integer", "minimum": 3, "maximum": 9, "description": "How many.",
                    "default": 5},
                "m": {"type": "string", "enum": ["x"]},
            }})
        );
    }
}
