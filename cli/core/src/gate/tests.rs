use super::*;
use proptest::prelude::*;

fn results(scores: &[f64]) -> Vec<CaseResult> {
    let result = |(index, score): (usize, &f64)| CaseResult {
        score: *score,
        outcome: if *score < 1.0 { Outcome::Failed } else { Outcome::Passed },
        ..CaseResult::passed(format!("c{index}"))
    };
    scores.iter().enumerate().map(result).collect()
}

fn asked(mode: GateMode, margin: f64) -> Question {
    Question { mode, margin, test: GateTest::EProcess, alpha: 0.05, bets: Bets::Targeted }
}

#[track_caller]
fn check(question: Question, baseline: &[f64], candidate: &[f64], verdict: Verdict, reason: &str) {
    let judged = judge(question, &results(baseline), &results(candidate));
    assert_eq!((judged.verdict, judged.reasons.join("; ")), (verdict, reason.to_owned()));
}

#[test]
fn not_worse_needs_evidence_once_a_case_is_worse() {
    let (old, new) = ([1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.9]);
    check(
        asked(GateMode::NotWorse, 0.0),
        &old,
        &[1.0, 0.5, 1.0, 1.0],
        Verdict::Pass,
        "not worse, no case scored lower: score 0.8750, was 0.7500, on 4 shared cases (1 better, 0 \
        worse)",
    );
    check(
        asked(GateMode::NotWorse, 0.0),
        &old,
        &new,
        Verdict::Fail,
        "the mean score fell: score 0.7250, was 0.7500, on 4 shared cases (1 better, 2 worse)",
    );
    check(
        asked(GateMode::NotWorse, 0.03),
        &old,
        &new,
        Verdict::NotEnoughEvidence,
        "not shown to be not worse by more than 0.03: score 0.7250, was 0.7500, on 4 shared cases \
        (1 better, 2 worse); evidence 0.07, needs 20; about 57702 more cases \
        like these would show it",
    );
    let (mut old, mut new) = ([0.0; 40], [1.0; 40]);
    (old[0], new[0]) = (1.0, 0.0);
    check(
        asked(GateMode::NotWorse, 0.0),
        &old,
        &new,
        Verdict::Pass,
        "not worse: score 0.9750, was 0.0250, on 40 shared cases (39 better, 1 worse); evidence \
        more than a million, needs 20",
    );
}

#[test]
fn gain_exceeds_the_losses() {
    let shows_gain = |old: &[f64], new: &[f64]| {
        judge(asked(GateMode::NotWorse, 0.0), &results(old), &results(new)).shows_gain()
    };
    assert!(shows_gain(&[0.5, 0.5, 1.0], &[0.5, 0.6, 1.0]));
    assert!(shows_gain(&[0.5, 0.5, 1.0], &[0.4, 0.8, 1.0]));
    assert!(!shows_gain(&[0.5, 0.5, 1.0], &[0.5, 0.5, 1.0]));
    assert!(!shows_gain(&[0.1, 0.2, 0.3], &[0.3, 0.2, 0.1]), "as much was lost, up to rounding");
    assert!(!shows_gain(&[], &[]));
}

#[test]
fn better_needs_evidence() {
    let old = [0.0; 12];
    let mut new = [1.0; 12];
    check(
        asked(GateMode::Better, 0.0),
        &old,
        &new,
        Verdict::Pass,
        "better: score 1.0000, was 0.0000, on 12 shared cases (12 better, 0 worse); evidence \
        83.72, needs 20",
    );
    new[4..].fill(0.0);
    check(
        asked(GateMode::Better, 0.0),
        &old,
        &new,
        Verdict::NotEnoughEvidence,
        "not shown to be better: score 0.3333, was 0.0000, on 12 shared cases (4 better, 0 worse); \
        evidence 14.94, needs 20; about 3 \
         more cases like these would show it",
    );
    check(
        asked(GateMode::Better, 0.5),
        &old,
        &new,
        Verdict::Fail,
        "not better by more than 0.5: score 0.3333, was 0.0000, on 12 shared cases (4 better, 0 \
        worse)",
    );
    check(
        asked(GateMode::Better, 0.0),
        &old,
        &old,
        Verdict::Fail,
        "no case changed: score 0.0000, was 0.0000, on 12 shared cases (0 better, 0 worse)",
    );
}

#[test]
fn each_test_detects_a_clear_gain_and_none_accepts_two_cases() {
    let old = [0.0, 1.0].repeat(30);
    let mut new = old.clone();
    new.iter_mut().step_by(4).for_each(|score| *score = 1.0);
    for test in GateTest::ALL {
        for mode in [GateMode::Better, GateMode::NotWorse] {
            let question = Question { test, ..asked(mode, 0.0) };
            let mut gained = new.clone();
            // one case became worse, so that `not-worse` needs evidence
            gained[1] = 0.0;
            assert_eq!(
                judge(question, &results(&old), &results(&gained)).verdict,
                Verdict::Pass,
                "{question:?}"
            );
            let mut few = old.clone();
            (few[0], few[2], few[1]) = (1.0, 1.0, 0.0);
            let judged = judge(question, &results(&old), &results(&few));
            assert_eq!(judged.verdict, Verdict::NotEnoughEvidence, "{question:?}");
            assert!(judged.reasons[0].contains("cases like these would show it"), "{judged:?}");
        }
    }
}

