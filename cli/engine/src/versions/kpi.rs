//! The KPIs of each version while it was served, from recorded telemetry.

use crate::conversations;
use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::inbox::Inbox;
use crate::telemetry::{CachedFold, Recorded};
use agent_core::architect::feedback::Feedback;
use agent_core::formats::committed::Warnings;
use agent_core::protocol::kpi::{Kpi, Tally};
use jiff::Timestamp;
use semver::Version;

const SCHEMA: &str = "agent/tally@2";

/// By version, newest version first.
pub fn by_version(repository: &Repository) -> Result<(Vec<Kpi>, Warnings), Failure> {
    since(repository, Timestamp::UNIX_EPOCH)
}

/// KPIs by version since the start of the hour of a given time. An unreachable store only reduces
/// the data.
pub fn since(repository: &Repository, at: Timestamp) -> Result<(Vec<Kpi>, Warnings), Failure> {
    let records = repository.records()?;
    let path = repository.layout.tally();
    let mut cached = CachedFold::<Tally>::read(&path, SCHEMA, |_| false);
    let mut tally = cached.bring_up_to_date(&records, None, |tally, recorded| match recorded {
        Recorded::Span(span) => tally.take_span(span),
        Recorded::Event(event) => tally.take_event(event),
    })?;
    if let Err(error) = cached.write(&path) {
        repository.warn(&format!("the aggregate of the telemetry is not cached: {error}"));
    }
    for (version, at) in feedback(repository)? {
        tally.take_feedback(&version, at);
    }
    let mut kpis = tally.since(nanoseconds(at));
    kpis.sort_by_cached_key(|kpi| std::cmp::Reverse(kpi.version.parse::<Version>().ok()));
    let mut warnings = Warnings::none();
    records.missed().into_iter().for_each(|missed| warnings.push(missed));
    Ok((kpis, warnings))
}

fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or_default()
}

/// Each item with the version it is about: that of its conversation.
fn feedback(repository: &Repository) -> Result<Vec<(String, u64)>, Failure> {
    let items = Inbox::new(&repository.git).items()?;
    Ok(items
        .iter()
        .filter_map(|item| {
            Some((version_of(item, repository)?, nanoseconds(item.at.parse().ok()?)))
        })
        .collect())
}

fn version_of(item: &Feedback, repository: &Repository) -> Option<String> {
    let conversation =
        conversations::load(&repository.layout, item.conversation.as_deref()?).ok().flatten()?;
    conversation.header.version
}
