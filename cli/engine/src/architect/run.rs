//! One run from its feedback to its end.

use crate::architect::change::{self, Authorship, Change, ChangeOutcome, CoderResult};
use crate::architect::coder::{Coded, Coder, Setting};
use crate::architect::error::ArchitectError;
use crate::architect::events::{Kind, Log};
use crate::architect::not_started::NotStarted;
use crate::architect::trial::{self, Baseline};
use crate::architect::workplace;
use crate::architect::{briefing, cancellation, coders, failing_case};
use crate::error::Failure;
use crate::repository::Repository;
use crate::repository::inbox::{Inbox, unknown};
use crate::repository::run_report::{Attempt, Report};
use crate::target::Target;
use crate::target::contracts;
use crate::telemetry::{Span, conventions as names};
use crate::templates;
use crate::versions::release::{self, Options};
use crate::versions::{CandidateError, Outcome, ReleaseError, evaluators};
use crate::world::fs::{self, FileLock};
use crate::world::git::Move;
use crate::world::{clock, env};
use agent_core::architect::brief::{Brief, Rejected};
use agent_core::architect::evaluators::Effect;
use agent_core::architect::feedback::{Feedback, Status};
use agent_core::architect::run::{self as machine, Event, Limits, Run, SCHEMA, Step, Trial};
use agent_core::contract::assessment::Assessment;
use agent_core::formats::canonical;
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::manifest::CoderKind;
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::version::trailers::PERSON;
use agent_core::version::what::What;
use agent_core::version::{Bump, tag};
use semver::Version;
use serde_json::json;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The feedback and the settings of a run.
pub struct Assignment {
    pub items: Vec<Feedback>,
    /// `None`: the coder that the served manifest names.
    pub coder: Option<CoderKind>,
    /// Whether it waits for another active run.
    pub waits: bool,
    /// Whether it takes only items that no run has taken yet.
    pub once: bool,
}

/// A run that is on record. No other run of this clone begins while it is held.
pub struct Begun<'a> {
    repository: &'a Repository,
    active: Target,
    report: Report,
    _lock: FileLock,
}

/// Puts a run on record, one at a time in a clone.
pub fn begin<'a>(
    repository: &'a Repository,
    assignment: &Assignment,
) -> Result<Begun<'a>, NotStarted> {
    let lock = lock(repository, assignment.waits)?;
    sweep(repository)?;
    if repository.tip()?.is_none() {
        return Err(NotStarted::NotReady(repository.nothing_served().into()));
    }
    let active = repository.target(&What::Active)?;
    let report = record(repository, &active, assignment)?;
    Ok(Begun { repository, active, report, _lock: lock })
}

impl Begun<'_> {
    pub fn report(&self) -> &Report {
        &self.report
    }

    pub fn carry_out(self) -> Result<Report, Failure> {
        let Self { repository, active, mut report, _lock } = self;
        let carried_out = || {
            let mut execution = Execution::prepare(repository, &active, &report)?;
            let span = match env::traceparent() {
                Some(asked) => Span::continuing("architect run", names::RUN_KIND, Some(&asked)),
                None => Span::internal("architect run", names::RUN_KIND),
            };
            span.set_some(names::RUN, Some(&execution.report.run));
            let outcome = span.within(|| execution.carry_out());
            if let Err(error) = &outcome {
                span.fail(error.kind.as_str(), error.messages.join(": "));
            }
            Ok((execution.report, outcome))
        };
        let error = match carried_out() {
            Ok((report, Ok(()))) => return Ok(report),
            Ok((further, Err(error))) => {
                report = further;
                error
            }
            Err(error) => error,
        };
        conclude_failed(repository, report, error)
    }
}

/// Ends a run that an error interrupted. Its feedback is free for another run, unless the version
/// was released by then.
fn conclude_failed(
    repository: &Repository,
    mut report: Report,
    error: Failure,
) -> Result<Report, Failure> {
    let concluded = conclude_interrupted(repository, &mut report, &error.messages.join(": "));
    let Some(version) = released(&report) else {
        concluded?;
        return Err(error);
    };
    let mut warnings = Warnings::none();
    warnings.note(
        Err::<(), _>(error),
        &format!("{version} is released, and what the run did afterwards failed"),
    );
    warnings.note(
        concluded,
        &format!(
            "the inbox does not yet record that {version} answers the feedback; the next run \
                records it"
        ),
    );
    Ok(repository.unpack(Committed { value: report, warnings }))
}

