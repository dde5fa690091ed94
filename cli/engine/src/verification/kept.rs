//! The stored evidence of versions, read once for a version and for the one on top of it.

use crate::error::Failure;
use crate::repository::Repository;
use crate::world::git::CommitInfo;
use crate::world::store::{Store, evaluation_key, results_key};
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::gate::record;
use agent_core::testing::evaluation::Evaluation;
use agent_core::verification::figures::Results;
use agent_core::version::registry::journal_key;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// A version and its predecessor.
const HELD: usize = 2;

/// The objects of a commit in the object store.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub evaluation: Option<Vec<u8>>,
    /// The tiers that it names.
    pub tiers: Vec<Tier>,
    pub results: BTreeMap<Tier, Arc<Results>>,
    /// Whether the evaluation is the one that the commit names, and which results it names.
    named: BTreeMap<Tier, String>,
    pub record: Option<Vec<u8>>,
}

impl Evidence {
    /// The results that are what the commit's own evaluation names.
    pub fn named_results(&self) -> BTreeMap<Tier, Arc<Results>> {
        let is_named = |(tier, results): &(&Tier, &Arc<Results>)| {
            self.named.get(*tier) == Some(&results.digest)
        };
        self.results
            .iter()
            .filter(is_named)
            .map(|(tier, results)| (*tier, Arc::clone(results)))
            .collect()
    }
}

pub struct Reader<'a> {
    repository: &'a Repository,
    stores: RefCell<HashMap<String, Store>>,
    /// The last few that were read.
    held: VecDeque<(ObjectId, Evidence)>,
}

impl<'a> Reader<'a> {
    pub fn new(repository: &'a Repository) -> Self {
        Self { repository, stores: RefCell::default(), held: VecDeque::new() }
    }

    pub fn of(&mut self, commit: &CommitInfo) -> Result<Evidence, Failure> {
        if let Some((_, evidence)) = self.held.iter().find(|(held, _)| *held == commit.id) {
            return Ok(evidence.clone());
        }
        let evidence = self.read(commit)?;
        self.held.push_back((commit.id.clone(), evidence.clone()));
        if self.held.len() > HELD {
            self.held.pop_front();
        }
        Ok(evidence)
    }

    fn read(&self, commit: &CommitInfo) -> Result<Evidence, Failure> {
        let store = self.store(&commit.id)?;
        let evaluation = store.get(&evaluation_key(commit.id.as_str()))?;
        let read = evaluation.as_deref().and_then(Evaluation::from_bytes);
        let mut evidence = Evidence {
            evaluation,
            record: store.get(&record::key(commit.id.as_str()))?,
            ..Evidence::default()
        };
        for (tier, summary) in read.iter().flat_map(|evaluation| &evaluation.tiers) {
            evidence.tiers.push(*tier);
            let lines = store.get(&results_key(commit.id.as_str(), *tier))?;
            evidence
                .results
                .extend(lines.map(|lines| (*tier, Arc::new(Results::of(*tier, &lines)))));
            if read.as_ref().map(Evaluation::digest) == commit.trailers.eval {
                evidence.named.extend(summary.results.clone().map(|results| (*tier, results)));
            }
        }
        Ok(evidence)
    }

    /// The results by the evaluators before it.
    pub fn before(&self, commit: &CommitInfo) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.store(&commit.id)?.get(&record::before_key(commit.id.as_str()))?)
    }

    pub fn journal(&self, commit: &CommitInfo) -> Result<Option<Vec<u8>>, Failure> {
        let Some(digest) = &commit.trailers.journal else { return Ok(None) };
        Ok(self.store(&commit.id)?.get(&journal_key(digest))?)
    }

    /// The store that the commit's manifest names; the usual one where that cannot be read.
    fn store(&self, commit: &ObjectId) -> Result<Store, Failure> {
        let settings =
            self.repository.manifest(commit).map(|manifest| manifest.store).unwrap_or_default();
        if let Some(store) = self.stores.borrow().get(&settings.url) {
            return Ok(store.clone());
        }
        let store = self.repository.store_of(&settings)?;
        self.stores.borrow_mut().insert(settings.url, store.clone());
        Ok(store)
    }
}
