//! The two sides of a replay: what is run on each, and what is taken from the record.

use super::Selection;
use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::target::evaluators::Evaluators;
use crate::testing::{self, CasesRun, cases};
use agent_core::replay::expectations::{self, Expectations};
use agent_core::replay::units::{Unit, Units};
use agent_core::replay::verdict::{Ran, Sides};
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::event::Event;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The number of calls of a tool that are repeated on the baseline before its record counts as its
/// answers. They are chosen by the digest of the call, so that no answer has a part in it. Of a
/// tool whose answers vary in one of seven calls, 19 in 20 samples show it.
const REPEATED: usize = 20;

pub(super) struct Both {
    candidate: BTreeMap<String, Ran>,
    baseline: BTreeMap<String, Ran>,
    /// Units whose answers on the baseline are those on record.
    pub(super) from_record: usize,
    /// Tools whose record does not come out the same again: how many of how many calls differed.
    pub(super) unsteady: BTreeMap<String, [usize; 2]>,
}

impl Both {
    /// Those that were run on both sides.
    pub(super) fn sides<'a>(
        &'a self,
        units: &'a Units,
        expectations: &Expectations,
    ) -> Vec<Sides<'a>> {
        let sides = |unit: &'a Unit| {
            let (baseline, candidate) =
                (self.baseline.get(&unit.id)?, self.candidate.get(&unit.id)?);
            Some(Sides { unit, is_judged: is_judged(unit, expectations), baseline, candidate })
        };
        units.list.iter().filter_map(sides).collect()
    }
}

fn is_judged(unit: &Unit, expectations: &Expectations) -> bool {
    unit.steps.iter().any(|step| expectations.of(&step.tool, &step.arguments).is_some())
}

/// Runs the units on the candidate, and on the baseline what the record does not answer for it.
pub(super) fn run(
    repository: &Repository,
    [candidate, baseline]: [&Target; 2],
    units: &Units,
    expectations: &Expectations,
    selection: &Selection,
) -> Result<Both, Failure> {
    let evaluators = candidate.own_evaluators();
    let side = |target: &Target, units: &[&Unit]| {
        Side { repository, target, evaluators: &evaluators, expectations }
            .run(units, selection.shards)
    };
    let of_candidate = side(candidate, &units.list.iter().collect::<Vec<_>>())?;
    let (code, revision) = (baseline.code.as_ref(), &baseline.state.revision);
    let own = |unit: &Unit| !unit.is_conversation && unit.is_of(code, revision);
    let repeated = repeated(units, &own);
    let mut of_baseline = side(baseline, &repeated)?;
    let unsteady = unsteady(&repeated, &of_baseline, expectations);
    let is_steady = |unit: &Unit| unit.tools().iter().all(|tool| !unsteady.contains_key(*tool));
    // a difference is looked at again, under the conditions of this run
    let (same, to_run): (Vec<&Unit>, Vec<&Unit>) =
        units.list.iter().filter(|unit| !of_baseline.contains_key(&unit.id)).partition(|unit| {
            own(unit)
                && is_steady(unit)
                && of_candidate
                    .get(&unit.id)
                    .is_some_and(|ran| is_as_recorded(unit, ran, expectations))
        });
    of_baseline.extend(side(baseline, &to_run)?);
    let from_record = same.len();
    let copies = same
        .into_iter()
        .filter_map(|unit| of_candidate.get(&unit.id).map(|ran| (unit.id.clone(), ran.clone())));
    of_baseline.extend(copies);
    Ok(Both { candidate: of_candidate, baseline: of_baseline, from_record, unsteady })
}

/// The first calls of each tool whose answers on record are the baseline's own.
fn repeated<'a>(units: &'a Units, own: &dyn Fn(&Unit) -> bool) -> Vec<&'a Unit> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut repeated = Vec::new();
    for unit in units.list.iter().filter(|unit| own(unit)) {
        let count = counts.entry(unit.steps[0].tool.as_str()).or_default();
        *count += 1;
        if *count <= REPEATED {
            repeated.push(unit);
        }
    }
    repeated
}

fn unsteady(
    repeated: &[&Unit],
    ran: &BTreeMap<String, Ran>,
    expectations: &Expectations,
) -> BTreeMap<String, [usize; 2]> {
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for unit in repeated {
        let count = counts.entry(unit.steps[0].tool.clone()).or_default();
        let is_same = ran.get(&unit.id).is_some_and(|ran| is_as_recorded(unit, ran, expectations));
        count[0] += usize::from(!is_same);
        count[1] += 1;
    }
    counts.retain(|_, [differing, _]| *differing > 0);
    counts
}

fn is_as_recorded(unit: &Unit, ran: &Ran, expectations: &Expectations) -> bool {
    ran.given.len() == unit.steps.len()
        && unit.steps.iter().zip(&ran.given).all(|(step, given)| {
            let call = (step.tool.as_str(), &step.arguments);
            expectations.difference(call, &step.recorded.given, given).is_none()
        })
}

struct Side<'a> {
    repository: &'a Repository,
    target: &'a Target,
    evaluators: &'a Evaluators,
    expectations: &'a Expectations,
}

impl Side<'_> {
    /// The outcomes of units on a side, by id.
    fn run(
        &self,
        units: &[&Unit],
        shards: Option<usize>,
    ) -> Result<BTreeMap<String, Ran>, Failure> {
        if units.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut lines = String::new();
        for unit in units {
            lines.push_str(&self.case(unit).to_string());
            lines.push('\n');
        }
        let files = self.evaluators.files(&self.repository.git)?;
        let cases = cases::of_lines(&files, expectations::FILE, &lines)?;
        let title = format!("replaying on {}", self.target.shown());
        let advance = self.repository.notices.steps(&title, Some(units.len() as u64));
        let mut finished = 0;
        let mut on_event = |event: &Event| {
            if matches!(event, Event::CaseFinished { .. }) {
                finished += 1;
                advance(finished);
            }
        };
        let Self { repository, target, evaluators, .. } = self;
        let run = testing::run_cases(repository, target, evaluators, cases, shards, &mut on_event);
        let CasesRun { results, given } = run.map_err(|failure| {
            let mut failure = Failure::from(failure);
            let what = format!("the calls cannot be run on {}", target.shown());
            failure.messages.insert(0, what);
            failure
        })?;
        let mut given: BTreeMap<_, _> = given.into_iter().collect();
        let ran = |result: CaseResult| {
            let given = given.remove(&result.id).unwrap_or_default();
            (result.id.clone(), Ran { result, given })
        };
        Ok(results.into_iter().map(ran).collect())
    }

    /// A unit as a case, which has to expect something: where nothing is expected, any answer.
    fn case(&self, unit: &Unit) -> Value {
        let mut turns: Vec<Value> = unit
            .steps
            .iter()
            .map(|step| {
                let mut turn = json!({"tool": step.tool, "arguments": step.arguments});
                if let Some(expect) = self.expectations.of(&step.tool, &step.arguments) {
                    turn["expect"] = expect.clone();
                }
                turn
            })
            .collect();
        if let Some(last) = turns.last_mut().filter(|_| !is_judged(unit, self.expectations)) {
            last["expect"] = json!({"schema": {}});
        }
        if unit.is_conversation {
            return json!({"id": unit.id, "turns": turns});
        }
        let mut case = turns.remove(0);
        case["id"] = unit.id.as_str().into();
        case
    }
}
