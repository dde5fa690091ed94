//! `[python]` and `[node]`: the packages that are installed.

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Python {
    pub requires: String,
    /// Hash-locked requirements; without them the standard library is all there is.
    pub lock: Option<String>,
    /// A pyproject.toml whose project counts as installed: its metadata, entry points and console
    /// scripts are provided. Its code is that of the checkout.
    pub project: Option<String>,
    /// The project's version, where its build backend computes it.
    pub version: Option<String>,
}

/// What is wrong with the path of a file of the repository.
pub(super) fn misplaced(path: &str, example: &str) -> Option<String> {
    let is_plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (!is_plain).then(|| {
        format!("names `{path}`; a path starts at the root of the repository, such as `{example}`")
    })
}

impl Default for Python {
    fn default() -> Self {
        Self { requires: ">=3.11".to_owned(), lock: None, project: None, version: None }
    }
}

/// Packages of Node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// A lock file for `npm ci`, with `package.json` beside it.
    pub lock: String,
}
