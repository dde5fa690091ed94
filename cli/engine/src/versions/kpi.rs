//! The KPIs of each version while it was served, from recorded telemetry. The aggregate of files
//! already read is cached, so that only new files are read.

use crate::conversations;
use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::inbox::Inbox;
use crate::telemetry::{Records, Signal, Source};
use crate::world::fs::{self, Durability};
use agent_core::architect::feedback::Feedback;
use agent_core::formats::committed::Warnings;
use agent_core::protocol::kpi::{Kpi, Tally};
use agent_core::protocol::otlp;
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const SCHEMA: &str = "agent/tally@1";

/// By version, newest version first.
pub fn by_version(repository: &Repository) -> Result<(Vec<Kpi>, Warnings), Failure> {
    since(repository, Timestamp::UNIX_EPOCH)
}

/// The same since the start of the hour of a given time. An unreachable store only reduces the
/// data.
pub fn since(repository: &Repository, at: Timestamp) -> Result<(Vec<Kpi>, Warnings), Failure> {
    let records = repository.records()?;
    let mut tally = KpiCache::read(repository).brought_up_to_date(repository, &records)?;
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

/// The files of the store that were read, and their aggregate.
#[derive(Serialize, Deserialize)]
struct KpiCache {
    schema: String,
    read: BTreeSet<String>,
    tally: Tally,
}

impl KpiCache {
    /// A cache file that is missing, torn or of another period is rebuilt.
    fn read(repository: &Repository) -> Self {
        let bytes = fs::read_if_there(&repository.layout.tally()).ok().flatten();
        let kept = bytes
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .filter(|kept| kept.schema == SCHEMA);
        kept.unwrap_or_else(|| Self {
            schema: SCHEMA.to_owned(),
            read: BTreeSet::new(),
            tally: Tally::default(),
        })
    }

    /// With records not in the store yet, which are read each time.
    fn brought_up_to_date(
        mut self,
        repository: &Repository,
        records: &Records,
    ) -> Result<Tally, Failure> {
        let mut under_way = Tally::default();
        let mut is_new = false;
        for signal in [Signal::Traces, Signal::Logs] {
            for source in records.sources(signal, None)? {
                if self.read.contains(&source.key) {
                    continue;
                }
                let tally = if source.is_stored() { &mut self.tally } else { &mut under_way };
                take(tally, signal, records, &source)?;
                // what could not be read now is read another time
                if source.is_stored() && records.missed().is_none() {
                    self.read.insert(source.key);
                    is_new = true;
                }
            }
        }
        if is_new {
            let bytes = serde_json::to_vec(&self).expect("a tally is JSON");
            // it is kept for speed alone
            if let Err(error) =
                fs::replace(&repository.layout.tally(), &bytes, Durability::Rebuildable)
            {
                repository.warn(&format!("what was read of the telemetry is not kept: {error}"));
            }
        }
        self.tally.join(under_way);
        Ok(self.tally)
    }
}

/// Unreadable lines are from other programs.
fn take(
    tally: &mut Tally,
    signal: Signal,
    records: &Records,
    source: &Source,
) -> Result<(), Failure> {
    for line in records.read(source)?.lines() {
        match signal {
            Signal::Traces => {
                otlp::spans(line).unwrap_or_default().iter().for_each(|span| tally.take_span(span));
            }
            _ => otlp::events(line)
                .unwrap_or_default()
                .iter()
                .for_each(|event| tally.take_event(event)),
        }
    }
    Ok(())
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
