use crate::context::Context;
use crate::doctor::{self, Finding, Health};
use crate::exit::Exit;
use crate::printer::{Printer, Style};
use serde_json::json;

/// Check that everything `agent` needs is present and works
///
/// Exits with code 6 when a check fails. Restrictions that do not prevent work are warnings.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Install the hooks, and the refspecs that transfer feedback and pins
    #[arg(long)]
    fix: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> Exit {
    let findings = doctor::examine(context, arguments.fix);
    for finding in &findings {
        if finding.health == Health::Ok {
            context.printer.done(line(finding), None);
        } else {
            context.printer.data(line(finding));
        }
    }
    let worst = findings.iter().map(|finding| finding.health).max().unwrap_or(Health::Ok);
    context
        .printer
        .json(&json!({"schema": "agent/doctor@1", "health": worst, "findings": findings}));
    if worst == Health::Bad { Exit::Surroundings } else { Exit::Done }
}

fn line(finding: &Finding) -> String {
    let (style, word) = match finding.health {
        Health::Ok => (Style::Good, "ok  "),
        Health::Warn => (Style::Warning, "warn"),
        Health::Bad => (Style::Bad, "bad "),
    };
    let line = format!("{} {:11} {}", Printer::styled(style, word), finding.check, finding.found);
    match &finding.hint {
        Some(hint) if finding.health != Health::Ok => {
            format!("{line}\n                 {} {hint}", Printer::styled(Style::Faint, "hint:"))
        }
        _ => line,
    }
}
