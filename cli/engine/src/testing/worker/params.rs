//! The parameters of a worker's requests.

use agent_core::protocol::wire;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::path::Path;

#[derive(serde::Serialize)]
pub(super) struct CallParams<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a Value,
    pub(super) _meta: Meta<'a>,
}

pub(super) struct Meta<'a> {
    pub(super) state: &'a RawValue,
    pub(super) conversation: Option<Conversation<'a>>,
    pub(super) scratch: Option<Folder<'a>>,
}

// written by hand: a derived one takes no constant as a name
impl Serialize for Meta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry(wire::STATE, self.state)?;
        if let Some(conversation) = &self.conversation {
            members.serialize_entry(wire::CONVERSATION, conversation)?;
        }
        if let Some(scratch) = &self.scratch {
            members.serialize_entry(wire::SCRATCH, scratch)?;
        }
        members.end()
    }
}

#[derive(serde::Serialize)]
pub(super) struct Folder<'a> {
    pub(super) path: &'a Path,
}

#[derive(serde::Serialize)]
pub(super) struct Conversation<'a> {
    pub(super) id: String,
    pub(super) turn: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<&'a Value>,
}

#[derive(serde::Serialize)]
pub(super) struct ScoreParams<'a> {
    pub(super) scorer: &'a str,
    pub(super) case: Value,
    pub(super) result: &'a RawValue,
}
