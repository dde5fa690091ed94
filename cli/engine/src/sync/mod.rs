//! `agent sync`: synchronises this clone with a remote, and completes the recovery from a lost
//! race.
//!
//! An interruption at any step is recoverable: a superseded version is stored before `active`
//! moves, tags are derived from `active`, and staging finds which versions its Journals were sealed
//! as.

mod error;
mod observed;

use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::sharing;
use crate::staging::Notice;
use crate::target::tuner;
use crate::world::git::{ACTIVE, Git, GitError, Move, Moved, PrePush, Pushed, tag_ref};
use agent_core::formats::committed::Warnings;
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::object_id::ObjectId;
use agent_core::version::record_refs::{LOST, OWN};
use agent_core::version::sync::{self, Checkout, Served, Snapshot, Step, Superseded, Tag};
use agent_core::version::tag;
use error::SyncError;
use semver::Version;
use serde::Serialize;
use std::collections::BTreeSet;

const SCHEMA: &str = "agent/sync@1";
/// The number of retries after lost races.
const ATTEMPTS: usize = 8;
const REASON: &str = "agent: sync";

#[derive(Debug, Default)]
pub struct Options {
    /// The remote; the only one there is, or `origin`, where none is named.
    pub remote: Option<String>,
    pub dry_run: bool,
}

/// The report of a synchronisation: `agent/sync@1`.
#[derive(Debug, Serialize)]
pub struct Outcome {
    schema: &'static str,
    /// Whether anything was changed, here or at the remote.
    pub done: bool,
    remote: Option<String>,
    /// What is served.
    version: Option<Version>,
    commit: Option<ObjectId>,
    /// What was served before, where `active` moved.
    before: Option<ObjectId>,
    /// Versions of this clone that the remote's superseded, newest first.
    lost: Vec<Superseded>,
    /// Refs of the remote that were moved.
    pushed: Vec<String>,
    /// Where `main` was moved to.
    main: Option<ObjectId>,
    staging: Option<Staged>,
    /// What is left to the user.
    left: Vec<ManualStep>,
    /// What would be done, under `--dry-run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<String>>,
    /// What was done, a line each.
    #[serde(skip)]
    pub lines: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ManualStep {
    what: String,
    #[serde(rename = "mend")]
    hint: String,
}

/// Staging on what is served.
#[derive(Debug, Default, Serialize)]
struct Staged {
    updates: u64,
    /// Updates of superseded versions, which are in staging again.
    returned: u64,
    /// Updates that were replayed because they began on another version.
    replayed: u64,
    /// Of these: counted before, by a version of another clone.
    duplicates: u64,
    /// Of these: without effect now.
    dropped: Vec<Dropped>,
    /// Versions whose counted signals are not known.
    unknown: Vec<Version>,
}

#[derive(Debug, Serialize)]
struct Dropped {
    id: String,
    why: String,
}

pub fn sync(repository: &Repository, options: &Options) -> Result<Outcome, Failure> {
    let remote = remote(&repository.git, options.remote.as_deref())?;
    for _ in 0..ATTEMPTS {
        let snapshot = observed::snapshot(repository, remote.as_deref())?;
        let steps = sync::plan(&snapshot)
            .map_err(|conflict| SyncError::Conflict { why: conflict.why, hint: conflict.hint })?;
        let mut run = Run { repository, outcome: Outcome::of(&snapshot) };
        if options.dry_run {
            run.outcome.plan = Some(steps.iter().map(ToString::to_string).collect());
            return Ok(run.outcome);
        }
        if run.all(&steps)? {
            return Ok(run.outcome);
        }
    }
    Err(SyncError::Outrun.into())
}

/// Fetches the managed refs of a remote; a clone without `active` starts from the remote's, with a
/// notice. Nothing else moves.
pub fn fetch(git: &Git, remote: &str) -> Result<Option<Served>, Failure> {
    sharing::fetch(git, remote)?;
    let Some(served) = observed::to_begin_with(git, remote)? else { return Ok(None) };
    let moved = git.move_legally(Move::create(ACTIVE, served.commit.clone()), REASON)?;
    git.fetch_tags(remote)?;
    Ok(matches!(moved.value, Moved::All).then_some(served))
}

/// The version whose code `main` lacks, and what brings it along.
#[derive(Debug, Clone, Serialize)]
pub struct MainLacks {
    pub lacks: Version,
    #[serde(rename = "mend")]
    pub hint: &'static str,
}

/// What is left to do on `main` after a version was made.
pub fn main_lacks(repository: &Repository) -> Result<Option<MainLacks>, Failure> {
    let git = &repository.git;
    let Some(served) = git.reference(ACTIVE)? else { return Ok(None) };
    let remote = remote(git, None).ok().flatten();
    let main = observed::main(git, remote.as_deref(), &served)?;
    Ok(main.hint().map(|(lacks, hint)| MainLacks { lacks: lacks.clone(), hint }))
}

/// Refuses where the remote that the manifest names serves what this clone lacks: a version made
/// now would fork history. An offline clone continues with a warning.
pub fn expect_up_to_date(repository: &Repository) -> Result<(), Failure> {
    let git = &repository.git;
    let Some(remote) =
        repository.served_manifest().and_then(|manifest| manifest.remote).map(|remote| remote.name)
    else {
        return Ok(());
    };
    if !git.remotes().contains(&remote) {
        repository.warn(&format!(
            "agent.toml names the remote `{remote}`, which this clone does not have, so it is \
                not known whether `active` is up to date"
        ));
        return Ok(());
    }
    let there = match git.fetch_active(&remote) {
        Ok(there) => there,
        Err(error) => {
            repository.warn(&format!(
                "it is not known whether {remote} serves something newer: {}",
                error.messages().join(": ")
            ));
            return Ok(());
        }
    };
    let (Some(there), Some(here)) = (there, git.reference(ACTIVE)?) else { return Ok(()) };
    if git.is_ancestor(&there, &here)? {
        return Ok(());
    }
    Err(SyncError::Behind { remote, there }.into())
}

/// The remote to synchronise with, if there is one.
fn remote(git: &Git, named: Option<&str>) -> Result<Option<String>, SyncError> {
    const USUAL: &str = "origin";
    let remotes = git.remotes();
    match (named, remotes.as_slice()) {
        (Some(named), _) if remotes.iter().any(|remote| remote == named) => {
            Ok(Some(named.to_owned()))
        }
        (Some(named), _) => Err(SyncError::NoRemote { named: named.to_owned(), known: remotes }),
        (None, []) => Ok(None),
        (None, [only]) => Ok(Some(only.clone())),
        (None, _) if remotes.iter().any(|remote| remote == USUAL) => Ok(Some(USUAL.to_owned())),
        (None, _) => Err(SyncError::Several { known: remotes }),
    }
}

impl Outcome {
    fn of(snapshot: &Snapshot) -> Self {
        let served = sync::served(snapshot);
        let left = sync::left(snapshot).into_iter().map(|(what, hint)| ManualStep { what, hint });
        Self {
            schema: SCHEMA,
            done: false,
            remote: snapshot.remote.clone(),
            version: served.map(|served| served.version.clone()),
            commit: served.map(|served| served.commit.clone()),
            before: None,
            lost: Vec::new(),
            pushed: Vec::new(),
            main: None,
            staging: None,
            left: left.collect(),
            plan: None,
            lines: Vec::new(),
        }
    }

