//! JSON-RPC frames between a client and the shim.

use agent_core::protocol::mcp::{
    INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR,
};
use agent_core::protocol::raw_object::RawObject;
use agent_engine::child::{ChildError, RpcError};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::cell::OnceCell;

/// A message of a client: a request with an id and a method, a notification without an id, an
/// answer without a method.
#[derive(Debug, Deserialize)]
pub struct Incoming {
    jsonrpc: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub id: Option<Box<RawValue>>,
    pub method: Option<String>,
    #[serde(rename = "params")]
    pub raw_params: Option<Box<RawValue>>,
    result: Option<Box<RawValue>>,
    error: Option<RpcError>,
    /// `params` and `params._meta`, parsed at first use.
    #[serde(skip)]
    params: OnceCell<Result<RawObject, RpcError>>,
    #[serde(skip)]
    meta: OnceCell<Option<RawObject>>,
}

/// Distinguishes `"id": null`, which is invalid, from a missing `id`, which makes a notification.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// An invalid frame, with its id where that can be read.
#[derive(Debug)]
pub struct Wrong {
    pub id: Option<Box<RawValue>>,
    pub error: RpcError,
}

impl Wrong {
    pub fn request(message: &str) -> Self {
        Self { id: None, error: error(INVALID_REQUEST, message) }
    }

    pub fn frame(&self) -> String {
        refusal(self.id.as_deref(), &self.error)
    }
}

/// A result or an error.
pub type Answer = Result<Box<RawValue>, RpcError>;

/// The content of one frame.
pub enum Frame {
    One(Box<Incoming>),
    Batch(Vec<Box<RawValue>>),
}

/// Reads a frame. An object, the usual case, is parsed without looking at its kind first.
pub fn read(text: &str) -> Result<Frame, Wrong> {
    let message = Incoming::read(text);
    if let Ok(message) = message {
        return Ok(Frame::One(Box::new(message)));
    }
    let whole: &RawValue = serde_json::from_str(text)
        .map_err(|_| Wrong { id: None, error: error(PARSE_ERROR, "not JSON") })?;
    match serde_json::from_str(whole.get()) {
        Ok(elements) => Ok(Frame::Batch(elements)),
        Err(_) => message.map(|message| Frame::One(Box::new(message))),
    }
}

impl Incoming {
    /// Reads one message.
    pub fn read(text: &str) -> Result<Self, Wrong> {
        // serde would read an array as the members in order
        let incoming = if text.trim_start().starts_with('{') {
            serde_json::from_str::<Self>(text).ok()
        } else {
            None
        };
        let incoming = incoming.ok_or_else(|| {
            Wrong::request("not a JSON-RPC message: one object with `jsonrpc` and `method`")
        })?;
        let wrong = |message: &str| Wrong {
            id: incoming.id.clone().filter(|id| is_identifier(id)),
            ..Wrong::request(message)
        };
        if incoming.jsonrpc.as_deref() != Some("2.0") {
            return Err(wrong("`jsonrpc` is not \"2.0\""));
        }
        if incoming.id.as_deref().is_some_and(|id| !is_identifier(id)) {
            return Err(wrong("`id` is neither a string nor an integer"));
        }
        if incoming.method.is_none() && incoming.result.is_none() && incoming.error.is_none() {
            return Err(wrong("`method` is missing"));
        }
        Ok(incoming)
    }

    /// The id of a request; `None` for other messages.
    pub fn request(&self) -> Option<&RawValue> {
        self.id.as_deref().filter(|_| self.method.is_some())
    }

    pub fn is(&self, method: &str) -> bool {
        self.method.as_deref() == Some(method)
    }

    /// The parameters; empty where they are missing.
    pub fn params(&self) -> Result<&RawObject, RpcError> {
        let read = || {
            let given = self.raw_params.as_deref();
            let read = given.map_or_else(|| Ok(RawObject::default()), RawObject::read);
            read.map_err(|problem| {
                error(INVALID_PARAMS, format!("`params` cannot be read: {problem}"))
            })
        };
        self.params.get_or_init(read).as_ref().map_err(Clone::clone)
    }

    /// `_meta` of the parameters, where that is an object.
    pub fn meta(&self) -> Option<&RawObject> {
        self.meta.get_or_init(|| self.params().ok()?.object("_meta")).as_ref()
    }

