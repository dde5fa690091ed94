//! A version about to be made, and the steps that make it: `--dry-run` prints them, and the same
//! list is carried out.

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
    /// The end, where the decisions on record do not show the gain that the manifest requires.
    EstimateGain,
    RunTier {
        tier: Tier,
        against: Option<Version>,
        gate: GateMode,
    },
    /// The earlier version's evaluation of the very same tree serves again.
    ReuseEvaluation {
        of: Version,
    },
    /// The comparison becomes a line of the ledger, at the level that the ledger leaves it.
    RecordAttempt,
    /// The end, where the budgets or the gate are not passed.
    Decide,
    ArchiveJournal {
        updates: u64,
    },
    /// The commit with its trailers; nothing points to it yet.
    WriteCommit {
        version: Version,
        undoes: Vec<Version>,
    },
    StoreEvaluation,
    /// The commit point: one branch by compare-and-swap, then its tag.
    Publish {
        branch: String,
        version: Version,
    },
    SealStaging,
}

impl Step {
    /// From a commit to a version; the order matters: evidence is stored before the branch moves,
    /// and the branch moves before the tag is made.
    pub fn publication(candidate: &Candidate, undoes: Vec<Version>) -> [Self; 3] {
        let Candidate { branch, version, .. } = candidate.clone();
        [
            Self::WriteCommit { version: version.clone(), undoes },
            Self::StoreEvaluation,
            Self::Publish { branch, version },
        ]
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EstimateGain => {
                formatter.write_str("stop unless off-policy evaluation shows the required gain")
            }
            Self::RunTier { tier, against: None, .. } => write!(formatter, "run tier {tier}"),
            Self::RunTier { tier, against: Some(version), gate } => {
                write!(formatter, "run tier {tier} against v{version}, gate {}", gate.as_str())
            }
            Self::ReuseEvaluation { of } => {
                write!(formatter, "reuse the evaluation of v{of}, which has the same tree")
            }
            Self::RecordAttempt => {
                formatter.write_str("record the comparison in the gate's ledger")
            }
            Self::Decide => formatter.write_str("stop unless budgets and gate pass"),
            Self::WriteCommit { version, undoes } => {
                write!(formatter, "write the commit of v{version}")?;
                let named: Vec<_> = undoes.iter().map(|version| format!("v{version}")).collect();
                if named.is_empty() {
                    Ok(())
                } else {
                    write!(formatter, ", which yanks {}", named.join(", "))
                }
            }
            Self::StoreEvaluation => formatter.write_str("store the evaluation"),
            Self::ArchiveJournal { updates } => {
                write!(formatter, "archive the Journal of {updates} updates")
            }
            Self::Publish { branch, version } => {
                write!(formatter, "move {branch} to v{version} and tag it")
            }
            Self::SealStaging => formatter.write_str("begin a new Journal on it"),
        }
    }
}
