//! The condition `evaluation`: a tier of the served version, run again from time to time, beside
//! the results that the version was made with. What the Runner calls may have changed while no
//! version did.

use super::rerun;
use crate::error::Failure;
use crate::repository::Repository;
use crate::world::clock;
use crate::world::fs::{self, Durability};
use agent_core::trigger::{Assessment, Evaluation, State};
use agent_core::version::what::What;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

const SCHEMA: &str = "agent/trigger-evaluations@1";

/// The last comparison of each rule, on this machine.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    schema: String,
    rules: BTreeMap<String, Compared>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Compared {
    version: String,
    /// When the tier was run again, in seconds since 1970, UTC.
    at: u64,
    /// The time of the first worse result, in an unbroken series of them.
    fell: Option<u64>,
    then: f64,
    now: f64,
    worse: usize,
    better: usize,
    /// Whether the last result was better than the one the version was made with.
    rose: bool,
}

/// The state of the rule; a tier that is due is run.
pub fn assess(
    repository: &Repository,
    rule: &str,
    condition: &Evaluation,
    held_s: u64,
    now: u64,
) -> Result<Assessment, Failure> {
    let Some(served) = super::judged::versions(repository)?.into_iter().next() else {
        return Ok(super::judged::not_enough("nothing is served yet"));
    };
    let path = repository.layout.trigger_evaluations();
    let mut known = read(&path);
    let last = known.rules.get(rule).filter(|last| last.version == served.version).cloned();
    let is_due = last.as_ref().is_none_or(|last| now.saturating_sub(last.at) >= condition.every_s);
    let compared = if is_due {
        let compared = compare(repository, condition, &served.version, last.as_ref(), now)?;
        if let Some(compared) = &compared {
            SCHEMA.clone_into(&mut known.schema);
            known.rules.insert(rule.to_owned(), compared.clone());
            let bytes = serde_json::to_vec(&known).expect("comparisons are JSON");
            fs::replace(&path, &bytes, Durability::Rebuildable)?;
        }
        compared
    } else {
        last
    };
    Ok(compared.map_or_else(
        || {
            super::judged::not_enough(&format!(
                "{} has no results of tier {}; `agent test --at active --tier {}` makes them",
                served.version, condition.tier, condition.tier
            ))
        },
        |compared| assessment(condition, &compared, held_s, now),
    ))
}

fn read(path: &std::path::Path) -> Known {
    let bytes = fs::read_if_there(path).ok().flatten();
    bytes
        .and_then(|bytes| serde_json::from_slice::<Known>(&bytes).ok())
        .filter(|known| known.schema == SCHEMA)
        .unwrap_or_default()
}

fn compare(
    repository: &Repository,
    condition: &Evaluation,
    version: &str,
    last: Option<&Compared>,
    now: u64,
) -> Result<Option<Compared>, Failure> {
    let what = What::Active;
    let Some(then) = rerun::stored(repository, &what, condition.tier)? else { return Ok(None) };
    let again = rerun::anew(repository, &what, condition.tier)?;
    let (fell, verdict) = rerun::is_better(repository, &again, &then)?;
    let (rose, _) = rerun::is_better(repository, &then, &again)?;
    Ok(Some(Compared {
        version: version.to_owned(),
        at: now,
        fell: fell.then(|| last.and_then(|last| last.fell).unwrap_or(now)),
        then: verdict.candidate_score,
        now: verdict.baseline_score,
        worse: verdict.better,
        better: verdict.worse,
        rose,
    }))
}

fn assessment(condition: &Evaluation, last: &Compared, held_s: u64, now: u64) -> Assessment {
    let Compared { version, at, fell, then, now: score, worse, better, rose } = last;
    let ran = clock::rfc3339(clock::of_second(*at));
    let how = match (fell, rose) {
        (Some(_), _) => "lower than",
        (None, true) => "higher than",
        (None, false) => "not shown to differ from",
    };
    Assessment {
        state: fell.map_or(State::Quiet, |began| State::since(began, now, held_s)),
        is_over: fell.is_none(),
        latest: Some(*at),
        summary: format!(
            "tier {} of {version}, run again at {ran}, scores {score:.3}, {how} the {then:.3} it \
            was \
             made with ({better} better, {worse} worse)",
            condition.tier
        ),
        figures: json!({"version": version, "tier": condition.tier, "ran": ran, "then": then,
            "now": score, "better": better, "worse": worse}),
        version: Some(version.trim_start_matches('v').to_owned()),
    }
}
