//! The overlay over the arguments of a call.
//!
//! A value beyond a limit is refused and not moved to the limit: hosts are listed the limit, so the
//! caller can repeat the call with a value of its choice, and never gets an answer to another call.

use super::definition::{Parameter, Presentation};
use crate::formats::schema::Schema;
use crate::protocol::raw_object::RawObject;
use serde_json::{Map, Value, json};

impl Presentation {
    /// Fills in defaults. The error, for the caller, is why the call is not to be made.
    pub fn admit(&self, params: &mut RawObject) -> Result<(), String> {
        let name = params.text("name").unwrap_or_default();
        let Some(over) = self.tools.get(&name) else { return Ok(()) };
        if over.is_hidden() {
            return Err(format!("the tool `{name}` is hidden by the overlay"));
        }
        if over.parameters.is_empty() {
            return Ok(());
        }
        let mut arguments = arguments(params).ok_or_else(|| {
            format!("the arguments of `{name}` are no JSON object, or have a name twice")
        })?;
        let mut is_filled = false;
        for (parameter, over) in &over.parameters {
            match (arguments.get(parameter), &over.default) {
                (Some(_), _) => over.refuse(&name, parameter, &arguments)?,
                (None, Some(default)) => {
                    arguments.set(parameter, default);
                    is_filled = true;
                }
                (None, None) => {}
            }
        }
        if is_filled {
            params.set("arguments", &arguments);
        }
        Ok(())
    }
}

/// The arguments; empty where there are none. What a server could read otherwise than this is none.
fn arguments(params: &RawObject) -> Option<RawObject> {
    match params.get("arguments") {
        None => Some(RawObject::default()),
        Some(raw) if raw.get() == "null" => Some(RawObject::default()),
        Some(raw) => RawObject::parse(raw),
    }
}

impl Parameter {
    fn refuse(&self, tool: &str, name: &str, arguments: &RawObject) -> Result<(), String> {
        let limits = self.limits();
        // what our parser rejects is left to the server
        let given: Option<Value> =
            arguments.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok());
        let (Some(given), false) = (given, limits.is_empty()) else { return Ok(()) };
        // many servers read a text such as "21" as the number
        let converted = given.as_str().and_then(|text| serde_json::from_str(text.trim()).ok());
        let schema = json!({"properties": {name: limits}});
        let flaw = std::iter::once(given).chain(converted).find_map(|value: Value| {
            let flaws = Schema::new(&schema)
                .map_or_else(|flaw| vec![flaw], |schema| schema.violations(&json!({name: value})));
            flaws.into_iter().next()
        });
        flaw.map_or(Ok(()), |flaw| {
            Err(format!("the argument `{name}` of `{tool}`: {}", flaw.problem))
        })
    }

    fn limits(&self) -> Map<String, Value> {
        let values = self.values.as_ref().map(|values| ("enum".to_owned(), json!(values)));
        let bounds = self.bounds().into_iter().map(|(key, limit, _)| (key.to_owned(), limit));
        bounds.chain(values).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::{KEY, Overlay};

    fn admitted(overlay: &Value, params: &str) -> Result<String, String> {
        let state = json!({"overlay": {"tools": overlay}});
        let overlay = Overlay::read(&state, KEY).unwrap().unwrap();
        let mut params: RawObject = serde_json::from_str(params).unwrap();
        overlay.plain().admit(&mut params).map(|()| params.to_raw().get().to_owned())
    }

    #[test]
    fn defaults_are_filled_in_and_given_arguments_keep_their_bytes() {
        let overlay = json!({"t": {"parameters": {"k": {"default": 5}, "q": {"maximum": 9}}}});
        let check = |params: &str, expected: &str| {
            assert_eq!(admitted(&overlay, params).unwrap(), expected);
        };
        check(
            r#"{"name":"t","arguments":{"id":12345678901234567890123}}"#,
            r#"{"name":"t","arguments":{"id":12345678901234567890123,"k":5}}"#,
        );
        check(r#"{"name":"t"}"#, r#"{"name":"t","arguments":{"k":5}}"#);
        check(r#"{"name":"t","arguments":null}"#, r#"{"name":"t","arguments":{"k":5}}"#);
        for unchanged in [
            r#"{"name":"t","arguments":{"k":null}}"#,
            r#"{"name":"u","arguments":{}}"#,
            r#"{"name":"t","arguments":{"k":1.10,"q":9}}"#,
        ] {
            check(unchanged, unchanged);
        }
    }

    #[test]
    fn a_value_beyond_a_limit_and_a_hidden_tool_are_refused() {
        let overlay = json!({
            "t": {"parameters": {
                "k": {"maximum": 9, "minimum": 1},
                "w": {"enum": ["a", 2]},
                "s": {"maxLength": 3},
                "l": {"maxItems": 1},
            }},
            "h": {"hidden": true},
        });
        for (arguments, expected) in [
            (r#"{"k":"10"}"#, "the argument `k` of `t`: 10 is greater than the maximum of 9"),
            (r#"{"k":5,"k":99}"#, "the arguments of `t` are no JSON object, or have a name twice"),
            (r#""{\"k\":99}""#, "are no JSON object"),
            (r#"{"k":10}"#, "the argument `k` of `t`: 10 is greater than the maximum of 9"),
            (r#"{"k":0}"#, "0 is less than the minimum of 1"),
            (r#"{"w":"b"}"#, "\"b\" is not one of"),
            (r#"{"s":"long"}"#, "is longer than 3 characters"),
            (r#"{"l":[1,2]}"#, "has more than 1 item"),
        ] {
            let params = format!(r#"{{"name":"t","arguments":{arguments}}}"#);
            let why = admitted(&overlay, &params).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        let hidden = admitted(&overlay, r#"{"name":"h"}"#).unwrap_err();
        assert_eq!(hidden, "the tool `h` is hidden by the overlay");
        assert!(admitted(&overlay, r#"{"name":"t","arguments":{"k":"text"}}"#).is_ok());
    }
}
