//! The parameters of a shard's requests.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::path::Path;

#[derive(Serialize)]
pub(super) struct CallParams<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a Value,
    pub(super) _meta: Meta<'a>,
}

#[derive(Serialize)]
pub(super) struct Meta<'a> {
    #[serde(rename = "dev.agentvc/state")]
    pub(super) state: &'a RawValue,
    #[serde(rename = "dev.agentvc/conversation", skip_serializing_if = "Option::is_none")]
    pub(super) conversation: Option<Conversation<'a>>,
    #[serde(rename = "dev.agentvc/scratch", skip_serializing_if = "Option::is_none")]
    pub(super) scratch: Option<Folder<'a>>,
}

#[derive(Serialize)]
pub(super) struct Folder<'a> {
    pub(super) path: &'a Path,
}

#[derive(Serialize)]
pub(super) struct Conversation<'a> {
    pub(super) id: String,
    pub(super) turn: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<&'a Value>,
}

#[derive(Serialize)]
pub(super) struct ScoreParams<'a> {
    pub(super) scorer: &'a str,
    pub(super) case: Value,
    pub(super) result: &'a RawValue,
}
