//! `[evaluators]` and `[tests]`: what judges cases may see, and what tiers store of them.

use super::environment::misplaced;
use crate::child::variable::Variable;
use serde::Deserialize;

/// What scorers and judge commands see besides `tests/` and `ci/`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluators {
    /// Files and folders of the repository that they may import, read or run, as the judging commit
    /// has them.
    pub import: Vec<String>,
    /// The variables that they read, as under `[runner]`.
    pub env: Vec<Variable>,
}

impl Evaluators {
    /// The path that cannot be, and what is wrong with it.
    pub(super) fn problem(&self) -> Option<String> {
        self.import.iter().find_map(|path| misplaced(path.trim_end_matches('/'), "runner/words.py"))
    }
}

/// What tiers store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tests {
    /// Whether results store the answer of a case that did not pass.
    pub answers: bool,
}

impl Default for Tests {
    fn default() -> Self {
        Self { answers: true }
    }
}
