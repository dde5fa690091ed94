//! A tier of a target: from the cache, or run.

use crate::repository::Repository;
use crate::target::Target;
use crate::target::evaluators::{Evaluators, Source};
use crate::testing::cases::TierCases;
use crate::testing::error::TierFailure;
use crate::testing::history;
use crate::testing::outcome::TierOutcome;
use crate::testing::record::Record;
use crate::testing::request::Request;
use crate::testing::subject::Subject;
use agent_core::formats::manifest::Tier;
use agent_core::testing::attempt::Given;
use agent_core::testing::cached_result::Reuse;
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::event::Event;
use std::collections::BTreeMap;

/// The times of slow cases of a tier in its last run, by id.
pub fn slow_cases(repository: &Repository, tier: Tier) -> BTreeMap<String, f64> {
    history::History::read(&repository.layout, tier).slow_ms
}

/// Runs a tier of a target under these evaluators, as far as its results are not known. `on_event`
/// gets each event.
pub fn run_tier(
    repository: &Repository,
    target: &Target,
    evaluators: &Evaluators,
    request: &Request,
    on_event: &mut dyn FnMut(&Event),
) -> Result<TierOutcome, TierFailure> {
    // where a change would keep results, it could have put some
    let store = repository.store(&evaluators.manifest)?;
    let tree =
        repository.tree_of(target)?.filter(|_| matches!(evaluators.source, Source::Objects(_)));
    let subject = Subject { repository, target, evaluators, request, store: &store, tree };
    let memo = subject.memo_key()?;
    if let (Some(key), true) = (&memo, request.reuse != Reuse::Nothing)
        && let Some(found) = subject.recall(key)
    {
        subject.report_cached(&found, on_event)?;
        return Ok(found);
    }
    let ran = Record::begin(request, target).of(on_event, |on_event| subject.run(on_event))?;
    if let Some(key) = &memo {
        subject.remember_whole(key, &ran);
    }
    Ok(ran.outcome)
}

/// Outcomes of cases that are in no tier.
pub struct CasesRun {
    pub results: Vec<CaseResult>,
    /// The answers of each case, by its id.
    pub given: Vec<(String, Vec<Given>)>,
}

/// Runs cases that no tier has, as a tier would run them: by workers, confined, judged by these
/// evaluators. No result is taken over or kept.
pub fn run_cases(
    repository: &Repository,
    target: &Target,
    evaluators: &Evaluators,
    cases: TierCases,
    shards: Option<usize>,
    on_event: &mut dyn FnMut(&Event),
) -> Result<CasesRun, TierFailure> {
    let store = repository.store(&evaluators.manifest)?;
    let request = Request { shards, reuse: Reuse::SameState, ..Request::anew(Tier::Micro) };
    let subject =
        Subject { repository, target, evaluators, request: &request, store: &store, tree: None };
    subject.run_apart(cases, on_event)
}
