//! The overlay: how an unchanged server is presented, as data of the state.
//!
//! It lies over the tools that a server lists (titles, descriptions, keywords, parameters, tools
//! left out), over the arguments of a call (defaults, limits) and over its result (a text added, a
//! greatest length). A variant of it is served to a share of the conversations.
//!
//! - `listing` applies it to tools, `call` to arguments, `result` to results.
//! - `faults` finds what does not fit the server, `variants` assigns conversations, `change`
//!   decides which changes a promotion may make.

mod call;
mod change;
mod faults;
mod listing;
mod result;
mod variants;

pub use change::{UnknownRule, excess, promotable};
pub use faults::Fault;
pub use variants::{Assignment, PLAIN};

use crate::formats::diagnose::{Diagnose, FailureKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The key of the state, where agent.toml names no other.
pub const KEY: &str = "overlay";

/// The schema of a state with an overlay, as `agent adopt` writes it: the property and what it
/// refers to below `$defs`.
pub fn add_to_schema(schema: &mut Value) {
    let parsed = |text: &str| -> Value {
        serde_json::from_str(text).expect("the schemas of the overlay are read by the tests")
    };
    schema["properties"][KEY] = parsed(include_str!("schema.json"));
    schema["$defs"]["overlayTools"] = parsed(include_str!("tools.schema.json"));
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overlay {
    pub tools: Tools,
    pub variants: BTreeMap<String, Variant>,
    /// The share of the conversations that each variant is served to, from 0 to 1.
    pub shares: BTreeMap<String, f64>,
    /// Data of the Tuner; not applied.
    #[serde(skip_serializing)]
    learned: Option<serde::de::IgnoredAny>,
}

/// By the name of the tool.
pub type Tools = BTreeMap<String, Tool>;

/// The changes that a share of the conversations gets in addition.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Variant {
    pub tools: Tools,
}

/// The overlay of one tool. Absent members keep the server's own value.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tool {
    pub title: Option<String>,
    /// In place of the server's description.
    pub description: Option<String>,
    /// Words of requests that the tool is for, listed at the end of the description.
    pub keywords: Option<Vec<String>>,
    pub parameters: BTreeMap<String, Parameter>,
    /// Neither listed nor called.
    pub hidden: Option<bool>,
    /// A text after the content of each result that is no error.
    pub append: Option<String>,
    /// The greatest number of characters of the texts of such a result.
    pub max_result_chars: Option<usize>,
}

/// The overlay of one parameter.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Parameter {
    pub description: Option<String>,
    /// The value of a call that leaves it out.
    #[serde(deserialize_with = "given")]
    pub default: Option<Value>,
    pub minimum: Option<serde_json::Number>,
    pub maximum: Option<serde_json::Number>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    /// The only values.
    #[serde(rename = "enum")]
    pub values: Option<Vec<Value>>,
}

/// A `null` that is written is a value.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// An overlay that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state's `{key}` is not an overlay: {problem}")]
pub struct OverlayError {
    key: String,
    problem: String,
}

impl Diagnose for OverlayError {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }

    fn hint(&self) -> Option<String> {
        Some(
            "`agent state set` and `agent state diff` edit and show it; `[runner] overlay = \
            \"KEY\"` in agent.toml names another key"
                .to_owned(),
        )
    }
}

impl Overlay {
    /// The overlay below a key of a state; `None` where there is none.
    pub fn read(state: &Value, key: &str) -> Result<Option<Self>, OverlayError> {
        let Some(value) = state.get(key) else { return Ok(None) };
        let problem = |problem: String| OverlayError { key: key.to_owned(), problem };
        let overlay = Self::deserialize(value).map_err(|error| problem(error.to_string()))?;
        match overlay.share_problem() {
            Some(wrong) => Err(problem(wrong)),
            None => Ok(Some(overlay)),
        }
    }

    /// The presentation without a variant.
    pub fn plain(&self) -> Presentation {
        Presentation { tools: self.tools.clone() }
    }

    /// What every conversation can rely on: without the tools that a variant with a share leaves
    /// out.
    pub fn common(&self) -> Presentation {
        let mut tools = self.tools.clone();
        let served = self.parts().into_iter().filter_map(|(name, _)| self.variants.get(name));
        for (name, over) in served.flat_map(|variant| &variant.tools) {
            if over.is_hidden() {
                tools.entry(name.clone()).or_default().hidden = Some(true);
            }
        }
        Presentation { tools }
    }

    /// The presentation with a variant.
    pub fn presentation(&self, variant: &str) -> Presentation {
        let Some(variant) = self.variants.get(variant) else { return self.plain() };
        let mut tools = self.tools.clone();
        for (name, over) in &variant.tools {
            let below = tools.remove(name).unwrap_or_default();
            tools.insert(name.clone(), over.clone().over(below));
        }
        Presentation { tools }
    }
}

impl Tool {
    fn over(self, below: Self) -> Self {
        let mut parameters = below.parameters;
        for (name, over) in self.parameters {
            let below = parameters.remove(&name).unwrap_or_default();
            parameters.insert(name, over.over(below));
        }
        Self {
            title: self.title.or(below.title),
            description: self.description.or(below.description),
            keywords: self.keywords.or(below.keywords),
            parameters,
            hidden: self.hidden.or(below.hidden),
            append: self.append.or(below.append),
            max_result_chars: self.max_result_chars.or(below.max_result_chars),
        }
    }