fn released(report: &Report) -> Option<&str> {
    match &report.progress.phase {
        machine::Phase::Released { version } => Some(version),
        _ => None,
    }
}

/// Puts the run on record and takes its feedback.
fn record(
    repository: &Repository,
    active: &Target,
    assignment: &Assignment,
) -> Result<Report, NotStarted> {
    let items = still_runnable(assignment, repository)?;
    let manifest = &active.manifest;
    let coder = assignment.coder.unwrap_or(manifest.architect.coder);
    coders::expect_configured(coder, active).map_err(NotStarted::NotReady)?;
    let inbox = Inbox::new(&repository.git);
    let run = new_run_id(&items, inbox.runs()?.len());
    let progress = Run::new(Limits {
        attempts: manifest.architect.attempts.max(1),
        release_tier: manifest.release.tier,
    });
    let report = new_report(&run, &items, coder, active, progress);
    let folder = repository.layout.architect(&run);
    report.save(&folder)?;
    repository.unpack(inbox.set_status(&items, &Status::Taken { run: run.clone() })?);
    let notice = format!("run {run} on {}, coder {}", active.shown(), coder.as_str());
    repository.notices.info(&notice);
    Log::open(&folder, &run)?.append(Kind::Began, &report.progress, &notice)?;
    Ok(report)
}

/// The items as they are now: while this run waited, another may have answered them.
fn still_runnable(
    assignment: &Assignment,
    repository: &Repository,
) -> Result<Vec<Feedback>, NotStarted> {
    let now = Inbox::new(&repository.git).items()?;
    let again = !assignment.once;
    assignment.items.iter().map(|item| runnable(&now, &item.id, again)).collect()
}

/// The item of that id, where a run that names it may take it; `again`: also after another run did.
pub fn runnable(items: &[Feedback], id: &str, again: bool) -> Result<Feedback, NotStarted> {
    let item = items
        .iter()
        .find(|item| item.id == id)
        .ok_or_else(|| NotStarted::NoFeedback { id: id.to_owned() })?;
    if item.status.can_be_run(again) {
        return Ok(item.clone());
    }
    Err(NotStarted::NotRunnable { id: id.to_owned(), status: item.status.clone() })
}

fn lock(repository: &Repository, waits: bool) -> Result<FileLock, Failure> {
    let path = repository.layout.architect_lock();
    if let Some(lock) = FileLock::try_acquire(&path)? {
        return Ok(lock);
    }
    if !waits {
        return lock_soon(repository, &path);
    }
    repository.notices.info("another run is in progress; this one waits for it");
    Ok(FileLock::acquire(&path)?)
}

