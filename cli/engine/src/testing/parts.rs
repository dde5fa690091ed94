//! Parts of a tier in the object store: each machine of a matrix puts its own there, and a merge
//! finds them.

use super::memo::platform;
use super::outcome::{ResultLines, TierOutcome};
use crate::error::Failure;
use crate::repository::Repository;
use crate::world::store::{Store, StoreError};
use agent_core::formats::canonical;
use agent_core::formats::manifest::{Manifest, Tier};
use agent_core::formats::object_id::{ObjectId, short_digest};
use agent_core::testing::merge::MergedTier;
use agent_core::testing::part::Part;
use serde_json::json;

/// Where the parts of one tier of one tree lie, made on machines like this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartsKey(String);

impl PartsKey {
    pub fn new(
        repository: &Repository,
        manifest: &Manifest,
        tier: Tier,
        tree: &ObjectId,
    ) -> Result<Self, Failure> {
        let parts = json!(["agent/parts@2", tier, tree, platform(repository, manifest)?]);
        Ok(Self(format!("parts/{}", short_digest(canonical::to_compact(&parts).as_bytes()))))
    }

    fn part(&self, part: Part, text: &str) -> String {
        format!("{}/{}-of-{}-{}.jsonl", self.0, part.index, part.of, short_digest(text.as_bytes()))
    }
}

pub fn keep(store: &Store, key: &PartsKey, part: Part, text: &str) -> Result<(), StoreError> {
    // an existing one has the same bytes
    store.put_new(&key.part(part, text), text.as_bytes().to_vec()).map(drop)
}

/// The keys of the parts there are, and their lines.
pub fn find(store: &Store, key: &PartsKey) -> Result<Vec<(String, String)>, StoreError> {
    let mut found = Vec::new();
    for key in store.list(&key.0)? {
        let text = store.get(&key)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        found.extend(text.map(|text| (key, text)));
    }
    Ok(found)
}

impl From<MergedTier> for TierOutcome {
    fn from(merged: MergedTier) -> Self {
        let MergedTier { head, fold, .. } = merged;
        let lines = ResultLines::of(head.tier, &fold);
        let summary = fold.summary(head.budget);
        Self::of(head.tier, fold, lines, summary, head.definitions)
    }
}
