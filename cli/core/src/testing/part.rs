//! A part of a tier: which cases it holds, and what its file states before their results.

use crate::formats::manifest::Tier;
use crate::testing::budget::Budget;
use crate::testing::definitions::Definitions;
use serde::{Deserialize, Serialize};

/// Part I of N of a tier, by a hash of the case's id that is the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Part {
    pub of: u32,
    /// From 1.
    pub index: u32,
}

impl Part {
    pub const WHOLE: Self = Self { of: 1, index: 1 };

    pub fn holds(self, id: &str) -> bool {
        crc32fast::hash(id.as_bytes()) % self.of == self.index - 1
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.index, self.of)
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.to_string()
    }
}

impl TryFrom<String> for Part {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index, of)) if 1 <= index && index <= of => Ok(Self { of, index }),
            _ => Err(format!("`{text}` is not a part; write I/N, such as 2/4")),
        }
    }
}

/// The header of a part: precedes the part's results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartHead {
    pub tier: Tier,
    pub part: Part,
    /// Of the complete tier, so that a merge can detect missing parts.
    pub cases: usize,
    /// Absent for a working tree, and for a candidate that no commit holds yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The git tree that was tested; absent where git could not resolve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// The Revision of the state that was served.
    pub state: String,
    pub definitions: Definitions,
    pub budget: Budget,
}

impl PartHead {
    /// The differences, as messages; parts of one tier may differ only in their index and in the
    /// commit that holds the tree.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let short = |value: &Option<String>| {
            value.as_deref().map_or("none", |text| &text[..text.len().min(12)]).to_owned()
        };
        let tree = (self.tree != other.tree)
            .then(|| format!("tree ({}, not {})", short(&self.tree), short(&other.tree)));
        let (state, its) = (Some(self.state.clone()), Some(other.state.clone()));
        let state =
            (state != its).then(|| format!("state ({}, not {})", short(&state), short(&its)));
        let count = (self.cases != other.cases)
            .then(|| format!("number of cases ({}, not {})", self.cases, other.cases));
        let definitions = self
            .definitions
            .differences(&other.definitions, self.tier)
            .into_iter()
            .map(str::to_owned);
        let budgets =
            self.definitions.budgets != other.definitions.budgets || self.budget != other.budget;
        tree.into_iter()
            .chain(state)
            .chain(definitions)
            .chain(budgets.then(|| "budgets".to_owned()))
            .chain(count)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_partition_the_cases() {
        let parts: Vec<Part> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
        for id in ["a", "b", "case-17", "é"] {
            assert_eq!(parts.iter().filter(|part| part.holds(id)).count(), 1, "{id}");
        }
        // other machines run the other parts, so the split may never change
        assert!(Part { index: 3, of: 4 }.holds("c-1"));
        for wrong in ["0/2", "3/2", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}
