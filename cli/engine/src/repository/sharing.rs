//! Synchronises managed refs with a remote: records, pins, versions that lost the race for
//! `active`.
//!
//! A push never removes data of other clones: a record is pushed as the join of the remote and the
//! local content, with a lease on the fetched value; after a lost race, it is fetched and joined
//! again.

use crate::repository::Repository;
use crate::repository::error::RepositoryError;
use crate::repository::ledger;
use crate::repository::past;
use crate::repository::records::{COUNTED, INBOX, Record};
use crate::world::git::{Git, Move, PrePush, Pushed};
use agent_core::formats::committed::Committed;
use agent_core::formats::object_id::ObjectId;
use agent_core::version::record_refs::{LOST, OWN, PEERS, PINS, REMOTES, SHARED, fetch_refspecs};
use std::cmp::Ordering;
use std::collections::BTreeSet;

const RECORDS: [&Record; 3] = [&ledger::RECORD, &INBOX, &COUNTED];

/// The number of retries after lost races.
const ATTEMPTS: usize = 16;

/// The ref updates at a remote, and the local refs to update afterwards.
#[derive(Debug, Default)]
struct Plan {
    there: Vec<Move>,
    here: Vec<Move>,
}

/// Fetches managed refs of a remote and pushes what it lacks; returns the updated refs of the
/// remote. `taken` are refs of the remote that the current push updates itself.
pub fn share(
    repository: &Repository,
    remote: &str,
    taken: &BTreeSet<String>,
) -> Result<Committed<Vec<String>>, RepositoryError> {
    let git = &repository.git;
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        fetch(git, remote)?;
        repository.unpack(past::share_counts(repository)?);
        let plan = plan(git, remote, taken)?;
        if !plan.there.is_empty()
            && let Pushed::Conflict { why } = git.push(remote, &plan.there, PrePush::Skipped)?
        {
            last = why;
            continue;
        }
        let mut shared =
            Committed::whole(plan.there.into_iter().map(|change| change.name).collect());
        for change in plan.here {
            let moved = git.move_ref(change, "agent: shared");
            // a ref that another process of this clone moved meanwhile contains the update, or is
            // shared next time
            if let Some(moved) = shared.warnings.note(
                moved,
                "it is shared, but not noted here that it is; the next `agent sync` does that",
            ) {
                moved.unpack(&mut shared.warnings);
            }
        }
        return Ok(shared);
    }
    Err(RepositoryError::Outrun { remote: remote.to_owned(), why: last })
}

/// Only the managed refs of the remote.
pub fn fetch(git: &Git, remote: &str) -> Result<(), RepositoryError> {
    Ok(git.fetch(remote, &fetch_refspecs(&git.remote_place(remote)))?)
}

fn plan(git: &Git, remote: &str, taken: &BTreeSet<String>) -> Result<Plan, RepositoryError> {
    let mut plan = Plan::default();
    for record in RECORDS {
        let Some(joined) = record.joined(git)? else { continue };
        let shared = format!("{SHARED}{}", record.name);
        plan.push(git, remote, &shared, &joined, taken)?;
        let here = git.target(&shared)?;
        if here.as_ref() != Some(&joined) && !taken.contains(&shared) {
            plan.here.push(Move { name: shared, from: here, to: Some(joined) });
        }
    }
    if let Some(clone) = git.known_clone_id()? {
        let own = format!("{OWN}{clone}/");
        for (name, commit) in git.references(&own)? {
            let below = &name[own.len()..];
            if !below.starts_with(LOST) && !RECORDS.iter().any(|record| record.name == below) {
                continue;
            }
            let pushed = format!("{SHARED}{PEERS}{clone}/{below}");
            let theirs = seen(git, remote, &pushed)?;
            if theirs.is_some_and(|theirs| !git.is_ancestor(&theirs, &commit).unwrap_or(false)) {
                // another clone uses this name; what was written under it is in the shared records
                git.rename_clone()?;
                break;
            }
            plan.push(git, remote, &pushed, &commit, taken)?;
        }
    }
    for (name, blob) in git.own_pins()? {
        plan.pin(git, remote, &name, &blob, taken)?;
    }
    Ok(plan)
}

impl Plan {
    /// For a pin that differs, the newer one is set on both sides.
    fn pin(
        &mut self,
        git: &Git,
        remote: &str,
        name: &str,
        blob: &ObjectId,
        taken: &BTreeSet<String>,
    ) -> Result<(), RepositoryError> {
        let reference = format!("{SHARED}{PINS}{name}");
        let Some(theirs) = seen(git, remote, &reference)? else {
            return self.push(git, remote, &reference, blob, taken);
        };
        let set_at =
            |reference: &str| git.pin_at(reference, name).ok().flatten().and_then(|(_, at)| at);
        match set_at(&reference)
            .cmp(&set_at(&format!("{REMOTES}{}/{PINS}{name}", git.remote_place(remote))))
        {
            Ordering::Greater => self.push(git, remote, &reference, blob, taken),
            Ordering::Less => {
                self.here.push(Move {
                    name: reference,
                    from: Some(blob.clone()),
                    to: Some(theirs),
                });
                Ok(())
            }
            Ordering::Equal => Ok(()),
        }
    }

    fn push(
        &mut self,
        git: &Git,
        remote: &str,
        name: &str,
        to: &ObjectId,
        taken: &BTreeSet<String>,
    ) -> Result<(), RepositoryError> {
        let from = seen(git, remote, name)?;
        if from.as_ref() != Some(to) && !taken.contains(name) {
            self.there.push(Move { name: name.to_owned(), from, to: Some(to.clone()) });
        }
        Ok(())
    }
}

/// The last fetched value of a managed ref of the remote.
fn seen(git: &Git, remote: &str, name: &str) -> Result<Option<ObjectId>, RepositoryError> {
    let below = name.strip_prefix(SHARED).unwrap_or(name);
    Ok(git.target(&format!("{REMOTES}{}/{below}", git.remote_place(remote)))?)
}

/// Whether managed refs have content that the remote lacked when last fetched; the remote is not
/// contacted.
pub fn has_unshared(repository: &Repository, remote: &str) -> Result<bool, RepositoryError> {
    let git = &repository.git;
    if past::has_unshared_counts(repository)? {
        return Ok(true);
    }
    for record in RECORDS {
        let theirs = seen(git, remote, &format!("{SHARED}{}", record.name))?;
        let heads: Vec<_> = git.record_heads(record.name)?.into_keys().collect();
        if !heads.is_empty() && heads != theirs.into_iter().collect::<Vec<_>>() {
            return Ok(true);
        }
    }
    for (name, blob) in git.own_pins()? {
        if seen(git, remote, &format!("{SHARED}{PINS}{name}"))? != Some(blob) {
            return Ok(true);
        }
    }
    Ok(false)
}
