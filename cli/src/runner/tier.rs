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
use std::sync::mpsc;
use std::time::Instant;

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
    pub cases: Cases,
    pub runner: ChildSpec,
    /// The process that runs `tests/scorers.py`; started only by a shard that needs it.
    pub scorer: ChildSpec,
    /// The content of the `_meta` key that names the state.
    state: Box<RawValue>,
    /// How many Runners at once; `None` is as many as there are cores.
    pub shards: Option<usize>,
    pub keep_goldens: bool,
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
    pub fn new(tier: Tier, cases: Cases, runner: ChildSpec, scorer: ChildSpec, state: (&ObjectId, &Path)) -> Self {
        let (revision, path) = state;
        let state = to_raw_value(&serde_json::json!({"revision": revision, "path": path})).expect("a state's name serialises");
        Self { tier, cases, runner, scorer, state, shards: None, keep_goldens: false, deadline: None }
    }

    pub fn state(&self) -> &RawValue {
        &self.state
    }

    fn shard_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let wanted = self.shards.unwrap_or_else(|| cores().min(self.cases.list.len().div_ceil(CASES_PER_SHARD)));
        wanted.clamp(1, self.cases.list.len().max(1))
    }

    /// The scorers the cases name, against those there are.
    pub fn check_scorers(&self, there: &[&str]) -> Result<(), DocumentError> {
        let missing = self.cases.scorers().into_iter().find(|(name, _)| !there.contains(name));
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
pub fn run(job: &TierJob, on_event: &mut dyn FnMut(&Event)) -> Result<TierRun, TierError> {
    let began = Instant::now();
    let shards = job.shard_count();
    let queue = Queue { next: AtomicUsize::new(0), stopped: AtomicBool::new(false) };
    let mut fold = TierFold::default();
    let mut emit = |event: &Event| {
        fold.add(event);
        on_event(event);
    };
    emit(&Event::TierStarted { tier: job.tier, cases: job.cases.list.len(), shards });
    let ended = std::thread::scope(|scope| {
        let (sender, events) = mpsc::channel();
        let workers: Vec<_> = (0..shards)
            .map(|_| {
                let (sender, queue) = (sender.clone(), &queue);
                scope.spawn(move || work(job, queue, sender))
            })
            .collect();
        drop(sender);
        for event in events {
            emit(&event);
        }
        workers.into_iter().map(|worker| worker.join().expect("a shard does not panic")).collect::<Vec<_>>()
    });
    let mut goldens = Vec::new();
    let mut last_failure = None;
    for shard in ended {
        let ended = shard?;
        goldens.extend(ended.goldens);
        last_failure = ended.last_failure.or(last_failure);
    }
    emit(&Event::TierFinished { tier: job.tier, wall_s: began.elapsed().as_secs_f64() });
    match last_failure {
        // a tier of which no case could be judged says nothing about the agent
        Some(error) if fold.results().all(|result| result.outcome == Outcome::Errored) => Err(error.into()),
        _ => Ok(TierRun { fold, goldens }),
    }
}

/// What a shard leaves behind.
#[derive(Default)]
pub(super) struct ShardEnd {
    pub(super) goldens: Vec<Answered>,
    pub(super) last_failure: Option<ChildError>,
}

fn work(job: &TierJob, queue: &Queue, events: mpsc::Sender<Event>) -> Result<ShardEnd, TierError> {
    if job.cases.list.is_empty() {
        return Ok(ShardEnd::default());
    }
    let ended = process::block_on(async {
        tokio::select! {
            ended = Shard::new(job, queue, events).run() => ended,
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
