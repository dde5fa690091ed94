//! `--bless`: writes the Runner's present answers into the golden files.

use super::arguments::Arguments;
use crate::context::Context;
use agent_core::formats::text_difference;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::testing::{self, Request};
use agent_engine::world::fs::{self, Durability};

/// Prints the changes of the golden files, and writes them unless it is a dry run.
pub(super) fn write(
    arguments: &Arguments,
    repository: &Repository,
    target: &Target,
    context: &Context,
) -> Result<(), Failure> {
    if arguments.at != What::Worktree {
        return Err(Failure::usage(
            "`--bless` writes into the working tree, so it requires `--at worktree`",
        ));
    }
    let worktree = repository.worktree()?;
    let evaluators = target.own_evaluators();
    let files = evaluators.files(&repository.git)?;
    let mut changed = 0;
    for tier in arguments.tiers() {
        let request = Request { keep_goldens: true, ..arguments.request(tier) };
        for golden in
            testing::run_tier(repository, target, &evaluators, &request, &mut |_| {})?.goldens
        {
            let before = files.read(&golden.path, &golden.path)?;
            if before.as_deref() == Some(&golden.bytes) {
                continue;
            }
            changed += 1;
            context.printer.data(golden_diff(
                &golden.path,
                &before.unwrap_or_default(),
                &golden.bytes,
            ));
            if !arguments.dry_run {
                fs::replace(&worktree.join(&golden.path), &golden.bytes, Durability::Durable)?;
            }
        }
    }
    let verb = if arguments.dry_run { "would change" } else { "changed" };
    context
        .printer
        .say(format!("{changed} golden {} {verb}", if changed == 1 { "file" } else { "files" }));
    Ok(())
}

fn golden_diff(path: &str, before: &[u8], after: &[u8]) -> String {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let names = (format!("a/{path}"), format!("b/{path}"));
    text_difference::unified(&before, &after, 3, Some((&names.0, &names.1)))
}
