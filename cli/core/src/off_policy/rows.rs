//! Decisions as they are recorded, by the names of their arms, and the log and policies made of
//! them.

use super::logged::{Decision, Log, Policy, Range};
use crate::formats::diagnose::{Diagnose, FailureKind};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The probability that a policy gives to an arm, by the arm's name.
pub type Chances = BTreeMap<String, f64>;

/// The greatest difference of the sum of a policy's probabilities from 1, since they are rounded in
/// the log.
const ROUNDING: f64 = 1e-3;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{place}: {problem}")]
pub struct RowError {
    /// A line of a file, or a turn.
    pub place: String,
    pub problem: String,
}

impl Diagnose for RowError {
    fn kind(&self) -> FailureKind {
        FailureKind::Input
    }
}

/// A policy's probabilities at one decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Noted {
    /// Of the arm that was chosen.
    Taken(f64),
    /// Of every arm; one that is not named has none.
    All(Chances),
}

impl Noted {
    /// A number, or an object from arms to numbers that add up to 1.
    pub fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Object(_) => chances(value).map(Self::All),
            _ => chance(value).map(Self::Taken),
        }
    }
}

/// One decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it was read, for errors.
    pub place: String,
    pub arm: String,
    pub propensity: f64,
    pub reward: f64,
    pub context: Value,
    pub candidate: Option<Noted>,
    pub baseline: Option<Noted>,
}

/// Where a policy's probabilities are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// It is the one that was logged.
    Logged,
    /// It chooses every arm alike.
    Uniform,
    /// In the rows.
    Rows,
}

/// The log of the rows, with the policies that are compared on it.
pub fn assemble(
    rows: &[Row],
    rewards: Range,
    [candidate, baseline]: [From; 2],
) -> Result<(Log, Policy, Policy), RowError> {
    let names: BTreeSet<&String> = rows.iter().flat_map(names).collect();
    let arms: Vec<String> = names.into_iter().cloned().collect();
    let decisions = rows.iter().map(|row| Decision {
        arm: arms.binary_search(&row.arm).expect("every arm is among them"),
        reward: rewards.clamp(row.reward),
        propensity: row.propensity,
        context: row.context.clone(),
    });
    let log = Log { decisions: decisions.collect(), arms, rewards };
    let candidate = policy(&log, rows, candidate, |row| row.candidate.as_ref())?;
    let baseline = policy(&log, rows, baseline, |row| row.baseline.as_ref())?;
    Ok((log, candidate, baseline))
}

fn names(row: &Row) -> impl Iterator<Item = &String> {
    let noted = [&row.candidate, &row.baseline].into_iter().filter_map(|noted| match noted {
        Some(Noted::All(chances)) => Some(chances.keys()),
        _ => None,
    });
    std::iter::once(&row.arm).chain(noted.flatten())
}

fn policy<'a>(
    log: &Log,
    rows: &'a [Row],
    from: From,
    noted: impl Fn(&'a Row) -> Option<&'a Noted>,
) -> Result<Policy, RowError> {
    match from {
        From::Logged => return Ok(Policy::Logged),
        From::Uniform => return Ok(Policy::uniform(log)),
        From::Rows => {}
    }
    let at = |row: &'a Row| {
        let problem = "it has no probabilities of the policy that is evaluated".to_owned();
        noted(row).ok_or_else(|| RowError { place: row.place.clone(), problem })
    };
    let all = rows.iter().map(at).collect::<Result<Vec<_>, _>>()?;
    let chance = |chances: &Chances, arm: &String| chances.get(arm).copied().unwrap_or_default();
    if all.iter().all(|noted| matches!(noted, Noted::All(_))) {
        let full = all.iter().map(|noted| match noted {
            Noted::All(chances) => log.arms.iter().map(|arm| chance(chances, arm)).collect(),
            Noted::Taken(_) => unreachable!("each has all"),
        });
        return Ok(Policy::Full(full.collect()));
    }
    let taken = all.iter().zip(rows).map(|(noted, row)| match noted {
        Noted::Taken(taken) => *taken,
        Noted::All(chances) => chance(chances, &row.arm),
    });
    Ok(Policy::Taken(taken.collect()))
}

/// A probability that an arm was chosen with: above 0.
pub fn propensity(value: &Value) -> Result<f64, String> {
    let propensity = chance(value)?;
    if propensity > 0.0 {
        Ok(propensity)
    } else {
        Err("the propensity is 0, but the arm was chosen".to_owned())
    }
}

/// A reward: a number, or a boolean as 1 or 0.
pub fn reward(value: &Value) -> Result<f64, String> {
    let number = value.as_f64().or_else(|| value.as_bool().map(f64::from));
    number
        .filter(|reward| reward.is_finite())
        .ok_or_else(|| format!("the reward is {value}, not a number"))
}

/// The name of an arm.
pub fn arm(value: &Value) -> Result<String, String> {
    match value {
        Value::String(name) => Ok(name.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("the arm is {other}, neither a text nor a number")),
    }
}

fn chance(value: &Value) -> Result<f64, String> {
    let known = value.as_f64().filter(|chance| (0.0..=1.0 + ROUNDING).contains(chance));
    known.ok_or_else(|| format!("{value} is not a probability"))
}

fn chances(value: &Value) -> Result<Chances, String> {
    let members = value.as_object().ok_or("the probabilities are not an object of arms")?;
    let chances = members.iter().map(|(arm, value)| Ok((arm.clone(), chance(value)?)));
    let chances = chances.collect::<Result<Chances, String>>()?;
    let sum: f64 = chances.values().sum();
    if (sum - 1.0).abs() <= ROUNDING {
        Ok(chances)
    } else {
        Err(format!("the probabilities add up to {sum}, not to 1"))
    }
}
