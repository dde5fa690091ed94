//! `--watch`: after each save, the cases that it can have changed are run, until Ctrl-C.

use super::{Arguments, once};
use crate::context::Context;
use crate::exit::CommandResult;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::world::watch::Watch;

pub(super) fn watch(
    arguments: &Arguments,
    repository: &Repository,
    context: &Context,
) -> CommandResult {
    if arguments.at != What::Worktree {
        return Err(Failure::usage(
            "`--watch` looks at the working tree, so it goes with `--at worktree` alone",
        ));
    }
    if context.printer.is_json() {
        return Err(Failure::usage("`--watch` has no end, so there is no one JSON document of it"));
    }
    let root = repository.worktree()?;
    // before the first run, so that no save is missed
    let mut changes = Watch::start(&root)?;
    let mut seen = None;
    loop {
        // an editor's backup files, and a file saved as it was, change nothing
        let tree = repository.git.snapshot_worktree(&root, &repository.layout).ok();
        if tree.is_none() || tree != seen {
            seen = tree;
            context.printer.clear();
            if let Err(error) = once(arguments, repository, context) {
                context.printer.error(&error);
            }
            context.printer.say("watching; press Ctrl-C to stop");
        }
        changes.wait()?;
    }
}
