//! The terminal's report: failures first, then a line for each tier.

use crate::printer::{Printer, Style};
use crate::report::{TierReport, why};
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::testing::evaluation::{TierSummary, Verdict};
use agent_core::testing::grouping;
use agent_core::testing::judgement::cut;

/// The limit of lines of failures; at least one failure is shown completely.
const LINES_SHOWN: usize = 40;

pub fn render(reports: &[TierReport]) -> String {
    let mut lines = failures(reports);
    for report in reports {
        lines.extend(
            report
                .quarantines()
                .iter()
                .map(|(result, why)| entry(Style::Warning, "NOTE ", result, why)),
        );
    }
    lines.extend(reports.iter().map(tier));
    lines.join("\n")
}

fn failures(reports: &[TierReport]) -> Vec<String> {
    let failures: Vec<_> = reports.iter().flat_map(TierReport::failures).collect();
    let reasons =
        grouping::by_key(failures, |result| (result.outcome, result.must, reason(result)));
    let mut shown = Vec::new();
    let mut room = LINES_SHOWN;
    for ((outcome, _, why), results) in &reasons {
        let shown_failure = failure(*outcome, why, results);
        let height = shown_failure.lines().count();
        if height > room && !shown.is_empty() {
            break;
        }
        room = room.saturating_sub(height);
        shown.push(shown_failure);
    }
    let left: usize = reasons[shown.len()..].iter().map(|(_, results)| results.len()).sum();
    if left > 0 {
        shown.push(format!("  and {left} more; `--report html=FILE` shows all"));
    }
    shown
}

/// The cases that failed for one reason.
fn failure(outcome: Outcome, why: &str, results: &[&CaseResult]) -> String {
    let word = if outcome == Outcome::Errored { "ERROR" } else { "FAIL " };
    if let [result] = results {
        return entry(Style::Bad, word, result, why);
    }
    let must = if results.iter().all(|result| result.must) { " (must pass)" } else { "" };
    let ids = grouping::named(&results.iter().map(|result| result.id.as_str()).collect::<Vec<_>>());
    format!(
        "{} {}{must}\n      {}",
        Printer::styled(Style::Bad, word),
        Printer::styled(Style::Strong, &ids),
        indented(why)
    )
}

/// Why a case did not pass, and where the reason lacks them, its answer and the expectation.
fn reason(result: &CaseResult) -> String {
    let mut why = why::lines(result.why.as_deref().unwrap_or("no reason was given"));
    if let Some(shown) = why::beside(result) {
        why.push(format!("answered {}", Printer::styled(Style::Bad, &one_line(&shown.answered))));
        why.push(format!("expected {}", Printer::styled(Style::Good, &one_line(&shown.expected))));
    }
    why.join("\n")
}

/// The beginning of a text, on one line; the HTML report shows more.
fn one_line(text: &str) -> String {
    const SHOWN: usize = 240;
    cut(&text.split_whitespace().collect::<Vec<_>>().join(" "), SHOWN)
}

fn entry(style: Style, word: &str, result: &CaseResult, why: &str) -> String {
    let must = if result.must { " (must pass)" } else { "" };
    let place = Printer::styled(Style::Faint, result.place.as_deref().unwrap_or_default());
    format!(
        "{} {}{must}  {place}\n      {}",
        Printer::styled(style, word),
        Printer::styled(Style::Strong, &result.id),
        indented(why)
    )
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n      ")
}

fn tier(report: &TierReport) -> String {
    let summary = &report.summary;
    let style = match summary.verdict {
        Verdict::Pass => Style::Good,
        Verdict::NotEnoughEvidence => Style::Warning,
        Verdict::Fail => Style::Bad,
    };
    let first = format!(
        "{:<5} {}  {}",
        report.tier.as_str(),
        Printer::styled(style, summary.verdict.as_str()),
        counts(summary)
    );
    let reliability = reliability(summary);
    let rest = reliability.iter().chain(&summary.reasons).map(String::as_str);
    std::iter::once(first.as_str()).chain(rest).collect::<Vec<_>>().join("\n      ")
}

/// `pass^k`: the probability that k runs in a row pass, for 1, 2, and the runs of each case.
fn reliability(summary: &TierSummary) -> Option<String> {
    let pass_hat_k = summary.pass_hat_k.as_ref()?;
    let most = pass_hat_k.len();
    let shown = pass_hat_k.iter().enumerate().filter(|(index, _)| *index < 2 || index + 1 == most);
    Some(
        shown
            .map(|(index, share)| format!("pass^{} {share:.3}", index + 1))
            .collect::<Vec<_>>()
            .join(", "),
    )
}

fn counts(summary: &TierSummary) -> String {
    let cached = match summary.cached {
        0 => String::new(),
        cached if cached < summary.cases => format!(" ({cached} from the cache)"),
        _ => " (from the cache)".to_owned(),
    };
    let some = |count: usize, what: &str| {
        if count > 0 { format!(", {count} {what}") } else { String::new() }
    };
    let errored = some(summary.errored, "errored");
    let cost = summary.cost_usd.map(|cost| format!(", cost ${cost:.4}")).unwrap_or_default();
    format!(
        "{} passed, {} failed{errored} of {}{cached}{}{}, score {:.3}{}, p50 {}, p95 {}{}, wall \
        {:.2} s{}{cost}",
        summary.passed,
        summary.failed,
        summary.cases,
        some(summary.quarantined, "in quarantine"),
        some(summary.flaky, "flaky"),
        summary.score,
        summary.budget.score.map(|least| format!(" (min {least})")).unwrap_or_default(),
        milliseconds(summary.p50_ms),
        milliseconds(summary.p95_ms),
        of(summary.budget.p95_ms),
        summary.wall_s,
        of(summary.budget.wall_s),
    )
}

/// The budget of a figure, in the figure's unit.
fn of(most: Option<f64>) -> String {
    most.map(|most| format!(" of {most}")).unwrap_or_default()
}

fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}
