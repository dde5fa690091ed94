//! Structured signals: the format of feedback to a Tuner, one JSON object per line.

use crate::formats::canonical;
use crate::formats::document;
use crate::formats::object_id;
use crate::state;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// One tool call that a Tuner learns from.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Its line number in its file, from 1.
    pub line: Option<u64>,
    /// The idempotency key: a signal is counted once.
    pub id: String,
    /// The id was made for this very signal, which can then not have been counted before.
    pub is_new: bool,
    pub tool: String,
    pub arguments: Map<String, Value>,
    pub conversation: Option<String>,
    /// Tags, such as `person:42`: signals with a common tag can be withdrawn together.
    pub tags: Vec<String>,
}

/// Defaults from the command line for lines that omit a value.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    pub tool: Option<String>,
    pub conversation: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<String>,
    tool: Option<String>,
    #[serde(default)]
    arguments: Map<String, Value>,
    conversation: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

/// The longest id, in bytes: it is stored with every record.
const MAX_ID: usize = 256;
/// The argument by which many tools name the conversation.
pub const CONVERSATION_ARGUMENT: &str = "conversation_id";

/// The argument names that carry a reward or rating; the first present one is used.
const SCORE_ARGUMENTS: [&str; 4] = ["value", "reward", "score", "rating"];

impl Signal {
    /// The reward, where it is a number or a boolean.
    pub fn score(&self) -> Option<f64> {
        score(&self.arguments)
    }
}

/// The reward among a signal's arguments, where it is a number or a boolean.
pub fn score(arguments: &Map<String, Value>) -> Option<f64> {
    let given = SCORE_ARGUMENTS.iter().find_map(|name| arguments.get(*name))?;
    given.as_f64().or_else(|| given.as_bool().map(f64::from)).filter(|score| score.is_finite())
}

/// The id of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub id: String,
    /// The id was made for this very signal.
    pub is_new: bool,
}

impl Name {
    /// An id that the signal may have been counted under before.
    pub fn known(id: String) -> Self {
        Self { id, is_new: false }
    }

    /// An id that no other signal has.
    pub fn fresh(id: String) -> Self {
        Self { id, is_new: true }
    }
}

/// Reads one line of a signals file; the error states the cause. `name` derives an id from the
/// content of a line without one.
pub fn parse(
    number: u64,
    text: &str,
    defaults: &Defaults,
    name: impl FnOnce(&str) -> Name,
) -> Result<Signal, String> {
    // serde would fill the members of a signal from a list, in their order
    if text.trim_start().starts_with('[') {
        return Err("column 1: invalid type: a signal is a JSON object, not a list".to_owned());
    }
    let line: Line = document::parse(text)
        .map_err(|flaw| format!("column {}: {}", flaw.column, flaw.problem))?;
    let tool = line
        .tool
        .or_else(|| defaults.tool.clone())
        .ok_or("it names no tool, and neither does the command line")?;
    let mut signal = Signal {
        line: Some(number),
        id: String::new(),
        is_new: false,
        tool,
        conversation: line.conversation.or_else(|| defaults.conversation.clone()),
        arguments: line.arguments,
        tags: line.tags,
    };
    let name = line.id.map_or_else(|| name(&signal.content()), Name::known);
    check_id(&name.id)?;
    (signal.id, signal.is_new) = (name.id, name.is_new);
    state::check_numbers(&Value::Object(signal.arguments.clone()))?;
    Ok(signal)
}

/// An id has to be there and of bounded length.
pub fn check_id(id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err("its id is empty".to_owned()),
        length if length > MAX_ID => {
            Err(format!("its id has {length} bytes; the limit is {MAX_ID}"))
        }
        _ => Ok(()),
    }
}

/// A digest of the content of a Tuner call.
pub fn content(tool: &str, arguments: &Value, conversation: Option<&str>) -> String {
    object_id::digest(canonical::to_compact(&json!([tool, arguments, conversation])).as_bytes())
}

impl Signal {
    /// A digest of the content without the id: two signals with equal content are the same call.
    pub fn content(&self) -> String {
        content(&self.tool, &Value::Object(self.arguments.clone()), self.conversation())
    }

    /// The conversation whose turns the Tuner is shown: the one named beside the arguments, else
    /// the one named in them.
    pub fn conversation(&self) -> Option<&str> {
        self.conversation.as_deref().or_else(|| self.arguments.get(CONVERSATION_ARGUMENT)?.as_str())
    }
}

/// Ids for lines of a file without one: the digest of the content and the occurrence of that
/// content. A partially read file resumes where it stopped, new lines of a grown file count at any
/// position, and a repeated line counts each time. With line numbers instead, a line inserted at
/// the top would give all others a new id.
#[derive(Debug, Default)]
pub struct Occurrences(HashMap<[u8; 8], u32>);

