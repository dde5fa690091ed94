//! Histograms of scores and times, as inline SVG in the page's colours.

use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::testing::evaluation::TierSummary;
use std::fmt::Write as _;

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 84.0;
const BINS: usize = 20;
/// Between bars.
const GAP: f64 = 2.0;

/// Scores from 0 to 1; failed cases are below passed ones.
pub(super) fn scores(results: &[CaseResult]) -> String {
    let (mut passed, mut failed) = ([0usize; BINS], [0usize; BINS]);
    for result in results {
        let bins = if result.outcome == Outcome::Passed { &mut passed } else { &mut failed };
        bins[bin(result.score)] += 1;
    }
    let stacks: Vec<_> = failed
        .iter()
        .zip(&passed)
        .map(|(failed, passed)| vec![("bar-bad", *failed), ("bar-good", *passed)])
        .collect();
    chart(
        "Scores",
        &bars(&stacks),
        &[(0.0, "0".to_owned()), (0.5, "0.5".to_owned()), (1.0, "1".to_owned())],
        &[],
    )
}

/// Times on a logarithmic scale, with the median and the 95th percentile.
pub(super) fn times(results: &[CaseResult], summary: &TierSummary) -> String {
    let times: Vec<f64> = results
        .iter()
        .filter(|result| result.outcome != Outcome::Errored)
        .map(|result| result.ms.max(1e-3))
        .collect();
    let least = times.iter().copied().fold(f64::INFINITY, f64::min);
    let most = times.iter().copied().fold(0.0, f64::max);
    if times.is_empty() {
        return chart("Times", "", &[], &[]);
    }
    // equal times are in the middle
    let (low, high) = if most / least < 1.05 {
        (least.ln() - 0.5, most.ln() + 0.5)
    } else {
        (least.ln(), most.ln())
    };
    let place = |ms: f64| ((ms.max(1e-3).ln() - low) / (high - low)).clamp(0.0, 1.0);
    let mut counts = [0usize; BINS];
    for ms in &times {
        counts[bin(place(*ms))] += 1;
    }
    let stacks: Vec<_> = counts.iter().map(|count| vec![("bar", *count)]).collect();
    let ends = [(place(least), milliseconds(least)), (place(most), milliseconds(most))];
    let rules = [(place(summary.p50_ms), "p50"), (place(summary.p95_ms), "p95")];
    chart("Times, logarithmic", &bars(&stacks), &ends, &rules)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of the bins, from 0 on"
)]
fn bin(share: f64) -> usize {
    ((share.clamp(0.0, 1.0) * BINS as f64) as usize).min(BINS - 1)
}

fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

fn bars(stacks: &[Vec<(&str, usize)>]) -> String {
    let total = |stack: &Vec<(&str, usize)>| stack.iter().map(|(_, count)| count).sum::<usize>();
    let tallest = stacks.iter().map(total).max().unwrap_or(0).max(1) as f64;
    let width = WIDTH / stacks.len() as f64;
    let mut svg = String::new();
    for (index, stack) in stacks.iter().enumerate() {
        let mut top = HEIGHT;
        for (class, count) in stack.iter().filter(|(_, count)| *count > 0) {
            // a single case among thousands stays visible
            let height = (HEIGHT * *count as f64 / tallest).max(2.0);
            top -= height;
            let left = index as f64 * width + GAP / 2.0;
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" \
                height=\"{height:.1}\"><title>{count} cases</title></rect>",
                width - GAP
            );
        }
    }
    svg
}

/// The bars are stretched to the page's width; labels are text outside the SVG, which is not.
fn chart(title: &str, bars: &str, labels: &[(f64, String)], rules: &[(f64, &str)]) -> String {
    let (mut over, mut under, mut last) = (String::new(), String::new(), f64::NEG_INFINITY);
    for (at, text) in rules {
        let _ = write!(over, "<i style=\"left:{:.2}%\"></i>", at * 100.0);
        // labels that would overlap are joined
        if at - last > 0.07 {
            over.push_str(&name(*at, text));
        }
        last = *at;
    }
    for (at, text) in labels {
        under.push_str(&name(*at, text));
    }
    format!(
        "<figure><figcaption>{title}</figcaption><div class=\"plot\" role=\"img\" \
        aria-label=\"{title}\">\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         preserveAspectRatio=\"none\">{bars}</svg>{over}</div><div \
         class=\"labels\">{under}</div></figure>"
    )
}

fn name(at: f64, text: &str) -> String {
    let class = if at < 0.08 {
        " class=\"start\""
    } else if at > 0.92 {
        " class=\"end\""
    } else {
        ""
    };
    format!("<span{class} style=\"left:{:.2}%\">{text}</span>", at * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_in_a_bar() {
        for (score, expected) in
            [(0.0, 0), (0.049, 0), (0.05, 1), (0.5, 10), (1.0, 19), (f64::NAN, 0)]
        {
            assert_eq!(bin(score), expected, "{score}");
        }
        let result =
            |score, outcome| CaseResult { score, outcome, ms: 1.0, ..CaseResult::passed("x") };
        let svg = scores(&[
            result(1.0, Outcome::Passed),
            result(1.0, Outcome::Passed),
            result(0.2, Outcome::Failed),
        ]);
        assert_eq!((svg.matches("bar-good").count(), svg.matches("bar-bad").count()), (1, 1));
        assert!(svg.contains("<title>2 cases</title>"));
    }
}
