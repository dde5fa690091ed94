mod bundle;
mod install;
mod uninstall;

use crate::commands::access;
use crate::context::Context;
use crate::exit::CommandResult;
use agent_core::protocol::traffic::Traffic;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_serve::api::architect;
use agent_serve::mcp;
use agent_serve::mcp::http::{self, address::Address};
use std::time::Duration;

/// Serve Runner, Tuner or Architect over MCP; configure MCP hosts
///
/// The host starts this instead of the server itself. Each call is served with the state that is
/// active at that time. A promotion takes effect with the next call, and a Runner that exits is
/// restarted.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

impl Arguments {
    pub const fn serves(&self) -> bool {
        matches!(self.action, Action::Runner(_) | Action::Tuner(_) | Action::Architect(_))
    }
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// The tools that do the tasks
    Runner(Serve),
    /// The tools that turn feedback into new state, which goes to staging
    Tuner(ServeTuner),
    /// Feedback, and the runs that change the code for it
    Architect(ServeArchitect),
    Install(install::Arguments),
    Uninstall(uninstall::Arguments),
    Bundle(bundle::Arguments),
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// What to serve: active, staging, worktree, a version, a range such as ^1.2, a pin, or any
    /// commit; or shares of the conversations, as active=90,staging=10
    #[arg(long, value_name = "WHAT", default_value = "active")]
    at: Traffic,
    /// A shadow target: each call is sent to it as well. Its results are discarded, and `agent log`
    /// shows its calls
    #[arg(long, value_name = "WHAT")]
    shadow: Option<What>,
    #[command(flatten)]
    transport: Transport,
}

#[derive(Debug, clap::Args)]
struct ServeTuner {
    /// The version whose Tuner is served: active, worktree, a version, a range, a pin, or any
    /// commit; its signals go to staging in any case
    #[arg(long, value_name = "WHAT", default_value = "active")]
    at: What,
    #[command(flatten)]
    transport: Transport,
}

#[derive(Debug, clap::Args)]
struct ServeArchitect {
    #[command(flatten)]
    transport: Transport,
}

/// The transport.
#[derive(Debug, clap::Args)]
struct Transport {
    /// Serve over Streamable HTTP instead of stdio, at http://HOST:PORT/mcp. The default of HOST is
    /// 127.0.0.1; port 0 picks a free one
    #[arg(long, value_name = "ADDR")]
    http: Option<Address>,
    /// Close an HTTP session after this time without a request
    #[arg(long, value_name = "SECONDS", default_value_t = 1800.0, requires = "http")]
    session_idle: f64,
    #[command(flatten)]
    access: access::Arguments,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.action {
        Action::Runner(Serve { at, shadow, transport }) => {
            let options = transport.options()?;
            Ok(mcp::serve_runner(context.repository()?, at.clone(), shadow.clone(), options)?
                .into())
        }
        Action::Tuner(ServeTuner { at, transport }) => {
            let options = transport.options()?;
            Ok(mcp::serve_tuner(context.repository()?, at.clone(), options)?.into())
        }
        Action::Architect(serve) => {
            Ok(architect::mcp::serve(&context.location(), serve.transport.options()?)?.into())
        }
        Action::Install(arguments) => install::run(arguments, context),
        Action::Uninstall(arguments) => uninstall::run(arguments, context),
        Action::Bundle(arguments) => bundle::run(arguments, context),
    }
}

impl Transport {
    fn options(&self) -> Result<Option<http::Options>, Failure> {
        let Some(address) = self.http.clone() else {
            let wrong = Failure::usage(
                "`--token` and `--allow-host` are for HTTP clients: give `--http ADDR` too",
            );
            return if self.access.is_default() { Ok(None) } else { Err(wrong) };
        };
        let idle_limit = Duration::try_from_secs_f64(self.session_idle);
        let idle_limit = idle_limit
            .map_err(|_| Failure::usage("`--session-idle` is not a number of seconds"))?;
        Ok(Some(http::Options { address, access: self.access.access(), idle_limit }))
    }
}