impl Occurrences {
    /// The id of the next line with this content.
    pub fn name(&mut self, content: &str) -> Name {
        let digest = content.trim_start_matches("sha256:").get(..16).unwrap_or(content);
        let key = u64::from_str_radix(digest, 16).unwrap_or_default().to_be_bytes();
        let seen = self.0.entry(key).or_default();
        *seen += 1;
        Name::known(format!("line-{digest}-{seen}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse_with(text: &str, tool: Option<&str>) -> Result<Signal, String> {
        parse(7, text, &Defaults { tool: tool.map(str::to_owned), conversation: None }, |_| {
            Name::fresh("unnamed".to_owned())
        })
    }

    #[test]
    fn signal_carries_a_reward() {
        let score = |arguments: serde_json::Value| {
            let line = serde_json::json!({"tool": "reward", "arguments": arguments}).to_string();
            parse(1, &line, &Defaults::default(), |_| Name::fresh("x".to_owned())).unwrap().score()
        };
        assert_eq!(score(serde_json::json!({"value": -1})), Some(-1.0));
        assert_eq!(score(serde_json::json!({"strategy": "title", "reward": 0.5})), Some(0.5));
        assert_eq!(score(serde_json::json!({"rating": true})), Some(1.0));
        assert_eq!(score(serde_json::json!({"value": "x", "score": 1})), None);
        assert_eq!(score(serde_json::json!({})), None);
    }

    #[test]
    fn line_is_read_with_command_line_defaults() {
        let signal = parse_with(
            r#"{"id":"s-1","arguments":{"value":0.5,"conversation_id":"c1"}}"#,
            Some("reward"),
        )
        .unwrap();
        assert_eq!(
            (signal.id.as_str(), signal.tool.as_str(), signal.line),
            ("s-1", "reward", Some(7))
        );
        assert_eq!(signal.arguments["value"], json!(0.5));
        assert_eq!(signal.conversation(), Some("c1"));
        assert_eq!(parse_with(r#"{"tool":"a","conversation":"c2"}"#, Some("b")).unwrap().tool, "a");
        assert!(!signal.is_new && parse_with("{}", Some("b")).unwrap().is_new);
    }

    /// The ids of lines that have none.
    fn named(lines: &[&str]) -> Vec<String> {
        let mut occurrences = Occurrences::default();
        let defaults = Defaults { tool: Some("reward".to_owned()), conversation: None };
        lines
            .iter()
            .map(|line| parse(1, line, &defaults, |content| occurrences.name(content)).unwrap().id)
            .collect()
    }

    #[test]
    fn line_without_an_id_is_identified_by_content_and_occurrence() {
        let (one, two) = (r#"{"arguments":{"value":1,"s":"a"}}"#, r#"{"arguments":{"value":2}}"#);
        let before = named(&[one, two, one]);
        assert!(
            before[0].ends_with("-1") && before[2].ends_with("-2") && before[0] != before[1],
            "{before:?}"
        );
        let after = named(&[
            two,
            r#"{"arguments":{"value":3}}"#,
            r#" {"arguments": {"s": "a", "value": 1}, "tool": "reward"}"#,
            two,
            one,
        ]);
        let new: Vec<_> = after
            .iter()
            .enumerate()
            .filter(|(_, id)| !before.contains(id))
            .map(|(index, _)| index)
            .collect();
        assert_eq!(new, [1, 3], "a new line, and a second occurrence of an existing line");
        assert_ne!(named(&[one]), named(&[r#"{"arguments":{"value":1,"s":"a"},"tool":"other"}"#]));
        assert_ne!(
            named(&[one]),
            named(&[r#"{"arguments":{"value":1,"s":"a"},"conversation":"c1"}"#])
        );
    }

    #[test]
    fn invalid_line_reports_the_reason() {
        for (text, expected) in [
            ("{\"id\":", "column 6: no JSON: EOF while parsing"),
            (
                r#"{"tool":"a","arguments":{"x":1,"x":2}}"#,
                "column 32: the key \"x\" appears twice in one object",
            ),
            ("[1]", "column 1: invalid type"),
            (
                r#"{"tool":"a","argments":{}}"#,
                "unknown field `argments`, expected one of `id`, `tool`, `arguments`, \
                `conversation`, `tags`",
            ),
            (r#"{"arguments":{}}"#, "it names no tool"),
            (r#"{"tool":"a","id":""}"#, "its id is empty"),
            (r#"{"tool":"a","id":7}"#, "invalid type"),
            (r#"{"tool":"a","arguments":{"value":1e999}}"#, "at `value` is too large"),
            (r#"{"tool":"a","arguments":{"value":NaN}}"#, "expected value"),
        ] {
            let error = parse_with(text, None).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
