//! A commit's code becomes active: the state that is served flows forward, the bump is computed,
//! the full tier judges.

use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::lineage;
use crate::sync;
use crate::target::Target;
use crate::target::contracts::{self, code_of};
use crate::target::migrations;
use crate::target::spec;
use crate::target::state_merge::{self, WorkingCopy};
use crate::versions::error::{CandidateError, ReleaseError};
use crate::versions::evaluators;
use crate::versions::evidence::{Judged, Judges};
use crate::versions::execution::{Basis, CommitText, Execution};
use crate::versions::publish::{self, Outcome};
use crate::world::git::STATE_FILE;
use agent_core::architect::evaluators::Effect;
use agent_core::contract::assessment::Assessment;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::object_id::ObjectId;
use agent_core::testing::evaluation::Refusal;
use agent_core::version::promotion::Tip;
use agent_core::version::publication::{Candidate, Step};
use agent_core::version::release::{self, Lacked, Plan, Served, Snapshot, Source, Yanked};
use agent_core::version::trailers::is_unattended;
use agent_core::version::what::What;
use agent_core::version::{Bump, tag};

#[derive(Default)]
pub struct Options {
    /// The commit to release; `main` by default.
    pub revision: Option<String>,
    pub bump: Option<Bump>,
    pub dry_run: bool,
    /// The feedback items this release answers, and what edited the code for them.
    pub feedback: Vec<String>,
    pub coder: Option<String>,
    /// Whether the release requires a gain in its tier, since there is no evidence of a gain so
    /// far.
    pub only_if_better: bool,
    /// Why code that a rollback took out of service is to be served again.
    pub again: Option<String>,
}

pub fn release(repository: &Repository, options: &Options) -> Result<Outcome, ReleaseError> {
    Ok(publish::on_record("release", || make(repository, options))?)
}

fn make(repository: &Repository, options: &Options) -> Result<Outcome, Failure> {
    if !options.dry_run {
        sync::expect_up_to_date(repository)?;
    }
    let source = source(repository, options)?;
    for _ in 0..super::ATTEMPTS {
        if let Some(outcome) = attempt(repository, &source, options)? {
            return Ok(outcome);
        }
    }
    Err(publish::too_many_races("active"))
}

fn source(repository: &Repository, options: &Options) -> Result<ObjectId, Failure> {
    match &options.revision {
        Some(revision) => Ok(repository.git.expect(revision)?),
        None => match repository.git.resolve("refs/heads/main")? {
            Some(main) => Ok(main),
            None => Ok(repository.git.expect("HEAD")?),
        },
    }
}

/// The observations of one attempt.
struct Observation {
    snapshot: Snapshot,
    candidate: Target,
    baseline: Option<Target>,
    assessment: Option<Assessment>,
}

/// One try; `None` when another process moved active meanwhile.
fn attempt(
    repository: &Repository,
    source: &ObjectId,
    options: &Options,
) -> Result<Option<Outcome>, Failure> {
    let seen = observe(repository, source, options)?;
    if let Some(refused) = for_a_person(repository, &seen, options)? {
        return Ok(Some(refused));
    }
    match release::plan(&seen.snapshot) {
        Plan::Nothing => Ok(Some(Outcome::nothing(format!(
            "active already serves the code of {}",
            source.short()
        )))),
        Plan::Lacks(lacked) => Err(lacks(&name_of(repository, source, options), &lacked)),
        Plan::Yanked(yanked) => Err(yanked_error(&name_of(repository, source, options), &yanked)),
        Plan::UnderBumped { declared, computed } => {
            Ok(Some(under_bumped(declared, computed, seen.assessment.as_ref())))
        }
        Plan::Judge { steps, .. } if options.dry_run => Ok(Some(Outcome::planned(&steps))),
        Plan::Judge { candidate, bump, steps } => {
            judge(repository, &seen, (&candidate, &steps), bump, options)
        }
    }
}

