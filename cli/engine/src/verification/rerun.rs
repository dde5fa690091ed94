//! The evidence of a version, run again: its tiers under the evaluators that judged, without what
//! is known, and its Journal through the Tuner.

use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::target::evaluators::Evaluators;
use crate::target::replay;
use crate::target::tuner::Tuner;
use crate::testing::{self, Request, TierOutcome};
use crate::verification::Verifier;
use crate::verification::kept::Evidence;
use crate::world::event_loop;
use crate::world::git::CommitInfo;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::gate::record::{Record, StoredPairs};
use agent_core::state::journal::{self, Fold};
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::evaluation::{Evaluation, TierFold, TierSummary};
use agent_core::verification::figures::Results;
use agent_core::verification::rerun::{Again, MORE_RUNS};
use agent_core::verification::{Check, Finding, missing, ok, wrong};
use agent_core::version::Kind;
use agent_core::version::what::What;
use std::collections::BTreeSet;

impl Verifier<'_> {
    /// Runs the evidence of a version again, as far as it is here.
    pub fn run_again(&mut self, commit: &CommitInfo) -> Result<Vec<Check>, Failure> {
        let evidence = self.kept.of(commit)?;
        let read = evidence.evaluation.as_deref().and_then(Evaluation::from_bytes);
        let Some(evaluation) =
            read.filter(|evaluation| Some(evaluation.digest()) == commit.trailers.eval)
        else {
            let (status, message) = missing("there is no evaluation to compare with");
            return Ok(vec![Check { check: "run", status, message }]);
        };
        let record =
            evidence.record.as_deref().filter(|bytes| Some(digest(bytes)) == commit.trailers.gate);
        let record = record.and_then(|bytes| Record::from_bytes(bytes).ok());
        let rerun = Rerun { repository: self.repository, commit };
        let mut checks = Vec::new();
        let mut check = |check: &'static str, (status, message): Finding| {
            checks.push(Check { check, status, message });
        };
        for (tier, summary) in &evaluation.tiers {
            check("run", rerun.own(*tier, summary, &evidence)?);
        }
        if let Some((record, pairs)) = &record
            && let (Some(compared), Some(base)) = (&record.compared, &commit.trailers.base)
            && commit.trailers.kind != Some(Kind::Rollback)
        {
            let tier = record.gated.tier;
            if let Some(before) = &compared.before {
                let stored = self.kept.before(commit)?.map(|bytes| Results::of(tier, &bytes));
                check("run-before", rerun.by_those_before(tier, before, stored.as_ref(), base)?);
            }
            let known = self
                .kept
                .of(&self.repository.git.commit(base)?)?
                .named_results()
                .contains_key(&tier);
            // a baseline whose own evaluation has these results is run again as what it is
            if !known || !compared.varying.is_empty() {
                check("run-base", rerun.baseline(tier, pairs, base)?);
            }
        }
        if let Some(bytes) = self.kept.journal(commit)? {
            check("replay", rerun.journal(&bytes)?);
        }
        Ok(checks)
    }
}

struct Rerun<'a> {
    repository: &'a Repository,
    commit: &'a CommitInfo,
}

