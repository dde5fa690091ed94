use super::chosen;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_engine::slo::{self, openslo};
use serde_json::json;

/// Print the objectives as an OpenSLO file
///
/// Prints one `kind: SLO` object of `openslo/v1` for each objective, which `agent slo import` reads.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent slo export > slos.yaml\
    \n  agent slo export calls-succeed")]
pub struct Arguments {
    /// Print these objectives alone
    names: Vec<String>,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let objectives = chosen(slo::objectives(&repository)?, &arguments.names)?;
    let text = openslo::export(&objectives, &repository);
    if objectives.is_empty() {
        context.printer.say("there are no objectives; add them under `slos` in ci/budgets.json");
    } else {
        context.printer.data(text.trim_end());
    }
    context.printer.json(&json!({"schema": "agent/slo-export@1", "text": text}));
    Ok(Exit::Done)
}
