//! What the requests of one kind have in common: a span's name and first attributes, and the labels
//! of a histogram. Made once for each kind, since nearly all calls are of a few kinds.

use super::attributes::Attributes;
use super::recent::Recent;
use super::request::{Request, Transport};
use agent_core::protocol::conventions as names;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use std::sync::Arc;

thread_local! {
    static RECENT: Recent<Arc<Labels>> = const { Recent::new(64) };
}

#[derive(Debug)]
pub(super) struct Labels {
    pub(super) kind: SpanKind,
    pub(super) name: Arc<str>,
    pub(super) attributes: Attributes,
    of: Key,
}

/// The parts of a request by which its labels differ.
#[derive(Debug)]
struct Key {
    method: String,
    tool: Option<String>,
    prompt: Option<String>,
    protocol: Option<String>,
    transport: Transport,
}

impl Labels {
    pub(super) fn of(request: &Request<'_>, kind: &SpanKind) -> Arc<Self> {
        RECENT.with(|recent| {
            recent.find_or_make(
                |labels| labels.is_of(request, kind),
                || Arc::new(Self::new(request, kind.clone())),
            )
        })
    }

    fn is_of(&self, request: &Request<'_>, kind: &SpanKind) -> bool {
        let Key { method, tool, prompt, protocol, transport } = &self.of;
        self.kind == *kind
            && method == request.method
            && tool.as_deref() == request.tool
            && prompt.as_deref() == request.prompt
            && protocol.as_deref() == request.protocol
            && *transport == request.transport
    }

    fn new(request: &Request<'_>, kind: SpanKind) -> Self {
        let mut attributes = Attributes::new(true);
        attributes.push(names::METHOD, request.method);
        if let Some(tool) = request.tool {
            attributes.push(names::TOOL, tool);
            attributes.push(names::OPERATION, names::EXECUTE_TOOL);
        }
        if let Some(prompt) = request.prompt {
            attributes.push(names::PROMPT, prompt);
        }
        if let Some(protocol) = request.protocol {
            attributes.push(names::PROTOCOL_VERSION, protocol);
        }
        match request.transport {
            Transport::Stdio => attributes.push(names::TRANSPORT, "pipe"),
            Transport::Http => {
                attributes.push(names::TRANSPORT, "tcp");
                attributes.push(names::PROTOCOL_NAME, "http");
            }
        }
        let name = match request.tool.or(request.prompt) {
            Some(target) => format!("{} {target}", request.method).into(),
            None => request.method.into(),
        };
        let own = |text: Option<&str>| text.map(str::to_owned);
        let of = Key {
            method: request.method.to_owned(),
            tool: own(request.tool),
            prompt: own(request.prompt),
            protocol: own(request.protocol),
            transport: request.transport,
        };
        Self { kind, name, attributes, of }
    }

    /// The labels of the histogram.
    pub(super) fn pairs(&self) -> &[KeyValue] {
        self.attributes.pairs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(request: &Request<'_>) -> Arc<Labels> {
        Labels::of(request, &SpanKind::Server)
    }

    #[test]
    fn a_span_is_named_by_method_and_target() {
        let name = |request: Request<'_>| labels(&request).name.to_string();
        assert_eq!(name(Request::call("ask")), "tools/call ask");
        assert_eq!(
            name(Request { prompt: Some("greet"), ..Request::new("prompts/get") }),
            "prompts/get greet"
        );
        assert_eq!(
            name(Request { resource: Some("session://c1"), ..Request::new("resources/read") }),
            "resources/read"
        );
        let shown: Vec<_> = labels(&Request {
            protocol: Some("2025-11-25"),
            transport: Transport::Http,
            ..Request::call("ask")
        })
        .pairs()
        .iter()
        .map(|label| format!("{}={}", label.key, label.value))
        .collect();
        assert_eq!(
            shown,
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

    #[test]
    fn requests_of_one_kind_share_their_labels() {
        let call = Request::call("ask");
        assert!(Arc::ptr_eq(&labels(&call), &labels(&Request { id: None, ..call })));
        let others = [
            Request::call("say"),
            Request { protocol: Some("2025-11-25"), ..call },
            Request { transport: Transport::Http, ..call },
            Request { tool: None, prompt: Some("ask"), ..call },
            Request { method: "tools/other", ..call },
        ];
        for other in others {
            assert!(!Arc::ptr_eq(&labels(&call), &labels(&other)), "{other:?}");
        }
        assert!(!Arc::ptr_eq(&labels(&call), &Labels::of(&call, &SpanKind::Client)));
    }
}