impl Rerun<'_> {
    /// Any commit as a target, even if it may not be served.
    fn target(&self, commit: &ObjectId) -> Result<Target, Failure> {
        Ok(self.repository.target(&What::Name(commit.to_string()))?)
    }

    fn own(
        &self,
        tier: Tier,
        summary: &TierSummary,
        evidence: &Evidence,
    ) -> Result<Finding, Failure> {
        let stored = evidence
            .results
            .get(&tier)
            .filter(|stored| Some(&stored.digest) == summary.results.as_ref());
        let Some(fold) = stored.and_then(|stored| stored.fold.as_ref().ok()) else {
            return Ok(missing(format!(
                "there are no results of {tier}, case by case, to compare with"
            )));
        };
        let target = self.target(&self.commit.id)?;
        let evaluators = target.own_evaluators();
        self.compared(&target, &evaluators, (tier.as_str(), tier), &results(fold), summary)
    }

    fn by_those_before(
        &self,
        tier: Tier,
        summary: &TierSummary,
        stored: Option<&Results>,
        base: &ObjectId,
    ) -> Result<Finding, Failure> {
        let Some(fold) = stored.and_then(|stored| stored.fold.as_ref().ok()) else {
            return Ok(missing(format!(
                "there are no results of {tier} by the evaluators before it to compare with"
            )));
        };
        let evaluators = self.target(base)?.own_evaluators();
        let named = format!("{tier} by the evaluators before it");
        self.compared(
            &self.target(&self.commit.id)?,
            &evaluators,
            (&named, tier),
            &results(fold),
            summary,
        )
    }

    fn baseline(
        &self,
        tier: Tier,
        pairs: &StoredPairs,
        base: &ObjectId,
    ) -> Result<Finding, Failure> {
        let target = self.target(base)?;
        let evaluators = target.own_evaluators();
        let paired = pairs.baseline();
        let named: BTreeSet<&str> = paired.iter().map(|result| result.id.as_str()).collect();
        let outcome = self.tier(&target, &evaluators, &Request::anew(tier))?;
        let now = outcome.results().iter().filter(|result| named.contains(result.id.as_str()));
        let mut again = Again::new(&paired, &now.map(StoredPairs::as_kept).collect::<Vec<_>>());
        self.repeat_differing(&target, &evaluators, tier, &mut again, StoredPairs::as_kept)?;
        Ok(again.finding(
            &format!("{tier} of the version before it"),
            &outcome.summary,
            &outcome.summary,
        ))
    }

    fn compared(
        &self,
        target: &Target,
        evaluators: &Evaluators,
        (name, tier): (&str, Tier),
        recorded: &[CaseResult],
        summary: &TierSummary,
    ) -> Result<Finding, Failure> {
        let outcome = self.tier(target, evaluators, &Request::anew(tier))?;
        let mut again = Again::new(recorded, outcome.results());
        self.repeat_differing(target, evaluators, tier, &mut again, Clone::clone)?;
        Ok(again.finding(name, summary, &outcome.summary))
    }

    /// Repeats cases with different results until their results vary, or the limit is reached.
    fn repeat_differing(
        &self,
        target: &Target,
        evaluators: &Evaluators,
        tier: Tier,
        again: &mut Again,
        as_compared: impl Fn(&CaseResult) -> CaseResult,
    ) -> Result<(), Failure> {
        for _ in 0..MORE_RUNS {
            let open = again.open();
            if open.is_empty() {
                break;
            }
            let outcome = self.tier(
                target,
                evaluators,
                &Request { only: Some(open), ..Request::anew(tier) },
            )?;
            again.take(&outcome.results().iter().map(&as_compared).collect::<Vec<_>>());
        }
        Ok(())
    }

    fn tier(
        &self,
        target: &Target,
        evaluators: &Evaluators,
        request: &Request,
    ) -> Result<TierOutcome, Failure> {
        let slow_ms = [(request.tier, testing::slow_cases(self.repository, request.tier))].into();
        Ok(testing::run_tier(
            self.repository,
            target,
            evaluators,
            request,
            &mut self.repository.notices.tiers(slow_ms),
        )?)
    }

    /// Its updates through the Tuner of the version it was made from.
    fn journal(&self, bytes: &[u8]) -> Result<Finding, Failure> {
        let mut walked = Vec::new();
        let begun = Fold::begin(bytes).and_then(|begin| {
            journal::walk(bytes, |record, state| walked.push((record.clone(), state.clone())))?;
            Ok(begin.state)
        });
        let (Ok(start), Some(base)) = (begun, &self.commit.trailers.base) else {
            return Ok(missing("there is no Journal to replay"));
        };
        let target = self.target(base)?;
        let advance = self.repository.notices.steps("replaying", Some(walked.len() as u64));
        let mismatch = event_loop::block_on(async {
            let tuner = Tuner::start(self.repository, &target).await?;
            let mismatch = replay::journal(&tuner, &start, &walked, || advance(1)).await;
            tuner.end().await;
            Ok::<_, Failure>(mismatch?)
        })??;
        Ok(match mismatch {
            None => ok(format!(
                "{} updates of its Journal replayed through the Tuner, each to the same bytes",
                walked.len()
            )),
            Some(one) => wrong(format!(
                "update {} of its Journal (`{}`, signal `{}`) {}",
                one.record.seq, one.record.tool, one.record.id, one.what
            )),
        })
    }
}

fn results(fold: &TierFold) -> Vec<CaseResult> {
    fold.results().cloned().collect()
}
