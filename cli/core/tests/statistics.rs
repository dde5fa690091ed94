//! The statistics against `tests/reference/statistics.json`, which `statistics.py` beside it writes
//! with scipy.

use agent_core::statistics::bootstrap::Bootstrap;
use agent_core::statistics::e_process::EProcess;
use agent_core::statistics::tango::Flips;
use agent_core::statistics::targeted::Targeted;
use agent_core::statistics::{binomial, mcnemar, normal, special, wilcoxon};
use serde_json::Value;

fn table(name: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/statistics.json");
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[name].take()
}

/// Each row of a table.
fn rows(table: &Value, check: impl Fn(&Value)) {
    let rows = table.as_array().unwrap();
    assert!(rows.len() > 1);
    rows.iter().for_each(check);
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// To 1e-9, relative, and absolute for what is nothing.
#[track_caller]
fn check(found: f64, expected: &Value, row: &Value) {
    let expected = number(expected);
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1e-6),
        "{found} is not {expected}: {row}"
    );
}

#[test]
fn the_incomplete_beta_and_gamma_functions_agree_with_scipy() {
    rows(&table("beta"), |row| {
        check(
            special::incomplete_beta(number(&row["a"]), number(&row["b"]), number(&row["x"])),
            &row["value"],
            row,
        );
    });
    rows(&table("ln_gamma"), |row| check(special::ln_gamma(number(&row["x"])), &row["value"], row));
}

#[test]
fn the_normal_distribution_agrees_with_scipy() {
    let normal = table("normal");
    rows(&normal["cdf"], |row| check(normal::cdf(number(&row["z"])), &row["value"], row));
    rows(&normal["quantile"], |row| check(normal::quantile(number(&row["p"])), &row["value"], row));
}

#[test]
fn the_interval_of_clopper_and_pearson_agrees_with_scipy() {
    rows(&table("clopper_pearson"), |row| {
        let (low, high) = binomial::interval(
            count(&row["hits"]),
            count(&row["trials"]),
            number(&row["confidence"]),
        );
        check(low, &row["low"], row);
        check(high, &row["high"], row);
    });
}

#[test]
fn mcnemars_mid_p_agrees_with_scipy() {
    rows(&table("mcnemar"), |row| {
        check(mcnemar::mid_p(count(&row["better"]), count(&row["worse"])), &row["p"], row);
    });
}

#[test]
fn tango_interval_agrees_with_a_numeric_search() {
    rows(&table("tango"), |row| {
        let flips = Flips {
            cases: count(&row["cases"]),
            better: count(&row["better"]),
            worse: count(&row["worse"]),
        };
        let (low, high) = flips.interval(0.95);
        check(low, &row["low"], row);
        check(high, &row["high"], row);
        rows(&row["p"], |pair| check(flips.p_value(number(&pair[0])), &pair[1], row));
    });
}

#[test]
fn the_signed_rank_test_agrees_with_scipy() {
    rows(&table("wilcoxon"), |row| {
        check(wilcoxon::signed_rank(numbers(&row["values"])), &row["p"], row);
    });
}

#[test]
fn bootstrap_agrees_with_a_reference_and_approximates_scipy() {
    rows(&table("bootstrap"), |row| {
        let pairs: Vec<_> =
            numbers(&row["weights"]).into_iter().zip(numbers(&row["gains"])).collect();
        let bootstrap = Bootstrap::of(&pairs);
        let (low, high) = bootstrap.interval(0.95);
        check(bootstrap.p_value(1e-12), &row["p"], row);
        check(low, &row["low"], row);
        check(high, &row["high"], row);
        let scipys = numbers(&row["scipy"]);
        assert!(
            (low - scipys[0]).abs() < 0.02 && (high - scipys[1]).abs() < 0.02,
            "{low} {high}: {row}"
        );
    });
}

/// Weights and gains.
fn weighed(row: &Value) -> Vec<(f64, f64)> {
    let pair = |pair: &Value| (number(&pair[0]), number(&pair[1]));
    row["pairs"].as_array().unwrap().iter().map(pair).collect()
}

#[test]
fn targeted_bets_agree_with_their_direct_product() {
    rows(&table("targeted"), |row| {
        let process = Targeted::of(number(&row["bound"]), number(&row["level"]), &weighed(row));
        check(process.log(), &row["log"], row);
    });
}

#[test]
fn e_process_agrees_with_its_direct_product() {
    rows(&table("e_process"), |row| {
        check(EProcess::of(number(&row["bound"]), &weighed(row)).log(), &row["log"], row);
    });
}
