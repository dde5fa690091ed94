//! The outcome of making a version: `agent/outcome@1`.

use crate::error::Failure;
use crate::sync::MainLacks;
use crate::telemetry::{Span, conventions as names};
use crate::versions::evidence::Evidence;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::comparison::Flip;
use agent_core::testing::evaluation::Refusal;
use agent_core::version::promotion::Tip;
use agent_core::version::publication::Step;
use agent_core::version::{Bump, tag};
use semver::Version;
use serde::Serialize;

pub const SCHEMA: &str = "agent/outcome@1";

/// The output of verbs that make versions: `agent/outcome@1`.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub schema: &'static str,
    pub done: bool,
    pub version: Option<Version>,
    pub commit: Option<ObjectId>,
    pub tag: Option<String>,
    pub verdict: Option<serde_json::Value>,
    pub why: String,
    /// For a refusal: the cases that became worse than in the replaced version, the most severe
    /// first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub worse: Vec<Flip>,
    /// What to do next, where it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The remote that it was pushed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed: Option<String>,
    /// Where `main` lacks the code that is served now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main: Option<MainLacks>,
    /// What would be done, under `--dry-run`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<String>,
    /// It could be a version, but no evidence shows that it helps.
    #[serde(skip)]
    pub is_unproven: bool,
    /// Why it was refused; `None` where it is done, or nothing had to be done.
    #[serde(skip)]
    pub refusal: Option<Refusal>,
}

impl Outcome {
    /// Nothing had to be done.
    pub fn nothing(why: impl Into<String>) -> Self {
        Self {
            schema: SCHEMA,
            done: false,
            version: None,
            commit: None,
            tag: None,
            verdict: None,
            why: why.into(),
            worse: Vec::new(),
            hint: None,
            pushed: None,
            main: None,
            plan: Vec::new(),
            is_unproven: false,
            refusal: None,
        }
    }

    /// It was judged, and the answer is no.
    pub fn refused(why: impl Into<String>, refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::nothing(why) }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// A run does not release a change without evidence of a gain, even if nothing became worse.
    pub fn unproven(evidence: &Evidence) -> Self {
        let why = "it passes, but no case improved: there is no evidence that it \
            helps, so a maintainer decides";
        Self {
            is_unproven: true,
            verdict: Some(evidence.verdict()),
            ..Self::refused(why, Refusal::Judged)
        }
    }

    pub fn planned(steps: &[Step]) -> Self {
        Self {
            plan: steps.iter().map(ToString::to_string).collect(),
            ..Self::nothing("this is a dry run: nothing was changed")
        }
    }

    pub fn published(tip: &Tip, evidence: &Evidence, why: impl Into<String>) -> Self {
        Self {
            done: true,
            version: Some(tip.version.clone()),
            commit: Some(tip.commit.clone()),
            tag: Some(tag(&tip.version)),
            verdict: Some(evidence.verdict()),
            ..Self::nothing(why)
        }
    }
}

/// The making of a version, on record.
pub(super) fn on_record(
    kind: &'static str,
    work: impl FnOnce() -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let span = Span::internal(kind, kind);
    let made = span.within(work);
    match &made {
        Ok(outcome) => {
            span.set_some(names::VERSION, outcome.version.as_ref());
            span.set_some(names::COMMIT_ID, outcome.commit.as_ref());
            if let Some(refusal) = outcome.refusal {
                span.fail(refusal.kind().as_str(), &outcome.why);
            }
        }
        Err(error) => span.fail(error.kind.as_str(), error.messages.join(": ")),
    }
    made
}

/// Too many lost races.
pub fn too_many_races(branch: &str) -> Failure {
    Failure::new(
        FailureKind::Conflict,
        format!("other processes kept moving `{branch}`; nothing was changed"),
    )
    .with_hint("run it again")
}

/// `v0.1.3 -> v0.1.4 (patch)`.
pub fn step_shown(from: Option<&Version>, to: &Version, bump: Option<Bump>) -> String {
    match (from, bump) {
        (Some(from), Some(bump)) => format!("v{from} -> v{to} ({bump})"),
        (Some(from), None) => format!("v{from} -> v{to}"),
        (None, _) => format!("v{to}"),
    }
}
