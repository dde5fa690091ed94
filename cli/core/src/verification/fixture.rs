//! A complete sound promotion to v0.1.1: each test breaks one thing in it.

use super::figures::{Judge, Results};
use super::{Base, Facts, Objects};
use crate::formats::canonical;
use crate::formats::manifest::{GateMode, Gated, Tier};
use crate::formats::object_id::{ObjectId, digest};
use crate::gate::ledger::{self, CandidateTest, Entry, Ledger};
use crate::gate::record::{Compared, Record};
use crate::gate::{Comparison, Level, Question};
use crate::state::journal::{self, Draft, Fold};
use crate::testing::budget::Budget;
use crate::testing::case_result::{CaseResult, Outcome};
use crate::testing::definitions::Definitions;
use crate::testing::evaluation::{Evaluation, TierFold, TierSummary};
use crate::testing::event::Event;
use crate::version::Kind;
use crate::version::trailers::Trailers;
use semver::Version;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const CASES: usize = 40;
pub const LEVEL: f64 = 0.025;

pub fn id(text: &str) -> ObjectId {
    ObjectId::of_blob(text.as_bytes())
}

pub fn revision(n: u64) -> ObjectId {
    canonical::revision(&json!({"n": n}))
}

/// A Journal from `{"n": 0}` of v0.1.0 to `{"n": 2}`.
pub fn written() -> Vec<u8> {
    journal_from(0)
}

pub fn journal_from(n: u64) -> Vec<u8> {
    let base =
        journal::Base { version: Version::new(0, 1, 0), commit: id("base"), revision: revision(0) };
    let mut bytes = journal::header(&base, 1, &json!({"n": n}));
    let fold = Fold::begin(&bytes).unwrap();
    let draft = |n: u64| Draft {
        id: format!("s-{n}"),
        tool: "reward".to_owned(),
        arguments: Value::Null,
        conversation: None,
        trace: None,
        at: "2026-01-01T00:00:00Z".to_owned(),
        tags: Vec::new(),
        effects: None,
        touched: None,
        summary: None,
        state: Some(json!({"n": n})),
    };
    bytes.extend(fold.compose(vec![draft(1), draft(2)]).bytes);
    bytes
}

fn result(number: usize, score: f64) -> CaseResult {
    let outcome = if score < 1.0 { Outcome::Failed } else { Outcome::Passed };
    CaseResult { outcome, score, ms: number as f64, ..defined(number) }
}

pub fn defined(number: usize) -> CaseResult {
    let id = format!("c{number:02}");
    CaseResult {
        place: Some(format!("tests/micro/a.jsonl:{}", number + 1)),
        ..CaseResult::passed(id)
    }
}

pub fn budget() -> Budget {
    Budget { score: Some(0.5), ..Budget::default() }
}

pub fn defined_by() -> Definitions {
    Definitions {
        cases: [(Tier::Micro, "sha256:cases".to_owned())].into(),
        scorers: Some("sha256:s".to_owned()),
        budgets: None,
    }
}

pub fn gated() -> Gated {
    Gated { gate: GateMode::Better, ..Gated::promote() }
}

/// The results of v0.1.0, and those of v0.1.1.
pub fn old() -> Vec<CaseResult> {
    (0..CASES).map(|number| result(number, 0.0)).collect()
}

pub fn new() -> Vec<CaseResult> {
    (0..CASES).map(|number| result(number, 1.0)).collect()
}

pub fn lines(results: &[CaseResult]) -> Vec<u8> {
    results
        .iter()
        .map(|result| Event::case_line(Tier::Micro, result))
        .collect::<String>()
        .into_bytes()
}

pub fn summary(results: &[CaseResult]) -> TierSummary {
    let lines = lines(results);
    let mut fold = TierFold::of_lines(std::str::from_utf8(&lines).unwrap());
    fold.take(Event::TierFinished { tier: Tier::Micro, wall_s: 1.5 });
    TierSummary { results: Some(digest(&lines)), ..fold.summary(budget()) }
}

pub fn evaluated(results: &[CaseResult]) -> Evaluation {
    let mut evaluation =
        Evaluation::new(Some(id("tree").to_string()), Some(revision(2).to_string()));
    evaluation.commit = Some(id("commit").to_string());
    evaluation.tiers.insert(Tier::Micro, summary(results));
    evaluation.definitions = defined_by();
    evaluation
}

