//! Starts the server once: lists its tools and records calls that succeed as first cases.

use crate::report::progress::Steps;
use agent_core::adoption::{self, Measured, Trial};
use agent_core::formats::manifest::EntryPoint;
use agent_core::protocol::call_result::Answer;
use agent_engine::child::{Child, ChildError, ChildSpec, Opening};
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::target::confinement::{self, Scratch};
use agent_engine::target::spec;
use agent_engine::world::event_loop;
use agent_engine::world::{clock, fs};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// The time limit of a call; a tool that takes longer gets no first case.
pub const CALL_LIMIT: Duration = Duration::from_secs(3);
/// After so long the next tool is called beside it, since some tools wait for a network that is not
/// there; the more calls wait, the sooner.
const PACE: Duration = Duration::from_millis(400);
const LEAST_PACE: Duration = Duration::from_millis(100);
/// A server that answers nothing for so long is started again.
const SIGN_LIMIT: Duration = Duration::from_secs(2);
/// The time limit of all calls.
const WALL_LIMIT: Duration = Duration::from_secs(10);

/// The observations of the running server.
#[derive(Debug, Default)]
pub struct Tried {
    pub tools: Vec<String>,
    pub cases: Vec<Value>,
    pub measured: Measured,
    /// A call that failed in the same way each time: the only case where no call succeeds.
    failure: Option<Value>,
    /// The server's own `serverInfo`.
    pub server: Value,
}

/// The outcome of the calls of one tool.
#[derive(Debug, Default)]
struct Called {
    cases: Vec<Value>,
    failure: Option<Value>,
    calls_ms: Vec<u64>,
}

/// A process that is called, and started again once it is gone.
struct Session<'a> {
    spec: &'a ChildSpec,
    opening: Opening,
    child: Option<Child>,
}

impl<'a> Session<'a> {
    fn new(spec: &'a ChildSpec, opening: Opening) -> Self {
        Self { spec, opening, child: None }
    }

    async fn running(&mut self) -> Result<&Child, ChildError> {
        if self.child.is_none() {
            self.child = Some(Child::start_as(self.spec, &self.opening).await?);
        }
        Ok(self.child.as_ref().expect("it was started"))
    }

    /// A call that was cancelled leaves most servers able to answer others.
    async fn end_unless_alive(&mut self) {
        if let Some(child) = &self.child
            && !is_alive(child).await
        {
            self.end().await;
        }
    }

    async fn end(&mut self) {
        if let Some(child) = self.child.take() {
            child.end().await;
        }
    }
}

async fn is_alive(child: &Child) -> bool {
    let sign = tokio::time::timeout(SIGN_LIMIT, child.sign_of_life()).await;
    matches!(sign, Ok(Ok(()) | Err(ChildError::Refused { .. })))
}

impl Tried {
    /// Starts the server as a tier does: confined, and without a network, so that calls change
    /// temporary folders only.
    pub fn of(
        target: &Target,
        repository: &Repository,
        steps: &Steps<'_>,
    ) -> Result<Self, Failure> {
        let scratches = [Scratch::take(&repository.layout)?, Scratch::take(&repository.layout)?];
        let offline = confined(target, Some(false), repository)?;
        let [first, second] = scratches.each_ref().map(|scratch| scratch.given_to(offline.clone()));
        let varies = varying(target, repository);
        let observed = event_loop::block_on(Self::observed([&first, &second], &varies))?;
        let Err(error) = observed else { return Ok(observed?) };
        // a server that needs a network to start gets no first cases
        let online = scratches[0].given_to(confined(target, None, repository)?);
        let listed = event_loop::block_on(Self::listed(&online))??;
        let warning = format!(
            "no test case was recorded: the server does not start without a network: {error}"
        );
        steps.aside(|printer| printer.warn(&warning));
        Ok(listed)
    }

    async fn listed(spec: &ChildSpec) -> Result<Self, ChildError> {
        let mut session = Session::new(spec, Opening::with_every_capability());
        let began = Instant::now();
        let (tried, _) = Self::shown(session.running().await?, began).await?;
        session.end().await;
        Ok(tried)
    }

    /// The tools of a server that was started.
    async fn shown(child: &Child, began: Instant) -> Result<(Self, Vec<Value>), ChildError> {
        let tools = child.tools().await?;
        let measured = Measured { start_ms: milliseconds(began), calls_ms: Vec::new() };
        let server = child.initialize_result()["serverInfo"].clone();
        let names =
            tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect();
        Ok((Self { tools: names, measured, server, ..Self::default() }, tools))
    }

