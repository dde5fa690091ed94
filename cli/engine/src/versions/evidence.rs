//! The evidence a version rests on: an evaluation made on its tree before its commit exists, and
//! the gate against what it replaces.

use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::ledger::LedgerRef;
use crate::target::Target;
use crate::target::contracts;
use crate::target::evaluators::Evaluators;
use crate::target::overlay;
use crate::testing::{self, Request, TierOutcome};
use crate::versions::evaluators;
use crate::versions::publish::Outcome;
use crate::versions::stored::StoredTiers;
use crate::world::store::{Store, evaluation_key, results_key};
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::manifest::{Gated, Tier};
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::gate::ledger::CandidateTest;
use agent_core::gate::record::{self, Compared, Record};
use agent_core::gate::{Comparison, GateVerdict};
use agent_core::testing::comparison::{self, Flip};
use agent_core::testing::evaluation::{self, Evaluation, Verdict};
use serde_json::{Value, json};

#[derive(Debug)]
pub struct Evidence {
    pub evaluation: Evaluation,
    outcomes: Vec<TierOutcome>,
    pub contract: Option<String>,
    tier: Option<Tier>,
    /// The comparison with the replaced version; `None` for the first version and for a tree that
    /// was judged before.
    gate: Option<GateVerdict>,
    /// For a refusal: the cases that became worse than in the replaced version, the most severe
    /// first.
    worse: Vec<Flip>,
    /// The evaluators that the candidate changes: it was judged by the old ones, and its own
    /// results are not comparable with those of the replaced version.
    evaluators_changed: Vec<&'static str>,
    record: Option<StoredRecord>,
    /// The measured baseline, until the comparison.
    baseline: Option<Baseline>,
}

/// Results of the version that the candidate would replace, and of the candidate by that version's
/// evaluators, where it has others.
#[derive(Debug)]
struct Baseline {
    commit: ObjectId,
    old: TierOutcome,
    before: Option<TierOutcome>,
}

/// A candidate, what it would replace, and how it is judged.
#[derive(Clone, Copy)]
pub struct Judged<'a> {
    pub candidate: &'a Target,
    pub judges: Judges,
    pub baseline: Option<&'a Target>,
    pub gated: &'a Gated,
    /// The members of `gated` that the command line set in place of the manifest.
    pub given: &'a [&'a str],
}

impl Judged<'_> {
    fn given(&self) -> Vec<String> {
        self.given.iter().map(ToString::to_string).collect()
    }
}

/// The gate's record as it is kept. Versions made by an `agent` that kept none have none, and a
/// rollback to one of them neither.
#[derive(Debug)]
struct StoredRecord {
    bytes: Vec<u8>,
    /// The candidate's results by the evaluators before, where it has others.
    before: Option<Vec<u8>>,
}

impl StoredRecord {
    /// The record that a commit names, from the store.
    fn of(
        store: &Store,
        commit: &ObjectId,
        named: Option<&String>,
    ) -> Result<Option<Self>, Failure> {
        let Some(named) = named else { return Ok(None) };
        let bytes =
            store.get(&record::key(commit.as_str()))?.filter(|bytes| digest(bytes) == *named);
        let bytes = bytes.ok_or_else(|| not_in_store("record of the gate", commit))?;
        Ok(Some(Self { bytes, before: store.get(&record::before_key(commit.as_str()))? }))
    }

    fn store(&self, store: &Store, commit: &ObjectId) -> Result<(), Failure> {
        if let Some(before) = &self.before {
            store.put(&record::before_key(commit.as_str()), before.clone())?;
        }
        Ok(store.put(&record::key(commit.as_str()), self.bytes.clone())?)
    }
}

fn not_in_store(what: &str, commit: &ObjectId) -> Failure {
    Failure::new(
        FailureKind::NotEnoughEvidence,
        format!("the {what} of {} is not in the object store", commit.short()),
    )
    .with_hint(
        "fetch the store of the clone that made it, or release the commit it came from again",
    )
}

/// The evaluators that judge a candidate alone. In the comparison with the replaced version, those
/// of that version judge both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judges {
    /// The candidate's own: a maintainer decides.
    Own,
    /// The evaluators for changes on top of the served version.
    Served,
}

impl Evidence {
    /// Runs the tier on a candidate, and on the baseline where that is not in the cache. `record`
    /// and `decide` come after it.
    pub fn measure(repository: &Repository, judged: &Judged<'_>) -> Result<Self, Failure> {
        let Judged { candidate, judges, baseline, gated, .. } = *judged;
        if baseline.is_some() {
            LedgerRef::new(&repository.git).expect_whole()?;
        }
        let served =
            baseline.map(|baseline| evaluators::judging(repository, baseline)).transpose()?;
        let own = candidate.own_evaluators();
        let judging = served.as_ref().filter(|_| judges == Judges::Served).unwrap_or(&own);
        let mut evidence =
            Self::of(candidate, evaluate(repository, candidate, judging, gated.tier)?);
        evidence.contract = Some(contract(repository, candidate, baseline)?);
        if let (Some(baseline), Some(served)) = (baseline, &served) {
            evidence.measure_baseline(repository, judged, (baseline, served))?;
        } else {
            let record = Record::new(evidence.evaluation.digest(), gated.clone(), judged.given());
            evidence.record = Some(StoredRecord { bytes: record.to_bytes(None), before: None });
        }
        Ok(evidence)
    }

