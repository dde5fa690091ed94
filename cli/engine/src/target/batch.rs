//! Signals through the Tuner into staging: appended under compare-and-swap, many to a sync.

mod attempt;

use crate::child::CallResult;
use crate::conversations::{self, Reward};
use crate::staging::{Append, Staging, StagingError};
use crate::target::effects::{EffectError, SignalEffects};
use crate::target::error::TuningError;
use crate::target::tuner::Tuner;
use crate::world::clock;
use crate::world::layout::Layout;
use agent_core::formats::canonical;
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::object_id::ObjectId;
use agent_core::state::effect::Keyed;
use agent_core::state::signal::Signal;
use attempt::{Attempt, Judged};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use tokio::sync::mpsc;

/// The number of signals that share a sync.
const GROUP_SIGNALS: usize = 128;
/// Races lost in a row before staging is held while the Tuner is called.
const RACES_BEFORE_LOCK: u32 = 1;

/// A line of a signals file, or why it is none.
pub type Incoming = Result<Signal, Rejected>;

#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    pub line: Option<u64>,
    pub id: Option<String>,
    pub error: String,
}

impl Rejected {
    pub fn of(signal: &Signal, error: String) -> Self {
        Self { line: signal.line, id: Some(signal.id.clone()), error }
    }
}

/// The outcome of a signal; `Applied` is reported once it is durable.
#[derive(Debug)]
pub enum SignalOutcome {
    Applied(Signal, CallResult),
    Duplicate(Signal),
    /// The Tuner refused it, or its state may not be.
    Rejected(Rejected),
    /// It is not known here whether its id was counted before.
    Undetermined(Rejected),
    /// The line was no signal.
    Malformed(Rejected),
}

/// How a batch went.
#[derive(Debug, Default)]
pub struct Outcome {
    pub before: Option<ObjectId>,
    pub after: Option<ObjectId>,
    pub retries: u64,
    /// Why it ended early; signals reported as applied stay applied.
    pub failure: Option<TuningError>,
    /// What failed after signals were durable.
    pub warnings: Warnings,
}

/// The current state of a dry run.
#[derive(Debug)]
pub struct DryRun {
    pub state: Value,
    /// Of the signals so far: by id, digests of their content.
    pub ids: HashMap<String, String>,
}

/// A run of signals through a Tuner into staging.
pub struct Batch<'a> {
    pub staging: &'a mut Staging,
    pub tuner: &'a Tuner,
    pub layout: &'a Layout,
    /// Nothing is appended, only tried.
    pub dry_run: Option<DryRun>,
    /// Signals are taken though it is not known whether their ids were counted before.
    pub unchecked: bool,
    pub effects: &'a mut SignalEffects,
    pub listener: &'a mut dyn FnMut(SignalOutcome),
}

