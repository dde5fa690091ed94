use crate::context::Context;
use crate::error::CommandResult;
use crate::serve::door::Door;
use crate::serve::{architect, rest, versions};

/// Serve a REST API over HTTP
///
/// It listens on this machine alone unless it is told otherwise, and prints where on stderr. `/openapi.json` describes the API, `/healthz` and
/// `/metrics` are for whoever runs it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  agent serve versions\n  AGENT_TOKEN=... agent serve versions --addr 0.0.0.0:7070")]
pub struct Arguments {
    #[command(subcommand)]
    api: Api,
}

#[derive(Debug, clap::Subcommand)]
enum Api {
    /// Versions, their evaluations, and what differs between them; read-only, with a page to look at
    Versions(Versions),
    /// Feedback in words goes in; runs of the Architect are started, watched and stopped
    Architect(Architect),
}

#[derive(Debug, clap::Args)]
struct Versions {
    /// Where to listen; port 0 takes a free one
    #[arg(long = "addr", value_name = "HOST:PORT", default_value = "127.0.0.1:7070")]
    address: String,
    #[command(flatten)]
    door: Door,
}

#[derive(Debug, clap::Args)]
struct Architect {
    /// Where to listen; port 0 takes a free one
    #[arg(long = "addr", value_name = "HOST:PORT", default_value = "127.0.0.1:7071")]
    address: String,
    #[command(flatten)]
    door: Door,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    match &arguments.api {
        Api::Versions(Versions { address, door }) => {
            rest::serve(versions::service(context, door.access().needs_token()), address, door, context)
        }
        Api::Architect(Architect { address, door }) => rest::serve(architect::service(context), address, door, context),
    }
}
