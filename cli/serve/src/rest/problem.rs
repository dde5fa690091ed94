//! Problem details of a failed request (RFC 9457).

use crate::access::Denied;
use agent_core::formats::diagnose::FailureKind;
use agent_engine::error::Failure;
use serde::Serialize;

pub const MEDIA: &str = "application/problem+json";

#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip)]
    headers: Vec<(&'static str, String)>,
}

/// Status, last part of `type`, title: the reason phrase of the status.
const KINDS: [(u16, &str, &str); 19] = [
    (400, "bad-request", "Bad Request"),
    (401, "unauthorized", "Unauthorized"),
    (403, "forbidden", "Forbidden"),
    (404, "not-found", "Not Found"),
    (405, "method-not-allowed", "Method Not Allowed"),
    (408, "too-slow", "Request Timeout"),
    (409, "conflict", "Conflict"),
    (411, "length-required", "Length Required"),
    (413, "too-large", "Content Too Large"),
    (414, "path-too-long", "URI Too Long"),
    (415, "media-type", "Unsupported Media Type"),
    (421, "misdirected", "Misdirected Request"),
    (422, "invalid-content", "Unprocessable Content"),
    (431, "head-too-large", "Request Header Fields Too Large"),
    (500, "internal", "Internal Server Error"),
    (502, "child-failed", "A child process failed"),
    (503, "unavailable", "Service Unavailable"),
    (504, "took-too-long", "Gateway Timeout"),
    (505, "http-version", "HTTP Version Not Supported"),
];

impl Problem {
    /// A status that is not in the table is a 500.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        let row_of = |status| KINDS.iter().find(|(known, _, _)| *known == status);
        let row = row_of(status).or_else(|| row_of(500)).expect("500 is in the table");
        Self {
            kind: format!("urn:agent:problem:{}", row.1),
            title: row.2,
            status: row.0,
            detail: detail.into(),
            hint: None,
            headers: Vec::new(),
        }
    }

    /// A failure under a status that the handler knows better than the failure's kind.
    pub fn of(status: u16, failure: Failure) -> Self {
        let problem = Self::new(status, failure.messages.join(": "));
        match failure.hint {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        }
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, detail)
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, detail)
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub const fn status(&self) -> u16 {
        self.status
    }

    pub(super) const fn title(&self) -> &'static str {
        self.title
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a problem serialises")
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let mut problem = Self::new(denied.status, denied.why);
        problem.hint = denied.hint.map(str::to_owned);
        if denied.status == 401 {
            problem.with_header("WWW-Authenticate", "Bearer")
        } else {
            problem
        }
    }
}

impl<E: Into<Failure>> From<E> for Problem {
    /// The message of the failure with the status of its kind. Handlers answer 404 themselves: a
    /// kind does not distinguish a missing resource.
    fn from(error: E) -> Self {
        let failure = error.into();
        let status = match failure.kind {
            FailureKind::Usage => 400,
            FailureKind::Conflict | FailureKind::Refused | FailureKind::NotEnoughEvidence => 409,
            FailureKind::Child => 502,
            FailureKind::Surroundings => 503,
            FailureKind::Input => 500,
        };
        Self::of(status, failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_message_and_hint() {
        let error = Failure::new(FailureKind::Surroundings, "cannot read `a`")
            .with_hint("is the network there?");
        let problem: serde_json::Value =
            serde_json::from_slice(&Problem::from(error).to_bytes()).unwrap();
        assert_eq!(
            problem,
            serde_json::json!({
                "type": "urn:agent:problem:unavailable", "title": "Service Unavailable", "status": 503,
                "detail": "cannot read `a`", "hint": "is the network there?",
            })
        );
    }

    #[test]
    fn the_table_is_in_order_and_an_unknown_status_is_internal() {
        assert!(KINDS.is_sorted_by_key(|(status, _, _)| *status));
        assert_eq!(Problem::new(418, "").status(), 500);
        for (status, _, _) in KINDS {
            assert_eq!(Problem::new(status, "").status(), status);
        }
    }
}