    fn of(candidate: &Target, outcome: TierOutcome) -> Self {
        let outcomes = vec![outcome];
        Self {
            evaluation: testing::evaluation(candidate, &outcomes),
            tier: Some(outcomes[0].tier),
            outcomes,
            contract: None,
            gate: None,
            worse: Vec::new(),
            evaluators_changed: Vec::new(),
            record: None,
            baseline: None,
        }
    }

    /// A change is never judged by its own evaluators alone: where they differ from those of the
    /// version that is served, the latter judge its code as well.
    fn measure_baseline(
        &mut self,
        repository: &Repository,
        judged: &Judged<'_>,
        (baseline, evaluators): (&Target, &Evaluators),
    ) -> Result<(), Failure> {
        let Judged { candidate, gated, .. } = *judged;
        let old = evaluate(repository, baseline, evaluators, gated.tier)?;
        let commit = baseline.commit.clone().expect("a version is a commit");
        self.evaluators_changed =
            self.outcomes[0].definitions.differences(&old.definitions, gated.tier);
        let before = if self.evaluators_changed.is_empty() {
            self.evaluation.comparable_with = vec![commit.to_string()];
            None
        } else {
            Some(evaluate(repository, candidate, evaluators, gated.tier)?)
        };
        self.baseline = Some(Baseline { commit, old, before });
        Ok(())
    }

    /// Compares the candidate with the baseline by the gate, at the ledger's next level, and
    /// records the attempt in the ledger.
    pub fn record(&mut self, repository: &Repository, judged: &Judged<'_>) -> Result<(), Failure> {
        let Judged { candidate, gated, .. } = *judged;
        let Baseline { commit, old, before } =
            self.baseline.take().expect("a baseline was measured");
        let results = before.as_ref().unwrap_or(&self.outcomes[0]);
        let comparison = Comparison::of(gated.into(), old.results(), results.results());
        let tree = candidate.tree.clone().expect("a candidate has a tree");
        let asked =
            CandidateTest::new(&commit, &tree, gated, &old.definitions, comparison.digest());
        let judgement = LedgerRef::new(&repository.git).judge(
            &comparison,
            &asked,
            &candidate.state.revision,
            gated.alpha,
        )?;
        let verdict = repository.unpack(judgement);
        let (recorded, varying) = recorded(repository, &commit, &old, results)?;
        let compared = Compared {
            recorded,
            varying,
            baseline: commit,
            candidate: tree,
            definitions: old.definitions.clone(),
            verdict: verdict.clone(),
            before: before.as_ref().map(|before| before.summary.clone()),
        };
        self.gate = Some(verdict);
        if self.decision() != Verdict::Pass {
            self.worse = comparison::worse(old.results(), results.results());
        }
        let record = Record {
            compared: Some(compared),
            ..Record::new(self.evaluation.digest(), gated.clone(), judged.given())
        };
        self.record = Some(StoredRecord {
            bytes: record.to_bytes(Some(&comparison)),
            before: before.map(|before| before.lines().as_bytes().to_vec()),
        });
        Ok(())
    }

    /// The evidence an earlier version already has, for a new version with the very same tree.
    pub fn of_version(repository: &Repository, commit: &ObjectId) -> Result<Self, Failure> {
        let info = repository.git.commit(commit)?;
        let store = repository.store(&repository.manifest(commit)?)?;
        let stored = store
            .get(&evaluation_key(commit.as_str()))?
            .and_then(|bytes| Evaluation::from_bytes(&bytes));
        let evaluation =
            stored.filter(|evaluation| Some(evaluation.digest()) == info.trailers.eval);
        let evaluation = evaluation.ok_or_else(|| not_in_store("evaluation", commit))?;
        let record = StoredRecord::of(&store, commit, info.trailers.gate.as_ref())?;
        let mut outcomes = Vec::new();
        for (tier, summary) in &evaluation.tiers {
            let lines = store.get(&results_key(commit.as_str(), *tier))?.unwrap_or_default();
            let lines = String::from_utf8_lossy(&lines).into_owned();
            outcomes.push(TierOutcome::stored(
                *tier,
                summary.clone(),
                evaluation.definitions.clone(),
                lines,
            ));
        }
        let contract = info.trailers.contract;
        Ok(Self {
            evaluation,
            outcomes,
            contract,
            tier: None,
            gate: None,
            worse: Vec::new(),
            evaluators_changed: Vec::new(),
            record,
            baseline: None,
        })
    }

