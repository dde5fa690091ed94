//! The workers: a bounded number of threads, each with what it needs open, behind `tiny_http`.
//!
//! `tiny_http` gives a thread to each connection for as long as it lasts, waits for ever, keeps all
//! it is sent, and leaves its listener at the first failed accept. So it listens where the door
//! alone can reach it, on as many connections as there are workers, and hears whole, well-formed
//! requests from a client that neither stalls nor goes.

use super::call::{Call, Incoming};
use super::problem::Problem;
use super::reply::Reply;
use super::route::{Found, find};
use super::{Service, Shared};
use agent_core::formats::diagnose::FailureKind;
use agent_engine::error::Failure;
use agent_engine::world::temporary::{self, Temporary};
use std::io::Cursor;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tiny_http::{Header, Response, Server, StatusCode};

/// The header by which a worker hands a stream of events to the door.
pub(super) const STREAM_HEADER: &str = "Agent-Stream";

/// Starts the workers; gives the connections to them, one for each.
pub(super) fn start<W: 'static>(
    service: &Arc<Service<W>>,
    shared: &Arc<Shared>,
    workers: usize,
) -> Result<Vec<UnixStream>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            FailureKind::Surroundings,
            format!("cannot start the pool of workers: {error}"),
        )
    };
    // a folder that only this user may enter, and that is gone again once the connections stand
    let folder = Temporary::outside(temporary::SERVE).map_err(|error| failed(&error))?;
    let path = folder.path().join("pool");
    let server = Arc::new(Server::http_unix(&path).map_err(|error| failed(&error))?);
    let lanes = (0..workers)
        .map(|_| UnixStream::connect(&path))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(&error))?;
    for number in 0..workers {
        let (server, service, shared) =
            (Arc::clone(&server), Arc::clone(service), Arc::clone(shared));
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        thread.spawn(move || work(&server, &service, &shared)).map_err(|error| failed(&error))?;
    }
    Ok(lanes)
}

fn work<W>(server: &Server, service: &Service<W>, shared: &Shared) {
    let mut worker = None;
    while let Ok(mut request) = server.recv() {
        let began = Instant::now();
        let incoming = incoming(&mut request);
        let (route, reply) =
            catch_unwind(AssertUnwindSafe(|| answer(&mut worker, service, shared, &incoming)))
                .unwrap_or_else(|_| {
                    // whatever state the panic left it in is left behind
                    worker = None;
                    ("", Problem::new(500, "a fault of this program, which its log shows").into())
                });
        shared.metrics.answered(route, &incoming.method, reply.status, began.elapsed());
        // the other end is the door, which stays
        let _ = request.respond(response(reply));
    }
}

fn incoming(request: &mut tiny_http::Request) -> Incoming {
    let mut body = Vec::new();
    // it is whole already: the door waited for it
    let _ = request.as_reader().read_to_end(&mut body);
    let headers = request
        .headers()
        .iter()
        .map(|header| (header.field.as_str().to_string(), header.value.to_string()))
        .collect();
    Incoming {
        method: request.method().to_string(),
        target: request.url().to_owned(),
        headers,
        body,
    }
}

fn answer<W>(
    worker: &mut Option<W>,
    service: &Service<W>,
    shared: &Shared,
    incoming: &Incoming,
) -> (&'static str, Reply) {
    let (route, parts) = match find(&service.routes, &incoming.method, incoming.path()) {
        Found::Route(route, parts) => (route, parts),
        Found::Other(allow) if incoming.method == "OPTIONS" => {
            return ("", Reply::allowed(allow).finished(incoming, false));
        }
        Found::Other(allow) => {
            let problem =
                Problem::new(405, format!("this path takes {allow}")).with_header("Allow", allow);
            return ("", Reply::from(problem).finished(incoming, false));
        }
        Found::Nothing => {
            let problem = Problem::not_found(format!("there is nothing at `{}`", incoming.path()))
                .with_hint("GET /openapi.json lists what there is");
            return ("", Reply::from(problem).finished(incoming, false));
        }
    };
    let handled = Call::new(incoming, parts, &route.parameters, &shared.streams).and_then(|call| {
        let worker = opened(worker, service)?;
        (route.handler)(worker, &call)
    });
    let reply = handled.unwrap_or_else(|problem| {
        if problem.status() >= 500 {
            shared.notices.warn(format!(
                "{} {}: {}",
                incoming.method,
                incoming.target,
                problem.detail()
            ));
        }
        problem.into()
    });
    let declared =
        route.answers.iter().any(|answer| answer.status == reply.status) || reply.status >= 400;
    debug_assert!(declared, "{} does not declare {}", route.path, reply.status);
    (route.path, reply.finished(incoming, shared.access.needs_token()))
}

fn opened<'a, W>(worker: &'a mut Option<W>, service: &Service<W>) -> Result<&'a mut W, Problem> {
    if worker.is_none() {
        *worker =
            Some((service.open)().map_err(|error| Problem::new(503, error.messages.join(": ")))?);
    }
    Ok(worker.as_mut().expect("it was just opened"))
}

fn response(reply: Reply) -> Response<Cursor<Vec<u8>>> {
    let stream = reply.stream.map(|ticket| (STREAM_HEADER, ticket.to_string()));
    let headers = reply.headers.into_iter().chain(stream);
    // what cannot stand in a header is left out rather than changed
    let headers =
        headers.filter_map(|(name, value)| Header::from_bytes(name, value).ok()).collect();
    let length = reply.body.len();
    // the door reads by the length
    Response::new(StatusCode(reply.status), headers, Cursor::new(reply.body), Some(length), None)
        .with_chunked_threshold(usize::MAX)
}
