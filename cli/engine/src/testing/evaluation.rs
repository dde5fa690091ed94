//! The evaluation that tiers make, and keeping it in the object store.

use crate::target::Target;
use crate::testing::outcome::TierOutcome;
use crate::world::store::{Store, StoreError, evaluation_key, results_key};
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::definitions::Definitions;
use agent_core::testing::evaluation::Evaluation;

/// The evaluation of a target that these tiers make; `store_evaluation` names the commit.
pub fn evaluation(target: &Target, outcomes: &[TierOutcome]) -> Evaluation {
    evaluation_of(
        target.tree.as_ref().map(ToString::to_string),
        target.state.revision.to_string(),
        outcomes,
    )
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

/// Stores the evaluation of a commit and its results case by case; false when the commit has one
/// already, which then stays.
///
/// The summary is written first: of two concurrent writers one succeeds, and the results beside it
/// are from that one.
pub fn store_evaluation(
    store: &Store,
    commit: &ObjectId,
    evaluation: &Evaluation,
    outcomes: &[TierOutcome],
) -> Result<bool, StoreError> {
    let stored = Evaluation { commit: Some(commit.to_string()), ..evaluation.clone() };
    keep_once(store, commit, &evaluation_key(commit.as_str()), &stored, (results_key, outcomes))
}

/// Where the results of a tier of a commit lie.
pub type ResultsKey = fn(&str, Tier) -> String;

/// Writes an evaluation where there is none, and the results it names where they are missing; false
/// when there was one.
pub fn keep_once(
    store: &Store,
    commit: &ObjectId,
    key: &str,
    evaluation: &Evaluation,
    (results_key, outcomes): (ResultsKey, &[TierOutcome]),
) -> Result<bool, StoreError> {
    let there = store.get(key)?;
    let is_new = there.is_none() && store.put_new(key, evaluation.to_bytes())?;
    let first = if is_new {
        Some(evaluation.clone())
    } else {
        there.and_then(|bytes| Evaluation::from_bytes(&bytes))
    };
    // beside one that is new nothing counts as present
    let present = if is_new {
        Vec::new()
    } else {
        store.list(key.rsplit_once('/').map_or("", |(folder, _)| folder))?
    };
    for outcome in outcomes {
        let results = results_key(commit.as_str(), outcome.tier);
        let named =
            first.as_ref().and_then(|first| first.tiers.get(&outcome.tier)?.results.as_ref());
        // who was killed between the two left the results to the next who has the same
        if named.is_some()
            && named == outcome.summary.results.as_ref()
            && !present.contains(&results)
        {
            store.put(&results, outcome.lines.clone().into_bytes())?;
        }
    }
    Ok(is_new)
}
