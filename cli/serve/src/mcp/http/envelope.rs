//! Checks that the headers of a request of the stateless revision agree with its body.

use crate::mcp::json_rpc::{self, Incoming};
use agent_core::protocol::mcp;
use agent_engine::child::RpcError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use serde_json::json;

pub(super) const VERSION_HEADER: &str = "mcp-protocol-version";
const METHOD_HEADER: &str = "mcp-method";
const NAME_HEADER: &str = "mcp-name";

/// The error code of the stateless revision for headers that disagree with the body.
const HEADER_MISMATCH: i64 = -32020;

/// Requests whose subject is also in a header: the method, and the parameter.
const NAMED: [(&str, &str); 3] =
    [("prompts/get", "name"), ("resources/read", "uri"), ("tools/call", "name")];

/// Whether a message is of this era: by its header, or without one by its body.
pub(super) fn is_stateless(headers: &HeaderMap, message: Option<&Incoming>) -> bool {
    match headers.get(VERSION_HEADER) {
        Some(version) => !mcp::HANDSHAKES.iter().any(|known| version == known),
        None => message.is_some_and(|message| {
            message.meta().is_some_and(|meta| meta.get(mcp::META_VERSION).is_some())
        }),
    }
}

/// The first violation, in the order of the specification.
pub(super) fn check(headers: &HeaderMap, message: &Incoming) -> Result<(), RpcError> {
    let version = declared(message)?;
    let method = message.method.as_deref().unwrap_or_default();
    compare(headers, VERSION_HEADER, &version)?;
    compare(headers, METHOD_HEADER, method)?;
    if let Some((_, member)) = NAMED.iter().find(|(named, _)| *named == method)
        && let Some(name) = message.params()?.text(member)
    {
        compare(headers, NAME_HEADER, &name)?;
    }
    if version != mcp::STATELESS {
        return Err(unsupported(&version));
    }
    if mcp::HANDSHAKE_ONLY.contains(&method) {
        return Err(json_rpc::no_such_method(method));
    }
    Ok(())
}

/// Checks the version of a notification, the only header that the revision requires of it.
pub(super) fn check_notification(headers: &HeaderMap) -> Result<(), RpcError> {
    match headers.get(VERSION_HEADER).map(|version| String::from_utf8_lossy(version.as_bytes())) {
        Some(version) if version != mcp::STATELESS => Err(unsupported(&version)),
        _ => Ok(()),
    }
}

fn declared(message: &Incoming) -> Result<String, RpcError> {
    let meta = message.meta();
    let version = meta.and_then(|meta| meta.text(mcp::META_VERSION));
    match version {
        Some(version) if meta.is_some_and(|meta| meta.get(mcp::META_CAPABILITIES).is_some()) => {
            Ok(version)
        }
        _ => {
            let missing =
                if version.is_none() { mcp::META_VERSION } else { mcp::META_CAPABILITIES };
            Err(json_rpc::error(
                mcp::INVALID_PARAMS,
                format!("`params._meta` must have `{missing}`"),
            ))
        }
    }
}

fn unsupported(version: &str) -> RpcError {
    let data = Some(json!({"supported": [mcp::STATELESS], "requested": version}));
    RpcError { data, ..json_rpc::error(mcp::UNSUPPORTED_VERSION, "Unsupported protocol version") }
}

fn compare(headers: &HeaderMap, name: &str, expected: &str) -> Result<(), RpcError> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    match first {
        None => Err(mismatch(&format!("the header `{name}` is missing"))),
        Some(_) if second.is_some() => {
            Err(mismatch(&format!("the header `{name}` is given more than once")))
        }
        Some(value) if decoded(value).as_deref() == Some(expected) => Ok(()),
        Some(_) => {
            Err(mismatch(&format!("the header `{name}` differs from the body, `{expected}`")))
        }
    }
}

pub(super) fn mismatch(why: &str) -> RpcError {
    json_rpc::error(HEADER_MISMATCH, format!("Header mismatch: {why}"))
}

/// Decodes a header value (plain or Base64); `None` for an invalid one.
pub(super) fn decoded(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    match text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(text.to_owned()),
    }
}

