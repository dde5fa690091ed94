//! The subscriber of `tracing`: a span of our target is a record, which is written when it ends.
//!
//! It has this one purpose. `tracing-opentelemetry` on the registry of `tracing-subscriber` serves
//! any number of layers, locks and looks up a span's extensions for each attribute, and makes each
//! span by the SDK's tracer, whose samplers and limits have no use here: a third of what a call
//! through `agent mcp` costs.

use super::record::SpanRecord;
use opentelemetry::trace::SpanContext;
use slab::Slab;
use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};
use tracing_core::span::Current;

/// Only spans of this target are recorded, not those of dependencies.
pub(super) const TARGET: &str = "agent::telemetry";

thread_local! {
    /// The spans that this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Spans {
    ended: Box<dyn Fn(SpanRecord) + Send + Sync>,
    with_pairs: bool,
    /// By their ids.
    open: Mutex<Slab<Open>>,
}

struct Open {
    record: SpanRecord,
    metadata: &'static Metadata<'static>,
    handles: usize,
}

impl Spans {
    /// `ended` gets each span at its end, with pairs where it asks for them.
    pub(super) fn new(
        ended: impl Fn(SpanRecord) + Send + Sync + 'static,
        with_pairs: bool,
    ) -> Self {
        Self { ended: Box::new(ended), with_pairs, open: Mutex::default() }
    }

    /// Works on what a span is recorded as; `None` when it is not recorded.
    pub(super) fn with<T>(
        span: &tracing::Span,
        work: impl FnOnce(&mut SpanRecord) -> T,
    ) -> Option<T> {
        span.with_subscriber(|(id, dispatch)| {
            dispatch.downcast_ref::<Self>()?.at(id, |open| work(&mut open.record))
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
        self.at(id, |open| open.record.context())
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

    /// Names and attributes are constants to `tracing`. Those of a request are not: they are put
    /// into the record.
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let record = SpanRecord::begin(self.parent(attributes).as_ref(), self.with_pairs);
        let metadata = attributes.metadata();
        id(self.lock().insert(Open { record, metadata, handles: 1 }))
    }

    fn record(&self, _id: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, id: &Id, follows: &Id) {
        if let Some(followed) = self.context(follows) {
            self.at(id, |open| open.record.links.push(followed));
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
        let Open { mut record, .. } = open.remove(key(&id));
        drop(open);
        record.end();
        (self.ended)(record);
        true
    }

    fn current_span(&self) -> Current {
        entered()
            .and_then(|id| self.at(&id, |open| open.metadata).map(|found| Current::new(id, found)))
            .unwrap_or_else(Current::none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tracing::{Instrument as _, info_span};

    /// The spans that ended while some work was done, and how many are still open.
    fn ended(work: impl FnOnce()) -> (Vec<SpanRecord>, usize) {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&ended);
        let spans = Spans::new(move |record| all.lock().unwrap().push(record), false);
        let dispatch = tracing::Dispatch::new(spans);
        tracing::dispatcher::with_default(&dispatch, work);
        let open = dispatch.downcast_ref::<Spans>().unwrap().lock().len();
        let spans = std::mem::take(&mut *ended.lock().unwrap());
        (spans, open)
    }

    fn names(spans: &[SpanRecord]) -> Vec<&str> {
        spans.iter().map(|span| span.name.as_ref()).collect()
    }

    fn span(name: &str) -> tracing::Span {
        named(info_span!(target: TARGET, "span"), name)
    }

    fn named(span: tracing::Span, name: &str) -> tracing::Span {
        Spans::with(&span, |record| record.name = name.into());
        span
    }

    #[test]
    fn only_spans_of_our_target_are_recorded() {
        let (spans, open) = ended(|| {
            let own = span("own");
            Spans::with(&own, |record| record.attributes.push("any", "z"));
            drop(own);
            let _other = info_span!(target: "other", "other");
            tracing::info!(target: TARGET, "an event");
        });
        assert_eq!((names(&spans), open), (vec!["own"], 0));
        let json = r#"{"key":"any","value":{"stringValue":"z"}}"#;
        assert_eq!(spans[0].attributes.json(), json.as_bytes());
        assert!(spans[0].parent.is_none() && spans[0].context().is_valid());
    }

    #[test]
    fn a_span_is_the_child_of_the_one_entered_and_ends_with_its_last_handle() {
        let (spans, open) = ended(|| {
            let outer = span("outer");
            let copy = outer.clone();
            let inner = outer.in_scope(|| span("inner"));
            drop(outer);
            let root =
                copy.in_scope(|| named(info_span!(target: TARGET, parent: None, "span"), "root"));
            root.follows_from(&inner);
            let explicit = named(info_span!(target: TARGET, parent: &inner, "span"), "explicit");
            let after = span("after");
            drop((inner, copy, root, explicit, after));
        });
        assert_eq!((names(&spans), open), (vec!["inner", "outer", "root", "explicit", "after"], 0));
        let parent = |at: usize| spans[at].parent.map(|parent| parent.id);
        assert_eq!(parent(0), Some(spans[1].span));
        assert_eq!(parent(3), Some(spans[0].span));
        assert!([1, 2, 4].into_iter().all(|at| parent(at).is_none()));
        assert_eq!(spans[0].trace, spans[1].trace);
        assert_eq!(spans[2].links[0].span_id(), spans[0].span);
        assert!(spans.iter().filter_map(|span| span.parent).all(|parent| !parent.is_remote));
    }

    #[test]
    fn interleaved_tasks_are_each_in_their_own_span() {
        let (spans, open) = ended(|| {
            let task = |name: &'static str| {
                async move {
                    tokio::task::yield_now().await;
                    drop(span(&format!("of {name}")));
                }
                .instrument(span(name))
            };
            let both = async { tokio::join!(task("one"), task("two")) };
            crate::world::event_loop::block_on(both).unwrap();
            assert!(tracing::Span::current().is_none());
        });
        assert_eq!((spans.len(), open), (4, 0));
        let named = |name: &str| spans.iter().find(|span| *span.name == *name).unwrap();
        for (child, task) in [("of one", "one"), ("of two", "two")] {
            assert_eq!(named(child).parent.unwrap().id, named(task).span);
        }
    }
}
