//! A plan carried out: the very steps that `--dry-run` prints, one after another.

use crate::error::Failure;
use crate::off_policy::{self, Evaluated};
use crate::repository::Repository;
use crate::repository::ledger;
use crate::repository::records;
use crate::staging::{self, Staging, StagingError};
use crate::versions::evidence::{Evidence, Judged};
use crate::versions::publish::Outcome;
use crate::world::git::{CommitSpec, Publication, Published};
use agent_core::formats::committed::Warnings;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::manifest::Manifest;
use agent_core::formats::object_id::ObjectId;
use agent_core::off_policy::Answer;
use agent_core::testing::evaluation::Refusal;
use agent_core::version::promotion::Tip;
use agent_core::version::publication::{Candidate, Step};
use agent_core::version::registry::journal_key;
use agent_core::version::tag;
use agent_core::version::trailers::Trailers;
use semver::Version;

/// The content of a commit besides its version and its evidence.
#[derive(Debug, Clone, Default)]
pub(super) struct CommitText {
    pub subject: String,
    pub body: String,
    pub feedback: Vec<String>,
    pub coder: Option<String>,
}

/// The source of the evidence.
pub(super) enum Basis<'a> {
    /// A tier that is run.
    Tier(Judged<'a>),
    /// A version that has the same tree.
    Version(&'a ObjectId),
}

/// Staging, and what of it becomes a version.
pub(super) struct Staged<'a> {
    pub staging: &'a mut Staging,
    pub snapshot: &'a staging::Snapshot,
    pub manifest: &'a Manifest,
}

/// The inputs of the steps of a plan.
pub(super) struct Execution<'a> {
    pub repository: &'a Repository,
    pub candidate: &'a Candidate,
    pub tree: &'a ObjectId,
    pub basis: Basis<'a>,
    pub staged: Option<Staged<'a>>,
    /// Why the measured candidate is refused; `None` where it is accepted.
    pub refusal: &'a dyn Fn(&Evidence) -> Option<Outcome>,
    pub words: &'a dyn Fn(&Evidence) -> CommitText,
    /// The reason in the report of a new version.
    pub why: &'a dyn Fn(&Tip, &Evidence) -> String,
}

/// Why the steps end before the last one.
enum End {
    Refused(Box<Outcome>),
    /// Another process moved the branch or staging first; the written objects are unreferenced.
    LostRace,
}

/// The results of the steps so far.
#[derive(Default)]
struct Made {
    /// The estimate of the gain, from the decisions on record.
    gain: Option<String>,
    evidence: Option<Evidence>,
    journal: Option<String>,
    commit: Option<ObjectId>,
    tip: Option<Tip>,
}

impl Made {
    fn evidence(&self) -> &Evidence {
        self.evidence.as_ref().expect("a plan begins with evidence")
    }

    fn commit(&self) -> &ObjectId {
        self.commit.as_ref().expect("a plan writes the commit before it is named")
    }
}

