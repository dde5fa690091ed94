//! The report of the verbs that make versions.

use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::printer::{Printer, Style};
use crate::report::difference;
use agent_core::formats::committed::Warnings;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::evaluation::Refusal;
use agent_core::version::{Kind, tag as tag_of};
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::sync::{self, MainLacks};
use agent_engine::versions::{self, Outcome};

/// The number of worse cases that are printed with an outcome.
const WORSE_SHOWN: usize = 3;

/// Makes a version, pushes it where `--push` or agent.toml request that, and reports the outcome.
pub fn published(
    verb: &str,
    repository: &Repository,
    context: &Context,
    push: bool,
    make: impl FnMut() -> Result<Outcome, Failure>,
) -> CommandResult {
    let outcome = made(repository, push, make)?;
    let exit = report(verb, &outcome, &context.printer);
    followed(
        repository,
        outcome.tag.as_deref(),
        outcome.pushed.as_deref(),
        outcome.main.as_ref(),
        &context.printer,
    );
    Ok(exit)
}

/// Makes a version, pushes it on request, and compares `main` with it.
pub fn made(
    repository: &Repository,
    push: bool,
    mut make: impl FnMut() -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let mut outcome = if push { versions::made_and_pushed(repository, make)? } else { make()? };
    outcome.main = outcome
        .commit
        .as_ref()
        .filter(|made| is_of_code(repository, made))
        .and_then(|_| main_lacks(repository));
    Ok(outcome)
}

/// Whether the version changes code. A promotion does not, so `main` lacks nothing after it.
fn is_of_code(repository: &Repository, version: &ObjectId) -> bool {
    repository.git.commit(version).is_ok_and(|made| made.trailers.kind != Some(Kind::Promotion))
}

/// The served code that `main` lacks. The version is published already, so a failure here is only a
/// warning.
pub fn main_lacks(repository: &Repository) -> Option<MainLacks> {
    let mut warnings = Warnings::none();
    let lacks = warnings
        .note(sync::main_lacks(repository), "cannot determine whether main has the served code");
    repository.say(warnings);
    lacks.flatten()
}

/// Reports the push, and the commands that remain for the remote and `main`.
pub fn followed(
    repository: &Repository,
    tag: Option<&str>,
    pushed: Option<&str>,
    main: Option<&MainLacks>,
    printer: &Printer,
) {
    match (pushed, tag) {
        (Some(remote), _) => printer.say(format!("pushed to {remote}")),
        (None, Some(tag)) if !repository.git.remotes().is_empty() => {
            printer.say(format!("{tag} is not pushed; run `agent sync` to push it"));
        }
        _ => {}
    }
    if let Some(MainLacks { lacks, hint }) = main {
        printer.say(format!("main lacks the code of {}; to add it: {hint}", tag_of(lacks)));
    }
}

pub fn report(verb: &str, outcome: &Outcome, printer: &Printer) -> Exit {
    printer.json(outcome);
    print(verb, outcome, printer)
}

/// Like `report`, where the outcome is part of a larger document.
pub fn print(verb: &str, outcome: &Outcome, printer: &Printer) -> Exit {
    for (number, step) in outcome.plan.iter().enumerate() {
        printer.data(format!("{}. {step}", number + 1));
    }
    if !outcome.plan.is_empty() {
        printer.say(&outcome.why);
        return outcome.refusal.into();
    }
    let lead = match (outcome.done, outcome.refusal) {
        (true, _) => Printer::styled(Style::Good, verb),
        (false, None) => Printer::styled(Style::Strong, "nothing done:"),
        (false, Some(Refusal::NotEnoughEvidence)) => {
            Printer::styled(Style::Warning, "not enough evidence:")
        }
        (false, _) => Printer::styled(Style::Bad, "refused:"),
    };
    let lines = difference::flips(&outcome.worse, WORSE_SHOWN, "`--json` lists all");
    let head = match worst(outcome) {
        Some(worst) => format!("{lead} {worst}\n  {}", outcome.why),
        None => format!("{lead} {}", outcome.why),
    };
    let message = std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n");
    if outcome.refusal.is_none() {
        printer.done(message, outcome.tag.as_deref());
    } else {
        printer.refused(message);
    }
    if let Some(hint) = &outcome.hint {
        printer.hint(hint);
    }
    outcome.refusal.into()
}

/// The case that explains a refusal best: ``case `review` got worse (1.000 -> 0.129)``.
fn worst(outcome: &Outcome) -> Option<String> {
    let flip = outcome.worse.first().filter(|_| outcome.refusal == Some(Refusal::Judged))?;
    let scores = format!("{:.3} -> {:.3}", flip.from.score, flip.to.score);
    Some(match outcome.worse.len() {
        1 => format!("case `{}` got worse ({scores})", flip.id),
        count => format!("{count} cases got worse, `{}` most ({scores})", flip.id),
    })
}
