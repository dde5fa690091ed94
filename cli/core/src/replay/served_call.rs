//! A call of the Runner in service, as a line of the record.

use crate::formats::object_id::ObjectId;
use crate::replay::redaction::{Part, Redaction};
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
    /// What rules took something out of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<Part>,
}

impl ServedCall {
    /// Takes out what the rules name.
    #[must_use]
    pub fn redacted_by(mut self, rules: &Redaction) -> Self {
        for (part, value) in
            [(Part::Arguments, &mut self.arguments), (Part::Result, &mut self.result)]
        {
            if rules.apply(part, value) && !self.redacted.contains(&part) {
                self.redacted.push(part);
            }
        }
        self
    }

    /// The line, with its newline.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a call serialises");
        line.push(b'\n');
        line
    }

    /// `None` for a line of another schema, and for one that is not whole.
    pub fn from_line(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok().filter(|call: &Self| call.schema == SCHEMA)
    }

    pub fn has_redacted(&self, part: Part) -> bool {
        self.redacted.contains(&part)
    }
}
