//! Known values, and properties of any log.

use super::log::{Columns, Format};
use super::rows::{self, From};
use super::*;
use crate::formats::off_policy_gate::Deciding;
use crate::statistics::bootstrap::SplitMix64;
use proptest::prelude::*;
use serde_json::{Value, json};

const METHOD: Method = Method { model: Model::Arm, confidence: 0.95 };

/// Two arms: the policy that was logged chooses the better one a quarter of the time.
fn log(length: usize, random: &mut SplitMix64) -> Log {
    let decisions = (0..length).map(|_| {
        let arm = usize::from(random.unit() < 0.25);
        let reward = f64::from(u8::from(random.unit() < [0.2, 0.7][arm]));
        Decision { arm, reward, propensity: [0.75, 0.25][arm], context: Value::Null }
    });
    Log {
        arms: vec!["a".to_owned(), "b".to_owned()],
        decisions: decisions.collect(),
        rewards: Range::UNIT,
    }
}

fn constant(log: &Log, chances: [f64; 2]) -> Policy {
    Policy::Full(vec![chances.to_vec(); log.decisions.len()])
}

fn value(values: &[Estimate], wanted: &str) -> f64 {
    let found = values.iter().find(|estimate| estimate.estimator.as_str() == wanted);
    found.unwrap_or_else(|| panic!("{wanted} is not among {values:?}")).value
}

/// Three decisions whose estimates are computed by hand.
#[test]
fn estimates_are_those_of_their_formulas() {
    let text = b"arm,propensity,reward\na,0.5,1\na,0.25,0\nb,0.75,1\n";
    let rows = super::log::read(text, Format::Csv, &Columns::default()).unwrap();
    let (log, candidate, baseline) =
        rows::assemble(&rows, Range::UNIT, [From::Uniform, From::Logged]).unwrap();
    let evaluation = evaluate(&log, &candidate, &baseline, METHOD);
    let weights = [1.0, 2.0, 2.0 / 3.0];
    let sum: f64 = weights.iter().sum();
    let of = &evaluation.candidate;
    let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-12, "{one} {other}");
    near(value(&of.estimates, "ips"), (1.0 + 2.0 / 3.0) / 3.0);
    near(value(&of.estimates, "snips"), (1.0 + 2.0 / 3.0) / sum);
    near(of.weights.effective, sum * sum / (1.0 + 4.0 + 4.0 / 9.0));
    near(of.weights.mean, sum / 3.0);
    // each decision is a fold of its own: the two others predict it, drawn to their mean by one
    let predicted = [[0.25, 0.75], [1.0, 1.0], [0.5, 0.5]];
    let at = |index: usize, arm: usize, reward: f64| {
        let [a, b]: [f64; 2] = predicted[index];
        f64::midpoint(a, b) + weights[index] * (reward - predicted[index][arm])
    };
    near(
        value(&of.estimates, "doubly-robust"),
        (at(0, 0, 1.0) + at(1, 0, 0.0) + at(2, 1, 1.0)) / 3.0,
    );
    near(value(&evaluation.baseline.estimates, "ips"), 2.0 / 3.0);
    near(value(&evaluation.baseline.estimates, "doubly-robust"), 2.0 / 3.0);
    near(evaluation.baseline.weights.effective, 3.0);
    near(value(&evaluation.gain, "snips"), (1.0 + 2.0 / 3.0) / sum - 2.0 / 3.0);
}

#[test]
fn a_better_policy_is_found_by_every_estimator() {
    let log = log(4_000, &mut SplitMix64::new(3));
    let better = constant(&log, [0.1, 0.9]);
    let evaluation = evaluate(&log, &better, &Policy::Logged, METHOD);
    for estimate in &evaluation.candidate.estimates {
        assert!((estimate.value - 0.65).abs() < 0.04, "{estimate:?}");
        for Interval { low, high } in [estimate.normal, estimate.bootstrap] {
            assert!(low < estimate.value && estimate.value < high, "{estimate:?}");
            assert!(high - low < 0.12, "{estimate:?}");
        }
    }
    let of = |name: &str| {
        let all = &evaluation.candidate.estimates;
        let found = all.iter().find(|one| one.estimator.as_str() == name).unwrap();
        found.normal.high - found.normal.low
    };
    assert!(of("doubly-robust") < of("ips"), "the model takes variance away");
    let asked = |min_gain, floor, deciding| {
        let required = Requirement { floor, min_gain, deciding };
        Verdict::of(&evaluation, &required).answer
    };
    for deciding in [Deciding::Anytime, Deciding::Fixed] {
        assert_eq!(asked(Some(0.1), 200.0, deciding), Answer::Yes);
        assert_eq!(asked(Some(0.6), 200.0, deciding), Answer::No);
        assert_eq!(asked(Some(0.325), 200.0, deciding), Answer::NotEnoughEvidence);
        assert_eq!(asked(Some(0.1), 4_000.0, deciding), Answer::NotEnoughEvidence);
    }
    assert_eq!(asked(None, 0.0, Deciding::Anytime), Answer::Estimated);
}

/// The share of histories whose 90 % intervals contain the value, for each estimator.
#[test]
fn fixed_sample_intervals_cover_as_often_as_they_state() {
    const HISTORIES: usize = 60;
    let mut random = SplitMix64::new(9);
    let method = Method { confidence: 0.9, ..METHOD };
    let mut covered = [[0usize; 2]; 4];
    for _ in 0..HISTORIES {
        let log = log(300, &mut random);
        let policy = constant(&log, [0.4, 0.6]);
        let evaluation = evaluate(&log, &policy, &Policy::Logged, method);
        for (counts, estimate) in covered.iter_mut().zip(&evaluation.candidate.estimates) {
            for (count, Interval { low, high }) in
                counts.iter_mut().zip([estimate.normal, estimate.bootstrap])
            {
                *count += usize::from((low..=high).contains(&0.5));
            }
        }
    }
    // 54 are expected; fewer than 45 have a chance below 1 in 1,000
    assert!(covered.as_flattened().iter().all(|count| *count >= 45), "{covered:?}");
}

