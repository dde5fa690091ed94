//! The MCP shim between a host and the Runner or the Tuner.
//!
//! `stdio` and `http` carry frames, `session` is one host, `shim` answers, `pool` keeps the right children running and `notifications` passes on their notifications and
//! requests; `runner` and `tuner` carry out a call, `tasks` knows which child has which task, `resources` lists conversations, `watching` sees refs and files
//! change, `promoting` has staging promote itself.

pub mod http;
pub(crate) mod json_rpc;
pub(crate) mod notifications;
pub(crate) mod pool;
pub(crate) mod promoting;
pub(crate) mod resources;
pub(crate) mod runner;
pub(crate) mod session;
pub(crate) mod shim;
pub(crate) mod stdio;
pub(crate) mod tasks;
pub(crate) mod tuner;
pub(crate) mod watching;

use crate::listen::Ended;
use agent_core::protocol::traffic::Traffic;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::tuner::Tuner;
use agent_engine::world::event_loop;
use runner::Runner;
use shim::{Server, Shim};
use std::rc::Rc;

/// Serves a Runner: to one host over stdio, or to many over HTTP.
pub fn serve_runner(repository: Repository, at: Traffic, shadow: Option<What>, over_http: Option<http::Options>) -> Result<Ended, Failure> {
    serve::<Runner>(repository, at, shadow, over_http)
}

/// The same of a Tuner; its signals go to staging.
pub fn serve_tuner(repository: Repository, at: What, over_http: Option<http::Options>) -> Result<Ended, Failure> {
    serve::<Tuner>(repository, Traffic::all(at), None, over_http)
}

fn serve<S: Server>(repository: Repository, at: Traffic, shadow: Option<What>, over_http: Option<http::Options>) -> Result<Ended, Failure> {
    let serve = async {
        let shim = Shim::<S>::new(repository, at, shadow);
        let _telemetry = shim.repository.telemetry();
        match over_http {
            Some(options) => http::serve(Rc::clone(&shim), options).await,
            None => stdio::serve(Rc::clone(&shim)).await,
        }
    };
    event_loop::block_on(async { tokio::task::LocalSet::new().run_until(serve).await })?
}
