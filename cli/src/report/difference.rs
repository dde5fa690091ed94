//! The text report of the difference of two versions: Contract, files, learned state, then each
//! tier with its changed cases.

use crate::printer::{Printer, Style};
use crate::report::table;
use crate::report::value::shown_or;
use agent_core::bisection::difference::{
    Missing, PathChange, PathStatus, StateChange, VersionDifference, side_name,
};
use agent_core::contract::assessment::Assessment;
use agent_core::testing::case_result::Outcome;
use agent_core::testing::comparison::{
    CaseChanges, Direction, Ended, Figures, Flip, TierComparison,
};
use agent_core::version::Bump;

/// At most `limit` changes of each kind.
pub fn render(difference: &VersionDifference, limit: usize) -> String {
    let mut lines = Vec::new();
    if let Some(contract) =
        difference.contract.as_ref().filter(|contract| !contract.changes.is_empty())
    {
        lines.extend(bump(contract));
    }
    lines.extend(some(&difference.code, limit, "files", path));
    lines.extend(some(&difference.state, limit, "values", state));
    let names = [
        side_name(difference.from_version.as_ref(), &difference.from),
        side_name(difference.to_version.as_ref(), &difference.to),
    ];
    for comparison in &difference.tiers {
        lines.extend(tier(comparison, &names, limit));
    }
    lines.extend(difference.missing.iter().map(missing));
    lines.join("\n")
}

/// One line for each of the first items, and one for the rest.
fn some<T>(items: &[T], limit: usize, noun: &str, line: impl Fn(&T) -> String) -> Vec<String> {
    let mut lines: Vec<_> = items.iter().take(limit).map(line).collect();
    if items.len() > limit {
        lines.push(format!("  and {} more {noun}; `--limit` shows more", items.len() - limit));
    }
    lines
}

fn bump(contract: &Assessment) -> Vec<String> {
    let style = |level| match level {
        Bump::Major => Style::Bad,
        Bump::Minor => Style::Warning,
        Bump::Patch => Style::Faint,
    };
    let change = |change: &agent_core::contract::Change| {
        let place = change.tool.as_deref().map(|tool| format!("{tool}: ")).unwrap_or_default();
        format!(
            "{}  {place}{}",
            Printer::styled(style(change.level), &format!("{:<5}", change.level)),
            change.message
        )
    };
    contract.changes.iter().map(change).collect()
}

fn path(change: &PathChange) -> String {
    let (style, letter) = match change.status {
        PathStatus::Added => (Style::Good, "A"),
        PathStatus::Removed => (Style::Bad, "D"),
        PathStatus::Modified => (Style::Warning, "M"),
    };
    format!("{} {}", Printer::styled(style, letter), change.path)
}

fn state(change: &StateChange) -> String {
    format!(
        "  {}: {} -> {}",
        change.path,
        shown_or(change.old.as_ref(), "(nothing)"),
        shown_or(change.new.as_ref(), "(nothing)")
    )
}

fn tier(comparison: &TierComparison, names: &[String; 2], limit: usize) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<5} {}",
        comparison.tier.as_str(),
        figures(&comparison.from, &comparison.to)
    )];
    if let Some(cases) = &comparison.cases {
        lines.push(format!("      {}", verdict(cases)));
        lines.extend(flips(&cases.flips, limit, "`--limit` shows more"));
    } else {
        let word = Printer::styled(Style::Warning, "not comparable");
        let what = comparison.differing.join(" and ");
        lines.push(format!(
            "      {word}: {} has other {what} than {}, so no case is paired",
            names[1], names[0]
        ));
    }
    lines
}

fn figures(from: &Figures, to: &Figures) -> String {
    format!(
        "score {}, pass rate {}, p95 {:.2} -> {:.2} ms",
        step(from.score, to.score),
        step(from.pass_rate, to.pass_rate),
        from.p95_ms,
        to.p95_ms
    )
}

fn step(from: f64, to: f64) -> String {
    let style = if to < from { Style::Bad } else { Style::Good };
    let now = format!("{to:.3}");
    format!(
        "{from:.3} -> {}",
        if format!("{from:.3}") == now { now } else { Printer::styled(style, &now) }
    )
}

fn verdict(cases: &CaseChanges) -> String {
    if cases.flips.is_empty() {
        return format!("all {} shared cases have the same outcome", cases.pairs);
    }
    format!(
        "{} better, {} worse of {} shared cases ({}); {} now pass, {} no longer do ({})",
        cases.better,
        cases.worse,
        cases.pairs,
        chance(cases.significance.scores_p),
        cases.fixed,
        cases.broken,
        chance(cases.significance.outcomes_p)
    )
}

