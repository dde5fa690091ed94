//! The results of tiers that were read last, for the next page of them.

use crate::rest::Reply;
use agent_core::formats::manifest::Tier;
use agent_core::formats::natural;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::evaluation::TierSummary;
use agent_engine::error::Failure;
use agent_engine::versions::stored::StoredTiers;
use agent_engine::world::git::CommitInfo;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Tiers whose results are cached for the next page.
const HELD: usize = 8;

type Key = (ObjectId, Tier, Option<String>);
/// Of a tier, in the natural order of their ids.
pub(super) type Cases = Arc<Vec<CaseResult>>;

/// The most recently used results, by commit, tier and digest.
#[derive(Debug)]
pub(super) struct Results {
    held: Mutex<VecDeque<(Key, Cases)>>,
    /// Whether the server requires a token. Without one, code under test on this machine could read
    /// held-out cases through it.
    pub shows_held_out: bool,
}

impl Results {
    pub fn new(shows_held_out: bool) -> Self {
        Self { held: Mutex::default(), shows_held_out }
    }

    /// Results with a digest are immutable, except those that withhold details: these may be
    /// shown later.
    pub(super) fn lasting(&self, reply: Reply, summary: &TierSummary) -> Reply {
        if summary.results.is_some() && self.shows_held_out { reply.immutable() } else { reply }
    }

    pub(super) fn of(
        &self,
        kept: &StoredTiers,
        commit: &CommitInfo,
        tier: Tier,
        summary: &TierSummary,
    ) -> Result<Option<Cases>, Failure> {
        let key = (commit.id.clone(), tier, summary.results.clone());
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, results)) = held().iter().find(|(known, _)| *known == key) {
            return Ok(Some(Arc::clone(results)));
        }
        let Some(mut results) = kept.results(tier)? else { return Ok(None) };
        results.sort_by(|one, other| natural::compare(&one.id, &other.id));
        if !self.shows_held_out {
            results = results.into_iter().map(CaseResult::without_held_out).collect();
        }
        let results = Arc::new(results);
        let mut held = held();
        held.truncate(HELD - 1);
        held.push_front((key, Arc::clone(&results)));
        Ok(Some(results))
    }
}
