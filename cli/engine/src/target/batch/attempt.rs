//! One pass over the head of a queue of signals: what the Tuner makes of each, before anything is
//! appended.

use super::{Batch, Incoming, Rejected, SignalOutcome};
use crate::child::CallResult;
use crate::conversations::{self, ConversationError};
use crate::staging::{Known, StagingError};
use crate::target::error::TuningError;
use crate::target::tuner::{Applied, Tuned, TunerCall};
use crate::telemetry::{Evaluation, Operation, Request, conventions as names};
use crate::world::clock;
use agent_core::formats::object_id::ObjectId;
use agent_core::state::effect::{Effects, Keyed};
use agent_core::state::journal::{Conversation, Draft};
use agent_core::state::signal::Signal;
use agent_core::version::tags;
use semver::Version;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long signals are applied that share a sync.
const GROUP_TIME: Duration = Duration::from_millis(200);

/// The outcome of one pass over the head of the queue, before it is appended.
pub(super) struct Attempt {
    pub(super) expected: ObjectId,
    pub(super) state: Value,
    pub(super) drafts: Vec<Draft>,
    pub(super) outcomes: Vec<SignalOutcome>,
    pub(super) judged: Vec<Judged>,
    /// How many signals of the queue it covers.
    pub(super) taken: usize,
    /// The effects that the signal after those requests.
    pub(super) requests: Vec<Keyed>,
    pub(super) failure: Option<TuningError>,
}

/// What the Tuner makes of one signal.
#[expect(clippy::large_enum_variant, reason = "each value is taken apart at once")]
enum SignalStep {
    Done(SignalOutcome),
    /// It goes on once these effects have results.
    Requests(Vec<Keyed>),
}

/// A signal that the Tuner applied.
struct AppliedSignal {
    arguments: Value,
    /// The new state; `None` where it is unchanged.
    state: Option<Value>,
    result: CallResult,
    effects: Effects,
    touched: Option<Vec<String>>,
    trace: Option<String>,
}

#[expect(clippy::large_enum_variant, reason = "each value is taken apart at once")]
enum Tried {
    Applied(AppliedSignal),
    Rejected(String),
    Requests(Vec<Keyed>),
}

/// A conversation as the Tuner is shown it, and what its last turn is known by.
#[derive(Clone)]
struct TunedConversation {
    shown: Conversation,
    trace: Option<String>,
    version: Option<String>,
}

/// The conversations of one pass, each read once; `None` where there is none of that id.
type Conversations = HashMap<String, Option<TunedConversation>>;

/// The reward of an applied signal.
pub(super) struct Judged {
    signal: Signal,
    version: Option<String>,
    /// The turn it is about; the signal's own span where it is about none.
    trace: Option<String>,
}

impl Judged {
    pub(super) fn record(&self) {
        let Self { signal, version, trace } = self;
        let evaluation = Evaluation {
            name: &signal.tool,
            score: signal.score(),
            conversation: signal.conversation(),
            version: version.as_deref(),
            signal: Some(&signal.id),
            ..Evaluation::default()
        };
        evaluation.record_for(trace.as_deref().unwrap_or_default());
    }
}

impl Attempt {
    fn new(expected: ObjectId, state: Value) -> Self {
        Self {
            expected,
            state,
            drafts: Vec::new(),
            outcomes: Vec::new(),
            judged: Vec::new(),
            taken: 0,
            requests: Vec::new(),
            failure: None,
        }
    }

    fn add(
        &mut self,
        signal: &Signal,
        conversation: Option<TunedConversation>,
        applied: AppliedSignal,
    ) -> SignalOutcome {
        let AppliedSignal { arguments, state, result, effects, touched, trace } = applied;
        if let Some(state) = &state {
            self.state.clone_from(state);
        }
        self.drafts.push(Draft {
            id: signal.id.clone(),
            tool: signal.tool.clone(),
            arguments,
            conversation: conversation.map(|conversation| conversation.shown),
            trace,
            at: clock::rfc3339(clock::now()),
            tags: signal.tags.clone(),
            effects: (!effects.is_empty()).then_some(effects),
            touched,
            summary: None,
            state,
        });
        SignalOutcome::Applied(signal.clone(), result)
    }
}

