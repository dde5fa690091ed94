//! Logged decisions as CSV or as JSON lines, from anywhere.

use super::rows::{self, Noted, Row, RowError};
use serde_json::{Map, Value};

/// The names of columns, where the command line names none: in our own logs, and in the Open
/// Bandit Dataset (Saito et al., 2021).
const ARM: [&str; 3] = ["arm", "item_id", "action"];
const PROPENSITY: [&str; 3] = ["propensity", "propensity_score", "pscore"];
const REWARD: [&str; 2] = ["reward", "click"];
/// A column whose name begins so is part of the context.
const CONTEXT: [&str; 3] = ["context", "user_feature", "user-item_affinity"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    JsonLines,
}

impl Format {
    /// By the name of a file.
    pub fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// The names of columns, where they are not the usual ones.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    pub arm: Option<String>,
    pub propensity: Option<String>,
    pub reward: Option<String>,
    pub context: Vec<String>,
    /// The evaluated policy's probability of the logged arm, or an object with that of each arm.
    pub policy: Option<String>,
}

impl Columns {
    fn is_needed(&self, name: &str) -> bool {
        let named = [&self.arm, &self.propensity, &self.reward, &self.policy];
        named.iter().any(|one| one.as_deref() == Some(name))
            || ARM.iter().chain(&PROPENSITY).chain(&REWARD).any(|usual| *usual == name)
            || self.is_context(name)
    }

    fn is_context(&self, name: &str) -> bool {
        if self.context.is_empty() {
            CONTEXT.iter().any(|prefix| name.starts_with(prefix))
        } else {
            self.context.iter().any(|column| column == name)
        }
    }

    fn row(&self, line: u64, mut members: Map<String, Value>) -> Result<Row, RowError> {
        let place = format!("line {line}");
        let fail = |problem| RowError { place: place.clone(), problem };
        let take = |named: &Option<String>, usual: &[&str]| {
            let names: Vec<&str> =
                named.as_deref().map_or_else(|| usual.to_vec(), |name| vec![name]);
            let found = names.iter().find_map(|name| members.get(*name));
            found.ok_or_else(|| fail(format!("it has no column `{}`", names.join("` or `"))))
        };
        let arm = rows::arm(take(&self.arm, &ARM)?).map_err(fail)?;
        let propensity = rows::propensity(take(&self.propensity, &PROPENSITY)?).map_err(fail)?;
        let reward = rows::reward(take(&self.reward, &REWARD)?).map_err(fail)?;
        let candidate = self.policy.as_ref().map(|_| take(&self.policy, &[])).transpose()?;
        let candidate = candidate.map(Noted::read).transpose().map_err(fail)?;
        members.retain(|name, _| self.is_context(name));
        let context = if members.is_empty() { Value::Null } else { Value::Object(members) };
        Ok(Row { place, arm, propensity, reward, context, candidate, baseline: None })
    }
}

/// The rows of a file, at least one.
pub fn read(bytes: &[u8], format: Format, columns: &Columns) -> Result<Vec<Row>, RowError> {
    let rows = match format {
        Format::Csv => read_csv(bytes, columns),
        Format::JsonLines => read_json_lines(bytes, columns),
    }?;
    if rows.is_empty() {
        let problem = "there are no decisions below it".to_owned();
        return Err(RowError { place: "line 1".to_owned(), problem });
    }
    Ok(rows)
}

fn read_csv(bytes: &[u8], columns: &Columns) -> Result<Vec<Row>, RowError> {
    let mut reader = csv::Reader::from_reader(bytes);
    let unreadable = |line: u64, error: &csv::Error| RowError {
        place: format!("line {line}"),
        problem: error.to_string(),
    };
    let names = reader.headers().map_err(|error| unreadable(1, &error))?.clone();
    let needed: Vec<(usize, &str)> =
        names.iter().enumerate().filter(|(_, name)| columns.is_needed(name)).collect();
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| unreadable(index as u64 + 2, &error))?;
        let line = record.position().map_or(index as u64 + 2, csv::Position::line);
        let cells = needed
            .iter()
            .filter_map(|(index, name)| Some(((*name).to_owned(), cell(record.get(*index)?))));
        rows.push(columns.row(line, cells.collect())?);
    }
    Ok(rows)
}

/// A cell that is JSON as JSON, any other as text.
fn cell(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn read_json_lines(bytes: &[u8], columns: &Columns) -> Result<Vec<Row>, RowError> {
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let filled = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let read = |(index, line): (usize, &[u8])| {
        let number = index as u64 + 1;
        let members = serde_json::from_slice(line).map_err(|error| RowError {
            place: format!("line {number}"),
            problem: format!("it is no JSON object: {error}"),
        })?;
        columns.row(number, members)
    };
    filled.map(read).collect()
}
