//! One HTTP request: checks its sender, headers and body, and dispatches it by era.

use crate::access::{Access, Sender, ambiguity};
use crate::budget::{Budget, Share};
use crate::mcp::http::envelope;
use crate::mcp::http::exchange::Exchanges;
use crate::mcp::http::message::Posted;
use crate::mcp::http::reply::{self, Refusal, Reply};
use crate::mcp::http::sessions::HttpSessions;
use crate::mcp::tool_server::ToolServer;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN,
};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Request, StatusCode, Version};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;

/// The path of the server.
pub(super) const PATH: &str = "/mcp";
/// The longest message; a line between shim and child has the same bound.
const BODY_LIMIT: usize = 16 << 20;
/// How long a client may take to send one.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Headers that may be given once, besides those that are checked here.
const ONCE: [HeaderName; 3] = [
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static(envelope::VERSION_HEADER),
    HeaderName::from_static("last-event-id"),
];
/// Of all bodies in memory together, beyond the first few kilobytes of each.
pub(super) const BODIES_LIMIT: usize = 128 << 20;

pub(super) struct Front<S: ToolServer> {
    pub access: Access,
    pub bodies: Rc<Budget>,
    pub sessions: HttpSessions<S>,
    pub exchanges: Exchanges<S>,
}

impl<S: ToolServer> Front<S> {
    pub async fn answer(&self, request: Request<Incoming>) -> Reply {
        if let Err(refusal) = check(&self.access, &request) {
            return reply::closing(refusal);
        }
        let (head, body) = request.into_parts();
        if head.method == Method::POST {
            return match read(body, &self.bodies).await {
                Ok((bytes, _share)) => self.post(&head.headers, bytes).await,
                Err(refusal) => reply::closing(refusal),
            };
        }
        let is_stateless = envelope::is_stateless(&head.headers, None);
        match head.method {
            Method::GET if !is_stateless => self.sessions.listen(&head.headers),
            Method::DELETE if !is_stateless => self.sessions.delete(&head.headers),
            _ => not_allowed(if is_stateless { "POST" } else { "GET, POST, DELETE" }),
        }
    }

    async fn post(&self, headers: &HeaderMap, body: Vec<u8>) -> Reply {
        let posted = match Posted::read(body) {
            Ok(posted) => posted,
            Err(wrong) => return reply::error(wrong.id.as_deref(), &wrong.error),
        };
        let first = posted.all().first();
        if envelope::is_stateless(headers, first) {
            self.exchanges.post(headers, posted).await
        } else {
            self.sessions.post(headers, posted).await
        }
    }
}

/// Checks the head of a request: access, path, and media types.
pub(super) fn check(access: &Access, request: &Request<Incoming>) -> Result<(), Refusal> {
    let headers = request.headers();
    access.check(sender(access, request)?, false)?;
    if request.uri().path() != PATH {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("not found; the server is at {PATH}"),
        ));
    }
    let is_post = request.method() == Method::POST;
    if is_post && !single(headers, &CONTENT_TYPE)?.is_some_and(is_json) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "`Content-Type` must be application/json",
        ));
    }
    let events = accepts(headers, "text", "event-stream");
    if (is_post && !(events && accepts(headers, "application", "json")))
        || (request.method() == Method::GET && !events)
    {
        let both =
            if is_post { "application/json and text/event-stream" } else { "text/event-stream" };
        return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, format!("`Accept` must list {both}")));
    }
    Ok(())
}

/// The sender of a request; an ambiguous one is refused.
fn sender<'a>(access: &Access, request: &'a Request<Incoming>) -> Result<Sender<'a>, Refusal> {
    let headers = request.headers();
    for name in ONCE {
        single(headers, &name)?;
    }
    let sender = Sender {
        host: single(headers, &HOST)?,
        origin: single(headers, &ORIGIN)?,
        authorization: single(headers, &AUTHORIZATION)?,
    };
    let authority = request.uri().authority().map(Authority::as_str);
    if let Some(problem) = ambiguity(sender, authority, request.version() >= Version::HTTP_11) {
        return Err(Refusal::bad_request(problem));
    }
    match authority.filter(|authority| !access.allows_host(authority)) {
        Some(authority) => Err(Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!("`{authority}` is not a name of this server"),
        )),
        None => Ok(sender),
    }
}

/// Reads the body, with its share of the memory for bodies, which is taken as it arrives and not as
/// it is announced. A body that is refused is drained up to the limit, so that its client can read
/// the answer; nothing of it is kept.
pub(super) async fn read(
    mut body: Incoming,
    bodies: &Rc<Budget>,
) -> Result<(Vec<u8>, Share), Refusal> {
    let too_long = || {
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {BODY_LIMIT} bytes"),
        )
    };
    let arrived = async {
        let mut refused = (body.size_hint().lower() > BODY_LIMIT as u64).then(too_long);
        let (mut bytes, mut share, mut seen) = (Vec::new(), bodies.share(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| Refusal::bad_request(format!("the body was cut off: {error}")))?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            seen += data.len();
            if seen > BODY_LIMIT {
                return Err(too_long());
            }
            if refused.is_none() && !keep(data, &mut bytes, &mut share) {
                (bytes, share) = (Vec::new(), bodies.share());
                let full = "the memory for request bodies is in use by other requests: try again";
                refused = Some(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, full));
            }
        }
        refused.map_or(Ok((bytes, share)), Err)
    };
    let late = |_| {
        Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {} s", BODY_TIME.as_secs()),
        )
    };
    timeout(BODY_TIME, arrived).await.map_err(late)?
}

/// Appends received bytes; false where the memory is in use.
fn keep(mut data: &[u8], bytes: &mut Vec<u8>, share: &mut Share) -> bool {
    while !data.is_empty() {
        if !share.make_room(bytes, BODY_LIMIT) {
            return false;
        }
        let (fits, rest) = data.split_at((bytes.capacity() - bytes.len()).min(data.len()));
        bytes.extend_from_slice(fits);
        data = rest;
    }
    true
}

/// The value of a header that may be given once. Two parsers could read a repeated one, or one that
/// is not text, differently.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::bad_request(format!("the header `{name}` is given more than once")));
    }
    let text = first.map(|value| value.to_str().map(str::trim)).transpose();
    text.map_err(|_| {
        Refusal::bad_request(format!("the value of the header `{name}` is not ASCII text"))
    })
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
        (main == "*" || main.eq_ignore_ascii_case(kind))
            && (sub == "*" || sub.eq_ignore_ascii_case(subtype))
    })
}

fn not_allowed(allowed: &'static str) -> Reply {
    let mut reply: Reply =
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path allows {allowed}")).into();
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}
