//! Tiers of a target: from the cache or run, and the evaluation they make.

pub mod attempt;
pub mod cases;
pub mod judge;
pub mod precheck;
pub mod scratch;
pub mod shard;
pub mod tier;

pub mod explain;
mod history;
mod known;
mod memo;
mod memory;
pub mod parts;
mod pending;
pub mod ray;
mod record;
mod subject;

pub use memo::{CacheKey, look_up};
pub use subject::defined;

use crate::error::CommandError;
use crate::repository::Repository;
use crate::target::Target;
use crate::target::evaluators::{Evaluators, Source};
use crate::testing::attempt::Answered;
use crate::testing::record::Record;
use crate::testing::subject::Subject;
use crate::world::clock;
use crate::world::store::{Store, StoreError, evaluation_key, results_key};
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::formats::suggestion::did_you_mean;
use agent_core::testing::budget::Budget;
use agent_core::testing::case::Cases;
use agent_core::testing::evaluation::{CaseResult, Definitions, Evaluation, TierFold, TierSummary};
use agent_core::testing::event::Event;
use agent_core::testing::part::Part;
use agent_core::testing::trace::Reuse;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Where a tier is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Executor {
    #[default]
    Local,
    /// In parts, on a cluster.
    Ray,
}

/// How to run a tier.
#[derive(Debug, Clone)]
pub struct Request {
    pub tier: Tier,
    /// Runners at once; `None` is as many as there are cores.
    pub shards: Option<usize>,
    pub part: Option<Part>,
    pub executor: Executor,
    /// How often each case is run, at least.
    pub repeats: u32,
    /// These cases alone, by id.
    pub only: Option<BTreeSet<String>>,
    /// Which stored results of the same code are taken.
    pub reuse: Reuse,
    pub keep_goldens: bool,
    /// `on_event` hears the whole story, as a part to merge: of what it is a part, and what was known as well.
    pub tells_all: bool,
    /// When it is given up, having said nothing.
    pub deadline: Option<Instant>,
}

impl Request {
    pub fn new(tier: Tier) -> Self {
        Self {
            tier,
            shards: None,
            part: None,
            executor: Executor::Local,
            repeats: 1,
            only: None,
            reuse: Reuse::SameReads,
            keep_goldens: false,
            tells_all: false,
            deadline: None,
        }
    }

    /// For what a version may rest on: it takes no result over because a Runner says what it read.
    pub fn evidence(tier: Tier) -> Self {
        Self { reuse: Reuse::SameState, ..Self::new(tier) }
    }

    /// For a run that takes no result over.
    pub fn anew(tier: Tier) -> Self {
        Self { reuse: Reuse::Nothing, ..Self::new(tier) }
    }

    /// Leaves out the cases that were not asked for.
    fn narrow(&self, cases: &mut Cases) -> Result<(), CommandError> {
        if let Some(only) = &self.only {
            let there: BTreeSet<&str> = cases.list.iter().map(|case| case.id.as_str()).collect();
            if let Some(missing) = only.iter().find(|id| !there.contains(id.as_str())) {
                let suggestion = did_you_mean(missing, there.iter().copied());
                return Err(CommandError::input(format!("there is no case `{missing}` in {}{suggestion}", self.tier)));
            }
            cases.list.retain(|case| only.contains(&case.id));
        }
        if let Some(part) = self.part {
            cases.list.retain(|case| part.holds(&case.id));
        }
        cases.as_of(&clock::today());
        cases.repeat(self.repeats);
        Ok(())
    }
}

/// A tier that was run, or was found in the cache.
#[derive(Debug)]
pub struct TierOutcome {
    pub tier: Tier,
    pub summary: TierSummary,
    pub definitions: Definitions,
    pub goldens: Vec<Answered>,
    lines: String,
    results: OnceCell<Vec<CaseResult>>,
}

impl TierOutcome {
    /// The lines are by case id, so that the same results have the same digest whichever shard or part was first.
    pub fn of(tier: Tier, fold: TierFold, budget: Budget, definitions: Definitions) -> Self {
        let lines: String = fold.results().map(|result| Event::case_line(tier, result)).collect();
        let summary = TierSummary { results: Some(digest(lines.as_bytes())), ..fold.summary(budget) };
        Self { results: OnceCell::from(fold.into_results()), ..Self::stored(tier, summary, definitions, lines) }
    }

