//! Signals of staging taken back, by id or by tag.

use crate::conversations;
use crate::error::Failure;
use crate::repository::Repository;
use crate::staging::{Known, Withdrawn};
use crate::target::replay;
use crate::target::tuner::{self, Tuner};
use crate::world::event_loop;
use agent_core::formats::diagnose::FailureKind;
use agent_core::state::journal::{self, Fold, Record};
use agent_core::version::what::What;

/// Which signals.
#[derive(Debug, Clone)]
pub enum Selection {
    Id(String),
    Tag(String),
}

impl Selection {
    fn takes(&self, record: &Record) -> bool {
        match self {
            Self::Id(id) => record.id == *id,
            Self::Tag(tag) => record.tags.contains(tag),
        }
    }
}

#[derive(Debug)]
pub enum Outcome {
    /// Signals of staging would be taken back, as many as this.
    Planned(u64),
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
) -> Result<Outcome, Failure> {
    let target = repository.target(&What::Active)?;
    event_loop::block_on(async {
        let tuner = Tuner::start(repository, &target).await?;
        let outcome = through(&tuner, repository, selection, dry_run, verify).await;
        tuner.end().await;
        outcome
    })?
}

async fn through(
    tuner: &Tuner,
    repository: &Repository,
    selection: &Selection,
    dry_run: bool,
    verify: bool,
) -> Result<Outcome, Failure> {
    let mut staging = tuner::staging_for(tuner, repository).await?;
    let selected = staging.selected(|record| selection.takes(record))?;
    if selected.is_empty() {
        if let Selection::Id(id) = selection {
            expect_not_promoted(id, &staging.has_counted(id)?, staging.has_withdrawn(id)?)?;
        }
        return Ok(Outcome::Nothing);
    }
    if dry_run {
        return Ok(Outcome::Planned(selected.len() as u64));
    }
    // before the commit point, so that a kill leaves nothing that a repetition does not find
    for record in &selected {
        if let Some(conversation) = &record.conversation {
            conversations::forget_reward(&repository.layout, &conversation.id, &record.id)?;
        }
    }
    let withdrawn = staging
        .withdraw(
            |record| selection.takes(record),
            async |state, record: &Record| tuner.replay(state, record).await,
        )
        .await?;
    let withdrawn = repository.settle(withdrawn);
    let verified = if verify { Some(replayed(tuner, &staging.journal()?).await?) } else { None };
    Ok(Outcome::Done { withdrawn, verified })
}

/// Replays a whole Journal.
async fn replayed(tuner: &Tuner, bytes: &[u8]) -> Result<Result<(), String>, Failure> {
    let start = Fold::begin(bytes)?.state;
    let mut walked = Vec::new();
    journal::walk(bytes, |record, after| walked.push((record.clone(), after.clone())))?;
    let mismatch = replay::journal(tuner, &start, &walked, || ()).await?;
    Ok(mismatch.map_or(Ok(()), |mismatch| {
        Err(format!("signal `{}` {}", mismatch.record.id, mismatch.what))
    }))
}

fn expect_not_promoted(id: &str, known: &Known, is_withdrawn: bool) -> Result<(), Failure> {
    match known {
        _ if is_withdrawn => Ok(()),
        Known::Yes => Err(Failure::new(
            FailureKind::Refused,
            format!("signal `{id}` is part of a version, and a version's evidence is not changed"),
        )
        .with_hint(
            "`agent rollback` to a version before it, then `agent tune` the other signals again",
        )),
        Known::No | Known::Unsure(_) => {
            Err(Failure::input(format!("staging has no signal `{id}`"))
                .with_hint("`agent state log` lists the signals of staging"))
        }
    }
}
