use super::fixture::*;
use super::history::Restored;
use super::*;
use crate::formats::manifest::{GateMode, GateTest};
use crate::gate::bets::Bets;
use crate::gate::ledger::{CandidateTest, Entry};
use crate::gate::{Comparison, Question};
use crate::testing::case_result::{CaseResult, Outcome};
use crate::testing::evaluation::{TierSummary, Verdict};
use crate::testing::event::Event;
use crate::version::trailers::RecordHead;

/// Breaks one thing in a sound version and checks the findings: no other may change.
#[track_caller]
fn check(breakage: impl FnOnce(&mut Facts), check: &str, status: Status, message: &str) {
    let mut facts = sound();
    breakage(&mut facts);
    let report = verify(&facts);
    let found: Vec<_> = report.checks.iter().filter(|check| check.status != Status::Ok).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(
        (found[0].check, found[0].status, found[0].message.as_str()),
        (check, status, message)
    );
    assert_eq!(report.status, status);
}

#[test]
fn a_sound_version_passes_every_link() {
    let report = verify(&sound());
    let shown: Vec<_> = report
        .checks
        .iter()
        .map(|check| format!("{} {}: {}", check.check, check.status.as_str(), check.message))
        .collect();
    assert_eq!(
        shown,
        [
            "tag ok: its commit declares v0.1.1, a promotion".to_owned(),
            "branch ok: active has it".to_owned(),
            format!("base ok: made on top of {}", id("base").short()),
            "objects ok: 7 objects, each matches its id".to_owned(),
            format!("state ok: its tree holds state {}", revision(2).short()),
            "scope ok: a promotion that touches only state/".to_owned(),
            "evaluation ok: passed micro (40 cases, score 1.000) on this tree".to_owned(),
            "results ok: case by case, as the evaluation names them".to_owned(),
            "figures ok: micro added up again".to_owned(),
            "definitions ok: cases, scorers and budgets are those in its tree".to_owned(),
            "gate ok: computed again from 40 pairs of micro: better: 40 better, 0 worse; evidence \
            more than a million, needs 40 \
             (attempt 1)"
                .to_owned(),
            "ledger ok: attempt 1 of the ledger, at the level 0.0250".to_owned(),
            "journal ok: 2 updates, replayed from v0.1.0 to this state".to_owned(),
        ]
    );
    assert_eq!(report.status.failure(), None);
}

#[test]
fn commit_that_contradicts_its_evidence_is_wrong() {
    let wrong = Status::Wrong;
    check(
        |facts| facts.version = Version::new(0, 1, 2),
        "tag",
        wrong,
        "its commit declares v0.1.1",
    );
    let elsewhere = format!("its commit declares v0.1.1, but that tag is on {}", id("x").short());
    check(|facts| facts.tagged = Some(id("x")), "tag", wrong, &elsewhere);
    check(|facts| facts.branch = None, "branch", wrong, "neither active nor a line has it");
    let base = format!(
        "its base is declared as {}, but its parent is {}",
        id("base").short(),
        id("other").short()
    );
    check(|facts| facts.parents = vec![id("other")], "base", wrong, &base);
    check(
        |facts| facts.changed.push("runner/x.py".to_owned()),
        "scope",
        wrong,
        "a promotion that changes runner/x.py",
    );
    check(|facts| facts.parents.push(id("other")), "scope", wrong, "a promotion with 2 parents");
    check(
        |facts| facts.trailers.journal = None,
        "journal",
        wrong,
        "a promotion that names no Journal",
    );
    check(
        |facts| facts.objects.damaged.push("blob 1234 (runner/x.py)".to_owned()),
        "objects",
        wrong,
        "blob 1234 (runner/x.py) damaged",
    );
    check(
        |facts| facts.objects.replaced = vec!["commit 12".to_owned(), "tree 34".to_owned()],
        "objects",
        wrong,
        "commit 12 and 1 more: replaced: git shows another object in its place (`git replace -d`, \
        or .git/info/grafts)",
    );
}