    fn did(&mut self, line: String) {
        self.done = true;
        self.lines.push(line);
    }

    pub fn plan(&self) -> Option<&[String]> {
        self.plan.as_deref()
    }

    /// What is left to the user, with the command that does it.
    pub fn left(&self) -> impl Iterator<Item = (&str, &str)> {
        self.left.iter().map(|left| (left.what.as_str(), left.hint.as_str()))
    }

    /// The served version, for display.
    pub fn served(&self) -> Option<String> {
        self.version.as_ref().map(tag)
    }

    /// Whether a version of this clone was superseded.
    pub fn has_superseded(&self, commit: &ObjectId) -> bool {
        self.lost.iter().any(|lost| lost.commit == *commit)
    }

    pub fn remote(&self) -> Option<&str> {
        self.remote.as_deref()
    }
}

/// The steps of a plan, carried out.
struct Run<'a> {
    repository: &'a Repository,
    outcome: Outcome,
}

impl Run<'_> {
    /// False when another process or clone was first, so that the observation is outdated.
    fn all(&mut self, steps: &[Step]) -> Result<bool, Failure> {
        for step in steps {
            if !self.one(step)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn one(&mut self, step: &Step) -> Result<bool, Failure> {
        match step {
            Step::Keep(lost) => self.keep(lost),
            Step::Serve { from, to } => self.serve(from.as_ref(), to),
            Step::Tag(tag) => Ok(self.tag(tag)),
            Step::Share { remote } => self.share(remote),
            Step::Push { remote, from, to, untagged } => {
                self.push(remote, from.as_ref(), to, untagged)
            }
            Step::Forward { from, to, checkout } => Ok(self.forward(from, to, *checkout)),
            Step::Replay => self.replay(),
        }
    }

    fn git(&self) -> &Git {
        &self.repository.git
    }

    fn moved(&self, change: Move) -> Result<bool, GitError> {
        let moved = self.git().move_legally(change, REASON)?;
        Ok(matches!(self.repository.unpack(moved), Moved::All))
    }

    fn keep(&mut self, lost: &Superseded) -> Result<bool, Failure> {
        let name = format!(
            "{OWN}{}/{LOST}{}-{}",
            self.git().clone_id()?,
            tag(&lost.version),
            lost.commit.short()
        );
        if !self.moved(Move::create(name.clone(), lost.commit.clone()))? {
            return Ok(false);
        }
        self.outcome.did(format!(
            "{} ({}) of this clone is superseded; it is kept as {name}",
            tag(&lost.version),
            lost.commit.short()
        ));
        self.outcome.lost.push(lost.clone());
        Ok(true)
    }

    fn serve(&mut self, from: Option<&Served>, to: &Served) -> Result<bool, Failure> {
        let before = from.map(|from| from.commit.clone());
        if !self.moved(Move {
            name: ACTIVE.to_owned(),
            from: before.clone(),
            to: Some(to.commit.clone()),
        })? {
            return Ok(false);
        }
        let was = from.map(|from| format!(", before {from}")).unwrap_or_default();
        self.outcome.did(format!("active serves {to}{was}"));
        self.outcome.before = before;
        if let Some(remote) = &self.outcome.remote {
            let mut warnings = Warnings::none();
            warnings.note(
                self.git().fetch_tags(remote),
                "tags of versions may be missing; the next \
                    command makes those that it finds missing",
            );
            self.repository.say(warnings);
        }
        Ok(true)
    }

    /// Once `active` has moved, a tag that cannot be moved is left to the next run.
    fn tag(&mut self, Tag { version, from, to }: &Tag) -> bool {
        let change = Move { name: tag_ref(version), from: Some(from.clone()), to: to.clone() };
        let mut warnings = Warnings::none();
        let meaning = format!(
            "the tag {} is still on {}, which is not served; `agent sync` repairs it",
            tag(version),
            from.short()
        );
        let moved = warnings.note(self.moved(change), &meaning);
        self.repository.say(warnings);
        match (moved, to) {
            (Some(true), Some(to)) => {
                self.outcome.did(format!("the tag {} is on {} now", tag(version), to.short()));
            }
            (Some(true), None) => self.outcome.did(format!(
                "the tag {} was removed: no served commit is this version",
                tag(version)
            )),
            _ => {}
        }
        moved != Some(false)
    }

    fn share(&mut self, remote: &str) -> Result<bool, Failure> {
        let shared =
            self.repository.unpack(sharing::share(self.repository, remote, &BTreeSet::new())?);
        if !shared.is_empty() {
            self.outcome.did(format!("pushed to {remote}: {}", shared.join(", ")));
            self.outcome.pushed.extend(shared);
        }
        Ok(true)
    }

    fn push(
        &mut self,
        remote: &str,
        from: Option<&ObjectId>,
        to: &Served,
        untagged: &[Served],
    ) -> Result<bool, Failure> {
        let branch =
            Move { name: ACTIVE.to_owned(), from: from.cloned(), to: Some(to.commit.clone()) };
        let tags =
            untagged.iter().map(|made| Move::create(tag_ref(&made.version), made.commit.clone()));
        let moves: Vec<_> = std::iter::once(branch).chain(tags).collect();
        if let Pushed::Conflict { .. } = self.git().push(remote, &moves, PrePush::Runs)? {
            return Ok(false);
        }
        self.outcome.did(format!("pushed to {remote}: active, up to {to}"));
        self.outcome.pushed.extend(moves.into_iter().map(|change| change.name));
        Ok(true)
    }

    /// `main` is a convenience: if it cannot be moved, the reason is reported.
    fn forward(&mut self, from: &ObjectId, to: &ObjectId, checkout: Checkout) -> bool {
        let git = self.git();
        let moved = || -> Result<bool, Failure> {
            let folder =
                if checkout == Checkout::None { None } else { git.checkout_of(observed::MAIN)? };
            match folder {
                Some(folder) => Ok(Git::fast_forward(&folder, to).map(|()| true)?),
                None => Ok(self.moved(Move {
                    name: observed::MAIN.to_owned(),
                    from: Some(from.clone()),
                    to: Some(to.clone()),
                })?),
            }
        };
        let mut warnings = Warnings::none();
        let moved = warnings.note(
            moved(),
            "main does not have the code that is served; `git switch main \
                && git merge active` brings it there",
        );
        self.repository.say(warnings);
        if moved == Some(true) {
            self.outcome.did(format!("main is at {}, with the code that is served", to.short()));
            self.outcome.main = Some(to.clone());
        }
        true
    }

    fn replay(&mut self) -> Result<bool, Failure> {
        let active = self.repository.active()?;
        let mut staging = self.repository.staging_on(&active)?;
        let returned = staging
            .notices()
            .iter()
            .map(|notice| if let Notice::Returned { updates, .. } = notice { *updates } else { 0 })
            .sum();
        let mut staged =
            Staged { updates: staging.snapshot()?.updates, returned, ..Staged::default() };
        if staged.updates > 0 && staging.is_behind(&active) {
            let rebased = tuner::replay(self.repository, &mut staging, &active)?;
            staged.replayed = staged.updates;
            staged.duplicates = rebased.counted;
            staged.unknown = rebased.undetermined;
            staged.dropped = rebased
                .dropped
                .into_iter()
                .map(|(record, why)| Dropped { id: record.id, why })
                .collect();
            self.outcome.did(format!(
                "{} signals of staging were replayed on {}",
                staged.replayed,
                tag(&active.base.version)
            ));
        }
        self.outcome.staging = Some(staged);
        Ok(true)
    }
}
