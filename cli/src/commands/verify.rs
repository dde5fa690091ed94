use crate::context::Context;
use crate::error::CommandResult;
use crate::printer::{Printer, Style};
use crate::repository::Repository;
use crate::verification;
use agent_core::verification::{Report, SCHEMA, Status, verify};
use agent_core::version::tag;
use agent_core::what::What;
use serde_json::json;

/// Check the evidence of a version again: tag, branch, state, evaluation, Journal, feedback
///
/// Exit 1 when something is wrong, 7 when something is only missing here.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  agent verify\n  agent verify v0.1.3\n  agent verify --all -q")]
pub struct Arguments {
    /// A version, a range, a pin, or `active`
    #[arg(value_name = "VERSION", default_value = "active", value_parser = |text: &str| text.parse::<What>())]
    what: What,
    /// Every version there is
    #[arg(long, conflicts_with = "what")]
    all: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = Repository::open(context)?;
    let versions = if arguments.all { repository.git.versions()? } else { vec![repository.version_named(&arguments.what)?] };
    let mut reports = Vec::new();
    for version in &versions {
        let report = verify(&verification::facts(&repository, version)?);
        tell(&report, arguments.all, context);
        reports.push(report);
    }
    let status = reports.iter().map(|report| report.status).max().unwrap_or(Status::Ok);
    context.printer.json(&json!({"schema": SCHEMA, "status": status, "versions": reports}));
    Ok(status.exit())
}

/// All links of one version; of many, only those that do not hold.
fn tell(report: &Report, briefly: bool, context: &Context) {
    let printer = &context.printer;
    printer.data(format!("{}  {}", mark(report.status), Printer::styled(Style::Strong, &tag(&report.version))));
    for check in report.checks.iter().filter(|check| !briefly || check.status != Status::Ok) {
        printer.data(format!("  {}  {:<10}  {}", mark(check.status), check.check, check.message));
    }
}

fn mark(status: Status) -> String {
    let style = match status {
        Status::Ok => Style::Good,
        Status::Missing => Style::Warning,
        Status::Wrong => Style::Bad,
    };
    Printer::styled(style, &format!("{:<7}", status.as_str()))
}
