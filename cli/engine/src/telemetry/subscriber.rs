//! The subscriber of `tracing`: a span of our target is a span of OpenTelemetry's SDK, which writes
//! it when it ends.
//!
//! It has this one purpose. `tracing-opentelemetry` on the registry of `tracing-subscriber` serves
//! any number of layers, and locks and looks up a span's extensions for each attribute. With this
//! subscriber the two spans of a call through `agent mcp` cost half a microsecond more than spans
//! that the SDK makes directly, of 13 in all: requests need no way around `tracing`.

use super::traceparent;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use slab::Slab;
use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};
use tracing_core::span::Current;

/// The span of a call has about this many attributes: their memory is taken once.
const ATTRIBUTES: usize = 16;

/// Only spans of this target are recorded, not those of dependencies.
pub(super) const TARGET: &str = "agent::telemetry";

/// The name, which in `tracing` is a constant.
pub(super) const NAME: &str = "otel.name";
/// `server`, `client` or `internal`.
pub(super) const KIND: &str = "otel.kind";
/// A span of another process that this one continues, as a W3C `traceparent`; one that cannot be
/// read is none.
pub(super) const PARENT: &str = "otel.parent";

thread_local! {
    /// The spans that this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Spans {
    tracer: SdkTracer,
    /// By their ids.
    open: Mutex<Slab<Open>>,
}

struct Open {
    span: Span,
    metadata: &'static Metadata<'static>,
    handles: usize,
}

impl Spans {
    pub(super) fn new(tracer: SdkTracer) -> Self {
        Self { tracer, open: Mutex::default() }
    }

    /// Works on what a span is recorded as; `None` when it is not recorded.
    pub(super) fn with<T>(span: &tracing::Span, work: impl FnOnce(&mut Span) -> T) -> Option<T> {
        span.with_subscriber(|(id, dispatch)| {
            dispatch.downcast_ref::<Self>()?.at(id, |open| work(&mut open.span))
        })
        .flatten()
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at<T>(&self, id: &Id, work: impl FnOnce(&mut Open) -> T) -> Option<T> {
        self.lock().get_mut(key(id)).map(work)
    }

    fn context(&self, id: &Id) -> Option<SpanContext> {
        self.at(id, |open| open.span.span_context().clone())
    }

    fn parent(&self, attributes: &Attributes<'_>) -> Option<SpanContext> {
        if attributes.is_contextual() {
            self.context(&entered()?)
        } else {
            self.context(attributes.parent()?)
        }
    }
}

/// An id is not zero.
fn id(key: usize) -> Id {
    Id::from_u64(key as u64 + 1)
}

fn key(id: &Id) -> usize {
    usize::try_from(id.into_u64() - 1).unwrap_or(usize::MAX)
}

fn entered() -> Option<Id> {
    ENTERED.with_borrow(|entered| entered.last().cloned())
}

impl tracing::Subscriber for Spans {
    /// Asked for each span again: a thread may have another subscriber, or none.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    /// Events are records of the logger: what they are about may be the span of another process.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target() == TARGET
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = fields
            .parent
            .or_else(|| self.parent(attributes))
            .map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let metadata = attributes.metadata();
        let builder = match fields.name {
            Some(name) => SpanBuilder::from_name(name),
            None => SpanBuilder::from_name(metadata.name()),
        };
        let builder = builder.with_kind(fields.kind).with_attributes(fields.attributes);
        let span = self.tracer.build_with_context(builder, &parent);
        id(self.lock().insert(Open { span, metadata, handles: 1 }))
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        self.at(id, |open| open.span.set_attributes(fields.attributes));
    }

    fn record_follows_from(&self, id: &Id, follows: &Id) {
        if let Some(followed) = self.context(follows) {
            self.at(id, |open| open.span.add_link(followed, Vec::new()));
        }
    }

    fn event(&self, _event: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.clone()));
    }

    fn exit(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|other| other == id) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.at(id, |open| open.handles += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut open = self.lock();
        let Some(handles) = open.get_mut(key(&id)).map(|open| &mut open.handles) else {
            return false;
        };
        *handles -= 1;
        if *handles > 0 {
            return false;
        }
        let ended = open.remove(key(&id));
        drop(open);
        // ends the span, without the lock: its processors write
        drop(ended);
        true
    }

    fn current_span(&self) -> Current {
        entered()
            .and_then(|id| self.at(&id, |open| open.metadata).map(|found| Current::new(id, found)))
            .unwrap_or_else(Current::none)
    }
}

/// The fields of a span, read.
struct Fields {
    name: Option<String>,
    kind: SpanKind,
    parent: Option<SpanContext>,
    attributes: Vec<KeyValue>,
}

impl Default for Fields {
    fn default() -> Self {
        let attributes = Vec::with_capacity(ATTRIBUTES);
        Self { name: None, kind: SpanKind::Internal, parent: None, attributes }
    }
}

