//! The gate's decision, computed again from the pairs on record, and found in the ledger.

use super::figures::{self, Judge, Results, close};
use super::{Facts, Finding, Subject, missing, ok, wrong};
use crate::formats::manifest::Gated;
use crate::formats::object_id::digest;
use crate::gate::ledger::{Entry, Ledger};
use crate::gate::record::{Compared, Record, StoredPairs};
use crate::gate::{Comparison, GateVerdict};
use crate::testing::case_result::CaseResult;
use crate::testing::evaluation::{TierFold, TierSummary, Verdict, varying};
use crate::version::trailers::RecordHead;
use crate::version::{Kind, tag};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How a clone gets the ledger.
const FETCH: &str = "`agent sync` fetches it";

/// Why a check ends here: what was found.
type Checked<T> = Result<T, Finding>;

/// Against the pairs, the manifest and the evaluators that judge.
pub(super) fn gate(subject: &Subject<'_>) -> Option<Finding> {
    // what is not even an evaluation was let pass by nothing
    subject.evaluation.as_ref()?;
    Some(decided(subject).unwrap_or_else(|finding| finding))
}

fn decided(subject: &Subject<'_>) -> Checked<Finding> {
    let facts = subject.facts;
    if facts.trailers.gate.is_none() {
        return Ok(match &facts.recorded_before {
            Some(earlier) => wrong(format!(
                "it names no record of the gate, and {} before it does",
                tag(earlier)
            )),
            None => ok("not recorded by the `agent` that made it"),
        });
    }
    let (record, pairs) = record(subject)?;
    if facts.made_by() == Some(Kind::Rollback) {
        return Ok(ok("that of the version it restores"));
    }
    let gated = &record.gated;
    if Some(&record.evaluation) != facts.trailers.eval.as_ref() {
        return Err(wrong("the gate's record is of another evaluation"));
    }
    matches_manifest(facts, record)?;
    let summary = subject
        .summary(gated.tier)
        .ok_or_else(|| wrong(format!("the gate requires {}, which was not run", gated.tier)))?;
    if let Some(problem) = figures::evaluation_defect(summary) {
        return Err(wrong(format!("the gate requires {}, which {problem}", gated.tier)));
    }
    match (&record.compared, &facts.trailers.base) {
        (None, None) => Ok(ok(format!("a first version, judged by {} alone", gated.tier))),
        (None, Some(_)) => Err(wrong("it was not compared, although a version precedes it")),
        (Some(_), None) => Err(wrong("it was compared with a version, although none precedes it")),
        (Some(compared), Some(_)) => compared_rightly(subject, record, compared, pairs),
    }
}

/// The record of the gate, if it is the one that the commit names.
fn record<'a>(subject: &'a Subject<'_>) -> Checked<&'a (Record, StoredPairs)> {
    let Some(stored) = &subject.facts.record else {
        return Err(missing("the gate's record that it names is not in the object store"));
    };
    if Some(digest(stored)) != subject.facts.trailers.gate {
        return Err(wrong("the stored record of the gate is not the one it names"));
    }
    match &subject.record {
        Some(Ok(record)) => Ok(record),
        Some(Err(problem)) => Err(wrong(format!("the gate's record cannot be read: {problem}"))),
        None => Err(missing("the gate's record that it names is not in the object store")),
    }
}

/// Tier, mode, test, margin and alpha are the manifest's; the command line may override mode and
/// test of a promotion, which is recorded.
fn matches_manifest(facts: &Facts, record: &Record) -> Checked<()> {
    let Some(wanted) = &facts.gated else {
        return Err(missing("the manifest of the gate cannot be read here"));
    };
    let may_be_given = |key: &str| {
        facts.made_by() == Some(Kind::Promotion) && record.given.iter().any(|given| given == key)
    };
    let gated = &record.gated;
    let differs = match () {
        () if gated.tier != wanted.tier => "tier",
        () if gated.gate != wanted.gate && !may_be_given("gate") => "gate",
        () if gated.test != wanted.test && !may_be_given("test") => "test",
        () if gated.margin.to_bits() != wanted.margin.to_bits() => "margin",
        () if gated.alpha.to_bits() != wanted.alpha.to_bits() => "alpha",
        () => return Ok(()),
    };
    Err(wrong(format!(
        "the gate used another `{differs}` than the manifest of the commit that judges \
        has"
    )))
}

fn compared_rightly(
    subject: &Subject<'_>,
    record: &Record,
    compared: &Compared,
    pairs: &StoredPairs,
) -> Checked<Finding> {
    let (facts, gated) = (subject.facts, &record.gated);
    if Some(&compared.baseline) != facts.trailers.base.as_ref() {
        return Err(wrong(format!(
            "it was compared with {}, which it was not made from",
            compared.baseline.short()
        )));
    }
    if compared.candidate != facts.tree {
        return Err(wrong("the gate judged another tree"));
    }
    let old = facts.base_judge(gated.tier)?;
    if compared.definitions.digest(gated.tier) != old.definitions.digest(gated.tier) {
        return Err(wrong(
            "it was judged by other cases or scorers than those of the version before it",
        ));
    }
    let fold = judged(subject, gated, compared, old)?;
    let results: Vec<CaseResult> = fold.results().cloned().collect();
    let again = pairs
        .again(record.question(), &results)
        .ok_or_else(|| wrong("the pairs on record are not those of its results"))?;
    baseline_as_recorded(facts, (gated, compared), pairs, &results)?;
    answered_again(gated, compared, &again)?;
    Ok(ok(summary(record, compared)))
}

