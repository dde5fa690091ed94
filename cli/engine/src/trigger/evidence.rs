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

/// So many traces are named.
const TRACES: usize = 5;
/// Of a longer message so many characters are shown.
const REASON: usize = 200;
/// A version made longer before is not named as a cause.
const BEFORE: u64 = 24 * 3600;
/// So many files are read for traces, the newest of the incident.
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
        match (self, recorded) {
            (Judge::Objective(objective), Recorded::Span(span)) => {
                let is_bad = objective.of_span(span) == Some(false);
                is_bad.then(|| (span.took_ms(), failed_or_slow(span)))
            }
            (Judge::Objective(objective), Recorded::Event(event)) => {
                let is_bad = objective.of_event(event) == Some(false);
                let reward = kpi::reward(event).filter(|_| is_bad)?;
                Some((-reward, format!("a reward of {reward}")))
            }
            (Judge::Watched(watched), Recorded::Span(span)) => {
                let is_bad = watched.of_span(span).is_some() && span.failed;
                is_bad.then(|| (span.took_ms(), failed_or_slow(span)))
            }
            (Judge::Watched(watched), Recorded::Event(event)) => {
                let counts = watched.of_event(event).is_some();
                let reward = kpi::reward(event).filter(|_| counts)?;
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
            let objective =
                observed.budgets.slos.iter().find(|objective| objective.name == burn.objective);
            let Some(objective) = objective else { return Ok(Vec::new()) };
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
    let since = Timestamp::from_second(i64::try_from(began).unwrap_or_default()).ok();
    read_since(&records, signal, since, |recorded| {
        let at = match recorded {
            Recorded::Span(span) => span.ended,
            Recorded::Event(event) => event.at,
        };
        let is_of_it = at / 1_000_000_000 >= began
            && version.is_none_or(|version| recorded.version() == Some(version));
        let trace = match recorded {
            Recorded::Span(span) => Some(&span.trace),
            Recorded::Event(event) => event.trace.as_ref(),
        };
        if let (true, Some(trace), Some((badness, why))) = (is_of_it, trace, judge.of(recorded)) {
            let at = Timestamp::from_nanosecond(i128::from(at)).map(clock::rfc3339);
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
