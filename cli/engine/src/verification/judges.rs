//! The evaluators in the trees of commits; read once for all versions that share them.

use crate::error::Failure;
use crate::repository::Repository;
use crate::target::evaluators::{Evaluators, Source::Objects};
use crate::testing;
use agent_core::formats::manifest::{Manifest, Tier};
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::case::Case;
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::case_result::Runs;
use agent_core::verification::Judges;
use agent_core::verification::figures::Judge;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub struct JudgesByTree<'a> {
    repository: &'a Repository,
    /// Cached by everything that affects the evaluators.
    known: HashMap<(String, Tier), Result<Arc<Judge>, String>>,
}

impl<'a> JudgesByTree<'a> {
    pub fn new(repository: &'a Repository) -> Self {
        Self { repository, known: HashMap::new() }
    }

    /// Of a commit, for these tiers; empty where its tree cannot be read, which the check of its
    /// objects reports.
    pub fn of(
        &mut self,
        commit: &ObjectId,
        manifest: Option<&Manifest>,
        tiers: &BTreeSet<Tier>,
    ) -> Judges {
        let Some(manifest) = manifest else { return Judges::new() };
        let evaluators = Evaluators { source: Objects(commit.clone()), manifest: manifest.clone() };
        let Ok(Some(identity)) = evaluators.identity(&self.repository.git) else {
            return Judges::new();
        };
        let judge = |tier: &Tier| {
            let known = self.known.entry((identity.clone(), *tier));
            let judge = known.or_insert_with(|| {
                self.repository.judge(&evaluators, *tier).map_err(|error| error.messages.join(": "))
            });
            (*tier, judge.clone())
        };
        tiers.iter().map(judge).collect()
    }
}

impl Repository {
    fn judge(&self, evaluators: &Evaluators, tier: Tier) -> Result<Arc<Judge>, Failure> {
        let (cases, budget, definitions) = testing::defined(&evaluators.files(&self.git)?, tier)?;
        let cases = cases.list.iter().map(|case| (case.id.clone(), as_defined(case))).collect();
        Ok(Arc::new(Judge { definitions, budget, cases }))
    }
}

/// What a result of a case has from its definition.
fn as_defined(case: &Case) -> CaseResult {
    CaseResult {
        weight: case.weight,
        must: case.must,
        place: Some(case.place.clone()),
        tags: case.tags.clone(),
        quarantine: case.quarantine.clone(),
        runs: (case.repeats > 1).then_some(Runs { count: case.repeats, passed: case.repeats }),
        ..CaseResult::passed(&case.id)
    }
}
