//! Live traffic over time by version: calls, errors, durations, rewards and costs. A fold over
//! recorded telemetry, independent of order and split.

use crate::protocol::conventions as names;
use crate::protocol::kpi;
use crate::protocol::latencies::Latencies;
use crate::protocol::otlp::{Event, Span};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const NANOSECONDS: u64 = 1_000_000_000;
/// Minutes are kept for so long: the longest range whose steps are shorter than an hour is a day.
const BY_MINUTE: u64 = 26 * HOUR;
pub const LONGEST: u64 = 90 * DAY;
/// The number of versions with a series of their own; the others share one.
const MOST_VERSIONS: usize = 7;
/// The name of that series: no version has it.
pub const OTHERS: &str = "others";

/// A stretch of time up to now, in equal steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub name: &'static str,
    pub seconds: u64,
    /// In seconds.
    pub step: u64,
}

/// Each has 60 to 96 steps; a step is a divisor or a multiple of an hour.
pub const RANGES: [Range; 6] = [
    Range { name: "1h", seconds: HOUR, step: MINUTE },
    Range { name: "6h", seconds: 6 * HOUR, step: 5 * MINUTE },
    Range { name: "24h", seconds: DAY, step: 15 * MINUTE },
    Range { name: "7d", seconds: 7 * DAY, step: 2 * HOUR },
    Range { name: "28d", seconds: 28 * DAY, step: 8 * HOUR },
    Range { name: "90d", seconds: LONGEST, step: DAY },
];

impl Range {
    pub fn named(name: &str) -> Option<Self> {
        RANGES.into_iter().find(|range| range.name == name)
    }

    /// The numbers of its first and its last step since 1970.
    const fn steps(self, now: u64) -> (u64, u64) {
        (now.saturating_sub(self.seconds) / self.step + 1, now / self.step)
    }

    /// Its beginning in seconds since 1970.
    pub const fn start(self, now: u64) -> u64 {
        self.steps(now).0 * self.step
    }
}

/// The counts of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Figures {
    pub calls: u64,
    pub errors: u64,
    pub times: Latencies,
    pub rewards: u64,
    /// The sum of the rewards.
    pub rewarded: f64,
    /// Calls that reported a cost.
    pub priced: u64,
    pub usd: f64,
}

/// Calls, errors, durations, rewards and their sum, priced calls and their cost.
type Stored = (u64, u64, Latencies, u64, f64, u64, f64);

impl From<Stored> for Figures {
    fn from((calls, errors, times, rewards, rewarded, priced, usd): Stored) -> Self {
        Self { calls, errors, times, rewards, rewarded, priced, usd }
    }
}

impl From<Figures> for Stored {
    fn from(figures: Figures) -> Self {
        let Figures { calls, errors, times, rewards, rewarded, priced, usd } = figures;
        (calls, errors, times, rewards, rewarded, priced, usd)
    }
}

impl Figures {
    fn join(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.times.join(&other.times);
        self.rewards += other.rewards;
        self.rewarded = finite(self.rewarded + other.rewarded);
        self.priced += other.priced;
        self.usd = finite(self.usd + other.usd);
    }

    pub fn error_rate(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.errors as f64 / self.calls as f64)
    }

    pub fn reward_mean(&self) -> Option<f64> {
        (self.rewards > 0).then(|| self.rewarded / self.rewards as f64)
    }

    /// Of all calls together that reported a cost.
    pub fn cost_usd(&self) -> Option<f64> {
        (self.priced > 0).then_some(self.usd)
    }

    pub fn document(&self) -> Value {
        json!({"calls": self.calls, "errors": self.errors, "p50_ms": self.times.quantile(0.5),
            "p95_ms": self.times.quantile(0.95), "rewards": self.rewards,
            "reward_mean": self.reward_mean(), "cost_usd": self.cost_usd()})
    }
}

/// A sum that JSON can hold.
const fn finite(sum: f64) -> f64 {
    sum.clamp(f64::MIN, f64::MAX)
}

type Versions = BTreeMap<String, Figures>;

/// Times are seconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Live {
    /// By the number of the minute since 1970.
    minutes: BTreeMap<u64, Versions>,
    /// By the number of the hour, for what is older.
    hours: BTreeMap<u64, Versions>,
}

/// A version over a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub version: String,
    pub steps: Vec<Figures>,
    pub whole: Figures,
}

impl Live {
    /// Adds a call; other spans are ignored.
    pub fn take_span(&mut self, span: &Span) {
        let Some(version) = span.text(names::VERSION).filter(|_| kpi::is_call(span)) else {
            return;
        };
        let figures = self.at(span.ended, version);
        figures.calls += 1;
        figures.errors += u64::from(span.failed);
        figures.times.add(span.took_ms());
        if let Some(usd) = span.attributes.get(names::COST).and_then(Value::as_f64) {
            figures.priced += 1;
            figures.usd = finite(figures.usd + usd);
        }
    }

