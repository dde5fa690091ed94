//! `--against`: case by case with another version, through the gate.

use super::tiers;
use crate::context::Context;
use crate::report::Against;
use agent_core::formats::manifest::{Manifest, Tier};
use agent_core::gate::{self, GateVerdict};
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::comparison::{Side, TierComparison};
use agent_core::testing::evaluation::{Evaluation, Verdict};
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::repository::ledger::LedgerRef;
use agent_engine::testing::{Request, TierOutcome};
use serde_json::{Value, json};

/// The gate's verdict by tier, and the baseline.
pub(super) struct Comparison {
    with: String,
    tiers: Vec<(Tier, GateVerdict)>,
    /// Tiers whose definitions differ, and the parts that differ.
    incomparable: Vec<(Tier, String)>,
    /// Case by case.
    cases: Vec<TierComparison>,
}

impl Comparison {
    pub(super) fn verdict(&self) -> Verdict {
        let judged =
            self.tiers.iter().map(|(_, gate)| gate.verdict).fold(Verdict::Pass, Verdict::and);
        if self.incomparable.is_empty() { judged } else { judged.and(Verdict::NotEnoughEvidence) }
    }

    pub(super) fn with(&self) -> &str {
        &self.with
    }

    /// The comparison of a tier, for reports.
    pub(super) fn of(&self, tier: Tier) -> Option<Against> {
        let comparison = self.cases.iter().find(|cases| cases.tier == tier)?.clone();
        let gate = self.tiers.iter().find(|(judged, _)| *judged == tier);
        let gate = gate.map(|(_, gate)| (gate.verdict, gate.reasons.clone()));
        Some(Against { with: self.with.clone(), comparison, gate })
    }

    pub(super) fn shown(&self) -> String {
        let judged = self.tiers.iter().map(|(tier, gate)| {
            format!(
                "{:<5} {} against {}: {}",
                tier.as_str(),
                gate.verdict.as_str(),
                self.with,
                gate.reasons.join("; ")
            )
        });
        let incomparable = self.incomparable.iter().map(|(tier, what)| {
            format!("{:<5} not comparable with {}: its {what} differ", tier.as_str(), self.with)
        });
        judged.chain(incomparable).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn to_value(&self) -> Value {
        let tiers: serde_json::Map<_, _> = self
            .tiers
            .iter()
            .map(|(tier, gate)| {
                (tier.to_string(), serde_json::to_value(gate).expect("a verdict serialises"))
            })
            .collect();
        let incomparable: serde_json::Map<_, _> =
            self.incomparable.iter().map(|(tier, what)| (tier.to_string(), json!(what))).collect();
        json!({"what": self.with, "verdict": self.verdict(), "tiers": tiers,
            "incomparable": incomparable})
    }
}

/// The verdict over a run and what it is compared with.
pub(super) fn verdict(evaluation: &Evaluation, comparison: Option<&Comparison>) -> Verdict {
    comparison.map_or(Verdict::Pass, Comparison::verdict).and(evaluation.verdict())
}

pub(super) fn compare(
    requests: &[Request],
    repository: &Repository,
    (manifest, evaluation): (&Manifest, &mut Evaluation),
    outcomes: &[TierOutcome],
    against: &What,
    context: &Context,
) -> Result<Comparison, Failure> {
    LedgerRef::new(&repository.git).expect_whole()?;
    let baseline = repository.target_to_test(against)?;
    let gated = &manifest.promote.gated();
    let mut comparison = Comparison {
        with: baseline.shown(),
        tiers: Vec::new(),
        incomparable: Vec::new(),
        cases: Vec::new(),
    };
    for (candidate, old) in
        outcomes.iter().zip(tiers::run(requests, repository, &baseline, context, &mut |_| {})?)
    {
        comparison.cases.push(TierComparison::of(
            candidate.tier,
            side(&old, old.results()),
            side(candidate, candidate.results()),
        ));
        let differences = candidate.definitions.differences(&old.definitions, candidate.tier);
        if differences.is_empty() {
            let judged = gate::judge(gated.into(), old.results(), candidate.results());
            comparison.tiers.push((candidate.tier, judged));
        } else {
            comparison.incomparable.push((candidate.tier, differences.join(" and ")));
        }
    }
    if let (Some(commit), true) = (&baseline.commit, comparison.incomparable.is_empty()) {
        evaluation.comparable_with.push(commit.to_string());
    }
    Ok(comparison)
}

const fn side<'a>(outcome: &'a TierOutcome, results: &'a [CaseResult]) -> Side<'a> {
    Side { summary: &outcome.summary, definitions: &outcome.definitions, results }
}
