//! Cached results: the result of a case with all its dependencies, so that it is not run again
//! while none of them changed.
//!
//! One is found by what ran and by the case's definition, and holds for every state that agrees
//! with the one it was made under on the parts the case read (Mokhov, Mitchell, Peyton Jones:
//! "Build Systems à la Carte", 2018, calls it a verifying trace).

use crate::formats::canonical;
use crate::formats::object_id::{ObjectId, short_digest};
use crate::testing::case_result::{CaseResult, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub const SCHEMA: &str = "agent/trace@1";

/// The key a Runner reports when it read the complete state.
const EVERYTHING: &str = "*";

/// A case is remembered under its newest states, this many of them: what a run reads and writes of
/// a code's cached results does not grow with its history.
pub const STATES_KEPT: usize = 8;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CachedResult {
    schema: String,
    /// Digest of what defines the case: its line, its golden files, its scorer.
    pub case: String,
    /// The keys of the state it read, each with the digest of the value; absent when it read all of
    /// it, or does not report them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reads: Option<BTreeMap<String, String>>,
    /// The Revision it was made under.
    state: String,
    /// Absent in a cached result that only records that the case is not deterministic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Box<CaseResult>>,
}

impl CachedResult {
    /// `None` for a result that another run need not give: of a case that could not be judged, or
    /// that is run several times for that very reason.
    pub fn of(case: &str, result: &CaseResult, state: &StateDigests<'_>) -> Option<Self> {
        if result.outcome == Outcome::Errored || result.runs.is_some() {
            return None;
        }
        let reads = result.reads.as_ref().filter(|keys| !keys.iter().any(|key| key == EVERYTHING));
        let reads = reads.map(|keys| {
            let keys = keys.iter().map(String::as_str).chain(state.applied_key());
            keys.map(|key| (key.to_owned(), state.of(key))).collect()
        });
        Some(Self {
            schema: SCHEMA.to_owned(),
            case: case.to_owned(),
            reads,
            state: state.revision.to_string(),
            result: Some(Box::new(result.clone())),
        })
    }

    /// Records that a case gave two different results without any change.
    pub fn varying(case: &str, state: &StateDigests<'_>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            case: case.to_owned(),
            reads: None,
            state: state.revision.to_string(),
            result: None,
        }
    }

    /// The line, with its newline.
    pub fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("a cached result serialises");
        line.push('\n');
        line
    }

    fn is_of(&self, state: &StateDigests<'_>) -> bool {
        self.state == state.revision.as_str()
    }

    /// The keys it read that are others now; `None` when all of the state counts and is another.
    fn changed(&self, state: &StateDigests<'_>) -> Changed {
        match &self.reads {
            _ if self.is_of(state) => Changed::Nothing,
            None => Changed::State,
            Some(reads) => {
                let differs = |(key, value): &(&String, &String)| state.of(key) != **value;
                let others = reads.iter().filter(differs).map(|(key, _)| key.clone());
                let applied = state.applied_key().filter(|key| !reads.contains_key(*key));
                let keys: Vec<_> = others.chain(applied.map(str::to_owned)).collect();
                if keys.is_empty() { Changed::Nothing } else { Changed::Keys(keys) }
            }
        }
    }
}

/// Which earlier results may replace a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    Nothing,
    /// Those made under the identical state. They do not depend on what a Runner reports: only
    /// these count as evidence.
    SameState,
    /// Those of every state that agrees on the keys which a case read. These keys are reported by
    /// the Runner, which may be wrong.
    SameReads,
}

/// The part of the state that has changed since a case was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    Nothing,
    Keys(Vec<String>),
    /// The case read all of it, or its Runner does not report keys.
    State,
}

/// The parts of a state by digest, each computed on first use.
pub struct StateDigests<'a> {
    value: &'a Value,
    revision: &'a ObjectId,
    applied: Option<&'a str>,
    known: RefCell<HashMap<String, String>>,
}

impl<'a> StateDigests<'a> {
    pub fn new(value: &'a Value, revision: &'a ObjectId) -> Self {
        Self { value, revision, applied: None, known: RefCell::default() }
    }

    /// With the key that `agent` itself applies to every call, whatever the Runner reads.
    #[must_use]
    pub fn with_applied(self, key: &'a str) -> Self {
        Self { applied: Some(key), ..self }
    }

    /// The same where the state has it.
    fn applied_key(&self) -> Option<&'a str> {
        self.applied.filter(|key| self.value.get(key).is_some())
    }

    /// Of the value under a top-level key; a missing key has a digest too, since a case may have
    /// tested for it.
    fn of(&self, key: &str) -> String {
        if let Some(known) = self.known.borrow().get(key) {
            return known.clone();
        }
        let found = self.value.get(key).map_or_else(
            || "absent".to_owned(),
            |value| short_digest(canonical::to_compact(value).as_bytes()),
        );
        self.known.borrow_mut().insert(key.to_owned(), found.clone());
        found
    }
}

