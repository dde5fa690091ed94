//! The report of a run: `agent/architect@1`, stored beside the run while it is active and in the
//! inbox once it ended.

use crate::repository::error::RepositoryError;
use crate::world::fs::{self, Durability};
use agent_core::architect::evaluators::Effect;
use agent_core::architect::feedback::Status;
use agent_core::architect::run::{Evaluators, Phase, Run, SCHEMA};
use agent_core::formats::canonical;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::manifest::{CoderKind, Tier};
use agent_core::formats::object_id::ObjectId;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub schema: String,
    pub run: String,
    /// `queued`, `working`, `testing`, `released`, `refused`, `needs-person`, `cancelled`.
    pub status: String,
    pub why: Option<String>,
    pub feedback: Vec<String>,
    pub coder: CoderKind,
    /// The version the run started from.
    pub from: String,
    pub base: ObjectId,
    pub started: String,
    pub finished: Option<String>,
    pub attempts: Vec<Attempt>,
    /// The resulting version.
    pub version: Option<String>,
    pub commit: Option<ObjectId>,
    /// The branch of the work when there is no resulting version.
    pub branch: Option<String>,
    pub progress: Run,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub attempt: u32,
    /// The coder's summary.
    #[serde(rename = "said")]
    pub summary: String,
    pub commit: Option<ObjectId>,
    pub changed: Vec<String>,
    /// Whether evaluators are among the changed paths.
    pub protected: bool,
    /// What the change does to the evaluators.
    #[serde(default = "unchanged")]
    pub evaluators: Effect,
    /// How far the coder was confined to its workplace; absent for one that runs no program.
    #[serde(rename = "held", default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<CoderConfinement>,
    /// What the coder changed outside of its workplace.
    #[serde(rename = "traces", default, skip_serializing_if = "Vec::is_empty")]
    pub outside_changes: Vec<String>,
    pub trials: Vec<TrialReport>,
    /// Why it was not taken.
    pub why: Option<String>,
    /// Whether the coder itself failed: crashed, or ran out of time.
    pub coder_failed: bool,
}

/// How far a coder was confined to its workplace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoderConfinement {
    Confined,
    /// `[architect] confine = false`.
    SwitchedOff,
    /// The kernel cannot.
    NotByThisKernel,
}

impl CoderConfinement {
    const fn summary(self) -> &'static str {
        match self {
            Self::Confined => "the coder was confined, without access to this repository",
            Self::SwitchedOff => "the coder was not confined: agent.toml sets `confine = false`",
            Self::NotByThisKernel => "the coder was not confined: this kernel has no Landlock",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    pub tier: Tier,
    pub evaluators: Evaluators,
    pub passed: bool,
    /// On the cases that are compared: the held-out ones alone, where there are any.
    pub score: f64,
    /// The score of the version that is served, on the same cases.
    pub before: f64,
    pub cases: usize,
    /// Whether the results of judging cases improved with the change; false in a report of an
    /// earlier `agent`.
    #[serde(default)]
    pub helps: bool,
    pub reasons: Vec<String>,
}

/// Of a report that an earlier `agent` wrote.
const fn unchanged() -> Effect {
    Effect::None
}

impl Report {
    pub fn parse(bytes: &[u8], origin: &str) -> Result<Self, RepositoryError> {
        let report: Self = serde_json::from_slice(bytes)
            .map_err(|source| RepositoryError::NotAReport { origin: origin.to_owned(), source })?;
        if report.schema == SCHEMA {
            return Ok(report);
        }
        Err(RepositoryError::ReportSchema { origin: origin.to_owned(), schema: report.schema })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(&serde_json::to_value(self).expect("a report is JSON"))
    }

    /// Copies the progress of the run into the report.
    pub fn follow(&mut self, progress: &Run) {
        self.progress = progress.clone();
        progress.phase.as_str().clone_into(&mut self.status);
        match &progress.phase {
            Phase::Released { version } => self.version = Some(version.clone()),
            Phase::Refused { why } | Phase::NeedsPerson { why } => self.why = Some(why.clone()),
            _ => {}
        }
    }

    /// What the run means for the feedback it worked on.
    pub fn outcome(&self) -> Status {
        let run = self.run.clone();
        match &self.progress.phase {
            Phase::Released { version } => Status::Answered { run, version: version.clone() },
            Phase::Refused { .. } => Status::Refused { run },
            Phase::NeedsPerson { .. } => Status::NeedsPerson { run },
            Phase::Queued | Phase::Working | Phase::Testing { .. } | Phase::Releasing => {
                Status::Taken { run }
            }
            // the feedback was not rejected
            Phase::Cancelled => Status::Open,
        }
    }

