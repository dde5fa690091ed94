//! The gate between a candidate and the version it would replace: compared case by case, never mean against mean alone.

use crate::evaluation::{CaseResult, Outcome, Verdict, mean_score};
use crate::manifest::GateMode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `better` wants this much evidence: the chance that a candidate which changed nothing looks as good.
pub const ALPHA: f64 = 0.05;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateVerdict {
    pub verdict: Verdict,
    pub mode: GateMode,
    pub margin: f64,
    /// Why it is what it is; never empty.
    pub reasons: Vec<String>,
    /// Cases both have.
    pub pairs: usize,
    pub better: usize,
    pub worse: usize,
    pub baseline_score: f64,
    pub candidate_score: f64,
    /// One-sided exact sign test over the pairs that differ.
    pub p_value: f64,
}

/// Judges a candidate by its results and those of the baseline on the same cases.
///
/// `not-worse`: the mean score over the shared cases is at most `margin` below the baseline's.
/// `better`: it is more than `margin` above, and the sign test says that this is no accident.
pub fn judge(mode: GateMode, margin: f64, baseline: &[CaseResult], candidate: &[CaseResult]) -> GateVerdict {
    let pairs = paired(baseline, candidate);
    let better = pairs.iter().filter(|(old, new)| new.score > old.score).count();
    let worse = pairs.iter().filter(|(old, new)| new.score < old.score).count();
    let mut verdict = GateVerdict {
        verdict: Verdict::Pass,
        mode,
        margin,
        reasons: Vec::new(),
        pairs: pairs.len(),
        better,
        worse,
        baseline_score: mean_score(pairs.iter().map(|(old, _)| *old)),
        candidate_score: mean_score(pairs.iter().map(|(_, new)| *new)),
        p_value: sign_test(better, worse),
    };
    (verdict.verdict, verdict.reasons) = decide(&verdict, candidate);
    verdict
}

/// By case id; where weights differ the candidate's count for both.
fn paired<'a>(baseline: &'a [CaseResult], candidate: &'a [CaseResult]) -> Vec<(&'a CaseResult, &'a CaseResult)> {
    let old: BTreeMap<&str, &CaseResult> = baseline.iter().map(|result| (result.id.as_str(), result)).collect();
    candidate.iter().filter_map(|new| old.get(new.id.as_str()).map(|old| (*old, new))).collect()
}

fn decide(found: &GateVerdict, candidate: &[CaseResult]) -> (Verdict, Vec<String>) {
    let musts: Vec<_> =
        candidate.iter().filter(|result| result.must && result.outcome != Outcome::Passed).map(|result| result.id.as_str()).collect();
    if !musts.is_empty() {
        return (Verdict::Fail, vec![format!("cases that must pass did not: {}", musts.join(", "))]);
    }
    if found.pairs == 0 {
        return (Verdict::NotEnoughEvidence, vec!["no case was run on both sides".to_owned()]);
    }
    let scores = format!("score {:.4} against {:.4} on {} shared cases", found.candidate_score, found.baseline_score, found.pairs);
    let flips = format!("{} better, {} worse", found.better, found.worse);
    let gain = found.candidate_score - found.baseline_score;
    match found.mode {
        // the sum of many floats may end a hair below where it started
        GateMode::NotWorse if gain >= -found.margin - 1e-12 => (Verdict::Pass, vec![format!("not worse: {scores}; {flips}")]),
        GateMode::NotWorse => (Verdict::Fail, vec![format!("worse by more than {}: {scores}; {flips}", found.margin)]),
        GateMode::Better if found.better + found.worse == 0 => (Verdict::Fail, vec![format!("no case changed: {scores}")]),
        GateMode::Better if gain <= found.margin => {
            (Verdict::Fail, vec![format!("not better by more than {}: {scores}; {flips}", found.margin)])
        }
        GateMode::Better if found.p_value <= ALPHA => {
            (Verdict::Pass, vec![format!("better: {scores}; {flips} (p = {:.4})", found.p_value)])
        }
        GateMode::Better => {
            let reason = format!("may be chance: {scores}; {flips} (p = {:.4}, wanted at most {ALPHA})", found.p_value);
            (Verdict::NotEnoughEvidence, vec![reason])
        }
    }
}

