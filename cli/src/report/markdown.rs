//! Markdown for a workflow's summary: a table of the tiers, then the failed cases.

use crate::report::difference::ended;
use crate::report::{Against, TestReport, TierReport};
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::testing::comparison::Direction;
use agent_core::testing::evaluation::Verdict;
use std::fmt::Write as _;

/// The limit of listed cases; GitHub limits a summary to one mebibyte.
const FAILURES_SHOWN: usize = 50;
const FLIPS_SHOWN: usize = 20;
const SLOWEST: usize = 5;

pub fn render(report: &TestReport) -> String {
    let against = report
        .against
        .as_ref()
        .map(|with| format!(" against {}", in_table(with)))
        .unwrap_or_default();
    let mut text = format!(
        "## {} {}{against}: {}\n\n",
        mark(report.verdict),
        in_table(&report.what),
        report.verdict.as_str()
    );
    text.push_str("| tier | verdict | passed | failed | errored | score | p50 | p95 | wall |\n");
    text.push_str("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for tier in &report.tiers {
        row(&mut text, tier);
    }
    for tier in &report.tiers {
        for reason in &tier.summary.reasons {
            let _ = writeln!(text, "\n**{}**: {}", tier.tier, in_table(reason));
        }
        changes(&mut text, tier);
        failures(&mut text, tier);
        quarantines(&mut text, tier);
    }
    slowest(&mut text, &report.tiers);
    text
}

/// The figures, each with its budget.
fn row(text: &mut String, report: &TierReport) {
    let summary = &report.summary;
    let budget = summary.budget;
    let least = |bound: Option<f64>| bound.map(|bound| format!(" (≥ {bound})")).unwrap_or_default();
    let most = |bound: Option<f64>, unit: &str| {
        bound.map(|bound| format!(" (≤ {bound} {unit})")).unwrap_or_default()
    };
    let _ = writeln!(
        text,
        "| {} | {} {} | {} of {}{} | {} | {} | {:.3}{} | {:.2} ms | {:.2} ms{} | {:.2} s{} |",
        report.tier,
        mark(summary.verdict),
        summary.verdict.as_str(),
        summary.passed,
        summary.cases,
        least(budget.pass_rate),
        summary.failed,
        summary.errored,
        summary.score,
        least(budget.score),
        summary.p50_ms,
        summary.p95_ms,
        most(budget.p95_ms, "ms"),
        summary.wall_s,
        most(budget.wall_s, "s")
    );
}

fn changes(text: &mut String, report: &TierReport) {
    let Some(Against { with, comparison, gate }) = &report.against else { return };
    let _ = writeln!(text, "\n### {} against {}\n", report.tier, in_table(with));
    for reason in gate.iter().flat_map(|(_, reasons)| reasons) {
        let _ = writeln!(text, "{}\n", in_table(reason));
    }
    if !comparison.comparable {
        let _ =
            writeln!(text, "Not comparable: the {} differ.", comparison.differing.join(" and "));
        return;
    }
    let flips = report.flips();
    if flips.is_empty() {
        text.push_str("Every shared case has the same outcome.\n");
        return;
    }
    text.push_str("| case | was | is |\n| --- | --- | --- |\n");
    for flip in flips.iter().take(FLIPS_SHOWN) {
        let sign = if flip.direction == Direction::Worse {
            ":small_red_triangle_down:"
        } else {
            ":small_blue_diamond:"
        };
        let _ = writeln!(
            text,
            "| {sign} {} | {} | {} |",
            in_table(&flip.id),
            ended(flip.from),
            ended(flip.to)
        );
    }
    more(text, flips.len(), FLIPS_SHOWN);
}

fn more(text: &mut String, count: usize, shown: usize) {
    if count > shown {
        let _ = writeln!(text, "\nand {} more", count - shown);
    }
}

