//! MCP's requests and notifications: as the server of a host sees them, and as the client of a
//! child does. A span each, and a histogram.

use super::global::captures_content;
use super::labels::Labels;
use super::record::SpanRecord;
use super::request::Request;
use super::span::{Parent, Span};
use agent_core::protocol::conventions as names;
use opentelemetry::trace::SpanKind;
use std::future::Future;

/// A request in flight; it ends when this is dropped.
#[derive(Debug)]
pub struct Operation {
    span: Span,
}

impl Operation {
    /// A request of a host that is served here.
    pub fn served(request: &Request<'_>) -> Self {
        Self::open(request, &SpanKind::Server, Parent::Remote(request.traceparent))
    }

    /// A request to a child, within the current span.
    pub fn client(request: &Request<'_>) -> Self {
        let is_within = Span::current().is_recorded();
        let parent = if is_within { Parent::Current } else { Parent::Remote(request.traceparent) };
        let operation = Self::open(request, &SpanKind::Client, parent);
        if let Some(other) = request.traceparent.filter(|_| is_within) {
            operation.span.link(other);
        }
        operation
    }

    fn open(request: &Request<'_>, kind: &SpanKind, parent: Parent<'_>) -> Self {
        let span = Span::open(parent, |record| {
            record.describe(Labels::of(request, kind));
            add_details(request, record);
        });
        Self { span }
    }

    /// For what is known later.
    pub const fn span(&self) -> &Span {
        &self.span
    }

    /// The arguments of a tool, in JSON: recorded by request alone.
    pub fn given(&self, arguments: impl FnOnce() -> String) {
        self.content([names::TOOL_ARGUMENTS, names::INPUT, names::INPUT_TYPE], arguments);
    }

    /// The result of a tool, the same way.
    pub fn answered(&self, result: impl FnOnce() -> String) {
        self.content([names::TOOL_RESULT, names::OUTPUT, names::OUTPUT_TYPE], result);
    }

    fn content(
        &self,
        [by_convention, by_backends, media_type]: [&'static str; 3],
        content: impl FnOnce() -> String,
    ) {
        const MOST: usize = 64 << 10;
        if !captures_content() || !self.span.is_recorded() {
            return;
        }
        let content = content();
        let end = (0..=MOST.min(content.len()))
            .rev()
            .find(|end| content.is_char_boundary(*end))
            .unwrap_or(0);
        let shown = &content[..end];
        self.span.set(by_convention, shown);
        self.span.set(by_backends, shown);
        // what was cut is JSON no longer
        self.span
            .set(media_type, if end == content.len() { "application/json" } else { "text/plain" });
    }

    /// For the `_meta` of what is sent because of this.
    pub fn traceparent(&self) -> Option<String> {
        self.span.traceparent()
    }

    /// What the call cost, in US dollars.
    pub fn cost(&self, usd: f64) {
        self.span.set(names::COST, usd);
    }

    /// The tool's result has `isError`.
    pub fn tool_failed(&self, description: &str) {
        self.fail(names::TOOL_ERROR, description);
    }

    /// The answer is a JSON-RPC error.
    pub fn refused(&self, code: i64, message: &str) {
        let code = code.to_string();
        self.span.edit(|record| record.label(names::STATUS_CODE, &code));
        self.fail(&code, message);
    }

    /// Any other error type, of low cardinality, such as `timeout`, `child_died` or `cancelled`.
    pub fn fail(&self, error_type: &str, description: &str) {
        self.span.fail(error_type, description);
    }

    pub async fn around<F: Future>(&self, work: F) -> F::Output {
        self.span.around(work).await
    }
}

/// Further attributes of the span.
fn add_details(request: &Request<'_>, record: &mut SpanRecord) {
    let attributes = &mut record.attributes;
    if request.tool.is_some() {
        attributes.push(names::SPAN_KIND, names::SPAN_TOOL);
    }
    let id = request.id.map(|id| id.get().trim_matches('"'));
    let details = [
        (names::REQUEST_ID, id),
        (names::SESSION, request.session),
        (names::CONVERSATION, request.conversation),
        (names::RESOURCE, request.resource),
    ];
    for (key, value) in details {
        if let Some(value) = value {
            attributes.push(key, value);
        }
    }
}
