//! `--watch`: after each save, runs the cases whose outcome it can change, until Ctrl-C.

use super::arguments::Arguments;
use super::once::once;
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
            "`--watch` tests the working tree, so it requires `--at worktree`",
        ));
    }
    if context.printer.is_json() {
        return Err(Failure::usage("`--watch` does not end, and `--json` is one document"));
    }
    let root = repository.worktree()?;
    // before the first run, so that no save during it is missed
    let mut changes = Watch::start(&root)?;
    let mut seen = None;
    loop {
        // editors' backup files and unchanged saves start no run
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