impl Execution<'_> {
    /// Carries out the steps of a plan; `None` where another process was first. Once the branch has
    /// moved the version is out: what fails after that is a warning.
    pub fn carry_out(mut self, steps: &[Step]) -> Result<Option<Outcome>, Failure> {
        let mut made = Made::default();
        for step in steps {
            match self.step(step, &mut made)? {
                None => {}
                Some(End::Refused(refusal)) => return Ok(Some(*refusal)),
                Some(End::LostRace) => return Ok(None),
            }
        }
        let (tip, evidence) =
            (made.tip.as_ref().expect("a plan ends with a version"), made.evidence());
        Ok(Some(Outcome::published(tip, evidence, (self.why)(tip, evidence))))
    }

    /// Carries out one step; `Some` where it was the last.
    fn step(&mut self, step: &Step, made: &mut Made) -> Result<Option<End>, Failure> {
        let repository = self.repository;
        match (step, &self.basis) {
            (Step::EstimateGain, Basis::Tier(judged)) => match self.estimate_gain(judged)? {
                Ok(gain) => made.gain = Some(gain),
                Err(refusal) => return Ok(Some(End::Refused(refusal))),
            },
            (Step::RunTier { .. }, Basis::Tier(judged)) => {
                made.evidence = Some(Evidence::measure(repository, judged)?);
            }
            (Step::ReuseEvaluation { .. }, Basis::Version(commit)) => {
                made.evidence = Some(Evidence::of_version(repository, commit)?);
            }
            (Step::RecordAttempt, Basis::Tier(judged)) => {
                made.evidence
                    .as_mut()
                    .expect("a tier is run before it is recorded")
                    .record(repository, judged)?;
            }
            (
                Step::EstimateGain | Step::RunTier { .. } | Step::RecordAttempt,
                Basis::Version(_),
            )
            | (Step::ReuseEvaluation { .. }, Basis::Tier(_)) => {
                unreachable!("a plan takes its evidence from what it was made for")
            }
            (Step::Decide, _) => {
                return Ok(
                    (self.refusal)(made.evidence()).map(|refusal| End::Refused(Box::new(refusal)))
                );
            }
            (Step::ArchiveJournal { .. }, _) => match self.archive_journal()? {
                Some(digest) => made.journal = Some(digest),
                None => return Ok(Some(End::LostRace)),
            },
            (Step::WriteCommit { undoes, .. }, _) => {
                made.commit = Some(self.write_commit(undoes, made)?);
            }
            (Step::StoreEvaluation, _) => made.evidence().store(repository, made.commit())?,
            (Step::Publish { .. }, _) => match self.publish(made.commit())? {
                Some(tip) => made.tip = Some(tip),
                None => return Ok(Some(End::LostRace)),
            },
            (Step::SealStaging, _) => {
                self.seal(made.tip.as_ref().expect("staging is sealed by a version"));
            }
        }
        Ok(None)
    }

    /// What off-policy evaluation shows of the gain, or why that is not what is required.
    fn estimate_gain(&self, judged: &Judged<'_>) -> Result<Result<String, Box<Outcome>>, Failure> {
        let Staged { manifest, .. } = self.staged.as_ref().expect("a promotion has a manifest");
        let gate = manifest.promote.off_policy.as_ref().expect("the plan is by the manifest");
        let baseline = judged.baseline.expect("a promotion replaces a version");
        let evaluated = off_policy::required(self.repository, [judged.candidate, baseline], gate)?;
        Ok(match evaluated {
            Evaluated::Nothing { why, hint } => {
                Err(Box::new(Outcome::refused(why, Refusal::NotEnoughEvidence).with_hint(hint)))
            }
            Evaluated::Report(report) => {
                let why = format!("off-policy evaluation: {}", report.verdict.why);
                self.repository.say(report.warnings);
                match report.verdict.answer {
                    Answer::Estimated | Answer::Yes => Ok(why),
                    Answer::No => Err(Box::new(Outcome::refused(why, Refusal::Judged))),
                    Answer::NotEnoughEvidence => {
                        Err(Box::new(Outcome::refused(why, Refusal::NotEnoughEvidence)))
                    }
                }
            }
        })
    }

    /// Stores the updates up to the snapshot in the object store; `None` where another process has
    /// sealed them.
    fn archive_journal(&mut self) -> Result<Option<String>, Failure> {
        let Staged { staging, snapshot, manifest } =
            self.staged.as_mut().expect("only staging has a Journal");
        let sealed = match staging.sealed(snapshot.seq) {
            Err(StagingError::AlreadySealed(_)) => return Ok(None),
            other => other?,
        };
        self.repository
            .store_of_evidence(manifest)?
            .put(&journal_key(&sealed.digest), sealed.bytes)?;
        Ok(Some(sealed.digest))
    }

    fn write_commit(&self, undoes: &[Version], made: &Made) -> Result<ObjectId, Failure> {
        let Self { repository, candidate, tree, .. } = self;
        let evidence = made.evidence();
        let words = (self.words)(evidence);
        let trailers = Trailers {
            kind: Some(candidate.kind),
            version: Some(candidate.version.clone()),
            state: Some(candidate.revision.clone()),
            base: candidate.expect.clone(),
            journal: made.journal.clone(),
            eval: Some(evidence.evaluation.digest()),
            gate: evidence.record_digest(),
            contract: evidence.contract.clone(),
            feedback: words.feedback,
            coder: words.coder,
            undoes: undoes.to_vec(),
            ledger: Some(repository.unpack(ledger::RECORD.head_to_name(&repository.git)?)),
            inbox: Some(repository.unpack(records::INBOX.head_to_name(&repository.git)?)),
            ..Trailers::default()
        };
        let body: Vec<_> = [Some(words.body), made.gain.clone()].into_iter().flatten().collect();
        let message = trailers.message(&words.subject, &body.join("\n\n"));
        let spec =
            CommitSpec { tree: (*tree).clone(), parents: candidate.parents.clone(), message };
        Ok(repository.git.write_commit(&spec)?)
    }

    /// The commit point; `None` where another process moved the branch.
    fn publish(&self, commit: &ObjectId) -> Result<Option<Tip>, Failure> {
        let Candidate { branch, expect, version, revision, .. } = self.candidate.clone();
        let publication =
            Publication { branch, expect, commit: commit.clone(), version: version.clone() };
        match self.repository.unpack(self.repository.git.publish(&publication)?) {
            Published::Done => Ok(Some(Tip { version, commit: commit.clone(), revision })),
            Published::Conflict { .. } => Ok(None),
            Published::TagTaken { by } => Err(tag_taken(self.candidate, &by)),
        }
    }

    /// The updates of a version leave staging now, or with the next command that opens it.
    fn seal(&mut self, tip: &Tip) {
        let Staged { staging, snapshot, .. } =
            self.staged.as_mut().expect("only staging has a Journal");
        let mut warnings = Warnings::none();
        let sealed =
            self.repository.active_at(tip).and_then(|now| Ok(staging.seal(snapshot.seq, &now)?));
        let meaning = format!(
            "the updates of v{} are still in staging's Journal, and the next command seals them",
            tip.version
        );
        let afterwards = warnings.note(sealed, &meaning).unwrap_or_default();
        warnings.extend(afterwards);
        self.repository.say(warnings);
    }
}

/// The tag is on a commit that the branch does not have: another clone was first and its branch was
/// not fetched.
fn tag_taken(candidate: &Candidate, by: &ObjectId) -> Failure {
    let tag = tag(&candidate.version);
    let hint = match candidate.expect {
        Some(_) => "`agent sync` brings both together; then run it again",
        None => {
            "`agent sync` brings both together, where another clone released it; else name the \
            first version in agent.toml: first_version = \"X.Y.Z\""
        }
    };
    Failure::new(
        FailureKind::Conflict,
        format!(
            "{tag} is taken: it is commit {}, which is not on `{}`",
            by.short(),
            candidate.branch
        ),
    )
    .with_hint(hint)
}
