//! A rollback: a new PATCH version with an earlier tree; the versions that it undoes are yanked.

use crate::error::Failure;
use crate::repository::Repository;
use crate::sync;
use crate::versions::execution::{Basis, CommitText, Execution};
use crate::versions::publish::{self, Outcome};
use agent_core::formats::diagnose::FailureKind;
use agent_core::version::rollback::{self, Past, Plan, Publish, Snapshot};
use agent_core::version::tag;
use semver::Version;

pub struct Options {
    pub version: Option<Version>,
    pub reason: Option<String>,
    /// Why a version that a rollback took out of service is to be served again.
    pub again: Option<String>,
    pub dry_run: bool,
}

pub fn rollback(repository: &Repository, options: &Options) -> Result<Outcome, Failure> {
    publish::on_record("rollback", || make(repository, options))
}

fn make(repository: &Repository, options: &Options) -> Result<Outcome, Failure> {
    if !options.dry_run {
        sync::expect_up_to_date(repository)?;
    }
    for _ in 0..super::ATTEMPTS {
        let snapshot = Snapshot {
            branch: "active".to_owned(),
            history: history(repository)?,
            wanted: options.version.clone(),
            again: options.again.is_some(),
        };
        let publish = match rollback::plan(&snapshot) {
            Plan::Nothing { at } => {
                return Ok(Outcome::nothing(format!("active already serves what v{at} does")));
            }
            Plan::NoTarget => return Err(no_target(options)),
            Plan::Yanked { version } => return Err(yanked_error(&version)),
            Plan::Publish(publish) if options.dry_run => {
                return Ok(Outcome::planned(&publish.steps));
            }
            Plan::Publish(publish) => publish,
        };
        if let Some(outcome) = apply(repository, &publish, options)? {
            return Ok(outcome);
        }
    }
    Err(publish::too_many_races("active"))
}

/// The versions of active, newest first.
fn history(repository: &Repository) -> Result<Vec<Past>, Failure> {
    let tip = repository.expect_tip()?;
    let mut undone = Vec::new();
    let mut history = Vec::new();
    for commit in repository.git.first_parents(&tip.commit) {
        let commit = commit?;
        let (Some((_, version)), Some(revision)) =
            (commit.trailers.as_version(), commit.trailers.state.clone())
        else {
            break;
        };
        undone.extend(commit.trailers.undoes.iter().cloned());
        history.push(Past {
            version: version.clone(),
            commit: commit.id.clone(),
            tree: commit.tree.clone(),
            revision,
            yanked: undone.contains(version),
        });
    }
    Ok(history)
}

fn apply(
    repository: &Repository,
    plan: &Publish,
    options: &Options,
) -> Result<Option<Outcome>, Failure> {
    let Publish { candidate, target, undoes, steps } = plan;
    let execution = Execution {
        repository,
        candidate,
        tree: &target.tree,
        basis: Basis::Version(&target.commit),
        staged: None,
        refusal: &|_| None,
        words: &|_| CommitText {
            subject: format!("rollback: v{} is v{} again", candidate.version, target.version),
            body: options
                .reason
                .iter()
                .chain(&options.again)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n\n"),
            ..CommitText::default()
        },
        why: &|tip, _| {
            let undone: Vec<_> = undoes.iter().map(tag).collect();
            format!(
                "v{} serves what v{} did; yanked: {}",
                tip.version,
                target.version,
                undone.join(", ")
            )
        },
    };
    execution.carry_out(steps)
}

fn yanked_error(version: &Version) -> Failure {
    let version = tag(version);
    Failure::new(FailureKind::Conflict, format!("a rollback took {version} out of service"))
        .with_hint(format!("to serve it again: agent rollback {version} --again REASON"))
}

fn no_target(options: &Options) -> Failure {
    match &options.version {
        Some(version) => {
            Failure::input(format!("there is no v{version} before the version that is served"))
                .with_hint("`agent versions` lists them")
        }
        None => Failure::new(FailureKind::Refused, "there is no earlier version to go back to"),
    }
}
