//! The evidence a version rests on: an evaluation made on its tree before its commit exists, and the gate against what it replaces.

use crate::context::Context;
use crate::contracts;
use crate::error::CommandError;
use crate::ledger::LedgerRef;
use crate::repository::Repository;
use crate::target::Target;
use crate::testing::{self, Request, TierOutcome};
use crate::versions::publish::Outcome;
use crate::world::git::{Entry, Mode, TreeEdit};
use crate::world::store::{evaluation_key, results_key};
use agent_core::diagnose::Exit;
use agent_core::evaluation::{Evaluation, Verdict};
use agent_core::gate::{Comparison, GateVerdict};
use agent_core::ledger::Asked;
use agent_core::manifest::{Gated, Tier};
use agent_core::object_id::ObjectId;
use agent_core::what::What;
use serde_json::{Value, json};

/// What judges: cases, scorers, budgets.
const EVALUATORS: [&str; 2] = ["tests", "ci"];

#[derive(Debug)]
pub struct Evidence {
    pub evaluation: Evaluation,
    outcomes: Vec<TierOutcome>,
    pub contract: Option<String>,
    tier: Option<Tier>,
    /// Against what it replaces; `None` for the first version and for a tree that was judged before.
    gate: Option<GateVerdict>,
    /// The evaluators were changed with it: it was judged by the old ones, and is not comparable with what was before.
    evaluators_changed: Vec<&'static str>,
}

impl Evidence {
    /// Runs the tier on a candidate, and on the baseline where that is not in the cache, and lets the gate compare them.
    pub fn gather(
        repository: &Repository,
        context: &Context,
        candidate: &Target,
        baseline: Option<&Target>,
        gated: &Gated,
    ) -> Result<Self, CommandError> {
        let mut evidence = Self::of(candidate, evaluate(repository, context, candidate, gated.tier)?);
        evidence.contract = Some(contract(repository, context, candidate, baseline)?);
        if let Some(baseline) = baseline {
            evidence.compare(repository, context, candidate, baseline, gated)?;
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
            evaluators_changed: Vec::new(),
        }
    }

    /// Law 5: where the candidate changed the evaluators, the old ones judge its code.
    fn compare(
        &mut self,
        repository: &Repository,
        context: &Context,
        candidate: &Target,
        baseline: &Target,
        gated: &Gated,
    ) -> Result<(), CommandError> {
        let old = evaluate(repository, context, baseline, gated.tier)?;
        let new = &self.outcomes[0];
        self.evaluators_changed = new.definitions.differences(&old.definitions, gated.tier);
        let by_the_old_ones;
        let judged = if self.evaluators_changed.is_empty() {
            self.evaluation.comparable_with = baseline.commit.iter().map(ToString::to_string).collect();
            new.results()
        } else {
            let under_old = under_old_evaluators(repository, candidate, baseline)?;
            by_the_old_ones = evaluate(repository, context, &under_old, gated.tier)?;
            by_the_old_ones.results()
        };
        let comparison = Comparison::of(gated.into(), old.results(), judged);
        let asked = asked(candidate, baseline, gated, &old, &comparison);
        self.gate = Some(LedgerRef::new(&repository.git).judge(&comparison, &asked, &candidate.state.revision, gated.alpha)?);
        Ok(())
    }

    /// The evidence an earlier version already has, for a new version with the very same tree.
    pub fn of_version(repository: &Repository, commit: &ObjectId) -> Result<Self, CommandError> {
        let info = repository.git.commit(commit)?;
        let store = repository.store(&repository.manifest(commit)?)?;
        let stored = store.get(&evaluation_key(commit.as_str()))?.and_then(|bytes| Evaluation::from_bytes(&bytes));
        let evaluation = stored.filter(|evaluation| Some(evaluation.digest()) == info.trailers.eval).ok_or_else(|| {
            CommandError::new(Exit::NotEnoughEvidence, format!("the evaluation of {} is not in the object store", commit.short()))
                .with_hint("fetch the store of whoever made it, or release the commit it came from again")
        })?;
        let mut outcomes = Vec::new();
        for (tier, summary) in &evaluation.tiers {
            let lines = store.get(&results_key(commit.as_str(), *tier))?.unwrap_or_default();
            let lines = String::from_utf8_lossy(&lines).into_owned();
            outcomes.push(TierOutcome::stored(*tier, summary.clone(), evaluation.definitions.clone(), lines));
        }
        Ok(Self { evaluation, outcomes, contract: info.trailers.contract, tier: None, gate: None, evaluators_changed: Vec::new() })
    }

