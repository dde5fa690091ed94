//! A version that is made on top of what a remote serves, and pushed there.

use crate::context::Context;
use crate::error::CommandError;
use crate::repository::Repository;
use crate::sync::{self, Options};
use crate::versions::Outcome;
use agent_core::diagnose::Exit;

/// Makes a version and pushes it; makes it again on top of what another clone published meanwhile.
pub fn made_and_pushed(
    repository: &Repository,
    context: &Context,
    mut attempt: impl FnMut() -> Result<Outcome, CommandError>,
) -> Result<Outcome, CommandError> {
    let remote = repository.served_manifest().and_then(|manifest| manifest.remote).map(|remote| remote.name);
    let options = Options { remote, dry_run: false };
    for _ in 0..super::ATTEMPTS {
        let before = sync::sync(repository, context, &options)?;
        let Some(remote) = before.remote() else {
            return Err(CommandError::usage("there is no remote to push to").with_hint("git remote add origin ADDRESS"));
        };
        let made = attempt()?;
        // an attempt that the gate refused is on record as well, and other clones have to know of it
        let after = sync::sync(repository, context, &options).map_err(|error| unpushed(error, &made))?;
        if !made.commit.as_ref().is_some_and(|commit| after.has_lost(commit)) {
            let pushed = made.done.then(|| remote.to_owned());
            return Ok(Outcome { pushed, ..made });
        }
    }
    Err(CommandError::new(Exit::Conflict, "other clones kept publishing first").with_hint("run it again; nothing was lost"))
}

fn unpushed(mut error: CommandError, made: &Outcome) -> CommandError {
    if let Some(tag) = &made.tag {
        error.messages.insert(0, format!("{tag} is made here, and could not be pushed"));
        error.hint.get_or_insert_with(|| "`agent sync` pushes it".to_owned());
    }
    error
}
