use super::{outcome, publishing};
use crate::commands::traced::traced;
use crate::context::Context;
use crate::exit::CommandResult;
use agent_core::formats::manifest::{GateMode, GateTest};
use agent_engine::versions::promotion::{self, Options};

/// Make the tuned state the next PATCH and serve it
///
/// Staging's updates become a commit on `active` that touches only `state/`. The tier and the gate
/// of `[promote]` in agent.toml judge it first, paired with what is served now. A gain that may be
/// noise does not pass: the gate requires evidence, and with every attempt the ledger
/// (refs/agent/ledger) requires more.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The gate, instead of the manifest's: better or not-worse
    #[arg(long, value_name = "MODE")]
    gate: Option<GateMode>,
    /// The test, instead of the manifest's: e-process, mcnemar, tango, bootstrap or signed-rank
    #[arg(long, value_name = "TEST")]
    test: Option<GateTest>,
    #[command(flatten)]
    publishing: publishing::PublishOptions,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository_to(arguments.publishing.writes())?;
    let options = Options {
        gate: arguments.gate,
        test: arguments.test,
        dry_run: arguments.publishing.dry_run,
        frozen: None,
    };
    traced(&repository, "promote", || {
        let push = arguments.publishing.pushes(&repository);
        outcome::published("promoted", &repository, context, push, || {
            promotion::promote(&repository, &options)
        })
    })
}
