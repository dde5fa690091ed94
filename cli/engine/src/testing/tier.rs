//! A tier: its cases through as many Runners as there are shards, as events.

use crate::child::link::{ChildError, ChildSpec, Role};
use crate::target::evaluators::SCORERS;
use crate::testing::history::History;
use crate::testing::judge::Judges;
use crate::testing::outcome::ResultLines;
use crate::testing::shard;
use crate::world::event_loop;
use crate::world::fs::FsError;
use crate::world::limits;
use crate::world::process::ProcessError;
use crate::world::store::Store;
use crate::world::temporary::Temporary;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::document::DocumentError;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::overlay::Presentation;
use agent_core::testing::attempt::{Answered, Given, Keeps};
use agent_core::testing::budget::Budget;
use agent_core::testing::case::{Case, Cases};
use agent_core::testing::evaluation::{Outcome, TierFold};
use agent_core::testing::event::Event;
use agent_core::testing::expectation::Expectation;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Below this many cases another child costs more than it saves.
const CASES_PER_SHARD: usize = 8;
/// A Runner needs about this long to start. Cases that are expected to take less altogether are
/// left to the first Runner; where they take longer, the others start after this time.
const HEAD_START: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum TierError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Scorer(#[from] DocumentError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error("{tier} did not finish within its time limit")]
    OutOfTime { tier: Tier },
}

impl Diagnose for TierError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Child(error) => error.kind(),
            Self::Scorer(error) => error.kind(),
            Self::Process(error) => error.kind(),
            Self::Fs(error) => error.kind(),
            Self::OutOfTime { .. } => FailureKind::NotEnoughEvidence,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Child(error) => error.hint(),
            Self::Scorer(error) => error.hint(),
            Self::Process(error) => error.hint(),
            Self::Fs(error) => error.hint(),
            Self::OutOfTime { .. } => None,
        }
    }
}

/// The cases of a tier, and how far it may go.
pub struct Work {
    cases: Cases,
    limit: Option<Duration>,
    spend_usd: Option<f64>,
    /// The order of the cases: slow ones first, so that none of them delays the end.
    order: Vec<usize>,
    /// How many at the start of the order are known to be slow.
    slow: usize,
    /// How long all of them take one after the other, as far as the last run tells.
    expected: Option<Duration>,
    /// Those of the cases that are scored; `None` where none is.
    judges: Option<Judges>,
    /// The seed of the ids of conversations.
    secret: String,
    /// The results that need no run.
    known: TierFold,
    /// Whether there were any.
    has_known: bool,
}

impl Work {
    pub fn new(cases: Cases, budget: &Budget, history: &History) -> Self {
        let slow_ms = |case: &Case| {
            history.slow_ms.get(&case.id).map_or(0.0, |ms| ms * f64::from(case.repeats))
        };
        let mut order: Vec<_> = (0..cases.list.len()).collect();
        order.sort_by(|one, other| {
            slow_ms(&cases.list[*other]).total_cmp(&slow_ms(&cases.list[*one]))
        });
        let slow = cases.list.iter().filter(|case| slow_ms(case) > 0.0).count();
        let expected_ms: Option<f64> =
            cases.list.iter().map(|case| history.expected_ms(case)).sum();
        Self {
            expected: expected_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok()),
            cases,
            limit: budget.limit(),
            spend_usd: budget.spend_usd,
            order,
            slow,
            judges: None,
            secret: String::new(),
            known: TierFold::default(),
            has_known: false,
        }
    }

    #[must_use]
    pub fn judged_by(self, judges: Option<Judges>) -> Self {
        Self { judges, ..self }
    }

    /// The Runner does not see case ids, which may reveal the expectation. It gets an id for each
    /// conversation that cannot be derived without this text.
    #[must_use]
    pub fn kept_secret_by(self, secret: String) -> Self {
        Self { secret, ..self }
    }

    /// With the results of the other cases of the tier.
    #[must_use]
    pub fn beside(self, known: TierFold) -> Self {
        Self { has_known: known.finished() > 0, known, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.cases.list.is_empty()
    }

    /// Whether all results are known. Of such a tier no run is reported.
    fn is_needless(&self) -> bool {
        self.is_empty() && self.has_known
    }

    /// The results that need no run.
    pub fn into_known(self) -> TierFold {
        self.known
    }
}

