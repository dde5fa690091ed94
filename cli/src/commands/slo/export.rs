use super::chosen;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_engine::error::Failure;
use agent_engine::slo::{self, openslo};
use agent_engine::templates::{GRAFANA_DASHBOARD, PROMETHEUS_RULES};
use serde_json::json;

/// Print the objectives as an OpenSLO file, as rules for Prometheus or as a dashboard for Grafana
///
/// `openslo` prints one `kind: SLO` object of `openslo/v1` for each objective, which `agent slo
/// import` reads. `prometheus` prints a rule file with alerts on burn rates and `grafana` a
/// dashboard: examples for any objectives, over the /metrics of `agent serve versions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent slo export > slos.yaml\
    \n  agent slo export calls-succeed\
    \n  agent slo export --format prometheus > rules.yml")]
pub struct Arguments {
    /// Print these objectives alone
    names: Vec<String>,
    /// What to print
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Openslo)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Openslo,
    Prometheus,
    Grafana,
}

impl Format {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Openslo => "openslo",
            Self::Prometheus => "prometheus",
            Self::Grafana => "grafana",
        }
    }
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let text = match arguments.format {
        Format::Openslo => objectives(&arguments.names, context)?,
        _ if !arguments.names.is_empty() => {
            return Err(Failure::usage(format!(
                "--format {} takes no names of objectives",
                arguments.format.as_str()
            ))
            .with_hint("what it prints is for any objectives: leave the names out"));
        }
        Format::Prometheus => PROMETHEUS_RULES.to_owned(),
        Format::Grafana => GRAFANA_DASHBOARD.to_owned(),
    };
    if !text.is_empty() {
        context.printer.data(text.trim_end());
    }
    context.printer.json(&json!({"schema": "agent/slo-export@1",
        "format": arguments.format.as_str(), "text": text}));
    Ok(Exit::Done)
}

fn objectives(names: &[String], context: &Context) -> Result<String, Failure> {
    let repository = context.repository()?;
    let objectives = chosen(slo::budgets(&repository)?.slos, names)?;
    if objectives.is_empty() {
        context.printer.say("there are no objectives; add them under `slos` in ci/budgets.json");
    }
    Ok(openslo::export(&objectives, &repository))
}
