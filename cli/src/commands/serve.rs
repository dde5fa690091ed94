use crate::commands::{access, time};
use crate::context::Context;
use crate::exit::CommandResult;
use crate::printer::Printer;
use agent_engine::repository::Location;
use agent_engine::trigger;
use agent_serve::api::{architect, versions};
use agent_serve::rest;
use jiff::SignedDuration;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

/// Serve a REST API over HTTP
///
/// Listens on the loopback interface unless `--addr` is given, and prints the address on stderr.
/// `/openapi.json` describes the API; `/healthz` and `/metrics` are for monitoring.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
        \n  agent serve versions\
        \n  AGENT_TOKEN=... agent serve versions --addr 0.0.0.0:7070")]
pub struct Arguments {
    #[command(subcommand)]
    api: Api,
}

#[derive(Debug, clap::Subcommand)]
enum Api {
    /// Versions, their evaluations and differences; read-only, with a web page
    Versions(Versions),
    /// Submit feedback; start, watch and stop runs of the Architect
    Architect(Architect),
}

#[derive(Debug, clap::Args)]
struct Versions {
    /// The address to listen on; port 0 picks a free one
    #[arg(long = "addr", value_name = "HOST:PORT", default_value = "127.0.0.1:7070")]
    address: String,
    #[command(flatten)]
    access: access::Arguments,
}

#[derive(Debug, clap::Args)]
struct Architect {
    /// The address to listen on; port 0 picks a free one
    #[arg(long = "addr", value_name = "HOST:PORT", default_value = "127.0.0.1:7071")]
    address: String,
    /// The time between two checks of the triggers; 0s checks none
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time::duration)]
    check_triggers: SignedDuration,
    #[command(flatten)]
    access: access::Arguments,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let location = context.location();
    let announce = |at: SocketAddr| announce(at, &context.printer);
    match &arguments.api {
        Api::Versions(Versions { address, access }) => {
            let access = access.access();
            let service = versions::service(&location, access.needs_token());
            Ok(rest::serve(service, address, access, &location.notices, announce)?.into())
        }
        Api::Architect(Architect { address, check_triggers, access }) => {
            let access = access.access();
            let announce = |at| {
                announce(at);
                watch_triggers(*check_triggers, location.clone());
            };
            let service = architect::service(&location, access.needs_token());
            Ok(rest::serve(service, address, access, &location.notices, announce)?.into())
        }
    }
}

/// Checks the triggers beside the service, until the process ends.
fn watch_triggers(every: SignedDuration, location: Location) {
    let Ok(every) = Duration::try_from(every) else { return };
    if every.is_zero() {
        return;
    }
    std::thread::spawn(move || {
        loop {
            // rules that are wrong may be corrected while the service runs
            let failure = trigger::watch(&location, every, |_| {});
            let problem = failure.messages.join(": ");
            location.notices.warn(format!("the triggers are not checked: {problem}"));
            std::thread::sleep(every);
        }
    });
}

fn announce(at: SocketAddr, printer: &Printer) {
    printer.say(format!("listening on http://{at}"));
    printer.json(&json!({"schema": "agent/serving@1", "url": format!("http://{at}"),
        "pid": std::process::id()}));
}