/// A change is never judged by its own evaluators: a coder's commit needs a maintainer when its
/// evaluators differ from those of the version that is served now, whatever it started from.
fn for_a_person(
    repository: &Repository,
    seen: &Observation,
    options: &Options,
) -> Result<Option<Outcome>, Failure> {
    let unattended = is_unattended(options.coder.as_deref());
    let (Some(served), Some(tree), true) =
        (&seen.snapshot.served, &seen.candidate.tree, unattended)
    else {
        return Ok(None);
    };
    Ok(match evaluators::between(repository, &served.tip.commit, tree)? {
        Effect::Person { why } => Some(Outcome::refused(why, Refusal::Judged)),
        Effect::None | Effect::Additions { .. } => None,
    })
}

fn observe(
    repository: &Repository,
    source: &ObjectId,
    options: &Options,
) -> Result<Observation, Failure> {
    let tip = repository.tip()?;
    let candidate = candidate(repository, tip.as_ref(), source)?;
    let baseline = tip
        .as_ref()
        .map(|tip| repository.target(&What::Version(tip.version.clone())))
        .transpose()?;
    if let Some(baseline) = &baseline {
        spec::warn_of_own_files(baseline, repository);
    }
    let assessment = baseline
        .as_ref()
        .map(|baseline| contracts::assessed(baseline, &candidate, repository))
        .transpose()?;
    let (lacked, yanked) = match &tip {
        Some(tip) => (
            lineage::lacked(&repository.git, &tip.commit, source)?,
            lineage::yanked(&repository.git, &tip.commit, source)?,
        ),
        None => (Vec::new(), None),
    };
    let served = tip
        .map(|tip| Ok::<_, Failure>(Served { code: code_of(repository, &tip.commit)?, tip }))
        .transpose()?;
    let snapshot = Snapshot {
        branch: "active".to_owned(),
        served,
        source: Source { commit: source.clone(), code: code_of(repository, source)? },
        lacked,
        yanked,
        again: options.again.is_some(),
        revision: candidate.state.revision.clone(),
        computed: assessment.as_ref().and_then(|assessment| assessment.bump),
        declared: options.bump,
        gated: candidate.manifest.release.clone(),
        first: candidate.manifest.first(),
    };
    Ok(Observation { snapshot, candidate, baseline, assessment })
}

/// The source as it would be served: with the merged state.
pub fn candidate(
    repository: &Repository,
    tip: Option<&Tip>,
    source: &ObjectId,
) -> Result<Target, CandidateError> {
    let what = What::Name(source.to_string());
    let code = repository.target(&what)?;
    let state = match tip {
        Some(tip) => {
            let copy = repository.git.read(source, STATE_FILE)?.unwrap_or_default();
            state_merge::refusal(
                state_merge::merge_state(
                    repository,
                    tip,
                    WorkingCopy { code: &code, state: &copy, on: source },
                )?,
                source.short(),
            )?
        }
        None => migrations::migrate(
            repository,
            &code.state.value,
            contracts::state_schema(&code, repository)?.as_ref(),
            &code,
        )?,
    };
    Ok(repository.candidate(&what, source, &state)?)
}

/// The branch that is released; the commit, where it has no branch.
struct Named {
    name: String,
    /// It is checked out in the user's working tree.
    is_here: bool,
}

fn name_of(repository: &Repository, source: &ObjectId, options: &Options) -> Named {
    let asked = options.revision.as_deref().unwrap_or("main").trim_start_matches("refs/heads/");
    let full = format!("refs/heads/{asked}");
    let is_branch = repository.git.reference(&full).is_ok_and(|tip| tip.as_ref() == Some(source));
    let head = repository.git.head_branch().ok().flatten();
    Named {
        name: if is_branch { asked } else { source.short() }.to_owned(),
        is_here: head == Some(full),
    }
}

