//! The reports of `agent test`: for terminals, programs, files and GitHub.

use super::comparison::Comparison;
use crate::context::Context;
use crate::report::{
    TestReport, TierReport, annotations, difference, html, human, junit, markdown,
};
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::testing::evaluation::{Evaluation, Verdict};
use agent_engine::error::Failure;
use agent_engine::testing::TierOutcome;
use agent_engine::world::fs::{self, Durability, FsError};
use agent_engine::world::output::Output;
use agent_engine::world::{clock, env};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;

/// At most so many changed cases are printed.
const FLIPS_SHOWN: usize = 10;

/// `--report KIND=FILE`.
#[derive(Debug, Clone)]
pub(super) struct File {
    render: fn(&TestReport) -> String,
    output: Output,
}

impl std::str::FromStr for File {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, file) =
            text.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or("write KIND=FILE")?;
        let render = match kind {
            "html" => html::render,
            "junit" => |report: &TestReport| junit::render(&report.tiers),
            "markdown" => markdown::render,
            other => {
                return Err(format!(
                    "`{other}` is not a report; it has to be one of html, junit, markdown"
                ));
            }
        };
        Ok(Self { render, output: OsString::from(file).into() })
    }
}

impl File {
    /// Replaces the file; but appends to the summary of a GitHub step, which other tools write as
    /// well.
    fn write(&self, directory: &Path, report: &TestReport) -> Result<(), FsError> {
        let text = (self.render)(report);
        match self.output.within(directory) {
            Output::File(path) if env::github_summary().is_some_and(|summary| summary == path) => {
                fs::append(&path, text.as_bytes(), Durability::Rebuildable)
            }
            output => output.write(text.as_bytes()),
        }
    }
}

pub(super) fn gather(
    what: String,
    outcomes: Vec<TierOutcome>,
    verdict: Verdict,
    comparison: Option<&Comparison>,
) -> TestReport {
    let tier = |outcome: TierOutcome| {
        let against = comparison.and_then(|comparison| comparison.of(outcome.tier));
        TierReport {
            against,
            ..TierReport::new(outcome.tier, outcome.summary.clone(), outcome.into_results())
        }
    };
    TestReport {
        what,
        against: comparison.map(|comparison| comparison.with().to_owned()),
        at: clock::rfc3339(clock::now()),
        verdict,
        tiers: outcomes.into_iter().map(tier).collect(),
    }
}

/// Whether stdout has one requested file and nothing else.
pub(super) fn takes_stdout(
    reports: &[File],
    events: Option<&Output>,
    context: &Context,
) -> Result<bool, Failure> {
    let wanted = reports
        .iter()
        .map(|file| &file.output)
        .chain(events)
        .filter(|output| output.is_stdout())
        .count();
    if wanted + usize::from(context.printer.is_json()) > 1 {
        return Err(Failure::usage(
            "more than one of `--json`, `--events -` and `--report KIND=-` write to stdout",
        )
        .with_hint("write the others to files"));
    }
    Ok(wanted > 0)
}

/// The requested files; on GitHub, annotations as well.
pub(super) fn write(
    wanted: &[File],
    report: &TestReport,
    context: &Context,
) -> Result<(), FsError> {
    for file in wanted {
        file.write(&context.directory, report)?;
    }
    if env::is_github_workflow() {
        for line in annotations::render(&report.tiers) {
            context.printer.say(line);
        }
    }
    Ok(())
}

pub(super) fn print(
    report: &TestReport,
    evaluation: &Evaluation,
    comparison: Option<&Comparison>,
    context: &Context,
) {
    let printer = &context.printer;
    let mut lines = vec![human::render(&report.tiers)];
    lines.extend(comparison.map(Comparison::shown));
    lines.extend(report.tiers.iter().flat_map(|tier| {
        difference::flips(tier.flips(), FLIPS_SHOWN, "`--report html=FILE` shows all")
    }));
    if report.verdict == Verdict::Pass {
        printer.done(lines.join("\n"), None);
    } else {
        printer.data(lines.join("\n"));
    }
    printer.json(&document(evaluation, &report.tiers, comparison));
}

/// The evaluation, with the facts of this run.
fn document(
    evaluation: &Evaluation,
    reports: &[TierReport],
    comparison: Option<&Comparison>,
) -> Value {
    let mut document = evaluation.to_value();
    document["failures"] = reports
        .iter()
        .flat_map(|report| {
            report.failures().into_iter().map(|result| {
                let outcome = if result.outcome == Outcome::Errored { "errored" } else { "failed" };
                json!({"tier": report.tier, "id": result.id, "place": result.place,
                    "outcome": outcome, "must": result.must,
                    "score": result.score, "why": result.why})
            })
        })
        .collect();
    let quarantines = reports.iter().flat_map(|report| {
        let shown = |(result, _): (&CaseResult, _)| {
            json!({"tier": report.tier, "id": result.id, "place": result.place,
                "outcome": result.outcome, "in_force": result.quarantined,
                "quarantine": result.quarantine})
        };
        report.quarantines().into_iter().map(shown).collect::<Vec<_>>()
    });
    document["quarantines"] = quarantines.collect();
    if let Some(comparison) = comparison {
        document["against"] = comparison.to_value();
    }
    document
}
