//! The effects of signals: what a Tuner's tool requests is carried out between two calls of it,
//! while staging is free for others.

use crate::error::Failure;
use crate::target::error::TargetError;
use crate::world::{clock, random};
use agent_core::formats::diagnose::Diagnose;
use agent_core::formats::manifest::EffectLimits;
use agent_core::state::effect::{self, Keyed, Request, Supply};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Why a request of an effect has no result.
#[derive(Debug)]
pub enum EffectError {
    /// It may not be carried out, or cannot have a result: the signal is refused.
    Refused(String),
    /// It failed this time: the signal is not counted, and may be sent again.
    Failed(Failure),
}

impl From<Failure> for EffectError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<E: Diagnose> From<E> for EffectError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Carries out requests, each on a thread of its own.
pub trait Perform: Send + Sync {
    fn perform(&self, request: Request, limit: Duration) -> Result<Value, EffectError>;
}

/// Where the seed of each signal of a batch comes from.
#[derive(Debug, Clone, Copy)]
pub enum Seeds {
    /// The system's random bytes.
    Fresh,
    /// One number for the batch, so that the batch can be repeated.
    Derived { from: u64, next: u64 },
}

impl Seeds {
    pub fn of(number: Option<u64>) -> Self {
        number.map_or(Self::Fresh, |from| Self::Derived { from, next: 0 })
    }

    fn next(&mut self) -> Result<String, TargetError> {
        match self {
            Self::Fresh => random::secret()
                .map_err(|error| TargetError::NoRandomness { why: error.to_string() }),
            Self::Derived { from, next } => {
                *next += 1;
                Ok(effect::derived_seed(*from, *next))
            }
        }
    }
}

/// The settings of all signals of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    pub seeds: Seeds,
    /// US dollars: the sum of the greatest costs that the requests declare.
    pub usd: Option<f64>,
}

impl BatchLimits {
    /// Those of a signal that is a batch of its own.
    pub const NONE: Self = Self { seeds: Seeds::Fresh, usd: None };
}

/// The effects of the signals of one batch.
pub struct SignalEffects {
    performer: Arc<dyn Perform>,
    limits: EffectLimits,
    batch: BatchLimits,
    /// In US dollars, by all signals so far.
    spent: f64,
    /// By the id of a signal without an outcome yet.
    supplies: HashMap<String, Supply>,
}

impl SignalEffects {
    pub fn new(performer: Arc<dyn Perform>, limits: EffectLimits, batch: BatchLimits) -> Self {
        Self { performer, limits, batch, spent: 0.0, supplies: HashMap::new() }
    }

    /// What is offered to a signal, and its results so far.
    pub fn supply(&mut self, signal: &str) -> Result<&Supply, TargetError> {
        if !self.supplies.contains_key(signal) {
            let seed = self.batch.seeds.next()?;
            let now = clock::rfc3339(clock::now());
            self.supplies.insert(signal.to_owned(), Supply::fresh(seed, now));
        }
        Ok(&self.supplies[signal])
    }

    pub fn finish(&mut self, signal: &str) {
        self.supplies.remove(signal);
    }

    /// Carries out what a signal requests, all of it at the same time.
    pub async fn carry_out(
        &mut self,
        signal: &str,
        requests: Vec<Keyed>,
    ) -> Result<(), EffectError> {
        let Some(supply) = self.supplies.get_mut(signal) else { return Ok(()) };
        let cost: f64 = requests.iter().map(|one| one.request.usd()).sum();
        let refused = refusal(supply, &requests, cost, &self.limits)
            .or_else(|| beyond(self.batch.usd, self.spent + cost));
        if let Some(refused) = refused {
            return Err(EffectError::Refused(refused));
        }
        self.spent += cost;
        let mut running = Vec::with_capacity(requests.len());
        for Keyed { key, request } in requests {
            supply.spend(request.usd());
            let (performer, limit) = (Arc::clone(&self.performer), self.limits.time());
            let shown = request.shown();
            let work = tokio::task::spawn_blocking(move || performer.perform(request, limit));
            running.push((key, shown, work));
        }
        for (key, shown, work) in running {
            let result =
                work.await.map_err(|source| TargetError::EffectEnded { request: shown, source })?;
            supply.add(key, result?);
        }
        Ok(())
    }
}

/// Why requests that bring the batch to this cost are not carried out.
fn beyond(limit: Option<f64>, cost: f64) -> Option<String> {
    let limit = limit.filter(|limit| cost > *limit)?;
    Some(format!(
        "with it the requests of this command cost up to {cost} US dollars, and --usd is {limit}"
    ))
}

/// Why these requests are not carried out.
fn refusal(
    supply: &Supply,
    requests: &[Keyed],
    cost: f64,
    limits: &EffectLimits,
) -> Option<String> {
    const TABLE: &str = "of [tuner.effects] in agent.toml";
    if let Some(refused) = requests.iter().find_map(|one| one.request.refusal(limits)) {
        return Some(refused);
    }
    if supply.answered() + requests.len() > limits.requests {
        return Some(format!(
            "it requests more than {} effects, which is `requests` {TABLE}",
            limits.requests
        ));
    }
    let cost = supply.usd() + cost;
    (cost > limits.usd).then(|| {
        format!("its requests cost up to {cost} US dollars, and `usd` {TABLE} is {}", limits.usd)
    })
}
