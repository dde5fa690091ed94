//! The stored results of a commit's tiers. Reading them starts no process.
//!
//! A version's own evaluation is stored at `evals/{commit}/summary.json` and is never replaced.
//! Tiers that were run later are stored beside it, each as a separate evaluation at
//! `evals/{commit}/{tier}.json`, written once, with its results at
//! `evals/{commit}/{tier}.late.jsonl`: a clone that lacks a version's evidence can test it without
//! writing to the key of that evidence. (An earlier `agent` kept late results at
//! `evals/{commit}/{tier}.jsonl`.)

use crate::error::Failure;
use crate::repository::Repository;
use crate::testing::{self, TierOutcome};
use crate::world::git::CommitInfo;
use crate::world::store::{Store, StoreError, evaluation_key, results_key};
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::definitions::Definitions;
use agent_core::testing::evaluation::{Evaluation, TierFold, TierSummary};
use agent_core::testing::event::Event;
use std::collections::BTreeMap;

fn late_key(commit: &ObjectId, tier: Tier) -> String {
    format!("evals/{commit}/{tier}.json")
}

fn late_results_key(commit: &str, tier: Tier) -> String {
    format!("evals/{commit}/{tier}.late.jsonl")
}

/// Stores the tiers that a commit's evaluation lacks, once; returns the new ones.
pub fn keep_late(
    store: &Store,
    commit: &ObjectId,
    evaluation: &Evaluation,
    outcomes: &[TierOutcome],
) -> Result<Vec<Tier>, StoreError> {
    let first = store
        .get(&evaluation_key(commit.as_str()))?
        .and_then(|bytes| Evaluation::from_bytes(&bytes));
    let is_there = |tier| first.as_ref().is_some_and(|first| first.tiers.contains_key(&tier));
    let mut kept = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| !is_there(outcome.tier)) {
        let late = Evaluation {
            commit: Some(commit.to_string()),
            tiers: [(outcome.tier, outcome.summary.clone())].into(),
            definitions: outcome.definitions.clone(),
            ..evaluation.clone()
        };
        if testing::keep_once(
            store,
            commit,
            &late_key(commit, outcome.tier),
            &late,
            (late_results_key, std::slice::from_ref(outcome)),
        )? {
            kept.push(outcome.tier);
        }
    }
    Ok(kept)
}

/// The tiers of one commit, as far as they are kept.
#[derive(Debug)]
pub struct StoredTiers {
    store: Store,
    commit: ObjectId,
    tiers: BTreeMap<Tier, (TierSummary, Definitions)>,
}

impl StoredTiers {
    pub fn of(repository: &Repository, commit: &CommitInfo) -> Result<Self, Failure> {
        let mut kept = Self::own(repository, commit)?;
        for tier in Tier::ALL {
            if !kept.tiers.contains_key(&tier) {
                let late = kept.evaluation(&late_key(&commit.id, tier))?;
                kept.tiers.extend(late.into_iter().flat_map(by_tier));
            }
        }
        Ok(kept)
    }

    /// The tiers of the evaluation that the commit names alone.
    pub fn own(repository: &Repository, commit: &CommitInfo) -> Result<Self, Failure> {
        let store = repository.store(&repository.manifest(&commit.id)?)?;
        let mut kept = Self { store, commit: commit.id.clone(), tiers: BTreeMap::new() };
        let own = kept.evaluation(&evaluation_key(commit.id.as_str()))?;
        // an evaluation that is not the one the commit names is no evidence
        let own = own
            .filter(|own| commit.trailers.eval.as_ref().is_none_or(|named| own.digest() == *named));
        kept.tiers.extend(own.into_iter().flat_map(by_tier));
        Ok(kept)
    }

    fn evaluation(&self, key: &str) -> Result<Option<Evaluation>, StoreError> {
        Ok(self.store.get(key)?.and_then(|bytes| Evaluation::from_bytes(&bytes)))
    }

    pub fn tiers(&self) -> impl Iterator<Item = Tier> {
        self.tiers.keys().copied()
    }

    pub fn tier(&self, tier: Tier) -> Option<&(TierSummary, Definitions)> {
        self.tiers.get(&tier)
    }

    /// The stored lines of a tier, if they are those its summary names.
    fn lines(&self, tier: Tier) -> Result<Option<String>, StoreError> {
        let Some((summary, _)) = self.tier(tier) else { return Ok(None) };
        let named =
            |lines: &Vec<u8>| summary.results.as_ref().is_none_or(|named| digest(lines) == *named);
        for key in [results_key, late_results_key] {
            if let Some(lines) = self.store.get(&key(self.commit.as_str(), tier))?.filter(named) {
                return Ok(String::from_utf8(lines).ok());
            }
        }
        Ok(None)
    }

    /// By case id; `None` where they are not kept.
    pub fn results(&self, tier: Tier) -> Result<Option<Vec<CaseResult>>, StoreError> {
        Ok(self.lines(tier)?.map(|lines| TierFold::of_lines(&lines).into_results()))
    }

    /// One case of a tier; `None` where the tier is not kept.
    pub fn case(&self, tier: Tier, id: &str) -> Result<Option<StoredCase>, StoreError> {
        let Some(lines) = self.lines(tier)? else { return Ok(None) };
        // only lines that can be about it are parsed
        let named = format!("\"id\":{}", serde_json::Value::from(id));
        let result = lines.lines().filter(|line| line.contains(&named)).find_map(|line| {
            match Event::from_line(line) {
                Some(Event::CaseFinished { result, .. }) if result.id == id => Some(result),
                _ => None,
            }
        });
        Ok(Some(result.map_or(StoredCase::Absent, StoredCase::Result)))
    }
}

/// The result of a case in a stored tier.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum StoredCase {
    Absent,
    Result(CaseResult),
}

impl StoredCase {
    pub fn result(self) -> Option<CaseResult> {
        match self {
            Self::Absent => None,
            Self::Result(result) => Some(result),
        }
    }
}

fn by_tier(evaluation: Evaluation) -> impl Iterator<Item = (Tier, (TierSummary, Definitions))> {
    let definitions = evaluation.definitions;
    evaluation.tiers.into_iter().map(move |(tier, summary)| (tier, (summary, definitions.clone())))
}
