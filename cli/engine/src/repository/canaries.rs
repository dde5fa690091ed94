//! Canaries on record: files of the inbox, so that they are cloned and pushed with the repository.
//! The frozen state is beside each record, so that its object is kept and is cloned as well.

use crate::repository::Repository;
use crate::repository::error::RepositoryError;
use crate::repository::records::{FROZEN_STATE_SUFFIX, INBOX};
use agent_core::canary::Canary;
use agent_core::formats::committed::Committed;

const FOLDER: &str = "canaries";

/// All canaries, oldest first.
pub fn all(repository: &Repository) -> Result<Vec<Canary>, RepositoryError> {
    let files = INBOX.view(&repository.git)?.files(FOLDER)?;
    let mut canaries = files
        .into_iter()
        .filter(|(path, _)| !path.ends_with(FROZEN_STATE_SUFFIX))
        .map(|(path, bytes)| {
            Canary::parse(&bytes).map_err(|problem| RepositoryError::Canary {
                origin: format!("inbox:{path}"),
                problem,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    canaries.sort_by(|one, other| (&one.started, &one.id).cmp(&(&other.started, &other.id)));
    Ok(canaries)
}

/// Records a canary as it is now, unless that is on record already.
pub fn record(repository: &Repository, canary: &Canary) -> Result<Committed<()>, RepositoryError> {
    let path = format!("{FOLDER}/{}.json", canary.id);
    let state_path = format!("{FOLDER}/{}{FROZEN_STATE_SUFFIX}", canary.id);
    let bytes = canary.to_bytes();
    let state = repository.git.blob(&canary.frozen.revision)?;
    let what = match (&canary.end, &canary.decision) {
        (Some(end), _) => end.outcome.as_str(),
        (None, Some(_)) => "decided",
        (None, None) => "started",
    };
    INBOX.edit(&repository.git, |view| {
        if view.read(&path)?.as_ref() == Some(&bytes) {
            return Ok(None);
        }
        let mut files = vec![(path.clone(), bytes.clone())];
        if !view.has(&state_path)? {
            files.push((state_path.clone(), state.clone()));
        }
        Ok(Some((format!("canary: {} {what}", canary.id), files)))
    })
}
