//! The text report of a bisection: each probed point, then the change that broke the case.

use crate::printer::{Printer, Style};
use crate::report::value::{shown, shown_or};
use agent_core::bisection::{Bisection, How, PointOutcome, Probe, Signal};
use agent_core::version::tag;

/// At most so many commits or values are printed.
const SHOWN: usize = 20;

/// One probed point.
pub fn probe(probe: &Probe) -> String {
    let (style, word) = match probe.seen {
        PointOutcome::Passed => (Style::Good, "passes"),
        PointOutcome::Failed => (Style::Bad, "fails"),
        PointOutcome::Absent => (Style::Faint, "absent"),
    };
    let signals = probe.signals.map(|count| format!(" after {count} signals")).unwrap_or_default();
    let how = match probe.how {
        How::Stored => "stored",
        How::Run => "run",
    };
    let padded = format!("{word:<6}");
    format!(
        "{}  {}{signals}  {}",
        Printer::styled(style, &padded),
        tag(&probe.version),
        Printer::styled(Style::Faint, how)
    )
}

pub fn render(found: &Bisection) -> String {
    let mut lines = vec![format!("{}: {}", Printer::styled(Style::Strong, &found.case), found.why)];
    if let Some(why) = found.bad.as_ref().and_then(|bad| bad.why.as_ref()) {
        lines.push(format!("  {}", why.replace('\n', "\n  ")));
    }
    if !found.redefined.is_empty() {
        let what = found.redefined.join(" and the ");
        lines.push(format!(
            "  {} the {what} changed with it",
            Printer::styled(Style::Warning, "note:")
        ));
    }
    lines.extend(found.signal.as_ref().map(signal));
    lines.extend(found.state.iter().take(SHOWN).map(|change| {
        format!(
            "    {}: {} -> {}",
            change.path,
            shown_or(change.old.as_ref(), "(nothing)"),
            shown_or(change.new.as_ref(), "(nothing)")
        )
    }));
    lines.extend(rest(found.state.len(), "values"));
    let short = |commit: &agent_core::bisection::Commit| {
        format!("  {} {}", Printer::styled(Style::Faint, commit.id.short()), commit.subject)
    };
    lines.extend(found.commits.iter().take(SHOWN).map(short));
    lines.extend(rest(found.commits.len(), "commits"));
    lines.join("\n")
}

fn rest(count: usize, noun: &str) -> Option<String> {
    (count > SHOWN).then(|| format!("    and {} more {noun}; --json has them all", count - SHOWN))
}

fn signal(signal: &Signal) -> String {
    let talk =
        signal.conversation.as_ref().map(|id| format!(" of conversation {id}")).unwrap_or_default();
    format!(
        "  by its signal {} of {}: {} ({} {}){talk}",
        signal.number,
        signal.of,
        Printer::styled(Style::Strong, &signal.id),
        signal.tool,
        shown(&signal.arguments)
    )
}