    fn is_hidden(&self) -> bool {
        self.hidden == Some(true)
    }
}

impl Parameter {
    fn over(self, below: Self) -> Self {
        Self {
            description: self.description.or(below.description),
            default: self.default.or(below.default),
            minimum: self.minimum.or(below.minimum),
            maximum: self.maximum.or(below.maximum),
            min_length: self.min_length.or(below.min_length),
            max_length: self.max_length.or(below.max_length),
            min_items: self.min_items.or(below.min_items),
            max_items: self.max_items.or(below.max_items),
            values: self.values.or(below.values),
        }
    }
}

/// The tools as one conversation is shown them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Presentation {
    tools: Tools,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tool_that_a_served_variant_leaves_out_is_in_no_common_list() {
        let hidden = json!({"tools": {"t": {"hidden": true}}});
        let tools = vec![json!({"name": "t", "inputSchema": {}}), json!({"name": "u"})];
        for (share, expected) in [(0.0, 2), (0.3, 1)] {
            let state = json!({"overlay": {"variants": {"v": hidden}, "shares": {"v": share}}});
            let overlay = Overlay::read(&state, KEY).unwrap().unwrap();
            assert_eq!(overlay.common().listed(tools.clone()).len(), expected);
            assert_eq!(overlay.plain().listed(tools.clone()).len(), 2);
        }
    }

    #[test]
    fn an_overlay_is_read_from_its_key() {
        assert_eq!(Overlay::read(&json!({}), KEY), Ok(None));
        let state = json!({"shown": {"tools": {"t": {"hidden": true}}, "learned": [1]}});
        let overlay = Overlay::read(&state, "shown").unwrap().unwrap();
        assert!(overlay.tools["t"].is_hidden());
        let problem = |overlay: Value| {
            Overlay::read(&json!({"overlay": overlay}), KEY).unwrap_err().to_string()
        };
        for (overlay, expected) in [
            (json!({"tools": {"t": {"descripton": "x"}}}), "unknown field `descripton`"),
            (json!({"tools": {"t": {"parameters": {"a": {"maxLength": -1}}}}}), "invalid"),
            (json!(5), "expected struct Overlay"),
            (json!({"shares": {"a": 0.5}}), "`shares` names `a`, which is no variant"),
            (json!({"variants": {"plain": {}}}), "a variant cannot be called `plain`"),
            (
                json!({"variants": {"a": {}, "b": {}}, "shares": {"a": 0.7, "b": 0.4}}),
                "the shares sum to more than 1",
            ),
            (json!({"variants": {"a": {}}, "shares": {"a": -0.1}}), "the share of `a` is -0.1"),
        ] {
            let problem = problem(overlay);
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn the_schema_allows_what_is_read() {
        let mut schema = json!({});
        add_to_schema(&mut schema);
        let schema = crate::formats::schema::Schema::new(&schema).unwrap();
        let tool = json!({
            "title": "T", "description": "D", "keywords": ["k"], "hidden": false, "append": "A",
            "max_result_chars": 10,
            "parameters": {"a": {"description": "P", "default": null, "minimum": 1, "maximum": 2,
                "minLength": 1, "maxLength": 2, "minItems": 1, "maxItems": 2, "enum": [1]}},
        });
        let state = json!({"overlay": {
            "tools": {"t": tool}, "variants": {"v": {"tools": {"t": tool}}}, "shares": {"v": 0.5},
            "learned": {"n": 1},
        }});
        assert_eq!(schema.violations(&state), []);
        Overlay::read(&state, KEY).unwrap().unwrap();
        for wrong in [
            json!({"tools": {"t": {"descripton": "x"}}}),
            json!({"variants": {"plain": {}}}),
            json!({"shares": {"v": 2}}),
        ] {
            assert!(!schema.violations(&json!({"overlay": wrong})).is_empty(), "{wrong}");
            assert!(Overlay::read(&json!({"overlay": wrong}), KEY).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_template_has_the_schema_of_an_adoption() {
        let text = include_str!("../../../../templates/presentation/state/schema.json");
        let template: Value = serde_json::from_str(text).unwrap();
        let mut adopted = json!({});
        add_to_schema(&mut adopted);
        assert_eq!(template["properties"][KEY], adopted["properties"][KEY]);
        assert_eq!(template["$defs"], adopted["$defs"]);
    }

    #[test]
    fn a_variant_lies_over_what_is_served_without_one() {
        let overlay = json!({"overlay": {
            "tools": {"t": {"title": "T", "parameters": {"a": {"default": 1, "maximum": 9}}}},
            "variants": {"v": {"tools": {
                "t": {"title": "V", "parameters": {"a": {"default": null}}},
                "u": {"hidden": true},
            }}},
        }});
        let overlay = Overlay::read(&overlay, KEY).unwrap().unwrap();
        let shown = overlay.presentation("v").tools;
        assert_eq!(shown["t"].title.as_deref(), Some("V"));
        let parameter = &shown["t"].parameters["a"];
        assert_eq!(parameter.default, Some(Value::Null));
        assert_eq!(parameter.maximum, Some(9.into()));
        assert!(shown["u"].is_hidden());
        assert_eq!(overlay.presentation("no such variant"), overlay.plain());
    }
}
