//! Live traffic over time by version, with the versions that were made meanwhile.

use super::reader::Reader;
use crate::rest::{Call, Kind, Problem, Reply, Route};
use agent_core::formats::committed::WithWarnings;
use agent_core::protocol::live::{RANGES, Range, Series};
use agent_core::version::registry::{Entry, Filter};
use agent_engine::versions::live;
use agent_engine::world::clock::rfc3339;
use jiff::Timestamp;
use serde_json::{Value, json};

const SINCE: Kind = Kind::OneOf(&["1h", "6h", "24h", "7d", "28d", "90d"]);
const USUAL: Range = RANGES[2];
/// So many of the newest versions are looked at for marks.
const MARKS: usize = 200;

pub(super) fn routes() -> [Route<Reader>; 1] {
    [Route::get(
        "/v1/live",
        "showLive",
        "Calls, errors, latency, rewards and costs over time by version.",
        show,
    )
    .query("since", SINCE, "The range up to now [default: 24h].")
    .answers(200, "Live", "The series of each version, in equal steps of time.")]
}

fn show(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let range = call.query::<String>("since")?.and_then(|name| Range::named(&name));
    let mut report = live::report(range.unwrap_or(USUAL), &reader.repository)?;
    let start = moment(report.range.start(report.now()));
    let (listing, warnings) =
        reader.repository.known_listing(&reader.known, MARKS, None, &Filter::default())?;
    report.warnings.extend(warnings);
    let marks = listing.versions.iter().filter_map(|entry| mark(entry, &start));
    let document = json!({
        "schema": "agent/live@1",
        "at": report.at.to_string(),
        "range": report.range.name,
        "start": start,
        "step_s": report.range.step,
        "versions": report.series.iter().map(Series::document).collect::<Vec<_>>(),
        "marks": marks.collect::<Vec<_>>(),
    });
    Ok(Reply::json(&WithWarnings { document: &document, warnings: report.warnings.as_slice() }))
}

fn mark(entry: &Entry, start: &str) -> Option<Value> {
    let kind = entry.kind?;
    let is_within = entry.created.as_str() >= start;
    is_within.then(|| {
        json!({"version": entry.version, "kind": kind, "at": entry.created,
            "yanked": entry.yanked})
    })
}

fn moment(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    rfc3339(Timestamp::from_second(seconds).unwrap_or_default())
}