    /// The parameters and their `_meta`.
    pub fn into_params(mut self) -> Result<(RawObject, Option<RawObject>), RpcError> {
        self.meta();
        self.params()?;
        let params = self.params.take().and_then(Result::ok).unwrap_or_default();
        Ok((params, self.meta.take().flatten()))
    }

    /// The result or error of an answer; `None` for other messages.
    pub fn outcome(self) -> Option<Answer> {
        self.error.map(Err).or(self.result.map(Ok))
    }
}

fn is_identifier(id: &RawValue) -> bool {
    let integer = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if id.get().starts_with('"') {
        return serde_json::from_str::<String>(id.get()).is_ok();
    }
    integer(id.get().strip_prefix('-').unwrap_or(id.get()))
}

/// The frame of an answer. Neither part contains a newline: both were read from lines.
pub fn answer(id: &RawValue, result: &RawValue) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{}}}", id.get(), result.get())
}

pub fn refusal(id: Option<&RawValue>, error: &RpcError) -> String {
    let body = serde_json::to_string(error).expect("an error serialises");
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{body}}}", id.map_or("null", RawValue::get))
}

/// The frame of a request to a client, from the shim itself or forwarded for a child.
pub fn request(id: u64, method: &str, params: Option<&RawValue>) -> String {
    let params = params.map(|params| format!(",\"params\":{}", params.get())).unwrap_or_default();
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{}{params}}}", json!(method))
}

pub fn notification(method: &str, params: &impl Serialize) -> String {
    let params = serde_json::to_string(params).expect("parameters serialise");
    format!("{{\"jsonrpc\":\"2.0\",\"method\":{},\"params\":{params}}}", json!(method))
}

pub fn error(code: i64, message: impl Into<String>) -> RpcError {
    RpcError::new(code, message)
}

pub fn no_such_method(method: &str) -> RpcError {
    RpcError {
        code: METHOD_NOT_FOUND,
        message: "Method not found".to_owned(),
        data: Some(json!(method)),
    }
}

/// The result of a tool call that failed in the shim: the model reads it and can go on.
pub fn tool_error(message: &str) -> Box<RawValue> {
    raw(&json!({"content": [{"type": "text", "text": message}], "isError": true}))
}

/// A result of the shim in place of the tool's.
pub fn tool_text(message: &str) -> Box<RawValue> {
    raw(&json!({"content": [{"type": "text", "text": message}]}))
}

/// The JSON-RPC error for a child's failure, for anything but a tool call.
pub fn child_error(error: ChildError) -> RpcError {
    match error {
        ChildError::Refused { error, .. } => *error,
        other => self::error(INTERNAL_ERROR, other.to_string()),
    }
}

pub fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).expect("JSON serialises")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_parsed_and_malformed_frames_are_refused() {
        let read = |text: &str| match Incoming::read(text) {
            Ok(incoming) => {
                format!("{:?} {:?}", incoming.id.as_deref().map(RawValue::get), incoming.method)
            }
            Err(wrong) => wrong.frame(),
        };
        assert_eq!(
            read(r#"{"jsonrpc":"2.0","id":"a\n","method":"ping"}"#),
            r#"Some("\"a\\n\"") Some("ping")"#
        );
        assert_eq!(
            read(r#"{"jsonrpc":"2.0","id":12345678901234567890123,"method":"ping"}"#),
            r#"Some("12345678901234567890123") Some("ping")"#
        );
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), r#"Some("1") None"#);
        for (text, id, problem) in [
            (r#"["2.0", 1, "ping"]"#, "null", "not a JSON-RPC message"),
            ("7", "null", "not a JSON-RPC message"),
            (
                r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
                "null",
                "neither a string nor an integer",
            ),
            (
                r#"{"jsonrpc":"2.0","id":"\ud83d","method":"ping"}"#,
                "null",
                "neither a string nor an integer",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
                "null",
                "neither a string nor an integer",
            ),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "1", "`jsonrpc` is not"),
            (r#"{"jsonrpc":"2.0","id":1}"#, "1", "`method` is missing"),
        ] {
            let line = read(text);
            assert!(
                line.contains(&format!("\"id\":{id},"))
                    && line.contains(problem)
                    && line.contains("-32600"),
                "{text}: {line}"
            );
        }
    }
}
