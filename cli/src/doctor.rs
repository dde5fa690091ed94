//! The checks of `agent doctor`: the machine, the repository, hooks and remotes, staging. Each
//! check gives a finding and does not fail.

mod branches;
mod confinement;

use crate::context::Context;
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::manifest::{Manifest, Python};
use agent_core::formats::object_id::ObjectId;
use agent_core::version;
use agent_core::version::legality::STAGING_FILE;
use agent_engine::error::Failure;
use agent_engine::repository::githooks::{Hooks, Standing};
use agent_engine::repository::inbox::Inbox;
use agent_engine::repository::ledger::LedgerRef;
use agent_engine::repository::refspecs;
use agent_engine::repository::{Repository, RepositoryError, Writes, manifest_on_disk};
use agent_engine::sync;
use agent_engine::telemetry;
use agent_engine::world::clock;
use agent_engine::world::fs;
use agent_engine::world::git::{ACTIVE, Git, GitError, remote_active};
use agent_engine::world::git_command::GitCommand;
use agent_engine::world::layout::Layout;
use agent_engine::world::process::on_path;
use agent_engine::world::python;
use agent_engine::world::store::{Probe, Store};
use serde::Serialize;
use std::ffi::OsStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    Ok,
    /// Works with restrictions.
    Warn,
    Bad,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub health: Health,
    pub found: String,
    #[serde(rename = "mend")]
    pub hint: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, health: Health::Ok, found: found.into(), hint: None }
    }

    fn warn(check: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, health: Health::Warn, found: found.into(), hint: Some(hint.into()) }
    }

    fn bad(check: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, health: Health::Bad, found: found.into(), hint: Some(hint.into()) }
    }

    /// An error of the check itself, with its causes and its hint.
    fn of(check: &'static str, error: impl Into<Failure>) -> Self {
        let error = error.into();
        Self { check, health: Health::Bad, found: error.messages.join(": "), hint: error.hint }
    }
}

/// Runs all checks that apply here; with `fix`, missing hooks and refspecs are installed.
pub fn examine(context: &Context, fix: bool) -> Vec<Finding> {
    let mut findings = vec![git_program(), uv(), orphans()];
    let git = match Git::discover(&context.directory) {
        Ok(git) => git,
        Err(error) => {
            findings.push(python_program(&Layout::new(&context.directory), &Python::default()));
            findings.extend(confinement::tried(None));
            findings.push(unopened(error));
            return findings;
        }
    };
    if fix {
        findings.extend(git.remotes().iter().map(|remote| fetched(&git, remote)));
    }
    let on_disk = git.worktree().map(|folder| manifest_on_disk(&folder));
    let manifest = on_disk.as_ref().and_then(|manifest| manifest.as_ref().ok());
    let python = manifest.map(|manifest| manifest.python.clone());
    findings.push(python_program(&git.layout(), &python.unwrap_or_default()));
    findings.extend(confinement::tried(
        context.repository_without_recovery().ok().as_ref().zip(manifest),
    ));
    findings.push(repository(context, &git));
    findings.extend(manifest.map(|manifest| object_store(&git, manifest)));
    findings.extend(on_disk.map(manifest_finding));
    findings.extend(content(context));
    findings.push(history(&git));
    // before the next check, which makes missing tags again
    findings.extend([branches::forced_back(&git), branches::tags(&git)]);
    findings.push(served(context));
    findings.extend(ignored(&git));
    findings.push(locks(&git));
    findings.push(hooks(context, fix));
    findings.extend(remotes(&git, fix));
    findings.extend(records(&git));
    findings.push(staging(context));
    findings
}

// ---- the machine

/// The first git with `git hook run`, which the check of the hooks uses.
const GIT_WANTED: (u32, u32) = (2, 36);