    /// Stores it at the key the commit's trailer names. Written before any ref points to the
    /// commit.
    pub fn store(&self, repository: &Repository, commit: &ObjectId) -> Result<(), Failure> {
        let store = repository.store_of_evidence(&repository.manifest(commit)?)?;
        testing::store_evaluation(&store, commit, &self.evaluation, &self.outcomes)?;
        self.record.as_ref().map_or(Ok(()), |record| record.store(&store, commit))
    }

    /// Digest of the gate's record, for the commit's trailer.
    pub fn record_digest(&self) -> Option<String> {
        self.record.as_ref().map(|record| digest(&record.bytes))
    }

    /// The verdict over the candidate's own tier and the gate.
    fn decision(&self) -> Verdict {
        let gate = self.gate.as_ref().map_or(Verdict::Pass, |gate| gate.verdict);
        self.evaluation.verdict().and(gate)
    }

    fn reasons(&self) -> Vec<String> {
        let tiers =
            self.evaluation.tiers.iter().filter(|(_, summary)| summary.verdict != Verdict::Pass);
        let of_tiers = tiers.flat_map(|(tier, summary)| {
            summary.reasons.iter().map(move |reason| format!("{tier}: {reason}"))
        });
        let of_gate = self
            .gate
            .iter()
            .filter(|gate| gate.verdict != Verdict::Pass)
            .flat_map(|gate| gate.reasons.iter().cloned());
        of_tiers.chain(of_gate).collect()
    }

    /// Why there will be no version; `None` when there may be one.
    pub fn refusal(&self) -> Option<Outcome> {
        let refusal = self.evaluation.refusal(self.decision())?;
        Some(Outcome {
            verdict: Some(self.verdict()),
            worse: self.worse.clone(),
            ..Outcome::refused(self.reasons().join("; "), refusal)
        })
    }

    /// Whether cases improved over the replaced version.
    pub fn shows_gain(&self) -> bool {
        self.gate.as_ref().is_some_and(GateVerdict::shows_gain)
    }

    /// The verdict as data.
    pub fn verdict(&self) -> Value {
        json!({
            "verdict": self.decision().as_str(),
            "reasons": self.reasons(),
            "tiers": self.evaluation.tiers,
            "gate": self.gate.as_ref().map(gate_shown),
            "evaluators_changed": self.evaluators_changed,
        })
    }

    /// A one-line summary, for display and for the commit message.
    pub fn summary(&self) -> String {
        let changed = if self.evaluators_changed.is_empty() {
            String::new()
        } else {
            format!(
                "; evaluators changed ({}); judged by the previous ones",
                self.evaluators_changed.join(" and ")
            )
        };
        let of_tier = self.tier.and_then(|tier| Some((tier, self.evaluation.tiers.get(&tier)?)));
        match (&self.gate, of_tier) {
            (Some(gate), Some((tier, summary))) => {
                format!(
                    "{tier} {}/{} passed, {}score {:.3} (was {:.3}); {}{changed}",
                    summary.passed,
                    summary.cases,
                    if gate.held_out { "held-out " } else { "" },
                    gate.candidate_score,
                    gate.baseline_score,
                    gate.summary()
                )
            }
            (None, Some((tier, summary))) => format!(
                "{tier} {}/{} passed, score {:.3}",
                summary.passed, summary.cases, summary.score
            ),
            (_, None) => "judged before, on the same tree".to_owned(),
        }
    }
}

fn gate_shown(gate: &GateVerdict) -> Value {
    let mut shown = serde_json::to_value(gate).expect("a verdict is JSON");
    shown["verdict"] = json!(gate.verdict.as_str());
    shown
}

/// The digest of the baseline's results on record, and the cases that have another result of it
/// now, or none.
fn recorded(
    repository: &Repository,
    baseline: &ObjectId,
    now: &TierOutcome,
    judged: &TierOutcome,
) -> Result<(Option<String>, Vec<String>), Failure> {
    let kept = StoredTiers::own(repository, &repository.git.commit(baseline)?)?;
    let named = kept.tier(now.tier).and_then(|(summary, _)| summary.results.clone());
    let same = named.is_some() && named == now.summary.results;
    let results = if same { None } else { kept.results(now.tier)? };
    let at_hand = same || results.is_some();
    let varying = evaluation::varying(results.as_deref(), now.results(), judged.results());
    Ok((named.filter(|_| at_hand), varying))
}

/// The Contract's digest; code that is served already has its version's Contract.
fn contract(
    repository: &Repository,
    candidate: &Target,
    baseline: Option<&Target>,
) -> Result<String, Failure> {
    if let Some(baseline) = baseline.filter(|baseline| baseline.code == candidate.code)
        && let Some(commit) = &baseline.commit
        && let Some(recorded) = repository.git.commit(commit)?.trailers.contract
    {
        return Ok(recorded);
    }
    overlay::checked(candidate, repository)?;
    Ok(contracts::of(candidate, repository)?.digest())
}

fn evaluate(
    repository: &Repository,
    target: &Target,
    evaluators: &Evaluators,
    tier: Tier,
) -> Result<TierOutcome, Failure> {
    Ok(testing::run_tier(repository, target, evaluators, &Request::evidence(tier), &mut |_| {})?)
}
