//! Redacts a call before it is recorded: what looks like a secret, and what the rules of the
//! manifest name.

use crate::formats::record::{REDACTED, Redact};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::LazyLock;

/// A part of a recorded call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Arguments,
    Result,
}

impl Part {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Result => "result",
        }
    }
}

/// Ends of the names of members that hold a secret, in lower case without `_`, `-`, `.` and spaces.
const SECRET_NAMES: [&str; 15] = [
    "accesskey",
    "apikey",
    "authorization",
    "connectionstring",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "token",
];

/// Texts that are secrets by their form: keys and tokens with the prefixes of their issuers, JSON
/// Web Tokens, private keys, passwords in URLs and in `name=value`.
static SECRET_TEXTS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let rules = [
        (
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
            REDACTED,
        ),
        (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", REDACTED),
        (r"\b(?:sk|pk|rk)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9]{16,}", REDACTED),
        (
            r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|hf_|npm_|pypi-)[A-Za-z0-9_-]{10,}",
            REDACTED,
        ),
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", REDACTED),
        (r"\bAIza[A-Za-z0-9_-]{30,}", REDACTED),
        (r"(?i)\b(bearer|basic) +[A-Za-z0-9._~+/=-]{12,}", "$1 [redacted]"),
        (r"\b([A-Za-z][A-Za-z0-9+.-]*://)[^/\s:@]*:[^/\s@]+@", "$1[redacted]@"),
        (
            concat!(
                r"(?i)\b((?:[a-z0-9_]*_)?",
                r"(?:api[_-]?key|access[_-]?key|secret|password|passwd|token))",
                r#"(\\?["']?\s*[=:]\s*\\?["']?)[^\s"'&,;\\]{6,}"#
            ),
            "$1$2[redacted]",
        ),
    ];
    let compiled = |(pattern, with)| (Regex::new(pattern).expect("a fixed pattern"), with);
    rules.into_iter().map(compiled).collect()
});

/// The rules, ready to be applied.
#[derive(Debug)]
pub struct Redaction {
    texts: Vec<(Regex, String)>,
    values: Vec<Place>,
}

/// A pointer's tokens, of which the first is the part.
#[derive(Debug)]
struct Place {
    tokens: Vec<String>,
    with: String,
}

impl Redaction {
    /// Rules that the manifest's reader has refused are left out.
    pub fn new(rules: &[Redact]) -> Self {
        let with = |rule: &Redact| rule.with.clone().unwrap_or_else(|| REDACTED.to_owned());
        let texts = rules
            .iter()
            .filter_map(|rule| Some((Regex::new(rule.pattern.as_deref()?).ok()?, with(rule))));
        let values = rules.iter().filter_map(|rule| {
            let tokens = rule.pointer.as_deref()?.split('/').skip(1);
            let tokens = tokens.map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
            Some(Place { tokens, with: with(rule) })
        });
        Self { texts: texts.collect(), values: values.collect() }
    }

    /// Whether something was taken out.
    pub fn apply(&self, part: Part, value: &mut Value) -> bool {
        let mut changed = false;
        for place in &self.values {
            if let Some((first, rest)) = place.tokens.split_first()
                && first == part.as_str()
            {
                changed |= replace_at(rest, value, &place.with);
            }
        }
        self.search(value) || changed
    }

