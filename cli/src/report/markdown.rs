//! Markdown for a workflow's summary: a table of the tiers, then what did not pass.

use crate::report::TierReport;
use agent_core::evaluation::{CaseResult, Outcome, Verdict};
use std::fmt::Write as _;

pub fn render(reports: &[TierReport]) -> String {
    let mut text = String::from("| tier | verdict | passed | failed | errored | score | p50 | p95 | wall |\n");
    text.push_str("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for TierReport { tier, summary, .. } in reports {
        let _ = writeln!(
            text,
            "| {tier} | {} {} | {} | {} | {} | {:.3} | {:.2} ms | {:.2} ms | {:.2} s |",
            mark(summary.verdict),
            summary.verdict.as_str(),
            summary.passed,
            summary.failed,
            summary.errored,
            summary.score,
            summary.p50_ms,
            summary.p95_ms,
            summary.wall_s
        );
    }
    for report in reports {
        for reason in &report.summary.reasons {
            let _ = writeln!(text, "\n**{}**: {}", report.tier, in_table(reason));
        }
        failures(&mut text, report);
        quarantines(&mut text, report);
    }
    text
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => ":white_check_mark:",
        Verdict::NotEnoughEvidence => ":grey_question:",
        Verdict::Fail => ":x:",
    }
}

fn failures(text: &mut String, report: &TierReport) {
    let failures = report.failures();
    if failures.is_empty() {
        return;
    }
    let _ = write!(text, "\n### Not passed in {}\n\n| case | where | why |\n| --- | --- | --- |\n", report.tier);
    for result in failures {
        let _ = writeln!(text, "| {} | {} | {} |", name(result), in_table(result.place.as_deref().unwrap_or_default()), why(result));
    }
}

fn quarantines(text: &mut String, report: &TierReport) {
    let told = report.quarantines();
    if told.is_empty() {
        return;
    }
    let _ = write!(text, "\n### Quarantine in {}\n\n| case | where | what |\n| --- | --- | --- |\n", report.tier);
    for (result, told) in told {
        let _ = writeln!(text, "| {} | {} | {} |", name(result), in_table(result.place.as_deref().unwrap_or_default()), in_table(&told));
    }
}

fn name(result: &CaseResult) -> String {
    let must = if result.must { " **(must pass)**" } else { "" };
    format!("{}{must}", in_table(&result.id))
}

fn why(result: &CaseResult) -> String {
    let word = if result.outcome == Outcome::Errored { "error: " } else { "" };
    format!("{word}{}", in_table(result.why.as_deref().unwrap_or_default()))
}

/// Text of the outside world, made harmless in a table's cell.
fn in_table(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' => out.extend(['\\', character]),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\n' => out.push_str("<br>"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{sample, unsure};

    #[test]
    fn quarantine_is_shown_with_its_day() {
        let expected = "
### Quarantine in micro

| case | where | what |
| --- | --- | --- |
| a |  | failed; in quarantine until 2027-01-31: the network |
| b |  | its quarantine has ended on 2026-01-31 (the network): it counts again; take \"quarantine\" out, or set another day |
";
        let text = render(&[unsure()]);
        assert!(text.ends_with(expected), "{text}");
        assert!(!text.contains("| a |  |  |"), "what is in quarantine is no failure: {text}");
    }

    #[test]
    fn a_table_and_what_did_not_pass() {
        let expected = "\
| tier | verdict | passed | failed | errored | score | p50 | p95 | wall |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| micro | :x: fail | 1 | 1 | 1 | 0.333 | 0.00 ms | 2.00 ms | 1.50 s |

**micro**: 1 case that must pass did not: c

**micro**: the pass rate 0.333 is below the budget of 1

### Not passed in micro

| case | where | why |
| --- | --- | --- |
| c **(must pass)** |  | error: the Runner died |
| b &lt;&amp;> |  | $.x: expected \"1\"\u{1}<br>second \\| line |
";
        assert_eq!(render(&[sample()]), expected);
    }
}
