//! The cases that both sides have, side by side.

use crate::formats::canonical;
use crate::formats::object_id::digest;
use crate::statistics::tango::Flips;
use crate::testing::case_result::{CaseResult, Outcome};
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
struct Pair {
    id: String,
    /// The candidate's, where the two differ.
    weight: f64,
    old: Side,
    new: Side,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Side {
    score: f64,
    passed: bool,
}

impl Side {
    fn of(result: &CaseResult) -> Self {
        Self { score: result.score, passed: result.outcome == Outcome::Passed }
    }
}

/// Quarantined cases are excluded on both sides.
fn by_id(results: &[CaseResult]) -> BTreeMap<&str, &CaseResult> {
    results
        .iter()
        .filter(|result| !result.quarantined)
        .map(|result| (result.id.as_str(), result))
        .collect()
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pairs {
    /// By case id.
    list: Vec<Pair>,
    /// These are the held-out cases alone.
    pub held_out: bool,
}

impl Pairs {
    pub fn of(baseline: &[CaseResult], candidate: &[CaseResult]) -> Self {
        let (old, new) = (by_id(baseline), by_id(candidate));
        let shared = || {
            new.values()
                .filter_map(|new| old.get(new.id.as_str()).map(|old| (*old, *new)))
                .filter(|(_, new)| new.weight > 0.0)
        };
        let held_out = shared().any(|(_, new)| new.is_held_out());
        let counted = shared().filter(|(_, new)| !held_out || new.is_held_out());
        let pair = |(old, new): (&CaseResult, &CaseResult)| Pair {
            id: new.id.clone(),
            weight: new.weight,
            old: Side::of(old),
            new: Side::of(new),
        };
        Self { list: counted.map(pair).collect(), held_out }
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn better(&self) -> usize {
        self.list.iter().filter(|pair| pair.new.score > pair.old.score).count()
    }

    pub fn worse(&self) -> usize {
        self.list.iter().filter(|pair| pair.new.score < pair.old.score).count()
    }

    pub fn baseline_score(&self) -> f64 {
        self.weighted_mean(|pair| pair.old.score)
    }

    pub fn candidate_score(&self) -> f64 {
        self.weighted_mean(|pair| pair.new.score)
    }

    pub fn gain(&self) -> f64 {
        self.candidate_score() - self.baseline_score()
    }

    fn weighted_mean(&self, value: impl Fn(&Pair) -> f64) -> f64 {
        let (sum, weight) = self.list.iter().fold((0.0, 0.0), |(sum, weight), pair| {
            (sum + pair.weight * value(pair), weight + pair.weight)
        });
        if weight > 0.0 { sum / weight } else { 0.0 }
    }

    /// Weights and gains.
    pub fn gains(&self) -> Vec<(f64, f64)> {
        self.list.iter().map(|pair| (pair.weight, pair.new.score - pair.old.score)).collect()
    }

    /// Weights and gains in the order of the digests of the case ids: pseudo-random, and
    /// independent of the results.
    pub fn gains_in_random_order(&self) -> Vec<(f64, f64)> {
        let mut gains: Vec<_> = self
            .list
            .iter()
            .map(|pair| (digest(pair.id.as_bytes()), pair.weight, pair.new.score - pair.old.score))
            .collect();
        gains.sort_by(|one, other| one.0.cmp(&other.0));
        gains.into_iter().map(|(_, weight, gain)| (weight, gain)).collect()
    }

    /// Pass and fail alone.
    pub fn flips(&self) -> Flips {
        let count = |old, new| {
            self.list.iter().filter(|pair| (pair.old.passed, pair.new.passed) == (old, new)).count()
        };
        Flips { cases: self.len(), better: count(false, true), worse: count(true, false) }
    }

    /// The digest of a test's inputs: equal results have equal digests, independent of time and
    /// duration.
    pub fn digest(&self) -> String {
        let lines: Vec<_> = self.lines().collect();
        digest(format!("[{}]", lines.join(",")).as_bytes())
    }

    /// Each pair as canonical JSON.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let side = |side: Side| json!([side.score, side.passed]);
        self.list.iter().map(move |pair| {
            canonical::to_compact(&json!([pair.id, pair.weight, side(pair.old), side(pair.new)]))
        })
    }

    /// Reads the lines back; the error names the line, from 1.
    pub fn parse(lines: &str) -> Result<Self, (usize, String)> {
        type Line = (String, f64, (f64, bool), (f64, bool));
        let mut list: Vec<Pair> = Vec::new();
        for (number, line) in lines.lines().enumerate() {
            let wrong = |problem| (number + 1, problem);
            let (id, weight, old, new): Line =
                serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            if let Some(last) = list.last().filter(|last| last.id >= id) {
                return Err(wrong(format!("`{id}` is not sorted after `{}`", last.id)));
            }
            let side = |(score, passed)| Side { score, passed };
            list.push(Pair { id, weight, old: side(old), new: side(new) });
        }
        Ok(Self { list, held_out: false })
    }

    /// The baseline's side as results.
    pub fn baseline(&self) -> Vec<CaseResult> {
        let result = |pair: &Pair| CaseResult {
            outcome: if pair.old.passed { Outcome::Passed } else { Outcome::Failed },
            score: pair.old.score,
            weight: pair.weight,
            ..CaseResult::passed(pair.id.clone())
        };
        self.list.iter().map(result).collect()
    }

    /// Whether both are the same pairs.
    pub fn are(&self, other: &Self) -> bool {
        self.list == other.list
    }
}