/// The lookup result for a case.
#[derive(Debug, PartialEq)]
pub enum Answer<'a> {
    /// The result under the identical state.
    Known(&'a CaseResult),
    /// The result under a state that agrees on all keys its Runner reported as read.
    SameReads(&'a CaseResult),
    /// Of the states it was run under, what is other now in the nearest.
    Changed(Changed),
    /// It gave different results without any change.
    Varies,
    /// This case was not run with this code.
    Never,
}

/// The cached results of what one code gave.
#[derive(Debug, Default)]
pub struct CachedResults {
    /// The oldest first.
    by_case: HashMap<String, Vec<CachedResult>>,
    varying: HashSet<String>,
}

impl CachedResults {
    /// Adds lines that are newer than the existing ones. Lines of another schema and torn lines are
    /// ignored: this is only a cache.
    pub fn read(&mut self, text: &str) {
        for line in text.lines() {
            if let Ok(cached_result) = serde_json::from_str::<CachedResult>(line)
                && cached_result.schema == SCHEMA
            {
                self.add(cached_result);
            }
        }
    }

    pub fn add(&mut self, cached_result: CachedResult) {
        if cached_result.result.is_none() {
            self.varying.insert(cached_result.case);
        } else {
            // most cases have one: a list that is begun by `push` has room for four
            let of_case = self.by_case.entry(cached_result.case.clone());
            of_case.or_insert_with(|| Vec::with_capacity(1)).push(cached_result);
        }
    }

    /// The number of cases.
    pub fn len(&self) -> usize {
        self.by_case.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_case.is_empty() && self.varying.is_empty()
    }

    /// Whether it is known to be non-deterministic.
    pub fn varies(&self, case: &str) -> bool {
        self.varying.contains(case)
    }

    /// Results under the identical state precede those that only read equal values.
    pub fn lookup(&self, case: &str, state: &StateDigests<'_>) -> Answer<'_> {
        if self.varies(case) {
            return Answer::Varies;
        }
        let mut same_reads = None;
        let mut nearest: Option<Changed> = None;
        for cached_result in self.by_case.get(case).into_iter().flatten().rev() {
            let result = cached_result.result.as_deref().expect("those without vary");
            match cached_result.changed(state) {
                Changed::Nothing if cached_result.is_of(state) => return Answer::Known(result),
                Changed::Nothing => same_reads = same_reads.or(Some(result)),
                Changed::Keys(keys)
                    if !matches!(&nearest,
                    Some(Changed::Keys(fewer)) if fewer.len() <= keys.len()) =>
                {
                    nearest = Some(Changed::Keys(keys));
                }
                Changed::Keys(_) => {}
                Changed::State => nearest = nearest.or(Some(Changed::State)),
            }
        }
        let changed = || nearest.map_or(Answer::Never, Answer::Changed);
        same_reads.map_or_else(changed, Answer::SameReads)
    }

    /// Several packs as one: of each case the cached results of its newest states, the oldest
    /// first, and all that varies.
    pub fn to_lines(&self) -> String {
        let cases: BTreeMap<&String, &Vec<CachedResult>> = self.by_case.iter().collect();
        let mut lines: String = cases
            .into_values()
            .flat_map(|cached_results| newest(cached_results))
            .map(CachedResult::to_line)
            .collect();
        for case in self.varying.iter().collect::<BTreeSet<_>>() {
            let cached_result = CachedResult {
                schema: SCHEMA.to_owned(),
                case: case.clone(),
                reads: None,
                state: String::new(),
                result: None,
            };
            lines.push_str(&cached_result.to_line());
        }
        lines
    }
}

/// Of the cached results of one case the last of each state, for the states that were added last.
fn newest(cached_results: &[CachedResult]) -> impl Iterator<Item = &CachedResult> {
    let mut states = HashSet::new();
    let mut newest: Vec<_> = cached_results
        .iter()
        .rev()
        .filter(|cached_result| states.insert(&cached_result.state))
        .take(STATES_KEPT)
        .collect();
    newest.reverse();
    newest.into_iter()
}

/// Whether two runs of a case agree; durations are ignored.
pub fn same_result(one: &CaseResult, other: &CaseResult) -> bool {
    one.outcome == other.outcome
        && (one.score - other.score).abs() < f64::EPSILON
        && one.why == other.why
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::case_result::Runs;
    use serde_json::json;

    fn revision(value: &Value) -> ObjectId {
        canonical::revision(value)
    }

    fn result(reads: Option<&[&str]>) -> CaseResult {
        CaseResult {
            reads: reads.map(|keys| keys.iter().map(ToString::to_string).collect()),
            ..CaseResult::passed("c")
        }
    }

    /// The lookup under one state of a case that was run under another.
    #[track_caller]
    fn check(reads: Option<&[&str]>, before: &Value, now: &Value, expected: &Answer<'_>) {
        let (old, new) = (revision(before), revision(now));
        let made = CachedResult::of("d", &result(reads), &StateDigests::new(before, &old)).unwrap();
        let mut cached_results = CachedResults::default();
        cached_results.read(&made.to_line());
        assert_eq!(&cached_results.lookup("d", &StateDigests::new(now, &new)), expected);
    }

    #[test]
    fn what_is_applied_to_every_call_counts_as_read() {
        let states = [json!({}), json!({"o": 1}), json!({"o": 2})];
        for before in &states {
            for now in &states {
                let (old, new) = (revision(before), revision(now));
                let digests = StateDigests::new(before, &old).with_applied("o");
                let made = CachedResult::of("d", &result(Some(&["a"])), &digests).unwrap();
                let mut results = CachedResults::default();
                results.read(&made.to_line());
                let digests = StateDigests::new(now, &new).with_applied("o");
                let is_known = !matches!(results.lookup("d", &digests), Answer::Changed(_));
                assert_eq!(is_known, before == now, "{before} {now}");
            }
        }
    }

    #[test]
    fn cached_result_holds_for_states_that_agree_on_the_paths_read() {
        let before = json!({"a": 1, "b": {"x": [0.1]}});
        let known = result(Some(&["b", "c"]));
        check(
            Some(&["b", "c"]),
            &before,
            &json!({"a": 2, "b": {"x": [0.1]}}),
            &Answer::SameReads(&known),
        );
        check(Some(&["b", "c"]), &before, &before, &Answer::Known(&known));
        let other_b = json!({"a": 1, "b": {"x": [0.2]}});
        check(
            Some(&["b", "c"]),
            &before,
            &other_b,
            &Answer::Changed(Changed::Keys(vec!["b".to_owned()])),
        );
        let with_c = json!({"a": 1, "b": {"x": [0.1]}, "c": null});
        check(
            Some(&["b", "c"]),
            &before,
            &with_c,
            &Answer::Changed(Changed::Keys(vec!["c".to_owned()])),
        );
        check(Some(&[]), &before, &json!({}), &Answer::SameReads(&result(Some(&[]))));
        check(Some(&["*"]), &before, &other_b, &Answer::Changed(Changed::State));
        check(Some(&["*"]), &before, &before, &Answer::Known(&result(Some(&["*"]))));
        check(None, &before, &other_b, &Answer::Changed(Changed::State));
        check(None, &before, &before, &Answer::Known(&result(None)));
    }

    #[test]
    fn nearest_state_is_named_and_varying_results_are_not_reused() {
        let [one, two, now] =
            [json!({"a": 1, "b": 1}), json!({"a": 1, "b": 2}), json!({"a": 2, "b": 2})];
        let mut cached_results = CachedResults::default();
        assert!(cached_results.is_empty());
        for state in [&two, &one] {
            let id = revision(state);
            cached_results.add(
                CachedResult::of("d", &result(Some(&["a", "b"])), &StateDigests::new(state, &id))
                    .unwrap(),
            );
        }
        let id = revision(&now);
        let digests = StateDigests::new(&now, &id);
        assert_eq!(
            cached_results.lookup("d", &digests),
            Answer::Changed(Changed::Keys(vec!["a".to_owned()]))
        );
        assert_eq!(cached_results.lookup("e", &digests), Answer::Never);
        let mut again = CachedResults::default();
        again.read(&cached_results.to_lines());
        again.read("{\"schema\":\"agent/trace@1\",\"case\":\"d\",\"st");
        assert_eq!(again.to_lines(), cached_results.to_lines());
        again.add(CachedResult::varying("d", &digests));
        assert_eq!(again.lookup("d", &digests), Answer::Varies);
        let mut last = CachedResults::default();
        last.read(&again.to_lines());
        assert_eq!(last.lookup("d", &digests), Answer::Varies);
    }

    #[test]
    fn newest_states_and_varying_results_are_retained() {
        let mut cached_results = CachedResults::default();
        let states: Vec<_> = (0..STATES_KEPT + 3).map(|number| json!({"a": number})).collect();
        let revisions: Vec<_> = states.iter().map(revision).collect();
        cached_results
            .add(CachedResult::varying("v", &StateDigests::new(&states[0], &revisions[0])));
        // the first state again at last: it is the newest then
        for number in (0..states.len()).chain([0]) {
            let digests = StateDigests::new(&states[number], &revisions[number]);
            cached_results.add(CachedResult::of("d", &result(Some(&["a"])), &digests).unwrap());
        }
        let mut kept = CachedResults::default();
        kept.read(&cached_results.to_lines());
        assert_eq!(kept.to_lines().lines().count(), STATES_KEPT + 1);
        let is_known = |number: usize| {
            matches!(
                kept.lookup("d", &StateDigests::new(&states[number], &revisions[number])),
                Answer::Known(_)
            )
        };
        let known: Vec<_> = (0..states.len()).filter(|number| is_known(*number)).collect();
        assert_eq!(known, [vec![0], (4..STATES_KEPT + 3).collect()].concat());
        assert!(kept.varies("v"));
    }

    #[test]
    fn unjudged_and_repeated_results_are_not_cached() {
        let state = json!({});
        let id = revision(&state);
        let errored = CaseResult { outcome: Outcome::Errored, ..result(None) };
        let repeated = CaseResult { runs: Some(Runs { count: 2, passed: 2 }), ..result(None) };
        for uncertain in [errored, repeated] {
            assert_eq!(CachedResult::of("d", &uncertain, &StateDigests::new(&state, &id)), None);
        }
    }
}
