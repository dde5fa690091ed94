//! MCP's requests and notifications: as the server of a host sees them, and as the client of a
//! child does. A span each, and a histogram.

use super::global::{captures_content, telemetry};
use super::span::{Parent, Span};
use agent_core::protocol::conventions as names;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

/// The transport of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Stdio,
    Http,
}

/// What is known of a request when it arrives or leaves; all but the method may be absent.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    /// The tool of `tools/call`.
    pub tool: Option<&'a str>,
    /// The prompt of `prompts/get`.
    pub prompt: Option<&'a str>,
    pub resource: Option<&'a str>,
    /// A notification has none.
    pub id: Option<&'a RawValue>,
    pub protocol: Option<&'a str>,
    pub session: Option<&'a str>,
    pub conversation: Option<&'a str>,
    pub transport: Transport,
    /// For a server, the `_meta.traceparent` it continues; for a client, the parent it continues
    /// unless a span is active.
    pub traceparent: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub const fn new(method: &'a str) -> Self {
        Self {
            method,
            tool: None,
            prompt: None,
            resource: None,
            id: None,
            protocol: None,
            session: None,
            conversation: None,
            transport: Transport::Stdio,
            traceparent: None,
        }
    }

    /// A call of a tool.
    pub const fn call(tool: &'a str) -> Self {
        Self { tool: Some(tool), ..Self::new(names::TOOLS_CALL) }
    }

    fn span_name(&self) -> String {
        match self.tool.or(self.prompt) {
            Some(target) => format!("{} {target}", self.method),
            None => self.method.to_owned(),
        }
    }

    /// Attributes shared by span and histogram.
    fn labels(&self) -> Vec<KeyValue> {
        let mut labels = Vec::with_capacity(8);
        labels.push(match self.method {
            names::TOOLS_CALL => KeyValue::new(names::METHOD, names::TOOLS_CALL),
            other => KeyValue::new(names::METHOD, other.to_owned()),
        });
        let (transport, protocol) = match self.transport {
            Transport::Stdio => ("pipe", None),
            Transport::Http => ("tcp", Some("http")),
        };
        labels.extend(shared(names::TOOL, self.tool));
        labels.extend(self.tool.map(|_| KeyValue::new(names::OPERATION, names::EXECUTE_TOOL)));
        labels.extend(shared(names::PROMPT, self.prompt));
        labels.extend(shared(names::PROTOCOL_VERSION, self.protocol));
        labels.push(KeyValue::new(names::TRANSPORT, transport));
        labels.extend(protocol.map(|name| KeyValue::new(names::PROTOCOL_NAME, name)));
        labels
    }

    /// Further attributes of the span.
    fn details(&self) -> impl Iterator<Item = KeyValue> {
        let kind = self.tool.map(|_| KeyValue::new(names::SPAN_KIND, names::SPAN_TOOL));
        let id = self.id.map(|id| id.get().trim_matches('"'));
        let rest = [
            pair(names::REQUEST_ID, id),
            pair(names::SESSION, self.session),
            pair(names::CONVERSATION, self.conversation),
            pair(names::RESOURCE, self.resource),
        ];
        kind.into_iter().chain(rest.into_iter().flatten())
    }
}

fn pair(key: &'static str, value: Option<&str>) -> Option<KeyValue> {
    value.map(|value| KeyValue::new(key, value.to_owned()))
}

/// The same of what span and histogram share.
fn shared(key: &'static str, value: Option<&str>) -> Option<KeyValue> {
    value.map(|value| KeyValue::new(key, Arc::<str>::from(value)))
}

/// A request in flight; it ends when this is dropped.
#[derive(Debug)]
pub struct Operation {
    span: Span,
    kind: SpanKind,
    begun: Option<(Instant, RefCell<Vec<KeyValue>>)>,
}

impl Operation {
    /// A request of a host that is served here.
    pub fn served(request: &Request<'_>) -> Self {
        Self::open(request, SpanKind::Server, Parent::Remote(request.traceparent))
    }

    /// A request to a child, within the current span.
    pub fn client(request: &Request<'_>) -> Self {
        let is_within = Span::current().is_recorded();
        let parent = if is_within { Parent::Current } else { Parent::Remote(request.traceparent) };
        let operation = Self::open(request, SpanKind::Client, parent);
        if let Some(other) = request.traceparent.filter(|_| is_within) {
            operation.span.link(other);
        }
        operation
    }

    fn open(request: &Request<'_>, kind: SpanKind, parent: Parent<'_>) -> Self {
        if telemetry().is_none() {
            return Self { span: Span::none(), kind, begun: None };
        }
        let labels = request.labels();
        let attributes = labels.iter().cloned().chain(request.details());
        let span = Span::open(&request.span_name(), &kind, parent, attributes);
        Self { span, kind, begun: Some((Instant::now(), RefCell::new(labels))) }
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
        self.span.set(by_convention, shown.to_owned());
        self.span.set(by_backends, shown.to_owned());
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
        self.label(names::STATUS_CODE, code.to_string());
        self.fail(&code.to_string(), message);
    }

    /// Any other error type, of low cardinality, such as `timeout`, `child_died` or `cancelled`.
    pub fn fail(&self, error_type: &str, description: &str) {
        self.span.fail(error_type, description);
        self.label(names::ERROR_TYPE, error_type.to_owned());
    }

    pub async fn around<F: Future>(&self, work: F) -> F::Output {
        self.span.around(work).await
    }

    fn label(&self, key: &'static str, value: String) {
        if let Some((_, labels)) = &self.begun {
            let label = KeyValue::new(key, value);
            self.span.set_pair(label.clone());
            labels.borrow_mut().push(label);
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let (Some((began, labels)), Some(telemetry)) = (self.begun.take(), telemetry()) {
            telemetry.record_duration(&self.kind, began.elapsed(), &labels.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_named_by_method_and_target() {
        assert_eq!(Request::call("ask").span_name(), "tools/call ask");
        assert_eq!(
            Request { prompt: Some("greet"), ..Request::new("prompts/get") }.span_name(),
            "prompts/get greet"
        );
        assert_eq!(
            Request { resource: Some("session://c1"), ..Request::new("resources/read") }
                .span_name(),
            "resources/read"
        );
        let labels = |request: Request<'_>| {
            request
                .labels()
                .iter()
                .map(|label| format!("{}={}", label.key, label.value))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            labels(Request {
                protocol: Some("2025-11-25"),
                transport: Transport::Http,
                ..Request::call("ask")
            }),
            [
                "mcp.method.name=tools/call",
                "gen_ai.tool.name=ask",
                "gen_ai.operation.name=execute_tool",
                "mcp.protocol.version=2025-11-25",
                "network.transport=tcp",
                "network.protocol.name=http",
            ]
        );
    }
}
