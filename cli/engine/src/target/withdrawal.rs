//! Withdraws signals, by id or by tag.

use crate::conversations;
use crate::repository::Repository;
use crate::staging::{Known, Scope, Staging, Withdrawn};
use crate::target::error::TargetError;
use crate::target::replay;
use crate::target::tuner::{self, Tuner};
use crate::world::event_loop;
use agent_core::state::journal::{self, Fold, Heading, Record};
use agent_core::version::what::What;
use semver::Version;
use serde_json::Value;

/// Which signals.
#[derive(Debug, Clone)]
pub enum Selection {
    Id(String),
    Tag(String),
}

impl Selection {
    /// Signals of one tag may be anywhere.
    const fn scope(&self) -> Scope {
        match self {
            Self::Id(_) => Scope::First,
            Self::Tag(_) => Scope::All,
        }
    }

    /// The members of the lines of its signals.
    fn text(&self) -> String {
        match self {
            Self::Id(id) => journal::text_of_id(id),
            Self::Tag(tag) => Value::from(&**tag).to_string(),
        }
    }

    fn takes(&self, heading: &Heading) -> bool {
        match self {
            Self::Id(id) => heading.id == *id,
            Self::Tag(tag) => heading.tags.contains(tag),
        }
    }
}

#[derive(Debug)]
pub enum Outcome {
    /// The number of signals that would be withdrawn, and the versions that have some of them.
    Planned(u64, Vec<Version>),
    Done {
        withdrawn: Withdrawn,
        /// Whether a replay of all that is left led to each recorded state; nothing where none was
        /// asked for.
        verified: Option<Result<(), String>>,
    },
    /// There is none, or no longer.
    Nothing,
}

pub fn withdraw(
    repository: &Repository,
    selection: &Selection,
    dry_run: bool,
    verify: bool,
) -> Result<Outcome, TargetError> {
    let target = repository.target(&What::Active)?;
    event_loop::block_on(async {
        // the Journal is read while the Tuner's process starts
        let staging = async { repository.staging() };
        let (tuner, staging) = tokio::join!(Tuner::start(repository, &target), staging);
        let tuner = tuner?;
        let outcome = match staging {
            Ok(staging) => through(&tuner, staging, repository, selection, dry_run, verify).await,
            Err(error) => Err(error.into()),
        };
        tuner.end().await;
        outcome
    })?
}

async fn through(
    tuner: &Tuner,
    staging: Staging,
    repository: &Repository,
    selection: &Selection,
    dry_run: bool,
    verify: bool,
) -> Result<Outcome, TargetError> {
    let mut staging = tuner::replayed_on_active(staging, tuner, repository).await?;
    if !dry_run {
        staging.hold()?;
    }
    let takes = |heading: &Heading| selection.takes(heading);
    let selected = staging.selected(&selection.text(), takes, selection.scope())?;
    if selected.records.is_empty() {
        if let Selection::Id(id) = selection {
            expect_taken_back(id, &staging.has_counted(id)?, staging.has_withdrawn(id)?)?;
        }
        return Ok(Outcome::Nothing);
    }
    if dry_run {
        return Ok(Outcome::Planned(selected.records.len() as u64, selected.versions));
    }
    // before the commit point, so that a kill leaves nothing that a repetition does not find
    for record in &selected.records {
        if let Some(conversation) = &record.conversation {
            conversations::forget_reward(&repository.layout, &conversation.id, &record.id)?;
        }
    }
    let replay = async |state: &Value, records: &[Record]| tuner.replays(state, records).await;
    let withdrawn = staging.withdraw(selected, tuner.rules(), replay).await?;
    let withdrawn = repository.unpack(withdrawn);
    let verified = if verify { Some(replayed(tuner, &withdrawn.replay).await?) } else { None };
    Ok(Outcome::Done { withdrawn, verified })
}

/// Replays a whole Journal.
async fn replayed(tuner: &Tuner, bytes: &[u8]) -> Result<Result<(), String>, TargetError> {
    let start = Fold::begin(bytes)?.state;
    let mut walked = Vec::new();
    journal::walk(bytes, |record, after| walked.push((record.clone(), after.clone())))?;
    let mismatch = replay::journal(tuner, &start, &walked, || ()).await?;
    Ok(mismatch.map_or(Ok(()), |mismatch| {
        Err(format!("signal `{}` {}", mismatch.record.id, mismatch.what))
    }))
}

/// A signal that was not found is no error where it was taken back before.
fn expect_taken_back(id: &str, known: &Known, is_withdrawn: bool) -> Result<(), TargetError> {
    match known {
        _ if is_withdrawn => Ok(()),
        Known::Yes => Err(TargetError::CountedBefore { id: id.to_owned() }),
        Known::No | Known::Undetermined(_) => Err(TargetError::NotCounted { id: id.to_owned() }),
    }
}
