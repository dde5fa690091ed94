//! One Runner and its cases: sends requests, judges responses, and recovers from a child that hangs
//! or exits.
//!
//! Requests are pipelined while the child answers fast, and sent one by one while it is slow: then
//! a time is the case's own, and a limit too.

mod child_connection;
mod params;

use crate::child::link::{ChildError, ChildSpec, Incoming, Link, Role, RpcError, memory_limit};
use crate::testing::error::TierError;
use crate::testing::job::TierJob;
use crate::testing::judge::{self, Question};
use crate::testing::queue::Queue;
use crate::testing::scratch::Scratch;
use crate::testing::worker::child_connection::{
    ChildConnection, FAILURES_IN_A_ROW, RequestInFlight,
};
use crate::testing::worker::params::{CallParams, Conversation, Folder, Meta, ScoreParams};
use crate::world::fs::{self, FsError};
use agent_core::protocol::call_result::{Answer, Unreadable, value_of};
use agent_core::protocol::raw_object::RawObject;
use agent_core::testing::attempt::{Answered, Attempt, Ended, Finished, Given, Next, cost};
use agent_core::testing::event::Event;
use agent_core::testing::expectation::Expectation;
use agent_core::testing::opinion::Opinion;
use serde_json::Value;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

/// The maximum and minimum number of requests in flight with a fast child.
const WINDOW: usize = 1024;
const FEWEST: usize = 8;
/// The amount of work queued for a fast child.
const WORTH: Duration = Duration::from_millis(10);
/// The weight of earlier calls in the running mean of their times, beside one more.
const OLDER: f64 = 0.75;
/// A child that needs longer than this for a call gains nothing from a full pipe.
const FAST: Duration = Duration::from_millis(2);
/// The number of judging programs that run concurrently; they may wait for a remote service.
const JUDGES: usize = 4;
type Outcome = Result<Box<RawValue>, RpcError>;

/// What a worker has when it ends, beside its events.
#[derive(Default)]
pub(super) struct WorkerEnd {
    pub(super) goldens: Vec<Answered>,
    pub(super) given: Vec<(String, Vec<Given>)>,
    pub(super) last_failure: Option<ChildError>,
}

/// The folders that a Runner under test may write.
pub(super) struct Folders {
    /// The folder that cases check.
    pub(super) scratch: PathBuf,
    pub(super) data: PathBuf,
    pub(super) temporary: PathBuf,
}

impl Folders {
    pub(super) fn make(below: &Path) -> Result<Self, FsError> {
        let [scratch, data, temporary] = ["scratch", "data", "tmp"].map(|name| below.join(name));
        for folder in [&scratch, &data, &temporary] {
            fs::create_dir(folder)?;
        }
        Ok(Self { scratch, data, temporary })
    }
}

/// Works on cases until there are none left.
pub(super) async fn run(
    job: &TierJob,
    queue: &Queue,
    number: usize,
    folders: Folders,
    events: mpsc::Sender<Vec<Event>>,
) -> Result<WorkerEnd, TierError> {
    let began = Instant::now();
    // one folder per child, so that its path can be in the environment of a server that does not
    // read `_meta`
    let spec = job.runner.clone().with_folders(&folders.scratch, &folders.data, &folders.temporary);
    let mut runner = ChildConnection::new(Role::Runner);
    let mut scorer = ChildConnection::new(Role::Scorer);
    // before the cases are loaded; the scorer process as soon as they are
    let start = async {
        // the first one waits for nothing, not even for the cases
        if number > 0 {
            tokio::time::sleep(job.head_start()).await;
        }
        tokio::try_join!(runner.start(&spec), async {
            start_scorer(&mut scorer, job, queue, began).await;
            Ok(())
        })
    };
    let started = tokio::select! {
        biased;
        // dropped, children that are not needed any more are killed
        () = queue.exhausted() => return Ok(WorkerEnd::default()),
        started = start => started,
    };
    started?;
    let deadline = job.limit().map(|limit| began + limit);
    let worker = Worker {
        job,
        queue,
        events,
        results: Vec::new(),
        spec,
        runner,
        scorer,
        are_scorers_checked: false,
        broken_scorers: HashMap::new(),
        judges: JoinSet::new(),
        judged: HashMap::new(),
        scratch: Scratch::new(folders.scratch),
        reserved: None,
        again: VecDeque::new(),
        usual: None,
        end: WorkerEnd::default(),
    };
    worker.run(deadline).await
}

