//! The objectives of live traffic: as a document and as metrics.

use super::reader::Reader;
use crate::rest::{Call, Problem, Reply, Route};
use agent_core::formats::committed::WithWarnings;
use agent_core::slo::Objective;
use agent_core::slo::budget::Standing;
use agent_core::slo::series::Count;
use agent_engine::error::Failure;
use agent_engine::slo;
use std::fmt::Write as _;

/// Labels besides the objective's name, and the value.
type Sample = (Option<String>, f64);
/// Name, type, help, and the samples of an objective.
type Measure = (&'static str, &'static str, &'static str, fn(&Standing, &Objective) -> Vec<Sample>);

const MEASURES: [Measure; 8] = [
    (
        "agent_slo_objective_ratio",
        "gauge",
        "The share of events that has to be good.",
        |_, objective| one(Some(objective.target)),
    ),
    (
        "agent_slo_window_seconds",
        "gauge",
        "The rolling window of the objective.",
        |_, objective| one(Some(objective.window.seconds as f64)),
    ),
    (
        "agent_slo_compliance_ratio",
        "gauge",
        "The share of good events over the window; absent without events.",
        |standing, _| one(standing.compliance),
    ),
    (
        "agent_slo_error_budget_remaining_ratio",
        "gauge",
        "The share of the error budget that is left over the window.",
        |standing, _| one(standing.budget_left),
    ),
    (
        "agent_slo_burn_rate",
        "gauge",
        "How fast the error budget was spent over a window; 1 spends it over the whole window.",
        |standing, _| by_window(standing, |rate, _| rate),
    ),
    (
        "agent_slo_window_events",
        "gauge",
        "The events in a window that the burn rate is about.",
        |standing, _| by_window(standing, |_, count| Some(count.total as f64)),
    ),
    ("agent_slo_good_events_total", "counter", "Good events that were counted.", |standing, _| {
        one(Some(standing.ever.good as f64))
    }),
    ("agent_slo_events_total", "counter", "Events that were counted.", |standing, _| {
        one(Some(standing.ever.total as f64))
    }),
];

fn one(value: Option<f64>) -> Vec<Sample> {
    value.map(|value| (None, value)).into_iter().collect()
}

fn by_window(
    standing: &Standing,
    value: impl Fn(Option<f64>, Count) -> Option<f64>,
) -> Vec<Sample> {
    let sample = |(label, value): (String, Option<f64>)| Some((Some(label), value?));
    standing
        .burn
        .iter()
        .map(|burn| (format!(",window=\"{}\"", burn.window), value(burn.rate, burn.count)))
        .filter_map(sample)
        .collect()
}

pub(super) fn routes() -> [Route<Reader>; 1] {
    [Route::get(
        "/v1/slos",
        "listSlos",
        "Each objective of live traffic: compliance, error budget and burn rates.",
        list,
    )
    .answers(200, "Slos", "The objectives of ci/budgets.json.")]
}

fn list(reader: &mut Reader, _: &Call<'_>) -> Result<Reply, Problem> {
    let report = report(reader)?;
    Ok(Reply::json(&WithWarnings {
        document: &report.document(),
        warnings: report.warnings.as_slice(),
    }))
}

fn report(reader: &Reader) -> Result<slo::Report, Failure> {
    slo::report(&slo::budgets(&reader.repository)?, &reader.repository)
}

/// In the text format of Prometheus. Names of objectives need no escapes in a label.
pub(super) fn metrics(reader: &mut Reader) -> Result<String, Failure> {
    let mut report = report(reader)?;
    for (objective, standing) in &mut report.objectives {
        standing.ever = reader.counted.at_least(objective, standing.ever);
    }
    let mut text = String::new();
    for (name, kind, help, samples) in MEASURES {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (objective, standing) in &report.objectives {
            for (label, value) in samples(standing, objective) {
                let label = label.unwrap_or_default();
                let _ = writeln!(text, "{name}{{slo=\"{}\"{label}}} {value}", objective.name);
            }
        }
    }
    Ok(text)
}