impl Fields {
    fn attribute(&mut self, field: &Field, value: impl Into<Value>) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            NAME => self.name = Some(value.to_owned()),
            KIND => self.kind = kind_of(value),
            PARENT => self.parent = traceparent::parse(value),
            _ => self.attribute(field, value.to_owned()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attribute(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attribute(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.attribute(field, value),
            Err(_) => self.attribute(field, value.to_string()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attribute(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.attribute(field, format!("{value:?}"));
    }
}

fn kind_of(text: &str) -> SpanKind {
    match text {
        "server" => SpanKind::Server,
        "client" => SpanKind::Client,
        _ => SpanKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanProcessor};
    use std::sync::Arc;
    use std::time::Duration;
    use tracing::{Instrument as _, info_span};

    #[derive(Debug, Clone, Default)]
    struct Ended(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Ended {
        fn on_start(&self, _span: &mut Span, _context: &Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().unwrap().push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    /// The spans that ended while some work was done, and how many are still open.
    fn ended(work: impl FnOnce()) -> (Vec<SpanData>, usize) {
        let ended = Ended::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(ended.clone())
            .build();
        let dispatch = tracing::Dispatch::new(Spans::new(provider.tracer("test")));
        tracing::dispatcher::with_default(&dispatch, work);
        let open = dispatch.downcast_ref::<Spans>().unwrap().lock().len();
        let spans = std::mem::take(&mut *ended.0.lock().unwrap());
        (spans, open)
    }

    fn names(spans: &[SpanData]) -> Vec<&str> {
        spans.iter().map(|span| span.name.as_ref()).collect()
    }

    #[test]
    fn fields_are_name_kind_parent_and_attributes() {
        let (spans, open) = ended(|| {
            let remote = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            let span = info_span!(
                target: TARGET, "constant",
                { NAME } = "tools/call ask", { KIND } = "server", { PARENT } = remote,
                text = "x", number = 7, large = u64::MAX, share = 0.5, truth = true, shown = ?Some(1),
                later = tracing::field::Empty
            );
            span.record("later", "y");
            Spans::with(&span, |span| span.set_attribute(KeyValue::new("any", "z")));
            let _constant = info_span!(target: TARGET, "constant", { PARENT } = "unreadable");
            drop(span);
            let _other = info_span!(target: "other", "other");
            tracing::info!(target: TARGET, "an event");
        });
        assert_eq!((names(&spans), open), (vec!["tools/call ask", "constant"], 0));
        let [span, constant] = spans.as_slice() else { unreachable!() };
        assert_eq!(span.span_kind, SpanKind::Server);
        assert_eq!(span.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert_eq!(span.span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(span.parent_span_is_remote && !constant.parent_span_is_remote);
        let attributes: Vec<_> =
            span.attributes.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect();
        assert_eq!(
            attributes,
            [
                "text=x",
                "number=7",
                "large=18446744073709551615",
                "share=0.5",
                "truth=true",
                "shown=Some(1)",
                "later=y",
                "any=z"
            ]
        );
    }

    #[test]
    fn a_span_is_the_child_of_the_one_entered_and_ends_with_its_last_handle() {
        let (spans, open) = ended(|| {
            let outer = info_span!(target: TARGET, "outer");
            let copy = outer.clone();
            let inner = outer.in_scope(|| info_span!(target: TARGET, "inner"));
            drop(outer);
            let root = copy.in_scope(|| info_span!(target: TARGET, parent: None, "root"));
            root.follows_from(&inner);
            let explicit = info_span!(target: TARGET, parent: &inner, "explicit");
            let after = info_span!(target: TARGET, "after");
            drop((inner, copy, root, explicit, after));
        });
        assert_eq!((names(&spans), open), (vec!["inner", "outer", "root", "explicit", "after"], 0));
        let parent = |at: usize| spans[at].parent_span_id;
        let own = |at: usize| spans[at].span_context.span_id();
        assert_eq!((parent(0), parent(3)), (own(1), own(0)));
        assert!(
            [1, 2, 4].into_iter().all(|at| parent(at) == opentelemetry::trace::SpanId::INVALID)
        );
        assert_eq!(spans[2].links.links[0].span_context.span_id(), own(0));
        assert!(spans.iter().all(|span| !span.parent_span_is_remote));
    }

    #[test]
    fn interleaved_tasks_are_each_in_their_own_span() {
        let (spans, open) = ended(|| {
            let task = |name: &'static str| {
                async move {
                    tokio::task::yield_now().await;
                    drop(info_span!(target: TARGET, "child", { NAME } = format!("of {name}")));
                }
                .instrument(info_span!(target: TARGET, "task", { NAME } = name))
            };
            let both = async { tokio::join!(task("one"), task("two")) };
            crate::world::event_loop::block_on(both).unwrap();
            assert!(tracing::Span::current().is_none());
        });
        assert_eq!((spans.len(), open), (4, 0));
        let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
        for (child, task) in [("of one", "one"), ("of two", "two")] {
            assert_eq!(named(child).parent_span_id, named(task).span_context.span_id());
        }
    }
}