#[test]
fn absent_data_is_missing_and_not_wrong() {
    let missing = Status::Missing;
    check(
        |facts| (facts.branch, facts.is_shallow) = (None, true),
        "branch",
        missing,
        "this clone is shallow, so its branch cannot be followed back to it",
    );
    let untagged = "its commit declares v0.1.1, but the tag is missing";
    check(
        |facts| facts.tagged = None,
        "tag",
        Status::Gap,
        &format!("{untagged}; it is recreated from the commit"),
    );
    check(|facts| (facts.tagged, facts.is_shallow) = (None, true), "tag", missing, untagged);
    check(
        |facts| facts.objects.absent.push("blob 12".to_owned()),
        "objects",
        missing,
        "blob 12 not in this clone",
    );
    check(
        |facts| facts.evaluation = None,
        "evaluation",
        missing,
        "the evaluation it names is not in the object store",
    );
    check(
        |facts| facts.record = None,
        "gate",
        missing,
        "the gate's record that it names is not in the object store",
    );
    check(
        |facts| facts.journal = None,
        "journal",
        missing,
        "the Journal it names is not in the object store",
    );
    check(
        |facts| facts.trailers.feedback.push("f-1".to_owned()),
        "feedback",
        missing,
        "not in the inbox: f-1",
    );
    check(
        |facts| facts.ledger = None,
        "ledger",
        missing,
        "the ledger of the gate is not here: `agent sync` fetches it",
    );
    assert_eq!(missing.failure(), Some(FailureKind::NotEnoughEvidence));
    // without the results there is nothing that adds up, and nothing that the gate can be computed
    // from
    let report = verify(&Facts { results: BTreeMap::new(), ..sound() });
    let absent: Vec<_> = report
        .checks
        .iter()
        .filter(|check| check.status == Status::Missing)
        .map(|check| check.check)
        .collect();
    assert_eq!((absent, report.status), (vec!["results", "gate"], Status::Missing));
}

#[test]
fn modified_evidence_is_wrong() {
    let wrong = Status::Wrong;
    let mut edited = evaluated(&new());
    edited.tiers.get_mut(&Tier::Micro).unwrap().score = 0.5;
    let message =
        format!("the stored evaluation has the digest {}, not the one it names", edited.digest());
    check(|facts| facts.evaluation = Some(edited.to_bytes()), "evaluation", wrong, &message);
    let spaced = || [evaluated(&new()).to_bytes(), b" ".to_vec()].concat();
    check(
        |facts| facts.evaluation = Some(spaced()),
        "evaluation",
        wrong,
        "the stored evaluation is not as it was written",
    );
    let other_commit = Evaluation { commit: Some(id("x").to_string()), ..evaluated(&new()) };
    check(
        |facts| facts.evaluation = Some(other_commit.to_bytes()),
        "evaluation",
        wrong,
        "the stored evaluation is of another commit",
    );
    let mut longer = written();
    longer.extend(b"\n");
    let message =
        format!("the stored Journal has the digest {}, not the one it names", digest(&longer));
    check(|facts| facts.journal = Some(longer.clone()), "journal", wrong, &message);
    let mut record = sound().record.unwrap();
    record[30] ^= 1;
    check(
        |facts| facts.record = Some(record),
        "gate",
        wrong,
        "the stored record of the gate is not the one it names",
    );
}

#[test]
fn journal_that_ends_at_another_state_is_wrong() {
    let journal = |bytes: Vec<u8>, message: &str| {
        check(
            |facts| {
                facts.trailers.journal = Some(digest(&bytes));
                facts.journal = Some(bytes);
            },
            "journal",
            Status::Wrong,
            message,
        );
    };
    let begins = format!(
        "the Journal begins with state {}, which v0.1.0 does not hold",
        revision(7).short()
    );
    journal(journal_from(7), &begins);
    let header = |n: u64| {
        let base = journal::Base {
            version: Version::new(0, 1, 0),
            commit: id("base"),
            revision: revision(0),
        };
        journal::header(&base, 1, &serde_json::json!({"n": n}))
    };
    journal(header(0), "the Journal holds no update");
    // a header that starts at v0.1.0, with the state of its end
    let begins = format!(
        "the Journal begins with state {}, which v0.1.0 does not hold",
        revision(2).short()
    );
    journal(header(2), &begins);
    journal([written(), b"x".to_vec()].concat(), "the Journal has something after its last update");
}

/// An evaluation with a changed summary, named as it is by commit and record.
#[track_caller]
fn check_summary(change: impl FnOnce(&mut TierSummary), check_name: &str, message: &str) {
    let mut changed = evaluated(&new());
    change(changed.tiers.get_mut(&Tier::Micro).unwrap());
    check(|facts| reevaluate(facts, &changed, &new()), check_name, Status::Wrong, message);
}