/// A run that has just ended may still hold the lock briefly; an active one is not waited for.
fn lock_soon(repository: &Repository, path: &Path) -> Result<FileLock, Failure> {
    const LOOKS: usize = 100;
    for _ in 0..LOOKS {
        if let Some(run) = local_runs(repository)?.first() {
            return Err(ArchitectError::InProgress { run: run.run.clone() }.into());
        }
        if let Some(lock) = FileLock::try_acquire(path)? {
            return Ok(lock);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(ArchitectError::Starting.into())
}

/// Ends the runs whose process has exited. The caller holds the lock.
fn sweep(repository: &Repository) -> Result<(), Failure> {
    for mut report in local_runs(repository)? {
        workplace::clear(&repository.layout, &report.run)?;
        conclude_interrupted(repository, &mut report, "the process of the run has exited")?;
    }
    Ok(())
}

/// Runs `sweep`, unless a run is active.
pub fn sweep_if_free(repository: &Repository) -> Result<(), Failure> {
    match FileLock::try_acquire(&repository.layout.architect_lock())? {
        Some(_lock) => sweep(repository),
        None => Ok(()),
    }
}

fn conclude_interrupted(
    repository: &Repository,
    report: &mut Report,
    why: &str,
) -> Result<(), Failure> {
    if !report.progress.phase.is_final() {
        let out = version_of(repository, report)?;
        let event = out
            .as_ref()
            .map_or(Event::Interrupted, |(version, _)| Event::Released { version: tag(version) });
        let (progress, _) = machine::step(report.progress.clone(), event);
        report.follow(&progress);
        match out {
            Some((_, commit)) => report.commit = Some(commit),
            None => report.why = Some(why.to_owned()),
        }
    }
    report.finished = Some(clock::rfc3339(clock::now()));
    let inbox = Inbox::new(&repository.git);
    let taken = Status::Taken { run: report.run.clone() };
    let items: Vec<_> = inbox.items()?.into_iter().filter(|item| item.status == taken).collect();
    repository.unpack(inbox.conclude(&items, &report.outcome(), report)?);
    let folder = repository.layout.architect(&report.run);
    report.save(&folder)?;
    Log::open(&folder, &report.run)?.append(
        Kind::Ended,
        &report.progress,
        report.why.as_deref().unwrap_or_default(),
    )
}

/// The version of a run whose process failed or was killed after it moved `active` and before it
/// recorded the outcome.
fn version_of(
    repository: &Repository,
    report: &Report,
) -> Result<Option<(Version, ObjectId)>, Failure> {
    let Some(tip) = repository.tip()? else { return Ok(None) };
    for commit in repository.git.first_parents(&tip.commit) {
        let commit = commit?;
        if commit.id == report.base {
            break;
        }
        let trailers = commit.trailers;
        if trailers.feedback == report.feedback
            && trailers.coder.as_deref() == Some(report.coder.as_str())
        {
            return Ok(trailers.version.map(|version| (version, commit.id)));
        }
    }
    Ok(None)
}

/// The runs of this clone that have not ended.
pub fn local_runs(repository: &Repository) -> Result<Vec<Report>, Failure> {
    let folder = repository.layout.architect_runs();
    let mut unfinished = Vec::new();
    for run in fs::names(&folder)? {
        let path = folder.join(run).join("report.json");
        let Some(bytes) = fs::read_if_there(&path)? else { continue };
        let report = Report::parse(&bytes, &path.display().to_string())?;
        // `finished` is set after the inbox has the result
        if report.finished.is_none() {
            unfinished.push(report);
        }
    }
    Ok(unfinished)
}

/// Which evaluators a branch changes; one with an unfinished case is not released.
fn look_at_accepted(repository: &Repository, reference: &str, id: &str) -> Result<(), Failure> {
    let branch = repository.git.expect(reference)?;
    let served = repository.expect_tip()?.commit;
    let unfinished = failing_case::unfinished(&branch, repository)?;
    if let Some((case, file)) =
        unfinished.difference(&failing_case::unfinished(&served, repository)?).next()
    {
        return Err(ArchitectError::Unfinished {
            case: case.clone(),
            file: file.clone(),
            branch: reference.trim_start_matches("refs/heads/").to_owned(),
            run: id.to_owned(),
        }
        .into());
    }
    if let Effect::Person { why } = evaluators::between(repository, &served, &branch)? {
        repository.notices.info(format!("run {id}: {why}"));
        repository
            .notices
            .info("it is released as a maintainer's change; its evaluators judge from then on");
    }
    Ok(())
}

/// A maintainer accepts a change that a run may not release. The release's tests and gate still
/// judge it.
pub fn accept(
    repository: &Repository,
    id: &str,
    again: Option<&str>,
) -> Result<(Report, Outcome), Failure> {
    let inbox = Inbox::new(&repository.git);
    let mut report = inbox
        .runs()?
        .into_iter()
        .find(|run| run.run == id)
        .ok_or_else(|| unknown("run that ended", id))?;
    let branch = report.branch.clone().ok_or_else(|| ArchitectError::NoBranch {
        run: id.to_owned(),
        status: report.status.clone(),
    })?;
    let reference = format!("refs/heads/{branch}");
    look_at_accepted(repository, &reference, id)?;
    let options = Options {
        revision: Some(reference),
        feedback: report.feedback.clone(),
        coder: Some(PERSON.to_owned()),
        again: again.map(str::to_owned),
        ..Options::default()
    };
    let outcome = release::release(repository, &options)?;
    let made = outcome.version.clone().zip(outcome.commit.clone()).filter(|_| outcome.done);
    // accepted before, and the inbox was not updated then
    let made = made.or_else(|| {
        released_before(repository, &report, &branch).filter(|_| outcome.refusal.is_none())
    });
    if let Some((version, commit)) = made {
        let version = tag(&version);
        let progress = Run {
            phase: machine::Phase::Released { version: version.clone() },
            ..report.progress.clone()
        };
        report.follow(&progress);
        report.why = Some("accepted by a maintainer".to_owned());
        report.commit = Some(commit);
        let mut warnings = Warnings::none();
        let meaning = format!(
            "{version} is released, but the inbox does not record it yet; `agent architect accept \
            {id}` notes it"
        );
        warnings.note(conclude_accepted(repository, &inbox, &report), &meaning);
        repository.unpack(Committed { value: (), warnings });
    }
    Ok((report, outcome))
}

fn conclude_accepted(
    repository: &Repository,
    inbox: &Inbox<'_>,
    report: &Report,
) -> Result<(), Failure> {
    let items: Vec<_> =
        inbox.items()?.into_iter().filter(|item| report.feedback.contains(&item.id)).collect();
    repository.unpack(inbox.conclude(&items, &report.outcome(), report)?);
    Ok(())
}

/// The version that answers a run's feedback, where a maintainer released its branch.
fn released_before(
    repository: &Repository,
    report: &Report,
    branch: &str,
) -> Option<(Version, ObjectId)> {
    let source = repository.git.reference(&format!("refs/heads/{branch}")).ok().flatten()?;
    let tip = repository.tip().ok().flatten()?;
    let made = repository
        .git
        .first_parents(&tip.commit)
        .map_while(Result::ok)
        .take_while(|commit| commit.id != report.base);
    let mut made = made.filter(|commit| commit.id == source || commit.parents.contains(&source));
    made.find_map(|commit| commit.trailers.version.map(|version| (version, commit.id)))
}

struct Execution<'a> {
    repository: &'a Repository,
    active: &'a Target,
    items: Vec<Feedback>,
    brief: Brief,
    coder: Box<dyn Coder + 'a>,
    baseline: Baseline<'a>,
    report: Report,
    change: Option<Change>,
    folder: PathBuf,
    log: Log,
}

impl<'a> Execution<'a> {
    /// Gathers the brief. `begun` is the run as it was put on record.
    fn prepare(
        repository: &'a Repository,
        active: &'a Target,
        begun: &Report,
    ) -> Result<Self, Failure> {
        let mut report = begun.clone();
        let inbox = Inbox::new(&repository.git);
        let items: Vec<_> =
            inbox.items()?.into_iter().filter(|item| report.feedback.contains(&item.id)).collect();
        let mut baseline = Baseline::new(active, repository);
        let inspirations = templates::inspirations();
        let brief = briefing::gather(
            &report.run,
            &items,
            active,
            &mut baseline,
            &inspirations,
            repository,
        )?;
        let folder = repository.layout.architect(&report.run);
        let base = begun.base.clone();
        let setting =
            Setting { repository, active, base, folder: folder.clone(), run: report.run.clone() };
        let coder = coders::of(report.coder, setting, &inspirations, &brief);
        let attempts = coder.attempts().unwrap_or(report.progress.limits.attempts);
        report.progress.limits.attempts = attempts;
        let log = Log::open(&folder, &report.run)?;
        let brief = Brief { attempts, ..brief };
        Ok(Self {
            repository,
            active,
            items,
            brief,
            coder,
            baseline,
            report,
            change: None,
            folder,
            log,
        })
    }

    fn carry_out(&mut self) -> Result<(), Failure> {
        let mut steps = VecDeque::from(self.take(Event::Start)?);
        while let Some(step) = steps.pop_front() {
            if let Some(event) = self.carry_out_step(&step)? {
                steps = self.take(event)?.into();
            }
        }
        Ok(())
    }

    /// Takes an event in and keeps where the run is now.
    fn take(&mut self, event: Event) -> Result<Vec<Step>, Failure> {
        let (progress, steps) = machine::step(self.report.progress.clone(), event);
        self.report.follow(&progress);
        self.report.save(&self.folder)?;
        self.log.append(Kind::Moved, &progress, self.report.why.as_deref().unwrap_or_default())?;
        Ok(steps)
    }

    /// Sends a notice to the caller, and appends it to the event log.
    fn notify(&mut self, text: &str) -> Result<(), Failure> {
        self.repository.notices.info(text);
        self.log.append(Kind::Message, &self.report.progress, text.trim_start())
    }

    fn carry_out_step(&mut self, step: &Step) -> Result<Option<Event>, Failure> {
        let may_stop = matches!(step, Step::Code | Step::Try(_) | Step::Release);
        if may_stop && cancellation::is_requested(&self.folder) {
            return Ok(Some(Event::Cancel));
        }
        let event = match step {
            Step::Code => self.code_on_record()?,
            Step::Try(trial) => self.try_change(*trial)?,
            Step::Release => self.release()?,
            Step::KeepBranch => {
                self.keep_branch()?;
                return Ok(None);
            }
            Step::WriteFailingCase => {
                self.write_failing_case()?;
                return Ok(None);
            }
            Step::Report => {
                self.conclude()?;
                return Ok(None);
            }
        };
        self.note_failure(&event)?;
        Ok(Some(event))
    }

    fn note_failure(&mut self, event: &Event) -> Result<(), Failure> {
        if let Event::AttemptFailed { why }
        | Event::TrialFailed { why }
        | Event::ReleaseRefused { why }
        | Event::Unproven { why }
        | Event::OutsideChange { why } = event
        {
            self.report.attempt().why = Some(why.clone());
            let reason = self
                .report
                .attempts
                .last()
                .and_then(|attempt| self.report.not_taken(attempt))
                .unwrap_or_default();
            self.notify(&format!("  {reason}"))?;
        }
        Ok(())
    }

    fn code_on_record(&mut self) -> Result<Event, Failure> {
        let span = Span::internal(&format!("coder {}", self.report.coder.as_str()), "coder");
        span.set(names::CODER, self.report.coder.as_str());
        let event = span.within(|| self.code());
        match &event {
            Ok(
                Event::AttemptFailed { why }
                | Event::NothingFits { why }
                | Event::OutsideChange { why },
            ) => span.fail("no_change", why),
            Ok(_) => {}
            Err(error) => span.fail(error.kind.as_str(), error.messages.join(": ")),
        }
        event
    }

    fn code(&mut self) -> Result<Event, Failure> {
        let attempt = self.report.progress.attempt;
        self.notify(&format!("attempt {attempt} of {}", self.brief.attempts))?;
        self.report.attempts.push(Attempt::new(attempt));
        self.change = None;
        let brief = self.brief_of(attempt);
        self.report.attempt().confinement = self.coder.confinement();
        let (coded, left) = self.coder.code(&brief)?;
        match coded {
            Coded::Done { summary, message } => self.take_change(left, summary, message.as_deref()),
            Coded::Failed { why } => {
                self.report.attempt().coder_failed = true;
                Ok(Event::AttemptFailed { why })
            }
            Coded::NothingFits { why } => Ok(Event::NothingFits { why }),
            Coded::OutsideChange { changes } => {
                let why = format!(
                    "the repository is not as it was before the coder worked: {}",
                    changes.join("; ")
                );
                self.report.attempt().outside_changes = changes;
                Ok(Event::OutsideChange { why })
            }
            Coded::Cancelled => Ok(Event::Cancel),
        }
    }

    fn brief_of(&self, attempt: u32) -> Brief {
        let failures = self.report.progress.failures.iter();
        let now = failures.map(|failure| Rejected {
            run: self.report.run.clone(),
            attempt: failure.attempt,
            why: failure.why.clone(),
        });
        let rejected = self.brief.rejected.iter().cloned().chain(now).collect();
        Brief { attempt, rejected, ..self.brief.clone() }
    }

    fn take_change(
        &mut self,
        left: CoderResult,
        summary: String,
        message: Option<&str>,
    ) -> Result<Event, Failure> {
        self.notify(&format!(
            "  {}",
            if summary.is_empty() { "the coder is done" } else { &summary }
        ))?;
        let by = Authorship {
            message,
            feedback: &self.report.feedback,
            coder: self.report.coder.as_str(),
        };
        let taken = change::take(left, self.active, self.repository, &by)?;
        let attempt = self.report.attempt();
        attempt.summary = summary;
        match taken {
            ChangeOutcome::Refused { why, paths } => {
                attempt.changed = paths;
                Ok(Event::AttemptFailed { why })
            }
            ChangeOutcome::Change(change) => {
                attempt.changed.clone_from(&change.paths);
                attempt.evaluators = change.effect.clone();
                attempt.protected = change.effect != Effect::None;
                attempt.commit = Some(change.commit.clone());
                let event = Event::Changed { evaluators: change.effect.clone() };
                self.change = Some(change);
                Ok(event)
            }
        }
    }

    fn try_change(&mut self, trial: Trial) -> Result<Event, Failure> {
        let change = self.change.as_ref().expect("what is tried was made");
        if let Some(lock) = self.other_packages(&change.commit)? {
            let why = format!(
                "{lock} names other packages. Installing them runs their programs without \
                    confinement, so the change is not tested before a maintainer has reviewed it"
            );
            return Ok(Event::TrialFailed { why });
        }
        let tried = match self.candidate(&change.commit) {
            Ok(target) => trial::run(trial, &target, &mut self.baseline)?,
            Err(CandidateError::Unfit(failure)) => {
                trial::broken(trial, failure.messages.join(": "))
            }
            Err(CandidateError::Failed(failure)) => return Err(failure),
        };
        self.notify(&format!("  {}", tried.summary()))?;
        let event = if tried.passed {
            Event::TrialPassed
        } else {
            Event::TrialFailed { why: format!("{} tier: {}", tried.tier, tried.reasons.join("; ")) }
        };
        self.report.attempt().trials.push(tried);
        Ok(event)
    }

    /// The lock file of a commit whose packages are not those that are served.
    fn other_packages(&self, commit: &ObjectId) -> Result<Option<String>, Failure> {
        let git = &self.repository.git;
        let Some(lock) = self.repository.manifest(commit)?.python.lock else { return Ok(None) };
        let served = self.active.commit.as_ref().expect("active is a commit");
        let is_same = self.active.manifest.python.lock.as_ref() == Some(&lock)
            && git.read(commit, &lock)? == git.read(served, &lock)?;
        Ok((!is_same).then_some(lock))
    }

    /// A commit as it would be served: its code and schema, and the state that is served, migrated
    /// where it has to be.
    fn candidate(&self, commit: &ObjectId) -> Result<Target, CandidateError> {
        release::candidate(self.repository, self.repository.tip()?.as_ref(), commit)
    }

    fn release(&mut self) -> Result<Event, Failure> {
        let commit = self.change.as_ref().expect("what is released was made").commit.clone();
        let target = self.candidate(&commit)?;
        let assessment = contracts::assessed(self.active, &target, self.repository)?;
        if let Some(why) = breaks_the_contract(&assessment) {
            return Ok(Event::ReleaseRefused { why });
        }
        let options = Options {
            only_if_better: !self.is_shown_to_help(&assessment, &target)?,
            revision: Some(commit.to_string()),
            feedback: self.report.feedback.clone(),
            coder: Some(self.report.coder.as_str().to_owned()),
            ..Options::default()
        };
        let outcome = match release::release(self.repository, &options) {
            Ok(outcome) => outcome,
            Err(ReleaseError::Surroundings(failure)) => return Err(failure),
            Err(ReleaseError::NotReleased(failure)) => {
                return Ok(Event::ReleaseRefused { why: failure.messages.join(": ") });
            }
        };
        match &outcome.version {
            Some(version) if outcome.done => {
                self.report.commit.clone_from(&outcome.commit);
                self.notify(&format!("  {}", outcome.why))?;
                Ok(Event::Released { version: tag(version) })
            }
            // curated changes are tried in turn: a later one may be shown to help
            _ if outcome.is_unproven && !self.coder.is_curated() => {
                Ok(Event::Unproven { why: outcome.why })
            }
            _ => Ok(Event::ReleaseRefused { why: outcome.why }),
        }
    }

    /// Whether there is evidence of a gain before the tier of the release runs.
    fn is_shown_to_help(&self, assessment: &Assessment, change: &Target) -> Result<bool, Failure> {
        let attempt = self.report.attempts.last().expect("an attempt is in progress");
        // an inspiration adds the requested tool; for other coders' tools there is no such evidence
        let adds_tool = || {
            assessment
                .changes
                .iter()
                .any(|change| change.tool.is_some() && change.level == Bump::Minor)
        };
        if attempt.trials.iter().any(|trial| trial.helps)
            || (self.coder.is_curated() && adds_tool())
        {
            return Ok(true);
        }
        match attempt.evaluators {
            Effect::Additions { .. } => trial::added_case_helps(change, &self.baseline),
            Effect::None | Effect::Person { .. } => Ok(false),
        }
    }

    fn keep_branch(&mut self) -> Result<(), Failure> {
        match &self.change {
            Some(change) => self.make_branch(change.commit.clone()),
            None => Ok(()),
        }
    }

    fn make_branch(&mut self, commit: ObjectId) -> Result<(), Failure> {
        let branch = format!("architect/{}", self.report.run);
        let moved = self
            .repository
            .git
            .move_ref(Move::create(format!("refs/heads/{branch}"), commit), "agent: architect")?;
        self.repository.unpack(moved);
        let notice = format!("  kept on the branch {branch}");
        self.report.branch = Some(branch);
        self.notify(&notice)
    }

    fn write_failing_case(&mut self) -> Result<(), Failure> {
        match failing_case::commit(&self.items, &self.brief, self.active, self.repository)? {
            Some(commit) => self.make_branch(commit),
            None => Ok(()),
        }
    }

    fn conclude(&mut self) -> Result<(), Failure> {
        self.report.finished = Some(clock::rfc3339(clock::now()));
        let concluded = Inbox::new(&self.repository.git).conclude(
            &self.items,
            &self.report.outcome(),
            &self.report,
        )?;
        self.items = self.repository.unpack(concluded);
        self.report.save(&self.folder)?;
        self.log.append(
            Kind::Ended,
            &self.report.progress,
            self.report.why.as_deref().unwrap_or_default(),
        )
    }
}

/// Why a change that breaks the Contract needs a maintainer's approval.
fn breaks_the_contract(assessment: &Assessment) -> Option<String> {
    let breaks = assessment.changes.iter().filter(|change| change.level == Bump::Major);
    let breaks: Vec<_> =
        breaks.map(|change| format!("{} [{}]", change.message, change.rule)).collect();
    (assessment.bump == Some(Bump::Major)).then(|| {
        format!(
            "it breaks the Contract, which needs a maintainer's approval: {}",
            breaks.join("; ")
        )
    })
}

/// Unique: it includes the number of runs so far.
fn new_run_id(items: &[Feedback], runs: usize) -> String {
    let ids: Vec<_> = items.iter().map(|item| item.id.as_str()).collect();
    let identity = json!([ids, runs, clock::rfc3339(clock::now())]);
    let digest = digest(canonical::to_compact(&identity).as_bytes());
    format!("r-{}", digest.trim_start_matches("sha256:").get(..10).unwrap_or_default())
}

fn new_report(
    run: &str,
    items: &[Feedback],
    coder: CoderKind,
    active: &Target,
    progress: Run,
) -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        run: run.to_owned(),
        status: progress.phase.as_str().to_owned(),
        why: None,
        feedback: items.iter().map(|item| item.id.clone()).collect(),
        coder,
        from: active.shown(),
        base: active.commit.clone().expect("active is a commit"),
        started: clock::rfc3339(clock::now()),
        finished: None,
        attempts: Vec::new(),
        version: None,
        commit: None,
        branch: None,
        progress,
    }
}
