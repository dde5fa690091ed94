mod install;

use crate::context::Context;
use crate::error::CommandResult;
use crate::repository::Repository;
use crate::serve::runner::Runner;
use crate::serve::shim::{Server, Shim};
use crate::serve::stdio;
use crate::tuning::Tuner;
use crate::world::process;
use agent_core::what::What;

/// Serve the Runner or the Tuner to an MCP host over stdio, and tell hosts of them
///
/// The host launches this in place of the server itself. Each call is served under the state that is active at that moment; a promotion is picked up
/// by the next call, and a Runner that dies is started again.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    door: Door,
}

#[derive(Debug, clap::Subcommand)]
enum Door {
    /// The tools that do the tasks
    Runner(Serve),
    /// The tools that turn feedback into new state, which goes to staging
    Tuner,
    /// Tell an MCP host of this repository's doors
    Install(install::Arguments),
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// What to serve: active, staging, worktree, a version, a range such as ^1.2, a pin, or any commit
    #[arg(long, value_name = "WHAT", default_value = "active")]
    at: What,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.door {
        Door::Runner(serve) => serve_host::<Runner>(&serve.at, context),
        Door::Tuner => serve_host::<Tuner>(&What::Active, context),
        Door::Install(arguments) => install::run(arguments, context),
    }
}

fn serve_host<S: Server>(at: &What, context: &Context) -> CommandResult {
    let shim = Shim::<S>::new(Repository::open(context)?, context.clone(), at.clone());
    process::block_on(async { tokio::task::LocalSet::new().run_until(stdio::serve(shim)).await })?
}
