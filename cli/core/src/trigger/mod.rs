//! Triggers: rules over live traffic that start the Architect. A rule is data in `ci/budgets.json`
//! under `triggers`; whether it fires is a function of what is on record and of the time, so that a
//! check can be made at any time, anywhere, and as often as one likes.

pub mod alike;
pub mod burn;
pub mod drift;
pub mod firing;
pub mod levels;
pub mod parse;
pub mod wave;

use crate::slo::{Filter, Window};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A rule, with what is common to all types.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub name: String,
    pub condition: Condition,
    /// For how long the condition has to hold before the rule fires, in seconds.
    pub held_s: u64,
    /// For how long it has to be over before the firing is cleared.
    pub clear_s: u64,
    /// After a firing was cleared, the rule does not fire for so long.
    pub cool_down_s: u64,
    pub actions: Vec<Action>,
}

/// The quantity that a rule is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    Burn(Burn),
    Drift(Drift),
    Feedback(Wave),
    Traffic(Traffic),
    Evaluation(Evaluation),
}

impl Condition {
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Burn(_) => "burn",
            Self::Drift(_) => "drift",
            Self::Feedback(_) => "feedback",
            Self::Traffic(_) => "traffic",
            Self::Evaluation(_) => "evaluation",
        }
    }
}

/// The error budget of an objective is spent too fast.
#[derive(Debug, Clone, PartialEq)]
pub struct Burn {
    /// An objective's name.
    pub objective: String,
    pub pairs: Vec<Pair>,
    /// Fewer events in the long window than this are no evidence.
    pub min_events: u64,
    /// Good events an hour that are assumed beside the real ones, for low traffic.
    pub synthetic_per_hour: f64,
}

/// Both windows have to burn at this rate or faster: the long one so that enough is spent, the
/// short one so that it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    pub long: Window,
    pub short: Window,
    pub rate: f64,
}

/// The mean of a measure is lower than it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    pub measure: Measure,
    pub filter: Filter,
    pub against: Against,
    pub test: Test,
    /// The number of events of the reference.
    pub reference: u64,
    /// A fall by no more than this, in units of the measure, is none.
    pub tolerance: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// 1 for a call without an error, 0 for one with.
    Success,
    /// Rewards; those outside of the range count as its ends.
    Reward { low: f64, high: f64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// The first events of the version itself.
    OwnPast,
    /// All events of the version that was served before.
    PreviousVersion,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Test {
    /// `form` of the e-detector; a false alarm at most once in so many minutes with traffic, on
    /// average.
    EDetector {
        form: crate::statistics::change::Form,
        false_alarm_minutes: u64,
    },
    PageHinkley {
        threshold: f64,
    },
}

/// More textual feedback than usual.
#[derive(Debug, Clone, PartialEq)]
pub struct Wave {
    pub window: Window,
    pub at_least: usize,
    /// As a multiple of the mean of the windows before.
    pub times_usual: f64,
    /// How similar two texts of one complaint are, from 0 to 1; without it all items count.
    pub alike: Option<f64>,
}

/// Far fewer calls than usual.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    pub filter: Filter,
    pub window: Window,
    /// As a share of the same windows on the days before.
    pub below_usual: f64,
    /// Fewer usual events than this are no evidence.
    pub min_events: u64,
}

/// A tier of the served version comes out worse than it did when the version was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    pub tier: crate::formats::manifest::Tier,
    /// A check runs the tier again where it was not run for so long, in seconds.
    pub every_s: u64,
}

/// The actions of a firing, besides its feedback item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Starts a run of the Architect for the item.
    Wake,
    /// Returns to the version before, where it is better by the gate's test.
    Rollback,
    /// Holds promotions until the firing is cleared.
    Freeze,
    /// Runs a command with the firing as JSON on its stdin.
    Command(Vec<String>),
    /// Sends the firing as JSON by POST.
    Post(String),
}

/// The action `freeze`, as a firing's record names it.
pub const FREEZE: &str = "freeze";

impl Action {
    /// As a firing's record names it.
    pub fn key(&self) -> String {
        match self {
            Self::Wake => "wake".to_owned(),
            Self::Rollback => "rollback".to_owned(),
            Self::Freeze => FREEZE.to_owned(),
            Self::Command(command) => format!("notify {}", command.join(" ")),
            Self::Post(url) => format!("notify {url}"),
        }
    }
}

/// Where a rule stands at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    pub state: State,
    /// Whether a firing of the rule would be over by now.
    pub is_over: bool,
    /// The newest event that this rests on: a clone without an event since a firing knows nothing
    /// of its end.
    pub latest: Option<u64>,
    /// The figures in a sentence.
    pub summary: String,
    /// The figures for programs.
    pub figures: Value,
    /// The version that it is about, where it is about one.
    pub version: Option<String>,
}

/// Times are seconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum State {
    Quiet,
    /// There are too few events to decide.
    NotEnough,
    /// The condition holds, and not yet for long enough.
    Pending {
        began: u64,
    },
    Alarm {
        began: u64,
    },
}

impl State {
    /// The condition holds since then.
    pub const fn since(began: u64, now: u64, held_s: u64) -> Self {
        if now.saturating_sub(began) >= held_s {
            Self::Alarm { began }
        } else {
            Self::Pending { began }
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "ok",
            Self::NotEnough => "not enough events",
            Self::Pending { .. } => "pending",
            Self::Alarm { .. } => "alarm",
        }
    }
}

#[cfg(test)]
mod tests;
