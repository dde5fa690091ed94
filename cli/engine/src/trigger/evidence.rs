//! The evidence of a firing: the worst traces since it began, and the versions made shortly before.

use super::judged::{Observed, at_of};
use crate::error::Failure;
use crate::repository::Repository;
use crate::telemetry::{Recorded, Records, Signal};
use crate::world::clock;
use agent_core::protocol::conventions as names;
use agent_core::protocol::kpi;
use agent_core::slo::Objective;
use agent_core::trigger::firing::{Change, Trace};
use agent_core::trigger::levels::Watched;
use agent_core::trigger::{Condition, Measure, Rule};
use jiff::Timestamp;

/// The number of traces that are named.
const TRACES: usize = 5;
/// The number of characters that are shown of a longer message.
const REASON: usize = 200;
/// A version made longer before is not named as a cause.
const BEFORE: u64 = 24 * 3600;
/// The number of files that are read for traces, the newest of the incident.
const FILES: usize = 64;

/// Traces with how bad each is.
struct Worst(Vec<(f64, Trace)>);

impl Worst {
    fn take(&mut self, badness: f64, trace: Trace) {
        if self.0.iter().any(|(_, known)| known.trace == trace.trace) {
            return;
        }
        self.0.push((badness, trace));
        self.0.sort_by(|(one, first), (other, second)| {
            other.total_cmp(one).then_with(|| first.trace.cmp(&second.trace))
        });
        self.0.truncate(TRACES);
    }
}

/// What makes a recorded thing bad for a rule: how bad, and the reason.
enum Judge<'a> {
    Objective(&'a Objective),
    Watched(Watched),
}

impl Judge<'_> {
    fn of(&self, recorded: Recorded<'_>) -> Option<(f64, String)> {
        let is_bad = match (self, recorded) {
            (Judge::Objective(objective), _) => recorded.is_good_for(objective) == Some(false),
            (Judge::Watched(watched), Recorded::Span(span)) => {
                watched.of_span(span).is_some() && span.failed
            }
            // among rewards the lowest ones are the worst
            (Judge::Watched(watched), Recorded::Event(event)) => watched.of_event(event).is_some(),
        };
        match recorded {
            _ if !is_bad => None,
            Recorded::Span(span) => Some((span.took_ms(), failed_or_slow(span))),
            Recorded::Event(event) => {
                let reward = kpi::reward(event)?;
                Some((-reward, format!("a reward of {reward}")))
            }
        }
    }
}

fn failed_or_slow(span: &agent_core::protocol::otlp::Span) -> String {
    let name = span.text(names::TOOL).unwrap_or("a call");
    let milliseconds = span.took_ms();
    if span.failed {
        let line = span.message.lines().next().filter(|line| !line.is_empty());
        let why = line.or(span.text(names::ERROR_TYPE)).unwrap_or(names::OTHER_ERROR);
        let why: String = why.chars().take(REASON).collect();
        format!("{name} failed after {milliseconds:.0} ms: {why}")
    } else {
        format!("{name} took {milliseconds:.0} ms")
    }
}

/// The worst traces of what a rule watches since a time.
pub fn worst_traces(
    repository: &Repository,
    observed: &Observed,
    rule: &Rule,
    version: Option<&str>,
    began: u64,
) -> Result<Vec<Trace>, Failure> {
    let judge = match &rule.condition {
        Condition::Burn(burn) => {
            let Some(objective) = observed.objective(&burn.objective) else {
                return Ok(Vec::new());
            };
            Judge::Objective(objective)
        }
        Condition::Drift(drift) => Judge::Watched(drift.watched()),
        Condition::Feedback(_) | Condition::Traffic(_) | Condition::Evaluation(_) => {
            return Ok(Vec::new());
        }
    };
    let signal = match &judge {
        Judge::Watched(Watched { measure: Measure::Reward { .. }, .. }) => Signal::Logs,
        Judge::Objective(objective)
            if matches!(objective.indicator, agent_core::slo::Indicator::Reward { .. }) =>
        {
            Signal::Logs
        }
        Judge::Objective(_) | Judge::Watched(_) => Signal::Traces,
    };
    let records = repository.records()?;
    let mut worst = Worst(Vec::new());
    let since = Some(clock::of_second(began));
    read_since(&records, signal, since, |recorded| {
        let is_of_it = recorded.at_second() >= began
            && version.is_none_or(|version| recorded.version() == Some(version));
        let trace = recorded.trace();
        if let (true, Some(trace), Some((badness, why))) = (is_of_it, trace, judge.of(recorded)) {
            let at = Timestamp::from_nanosecond(i128::from(recorded.at())).map(clock::rfc3339);
            let at = at.unwrap_or_default();
            worst.take(badness, Trace { trace: trace.clone(), at, why });
        }
    })?;
    Ok(worst.0.into_iter().map(|(_, trace)| trace).collect())
}

fn read_since(
    records: &Records,
    signal: Signal,
    since: Option<Timestamp>,
    mut take: impl FnMut(Recorded<'_>),
) -> Result<(), Failure> {
    let sources = records.sources(signal, since)?;
    for source in &sources[sources.len().saturating_sub(FILES)..] {
        records.each(signal, source, &mut take)?;
    }
    Ok(())
}

/// The versions made within a day before it began, or since; newest first.
pub fn changed_before(observed: &Observed, began: u64) -> Vec<Change> {
    let is_near = |change: &&Change| at_of(&change.at).is_some_and(|at| at + BEFORE >= began);
    observed.versions.iter().filter(is_near).cloned().collect()
}
