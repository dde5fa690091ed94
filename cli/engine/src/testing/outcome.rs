//! What a run of a tier, or the cache, gives.

use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::digest;
use agent_core::testing::attempt::Answered;
use agent_core::testing::budget::Budget;
use agent_core::testing::evaluation::{CaseResult, Definitions, TierFold, TierSummary};
use agent_core::testing::event::Event;
use std::cell::OnceCell;

/// A tier that was run, or was found in the cache.
#[derive(Debug)]
pub struct TierOutcome {
    pub tier: Tier,
    pub summary: TierSummary,
    pub definitions: Definitions,
    pub goldens: Vec<Answered>,
    pub(super) lines: String,
    results: OnceCell<Vec<CaseResult>>,
}

impl TierOutcome {
    /// The lines are by case id, so that the same results have the same digest whichever shard or
    /// part was first.
    pub fn of(tier: Tier, fold: TierFold, budget: Budget, definitions: Definitions) -> Self {
        let lines: String = fold.results().map(|result| Event::case_line(tier, result)).collect();
        let summary =
            TierSummary { results: Some(digest(lines.as_bytes())), ..fold.summary(budget) };
        Self {
            results: OnceCell::from(fold.into_results()),
            ..Self::stored(tier, summary, definitions, lines)
        }
    }

    /// As it was stored: `lines` are read when the results are first used.
    pub fn stored(
        tier: Tier,
        summary: TierSummary,
        definitions: Definitions,
        lines: String,
    ) -> Self {
        Self { tier, summary, definitions, goldens: Vec::new(), lines, results: OnceCell::new() }
    }

    /// Events as stored lines.
    pub fn lines(&self) -> &str {
        &self.lines
    }

    /// By case id.
    pub fn results(&self) -> &[CaseResult] {
        self.results.get_or_init(|| TierFold::of_lines(&self.lines).into_results())
    }

    pub fn into_results(self) -> Vec<CaseResult> {
        self.results.into_inner().unwrap_or_else(|| TierFold::of_lines(&self.lines).into_results())
    }
}
