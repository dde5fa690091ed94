//! Text of traces: a line each, or a tree with times.

use crate::printer::{Printer, Style};
use agent_core::protocol::conventions as names;
use agent_core::protocol::otlp::{Event, Kind, Span};
use agent_core::protocol::span_tree::{Node, Tree};
use serde_json::{Value, json};

/// Nanoseconds since 1970 as `2026-11-22 12:00:00.123`.
pub fn shown_time(at: u64) -> String {
    let at =
        jiff::Timestamp::from_nanosecond(i128::from(at)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}").replace('T', " ").trim_end_matches('Z').to_owned()
}

/// `3.1 ms`, `1.2 s`, `5 min 3 s`, `1 h 2 min`.
pub fn shown_duration(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    match seconds {
        0 => format!("{:.1} ms", nanoseconds as f64 / 1e6),
        1..60 => format!("{:.1} s", nanoseconds as f64 / 1e9),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A trace on a line: time, duration, name, outcome.
pub fn line(tree: &Tree) -> String {
    let spans = tree.spans();
    let began = tree.began();
    let Some(first) = spans.first() else {
        return format!(
            "{}  {:>10}  an event of a span that is not recorded  {}",
            shown_time(began),
            "",
            faint(&tree.trace)
        );
    };
    let calls: Vec<&str> = spans
        .iter()
        .filter(|span| span.kind == Kind::Client)
        .map(|span| span.name.as_str())
        .collect();
    let calls = if calls.is_empty() || first.kind == Kind::Client {
        String::new()
    } else {
        format!("  {}", some(&calls))
    };
    let failed = spans
        .iter()
        .find(|span| span.failed)
        .map(|span| format!("  {}", failure(span)))
        .unwrap_or_default();
    format!(
        "{}  {:>10}  {}{calls}{}{failed}  {}",
        shown_time(began),
        shown_duration(first.took()),
        first.name,
        about(first),
        faint(&tree.trace)
    )
}

/// The first few.
fn some(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let more = if names.len() > SHOWN {
        format!(" and {} more", names.len() - SHOWN)
    } else {
        String::new()
    };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

/// A trace as a tree; times count from its beginning.
pub fn tree(tree: &Tree) -> Vec<String> {
    let began = tree.began();
    let mut rows = Vec::new();
    add(&tree.roots, "", began, true, &mut rows);
    let wide = |row: &Row| row.what.chars().count();
    let what = rows.iter().map(wide).max().unwrap_or(0);
    let after = rows.iter().map(|row| row.after.chars().count()).max().unwrap_or(0);
    let took = rows.iter().map(|row| row.took.chars().count()).max().unwrap_or(0);
    let shown = rows.into_iter().map(|row| {
        let pad = " ".repeat(what - wide(&row));
        let line =
            format!("{}{pad}  {:>after$}  {:>took$}{}", row.what, row.after, row.took, row.note);
        line.trim_end().to_owned()
    });
    std::iter::once(format!(
        "{} {}  {}",
        Printer::styled(Style::Strong, "trace"),
        tree.trace,
        shown_time(began)
    ))
    .chain(shown)
    .collect()
}

struct Row {
    what: String,
    after: String,
    took: String,
    note: String,
}

fn add(nodes: &[Node], lead: &str, began: u64, is_top: bool, rows: &mut Vec<Row>) {
    for (number, node) in nodes.iter().enumerate() {
        let is_last = number + 1 == nodes.len();
        let (branch, below) = match (is_top, is_last) {
            (true, _) => ("", ""),
            (_, true) => ("└─ ", "   "),
            (_, false) => ("├─ ", "│  "),
        };
        let after = format!("+{}", shown_duration(node.at().saturating_sub(began)));
        match node {
            Node::Span { span, children } => {
                let failed =
                    if span.failed { format!("  {}", failure(span)) } else { String::new() };
                let note = format!("{}{failed}", about(span));
                rows.push(Row {
                    what: format!("{lead}{branch}{}", span.name),
                    after,
                    took: shown_duration(span.took()),
                    note,
                });
                add(children, &format!("{lead}{below}"), began, false, rows);
            }
            Node::Event(event) => {
                rows.push(Row {
                    what: format!("{lead}{branch}{}", labelled(event)),
                    after,
                    took: String::new(),
                    note: String::new(),
                });
            }
        }
    }
}

/// An event: `reward 0.5`, `tier micro 0.9 (pass)`.
fn labelled(event: &Event) -> String {
    let name = event.text(names::EVALUATION_NAME).unwrap_or(&event.name);
    let score = event.number(names::SCORE).map(|score| format!(" {score}")).unwrap_or_default();
    let label = event.text(names::LABEL).map(|label| format!(" ({label})")).unwrap_or_default();
    format!("* {name}{score}{label}")
}

/// The server, version, conversation, and number of cases.
fn about(span: &Span) -> String {
    let role = span.text(names::ROLE).map(|role| format!("the {role}"));
    let version = span.text(names::VERSION).map(|version| format!("v{version}"));
    let conversation = span.text(names::CONVERSATION).map(|id| format!("[{id}]"));
    let count = |name: &str| span.attributes.get(name).and_then(Value::as_i64);
    let cases = count(names::CASES)
        .map(|cases| format!("{} of {cases} passed", count(names::PASSED).unwrap_or_default()));
    let parts: Vec<String> =
        [Some(String::new()), role, version, conversation, cases].into_iter().flatten().collect();
    parts.join("  ")
}

fn failure(span: &Span) -> String {
    let kind = span.text(names::ERROR_TYPE).unwrap_or("failed");
    let message = span.message.lines().next().unwrap_or_default();
    let shown = if message.is_empty() { kind.to_owned() } else { format!("{kind}: {message}") };
    Printer::styled(Style::Bad, &shown)
}

fn faint(text: &str) -> String {
    Printer::styled(Style::Faint, text)
}

/// A span that has just ended, for `--follow`.
pub fn ended(span: &Span) -> String {
    let failed = if span.failed { format!("  {}", failure(span)) } else { String::new() };
    format!(
        "{}  {:>10}  {}{}{failed}  {}",
        shown_time(span.began),
        shown_duration(span.took()),
        span.name,
        about(span),
        faint(&span.trace)
    )
}

/// An event, for `--follow`.
pub fn event_line(event: &Event) -> String {
    format!(
        "{}  {:>10}  {}  {}",
        shown_time(event.at),
        "",
        labelled(event),
        faint(event.trace.as_deref().unwrap_or_default())
    )
}

/// A trace for programs: its spans, parents before their children, and their events.
pub fn document(tree: &Tree) -> Value {
    fn events<'a>(nodes: &'a [Node], found: &mut Vec<&'a Event>) {
        for node in nodes {
            match node {
                Node::Span { children, .. } => events(children, found),
                Node::Event(event) => found.push(event),
            }
        }
    }
    let time = |at: u64| {
        jiff::Timestamp::from_nanosecond(i128::from(at)).map(|at| format!("{at:.6}")).ok()
    };
    let spans: Vec<_> = tree
        .spans()
        .into_iter()
        .map(|span| {
            json!({
                "span": span.id, "parent": span.parent, "name": span.name,
                    "began": time(span.began), "ms": span.took_ms(),
                "failed": span.failed, "message": span.message, "attributes": span.attributes,
            })
        })
        .collect();
    let mut all = Vec::new();
    events(&tree.roots, &mut all);
    let all: Vec<_> = all
        .into_iter()
        .map(|event| {
            json!({"span": event.span, "name": event.name, "at": time(event.at),
            "attributes": event.attributes})
        })
        .collect();
    json!({"trace": tree.trace, "began": time(tree.began()), "spans": spans, "events": all})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_readable() {
        assert_eq!(shown_time(1_795_377_764_371_489_353), "2026-11-22 20:02:44.371");
        let durations =
            [0, 3_140_000, 1_250_000_000, 303_000_000_000, 3_725_000_000_000].map(shown_duration);
        assert_eq!(durations, ["0.0 ms", "3.1 ms", "1.2 s", "5 min 3 s", "1 h 2 min"]);
    }
}
