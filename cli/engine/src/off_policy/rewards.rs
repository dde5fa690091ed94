//! Which reward belongs to which decision.

use crate::conversations::{Reward, Turn};
use crate::error::Failure;
use crate::repository::Repository;
use crate::telemetry::{Recorded, Signal, conventions as names};
use agent_core::formats::committed::Warnings;
use agent_core::state::signal::score;
use jiff::Timestamp;
use std::collections::HashMap;

/// The argument by which a signal names the turn that it is about.
const TURN_ARGUMENT: &str = "turn";

/// For each decision of a conversation, in order, the reward by signals: one that names a turn is
/// that turn's, any other the newest decision's before it. A later one corrects an earlier one.
pub(super) fn of_turns(decisions: &[&Turn], signals: &[Reward]) -> Vec<Option<f64>> {
    let mut rewards = vec![None; decisions.len()];
    for signal in signals {
        let Some(reward) = signal.arguments.as_object().and_then(score) else { continue };
        let place = match signal.arguments.get(TURN_ARGUMENT).and_then(serde_json::Value::as_u64) {
            Some(number) => decisions.iter().position(|turn| turn.turn == number),
            None => decisions.iter().rposition(|turn| is_before(turn, signal)),
        };
        if let Some(place) = place {
            rewards[place] = Some(reward);
        }
    }
    rewards
}

fn is_before(turn: &Turn, signal: &Reward) -> bool {
    match (turn.at.parse::<Timestamp>(), signal.at.parse::<Timestamp>()) {
        (Ok(turn), Ok(signal)) => turn <= signal,
        _ => false,
    }
}

/// The trace and span of a turn's call, as one word.
pub(super) fn call(turn: &Turn) -> Option<&str> {
    // 00-TRACE-SPAN-FLAGS
    turn.trace.as_deref()?.get(3..3 + 32 + 1 + 16)
}

/// Scores that other programs gave to single calls (the event `gen_ai.evaluation.result`), by the
/// trace and span of the call. Signals are not among them: their conversations have them.
pub(super) fn evaluations(
    repository: &Repository,
    since: Option<Timestamp>,
    warnings: &mut Warnings,
) -> Result<HashMap<String, f64>, Failure> {
    let records = repository.records()?;
    let mut scores = HashMap::new();
    for source in records.sources(Signal::Logs, since)? {
        records.each(Signal::Logs, &source, |recorded| {
            let Recorded::Event(event) = recorded else { return };
            let is_signal = event.attributes.contains_key(names::SIGNAL);
            let of = event.trace.as_ref().zip(event.span.as_ref());
            let score = event.number(names::SCORE);
            if let (names::EVALUATION, false, Some((trace, span)), Some(score)) =
                (event.name.as_str(), is_signal, of, score)
            {
                scores.insert(format!("{trace}-{span}"), score);
            }
        })?;
    }
    records.missed().into_iter().for_each(|missed| warnings.push(missed));
    Ok(scores)
}
