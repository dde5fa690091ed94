//! The names and numbers of MCP: its two eras, the keys of `_meta`, error codes.

use crate::protocol::raw_object::RawObject;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The two protocol eras.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// Up to 2025-11-25: `initialize`, sessions, requests in both directions.
    Handshake,
    /// From 2026-07-28 on: each request declares the protocol version of its sender.
    Stateless,
}

/// The revisions of the handshake era, oldest first.
pub const HANDSHAKES: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// The newest of them, which every current server supports.
pub const HANDSHAKE: &str = HANDSHAKES[3];
/// The one revision with batches.
pub const WITH_BATCHES: &str = HANDSHAKES[1];
/// The revision of the stateless era.
pub const STATELESS: &str = "2026-07-28";

pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";
pub const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

pub const PARSE_ERROR: i64 = -32700;
pub const INVALID_REQUEST: i64 = -32600;
pub const METHOD_NOT_FOUND: i64 = -32601;
pub const INVALID_PARAMS: i64 = -32602;
pub const INTERNAL_ERROR: i64 = -32603;
pub const RESOURCE_NOT_FOUND: i64 = -32002;
pub const UNSUPPORTED_VERSION: i64 = -32022;

/// Requests that exist only in the handshake era.
pub const HANDSHAKE_ONLY: [&str; 5] =
    ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"];
/// Requests whose results have a time to live, in the stateless era.
const CACHEABLE: [&str; 6] = [
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
];

/// The `_meta` of a request sent by `agent` in the stateless era.
pub fn stateless_meta(client: &Value, capabilities: &Value) -> Value {
    json!({META_VERSION: STATELESS, META_CLIENT: client, META_CAPABILITIES: capabilities})
}

/// Adds to a handshake child's result the members a stateless host expects; existing members are
/// kept.
pub fn to_stateless(method: &str, result: &RawValue) -> Option<Box<RawValue>> {
    let mut members = RawObject::parse(result)?;
    if members.get("resultType").is_some() {
        return None;
    }
    members.set("resultType", &"complete");
    if CACHEABLE.contains(&method) && members.get("ttlMs").is_none() {
        members.set("ttlMs", &0);
        members.set("cacheScope", &"private");
    }
    Some(members.to_raw())
}

/// A stateless child's result as a handshake host expects it.
pub fn to_handshake(result: &RawValue) -> Option<Box<RawValue>> {
    let mut members = RawObject::parse(result)?;
    members.get("resultType")?;
    for member in ["resultType", "ttlMs", "cacheScope"] {
        members.remove(member);
    }
    Some(members.to_raw())
}

/// Whether the result is a request for more input.
pub fn needs_input(result: &RawValue) -> bool {
    // a text search first, because nearly no result contains it
    result.get().contains("input_required")
        && RawObject::parse(result)
            .and_then(|members| members.text("resultType"))
            .is_some_and(|kind| kind == "input_required")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn results_change_eras_and_lose_nothing() {
        let there = |method: &str, text: &str| {
            to_stateless(method, &raw(text)).map(|result| result.get().to_owned())
        };
        assert_eq!(
            there("tools/call", r#"{"n":1.10}"#).unwrap(),
            r#"{"n":1.10,"resultType":"complete"}"#
        );
        assert_eq!(
            there("tools/list", r#"{"tools":[]}"#).unwrap(),
            r#"{"tools":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#
        );
        assert_eq!(there("tools/call", r#"{"resultType":"input_required"}"#), None);
        let back = |text: &str| to_handshake(&raw(text)).map(|result| result.get().to_owned());
        assert_eq!(
            back(r#"{"resultType":"complete","tools":[1.10],"ttlMs":0,"cacheScope":"public"}"#)
                .unwrap(),
            r#"{"tools":[1.10]}"#
        );
        assert_eq!(back("{}"), None);
    }

    #[test]
    fn only_the_result_type_requests_input() {
        assert!(needs_input(&raw(r#"{"resultType":"input_required","inputRequests":{}}"#)));
        assert!(!needs_input(&raw(r#"{"content":[{"text":"input_required"}]}"#)));
    }
}
