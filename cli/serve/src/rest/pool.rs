//! The workers: a bounded number of threads behind `tiny_http`, each with its own open state.
//!
//! `tiny_http` uses one thread per connection, has no timeouts, bounds no body, and stops accepting
//! at the first failed `accept`. So it listens on a Unix socket that only the front can reach, with
//! one connection per worker, and receives only complete, well-formed requests.

use super::call::{Call, Incoming};
use super::events::STREAM_HEADER;
use super::problem::Problem;
use super::reply::Reply;
use super::route::{Found, find};
use super::service::{Service, Shared};
use agent_core::formats::diagnose::FailureKind;
use agent_engine::error::Failure;
use agent_engine::world::temporary::{self, Temporary};
use std::io::Cursor;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tiny_http::{Header, Response, Server, StatusCode};

/// Starts the workers; returns one connection for each.
pub(super) fn start<W: 'static>(
    service: &Arc<Service<W>>,
    shared: &Arc<Shared>,
    count: usize,
) -> Result<Vec<UnixStream>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            FailureKind::Surroundings,
            format!("cannot start the pool of workers: {error}"),
        )
    };
    // only this user may enter the folder; it is removed once the connections are established
    let folder = Temporary::outside(temporary::SERVE).map_err(|error| failed(&error))?;
    let path = folder.path().join("pool");
    let server = Arc::new(Server::http_unix(&path).map_err(|error| failed(&error))?);
    let workers = (0..count)
        .map(|_| UnixStream::connect(&path))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(&error))?;
    for number in 0..count {
        let (server, service, shared) =
            (Arc::clone(&server), Arc::clone(service), Arc::clone(shared));
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        thread.spawn(move || work(&server, &service, &shared)).map_err(|error| failed(&error))?;
    }
    Ok(workers)
}

fn work<W>(server: &Server, service: &Service<W>, shared: &Shared) {
    let mut worker = None;
    while let Ok(mut request) = server.recv() {
        let began = Instant::now();
        let incoming = incoming(&mut request);
        let (route, reply) =
            catch_unwind(AssertUnwindSafe(|| answer(&mut worker, service, shared, &incoming)))
                .unwrap_or_else(|_| {
                    // the panic may have left the state inconsistent: the next request opens a new
                    // one
                    worker = None;
                    (
                        "",
                        Problem::new(500, "an internal error; the server's log has the details")
                            .into(),
                    )
                });
        shared.metrics.answered(route, &incoming.method, reply.status, began.elapsed());
        // the other end is the front of this process: it outlives the response
        let _ = request.respond(response(reply));
    }
}

fn incoming(request: &mut tiny_http::Request) -> Incoming {
    let mut body = Vec::new();
    // does not block: the front has received the whole body
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
                Problem::new(405, format!("this path allows {allow}")).with_header("Allow", allow);
            return ("", Reply::from(problem).finished(incoming, false));
        }
        Found::Nothing => {
            let problem = Problem::not_found(format!("there is nothing at `{}`", incoming.path()))
                .with_hint("GET /openapi.json lists the paths");
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
    // a value that is not valid in a header is left out rather than changed
    let headers =
        headers.filter_map(|(name, value)| Header::from_bytes(name, value).ok()).collect();
    let length = reply.body.len();
    // the front reads bodies by Content-Length and parses no chunks
    Response::new(StatusCode(reply.status), headers, Cursor::new(reply.body), Some(length), None)
        .with_chunked_threshold(usize::MAX)
}