    /// Why the run has no version; `None` where it released one.
    pub fn failure(&self) -> Option<FailureKind> {
        match &self.progress.phase {
            Phase::Released { .. } => None,
            Phase::Refused { .. } if self.attempts.iter().all(|attempt| attempt.coder_failed) => {
                Some(FailureKind::Child)
            }
            _ => Some(FailureKind::Refused),
        }
    }

    /// Why an attempt was not taken; the reason is stated at its first occurrence.
    pub fn not_taken(&self, attempt: &Attempt) -> Option<String> {
        let why = attempt.why.as_ref()?;
        let earlier = self
            .attempts
            .iter()
            .take_while(|other| other.attempt != attempt.attempt)
            .find(|other| other.why.as_ref() == Some(why));
        Some(match earlier {
            Some(earlier) => format!("not taken, for the reason of attempt {}", earlier.attempt),
            None => format!("not taken: {why}"),
        })
    }

    /// Whether the run's reason repeats that of its last attempt, which was stated there.
    pub fn repeats_last_attempt(&self) -> bool {
        self.why.is_some() && self.attempts.last().is_some_and(|attempt| attempt.why == self.why)
    }

    pub fn attempt(&mut self) -> &mut Attempt {
        self.attempts.last_mut().expect("an attempt is in progress")
    }

    /// Writes `report.json` and `report.md` into the run's folder.
    pub fn save(&self, folder: &Path) -> Result<(), RepositoryError> {
        fs::replace(
            &folder.join("report.md"),
            self.to_markdown().as_bytes(),
            Durability::Rebuildable,
        )?;
        fs::replace(&folder.join("report.json"), &self.to_bytes(), Durability::Rebuildable)?;
        Ok(())
    }

    pub fn to_markdown(&self) -> String {
        let mut page = format!("# Run {}: {}\n\n", self.run, self.status);
        if let Some(why) = self.why.as_ref().filter(|_| !self.repeats_last_attempt()) {
            let _ = writeln!(page, "{why}\n");
        }
        let _ = writeln!(page, "- feedback: {}", self.feedback.join(", "));
        let _ = writeln!(page, "- started from {} ({})", self.from, self.base.short());
        let facts = [
            ("version", self.version.clone()),
            ("commit", self.commit.as_ref().map(ToString::to_string)),
            ("branch", self.branch.clone()),
        ];
        for (name, value) in facts.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
        {
            let _ = writeln!(page, "- {name}: {value}");
        }
        for attempt in &self.attempts {
            attempt.write_to(self.not_taken(attempt).as_deref(), &mut page);
        }
        page
    }
}

impl Attempt {
    pub const fn new(attempt: u32) -> Self {
        Self {
            attempt,
            summary: String::new(),
            commit: None,
            changed: Vec::new(),
            protected: false,
            evaluators: Effect::None,
            confinement: None,
            outside_changes: Vec::new(),
            trials: Vec::new(),
            why: None,
            coder_failed: false,
        }
    }

    fn write_to(&self, summary: Option<&str>, page: &mut String) {
        let _ = writeln!(page, "\n## Attempt {}\n\n{}\n", self.attempt, self.summary);
        if let Some(confinement) = self.confinement {
            let _ = writeln!(page, "- {}", confinement.summary());
        }
        for change in &self.outside_changes {
            let _ = writeln!(page, "- {change}");
        }
        for path in &self.changed {
            let _ = writeln!(page, "- changed {path}");
        }
        match &self.evaluators {
            Effect::None => {}
            Effect::Additions { cases } => {
                let _ = writeln!(page, "- adds {cases} cases, which do not judge it");
            }
            Effect::Person { why } => {
                let _ = writeln!(page, "- needs a maintainer: {why}");
            }
        }
        for trial in &self.trials {
            let _ = writeln!(page, "- {}", trial.summary());
        }
        if let Some(summary) = summary {
            let _ = writeln!(page, "- {summary}");
        }
    }
}

impl TrialReport {
    /// `fast tier: pass, score 0.810 (before 0.740, 40 cases)`. The reason of a failure is stated
    /// at its attempt.
    pub fn summary(&self) -> String {
        let by =
            if self.evaluators == Evaluators::Old { ", judged by the old evaluators" } else { "" };
        let verdict = if self.passed { "pass" } else { "fail" };
        format!(
            "{} tier{by}: {verdict}, score {:.3} (before {:.3}, {} cases)",
            self.tier, self.score, self.before, self.cases
        )
    }
}
