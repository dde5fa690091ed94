//! The result of a tier, from a run or from the cache.

use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::digest;
use agent_core::testing::attempt::Answered;
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::definitions::Definitions;
use agent_core::testing::evaluation::{TierFold, TierSummary};
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

/// The results of a tier as they are stored, with their digest.
#[derive(Debug, Default)]
pub struct ResultLines {
    text: String,
    digest: String,
}

impl ResultLines {
    /// By case id, so that the same results have the same digest whichever worker or part was first.
    pub fn of(tier: Tier, fold: &TierFold) -> Self {
        let mut text = String::new();
        for result in fold.results() {
            let line = Event::case_line(tier, result);
            if text.is_empty() {
                // they are about as long as the first one: grown, a text is copied again and again
                text.reserve(line.len() * (fold.finished() + fold.finished() / 4));
            }
            text.push_str(&line);
        }
        Self { digest: digest(text.as_bytes()), text }
    }
}

impl TierOutcome {
    pub fn of(
        tier: Tier,
        fold: TierFold,
        lines: ResultLines,
        summary: TierSummary,
        definitions: Definitions,
    ) -> Self {
        let ResultLines { text, digest } = lines;
        let summary = TierSummary { results: Some(digest), ..summary };
        Self {
            results: OnceCell::from(fold.into_results()),
            ..Self::stored(tier, summary, definitions, text)
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
