//! An rmcp server over Streamable HTTP: rmcp implements the protocol, the access checks are the
//! shim's.

use crate::access::Access;
use crate::budget::Budget;
use crate::listen::Ended;
use crate::mcp::http::Options;
use crate::mcp::http::front::{BODIES_LIMIT, check, read};
use crate::mcp::http::listener::{CONNECTIONS, GRACE, listen, next_connection, serve_connection};
use crate::mcp::http::reply::{Reply, closing};
use agent_engine::error::Failure;
use agent_engine::repository::Location;
use agent_engine::world::interrupt::Interrupt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Serves until SIGINT or SIGTERM; each session has its own handler.
pub async fn serve_typed<H: ServerHandler + Clone + Sync>(
    handler: H,
    location: &Location,
    options: Options,
) -> Result<Ended, Failure> {
    let mut interrupt = Interrupt::expected()?;
    let listener = listen(&location.notices, &options)?;
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.keep_alive = Some(options.idle_limit);
    // rmcp's own check is off: access is checked in `answer`
    let config = StreamableHttpServerConfig::default().disable_allowed_hosts();
    let ended = config.cancellation_token.clone();
    let service =
        StreamableHttpService::new(move || Ok(handler.clone()), Arc::new(sessions), config);
    let server =
        Rc::new(TypedServer { access: options.access, bodies: Budget::new(BODIES_LIMIT), service });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let (mut connections, ending) = (JoinSet::new(), watch::Sender::new(false));
    loop {
        tokio::select! {
            (stream, place) = next_connection(&listener, &places) => {
                let server = Rc::clone(&server);
                let answer = move |request| {
                    let server = Rc::clone(&server);
                    async move { server.answer(request).await }
                };
                connections.spawn_local(serve_connection(stream, place, answer,
                    ending.subscribe()));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = interrupt.received() => break,
        }
    }
    drop(listener);
    let _ = ending.send(true);
    ended.cancel();
    let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    Ok(Ended::Interrupted)
}

struct TypedServer<H> {
    access: Access,
    bodies: Rc<Budget>,
    service: StreamableHttpService<H, LocalSessionManager>,
}

impl<H: ServerHandler> TypedServer<H> {
    async fn answer(&self, request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
        let refused = |reply: Reply| reply.map(BoxBody::new);
        if let Err(refusal) = check(&self.access, &request) {
            return refused(closing(refusal));
        }
        let (head, body) = request.into_parts();
        let ends_session = head.method == Method::DELETE;
        match read(body, &self.bodies).await {
            Ok((bytes, _share)) => {
                let mut answer = self
                    .service
                    .handle(Request::from_parts(head, Full::new(Bytes::from(bytes)).boxed()))
                    .await;
                // rmcp answers 202, which clients read as a session that did not end
                if ends_session && answer.status() == StatusCode::ACCEPTED {
                    *answer.status_mut() = StatusCode::NO_CONTENT;
                }
                answer
            }
            Err(refusal) => refused(closing(refusal)),
        }
    }
}
