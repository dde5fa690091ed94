//! Recorded calls as the units that are run again: each distinct call once, each distinct
//! conversation once.
//!
//! Identical calls are not independent evidence: they are one unit, and one pair of the gate.

use crate::formats::canonical;
use crate::formats::object_id::{ObjectId, short_digest};
use crate::protocol::call_result::Answer;
use crate::replay::redaction::Part;
use crate::replay::served_call::ServedCall;
use crate::testing::attempt::Given;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A unit of a replay: a call, or the turns of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// Depends on the calls alone, and not on when they were made.
    pub id: String,
    pub steps: Vec<Step>,
    pub is_conversation: bool,
    /// How many recorded calls it stands for.
    pub calls: usize,
    /// One code answered it differently under one state.
    pub varies: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub tool: String,
    pub arguments: Value,
    pub recorded: Recorded,
}

/// The newest answer on record.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub code: Option<ObjectId>,
    pub revision: ObjectId,
    pub given: Given,
    /// Not all of the answer is on record.
    pub is_redacted: bool,
}

/// Recorded calls that are not run again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LeftOut {
    /// Calls of tools that may have a side effect, by tool.
    pub withheld: BTreeMap<String, usize>,
    /// Calls whose arguments are not all on record.
    pub redacted: usize,
    /// Turns after one that is left out, or of a conversation whose beginning is not on record.
    pub turns: usize,
}

