//! `[architect]`: the coder, its limits, and what it may change.

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Architect {
    pub coder: CoderKind,
    pub command: Vec<String>,
    pub attempts: u32,
    pub time_limit_s: u64,
    /// Path prefixes that count as evaluators, besides those that always do.
    pub protect: Vec<String>,
    /// The handling of a coder's change to evaluators.
    pub evaluators: EvaluatorChanges,
    /// Whether a coder is held to its workplace, where the kernel can do that.
    pub confine: bool,
}

/// The options for a change to evaluators. The evaluators of the served version judge it in either
/// case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvaluatorChanges {
    /// The run ends in a branch for a maintainer.
    #[default]
    Propose,
    /// As `Propose`, unless the change only adds cases: then it may be released.
    AllowAdditions,
}

impl Default for Architect {
    fn default() -> Self {
        Self {
            coder: CoderKind::Builtin,
            command: Vec::new(),
            attempts: 3,
            time_limit_s: 600,
            protect: vec!["tests/".to_owned(), "ci/".to_owned()],
            evaluators: EvaluatorChanges::Propose,
            confine: true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CoderKind {
    /// Chooses among the inspirations; needs no model.
    Builtin,
    /// Any program: the brief on stdin, edits in the worktree.
    Command,
}

impl CoderKind {
    pub const ALL: [Self; 2] = [Self::Builtin, Self::Command];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Command => "command",
        }
    }
}

impl std::str::FromStr for CoderKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::as_str);
        let found = Self::ALL.into_iter().find(|coder| coder.as_str() == text);
        found.ok_or_else(|| {
            format!("`{text}` is not a coder; it has to be one of {}", names.join(", "))
        })
    }
}
