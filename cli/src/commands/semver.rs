use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::printer::{Printer, Style};
use agent_core::contract::assessment::Assessment;
use agent_core::version::what::What;
use agent_core::version::{Bump, tag};
use agent_engine::error::Failure;
use agent_engine::target::contracts;

/// Show what changed in the Contract and the bump it requires
///
/// The Contract is what the Runner and the Tuner list as their tools, and the state's schema. A
/// change of the code requires a MINOR at least, and Conventional Commits can raise the bump
/// further, except those of reverted commits.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent semver\
    \n  agent semver v0.1.0..v0.2.0\
    \n  agent semver v0.1.0..worktree --json")]
pub struct Arguments {
    /// From A to B, each a WHAT [default: active..HEAD]
    #[arg(value_name = "A..B", default_value = "active..HEAD", hide_default_value = true)]
    range: String,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let (from, to) = ends(&arguments.range)?;
    let repository = context.repository()?;
    let from = repository.target(&from)?;
    let assessment = contracts::assessed(&from, &repository.target(&to)?, &repository)?;
    report(&assessment, from.version.as_ref().map(tag).as_deref(), context);
    Ok(Exit::Done)
}

fn ends(range: &str) -> Result<(What, What), Failure> {
    let (from, to) = range.split_once("..").unwrap_or((range, ""));
    let parse = |text: &str, otherwise: &str| {
        let text = if text.is_empty() { otherwise } else { text };
        text.parse::<What>().map_err(Failure::usage)
    };
    Ok((parse(from, "active")?, parse(to, "HEAD")?))
}

fn report(assessment: &Assessment, version: Option<&str>, context: &Context) {
    context.printer.json(assessment);
    for change in &assessment.changes {
        let level = format!("{:<5}", change.level);
        let place = change.tool.as_deref().map(|tool| format!("{tool}: ")).unwrap_or_default();
        let rule = Printer::styled(Style::Faint, &format!("[{}]", change.rule));
        context.printer.data(format!(
            "{}  {place}{}  {rule}",
            Printer::styled(style(change.level), &level),
            change.message
        ));
    }
    let conclusion = match (assessment.bump, version, &assessment.next) {
        (None, ..) => format!("nothing changed from {} to {}", assessment.from, assessment.to),
        (Some(bump), Some(version), Some(next)) => format!("{bump}: {version} -> {next}"),
        (Some(bump), ..) => {
            format!("{bump}: {} is not a version, so it has no next one", assessment.from)
        }
    };
    context.printer.data(conclusion);
}

const fn style(level: Bump) -> Style {
    match level {
        Bump::Major => Style::Bad,
        Bump::Minor => Style::Warning,
        Bump::Patch => Style::Faint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_left_out_is_active_or_head() {
        for (range, from, to) in [
            ("active..HEAD", "active", "HEAD"),
            ("v0.1.0", "v0.1.0", "HEAD"),
            ("..main", "active", "main"),
            ("0.1.0..", "v0.1.0", "HEAD"),
        ] {
            let ends = ends(range).unwrap();
            assert_eq!(
                (ends.0.to_string().as_str(), ends.1.to_string().as_str()),
                (from, to),
                "{range}"
            );
        }
    }
}
