//! What a handler answers, and how long that may be kept.

use super::call::Incoming;
use super::problem::{self, Problem};
use agent_core::formats::object_id::digest;
use serde::Serialize;

/// How long an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freshness {
    /// It was true when it was asked.
    Once,
    /// Ask again, with the tag.
    Revalidate,
    /// It is keyed by a commit: it never changes.
    Immutable,
}

#[derive(Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// The stream of events that comes in place of a body.
    pub(super) stream: Option<u64>,
    freshness: Freshness,
}

impl Reply {
    pub fn json(document: &impl Serialize) -> Self {
        Self::of("application/json", serde_json::to_vec(document).expect("our documents serialise"))
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

    /// No content; says what the path allows.
    pub(super) fn allowed(methods: String) -> Self {
        Self::nothing().header("Allow", methods)
    }

    /// No content. A client that was sent a stream of events reconnects until the answer is 204.
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

    /// For what is keyed by a commit and whole: it may be kept for ever.
    #[must_use]
    pub const fn immutable(mut self) -> Self {
        self.freshness = Freshness::Immutable;
        self
    }

    /// For what nobody shall keep.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.freshness = Freshness::Once;
        self
    }

    /// With a tag and for how long it holds; 304 where the client has it. Behind a token nobody but
    /// the client may keep it.
    pub(super) fn finished(mut self, incoming: &Incoming, is_private: bool) -> Self {
        let keeper = if is_private { "private" } else { "public" };
        let control = match self.freshness {
            Freshness::Once => "no-store".to_owned(),
            Freshness::Revalidate => format!("{keeper}, no-cache"),
            Freshness::Immutable => format!("{keeper}, max-age=31536000, immutable"),
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

/// Weakly compared, as RFC 9110 asks for If-None-Match.
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