    /// Each call is made in two processes: an answer that differs between them is not expected of
    /// later versions. One of them has a client with every capability, to which all tools are
    /// listed; the other one has a client without any, as in tiers.
    async fn observed(specs: [&ChildSpec; 2], varies: &[String]) -> Result<Self, ChildError> {
        let mut sessions = [
            Session::new(specs[0], Opening::with_every_capability()),
            Session::new(specs[1], Opening::ours()),
        ];
        let began = Instant::now();
        let [first, second] = &mut sessions;
        let shown = async { Self::shown(first.running().await?, began).await };
        let (shown, started) = tokio::join!(shown, async { second.running().await.map(drop) });
        let (mut tried, tools) = shown?;
        started?;
        let trials = adoption::trials(&tools);
        let called = called(&attempts(&trials), &mut sessions, varies).await;
        for mut session in sessions {
            session.end().await;
        }
        for one in called? {
            tried.measured.calls_ms.extend(one.calls_ms);
            tried.cases.extend(one.cases);
            tried.failure = tried.failure.take().or(one.failure);
        }
        if tried.cases.is_empty() {
            tried.cases.extend(tried.failure.take());
        }
        Ok(tried)
    }

    /// The tools that no case calls.
    pub fn untested(&self) -> Vec<&str> {
        let tested: BTreeSet<_> =
            self.cases.iter().filter_map(|case| case["tool"].as_str()).collect();
        self.tools.iter().map(String::as_str).filter(|tool| !tested.contains(tool)).collect()
    }
}

