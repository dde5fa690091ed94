mod export;
mod import;

use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::{sparkline, table};
use agent_core::formats::suggestion::did_you_mean;
use agent_core::slo::Objective;
use agent_core::slo::budget::{Burn, Standing};
use agent_core::slo::series::Count;
use agent_engine::error::Failure;
use agent_engine::slo;

/// Show the service level objectives of live traffic
///
/// Prints, for each objective under `slos` in ci/budgets.json: the share of good events over its
/// window, how much of the error budget is left, and the burn rates. A burn rate of 1 spends the
/// error budget exactly over the window.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\
    \n  agent slo\
    \n  agent slo calls-succeed --json\
    \n  agent slo export > slos.yaml\n\n\
    An objective: {\"name\": \"calls-succeed\", \"indicator\": \
    {\"type\": \"success\"}, \"target\": 0.99, \"window\": \"28d\"}\n\
    Indicators: success, latency (at_most_ms), reward (at_least), cost (at_most_usd). A \"filter\" \
    names a tool, a range of versions or a line (\"1.2\").")]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Show these objectives alone
    names: Vec<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Import(import::Arguments),
    Export(export::Arguments),
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.action {
        None => show(&arguments.names, context),
        Some(Action::Import(arguments)) => import::run(arguments, context),
        Some(Action::Export(arguments)) => export::run(arguments, context),
    }
}

fn show(names: &[String], context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let budgets = slo::budgets(&repository)?;
    expect_known(&budgets.slos, names)?;
    let mut report = slo::report(&budgets, &repository)?;
    report.objectives.retain(|(objective, _)| names.is_empty() || names.contains(&objective.name));
    context.printer.json(&report.document());
    if report.objectives.is_empty() {
        context.printer.say("there are no objectives; add them under `slos` in ci/budgets.json");
    } else {
        for line in objectives_table(&report) {
            context.printer.data(line);
        }
    }
    report.warnings.into_iter().for_each(|warning| context.printer.warn(warning));
    Ok(Exit::Done)
}

/// The lines of a table with where each objective stands.
pub(super) fn objectives_table(report: &slo::Report) -> Vec<String> {
    let titles =
        ["OBJECTIVE", "GOOD", "TARGET", "WINDOW", "EVENTS", "BUDGET LEFT", "BURN RATES", ""];
    let rows: Vec<_> = std::iter::once(titles.map(str::to_owned).to_vec())
        .chain(report.objectives.iter().map(row))
        .collect();
    table::lines(&rows)
}

/// Those of these names; all where none is named.
fn chosen(mut objectives: Vec<Objective>, names: &[String]) -> Result<Vec<Objective>, Failure> {
    expect_known(&objectives, names)?;
    objectives.retain(|objective| names.is_empty() || names.contains(&objective.name));
    Ok(objectives)
}

fn expect_known(objectives: &[Objective], names: &[String]) -> Result<(), Failure> {
    let known = || objectives.iter().map(|objective| objective.name.as_str());
    let Some(unknown) = names.iter().find(|name| !known().any(|known| known == name.as_str()))
    else {
        return Ok(());
    };
    let suggestion = did_you_mean(unknown, known());
    Err(Failure::input(format!("there is no objective `{unknown}`{suggestion}"))
        .with_hint("`agent slo` lists those of ci/budgets.json"))
}

fn row((objective, standing): &(Objective, Standing)) -> Vec<String> {
    let burn_rates: Vec<_> = standing.burn.iter().filter_map(burn_rate).collect();
    vec![
        objective.name.clone(),
        standing.compliance.map_or_else(|| "-".to_owned(), percent),
        percent(objective.target),
        objective.window.to_string(),
        standing.count.total.to_string(),
        standing.budget_left.map_or_else(|| "-".to_owned(), percent),
        if burn_rates.is_empty() { "-".to_owned() } else { burn_rates.join(" ") },
        sparkline::of(&standing.history.iter().map(good_share).collect::<Vec<_>>()),
    ]
}

fn good_share(count: &Count) -> Option<f64> {
    (count.total > 0).then(|| count.good as f64 / count.total as f64)
}

fn burn_rate(burn: &Burn) -> Option<String> {
    burn.rate.map(|rate| format!("{} {rate:.1}", burn.window))
}

/// With enough digits to distinguish 99.99 % from 100 %.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