fn git_program() -> Finding {
    let shown = match GitCommand::version() {
        Ok(shown) => shown,
        Err(error) => return Finding::of("git", error),
    };
    let mut numbers = shown.split(['.', ' ']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if version >= GIT_WANTED {
        return Finding::ok("git", shown);
    }
    Finding::warn(
        "git",
        format!("{shown} is old"),
        format!(
            "install git {}.{} or newer: it can check that hooks run",
            GIT_WANTED.0, GIT_WANTED.1
        ),
    )
}

fn python_program(layout: &Layout, python: &Python) -> Finding {
    match python::find(layout, &python.requires) {
        Ok(found) => {
            let lock = python
                .lock
                .as_ref()
                .map(|lock| format!(", environment from {lock}"))
                .unwrap_or_default();
            Finding::ok(
                "python",
                format!("{} at {}{lock}", found.version, found.executable.display()),
            )
        }
        Err(error) => Finding::of("python", error),
    }
}

fn uv() -> Finding {
    match on_path(OsStr::new("uv")) {
        Some(path) => Finding::ok("uv", path.display().to_string()),
        None => {
            Finding::ok("uv", "not on PATH: environments are made by venv and pip, which is slower")
        }
    }
}

/// Whether descendants of children end when `agent` is killed.
fn orphans() -> Finding {
    if cfg!(target_os = "linux") {
        return Finding::ok(
            "orphans",
            "when `agent` is killed, its children and their descendants end too",
        );
    }
    Finding::warn(
        "orphans",
        "this platform has no parent-death signal: when `agent` is killed, processes that tools \
        started in sessions of their own keep running",
        "end `agent` by Ctrl-C, SIGTERM or closing its input, which ends all of them; a child on \
        agent_runtime ends by itself in any case",
    )
}

// ---- the repository

fn unopened(error: GitError) -> Finding {
    match error {
        GitError::NotARepository { directory } => Finding::warn(
            "repository",
            format!("{} is in no git repository", directory.display()),
            "run `agent init DIR` to create an agent repository",
        ),
        other => Finding::of("repository", other),
    }
}

fn manifest_finding(manifest: Result<Manifest, RepositoryError>) -> Finding {
    match manifest {
        Ok(manifest) => Finding::ok("manifest", format!("agent.toml of {}", manifest.name)),
        Err(error) => Finding::of("manifest", error),
    }
}

fn repository(context: &Context, git: &Git) -> Finding {
    let shown = git.root().display();
    match context
        .repository_without_recovery()
        .ok()
        .and_then(|repository| repository.refusal(Writes::Refs))
    {
        None => Finding::ok("repository", shown.to_string()),
        Some(refusal) => Finding::warn(
            "repository",
            format!(
                "{shown}: {}; it can be served and tested, but nothing can be recorded",
                refusal.messages().join(": ")
            ),
            "give this user write permission for the whole repository, to tune and release here",
        ),
    }
}

/// The repository, after completing what a killed command left undone.
fn finished(context: &Context) -> Result<Repository, Failure> {
    let repository = context.repository_without_recovery()?;
    repository.finish()?;
    Ok(repository)
}

/// Writes an object, reads it back, and checks that it cannot be overwritten.
fn object_store(git: &Git, manifest: &Manifest) -> Finding {
    let key = format!("probe/{}-{}", std::process::id(), clock::now().as_nanosecond());
    let store = match Store::open(&manifest.store, git.layout().root()) {
        Ok(store) => store,
        Err(error) => return Finding::of("store", error),
    };
    if let Some(refusal) = store.folder().and_then(fs::refusal) {
        let found = format!("{}; it can be read but not written", refusal.messages().join(": "));
        return Finding::warn(
            "store",
            found,
            "free disk space there, or give this user write permission",
        );
    }
    match store.probe(&key) {
        Ok(Probe { keeps: true, refuses: true }) => Finding::ok("store", store.shown()),
        Ok(Probe { keeps: false, .. }) => {
            let hint = "use another store: results that cannot be read back are no evidence";
            Finding::bad(
                "store",
                format!("{} does not return what was written to it", store.shown()),
                hint,
            )
        }
        Ok(Probe { refuses: false, .. }) => Finding::bad(
            "store",
            format!("{} overwrites an object despite If-None-Match", store.shown()),
            "use a store with conditional writes: with two concurrent machines this one can lose a \
            version's evaluation",
        ),
        Err(error) => Finding::of("store", error),
    }
}

/// Whether the served version has the content of calls recorded.
fn content(context: &Context) -> Option<Finding> {
    let manifest = context
        .repository_without_recovery()
        .ok()?
        .served_manifest()
        .filter(|served| served.record.content)?;
    let how = if manifest.record.key.is_some() { "encrypted" } else { "not encrypted" };
    let found = format!(
        "arguments and results of calls are recorded, {how}, for {} days",
        manifest.record.keep_days
    );
    let hint = "set it for `agent mcp runner`; without it nothing is recorded";
    Some(match telemetry::key_of(&manifest.record) {
        Ok(_) => Finding::ok("record", found),
        Err(error) => Finding::warn("record", error.to_string(), hint),
    })
}

fn history(git: &Git) -> Finding {
    let tags = git
        .references("refs/tags/")
        .map(|tags| tags.iter().filter(|(name, _)| is_version_tag(name)).count());
    match (git.is_shallow(), tags) {
        (_, Err(error)) => Finding::of("history", error),
        (false, Ok(count)) => Finding::ok("history", format!("complete, with {count} versions")),
        (true, Ok(count)) => Finding::bad(
            "history",
            format!("this clone is shallow and has {count} versions; older versions are missing"),
            "run git fetch --unshallow --tags (in a workflow: `fetch-depth: 0`)",
        ),
    }
}

fn is_version_tag(name: &str) -> bool {
    name.strip_prefix("refs/tags/").is_some_and(|tag| version::from_tag(tag).is_some())
}

fn served(context: &Context) -> Finding {
    let tip = || -> Result<_, Failure> {
        let repository = finished(context)?;
        let tip = repository.expect_tip()?;
        Ok((repository.git.reference(&format!("refs/tags/{}", version::tag(&tip.version)))?, tip))
    };
    match tip() {
        Ok((Some(tagged), tip)) if tagged == tip.commit => {
            Finding::ok("active", format!("v{} at {}", tip.version, tip.commit.short()))
        }
        Ok((Some(tagged), tip)) => Finding::bad(
            "active",
            format!(
                "active's tip {} is v{}, but that tag names {}",
                tip.commit.short(),
                tip.version,
                tagged.short()
            ),
            "tags must not move; restore the published one: git fetch origin --tags --force",
        ),
        Ok((None, tip)) => Finding::warn(
            "active",
            format!("active's tip v{} has no tag", tip.version),
            "run any `agent` command with write permission; it makes the tag",
        ),
        Err(error)
            if Git::discover(&context.directory)
                .is_ok_and(|git| git.reference(ACTIVE).is_ok_and(|tip| tip.is_none())) =>
        {
            Finding { health: Health::Warn, ..Finding::of("active", error) }
        }
        Err(error) => Finding::of("active", error),
    }
}

/// Whether git ignores the files that must never be committed.
fn ignored(git: &Git) -> Option<Finding> {
    let folder = git.worktree()?;
    Some(if GitCommand::isolated(&folder).ignores(STAGING_FILE).unwrap_or(true) {
        Finding::ok("ignored", format!("git ignores {STAGING_FILE}"))
    } else {
        Finding::bad(
            "ignored",
            format!("git does not ignore {STAGING_FILE}"),
            format!("add {STAGING_FILE} to .gitignore"),
        )
    })
}

fn locks(git: &Git) -> Finding {
    let names =
        ["packed-refs.lock", "HEAD.lock", "config.lock", "index.lock", "refs/heads/active.lock"];
    let there: Vec<_> =
        names.into_iter().filter(|name| git.common_dir().join(name).exists()).collect();
    if there.is_empty() {
        return Finding::ok("locks", "no stale lock of git");
    }
    let shown = there
        .iter()
        .map(|name| git.common_dir().join(name).display().to_string())
        .collect::<Vec<_>>()
        .join(" ");
    Finding::warn(
        "locks",
        format!("a lock of git exists: {shown}"),
        format!("if no git process is running: rm {shown}"),
    )
}

// ---- hooks and remotes

fn hooks(context: &Context, fix: bool) -> Finding {
    let look = || -> Result<_, Failure> {
        let mut hooks = Hooks::of(&context.directory)?;
        if fix {
            hooks.install()?;
        }
        let mut silent = Vec::new();
        for hook in hooks.names() {
            let ours = matches!(hooks.standing(*hook)?, Standing::Ours | Standing::Chained);
            if !ours || !hooks.fires(*hook)? {
                silent.push(hook.as_str());
            }
        }
        let names = hooks.names().iter().map(|hook| hook.as_str()).collect::<Vec<_>>().join(", ");
        Ok((names, silent))
    };
    match look() {
        Ok((names, silent)) if silent.is_empty() => {
            Finding::ok("hooks", format!("installed and run by git: {names}"))
        }
        Ok((_, silent)) => Finding::warn(
            "hooks",
            format!("git does not run these hooks: {}", silent.join(", ")),
            "run agent hooks install",
        ),
        Err(error) => Finding::of("hooks", error),
    }
}

fn remotes(git: &Git, fix: bool) -> Vec<Finding> {
    let remotes = git.remotes();
    remotes
        .iter()
        .flat_map(|remote| [Some(refspecs(git, remote, fix)), beside(git, remote)])
        .flatten()
        .collect()
}

/// Fetches tags and records, and `active` where this clone has none.
fn fetched(git: &Git, remote: &str) -> Finding {
    match sync::fetch(git, remote) {
        Ok(Some(served)) => {
            Finding::ok("fetched", format!("{remote} serves {served}; this clone serves it now"))
        }
        Ok(None) => Finding::ok("fetched", format!("active, tags and refs/agent/* of {remote}")),
        Err(error) => Finding::of("fetched", error),
    }
}

fn refspecs(git: &Git, remote: &str, fix: bool) -> Finding {
    const CARRIED: &str = "feedback and the gate's ledger";
    let look = || {
        if fix {
            refspecs::set_up(git, remote)?;
        }
        refspecs::standing(git, remote)
    };
    match look() {
        Ok(refspecs::Standing::Set) => Finding::ok(
            "refspecs",
            format!("git push and git fetch transfer {CARRIED} to and from {remote}"),
        ),
        Ok(refspecs::Standing::Missing) => Finding::warn(
            "refspecs",
            format!(
                "git push and git fetch do not transfer {CARRIED} to and from {remote}; `agent \
                sync` does"
            ),
            "agent doctor --fix",
        ),
        Ok(refspecs::Standing::Old) => Finding::warn(
            "refspecs",
            format!(
                "the refspecs of {remote} are those of an earlier version of `agent`, with which \
                pushes of two clones are rejected"
            ),
            "agent doctor --fix",
        ),
        Err(error) => Finding::of("refspecs", error),
    }
}

/// Compares `active` with the remote's, as of the last fetch.
fn beside(git: &Git, remote: &str) -> Option<Finding> {
    const MEND: &str = "agent sync";
    let look = || -> Result<Option<Finding>, Failure> {
        let theirs = git.reference(&remote_active(remote))?;
        let (Some(ours), Some(theirs)) = (git.reference(ACTIVE)?, theirs) else { return Ok(None) };
        let versions = |from: &ObjectId, to: &ObjectId| {
            git.first_parents(to)
                .take_while(|commit| commit.as_ref().is_ok_and(|at| at.id != *from))
                .count()
        };
        let found = match git.merge_base(&ours, &theirs)? {
            _ if ours == theirs => {
                Finding::ok("remote", format!("active is up to date with {remote}/active"))
            }
            Some(parted) if parted == ours => Finding::warn(
                "remote",
                format!("active is {} versions behind {remote}/active", versions(&ours, &theirs)),
                MEND,
            ),
            Some(parted) if parted == theirs => {
                let text = format!(
                    "active is {} versions ahead of {remote}/active; they are not pushed",
                    versions(&theirs, &ours)
                );
                Finding::warn("remote", text, MEND)
            }
            _ => {
                let text = format!(
                    "active and {remote}/active have diverged: another clone published first, and \
                    {remote} lacks the versions made here"
                );
                Finding::bad("remote", text, MEND)
            }
        };
        Ok(Some(found))
    };
    look().unwrap_or_else(|error| Some(Finding::of("remote", error)))
}

/// Whether this clone has the ledger and the feedback that the versions of `active` name.
fn records(git: &Git) -> [Finding; 2] {
    let ledger = LedgerRef::new(git);
    let ledger = match ledger.lack().map(|lack| (lack, ledger.shown())) {
        Ok((Some(lack), _)) => Finding::bad(
            "ledger",
            format!("{lack}; no promotion or release is judged until it is complete"),
            lack.hint(git),
        ),
        Ok((None, Ok(shown))) => Finding::ok("ledger", shown),
        Ok((None, Err(error))) | Err(error) => Finding::of("ledger", error),
    };
    let inbox = Inbox::new(git);
    let inbox = match inbox.lack().and_then(|lack| Ok((lack, inbox.items()?.len()))) {
        Ok((Some(lack), _)) => Finding::bad("inbox", lack, "agent sync"),
        Ok((None, count)) => Finding::ok("inbox", format!("{count} items of feedback")),
        Err(error) => Finding::of("inbox", error),
    };
    [ledger, inbox]
}

// ---- staging

fn staging(context: &Context) -> Finding {
    let look = || -> Result<String, Failure> {
        let repository = finished(context)?;
        if repository.tip()?.is_none() {
            return Ok("none before the first version".to_owned());
        }
        let mut staging = repository.staging()?;
        let snapshot = staging.snapshot()?;
        Ok(format!("{} updates on top of v{}", snapshot.updates, snapshot.base.version))
    };
    match look() {
        Ok(found) => Finding::ok("staging", found),
        Err(error) => Finding::of("staging", error),
    }
}
