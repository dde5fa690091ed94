//! Starts the server once: lists its tools and records calls that succeed as first cases.

use crate::context::Context;
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
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The time limit of a call; a tool that takes longer gets no first case.
pub const CALL_LIMIT: Duration = Duration::from_secs(3);
/// The time limit of all calls.
const WALL_LIMIT: Duration = Duration::from_secs(30);

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

impl Tried {
    /// Starts the server as a tier does: confined, and for the calls without a network, so that
    /// calls change temporary folders only.
    pub fn of(
        target: &Target,
        repository: &Repository,
        context: &Context,
    ) -> Result<Self, Failure> {
        let scratches = [Scratch::take(&repository.layout)?, Scratch::take(&repository.layout)?];
        let online = confined(target, None, repository)?;
        let offline = confined(target, Some(false), repository)?;
        let [first, second] = scratches.each_ref().map(|scratch| scratch.given_to(offline.clone()));
        let mut tried = event_loop::block_on(Self::listed(&scratches[0].given_to(online)))??;
        let varies = varying(target, repository);
        // a server that needs a network to start gets no first cases
        if let Err(error) = event_loop::block_on(tried.0.record(
            &adoption::trials(&tried.1),
            [&first, &second],
            &varies,
        ))? {
            context.printer.warn(format!(
                "no test case was recorded: the server does not start without a network: {error}"
            ));
        }
        Ok(tried.0)
    }

    async fn listed(spec: &ChildSpec) -> Result<(Self, Vec<Value>), ChildError> {
        let began = Instant::now();
        let child = Child::start_as(spec, &Opening::with_every_capability()).await?;
        let tools = child.tools().await?;
        let measured = Measured { start_ms: milliseconds(began), calls_ms: Vec::new() };
        let server = child.greeting()["serverInfo"].clone();
        child.end().await;
        let names =
            tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect();
        Ok((Self { tools: names, measured, server, ..Self::default() }, tools))
    }

    /// Each call is made in two processes: an answer that differs between them is not expected of
    /// later versions.
    async fn record(
        &mut self,
        trials: &[Trial],
        specs: [&ChildSpec; 2],
        varies: &[String],
    ) -> Result<(), ChildError> {
        let (one, two) = tokio::join!(Child::start(specs[0]), Child::start(specs[1]));
        let mut children = [Some(one?), Some(two?)];
        let began = Instant::now();
        for trial in trials {
            if began.elapsed() > WALL_LIMIT {
                break;
            }
            for (child, spec) in children.iter_mut().zip(specs) {
                // the previous call may have ended the server
                if child.as_ref().is_none_or(|child| child.failure().is_some()) {
                    *child = Some(Child::start(spec).await?);
                }
            }
            let [Some(one), Some(two)] = &children else { break };
            if self.answers(trial, [one, two], varies).await.is_err() {
                // it timed out or exited
                children = [None, None];
            }
        }
        for child in children.into_iter().flatten() {
            child.end().await;
        }
        if self.cases.is_empty() {
            self.cases.extend(self.failure.take());
        }
        Ok(())
    }

    async fn answers(
        &mut self,
        trial: &Trial,
        children: [&Child; 2],
        varies: &[String],
    ) -> Result<(), ChildError> {
        if let Some(refusal) = adoption::refusal(trial)
            && let Some(answer) = self.answer(children[0], &trial.tool, &json!({})).await?
        {
            if adoption::holds(&refusal, &answer) {
                self.cases.push(refusal);
            } else if let Some(again) = self.answer(children[1], &trial.tool, &json!({})).await?
                && !adoption::is_offline(&answer)
            {
                // its error does not name the argument
                let bare = Trial { arguments: json!({}), ..trial.clone() };
                self.failure =
                    self.failure.take().or_else(|| adoption::failure(&bare, [&answer, &again]));
            }
        }
        // sequentially, so that answers that depend on the time differ
        let mut answers = Vec::new();
        for child in children {
            match self.answer(child, &trial.tool, &trial.arguments).await? {
                Some(answer) if !adoption::is_offline(&answer) => answers.push(answer),
                _ => return Ok(()),
            }
        }
        let both = [&answers[0], &answers[1]];
        if both.iter().any(|answer| answer.is_error()) {
            self.failure = self.failure.take().or_else(|| adoption::failure(trial, both));
            return Ok(());
        }
        let case = adoption::recorded(trial, both, varies);
        if both.iter().all(|answer| adoption::holds(&case, answer)) {
            self.cases.push(case);
        }
        Ok(())
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
        self.measured.calls_ms.push(milliseconds(began));
        Ok(child.readable(tool, result.answer()).ok())
    }

    /// The tools that no case calls.
    pub fn untested(&self) -> Vec<&str> {
        let tested: BTreeSet<_> =
            self.cases.iter().filter_map(|case| case["tool"].as_str()).collect();
        self.tools.iter().map(String::as_str).filter(|tool| !tested.contains(tool)).collect()
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
