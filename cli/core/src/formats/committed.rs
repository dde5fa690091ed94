//! Steps after a commit point: they can fail without undoing what was committed.
//!
//! A verb has one commit point: the append to the Journal, the move of `active`, the update of a
//! managed ref. Before it, a failure is an error and nothing was done. After it, a failure is a
//! warning beside success, and the next command completes the remaining steps.

use crate::formats::diagnose::Messages;
use serde::Serialize;

/// Bounds the warnings, each kept once: a batch on a full disk repeats the same failure.
const MOST: usize = 32;

/// Failures after a commit point, each with its consequence and its fix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a dropped warning is never reported"]
pub struct Warnings(Vec<String>);

impl Warnings {
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    pub fn push(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if self.0.len() < MOST && !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }

    /// Records the outcome of a step after the commit point. `meaning` states what was not done and
    /// how to fix it; the causes follow it.
    pub fn note<T, E: Messages>(&mut self, outcome: Result<T, E>, meaning: &str) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                self.push(format!("{meaning}: {}", error.messages().join(": ")));
                None
            }
        }
    }

    pub fn extend(&mut self, more: Self) {
        more.0.into_iter().for_each(|warning| self.push(warning));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl IntoIterator for Warnings {
    type Item = String;
    type IntoIter = std::vec::IntoIter<String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A document with the warnings of the work that it describes.
#[derive(Debug, Serialize)]
pub struct WithWarnings<'a, T> {
    #[serde(flatten)]
    pub document: &'a T,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub warnings: &'a [String],
}

/// The committed outcome, and later failures.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "its warnings have to be reported"]
pub struct Committed<T> {
    pub value: T,
    pub warnings: Warnings,
}

impl<T> Committed<T> {
    pub const fn whole(value: T) -> Self {
        Self { value, warnings: Warnings::none() }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Committed<U> {
        Committed { value: change(self.value), warnings: self.warnings }
    }

    /// The value; its warnings go to those of a larger step.
    pub fn unpack(self, warnings: &mut Warnings) -> T {
        warnings.extend(self.warnings);
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write the view")]
    struct NotWritten(#[source] std::io::Error);

    #[test]
    fn failure_after_the_commit_point_is_reported_and_undoes_nothing() {
        let full = || NotWritten(std::io::Error::other("no space left"));
        let mut warnings = Warnings::none();
        assert_eq!(warnings.note(Ok::<_, NotWritten>(1), "the view is behind"), Some(1));
        assert!(warnings.is_empty());
        assert_eq!(warnings.note(Err::<(), _>(full()), "the view is behind"), None);
        let outer = Committed { value: "v0.1.1", warnings };
        let mut all = Warnings::none();
        all.push("first");
        assert_eq!(outer.map(str::len).unpack(&mut all), 6);
        assert_eq!(
            all.as_slice(),
            ["first", "the view is behind: cannot write the view: no space left"]
        );
        for number in 0..2 * MOST {
            all.push("first");
            all.push(number.to_string());
        }
        assert_eq!(all.as_slice().len(), MOST);
    }
}
