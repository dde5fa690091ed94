//! Signals through the Tuner: each a function of staging's state, appended under compare-and-swap,
//! many to a sync.

use crate::child::{CallResult, Child, ChildError, ChildSpec, client_info};
use crate::conversations::{self, ConversationError, Reward};
use crate::repository::Repository;
use crate::staging::{
    Active, Append, BatchOutcome, Known, Rebased, Replay, Replayed, Staging, StagingError,
};
use crate::target::confinement::{self, Scratch};
use crate::target::contracts;
use crate::target::definition::Target;
use crate::target::effects::{EffectError, SignalEffects};
use crate::target::error::{TargetError, TuningError};
use crate::target::spec;
use crate::telemetry::{Evaluation, Operation, Request, Span, conventions as names};
use crate::world::clock;
use crate::world::event_loop;
use crate::world::layout::Layout;
use agent_core::formats::canonical;
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::manifest::EffectLimits;
use agent_core::formats::object_id::ObjectId;
use agent_core::protocol::discovery::takes_conversation;
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::wire;
use agent_core::state::Rules;
use agent_core::state::effect::{
    Effects, Keyed, Request as EffectRequest, Step, Supply, ToolEffects,
};
use agent_core::state::journal::{Conversation, Draft, Record};
use agent_core::state::signal::{CONVERSATION_ARGUMENT, Signal};
use agent_core::version::tags;
use agent_core::version::what::What;
use json_patch::Patch;
use semver::Version;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The limits of a group of signals that share a sync: their number, and the time to apply them.
const GROUP_SIGNALS: usize = 128;
const GROUP_TIME: Duration = Duration::from_millis(200);
/// Races lost in a row before staging is held while the Tuner is called.
const RACES_BEFORE_LOCK: u32 = 1;

/// What the Tuner made of one signal.
#[derive(Debug)]
pub enum Tuned {
    Unchanged(CallResult),
    /// The new state, checked and in canonical form.
    State(Value, CallResult),
    /// The tool refused it, or its state is invalid: the reason.
    Rejected(String),
}

/// A signal, as a tool of the Tuner is called with it.
#[derive(Debug, Clone, Copy)]
pub struct TunerCall<'a> {
    pub id: &'a str,
    pub tool: &'a str,
    pub arguments: &'a Value,
    pub conversation: Option<&'a Conversation>,
}

/// The outcome of a signal, as far as its effects are known.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "each value is taken apart at once")]
pub enum Applied {
    /// With the effects that it used, and the parts of the state that it touched.
    Tuned(Tuned, Effects, Option<Vec<String>>),
    /// It requests effects that have no result yet.
    Requests(Vec<Keyed>),
}

impl Applied {
    fn rejected(why: impl Into<String>) -> Self {
        Self::Tuned(Tuned::Rejected(why.into()), Effects::default(), None)
    }
}

/// The start parameters of a target's Tuner, and the one folder it may write, which exists until
/// that value is dropped.
pub fn confined(
    repository: &Repository,
    target: &Target,
) -> Result<(ChildSpec, Scratch), TargetError> {
    let mut spec = spec::tuner(target, repository)?;
    if let Some(entry) = &target.manifest.tuner {
        confinement::confine(&mut spec, entry, false, target, repository)?;
    }
    let scratch = Scratch::take(&repository.layout)?;
    Ok((scratch.given_to(spec), scratch))
}

/// A running Tuner, confined to its scratch folder.
pub struct Tuner {
    child: Child,
    /// Its tools, and whether each takes the conversation's id as an argument.
    tools: HashMap<String, bool>,
    rules: Rules,
    version: Option<Version>,
    effect_limits: EffectLimits,
    /// Whether it takes several calls in one request, as far as is known.
    replays_in_turn: AtomicBool,
    _scratch: Scratch,
}

impl Tuner {
    /// Starts the Tuner of a target (active's, as a rule).
    pub async fn start(repository: &Repository, target: &Target) -> Result<Self, TargetError> {
        Self::start_within(target.manifest.limits.memory(), repository, target).await
    }