    /// Adds a reward; other events are ignored.
    pub fn take_event(&mut self, event: &Event) {
        let (Some(version), Some(reward)) = (event.text(names::VERSION), kpi::reward(event)) else {
            return;
        };
        let figures = self.at(event.at, version);
        figures.rewards += 1;
        figures.rewarded = finite(figures.rewarded + reward);
    }

    fn at(&mut self, nanoseconds: u64, version: &str) -> &mut Figures {
        let versions = self.minutes.entry(nanoseconds / NANOSECONDS / MINUTE).or_default();
        versions.entry(version.to_owned()).or_default()
    }

    /// Sums minutes that are older than a day up to hours, and drops what no range reaches: what is
    /// older, and what a wrong clock put more than a day ahead.
    pub fn compact(&mut self, now: u64) {
        let first_hour = now.saturating_sub(BY_MINUTE) / HOUR;
        let recent = self.minutes.split_off(&(first_hour * HOUR / MINUTE));
        for (minute, versions) in std::mem::replace(&mut self.minutes, recent) {
            let hour = self.hours.entry(minute * MINUTE / HOUR).or_default();
            for (version, figures) in versions {
                hour.entry(version).or_default().join(&figures);
            }
        }
        self.minutes.split_off(&((now + DAY) / MINUTE));
        self.hours = self.hours.split_off(&(now.saturating_sub(LONGEST) / HOUR));
    }

    /// The versions with something in the range, newest first.
    pub fn series(&self, range: Range, now: u64) -> Vec<Series> {
        let (first, last) = range.steps(now);
        let mut found: BTreeMap<&str, Series> = BTreeMap::new();
        let minutes = self.minutes.iter().map(|(minute, versions)| (minute * MINUTE, versions));
        let hours = self.hours.iter().map(|(hour, versions)| (hour * HOUR, versions));
        for (at, versions) in hours.chain(minutes) {
            let Some(index) =
                (at / range.step).checked_sub(first).filter(|_| at / range.step <= last)
            else {
                continue;
            };
            for (version, figures) in versions {
                let series =
                    found.entry(version).or_insert_with(|| Series::new(version, first, last));
                series.add(usize::try_from(index).unwrap_or(usize::MAX), figures);
            }
        }
        limited(found.into_values().collect())
    }
}

impl Series {
    fn new(version: &str, first: u64, last: u64) -> Self {
        let steps = usize::try_from(last + 1 - first).unwrap_or_default();
        Self {
            version: version.to_owned(),
            steps: vec![Figures::default(); steps],
            whole: Figures::default(),
        }
    }

    fn add(&mut self, index: usize, figures: &Figures) {
        if let Some(step) = self.steps.get_mut(index) {
            step.join(figures);
            self.whole.join(figures);
        }
    }

    fn join(&mut self, other: &Self) {
        self.whole.join(&other.whole);
        for (step, figures) in self.steps.iter_mut().zip(&other.steps) {
            step.join(figures);
        }
    }

    pub fn document(&self) -> Value {
        fn each<T>(steps: &[Figures], value: impl Fn(&Figures) -> T) -> Vec<T> {
            steps.iter().map(value).collect()
        }
        let steps = &self.steps;
        json!({
            "version": self.version,
            "calls": each(steps, |step| step.calls),
            "errors": each(steps, |step| step.errors),
            "p50_ms": each(steps, |step| step.times.quantile(0.5)),
            "p95_ms": each(steps, |step| step.times.quantile(0.95)),
            "rewards": each(steps, |step| step.rewards),
            "reward_mean": each(steps, Figures::reward_mean),
            "cost_usd": each(steps, Figures::cost_usd),
            "total": self.whole.document(),
        })
    }
}

