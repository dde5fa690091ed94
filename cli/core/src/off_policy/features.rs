//! Contexts as numbers, for a linear model: a column for each number, and for each value of a text.

use super::logged::Decision;
use serde_json::Value;
use std::collections::BTreeMap;

/// More columns than this make a linear model slow and no better: the most frequent are taken.
const COLUMNS: usize = 48;

/// At each decision its columns, each with mean 0 and variance 1 over the log.
pub(super) fn of(decisions: &[Decision]) -> Vec<Vec<f64>> {
    let cells: Vec<BTreeMap<String, f64>> =
        decisions.iter().map(|decision| cells(&decision.context)).collect();
    let columns = columns(&cells);
    let mut rows = vec![Vec::with_capacity(columns.len()); decisions.len()];
    for column in &columns {
        let values: Vec<f64> =
            cells.iter().map(|cells| cells.get(column).copied().unwrap_or_default()).collect();
        if let Some(values) = standardised(&values) {
            rows.iter_mut().zip(values).for_each(|(row, value)| row.push(value));
        }
    }
    rows
}

fn cells(context: &Value) -> BTreeMap<String, f64> {
    let mut cells = BTreeMap::new();
    collect(context, "", &mut cells);
    cells
}

fn collect(value: &Value, path: &str, cells: &mut BTreeMap<String, f64>) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => {
            cells.insert(path.to_owned(), f64::from(u8::from(*flag)));
        }
        Value::Number(number) => {
            cells.insert(path.to_owned(), number.as_f64().unwrap_or_default());
        }
        Value::String(text) => {
            cells.insert(format!("{path}={text}"), 1.0);
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{path}/{index}"), cells);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                collect(member, &format!("{path}/{key}"), cells);
            }
        }
    }
}

/// The names of the most frequent columns, in the order of the names.
fn columns(cells: &[BTreeMap<String, f64>]) -> Vec<String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for (name, value) in cells.iter().flatten() {
        *counts.entry(name).or_default() += usize::from(*value != 0.0);
    }
    let mut names: Vec<_> = counts.into_iter().collect();
    names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    names.truncate(COLUMNS);
    let mut names: Vec<_> = names.into_iter().map(|(name, _)| name.clone()).collect();
    names.sort_unstable();
    names
}

/// `None` of a column that is the same everywhere.
fn standardised(values: &[f64]) -> Option<Vec<f64>> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let spread = crate::statistics::variance(values).sqrt();
    (spread > 1e-12).then(|| values.iter().map(|value| (value - mean) / spread).collect())
}
