//! Live traffic over time by version, from recorded telemetry.

use crate::error::Failure;
use crate::repository::Repository;
use crate::telemetry::{CachedFold, Recorded};
use crate::world::clock;
use agent_core::formats::committed::Warnings;
use agent_core::protocol::live::{LONGEST, Live, Range, Series};
use jiff::{SignedDuration, Timestamp};

const SCHEMA: &str = "agent/live-series@1";

/// The series of a range up to a moment.
#[derive(Debug)]
pub struct Report {
    pub at: Timestamp,
    pub range: Range,
    pub series: Vec<Series>,
    pub warnings: Warnings,
}

impl Report {
    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        seconds(self.at)
    }
}

/// An unreachable store only reduces the data.
pub fn report(range: Range, repository: &Repository) -> Result<Report, Failure> {
    let at = clock::now();
    let records = repository.records()?;
    let path = repository.layout.live_series();
    let mut cached = CachedFold::<Live>::read(&path, SCHEMA, |_| false);
    let longest = SignedDuration::from_secs(i64::try_from(LONGEST).unwrap_or(i64::MAX));
    let since = at.checked_sub(longest).ok();
    let live = cached.bring_up_to_date(&records, since, |live, recorded| match recorded {
        Recorded::Span(span) => live.take_span(span),
        Recorded::Event(event) => live.take_event(event),
    })?;
    cached.fold_mut().compact(seconds(at));
    if let Err(error) = cached.write(&path) {
        repository.warn(&format!("what was read of the telemetry is not cached: {error}"));
    }
    let mut warnings = Warnings::none();
    records.missed().into_iter().for_each(|missed| warnings.push(missed));
    Ok(Report { at, range, series: live.series(range, seconds(at)), warnings })
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or_default()
}
