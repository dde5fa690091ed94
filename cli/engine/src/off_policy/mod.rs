//! Off-policy evaluation of what is not served yet: decisions and rewards on record, and the
//! probabilities that the evaluated policies give to each decision's arms.
//!
//! A decision is a turn of a conversation whose facts have `arm` and `propensity`; `propensities`
//! (an object from arms to probabilities) and `context` are optional. A Runner notes them with
//! `note(...)`.

mod error;
mod probabilities;
mod record;
mod rewards;

use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::world::fs;
use agent_core::formats::committed::Warnings;
use agent_core::formats::off_policy_gate::OffPolicyGate;
use agent_core::off_policy::log::{self, Columns, Format};
use agent_core::off_policy::rows::{self, From, Noted, Row};
use agent_core::off_policy::{self, Evaluation, Method, Model, Names, Range, Requirement, Verdict};
use error::OffPolicyError;
use jiff::Timestamp;
use record::Recorded;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub struct Options {
    pub rewards: Range,
    pub method: Method,
    pub required: Requirement,
}

/// Which decisions on record count, and what is known about the candidate.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub since: Option<Timestamp>,
    /// The reward of a decision without one, which is left out otherwise.
    pub unrewarded: Option<f64>,
    /// A file with the candidate's probabilities, in place of its Runner.
    pub propensities: Option<PathBuf>,
}

#[derive(Debug)]
pub struct Report {
    pub names: Names,
    pub evaluation: Evaluation,
    pub required: Requirement,
    pub verdict: Verdict,
    pub warnings: Warnings,
}

impl Report {
    fn of(
        rows: &[Row],
        policies: [From; 2],
        names: Names,
        options: &Options,
        mut warnings: Warnings,
    ) -> Result<Self, Failure> {
        let (log, candidate, baseline) = rows::assemble(rows, options.rewards, policies)?;
        let evaluation = off_policy::evaluate(&log, &candidate, &baseline, options.method);
        for (name, value) in
            [(&names.candidate, &evaluation.candidate), (&names.baseline, &evaluation.baseline)]
        {
            if value.weights.are_off() {
                warnings.push(format!(
                    "the weights of {name} have a mean of {:.3}, where 1 is expected: the log \
                    lacks \
                    arms that it chooses, or the propensities are not those of the log",
                    value.weights.mean
                ));
            }
        }
        let verdict = Verdict::of(&evaluation, &options.required);
        Ok(Self { names, evaluation, required: options.required, verdict, warnings })
    }

    pub fn document(&self) -> Value {
        self.evaluation.document(&self.names, &self.required, &self.verdict)
    }
}

/// What the decisions on record show.
#[derive(Debug)]
pub enum Evaluated {
    Report(Box<Report>),
    /// No decision is on record that both policies can be evaluated on.
    Nothing {
        why: String,
        hint: String,
    },
}

/// Evaluates a candidate as the manifest requires it for a promotion.
pub fn required(
    repository: &Repository,
    policies: [&Target; 2],
    gate: &OffPolicyGate,
) -> Result<Evaluated, Failure> {
    let (low, high) = gate.rewards;
    let options = Options {
        rewards: Range { low, high },
        method: Method { model: Model::default(), confidence: gate.confidence },
        required: gate.into(),
    };
    let selection = Selection { unrewarded: gate.unrewarded, ..Selection::default() };
    evaluate(repository, policies, &selection, &options)
}