    /// As it was stored: `lines` are read when somebody asks for the results.
    pub fn stored(tier: Tier, summary: TierSummary, definitions: Definitions, lines: String) -> Self {
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

/// What slow cases of a tier took the last time, by id.
pub fn slow_cases(repository: &Repository, tier: Tier) -> BTreeMap<String, f64> {
    history::History::read(&repository.layout, tier).slow_ms
}

/// Runs a tier of a target under these evaluators, as far as its results are not known. `on_event` hears of each case.
pub fn run_tier(
    repository: &Repository,
    target: &Target,
    evaluators: &Evaluators,
    request: &Request,
    on_event: &mut dyn FnMut(&Event),
) -> Result<TierOutcome, CommandError> {
    // where a change would keep results, it could have put some
    let store = repository.store(&evaluators.manifest)?;
    let tree = repository.tree_of(target)?.filter(|_| matches!(evaluators.source, Source::Objects(_)));
    let subject = Subject { repository, target, evaluators, request, store: &store, tree };
    let memo = subject.memo_key()?;
    if let (Some(key), true) = (&memo, request.reuse != Reuse::Nothing)
        && let Some(found) = subject.recall(key)
    {
        subject.tell(&found, on_event)?;
        return Ok(found);
    }
    let ran = Record::begin(request, target).of(on_event, |on_event| subject.run(on_event))?;
    if let Some(key) = &memo {
        subject.remember_whole(key, &ran);
    }
    Ok(ran.outcome)
}

/// The evaluation of a target that these tiers make; `store_evaluation` names the commit.
pub fn evaluation(target: &Target, outcomes: &[TierOutcome]) -> Evaluation {
    evaluation_of(target.tree.as_ref().map(ToString::to_string), target.state.revision.to_string(), outcomes)
}

pub fn evaluation_of(tree: Option<String>, state: String, outcomes: &[TierOutcome]) -> Evaluation {
    let mut evaluation = Evaluation::new(tree, Some(state));
    for outcome in outcomes {
        evaluation.tiers.insert(outcome.tier, outcome.summary.clone());
        let Definitions { cases, scorers, budgets } = outcome.definitions.clone();
        evaluation.definitions.cases.extend(cases);
        // a tier in which nothing is scored has none
        evaluation.definitions.scorers = scorers.or(evaluation.definitions.scorers);
        evaluation.definitions.budgets = budgets;
    }
    evaluation
}

/// Stores the evaluation of a commit and its results case by case; false when the commit has one already, which then stays.
///
/// The summary comes first: of two who store at once one gets it in, and the results beside it are that one's.
pub fn store_evaluation(store: &Store, commit: &ObjectId, evaluation: &Evaluation, outcomes: &[TierOutcome]) -> Result<bool, StoreError> {
    let stored = Evaluation { commit: Some(commit.to_string()), ..evaluation.clone() };
    keep_once(store, commit, &evaluation_key(commit.as_str()), &stored, (results_key, outcomes))
}

/// Where the results of a tier of a commit lie.
pub type ResultsKey = fn(&str, Tier) -> String;

/// Writes an evaluation where there is none, and the results it names where they are missing; false when there was one.
pub fn keep_once(
    store: &Store,
    commit: &ObjectId,
    key: &str,
    evaluation: &Evaluation,
    (results_key, outcomes): (ResultsKey, &[TierOutcome]),
) -> Result<bool, StoreError> {
    let there = store.get(key)?;
    let is_new = there.is_none() && store.put_new(key, evaluation.to_bytes())?;
    let first = if is_new { Some(evaluation.clone()) } else { there.and_then(|bytes| Evaluation::from_bytes(&bytes)) };
    // beside one that is new nothing counts as present
    let present = if is_new { Vec::new() } else { store.list(key.rsplit_once('/').map_or("", |(folder, _)| folder))? };
    for outcome in outcomes {
        let results = results_key(commit.as_str(), outcome.tier);
        let named = first.as_ref().and_then(|first| first.tiers.get(&outcome.tier)?.results.as_ref());
        // who was killed between the two left the results to the next who has the same
        if named.is_some() && named == outcome.summary.results.as_ref() && !present.contains(&results) {
            store.put(&results, outcome.lines.clone().into_bytes())?;
        }
    }
    Ok(is_new)
}