/// A p-value; small ones are cut off at 0.001.
pub fn chance(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") }
}

/// The changed cases, in columns; `more` is the option that shows the rest.
pub fn flips(flips: &[Flip], limit: usize, more: &str) -> Vec<String> {
    let shown = &flips[..flips.len().min(limit)];
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|flip| {
            let ended = format!("{} -> {}", ended(flip.from), ended(flip.to));
            vec![flip.id.clone(), ended, flip.place.clone().unwrap_or_default()]
        })
        .collect();
    let word = |flip: &Flip| match flip.direction {
        Direction::Worse => Printer::styled(Style::Bad, "worse "),
        Direction::Better => Printer::styled(Style::Good, "better"),
    };
    let mut lines: Vec<_> = shown
        .iter()
        .zip(table::lines(&rows))
        .map(|(flip, row)| format!("  {}  {row}", word(flip)))
        .collect();
    if flips.len() > limit {
        lines.push(format!("  and {} more cases; {more}", flips.len() - limit));
    }
    lines
}

/// `failed 0.250`.
pub fn ended(ended: Ended) -> String {
    let word = match ended.outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Errored => "errored",
    };
    format!("{word} {:.3}", ended.score)
}

fn missing(missing: &Missing) -> String {
    let word = Printer::styled(Style::Warning, &format!("{:<5}", missing.what));
    format!("{word} of {} is not in the store: `{}` creates it", missing.of, missing.how)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::formats::manifest::Tier;
    use agent_core::formats::object_id::ObjectId;
    use agent_core::testing::comparison::Significance;

    fn sample() -> VersionDifference {
        let from = Figures {
            cases: 3,
            passed: 2,
            pass_rate: 2.0 / 3.0,
            score: 0.75,
            p50_ms: 1.0,
            p95_ms: 2.5,
        };
        let flip = |id: &str, direction, from, to| Flip {
            id: id.to_owned(),
            direction,
            from,
            to,
            place: Some("tests/micro/a.jsonl:1".to_owned()),
            why: None,
            why_withheld: false,
        };
        let [passed, failed] = [
            Ended { outcome: Outcome::Passed, score: 1.0 },
            Ended { outcome: Outcome::Failed, score: 0.25 },
        ];
        let flips = vec![
            flip("long-name", Direction::Worse, passed, failed),
            flip("b", Direction::Better, failed, passed),
        ];
        let significance = Significance { outcomes_p: 1.0, scores_p: 1.0 };
        let cases =
            CaseChanges { pairs: 3, better: 1, worse: 1, fixed: 1, broken: 1, significance, flips };
        let micro = TierComparison {
            tier: Tier::Micro,
            comparable: true,
            differing: Vec::new(),
            from,
            to: from,
            cases: Some(cases),
        };
        let fast = TierComparison {
            tier: Tier::Fast,
            comparable: false,
            differing: vec!["cases", "scorers"],
            cases: None,
            ..micro.clone()
        };
        VersionDifference {
            schema: agent_core::bisection::difference::SCHEMA,
            from: ObjectId::of_blob(b"from"),
            to: ObjectId::of_blob(b"to"),
            from_version: Some(semver::Version::new(0, 1, 0)),
            to_version: Some(semver::Version::new(0, 1, 1)),
            contract: None,
            code: vec![PathChange { path: "runner/x.py".to_owned(), status: PathStatus::Added }],
            state: vec![StateChange {
                path: "k1".to_owned(),
                old: None,
                new: Some(serde_json::json!(1.5)),
            }],
            tiers: vec![micro, fast],
            missing: vec![Missing {
                of: "v0.1.0".to_owned(),
                what: "full".to_owned(),
                how: "agent test --at v0.1.0 --tier full".to_owned(),
            }],
        }
    }

    #[test]
    fn breaking_changes_come_first_and_missing_evidence_last() {
        let expected = "\
A runner/x.py
  k1: (nothing) -> 1.5
micro score 0.750 -> 0.750, pass rate 0.667 -> 0.667, p95 2.50 -> 2.50 ms
      1 better, 1 worse of 3 shared cases (p = 1.000); 1 now pass, 1 no longer do (p = 1.000)
  worse   long-name  passed 1.000 -> failed 0.250  tests/micro/a.jsonl:1
  and 1 more cases; `--limit` shows more
fast  score 0.750 -> 0.750, pass rate 0.667 -> 0.667, p95 2.50 -> 2.50 ms
      not comparable: v0.1.1 has other cases and scorers than v0.1.0, so no case is paired
full  of v0.1.0 is not in the store: `agent test --at v0.1.0 --tier full` creates it";
        assert_eq!(anstream::adapter::strip_str(&render(&sample(), 1)).to_string(), expected);
    }
}