impl Batch<'_> {
    /// Takes signals until there are no more, or the Tuner fails.
    pub async fn run(mut self, mut source: mpsc::Receiver<Incoming>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut queue = VecDeque::new();
        while outcome.failure.is_none() && fill(&mut queue, &mut source).await {
            let requests = self.group(&mut queue, &mut outcome).await;
            if !requests.is_empty() {
                self.carry_out(requests, &mut queue, &mut outcome).await;
            }
        }
        outcome.warnings.extend(self.staging.flush_view());
        outcome
    }

    /// Takes signals that are all there, until one of them requests effects; what it requests.
    pub async fn pass(
        mut self,
        queue: &mut VecDeque<Incoming>,
        outcome: &mut Outcome,
    ) -> Vec<Keyed> {
        let mut requests = Vec::new();
        while requests.is_empty() && outcome.failure.is_none() && !queue.is_empty() {
            requests = self.group(queue, outcome).await;
        }
        outcome.warnings.extend(self.staging.flush_view());
        requests
    }

    /// The head of the queue into staging, as often as it takes. Returns the effects that the
    /// signal after it requests.
    async fn group(&mut self, queue: &mut VecDeque<Incoming>, outcome: &mut Outcome) -> Vec<Keyed> {
        let mut requests = Vec::new();
        for lost in 0.. {
            let attempt = self.attempt(queue, lost >= RACES_BEFORE_LOCK).await;
            match attempt.and_then(|mut attempt| {
                Ok((self.commit(&mut attempt)?.unpack(&mut outcome.warnings), attempt))
            }) {
                Ok((true, mut attempt)) => {
                    requests = std::mem::take(&mut attempt.requests);
                    self.acknowledge(attempt, queue, outcome);
                    break;
                }
                Ok((false, Attempt { failure: Some(failure), .. })) | Err(failure) => {
                    outcome.failure = Some(failure);
                    break;
                }
                Ok((false, _)) => outcome.retries += 1,
            }
        }
        self.staging.release();
        requests
    }

    /// Reports the signals of an attempt, which are durable now.
    fn acknowledge(
        &mut self,
        attempt: Attempt,
        queue: &mut VecDeque<Incoming>,
        outcome: &mut Outcome,
    ) {
        for signal in queue.drain(..attempt.taken).flatten() {
            self.effects.finish(&signal.id);
        }
        outcome.before.get_or_insert(attempt.expected);
        outcome.after = Some(canonical::revision(&attempt.state));
        outcome.failure = attempt.failure;
        attempt.judged.iter().for_each(Judged::record);
        self.note_rewards(&attempt.outcomes, &mut outcome.warnings);
        attempt.outcomes.into_iter().for_each(&mut *self.listener);
    }

    /// The effects that the first signal of the queue requests. Staging is free meanwhile.
    async fn carry_out(
        &mut self,
        requests: Vec<Keyed>,
        queue: &mut VecDeque<Incoming>,
        outcome: &mut Outcome,
    ) {
        let Some(Ok(signal)) = queue.front() else { return };
        let outside = requests.iter().find(|one| one.request.is_outside());
        let carried_out = match outside.filter(|_| self.dry_run.is_some()) {
            Some(one) => Err(EffectError::Refused(format!(
                "it requests {}, which a dry run does not send",
                one.request.shown()
            ))),
            None => self.effects.carry_out(&signal.id, requests).await,
        };
        match carried_out {
            Ok(()) => {}
            Err(EffectError::Failed(failure)) => {
                outcome.failure = Some(TuningError::Effect(failure));
            }
            Err(EffectError::Refused(error)) => {
                self.effects.finish(&signal.id);
                let rejected = Rejected::of(signal, error);
                queue.pop_front();
                (self.listener)(SignalOutcome::Rejected(rejected));
            }
        }
    }

    /// A copy beside the conversation, for display; staging is authoritative.
    fn note_rewards(&self, outcomes: &[SignalOutcome], warnings: &mut Warnings) {
        let applied = outcomes.iter().filter_map(|outcome| match outcome {
            SignalOutcome::Applied(signal, _) if self.dry_run.is_none() => Some(signal),
            _ => None,
        });
        for signal in applied {
            let Some(conversation) = signal.conversation() else { continue };
            let reward = Reward {
                signal: signal.id.clone(),
                tool: signal.tool.clone(),
                arguments: Value::Object(signal.arguments.clone()),
                at: clock::rfc3339(clock::now()),
            };
            let noted = conversations::note_reward(self.layout, conversation, &reward);
            warnings.note(
                noted,
                &format!("a signal counts, but is not noted beside conversation `{conversation}`"),
            );
        }
    }

    /// Appends the results of the attempt; false when the race was lost.
    fn commit(&mut self, attempt: &mut Attempt) -> Result<Committed<bool>, StagingError> {
        if let Some(run) = &mut self.dry_run {
            run.state.clone_from(&attempt.state);
            attempt.drafts.clear();
            run.ids.extend(attempt.outcomes.iter().filter_map(|outcome| match outcome {
                SignalOutcome::Applied(signal, _) => Some((signal.id.clone(), signal.content())),
                _ => None,
            }));
            return Ok(Committed::whole(true));
        }
        if attempt.drafts.is_empty() {
            return Ok(Committed::whole(true));
        }
        let drafts = std::mem::take(&mut attempt.drafts);
        Ok(self.staging.append(drafts, &attempt.expected)?.map(|append| append != Append::Conflict))
    }
}

/// Fills the queue up to a group's size: waits for the first signal and takes those already
/// available. False at the end of input.
async fn fill(queue: &mut VecDeque<Incoming>, source: &mut mpsc::Receiver<Incoming>) -> bool {
    if queue.is_empty() {
        queue.extend(source.recv().await);
    }
    while queue.len() < GROUP_SIGNALS
        && let Ok(more) = source.try_recv()
    {
        queue.push_back(more);
    }
    !queue.is_empty()
}
