//! Connections: accepted up to a limit, each served by a task of its own, ended with a grace
//! period.

use crate::budget::Budget;
use crate::listen;
use crate::listen::Ended;
use crate::mcp::http::Options;
use crate::mcp::http::exchange::Exchanges;
use crate::mcp::http::front::{BODIES_LIMIT, Front, PATH};
use crate::mcp::http::sessions::HttpSessions;
use crate::mcp::session::Session;
use crate::mcp::shim::Shim;
use crate::mcp::tool_server::ToolServer;
use agent_core::formats::diagnose::FailureKind;
use agent_engine::error::Failure;
use agent_engine::notices::Notices;
use agent_engine::world::interrupt::Interrupt;
use agent_engine::world::limits;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The limit of open connections; more wait in the backlog of the system.
pub(super) const CONNECTIONS: usize = 4096;
/// How long a connection may be without a complete head: for the first request, and between two.
const HEAD_TIME: Duration = Duration::from_secs(60);
const HEAD_LIMIT: usize = 32 << 10;
/// How long requests in flight have when the server is interrupted.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// The pause after `accept` has failed for lack of resources.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// Serves until it is interrupted.
pub(crate) async fn serve<S: ToolServer>(
    shim: Rc<Shim<S>>,
    options: Options,
) -> Result<Ended, Failure> {
    let mut interrupt = Interrupt::expected()?;
    let listener = listen(&shim.repository.notices, &options)?;
    let (gone, to_close) = mpsc::unbounded_channel();
    let closer = tokio::task::spawn_local(close_sessions(to_close));
    let front = Rc::new(Front {
        access: options.access,
        bodies: Budget::new(BODIES_LIMIT),
        sessions: HttpSessions::new(&shim, options.idle_limit, gone.clone()),
        exchanges: Exchanges::new(&shim, gone),
    });
    let mut connections =
        Connections { front, open: JoinSet::new(), ending: watch::Sender::new(false) };
    tokio::select! {
        never = connections.accept(&listener) => match never {},
        () = interrupt.received() => drop(listener),
    }
    tokio::select! {
        () = connections.end() => {}
        () = interrupt.received() => {}
    }
    drop(connections);
    let _ = timeout(GRACE, closer).await;
    shim.end().await;
    Ok(Ended::Interrupted)
}

pub(super) fn listen(notices: &Notices, options: &Options) -> Result<TcpListener, Failure> {
    let (listener, at) = listen::listen(&options.address.to_string(), &options.access)?;
    let failed =
        |error| Failure::new(FailureKind::Surroundings, format!("cannot listen on {at}: {error}"));
    let listener = listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener))
        .map_err(failed)?;
    limits::allow_open_files(CONNECTIONS as u64 + 256);
    notices.info(format!("serving MCP at http://{at}{PATH}"));
    Ok(listener)
}

struct Connections<S: ToolServer> {
    front: Rc<Front<S>>,
    open: JoinSet<()>,
    ending: watch::Sender<bool>,
}

impl<S: ToolServer> Connections<S> {
    async fn accept(&mut self, listener: &TcpListener) -> Infallible {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut sweeping = tokio::time::interval(self.front.sessions.sweep_interval());
        loop {
            tokio::select! {
                (stream, place) = next_connection(listener, &places) => {
                    let front = Rc::clone(&self.front);
                    let answer = move |request| {
                        let front = Rc::clone(&front);
                        async move { front.answer(request).await }
                    };
                    self.open.spawn_local(serve_connection(stream, place, answer,
                        self.ending.subscribe()));
                }
                Some(_) = self.open.join_next(), if !self.open.is_empty() => {}
                _ = sweeping.tick() => self.front.sessions.sweep(),
            }
        }
    }

    /// Requests in flight are answered within the grace period; subscriptions are ended.
    async fn end(&mut self) {
        let _ = self.ending.send(true);
        self.front.exchanges.end().await;
        let all = async {
            self.front.sessions.end_unsolicited();
            while self.open.join_next().await.is_some() {}
        };
        let _ = timeout(GRACE, all).await;
        self.front.sessions.end();
    }
}

pub(super) async fn next_connection(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // the client has disconnected, or descriptors are exhausted until other connections
            // end
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(_) => sleep(OUT_OF_FILES).await,
        }
    }
}

pub(super) async fn serve_connection<B, A>(
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    answer: impl Fn(Request<Incoming>) -> A,
    mut ending: watch::Receiver<bool>,
) where
    B: Body<Data: 'static, Error = Infallible> + 'static,
    A: Future<Output = Response<B>>,
{
    // with Nagle's algorithm an answer would wait for the acknowledgement of the previous one
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        // request smuggling: hyper uses Transfer-Encoding and hides a Content-Length beside it. For
        // a client that used the length, the next request begins elsewhere
        let is_last = request.headers().contains_key(TRANSFER_ENCODING);
        let answered = answer(request);
        async move {
            let mut answer = answered.await;
            if is_last {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    // also bounds what a connection buffers unread
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(HEAD_LIMIT)
        .max_buf_size(HEAD_LIMIT);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // a broken connection is no error of the server
    tokio::select! {
        _ = &mut connection => return,
        _ = ending.wait_for(|ending| *ending) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Closes finished sessions concurrently: ending a child can take seconds.
async fn close_sessions<S: ToolServer>(mut gone: mpsc::UnboundedReceiver<Rc<Session<S>>>) {
    let mut closing = JoinSet::new();
    loop {
        tokio::select! {
            session = gone.recv() => match session {
                Some(session) => { closing.spawn_local(async move { session.close().await }); }
                None => break,
            },
            Some(_) = closing.join_next(), if !closing.is_empty() => {}
        }
    }
    while closing.join_next().await.is_some() {}
}
