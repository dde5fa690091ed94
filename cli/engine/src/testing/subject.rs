//! One tier of one target: what is known of it, what is run, what is kept.

use super::error::TierFailure;
use super::free::{MANY, free};
use super::history::{History, LastRun};
use super::known::{Known, RunKey, Unkept};
use super::memo::{self, CacheKey};
use super::memory::Memory;
use super::outcome::{ResultLines, TierOutcome};
use super::request::Request;
use super::run::CasesRun;
use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::target::confinement;
use crate::target::evaluators::{Evaluators, Files, Judging};
use crate::target::overlay;
use crate::target::spec::{self, Scorer};
use crate::templates;
use crate::testing::cases::{self, TierCases};
use crate::testing::job::{TierJob, Work};
use crate::testing::judge::Judges;
use crate::testing::tier::{self, TierRun};
use crate::world::checkout::Watch;
use crate::world::child_process;
use crate::world::env;
use crate::world::store::Store;
use crate::world::toolchain;
use crate::world::unwinding::joined;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::testing::attempt::{Answered, Keeps};
use agent_core::testing::budget::{self, Budget, Budgets};
use agent_core::testing::cached_result::{Reuse, StateDigests};
use agent_core::testing::case::{Case, Cases};
use agent_core::testing::case_result::CaseResult;
use agent_core::testing::definitions::Definitions;
use agent_core::testing::evaluation::{TierFold, TierSummary, Verdict};
use agent_core::testing::event::Event;
use agent_core::testing::part::{Part, PartHead};
use agent_core::version::what::What;
use std::cell::RefCell;
use std::path::PathBuf;

/// A checkout that evidence is made on.
struct Watched {
    of: String,
    place: PathBuf,
    watch: Watch,
}

/// The files of the evaluators, and the cases among them.
struct Loaded<'a> {
    files: Files<'a>,
    cases: TierCases,
}

/// The results of a tier, and the job that ran cases; without a job all results were known.
struct CollectedResults {
    fold: TierFold,
    lines: Option<ResultLines>,
    goldens: Vec<Answered>,
    job: Option<TierJob>,
}

impl CollectedResults {
    fn known(fold: TierFold) -> Self {
        Self { fold, lines: None, goldens: Vec::new(), job: None }
    }
}

/// The outcome of a tier.
pub(super) struct Ran {
    pub(super) outcome: TierOutcome,
    /// A repeated run would give the same outcome.
    certain: bool,
    /// Each case was run under this very state, now or before.
    exact: bool,
}

/// One tier of one target, on its way.
pub(super) struct Subject<'a> {
    pub(super) repository: &'a Repository,
    pub(super) target: &'a Target,
    pub(super) evaluators: &'a Evaluators,
    pub(super) request: &'a Request,
    pub(super) store: &'a Store,
    /// The tree in the key of stored results; `None` where the code or its evaluators can change at
    /// any time.
    pub(super) tree: Option<ObjectId>,
}

