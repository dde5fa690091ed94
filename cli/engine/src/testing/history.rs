//! Local data on the last run of a tier; without it, runs are slower and reports shorter.

use crate::world::fs::{self, Durability, read_if_there};
use crate::world::layout::Layout;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::evaluation::CaseResult;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Cases faster than this, in milliseconds, are not sorted.
const SLOW_MS: f64 = 20.0;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct History {
    #[serde(default)]
    pub last: Option<LastRun>,
    /// The times of slow cases, by id.
    #[serde(default)]
    pub slow_ms: BTreeMap<String, f64>,
}

/// With what it was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastRun {
    pub tree: ObjectId,
    pub platform: Value,
    /// The variables that its results depend on, by digest. Absent in what an earlier `agent` kept.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

impl History {
    pub fn read(layout: &Layout, tier: Tier) -> Self {
        let bytes = read_if_there(&layout.tier_history(tier)).ok().flatten();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub fn note<'a>(&mut self, results: impl Iterator<Item = &'a CaseResult>) {
        for result in results {
            if result.ms >= SLOW_MS {
                self.slow_ms.insert(result.id.clone(), result.ms);
            } else {
                self.slow_ms.remove(&result.id);
            }
        }
    }

    pub fn write(&self, layout: &Layout, tier: Tier) {
        let bytes = serde_json::to_vec(self).expect("a history serialises");
        // without it the next run is none the worse
        let _ = fs::replace(&layout.tier_history(tier), &bytes, Durability::Rebuildable);
    }
}
