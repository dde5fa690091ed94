//! JSON values in text.

use serde_json::Value;

/// A value as JSON on one line, cut off where it is long.
pub fn shown(value: &Value) -> String {
    const WIDTH: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= WIDTH {
        text
    } else {
        text.chars().take(WIDTH).chain(['…']).collect()
    }
}

/// Like `shown`, with a text for no value.
pub fn shown_or(value: Option<&Value>, otherwise: &str) -> String {
    value.map_or_else(|| otherwise.to_owned(), shown)
}