/// Starts the scorer process beside the Runner: one after the other they take twice as long. One
/// that does not start is started again when it is needed, and fails then.
async fn start_scorer(
    scorer: &mut ChildConnection<'_>,
    job: &TierJob,
    queue: &Queue,
    began: Instant,
) {
    queue.loaded(job).await;
    let Some(spec) = job.needed_scorer() else { return };
    tokio::select! {
        _ = scorer.start(spec) => {}
        () = end_of(job.limit().map(|limit| began + limit)) => {}
    }
}

struct Worker<'a> {
    job: &'a TierJob,
    queue: &'a Queue,
    events: mpsc::Sender<Vec<Event>>,
    /// Results not sent yet: sent in batches, to avoid a wake-up for each.
    results: Vec<Event>,
    /// Of the Runner.
    spec: ChildSpec,
    runner: ChildConnection<'a>,
    scorer: ChildConnection<'a>,
    /// Whether the scorer process that runs has listed its scorers.
    are_scorers_checked: bool,
    /// How often each scorer broke its process.
    broken_scorers: HashMap<String, u32>,
    judges: JoinSet<Votes>,
    /// Attempts being judged by a program, by task, with the key of the stored answer.
    judged: HashMap<Id, (Attempt<'a>, String)>,
    scratch: Scratch,
    /// The id of a case that checks files: it has exclusive use of the child until it is judged.
    reserved: Option<&'a str>,
    /// Attempts to make again, or to go on with, before new ones.
    again: VecDeque<Attempt<'a>>,
    /// A running mean of the time of a call; unknown at first.
    usual: Option<Duration>,
    end: WorkerEnd,
}

/// The answer of a judging program, or its error.
type Votes = Result<Vec<Opinion>, String>;

/// The event that ended a wait.
enum Input {
    Judge(Id, Votes),
    Runner(Result<Incoming, ChildError>),
    Scorer(Result<Incoming, ChildError>),
}

impl<'a> Worker<'a> {
    async fn run(mut self, deadline: Option<Instant>) -> Result<WorkerEnd, TierError> {
        let ended = tokio::select! {
            biased;
            ended = self.work() => Some(ended),
            () = end_of(deadline) => None,
        };
        self.send_results();
        match ended {
            Some(ended) => ended?,
            None => self.end_early(self.job.limit().unwrap_or_default()),
        }
        let Self { runner, scorer, events, end, .. } = self;
        // the end of the events: what they amount to is put together while the children end
        drop(events);
        tokio::join!(runner.end(), scorer.end());
        Ok(end)
    }

    fn end_early(&mut self, limit: Duration) {
        self.queue.stop(format!(
            "the time limit of {} s for the tier was reached: its children were ended",
            limit.as_secs_f64()
        ));
        // dropped, they are killed
        self.runner.link = None;
        self.scorer.link = None;
        self.judges.abort_all();
    }

    async fn work(&mut self) -> Result<(), TierError> {
        loop {
            self.send_results();
            self.fill().await?;
            if self.runner.in_flight.is_empty()
                && self.scorer.in_flight.is_empty()
                && self.judged.is_empty()
            {
                return Ok(());
            }
            let input = tokio::select! {
                biased;
                incoming = self.runner.next() => Input::Runner(incoming),
                incoming = self.scorer.next() => Input::Scorer(incoming),
                Some(ended) = self.judges.join_next_with_id() => match ended {
                    Ok((task, votes)) => Input::Judge(task, votes),
                    Err(error) => {
                        let why = format!("the judge was not read to its end: {error}");
                        Input::Judge(error.id(), Err(why))
                    }
                },
            };
            match input {
                Input::Runner(Ok(incoming)) => self.take_answers(incoming).await?,
                Input::Runner(Err(error)) => self.runner_failed(error)?,
                Input::Scorer(Ok(incoming)) => self.take_score(incoming).await?,
                Input::Scorer(Err(error)) => self.scorer_failed(error).await?,
                Input::Judge(task, votes) => self.take_votes(task, votes).await?,
            }
        }
    }

