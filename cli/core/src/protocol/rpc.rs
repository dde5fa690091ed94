//! JSON-RPC frames of other programs. A malformed line is read as far as possible, so that the
//! request it refers to gets a response.

use crate::formats::json_text::end_of_string;
use crate::protocol::mcp::INTERNAL_ERROR;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// The maximum number of requests that one malformed line answers.
const IDS_KEPT: usize = 8;

/// The `error` member of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl fmt::Display for RpcError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (code {})", self.message, self.code)
    }
}

impl RpcError {
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The `error` member of a foreign frame. Each of its members is read separately, so that a
    /// malformed one does not hide the others.
    fn read(raw: &RawValue) -> Self {
        #[derive(Deserialize)]
        struct Members<'a> {
            #[serde(borrow)]
            code: Option<&'a RawValue>,
            #[serde(borrow)]
            message: Option<&'a RawValue>,
            #[serde(borrow)]
            data: Option<&'a RawValue>,
        }
        let is_object = raw.get().starts_with('{');
        let Some(members) =
            is_object.then(|| serde_json::from_str::<Members>(raw.get()).ok()).flatten()
        else {
            return Self::new(INTERNAL_ERROR, "the error it answered with cannot be read");
        };
        let code = members.code.and_then(|code| serde_json::from_str(code.get()).ok());
        let message = match members.message.map(|message| serde_json::from_str(message.get())) {
            Some(Ok(message)) => message,
            Some(Err(_)) => "the message of its error cannot be read".to_owned(),
            None => String::new(),
        };
        let data = members.data.and_then(|data| serde_json::from_str(data.get()).ok());
        Self { code: code.unwrap_or(INTERNAL_ERROR), message, data }
    }
}

impl<'de> Deserialize<'de> for RpcError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self::read(&raw))
    }
}

/// The classification of a line in a stream of frames.
#[derive(Debug)]
pub enum Line<'a> {
    Answer {
        id: u64,
        outcome: Result<&'a RawValue, RpcError>,
    },
    Notification {
        method: String,
        frame: &'a RawValue,
    },
    Request {
        id: &'a RawValue,
        method: String,
        params: Option<&'a RawValue>,
    },
    /// Meant as the answer to these requests, but wrong: what is wrong with it.
    Wrong {
        ids: Vec<u64>,
        problem: String,
    },
    /// A frame whose end is missing: what follows on the stream cannot be trusted.
    Torn,
    /// No frame: why not.
    Noise(&'static str),
}

/// Reads a line that is not empty.
pub fn read(line: &[u8]) -> Line<'_> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    if !line.starts_with(b"{") {
        return Line::Noise("it is not a JSON object");
    }
    let Ok(text) = std::str::from_utf8(line) else { return unparsed(line, "it is not UTF-8") };
    match serde_json::from_str::<Members>(text) {
        Ok(members) => members.line(text),
        Err(error) => unparsed(line, &error.to_string()),
    }
}

/// A malformed line, classified by its readable parts.
fn unparsed<'a>(line: &[u8], problem: &str) -> Line<'a> {
    let outline = Outline::of(line);
    if !outline.is_whole && outline.has_member {
        return Line::Torn;
    }
    if outline.has_method || outline.ids.is_empty() {
        return Line::Noise("it is not JSON");
    }
    Line::Wrong { ids: outline.ids, problem: problem.to_owned() }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    JsonRpc,
    Id,
    Method,
    Params,
    Result,
    Error,
    Other,
}

impl Member {
    const NAMES: [(&'static str, Self); 6] = [
        ("jsonrpc", Self::JsonRpc),
        ("id", Self::Id),
        ("method", Self::Method),
        ("params", Self::Params),
        ("result", Self::Result),
        ("error", Self::Error),
    ];

    fn of(name: &[u8]) -> Self {
        Self::NAMES
            .into_iter()
            .find(|(known, _)| known.as_bytes() == name)
            .map_or(Self::Other, |(_, member)| member)
    }

    fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, member)| *member == self).map_or("", |(name, _)| name)
    }
}