/// What to run.
pub struct TierJob {
    pub tier: Tier,
    work: OnceLock<Work>,
    pub runner: ChildSpec,
    /// The content of the `_meta` key that names the state.
    state: Box<RawValue>,
    /// What lies over the Runner's tools: what is served without a variant, as variants are drawn
    /// by the ids of conversations.
    pub presentation: Option<Presentation>,
    /// The number of concurrent Runners; `None` is one per core.
    pub shards: Option<usize>,
    pub keeps: Keeps,
    /// Stores and looks up the answers of judging programs.
    pub judgements: Option<Store>,
    /// Run them even for stored answers.
    pub judge_anew: bool,
    /// Where the scratch folders of the shards are made.
    temporary: PathBuf,
    /// The deadline for ending the children of a tier without events.
    pub deadline: Option<Instant>,
}

/// Its outcome.
#[derive(Debug)]
pub struct TierRun {
    /// With the results that needed no run.
    pub fold: TierFold,
    pub lines: ResultLines,
    /// With `keeps.goldens`: what the golden files should hold.
    pub goldens: Vec<Answered>,
    /// With `keeps.given`: the answers of each case, by its id.
    pub given: Vec<(String, Vec<Given>)>,
}

impl TierJob {
    pub fn new(
        tier: Tier,
        runner: ChildSpec,
        state: (&ObjectId, &Path),
        temporary: PathBuf,
    ) -> Self {
        let (revision, path) = state;
        let state = to_raw_value(&serde_json::json!({"revision": revision, "path": path}))
            .expect("a state's name serialises");
        Self {
            tier,
            work: OnceLock::new(),
            runner,
            state,
            presentation: None,
            shards: None,
            keeps: Keeps::default(),
            judgements: None,
            judge_anew: false,
            temporary,
            deadline: None,
        }
    }

    pub(super) fn into_cases(self) -> Cases {
        self.work.into_inner().map(|work| work.cases).unwrap_or_default()
    }

    /// Waits for the cases: they are read while the first Runner starts.
    pub fn cases(&self) -> &Cases {
        &self.work.wait().cases
    }

    /// The scorer of a case.
    pub(super) fn judges(&self) -> &Judges {
        self.work
            .wait()
            .judges
            .as_ref()
            .expect("who has cases that are scored gives them their judges")
    }

    /// The same once the cases are there, where one of them is scored by a scorer process.
    pub(super) fn needed_scorer(&self) -> Option<&ChildSpec> {
        let work = self.work.get()?;
        let mut steps = work.cases.list.iter().flat_map(|case| &case.steps);
        let judges = work.judges.as_ref()?;
        steps
            .any(|step| matches!(step.expect, Some(Expectation::Scorer(_))))
            .then_some(&judges.scorer)
    }

    /// An earlier run of the same code answered other cases: however many fail now, it is their own
    /// doing.
    pub(super) fn has_answered(&self) -> bool {
        self.work.wait().has_known
    }

    /// The seed of the ids of conversations.
    pub(super) fn secret(&self) -> &str {
        &self.work.wait().secret
    }

    /// The time limit of the tier.
    pub(super) fn limit(&self) -> Option<Duration> {
        self.work.wait().limit
    }

    /// Whether calls cost money that is counted.
    pub(super) fn has_spend_limit(&self) -> bool {
        self.work.wait().spend_usd.is_some()
    }

    pub fn state(&self) -> &RawValue {
        &self.state
    }

    pub(super) fn shard_count(&self) -> usize {
        let count = self.cases().list.len();
        let wanted =
            self.shards.unwrap_or_else(|| limits::cores().min(count.div_ceil(CASES_PER_SHARD)));
        wanted.clamp(1, count.max(1))
    }

    /// How long the start of a shard is put off.
    pub(super) fn head_start(&self, shard: usize) -> Duration {
        let is_short = self.work.wait().expected.is_some_and(|expected| expected < HEAD_START);
        if shard > 0 && self.shards.is_none() && is_short { HEAD_START } else { Duration::ZERO }
    }

    /// The scorers the cases name, against those there are.
    pub fn check_scorers(&self, there: &[&str]) -> Result<(), DocumentError> {
        let missing = self.cases().scorers().into_iter().find(|(name, _)| !there.contains(name));
        missing.map_or(Ok(()), |(name, place)| {
            let suggestion =
                agent_core::formats::suggestion::did_you_mean(name, there.iter().copied());
            let mend = format!("write it there, or name one of {}", there.join(", "));
            Err(DocumentError::new(
                place,
                format!("there is no scorer \"{name}\" in {SCORERS}{suggestion}"),
                mend,
            ))
        })
    }
}