    /// The current limit of requests in flight: for a fast child enough to keep it busy.
    fn window(&self) -> usize {
        let is_alone = |attempt: &Attempt<'_>| attempt.alone;
        let alone = self.again.front().is_some_and(is_alone)
            || self.runner.in_flight.front().is_some_and(|request| is_alone(&request.attempt));
        let Some(usual) = self
            .usual
            .filter(|usual| *usual < FAST && !alone && self.job.spend_limit_usd().is_none())
        else {
            return 1;
        };
        let worth = usize::try_from(WORTH.as_nanos() / usual.as_nanos().max(1)).unwrap_or(WINDOW);
        // towards the end each takes less than its share of the rest, so that no worker sits on
        // cases while another has none
        let share = match self.job.worker_count() {
            1 => WINDOW,
            workers => self.queue.left(self.job) / (2 * workers),
        };
        worth.clamp(FEWEST, WINDOW).min(share).max(1)
    }

    fn is_free(&self) -> bool {
        self.reserved.is_none()
            && self.runner.in_flight.len() < self.window()
            && self.scorer.in_flight.len() < WINDOW
            && self.judged.len() < JUDGES
    }

    async fn fill(&mut self) -> Result<(), TierError> {
        while self.is_free() {
            let Some(attempt) = self.again.pop_front().or_else(|| self.new_attempt()) else {
                return Ok(());
            };
            if attempt.alone && !self.runner.in_flight.is_empty() {
                self.again.push_front(attempt);
                return Ok(());
            }
            self.call(attempt).await?;
        }
        Ok(())
    }

