use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::testing::budget::FILE;
use agent_core::testing::budget_edit::Change;
use agent_engine::slo::openslo::{self, Options};
use agent_engine::world::input;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Add the objectives of an OpenSLO file to ci/budgets.json
///
/// Reads objects of `openslo/v1`: each `kind: SLO` becomes an objective. Its indicator is a
/// `ratioMetric` whose `metricSource` has the type `agent`, as `agent slo export` prints it: only
/// what is on record can be counted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent slo import slos.yaml --dry-run\
    \n  agent slo import slos.yaml --replace\n\n\
    A metric source: {type: agent, spec: {indicator: {type: latency, at_most_ms: 500}, \
    filter: {tool: ask}}}")]
pub struct Arguments {
    /// The YAML file; `-` reads stdin
    file: PathBuf,
    /// Replace objectives of the same name that have other content
    #[arg(long)]
    replace: bool,
    /// Print what would be done
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let is_stdin = arguments.file == Path::new("-");
    let name = if is_stdin { "stdin".into() } else { arguments.file.display().to_string() };
    let bytes = if is_stdin {
        input::read(&arguments.file)?
    } else {
        input::read(&context.directory.join(&arguments.file))?
    };
    let options = Options { replaces: arguments.replace, dry_run: arguments.dry_run };
    let imported = openslo::import(&bytes, &name, options, &repository)?;
    for (objective, change) in &imported.changes {
        context.printer.data(format!("{:8}  {}", word(*change), objective.name));
    }
    if !imported.left_out.is_empty() {
        context.printer.warn(format!("not imported: {}", imported.left_out.join(", ")));
    }
    if arguments.dry_run {
        context.printer.say(format!("{FILE} is unchanged (--dry-run)"));
    }
    let objectives: Vec<_> = imported
        .changes
        .iter()
        .map(|(objective, change)| {
            let mut document = objective.document();
            document["change"] = json!(change);
            document
        })
        .collect();
    context.printer.json(&json!({"schema": "agent/slo-import@1", "objectives": objectives,
        "left_out": imported.left_out, "dry_run": arguments.dry_run}));
    Ok(Exit::Done)
}

const fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Same => "same",
        Change::Replaced => "replaced",
    }
}