/// The revision of the header, if no session can have it.
pub(super) fn wrong_revision(headers: &HeaderMap) -> Option<String> {
    let version = headers.get(VERSION_HEADER)?;
    (!mcp::HANDSHAKES.iter().any(|known| version == known))
        .then(|| String::from_utf8_lossy(version.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;

    fn headers(text: &str) -> HeaderMap {
        let pairs = text.split("; ").filter_map(|pair| pair.split_once(": "));
        pairs
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_bytes(value.trim().as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    fn message(method: &str, params: &serde_json::Value, version: &str) -> Incoming {
        let mut params = params.clone();
        params["_meta"] = json!({mcp::META_VERSION: version, mcp::META_CAPABILITIES: {}});
        Incoming::read(
            &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string(),
        )
        .unwrap()
    }

    fn check_code(sent: &str, message: &Incoming, expected: Option<i64>) {
        assert_eq!(
            check(&headers(sent), message).err().map(|error| error.code),
            expected,
            "{sent}"
        );
    }

    const FULL: &str = "mcp-protocol-version: 2026-07-28; mcp-method: tools/call; mcp-name: ";

    #[test]
    fn headers_must_agree_with_the_body() {
        let call = message("tools/call", &json!({"name": "größe"}), mcp::STATELESS);
        check_code(&format!("{FULL}=?base64?Z3LDtsOfZQ==?="), &call, None);
        for (sent, code) in [
            ("mcp-method: tools/call; mcp-name: =?base64?Z3LDtsOfZQ==?=", HEADER_MISMATCH),
            (
                "mcp-protocol-version: 2026-07-28; mcp-name: =?base64?Z3LDtsOfZQ==?=",
                HEADER_MISMATCH,
            ),
            (
                "mcp-protocol-version: 2026-07-28; mcp-method: TOOLS/CALL; mcp-name: \
                =?base64?Z3LDtsOfZQ==?=",
                HEADER_MISMATCH,
            ),
            (
                "mcp-protocol-version: 2025-11-25; mcp-method: tools/call; mcp-name: \
                =?base64?Z3LDtsOfZQ==?=",
                HEADER_MISMATCH,
            ),
            ("mcp-protocol-version: 2026-07-28; mcp-method: tools/call", HEADER_MISMATCH),
        ] {
            check_code(sent, &call, Some(code));
        }
        for value in [
            "größe",
            "=?base64?Z3LDtsOfZQ?=",
            "=?base64?Z3LDt!OfZQ==?=",
            "Z3LDtsOfZQ==",
            "=?base64?Z3LDtsOfZQ==?=; mcp-name: x",
        ] {
            check_code(&format!("{FULL}{value}"), &call, Some(HEADER_MISMATCH));
        }
    }

    #[test]
    fn a_request_must_have_the_meta_of_its_revision() {
        let list = |version| message("tools/list", &json!({}), version);
        check_code(
            "mcp-protocol-version: 2026-07-28; mcp-method: tools/list",
            &list(mcp::STATELESS),
            None,
        );
        check_code(
            "mcp-protocol-version: v9; mcp-method: tools/list",
            &list("v9"),
            Some(mcp::UNSUPPORTED_VERSION),
        );
        check_code(
            "mcp-protocol-version: 2026-07-28; mcp-method: ping",
            &message("ping", &json!({}), mcp::STATELESS),
            Some(mcp::METHOD_NOT_FOUND),
        );
        let bare = Incoming::read(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).unwrap();
        check_code(
            "mcp-protocol-version: 2026-07-28; mcp-method: tools/list",
            &bare,
            Some(mcp::INVALID_PARAMS),
        );
    }

    #[test]
    fn the_era_is_that_of_the_header_and_without_one_of_the_body() {
        let stateless = message("tools/list", &json!({}), mcp::STATELESS);
        let plain = Incoming::read(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).unwrap();
        for (sent, message, expected) in [
            ("mcp-protocol-version: 2026-07-28", &plain, true),
            ("mcp-protocol-version: v9", &plain, true),
            ("mcp-protocol-version: 2025-11-25", &stateless, false),
            ("", &stateless, true),
            ("", &plain, false),
        ] {
            assert_eq!(is_stateless(&headers(sent), Some(message)), expected, "{sent}");
        }
    }
}
