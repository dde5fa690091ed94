//! Staging becomes active: replayed if active has moved, judged, published, sealed.

use crate::error::CommandError;
use crate::repository::Repository;
use crate::staging::{Staging, StagingError};
use crate::sync;
use crate::target::tuner;
use crate::versions::evidence::{Evidence, Judges};
use crate::versions::publish::{self, Outcome, Words, publish};
use agent_core::formats::committed::Warnings;
use agent_core::formats::manifest::{GateMode, GateTest, Gated};
use agent_core::version::promotion::{self, Plan, Snapshot, Tip};
use agent_core::version::publication::Candidate;
use agent_core::version::registry::journal_key;
use agent_core::version::what::What;

#[derive(Default)]
pub struct Options {
    /// In place of the manifest's, like `test`.
    pub gate: Option<GateMode>,
    pub test: Option<GateTest>,
    pub dry_run: bool,
}

impl Options {
    /// The keys of the manifest's gate that the command line gives another value.
    fn given(&self, manifest: &Gated) -> Vec<&'static str> {
        let gate = self.gate.filter(|gate| *gate != manifest.gate).map(|_| "gate");
        let test = self.test.filter(|test| *test != manifest.test).map(|_| "test");
        gate.into_iter().chain(test).collect()
    }
}

pub fn promote(repository: &Repository, options: &Options) -> Result<Outcome, CommandError> {
    publish::on_record("promotion", || make(repository, options))
}

fn make(repository: &Repository, options: &Options) -> Result<Outcome, CommandError> {
    if !options.dry_run {
        sync::expect_level(repository)?;
    }
    for _ in 0..super::ATTEMPTS {
        if let Some(outcome) = attempt(repository, options)? {
            return Ok(outcome);
        }
    }
    Err(publish::too_many_races("active"))
}

/// One try; `None` when somebody else moved active meanwhile.
fn attempt(repository: &Repository, options: &Options) -> Result<Option<Outcome>, CommandError> {
    let tip = repository.expect_tip()?;
    let active = repository.active_at(&tip)?;
    let mut staging = repository.staging_on(&active)?;
    let staged = staging.durable_snapshot()?;
    let snapshot = Snapshot {
        branch: "active".to_owned(),
        staging: promotion::Staging { base: staged.base.commit.clone(), revision: staged.revision.clone(), updates: staged.updates },
        gated: gated(repository, &tip, options)?,
        active: tip,
    };
    match promotion::plan(&snapshot) {
        Plan::Nothing => Ok(Some(Outcome::nothing("staging holds nothing that active does not serve"))),
        Plan::Judge { steps, .. } if options.dry_run => Ok(Some(Outcome::planned(&steps))),
        Plan::Replay { onto } if options.dry_run => {
            Ok(Some(Outcome::nothing(format!("staging's {} updates would be replayed on v{} first", staged.updates, onto.version))))
        }
        Plan::Replay { .. } => {
            tuner::replay(repository, &mut staging, &active)?;
            Ok(None)
        }
        Plan::Judge { candidate, .. } => {
            let given = options.given(&repository.manifest(&snapshot.active.commit)?.promote.gated());
            judge(repository, (&snapshot, &given), &candidate, &staged, &mut staging)
        }
    }
}

fn gated(repository: &Repository, tip: &Tip, options: &Options) -> Result<Gated, CommandError> {
    let gated = repository.manifest(&tip.commit)?.promote.gated();
    let gated = Gated { gate: options.gate.unwrap_or(gated.gate), test: options.test.unwrap_or(gated.test), ..gated };
    match gated.problem() {
        Some((key, problem)) => Err(CommandError::usage(format!("the gate's `{key}` {problem}"))),
        None => Ok(gated),
    }
}

fn judge(
    repository: &Repository,
    (snapshot, given): (&Snapshot, &[&str]),
    candidate: &Candidate,
    staged: &crate::staging::Snapshot,
    staging: &mut Staging,
) -> Result<Option<Outcome>, CommandError> {
    let target = repository.candidate(&What::Staging, &snapshot.active.commit, &staged.state)?;
    let baseline = repository.target(&What::Version(snapshot.active.version.clone()))?;
    let evidence = Evidence::gather(repository, (&target, Judges::Served), Some(&baseline), &snapshot.gated, given)?;
    if let Some(refusal) = evidence.refusal() {
        return Ok(Some(
            refusal.with_hint("`agent test --at staging --against active` shows what changed; `agent state reset` discards the updates"),
        ));
    }
    let sealed = match staging.sealed(staged.seq) {
        Err(StagingError::Gone(_)) => return Ok(None),
        other => other?,
    };
    repository.store_of_evidence(&target.manifest)?.put(&journal_key(&sealed.digest), sealed.bytes)?;
    let words = Words {
        subject: format!("promote: v{} after {} updates", candidate.version, staged.updates),
        body: evidence.told(),
        journal: Some(sealed.digest),
        ..Words::default()
    };
    let tree = target.tree.as_ref().expect("a candidate has a tree");
    let Some(tip) = publish(repository, candidate, tree, &evidence, words)? else {
        return Ok(None);
    };
    repository.say(seal(repository, staging, staged.seq, &tip));
    let why = format!("{}: {}", publish::step_shown(Some(&snapshot.active.version), &tip.version, None), evidence.told());
    Ok(Some(Outcome::published(&tip, &evidence, why)))
}

/// The version is out: its updates leave staging now, or with the next command that opens it.
fn seal(repository: &Repository, staging: &mut Staging, seq: u64, tip: &Tip) -> Warnings {
    let mut warnings = Warnings::none();
    let sealed = repository.active_at(tip).and_then(|now| Ok(staging.seal(seq, &now)?));
    let meaning = format!("the updates of v{} are still in staging's Journal, and the next command seals them", tip.version);
    let afterwards = warnings.note(sealed, &meaning).unwrap_or_default();
    warnings.extend(afterwards);
    warnings
}
