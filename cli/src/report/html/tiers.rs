//! A card for each tier: its figures and budgets, and histograms of scores and times. And the
//! changes against the baseline.

use super::{charts, class, escaped};
use crate::report::difference::chance;
use crate::report::{Against, TierReport};
use agent_core::testing::comparison::{CaseChanges, TierComparison};
use agent_core::testing::evaluation::{TierSummary, Verdict};

pub(super) fn card(report: &TierReport) -> String {
    let summary = &report.summary;
    let (tone, word) = (class(summary.verdict), summary.verdict.as_str());
    format!(
        "<article class=\"card\"><header><h2>{}</h2><span class=\"chip \
        {tone}\">{word}</span></header>\
         <div class=\"figures\">{}</div>{}<div class=\"charts\">{}{}</div></article>",
        report.tier,
        figures(summary),
        reasons(summary.verdict, &summary.reasons),
        charts::scores(&report.results),
        charts::times(&report.results, summary)
    )
}

fn figures(summary: &TierSummary) -> String {
    let budget = summary.budget;
    let rate = if summary.cases == 0 { 0.0 } else { summary.passed as f64 / summary.cases as f64 };
    let passed = format!("{} / {}", summary.passed, summary.cases);
    [
        figure(
            "passed",
            &passed,
            rate,
            1.0,
            budget.pass_rate.map(|least| (least, rate < least, format!("at least {least}"))),
        ),
        figure(
            "score",
            &format!("{:.3}", summary.score),
            summary.score,
            1.0,
            budget.score.map(|least| (least, summary.score < least, format!("at least {least}"))),
        ),
        most("p95", summary.p95_ms, budget.p95_ms, "ms"),
        most("wall time", summary.wall_s, budget.wall_s, "s"),
    ]
    .concat()
}

fn most(name: &str, value: f64, most: Option<f64>, unit: &str) -> String {
    let shown =
        if value < 10.0 { format!("{value:.2} {unit}") } else { format!("{value:.0} {unit}") };
    let bound = most.map(|most| (most, value > most, format!("at most {most} {unit}")));
    figure(name, &shown, value, most.unwrap_or(value) * 1.25, bound)
}

/// A number; with a budget, also a bar towards `whole` with a mark at the budget.
fn figure(
    name: &str,
    shown: &str,
    value: f64,
    whole: f64,
    bound: Option<(f64, bool, String)>,
) -> String {
    let percent =
        |part: f64| if whole > 0.0 { (100.0 * part / whole).clamp(0.0, 100.0) } else { 0.0 };
    let (missed, meter, words) = match bound {
        None => ("", String::new(), String::new()),
        Some((bound, missed, words)) => (
            if missed { " missed" } else { "" },
            format!(
                "<div class=\"meter\"><i style=\"width:{:.1}%\"></i><u \
                style=\"left:{:.1}%\"></u></div>",
                percent(value),
                percent(bound)
            ),
            format!(", {words}"),
        ),
    };
    format!("<div class=\"figure{missed}\"><b>{shown}</b>{meter}<span>{name}{words}</span></div>")
}

fn reasons(verdict: Verdict, reasons: &[String]) -> String {
    if reasons.is_empty() {
        return String::new();
    }
    let items =
        reasons.iter().map(String::as_str).map(escaped).collect::<Vec<_>>().join("</li><li>");
    format!("<ul class=\"reasons {}\"><li>{items}</li></ul>", class(verdict))
}

/// The changes against the baseline; empty without one.
pub(super) fn against(report: &TierReport) -> String {
    let Some(Against { with, comparison, gate }) = &report.against else { return String::new() };
    let gate = gate.as_ref().map(|(verdict, why)| reasons(*verdict, why)).unwrap_or_default();
    let changes = match &comparison.cases {
        Some(cases) => changes(cases),
        None => reasons(
            Verdict::NotEnoughEvidence,
            &[format!(
                "not comparable: the {} differ, so no case is paired",
                comparison.differing.join(" and ")
            )],
        ),
    };
    format!(
        "<section class=\"card against\"><h2>{} against {}</h2><div \
        class=\"line\">{}</div>{changes}{gate}</section>",
        report.tier,
        escaped(with),
        steps(comparison)
    )
}

fn steps(comparison: &TierComparison) -> String {
    let TierComparison { from, to, .. } = comparison;
    let step = |name: &str, from: f64, to: f64| {
        let tone = if to > from { "up" } else { "down" };
        let sign = if to < from { "−" } else { "+" };
        let by = (to - from).abs();
        let delta = if by < 5e-4 {
            String::new()
        } else {
            format!(" <span class=\"delta {tone}\">{sign}{by:.3}</span>")
        };
        format!(
            "<span><span class=\"faint\">{name}</span> {from:.3} → \
            <strong>{to:.3}</strong>{delta}</span>"
        )
    };
    let times = format!(
        "<span><span class=\"faint\">p95</span> {:.2} → <strong>{:.2}</strong> ms</span>",
        from.p95_ms, to.p95_ms
    );
    [step("score", from.score, to.score), step("pass rate", from.pass_rate, to.pass_rate), times]
        .concat()
}

fn changes(cases: &CaseChanges) -> String {
    if cases.flips.is_empty() {
        return format!("<p>All {} shared cases have the same outcome.</p>", cases.pairs);
    }
    let chance = |p| escaped(&chance(p));
    let (by_chance, flips_by_chance) =
        (chance(cases.significance.scores_p), chance(cases.significance.outcomes_p));
    format!(
        "<p><strong>{}</strong> better and <strong>{}</strong> worse of {} shared cases <span \
        class=\"faint\">({by_chance})</span>; \
         <strong>{}</strong> now pass and <strong>{}</strong> no longer do <span \
         class=\"faint\">({flips_by_chance})</span></p>",
        cases.better, cases.worse, cases.pairs, cases.fixed, cases.broken
    )
}
