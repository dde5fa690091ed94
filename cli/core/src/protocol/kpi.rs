//! KPIs of a version: calls, errors, durations, rewards. A fold over recorded telemetry,
//! independent of order and split.

use crate::protocol::conventions as names;
use crate::protocol::latencies::Latencies;
use crate::protocol::otlp::{Event, Kind, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::collections::btree_map::BTreeMap;

/// Of one version, from `since` to `until`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kpi {
    pub version: String,
    /// The first and the last moment something was recorded: nanoseconds since 1970, UTC.
    pub since: u64,
    pub until: u64,
    pub calls: u64,
    /// Calls whose result has `isError`, and calls without a result.
    pub errors: u64,
    /// Of a call, as the Runner took it, within 2.5 %; absent without calls.
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    /// How many different ones had a call.
    pub conversations: usize,
    pub rewards: Rewards,
    /// Items of textual feedback about it.
    pub feedback: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Rewards {
    /// Signals with a reward.
    pub count: u64,
    pub mean: Option<f64>,
}

const HOUR: u64 = 3_600_000_000_000;

/// Counts by hour and version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    hours: BTreeMap<u64, BTreeMap<String, Counts>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    since: u64,
    until: u64,
    calls: u64,
    errors: u64,
    times: Latencies,
    conversations: BTreeSet<String>,
    rewards: u64,
    rewarded: f64,
    feedback: u64,
}

/// Whether a span is the client span of a Runner tool call to the child: the host's side of the
/// same call is another span.
pub fn is_call(span: &Span) -> bool {
    span.kind == Kind::Client
        && span.text(names::METHOD) == Some(names::TOOLS_CALL)
        && span.text(names::ROLE) == Some(names::RUNNER)
}

/// The reward of a signal about a version's result.
pub fn reward(event: &Event) -> Option<f64> {
    let is_signal = event.name == names::EVALUATION && event.attributes.contains_key(names::SIGNAL);
    is_signal.then(|| event.number(names::SCORE)).flatten()
}

impl Tally {
    /// Adds a call; other spans are ignored.
    pub fn take_span(&mut self, span: &Span) {
        let Some(version) = span.text(names::VERSION).filter(|_| is_call(span)) else { return };
        let counts = self.counts(version, span.began);
        counts.calls += 1;
        counts.errors += u64::from(span.failed);
        counts.times.add(span.took_ms());
        counts.conversations.extend(span.text(names::CONVERSATION).map(str::to_owned));
    }

    /// Adds a reward; other events are ignored.
    pub fn take_event(&mut self, event: &Event) {
        let (Some(version), Some(reward)) = (event.text(names::VERSION), reward(event)) else {
            return;
        };
        let counts = self.counts(version, event.at);
        counts.rewards += 1;
        counts.rewarded += reward;
    }

    /// An item of feedback about a version.
    pub fn take_feedback(&mut self, version: &str, at: u64) {
        self.counts(version, at).feedback += 1;
    }

    fn counts(&mut self, version: &str, at: u64) -> &mut Counts {
        let counts =
            self.hours.entry(at / HOUR).or_default().entry(version.to_owned()).or_default();
        counts.since = if counts.since == 0 { at } else { counts.since.min(at) };
        counts.until = counts.until.max(at);
        counts
    }

    pub fn join(&mut self, other: Self) {
        for (hour, versions) in other.hours {
            let hour = self.hours.entry(hour).or_default();
            for (version, counts) in versions {
                hour.entry(version).or_default().join(counts);
            }
        }
    }

    /// By version, from the hour that holds this moment on; in no particular order.
    pub fn since(&self, at: u64) -> Vec<Kpi> {
        let mut versions: BTreeMap<&str, Counts> = BTreeMap::new();
        for (version, counts) in self.hours.range(at / HOUR..).flat_map(|(_, versions)| versions) {
            versions.entry(version).or_default().join(counts.clone());
        }
        versions.into_iter().map(|(version, counts)| counts.kpi(version)).collect()
    }
}

impl Counts {
    fn join(&mut self, other: Self) {
        self.since = if self.since == 0 { other.since } else { self.since.min(other.since) };
        self.until = self.until.max(other.until);
        self.calls += other.calls;
        self.errors += other.errors;
        self.times.join(&other.times);
        self.conversations.extend(other.conversations);
        self.rewards += other.rewards;
        self.rewarded += other.rewarded;
        self.feedback += other.feedback;
    }

