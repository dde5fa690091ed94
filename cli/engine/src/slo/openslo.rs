//! The objectives of ci/budgets.json exchanged with files of OpenSLO.

use super::error::SloError;
use crate::error::Failure;
use crate::repository::Repository;
use crate::world::fs;
use agent_core::formats::{document, yaml};
use agent_core::slo::{Objective, openslo};
use agent_core::testing::budget::FILE;
use agent_core::testing::budget_edit::{Change, with_objectives};

/// What an import changes in ci/budgets.json.
#[derive(Debug)]
pub struct Imported {
    pub changes: Vec<(Objective, Change)>,
    /// Members of the file that an objective does not keep.
    pub left_out: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Objectives of the same name with other content are replaced.
    pub replaces: bool,
    pub dry_run: bool,
}

/// Puts the objectives of a file into ci/budgets.json of the working tree; `name` names the file in
/// errors.
pub fn import(
    bytes: &[u8],
    name: &str,
    options: Options,
    repository: &Repository,
) -> Result<Imported, Failure> {
    let read = openslo::read(yaml::documents(document::text(bytes, name)?, name)?, name)?;
    let worktree = repository.git.worktree().ok_or(SloError::Bare)?;
    let path = worktree.join(FILE);
    let before = fs::read_if_there(&path)?;
    let text = before.as_deref().map(std::str::from_utf8).transpose();
    let text = text.map_err(|_| SloError::NotUtf8)?;
    let (after, changes) = with_objectives(text, &read.objectives, options.replaces)?;
    let is_changed = changes.iter().any(|change| *change != Change::Same);
    if is_changed
        && !options.dry_run
        && !fs::rewrite_unsaved(&path, before.as_deref(), after.as_bytes())?
    {
        return Err(SloError::Changed.into());
    }
    let changes = read.objectives.into_iter().zip(changes).collect();
    Ok(Imported { changes, left_out: read.left_out })
}

/// The text of a file with these objectives.
pub fn export(objectives: &[Objective], repository: &Repository) -> String {
    let manifest = repository.served_manifest();
    let service = manifest.map_or_else(|| "agent".to_owned(), |manifest| manifest.name);
    yaml::text(&openslo::write(objectives, &service))
}
