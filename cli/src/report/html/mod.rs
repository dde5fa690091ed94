//! The HTML report: one self-contained file. Without JavaScript it shows the tiers and the failed
//! cases.

mod charts;
mod data;
mod tiers;

use crate::report::{TestReport, TierReport, markup, why};
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::testing::evaluation::Verdict;
use agent_serve::api::versions::page::{ELEMENT, STYLE};
use std::fmt::Write as _;

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
/// The limit of failures without JavaScript; with it all cases are shown.
const STATIC_FAILURES: usize = 500;

pub fn render(report: &TestReport) -> String {
    let title = format!("{}: {}", report.verdict.as_str(), report.what);
    let parts = [
        ("title", escaped(&title)),
        ("style", STYLE.to_owned()),
        ("verdict-class", class(report.verdict).to_owned()),
        ("verdict", escaped(report.verdict.as_str())),
        ("heading", escaped(&heading(report))),
        ("subheading", escaped(&subheading(report))),
        ("cards", report.tiers.iter().map(tiers::card).collect()),
        ("against", report.tiers.iter().map(tiers::against).collect()),
        ("failures", failures(&report.tiers)),
        ("data", data::embedded(report)),
        ("script", [ELEMENT, SCRIPT].concat()),
    ];
    filled(&parts)
}

/// Fills the page's placeholders. Inserted text is not searched again, so a case cannot contain a
/// placeholder.
fn filled(parts: &[(&str, String)]) -> String {
    let mut page = String::new();
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("<!--") {
        page.push_str(before);
        let (name, after) = after.split_once("-->").expect("the page is constant");
        page.push_str(
            &parts.iter().find(|(part, _)| *part == name).expect("the page is constant").1,
        );
        rest = after;
    }
    page + rest
}

fn heading(report: &TestReport) -> String {
    match &report.against {
        Some(with) => format!("{} against {with}", report.what),
        None => report.what.clone(),
    }
}

fn subheading(report: &TestReport) -> String {
    let count: usize = report.tiers.iter().map(|tier| tier.results.len()).sum();
    let failed: usize = report.tiers.iter().map(|tier| tier.failures().len()).sum();
    let tiers = report.tiers.iter().map(|tier| tier.tier.as_str()).collect::<Vec<_>>().join(", ");
    let failed =
        if failed == 0 { "all passed".to_owned() } else { format!("{failed} did not pass") };
    format!(
        "{tiers} · {count} cases, {failed} · {}",
        report.at.get(..16).unwrap_or(&report.at).replace('T', " ") + " UTC"
    )
}

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "good",
        Verdict::NotEnoughEvidence => "warn",
        Verdict::Fail => "bad",
    }
}

fn failures(tiers: &[TierReport]) -> String {
    let failures: Vec<_> = tiers
        .iter()
        .flat_map(|tier| tier.failures().into_iter().map(move |result| (tier, result)))
        .collect();
    if failures.is_empty() {
        return String::new();
    }
    let rows: String =
        failures.iter().take(STATIC_FAILURES).map(|(tier, result)| failure(tier, result)).collect();
    let more = failures.len().saturating_sub(STATIC_FAILURES);
    let more =
        if more > 0 { format!("<p class=\"faint\">and {more} more</p>") } else { String::new() };
    format!(
        "<div class=\"card\"><h2>Not passed</h2><div \
        class=\"scroll\"><table><tbody>{rows}</tbody></table></div>{more}</div>"
    )
}

fn failure(tier: &TierReport, result: &CaseResult) -> String {
    let word = if result.outcome == Outcome::Errored { "errored" } else { "failed" };
    let must = if result.must { " <span class=\"chip plain\">must</span>" } else { "" };
    let mut row =
        format!("<tr><td><span class=\"chip bad\">{word}</span>{must}</td><td>{}</td>", tier.tier);
    let _ = write!(row, "<td class=\"id\">{}<div class=\"faint\">", escaped(&result.id));
    let _ = write!(row, "{}</div></td>", escaped(result.place.as_deref().unwrap_or_default()));
    let _ = write!(row, "<td><div class=\"why\">{}</div></td></tr>", escaped(&why::whole(result)));
    row
}

/// Escapes text and attributes with either quotes.
fn escaped(text: &str) -> String {
    markup::escaped(text).replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{compared, sample};

    #[test]
    fn text_of_cases_is_not_markup() {
        let mut report = compared();
        let result = &mut report.tiers[0].results[1];
        result.id = "</script><!--data--><script>alert(1)</script>".to_owned();
        result.why = Some("$.x: expected \"<b>\", got \"<i onload='x'>\"".to_owned());
        let page = render(&report);
        assert_eq!(page.matches("</script>").count(), 2, "ours");
        assert!(
            !page.contains("<b>") || page.matches("<b>").count() == page.matches("</b>").count(),
            "figures alone are bold"
        );
        assert!(!page.contains("<i onload") && !page.contains("alert(1)</"));
        assert!(page.contains("&lt;/script&gt;&lt;!--data--&gt;"));
        let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["cases"][0]["id"], "</script><!--data--><script>alert(1)</script>");
        assert_eq!(data["cases"][0]["parts"][0]["values"]["got"][0][0], "\"<i onload='x'>\"");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = render(&compared());
        for word in ["http:", "https:", "src=", "href=", "@import", "url(", "fetch(", "import("] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn without_javascript_the_verdict_and_failures_are_shown() {
        let page = render(&compared());
        let page = page.split("<script").next().unwrap();
        for part in [
            "<div class=\"verdict\">fail</div>",
            "1 case that must pass did not: c",
            "b &lt;&amp;&gt;",
            "the Runner died",
            "against v0.1.0",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }

    #[test]
    fn a_tier_without_a_baseline_or_a_case_is_shown_as_well() {
        let mut report = crate::report::TestReport { against: None, ..compared() };
        report.tiers = vec![sample()];
        report.tiers[0].results.clear();
        assert!(render(&report).contains("\"against\":null"));
    }
}