/// The record of the gate, as stored and as in the ledger.
pub fn decided(
    old: &[CaseResult],
    new: &[CaseResult],
    gated: &Gated,
) -> (Record, Comparison, Entry) {
    let comparison = Comparison::of(Question::from(gated), old, new);
    let verdict = comparison.judged(Level { value: LEVEL, index: Some(1) });
    let compared = Compared {
        baseline: id("base"),
        candidate: id("tree"),
        definitions: defined_by(),
        verdict: verdict.clone(),
        recorded: Some(digest(&lines(old))),
        varying: Vec::new(),
        before: None,
    };
    let entry = Entry {
        schema: ledger::SCHEMA.to_owned(),
        index: 1,
        at: "2026-01-01T00:00:00Z".to_owned(),
        test: CandidateTest::new(
            &id("base"),
            &id("tree"),
            gated,
            &defined_by(),
            comparison.digest(),
        ),
        state: revision(2),
        alpha: gated.alpha,
        level: LEVEL,
        log_e_value: verdict.log_e_value,
        p_value: verdict.p_value,
        accepted: true,
    };
    let record = Record::new(evaluated(new).digest(), gated.clone(), Vec::new());
    (Record { compared: Some(compared), ..record }, comparison, entry)
}

pub fn judging() -> Arc<Judge> {
    let cases = (0..CASES).map(defined).map(|case| (case.id.clone(), case)).collect();
    Arc::new(Judge { definitions: defined_by(), budget: budget(), cases })
}

pub fn stored(results: &[CaseResult]) -> BTreeMap<Tier, Arc<Results>> {
    BTreeMap::from([(Tier::Micro, Arc::new(Results::of(Tier::Micro, &lines(results))))])
}

pub fn ledger_of(entries: &[Entry]) -> Arc<Ledger> {
    let ledger = entries.iter().fold(Ledger::default(), |ledger, entry| ledger.with(entry.clone()));
    Arc::new(ledger)
}

pub fn trailers() -> Trailers {
    let (record, comparison, _) = decided(&old(), &new(), &gated());
    Trailers {
        kind: Some(Kind::Promotion),
        version: Some(Version::new(0, 1, 1)),
        state: Some(revision(2)),
        base: Some(id("base")),
        journal: Some(digest(&written())),
        eval: Some(evaluated(&new()).digest()),
        gate: Some(digest(&record.to_bytes(Some(&comparison)))),
        ..Trailers::default()
    }
}

pub fn sound() -> Facts {
    let (record, comparison, entry) = decided(&old(), &new(), &gated());
    let judges = BTreeMap::from([(Tier::Micro, Ok(judging()))]);
    Facts {
        version: Version::new(0, 1, 1),
        commit: id("commit"),
        tree: id("tree"),
        parents: vec![id("base")],
        trailers: trailers(),
        tagged: Some(id("commit")),
        branch: Some("active".to_owned()),
        is_shallow: false,
        objects: Objects { count: 7, ..Objects::default() },
        state: Some(revision(2)),
        changed: vec!["state/active.state.json".to_owned()],
        base: Some(Base {
            version: Version::new(0, 1, 0),
            state: Some(revision(0)),
            canonical: Some(revision(0)),
            judges: judges.clone(),
            results: stored(&old()),
        }),
        source: None,
        restored: None,
        recorded_before: Some(Version::new(0, 1, 0)),
        gated: Some(gated()),
        own: judges,
        evaluators: None,
        evaluation: Some(evaluated(&new()).to_bytes()),
        results: stored(&new()),
        before: None,
        record: Some(record.to_bytes(Some(&comparison))),
        ledger_named_before: None,
        discoveries: Some(0),
        ledger: Some(Ok(ledger_of(&[entry]))),
        journal: Some(written()),
        feedback: Vec::new(),
    }
}

/// Puts another record in the place of the sound one, named by the commit as it is.
pub fn rerecord(facts: &mut Facts, record: &Record, comparison: &Comparison) {
    let bytes = record.to_bytes(Some(comparison));
    facts.trailers.gate = Some(digest(&bytes));
    facts.record = Some(bytes);
}

/// Puts another evaluation, with these results, in the place of the sound one, and the gate's
/// record of it.
pub fn reevaluate(facts: &mut Facts, evaluation: &Evaluation, results: &[CaseResult]) {
    facts.trailers.eval = Some(evaluation.digest());
    facts.evaluation = Some(evaluation.to_bytes());
    facts.results = stored(results);
    let (record, comparison, _) = decided(&old(), &new(), &gated());
    rerecord(facts, &Record { evaluation: evaluation.digest(), ..record }, &comparison);
}
