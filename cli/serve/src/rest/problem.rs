//! What went wrong with a request, as RFC 9457 has it.

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

/// Status, the word that `type` ends with, title.
const KINDS: [(u16, &str, &str); 19] = [
    (400, "bad-request", "The request is malformed"),
    (401, "unauthorized", "A token is needed"),
    (403, "forbidden", "Access is refused"),
    (404, "not-found", "There is no such thing"),
    (405, "method-not-allowed", "The method does not go with this path"),
    (408, "too-slow", "The request took too long to arrive"),
    (409, "conflict", "Somebody else was first"),
    (411, "length-required", "A body needs a Content-Length"),
    (413, "too-large", "The body is too large"),
    (414, "path-too-long", "The path is too long"),
    (415, "media-type", "The body is of a type that is not read here"),
    (421, "misdirected", "This is not the server that was asked for"),
    (422, "invalid-content", "The body does not say what is needed"),
    (431, "head-too-large", "The head of the request is too large"),
    (500, "internal", "It went wrong here"),
    (502, "child-failed", "A process that was started failed"),
    (503, "unavailable", "It cannot be done now"),
    (504, "took-too-long", "The answer took too long"),
    (505, "http-version", "The version of HTTP is not spoken here"),
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

impl From<Failure> for Problem {
    /// What a command would say, with the status for its kind. A handler of what may not be there
    /// answers 404 itself.
    fn from(error: Failure) -> Self {
        let status = match error.kind {
            FailureKind::Usage => 400,
            FailureKind::Conflict | FailureKind::Refused | FailureKind::NotEnoughEvidence => 409,
            FailureKind::Child => 502,
            FailureKind::Surroundings => 503,
            FailureKind::Input => 500,
        };
        Self::of(status, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_s_error_is_told_whole() {
        let error = Failure::new(FailureKind::Surroundings, "cannot read `a`")
            .with_hint("is the network there?");
        let problem: serde_json::Value =
            serde_json::from_slice(&Problem::from(error).to_bytes()).unwrap();
        assert_eq!(
            problem,
            serde_json::json!({
                "type": "urn:agent:problem:unavailable", "title": "It cannot be done now",
                    "status": 503,
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
