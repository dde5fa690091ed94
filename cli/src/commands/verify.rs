use crate::context::Context;
use crate::exit::CommandResult;
use crate::printer::{Printer, Style};
use agent_core::verification::history::BranchReport;
use agent_core::verification::{Check, Report, SCHEMA, Status};
use agent_core::version::tag;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::verification::{Subject, Verifier};
use serde_json::json;

/// Check the evidence of a version again
///
/// Checks its tag, branch, objects, evaluation, gate, Journal and feedback. Reads git objects as
/// they are stored, recomputes the figures from the stored results and the gate's decision from its
/// pairs, and follows the branches back to the first version. A missing tag is made again.
///
/// With `--run` the cases are run again, and compared by outcome and score. A case with two
/// outcomes is flaky and counts as no contradiction.
///
/// Exit code 1: something is wrong. 7: something is missing in this clone. A gap that can be filled
/// from this clone is neither.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent verify\
        \n  agent verify v0.1.3\
        \n  agent verify --run\
        \n  agent verify --all -q")]
pub struct Arguments {
    /// A version, a range, a pin, or `active`
    #[arg(value_name = "VERSION", default_value = "active",
        value_parser = |text: &str| text.parse::<What>())]
    what: What,
    /// Check all versions, and all packs of the repository
    #[arg(long, conflicts_with = "what")]
    all: bool,
    /// Also run the evidence again: the tiers under their evaluators without the cache, and the
    /// Journal through the Tuner
    #[arg(long)]
    run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    // a missing tag is reported before it is made again
    let repository = context.repository_without_recovery()?;
    let mut verifier = Verifier::new(&repository)?;
    let subjects: Vec<Subject> = if arguments.all {
        verifier.all()?
    } else {
        repository.subject(&arguments.what)?.into_iter().collect()
    };
    let mut reports = Vec::new();
    for subject in &subjects {
        let mut report = verifier.verify(subject)?;
        if arguments.run
            && let Ok(commit) = repository.git.commit(&subject.commit)
        {
            report = report.with(verifier.run_again(&commit)?);
        }
        show(&tag(&report.version), report.status, &report.checks, arguments.all, context);
        reports.push(report);
    }
    let branches = verifier.branches();
    for branch in &branches {
        show(&branch.branch, branch.status, &branch.checks, arguments.all, context);
    }
    let whole = if arguments.all { Some(verifier.repository_report()?) } else { None };
    if let Some(whole) = whole.as_ref().filter(|whole| whole.status != Status::Ok) {
        show("the repository", whole.status, &whole.checks, true, context);
    }
    let status =
        worst(&reports, &branches).max(whole.as_ref().map_or(Status::Ok, |whole| whole.status));
    context.printer.json(&json!({"schema": SCHEMA, "status": status, "versions": reports,
        "branches": branches, "repository": whole}));
    tag_again(&repository, &verifier, context)?;
    Ok(status.failure().into())
}

fn worst(reports: &[Report], branches: &[BranchReport]) -> Status {
    let versions = reports.iter().map(|report| report.status);
    versions.chain(branches.iter().map(|branch| branch.status)).max().unwrap_or(Status::Missing)
}

fn tag_again(
    repository: &Repository,
    verifier: &Verifier<'_>,
    context: &Context,
) -> Result<(), Failure> {
    let repairs = repository.git.tag_again(verifier.untagged())?;
    repairs.notes.iter().for_each(|note| context.printer.warn(note));
    if !repairs.tags.is_empty() {
        context.printer.say(format!("tagged again: {}", repairs.tags.join(", ")));
    }
    Ok(())
}

/// All checks of one version; of many, only the failed ones.
fn show(name: &str, status: Status, checks: &[Check], briefly: bool, context: &Context) {
    let printer = &context.printer;
    let print = |status, line: String| {
        if status == Status::Ok { printer.done(line, None) } else { printer.data(line) }
    };
    print(status, format!("{}  {}", mark(status), Printer::styled(Style::Strong, name)));
    for check in checks.iter().filter(|check| !briefly || check.status != Status::Ok) {
        print(
            check.status,
            format!("  {}  {:<11}  {}", mark(check.status), check.check, check.message),
        );
    }
}

fn mark(status: Status) -> String {
    let style = match status {
        Status::Ok => Style::Good,
        Status::Gap | Status::Missing => Style::Warning,
        Status::Wrong => Style::Bad,
    };
    Printer::styled(style, &format!("{:<7}", status.as_str()))
}
