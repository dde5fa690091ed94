//! Indicators of each version in service: calls, errors, latency, rewards. As a document and as
//! metrics.

use super::parameters::{Named, VERSION};
use super::reader::Reader;
use crate::rest::{Call, Problem, Reply, Route};
use agent_core::formats::committed::WithWarnings;
use agent_core::protocol::kpi::Kpi;
use agent_engine::error::Failure;
use agent_engine::versions::kpi;
use agent_engine::world::clock::rfc3339;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Name, type, help, and the value of a version.
type Measure = (&'static str, &'static str, &'static str, fn(&Kpi) -> Option<f64>);

const MEASURES: [Measure; 7] = [
    ("agent_version_calls_total", "counter", "Calls of the Runner's tools.", |kpi| {
        Some(kpi.calls as f64)
    }),
    ("agent_version_errors_total", "counter", "Calls that ended in an error.", |kpi| {
        Some(kpi.errors as f64)
    }),
    (
        "agent_version_call_p95_milliseconds",
        "gauge",
        "The 95th percentile of the duration of calls.",
        |kpi| kpi.p95_ms,
    ),
    ("agent_version_conversations", "gauge", "Conversations with a call.", |kpi| {
        Some(kpi.conversations as f64)
    }),
    ("agent_version_rewards_total", "counter", "Signals with a reward.", |kpi| {
        Some(kpi.rewards.count as f64)
    }),
    ("agent_version_reward_mean", "gauge", "The mean reward.", |kpi| kpi.rewards.mean),
    ("agent_version_feedback_total", "counter", "Items of feedback.", |kpi| {
        Some(kpi.feedback as f64)
    }),
];
/// Only the newest versions are series: the cardinality of a label must be bounded.
const SERIES: usize = 20;

pub(super) fn routes() -> [Route<Reader>; 1] {
    [Route::get(
        "/v1/kpi",
        "listKpi",
        "Calls, errors, latency and rewards of each version in service, newest first.",
        list,
    )
    .query("version", VERSION, "Only this version.")
    .answers(200, "Kpis", "The indicators by version.")]
}

fn list(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let wanted = call.query::<Named>("version")?.map(|Named(version)| version.to_string());
    let (kpis, warnings) = kpi::by_version(&reader.repository)?;
    let kpis =
        kpis.iter().filter(|kpi| wanted.as_ref().is_none_or(|wanted| kpi.version == *wanted));
    let document =
        json!({"schema": "agent/kpi@1", "versions": kpis.map(document).collect::<Vec<_>>()});
    Ok(Reply::json(&WithWarnings { document: &document, warnings: warnings.as_slice() }))
}

fn document(kpi: &Kpi) -> Value {
    let mut document = json!(kpi);
    document["since"] = json!(moment(kpi.since));
    document["until"] = json!(moment(kpi.until));
    document
}

fn moment(nanoseconds: u64) -> String {
    rfc3339(Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default())
}

/// A recorded version is untrusted text: it must not end the label.
fn label(version: &str) -> String {
    version.replace(['\\', '"', '\n'], "_")
}

/// In the text format of Prometheus.
pub(super) fn metrics(reader: &mut Reader) -> Result<String, Failure> {
    let (kpis, _) = kpi::by_version(&reader.repository)?;
    let mut text = String::new();
    for (name, kind, help, value) in MEASURES {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for kpi in kpis.iter().take(SERIES) {
            if let Some(value) = value(kpi) {
                let version = label(&kpi.version);
                let _ = writeln!(text, "{name}{{version=\"{version}\"}} {value}");
            }
        }
    }
    Ok(text)
}
