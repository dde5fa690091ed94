//! The HTTP server of the REST APIs: a front that enforces limits on every client (`front`), a
//! bounded pool of workers behind `tiny_http` (`pool`), and a table of routes that both dispatches
//! requests and generates the `OpenAPI` document (`route`, `openapi`).
//!
//! An API is a [`Service`]: its routes, and the state that each worker opens for itself. A handler
//! takes that state and the [`Call`], and returns a [`Reply`] or a [`Problem`].

mod call;
mod events;
mod front;
mod head;
mod metrics;
mod openapi;
mod pool;
mod problem;
mod reply;
mod route;
mod service;
mod worker_connections;

pub use call::Call;
pub use events::{Event, Events};
pub use problem::Problem;
pub use reply::Reply;
pub use route::{Kind, Route};
pub use service::Service;

use crate::access::Access;
use crate::listen;
use crate::listen::Ended;
use agent_core::formats::diagnose::FailureKind;
use agent_engine::error::Failure;
use agent_engine::notices::Notices;
use agent_engine::world::event_loop;
use agent_engine::world::limits;
use events::Streams;
use front::Limits;
use metrics::Metrics;
use serde_json::{Value, json};
use service::{OwnMetrics, Shared};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use worker_connections::WorkerConnections;

/// Listens at `address`, announces the bound address, and serves until SIGINT or SIGTERM.
pub fn serve<W: 'static>(
    service: Service<W>,
    address: &str,
    access: Access,
    notices: &Notices,
    announce: impl FnOnce(SocketAddr),
) -> Result<Ended, Failure> {
    // a repository that cannot be opened fails the start, not the first request
    (service.open)()?;
    let (listener, at) = listen::listen(address, &access)?;
    limits::allow_open_files(Limits::default().connections as u64 + 256);
    let (shared, workers) = start(service, access, notices)?;
    let shutdown = shutdown_signal(|| announce(at));
    serve_connections(listener, shared, workers, Limits::default(), shutdown)
}

/// Starts the workers; returns the connections to them.
fn start<W: 'static>(
    mut service: Service<W>,
    access: Access,
    notices: &Notices,
) -> Result<(Arc<Shared>, Vec<std::os::unix::net::UnixStream>), Failure> {
    let (metrics, streams, document) =
        (Arc::new(Metrics::default()), Arc::new(Streams::new()), Arc::new(OnceLock::new()));
    service.routes.extend(common(&document, &metrics, &streams, service.metrics));
    let open_paths =
        service.routes.iter().filter(|route| route.is_open).map(|route| route.path).collect();
    let about = openapi::About {
        title: service.title,
        description: service.description,
        schemas: service.schemas,
        needs_token: access.needs_token(),
    };
    let _ = document.set(openapi::document(&about, &service.routes));
    let shared =
        Arc::new(Shared { access, metrics, streams, open_paths, notices: notices.clone() });
    let workers = pool::start(&Arc::new(service), &shared, worker_count())?;
    Ok((shared, workers))
}

/// Serves connections on this thread until a signal ends it.
fn serve_connections(
    listener: TcpListener,
    shared: Arc<Shared>,
    workers: Vec<std::os::unix::net::UnixStream>,
    limits: Limits,
    shutdown: impl Future<Output = Ended>,
) -> Result<Ended, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(FailureKind::Surroundings, format!("cannot serve: {error}"))
    };
    let serving = async {
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
        let workers = WorkerConnections::new(workers).map_err(failed)?;
        let (end, ending) = watch::channel(false);
        let shutdown = async {
            let exit = shutdown.await;
            let _ = end.send(true);
            exit
        };
        Ok(tokio::join!(shutdown, front::serve(listener, shared, limits, workers, ending)).0)
    };
    event_loop::block_on(async { tokio::task::LocalSet::new().run_until(serving).await })?
}

/// More workers than cores: handlers mostly wait for disk and network.
fn worker_count() -> usize {
    (2 * limits::cores()).clamp(4, 16)
}

/// Announces the service once it handles the signals that end it, and waits for one of them.
async fn shutdown_signal(announce: impl FnOnce()) -> Ended {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    announce();
    tokio::select! {
        () = received(interrupt) => Ended::Interrupted,
        () = received(terminate) => Ended::Stopped,
    }
}

/// Waits for a signal; forever where it cannot be handled.
async fn received(signal: std::io::Result<Signal>) {
    match signal {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// The routes that every service has.
fn common<W: 'static>(
    document: &Arc<OnceLock<Value>>,
    metrics: &Arc<Metrics>,
    streams: &Arc<Streams>,
    own: OwnMetrics<W>,
) -> [Route<W>; 3] {
    let (document, metrics, streams) =
        (Arc::clone(document), Arc::clone(metrics), Arc::clone(streams));
    let healthy = |_: &mut W, _: &Call<'_>| Ok(Reply::json(&json!({"status": "ok"})).once());
    let measured = move |worker: &mut W, _: &Call<'_>| {
        // the front's metrics are reported even where the service's own cannot be read
        let own = own(worker).unwrap_or_else(|error| {
            format!("# {}\n", error.messages.join(": ").replace('\n', " "))
        });
        let text = metrics.to_text(streams.open_now()) + &own;
        Ok(Reply::of("text/plain; version=0.0.4", text).once())
    };
    let described =
        move |_: &mut W, _: &Call<'_>| Ok(Reply::json(document.get().unwrap_or(&Value::Null)));
    [
        Route::get(
            "/healthz",
            "health",
            "Liveness: the repository can be opened and read.",
            healthy,
        )
        .answers(200, "Health", "The service is healthy.")
        .open(),
        Route::get(
            "/metrics",
            "metrics",
            "Request counts and durations, for Prometheus.",
            measured,
        )
        .answers_as(200, "text/plain; version=0.0.4", "The metrics."),
        Route::get("/openapi.json", "openapi", "This document.", described)
            .answers(200, "OpenApi", "OpenAPI 3.1.")
            .open(),
    ]
}

#[cfg(test)]
mod tests;
