//! A trace for display: its spans as a tree, each with its events and feedback.

use crate::protocol::conventions as names;
use crate::protocol::otlp::{Event, Span};
use std::collections::BTreeSet;
use std::collections::btree_map::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    pub trace: String,
    /// Spans without a recorded parent, and feedback on spans that are not recorded.
    pub roots: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Span { span: Box<Span>, children: Vec<Node> },
    Event(Box<Event>),
}

impl Node {
    /// Its start time, or the time of the record.
    pub const fn at(&self) -> u64 {
        match self {
            Self::Span { span, .. } => span.began,
            Self::Event(event) => event.at,
        }
    }
}

impl Tree {
    pub fn began(&self) -> u64 {
        self.roots.iter().map(Node::at).min().unwrap_or_default()
    }

    /// All spans, parents before their children.
    pub fn spans(&self) -> Vec<&Span> {
        fn add<'a>(nodes: &'a [Node], spans: &mut Vec<&'a Span>) {
            for node in nodes {
                if let Node::Span { span, children } = node {
                    spans.push(span);
                    add(children, spans);
                }
            }
        }
        let mut spans = Vec::new();
        add(&self.roots, &mut spans);
        spans
    }

    /// Whether a span's parent is not on record: a host's own span, or one that is in an earlier
    /// file.
    pub fn is_open(&self) -> bool {
        self.roots.iter().any(|root| {
            matches!(root, Node::Event(_))
                || matches!(root, Node::Span { span, .. } if span.parent.is_some())
        })
    }
}

/// The traces of a conversation: those with its id as an attribute, and those linked to one.
pub fn of_conversation(id: &str, spans: &[Span], events: &[Event]) -> BTreeSet<String> {
    let mut traces: BTreeSet<String> = spans
        .iter()
        .filter(|span| span.text(names::CONVERSATION) == Some(id))
        .map(|span| span.trace.clone())
        .collect();
    let of_conversation = events.iter().filter(|event| event.text(names::CONVERSATION) == Some(id));
    traces.extend(of_conversation.filter_map(|event| event.trace.clone()));
    traces
}

/// By trace, oldest first. The same span given twice is one.
pub fn trees(spans: Vec<Span>, events: Vec<Event>) -> Vec<Tree> {
    let mut traces: BTreeMap<String, (BTreeMap<String, Span>, Vec<Event>)> = BTreeMap::new();
    for span in spans {
        traces.entry(span.trace.clone()).or_default().0.insert(span.id.clone(), span);
    }
    for event in events {
        if let Some(trace) = event.trace.clone() {
            traces.entry(trace).or_default().1.push(event);
        }
    }
    let mut trees: Vec<_> =
        traces.into_iter().map(|(trace, (spans, events))| tree(trace, spans, events)).collect();
    trees.sort_by_key(Tree::began);
    trees
}

/// Where there is no parent on record: no span has this id.
const TOP: &str = "";

fn tree(trace: String, spans: BTreeMap<String, Span>, events: Vec<Event>) -> Tree {
    let known: BTreeSet<String> = spans.keys().cloned().collect();
    let mut below: BTreeMap<String, Vec<Node>> = BTreeMap::new();
    let place = |parent: Option<String>| {
        parent.filter(|parent| known.contains(parent)).unwrap_or_else(|| TOP.to_owned())
    };
    for span in spans.into_values() {
        // a span that is its own parent would never be reached
        let parent = place(span.parent.clone().filter(|parent| *parent != span.id));
        below
            .entry(parent)
            .or_default()
            .push(Node::Span { span: Box::new(span), children: Vec::new() });
    }
    for event in events {
        below.entry(place(event.span.clone())).or_default().push(Node::Event(Box::new(event)));
    }
    Tree { trace, roots: children_of(TOP, &mut below) }
}

fn children_of(parent: &str, below: &mut BTreeMap<String, Vec<Node>>) -> Vec<Node> {
    let mut nodes = below.remove(parent).unwrap_or_default();
    nodes.sort_by_key(Node::at);
    for node in &mut nodes {
        if let Node::Span { span, children } = node {
            *children = children_of(&span.id, below);
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::otlp::Kind;
    use serde_json::json;

    fn span(id: &str, parent: Option<&str>, began: u64) -> Span {
        Span {
            trace: "t".to_owned(),
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
            name: id.to_owned(),
            kind: Kind::Internal,
            began,
            ended: began + 1,
            attributes: BTreeMap::default(),
            failed: false,
            message: String::new(),
            links: Vec::new(),
        }
    }

    fn event(trace: Option<&str>, span: &str) -> Event {
        let attributes = BTreeMap::from([(names::CONVERSATION.to_owned(), json!("c1"))]);
        Event {
            trace: trace.map(str::to_owned),
            span: Some(span.to_owned()),
            at: 9,
            name: "reward".to_owned(),
            attributes,
        }
    }

    fn shape(nodes: &[Node]) -> String {
        let shown = nodes.iter().map(|node| match node {
            Node::Span { span, children } if children.is_empty() => span.id.clone(),
            Node::Span { span, children } => format!("{}({})", span.id, shape(children)),
            Node::Event(event) => event.name.clone(),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check(spans: Vec<Span>, events: Vec<Event>, expected: &str, is_open: bool) {
        let [tree] = &trees(spans, events)[..] else { panic!("one trace") };
        assert_eq!((shape(&tree.roots).as_str(), tree.is_open()), (expected, is_open));
    }

    #[test]
    fn spans_are_ordered_below_their_parents_by_time() {
        let spans = vec![
            span("b", Some("a"), 5),
            span("c", Some("a"), 4),
            span("a", None, 1),
            span("b", Some("a"), 5),
        ];
        check(spans, vec![event(Some("t"), "c"), event(None, "c")], "a(c(reward) b)", false);
        check(vec![span("a", Some("the host's"), 1)], vec![], "a", true);
        check(vec![span("a", Some("a"), 1)], vec![], "a", true);
        check(vec![], vec![event(Some("t"), "gone")], "reward", true);
    }

    #[test]
    fn conversation_is_found_by_its_id_attribute() {
        let other = Span { trace: "u".to_owned(), ..span("x", None, 1) };
        let found = of_conversation(
            "c1",
            &[span("a", None, 1), other],
            &[event(Some("t"), "a"), event(None, "a")],
        );
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["t"]);
    }
}
