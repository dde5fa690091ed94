//! Structured signals: what feedback to a Tuner looks like, one JSON object a line.

use crate::object_id;
use crate::state;
use serde::Deserialize;
use serde_json::{Map, Value};

/// One tool call that a Tuner learns from.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Where it stands in its file, from 1.
    pub line: Option<u64>,
    /// The idempotency key: a signal is counted once.
    pub id: String,
    /// The id was made for this very signal, which can then not have been counted before.
    pub is_new: bool,
    pub tool: String,
    pub arguments: Map<String, Value>,
    pub conversation: Option<String>,
}

/// What the command line says for every line that does not say it itself.
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
}

/// The longest id, in bytes: it is stored with every record.
const MAX_ID: usize = 256;
/// The argument by which many tools name the conversation.
pub const CONVERSATION_ARGUMENT: &str = "conversation_id";

/// The arguments by which tools that reward or rate are told how good something was, the first that is there.
const SCORE_ARGUMENTS: [&str; 4] = ["value", "reward", "score", "rating"];

impl Signal {
    /// How good it says that something was, where it says so with a number, or with yes or no.
    pub fn score(&self) -> Option<f64> {
        let said = SCORE_ARGUMENTS.iter().find_map(|name| self.arguments.get(*name))?;
        said.as_f64().or_else(|| said.as_bool().map(f64::from)).filter(|score| score.is_finite())
    }
}

/// Reads one line of a signals file; the error says what is wrong with it.
pub fn parse(number: u64, text: &str, defaults: &Defaults) -> Result<Signal, String> {
    // serde would fill the members of a signal from a list, in their order
    if text.trim_start().starts_with('[') {
        return Err("column 1: invalid type: a signal is a JSON object, not a list".to_owned());
    }
    let line: Line = serde_json::from_str(text).map_err(|error| wrong_line(&error))?;
    let tool = line.tool.or_else(|| defaults.tool.clone()).ok_or("it names no tool, and neither does the command line")?;
    let id = line.id.unwrap_or_else(|| id_of_line(number, text));
    check_id(&id)?;
    let signal = Signal {
        line: Some(number),
        id,
        is_new: false,
        tool,
        conversation: line.conversation.or_else(|| defaults.conversation.clone()),
        arguments: line.arguments,
    };
    state::check_numbers(&Value::Object(signal.arguments.clone()))?;
    Ok(signal)
}

/// An id has to be there and of bounded length.
pub fn check_id(id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err("its id is empty".to_owned()),
        length if length > MAX_ID => Err(format!("its id has {length} bytes; the limit is {MAX_ID}")),
        _ => Ok(()),
    }
}

impl Signal {
    /// The conversation whose turns the Tuner is shown: the one named beside the arguments, else the one named in them.
    pub fn conversation(&self) -> Option<&str> {
        self.conversation.as_deref().or_else(|| self.arguments.get(CONVERSATION_ARGUMENT)?.as_str())
    }
}

/// Without an id of its own, a line counts once at its place in its file.
fn id_of_line(number: u64, text: &str) -> String {
    let digest = object_id::digest(text.trim().as_bytes());
    format!("line-{number}-{}", &digest["sha256:".len()..][..16])
}

fn wrong_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("column {}: {what}", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse_with(text: &str, tool: Option<&str>) -> Result<Signal, String> {
        parse(7, text, &Defaults { tool: tool.map(str::to_owned), conversation: None })
    }

    #[test]
    fn a_signal_says_how_good_something_was() {
        let score = |arguments: serde_json::Value| {
            let line = serde_json::json!({"tool": "reward", "arguments": arguments}).to_string();
            parse(1, &line, &Defaults::default()).unwrap().score()
        };
        assert_eq!(score(serde_json::json!({"value": -1})), Some(-1.0));
        assert_eq!(score(serde_json::json!({"strategy": "title", "reward": 0.5})), Some(0.5));
        assert_eq!(score(serde_json::json!({"rating": true})), Some(1.0));
        assert_eq!(score(serde_json::json!({"value": "x", "score": 1})), None);
        assert_eq!(score(serde_json::json!({})), None);
    }

    #[test]
    fn a_line_is_read_with_what_the_command_line_adds() {
        let signal = parse_with(r#"{"id":"s-1","arguments":{"value":0.5,"conversation_id":"c1"}}"#, Some("reward")).unwrap();
        assert_eq!((signal.id.as_str(), signal.tool.as_str(), signal.line), ("s-1", "reward", Some(7)));
        assert_eq!(signal.arguments["value"], json!(0.5));
        assert_eq!(signal.conversation(), Some("c1"));
        assert_eq!(parse_with(r#"{"tool":"a","conversation":"c2"}"#, Some("b")).unwrap().tool, "a");
    }

    #[test]
    fn a_line_without_an_id_counts_once_at_its_place() {
        let id = |number: u64, text: &str| parse(number, text, &Defaults::default()).unwrap().id;
        let text = r#"{"tool":"a"}"#;
        assert_eq!(id(1, text), id(1, &format!("{text}\n")));
        assert_ne!(id(1, text), id(2, text));
        assert_ne!(id(1, text), id(1, r#"{"tool":"b"}"#));
    }

    #[test]
    fn a_wrong_line_says_what_is_wrong() {
        for (text, said) in [
            ("{\"id\":", "column 6: EOF while parsing"),
            ("[1]", "column 1: invalid type"),
            (r#"{"tool":"a","argments":{}}"#, "unknown field `argments`, expected one of `id`, `tool`, `arguments`, `conversation`"),
            (r#"{"arguments":{}}"#, "it names no tool"),
            (r#"{"tool":"a","id":""}"#, "its id is empty"),
            (r#"{"tool":"a","id":7}"#, "invalid type"),
            (r#"{"tool":"a","arguments":{"value":1e999}}"#, "at `value` is too large"),
            (r#"{"tool":"a","arguments":{"value":NaN}}"#, "expected value"),
        ] {
            let error = parse_with(text, None).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