/// The candidate's results that the gate used: those of its own tier or, where its evaluators
/// differ, those by the previous ones.
fn judged<'a>(
    subject: &'a Subject<'_>,
    gated: &Gated,
    compared: &Compared,
    old: &Judge,
) -> Checked<&'a TierFold> {
    let own = subject.facts.own_judge(gated.tier)?;
    let changed = own.definitions.differences(&old.definitions, gated.tier);
    match (&compared.before, changed.is_empty()) {
        (None, true) => {
            fold_of(subject.facts.results.get(&gated.tier).map(Arc::as_ref), "its results")
        }
        (Some(before), false) => by_those_before(subject.facts, before, old),
        (None, false) => Err(wrong(format!(
            "evaluators changed ({}), and the previous ones did not judge it",
            changed.join(" and ")
        ))),
        (Some(_), true) => {
            Err(wrong("it was judged by the evaluators before it, although its own are the same"))
        }
    }
}

fn by_those_before<'a>(
    facts: &'a Facts,
    before: &TierSummary,
    old: &Judge,
) -> Checked<&'a TierFold> {
    let stored = facts.before.as_ref();
    let fold = fold_of(stored, "its results by the previous evaluators")?;
    if before.results.as_ref() != stored.map(|stored| &stored.digest) {
        return Err(wrong(
            "the stored results by the evaluators before it are not those on record",
        ));
    }
    let problem =
        figures::differs(before, fold, old.budget).or_else(|| figures::of_other_cases(fold, old));
    problem.map_or(Ok(fold), |problem| {
        Err(wrong(format!("its results by the previous evaluators: {problem}")))
    })
}

fn fold_of<'a>(results: Option<&'a Results>, what: &str) -> Checked<&'a TierFold> {
    let results = results.ok_or_else(|| missing(format!("{what} are not in the object store")))?;
    results.fold.as_ref().map_err(|problem| wrong(format!("{what} cannot be read: {problem}")))
}

/// Every case that counts is paired, with the result that the baseline's own evaluation has; what
/// varied is named in the record.
fn baseline_as_recorded(
    facts: &Facts,
    (gated, compared): (&Gated, &Compared),
    pairs: &StoredPairs,
    judged: &[CaseResult],
) -> Checked<()> {
    let counted = |result: &&CaseResult| !result.quarantined && result.weight > 0.0;
    let held_out = judged.iter().filter(counted).any(CaseResult::is_held_out);
    let counted: Vec<CaseResult> = judged
        .iter()
        .filter(counted)
        .filter(|result| !held_out || result.is_held_out())
        .cloned()
        .collect();
    let now = pairs.baseline();
    let results = facts.base_results(gated.tier).filter(|_| compared.recorded.is_some());
    if results.is_some_and(|results| Some(&results.digest) != compared.recorded.as_ref()) {
        return Err(wrong(
            "the gate's record names other results of the version before it than that one's own \
            evaluation does",
        ));
    }
    let recorded = results.and_then(|results| results.fold.as_ref().ok());
    let recorded: Option<Vec<CaseResult>> =
        recorded.map(|fold| fold.results().map(StoredPairs::as_kept).collect());
    let named: BTreeSet<&String> = compared.varying.iter().collect();
    let unnamed =
        varying(recorded.as_deref(), &now, &counted).into_iter().find(|id| !named.contains(id));
    match unnamed {
        None => Ok(()),
        Some(id) if now.iter().any(|result| result.id == id) => Err(wrong(format!(
            "`{id}` of the version before it is paired with another result than its own evaluation \
            has"
        ))),
        Some(id) => Err(wrong(format!("`{id}` counts, but is not among the pairs"))),
    }
}

fn answered_again(gated: &Gated, compared: &Compared, again: &Comparison) -> Checked<()> {
    let level = compared.level();
    match (again.is_tested(), level.index) {
        (true, None) => {
            return Err(wrong("its decision needs a test, and the ledger has no attempt for it"));
        }
        (false, Some(_)) => {
            return Err(wrong("its decision needs no test, but it names an attempt of the ledger"));
        }
        (false, None) if !close(level.value, gated.alpha) => {
            return Err(wrong("it was judged at another level than alpha"));
        }
        _ => {}
    }
    let (recorded, recomputed) = (&compared.verdict, again.judged(level));
    if recomputed.verdict != Verdict::Pass {
        return Err(wrong(format!(
            "recomputed, the gate decides {}: {}",
            recomputed.verdict.as_str(),
            recomputed.reasons.join("; ")
        )));
    }
    if !same(recorded, &recomputed) {
        return Err(wrong("the figures of the gate on record are not those of its pairs"));
    }
    Ok(())
}

