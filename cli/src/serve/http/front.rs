//! One HTTP request: who sends it, of which era it is, what it asks.

use crate::serve::access::{Access, Sender};
use crate::serve::http::envelope;
use crate::serve::http::exchange::Exchanges;
use crate::serve::http::message::Posted;
use crate::serve::http::reply::{self, Refusal, Reply};
use crate::serve::http::visits::Visits;
use crate::serve::shim::Server;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method, Request, StatusCode};
use std::time::Duration;
use tokio::time::timeout;

/// Where the server is.
pub(super) const PATH: &str = "/mcp";
/// The longest message; a line between shim and child has the same bound.
const BODY_LIMIT: usize = 16 << 20;
/// How long a client may take to send one.
const BODY_TIME: Duration = Duration::from_secs(30);

pub(super) struct Front<S: Server> {
    pub access: Access,
    pub visits: Visits<S>,
    pub exchanges: Exchanges<S>,
}

impl<S: Server> Front<S> {
    pub async fn answer(&self, request: Request<Incoming>) -> Reply {
        if let Err(refusal) = check(&self.access, &request) {
            return reply::closing(refusal);
        }
        let (head, body) = request.into_parts();
        if head.method == Method::POST {
            return match read(body).await {
                Ok(bytes) => self.post(&head.headers, bytes).await,
                Err(refusal) => reply::closing(refusal),
            };
        }
        let is_stateless = envelope::is_stateless(&head.headers, None);
        match head.method {
            Method::GET if !is_stateless => self.visits.listen(&head.headers),
            Method::DELETE if !is_stateless => self.visits.delete(&head.headers),
            _ => not_allowed(if is_stateless { "POST" } else { "GET, POST, DELETE" }),
        }
    }

    async fn post(&self, headers: &HeaderMap, body: Vec<u8>) -> Reply {
        let posted = match Posted::read(body) {
            Ok(posted) => posted,
            Err(wrong) => return reply::error(wrong.id.as_deref(), &wrong.error),
        };
        let first = posted.all().first().map(|message| &message.incoming);
        if envelope::is_stateless(headers, first) {
            self.exchanges.post(headers, posted).await
        } else {
            self.visits.post(headers, posted).await
        }
    }
}

/// Whether a request may go on, as far as its head tells.
pub(super) fn check(access: &Access, request: &Request<Incoming>) -> Result<(), Refusal> {
    let headers = request.headers();
    let sender = Sender { host: text(headers, &HOST), origin: text(headers, &ORIGIN), authorization: text(headers, &AUTHORIZATION) };
    access.check(sender, false)?;
    if request.uri().path() != PATH {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is nothing here; the server is at {PATH}")));
    }
    let is_post = request.method() == Method::POST;
    if is_post && !text(headers, &CONTENT_TYPE).is_some_and(is_json) {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "`Content-Type` must be application/json"));
    }
    let events = accepts(headers, "text", "event-stream");
    if (is_post && !(events && accepts(headers, "application", "json"))) || (request.method() == Method::GET && !events) {
        let both = if is_post { "application/json and text/event-stream" } else { "text/event-stream" };
        return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, format!("`Accept` must list {both}")));
    }
    Ok(())
}

pub(super) async fn read(body: Incoming) -> Result<Vec<u8>, Refusal> {
    let whole = timeout(BODY_TIME, Limited::new(body, BODY_LIMIT).collect()).await;
    let late = |_| Refusal::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {} s", BODY_TIME.as_secs()));
    match whole.map_err(late)? {
        Ok(body) => Ok(body.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {BODY_LIMIT} bytes")))
        }
        Err(error) => Err(Refusal::bad_request(format!("the body broke off: {error}"))),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The type before its parameters.
fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

fn is_json(media: &str) -> bool {
    essence(media).eq_ignore_ascii_case("application/json")
}

fn accepts(headers: &HeaderMap, kind: &str, subtype: &str) -> bool {
    let listed = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    listed.flat_map(|value| value.split(',')).map(essence).any(|media| {
        let (main, sub) = media.split_once('/').unwrap_or_default();
        (main == "*" || main.eq_ignore_ascii_case(kind)) && (sub == "*" || sub.eq_ignore_ascii_case(subtype))
    })
}

fn not_allowed(allowed: &'static str) -> Reply {
    let mut reply: Reply = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("the methods here are {allowed}")).into();
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}