#[test]
fn heavy_weights_leave_few_effective_decisions_and_are_switched_off() {
    let mut log = log(500, &mut SplitMix64::new(1));
    // once in a while an arm is chosen that almost never is
    log.arms.push("c".to_owned());
    log.decisions[7] = Decision { arm: 2, reward: 1.0, propensity: 1e-6, context: Value::Null };
    let policy = Policy::Full(vec![vec![0.498, 0.5, 0.002]; 500]);
    let evaluation = evaluate(&log, &policy, &Policy::Logged, METHOD);
    let of = &evaluation.candidate;
    assert!(of.weights.effective < 2.0 && of.weights.largest > 1_999.0, "{:?}", of.weights);
    let switch = of.estimates.last().unwrap();
    assert!(matches!(switch.estimator, Estimator::Switch { limit } if limit < 3.0), "{switch:?}");
    assert!(switch.value < 0.7 && value(&of.estimates, "ips") > 3.0, "{of:?}");
    assert!((0.0..=1.0).contains(&of.anytime.low) && of.anytime.high <= 1.0, "{of:?}");
}

#[test]
fn weights_whose_mean_is_not_one_are_off() {
    let log = log(2_000, &mut SplitMix64::new(2));
    let right = Weights::of(&constant(&log, [0.5, 0.5]).weights(&log));
    assert!(!right.are_off(), "{right:?}");
    let mut wrong = log;
    wrong.decisions.iter_mut().for_each(|decision| decision.propensity = 0.5);
    assert!(Weights::of(&constant(&wrong, [0.1, 0.9]).weights(&wrong)).are_off());
}

#[test]
fn rows_of_json_lines_have_all_probabilities() {
    let text = concat!(
        r#"{"arm":"a","propensity":0.5,"reward":true,"context":{"x":1},"new":{"a":0.1,"c":0.9}}"#,
        "\n\n",
        r#"{"arm":"b","propensity":1,"reward":0.5,"context":{"x":2},"new":{"b":1}}"#,
        "\n"
    );
    let columns = Columns { policy: Some("new".to_owned()), ..Columns::default() };
    let rows = super::log::read(text.as_bytes(), Format::JsonLines, &columns).unwrap();
    let (log, candidate, _) =
        rows::assemble(&rows, Range::UNIT, [From::Rows, From::Logged]).unwrap();
    assert_eq!(log.arms, ["a", "b", "c"]);
    assert_eq!(candidate, Policy::Full(vec![vec![0.1, 0.0, 0.9], vec![0.0, 1.0, 0.0]]));
    assert_eq!(log.decisions[1].context, json!({"context": {"x": 2}}));
}

#[test]
fn invalid_row_reports_its_line_and_the_reason() {
    let columns = Columns { policy: Some("new".to_owned()), ..Columns::default() };
    for (text, expected) in [
        ("arm,propensity\na,1\n", "line 2: it has no column `reward` or `click`"),
        ("arm,propensity,reward,new\na,0,1,1\n", "line 2: the propensity is 0"),
        ("arm,propensity,reward,new\na,1.5,1,1\n", "line 2: 1.5 is not a probability"),
        ("arm,propensity,reward,new\na,1,x,1\n", "line 2: the reward is \"x\", not a number"),
        ("arm,propensity,reward\na,1,1\n", "line 2: it has no column `new`"),
        ("arm,propensity,reward,new\na,1,1,1\na,1\n", "line 3: CSV error: record 2"),
        (
            "arm,propensity,reward,new\na,1,1,\"{\"\"a\"\":0.5}\"\n",
            "line 2: the probabilities add up to 0.5, not to 1",
        ),
        ("arm,propensity,reward,new\n", "line 1: there are no decisions below it"),
    ] {
        let error = super::log::read(text.as_bytes(), Format::Csv, &columns).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{text:?}: {error}");
    }
}

proptest! {
    #[test]
    fn the_logged_policy_is_worth_what_was_logged(
        rewards in prop::collection::vec((0usize..2, -1.0..1.0f64), 1..30),
    ) {
        let decisions = rewards.iter().map(|(arm, reward)| Decision {
            arm: *arm, reward: *reward, propensity: [0.3, 0.7][*arm], context: Value::Null,
        });
        let log = Log {
            arms: vec!["a".to_owned(), "b".to_owned()],
            decisions: decisions.collect(),
            rewards: Range { low: -1.0, high: 1.0 },
        };
        let evaluation = evaluate(&log, &constant(&log, [0.3, 0.7]), &Policy::Logged, METHOD);
        for estimate in &evaluation.baseline.estimates {
            prop_assert!((estimate.value - evaluation.logged).abs() < 1e-9, "{estimate:?}");
        }
        for estimate in &evaluation.candidate.estimates[..2] {
            prop_assert!((estimate.value - evaluation.logged).abs() < 1e-9, "{estimate:?}");
        }
        prop_assert!(evaluation.gain_anytime.low <= 1e-9, "{:?}", evaluation.gain_anytime);
        prop_assert!(evaluation.gain_anytime.high >= -1e-9, "{:?}", evaluation.gain_anytime);
    }
}