    fn search(&self, value: &mut Value) -> bool {
        match value {
            Value::Object(members) => {
                let mut changed = false;
                for (name, value) in members.iter_mut() {
                    changed |= if is_secret(name, value) {
                        replace(value, REDACTED)
                    } else {
                        self.search(value)
                    };
                }
                changed
            }
            Value::Array(items) => {
                let mut changed = false;
                for item in items {
                    changed |= self.search(item);
                }
                changed
            }
            Value::String(text) => self.rewrite(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn rewrite(&self, text: &mut String) -> bool {
        let mut changed = self.rewrite_json(text);
        let own = self.texts.iter().map(|(pattern, with)| (pattern, with.as_str()));
        for (pattern, with) in
            SECRET_TEXTS.iter().map(|(pattern, with)| (pattern, *with)).chain(own)
        {
            if pattern.is_match(text) {
                let rewritten = pattern.replace_all(text, with).into_owned();
                changed |= rewritten != *text;
                *text = rewritten;
            }
        }
        changed
    }

    /// Tools answer JSON as text: its members are known by their names as well.
    fn rewrite_json(&self, text: &mut String) -> bool {
        if !text.trim_start().starts_with(['{', '[']) {
            return false;
        }
        let Ok(mut value) = serde_json::from_str::<Value>(text) else { return false };
        let changed = self.search(&mut value);
        if changed {
            *text = value.to_string();
        }
        changed
    }
}

/// A shorter text is in many others.
const SHORTEST: usize = 4;

/// The texts of a value that are no longer in it.
pub fn taken_out(before: &Value, after: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    collect_taken_out(before, Some(after), &mut texts);
    texts
}

fn collect_taken_out(before: &Value, after: Option<&Value>, texts: &mut Vec<String>) {
    match before {
        Value::String(text) => {
            if after.and_then(Value::as_str) != Some(text) && text.len() >= SHORTEST {
                texts.push(text.clone());
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_taken_out(item, after.and_then(|after| after.get(index)), texts);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                collect_taken_out(member, after.and_then(|after| after.get(name)), texts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Takes these texts out wherever they are quoted, also as JSON in a text.
pub fn remove(texts: &[String], value: &mut Value) -> bool {
    match value {
        Value::String(quoting) => {
            let before = quoting.clone();
            for text in texts {
                let escaped = Value::from(text.as_str()).to_string();
                for form in [text.as_str(), escaped.trim_matches('"')] {
                    *quoting = quoting.replace(form, REDACTED);
                }
            }
            *quoting != before
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| remove(texts, item) | any),
        Value::Object(members) => {
            members.values_mut().fold(false, |any, member| remove(texts, member) | any)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_secret(name: &str, value: &Value) -> bool {
    // a number is a count, and neither is a truth value a secret
    let may_be = match value {
        Value::String(text) => !text.is_empty() && text != REDACTED,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    };
    let plain = || -> String {
        let letters = name.chars().filter(|letter| !matches!(letter, '_' | '-' | '.' | ' '));
        letters.flat_map(char::to_lowercase).collect()
    };
    may_be && {
        let name = plain();
        SECRET_NAMES.iter().any(|end| name.ends_with(end))
    }
}

fn replace(value: &mut Value, with: &str) -> bool {
    let is_new = value.as_str() != Some(with);
    if is_new {
        *value = Value::String(with.to_owned());
    }
    is_new
}

fn replace_at(tokens: &[String], value: &mut Value, with: &str) -> bool {
    let Some((token, rest)) = tokens.split_first() else { return replace(value, with) };
    match value {
        Value::Object(members) if token == "*" => replace_in_all(rest, members.values_mut(), with),
        Value::Array(items) if token == "*" => replace_in_all(rest, items.iter_mut(), with),
        Value::Object(members) => {
            members.get_mut(token).is_some_and(|member| replace_at(rest, member, with))
        }
        Value::Array(items) => {
            let item = token.parse().ok().and_then(|index: usize| items.get_mut(index));
            item.is_some_and(|item| replace_at(rest, item, with))
        }
        _ => false,
    }
}

fn replace_in_all<'a>(
    tokens: &[String],
    values: impl Iterator<Item = &'a mut Value>,
    with: &str,
) -> bool {
    let mut changed = false;
    for value in values {
        changed |= replace_at(tokens, value, with);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(rules: &[Redact], value: &Value, expected: &Value) {
        let mut redacted = value.clone();
        let changed = Redaction::new(rules).apply(Part::Arguments, &mut redacted);
        assert_eq!(redacted, *expected);
        assert_eq!(changed, value != expected);
    }

    #[test]
    fn values_that_look_like_secrets_are_taken_out() {
        for (value, expected) in [
            (json!({"api_key": "abc", "q": "x"}), json!({"api_key": REDACTED, "q": "x"})),
            (json!({"a": [{"accessToken": "t"}]}), json!({"a": [{"accessToken": REDACTED}]})),
            // a count is no secret, and neither is a key into a table
            (
                json!({"token": 12, "key": "name", "max_tokens": "9"}),
                json!({"token": 12, "key": "name", "max_tokens": "9"}),
            ),
            (json!("use ghp_abcdefghij0123456789 now"), json!("use [redacted] now")),
            (
                json!("Authorization: Bearer abcdefghijklmnop"),
                json!("Authorization: Bearer [redacted]"),
            ),
            (json!("postgres://ann:s3cret@db/x"), json!("postgres://[redacted]@db/x")),
            (json!("PASSWORD=hunter22 and on"), json!("PASSWORD=[redacted] and on")),
            (
                json!("{\"password\": \"hunter2\", \"n\": 1}"),
                json!("{\"password\":\"[redacted]\",\"n\":1}"),
            ),
            (json!("AKIAIOSFODNN7EXAMPLE"), json!(REDACTED)),
            (
                json!("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nrest"),
                json!("[redacted]\nrest"),
            ),
            (
                json!({"text": "a plain sentence: a token of thanks"}),
                json!({"text": "a plain sentence: a token of thanks"}),
            ),
        ] {
            check(&[], &value, &expected);
        }
    }

    fn rule(pattern: Option<&str>, pointer: Option<&str>, with: Option<&str>) -> Redact {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Redact { pattern: owned(pattern), pointer: owned(pointer), with: owned(with) }
    }

    #[test]
    fn rules_name_patterns_and_places() {
        check(
            &[rule(Some(r"(\w+)@example\.com"), None, Some("$1@..."))],
            &json!({"to": ["ann@example.com", 3]}),
            &json!({"to": ["ann@...", 3]}),
        );
        check(
            &[rule(None, Some("/arguments/user/mail"), None)],
            &json!({"user": {"mail": {"a": 1}, "id": 7}}),
            &json!({"user": {"mail": REDACTED, "id": 7}}),
        );
        check(
            &[rule(None, Some("/arguments/rows/*/0"), Some("x"))],
            &json!({"rows": [[1, 2], [3, 4]]}),
            &json!({"rows": [["x", 2], ["x", 4]]}),
        );
        // a place in the other part, and one that is not there
        for pointer in ["/result/a", "/arguments/b/c"] {
            check(&[rule(None, Some(pointer), None)], &json!({"a": 1}), &json!({"a": 1}));
        }
        check(&[rule(None, Some("/arguments"), None)], &json!({"a": 1}), &json!(REDACTED));
    }
}
