//! A tier of a version run anew, and the gate's comparison of its results with others.

use crate::error::Failure;
use crate::repository::Repository;
use crate::testing::{self, Request};
use crate::versions::stored::StoredTiers;
use agent_core::formats::manifest::{GateMode, Gated, Tier};
use agent_core::gate::{self, GateVerdict, Question};
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::evaluation::Verdict;
use agent_core::version::what::What;

/// Results of a tier, with none taken over from an earlier run.
pub fn anew(repository: &Repository, what: &What, tier: Tier) -> Result<Vec<CaseResult>, Failure> {
    let target = repository.target_to_test(what)?;
    let request = Request::anew(tier);
    let mut progress = repository.notices.tiers(std::collections::BTreeMap::new());
    let ran =
        testing::run_tier(repository, &target, &target.own_evaluators(), &request, &mut progress)?;
    Ok(ran.into_results())
}

/// The results that a version was made with, or those of its first run of the tier.
pub fn stored(
    repository: &Repository,
    version: &What,
    tier: Tier,
) -> Result<Option<Vec<CaseResult>>, Failure> {
    let target = repository.target_to_test(version)?;
    let Some(commit) = &target.commit else { return Ok(None) };
    let commit = repository.git.commit(commit)?;
    Ok(StoredTiers::of(repository, &commit)?.results(tier)?)
}

/// The gate of what is served.
pub fn gated(repository: &Repository) -> Result<Gated, Failure> {
    let tip = repository.expect_tip()?;
    Ok(repository.manifest(&tip.commit)?.promote.gated())
}

/// Whether some results are better than others, by the gate's test at its level for one look.
pub fn is_better(
    repository: &Repository,
    than: &[CaseResult],
    results: &[CaseResult],
) -> Result<(bool, GateVerdict), Failure> {
    let gated = gated(repository)?;
    let question = Question { mode: GateMode::Better, ..Question::from(&gated) };
    let verdict = gate::judge(question, than, results);
    Ok((verdict.verdict == Verdict::Pass, verdict))
}