#[test]
fn figures_are_recomputed_from_the_results() {
    check_summary(
        |summary| summary.passed = 41,
        "figures",
        "micro: passed is 41 on record, its results add up to 40",
    );
    check_summary(
        |summary| summary.score = 0.75,
        "figures",
        "micro: score is 0.75 on record, its results add up to 1",
    );
    check_summary(
        |summary| summary.p95_ms = 1.0,
        "figures",
        "micro: p95_ms is 1 on record, its results add up to 37",
    );
    check_summary(
        |summary| summary.cached = 41,
        "figures",
        "micro: its results do not add up to the number of cases that were known on record",
    );
    check_summary(
        |summary| summary.budget.score = None,
        "figures",
        "micro: it was judged by another budget than ci/budgets.json of the commit that judges",
    );
    check_summary(
        |summary| summary.wall_s = f64::INFINITY,
        "evaluation",
        "the stored evaluation cannot be read",
    );
    check_summary(
        |summary| summary.results = None,
        "results",
        "the evaluation does not name the results of micro",
    );
}

#[test]
fn evaluation_without_cases_is_wrong() {
    let found = |evaluation: Evaluation| {
        let mut facts = sound();
        facts.trailers.eval = Some(evaluation.digest());
        facts.evaluation = Some(evaluation.to_bytes());
        let report = verify(&facts);
        report
            .checks
            .into_iter()
            .find(|check| check.check == "evaluation")
            .map(|check| (check.status, check.message))
            .unwrap()
    };
    let wrong = |message: &str| (Status::Wrong, message.to_owned());
    let whole = evaluated(&new());
    assert_eq!(
        found(Evaluation { tiers: BTreeMap::new(), ..whole.clone() }),
        wrong("the evaluation has no tier")
    );
    assert_eq!(
        found(evaluated(&[])),
        wrong("micro of the evaluation has the verdict not enough evidence")
    );
    assert_eq!(
        found(Evaluation { tree: Some(id("x").to_string()), ..whole.clone() }),
        wrong("the evaluation was made on another tree")
    );
    assert_eq!(
        found(Evaluation { state: None, ..whole.clone() }),
        wrong("the evaluation was made under another state")
    );
    let failed: Vec<_> = new()
        .into_iter()
        .map(|result| CaseResult { outcome: Outcome::Failed, score: 0.25, ..result })
        .collect();
    assert_eq!(found(evaluated(&failed)), wrong("micro of the evaluation has the verdict fail"));
}

/// Results that are not those of the cases in the tree, with an evaluation that they add up to.
#[track_caller]
fn check_results(change: impl FnOnce(&mut Vec<CaseResult>), message: &str) {
    let mut results = new();
    change(&mut results);
    let mut facts = sound();
    reevaluate(&mut facts, &evaluated(&results), &results);
    let report = verify(&facts);
    let found = report.checks.iter().find(|check| check.check == "definitions").unwrap();
    assert_eq!((found.status, found.message.as_str()), (Status::Wrong, message));
}

#[test]
fn results_are_those_of_the_cases_in_the_tree() {
    check_results(
        |results| drop(results.pop()),
        "the results of micro: there is no result of `c39`",
    );
    check_results(
        |results| results[3].weight = 5.0,
        "the results of micro: `c03` has another weight than its definition",
    );
    check_results(
        |results| results[3].must = true,
        "the results of micro: `c03` has another `must` than its definition",
    );
    check_results(
        |results| results[3].place = Some("tests/micro/heldout/a.jsonl:1".to_owned()),
        "the results of micro: `c03` has another place than its definition",
    );
    check_results(
        |results| results[3].quarantined = true,
        "the results of micro: `c03` has another quarantine than its definition",
    );
    check_results(
        |results| results[39].id = "c99".to_owned(),
        "the results of micro: `c99` is not a case of the tier",
    );
    let mut other = (*judging()).clone();
    other.definitions.scorers = None;
    let own = || BTreeMap::from([(Tier::Micro, Ok(Arc::new(other.clone())))]);
    let report = verify(&Facts { own: own(), ..sound() });
    let found = report.checks.iter().find(|check| check.check == "definitions").unwrap();
    assert_eq!(found.message, "micro was judged by other scorers than those in its tree");
}