impl LeftOut {
    pub fn total(&self) -> usize {
        self.withheld.values().sum::<usize>() + self.redacted + self.turns
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Units {
    /// By id, so that a first part of them is as good as a random one.
    pub list: Vec<Unit>,
    pub left_out: LeftOut,
}

impl Units {
    /// `calls` are in the order of time. `may_run` is whether a tool has no side effect.
    pub fn of(calls: Vec<ServedCall>, may_run: &dyn Fn(&str) -> bool) -> Self {
        let mut units = Self::default();
        let mut found = BTreeMap::new();
        let mut conversations: BTreeMap<String, BTreeMap<u64, ServedCall>> = BTreeMap::new();
        for call in calls {
            match (&call.conversation, call.turn) {
                (Some(id), Some(turn)) => {
                    conversations.entry(id.clone()).or_default().entry(turn).or_insert(call);
                }
                _ => {
                    if units.left_out.admits(&call, may_run) {
                        add(&mut found, vec![step(call)], false);
                    }
                }
            }
        }
        for turns in conversations.into_values() {
            let steps = units.turns(turns, may_run);
            if !steps.is_empty() {
                add(&mut found, steps, true);
            }
        }
        units.list = found.into_values().collect();
        units
    }

    /// The turns up to the first that cannot be repeated: what the Runner remembers is of them all.
    fn turns(
        &mut self,
        turns: BTreeMap<u64, ServedCall>,
        may_run: &dyn Fn(&str) -> bool,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut is_broken = false;
        for (number, call) in turns {
            is_broken |= number != steps.len() as u64 + 1;
            if is_broken {
                self.left_out.turns += 1;
            } else if self.left_out.admits(&call, may_run) {
                steps.push(step(call));
            } else {
                is_broken = true;
            }
        }
        steps
    }

    pub fn calls(&self) -> usize {
        self.list.iter().map(|unit| unit.calls).sum()
    }

    /// Keeps this many; returns how many units are left away.
    pub fn sample(&mut self, most: usize) -> usize {
        let away = self.list.len().saturating_sub(most);
        self.list.truncate(most);
        away
    }
}

impl LeftOut {
    /// Whether a call can be repeated; counted where it cannot.
    fn admits(&mut self, call: &ServedCall, may_run: &dyn Fn(&str) -> bool) -> bool {
        if !may_run(&call.tool) {
            *self.withheld.entry(call.tool.clone()).or_default() += 1;
            return false;
        }
        if call.has_redacted(Part::Arguments) {
            self.redacted += 1;
            return false;
        }
        true
    }
}

impl Unit {
    /// The tools that it calls, each once.
    pub fn tools(&self) -> Vec<&str> {
        let mut tools: Vec<&str> = self.steps.iter().map(|step| step.tool.as_str()).collect();
        tools.sort_unstable();
        tools.dedup();
        tools
    }

    /// Whether all of its answers are on record as this code gave them under this state.
    pub fn is_of(&self, code: Option<&ObjectId>, revision: &ObjectId) -> bool {
        code.is_some()
            && !self.varies
            && self.steps.iter().all(|step| {
                let recorded = &step.recorded;
                recorded.code.as_ref() == code
                    && recorded.revision == *revision
                    && !recorded.is_redacted
            })
    }

    /// The newer of two records of the same calls.
    fn join(&mut self, newer: Self) {
        let varies = self.steps.iter().zip(&newer.steps).any(|(old, new)| {
            let (old, new) = (&old.recorded, &new.recorded);
            old.code == new.code && old.revision == new.revision && old.given != new.given
        });
        *self = Self {
            calls: self.calls + newer.calls,
            varies: self.varies || newer.varies || varies,
            ..newer
        };
    }
}

fn step(call: ServedCall) -> Step {
    let is_redacted = call.has_redacted(Part::Result);
    Step {
        tool: call.tool,
        arguments: call.arguments,
        recorded: Recorded {
            code: call.code,
            revision: call.revision,
            given: Given::of(&Answer::of(call.result)),
            is_redacted,
        },
    }
}

/// The id of a call outside of a conversation.
pub fn call_id(tool: &str, arguments: &Value) -> String {
    id("call", std::iter::once((tool, arguments)))
}

fn id<'a>(kind: &str, calls: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let mut text = String::new();
    for (tool, arguments) in calls {
        text.extend([tool, "\n", &canonical::to_compact(arguments), "\n"]);
    }
    format!("{}-{kind}", short_digest(text.as_bytes()))
}

fn add(found: &mut BTreeMap<String, Unit>, steps: Vec<Step>, is_conversation: bool) {
    let kind = if is_conversation { "conversation" } else { "call" };
    let id = id(kind, steps.iter().map(|step| (step.tool.as_str(), &step.arguments)));
    let unit = Unit { id: id.clone(), calls: steps.len(), steps, is_conversation, varies: false };
    match found.entry(id) {
        Entry::Vacant(place) => drop(place.insert(unit)),
        Entry::Occupied(mut known) => known.get_mut().join(unit),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn call(tool: &str, n: u64, answer: &str) -> ServedCall {
        ServedCall {
            schema: crate::replay::served_call::SCHEMA.to_owned(),
            at: "2026-11-29T12:00:00Z".to_owned(),
            tool: tool.to_owned(),
            arguments: json!({"n": n}),
            result: json!({"content": [{"type": "text", "text": answer}]}),
            conversation: None,
            turn: None,
            version: None,
            code: ObjectId::parse("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            revision: ObjectId::parse("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb").unwrap(),
            duration_ms: 1.0,
            trace: None,
            redacted: Vec::new(),
        }
    }

    fn turn(id: &str, turn: u64, tool: &str) -> ServedCall {
        ServedCall { conversation: Some(id.to_owned()), turn: Some(turn), ..call(tool, turn, "x") }
    }

    fn units(calls: Vec<ServedCall>) -> Units {
        Units::of(calls, &|tool| tool != "write")
    }

    #[test]
    fn identical_calls_are_one_unit() {
        let found = units(vec![call("t", 1, "a"), call("t", 2, "b"), call("t", 1, "a")]);
        let mut counts: Vec<_> = found.list.iter().map(|unit| unit.calls).collect();
        counts.sort_unstable();
        assert_eq!((counts, found.calls()), (vec![1, 2], 3));
        assert!(found.list.iter().all(|unit| !unit.varies));
        let varied = units(vec![call("t", 1, "a"), call("t", 1, "b")]);
        let unit = &varied.list[0];
        let recorded = &unit.steps[0].recorded;
        assert!(unit.varies && recorded.given.value == "b");
        assert!(!unit.is_of(recorded.code.as_ref(), &recorded.revision));
    }

    #[test]
    fn calls_with_side_effects_and_redacted_arguments_are_left_out() {
        let mut redacted = call("t", 3, "a");
        redacted.redacted = vec![Part::Arguments];
        let found = units(vec![call("write", 1, "a"), call("write", 2, "a"), redacted]);
        assert!(found.list.is_empty());
        assert_eq!(found.left_out.withheld, BTreeMap::from([("write".to_owned(), 2)]));
        assert_eq!((found.left_out.redacted, found.left_out.total()), (1, 3));
    }

    #[test]
    fn a_conversation_is_repeated_up_to_what_cannot_be() {
        let whole = units(vec![turn("a", 2, "t"), turn("a", 1, "t")]);
        assert_eq!(whole.list[0].steps.len(), 2);
        assert!(whole.list[0].is_conversation && whole.left_out.total() == 0);
        // the same turns again, in another conversation
        let twice = units(vec![turn("a", 1, "t"), turn("b", 1, "t")]);
        assert_eq!((twice.list.len(), twice.list[0].calls), (1, 2));
        let cut = units(vec![turn("a", 1, "t"), turn("a", 2, "write"), turn("a", 3, "t")]);
        assert_eq!((cut.list[0].steps.len(), cut.left_out.turns), (1, 1));
        assert_eq!(cut.left_out.withheld["write"], 1);
        let late = units(vec![turn("a", 2, "t"), turn("a", 3, "t")]);
        assert_eq!((late.list.len(), late.left_out.turns), (0, 2));
        let gap = units(vec![turn("a", 1, "t"), turn("a", 3, "t")]);
        assert_eq!((gap.list[0].steps.len(), gap.left_out.turns), (1, 1));
    }
}
