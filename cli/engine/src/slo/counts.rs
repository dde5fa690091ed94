//! The counts that objectives and triggers take from the record: each stored file is read once for
//! all of them.

use crate::error::Failure;
use crate::repository::Repository;
use crate::telemetry::{CachedFold, Recorded};
use agent_core::formats::committed::Warnings;
use agent_core::slo::series::{Count, Series};
use agent_core::slo::{LONGEST_WINDOW, Objective};
use agent_core::testing::budget::Budgets;
use agent_core::trigger::Condition;
use agent_core::trigger::levels::{ByVersion, Watched};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

const SCHEMA: &str = "agent/slo-counts@2";

/// By what an objective or a rule measures: a change of its target, window or threshold counts
/// nothing anew.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Counts {
    objectives: BTreeMap<String, Series>,
    watched: BTreeMap<String, ByVersion>,
}

/// The quantities to count.
struct Measures<'a> {
    objectives: BTreeMap<String, &'a Objective>,
    watched: BTreeMap<String, Watched>,
}

impl<'a> Measures<'a> {
    /// Objectives that differ in target or window alone share their counts; rules alike.
    fn of(budgets: &'a Budgets) -> Self {
        let watched = budgets.triggers.iter().filter_map(|rule| watched(&rule.condition));
        Self {
            objectives: budgets.slos.iter().map(|one| (one.measure(), one)).collect(),
            watched: watched.map(|watched| (watched.key(), watched)).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.objectives.is_empty() && self.watched.is_empty()
    }

    /// Whether a fold lacks something: what is new is counted from the beginning of its record.
    fn are_beyond(&self, counts: &Counts) -> bool {
        !self.objectives.keys().all(|key| counts.objectives.contains_key(key))
            || !self.watched.keys().all(|key| counts.watched.contains_key(key))
    }

    fn prepare(&self, counts: &mut Counts) {
        for key in self.objectives.keys() {
            counts.objectives.entry(key.clone()).or_default();
        }
        for key in self.watched.keys() {
            counts.watched.entry(key.clone()).or_default();
        }
    }

    fn take(&self, counts: &mut Counts, recorded: Recorded<'_>) {
        let at = recorded.at_second();
        for (key, objective) in &self.objectives {
            let is_good = recorded.is_good_for(objective);
            if let (Some(is_good), Some(series)) = (is_good, counts.objectives.get_mut(key)) {
                series.add(at, Count::of(is_good));
            }
        }
        for (key, watched) in &self.watched {
            let value = match recorded {
                Recorded::Span(span) => watched.of_span(span),
                Recorded::Event(event) => watched.of_event(event),
            };
            let (Some(value), Some(versions)) = (value, counts.watched.get_mut(key)) else {
                continue;
            };
            let version = recorded.version().unwrap_or_default();
            versions.entry(version.to_owned()).or_default().add(at, value);
        }
    }
}

fn watched(condition: &Condition) -> Option<Watched> {
    match condition {
        Condition::Drift(drift) => Some(drift.watched()),
        Condition::Traffic(traffic) => Some(traffic.watched()),
        Condition::Burn(_) | Condition::Feedback(_) | Condition::Evaluation(_) => None,
    }
}

impl Counts {
    /// Nothing where the objective was not among those that were counted.
    pub fn objective(&self, objective: &Objective) -> Cow<'_, Series> {
        found_or_none(&self.objectives, &objective.measure())
    }

    pub fn watched(&self, watched: &Watched) -> Cow<'_, ByVersion> {
        found_or_none(&self.watched, &watched.key())
    }

    fn compact(&mut self, measures: &Measures<'_>, now: u64) {
        self.objectives.retain(|key, _| measures.objectives.contains_key(key));
        self.watched.retain(|key, _| measures.watched.contains_key(key));
        self.objectives.values_mut().for_each(|series| series.compact(now));
        for versions in self.watched.values_mut() {
            for series in versions.values_mut() {
                series.compact(now);
            }
            versions.retain(|_, series| !series.is_empty());
        }
    }
}

fn found_or_none<'a, T: Clone + Default>(counts: &'a BTreeMap<String, T>, key: &str) -> Cow<'a, T> {
    counts.get(key).map_or_else(|| Cow::Owned(T::default()), Cow::Borrowed)
}

/// Counts new records; the warnings name those that could not be read.
pub fn up_to_date(
    budgets: &Budgets,
    at: Timestamp,
    repository: &Repository,
) -> Result<(Counts, Warnings), Failure> {
    let measures = Measures::of(budgets);
    let mut warnings = Warnings::none();
    if measures.is_empty() {
        return Ok((Counts::default(), warnings));
    }
    let records = repository.records()?;
    let path = repository.layout.slo_counts();
    let is_stale = |counts: &Counts| measures.are_beyond(counts);
    let mut cached = CachedFold::<Counts>::read(&path, SCHEMA, is_stale);
    measures.prepare(cached.fold_mut());
    let longest = SignedDuration::from_secs(i64::try_from(LONGEST_WINDOW).unwrap_or(i64::MAX));
    let since = at.checked_sub(longest).ok();
    let counts = cached
        .bring_up_to_date(&records, since, |counts, recorded| measures.take(counts, recorded))?;
    cached.fold_mut().compact(&measures, super::seconds(at));
    if let Err(error) = cached.write(&path) {
        warnings.push(format!("what was read of the telemetry is not cached: {error}"));
    }
    records.missed().into_iter().for_each(|missed| warnings.push(missed));
    Ok((counts, warnings))
}
