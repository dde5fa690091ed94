//! Staging becomes active: replayed if active has moved, judged, published, sealed.

use crate::error::Failure;
use crate::repository::{Repository, firings, state_value};
use crate::staging::{self, Staging, StagingError};
use crate::sync;
use crate::target::overlay;
use crate::target::tuner;
use crate::versions::evidence::{Judged, Judges};
use crate::versions::execution::{Basis, CommitText, Execution, Staged};
use crate::versions::publish::{self, Outcome};
use agent_core::canary::Frozen;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::manifest::{GateMode, GateTest, Gated};
use agent_core::state::journal;
use agent_core::testing::evaluation::Refusal;
use agent_core::trigger::firing::Firing;
use agent_core::version::promotion::{self, Plan, Snapshot, Tip};
use agent_core::version::publication::{Candidate, Step};
use agent_core::version::what::What;

/// What to do about a promotion that was refused.
const NEXT: &str = "`agent test --at staging --against active` shows what changed; `agent state \
    reset` discards the updates";

const NOT_FROZEN: &str = "staging was reset or replayed since, and no longer has these updates";

#[derive(Default)]
pub struct Options {
    /// Replaces the value in the manifest, as `test` does.
    pub gate: Option<GateMode>,
    pub test: Option<GateTest>,
    pub dry_run: bool,
    /// Promoted in place of the current staging.
    pub frozen: Option<FrozenStaging>,
}

/// An earlier moment of staging, as a canary served it.
pub struct FrozenStaging {
    pub frozen: Frozen,
    /// The text of the commit besides the gate's evidence.
    pub body: String,
}

impl Options {
    /// The keys of the manifest's gate that the command line gives another value.
    fn given(&self, manifest: &Gated) -> Vec<&'static str> {
        let gate = self.gate.filter(|gate| *gate != manifest.gate).map(|_| "gate");
        let test = self.test.filter(|test| *test != manifest.test).map(|_| "test");
        gate.into_iter().chain(test).collect()
    }
}

pub fn promote(repository: &Repository, options: &Options) -> Result<Outcome, Failure> {
    publish::on_record("promotion", || make(repository, options))
}

fn make(repository: &Repository, options: &Options) -> Result<Outcome, Failure> {
    expect_not_held(repository)?;
    if !options.dry_run {
        sync::expect_up_to_date(repository)?;
    }
    for _ in 0..super::ATTEMPTS {
        if let Some(outcome) = attempt(repository, options)? {
            return Ok(outcome);
        }
    }
    Err(publish::too_many_races("active"))
}

/// A firing may hold promotions, until it is cleared.
fn expect_not_held(repository: &Repository) -> Result<(), Failure> {
    let Some(firing) = firings::holding_promotions(repository)? else { return Ok(()) };
    let Firing { id, rule, summary, .. } = firing;
    Err(Failure::new(
        FailureKind::Refused,
        format!("the trigger {rule} holds promotions (firing {id}): {summary}"),
    )
    .with_hint(format!(
        "`agent trigger check` clears it once it is over; `agent trigger mute {rule} --for 1h` \
        lets \
        promotions pass"
    )))
}

/// Staging as a promotion of now would make it a version, brought forward to what is served; `None`
/// where that would be nothing new.
pub fn promotable(repository: &Repository) -> Result<Option<staging::Snapshot>, Failure> {
    for _ in 0..super::ATTEMPTS {
        let tip = repository.expect_tip()?;
        let active = repository.active_at(&tip)?;
        let mut staging = repository.staging_on(&active)?;
        let staged = staging.durable_snapshot()?;
        match promotion::plan(&snapshot(repository, tip, &staged, &Options::default())?) {
            Plan::Nothing => return Ok(None),
            Plan::Judge { .. } => return Ok(Some(staged)),
            Plan::Replay { .. } => {
                tuner::replay(repository, &mut staging, &active)?;
            }
        }
    }
    Err(publish::too_many_races("active"))
}

/// An earlier snapshot of staging; `None` where its Journal no longer contains it.
fn snapshot_at(
    repository: &Repository,
    staging: &mut Staging,
    frozen: &Frozen,
) -> Result<Option<staging::Snapshot>, Failure> {
    let now = staging.durable_snapshot()?;
    let bytes = match staging.sealed(frozen.seq) {
        Err(StagingError::AlreadySealed(_)) => return Ok(None),
        sealed => sealed?.bytes,
    };
    let then = journal::walk(&bytes, |_, _| ()).map_err(|error| {
        Failure::input(format!("the Journal of staging cannot be read: {error}"))
    })?;
    if then.revision != frozen.revision || now.updates < frozen.updates {
        return Ok(None);
    }
    let bytes = repository.git.blob(&frozen.revision)?;
    let state = state_value(&bytes, &format!("state {}", frozen.revision.short()))?;
    Ok(Some(staging::Snapshot {
        state,
        revision: frozen.revision.clone(),
        seq: frozen.seq,
        updates: frozen.updates,
        ..now
    }))
}

