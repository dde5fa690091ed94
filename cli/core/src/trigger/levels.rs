//! The counts of the rules about calls and rewards: how often each value occurred, by version and
//! minute. Values are in hundredths of their range, so that a minute takes a bounded space and the
//! order of its events does not matter.

use super::Measure;
use crate::protocol::conventions as names;
use crate::protocol::kpi;
use crate::protocol::otlp::{Event, Span};
use crate::slo::Filter;
use crate::slo::series::Series;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::AddAssign;

const STEPS: u8 = 100;

/// How often each level occurred.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Levels(BTreeMap<u8, u64>);

impl AddAssign for Levels {
    fn add_assign(&mut self, other: Self) {
        for (level, times) in other.0 {
            *self.0.entry(level).or_default() += times;
        }
    }
}

impl Levels {
    /// Of one value in [0, 1]; others count as the nearer end.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value is from 0 to 100"
    )]
    pub fn one(value: f64) -> Self {
        let level = (value.clamp(0.0, 1.0) * f64::from(STEPS)).round() as u8;
        Self(BTreeMap::from([(level, 1)]))
    }

    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// Values in [0, 1] with how often each occurred.
    pub fn values(&self) -> Vec<(f64, u64)> {
        let value = |level: &u8| f64::from(*level) / f64::from(STEPS);
        self.0.iter().map(|(level, times)| (value(level), *times)).collect()
    }

    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        let sum: f64 = self.values().iter().map(|(value, times)| value * *times as f64).sum();
        (count > 0).then(|| sum / count as f64)
    }
}

/// By version, as `1.2.3`.
pub type ByVersion = BTreeMap<String, Series<Levels>>;

/// The counts of a rule: rules about the same quantity share them.
#[derive(Debug, Clone, PartialEq)]
pub struct Watched {
    pub measure: Measure,
    pub filter: Filter,
}

impl Watched {
    /// Equal for rules that count the same events.
    pub fn key(&self) -> String {
        format!("{:?} {}", self.measure, self.filter.key())
    }

    /// The value of a span, where it counts.
    pub fn of_span(&self, span: &Span) -> Option<Levels> {
        let takes = || self.filter.takes(span.text(names::VERSION), span.text(names::TOOL));
        let counts = self.measure == Measure::Success && kpi::is_call(span) && takes();
        counts.then(|| Levels::one(f64::from(u8::from(!span.failed))))
    }

    /// The value of a log record, where it counts.
    pub fn of_event(&self, event: &Event) -> Option<Levels> {
        let Measure::Reward { low, high } = self.measure else { return None };
        let reward = kpi::reward(event)?;
        let takes = self.filter.takes(event.text(names::VERSION), event.text(names::TOOL));
        takes.then(|| Levels::one((reward - low) / (high - low)))
    }
}

/// All versions together.
pub fn of_all_versions(counts: &ByVersion) -> Series<Levels> {
    let mut all = Series::default();
    counts.values().cloned().for_each(|series| all.join(series));
    all
}
