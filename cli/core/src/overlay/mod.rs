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
mod definition;
mod faults;
mod listing;
mod result;
mod variants;

pub use change::{UnknownRule, excess, promotable};
pub use definition::{Overlay, OverlayError, Parameter, Presentation, Tool, Tools, Variant};
pub use faults::Fault;
pub use variants::{Assignment, PLAIN};

use serde_json::Value;

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
