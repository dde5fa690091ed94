//! The first line: the version that staging started from, and its state.

use super::error::JournalError;
use super::lines::push_closing_line;
use crate::formats::canonical;
use crate::formats::object_id::ObjectId;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const SCHEMA: &str = "agent/journal@1";

/// The version of active that staging started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub version: Version,
    pub commit: ObjectId,
    /// The state file's blob id in that commit.
    pub revision: ObjectId,
}

/// A Journal that was sealed before this one began, and the version that it became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedAs {
    /// The digest of its bytes, as the version's commit names it.
    pub journal: String,
    pub version: Version,
    pub commit: ObjectId,
}

/// The number of newest sealed Journals listed: more versions than a clone can lose in one race for
/// `active`.
pub(super) const SEALED_KEPT: usize = 64;

#[derive(Serialize, Deserialize)]
pub(super) struct HeaderLine {
    pub(super) schema: String,
    pub(super) base: Base,
    /// The seq of the first record that follows.
    pub(super) first: u64,
    /// The Journals this clone sealed, oldest first: if their version is superseded on `active`,
    /// its updates are restored from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sealed: Vec<SealedAs>,
    pub(super) state: Value,
}

/// The first line of a clone's first Journal.
pub fn header(base: &Base, first: u64, state: &Value) -> Vec<u8> {
    header_after(base, first, state, &[])
}

/// A new Journal's first line, after those that were sealed.
pub fn header_after(base: &Base, first: u64, state: &Value, sealed: &[SealedAs]) -> Vec<u8> {
    let sealed = sealed[sealed.len().saturating_sub(SEALED_KEPT)..].to_vec();
    let line = HeaderLine {
        schema: SCHEMA.to_owned(),
        base: base.clone(),
        first,
        sealed,
        state: canonical::normal(state),
    };
    let mut block = Vec::new();
    push_closing_line(&mut block, &line);
    block
}

/// Why a first line is not a header; a separate error for the header of a newer format.
pub(super) fn unknown_schema(line: &[u8]) -> Result<String, JournalError> {
    match serde_json::from_slice::<Value>(line) {
        Err(error) => Ok(error.to_string()),
        Ok(header) => match header["schema"].as_str() {
            Some(schema) if schema != SCHEMA => Err(JournalError::Unknown(schema.to_owned())),
            _ => Ok("its checksum is wrong".to_owned()),
        },
    }
}