    fn kpi(self, version: &str) -> Kpi {
        let mean = (self.rewards > 0)
            .then(|| self.rewarded / self.rewards as f64)
            .filter(|mean| mean.is_finite());
        Kpi {
            version: version.to_owned(),
            since: self.since,
            until: self.until,
            calls: self.calls,
            errors: self.errors,
            p50_ms: self.times.quantile(0.5),
            p95_ms: self.times.quantile(0.95),
            conversations: self.conversations.len(),
            rewards: Rewards { count: self.rewards, mean },
            feedback: self.feedback,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn call(version: &str, at: u64, ms: f64, conversation: Option<&str>) -> Span {
        let mut attributes = BTreeMap::from([
            (names::METHOD.to_owned(), json!(names::TOOLS_CALL)),
            (names::ROLE.to_owned(), json!(names::RUNNER)),
            (names::VERSION.to_owned(), json!(version)),
        ]);
        attributes.extend(conversation.map(|id| (names::CONVERSATION.to_owned(), json!(id))));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "times of a test"
        )]
        let ended = at + (ms * 1e6) as u64;
        Span {
            trace: "t".to_owned(),
            id: "s".to_owned(),
            parent: None,
            name: "tools/call ask".to_owned(),
            kind: Kind::Client,
            began: at,
            ended,
            attributes,
            failed: ms > 1000.0,
            message: String::new(),
            links: Vec::new(),
        }
    }

    fn rewarded(version: &str, at: u64, score: f64, signal: bool) -> Event {
        let mut attributes = BTreeMap::from([
            (names::VERSION.to_owned(), json!(version)),
            (names::SCORE.to_owned(), json!(score)),
        ]);
        if signal {
            attributes.insert(names::SIGNAL.to_owned(), json!("s-1"));
        }
        Event { trace: None, span: None, at, name: names::EVALUATION.to_owned(), attributes }
    }

    #[test]
    fn kpis_are_aggregated_per_version() {
        let mut tally = Tally::default();
        for number in 0..100 {
            tally.take_span(&call(
                "0.1.0",
                10 + number,
                10.0,
                Some(if number % 2 == 0 { "a" } else { "b" }),
            ));
        }
        tally.take_span(&call("0.1.0", 5, 2000.0, None));
        tally.take_span(&Span { kind: Kind::Server, ..call("0.1.0", 7, 1.0, None) });
        tally.take_event(&rewarded("0.1.0", 20, 1.0, true));
        tally.take_event(&rewarded("0.1.0", 21, -0.5, true));
        // the score of a tier is none
        tally.take_event(&rewarded("0.1.0", 22, 9.0, false));
        tally.take_span(&call("0.1.1", HOUR, 1.0, None));
        tally.take_feedback("0.1.1", HOUR + 1);
        let [first, second] = &tally.since(0)[..] else { panic!("two versions") };
        assert_eq!(
            (first.calls, first.errors, first.conversations, first.since, first.until),
            (101, 1, 2, 5, 109)
        );
        assert_eq!(first.rewards, Rewards { count: 2, mean: Some(0.25) });
        for quantile in [first.p50_ms, first.p95_ms] {
            assert!((quantile.unwrap() / 10.0 - 1.0).abs() < 0.025, "{quantile:?}");
        }
        assert_eq!(
            (second.version.as_str(), second.calls, second.feedback, second.rewards.mean),
            ("0.1.1", 1, 1, None)
        );
        assert_eq!(tally.since(HOUR).len(), 1);
        let kept: Tally = serde_json::from_str(&serde_json::to_string(&tally).unwrap()).unwrap();
        assert_eq!(kept, tally);
    }

    proptest! {
        /// However the record is split and in whatever order its parts are joined.
        #[test]
        fn split_record_gives_the_same_aggregate(times in prop::collection::vec((0u64..3 * HOUR,
            0.0f64..5000.0), 0..40), at in 0usize..40) {
            let spans: Vec<_> = times.iter().map(|(began, ms)| call("1.0.0", *began, *ms,
                None)).collect();
            let fold = |spans: &[Span]| {
                let mut tally = Tally::default();
                for span in spans {
                    tally.take_span(span);
                }
                tally
            };
            let (left, right) = spans.split_at(at.min(spans.len()));
            let mut joined = fold(right);
            joined.join(fold(left));
            prop_assert_eq!(joined.since(0), fold(&spans).since(0));
        }
    }
}