    /// Like `start`, under another memory limit.
    pub async fn start_within(
        memory: Option<u64>,
        repository: &Repository,
        target: &Target,
    ) -> Result<Self, TargetError> {
        let schema = contracts::state_schema(target, repository)?;
        let rules = Rules::new(schema.as_ref()).map_err(TargetError::Schema)?;
        let (mut spec, scratch) = confined(repository, target)?;
        spec.memory = memory;
        let child = Child::start(&spec).await?;
        let offered = &child.initialize_result()["capabilities"]["experimental"];
        let offers_replays = offered.get(wire::REPLAY).is_some();
        let tools = child.tools().await?.iter().filter_map(tool_entry).collect();
        Ok(Self {
            child,
            tools,
            rules,
            version: target.version.clone(),
            effect_limits: target.manifest.effects(),
            replays_in_turn: AtomicBool::new(offers_replays),
            _scratch: scratch,
        })
    }

    pub fn effect_limits(&self) -> &EffectLimits {
        &self.effect_limits
    }

    pub fn has(&self, tool: &str) -> bool {
        self.tools.contains_key(tool)
    }

    pub fn child(&self) -> &Child {
        &self.child
    }

    pub fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The names of its tools, sorted.
    pub fn tools(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tools.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The outcome of a signal on a state: its tool is called until it requests no effect, or one
    /// that `supply` lacks. The error is a failure of the Tuner, not of the signal.
    pub async fn apply(
        &self,
        state: &Value,
        call: TunerCall<'_>,
        supply: &Supply,
    ) -> Result<Applied, ChildError> {
        let TunerCall { id, tool, arguments, conversation } = call;
        let Some(takes_id) = self.tools.get(tool) else {
            return Ok(Applied::rejected(format!(
                "the Tuner has no tool `{tool}`; its tools are: {}",
                self.tools().join(", ")
            )));
        };
        let arguments = with_id(arguments, *takes_id, conversation);
        let mut pass = supply.pass();
        loop {
            let mut meta = meta(state, id, conversation);
            meta.insert(wire::EFFECTS.to_owned(), pass.meta());
            let result = match self.child.call(tool, &arguments, meta).await {
                Err(ChildError::Refused { error, .. }) => {
                    return Ok(Applied::rejected(error.to_string()));
                }
                other => other?,
            };
            match effects_of(&result).and_then(|reported| pass.take(&reported)) {
                Ok(Step::Done(used)) => {
                    let touched = touched_in(&result);
                    return Ok(Applied::Tuned(self.judge(result), used, touched));
                }
                Ok(Step::Again) => {}
                Ok(Step::Missing(requests)) => return Ok(self.requested(requests)),
                Err(problem) => return Ok(Applied::rejected(problem)),
            }
        }
    }

    /// A state to be scored has to be one that could be promoted.
    fn requested(&self, requests: Vec<Keyed>) -> Applied {
        let problem = requests.iter().find_map(|keyed| match &keyed.request {
            EffectRequest::Evaluate(evaluate) => self.rules.check(&evaluate.state).err(),
            _ => None,
        });
        match problem {
            Some(problem) => {
                Applied::rejected(format!("it requests the score of a state: {problem}"))
            }
            None => Applied::Requests(requests),
        }
    }

    fn judge(&self, result: CallResult) -> Tuned {
        if result.is_error() {
            return Tuned::Rejected(result.answer().map_or_else(
                |problem| format!("its error cannot be read: {problem}"),
                |answer| answer.text(),
            ));
        }
        if let Some(problem) = result.meta_problem() {
            return Tuned::Rejected(format!(
                "no state can be read from the Tuner's answer: {problem}"
            ));
        }
        let Some(answered) = result.meta(wire::STATE) else { return Tuned::Unchanged(result) };
        let checked = answered
            .get("value")
            .ok_or("the Tuner answered with a state that has no value".to_owned());
        match checked.and_then(|state| self.rules.check(state)) {
            Ok(state) => Tuned::State(state, result),
            Err(why) => Tuned::Rejected(why),
        }
    }

    /// Replays an update of the Journal on another state, for `Staging::rebase`. Its effects are
    /// those that were recorded. A Tuner sees the order of keys, so they are sorted, as in service.
    pub async fn replay(&self, state: &Value, record: &Record) -> Result<Replay, TuningError> {
        let state = &canonical::normal(state);
        let call = TunerCall {
            id: &record.id,
            tool: &record.tool,
            arguments: &record.arguments,
            conversation: record.conversation.as_ref(),
        };
        let supply = Supply::recorded(record.effects.as_ref());
        Ok(match self.apply(state, call, &supply).await? {
            Applied::Tuned(Tuned::Unchanged(_), _, touched) => {
                Replay { outcome: Replayed::Unchanged, touched }
            }
            Applied::Tuned(Tuned::State(state, _), _, touched) => {
                Replay { outcome: Replayed::State(state), touched }
            }
            Applied::Tuned(Tuned::Rejected(why), ..) => Replayed::Dropped(why).into(),
            Applied::Requests(requests) => {
                let shown: Vec<_> = requests.iter().map(|one| one.request.shown()).collect();
                Replayed::Dropped(format!(
                    "it requests {} here, whose result is not recorded with it",
                    shown.join(", ")
                ))
                .into()
            }
        })
    }

    /// Replays updates in turn, for `Staging::withdraw`: in one request as far as the Tuner offers
    /// that, else the first of them.
    pub async fn replays(
        &self,
        state: &Value,
        records: &[Record],
    ) -> Result<Vec<BatchOutcome>, TuningError> {
        if records.len() > 1 && self.replays_in_turn.load(Ordering::Relaxed) {
            let replays = self.request_replays(state, records).await?;
            if !replays.is_empty() {
                return Ok(replays);
            }
        }
        match records.first() {
            None => Ok(Vec::new()),
            Some(record) => Ok(vec![BatchOutcome::Replay(self.replay(state, record).await?)]),
        }
    }

    async fn request_replays(
        &self,
        state: &Value,
        records: &[Record],
    ) -> Result<Vec<BatchOutcome>, TuningError> {
        let calls: Vec<_> = records.iter().map(|record| self.call_of_replay(record)).collect();
        let state = json!({ "value": canonical::normal(state) });
        let mut meta = Map::from_iter([(wire::STATE.to_owned(), state)]);
        if let (Era::Stateless, Value::Object(more)) =
            (self.child.era(), mcp::stateless_meta(&client_info(), &json!({})))
        {
            meta.extend(more);
        }
        let params = json!({ "calls": calls, "_meta": meta });
        let answer = match self.child.request(wire::REPLAY, params).await {
            Ok(answer) => answer,
            // the Tuner does not support it, or no longer does
            Err(ChildError::Refused { .. }) => {
                self.replays_in_turn.store(false, Ordering::Relaxed);
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.into()),
        };
        let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(results.iter().map_while(in_turn).take(records.len()).collect())
    }

    fn call_of_replay(&self, record: &Record) -> Value {
        let Record { id, tool, conversation, .. } = record;
        let takes_id = self.tools.get(tool).is_some_and(|takes_id| *takes_id);
        let supply = Supply::recorded(record.effects.as_ref());
        let mut meta = call_meta(id, conversation.as_ref());
        meta.insert(wire::EFFECTS.to_owned(), supply.pass().meta());
        json!({
            "name": tool,
            "arguments": with_id(&record.arguments, takes_id, conversation.as_ref()),
            "_meta": meta,
        })
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub async fn end(self) {
        self.child.end().await;
    }
}

/// Staging on what is served now, its signals replayed where they began on something older.
pub async fn staging_for(tuner: &Tuner, repository: &Repository) -> Result<Staging, TargetError> {
    replayed_on_active(repository.staging()?, tuner, repository).await
}

/// Like `staging_for`, for staging that is open already.
pub async fn replayed_on_active(
    mut staging: Staging,
    tuner: &Tuner,
    repository: &Repository,
) -> Result<Staging, TargetError> {
    let active = repository.active()?;
    let rebased = repository.unpack(rebase(&mut staging, &active, tuner).await?);
    rebased.lines(&active.base.version).into_iter().for_each(|line| repository.notices.warn(line));
    Ok(staging)
}

/// Rebases staging through the active Tuner; changed outcomes are reported.
pub fn replay(
    repository: &Repository,
    staging: &mut Staging,
    active: &Active,
) -> Result<Rebased, TargetError> {
    let rebased = if staging.has_signals()? {
        let target = repository.target(&What::Active)?;
        event_loop::block_on(async {
            let tuner = Tuner::start(repository, &target).await?;
            let rebased = rebase(staging, active, &tuner).await;
            tuner.end().await;
            rebased.map_err(TargetError::from)
        })??
    } else {
        // edits alone, which an agent without a Tuner has too
        let unused =
            async |_: &Value, _: &Record| Ok::<_, StagingError>(Replayed::Unchanged.into());
        event_loop::block_on(staging.rebase(active, unused))??
    };
    let rebased = repository.unpack(rebased);
    rebased.lines(&active.base.version).into_iter().for_each(|line| repository.notices.warn(line));
    Ok(rebased)
}

/// Brings staging forward to what is served now, by replaying its signals.
pub async fn rebase(
    staging: &mut Staging,
    active: &Active,
    tuner: &Tuner,
) -> Result<Committed<Rebased>, TuningError> {
    if !staging.is_behind(active) {
        return Ok(Committed::whole(Rebased::default()));
    }
    staging
        .rebase(active, async |state: &Value, record: &Record| tuner.replay(state, record).await)
        .await
}

fn tool_entry(tool: &Value) -> Option<(String, bool)> {
    Some((tool["name"].as_str()?.to_owned(), takes_conversation(tool)))
}

/// The effects that a result reports.
fn effects_of(result: &CallResult) -> Result<ToolEffects, String> {
    let Some(reported) = result.meta(wire::EFFECTS) else { return Ok(ToolEffects::default()) };
    serde_json::from_value(reported.clone())
        .map_err(|error| format!("`{}` of its result is malformed: {error}", wire::EFFECTS))
}

/// The parts of the state that a tool touched, where its result reports them.
fn touched_in(result: &CallResult) -> Option<Vec<String>> {
    result.meta(wire::TOUCHED).and_then(|touched| serde_json::from_value(touched.clone()).ok())
}

/// A result of a replay in turn; `None` where it is to be replayed by itself.
fn in_turn(result: &Value) -> Option<BatchOutcome> {
    let meta = &result["_meta"];
    let touched = serde_json::from_value(meta[wire::TOUCHED].clone()).ok()?;
    let change = match meta[wire::STATE].get("change") {
        Some(change) => serde_json::from_value(change.clone()).ok()?,
        None => Patch(Vec::new()),
    };
    Some(BatchOutcome::Change(change, touched))
}

/// Arguments with the conversation's id, where the tool takes it and they lack it.
fn with_id(arguments: &Value, takes_id: bool, conversation: Option<&Conversation>) -> Value {
    let mut arguments = arguments.clone();
    if let (true, Some(conversation), Value::Object(map)) = (takes_id, conversation, &mut arguments)
    {
        map.entry(CONVERSATION_ARGUMENT).or_insert_with(|| json!(conversation.id));
    }
    arguments
}

fn meta(state: &Value, id: &str, conversation: Option<&Conversation>) -> Map<String, Value> {
    let mut meta = call_meta(id, conversation);
    let state = json!({ "revision": canonical::revision(state), "value": state });
    meta.insert(wire::STATE.to_owned(), state);
    if let Some(trace) = Span::current().traceparent() {
        meta.insert(wire::TRACEPARENT.to_owned(), json!(trace));
    }
    meta
}

fn call_meta(id: &str, conversation: Option<&Conversation>) -> Map<String, Value> {
    let mut meta = Map::from_iter([(wire::SIGNAL.to_owned(), json!({ "id": id }))]);
    if let Some(conversation) = conversation {
        meta.insert(
            wire::CONVERSATION.to_owned(),
            json!({ "id": conversation.id, "turns": conversation.turns }),
        );
    }
    meta
}

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

/// The outcome of one pass over the head of the queue, before it is appended.
struct Attempt {
    expected: ObjectId,
    state: Value,
    drafts: Vec<Draft>,
    outcomes: Vec<SignalOutcome>,
    judged: Vec<Judged>,
    /// How many signals of the queue it covers.
    taken: usize,
    /// The effects that the signal after those requests.
    requests: Vec<Keyed>,
    failure: Option<TuningError>,
}

/// The outcome of one signal in an attempt.
#[expect(clippy::large_enum_variant, reason = "each value is taken apart at once")]
enum SignalStep {
    Done(SignalOutcome),
    /// It goes on once these effects have results.
    Requests(Vec<Keyed>),
}

/// A conversation as the Tuner is shown it, and what its last turn is known by.
#[derive(Clone)]
struct TunedConversation {
    shown: Conversation,
    trace: Option<String>,
    version: Option<String>,
}

/// The reward of an applied signal.
struct Judged {
    signal: Signal,
    version: Option<String>,
    /// The turn it is about; the signal's own span where it is about none.
    trace: Option<String>,
}

impl Judged {
    fn record(&self) {
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

    async fn attempt(
        &mut self,
        queue: &VecDeque<Incoming>,
        hold: bool,
    ) -> Result<Attempt, TuningError> {
        if hold {
            self.staging.hold_until_appended()?;
        }
        let snapshot = self.staging.snapshot()?;
        let state = self.dry_run.as_ref().map_or(snapshot.state, |run| run.state.clone());
        let mut attempt = Attempt {
            expected: snapshot.revision,
            state,
            drafts: Vec::new(),
            outcomes: Vec::new(),
            judged: Vec::new(),
            taken: 0,
            requests: Vec::new(),
            failure: None,
        };
        let mut known = HashMap::new();
        let mut ids: HashMap<String, String> = HashMap::new();
        let began = Instant::now();
        for incoming in queue {
            let outcome = match incoming {
                Err(rejected) => Ok(SignalOutcome::Malformed(rejected.clone())),
                Ok(signal) if ids.contains_key(&signal.id) => {
                    Ok(again(signal, ids.get(&signal.id)))
                }
                Ok(signal) => match self.has_counted(signal)? {
                    Known::Yes => Ok(again(signal, self.content_counted(signal)?.as_ref())),
                    Known::Undetermined(versions) if !self.unchecked => {
                        Ok(SignalOutcome::Undetermined(undetermined(signal, &versions)))
                    }
                    Known::No | Known::Undetermined(_) => {
                        match self.one(signal, &mut known, &mut attempt).await {
                            Ok(SignalStep::Requests(requests)) => {
                                attempt.requests = requests;
                                break;
                            }
                            Ok(SignalStep::Done(outcome)) => Ok(outcome),
                            Err(failure) => Err(failure),
                        }
                    }
                },
            };
            match outcome {
                Ok(outcome) => attempt.outcomes.push(outcome),
                Err(failure) => {
                    attempt.failure = Some(failure);
                    break;
                }
            }
            attempt.taken += 1;
            if let (Ok(signal), Some(SignalOutcome::Applied(..))) =
                (incoming, attempt.outcomes.last())
            {
                ids.insert(signal.id.clone(), signal.content());
            }
            if began.elapsed() > GROUP_TIME {
                break;
            }
        }
        Ok(attempt)
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

    async fn one(
        &mut self,
        signal: &Signal,
        known: &mut HashMap<String, Option<TunedConversation>>,
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
        let arguments = Value::Object(signal.arguments.clone());
        let turn = conversation.as_ref().and_then(|conversation| conversation.trace.clone());
        let operation = operation(signal, self.tuner.version.as_ref(), turn.as_deref());
        operation.given(|| arguments.to_string());
        let call = TunerCall {
            id: &signal.id,
            tool: &signal.tool,
            arguments: &arguments,
            conversation: conversation.as_ref().map(|conversation| &conversation.shown),
        };
        let supply =
            self.effects.supply(&signal.id).map_err(|error| TuningError::Effect(error.into()))?;
        let applied = operation.around(self.tuner.apply(&attempt.state, call, supply)).await;
        let (tuned, effects, touched) = match applied
            .inspect_err(|error| operation.fail("child_failed", &error.to_string()))?
        {
            Applied::Requests(requests) => return Ok(SignalStep::Requests(requests)),
            Applied::Tuned(tuned, effects, touched) => (tuned, effects, touched),
        };
        let (state, result) = match tuned {
            Tuned::Rejected(error) => {
                operation.tool_failed(&error);
                return Ok(rejected(error));
            }
            Tuned::Unchanged(result) => (None, result),
            Tuned::State(state, result) => (Some(state), result),
        };
        operation.answered(|| result.raw().get().to_owned());
        let trace = operation.traceparent();
        if self.dry_run.is_none() && trace.is_some() {
            let version =
                conversation.as_ref().and_then(|conversation| conversation.version.clone());
            attempt.judged.push(Judged {
                signal: signal.clone(),
                version,
                trace: turn.or_else(|| trace.clone()),
            });
        }
        if let Some(state) = &state {
            attempt.state.clone_from(state);
        }
        attempt.drafts.push(Draft {
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
        Ok(SignalStep::Done(SignalOutcome::Applied(signal.clone(), result)))
    }

    /// The current turns of a conversation, read once per group.
    fn conversation(
        &self,
        id: &str,
        known: &mut HashMap<String, Option<TunedConversation>>,
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