#[test]
fn impossible_result_lines_are_refused() {
    let fold = |bytes: &[u8]| Results::of(Tier::Micro, bytes).fold.unwrap_err();
    let changed = |change: fn(&mut CaseResult)| {
        let mut results = new();
        change(&mut results[1]);
        fold(&lines(&results))
    };
    assert_eq!(changed(|result| result.score = 1.5), "line 2: `c01` has a score outside of 0 to 1");
    assert_eq!(
        changed(|result| result.outcome = Outcome::Errored),
        "line 2: `c01` could not be judged, and has a score"
    );
    assert_eq!(
        changed(|result| result.id = "c00".to_owned()),
        "line 2: `c00` is out of order, or appears there twice"
    );
    assert_eq!(changed(|result| result.weight = -1.0), "line 2: `c01` has an invalid weight");
    assert_eq!(fold(b"{}\n"), "line 1: it is not a result of a case of micro");
    let of_another_tier = Event::case_line(Tier::Full, &new()[0]);
    assert_eq!(fold(of_another_tier.as_bytes()), "line 1: it is not a result of a case of micro");
}

/// Another record of the gate, named as it is by the commit.
#[track_caller]
fn check_record(change: impl FnOnce(&mut Record), message: &str) {
    let (mut record, comparison, _) = decided(&old(), &new(), &gated());
    change(&mut record);
    let mut facts = sound();
    rerecord(&mut facts, &record, &comparison);
    let report = verify(&facts);
    let found = report.checks.iter().find(|check| check.check == "gate").unwrap();
    assert_eq!((found.status, found.message.as_str()), (Status::Wrong, message));
}

#[test]
fn gate_mode_matches_the_manifest() {
    let other = |what: &str| {
        format!(
            "the gate used another `{what}` than the manifest of the commit that judges \
            has"
        )
    };
    check_record(|record| record.gated.tier = Tier::Fast, &other("tier"));
    check_record(|record| record.gated.gate = GateMode::NotWorse, &other("gate"));
    check_record(|record| record.gated.test = GateTest::Bootstrap, &other("test"));
    check_record(|record| record.gated.margin = -1.0, &other("margin"));
    check_record(|record| record.gated.alpha = 0.5, &other("alpha"));
    check_record(
        |record| record.evaluation = "sha256:x".to_owned(),
        "the gate's record is of another evaluation",
    );
    check_record(
        |record| record.compared = None,
        "it was not compared, although a version precedes it",
    );
    // what the command line gave is on record, and nothing else can be given
    let given = vec!["gate".to_owned(), "margin".to_owned()];
    let asked = Gated { gate: GateMode::NotWorse, ..gated() };
    let (record, comparison, _) = decided(&old(), &new(), &gated());
    let mut facts = sound();
    facts.gated = Some(asked.clone());
    rerecord(&mut facts, &Record { given: given.clone(), ..record.clone() }, &comparison);
    assert_eq!(verify(&facts).status, Status::Ok);
    facts.gated = Some(Gated { margin: 0.1, ..asked });
    assert_eq!(
        verify(&facts).checks.iter().find(|check| check.check == "gate").unwrap().message,
        other("margin")
    );
}

fn compared(change: impl FnOnce(&mut crate::gate::record::Compared)) -> impl FnOnce(&mut Record) {
    |record| change(record.compared.as_mut().unwrap())
}

#[test]
fn gate_decision_follows_from_its_pairs() {
    check_record(
        compared(|compared| compared.baseline = id("x")),
        &format!("it was compared with {}, which it was not made from", id("x").short()),
    );
    check_record(compared(|compared| compared.candidate = id("x")), "the gate judged another tree");
    check_record(
        compared(|compared| compared.definitions.scorers = None),
        "it was judged by other cases or scorers than those of the version before it",
    );
    check_record(
        compared(|compared| compared.before = Some(summary(&new()))),
        "it was judged by the evaluators before it, although its own are the same",
    );
    check_record(
        compared(|compared| compared.verdict.worse = 3),
        "the figures of the gate on record are not those of its pairs",
    );
    check_record(
        compared(|compared| compared.verdict.p_value = 0.5),
        "the figures of the gate on record are not those of its pairs",
    );
    check_record(
        compared(|compared| compared.verdict.ledger = None),
        "its decision needs a test, and the ledger has no attempt for it",
    );
    check_record(
        compared(|compared| compared.recorded = Some("sha256:x".to_owned())),
        "the gate's record names other results of the version before it than that one's own \
        evaluation does",
    );
}