impl Batch<'_> {
    /// Takes signals from the head of the queue until one requests effects or fails, or the time
    /// is over.
    pub(super) async fn attempt(
        &mut self,
        queue: &VecDeque<Incoming>,
        hold: bool,
    ) -> Result<Attempt, TuningError> {
        if hold {
            self.staging.hold_until_appended()?;
        }
        let snapshot = self.staging.snapshot()?;
        let state = self.dry_run.as_ref().map_or(snapshot.state, |run| run.state.clone());
        let mut attempt = Attempt::new(snapshot.revision, state);
        let mut known = Conversations::new();
        let mut ids: HashMap<String, String> = HashMap::new();
        let began = Instant::now();
        for incoming in queue {
            let step = match incoming {
                Err(rejected) => Ok(SignalStep::Done(SignalOutcome::Malformed(rejected.clone()))),
                Ok(signal) => match self.settled(signal, &ids)? {
                    Some(outcome) => Ok(SignalStep::Done(outcome)),
                    None => self.one(signal, &mut known, &mut attempt).await,
                },
            };
            match step {
                Ok(SignalStep::Done(outcome)) => {
                    if let SignalOutcome::Applied(signal, _) = &outcome {
                        ids.insert(signal.id.clone(), signal.content());
                    }
                    attempt.outcomes.push(outcome);
                    attempt.taken += 1;
                }
                Ok(SignalStep::Requests(requests)) => {
                    attempt.requests = requests;
                    break;
                }
                Err(failure) => {
                    attempt.failure = Some(failure);
                    break;
                }
            }
            if began.elapsed() > GROUP_TIME {
                break;
            }
        }
        Ok(attempt)
    }

    /// The outcome of a signal that is not for the Tuner, since its id was counted before or may
    /// have been. `ids` are those of this pass, each with its content.
    fn settled(
        &mut self,
        signal: &Signal,
        ids: &HashMap<String, String>,
    ) -> Result<Option<SignalOutcome>, StagingError> {
        if let Some(content) = ids.get(&signal.id) {
            return Ok(Some(again(signal, Some(content))));
        }
        Ok(match self.has_counted(signal)? {
            Known::Yes => Some(again(signal, self.content_counted(signal)?.as_ref())),
            Known::Undetermined(versions) if !self.unchecked => {
                Some(SignalOutcome::Undetermined(undetermined(signal, &versions)))
            }
            Known::No | Known::Undetermined(_) => None,
        })
    }

    fn has_counted(&mut self, signal: &Signal) -> Result<Known, StagingError> {
        if self.dry_run.as_ref().is_some_and(|run| run.ids.contains_key(&signal.id)) {
            return Ok(Known::Yes);
        }
        Ok(if signal.is_new { Known::No } else { self.staging.has_counted(&signal.id)? })
    }

    /// The content of the counted signal with this id, as far as it is available.
    fn content_counted(&mut self, signal: &Signal) -> Result<Option<String>, StagingError> {
        match self.dry_run.as_ref().and_then(|run| run.ids.get(&signal.id)) {
            Some(content) => Ok(Some(content.clone())),
            None => self.staging.counted_content(&signal.id),
        }
    }

    /// Has the Tuner apply one signal, and adds the result to the attempt.
    async fn one(
        &mut self,
        signal: &Signal,
        known: &mut Conversations,
        attempt: &mut Attempt,
    ) -> Result<SignalStep, TuningError> {
        let rejected =
            |error: String| SignalStep::Done(SignalOutcome::Rejected(Rejected::of(signal, error)));
        let conversation = match signal.conversation() {
            None => None,
            Some(id) => match self.conversation(id, known) {
                Ok(Some(conversation)) => Some(conversation),
                Ok(None) => return Ok(rejected(format!("conversation `{id}` is not known here"))),
                Err(error) => return Ok(rejected(error.to_string())),
            },
        };
        let applied = match self.tuned(signal, conversation.as_ref(), &attempt.state).await? {
            Tried::Applied(applied) => applied,
            Tried::Rejected(error) => return Ok(rejected(error)),
            Tried::Requests(requests) => return Ok(SignalStep::Requests(requests)),
        };
        if self.dry_run.is_none() && applied.trace.is_some() {
            let about = conversation.as_ref();
            attempt.judged.push(Judged {
                signal: signal.clone(),
                version: about.and_then(|about| about.version.clone()),
                trace: about
                    .and_then(|about| about.trace.clone())
                    .or_else(|| applied.trace.clone()),
            });
        }
        Ok(SignalStep::Done(attempt.add(signal, conversation, applied)))
    }

    /// Calls the tool of a signal, as an operation of the telemetry.
    async fn tuned(
        &mut self,
        signal: &Signal,
        conversation: Option<&TunedConversation>,
        state: &Value,
    ) -> Result<Tried, TuningError> {
        let arguments = Value::Object(signal.arguments.clone());
        let turn = conversation.and_then(|conversation| conversation.trace.as_deref());
        let operation = operation(signal, self.tuner.version(), turn);
        operation.given(|| arguments.to_string());
        let call = TunerCall {
            id: &signal.id,
            tool: &signal.tool,
            arguments: &arguments,
            conversation: conversation.map(|conversation| &conversation.shown),
        };
        let supply =
            self.effects.supply(&signal.id).map_err(|error| TuningError::Effect(error.into()))?;
        let applied = operation.around(self.tuner.apply(state, call, supply)).await;
        let (tuned, effects, touched) = match applied
            .inspect_err(|error| operation.fail("child_failed", &error.to_string()))?
        {
            Applied::Requests(requests) => return Ok(Tried::Requests(requests)),
            Applied::Tuned(tuned, effects, touched) => (tuned, effects, touched),
        };
        let (state, result) = match tuned {
            Tuned::Rejected(error) => {
                operation.tool_failed(&error);
                return Ok(Tried::Rejected(error));
            }
            Tuned::Unchanged(result) => (None, result),
            Tuned::State(state, result) => (Some(state), result),
        };
        operation.answered(|| result.raw().get().to_owned());
        let trace = operation.traceparent();
        Ok(Tried::Applied(AppliedSignal { arguments, state, result, effects, touched, trace }))
    }

    /// The current turns of a conversation, read once per group.
    fn conversation(
        &self,
        id: &str,
        known: &mut Conversations,
    ) -> Result<Option<TunedConversation>, ConversationError> {
        if let Some(known) = known.get(id) {
            return Ok(known.clone());
        }
        let kept = conversations::load(self.layout, id)?;
        let conversation = kept.map(|kept| {
            let last = kept.turns.last();
            TunedConversation {
                shown: Conversation { id: id.to_owned(), turns: kept.for_tuner() },
                trace: last.and_then(|turn| turn.trace.clone()),
                version: last.and_then(|turn| turn.version.clone()),
            }
        });
        Ok(known.entry(id.to_owned()).or_insert(conversation).clone())
    }
}

/// A signal with a known id: an equal one is a duplicate, a different one is refused.
fn again(signal: &Signal, before: Option<&String>) -> SignalOutcome {
    if before.is_none_or(|before| *before == signal.content()) {
        return SignalOutcome::Duplicate(signal.clone());
    }
    let error = format!(
        "signal `{}` was counted before, with other content; a new signal needs a new id",
        signal.id
    );
    SignalOutcome::Rejected(Rejected::of(signal, error))
}

fn undetermined(signal: &Signal, versions: &[Version]) -> Rejected {
    let error = format!(
        "it is not known here which signals {} counted, so this one may count twice",
        tags(versions)
    );
    Rejected::of(signal, error)
}

/// A signal on its way, as the continuation of the turn it is about.
fn operation(signal: &Signal, version: Option<&Version>, turn: Option<&str>) -> Operation {
    let operation = Operation::client(&Request {
        conversation: signal.conversation(),
        traceparent: turn,
        ..Request::call(&signal.tool)
    });
    operation.span().set(names::ROLE, names::TUNER);
    operation.span().of_agent(version);
    operation.span().set_some(names::SIGNAL, Some(&signal.id));
    operation
}
