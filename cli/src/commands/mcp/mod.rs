mod bundle;
mod install;

use crate::commands::access;
use crate::context::Context;
use agent_core::protocol::traffic::Traffic;
use agent_core::version::what::What;
use agent_engine::error::{CommandError, CommandResult};
use agent_serve::api::architect;
use agent_serve::mcp;
use agent_serve::mcp::http::{self, address::Address};
use std::time::Duration;

/// Serve the Runner, the Tuner or the Architect to an MCP host, over stdio or Streamable HTTP, and configure hosts for it
///
/// The host launches this in place of the server itself. Each call is served under the state that is active at that moment; a promotion is picked up
/// by the next call, and a Runner that dies is started again.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    door: Door,
}

impl Arguments {
    pub const fn serves(&self) -> bool {
        matches!(self.door, Door::Runner(_) | Door::Tuner(_) | Door::Architect(_))
    }
}

#[derive(Debug, clap::Subcommand)]
enum Door {
    /// The tools that do the tasks
    Runner(Serve),
    /// The tools that turn feedback into new state, which goes to staging
    Tuner(ServeTuner),
    /// Feedback in words, and the runs that change the code for it
    Architect(ServeArchitect),
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
    #[command(flatten)]
    over: Over,
}

#[derive(Debug, clap::Args)]
struct ServeTuner {
    /// Whose Tuner: active, worktree, a version, a range, a pin, or any commit; its signals go to staging in any case
    #[arg(long, value_name = "WHAT", default_value = "active")]
    at: What,
    #[command(flatten)]
    over: Over,
}

#[derive(Debug, clap::Args)]
struct ServeArchitect {
    #[command(flatten)]
    over: Over,
}

/// What carries the frames.
#[derive(Debug, clap::Args)]
struct Over {
    /// Serve over Streamable HTTP instead of stdio, at http://HOST:PORT/mcp; a port alone is of this machine, port 0 is any that is free
    #[arg(long, value_name = "ADDR")]
    http: Option<Address>,
    /// Close an HTTP session that nobody has used for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 1800.0, requires = "http")]
    session_idle: f64,
    #[command(flatten)]
    access: access::Arguments,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.door {
        Door::Runner(Serve { at, shadow, over }) => {
            let options = over.options()?;
            mcp::serve_runner(context.repository()?, at.clone(), shadow.clone(), options)
        }
        Door::Tuner(ServeTuner { at, over }) => {
            let options = over.options()?;
            mcp::serve_tuner(context.repository()?, at.clone(), options)
        }
        Door::Architect(serve) => architect::mcp::serve(&context.location(), serve.over.options()?),
        Door::Install(arguments) => install::run(arguments, context),
        Door::Bundle(arguments) => bundle::run(arguments, context),
    }
}

impl Over {
    fn options(&self) -> Result<Option<http::Options>, CommandError> {
        let Some(address) = self.http.clone() else {
            let wrong = CommandError::usage("`--token` and `--allow-host` are for HTTP clients: give `--http ADDR` too");
            return if self.access.is_default() { Ok(None) } else { Err(wrong) };
        };
        let idle_limit = Duration::try_from_secs_f64(self.session_idle);
        let idle_limit = idle_limit.map_err(|_| CommandError::usage("`--session-idle` is not a number of seconds"))?;
        Ok(Some(http::Options { address, access: self.access.access(), idle_limit }))
    }
}