impl Subject<'_> {
    /// The cache key of the complete tier, where it has one.
    pub(super) fn memo_key(&self) -> Result<Option<CacheKey>, Failure> {
        let Self { repository, target, evaluators, request, .. } = self;
        match &self.tree {
            Some(tree)
                if !request.keep_goldens && request.only.is_none() && request.repeats == 1 =>
            {
                let code = repository.git.code_tree(tree)?;
                CacheKey::new(
                    repository,
                    (&target.manifest, &code, &target.state.revision),
                    evaluators,
                    request,
                )
            }
            _ => Ok(None),
        }
    }

    /// An unreadable store has no results.
    pub(super) fn recall(&self, key: &CacheKey) -> Option<TierOutcome> {
        memo::look_up_whole(&self.store.briefly(), key, self.request.reuse).unwrap_or_else(
            |error| {
                self.repository.notices.warn(format!("cannot read earlier results: {error}"));
                None
            },
        )
    }

    /// A result that may vary is not stored, and older ones are not used either.
    pub(super) fn remember_whole(&self, key: &CacheKey, Ran { outcome, certain, exact }: &Ran) {
        let kept = if *certain {
            memo::keep(self.store, key, outcome, *exact)
        } else {
            memo::forget(&self.store.briefly(), key)
        };
        if let Err(error) = kept {
            self.repository.notices.warn(format!("cannot cache the tier's result: {error}"));
        }
    }

    fn known(&self) -> Result<Option<Known<'_>>, Failure> {
        let Some(tree) = self.tree.as_ref().filter(|_| !self.request.keep_goldens) else {
            return Ok(None);
        };
        let mut known = Known::new(self.store, &self.repository.layout, self.run_key(tree)?);
        if let Err(error) = known.find() {
            self.warn_of_unknown(&error);
        }
        Ok(Some(known))
    }

    fn run_key(&self, tree: &ObjectId) -> Result<RunKey, Failure> {
        RunKey::new(self.repository, &self.target.manifest, &self.evaluators.manifest, tree)
    }

    /// The whole that the events are a part of.
    fn head(&self, cases: usize, budget: Budget, definitions: Definitions) -> PartHead {
        let Self { target, request, .. } = self;
        let commit = target.commit.as_ref().filter(|_| target.what != What::Staging);
        PartHead {
            tier: request.tier,
            part: request.part.unwrap_or(Part::WHOLE),
            cases,
            commit: commit.map(ToString::to_string),
            tree: self.tree.as_ref().map(ToString::to_string),
            state: target.state.revision.to_string(),
            definitions,
            budget,
        }
    }

    /// A detail notice about the cached tier, for verbose output.
    pub(super) fn report_cached(
        &self,
        found: &TierOutcome,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<(), Failure> {
        if !self.request.report_details {
            return Ok(());
        }
        let tier = self.request.tier;
        let cases =
            cases::load(&self.evaluators.files(&self.repository.git)?, tier)?.cases.list.len();
        on_event(&Event::PartStarted(Box::new(self.head(
            cases,
            found.summary.budget,
            found.definitions.clone(),
        ))));
        for result in found.results() {
            on_event(&Event::CaseFinished {
                tier,
                result: CaseResult { cached: true, ..result.clone() },
            });
        }
        on_event(&Event::TierFinished { tier, wall_s: found.summary.wall_s });
        Ok(())
    }

    pub(super) fn run(&self, on_event: &mut dyn FnMut(&Event)) -> Result<Ran, TierFailure> {
        let Self { repository, target, request, .. } = self;
        let digests = StateDigests::new(&target.state.value, &target.state.revision)
            .with_applied(overlay::key(target));
        let known = self.known()?;
        let starts_at_once = self.starts_at_once(known.as_ref());
        let memory = RefCell::new(Memory::new(known, &digests, request.reuse, &repository.notices));
        let mut defined = None;
        let collected =
            self.collect(starts_at_once, &memory, &mut defined, &RefCell::new(&mut *on_event))?;
        let defined = defined.expect("a tier that was run was loaded");
        Ok(self.conclude(collected, memory.into_inner(), defined, on_event))
    }

    /// The results that are known, and those of the cases that are run.
    fn collect(
        &self,
        starts_at_once: bool,
        memory: &RefCell<Memory<'_>>,
        defined: &mut Option<(Budget, Definitions)>,
        on_event: &RefCell<&mut dyn FnMut(&Event)>,
    ) -> Result<CollectedResults, TierFailure> {
        let watches = RefCell::new(Vec::new());
        let mut prepare = || {
            let mut memory = memory.borrow_mut();
            let loaded = self.load_beside(&mut memory)?;
            self.select(loaded, &mut memory, defined, &mut watches.borrow_mut(), on_event)
        };
        let selected = match (!starts_at_once).then(&mut prepare).transpose()? {
            Some(work) if work.is_empty() => return Ok(CollectedResults::known(work.into_known())),
            selected => selected,
        };
        let job = self.job(&mut watches.borrow_mut())?;
        let load = || Ok::<_, TierFailure>(selected.map_or_else(prepare, Ok)?);
        let run = tier::run(&job, load, &mut |event| match event {
            Some(event) => {
                memory.borrow_mut().learn(event);
                (on_event.borrow_mut())(event);
            }
            None => memory.borrow_mut().write_down(),
        });
        if let Some(changed) = self.changed(watches.take())? {
            memory.borrow_mut().forget();
            return Err(TierFailure::Surroundings(changed));
        }
        let TierRun { fold, lines, goldens, .. } = run?;
        Ok(CollectedResults { fold, lines: Some(lines), goldens, job: Some(job) })
    }

    /// The outcome of these results; what was found out is kept for the next run.
    fn conclude(
        &self,
        CollectedResults { mut fold, lines, goldens, job }: CollectedResults,
        memory: Memory<'_>,
        (budget, definitions): (Budget, Definitions),
        on_event: &mut dyn FnMut(&Event),
    ) -> Ran {
        let tier = self.request.tier;
        let varying = memory.varying();
        if self.request.report_details && !varying.is_empty() {
            on_event(&Event::KnownFlaky { tier, ids: varying.clone() });
        }
        fold.flaky_by_history(varying);
        self.remember(&fold);
        let summary = self.summary(&fold, budget);
        let Memory { known, certain, exact, .. } = memory;
        let certain = certain && memo::is_repeatable(&summary);
        let in_time = memo::is_in_time(&summary);
        let (mut outcome, kept) = side_by_side(
            fold.finished() >= MANY,
            || {
                let lines = lines.unwrap_or_else(|| ResultLines::of(tier, &fold));
                TierOutcome::of(tier, fold, lines, summary, definitions)
            },
            || {
                let cases = job.map(TierJob::into_cases).unwrap_or_default();
                free(cases.list.len(), cases);
                known.map_or(Ok(()), |known| settle(known, in_time))
            },
        );
        if let Err(unkept) = kept {
            self.repository.notices.warn(unkept.shown());
        }
        outcome.goldens = goldens;
        Ran { outcome, certain, exact }
    }

    fn summary(&self, fold: &TierFold, budget: Budget) -> TierSummary {
        let mut summary = fold.summary(budget);
        if self.request.part.is_some() && fold.finished() == 0 && fold.missing() == 0 {
            // a small tier has no case for each part
            summary.verdict = Verdict::Pass;
            summary.reasons.clear();
        }
        summary
    }

    /// Runs these cases alone. Every answer is kept.
    pub(super) fn run_apart(
        &self,
        cases: TierCases,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<CasesRun, TierFailure> {
        let TierCases { cases, digest } = cases;
        let mut watches = Vec::new();
        let mut job = self.job(&mut watches)?;
        job.keeps.given = true;
        let files = self.evaluators.files(&self.repository.git).map_err(Failure::from)?;
        let judges = judging(&files, &cases)?
            .map(|judging| self.judges(&judging, &mut watches))
            .transpose()?;
        let work = Work::new(cases, &Budget::default(), &History::default())
            .judged_by(judges)
            .kept_secret_by(digest);
        let run = tier::run(&job, || Ok::<_, TierFailure>(work), &mut |event| {
            event.into_iter().for_each(&mut *on_event);
        });
        if let Some(changed) = self.changed(watches)? {
            return Err(TierFailure::Surroundings(changed));
        }
        let TierRun { fold, given, .. } = run?;
        Ok(CasesRun { results: fold.into_results(), given })
    }

    /// Whether the Runner starts before it is known that a case has to be run.
    ///
    /// Where results of this code are known, and yet none of the tier as a whole, some inputs have
    /// changed, and with them, as a rule, some results. To read what is known takes about as long
    /// as a Runner needs to start; one that turns out to be needless is ended. Nothing is installed
    /// for it, and a run of named cases waits until they are looked up.
    fn starts_at_once(&self, known: Option<&Known<'_>>) -> bool {
        let Self { repository, target, request, .. } = self;
        let has_answers = request.reuse != Reuse::Nothing && known.is_some_and(Known::holds_any);
        let is_ready =
            || toolchain::is_ready(&repository.layout, &target.directory, &target.manifest);
        !has_answers || (request.only.is_none() && is_ready().unwrap_or(false))
    }

    /// The cases, read beside what is known: both take long where many results are known, and
    /// neither needs the other.
    fn load_beside(&self, memory: &mut Memory<'_>) -> Result<Loaded<'_>, Failure> {
        let Some(known) = &mut memory.known else { return self.load() };
        let (loaded, read) = side_by_side(known.has_packs(), || self.load(), || known.read());
        if let Err(error) = read {
            self.warn_of_unknown(&error);
        }
        loaded
    }

    fn warn_of_unknown(&self, error: &Failure) {
        self.repository
            .notices
            .warn(format!("cannot read earlier results: {}", error.messages.join(": ")));
    }

    fn load(&self) -> Result<Loaded<'_>, Failure> {
        let files = self.evaluators.files(&self.repository.git)?;
        let cases = cases::load(&files, self.request.tier)?;
        Ok(Loaded { files, cases })
    }

    /// For the next run here.
    fn remember(&self, fold: &TierFold) {
        let Self { repository, target, request, .. } = self;
        let (Some(tree), Ok(platform)) = (&self.tree, memo::platform(repository, &target.manifest))
        else {
            return;
        };
        let before = History::read(&repository.layout, request.tier);
        let environment = memo::environment(&target.manifest, &self.evaluators.manifest);
        let mut history = History {
            last: Some(LastRun { tree: tree.clone(), platform, environment }),
            ..before.clone()
        };
        history.note(fold.results());
        if history != before {
            history.write(&repository.layout, request.tier);
        }
    }

    /// Results from a checkout that was modified during the run are not valid for the target.
    fn changed(&self, watches: Vec<Watched>) -> Result<Option<Failure>, Failure> {
        let mut changed = None;
        for Watched { of, place, watch } in watches {
            if let Some(difference) = watch.end(&self.repository.git)? {
                let tier = self.request.tier;
                let what = format!(
                    "the checkout of {of} changed while {tier} ran on it: {difference}. No result \
                    of this run was kept"
                );
                let place = place.display();
                let hint = format!(
                    "{place} is as git has it again: run it again. A Runner may write to its \
                    scratch folder, not beside its code"
                );
                changed
                    .get_or_insert(Failure::new(FailureKind::Surroundings, what).with_hint(hint));
            }
        }
        Ok(changed)
    }

    /// The cases to run.
    fn job(&self, watches: &mut Vec<Watched>) -> Result<TierJob, Failure> {
        let Self { repository, request, .. } = self;
        let target = &Target {
            manifest: self.target.manifest.held_to(&self.evaluators.manifest),
            ..self.target.clone()
        };
        let verified = spec::verified(target, repository)?;
        let mut runner = spec::runner_on(verified.as_ref(), target, repository)?;
        // the folder of the working tree may change, and its results are not evidence
        if target.code.is_some() {
            confinement::confine(&mut runner, &target.manifest.runner, true, target, repository)?;
        } else {
            runner.withheld = env::undeclared();
        }
        if let (Some(checkout), Some(verified)) = (&target.checkout, verified) {
            let watch = checkout.watch(verified, &repository.git)?;
            watches.push(Watched { of: target.shown(), place: checkout.path().to_owned(), watch });
        }
        let state = (&target.state.revision, target.state.file.path());
        let mut job = TierJob::new(request.tier, runner, state, repository.layout.temporary());
        job.presentation = overlay::checked(target, repository)?.map(|overlay| overlay.plain());
        job.judgements = Some(self.store.clone());
        job.judge_anew = request.reuse == Reuse::Nothing;
        job.workers = request.shards;
        job.keeps = Keeps {
            goldens: request.keep_goldens,
            answers: target.manifest.tests.answers,
            given: false,
        };
        job.deadline = request.deadline;
        child_process::end_on_interrupt();
        Ok(job)
    }

    /// The cases to run; the results of those that are known go into the fold.
    fn select(
        &self,
        Loaded { files, cases }: Loaded<'_>,
        memory: &mut Memory<'_>,
        defined: &mut Option<(Budget, Definitions)>,
        watches: &mut Vec<Watched>,
        on_event: &RefCell<&mut dyn FnMut(&Event)>,
    ) -> Result<Work, Failure> {
        let Self { repository, request, .. } = self;
        let TierCases { mut cases, digest } = cases;
        let whole = cases.list.len();
        let judging = judging(&files, &cases)?;
        request.narrow(&mut cases)?;
        let (budget, definitions) =
            defined.insert(definitions(&files, request.tier, digest.clone(), judging.as_ref())?);
        let report_cached = |event: &Event| {
            if request.report_details {
                (on_event.borrow_mut())(event);
            }
        };
        report_cached(&Event::PartStarted(Box::new(self.head(
            whole,
            *budget,
            definitions.clone(),
        ))));
        let mut fold = TierFold::default();
        fold.take(Event::TierStarted { tier: request.tier, cases: cases.list.len(), shards: 0 });
        memory.define(&cases, &scoring(judging.as_ref()));
        cases.list.retain(|case| match memory.answer(case) {
            Some(result) => {
                let event = Event::CaseFinished { tier: request.tier, result };
                report_cached(&event);
                fold.take(event);
                false
            }
            None => true,
        });
        let judges = judging
            .filter(|_| cases.list.iter().any(Case::is_scored))
            .map(|judging| self.judges(&judging, watches))
            .transpose()?;
        let work = Work::new(cases, budget, &History::read(&repository.layout, request.tier));
        Ok(work.beside(fold).judged_by(judges).kept_secret_by(digest))
    }

    fn judges(&self, judging: &Judging<'_>, watches: &mut Vec<Watched>) -> Result<Judges, Failure> {
        let Scorer { spec, checkout, verified } =
            spec::scorer(self.evaluators, judging, self.repository)?;
        let watch = checkout.watch(verified, &self.repository.git)?;
        watches.push(Watched {
            of: "the evaluators".to_owned(),
            place: checkout.path().to_owned(),
            watch,
        });
        Ok(Judges { scorer: spec, digest: scoring(Some(judging)) })
    }
}

/// Keeps what was found out, unless it may be of a machine that was too slow.
fn settle(known: Known<'_>, in_time: bool) -> Result<(), Unkept> {
    if in_time {
        return known.keep();
    }
    known.forget();
    Ok(())
}

/// Two pieces of work: at the same time where that is worth a thread.
fn side_by_side<A, B: Send>(
    is_worth_it: bool,
    here: impl FnOnce() -> A,
    beside: impl FnOnce() -> B + Send,
) -> (A, B) {
    if !is_worth_it {
        return (here(), beside());
    }
    std::thread::scope(|scope| {
        let beside = scope.spawn(beside);
        let here = here();
        (here, joined(beside))
    })
}

/// The cases of a tier, its budget, and the digests of what judges, as evaluators have them.
pub fn defined(files: &Files<'_>, tier: Tier) -> Result<(Cases, Budget, Definitions), Failure> {
    let TierCases { cases, digest } = cases::load(files, tier)?;
    let judging = judging(files, &cases)?;
    let (budget, definitions) = definitions(files, tier, digest, judging.as_ref())?;
    Ok((cases, budget, definitions))
}

/// The files that scoring programs can read; `None` where no case is scored by one.
pub(super) fn judging<'a>(
    files: &Files<'a>,
    cases: &Cases,
) -> Result<Option<Judging<'a>>, Failure> {
    Ok(cases.list.iter().any(Case::is_scored).then(|| files.judging()).transpose()?)
}

/// The digest of all that can change a score: the programs with what they see, the variables they
/// read, and the harness that runs them.
pub(super) fn scoring(judging: Option<&Judging<'_>>) -> String {
    let of = |judging: &Judging<'_>| {
        let environment = memo::scoring_environment(judging.manifest());
        digest(
            format!("{} {environment:?} {}", judging.digest(), templates::harness_digest())
                .as_bytes(),
        )
    };
    judging.map_or_else(String::new, of)
}

fn definitions(
    files: &Files<'_>,
    tier: Tier,
    cases: String,
    judging: Option<&Judging<'_>>,
) -> Result<(Budget, Definitions), Failure> {
    let budgets = files.budgets()?;
    let budget = match &budgets {
        None => Budget::default(),
        Some(bytes) => Budgets::read(bytes, budget::FILE)?.of(tier),
    };
    let scorers = judging.map(Judging::digest);
    Ok((
        budget,
        Definitions {
            cases: [(tier, cases)].into(),
            scorers,
            budgets: budgets.as_deref().map(digest),
        },
    ))
}
