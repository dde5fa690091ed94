use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::{TierReport, human};
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::manifest::{self, Tier};
use agent_core::formats::object_id::ObjectId;
use agent_core::version::legality::{RefUpdate, Role, STAGING_FILE};
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::repository::githooks;
use agent_engine::repository::sharing;
use agent_engine::testing::precheck::{Precheck, PrecheckOutcome};
use agent_engine::world::env;
use agent_engine::world::git::{ACTIVE, Git, GitError};
use agent_engine::world::git_command::{GitCommand, common_dir_of_hook};
use agent_engine::world::process::{self, PushFlags, Run};
use agent_hooks::event::{HookEvent, HookName, RefChange, TransactionState};
use agent_hooks::judgement;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Run by git's hooks, with git's arguments and stdin
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The calling shim
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
    /// The hook
    name: HookName,
    /// The hook's arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    given: Vec<OsString>,
}

/// The time limits of the tests in a commit and in a push. Beyond them the tests are skipped, and
/// CI runs them.
const MICRO_LIMIT: Duration = Duration::from_secs(1);
const FAST_LIMIT: Duration = Duration::from_secs(5);

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let began = Instant::now();
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
    let words: Vec<_> =
        arguments.given.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let event = HookEvent::parse(arguments.name, &words, &String::from_utf8_lossy(&stdin))?;
    Invocation { hook: arguments.name, began, context }.answer(&event)
}

/// The hook, and the time since git started it.
#[derive(Clone, Copy)]
struct Invocation<'a> {
    hook: HookName,
    began: Instant,
    context: &'a Context,
}

