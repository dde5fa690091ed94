//! The report of a bisection.

use super::PointOutcome;
use crate::bisection::difference::StateChange;
use crate::formats::manifest::Tier;
use crate::formats::object_id::ObjectId;
use crate::state::journal::Record;
use crate::testing::case_result::CaseResult;
use crate::version::Kind;
use semver::Version;
use serde::Serialize;
use serde_json::Value;

pub const SCHEMA: &str = "agent/bisect@1";

/// `agent bisect --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bisection {
    pub schema: &'static str,
    pub case: String,
    pub tier: Tier,
    /// Whether a version broke it.
    pub found: bool,
    /// The conclusion in a sentence.
    pub why: String,
    /// The last point where it passed, and the first where it does not.
    pub good: Option<Probe>,
    pub bad: Option<Probe>,
    /// The kind of the bad version.
    pub kind: Option<Kind>,
    /// The update of the state that broke it, where the bad version is a promotion.
    pub signal: Option<Signal>,
    /// The commits it released, newest first, where the bad version is a release.
    pub commits: Vec<Commit>,
    /// The state changes of that signal, or of the version.
    pub state: Vec<StateChange>,
    /// The definitions that differ between the two ends: `case`, `scorers`.
    pub redefined: Vec<&'static str>,
    /// All probes, in order.
    #[serde(rename = "looked")]
    pub probes: Vec<Probe>,
}

/// One probed point of the history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probe {
    pub version: Version,
    pub commit: ObjectId,
    /// Inside a promotion: the state after this many of its signals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signals: Option<usize>,
    pub seen: PointOutcome,
    pub how: How,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Why it does not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    Stored,
    Run,
}

/// An update of the Journal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signal {
    pub seq: u64,
    pub id: String,
    pub tool: String,
    pub arguments: Value,
    pub at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// Which of the promotion's signals it is, from 1.
    pub number: usize,
    pub of: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Commit {
    pub id: ObjectId,
    pub subject: String,
}

impl Probe {
    /// `None` is a case that is not there.
    pub fn new(version: Version, commit: ObjectId, how: How, result: Option<CaseResult>) -> Self {
        let seen = result.as_ref().map_or(PointOutcome::Absent, CaseResult::point_outcome);
        let (score, why, place) = result
            .map_or((None, None, None), |result| (Some(result.score), result.why, result.place));
        Self { version, commit, signals: None, seen, how, score, why, place }
    }
}

impl CaseResult {
    fn point_outcome(&self) -> PointOutcome {
        if self.outcome == crate::testing::case_result::Outcome::Passed {
            PointOutcome::Passed
        } else {
            PointOutcome::Failed
        }
    }
}

impl Signal {
    pub fn new(record: &Record, number: usize, of: usize) -> Self {
        Self {
            seq: record.seq,
            id: record.id.clone(),
            tool: record.tool.clone(),
            arguments: record.arguments.clone(),
            at: record.at.clone(),
            conversation: record.conversation.as_ref().map(|talk| talk.id.clone()),
            number,
            of,
        }
    }
}