fn slowest(text: &mut String, tiers: &[TierReport]) {
    let mut cases: Vec<_> = tiers
        .iter()
        .flat_map(|tier| tier.results.iter().map(move |result| (tier.tier, result)))
        .collect();
    cases.retain(|(_, result)| result.ms > 0.0);
    cases.sort_by(|one, two| two.1.ms.total_cmp(&one.1.ms));
    if cases.len() <= SLOWEST {
        return;
    }
    text.push_str(
        "\n\
        <details><summary>Slowest cases</summary>\n\n\
        | case | tier | time |\n\
        | --- | --- | ---: |\n",
    );
    for (tier, result) in &cases[..SLOWEST] {
        let _ = writeln!(text, "| {} | {tier} | {:.2} ms |", in_table(&result.id), result.ms);
    }
    text.push_str("\n</details>\n");
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
    let _ = write!(
        text,
        "\n### Not passed in {}\n\n| case | where | why |\n| --- | --- | --- |\n",
        report.tier
    );
    for result in failures.iter().take(FAILURES_SHOWN) {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            name(result),
            in_table(result.place.as_deref().unwrap_or_default()),
            why(result)
        );
    }
    more(text, failures.len(), FAILURES_SHOWN);
}

fn quarantines(text: &mut String, report: &TierReport) {
    let quarantined = report.quarantines();
    if quarantined.is_empty() {
        return;
    }
    let _ = write!(
        text,
        "\n### Quarantine in {}\n\n| case | where | what |\n| --- | --- | --- |\n",
        report.tier
    );
    for (result, why) in quarantined {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            name(result),
            in_table(result.place.as_deref().unwrap_or_default()),
            in_table(&why)
        );
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

/// Escapes foreign text for a cell of a table.
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
    use crate::report::tests::{compared, not_enough_evidence};
    use agent_core::testing::budget::Budget;

    #[test]
    fn quarantines_are_shown_with_their_last_day() {
        let expected = "
### Quarantine in micro

| case | where | what |
| --- | --- | --- |
| a |  | failed; in quarantine until 2027-01-31: the network |
| b |  | its quarantine has ended on 2026-01-31 (the network): it counts again; remove \"quarantine\", or set another day |
";
        let text =
            render(&TestReport { tiers: vec![not_enough_evidence()], against: None, ..compared() });
        assert!(text.ends_with(expected), "{text}");
        assert!(!text.contains("| a |  |  |"), "a quarantined case is not a failure: {text}");
    }

    #[test]
    fn a_table_of_the_tiers_and_the_failed_cases() {
        let expected = "\
## :x: worktree against v0.1.0: fail

| tier | verdict | passed | failed | errored | score | p50 | p95 | wall |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| micro | :x: fail | 1 of 3 (≥ 0.5) | 1 | 1 | 0.333 | 0.00 ms | 2.00 ms (≤ 3 ms) | 1.50 s |

**micro**: 1 case that must pass did not: c

**micro**: 1 case could not be judged: c

**micro**: the pass rate 0.333 is below the budget of 1

### micro against v0.1.0

worse: 1 case

| case | was | is |
| --- | --- | --- |
| :small_red_triangle_down: b &lt;&amp;> | passed 1.000 | failed 0.000 |

### Not passed in micro

| case | where | why |
| --- | --- | --- |
| c **(must pass)** |  | error: the Runner died |
| b &lt;&amp;> |  | $.x: expected \"1\"\u{1}<br>second \\| line |
";
        let mut report = compared();
        report.tiers[0].summary.budget =
            Budget { pass_rate: Some(0.5), p95_ms: Some(3.0), ..Budget::default() };
        assert_eq!(render(&report), expected);
    }

    #[test]
    fn a_large_tier_shows_its_slowest_cases_and_some_failures() {
        let mut report = compared();
        let failure = report.tiers[0].results[1].clone();
        let case = |number: u32| CaseResult {
            id: format!("c{number:03}"),
            ms: f64::from(number),
            ..failure.clone()
        };
        report.tiers[0].results = (0..100).map(case).collect();
        let text = render(&report);
        assert!(
            text.contains("| c099 | micro | 99.00 ms |\n") && !text.contains("| c094 | micro |"),
            "{text}"
        );
        assert!(text.contains("\nand 50 more\n"), "{text}");
    }
}
