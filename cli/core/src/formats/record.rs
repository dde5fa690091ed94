//! `[record]`: whether arguments and results of calls in service are recorded, what is taken out of
//! them, for how long they are kept, and what a replay of them runs.

use crate::child::variable;
use jiff::SignedDuration;
use regex::Regex;
use serde::Deserialize;

/// The replacement of a value whose rule has none.
pub const REDACTED: &str = "[redacted]";

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Record {
    /// Whether arguments and results are recorded; nothing is without it.
    pub content: bool,
    /// Rules of redaction, besides what looks like a secret.
    pub redact: Vec<Redact>,
    /// Older records are removed by `agent gc`.
    pub keep_days: f64,
    /// Beyond this many MiB `agent gc` removes the oldest.
    pub keep_mb: u64,
    /// The environment variable with the key that records are encrypted by: 32 bytes, in
    /// hexadecimal or base64.
    pub key: Option<String>,
    /// Tools that a replay runs although they are not annotated as read-only.
    pub replay: Vec<String>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            content: false,
            redact: Vec::new(),
            keep_days: 30.0,
            keep_mb: 1024,
            key: None,
            replay: Vec::new(),
        }
    }
}

/// One rule: a regular expression for parts of texts, or a JSON pointer to a whole value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redact {
    pub pattern: Option<String>,
    /// Begins with `/arguments` or `/result`; the token `*` is every member or item.
    pub pointer: Option<String>,
    /// The replacement, in which `$1` is a group of the pattern.
    pub with: Option<String>,
}

/// Whether it leads into a recorded call.
fn is_pointer(pointer: &str) -> bool {
    ["/arguments", "/result"].iter().any(|part| {
        pointer.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

impl Redact {
    fn problem(&self) -> Option<String> {
        match (&self.pattern, &self.pointer) {
            (Some(pattern), None) => Regex::new(pattern)
                .err()
                .map(|_| format!("has `{pattern}`, which is not a regular expression")),
            (None, Some(pointer)) => (!is_pointer(pointer)).then(|| {
                format!(
                    "has `{pointer}`; a pointer begins with `/arguments` or `/result`, such as \
                    `/arguments/token`"
                )
            }),
            _ => Some("has a rule with neither or both of `pattern` and `pointer`".to_owned()),
        }
    }
}

impl Record {
    /// For how long calls are kept.
    pub fn keep(&self) -> SignedDuration {
        SignedDuration::from_secs_f64(self.keep_days * 86_400.0)
    }

    /// The key of a wrong value, and what is wrong.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        if let Some(wrong) = self.redact.iter().find_map(Redact::problem) {
            return Some(("record.redact", wrong));
        }
        if !(self.keep_days > 0.0 && self.keep_days <= 36_500.0) {
            return Some((
                "record.keep_days",
                format!(
                    "is {}; it has to be a number of days above 0 and at most 36500",
                    self.keep_days
                ),
            ));
        }
        if self.keep_mb == 0 {
            return Some((
                "record.keep_mb",
                "is 0; it has to be a number of MiB from 1".to_owned(),
            ));
        }
        let unnamed = self.key.as_deref().filter(|name| !variable::is_name(name));
        unnamed.map(|name| {
            let wrong = format!(
                "is `{name}`; it has to be the name of an environment variable, not the key itself"
            );
            ("record.key", wrong)
        })
    }
}
