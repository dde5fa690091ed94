//! A tier: its cases through as many Runners as there are workers, as events.

use crate::child::link::{ChildError, Role};
use crate::testing::error::TierError;
use crate::testing::history::History;
use crate::testing::job::{TierJob, Work};
use crate::testing::outcome::ResultLines;
use crate::testing::queue::Queue;
use crate::testing::worker::{self, Folders, WorkerEnd};
use crate::world::event_loop;
use crate::world::fs::FsError;
use crate::world::temporary::Temporary;
use agent_core::testing::attempt::{Answered, Given};
use agent_core::testing::budget::Budget;
use agent_core::testing::case::Cases;
use agent_core::testing::case_result::Outcome;
use agent_core::testing::evaluation::TierFold;
use agent_core::testing::event::Event;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The outcome of a tier's run.
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

/// The interval without an event after which `report` is called with `None`.
const SILENCE: Duration = Duration::from_millis(100);

/// Runs the tier. Each worker has a thread, since a child's life is tied to the thread that started
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
        let is_needless = load_into(job, &queue, &mut gathered.fold, load)?;
        let count = job.worker_count();
        workers.extend((1..count).map(|number| start(number, sender.clone())));
        drop(sender);
        if !is_needless {
            let cases = job.cases().list.len();
            gathered.take(Event::TierStarted { tier: job.tier, cases, shards: count });
        }
        gathered.take_all(&events);
        // every case is judged, and the children are about to end
        let lines = ResultLines::of(job.tier, &gathered.fold);
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(given_up())))
            .collect::<Vec<_>>();
        // nothing depends on a child that was not needed
        Ok::<_, E>((if is_needless { Vec::new() } else { ended }, lines))
    })?;
    let WorkerEnd { goldens, given, last_failure } = joined(ended)?;
    for why in queue.take_stops() {
        gathered.take(Event::TierStopped { tier: job.tier, why });
    }
    if !job.work().is_needless() {
        let wall_s = began.elapsed().as_secs_f64();
        gathered.take(Event::TierFinished { tier: job.tier, wall_s });
    }
    let fold = gathered.fold;
    // a tier in which no case could be judged is no evidence about the agent
    let is_evidence =
        job.has_answered() || fold.results().any(|result| result.outcome != Outcome::Errored);
    match last_failure {
        Some(error) if !is_evidence => Err(TierError::from(error).into()),
        _ => Ok(TierRun { fold, lines, goldens, given }),
    }
}

/// Reads the cases for the workers, the first of which waits for them, and the known results into
/// the fold. Returns whether no case needs a worker.
fn load_into<E>(
    job: &TierJob,
    queue: &Queue,
    fold: &mut TierFold,
    load: impl FnOnce() -> Result<Work, E>,
) -> Result<bool, E> {
    let (mut work, error) = match load() {
        Ok(work) => (work, None),
        // an empty list releases the worker
        Err(error) => {
            (Work::new(Cases::default(), &Budget::default(), &History::default()), Some(error))
        }
    };
    let is_needless = work.is_needless();
    if work.is_empty() {
        queue.exhaust();
    }
    *fold = work.take_known();
    job.load(work);
    queue.notify_loaded();
    error.map_or(Ok(is_needless), Err)
}

/// The results of all workers.
fn joined(workers: Vec<Result<WorkerEnd, TierError>>) -> Result<WorkerEnd, TierError> {
    let mut all = WorkerEnd::default();
    for worker in workers {
        let WorkerEnd { goldens, given, last_failure } = worker?;
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

    /// Until all workers are through with their cases.
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

/// The outcome of a worker that panicked.
fn given_up() -> TierError {
    ChildError::ReaderFailed { role: Role::Runner }.into()
}

/// A folder of this run, with one folder per worker; removed on drop.
fn scratch_folders(job: &TierJob) -> Result<Temporary, FsError> {
    Temporary::below(&job.temporary, "tier")
}

fn work(
    job: &TierJob,
    queue: &Queue,
    number: usize,
    below: &Path,
    events: mpsc::Sender<Vec<Event>>,
) -> Result<WorkerEnd, TierError> {
    let folders = Folders::make(below)?;
    let ended = event_loop::block_on(async {
        tokio::select! {
            ended = worker::run(job, queue, number, folders, events) => ended,
            () = until(job.deadline) => Err(TierError::OutOfTime { tier: job.tier }),
        }
    })?;
    if ended.is_err() {
        queue.stop_after_failure();
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
