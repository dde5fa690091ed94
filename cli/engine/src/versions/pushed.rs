//! A version that is made on top of what a remote serves, and pushed there.

use crate::error::Failure;
use crate::repository::Repository;
use crate::sync::{self, Options};
use crate::versions::Outcome;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::object_id::ObjectId;

/// Whether the served manifest has versions pushed.
pub fn pushes_by_manifest(repository: &Repository) -> bool {
    let remote = repository.served_manifest().and_then(|manifest| manifest.remote);
    remote.is_some_and(|remote| remote.push)
}

/// Called before a version is made, which takes long: where versions are pushed, this clone is
/// synchronised with the remote; otherwise it is an error if the remote serves a newer version.
pub fn require_up_to_date(repository: &Repository, push: bool) -> Result<(), Failure> {
    if push {
        sync::sync(repository, &options(repository)).map(drop)
    } else {
        sync::expect_up_to_date(repository)
    }
}

/// Pushes an existing version; returns the remote. A version superseded meanwhile is a conflict.
pub fn push_made(
    repository: &Repository,
    version: &str,
    commit: &ObjectId,
) -> Result<String, Failure> {
    let after = sync::sync(repository, &options(repository))?;
    let Some(remote) = after.remote() else { return Err(no_remote()) };
    if after.has_superseded(commit) {
        let hints: Vec<_> = after.left().map(|(_, hint)| hint).collect();
        return Err(Failure::new(
            FailureKind::Conflict,
            format!("another clone published first, and {version} is superseded"),
        )
        .with_hint(hints.join("; ")));
    }
    Ok(remote.to_owned())
}

fn options(repository: &Repository) -> Options {
    Options {
        remote: repository
            .served_manifest()
            .and_then(|manifest| manifest.remote)
            .map(|remote| remote.name),
        dry_run: false,
    }
}

fn no_remote() -> Failure {
    Failure::usage("there is no remote to push to").with_hint("git remote add origin ADDRESS")
}

/// Makes a version and pushes it; makes it again on top of what another clone published meanwhile.
pub fn made_and_pushed(
    repository: &Repository,
    mut attempt: impl FnMut() -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let options = options(repository);
    for _ in 0..super::ATTEMPTS {
        let before = sync::sync(repository, &options)?;
        let Some(remote) = before.remote() else { return Err(no_remote()) };
        let made = attempt()?;
        // refused attempts are in the ledger as well, and other clones need them
        let after = sync::sync(repository, &options).map_err(|error| unpushed(error, &made))?;
        if !made.commit.as_ref().is_some_and(|commit| after.has_superseded(commit)) {
            let pushed = made.done.then(|| remote.to_owned());
            return Ok(Outcome { pushed, ..made });
        }
    }
    Err(Failure::new(FailureKind::Conflict, "other clones kept publishing first")
        .with_hint("run it again; nothing was lost"))
}

fn unpushed(mut error: Failure, made: &Outcome) -> Failure {
    if let Some(tag) = &made.tag {
        error.messages.insert(0, format!("{tag} is made here, and could not be pushed"));
        error.hint.get_or_insert_with(|| "`agent sync` pushes it".to_owned());
    }
    error
}