/// Pairs that differ from the results, with a consistent record.
#[track_caller]
fn check_pairs(
    old: &[CaseResult],
    new: &[CaseResult],
    change: impl FnOnce(&mut Record),
    message: &str,
) {
    let (mut record, comparison, entry) = decided(old, new, &gated());
    record.evaluation = evaluated(&super::fixture::new()).digest();
    record.compared.as_mut().unwrap().recorded = Some(digest(&lines(&super::fixture::old())));
    change(&mut record);
    let mut facts = sound();
    facts.ledger = Some(Ok(ledger_of(&[entry])));
    rerecord(&mut facts, &record, &comparison);
    let found = verify(&facts).checks.into_iter().find(|check| check.check == "gate").unwrap();
    assert_eq!(found.message, message);
}

#[test]
fn pairs_cover_all_shared_cases() {
    let nothing = |_: &mut Record| {};
    let mut other = new();
    (other[5].score, other[5].outcome) = (0.5, Outcome::Failed);
    check_pairs(&old(), &other, nothing, "the pairs on record are not those of its results");
    let mut lower = old();
    lower[5].score = 0.25;
    check_pairs(
        &lower,
        &new(),
        nothing,
        "`c05` of the version before it is paired with another result than its own evaluation has",
    );
    let fewer: Vec<_> = old().into_iter().skip(1).collect();
    check_pairs(&fewer, &new(), nothing, "`c00` counts, but is not among the pairs");
    // what varied is named
    let named = compared(|compared| compared.varying = vec!["c05".to_owned()]);
    check_pairs(
        &lower,
        &new(),
        named,
        "computed again from 40 pairs of micro: better: 40 better, 0 worse; evidence more than a \
        million, needs 40 (attempt 1); `c05` of the previous version has another result than at \
        its creation",
    );
}

#[test]
fn version_that_the_gate_refuses_is_found() {
    // no case is better
    let results = old();
    let summary = TierSummary { verdict: Verdict::Pass, ..summary(&results) };
    let (mut record, comparison, entry) = decided(&old(), &results, &gated());
    let mut changed = evaluated(&results);
    changed.tiers.insert(Tier::Micro, summary);
    record.evaluation = changed.digest();
    record.compared.as_mut().unwrap().verdict.verdict = Verdict::Pass;
    let mut facts = sound();
    reevaluate(&mut facts, &changed, &results);
    facts.ledger = Some(Ok(ledger_of(&[entry])));
    rerecord(&mut facts, &record, &comparison);
    let found = verify(&facts).checks.into_iter().find(|check| check.check == "gate").unwrap();
    assert!(
        found.message.starts_with("recomputed, the gate decides fail: no case changed"),
        "{}",
        found.message
    );
}

#[test]
fn changed_evaluators_are_judged_by_the_previous_ones() {
    let mut changed = (*judging()).clone();
    changed.definitions.scorers = Some("sha256:kinder".to_owned());
    let own = BTreeMap::from([(Tier::Micro, Ok(Arc::new(changed.clone())))]);
    let mut made = evaluated(&new());
    made.definitions = changed.definitions.clone();
    let (record, comparison, _) = decided(&old(), &new(), &gated());
    let record = Record { evaluation: made.digest(), ..record };
    let with = |change: &dyn Fn(&mut Record, &mut Facts)| {
        let mut facts = Facts { own: own.clone(), ..sound() };
        reevaluate(&mut facts, &made, &new());
        let mut record = record.clone();
        change(&mut record, &mut facts);
        rerecord(&mut facts, &record, &comparison);
        let report = verify(&facts);
        report
            .checks
            .into_iter()
            .find(|check| check.check == "gate")
            .map(|check| (check.status, check.message))
            .unwrap()
    };
    let wrong = |message: &str| (Status::Wrong, message.to_owned());
    assert_eq!(
        with(&|_, _| {}),
        wrong("evaluators changed (scorers), and the previous ones did not judge it")
    );
    let before =
        |record: &mut Record| record.compared.as_mut().unwrap().before = Some(summary(&new()));
    assert_eq!(with(&|record, _| before(record)).0, Status::Missing);
    let stored = || Some(Results::of(Tier::Micro, &lines(&new())));
    assert_eq!(with(&|record, facts| (before(record), facts.before = stored()).0).0, Status::Ok);
    let lower = |record: &mut Record| {
        record.compared.as_mut().unwrap().before.as_mut().unwrap().passed = 41;
    };
    assert_eq!(
        with(&|record, facts| {
            before(record);
            lower(record);
            facts.before = stored();
        }),
        wrong(
            "its results by the previous evaluators: passed is 41 on record, its results add up \
                to 40"
        )
    );
}

