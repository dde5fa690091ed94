//! JSON values in text for people.

use serde_json::Value;

/// A value as people read it: JSON, on one line, cut where it gets long.
pub fn shown(value: &Value) -> String {
    const WIDTH: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= WIDTH {
        text
    } else {
        text.chars().take(WIDTH).chain(['…']).collect()
    }
}

/// Where there may be nothing.
pub fn shown_or(value: Option<&Value>, otherwise: &str) -> String {
    value.map_or_else(|| otherwise.to_owned(), shown)
}