impl<'de> Deserialize<'de> for Member {
    /// Compared as bytes: a name that is not valid text is another member, not an error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Member;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a member")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<Member, E> {
                Ok(Member::of(name))
            }
        }
        deserializer.deserialize_bytes(Name)
    }
}

/// The members of a frame as the bytes they are; all else is ignored.
#[derive(Default)]
struct Members<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    repeated: Option<Member>,
    /// For a duplicated `id`: the first of them.
    other_id: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members::default();
                while let Some((member, value)) = map.next_entry::<Member, &RawValue>()? {
                    members.put(member, value);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'a> Members<'a> {
    fn put(&mut self, member: Member, value: &'a RawValue) {
        let place = match member {
            Member::JsonRpc => &mut self.jsonrpc,
            Member::Id => &mut self.id,
            Member::Method => &mut self.method,
            Member::Params => &mut self.params,
            Member::Result => &mut self.result,
            Member::Error => &mut self.error,
            Member::Other => return,
        };
        if let Some(first) = place.replace(value) {
            self.repeated = Some(member);
            if member == Member::Id {
                self.other_id = Some(first);
            }
        }
    }

    fn line(self, text: &'a str) -> Line<'a> {
        if let Some(member) = self.repeated {
            return self.wrong(format!("its member `{}` appears there twice", member.name()));
        }
        if self.jsonrpc.and_then(text_of).as_deref() != Some("2.0") {
            return match (self.result, self.error) {
                (None, None) => Line::Noise("it has no \"jsonrpc\": \"2.0\""),
                _ => self.wrong("it has no \"jsonrpc\": \"2.0\"".to_owned()),
            };
        }
        let error = self.error.filter(|error| error.get() != "null");
        match (self.method, self.id, self.result, error) {
            (Some(method), id, None, None) => match (text_of(method), id) {
                (Some(method), Some(id)) => Line::Request { id, method, params: self.params },
                (Some(method), None) => match serde_json::from_str(text) {
                    Ok(frame) => Line::Notification { method, frame },
                    Err(_) => Line::Noise("it is not JSON"),
                },
                (None, _) => Line::Noise("its `method` cannot be read"),
            },
            (None, Some(id), result, error) => match (number(id), result, error) {
                (None, ..) => Line::Noise("it answers no request"),
                (Some(id), Some(result), None) => Line::Answer { id, outcome: Ok(result) },
                (Some(id), None, Some(error)) => {
                    Line::Answer { id, outcome: Err(RpcError::read(error)) }
                }
                (Some(_), Some(_), Some(_)) => {
                    self.wrong("it has a `result` and an `error`".to_owned())
                }
                (Some(_), None, None) => {
                    self.wrong("it has neither a `result` nor an `error`".to_owned())
                }
            },
            _ => Line::Noise("it is not a request, a notification or an answer"),
        }
    }

    /// An answer to whichever requests it names.
    fn wrong(&self, problem: String) -> Line<'a> {
        let ids: Vec<_> = self.other_id.into_iter().chain(self.id).filter_map(number).collect();
        if self.method.is_some() || ids.is_empty() {
            return Line::Noise("it is not a request, a notification or an answer");
        }
        Line::Wrong { ids, problem }
    }
}

fn text_of(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The id of a request sent by `agent`; some servers return it as a string, or with a fraction.
fn number(raw: &RawValue) -> Option<u64> {
    let text = raw.get().trim_matches('"');
    text.parse().ok().or_else(|| text.strip_suffix(".0")?.parse().ok())
}

/// The readable members of a malformed object.
#[derive(Debug, Default)]
struct Outline {
    /// Whether its last brace closes the first one.
    is_whole: bool,
    has_method: bool,
    /// Whether it has any member of a frame.
    has_member: bool,
    ids: Vec<u64>,
}

impl Outline {
    fn of(line: &[u8]) -> Self {
        let mut outline = Self::default();
        let mut depth = 0usize;
        let mut at = 0;
        while let Some(byte) = line.get(at) {
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    outline.is_whole = depth == 0;
                }
                b'"' => {
                    let Some(end) = end_of_string(line, at + 1) else { break };
                    if depth == 1 {
                        outline.note(&line[at + 1..end], line[end + 1..].trim_ascii_start());
                    }
                    at = end;
                }
                _ => {}
            }
            at += 1;
        }
        outline.is_whole &= depth == 0 && at >= line.len();
        outline
    }

    /// A text at the first depth, and what follows it.
    fn note(&mut self, text: &[u8], rest: &[u8]) {
        let member = Member::of(text);
        let Some(value) = rest.strip_prefix(b":").filter(|_| member != Member::Other) else {
            return;
        };
        self.has_member = true;
        self.has_method |= member == Member::Method;
        if member == Member::Id && self.ids.len() < IDS_KEPT {
            let value = value.trim_ascii_start();
            let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
            self.ids.extend(
                std::str::from_utf8(&value[..digits])
                    .ok()
                    .and_then(|digits| digits.parse::<u64>().ok()),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(line: &[u8]) -> String {
        match read(line) {
            Line::Answer { id, outcome: Ok(result) } => format!("answer {id}: {}", result.get()),
            Line::Answer { id, outcome: Err(error) } => format!("answer {id}: {error}"),
            Line::Notification { method, frame } => {
                format!("notification {method}: {}", frame.get())
            }
            Line::Request { id, method, params } => {
                format!("request {}: {method} {}", id.get(), params.map_or("", RawValue::get))
            }
            Line::Wrong { ids, problem } => format!("wrong {ids:?}: {problem}"),
            Line::Torn => "torn".to_owned(),
            Line::Noise(why) => format!("noise: {why}"),
        }
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        assert_eq!(shown(line.as_bytes()), expected, "{line}");
    }

    #[test]
    fn a_frame_keeps_its_bytes() {
        check(
            r#"{"jsonrpc":"2.0","id":3,"result":{"n":1.10,"s":"\ud83d"}}"#,
            r#"answer 3: {"n":1.10,"s":"\ud83d"}"#,
        );
        check(r#"{"jsonrpc":"2.0","id":"3","result":null,"error":null}"#, "answer 3: null");
        check(r#"{"jsonrpc":"2.0","id":3.0,"result":1}"#, "answer 3: 1");
        check(
            "\u{feff}{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"\\ud800\":1}\r",
            r#"notification m: {"jsonrpc":"2.0","method":"m","\ud800":1}"#,
        );
        check(
            r#"{"jsonrpc":"2.0","id":"\ud83d","method":"m","params":[1e999]}"#,
            r#"request "\ud83d": m [1e999]"#,
        );
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        check(
            &format!(r#"{{"jsonrpc":"2.0","id":3,"result":{deep}}}"#),
            &format!("answer 3: {deep}"),
        );
    }

    #[test]
    fn an_error_is_read_member_by_member() {
        let answered = |error: &str| {
            shown(format!(r#"{{"jsonrpc":"2.0","id":3,"error":{error}}}"#).as_bytes())
        };
        assert_eq!(answered(r#"{"code":-32602,"message":"no"}"#), "answer 3: no (code -32602)");
        assert_eq!(
            answered(r#"{"code":-32602,"message":"\ud83d"}"#),
            "answer 3: the message of its error cannot be read (code -32602)"
        );
        assert_eq!(
            answered(r#"{"code":1e999,"message":"no","data":{"\udead":1}}"#),
            "answer 3: no (code -32603)"
        );
        assert_eq!(
            answered(r#"{"code":1,"code":2}"#),
            "answer 3: the error it answered with cannot be read (code -32603)"
        );
        assert_eq!(
            answered(r#""boom""#),
            "answer 3: the error it answered with cannot be read (code -32603)"
        );
    }

    #[test]
    fn invalid_response_still_names_its_request() {
        check(
            r#"{"jsonrpc":"2.0","id":3,"result":1,"error":2}"#,
            "wrong [3]: it has a `result` and an `error`",
        );
        check(r#"{"jsonrpc":"2.0","id":3}"#, "wrong [3]: it has neither a `result` nor an `error`");
        check(r#"{"id":3,"result":{}}"#, "wrong [3]: it has no \"jsonrpc\": \"2.0\"");
        check(
            r#"{"jsonrpc":"2.0","id":3,"result":{},"result":{}}"#,
            "wrong [3]: its member `result` appears there twice",
        );
        check(
            r#"{"jsonrpc":"2.0","id":3,"id":4,"result":{}}"#,
            "wrong [3, 4]: its member `id` appears there twice",
        );
        assert!(
            shown(br#"{"jsonrpc":"2.0","id":3,"result":{"x":NaN}}"#)
                .starts_with("wrong [3]: expected value")
        );
        assert_eq!(
            shown(b"{\"result\":{\"id\":9,\"s\":\"}\xff\\\"\"}, \"id\" : 3}"),
            "wrong [3]: it is not UTF-8"
        );
    }

    #[test]
    fn invalid_frame_is_distinguished_from_a_truncated_one() {
        for noise in [
            "Server started",
            "[info] {}",
            "{",
            "{}",
            "\"x\"",
            r#"{"level":"info","msg":"listening"}"#,
            r#"{"level":"info","msg":"#,
            "{ not: json }",
            r#"{"jsonrpc":"2.0","id":"x","result":{}}"#,
            r#"{"jsonrpc":"2.0","method":"\ud800"}"#,
            r#"{"jsonrpc":"2.0","method":"m","method":"m","id":3}"#,
        ] {
            assert!(
                shown(noise.as_bytes()).starts_with("noise"),
                "{noise}: {}",
                shown(noise.as_bytes())
            );
        }
        let frame = r#"{"jsonrpc":"2.0","id":3,"result":{"a":["}"]}}"#;
        for end in r#"{"jsonrpc":"#.len()..frame.len() {
            check(&frame[..end], "torn");
        }
    }

    /// Arbitrary JSON, and text that is not JSON.
    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("1e999".to_owned()),
            Just("-0".to_owned()),
            Just("NaN".to_owned()),
            Just("\"\\ud83d\"".to_owned()),
            Just("\"\\u0000}\\\"\"".to_owned()),
            Just("99999999999999999999999999".to_owned()),
            Just("\"\u{feff}\"".to_owned()),
            "[0-9]{1,4}(\\.[0-9]{1,3})?",
            "\"[a-z{}\\[\\],:]{0,6}\"",
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                proptest::collection::vec(("[a-c]{1,2}", inner.clone()), 0..4).prop_map(
                    |members| {
                        let members: Vec<_> = members
                            .into_iter()
                            .map(|(name, value)| format!("\"{name}\":{value}"))
                            .collect();
                        format!("{{{}}}", members.join(","))
                    }
                ),
                (inner, 0..300usize)
                    .prop_map(|(inner, depth)| "[".repeat(depth) + &inner + &"]".repeat(depth)),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let mut object = b"{\"jsonrpc\":".to_vec();
            object.extend(bytes);
            let _ = read(&object);
        }

        /// A complete frame with the id of a pending request and without a method is its response,
        /// whatever else it contains.
        #[test]
        fn frame_with_a_request_id_answers_the_request(id in 0..1000u64, result in value(),
            member in "(result|error|x)", version in "(\"2[.]0\"|1|\"2[.]0\",\"jsonrpc\":2)") {
            let line = format!("{{\"jsonrpc\":{version},\"{member}\":{result},\"id\":{id}}}");
            let parses = serde_json::from_str::<&RawValue>(&line).is_ok();
            match read(line.as_bytes()) {
                Line::Answer { id: answered, .. } => prop_assert_eq!(answered, id),
                Line::Wrong { ids, .. } => prop_assert_eq!(ids, vec![id]),
                // a log line in JSON may have an id
                Line::Noise(_) => prop_assert!(parses && member == "x" && version != "\"2.0\""),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
