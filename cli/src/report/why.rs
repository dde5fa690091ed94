//! Parses the reason why a case did not pass into expected and actual values, with the characters
//! that differ.
//!
//! Results have their reason as one text (`$.price: expected 4, got 3; ...`), so that every program
//! can show it.

use crate::printer::{Printer, Style};
use agent_core::formats::text_difference::{self, ChangeTag};
use agent_core::testing::case_result::{CaseResult, Shown};
use serde::Serialize;
use serde_json::Value;

/// A piece of a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Text that is not a pair of values.
    Text(String),
    /// The expected and the actual value at a path.
    Values { path: String, expected: Vec<Run>, got: Vec<Run> },
}

/// Characters, and whether they differ from the other side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run(pub String, pub bool);

const EXPECTED: &str = ": expected ";
const GOT: &str = ", got ";
/// The length of values that are shown on one line.
const SHORT: usize = 24;

/// Parses a reason.
pub fn parts(why: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = why;
    while !rest.is_empty() {
        let (part, after) = values(rest).unwrap_or_else(|| text(rest));
        parts.push(part);
        rest = after.strip_prefix("; ").unwrap_or(after);
    }
    parts
}

fn text(rest: &str) -> (Part, &str) {
    let end = rest.find("; $").unwrap_or(rest.len());
    (Part::Text(rest[..end].to_owned()), &rest[end..])
}

/// `PATH: expected VALUE, got VALUE` at the beginning.
fn values(rest: &str) -> Option<(Part, &str)> {
    let at = rest.find(EXPECTED)?;
    let path = &rest[..at];
    if !path.contains('$') || path.contains("; ") || path.contains('\n') {
        return None;
    }
    let (expected, rest) = value(&rest[at + EXPECTED.len()..], GOT)?;
    let (got, rest) = value(rest.strip_prefix(GOT)?, "; $")?;
    let (expected, got) = compared(expected, got);
    Some((Part::Values { path: path.to_owned(), expected, got }, rest))
}

/// A JSON value and the rest; a value that was cut off extends to `end`, or to the end of the text.
fn value<'a>(text: &'a str, end: &str) -> Option<(&'a str, &'a str)> {
    let follows = |at: &usize| {
        text[*at..].is_empty()
            || text[*at..].starts_with(end.trim_end_matches('$'))
            || text[*at..].starts_with('\n')
    };
    let at = match length_of_value(text).filter(follows) {
        Some(at) => at,
        None if text.contains("...") => text.find(end).unwrap_or(text.len()),
        None => return None,
    };
    Some(text.split_at(at))
}

fn length_of_value(text: &str) -> Option<usize> {
    if !text.starts_with(['"', '{', '[']) {
        return Some(text.find([',', ';', ' ', '\n']).unwrap_or(text.len()));
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    stream.next()?.ok()?;
    Some(stream.byte_offset())
}

/// Marks the characters of strings that differ; other values differ as a whole.
fn compared(expected: &str, got: &str) -> (Vec<Run>, Vec<Run>) {
    let is_text = |value: &str| value.starts_with('"');
    let whole = || (vec![Run(expected.to_owned(), true)], vec![Run(got.to_owned(), true)]);
    if !is_text(expected) || !is_text(got) {
        return whole();
    }
    let (ratio, changes) = text_difference::characters(expected, got);
    if ratio < 0.6 {
        return whole();
    }
    let mut sides = (Vec::new(), Vec::new());
    for (tag, text) in &changes {
        match tag {
            ChangeTag::Equal => {
                push(&mut sides.0, text, false);
                push(&mut sides.1, text, false);
            }
            ChangeTag::Delete => push(&mut sides.0, text, true),
            ChangeTag::Insert => push(&mut sides.1, text, true),
        }
    }
    sides
}

fn push(runs: &mut Vec<Run>, text: &str, differs: bool) {
    match runs.last_mut() {
        Some(last) if last.1 == differs => last.0.push_str(text),
        _ => runs.push(Run(text.to_owned(), differs)),
    }
}

/// For a terminal: short values on one line, longer ones below each other.
pub fn lines(why: &str) -> Vec<String> {
    parts(why).iter().flat_map(part_lines).collect()
}

/// The answer and the expectation, where the reason does not quote both already.
pub fn beside(result: &CaseResult) -> Option<&Shown> {
    let why = result.why.as_deref().unwrap_or_default();
    let is_quoted = |shown: &Shown| {
        why.contains(&shown.answered)
            || parts(why).iter().any(|part| matches!(part, Part::Values { .. }))
            || why.contains("\n    ")
    };
    result.shown.as_deref().filter(|shown| !is_quoted(shown))
}

/// The reason with what `beside` adds, as plain text.
pub fn whole(result: &CaseResult) -> String {
    let why = result.why.as_deref().unwrap_or("no reason was given");
    match beside(result) {
        Some(Shown { answered, expected }) => {
            format!("{why}\nanswered {answered}\nexpected {expected}")
        }
        None => why.to_owned(),
    }
}

fn part_lines(part: &Part) -> Vec<String> {
    match part {
        Part::Text(text) => text.lines().map(diff_line).collect(),
        Part::Values { path, expected, got } => {
            let sides = (styled(expected, Style::Good), styled(got, Style::Bad));
            if length(expected) <= SHORT && length(got) <= SHORT {
                vec![format!("{path}: expected {}, got {}", sides.0, sides.1)]
            } else {
                vec![
                    format!("{path}:"),
                    format!("  expected {}", sides.0),
                    format!("  got      {}", sides.1),
                ]
            }
        }
    }
}

/// Lines of a unified diff inside a reason are indented by four.
fn diff_line(line: &str) -> String {
    let style = match line.strip_prefix("    ").and_then(|line| line.chars().next()) {
        Some('-') => Style::Good,
        Some('+') => Style::Bad,
        Some('@') => Style::Faint,
        _ => return line.to_owned(),
    };
    Printer::styled(style, line)
}

fn length(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.0.chars().count()).sum()
}

