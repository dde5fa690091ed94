//! One tier of one target: what is known of it, what is run, what is kept.

use super::history::{History, LastRun};
use super::known::{Known, RunKey};
use super::memo::{self, CacheKey};
use super::memory::Memory;
use super::{Request, TierOutcome};
use crate::children;
use crate::context::Context;
use crate::error::CommandError;
use crate::repository::Repository;
use crate::runner::cases::{self, SCORERS, TESTS, TierCases};
use crate::runner::child::Role;
use crate::runner::tier::{self, TierJob, Work};
use crate::target::Target;
use crate::world::checkout::{Difference, Watch};
use crate::world::fs::read_if_there;
use crate::world::layout;
use crate::world::process;
use crate::world::store::Store;
use agent_core::budget::{self, Budget, Budgets};
use agent_core::diagnose::Exit;
use agent_core::evaluation::{CaseResult, Definitions, TierFold, TierSummary, Verdict};
use agent_core::event::Event;
use agent_core::manifest::Tier;
use agent_core::object_id::{ObjectId, digest};
use agent_core::part::{Part, PartHead};
use agent_core::trace::StateDigests;
use agent_core::what::What;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

/// What is tested as a git tree, so that a clean working tree is known by what its commit gave; `None` where git cannot say.
pub(super) fn tested_tree(repository: &Repository, target: &Target) -> Result<Option<ObjectId>, CommandError> {
    match (&target.tree, &target.what) {
        (None, What::Worktree) => {
            let tree = repository.git.snapshot_worktree(&target.directory, &repository.layout).ok();
            // where git does not ignore what is ours, the tree is another one each time
            Ok(tree.filter(|tree| repository.git.entry(tree, layout::HOME).is_ok_and(|ours| ours.is_none())))
        }
        (None, _) => Ok(target.commit.as_ref().map(|commit| repository.git.tree_of(commit)).transpose()?),
        (tree, _) => Ok(tree.clone()),
    }
}

/// One tier of one target, on its way.
pub(super) struct Subject<'a> {
    pub(super) repository: &'a Repository,
    pub(super) target: &'a Target,
    pub(super) request: &'a Request,
    pub(super) context: &'a Context,
    pub(super) store: &'a Store,
    pub(super) tree: Option<ObjectId>,
}