/// The data that the shards of a tier share.
pub(super) struct Queue {
    next: AtomicUsize,
    stopped: AtomicBool,
    spent_usd: Mutex<f64>,
    /// Why it was stopped with cases left.
    stops: Mutex<BTreeSet<String>>,
    /// Whether every case is taken: a Runner that is still starting has nothing to do.
    is_exhausted: AtomicBool,
    exhausted: Notify,
    /// The cases are there.
    loaded: Notify,
}

impl Queue {
    fn new() -> Self {
        Self {
            next: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            spent_usd: Mutex::new(0.0),
            stops: Mutex::new(BTreeSet::new()),
            is_exhausted: AtomicBool::new(false),
            exhausted: Notify::new(),
            loaded: Notify::new(),
        }
    }

    /// Waits for the cases, which `TierJob::cases` does without letting anything else go on.
    pub(super) async fn loaded(&self, job: &TierJob) {
        let loaded = self.loaded.notified();
        if job.work.get().is_none() {
            loaded.await;
        }
    }

    /// The next case, and whether it is known to be slow.
    pub(super) fn take<'a>(&self, job: &'a TierJob) -> Option<(&'a Case, bool)> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let work = job.work.wait();
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        let index = work.order.get(place);
        if index.is_none() {
            self.exhaust();
        }
        index.map(|index| (&work.cases.list[*index], place < work.slow))
    }

    fn exhaust(&self) {
        if !self.is_exhausted.swap(true, Ordering::SeqCst) {
            self.exhausted.notify_waiters();
        }
    }

    /// Waits until every case is taken.
    pub(super) async fn exhausted(&self) {
        let exhausted = self.exhausted.notified();
        if !self.is_exhausted.load(Ordering::SeqCst) {
            exhausted.await;
        }
    }

    /// The number of cases not started.
    pub(super) fn left(&self, job: &TierJob) -> usize {
        job.cases().list.len().saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// No further case is started; requests in flight continue.
    pub(super) fn stop(&self, why: String) {
        self.stopped.store(true, Ordering::Relaxed);
        locked(&self.stops).insert(why);
    }

    /// A call has cost something.
    pub(super) fn spend(&self, job: &TierJob, usd: f64) {
        let mut spent = locked(&self.spent_usd);
        *spent += usd;
        if let Some(most) = job.work.wait().spend_usd.filter(|most| *spent > *most)
            && !self.stopped.load(Ordering::Relaxed)
        {
            self.stop(format!(
                "the spend of ${:.4} has passed the budget of ${most}: no further case was started",
                *spent
            ));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while it is held")
}

/// The interval without an event after which `report` is called with `None`.
const SILENCE: Duration = Duration::from_millis(100);

/// Runs the tier. Each shard has a thread, since a child's life is tied to the thread that started
/// it; the events meet here.
///
/// `load` reads the cases while the first Runner starts. `report` gets each event, and `None` where
/// none came for a while.
pub fn run<E: From<TierError>>(
    job: &TierJob,
    load: impl FnOnce() -> Result<Work, E>,
    report: &mut dyn FnMut(Option<&Event>),
) -> Result<TierRun, E> {
    let began = Instant::now();
    let queue = Queue::new();
    let scratch = scratch_folders(job).map_err(TierError::Fs)?;
    let mut gathered = Gathered { fold: TierFold::default(), report };
    let (ended, lines) = std::thread::scope(|scope| {
        let (sender, events) = mpsc::channel();
        let start = |number: usize, sender: mpsc::Sender<Vec<Event>>| {
            let (queue, folder) = (&queue, scratch.path().join(number.to_string()));
            scope.spawn(move || work(job, queue, number, &folder, sender))
        };
        let mut workers = vec![start(0, sender.clone())];
        let (mut work, error) = match load() {
            Ok(work) => (work, None),
            // the first worker waits for cases: an empty list releases it
            Err(error) => {
                (Work::new(Cases::default(), &Budget::default(), &History::default()), Some(error))
            }
        };
        let is_needless = work.is_needless();
        if work.is_empty() {
            queue.exhaust();
        }
        gathered.fold = std::mem::take(&mut work.known);
        job.work.get_or_init(|| work);
        queue.loaded.notify_waiters();
        if let Some(error) = error {
            return Err(error);
        }
        let shards = job.shard_count();
        workers.extend((1..shards).map(|number| start(number, sender.clone())));
        drop(sender);
        if !is_needless {
            let cases = job.cases().list.len();
            gathered.take(Event::TierStarted { tier: job.tier, cases, shards });
        }
        gathered.take_all(&events);
        // every case is judged, and the children are about to end
        let lines = ResultLines::of(job.tier, &gathered.fold);
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(given_up())))
            .collect::<Vec<_>>();
        // nothing depends on a child that was not needed
        Ok((if is_needless { Vec::new() } else { ended }, lines))
    })?;
    let ShardEnd { goldens, given, last_failure } = joined(ended)?;
    for why in std::mem::take(&mut *locked(&queue.stops)) {
        gathered.take(Event::TierStopped { tier: job.tier, why });
    }
    if !job.work.wait().is_needless() {
        let wall_s = began.elapsed().as_secs_f64();
        gathered.take(Event::TierFinished { tier: job.tier, wall_s });
    }
    let fold = gathered.fold;
    match last_failure {
        // a tier in which no case could be judged is no evidence about the agent
        Some(error)
            if !job.has_answered()
                && fold.results().all(|result| result.outcome == Outcome::Errored) =>
        {
            Err(TierError::from(error).into())
        }
        _ => Ok(TierRun { fold, lines, goldens, given }),
    }
}

