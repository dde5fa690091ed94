//! The result of a case.

use crate::protocol::call_result::Answer;
use crate::testing::judgement::cut;
use crate::testing::quarantine::Quarantine;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Passed,
    Failed,
    /// It could not be judged: the child crashed or hung, the scorer raised.
    Errored,
}

#[expect(clippy::struct_excessive_bools, reason = "a record whose members are independent facts")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    pub id: String,
    pub outcome: Outcome,
    /// From 0 to 1; an errored case has 0.
    pub score: f64,
    pub weight: f64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub must: bool,
    /// What the child needed for its calls.
    pub ms: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// For a case that did not pass: the answer and the expectation. Absent where the manifest sets
    /// `[tests] answers = false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Box<Shown>>,
    /// `FILE:LINE` of the case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The top-level state keys its calls read; absent when the Runner does not report them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<Vec<String>>,
    /// Of a repeated case: how many of its runs passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
    /// The cost of its calls, where the Runner reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// As the case has it, whether it is in force or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    /// In quarantine when it was run: shown, and counted nowhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quarantined: bool,
    /// It was not run: the result is from an earlier run.
    #[serde(skip)]
    pub cached: bool,
    /// `why` and `shown` were left out because the case is held out; set for readers of an API, and
    /// never stored.
    #[serde(skip_deserializing, skip_serializing_if = "std::ops::Not::not")]
    pub why_withheld: bool,
}

/// The answer to the first step that did not pass, and what the case holds that step to: each as
/// JSON or text of at most `Shown::LENGTH` characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub answered: String,
    pub expected: String,
}

impl Shown {
    pub const LENGTH: usize = 2000;

    pub fn of(answer: &Answer, expected: &Value) -> Self {
        let answered = answer.structured().map_or_else(|| answer.text(), Value::to_string);
        Self {
            answered: cut(&answered, Self::LENGTH),
            expected: cut(&expected.to_string(), Self::LENGTH),
        }
    }
}

impl CaseResult {
    /// The same result on another day: its quarantine may have begun or ended.
    pub fn as_of(&mut self, today: &str) {
        self.quarantined =
            self.quarantine.as_ref().is_some_and(|quarantine| quarantine.is_in_force(today));
    }

    /// Without the reason and the answer, which quote what a held-out case expects.
    #[must_use]
    pub fn without_held_out(self) -> Self {
        if !self.is_held_out() {
            return self;
        }
        let why_withheld = self.why.is_some() || self.shown.is_some();
        Self { why: None, shown: None, why_withheld, ..self }
    }

    pub fn is_held_out(&self) -> bool {
        self.place.as_deref().is_some_and(is_held_out)
    }

    pub fn passed(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            outcome: Outcome::Passed,
            score: 1.0,
            weight: 1.0,
            must: false,
            ms: 0.0,
            why: None,
            shown: None,
            place: None,
            tags: Vec::new(),
            reads: None,
            runs: None,
            cost_usd: None,
            quarantine: None,
            quarantined: false,
            cached: false,
            why_withheld: false,
        }
    }
}

/// Whether a path is in a folder `heldout`: its cases are for measurement only and are never shown
/// to a Coder.
pub fn is_held_out(path: &str) -> bool {
    held_out_folder(path).is_some()
}

/// That folder.
pub fn held_out_folder(path: &str) -> Option<&str> {
    const FOLDER: &str = "/heldout";
    path.find("/heldout/").map(|at| &path[..at + FOLDER.len()])
}

/// Of a repeated case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// The number of runs made: fewer than requested when the child crashed or timed out in the
    /// last of them.
    pub count: u32,
    pub passed: u32,
}

impl Runs {
    /// Neither always nor never.
    pub fn is_flaky(self) -> bool {
        0 < self.passed && self.passed < self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_results_are_readable_and_default_members_are_omitted() {
        let old = r#"{"id":"a","outcome":"passed","score":1.0,"weight":1.0,"ms":0.5}"#;
        let result: CaseResult = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&result).unwrap(), old);
        let new = CaseResult {
            runs: Some(Runs { count: 2, passed: 1 }),
            cost_usd: Some(0.1 + 0.2),
            ..result
        };
        let line = serde_json::to_string(&new).unwrap();
        assert!(
            line.ends_with(r#""runs":{"count":2,"passed":1},"cost_usd":0.30000000000000004}"#),
            "{line}"
        );
        assert_eq!(serde_json::from_str::<CaseResult>(&line).unwrap(), new);
    }
}
