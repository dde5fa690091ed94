//! The parts of an overlay that do not fit the server's tools.

use super::definition::{Overlay, Parameter, Tool, Tools};
use crate::formats::schema::Schema;
use serde_json::{Value, json};
use std::fmt;

/// A part of an overlay that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the overlay, as `tools.NAME.parameters.ARG`.
    pub place: String,
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`: {}", self.place, self.problem)
    }
}

impl Overlay {
    /// The overlay without what does not fit these tools, and what that is.
    #[must_use]
    pub fn fitted(mut self, tools: &[Value]) -> (Self, Vec<Fault>) {
        let mut faults = fit(&mut self.tools, "tools", tools, None);
        let plain = self.tools.clone();
        for (name, variant) in &mut self.variants {
            let place = format!("variants.{name}.tools");
            faults.extend(fit(&mut variant.tools, &place, tools, Some(&plain)));
        }
        (self, faults)
    }
}

/// Removes what does not fit. `below` is what these lie over.
fn fit(over: &mut Tools, place: &str, tools: &[Value], below: Option<&Tools>) -> Vec<Fault> {
    let mut faults = Vec::new();
    over.retain(|name, over| {
        let place = format!("{place}.{name}");
        let Some(tool) = tools.iter().find(|tool| tool["name"] == **name) else {
            faults.push(Fault { place, problem: no_such("tool", &names(tools)) });
            return false;
        };
        let below = below.and_then(|tools| tools.get(name));
        faults.extend(over.fit(&place, &tool["inputSchema"], below));
        true
    });
    faults
}

impl Tool {
    fn fit(&mut self, place: &str, input: &Value, below: Option<&Self>) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.parameters.retain(|name, over| {
            let below = below.and_then(|tool| tool.parameters.get(name));
            let whole = over.clone().over(below.cloned().unwrap_or_default());
            let Some(problem) = whole.problem(name, input) else { return true };
            faults.push(Fault { place: format!("{place}.parameters.{name}"), problem });
            false
        });
        faults
    }
}

impl Parameter {
    /// Why it cannot lie over a parameter of this input schema.
    fn problem(&self, name: &str, input: &Value) -> Option<String> {
        let Some(own) = input["properties"].get(name) else {
            let all = input["properties"].as_object().into_iter().flat_map(|all| all.keys());
            let known: Vec<_> = all.map(String::as_str).collect();
            return Some(no_such("parameter", &known));
        };
        let with_own = |schema: &Value| {
            let mut whole = json!({"properties": {name: schema}});
            for key in ["$schema", "$id", "$defs", "definitions"] {
                if let Some(value) = input.get(key) {
                    whole[key] = value.clone();
                }
            }
            Schema::new(&whole)
        };
        let refused = |schema: &Value, value: &Value| match with_own(schema) {
            Ok(schema) => schema.violations(&json!({ name: value })).into_iter().next(),
            Err(flaw) => Some(flaw),
        };
        for value in self.values.iter().flatten() {
            if let Some(flaw) = refused(own, value) {
                return Some(format!("`enum` has a value that is refused: {}", flaw.problem));
            }
        }
        let default = self.default.as_ref()?;
        refused(&self.over_schema(own), default)
            .map(|flaw| format!("`default` is refused: {}", flaw.problem))
    }
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().filter_map(|tool| tool["name"].as_str()).collect()
}

fn no_such(kind: &str, known: &[&str]) -> String {
    match known {
        [] => format!("the server has no such {kind}"),
        known => format!("the server has no such {kind}; it has {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::KEY;

    fn tools() -> Vec<Value> {
        vec![json!({"name": "t", "inputSchema": {
            "$defs": {"Unit": {"enum": ["km", "mile"]}},
            "properties": {
                "n": {"type": "integer", "maximum": 50},
                "unit": {"$ref": "#/$defs/Unit"},
            },
        }})]
    }

    #[test]
    fn what_does_not_fit_is_named_and_the_rest_is_kept() {
        let state = json!({"overlay": {
            "tools": {
                "t": {"title": "T", "parameters": {
                    "n": {"default": 60}, "x": {"default": 1}, "unit": {"default": "km"},
                }},
                "u": {"hidden": true},
            },
            "variants": {"v": {"tools": {"t": {"parameters": {
                "unit": {"enum": ["km", "yard"]}, "n": {"default": "ten"},
            }}}}},
        }});
        let overlay = Overlay::read(&state, KEY).unwrap().unwrap();
        let (fitted, faults) = overlay.fitted(&tools());
        let shown: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "`tools.t.parameters.n`: `default` is refused: 60 is greater than the maximum of \
                50",
                "`tools.t.parameters.x`: the server has no such parameter; it has n, unit",
                "`tools.u`: the server has no such tool; it has t",
                "`variants.v.tools.t.parameters.n`: `default` is refused: \"ten\" is not of type \
                \"integer\"",
                "`variants.v.tools.t.parameters.unit`: `enum` has a value that is refused: \
                \"yard\" \
                is not one of \"km\" or \"mile\"",
            ]
        );
        assert_eq!(fitted.tools["t"].parameters.keys().collect::<Vec<_>>(), ["unit"]);
        assert_eq!(fitted.tools["t"].title.as_deref(), Some("T"));
        assert!(fitted.variants["v"].tools["t"].parameters.is_empty());
        assert_eq!(fitted.clone().fitted(&tools()), (fitted, Vec::new()));
    }

    #[test]
    fn a_default_has_to_fit_the_limits_that_lie_over_it() {
        let state = json!({"overlay": {
            "tools": {"t": {"parameters": {"n": {"maximum": 9}}}},
            "variants": {"v": {"tools": {"t": {"parameters": {"n": {"default": 10}}}}}},
        }});
        let overlay = Overlay::read(&state, KEY).unwrap().unwrap();
        let (_, faults) = overlay.fitted(&tools());
        assert_eq!(faults.len(), 1);
        assert!(faults[0].problem.contains("10 is greater than the maximum of 9"), "{faults:?}");
    }
}