impl Subject<'_> {
    /// The key of the whole tier, where it can be known as a whole.
    pub(super) fn memo_key(&self) -> Result<Option<CacheKey>, CommandError> {
        let Self { repository, target, request, .. } = self;
        match &self.tree {
            Some(tree) if !request.keep_goldens && request.only.is_none() && request.repeats == 1 => {
                let code = repository.git.code_tree(tree)?;
                CacheKey::new(repository, &target.manifest, &code, &target.state.revision, request).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// A store that cannot be read knows nothing.
    pub(super) fn recall(&self, key: &CacheKey) -> Option<TierOutcome> {
        memo::look_up_whole(self.store, key).unwrap_or_else(|error| {
            self.context.printer.warn(format!("what was run before is not known: {error}"));
            None
        })
    }

    /// A result that may come out otherwise is not only not kept: an older one would be no truer.
    pub(super) fn remember_whole(&self, key: &CacheKey, outcome: &TierOutcome, certain: bool) {
        let kept = if certain { memo::keep(self.store, key, outcome) } else { memo::forget(self.store, key) };
        if let Err(error) = kept {
            self.context.printer.warn(format!("the tier's result is not kept for the next time: {error}"));
        }
    }

    fn known(&self) -> Result<Option<Known<'_>>, CommandError> {
        let Some(tree) = self.tree.as_ref().filter(|_| !self.request.keep_goldens) else { return Ok(None) };
        let mut known = Known::new(self.store, &self.repository.layout, RunKey::new(self.repository, &self.target.manifest, tree)?);
        if let Err(error) = known.read() {
            self.context.printer.warn(format!("what was run before is not known: {}", error.messages.join(": ")));
        }
        Ok(Some(known))
    }

    /// Of what the events are a part.
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

    /// The whole story of what was found as a whole, for who asked to hear it.
    pub(super) fn tell(&self, found: &TierOutcome, on_event: &mut dyn FnMut(&Event)) -> Result<(), CommandError> {
        if !self.request.tells_all {
            return Ok(());
        }
        let tier = self.request.tier;
        let cases = cases::load(&self.target.directory, tier)?.cases.list.len();
        on_event(&Event::PartStarted(Box::new(self.head(cases, found.summary.budget, found.definitions.clone()))));
        for result in found.results() {
            on_event(&Event::CaseFinished { tier, result: CaseResult { cached: true, ..result.clone() } });
        }
        on_event(&Event::TierFinished { tier, wall_s: found.summary.wall_s });
        Ok(())
    }

    /// What came of it, and whether the same would come of it again.
    pub(super) fn run(&self, on_event: &mut dyn FnMut(&Event)) -> Result<(TierOutcome, bool), CommandError> {
        let Self { repository, target, request, context, .. } = self;
        let digests = StateDigests::new(&target.state.value, &target.state.revision);
        let mut memory = Memory {
            known: self.known()?,
            digests: &digests,
            definitions: HashMap::new(),
            used: request.cache,
            certain: true,
            printer: &context.printer,
        };
        let mut defined = None;
        let mut fold = TierFold::default();
        let on_event = RefCell::new(on_event);
        // what is known may be all there is to know: then no Runner is started
        let selected = if memory.has_answers() { Some(self.select(&mut memory, &mut defined, &mut fold, &on_event)?) } else { None };
        let mut goldens = Vec::new();
        if selected.as_ref().is_none_or(|work| !work.is_empty()) {
            let (mut job, watch) = self.job()?;
            job.has_answered = fold.finished() > 0;
            let shared = RefCell::new(&mut memory);
            let load = || match selected {
                Some(work) => Ok(work),
                None => self.select(&mut shared.borrow_mut(), &mut defined, &mut fold, &on_event),
            };
            let run = tier::run(&job, load, &mut |event| {
                shared.borrow_mut().learn(event);
                (on_event.borrow_mut())(event);
            });
            if let Some(difference) = watch.map(|watch| watch.end(&repository.git)).transpose()?.flatten() {
                memory.forget();
                return Err(self.changed(&difference));
            }
            let run = run?;
            fold.join(run.fold);
            goldens = run.goldens;
        }
        let varying = memory.varying();
        if request.tells_all && !varying.is_empty() {
            (on_event.borrow_mut())(&Event::KnownFlaky { tier: request.tier, ids: varying.clone() });
        }
        fold.flaky_by_history(varying);
        self.remember(&fold);
        let (budget, definitions) = defined.expect("a tier that was run was loaded");
        let is_empty_part = request.part.is_some() && fold.finished() == 0 && fold.missing() == 0;
        let mut outcome = TierOutcome { goldens, ..TierOutcome::of(request.tier, fold, budget, definitions) };
        if is_empty_part {
            // a small tier has no case for each part
            outcome.summary.verdict = Verdict::Pass;
            outcome.summary.reasons.clear();
        }
        let certain = memory.certain && memo::is_repeatable(&outcome.summary);
        let as_it_was = self.settle(memory, &outcome.summary);
        Ok((outcome, certain && as_it_was))
    }

    /// For the next run here.
    fn remember(&self, fold: &TierFold) {
        let Self { repository, target, request, .. } = self;
        let (Some(tree), Ok(platform)) = (&self.tree, memo::platform(repository, &target.manifest)) else { return };
        let before = History::read(&repository.layout, request.tier);
        let mut history = History { last: Some(LastRun { tree: tree.clone(), platform }), ..before.clone() };
        history.note(fold.results());
        if history != before {
            history.write(&repository.layout, request.tier);
        }
    }

    /// What was answered from a checkout that was not the target's at all times says nothing about the target.
    fn changed(&self, difference: &Difference) -> CommandError {
        let (target, tier) = (self.target.shown(), self.request.tier);
        CommandError::new(
            Exit::Surroundings,
            format!("the checkout of {target} changed while {tier} ran on it: {difference}. No result of this run was kept"),
        )
        .with_hint(format!(
            "{} is as git has it again: run it again. A Runner may write to its scratch folder, not beside its code",
            self.target.directory.display()
        ))
    }

    /// What is to be run, and the watch over what it is run on.
    fn job(&self) -> Result<(TierJob, Option<Watch>), CommandError> {
        let Self { repository, target, request, context, .. } = self;
        let verified = children::verified(target, repository, context)?;
        let runner = children::spec_on(verified.as_ref(), Role::Runner, target, repository, context)?;
        let scorer = children::spec_on(verified.as_ref(), Role::Scorer, target, repository, context)?;
        let watch =
            target.checkout.as_ref().zip(verified).map(|(checkout, verified)| checkout.watch(verified, &repository.git)).transpose()?;
        let mut job =
            TierJob::new(request.tier, runner, scorer, (&target.state.revision, target.state.file.path()), repository.layout.temporary());
        job.judgements = Some(self.store.clone());
        job.judge_anew = !request.cache;
        job.shards = request.shards;
        job.keep_goldens = request.keep_goldens;
        job.deadline = request.deadline;
        process::end_on_interrupt();
        Ok((job, watch))
    }

    /// The cases to run; the results of those that are known go into the fold.
    fn select(
        &self,
        memory: &mut Memory<'_>,
        defined: &mut Option<(Budget, Definitions)>,
        fold: &mut TierFold,
        on_event: &RefCell<&mut dyn FnMut(&Event)>,
    ) -> Result<Work, CommandError> {
        let Self { repository, target, request, .. } = self;
        let TierCases { mut cases, digest } = cases::load(&target.directory, request.tier)?;
        let whole = cases.list.len();
        request.narrow(&mut cases)?;
        let (budget, definitions) = defined.insert(definitions(target, request.tier, digest)?);
        let tell = |event: &Event| {
            if request.tells_all {
                (on_event.borrow_mut())(event);
            }
        };
        tell(&Event::PartStarted(Box::new(self.head(whole, *budget, definitions.clone()))));
        fold.take(Event::TierStarted { tier: request.tier, cases: cases.list.len(), shards: 0 });
        memory.define(&cases, &scoring_files(&target.directory)?);
        cases.list.retain(|case| match memory.answer(case) {
            Some(result) => {
                let event = Event::CaseFinished { tier: request.tier, result };
                tell(&event);
                fold.take(event);
                false
            }
            None => true,
        });
        Ok(Work::new(cases, budget, &History::read(&repository.layout, request.tier).slow_ms))
    }

    /// Keeps what was found out, unless it may be of two codes, or of a machine that was too slow. Says whether what is tested stayed as it was.
    fn settle(&self, memory: Memory<'_>, summary: &TierSummary) -> bool {
        let Some(known) = memory.known else { return false };
        let as_it_was = self.target.what != What::Worktree || tested_tree(self.repository, self.target).is_ok_and(|tree| tree == self.tree);
        if !as_it_was {
            self.context.printer.detail("the working tree changed while it was tested: its results are not kept");
        }
        if !as_it_was || !memo::is_in_time(summary) {
            known.forget();
        } else if let Err(unkept) = known.keep() {
            self.context.printer.warn(unkept.shown());
        }
        as_it_was
    }
}

/// The digest of all that scores: the scorers, and what they may import.
pub(super) fn scoring_files(directory: &Path) -> Result<String, CommandError> {
    let mut digests = Vec::new();
    for path in cases::files_below(directory, Path::new(TESTS), "py")? {
        let bytes = read_if_there(&directory.join(&path))?.unwrap_or_default();
        digests.push(format!("{} {}", path.display(), digest(&bytes)));
    }
    Ok(digest(digests.join("\n").as_bytes()))
}

fn definitions(target: &Target, tier: Tier, cases: String) -> Result<(Budget, Definitions), CommandError> {
    let budgets = read_if_there(&target.directory.join(budget::FILE))?;
    let scorers = read_if_there(&target.directory.join(SCORERS))?;
    let budget = match &budgets {
        None => Budget::default(),
        Some(bytes) => Budgets::parse(&String::from_utf8_lossy(bytes), budget::FILE)?.of(tier),
    };
    let definitions =
        Definitions { cases: [(tier, cases)].into(), scorers: scorers.as_deref().map(digest), budgets: budgets.as_deref().map(digest) };
    Ok((budget, definitions))
}