/// The results of all shards.
fn joined(shards: Vec<Result<ShardEnd, TierError>>) -> Result<ShardEnd, TierError> {
    let mut all = ShardEnd::default();
    for shard in shards {
        let ShardEnd { goldens, given, last_failure } = shard?;
        all.goldens.extend(goldens);
        all.given.extend(given);
        all.last_failure = last_failure.or(all.last_failure);
    }
    Ok(all)
}

/// The events so far.
struct Gathered<'a> {
    fold: TierFold,
    report: &'a mut dyn FnMut(Option<&Event>),
}

impl Gathered<'_> {
    fn take(&mut self, event: Event) {
        (self.report)(Some(&event));
        self.fold.take(event);
    }

    /// Until all shards are through with their cases.
    fn take_all(&mut self, events: &mpsc::Receiver<Vec<Event>>) {
        loop {
            match events.recv_timeout(SILENCE) {
                Ok(events) => events.into_iter().for_each(|event| self.take(event)),
                Err(mpsc::RecvTimeoutError::Timeout) => (self.report)(None),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// The outcome of a shard that panicked.
fn given_up() -> TierError {
    ChildError::GivenUp { role: Role::Runner }.into()
}

/// The result of a shard.
#[derive(Default)]
pub(super) struct ShardEnd {
    pub(super) goldens: Vec<Answered>,
    pub(super) given: Vec<(String, Vec<Given>)>,
    pub(super) last_failure: Option<ChildError>,
}

/// A folder of this run, with one folder per shard; removed on drop.
fn scratch_folders(job: &TierJob) -> Result<Temporary, FsError> {
    Temporary::below(&job.temporary, "tier")
}

/// The folders that a Runner under test may write.
pub(super) struct Folders {
    /// The folder that cases check.
    pub(super) scratch: PathBuf,
    pub(super) data: PathBuf,
    pub(super) temporary: PathBuf,
}

impl Folders {
    fn make(below: &Path) -> Result<Self, FsError> {
        let [scratch, data, temporary] = ["scratch", "data", "tmp"].map(|name| below.join(name));
        for folder in [&scratch, &data, &temporary] {
            crate::world::fs::create_dir(folder)?;
        }
        Ok(Self { scratch, data, temporary })
    }
}

fn work(
    job: &TierJob,
    queue: &Queue,
    number: usize,
    below: &Path,
    events: mpsc::Sender<Vec<Event>>,
) -> Result<ShardEnd, TierError> {
    let folders = Folders::make(below)?;
    let ended = event_loop::block_on(async {
        tokio::select! {
            ended = shard::run(job, queue, number, folders, events) => ended,
            () = until(job.deadline) => Err(TierError::OutOfTime { tier: job.tier }),
        }
    })?;
    if ended.is_err() {
        queue.stopped.store(true, Ordering::Relaxed);
    }
    ended
}

/// For ever, without a deadline.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