fn styled(runs: &[Run], style: Style) -> String {
    runs.iter()
        .map(
            |Run(text, differs)| if *differs { Printer::styled(style, text) } else { text.clone() },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(path: &str, expected: &[(&str, bool)], got: &[(&str, bool)]) -> Part {
        let runs = |side: &[(&str, bool)]| {
            side.iter().map(|(text, differs)| Run((*text).to_owned(), *differs)).collect()
        };
        Part::Values { path: path.to_owned(), expected: runs(expected), got: runs(got) }
    }

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[track_caller]
    fn check(why: &str, expected: &[Part]) {
        assert_eq!(parts(why), expected, "{why}");
    }

    #[test]
    fn pairs_of_values_are_parsed_and_the_rest_is_text() {
        check("$.price: expected 4, got 3", &[values("$.price", &[("4", true)], &[("3", true)])]);
        check(
            "$.a: expected \"; $\", got \", got \"; $.b: unexpected 5; and 2 more",
            &[
                values("$.a", &[("\"; $\"", true)], &[("\", got \"", true)]),
                text("$.b: unexpected 5; and 2 more"),
            ],
        );
        check(
            "turn 2: against tests/a.json: $: expected null, got []",
            &[values("turn 2: against tests/a.json: $", &[("null", true)], &[("[]", true)])],
        );
        check("$.c: expected 2 items, got 1", &[text("$.c: expected 2 items, got 1")]);
        check("$.c: expected 0, it is missing", &[text("$.c: expected 0, it is missing")]);
        check(
            "the tool failed: x: expected nothing",
            &[text("the tool failed: x: expected nothing")],
        );
        check(
            "$: expected {\"a\":1...., got 2; $.x: unexpected 1",
            &[values("$", &[("{\"a\":1....", true)], &[("2", true)]), text("$.x: unexpected 1")],
        );
        check("", &[]);
    }

    #[test]
    fn texts_show_the_characters_that_differ() {
        check(
            "$: expected \"hello world\", got \"hello wurld!\"",
            &[values(
                "$",
                &[("\"hello w", false), ("o", true), ("rld\"", false)],
                &[("\"hello w", false), ("u", true), ("rld", false), ("!", true), ("\"", false)],
            )],
        );
    }

    #[test]
    fn long_values_are_on_lines_of_their_own() {
        let plain = |why: &str| {
            lines(why)
                .iter()
                .map(|line| anstream::adapter::strip_str(line).to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            plain("$.n: expected 1, got 2; $.x: unexpected 3"),
            ["$.n: expected 1, got 2", "$.x: unexpected 3"]
        );
        assert_eq!(
            plain("$.t: expected \"a text that is longer than that\", got \"a text\""),
            ["$.t:", "  expected \"a text that is longer than that\"", "  got      \"a text\""]
        );
    }
}