impl Invocation<'_> {
    fn answer(self, event: &HookEvent) -> CommandResult {
        match event {
            HookEvent::PreCommit | HookEvent::PreMergeCommit => self.commit(),
            HookEvent::PrePush { remote, pushes, .. } => {
                let flags = process::parent_push_flags();
                let mut changes: Vec<_> = pushes.iter().map(|push| push.change.clone()).collect();
                changes.extend(self.unlisted_deletions(remote, &changes, flags)?);
                self.refuse_changes(&changes).inspect_err(|_| self.share(remote, &[], flags))?;
                let judged = self.pushed(&changes)?;
                self.share(remote, &changes, flags);
                Ok(judged)
            }
            HookEvent::Update(change) => self.refuse_changes(std::slice::from_ref(change)),
            HookEvent::PreReceive(changes) => self.refuse(&judgement::without_objects(changes)),
            HookEvent::ReferenceTransaction { state: TransactionState::Prepared, changes } => {
                self.refuse_changes(changes)
            }
            HookEvent::ReferenceTransaction { .. } => Ok(Exit::Done),
        }
    }

    /// Tests the tree that is committed: the index that git passes to the hook, not the working
    /// tree.
    fn commit(self) -> CommandResult {
        let repository = self.context.repository_without_recovery()?;
        let tree = GitCommand::inherited(&self.context.directory).write_tree()?;
        let git = &repository.git;
        if git.entry(&tree, manifest::FILE)?.is_none() {
            return Ok(Exit::Done);
        }
        let tracks_staging = git.entry(&tree, STAGING_FILE)?.is_some();
        self.refuse(&[judgement::commit(
            git.head_branch()?.as_deref(),
            git.resolve("HEAD")?,
            tree.clone(),
            tracks_staging,
        )])?;
        let precheck = Precheck::new(Tier::Micro, limit(MICRO_LIMIT), self.began);
        let head = git.resolve("HEAD")?;
        self.check(
            &repository,
            precheck,
            (&tree, head.as_ref()),
            "agent test --tier micro (it tests the working tree)",
        )
    }

    /// Tests the pushed commits, each tree once.
    fn pushed(self, changes: &[RefChange]) -> CommandResult {
        let repository = self.context.repository_without_recovery()?;
        let git = &repository.git;
        let precheck = Precheck::new(Tier::Fast, limit(FAST_LIMIT), self.began);
        let mut seen = BTreeSet::new();
        for commit in changes
            .iter()
            .filter(|change| change.name.starts_with("refs/heads/"))
            .filter_map(|change| change.new.as_ref())
        {
            let tree = git.tree_of(commit)?;
            if git.entry(&tree, manifest::FILE)?.is_some() && seen.insert(tree.clone()) {
                // a version is tested with its own state
                let on = Some(commit).filter(|_| {
                    git.commit(commit).is_ok_and(|info| info.trailers.as_version().is_none())
                });
                self.check(
                    &repository,
                    precheck,
                    (&tree, on),
                    &format!("agent test --tier fast --at {}", commit.short()),
                )?;
            }
        }
        Ok(Exit::Done)
    }

    /// Protected refs that a push with `--mirror` or `--prune` deletes and that git does not list
    /// on stdin.
    fn unlisted_deletions(
        self,
        remote: &str,
        listed: &[RefChange],
        flags: PushFlags,
    ) -> Result<Vec<RefChange>, Failure> {
        let git = Git::discover(&self.context.directory)?;
        let is_mirror = flags.mirror
            || git.config(&format!("remote.{remote}.mirror")).is_some_and(|value| value == "true");
        if !is_mirror && !flags.prune {
            return Ok(Vec::new());
        }
        // with configured refspecs a mirror pushes these, not every local ref
        let by_refspecs = is_mirror && git.config(&format!("remote.{remote}.push")).is_some();
        let mut deletions = Vec::new();
        for (name, old) in git.remote_refs(remote, &[])? {
            let is_listed = listed.iter().any(|change| change.name == name);
            if !is_listed
                && Role::of(&name) != Role::Free
                && (by_refspecs || git.target(&name)?.is_none())
            {
                deletions.push(RefChange { name, old: Some(old), new: None });
            }
        }
        Ok(deletions)
    }

    /// Merges the records here and at the remote, in a push of its own. git decides which refs its
    /// push moves before it runs this hook, so it rejects a record that another clone has moved
    /// since; the next push transfers it. `changes` are those of git's own push.
    fn share(self, remote: &str, changes: &[RefChange], flags: PushFlags) {
        let work = || -> Result<(), Failure> {
            let repository = self.context.repository_without_recovery()?;
            if flags.dry_run || !sharing::has_unshared(&repository, remote)? {
                return Ok(());
            }
            let taken = changes.iter().map(|change| change.name.clone()).collect();
            let shared = sharing::share(&repository, remote, &taken)?;
            self.context
                .printer
                .detail(format!("agent: shared with {remote}: {}", shared.value.join(", ")));
            shared.warnings.into_iter().for_each(|warning| self.context.printer.warn(warning));
            Ok(())
        };
        // the push in progress is not affected
        if let Err(error) = work() {
            let why = error.messages.join(": ");
            self.context.printer.warn(format!(
                "feedback and the gate's ledger were not shared with {remote}: {why}; run `agent \
                sync` to share them"
            ));
        }
    }

    fn check(
        self,
        repository: &Repository,
        precheck: Precheck,
        (tree, on): (&ObjectId, Option<&ObjectId>),
        again: &str,
    ) -> CommandResult {
        match precheck.judge(repository, tree, on)? {
            PrecheckOutcome::Nothing => Ok(Exit::Done),
            PrecheckOutcome::Skipped(why) => {
                self.context
                    .printer
                    .say(format!("agent: {}: tests skipped: {why}; CI runs them", self.hook));
                Ok(Exit::Done)
            }
            PrecheckOutcome::Fails(outcome) => {
                let report =
                    TierReport::new(outcome.tier, outcome.summary.clone(), outcome.into_results());
                let cases = human::render(&[report]);
                Err(self.refusal(format!(
                    "{} refuses the change:\n{cases}\n      to run the cases again: {again}",
                    self.hook
                )))
            }
        }
    }

    /// Checks the legality of ref updates by their objects, in a repository that contains an agent.
    fn refuse_changes(self, changes: &[RefChange]) -> CommandResult {
        let git = Git::discover(&self.context.directory)?;
        if !holds_an_agent(&git, changes)? {
            return Ok(Exit::Done);
        }
        let update = |change: &RefChange| {
            git.ref_update(&change.name, change.old.as_ref(), change.new.as_ref())
        };
        self.refuse(&changes.iter().map(update).collect::<Result<Vec<_>, _>>()?)
    }

    fn refuse(self, updates: &[RefUpdate]) -> CommandResult {
        let violations = judgement::violations(updates);
        if violations.is_empty() {
            Ok(Exit::Done)
        } else {
            Err(self.refusal(judgement::refusal(self.hook, &violations)))
        }
    }

    fn refusal(self, message: String) -> Failure {
        let error = Failure::new(FailureKind::Refused, message);
        match judgement::skip(self.hook) {
            Some(command) => error.with_hint(format!("to bypass it once: {command}")),
            None => error,
        }
    }
}

fn limit(usual: Duration) -> Duration {
    env::hook_limit().unwrap_or(usual)
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

/// The stdin of hooks that have one; for others stdin is not read.
fn given_input(hook: HookName) -> Result<Vec<u8>, Failure> {
    if !matches!(hook, HookName::PrePush | HookName::PreReceive | HookName::ReferenceTransaction) {
        return Ok(Vec::new());
    }
    std::io::read_to_string(std::io::stdin()).map(String::into_bytes).map_err(|error| {
        Failure::new(
            FailureKind::Surroundings,
            format!("cannot read git's input to {hook}: {error}"),
        )
    })
}

/// Runs the hook that existed before that of `agent`; its refusal is final.
fn run_before(
    arguments: &Arguments,
    context: &Context,
    stdin: &[u8],
) -> Result<Option<Exit>, Failure> {
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