    /// Puts it where the commit's trailer will look for it. Written before anything points to the commit.
    pub fn store(&self, repository: &Repository, commit: &ObjectId) -> Result<(), CommandError> {
        let store = repository.store(&repository.manifest(commit)?)?;
        testing::store_evaluation(&store, commit, &self.evaluation, &self.outcomes)?;
        Ok(())
    }

    /// The verdict over the candidate's own tier and the gate.
    fn decision(&self) -> Verdict {
        let gate = self.gate.as_ref().map_or(Verdict::Pass, |gate| gate.verdict);
        self.evaluation.verdict().and(gate)
    }

    fn reasons(&self) -> Vec<String> {
        let tiers = self.evaluation.tiers.iter().filter(|(_, summary)| summary.verdict != Verdict::Pass);
        let of_tiers = tiers.flat_map(|(tier, summary)| summary.reasons.iter().map(move |reason| format!("{tier}: {reason}")));
        let of_gate = self.gate.iter().filter(|gate| gate.verdict != Verdict::Pass).flat_map(|gate| gate.reasons.iter().cloned());
        of_tiers.chain(of_gate).collect()
    }

    /// Why there will be no version; `None` when there may be one.
    pub fn refusal(&self) -> Option<Outcome> {
        let exit = match self.decision() {
            Verdict::Pass => return None,
            Verdict::Fail => Exit::No,
            Verdict::NotEnoughEvidence => Exit::NotEnoughEvidence,
        };
        Some(Outcome { verdict: Some(self.verdict()), ..Outcome::refused(self.reasons().join("; "), exit) })
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

    /// In a line, for people and for the commit message.
    pub fn told(&self) -> String {
        let changed = if self.evaluators_changed.is_empty() {
            String::new()
        } else {
            format!("; re-baselined: its {} are others, and those before judged it", self.evaluators_changed.join(" and "))
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
                    gate.told()
                )
            }
            (None, Some((tier, summary))) => format!("{tier} {}/{} passed, score {:.3}", summary.passed, summary.cases, summary.score),
            (_, None) => "judged before, on the same tree".to_owned(),
        }
    }
}

fn gate_shown(gate: &GateVerdict) -> Value {
    let mut shown = serde_json::to_value(gate).expect("a verdict is JSON");
    shown["verdict"] = json!(gate.verdict.as_str());
    shown
}

/// What the ledger knows this comparison by.
fn asked(candidate: &Target, baseline: &Target, gated: &Gated, old: &TierOutcome, comparison: &Comparison) -> Asked {
    Asked {
        baseline: baseline.commit.clone().expect("a version is a commit"),
        candidate: candidate.tree.clone().expect("a candidate has a tree"),
        tier: gated.tier,
        mode: gated.gate,
        test: gated.test,
        margin: gated.margin,
        definitions: old.definitions.digest(gated.tier),
        results: comparison.digest(),
    }
}

/// The Contract's digest; code that is served already promises what its version says.
fn contract(repository: &Repository, context: &Context, candidate: &Target, baseline: Option<&Target>) -> Result<String, CommandError> {
    if let Some(baseline) = baseline.filter(|baseline| baseline.code == candidate.code)
        && let Some(commit) = &baseline.commit
        && let Some(recorded) = repository.git.commit(commit)?.trailers.contract
    {
        return Ok(recorded);
    }
    Ok(contracts::of(candidate, repository, context)?.digest())
}

fn evaluate(repository: &Repository, context: &Context, target: &Target, tier: Tier) -> Result<TierOutcome, CommandError> {
    testing::run_tier(repository, target, &Request::new(tier), context, &mut |_| {})
}

/// The candidate's code and state under the baseline's cases, scorers and budgets.
fn under_old_evaluators(repository: &Repository, candidate: &Target, baseline: &Target) -> Result<Target, CommandError> {
    let old = baseline.tree.as_ref().expect("a version has a tree");
    let mut edits = Vec::new();
    for folder in EVALUATORS {
        edits.push(TreeEdit::Remove { path: folder.to_owned() });
        if let Some(Entry { id, mode: Mode::Folder, .. }) = repository.git.entry(old, folder)? {
            edits.push(TreeEdit::Put { path: folder.to_owned(), id, mode: Mode::Folder });
        }
    }
    let tree = repository.git.edit_tree(candidate.tree.as_ref(), &edits)?;
    repository.tree_target(&What::Name(tree.to_string()), &tree)
}
