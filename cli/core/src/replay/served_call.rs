//! A call of the Runner in service, as a line of the record.

use crate::formats::object_id::ObjectId;
use crate::replay::redaction::{self, Part, Redaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const SCHEMA: &str = "agent/served-call@1";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServedCall {
    pub schema: String,
    /// When it was answered: RFC 3339, UTC.
    pub at: String,
    pub tool: String,
    pub arguments: Value,
    /// The result of `tools/call`, as the host got it.
    pub result: Value,
    /// The conversation that it was a turn of, and the number of the turn, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<u64>,
    /// The served version; absent where a commit or the working tree was served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The tree of the served code without `state/`, `tests/` and `ci/`; absent where the working
    /// tree was served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ObjectId>,
    /// The served state.
    pub revision: ObjectId,
    pub duration_ms: f64,
    /// W3C trace context of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The parts that were redacted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<Part>,
}

impl ServedCall {
    /// Takes out what the rules name.
    #[must_use]
    pub fn redacted_by(mut self, rules: &Redaction) -> Self {
        let given = self.arguments.clone();
        let is_redacted = rules.apply(Part::Arguments, &mut self.arguments);
        self.note(Part::Arguments, is_redacted);
        // tools quote their arguments, also within a text
        let taken_out = redaction::taken_out(&given, &self.arguments);
        let is_quoted = redaction::remove(&taken_out, &mut self.result);
        let is_redacted = rules.apply(Part::Result, &mut self.result);
        self.note(Part::Result, is_quoted || is_redacted);
        self
    }

    fn note(&mut self, part: Part, is_redacted: bool) {
        if is_redacted && !self.redacted.contains(&part) {
            self.redacted.push(part);
        }
    }

    /// The line, with its newline.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a call serialises");
        line.push(b'\n');
        line
    }

    /// `None` for a line of another schema, and for one that is not whole.
    pub fn from_line(line: &str) -> Option<Self> {
        let is_whole = |call: &Self| call.schema == SCHEMA && call.arguments.is_object();
        serde_json::from_str(line).ok().filter(is_whole)
    }

    pub fn has_redacted(&self, part: Part) -> bool {
        self.redacted.contains(&part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::record::REDACTED;
    use serde_json::json;

    #[test]
    fn a_secret_argument_is_taken_out_of_what_quotes_it() {
        let call = json!({"schema": SCHEMA, "at": "2026-11-29T00:00:00Z", "tool": "t",
            "arguments": {"password": "PASSplain6", "credentials": {"user": "u\"1234"}, "q": "ok"},
            "result": {"content": [{"type": "text",
                "text": "args={\"password\": \"PASSplain6\"} for u\\\"1234 and ok"}]},
            "revision": "57389d6d45c6ff9e9066c51e8a94aa01949b1055", "duration_ms": 1.0});
        let call = ServedCall::from_line(&call.to_string()).unwrap();
        let redacted = call.redacted_by(&Redaction::new(&[]));
        assert_eq!(redacted.arguments["password"], REDACTED);
        assert_eq!(redacted.arguments["credentials"], REDACTED);
        let line = String::from_utf8(redacted.to_line()).unwrap();
        assert!(!line.contains("PASSplain6") && !line.contains("1234"), "{line}");
        assert!(line.contains("and ok"), "{line}");
        assert_eq!(redacted.redacted, [Part::Arguments, Part::Result]);
    }

    #[test]
    fn a_call_whose_arguments_are_no_object_is_no_whole_line() {
        let line = |arguments: Value| {
            json!({"schema": SCHEMA, "at": "", "tool": "t", "arguments": arguments, "result": {},
                "revision": "57389d6d45c6ff9e9066c51e8a94aa01949b1055", "duration_ms": 1.0})
            .to_string()
        };
        assert!(ServedCall::from_line(&line(json!({}))).is_some());
        assert!(ServedCall::from_line(&line(json!([1]))).is_none());
    }
}
