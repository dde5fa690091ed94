//! A version about to be made, and the steps that make it: what `--dry-run` prints and `world` carries out.

use crate::formats::manifest::{GateMode, Tier};
use crate::formats::object_id::ObjectId;
use crate::version::Kind;
use semver::Version;
use std::fmt;

/// A version that nothing points to yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub kind: Kind,
    pub version: Version,
    /// The branch that is moved: `active`, or `line/X.Y`.
    pub branch: String,
    /// Where that branch must still be; `None` when it must not exist.
    pub expect: Option<ObjectId>,
    pub parents: Vec<ObjectId>,
    pub revision: ObjectId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    RunTier {
        tier: Tier,
        against: Option<Version>,
        gate: GateMode,
    },
    /// The earlier version's evaluation of the very same tree serves again.
    ReuseEvaluation {
        of: Version,
    },
    StoreEvaluation,
    ArchiveJournal {
        updates: u64,
    },
    /// The commit point: one branch by compare-and-swap, then its tag.
    Publish {
        branch: String,
        version: Version,
    },
    SealStaging,
    Yank {
        versions: Vec<Version>,
    },
}

impl Step {
    pub fn publish(candidate: &Candidate) -> Self {
        Self::Publish { branch: candidate.branch.clone(), version: candidate.version.clone() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunTier { tier, against: None, .. } => write!(formatter, "run tier {tier}"),
            Self::RunTier { tier, against: Some(version), gate } => {
                write!(formatter, "run tier {tier} against v{version}, gate {}", gate.as_str())
            }
            Self::ReuseEvaluation { of } => write!(formatter, "take the evaluation of v{of}, whose tree it is"),
            Self::StoreEvaluation => formatter.write_str("store the evaluation"),
            Self::ArchiveJournal { updates } => write!(formatter, "archive the Journal of {updates} updates"),
            Self::Publish { branch, version } => write!(formatter, "move {branch} to v{version} and tag it"),
            Self::SealStaging => formatter.write_str("begin a new Journal on it"),
            Self::Yank { versions } => {
                let named: Vec<_> = versions.iter().map(|version| format!("v{version}")).collect();
                write!(formatter, "yank {}", named.join(", "))
            }
        }
    }
}
