//! The compliance of the objectives of `ci/budgets.json`, from the record.

pub mod counts;
mod error;
pub mod openslo;

use crate::error::Failure;
use crate::repository::Repository;
use crate::world::git::ACTIVE;
use crate::world::{clock, fs};
use agent_core::formats::committed::Warnings;
use agent_core::slo::Objective;
use agent_core::slo::budget::Standing;
use agent_core::testing::budget::{self, Budgets};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Every objective with its standing at a moment.
#[derive(Debug)]
pub struct Report {
    pub at: Timestamp,
    pub objectives: Vec<(Objective, Standing)>,
    pub warnings: Warnings,
}

/// Into how many parts a window is divided for its history.
const PARTS: u64 = 28;

impl Report {
    pub fn document(&self) -> Value {
        let objectives =
            self.objectives.iter().map(|(objective, standing)| standing.document(objective));
        json!({
            "schema": "agent/slos@1",
            "at": self.at.to_string(),
            "objectives": objectives.collect::<Vec<_>>(),
        })
    }
}

/// The budgets of the working tree's file; those of `active` where there is no working tree.
pub fn budgets(repository: &Repository) -> Result<Budgets, Failure> {
    let bytes = match repository.git.worktree() {
        Some(worktree) => fs::read_if_there(&worktree.join(budget::FILE))?,
        None => match repository.git.reference(ACTIVE)? {
            Some(tip) => repository.git.read(&tip, budget::FILE)?,
            None => None,
        },
    };
    Ok(bytes.map(|bytes| Budgets::read(&bytes, budget::FILE)).transpose()?.unwrap_or_default())
}

/// Where each objective stands now.
pub fn report(budgets: &Budgets, repository: &Repository) -> Result<Report, Failure> {
    let at = clock::now();
    let (counts, warnings) = counts::up_to_date(budgets, at, repository)?;
    let standing = |objective: &Objective| {
        objective.standing(&counts.objective(objective), seconds(at), PARTS)
    };
    let objectives =
        budgets.slos.iter().map(|objective| (objective.clone(), standing(objective))).collect();
    Ok(Report { at, objectives, warnings })
}

/// Since 1970, UTC.
pub fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or_default()
}
