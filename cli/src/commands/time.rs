//! Times as arguments.

use jiff::{SignedDuration, SpanRelativeTo};

/// How long: `30s`, `5m`, `2h`, `3d`.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    text.parse::<jiff::Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .filter(|time| !time.is_negative())
        .ok_or_else(|| "give a time such as 30s, 5m, 2h or 3d".to_owned())
}
