use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::githooks;
use crate::world::env;
use crate::world::git::{ACTIVE, Git, GitError};
use crate::world::git_command::{GitCommand, common_dir_of_hook};
use crate::world::process::Run;
use agent_core::diagnose::Exit;
use agent_core::legality::{RefUpdate, STAGING_FILE};
use agent_core::manifest;
use agent_hooks::event::{HookEvent, HookName, RefChange, TransactionState};
use agent_hooks::judgement;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What git's hooks call; the arguments and stdin are those git gives
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shim that calls
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
    /// The hook
    name: HookName,
    /// What git gave to it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    given: Vec<OsString>,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    if let Some(word) = env::hook_probe() {
        context.printer.data(word);
        return Ok(Exit::Done);
    }
    let stdin = given_input(arguments.name)?;
    if let Some(code) = run_before(arguments, context, &stdin)? {
        return Ok(code);
    }
    if env::skips_hooks() {
        context.printer.warn(format!("{} is skipped: {} is set", arguments.name, env::SKIP_HOOKS));
        return Ok(Exit::Done);
    }
    let words: Vec<_> = arguments.given.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let event = HookEvent::parse(arguments.name, &words, &String::from_utf8_lossy(&stdin))?;
    answer(arguments.name, &event, context)
}

fn answer(hook: HookName, event: &HookEvent, context: &Context) -> CommandResult {
    match event {
        HookEvent::PreCommit | HookEvent::PreMergeCommit => commit(hook, context),
        HookEvent::PrePush { pushes, .. } => {
            let changes: Vec<_> = pushes.iter().map(|push| push.change.clone()).collect();
            refuse_changes(hook, &changes, context)
        }
        HookEvent::Update(change) => refuse_changes(hook, std::slice::from_ref(change), context),
        HookEvent::PreReceive(changes) => refuse(hook, &judgement::without_objects(changes)),
        HookEvent::ReferenceTransaction { state: TransactionState::Prepared, changes } => refuse_changes(hook, changes, context),
        HookEvent::ReferenceTransaction { .. } => Ok(Exit::Done),
    }
}

/// Judges the tree that is being committed: the index git shows us, never the working tree.
fn commit(hook: HookName, context: &Context) -> CommandResult {
    let tree = GitCommand::inherited(&context.directory).write_tree()?;
    let git = Git::discover(&context.directory)?;
    if git.entry(&tree, manifest::FILE)?.is_none() {
        return Ok(Exit::Done);
    }
    let tracks_staging = git.entry(&tree, STAGING_FILE)?.is_some();
    let update = judgement::commit(git.head_branch()?.as_deref(), git.resolve("HEAD")?, tree, tracks_staging);
    refuse(hook, &[update])
}

/// Judges refs by the objects they move between, in a repository that holds an agent.
fn refuse_changes(hook: HookName, changes: &[RefChange], context: &Context) -> CommandResult {
    let git = Git::discover(&context.directory)?;
    if !holds_an_agent(&git, changes)? {
        return Ok(Exit::Done);
    }
    let updates: Vec<_> =
        changes.iter().map(|change| git.ref_update(&change.name, change.old.as_ref(), change.new.as_ref())).collect::<Result<_, _>>()?;
    refuse(hook, &updates)
}

fn holds_an_agent(git: &Git, changes: &[RefChange]) -> Result<bool, GitError> {
    let moved = changes.iter().flat_map(|change| [&change.new, &change.old]).flatten().cloned();
    let standing = [git.reference(ACTIVE)?, git.resolve("HEAD")?].into_iter().flatten();
    for id in standing.chain(moved) {
        let commit = if git.exists(&id) { git.resolve(id.as_str())? } else { None };
        if let Some(commit) = commit
            && git.entry(&commit, manifest::FILE)?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn refuse(hook: HookName, updates: &[RefUpdate]) -> CommandResult {
    let breaches = judgement::breaches(updates);
    if breaches.is_empty() {
        return Ok(Exit::Done);
    }
    let error = CommandError::new(Exit::No, judgement::refusal(hook, &breaches));
    Err(match judgement::skip(hook) {
        Some(command) => error.with_hint(format!("to go past it once: {command}")),
        None => error,
    })
}

/// The input of the hooks that git gives one; the others are never waited for.
fn given_input(hook: HookName) -> Result<Vec<u8>, CommandError> {
    if !matches!(hook, HookName::PrePush | HookName::PreReceive | HookName::ReferenceTransaction) {
        return Ok(Vec::new());
    }
    std::io::read_to_string(std::io::stdin())
        .map(String::into_bytes)
        .map_err(|error| CommandError::new(Exit::Surroundings, format!("cannot read what git gives to {hook}: {error}")))
}

/// Runs the hook that was there before ours; its refusal is the answer.
fn run_before(arguments: &Arguments, context: &Context, stdin: &[u8]) -> Result<Option<Exit>, CommandError> {
    let Some(from) = &arguments.from else { return Ok(None) };
    let from = context.directory.join(from);
    let common = common_dir_of_hook(&context.directory);
    let Some(before) = githooks::before(&from, &common, arguments.name) else { return Ok(None) };
    let code = Run::new(absolute(&before)).args(&arguments.given).stdin(stdin).pass_through()?;
    if code == Some(0) { Ok(None) } else { Ok(Some(Exit::No)) }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
