//! The differences between two versions: Contract, code, learned state, and results of the same
//! cases.

use crate::contract::assessment::Assessment;
use crate::formats::object_id::ObjectId;
use crate::state;
use crate::testing::case_result::is_held_out;
use crate::testing::comparison::TierComparison;
use crate::version::tag;
use semver::Version;
use serde::Serialize;
use serde_json::Value;

pub const SCHEMA: &str = "agent/diff@1";

/// `agent versions diff --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionDifference {
    pub schema: &'static str,
    /// Commits.
    pub from: ObjectId,
    pub to: ObjectId,
    /// Null for a commit that is not a version.
    pub from_version: Option<Version>,
    pub to_version: Option<Version>,
    /// The Contract's changes and the bump they require; null where a Contract is not stored.
    pub contract: Option<Assessment>,
    pub code: Vec<PathChange>,
    pub state: Vec<StateChange>,
    pub tiers: Vec<TierComparison>,
    /// What could not be compared, and how to obtain it.
    pub missing: Vec<Missing>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathChange {
    pub path: String,
    pub status: PathStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathStatus {
    Added,
    Removed,
    Modified,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StateChange {
    pub path: String,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

impl From<state::Difference> for StateChange {
    fn from(found: state::Difference) -> Self {
        Self { path: found.path.to_string(), old: found.old, new: found.new }
    }
}

/// Data of one side that is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The version, or the commit's short name.
    pub of: String,
    /// `contract`, or a tier.
    pub what: String,
    /// The command that makes it.
    pub how: String,
}

impl VersionDifference {
    /// Takes away the reasons, which quote what held-out cases expect.
    pub fn hide_held_out(&mut self) {
        let flips = self
            .tiers
            .iter_mut()
            .filter_map(|tier| tier.cases.as_mut())
            .flat_map(|cases| &mut cases.flips);
        for flip in flips.filter(|flip| flip.place.as_deref().is_some_and(is_held_out)) {
            flip.why_withheld = flip.why.take().is_some();
        }
    }

    /// Leaves at most `limit` cases of each tier.
    pub fn cut(&mut self, limit: usize) {
        for cases in self.tiers.iter_mut().filter_map(|tier| tier.cases.as_mut()) {
            cases.flips.truncate(limit);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.from == self.to || (self.code.is_empty() && self.state.is_empty())
    }
}

/// The display name of one side: its tag, else its short commit id.
pub fn side_name(version: Option<&Version>, commit: &ObjectId) -> String {
    version.map_or_else(|| commit.short().to_owned(), tag)
}