#[test]
fn margin_accepts_a_small_loss_and_refuses_a_small_gain() {
    let old = [1.0; 400];
    let mut new = old;
    new[..4].fill(0.0);
    for test in [GateTest::EProcess, GateTest::Tango, GateTest::Bootstrap, GateTest::SignedRank] {
        let question = Question { test, ..asked(GateMode::NotWorse, 0.05) };
        assert_eq!(
            judge(question, &results(&old), &results(&new)).verdict,
            Verdict::Pass,
            "{test:?}"
        );
        let question = Question { test, ..asked(GateMode::Better, 0.0095) };
        assert_eq!(
            judge(question, &results(&new), &results(&old)).verdict,
            Verdict::NotEnoughEvidence,
            "{test:?}"
        );
    }
}

#[test]
fn must_case_decides_alone_and_no_shared_cases_are_no_evidence() {
    let mut candidate = results(&[1.0; 9]);
    let nothing = Comparison::of(asked(GateMode::NotWorse, 0.0), &[], &candidate);
    assert!(!nothing.is_tested());
    assert_eq!(
        nothing.judged(Level { value: 0.05, index: None }).verdict,
        Verdict::NotEnoughEvidence
    );
    candidate[3] =
        CaseResult { must: true, outcome: Outcome::Failed, score: 0.9, ..candidate[3].clone() };
    let judged = judge(asked(GateMode::NotWorse, 0.5), &results(&[0.0; 9]), &candidate);
    assert_eq!(
        (judged.verdict, judged.reasons),
        (Verdict::Fail, vec!["cases that must pass did not: c3".to_owned()])
    );
}

#[test]
fn quarantined_cases_are_not_paired() {
    let (old, mut new) = (results(&[1.0; 3]), results(&[1.0, 1.0, 0.0]));
    (new[2].must, new[2].quarantined) = (true, true);
    let judged = judge(asked(GateMode::NotWorse, 0.0), &old, &new);
    assert_eq!((judged.verdict, judged.pairs), (Verdict::Pass, 2));
}

#[test]
fn held_out_cases_count_alone() {
    let held_out = |mut results: Vec<CaseResult>| {
        for (index, result) in results.iter_mut().enumerate() {
            let folder = if index < 10 { "tests/full" } else { "tests/full/heldout" };
            result.place = Some(format!("{folder}/a.jsonl:{index}"));
        }
        results
    };
    let (old, mut new) = (held_out(results(&[0.0; 12])), held_out(results(&[1.0; 12])));
    new[10] = old[10].clone();
    new[11] = old[11].clone();
    let judged = judge(asked(GateMode::Better, 0.0), &old, &new);
    let reason =
        "no case changed: score 0.0000, was 0.0000, on 2 held-out cases (0 better, 0 worse)"
            .to_owned();
    assert_eq!(
        (judged.verdict, judged.held_out, judged.reasons),
        (Verdict::Fail, true, vec![reason])
    );
    // but a must-pass case counts in any tier file
    new[0] = CaseResult { must: true, outcome: Outcome::Failed, ..new[0].clone() };
    assert_eq!(judge(asked(GateMode::NotWorse, 0.0), &old, &new).verdict, Verdict::Fail);
}

#[test]
fn a_comparison_is_charged_unless_nothing_got_worse() {
    let tested = |mode, old: &[f64], new: &[f64]| {
        Comparison::of(asked(mode, 0.0), &results(old), &results(new)).is_tested()
    };
    assert!(!tested(GateMode::NotWorse, &[0.0, 1.0], &[1.0, 1.0]));
    assert!(tested(GateMode::NotWorse, &[0.0, 1.0], &[1.0, 0.5]));
    assert!(tested(GateMode::Better, &[0.0, 1.0], &[0.0, 1.0]));
}

#[test]
fn digest_covers_scores_and_not_times() {
    let digest = |candidate: &[CaseResult]| {
        Comparison::of(asked(GateMode::Better, 0.0), &results(&[0.5, 1.0]), candidate).digest()
    };
    let mut candidate = results(&[0.75, 1.0]);
    let first = digest(&candidate);
    candidate[0].ms = 17.0;
    candidate.reverse();
    assert_eq!(digest(&candidate), first);
    candidate[0].score = 0.9;
    assert_ne!(digest(&candidate), first);
}

#[test]
fn smaller_level_needs_more_evidence() {
    let comparison =
        Comparison::of(asked(GateMode::Better, 0.0), &results(&[0.0; 8]), &results(&[1.0; 8]));
    let at = |value| comparison.judged(Level { value, index: Some(9) });
    assert_eq!(at(0.05).verdict, Verdict::Pass);
    let late = at(0.001);
    assert_eq!((late.verdict, late.ledger), (Verdict::NotEnoughEvidence, Some(9)));
    assert!(late.reasons[0].contains("needs 1000 (attempt 9)"), "{:?}", late.reasons);
    let (low, high) = late.interval.unwrap();
    assert!(low < at(0.05).interval.unwrap().0 && high <= 1.0);
}

proptest! {
    #[test]
    fn identical_candidate_is_neither_better_nor_worse(
        scores in prop::collection::vec(0.0..1.0f64, 1..50),
    ) {
        for test in GateTest::ALL {
            let ask = |mode| judge(Question { test, ..asked(mode, 0.0) }, &results(&scores),
                &results(&scores)).verdict;
            prop_assert_eq!(ask(GateMode::Better), Verdict::Fail);
            prop_assert_eq!(ask(GateMode::NotWorse), Verdict::Pass);
        }
    }
}
