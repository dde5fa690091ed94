//! A running Tuner: its tools as functions of a state.

use crate::child::{CallResult, Child, ChildError, ChildSpec, client_info};
use crate::repository::Repository;
use crate::staging::{Active, BatchOutcome, Rebased, Replay, Replayed, Staging, StagingError};
use crate::target::confinement::{self, Scratch};
use crate::target::contracts;
use crate::target::definition::Target;
use crate::target::error::{TargetError, TuningError};
use crate::target::spec;
use crate::telemetry::Span;
use crate::world::event_loop;
use agent_core::formats::canonical;
use agent_core::formats::committed::Committed;
use agent_core::formats::manifest::EffectLimits;
use agent_core::protocol::discovery::takes_conversation;
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::wire;
use agent_core::state::Rules;
use agent_core::state::effect::{
    Effects, Keyed, Request as EffectRequest, Step, Supply, ToolEffects,
};
use agent_core::state::journal::{Conversation, Record};
use agent_core::state::signal::CONVERSATION_ARGUMENT;
use agent_core::version::what::What;
use json_patch::Patch;
use semver::Version;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

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

    /// The version whose Tuner it is.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
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
