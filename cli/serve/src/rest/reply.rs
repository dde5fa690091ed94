//! A handler's response and how long caches may keep it.

use super::call::Incoming;
use super::problem::{self, Problem};
use agent_core::formats::object_id::digest;
use serde::Serialize;

/// How long a response may be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freshness {
    /// Not at all.
    Once,
    /// With revalidation by its entity tag.
    Revalidate,
    /// For ever: it is addressed by a commit.
    Immutable,
}

#[derive(Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// The ticket of the stream of events that replaces the body.
    pub(super) stream: Option<u64>,
    freshness: Freshness,
}

impl Reply {
    pub fn json(document: &impl Serialize) -> Self {
        Self::of(
            "application/json",
            serde_json::to_vec(document).expect("the API's own documents serialise"),
        )
    }

    pub fn of(media: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type", media.to_owned())];
        Self {
            status: 200,
            headers,
            body: body.into(),
            stream: None,
            freshness: Freshness::Revalidate,
        }
    }

    pub(super) fn stream(ticket: u64) -> Self {
        Self {
            stream: Some(ticket),
            freshness: Freshness::Once,
            ..Self::of("text/event-stream", "")
        }
    }

    /// 204 with the `Allow` header.
    pub(super) fn allowed(methods: String) -> Self {
        Self::nothing().header("Allow", methods)
    }

    /// 204. A client of a stream of events reconnects until it receives this.
    pub const fn nothing() -> Self {
        Self {
            status: 204,
            headers: Vec::new(),
            body: Vec::new(),
            stream: None,
            freshness: Freshness::Once,
        }
    }

    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// For a complete document that is addressed by a commit: caches may keep it for ever.
    #[must_use]
    pub const fn immutable(mut self) -> Self {
        self.freshness = Freshness::Immutable;
        self
    }

    /// For a document that no cache may keep.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.freshness = Freshness::Once;
        self
    }

    /// Adds `ETag` and `Cache-Control`; turns the response into a 304 where the client's tag
    /// matches. Where the server requires a token, shared caches may not keep it.
    pub(super) fn finished(mut self, incoming: &Incoming, is_private: bool) -> Self {
        let scope = if is_private { "private" } else { "public" };
        let control = match self.freshness {
            Freshness::Once => "no-store".to_owned(),
            Freshness::Revalidate => format!("{scope}, no-cache"),
            Freshness::Immutable => format!("{scope}, max-age=31536000, immutable"),
        };
        self.headers.push(("Cache-Control", control));
        self.headers.push(("X-Content-Type-Options", "nosniff".to_owned()));
        if self.status == 200 && self.freshness != Freshness::Once {
            let tag = etag(&self.body);
            if incoming.header("if-none-match").is_some_and(|known| is_known(known, &tag)) {
                self.status = 304;
                self.body.clear();
                self.headers.retain(|(name, _)| *name != "Content-Type");
            }
            self.headers.push(("ETag", tag));
        }
        self
    }
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        let mut reply =
            Self { freshness: Freshness::Once, ..Self::of(problem::MEDIA, problem.to_bytes()) };
        reply.status = problem.status();
        reply.headers.extend(problem.headers().iter().cloned());
        reply
    }
}

fn etag(body: &[u8]) -> String {
    let digest = digest(body);
    let hex = digest.trim_start_matches("sha256:");
    format!("\"{}\"", &hex[..32.min(hex.len())])
}

/// Weak comparison, as RFC 9110 requires for If-None-Match.
fn is_known(known: &str, tag: &str) -> bool {
    known
        .split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(reply: Reply, known: Option<&str>, is_private: bool) -> Reply {
        let headers =
            known.map(|known| ("if-none-match".to_owned(), known.to_owned())).into_iter().collect();
        reply.finished(
            &Incoming {
                method: "GET".to_owned(),
                target: "/".to_owned(),
                headers,
                body: Vec::new(),
            },
            is_private,
        )
    }

    fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
        reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let reply = || Reply::json(&serde_json::json!({"a": 1}));
        let first = finished(reply(), None, false);
        let tag = header(&first, "ETag").expect("a tag").to_owned();
        assert_eq!(
            (first.status, header(&first, "Cache-Control")),
            (200, Some("public, no-cache"))
        );
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let again = finished(reply().immutable(), Some(&known), true);
            assert_eq!(
                (again.status, again.body.len(), header(&again, "ETag")),
                (304, 0, Some(tag.as_str())),
                "{known}"
            );
            assert_eq!(
                header(&again, "Cache-Control"),
                Some("private, max-age=31536000, immutable")
            );
        }
        assert_eq!(finished(reply(), Some("\"other\""), false).status, 200);
        assert_eq!(finished(reply().once(), Some("*"), false).status, 200);
        assert_eq!(finished(Problem::not_found("x").into(), Some("*"), false).status, 404);
    }
}
