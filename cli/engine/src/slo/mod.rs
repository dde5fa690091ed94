//! Where the objectives of `ci/budgets.json` stand, from what is on record.

pub mod openslo;

use crate::error::Failure;
use crate::repository::Repository;
use crate::telemetry::{CachedFold, Recorded, Records};
use crate::world::git::ACTIVE;
use crate::world::{clock, fs};
use agent_core::formats::committed::Warnings;
use agent_core::slo::budget::Standing;
use agent_core::slo::series::Series;
use agent_core::slo::{LONGEST_WINDOW, Objective};
use agent_core::testing::budget::{self, Budgets};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SCHEMA: &str = "agent/slo-counts@1";
const NANOSECONDS: u64 = 1_000_000_000;

/// Every objective with its standing at a moment.
#[derive(Debug)]
pub struct Report {
    pub at: Timestamp,
    pub objectives: Vec<(Objective, Standing)>,
    pub warnings: Warnings,
}

/// Into how many parts a window is divided for its history.
const PARTS: u64 = 28;

impl Report {
    pub fn document(&self) -> Value {
        let objectives =
            self.objectives.iter().map(|(objective, standing)| standing.document(objective));
        json!({
            "schema": "agent/slos@1",
            "at": self.at.to_string(),
            "objectives": objectives.collect::<Vec<_>>(),
        })
    }
}

/// The objectives of the working tree's file; those of `active` where there is no working tree.
pub fn objectives(repository: &Repository) -> Result<Vec<Objective>, Failure> {
    let bytes = match repository.git.worktree() {
        Some(worktree) => fs::read_if_there(&worktree.join(budget::FILE))?,
        None => match repository.git.reference(ACTIVE)? {
            Some(tip) => repository.git.read(&tip, budget::FILE)?,
            None => None,
        },
    };
    let Some(bytes) = bytes else { return Ok(Vec::new()) };
    Ok(Budgets::read(&bytes, budget::FILE)?.slos)
}

/// Where each objective stands now.
pub fn report(objectives: Vec<Objective>, repository: &Repository) -> Result<Report, Failure> {
    let at = clock::now();
    let records = repository.records()?;
    let counts = if objectives.is_empty() {
        Counts::new()
    } else {
        counts(&objectives, at, &records, repository)?
    };
    let mut warnings = Warnings::none();
    records.missed().into_iter().for_each(|missed| warnings.push(missed));
    let none = Series::default();
    let objectives = objectives
        .into_iter()
        .map(|objective| {
            let series = counts.get(&objective.measure()).unwrap_or(&none);
            let standing = objective.standing(series, seconds(at), PARTS);
            (objective, standing)
        })
        .collect();
    Ok(Report { at, objectives, warnings })
}

/// By what an objective measures: a change of its target or window counts nothing anew.
type Counts = BTreeMap<String, Series>;

fn counts(
    objectives: &[Objective],
    at: Timestamp,
    records: &Records,
    repository: &Repository,
) -> Result<Counts, Failure> {
    let path = repository.layout.slo_counts();
    // objectives that differ in target or window alone share their counts
    let measures: BTreeMap<_, _> = objectives.iter().map(|one| (one.measure(), one)).collect();
    // what is measured for the first time is counted from the beginning of its record
    let is_stale = |counts: &Counts| !measures.keys().all(|measure| counts.contains_key(measure));
    let mut cached = CachedFold::<Counts>::read(&path, SCHEMA, is_stale);
    for measure in measures.keys() {
        cached.fold_mut().entry(measure.clone()).or_default();
    }
    let longest = SignedDuration::from_secs(i64::try_from(LONGEST_WINDOW).unwrap_or(i64::MAX));
    let since = at.checked_sub(longest).ok();
    let counts = cached.bring_up_to_date(records, since, |counts, recorded| {
        for (measure, objective) in &measures {
            let (nanoseconds, is_good) = match recorded {
                Recorded::Span(span) => (span.ended, objective.of_span(span)),
                Recorded::Event(event) => (event.at, objective.of_event(event)),
            };
            if let (Some(is_good), Some(series)) = (is_good, counts.get_mut(measure)) {
                series.add(nanoseconds / NANOSECONDS, is_good);
            }
        }
    })?;
    cached.fold_mut().retain(|measure, _| measures.contains_key(measure));
    cached.fold_mut().values_mut().for_each(|series| series.compact(seconds(at)));
    if let Err(error) = cached.write(&path) {
        repository.warn(&format!("what was read of the telemetry is not cached: {error}"));
    }
    Ok(counts)
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or_default()
}
