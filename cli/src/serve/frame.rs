//! JSON-RPC frames between a host and the shim.

use crate::runner::child::{ChildError, RpcError};
use agent_core::raw_object::RawObject;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

pub const PARSE_ERROR: i64 = -32700;
pub const INVALID_REQUEST: i64 = -32600;
pub const METHOD_NOT_FOUND: i64 = -32601;
pub const INVALID_PARAMS: i64 = -32602;
pub const INTERNAL_ERROR: i64 = -32603;

/// What a host sent: a request when it has an id, a notification when not.
#[derive(Debug, Deserialize)]
pub struct Incoming {
    pub jsonrpc: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub id: Option<Box<RawValue>>,
    pub method: Option<String>,
    pub params: Option<Box<RawValue>>,
}

/// `"id": null` is an id, and a wrong one; no `id` is none.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl Incoming {
    pub fn params(&self) -> RawObject {
        self.params.as_deref().and_then(RawObject::parse).unwrap_or_default()
    }

    pub fn raw_params(&self) -> Box<RawValue> {
        self.params.clone().unwrap_or_else(|| RawObject::default().to_raw())
    }
}

/// An answer's line; neither part holds a newline, for both were read from lines.
pub fn answer(id: &RawValue, result: &RawValue) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{}}}", id.get(), result.get())
}

pub fn refusal(id: Option<&RawValue>, error: &RpcError) -> String {
    let mut body = json!({"code": error.code, "message": error.message});
    if let Some(data) = &error.data {
        body["data"] = data.clone();
    }
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{body}}}", id.map_or("null", RawValue::get))
}

pub fn error(code: i64, message: impl Into<String>) -> RpcError {
    RpcError { code, message: message.into(), data: None }
}

/// A tool call that failed on our side is a result that says so: the model reads it and can go on.
pub fn tool_error(message: &str) -> Box<RawValue> {
    raw(&json!({"content": [{"type": "text", "text": message}], "isError": true}))
}

/// What a child's failure is to the host, for anything but a tool call.
pub fn child_error(error: ChildError) -> RpcError {
    match error {
        ChildError::Refused { error, .. } => *error,
        other => self::error(INTERNAL_ERROR, other.to_string()),
    }
}

pub fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).expect("JSON serialises")
}