fn same(recorded: &GateVerdict, recomputed: &GateVerdict) -> bool {
    let counts = |verdict: &GateVerdict| {
        (
            verdict.verdict,
            verdict.pairs,
            verdict.held_out,
            verdict.better,
            verdict.worse,
            verdict.ledger,
        )
    };
    let question = |verdict: &GateVerdict| (verdict.mode, verdict.test, verdict.margin.to_bits());
    let figures = |verdict: &GateVerdict| {
        [verdict.baseline_score, verdict.candidate_score, verdict.p_value, verdict.level]
    };
    let both = |recorded: Option<f64>, recomputed: Option<f64>| match (recorded, recomputed) {
        (Some(recorded), Some(recomputed)) => close(recorded, recomputed),
        (recorded, recomputed) => recorded.is_none() && recomputed.is_none(),
    };
    counts(recorded) == counts(recomputed)
        && question(recorded) == question(recomputed)
        && figures(recorded)
            .into_iter()
            .zip(figures(recomputed))
            .all(|(recorded, recomputed)| close(recorded, recomputed))
        && both(recorded.log_e_value, recomputed.log_e_value)
        && both(recorded.interval.map(|(low, _)| low), recomputed.interval.map(|(low, _)| low))
        && both(recorded.interval.map(|(_, high)| high), recomputed.interval.map(|(_, high)| high))
}

fn summary(Record { gated, given, .. }: &Record, compared: &Compared) -> String {
    let given = given.as_slice();
    let verdict = &compared.verdict;
    let varied = match compared.varying.as_slice() {
        [] => String::new(),
        [one] => {
            format!("; `{one}` of the previous version has another result than at its creation")
        }
        several => format!(
            "; {} cases of the previous version have other results than at its creation",
            several.len()
        ),
    };
    let given = match given {
        [] => String::new(),
        keys => format!("; its {} was given on the command line", keys.join(" and ")),
    };
    format!(
        "computed again from {} pairs of {}: {}{given}{varied}",
        verdict.pairs,
        gated.tier,
        verdict.summary()
    )
}

/// Checks the attempt that fixed the level, where a test decided, and that the version names its
/// ledger.
pub(super) fn ledger(subject: &Subject<'_>) -> Option<Finding> {
    let facts = subject.facts;
    if let (None, Some(earlier)) = (&facts.trailers.ledger, &facts.ledger_named_before) {
        return Some(wrong(format!(
            "it does not name its ledger of the gate, and {} before it does",
            tag(earlier)
        )));
    }
    let (record, pairs) = record(subject).ok()?;
    let compared = record.compared.as_ref()?;
    compared.verdict.ledger?;
    if facts.made_by() == Some(Kind::Rollback) {
        return None;
    }
    if facts.trailers.ledger == Some(RecordHead::None) {
        return Some(wrong(
            "it declares no ledger of the gate, but its gate names an attempt of one",
        ));
    }
    let ledger = match &facts.ledger {
        Some(Ok(ledger)) => ledger,
        Some(Err(problem)) => {
            return Some(wrong(format!("the ledger of the gate cannot be read: {problem}")));
        }
        None => return Some(missing(format!("the ledger of the gate is not here: {FETCH}"))),
    };
    Some(in_ledger(facts, record, compared, pairs, ledger))
}

fn in_ledger(
    facts: &Facts,
    record: &Record,
    compared: &Compared,
    pairs: &StoredPairs,
    ledger: &Ledger,
) -> Finding {
    let asked = record.candidate_test(compared, pairs);
    // clones that made the same comparison concurrently have an entry each
    let own = |entry: &&Entry| Some(entry.index) == compared.verdict.ledger;
    let Some(entry) = ledger.all_of(&asked).find(own).or_else(|| ledger.of(&asked)) else {
        return missing(format!("the ledger of the gate has no such attempt: {FETCH}"));
    };
    let verdict = &compared.verdict;
    let differs = match () {
        () if Some(entry.index) != verdict.ledger => "number",
        () if !close(entry.level, verdict.level) => "level",
        () if !close(entry.alpha, record.gated.alpha) => "alpha",
        () if !close(entry.p_value, verdict.p_value) => "p-value",
        () if !entry.accepted => "answer",
        () if Some(&entry.state) != facts.trailers.state.as_ref() => "state",
        () if facts.discoveries.is_some_and(|before| entry.discoveries() > before) => {
            let before = facts.discoveries.unwrap_or_default();
            return wrong(format!(
                "attempt {} of the ledger has a level for {} gains before it, and there were \
                {before}",
                entry.index,
                entry.discoveries()
            ));
        }
        () => {
            return ok(format!(
                "attempt {} of the ledger, at the level {:.4}",
                entry.index, entry.level
            ));
        }
    };
    wrong(format!("its attempt in the ledger has another {differs} than the gate's record"))
}
