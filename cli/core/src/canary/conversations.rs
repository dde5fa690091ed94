//! The conversations of a canary as they are on record: a fold over spans and events, in any order
//! and any split. A conversation is taken into the comparison once, when it is over.

use super::{Arm, Canary, Measure};
use crate::protocol::conventions as names;
use crate::protocol::kpi;
use crate::protocol::otlp::{Event, Span};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const NANOSECONDS: u64 = 1_000_000_000;

/// What is on record of the conversations of one canary.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    pub canary: String,
    conversations: BTreeMap<String, Course>,
}

/// What happened in a conversation; times are nanoseconds since 1970, UTC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Course {
    /// When each call ended, and whether it failed.
    calls: Vec<(u64, bool)>,
    rewards: Vec<(u64, f64)>,
}

/// A conversation that is over, as it is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    pub conversation: String,
    pub arm: Arm,
    /// The share of its calls without an error.
    pub success: f64,
    /// The mean of its rewards on [0, 1], where it has any.
    pub reward: Option<f64>,
}

impl Observed {
    pub fn of(canary: &Canary) -> Self {
        Self { canary: canary.id.clone(), conversations: BTreeMap::new() }
    }

    pub fn take_span(&mut self, span: &Span) {
        if span.text(names::CANARY) != Some(&self.canary) || !kpi::is_call(span) {
            return;
        }
        if let Some(conversation) = span.text(names::CANARY_CONVERSATION) {
            self.course(conversation).calls.push((span.ended, span.failed));
        }
    }

    /// A reward of any conversation since the start: which arm it belongs to is on the spans of its
    /// calls.
    pub fn take_event(&mut self, event: &Event, since: u64) {
        let conversation = event.text(names::CONVERSATION).filter(|_| event.at >= since);
        if let (Some(conversation), Some(reward)) = (conversation, kpi::reward(event)) {
            self.course(conversation).rewards.push((event.at, reward));
        }
    }

    fn course(&mut self, conversation: &str) -> &mut Course {
        self.conversations.entry(conversation.to_owned()).or_default()
    }

    /// How many conversations have a call.
    pub fn begun(&self) -> usize {
        self.conversations.values().filter(|course| !course.calls.is_empty()).count()
    }

    /// Conversations that are over by now and were not taken before, in the order in which they
    /// were over.
    pub fn over(&self, canary: &Canary, now: u64, before: &BTreeSet<&str>) -> Vec<Taken> {
        let mut over: Vec<_> = self
            .conversations
            .iter()
            .filter(|(id, _)| !before.contains(id.as_str()))
            .filter_map(|(id, course)| {
                let end = course.end(canary.design.idle_s * NANOSECONDS, now)?;
                Some((end, course.taken(id, canary, end)))
            })
            .collect();
        over.sort_by(|one, other| {
            (one.0, &one.1.conversation).cmp(&(other.0, &other.1.conversation))
        });
        over.into_iter().map(|(_, taken)| taken).collect()
    }
}

impl Course {
    /// The last thing that happened before the first silence of this length; `None` while the
    /// conversation goes on, or has no call yet.
    fn end(&self, idle: u64, now: u64) -> Option<u64> {
        let first = self.calls.iter().map(|(at, _)| *at).min()?;
        let calls = self.calls.iter().map(|(at, _)| *at);
        let mut times: Vec<_> = calls.chain(self.rewards.iter().map(|(at, _)| *at)).collect();
        times.sort_unstable();
        times.retain(|at| *at >= first);
        let goes_on = |pair: &&[u64]| pair[1] - pair[0] <= idle;
        let steps = times.windows(2).take_while(goes_on).count();
        let last = times[steps];
        (last.saturating_add(idle) < now).then_some(last)
    }

    fn taken(&self, id: &str, canary: &Canary, end: u64) -> Taken {
        let calls: Vec<_> = self.calls.iter().filter(|(at, _)| *at <= end).collect();
        let failed = calls.iter().filter(|(_, failed)| *failed).count();
        let rewards: Vec<_> = self
            .rewards
            .iter()
            .filter(|(at, _)| *at <= end)
            .filter_map(|(_, reward)| canary.design.measure.scaled(*reward))
            .collect();
        let count = rewards.len() as f64;
        Taken {
            conversation: id.to_owned(),
            arm: canary.arm(id),
            success: 1.0 - failed as f64 / calls.len() as f64,
            reward: (!rewards.is_empty()).then(|| rewards.iter().sum::<f64>() / count),
        }
    }
}

impl Taken {
    /// What the arms are compared by; `None` where the conversation has no such value.
    pub const fn value(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Success => Some(self.success),
            Measure::Reward { .. } => self.reward,
        }
    }
}