/// Those with the most calls and rewards, newest first; the others joined as the last.
fn limited(mut series: Vec<Series>) -> Vec<Series> {
    series.sort_by_key(|one| Reverse(one.whole.calls + one.whole.rewards));
    let others = series.split_off(series.len().min(MOST_VERSIONS));
    // a text that is no version is older than any
    series.sort_by_cached_key(|one| {
        Reverse((one.version.parse::<Version>().ok(), one.version.clone()))
    });
    let joined = others.into_iter().reduce(|mut joined, other| {
        joined.join(&other);
        joined
    });
    series.extend(joined.map(|joined| Series { version: OTHERS.to_owned(), ..joined }));
    series
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000;

    fn call(version: &str, ago: u64, ms: u64, cost: Option<f64>) -> Span {
        let ended = (NOW - ago) * NANOSECONDS;
        let mut attributes = BTreeMap::from([
            (names::METHOD.to_owned(), json!(names::TOOLS_CALL)),
            (names::ROLE.to_owned(), json!(names::RUNNER)),
            (names::VERSION.to_owned(), json!(version)),
        ]);
        attributes.extend(cost.map(|usd| (names::COST.to_owned(), json!(usd))));
        Span {
            trace: "t".to_owned(),
            id: "s".to_owned(),
            parent: None,
            name: "tools/call ask".to_owned(),
            kind: crate::protocol::otlp::Kind::Client,
            began: ended - ms * 1_000_000,
            ended,
            attributes,
            failed: ms > 1000,
            message: String::new(),
            links: Vec::new(),
        }
    }

    fn reward(version: &str, ago: u64, score: f64) -> Event {
        let attributes = BTreeMap::from([
            (names::VERSION.to_owned(), json!(version)),
            (names::SCORE.to_owned(), json!(score)),
            (names::SIGNAL.to_owned(), json!("s-1")),
        ]);
        let at = (NOW - ago) * NANOSECONDS;
        Event { trace: None, span: None, at, name: names::EVALUATION.to_owned(), attributes }
    }

    #[test]
    fn figures_stand_in_the_step_of_their_time() {
        let mut live = Live::default();
        for (ago, ms) in [(0, 10), (59, 2000), (60, 10), (3540, 10), (3599, 10)] {
            live.take_span(&call("0.1.0", ago, ms, (ms > 1000).then_some(0.25)));
        }
        live.take_event(&reward("0.1.1", 120, 1.0));
        live.take_event(&reward("0.1.1", 120, 0.5));
        let hour = Range::named("1h").unwrap();
        assert_eq!(NOW % HOUR, 0);
        let [second, first] = &live.series(hour, NOW)[..] else { panic!("two versions") };
        assert_eq!((first.version.as_str(), first.steps.len()), ("0.1.0", 60));
        let calls: Vec<_> = first.steps.iter().map(|step| step.calls).collect();
        // the minute of 3599 s ago is before the first step
        assert_eq!((calls[59], calls[58], calls[57], calls[0]), (1, 2, 0, 1), "{calls:?}");
        assert_eq!(
            (first.whole.calls, first.whole.errors, first.whole.cost_usd()),
            (4, 1, Some(0.25))
        );
        assert_eq!(second.steps[57].reward_mean(), Some(0.75));
        assert_eq!((second.whole.error_rate(), second.whole.cost_usd()), (None, None));
        assert_eq!((hour.start(NOW), hour.step), (NOW - 59 * 60, 60));
        let document = first.document();
        assert_eq!((&document["errors"][58], &document["total"]["errors"]), (&json!(1), &json!(1)));
        assert_eq!(document["p95_ms"][57], Value::Null);
    }

    #[test]
    fn versions_beyond_a_limit_are_one_series() {
        let mut live = Live::default();
        for patch in 0..20 {
            for _ in 0..=patch {
                live.take_span(&call(&format!("0.1.{patch}"), 1, 10, None));
            }
        }
        live.take_span(&call("no version", 1, 10, None));
        let series = live.series(RANGES[2], NOW);
        let names: Vec<_> = series.iter().map(|one| one.version.as_str()).collect();
        let expected =
            ["0.1.19", "0.1.18", "0.1.17", "0.1.16", "0.1.15", "0.1.14", "0.1.13", OTHERS];
        assert_eq!(names, expected);
        assert_eq!(series[7].whole.calls, (1..=13).sum::<u64>() + 1);
    }

    #[test]
    fn what_no_range_reaches_is_dropped() {
        let mut live = Live::default();
        live.take_span(&call("0.1.0", LONGEST + 2 * HOUR, 1, None));
        let mut ahead = call("0.1.0", 0, 1, None);
        ahead.ended += 2 * DAY * NANOSECONDS;
        live.take_span(&ahead);
        live.take_event(&reward("0.1.0", 0, f64::MAX));
        live.take_event(&reward("0.1.0", 0, f64::MAX));
        live.compact(NOW);
        assert_eq!((live.minutes.len(), live.hours.len()), (1, 0));
        let kept: Live = serde_json::from_str(&serde_json::to_string(&live).unwrap()).unwrap();
        assert_eq!(kept, live);
    }

    proptest! {
        #[test]
        fn any_order_and_compaction_give_the_same_series(
            mut calls in prop::collection::vec((0u64..100 * DAY, 1u64..3000, 0u8..3), 0..120),
            split in 0usize..120,
        ) {
            let fold = |live: &mut Live, calls: &[(u64, u64, u8)]| {
                for (ago, ms, version) in calls {
                    live.take_span(&call(&format!("0.1.{version}"), *ago, *ms, None));
                }
            };
            let mut whole = Live::default();
            fold(&mut whole, &calls);
            calls.reverse();
            let mut compacted = Live::default();
            let (left, right) = calls.split_at(split.min(calls.len()));
            fold(&mut compacted, left);
            compacted.compact(NOW);
            fold(&mut compacted, right);
            compacted.compact(NOW);
            for range in RANGES {
                prop_assert_eq!(compacted.series(range, NOW), whole.series(range, NOW));
            }
            let kept: Live =
                serde_json::from_str(&serde_json::to_string(&compacted).unwrap()).unwrap();
            prop_assert_eq!(kept, compacted);
        }
    }
}