/// As an `agent` before the bets of `agent/gate@2` made it.
fn made_by_earlier_bets(facts: &mut Facts) {
    let (mut record, _, entry) = decided(&old(), &new(), &gated());
    let earlier = Question { bets: Bets::Mixture, ..Question::from(&gated()) };
    let comparison = Comparison::of(earlier, &old(), &new());
    let verdict = comparison.judged(entry.level());
    let entry = Entry {
        schema: "agent/ledger@1".to_owned(),
        test: entry.test.clone().with_bets(Bets::Mixture),
        log_e_value: verdict.log_e_value,
        p_value: verdict.p_value,
        ..entry
    };
    record.schema = "agent/gate@1".to_owned();
    record.compared.as_mut().unwrap().verdict = verdict;
    rerecord(facts, &record, &comparison);
    facts.ledger = Some(Ok(ledger_of(&[entry])));
}

#[test]
fn version_made_by_earlier_bets_is_verified_by_them() {
    let mut facts = sound();
    made_by_earlier_bets(&mut facts);
    let report = verify(&facts);
    assert_eq!(report.status, Status::Ok, "{report:#?}");
    // the figures of one are not those of the other
    let (mut record, comparison, _) = decided(&old(), &new(), &gated());
    record.schema = "agent/gate@1".to_owned();
    rerecord(&mut facts, &record, &comparison);
    let report = verify(&facts);
    let gate = report.checks.iter().find(|check| check.check == "gate").unwrap();
    assert_eq!(
        (gate.status, gate.message.as_str()),
        (Status::Wrong, "the figures of the gate on record are not those of its pairs")
    );
}

#[test]
fn ledger_contains_the_attempt() {
    let (_, _, entry) = decided(&old(), &new(), &gated());
    let other =
        |what: &str| format!("its attempt in the ledger has another {what} than the gate's record");
    let check_entry = |change: &dyn Fn(&mut Entry), message: &str| {
        let mut entry = entry.clone();
        change(&mut entry);
        check(
            |facts| facts.ledger = Some(Ok(ledger_of(&[entry]))),
            "ledger",
            Status::Wrong,
            message,
        );
    };
    check_entry(&|entry| entry.accepted = false, &other("answer"));
    check_entry(&|entry| entry.level = 0.05, &other("level"));
    check_entry(&|entry| entry.alpha = 0.5, &other("alpha"));
    check_entry(&|entry| entry.p_value = 0.5, &other("p-value"));
    check_entry(&|entry| entry.state = revision(7), &other("state"));
    // an attempt before it leaves it a stricter level
    let generous = "attempt 1 of the ledger has a level for 1 gains before it, and there were 0";
    let (record, comparison, _) = decided(&old(), &new(), &gated());
    let mut lenient = record;
    let verdict = comparison.judged(crate::gate::Level { value: 2.0 * LEVEL, index: Some(1) });
    let twice = Entry {
        level: 2.0 * LEVEL,
        p_value: verdict.p_value,
        log_e_value: verdict.log_e_value,
        ..entry.clone()
    };
    lenient.compared.as_mut().unwrap().verdict = verdict;
    check(
        |facts| {
            rerecord(facts, &lenient, &comparison);
            facts.ledger = Some(Ok(ledger_of(&[twice])));
        },
        "ledger",
        Status::Wrong,
        generous,
    );
    let unnamed = "it does not name its ledger of the gate, and v0.1.0 before it does";
    check(
        |facts| facts.ledger_named_before = Some(Version::new(0, 1, 0)),
        "ledger",
        Status::Wrong,
        unnamed,
    );
    let none = "it declares no ledger of the gate, but its gate names an attempt of one";
    check(|facts| facts.trailers.ledger = Some(RecordHead::None), "ledger", Status::Wrong, none);
    let earlier = Entry {
        test: CandidateTest { results: "sha256:other".to_owned(), ..entry.test.clone() },
        accepted: false,
        ..entry.clone()
    };
    let second = Entry { index: 2, ..entry.clone() };
    check(
        |facts| facts.ledger = Some(Ok(ledger_of(&[earlier.clone(), second]))),
        "ledger",
        Status::Wrong,
        &other("number"),
    );
    check(
        |facts| facts.ledger = Some(Ok(ledger_of(&[earlier]))),
        "ledger",
        Status::Missing,
        "the ledger of the gate has no such attempt: `agent sync` fetches it",
    );
    check(
        |facts| facts.ledger = Some(Err("line 1".to_owned())),
        "ledger",
        Status::Wrong,
        "the ledger of the gate cannot be read: line 1",
    );
}

