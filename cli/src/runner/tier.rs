//! A tier: its cases through as many Runners as there are shards, as events.

use crate::runner::attempt::Answered;
use crate::runner::cases::SCORERS;
use crate::runner::link::{ChildError, ChildSpec};
use crate::runner::shard::Shard;
use crate::world::process::{self, ProcessError};
use agent_core::case::Cases;
use agent_core::diagnose::{Diagnose, Exit};
use agent_core::document::DocumentError;
use agent_core::evaluation::{Outcome, TierFold};
use agent_core::event::Event;
use agent_core::manifest::Tier;
use agent_core::object_id::ObjectId;
use serde_json::value::{RawValue, to_raw_value};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Instant;
use tokio::sync::Notify;

/// Below this many cases another child costs more than it saves.
const CASES_PER_SHARD: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum TierError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Scorer(#[from] DocumentError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("{tier} was not through in its time")]
    OutOfTime { tier: Tier },
}

impl Diagnose for TierError {
    fn exit(&self) -> Exit {
        match self {
            Self::Child(error) => error.exit(),
            Self::Scorer(error) => error.exit(),
            Self::Process(error) => error.exit(),
            Self::OutOfTime { .. } => Exit::NotEnoughEvidence,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Child(error) => error.hint(),
            Self::Scorer(error) => error.hint(),
            Self::Process(error) => error.hint(),
            Self::OutOfTime { .. } => None,
        }
    }
}

/// What to run.
pub struct TierJob {
    pub tier: Tier,
    cases: OnceLock<Cases>,
    pub runner: ChildSpec,
    /// The process that runs `tests/scorers.py`; started only by a shard that needs it.
    pub scorer: ChildSpec,
    /// The content of the `_meta` key that names the state.
    state: Box<RawValue>,
    /// How many Runners at once; `None` is as many as there are cores.
    pub shards: Option<usize>,
    pub keep_goldens: bool,
    /// An earlier run of the same code answered other cases: however many fail now, it is their own doing.
    pub has_answered: bool,
    /// When the children are ended and the tier has said nothing.
    pub deadline: Option<Instant>,
}

/// What came of it.
#[derive(Debug)]
pub struct TierRun {
    pub fold: TierFold,
    /// With `keep_goldens`: what the golden files should hold.
    pub goldens: Vec<Answered>,
}

impl TierJob {
    pub fn new(tier: Tier, runner: ChildSpec, scorer: ChildSpec, state: (&ObjectId, &Path)) -> Self {
        let (revision, path) = state;
        let state = to_raw_value(&serde_json::json!({"revision": revision, "path": path})).expect("a state's name serialises");
        Self { tier, cases: OnceLock::new(), runner, scorer, state, shards: None, keep_goldens: false, has_answered: false, deadline: None }
    }

    /// Waits for the cases: they are read while the first Runner starts.
    pub fn cases(&self) -> &Cases {
        self.cases.wait()
    }

    pub fn state(&self) -> &RawValue {
        &self.state
    }

    fn shard_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = self.cases().list.len();
        let wanted = self.shards.unwrap_or_else(|| cores().min(count.div_ceil(CASES_PER_SHARD)));
        wanted.clamp(1, count.max(1))
    }

    /// The scorers the cases name, against those there are.
    pub fn check_scorers(&self, there: &[&str]) -> Result<(), DocumentError> {
        let missing = self.cases().scorers().into_iter().find(|(name, _)| !there.contains(name));
        missing.map_or(Ok(()), |(name, place)| {
            let suggestion = agent_core::suggestion::did_you_mean(name, there.iter().copied());
            let mend = format!("write it there, or name one of {}", there.join(", "));
            Err(DocumentError::new(place, format!("there is no scorer \"{name}\" in {SCORERS}{suggestion}"), mend))
        })
    }
}

/// What the shards of a tier share.
pub(super) struct Queue {
    next: AtomicUsize,
    stopped: AtomicBool,
    /// A Runner is under way, and there are no cases for it.
    nothing_to_do: Notify,
}

impl Queue {
    pub(super) fn take(&self, count: usize) -> Option<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < count).then_some(index)
    }
}

/// Runs the tier. Each shard has a thread, since a child's life is tied to the thread that started it; the events meet here.
///
/// `load` reads the cases while the first Runner starts.
pub fn run<E: From<TierError>>(
    job: &TierJob,
    load: impl FnOnce() -> Result<Cases, E>,
    on_event: &mut dyn FnMut(&Event),
) -> Result<TierRun, E> {
    let began = Instant::now();
    let queue = Queue { next: AtomicUsize::new(0), stopped: AtomicBool::new(false), nothing_to_do: Notify::new() };
    let mut fold = TierFold::default();
    let mut emit = |event: Event| {
        on_event(&event);
        fold.take(event);
    };
    let ended = std::thread::scope(|scope| {
        let (sender, events) = mpsc::channel();
        let start = |sender: mpsc::Sender<Vec<Event>>| scope.spawn(|| work(job, &queue, sender));
        let mut workers = vec![start(sender.clone())];
        let (cases, error) = match load() {
            Ok(cases) => (cases, None),
            // the first worker waits for cases: none lets it go
            Err(error) => (Cases::default(), Some(error)),
        };
        if cases.list.is_empty() {
            queue.nothing_to_do.notify_one();
        }
        job.cases.get_or_init(|| cases);
        if let Some(error) = error {
            return Err(error);
        }
        let shards = job.shard_count();
        workers.extend((1..shards).map(|_| start(sender.clone())));
        drop(sender);
        emit(Event::TierStarted { tier: job.tier, cases: job.cases().list.len(), shards });
        events.into_iter().flatten().for_each(&mut emit);
        Ok(workers.into_iter().map(|worker| worker.join().expect("a shard does not panic")).collect::<Vec<_>>())
    })?;
    let mut goldens = Vec::new();
    let mut last_failure = None;
    for shard in ended {
        let ended = shard?;
        goldens.extend(ended.goldens);
        last_failure = ended.last_failure.or(last_failure);
    }
    emit(Event::TierFinished { tier: job.tier, wall_s: began.elapsed().as_secs_f64() });
    match last_failure {
        // a tier of which no case could be judged says nothing about the agent
        Some(error) if !job.has_answered && fold.results().all(|result| result.outcome == Outcome::Errored) => {
            Err(TierError::from(error).into())
        }
        _ => Ok(TierRun { fold, goldens }),
    }
}

/// What a shard leaves behind.
#[derive(Default)]
pub(super) struct ShardEnd {
    pub(super) goldens: Vec<Answered>,
    pub(super) last_failure: Option<ChildError>,
}

fn work(job: &TierJob, queue: &Queue, events: mpsc::Sender<Vec<Event>>) -> Result<ShardEnd, TierError> {
    let ended = process::block_on(async {
        tokio::select! {
            ended = Shard::new(job, queue, events).run() => ended,
            () = queue.nothing_to_do.notified() => Ok(ShardEnd::default()),
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
