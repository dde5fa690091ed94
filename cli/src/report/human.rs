//! The terminal's report: failures first, then a line for each tier.

use crate::printer::{Printer, Style};
use crate::report::TierReport;
use agent_core::evaluation::{CaseResult, Outcome, TierSummary, Verdict};

/// More than this many failures nobody reads in a terminal.
const FAILURES_SHOWN: usize = 20;

pub fn render(reports: &[TierReport]) -> String {
    let mut lines = Vec::new();
    for report in reports {
        let failures = report.failures();
        lines.extend(failures.iter().take(FAILURES_SHOWN).map(|result| failure(result)));
        if failures.len() > FAILURES_SHOWN {
            lines.push(format!("  and {} more in {}; `--report markdown=FILE` has them all", failures.len() - FAILURES_SHOWN, report.tier));
        }
    }
    lines.extend(reports.iter().map(tier));
    lines.join("\n")
}

fn failure(result: &CaseResult) -> String {
    let word = match result.outcome {
        Outcome::Errored => Printer::styled(Style::Bad, "ERROR"),
        _ => Printer::styled(Style::Bad, "FAIL "),
    };
    let must = if result.must { " (must pass)" } else { "" };
    let place = Printer::styled(Style::Faint, result.place.as_deref().unwrap_or_default());
    let why = result.why.as_deref().unwrap_or("no reason was given").replace('\n', "\n      ");
    format!("{word} {}{must}  {place}\n      {why}", Printer::styled(Style::Strong, &result.id))
}

fn tier(report: &TierReport) -> String {
    let summary = &report.summary;
    let style = match summary.verdict {
        Verdict::Pass => Style::Good,
        Verdict::NotEnoughEvidence => Style::Warning,
        Verdict::Fail => Style::Bad,
    };
    let first = format!("{:<5} {}  {}", report.tier.as_str(), Printer::styled(style, summary.verdict.as_str()), counts(summary));
    std::iter::once(first.as_str()).chain(summary.reasons.iter().map(String::as_str)).collect::<Vec<_>>().join("\n      ")
}

fn counts(summary: &TierSummary) -> String {
    let cached = if summary.cached > 0 { " (from the cache)" } else { "" };
    let errored = if summary.errored > 0 { format!(", {} errored", summary.errored) } else { String::new() };
    format!(
        "{} passed, {} failed{errored} of {}{cached}, score {:.3}{}, p50 {}, p95 {}{}, wall {:.2} s{}",
        summary.passed,
        summary.failed,
        summary.cases,
        summary.score,
        of(summary.budget.score, "min", ""),
        milliseconds(summary.p50_ms),
        milliseconds(summary.p95_ms),
        of(summary.budget.p95_ms, "max", " ms"),
        summary.wall_s,
        of(summary.budget.wall_s, "max", " s"),
    )
}

fn of(bound: Option<f64>, word: &str, unit: &str) -> String {
    bound.map(|bound| format!(" ({word} {bound}{unit})")).unwrap_or_default()
}

fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}
