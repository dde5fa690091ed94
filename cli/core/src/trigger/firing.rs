//! A firing: the record of a rule that fired, from its beginning to its outcome; and when a rule
//! fires and when a firing is cleared.

use super::{Assessment, Rule, State};
use crate::formats::canonical;
use crate::formats::object_id::digest;
use crate::slo::MINUTE;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeMap;

pub const SCHEMA: &str = "agent/firing@1";

/// Times are RFC 3339, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    pub schema: String,
    pub id: String,
    pub rule: String,
    #[serde(rename = "type")]
    pub type_name: String,
    /// The minute in which the condition began to hold.
    pub began: String,
    pub fired: String,
    pub version: Option<String>,
    pub summary: String,
    /// The comparison.
    pub figures: Value,
    /// The worst traces since it began; `agent log` opens them.
    pub traces: Vec<Trace>,
    /// Versions made shortly before it began, newest first.
    pub changed: Vec<Change>,
    /// The feedback item that it opened.
    pub feedback: String,
    /// The clone that recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone: Option<String>,
    /// The result of each action.
    #[serde(default)]
    pub actions: BTreeMap<String, ActionResult>,
    #[serde(default)]
    pub acknowledged: Option<Acknowledged>,
    /// When it was cleared.
    #[serde(default)]
    pub cleared: Option<String>,
    /// What answered it.
    #[serde(default)]
    pub outcome: Option<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    pub trace: String,
    pub at: String,
    /// The problem that it shows.
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub version: String,
    pub at: String,
    /// The subject of its commit.
    pub what: String,
}

/// An action that was carried out, or why it was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResult {
    pub at: String,
    pub result: String,
    /// Whether it is tried again at the next check.
    #[serde(default)]
    pub pending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Acknowledged {
    pub at: String,
    pub by: String,
    pub note: Option<String>,
}

/// Of two, one that ended in a version is the greater.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Outcome {
    pub version: Option<String>,
    pub run: String,
    pub status: String,
}

/// No firings of a rule before a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    pub schema: String,
    pub rule: String,
    /// When it was set.
    pub at: String,
    /// Its end; from then on the rule may fire.
    pub until: String,
    pub by: String,
    pub reason: Option<String>,
}

pub const MUTE_SCHEMA: &str = "agent/mute@1";

impl Firing {
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let firing: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if firing.schema == SCHEMA {
            Ok(firing)
        } else {
            Err(format!("its schema is `{}`", firing.schema))
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(&serde_json::to_value(self).expect("a firing is JSON"))
    }

    pub const fn is_open(&self) -> bool {
        self.cleared.is_none()
    }

    /// Two clones' records of one firing, merged: the later events that either has. In any
    /// order, and as often as one likes.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let (Self { mut actions, acknowledged, cleared, outcome, .. }, mut second) =
            (self.clone(), other.clone());
        for (action, outcome) in std::mem::take(&mut second.actions) {
            let known = actions.remove(&action);
            actions.insert(
                action,
                known.map_or_else(|| outcome.clone(), |it| it.max(outcome.clone())),
            );
        }
        let recorded = if self.beginning() <= other.beginning() { self } else { other };
        Self {
            actions,
            acknowledged: earlier(acknowledged, second.acknowledged),
            cleared: earlier(cleared, second.cleared),
            outcome: outcome.max(second.outcome),
            ..recorded
        }
    }

    /// The figures at the time it fired, comparable.
    fn beginning(&self) -> (&str, Vec<u8>) {
        let fresh = Self {
            actions: BTreeMap::new(),
            acknowledged: None,
            cleared: None,
            outcome: None,
            ..self.clone()
        };
        (&self.fired, fresh.to_bytes())
    }
}

/// The lesser of two, where there are two.
fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Of two clones' deeds the one that is done counts, then the later one.
impl Ord for ActionResult {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |outcome: &Self| (!outcome.pending, outcome.at.clone(), outcome.result.clone());
        rank(self).cmp(&rank(other))
    }
}

impl PartialOrd for ActionResult {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The id of a firing. Clones that record one incident give it one id. The estimated beginning of
/// the next incident may be that of the last one, so the time when the rule was last cleared is
/// part of it.
pub fn id(rule: &str, began: &str, last_cleared: Option<u64>) -> String {
    let after = last_cleared.map(|cleared| format!(" {cleared}")).unwrap_or_default();
    let digest = digest(format!("{rule} {began}{after}").as_bytes());
    format!("t-{}", digest.trim_start_matches("sha256:").get(..10).unwrap_or_default())
}

/// What a check does about a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Fire { began: u64 },
    Clear,
    Nothing(Why),
}

/// Why a check does nothing about a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its condition does not hold.
    Quiet,
    /// Its condition does not hold for long enough yet.
    Pending,
    /// It fired already, and is not cleared.
    Open,
    Muted {
        until: u64,
    },
    /// It was cleared a short time ago.
    CoolDown {
        until: u64,
    },
}

/// What is known of a rule's firings; times are seconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Past {
    pub open: Option<Open>,
    pub cleared: Option<u64>,
    pub muted_until: Option<u64>,
}

/// The open firing of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    pub fired: u64,
    /// Whether this clone recorded it.
    pub is_own: bool,
}

impl Open {
    /// Whether an assessment can decide that it is over: not one of a clock that went back, and of
    /// another clone only one that rests on what happened since.
    fn is_ended_by(self, assessment: &Assessment, now: u64) -> bool {
        // times of events are to the minute
        let has_seen = assessment.latest.is_some_and(|at| at + MINUTE > self.fired);
        assessment.is_over && now >= self.fired && (self.is_own || has_seen)
    }
}

pub fn step(rule: &Rule, assessment: &Assessment, past: Past, now: u64) -> Step {
    let began = match assessment.state {
        State::Alarm { began } => Some(began),
        State::Quiet | State::NotEnough | State::Pending { .. } => None,
    };
    if let Some(open) = past.open {
        let is_over = open.is_ended_by(assessment, now);
        return if is_over { Step::Clear } else { Step::Nothing(Why::Open) };
    }
    let Some(began) = began else {
        let is_pending = matches!(assessment.state, State::Pending { .. });
        return Step::Nothing(if is_pending { Why::Pending } else { Why::Quiet });
    };
    let cool = past.cleared.map(|cleared| cleared + rule.cool_down_s).filter(|until| now < *until);
    match (past.muted_until.filter(|until| now < *until), cool) {
        (Some(until), _) => Step::Nothing(Why::Muted { until }),
        (None, Some(until)) => Step::Nothing(Why::CoolDown { until }),
        (None, None) => Step::Fire { began },
    }
}