#[test]
fn gate_record_cannot_be_omitted() {
    check(
        |facts| facts.trailers.gate = None,
        "gate",
        Status::Wrong,
        "it names no record of the gate, and v0.1.0 before it does",
    );
    let mut facts = sound();
    (facts.trailers.gate, facts.recorded_before) = (None, None);
    let report = verify(&facts);
    assert_eq!(
        report.status,
        Status::Ok,
        "versions of an earlier `agent` are as good as their evidence"
    );
    assert_eq!(
        report.checks.iter().find(|check| check.check == "gate").unwrap().message,
        "not recorded by the `agent` that made it"
    );
}

fn release() -> Facts {
    let mut facts = sound();
    facts.trailers.kind = Some(Kind::Release);
    facts.trailers.journal = None;
    facts.parents.push(id("source"));
    facts.source =
        Some(Source { commit: id("source"), differing: Vec::new(), changes_state: true });
    facts
}

#[test]
fn release_combines_its_source_with_the_active_state() {
    let found = |facts: &Facts| {
        let report = verify(facts);
        report
            .checks
            .into_iter()
            .find(|check| check.check == "source")
            .map(|check| (check.status, check.message))
            .unwrap()
    };
    assert_eq!(verify(&release()).status, Status::Ok, "{:?}", verify(&release()));
    let mut facts = release();
    facts.source.as_mut().unwrap().changes_state = false;
    let unexplained =
        format!("its state is not that of v0.1.0, and {} changed none", id("source").short());
    assert_eq!(found(&facts), (Status::Wrong, unexplained));
    facts.base.as_mut().unwrap().canonical = Some(revision(2));
    assert_eq!(found(&facts).0, Status::Ok);
    facts.source.as_mut().unwrap().differing.push("runner/x.py".to_owned());
    let other =
        format!("runner/x.py is not that of {}, whose code it is to have", id("source").short());
    assert_eq!(found(&facts), (Status::Wrong, other));
    (facts.source, facts.parents) = (None, vec![id("base")]);
    assert_eq!(
        found(&facts),
        (Status::Wrong, "it does not have the commit it was made from as a parent".to_owned())
    );
}

#[test]
fn coder_change_of_evaluators_needs_approval() {
    let with = |effect: Effect| {
        let mut facts = release();
        facts.trailers.coder = Some("builtin".to_owned());
        facts.evaluators = Some(Ok(effect));
        verify(&facts)
            .checks
            .into_iter()
            .find(|check| check.check == "coder")
            .map(|check| (check.status, check.message))
            .unwrap()
    };
    assert_eq!(with(Effect::None).0, Status::Ok);
    assert_eq!(
        with(Effect::Additions { cases: 3 }),
        (Status::Ok, "made by builtin, which added 3 cases".to_owned())
    );
    assert_eq!(
        with(Effect::Person { why: "it touches ci/".to_owned() }),
        (Status::Wrong, "made by builtin alone: it touches ci/".to_owned())
    );
}

#[test]
fn rollback_target_is_a_version() {
    let with = |restored: Option<Restored>| {
        let mut facts = sound();
        facts.trailers.kind = Some(Kind::Rollback);
        facts.restored = restored;
        verify(&facts)
            .checks
            .into_iter()
            .find(|check| check.check == "rollback")
            .map(|check| (check.status, check.message))
            .unwrap()
    };
    let version = Some(Restored::Version(Version::new(0, 1, 0)));
    assert_eq!(
        with(version),
        (Status::Ok, "its tree and its evidence are those of v0.1.0".to_owned())
    );
    assert_eq!(with(Some(Restored::Nothing("no version before it has its tree"))).0, Status::Wrong);
    assert_eq!(with(Some(Restored::Unknown)).0, Status::Missing);
    assert_eq!(with(None).0, Status::Wrong);
}
