//! How the verbs that make versions tell what came of it.

use crate::printer::{Printer, Style};
use crate::versions::Outcome;
use agent_core::diagnose::Exit;

pub fn report(verb: &str, outcome: &Outcome, printer: &Printer) -> Exit {
    printer.json(outcome);
    told(verb, outcome, printer)
}

/// The same, where the outcome is part of a larger document.
pub fn told(verb: &str, outcome: &Outcome, printer: &Printer) -> Exit {
    for (number, step) in outcome.plan.iter().enumerate() {
        printer.data(format!("{}. {step}", number + 1));
    }
    if !outcome.plan.is_empty() {
        printer.say(&outcome.why);
        return outcome.exit;
    }
    let lead = match (outcome.done, outcome.exit) {
        (true, _) => Printer::styled(Style::Good, verb),
        (false, Exit::Done) => Printer::styled(Style::Strong, "nothing done:"),
        (false, Exit::NotEnoughEvidence) => Printer::styled(Style::Warning, "not enough evidence:"),
        (false, _) => Printer::styled(Style::Bad, "refused:"),
    };
    printer.data(format!("{lead} {}", outcome.why));
    outcome.exit
}