/// P(at least `better` heads in `better + worse` tosses of a fair coin).
pub fn sign_test(better: usize, worse: usize) -> f64 {
    let tosses = better + worse;
    // ln of the binomial coefficients, summed up from C(n, 0) = 1, so that no factorial overflows
    let mut ln_choose = 0.0f64;
    let mut tail = 0.0;
    for heads in 0..=tosses {
        if heads >= better {
            tail += (ln_choose - tosses as f64 * std::f64::consts::LN_2).exp();
        }
        ln_choose += ((tosses - heads) as f64 / (heads + 1) as f64).ln();
    }
    tail.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn results(scores: &[f64]) -> Vec<CaseResult> {
        let result = |(index, score): (usize, &f64)| CaseResult { score: *score, ..CaseResult::passed(format!("c{index}")) };
        scores.iter().enumerate().map(result).collect()
    }

    #[track_caller]
    fn check(mode: GateMode, margin: f64, baseline: &[f64], candidate: &[f64], verdict: Verdict, reason: &str) {
        let judged = judge(mode, margin, &results(baseline), &results(candidate));
        assert_eq!((judged.verdict, judged.reasons.join("; ")), (verdict, reason.to_owned()));
    }

    #[test]
    fn not_worse_allows_the_margin() {
        let (old, new) = ([1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.9]);
        check(
            GateMode::NotWorse,
            0.0,
            &old,
            &old,
            Verdict::Pass,
            "not worse: score 0.7500 against 0.7500 on 4 shared cases; 0 better, 0 worse",
        );
        check(
            GateMode::NotWorse,
            0.0,
            &old,
            &new,
            Verdict::Fail,
            "worse by more than 0: score 0.7250 against 0.7500 on 4 shared cases; 1 better, 2 worse",
        );
        check(
            GateMode::NotWorse,
            0.03,
            &old,
            &new,
            Verdict::Pass,
            "not worse: score 0.7250 against 0.7500 on 4 shared cases; 1 better, 2 worse",
        );
    }

    #[test]
    fn better_wants_evidence() {
        let old = [0.0; 8];
        let mut new = [1.0; 8];
        check(
            GateMode::Better,
            0.0,
            &old,
            &new,
            Verdict::Pass,
            "better: score 1.0000 against 0.0000 on 8 shared cases; 8 better, 0 worse (p = 0.0039)",
        );
        new[4..].fill(0.0);
        check(
            GateMode::Better,
            0.0,
            &old,
            &new,
            Verdict::NotEnoughEvidence,
            "may be chance: score 0.5000 against 0.0000 on 8 shared cases; 4 better, 0 worse (p = 0.0625, wanted at most 0.05)",
        );
        check(
            GateMode::Better,
            0.5,
            &old,
            &new,
            Verdict::Fail,
            "not better by more than 0.5: score 0.5000 against 0.0000 on 8 shared cases; 4 better, 0 worse",
        );
    }

    #[test]
    fn a_must_case_fails_alone_and_nothing_shared_is_no_evidence() {
        let mut candidate = results(&[1.0; 9]);
        assert_eq!(judge(GateMode::NotWorse, 0.0, &[], &candidate).verdict, Verdict::NotEnoughEvidence);
        candidate[3] = CaseResult { must: true, outcome: Outcome::Failed, score: 0.9, ..candidate[3].clone() };
        let judged = judge(GateMode::NotWorse, 0.5, &results(&[0.0; 9]), &candidate);
        assert_eq!((judged.verdict, judged.reasons), (Verdict::Fail, vec!["cases that must pass did not: c3".to_owned()]));
    }

    #[test]
    fn the_sign_test_agrees_with_the_binomial() {
        // scipy.stats.binomtest(k, n, 0.5, alternative="greater").pvalue
        for (better, worse, p) in [(0, 0, 1.0), (5, 0, 0.03125), (9, 2, 0.032_714_843_75), (60, 40, 0.028_443_966_820_490_392), (0, 5, 1.0)]
        {
            assert!((sign_test(better, worse) - p).abs() < 1e-9, "{better} {worse}: {}", sign_test(better, worse));
        }
    }

    proptest! {
        #[test]
        fn an_identical_candidate_is_never_better_and_never_worse(scores in prop::collection::vec(0.0..1.0f64, 1..50)) {
            prop_assert_eq!(judge(GateMode::Better, 0.0, &results(&scores), &results(&scores)).verdict, Verdict::Fail);
            prop_assert_eq!(judge(GateMode::NotWorse, 0.0, &results(&scores), &results(&scores)).verdict, Verdict::Pass);
        }
    }
}
