//! Tiers of a target: from the cache or run, and the evaluation they make.

pub mod explain;
mod history;
mod known;
mod memo;
mod memory;
mod pending;
mod subject;

pub use memo::{CacheKey, look_up};

use crate::context::Context;
use crate::error::CommandError;
use crate::repository::Repository;
use crate::runner::attempt::Answered;
use crate::target::Target;
use crate::testing::subject::{Subject, tested_tree};
use crate::world::clock;
use crate::world::store::{Store, StoreError, evaluation_key, results_key};
use agent_core::case::Cases;
use agent_core::evaluation::{CaseResult, Definitions, Evaluation, TierFold, TierSummary};
use agent_core::event::Event;
use agent_core::manifest::Tier;
use agent_core::object_id::ObjectId;
use agent_core::suggestion::did_you_mean;
use std::collections::BTreeSet;
use std::time::Instant;

/// Part I of N of a tier, by a hash of the case's id that is the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub index: u32,
    pub of: u32,
}

impl Part {
    fn holds(self, id: &str) -> bool {
        crc32fast::hash(id.as_bytes()) % self.of == self.index - 1
    }
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index, of)) if 1 <= index && index <= of => Ok(Self { index, of }),
            _ => Err(format!("`{text}` is no part; write I/N, such as 2/4")),
        }
    }
}

/// How to run a tier.
#[derive(Debug, Clone)]
pub struct Request {
    pub tier: Tier,
    /// Runners at once; `None` is as many as there are cores.
    pub shards: Option<usize>,
    pub part: Option<Part>,
    /// How often each case is run, at least.
    pub repeats: u32,
    /// These cases alone, by id.
    pub only: Option<BTreeSet<String>>,
    /// Take stored results of the same code and state.
    pub cache: bool,
    pub keep_goldens: bool,
    /// When it is given up, having said nothing.
    pub deadline: Option<Instant>,
}

impl Request {
    pub fn new(tier: Tier) -> Self {
        Self { tier, shards: None, part: None, repeats: 1, only: None, cache: true, keep_goldens: false, deadline: None }
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
    /// Events as stored lines; `results` reads them.
    pub lines: String,
    pub definitions: Definitions,
    pub goldens: Vec<Answered>,
}

impl TierOutcome {
    /// By case id.
    pub fn results(&self) -> Vec<CaseResult> {
        let mut fold = TierFold::default();
        for event in self.lines.lines().filter_map(Event::from_line) {
            fold.take(event);
        }
        fold.into_results()
    }
}

/// Runs a tier of a target, as far as its results are not known. `on_event` hears of each case.
pub fn run_tier(
    repository: &Repository,
    target: &Target,
    request: &Request,
    context: &Context,
    on_event: &mut dyn FnMut(&Event),
) -> Result<TierOutcome, CommandError> {
    let store = repository.store(&target.manifest)?;
    let subject = Subject { repository, target, request, context, store: &store, tree: tested_tree(repository, target)? };
    let memo = subject.memo_key()?;
    if let (Some(key), true) = (&memo, request.cache)
        && let Some(found) = subject.recall(key)
    {
        return Ok(found);
    }
    let (outcome, certain) = subject.run(on_event)?;
    if let Some(key) = &memo {
        subject.remember_whole(key, &outcome, certain);
    }
    Ok(outcome)
}

/// The evaluation of a target that these tiers make; `store_evaluation` names the commit.
pub fn evaluation(target: &Target, outcomes: &[TierOutcome]) -> Evaluation {
    let tree = target.tree.as_ref().map(ToString::to_string);
    let mut evaluation = Evaluation::new(tree, Some(target.state.revision.to_string()));
    for outcome in outcomes {
        evaluation.tiers.insert(outcome.tier, outcome.summary.clone());
        let Definitions { cases, scorers, budgets } = outcome.definitions.clone();
        evaluation.definitions.cases.extend(cases);
        evaluation.definitions.scorers = scorers;
        evaluation.definitions.budgets = budgets;
    }
    evaluation
}

/// Stores the evaluation of a commit and its results case by case; false when the commit has one already, which then stays.
pub fn store_evaluation(store: &Store, commit: &ObjectId, evaluation: &Evaluation, outcomes: &[TierOutcome]) -> Result<bool, StoreError> {
    let stored = Evaluation { commit: Some(commit.to_string()), ..evaluation.clone() };
    if store.get(&evaluation_key(commit.as_str()))?.is_some() {
        return Ok(false);
    }
    for outcome in outcomes {
        store.put(&results_key(commit.as_str(), outcome.tier), outcome.lines.clone().into_bytes())?;
    }
    store.put_new(&evaluation_key(commit.as_str()), stored.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_split_the_cases_without_rest() {
        let parts: Vec<Part> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
        for id in ["a", "b", "case-17", "é"] {
            assert_eq!(parts.iter().filter(|part| part.holds(id)).count(), 1, "{id}");
        }
        // other machines run the other parts, so the split may never change
        assert!(Part { index: 3, of: 4 }.holds("c-1"));
        for wrong in ["0/2", "3/2", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}