fn snapshot(
    repository: &Repository,
    tip: Tip,
    staged: &staging::Snapshot,
    options: &Options,
) -> Result<Snapshot, Failure> {
    Ok(Snapshot {
        branch: "active".to_owned(),
        staging: promotion::Staging {
            base: staged.base.commit.clone(),
            revision: staged.revision.clone(),
            updates: staged.updates,
        },
        gated: gated(repository, &tip, options)?,
        off_policy: repository.manifest(&tip.commit)?.promote.off_policy.is_some(),
        active: tip,
    })
}

/// One try; `None` when another process moved active meanwhile.
fn attempt(repository: &Repository, options: &Options) -> Result<Option<Outcome>, Failure> {
    let tip = repository.expect_tip()?;
    let active = repository.active_at(&tip)?;
    let mut staging = repository.staging_on(&active)?;
    let staged = match &options.frozen {
        None => staging.durable_snapshot()?,
        Some(FrozenStaging { frozen, .. }) => {
            match snapshot_at(repository, &mut staging, frozen)? {
                Some(staged) => staged,
                None => return Ok(Some(Outcome::refused(NOT_FROZEN, Refusal::Judged))),
            }
        }
    };
    let snapshot = snapshot(repository, tip, &staged, options)?;
    match promotion::plan(&snapshot) {
        Plan::Nothing => {
            Ok(Some(Outcome::nothing("staging holds nothing that active does not serve")))
        }
        Plan::Judge { steps, .. } if options.dry_run => Ok(Some(Outcome::planned(&steps))),
        Plan::Replay { onto } if options.dry_run => Ok(Some(Outcome::nothing(format!(
            "staging's {} updates would be replayed on v{} first",
            staged.updates, onto.version
        )))),
        Plan::Replay { .. } => {
            tuner::replay(repository, &mut staging, &active)?;
            Ok(None)
        }
        Plan::Judge { candidate, steps } => {
            let given =
                options.given(&repository.manifest(&snapshot.active.commit)?.promote.gated());
            let body = options.frozen.as_ref().map(|frozen| frozen.body.as_str());
            let words = Words { given: &given, body };
            judge(repository, (&snapshot, &words), (&candidate, &steps), &staged, &mut staging)
        }
    }
}

fn gated(repository: &Repository, tip: &Tip, options: &Options) -> Result<Gated, Failure> {
    let gated = repository.manifest(&tip.commit)?.promote.gated();
    let gated = Gated {
        gate: options.gate.unwrap_or(gated.gate),
        test: options.test.unwrap_or(gated.test),
        ..gated
    };
    match gated.problem() {
        Some((key, problem)) => Err(Failure::usage(format!("the gate's `{key}` {problem}"))),
        None => Ok(gated),
    }
}

/// What is recorded of a promotion beside its evidence.
struct Words<'a> {
    /// The keys of the manifest's gate that the command line gave another value.
    given: &'a [&'a str],
    /// For the commit's body.
    body: Option<&'a str>,
}

fn judge(
    repository: &Repository,
    (snapshot, words): (&Snapshot, &Words<'_>),
    (candidate, steps): (&Candidate, &[Step]),
    staged: &staging::Snapshot,
    staging: &mut Staging,
) -> Result<Option<Outcome>, Failure> {
    let target = repository.candidate(&What::Staging, &snapshot.active.commit, &staged.state)?;
    let baseline = repository.target(&What::Version(snapshot.active.version.clone()))?;
    if let Some(why) = overlay::excess(&baseline, &target, repository)? {
        return Ok(Some(Outcome::refused(why, Refusal::Judged).with_hint(overlay::RELEASE_IT)));
    }
    let judged = Judged {
        candidate: &target,
        judges: Judges::Served,
        baseline: Some(&baseline),
        gated: &snapshot.gated,
        given: words.given,
    };
    let execution = Execution {
        repository,
        candidate,
        tree: target.tree.as_ref().expect("a candidate has a tree"),
        basis: Basis::Tier(judged),
        staged: Some(Staged { staging, snapshot: staged, manifest: &target.manifest }),
        refusal: &|evidence| evidence.refusal().map(|refusal| refusal.with_hint(NEXT)),
        words: &|evidence| CommitText {
            subject: format!("promote: v{} after {} updates", candidate.version, staged.updates),
            body: [Some(evidence.summary()), words.body.map(str::to_owned)]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("\n\n"),
            ..CommitText::default()
        },
        why: &|tip, evidence| {
            format!(
                "{}: {}",
                publish::step_shown(Some(&snapshot.active.version), &tip.version, None),
                evidence.summary()
            )
        },
    };
    execution.carry_out(steps)
}