/// Calls one tool after another, in the same order in both processes.
async fn called(
    attempts: &[Attempt<'_>],
    sessions: &mut [Session<'_>; 2],
    varies: &[String],
) -> Result<Vec<Called>, ChildError> {
    let until = Instant::now() + WALL_LIMIT;
    let mut called: Vec<Called> = Vec::new();
    let mut rest = attempts;
    while !rest.is_empty() && Instant::now() < until {
        let [first, second] = &mut *sessions;
        let children = [first.running().await?, second.running().await?];
        let (count, results) = round(rest, children, varies, until).await;
        called.extend(results);
        rest = &rest[count..];
        for session in sessions.iter_mut() {
            session.end_unless_alive().await;
        }
    }
    Ok(called)
}

/// The arguments of a call.
enum Attempt<'a> {
    /// Nothing: it has to refuse that.
    Bare {
        trial: &'a Trial,
        refusal: Value,
    },
    Full(&'a Trial),
}

fn attempts(trials: &[Trial]) -> Vec<Attempt<'_>> {
    trials
        .iter()
        .flat_map(|trial| {
            let refusal = adoption::refusal(trial);
            let bare = refusal.map(|refusal| Attempt::Bare { trial, refusal });
            bare.into_iter().chain([Attempt::Full(trial)])
        })
        .collect()
}

/// The calls of an attempt, with its place among the attempts.
type Calling<'a> = Pin<Box<dyn Future<Output = (usize, Result<Called, ChildError>)> + 'a>>;

/// Calls until a process is gone or answers nothing more; gives back how many attempts are done
/// with.
async fn round(
    attempts: &[Attempt<'_>],
    children: [&Child; 2],
    varies: &[String],
    until: Instant,
) -> (usize, Vec<Called>) {
    let mut results: Vec<Option<Called>> = Vec::new();
    let mut waiting: FuturesUnordered<Calling<'_>> = FuturesUnordered::new();
    let mut is_slow = false;
    for (index, attempt) in attempts.iter().enumerate() {
        if Instant::now() > until {
            break;
        }
        results.push(None);
        let mut call: Calling<'_> =
            Box::pin(async move { (index, answers(attempt, children, varies).await) });
        let mut pace = std::pin::pin!(tokio::time::sleep(pace_beside(waiting.len())));
        let was_slow = std::mem::replace(&mut is_slow, true);
        loop {
            tokio::select! {
                biased;
                (index, called) = &mut call => {
                    results[index] = called.ok();
                    is_slow = false;
                    break;
                }
                Some((index, called)) = waiting.next() => results[index] = Result::ok(called),

                () = &mut pace => break,
            }
        }
        // the call before may have blocked the server: this one is made again in another process
        if is_slow && was_slow && !is_alive(children[0]).await {
            return (index, results.into_iter().flatten().collect());
        }
        if is_slow {
            waiting.push(call);
        }
        if children.iter().any(|child| child.failure().is_some()) {
            break;
        }
    }
    while let Some((index, called)) = waiting.next().await {
        results[index] = called.ok();
    }
    (results.len().max(1), results.into_iter().flatten().collect())
}

fn pace_beside(waiting: usize) -> Duration {
    let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
    (PACE / waiting.saturating_add(1)).max(LEAST_PACE)
}

async fn answers(
    attempt: &Attempt<'_>,
    children: [&Child; 2],
    varies: &[String],
) -> Result<Called, ChildError> {
    match attempt {
        Attempt::Bare { trial, refusal } => refused(trial, refusal, children).await,
        Attempt::Full(trial) => answered(trial, children, varies).await,
    }
}

/// Both processes have to refuse: the tool may be there for a client with every capability alone.
async fn refused(
    trial: &Trial,
    refusal: &Value,
    children: [&Child; 2],
) -> Result<Called, ChildError> {
    let bare = Trial { arguments: json!({}), ..trial.clone() };
    let mut called = Called::default();
    let answers = called.answers(&bare, children, |_| true).await?;
    let Some(answers) = answers else { return Ok(called) };
    let both = answers.each_ref();
    if both.iter().all(|answer| adoption::holds(refusal, answer)) {
        called.cases.push(refusal.clone());
    } else if !both.iter().any(|answer| adoption::is_offline(answer)) {
        // its error does not name the argument
        called.failure = adoption::failure(&bare, both);
    }
    Ok(called)
}

async fn answered(
    trial: &Trial,
    children: [&Child; 2],
    varies: &[String],
) -> Result<Called, ChildError> {
    let mut called = Called::default();
    let is_usable = |answer: &Answer| !adoption::is_offline(answer);
    let answers = called.answers(trial, children, is_usable).await?;
    let Some(answers) = answers else { return Ok(called) };
    let both = answers.each_ref();
    if both.iter().any(|answer| answer.is_error()) {
        called.failure = adoption::failure(trial, both);
        return Ok(called);
    }
    let case = adoption::recorded(trial, both, varies);
    if both.iter().all(|answer| adoption::holds(&case, answer)) {
        called.cases.push(case);
    }
    Ok(called)
}

impl Called {
    /// Of both processes, one after the other, so that answers that depend on the time differ;
    /// `None` where one of them gives none that is usable.
    async fn answers(
        &mut self,
        trial: &Trial,
        [first, second]: [&Child; 2],
        is_usable: impl Fn(&Answer) -> bool,
    ) -> Result<Option<[Answer; 2]>, ChildError> {
        let one = self.answer(first, &trial.tool, &trial.arguments).await?.filter(&is_usable);
        let Some(one) = one else { return Ok(None) };
        let two = self.answer(second, &trial.tool, &trial.arguments).await?.filter(&is_usable);
        Ok(two.map(|two| [one, two]))
    }

    /// `None` for a JSON-RPC error, which no case can expect.
    async fn answer(
        &mut self,
        child: &Child,
        tool: &str,
        arguments: &Value,
    ) -> Result<Option<Answer>, ChildError> {
        let began = Instant::now();
        let called =
            tokio::time::timeout(CALL_LIMIT, child.call(tool, arguments, Map::new())).await;
        let result = match called {
            Err(_) => return Err(child.exit_error()),
            Ok(Err(ChildError::Refused { .. } | ChildError::Unreadable { .. })) => return Ok(None),
            Ok(result) => result?,
        };
        self.calls_ms.push(milliseconds(began));
        Ok(child.readable(tool, result.answer()).ok())
    }
}

/// Starts the server unconfined, and returns the files it wrote into its code folder. They are
/// removed again.
pub fn own_files(target: &Target, repository: &Repository) -> Result<Vec<PathBuf>, Failure> {
    let Some(checkout) = &target.checkout else { return Ok(Vec::new()) };
    let scratch = Scratch::take(&repository.layout)?;
    let spec = scratch.given_to(spec::runner(target, repository)?);
    event_loop::block_on(async {
        if let Ok(child) = Child::start(&spec).await {
            child.end().await;
        }
    })?;
    let own = checkout.own_files(&repository.git)?;
    for path in &own {
        fs::remove_if_there(&checkout.path().join(path))?;
    }
    Ok(own)
}

pub fn confined(
    target: &Target,
    network: Option<bool>,
    repository: &Repository,
) -> Result<ChildSpec, Failure> {
    let mut spec = spec::runner(target, repository)?;
    let entry = EntryPoint {
        network: network.or(target.manifest.runner.network),
        ..target.manifest.runner.clone()
    };
    confinement::confine(&mut spec, &entry, true, target, repository)?;
    spec.call_limit = CALL_LIMIT;
    Ok(spec)
}

/// Text in an answer that depends on place and time: folders, the date, the time as a number.
pub fn varying(target: &Target, repository: &Repository) -> Vec<String> {
    let folders = [repository.layout.root().to_owned(), target.directory.clone()];
    let mut words: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let now = clock::now();
    words.push(clock::today());
    words.push(clock::today()[..4].to_owned());
    words.push(now.as_second().to_string()[..5].to_owned());
    words
}

pub fn milliseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
