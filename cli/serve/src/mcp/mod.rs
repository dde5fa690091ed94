//! The MCP shim between a host and the Runner or the Tuner.
//!
//! - Messages: `stdio` and `http` are the transports, `json_rpc` parses and writes frames,
//!   `session` receives the messages of one client, `client` has its info and capabilities,
//!   `call_context` is parsed from one request, `requests` dispatches by method, `resources` lists
//!   conversations.
//! - Children: `shim` connects clients and children, `targets` resolves what is served,
//!   `stat_cache` shares file system state between requests that are ready together, `pool` keeps
//!   the children running for its `host`, `running` is one of them, `notifications` forwards its
//!   server-initiated messages, `tasks` maps tasks to their children, `watching` watches refs and
//!   files.
//! - Overlays: `overlays` keeps those of what is served; `caller` has the one of a request.
//! - Calls: `runner` and `tuner` carry out a call, `promoting` promotes staging.

mod batch;
mod call_context;
mod call_locks;
mod caller;
mod canary_watch;
mod client;
mod conversation_uri;
mod discovery_records;
mod failures;
mod filter;
mod frame_sink;
pub mod http;
mod in_flight;
mod json_rpc;
mod notifications;
mod overlays;
mod pool;
mod pool_owner;
mod promoting;
mod recorders;
mod requests;
mod resources;
mod results;
mod route;
mod runner;
mod running;
mod served;
mod server;
mod session;
mod shim;
mod stat_cache;
mod stdio;
mod subscriptions;
mod targets;
mod tasks;
mod tool_server;
mod tuner;
mod tuner_state;
mod watching;

use crate::listen::Ended;
use agent_core::protocol::traffic::Traffic;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::tuner::Tuner;
use agent_engine::world::event_loop;
use runner::Runner;
use shim::Shim;
use std::rc::Rc;
use tool_server::ToolServer;

/// Serves a Runner: to one host over stdio, or to many over HTTP.
pub fn serve_runner(
    repository: Repository,
    at: Traffic,
    shadow: Option<What>,
    over_http: Option<http::Options>,
) -> Result<Ended, Failure> {
    serve::<Runner>(repository, at, shadow, over_http)
}

/// Serves a Tuner in the same way; its signals go to staging.
pub fn serve_tuner(
    repository: Repository,
    at: What,
    over_http: Option<http::Options>,
) -> Result<Ended, Failure> {
    serve::<Tuner>(repository, Traffic::all(at), None, over_http)
}

fn serve<S: ToolServer>(
    repository: Repository,
    at: Traffic,
    shadow: Option<What>,
    over_http: Option<http::Options>,
) -> Result<Ended, Failure> {
    let serve = async {
        let shim = Shim::<S>::new(repository, at, shadow, over_http.is_some());
        let _watching = watching::start(&shim);
        let _telemetry = shim.repository.telemetry();
        match over_http {
            Some(options) => http::serve(Rc::clone(&shim), options).await,
            None => stdio::serve(Rc::clone(&shim)).await,
        }
    };
    event_loop::block_on(async { tokio::task::LocalSet::new().run_until(serve).await })?
}