    fn new_attempt(&self) -> Option<Attempt<'a>> {
        let (case, slow) = self.queue.take(self.job)?;
        let mut attempt = Attempt::new(case);
        attempt.alone |= slow;
        Some(attempt)
    }

    /// Sends the current call of the attempt.
    async fn call(&mut self, attempt: Attempt<'a>) -> Result<(), TierError> {
        if self.reserved.is_some_and(|id| id != attempt.case.id) {
            self.again.push_back(attempt);
            return Ok(());
        }
        if let Some(files) = attempt.case.files.as_ref().filter(|_| attempt.is_at_start()) {
            if let Err(error) = self.scratch.prepare(files) {
                self.emit_broken(attempt, &error);
                return Ok(());
            }
            self.reserved = Some(&attempt.case.id);
        }
        let arguments = match self.admitted(&attempt) {
            Ok(arguments) => arguments,
            Err(why) => {
                return Box::pin(self.take_answer(attempt, Ok(failed(&why)), Duration::ZERO)).await;
            }
        };
        if self.runner.start(&self.spec).await? {
            // the scorer's messages were not read meanwhile
            self.scorer.last_message = Instant::now();
        }
        let state = self.job.state();
        let step = attempt.step();
        let conversation = attempt.conversation_id(self.job.secret()).map(|id| Conversation {
            id,
            turn: attempt.turn(),
            data: attempt.data.as_ref(),
        });
        let scratch = attempt.case.files.is_some().then(|| Folder { path: self.scratch.folder() });
        let params = CallParams {
            name: &step.tool,
            arguments: &arguments,
            _meta: Meta { state, conversation, scratch },
        };
        let id = self.runner.post("tools/call", params);
        let limit = attempt.limit(self.spec.call_limit);
        self.runner.in_flight.push_back(RequestInFlight {
            id,
            sent: Instant::now(),
            limit,
            attempt,
            result: None,
        });
        Ok(())
    }

    /// The arguments of the attempt's call as the overlay has them, or why it is not made.
    fn admitted(&self, attempt: &Attempt<'a>) -> Result<Cow<'a, Value>, String> {
        let step = attempt.step();
        let Some(presentation) = &self.job.presentation else {
            return Ok(Cow::Borrowed(&step.arguments));
        };
        let mut params = RawObject::default();
        params.set("name", &step.tool);
        params.set("arguments", &step.arguments);
        presentation.admit(&mut params)?;
        let arguments = params.get("arguments").and_then(|raw| value_of(raw).ok());
        Ok(arguments.map_or(Cow::Borrowed(&step.arguments), Cow::Owned))
    }

    fn presented(&self, tool: &str, result: Box<RawValue>) -> Box<RawValue> {
        match &self.job.presentation {
            Some(presentation) => presentation.result(tool, result),
            None => result,
        }
    }

    /// Takes an answer and all that arrived with it, which share the time they took.
    async fn take_answers(&mut self, first: Incoming) -> Result<(), TierError> {
        let mut answered = Vec::new();
        let mut failure = None;
        let mut incoming = Some(first);
        while let Some(frame) = incoming.take() {
            if let Incoming::Answer { id, outcome } = frame
                && let Some(request) = self.runner.take_answered(id)
            {
                answered.push((request, outcome));
            }
            match self.runner.link.as_mut().map_or(Ok(None), Link::try_next) {
                Ok(more) => incoming = more,
                Err(error) => failure = Some(error),
            }
        }
        let each = self.time_of_each(&answered);
        for (request, outcome) in answered {
            self.runner.failures = 0;
            self.take_answer(request.attempt, outcome, each).await?;
        }
        failure.map_or(Ok(()), |error| self.runner_failed(error))
    }

    /// The child worked on these from the first one's sending, or from its last answer on.
    fn time_of_each(&mut self, answered: &[(RequestInFlight<'a>, Outcome)]) -> Duration {
        let Some(first_sent) = answered.iter().map(|(request, _)| request.sent).min() else {
            return Duration::ZERO;
        };
        let now = Instant::now();
        let count = u32::try_from(answered.len()).unwrap_or(u32::MAX);
        let each = (now - first_sent.max(self.runner.last_message)) / count;
        self.runner.last_message = now;
        let older = OLDER.powf(answered.len() as f64);
        let mean = |usual: Duration| usual.mul_f64(older) + each.mul_f64(1.0 - older);
        self.usual = Some(self.usual.map_or(each, mean));
        each
    }

    async fn take_answer(
        &mut self,
        mut attempt: Attempt<'a>,
        outcome: Outcome,
        time: Duration,
    ) -> Result<(), TierError> {
        let outcome = outcome.map(|raw| self.presented(&attempt.step().tool, raw));
        match outcome.or_else(|error| {
            if attempt.expects_error() { Ok(as_result(&error)) } else { Err(error) }
        }) {
            Ok(raw) => {
                let answer = match Answer::parse(&raw) {
                    Ok(answer) => answer,
                    Err(problem) => {
                        let unreadable = unreadable(Role::Runner, &attempt.step().tool, problem);
                        return self.conclude(attempt.errored(unreadable.to_string())).await;
                    }
                };
                if let Some(usd) = cost(&answer) {
                    self.queue.spend(self.job, usd);
                }
                let next = attempt.answered(&answer, time.as_secs_f64() * 1000.0, self.job.keeps);
                if answer.is_error()
                    && let Some(limit) = memory_limit(self.spec.memory, &answer.text())
                {
                    attempt.explain(&limit);
                }
                match next {
                    Next::Score => self.send_to_scorer(attempt, raw).await,
                    Next::Judge => self.start_judge(attempt, &answer).await,
                    next => self.go_on(attempt, next).await,
                }
            }
            Err(error) => {
                let refused = ChildError::Refused {
                    role: Role::Runner,
                    what: attempt.step().tool.clone(),
                    error: Box::new(error),
                };
                self.conclude(attempt.errored(refused.to_string())).await
            }
        }
    }

    async fn go_on(&mut self, mut attempt: Attempt<'a>, next: Next) -> Result<(), TierError> {
        if let Next::Call = next {
            return self.call(attempt).await;
        }
        if let Some(files) = &attempt.case.files {
            let (judgements, goldens) = self.scratch.judge(files);
            attempt.judged_files(judgements);
            if self.job.keeps.goldens {
                attempt.goldens.extend(goldens);
            }
        }
        self.conclude(attempt.finished()).await
    }

    /// A case is at its end, or its next run begins.
    async fn conclude(&mut self, ended: Ended<'a>) -> Result<(), TierError> {
        match ended {
            Ended::Case(finished) => {
                self.emit(finished);
                Ok(())
            }
            Ended::Run(next) => self.call(next).await,
        }
    }

    /// The case is at its end, with an error that another run would meet as well.
    fn emit_broken(&mut self, attempt: Attempt<'a>, error: &dyn std::error::Error) {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        self.emit(attempt.broken(format!("{error}{cause}")));
    }

    fn emit(&mut self, finished: Finished) {
        if self.reserved == Some(finished.result.id.as_str()) {
            self.reserved = None;
        }
        if self.job.keeps.given {
            self.end.given.push((finished.result.id.clone(), finished.given));
        }
        self.results.push(Event::CaseFinished { tier: self.job.tier, result: finished.result });
        self.end.goldens.extend(finished.goldens);
    }

    fn send_results(&mut self) {
        if !self.results.is_empty() {
            // the receiver outlives every worker
            let _ = self.events.send(std::mem::take(&mut self.results));
        }
    }

    /// The child hangs, exited or broke protocol. With one request in flight, that one is the
    /// cause; with several, a hang is attributed to the oldest, and for other failures each is
    /// retried alone.
    fn runner_failed(&mut self, error: ChildError) -> Result<(), TierError> {
        let mut requests = std::mem::take(&mut self.runner.in_flight);
        let hang = matches!(error, ChildError::TimedOut { .. });
        let to_blame = if hang || requests.len() == 1 { requests.pop_front() } else { None };
        for request in requests.into_iter().rev() {
            self.again.push_front(request.attempt.again(!hang));
        }
        self.runner.link = None;
        let Some(request) = to_blame else { return Ok(()) };
        self.emit(request.attempt.broken(error.to_string()));
        if self.runner.lose() && !self.job.has_answered() {
            return Err(error.into());
        }
        self.end.last_failure = Some(error);
        Ok(())
    }

    async fn send_to_scorer(
        &mut self,
        attempt: Attempt<'a>,
        result: Box<RawValue>,
    ) -> Result<(), TierError> {
        let case = attempt.shown_to_scorer();
        let scorer = case["expect"]["scorer"]["name"]
            .as_str()
            .expect("such a step names its scorer")
            .to_owned();
        if self.broken_scorers.get(&scorer).is_some_and(|times| *times >= FAILURES_IN_A_ROW) {
            let why = format!(
                "the scorer `{scorer}` has ended its process {FAILURES_IN_A_ROW} times and is \
                    not called again"
            );
            self.emit(attempt.broken(why));
            return Ok(());
        }
        let spec = &self.job.judges().scorer;
        match self.scorer.start(spec).await {
            Ok(false) if self.are_scorers_checked => {}
            Ok(_) => self.check_scorers()?,
            Err(error) if self.scorer.was_started => {
                self.emit_broken(attempt, &error);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        let id = self.scorer.post("score", ScoreParams { scorer: &scorer, case, result: &result });
        let limit = spec.call_limit;
        self.scorer.in_flight.push_back(RequestInFlight {
            id,
            sent: Instant::now(),
            limit,
            attempt,
            result: Some(result),
        });
        Ok(())
    }

    /// A process that has just started lists its scorers.
    fn check_scorers(&mut self) -> Result<(), TierError> {
        self.are_scorers_checked = true;
        // it may have been started long ago, beside the Runner
        self.runner.last_message = self.runner.last_message.max(self.scorer.last_message);
        let link = self.scorer.link.as_ref().expect("it was started");
        let there: Vec<_> = link.initialize_result()["scorers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        Ok(self.job.check_scorers(&there)?)
    }

    async fn take_score(&mut self, incoming: Incoming) -> Result<(), TierError> {
        self.scorer.last_message = Instant::now();
        let Incoming::Answer { id, outcome } = incoming else { return Ok(()) };
        let Some(mut request) = self.scorer.take_answered(id) else { return Ok(()) };
        self.scorer.failures = 0;
        let answer = match outcome {
            Ok(raw) => value_of(&raw)
                .map_err(|problem| unreadable(Role::Scorer, "score", problem).to_string()),
            Err(error) => Err(error.message),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => return self.conclude(request.attempt.errored(why)).await,
        };
        match request.attempt.scored(&answer) {
            Ok(next) => self.go_on(request.attempt, next).await,
            Err(why) => self.conclude(request.attempt.errored(why)).await,
        }
    }

    /// Scorers run sequentially, so the oldest request is the cause; the others are sent again.
    async fn scorer_failed(&mut self, error: ChildError) -> Result<(), TierError> {
        let mut requests = std::mem::take(&mut self.scorer.in_flight);
        if let Some(request) = requests.pop_front() {
            if let Some(Expectation::Scorer(scorer)) = &request.attempt.step().expect {
                *self.broken_scorers.entry(scorer.name.clone()).or_default() += 1;
            }
            self.emit(request.attempt.broken(error.to_string()));
        }
        self.scorer.lose();
        self.end.last_failure = Some(error);
        for request in requests {
            self.send_to_scorer(request.attempt, request.result.expect("a scorer gets a result"))
                .await?;
        }
        Ok(())
    }

    /// Runs the judging program, unless its answer is stored.
    async fn start_judge(
        &mut self,
        attempt: Attempt<'a>,
        answer: &Answer,
    ) -> Result<(), TierError> {
        let Some(Expectation::Command(call)) = &attempt.step().expect else {
            unreachable!("only such a step is judged by a program")
        };
        let question = Question {
            call,
            case: attempt.shown_to_scorer(),
            result: answer.value(),
            judges: self.job.judges(),
        };
        let known = self
            .job
            .judgements
            .as_ref()
            .filter(|_| !self.job.judge_anew)
            .and_then(|store| question.recall(store));
        if let Some(votes) = known {
            return self.decide(attempt, &votes).await;
        }
        let judge_run = question.judge_run(attempt.limit(self.job.judges().scorer.call_limit));
        let key = question.key();
        let task = self.judges.spawn(judge_run.run());
        self.judged.insert(task.id(), (attempt, key));
        Ok(())
    }

    async fn take_votes(&mut self, task: Id, votes: Votes) -> Result<(), TierError> {
        let Some((attempt, key)) = self.judged.remove(&task) else { return Ok(()) };
        match votes {
            Ok(votes) => {
                if let Some(store) = &self.job.judgements {
                    judge::keep(store, &key, votes.clone());
                }
                self.decide(attempt, &votes).await
            }
            Err(why) => self.conclude(attempt.errored(why)).await,
        }
    }

    async fn decide(
        &mut self,
        mut attempt: Attempt<'a>,
        votes: &[Opinion],
    ) -> Result<(), TierError> {
        match attempt.voted(votes) {
            Ok(next) => self.go_on(attempt, next).await,
            Err(why) => self.conclude(attempt.errored(why)).await,
        }
    }
}

fn unreadable(role: Role, what: &str, problem: Unreadable) -> ChildError {
    ChildError::Unreadable { role, what: what.to_owned(), problem }
}

/// The result of a call that is not made.
fn failed(why: &str) -> Box<RawValue> {
    to_raw_value(&json!({"content": [{"type": "text", "text": why}], "isError": true}))
        .expect("a result serialises")
}

/// A refusal as the failed result that a case may expect.
fn as_result(error: &RpcError) -> Box<RawValue> {
    let content = json!([{"type": "text", "text": error.message}]);
    let structured = json!({"code": error.code, "message": error.message, "data": error.data});
    to_raw_value(&json!({"content": content, "structuredContent": structured, "isError": true}))
        .expect("a result serialises")
}

/// For ever, without an end.
async fn end_of(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
