use super::outcome;
use crate::commands::traced::traced;
use crate::context::Context;
use crate::exit::CommandResult;
use agent_core::formats::manifest::{GateMode, GateTest};
use agent_engine::repository::Writes;
use agent_engine::versions::promotion::{self, Options};

/// Make the tuned state the next PATCH and serve it
///
/// Staging's updates become a commit on `active` that touches only `state/`. The tier and the gate of `[promote]` in agent.toml judge it first, paired with
/// what is served now. What may be chance does not pass: the gate wants evidence, and the ledger (refs/agent/ledger) wants more of it with every try.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The gate in place of the manifest's: better or not-worse
    #[arg(long, value_name = "MODE")]
    gate: Option<GateMode>,
    /// The test in place of the manifest's: e-process, mcnemar, tango, bootstrap or signed-rank
    #[arg(long, value_name = "TEST")]
    test: Option<GateTest>,
    /// Look at the remote first, and push the version with all that belongs to it; made again where another clone is first
    #[arg(long)]
    push: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository_to(Writes::Refs.unless(arguments.dry_run))?;
    let options = Options { gate: arguments.gate, test: arguments.test, dry_run: arguments.dry_run };
    traced(&repository, "promote", || {
        let push = outcome::pushes(&repository, arguments.push, arguments.dry_run);
        outcome::published("promoted", &repository, context, push, || promotion::promote(&repository, &options))
    })
}
