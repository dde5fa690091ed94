//! `--calibrate`: compares a target with itself, to measure the gate's rate of false positives.

use super::arguments::Arguments;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::progress::Progress;
use crate::report::table;
use agent_core::formats::canonical;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::digest;
use agent_core::gate::calibration::{Calibration, Calibrator, Rate, SCHEMA};
use agent_core::testing::cached_result::Reuse;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::testing::{self, Request};
use agent_engine::world::clock;
use serde_json::json;

pub(super) fn calibrate(
    arguments: &Arguments,
    repository: &Repository,
    rounds: u32,
    context: &Context,
) -> CommandResult {
    let what = if arguments.at == What::Worktree { &What::Active } else { &arguments.at };
    let target = repository.target(what)?;
    let mut found = Vec::new();
    for tier in arguments.tiers() {
        let calibration = measure(arguments, repository, &target, (tier, rounds), context)?;
        keep(repository, &target, &calibration)?;
        context.printer.data(shown(&calibration));
        found.push(calibration);
    }
    context.printer.json(&json!({"schema": SCHEMA, "calibrations": found}));
    Ok(Exit::Done)
}

/// Runs the tier once more than there are rounds, without stored results.
fn measure(
    arguments: &Arguments,
    repository: &Repository,
    target: &Target,
    (tier, rounds): (Tier, u32),
    context: &Context,
) -> Result<Calibration, Failure> {
    let fresh = Request { reuse: Reuse::Nothing, ..arguments.request(tier) };
    let progress = Progress::start(&context.printer, "calibrate", Some(u64::from(rounds) + 1));
    let run = || -> Result<_, Failure> {
        let outcome =
            testing::run_tier(repository, target, &target.own_evaluators(), &fresh, &mut |_| {})?;
        progress.advance(1);
        Ok(outcome.into_results())
    };
    let alpha = target.manifest.promote.alpha;
    let mut calibrator = Calibrator::new(alpha);
    let mut before = run()?;
    for _ in 0..rounds {
        let now = run()?;
        calibrator.add(&before, &now);
        before = now;
    }
    Ok(Calibration {
        schema: SCHEMA,
        what: target.shown(),
        tier,
        code: target.code.as_ref().map(ToString::to_string),
        state: target.state.revision.to_string(),
        at: clock::rfc3339(clock::now()),
        alpha,
        cases: before.len(),
        rounds: calibrator.rounds(),
        changed: calibrator.changed(),
        tests: calibrator.rates(),
    })
}

/// Stores the calibration beside the results of its code; that of a working tree is not stored.
fn keep(
    repository: &Repository,
    target: &Target,
    calibration: &Calibration,
) -> Result<(), Failure> {
    let Some(code) = &target.code else { return Ok(()) };
    let bytes =
        canonical::to_bytes(&serde_json::to_value(calibration).expect("a calibration is JSON"));
    let name = digest(&bytes).trim_start_matches("sha256:").to_owned();
    repository.store(&target.manifest)?.put(&format!("calibration/{code}/{name}.json"), bytes)?;
    Ok(())
}

fn shown(calibration: &Calibration) -> String {
    let Calibration { what, tier, cases, rounds, changed, .. } = calibration;
    let head = ["TEST", "BETTER", "RATE", "95% INTERVAL"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(calibration.tests.iter().map(row)).collect();
    format!(
        "{tier} of {what} against itself: {rounds} rounds of {cases} cases; in {changed} of them \
        the outcome of a case differed\n\
        {}",
        table::lines(&rows).join("\n")
    )
}

fn row(rate: &Rate) -> Vec<String> {
    let (low, high) = rate.interval;
    vec![
        rate.test.to_owned(),
        rate.accepted.to_string(),
        format!("{:.3}", rate.rate),
        format!("{low:.3} to {high:.3}"),
    ]
}
