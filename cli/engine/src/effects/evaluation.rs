//! The score of a state on a tier, for a Tuner. Held-out cases are never run: what is tuned on them
//! is not measured by them.

use crate::error::Failure;
use crate::repository::Repository;
use crate::target::effects::EffectError;
use crate::testing::{self, Request, TierFailure, TierOutcome, cases};
use agent_core::formats::diagnose::FailureKind;
use agent_core::state::effect::EvaluateRequest;
use agent_core::testing::case_result::is_held_out;
use agent_core::version::what::What;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub(super) fn score(
    repository: &Repository,
    request: &EvaluateRequest,
    limit: Duration,
) -> Result<Value, EffectError> {
    let tier = request.tier;
    let tip = repository.expect_tip()?;
    let target = repository.candidate(&What::Staging, &tip.commit, &request.state)?;
    let evaluators = target.own_evaluators();
    let files = evaluators.files(&repository.git)?;
    let all = cases::load(&files, tier)?.cases.list;
    let open: BTreeSet<String> =
        all.into_iter().filter(|case| !is_held_out(&case.place)).map(|case| case.id).collect();
    if open.is_empty() {
        let message =
            format!("it requests a score on {tier}, which has no cases that are not held out");
        return Err(EffectError::Refused(message));
    }
    let run =
        Request { only: Some(open), deadline: Some(Instant::now() + limit), ..Request::new(tier) };
    let outcome = testing::run_tier(repository, &target, &evaluators, &run, &mut |_| {}).map_err(
        |failure| match failure {
            TierFailure::OutOfTime { .. } => Failure::new(
                FailureKind::Child,
                format!(
                    "{tier} took longer than {} s, which is `time_s` of [tuner.effects] in \
                    agent.toml",
                    limit.as_secs_f64()
                ),
            ),
            other => other.into(),
        },
    )?;
    Ok(result(&outcome))
}

fn result(outcome: &TierOutcome) -> Value {
    let summary = &outcome.summary;
    let by_case: Map<String, Value> =
        outcome.results().iter().map(|case| (case.id.clone(), json!(case.score))).collect();
    json!({
        "score": summary.score,
        "cases": summary.cases,
        "passed": summary.passed,
        "failed": summary.failed,
        "errored": summary.errored,
        "usd": summary.cost_usd,
        "by_case": by_case,
    })
}