/// Evaluates a candidate against a baseline on the decisions on record.
pub fn evaluate(
    repository: &Repository,
    [candidate, baseline]: [&Target; 2],
    selection: &Selection,
    options: &Options,
) -> Result<Evaluated, Failure> {
    let mut warnings = Warnings::none();
    let recorded = record::decisions(repository, selection, &mut warnings)?;
    if recorded.is_empty() {
        return Ok(nothing_recorded());
    }
    let of_candidate = match &selection.propensities {
        Some(file) => given(file, &recorded)?,
        None => probabilities::of(repository, candidate, &recorded)?,
    };
    let is_logged = recorded.iter().all(|decision| decision.revision == baseline.state.revision);
    let of_baseline = if is_logged {
        vec![None; recorded.len()]
    } else {
        probabilities::of(repository, baseline, &recorded)?
    };
    let total = recorded.len();
    let both = recorded.into_iter().zip(of_candidate.into_iter().zip(of_baseline));
    let rows: Vec<Row> = both
        .filter(|(_, (one, other))| one.is_some() && (is_logged || other.is_some()))
        .map(|(decision, (one, other))| Row { candidate: one, baseline: other, ..decision.row })
        .collect();
    if rows.is_empty() {
        return Ok(no_probabilities(candidate));
    }
    if rows.len() < total {
        warnings.push(format!(
            "{} of {total} decisions are left out: no `propensities` were noted there",
            total - rows.len()
        ));
    }
    let names = Names {
        candidate: candidate.shown(),
        baseline: baseline.shown(),
        log: "conversations".to_owned(),
    };
    let baseline = if is_logged { From::Logged } else { From::Rows };
    let report = Report::of(&rows, [From::Rows, baseline], names, options, warnings)?;
    Ok(Evaluated::Report(Box::new(report)))
}

/// Evaluates a policy against the logged one on a file: the policy of a column, else the one that
/// chooses every arm alike.
pub fn evaluate_file(file: &Path, columns: &Columns, options: &Options) -> Result<Report, Failure> {
    let name = file.display().to_string();
    let format = Format::of(&name).ok_or_else(|| OffPolicyError::Format { name: name.clone() })?;
    let bytes =
        fs::read_if_there(file)?.ok_or_else(|| OffPolicyError::NoFile { name: name.clone() })?;
    let rows = log::read(&bytes, format, columns).map_err(|error| OffPolicyError::Wrong {
        place: name.clone(),
        problem: error.to_string(),
    })?;
    let candidate = if columns.policy.is_some() { From::Rows } else { From::Uniform };
    let names = Names {
        candidate: columns.policy.clone().unwrap_or_else(|| "uniform".to_owned()),
        baseline: "logged".to_owned(),
        log: name,
    };
    Report::of(&rows, [candidate, From::Logged], names, options, Warnings::none())
}

/// A line of a file of probabilities.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenLine {
    conversation: String,
    turn: u64,
    propensities: Value,
}

/// The candidate's probabilities at each decision, from a file of JSON lines.
fn given(file: &Path, recorded: &[Recorded]) -> Result<Vec<Option<Noted>>, Failure> {
    let name = file.display().to_string();
    let text =
        fs::read_if_there(file)?.ok_or_else(|| OffPolicyError::NoFile { name: name.clone() })?;
    let mut known = HashMap::new();
    for (index, line) in String::from_utf8_lossy(&text).lines().enumerate() {
        let wrong =
            |problem| OffPolicyError::Wrong { place: format!("{name}:{}", index + 1), problem };
        let line: GivenLine =
            serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let noted = Noted::read(&line.propensities).map_err(wrong)?;
        known.insert((line.conversation, line.turn), noted);
    }
    let mut of =
        |decision: &Recorded| known.remove(&(decision.conversation.clone(), decision.turn));
    Ok(recorded.iter().map(&mut of).collect())
}

fn nothing_recorded() -> Evaluated {
    Evaluated::Nothing {
        why: "no turn on record has an arm with its propensity, and a reward".to_owned(),
        hint: "a Runner records them with note(arm=..., propensity=..., propensities={...}, \
            context={...}), and signals of the conversation carry the reward"
            .to_owned(),
    }
}

fn no_probabilities(candidate: &Target) -> Evaluated {
    Evaluated::Nothing {
        why: format!("the Runner of {} noted no `propensities` at any decision", candidate.shown()),
        hint: "`--propensities FILE` gives them in its place".to_owned(),
    }
}