fn lacks(source: &Named, lacked: &[Lacked]) -> Failure {
    let name = &source.name;
    let versions: Vec<_> = lacked.iter().map(|lacked| tag(&lacked.version)).collect();
    let mut message = format!(
        "{name} lacks the code of {}, which is served: a release of {name} would take it out",
        versions.join(", ")
    );
    let rollbacks: Vec<_> = lacked.iter().filter(|lacked| !lacked.took_out.is_empty()).collect();
    for Lacked { version, took_out, reason } in &rollbacks {
        let took_out: Vec<_> = took_out.iter().map(tag).collect();
        message = format!(
            "{message}; {} took the code of {} out of service{}",
            tag(version),
            took_out.join(", "),
            because(reason)
        );
    }
    let switch = if source.is_here { String::new() } else { format!("git switch {name} && ") };
    let mut hint = format!("{switch}git merge active, then run it again");
    if rollbacks.len() == lacked.len() {
        hint = format!(
            "{hint}; to serve yanked code again, as in {name}: agent release \
            --again REASON"
        );
    }
    Failure::new(FailureKind::Conflict, message).with_hint(hint)
}

fn yanked_error(source: &Named, Yanked { version, by, reason }: &Yanked) -> Failure {
    let (name, version, by) = (&source.name, tag(version), tag(by));
    Failure::new(
        FailureKind::Conflict,
        format!(
            "{name} has the code of {version}, which {by} took out of service{}",
            because(reason)
        ),
    )
    .with_hint("to serve it again: agent release --again REASON")
}

fn because(reason: &str) -> String {
    match reason.lines().next() {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    }
}

fn under_bumped(declared: Bump, computed: Bump, assessment: Option<&Assessment>) -> Outcome {
    let strongest = assessment.and_then(|assessment| assessment.changes.first());
    let because = strongest
        .map(|change| format!(": {} [{}]", change.message, change.rule))
        .unwrap_or_default();
    Outcome::refused(
        format!(
            "a {declared} was declared, but the change requires a {computed}{because}; `agent \
            semver` lists why"
        ),
        Refusal::Judged,
    )
}

fn judge(
    repository: &Repository,
    seen: &Observation,
    (candidate, steps): (&Candidate, &[Step]),
    bump: Option<Bump>,
    options: &Options,
) -> Result<Option<Outcome>, Failure> {
    let judges = if is_unattended(options.coder.as_deref()) { Judges::Served } else { Judges::Own };
    let gated = &seen.snapshot.gated;
    let again = served_again(&seen.snapshot, options.again.as_deref());
    let execution = Execution {
        repository,
        candidate,
        tree: seen.candidate.tree.as_ref().expect("a candidate has a tree"),
        basis: Basis::Tier(Judged {
            candidate: &seen.candidate,
            judges,
            baseline: seen.baseline.as_ref(),
            gated,
            given: &[],
        }),
        staged: None,
        refusal: &|evidence| {
            let unproven = || {
                (options.only_if_better && !evidence.shows_gain())
                    .then(|| Outcome::unproven(evidence))
            };
            evidence.refusal().or_else(unproven)
        },
        words: &|evidence| CommitText {
            subject: format!("release: v{}", candidate.version),
            body: again
                .iter()
                .fold(evidence.summary(), |message, again| format!("{message}\n\n{again}")),
            feedback: options.feedback.clone(),
            coder: options.coder.clone(),
        },
        why: &|tip, evidence| {
            let from = seen.snapshot.served.as_ref().map(|served| &served.tip.version);
            let why = format!(
                "{}: {}",
                publish::step_shown(from, &tip.version, bump),
                evidence.summary()
            );
            again.iter().fold(why, |why, again| format!("{why}; {again}"))
        },
    };
    execution.carry_out(steps)
}

/// The version that is served again, and the reason.
fn served_again(snapshot: &Snapshot, reason: Option<&str>) -> Option<String> {
    let mut versions: Vec<_> = snapshot
        .lacked
        .iter()
        .flat_map(|lacked| &lacked.took_out)
        .chain(snapshot.yanked.iter().map(|taken| &taken.version))
        .collect();
    versions.sort();
    versions.dedup();
    let versions: Vec<_> = versions.into_iter().map(tag).collect();
    let reason = reason.filter(|_| !versions.is_empty())?;
    Some(format!("the code of {} is served again: {reason}", versions.join(", ")))
}
