//! Local data on the last run of a tier; without it, runs are slower and reports shorter.

use crate::world::fs::{self, Durability, read_if_there};
use crate::world::layout::Layout;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::case::Case;
use agent_core::testing::case_result::CaseResult;
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
    /// The mean time of a case in the last run that ran some. Absent in what an earlier `agent`
    /// kept.
    #[serde(default)]
    pub mean_ms: Option<f64>,
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
        let (mut count, mut total_ms) = (0u32, 0.0);
        for result in results {
            if !result.cached {
                count += 1;
                total_ms += result.ms;
            }
            if result.ms >= SLOW_MS {
                self.slow_ms.insert(result.id.clone(), result.ms);
            } else {
                self.slow_ms.remove(&result.id);
            }
        }
        if count > 0 {
            self.mean_ms = Some(total_ms / f64::from(count));
        }
    }

    /// How long a case is expected to take, with its repetitions; `None` where nothing is known.
    pub fn expected_ms(&self, case: &Case) -> Option<f64> {
        let once = self.slow_ms.get(&case.id).copied().or(self.mean_ms)?;
        Some(once * f64::from(case.repeats))
    }

    pub fn write(&self, layout: &Layout, tier: Tier) {
        let bytes = serde_json::to_vec(self).expect("a history serialises");
        // without it the next run is none the worse
        let _ = fs::replace(&layout.tier_history(tier), &bytes, Durability::Rebuildable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::testing::case::Cases;

    #[test]
    fn expected_time_is_that_of_a_slow_case_or_the_mean() {
        let text = r#"{"id":"slow","tool":"t","repeats":3,"expect":{"equals":1}}
            {"id":"other","tool":"t","expect":{"equals":1}}"#;
        let mut cases = Cases::default();
        cases.read(text, "cases.jsonl").unwrap();
        let expected = |history: &History| -> Vec<_> {
            cases.list.iter().map(|case| history.expected_ms(case)).collect()
        };
        let mut history = History::default();
        assert_eq!(expected(&history), [None, None]);
        let ran = |id: &str, ms: f64| CaseResult { ms, ..CaseResult::passed(id) };
        history.note([ran("slow", 100.0), ran("other", 2.0), ran("more", 3.0)].iter());
        assert_eq!(expected(&history), [Some(300.0), Some(35.0)]);
        let known = CaseResult { cached: true, ..ran("other", 2.0) };
        history.note([known.clone(), ran("more", 4.0)].iter());
        assert_eq!(history.mean_ms, Some(4.0));
        history.note([known].iter());
        assert_eq!(history.mean_ms, Some(4.0));
    }
}
