//! Parameters that a tool requires in a header as well (`x-mcp-header` in its input schema), and
//! the check that a call has them there.
//!
//! The last listed tools count: a client with an older list gets the mismatch error and lists them
//! again.

use crate::mcp::http::envelope::{decoded, mismatch};
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::RpcError;
use hyper::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::collections::HashMap;

const ANNOTATION: &str = "x-mcp-header";
const PREFIX: &str = "Mcp-Param-";
/// The depth to which a schema is searched.
const DEPTH: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Mirror(RefCell<HashMap<String, Vec<Mirrored>>>);

#[derive(Debug, PartialEq)]
struct Mirrored {
    /// The names of the properties from the root.
    path: Vec<String>,
    header: String,
}

impl Mirror {
    /// Records a page of tools; returns the cursor of the next one.
    pub fn learn(&self, answer: &[u8]) -> Option<String> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            result: &'a RawValue,
        }
        let page = serde_json::from_slice::<Answer<'_>>(answer)
            .ok()
            .and_then(|answer| RawObject::parse(answer.result))?;
        let tools: Vec<RawObject> = page
            .get("tools")
            .and_then(|tools| serde_json::from_str(tools.get()).ok())
            .unwrap_or_default();
        let mut known = self.0.borrow_mut();
        for tool in tools {
            let Some(name) = tool.text("name") else { continue };
            match tool.get("inputSchema").filter(|schema| schema.get().contains(ANNOTATION)) {
                Some(schema) => known.insert(name, mirrored(schema)),
                None => known.remove(&name),
            };
        }
        page.text("nextCursor")
    }

    /// Checks that the headers of a call agree with its arguments.
    pub fn check(&self, headers: &HeaderMap, params: &RawObject) -> Result<(), RpcError> {
        let known = self.0.borrow();
        let Some(mirrored) = params.text("name").and_then(|tool| known.get(&tool)) else {
            return Ok(());
        };
        let arguments = params
            .get("arguments")
            .and_then(|arguments| serde_json::from_str(arguments.get()).ok())
            .unwrap_or(Value::Null);
        mirrored.iter().try_for_each(|one| one.check(headers, &arguments))
    }
}

fn mirrored(schema: &RawValue) -> Vec<Mirrored> {
    let schema: Value = serde_json::from_str(schema.get()).unwrap_or_default();
    let mut found = Vec::new();
    look(&schema, &mut Vec::new(), &mut found);
    found
}

fn look(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Mirrored>) {
    for (name, property) in
        schema.get("properties").and_then(Value::as_object).into_iter().flatten()
    {
        path.push(name.clone());
        if let Some(header) = property.get(ANNOTATION).and_then(Value::as_str) {
            found.push(Mirrored { path: path.clone(), header: format!("{PREFIX}{header}") });
        }
        if path.len() < DEPTH {
            look(property, path, found);
        }
        path.pop();
    }
}

impl Mirrored {
    fn check(&self, headers: &HeaderMap, arguments: &Value) -> Result<(), RpcError> {
        let header = &self.header;
        let argument = self
            .path
            .iter()
            .try_fold(arguments, |value, name| value.get(name))
            .unwrap_or(&Value::Null);
        let mut values = headers.get_all(header.as_str()).iter();
        match (written(argument), values.next(), values.next()) {
            (_, _, Some(_)) => {
                Err(mismatch(&format!("the header `{header}` is given more than once")))
            }
            (None, None, _) => Ok(()),
            (Some(_), None, _) => {
                Err(mismatch(&format!("the header `{header}` is missing; the body has its value")))
            }
            (Some(text), Some(value), _)
                if decoded(value).is_some_and(|value| is_same(&value, &text, argument)) =>
            {
                Ok(())
            }
            (_, Some(_), _) => {
                Err(mismatch(&format!("the header `{header}` differs from the body")))
            }
        }
    }
}

/// An argument as a header value; `None` where a header cannot hold it.
fn written(argument: &Value) -> Option<String> {
    match argument {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(argument.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Numbers are compared by value: 42.0 equals 42.
fn is_same(header: &str, written: &str, argument: &Value) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    header == written
        || (argument.is_number() && number(header).is_some() && number(header) == number(written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};
    use serde_json::json;

    fn check(sent: &[(&str, &str)], arguments: &Value, fits: bool) {
        let mirror = Mirror::default();
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "limits": {"type": "object", "properties": {"rows": {"type": "integer",
                "x-mcp-header": "Rows"}}},
            "query": {"type": "string"},
        }});
        let tools = json!([{"name": "sql", "inputSchema": schema}, {"name": "plain",
            "inputSchema": {"type": "object"}}]);
        let next = mirror.learn(
            json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools, "nextCursor": "2"}})
                .to_string()
                .as_bytes(),
        );
        assert_eq!(next.as_deref(), Some("2"));
        let headers = sent
            .iter()
            .map(|(name, value)| {
                (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let params = |tool: &str| {
            serde_json::from_str(&json!({"name": tool, "arguments": arguments}).to_string())
                .unwrap()
        };
        assert_eq!(mirror.check(&headers, &params("sql")).is_ok(), fits, "{sent:?} {arguments}");
        assert!(
            mirror.check(&headers, &params("plain")).is_ok()
                && mirror.check(&headers, &params("unknown")).is_ok()
        );
    }

    #[test]
    fn a_mirrored_parameter_is_in_both_places_or_in_neither() {
        let region = json!({"region": "west", "query": "x"});
        check(&[("mcp-param-region", "west")], &region, true);
        check(&[("mcp-param-region", "=?base64?d2VzdA==?=")], &region, true);
        check(&[], &json!({"query": "x"}), true);
        check(&[], &json!({"region": null}), true);
        check(&[], &region, false);
        check(&[("mcp-param-region", "east")], &region, false);
        check(&[("mcp-param-region", "west"), ("mcp-param-region", "west")], &region, false);
        check(&[("mcp-param-region", "west")], &json!({}), false);
        for (sent, fits) in [("7", true), ("7.0", true), ("8", false), ("x", false)] {
            check(&[("mcp-param-rows", sent)], &json!({"limits": {"rows": 7}}), fits);
        }
        check(
            &[("mcp-param-rows", "12345678901234567890123")],
            &json!({"limits": {"rows": 7}}),
            false,
        );
    }

    #[test]
    fn a_tool_listed_without_mirrored_parameters_is_not_checked() {
        let mirror = Mirror::default();
        let list = |schema: Value| {
            json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "t",
                "inputSchema": schema}]}})
            .to_string()
        };
        mirror.learn(
            list(json!({"properties": {"a": {"type": "string", "x-mcp-header": "A"}}})).as_bytes(),
        );
        let params = serde_json::from_str(r#"{"name":"t","arguments":{"a":"1"}}"#).unwrap();
        assert!(mirror.check(&HeaderMap::new(), &params).is_err());
        mirror.learn(list(json!({"properties": {"a": {"type": "string"}}})).as_bytes());
        assert!(mirror.check(&HeaderMap::new(), &params).is_ok());
    }
}
