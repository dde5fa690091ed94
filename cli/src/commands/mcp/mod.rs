mod bundle;
mod install;

use crate::context::Context;
use crate::error::CommandResult;
use crate::repository::Repository;
use crate::serve::architect;
use crate::serve::runner::Runner;
use crate::serve::shim::{Server, Shim};
use crate::serve::stdio;
use crate::tuning::Tuner;
use crate::world::process;
use agent_core::traffic::Traffic;
use agent_core::what::What;

/// Serve the Runner, the Tuner or the Architect to an MCP host over stdio, and tell hosts of them
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
    /// Feedback in words, and the runs that change the code for it
    Architect,
    Install(install::Arguments),
    Bundle(bundle::Arguments),
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// What to serve: active, staging, worktree, a version, a range such as ^1.2, a pin, or any commit; or shares of the conversations, as
    /// active=90,staging=10
    #[arg(long, value_name = "WHAT", default_value = "active")]
    at: Traffic,
    /// What gets every call as well and answers nobody: what it does shows in `agent log`
    #[arg(long, value_name = "WHAT")]
    shadow: Option<What>,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.door {
        Door::Runner(serve) => serve_host::<Runner>(&serve.at, serve.shadow.as_ref(), context),
        Door::Tuner => serve_host::<Tuner>(&Traffic::all(What::Active), None, context),
        Door::Architect => architect::mcp::serve(context),
        Door::Install(arguments) => install::run(arguments, context),
        Door::Bundle(arguments) => bundle::run(arguments, context),
    }
}

fn serve_host<S: Server>(at: &Traffic, shadow: Option<&What>, context: &Context) -> CommandResult {
    let repository = Repository::open(context)?;
    let serve = async { stdio::serve(Shim::<S>::new(repository, context.clone(), at.clone(), shadow.cloned())).await };
    process::block_on(async { tokio::task::LocalSet::new().run_until(serve).await })?
}
