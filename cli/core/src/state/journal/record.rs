//! An update of staging: a signal, an edit, a withdrawal.

use crate::formats::object_id::{self, ObjectId};
use crate::state::Path;
use crate::state::effect::Effects;
use crate::state::signal::{self, CONVERSATION_ARGUMENT};
use json_patch::Patch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The turns of a conversation, as the Tuner was shown them: a replay needs the same ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    pub id: String,
    #[serde(default)]
    pub turns: Vec<Value>,
}

/// One update, as it is read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts on across sealed Journals.
    pub seq: u64,
    /// The signal's id; each is counted once.
    pub id: String,
    /// The Tuner's tool, or `agent/…` for a direct edit of the state by a user or program.
    pub tool: String,
    pub arguments: Value,
    pub before: ObjectId,
    pub after: ObjectId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Conversation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    pub at: String,
    /// Tags, such as `person:42`: signals with a common tag can be withdrawn together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The effects that the Tuner's tool used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<Effects>,
    /// JSON Pointers of the parts of the state that the tool read or wrote, where it reported them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touched: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Value>,
    /// From the state before to the state after (RFC 6902); absent when nothing changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Patch>,
    /// The full state after, where that is shorter than the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
}

impl Record {
    /// Whether the Tuner made this update (a replay calls it again).
    pub fn is_by_tuner(&self) -> bool {
        is_by_tuner(&self.tool)
    }

    /// Whether it withdraws a signal of a version. Its change holds for the states of that version
    /// alone.
    pub fn is_withdrawal(&self) -> bool {
        is_withdrawal(&self.tool, &self.id)
    }

    /// Whether it is a signal that no longer applied when it was replayed.
    pub fn is_dropped(&self) -> bool {
        self.summary.as_ref().is_some_and(|summary| summary.get("dropped").is_some())
    }

    /// The digest of the signal's content: `Signal::content`.
    pub fn content(&self) -> String {
        if self.tool == WITHDRAW {
            return self.arguments["content"].as_str().unwrap_or_default().to_owned();
        }
        let named = self.conversation.as_ref().map(|conversation| conversation.id.as_str());
        signal::content(
            &self.tool,
            &self.arguments,
            named.or_else(|| self.arguments.get(CONVERSATION_ARGUMENT)?.as_str()),
        )
    }

    /// The values that an edit of the state set; `None` of any other update.
    pub fn edits(&self) -> Option<Vec<(Path, &Value)>> {
        let changes = self.arguments["changes"].as_array().filter(|_| self.tool == SET)?;
        changes
            .iter()
            .map(|change| Some((change["path"].as_str()?.parse().ok()?, change.get("value")?)))
            .collect()
    }

    /// The state after this update, from the state before it.
    pub fn apply(&self, before: &mut Value) -> Result<(), json_patch::PatchError> {
        if let Some(whole) = &self.state {
            before.clone_from(whole);
        } else if let Some(change) = &self.change {
            json_patch::patch(before, change)?;
        }
        Ok(())
    }
}

/// The members by which a signal is found; the rest of its record is skipped, not parsed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Heading {
    pub seq: u64,
    pub id: String,
    pub tool: String,
    #[serde(default)]
    pub tags: Vec<String>,
}

impl Heading {
    /// As of a record.
    pub fn is_by_tuner(&self) -> bool {
        is_by_tuner(&self.tool)
    }

    /// As of a record.
    pub fn is_withdrawal(&self) -> bool {
        is_withdrawal(&self.tool, &self.id)
    }
}

pub(super) fn is_by_tuner(tool: &str) -> bool {
    !tool.starts_with(OWN_TOOLS)
}

fn is_withdrawal(tool: &str, id: &str) -> bool {
    tool == WITHDRAW && id.starts_with(WITHDRAWN_FROM_A_VERSION)
}

/// The names of updates that no Tuner made start with this.
pub const OWN_TOOLS: &str = "agent/";
pub const SET: &str = "agent/set";
pub const CAS: &str = "agent/cas";
/// The tool of a record in the place of a withdrawn signal: only the digest of the content is kept.
pub const WITHDRAW: &str = "agent/withdraw";

/// The prefix of the digest of a withdrawn signal's id.
const WITHDRAWN: &str = "withdrawn:";
/// The prefix for a signal that is part of a version.
pub(super) const WITHDRAWN_FROM_A_VERSION: &str = "withdrawal:";

/// The id of the record in the place of a withdrawn signal.
pub fn withdrawn_id(id: &str) -> String {
    format!("{WITHDRAWN}{}", object_id::digest(id.as_bytes()))
}

/// The id of the record that withdraws a signal of a version, whose own record stays.
pub fn withdrawal_id(id: &str) -> String {
    format!("{WITHDRAWN_FROM_A_VERSION}{}", object_id::digest(id.as_bytes()))
}

/// The digest in the first of these, in hexadecimal digits.
pub fn digest_of_withdrawn(id: &str) -> Option<&str> {
    id.strip_prefix(WITHDRAWN)?.strip_prefix("sha256:").filter(|digest| digest.len() == 64)
}

/// An update that is to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub id: String,
    pub tool: String,
    pub arguments: Value,
    pub conversation: Option<Conversation>,
    pub trace: Option<String>,
    pub at: String,
    pub tags: Vec<String>,
    pub effects: Option<Effects>,
    pub touched: Option<Vec<String>>,
    pub summary: Option<Value>,
    /// The state after; `None` when the update changed nothing.
    pub state: Option<Value>,
}
