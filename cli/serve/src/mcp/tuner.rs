//! The Tuner behind the shim: a call is a signal. Its result is sent once the signal is durable in
//! staging.

use crate::mcp::call_context::CallContext;
use crate::mcp::caller::Caller;
use crate::mcp::json_rpc;
use crate::mcp::promoting;
use crate::mcp::results::tool_error;
use crate::mcp::route::{ProtocolVersion, Route};
use crate::mcp::running::Running;
use crate::mcp::server::Server;
use crate::mcp::shim::Shim;
use crate::mcp::tool_server::{CallFailure, ToolServer};
use crate::mcp::tuner_state::TunerState;
use agent_core::formats::committed::{Committed, Warnings};
use agent_core::formats::document;
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_core::protocol::wire;
use agent_core::state;
use agent_core::state::effect::Keyed;
use agent_core::state::signal::{self, Signal};
use agent_engine::child::{Child, Opening, Role};
use agent_engine::effects;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::batch::{Batch, Incoming, Outcome, Rejected, SignalOutcome};
use agent_engine::target::call;
use agent_engine::target::effects::{BatchLimits, EffectError, SignalEffects};
use agent_engine::target::tuner::Tuner;
use agent_engine::target::{Target, TuningError};
use agent_engine::world::clock::fresh_id;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::rc::Rc;

/// The name of the lock for calls that change staging.
const STAGING: &str = "staging";

impl Server for Tuner {
    const ROLE: Role = Role::Tuner;
    /// Signals are replayed on what is served now, so a call waits for the new code's child.
    const MAY_LAG: bool = false;
    const IS_SHARED: bool = true;
    type State = TunerState;

    async fn start(
        repository: &Repository,
        _route: &Route,
        target: &Target,
        _opening: &Opening,
    ) -> Result<Self, Failure> {
        let memory = target.manifest.limits.serving_memory();
        Ok(Self::start_within(memory, repository, target).await?)
    }

    fn child(&self) -> &Child {
        self.child()
    }

    fn child_mut(&mut self) -> &mut Child {
        self.child_mut()
    }

    async fn end(self) {
        self.end().await;
    }

    /// A new version may have another schema without having other code.
    fn serves(old: &Target, new: &Target, _takes_state_by_call: bool) -> bool {
        old.commit == new.commit
    }

    /// Only the results of tools are used, so one protocol version is enough.
    fn protocol_version(_era: Era, _revision: Option<&'static str>) -> ProtocolVersion {
        ProtocolVersion::Handshake(mcp::HANDSHAKE)
    }
}

impl ToolServer for Tuner {
    async fn call(
        caller: Caller<'_, Self>,
        params: RawObject,
    ) -> Result<Box<RawValue>, CallFailure<Self>> {
        let shim = caller.shim;
        let signal = match signal_of(caller.context, &params) {
            Ok(signal) => signal,
            Err(problem) => return Ok(tool_error(caller.era(), &problem)),
        };
        let (Committed { value, warnings }, server) = apply_signal(caller, signal).await?;
        if matches!(value, SignalOutcome::Applied(..)) {
            promoting::check(shim);
        }
        let result = match value {
            SignalOutcome::Applied(_, result) => with_warnings(call::for_host(result), &warnings),
            SignalOutcome::Duplicate(signal) => {
                json_rpc::tool_text(&format!("signal `{}` was already counted", signal.id))
            }
            SignalOutcome::Rejected(rejected)
            | SignalOutcome::Undetermined(rejected)
            | SignalOutcome::Malformed(rejected) => json_rpc::tool_error(&rejected.error),
        };
        Ok(server.adapt_result(caller.era(), "tools/call", result))
    }
}

fn signal_of(context: &CallContext, params: &RawObject) -> Result<Signal, String> {
    let arguments: Map<String, Value> = match params.get("arguments") {
        Some(raw) => {
            document::parse(raw.get()).map_err(|flaw| format!("`arguments` is invalid: {flaw}"))?
        }
        None => Map::new(),
    };
    state::check_numbers(&json!(arguments))?;
    let named = context
        .meta
        .as_ref()
        .and_then(|meta| meta.object(wire::SIGNAL))
        .and_then(|signal| signal.text("id"));
    let is_new = named.is_none();
    let id = named.unwrap_or_else(|| fresh_id("mcp"));
    signal::check_id(&id)?;
    let tool = params.text("name").unwrap_or_default();
    Ok(Signal {
        line: None,
        id,
        is_new,
        tool,
        arguments,
        conversation: context.conversation.clone(),
        tags: Vec::new(),
    })
}

/// Adds warnings to the result: failures after the signal was durable do not fail the call.
fn with_warnings(result: Box<RawValue>, warnings: &Warnings) -> Box<RawValue> {
    if warnings.is_empty() {
        return result;
    }
    let Some(mut members) = RawObject::parse(&result) else { return result };
    let mut meta = members.object("_meta").unwrap_or_default();
    meta.set(wire::WARNINGS, &warnings.as_slice());
    members.set("_meta", &meta);
    members.to_raw()
}

/// Applies a signal. Staging is locked while its tool is called, and free for other signals while
/// what it requests is carried out.
async fn apply_signal(
    caller: Caller<'_, Tuner>,
    signal: Signal,
) -> Result<(Committed<SignalOutcome>, Rc<Running<Tuner>>), CallFailure<Tuner>> {
    let shim = caller.shim;
    let mut effects = None;
    let mut pending = Pending { queue: VecDeque::from([Ok(signal.clone())]), ..Pending::default() };
    loop {
        let lock = shim.locks.lock(STAGING).await;
        let server = caller.serving(&caller.session_route()).await?.server.clone();
        let effects = effects.get_or_insert_with(|| {
            effects::of(&shim.repository, &server.server, BatchLimits::NONE)
        });
        let requests = pending.pass(shim, &server, effects).await?;
        drop(lock);
        if requests.is_empty() {
            return Ok((pending.committed(), server));
        }
        match effects.carry_out(&signal.id, requests).await {
            Ok(()) => {}
            Err(EffectError::Refused(error)) => {
                let rejected = SignalOutcome::Rejected(Rejected::of(&signal, error));
                return Ok((Committed::whole(rejected), server));
            }
            Err(EffectError::Failed(failure)) => return Err(failure.into()),
        }
    }
}

/// A signal until its outcome is known.
#[derive(Default)]
struct Pending {
    queue: VecDeque<Incoming>,
    outcome: Outcome,
    warnings: Warnings,
    result: Option<SignalOutcome>,
}

impl Pending {
    /// Calls the signal's tool; what it requests.
    async fn pass(
        &mut self,
        shim: &Shim<Tuner>,
        running: &Rc<Running<Tuner>>,
        effects: &mut SignalEffects,
    ) -> Result<Vec<Keyed>, CallFailure<Tuner>> {
        let tuner = &running.server;
        let kept = shim.state.staging.take();
        let mut in_use = kept.open(tuner, &shim.repository).await?;
        let mut listener = |one| self.result = Some(one);
        let batch = Batch {
            staging: &mut in_use.staging,
            tuner,
            layout: &shim.repository.layout,
            dry_run: None,
            unchecked: false,
            effects,
            listener: &mut listener,
        };
        let requests = batch.pass(&mut self.queue, &mut self.outcome).await;
        let warnings = std::mem::take(&mut self.outcome.warnings);
        warnings.as_slice().iter().for_each(|warning| shim.repository.warn(warning));
        self.warnings.extend(warnings);
        match self.outcome.failure.take() {
            None => {
                shim.state.staging.replace(in_use.keep());
                Ok(requests)
            }
            Some(TuningError::Child(error)) => Err(CallFailure::Child(error, Rc::clone(running))),
            Some(failure) => Err(failure.into()),
        }
    }

    fn committed(self) -> Committed<SignalOutcome> {
        Committed {
            value: self.result.expect("a signal without a request has an outcome"),
            warnings: self.warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_after_a_signal_is_durable_are_warnings_in_its_result() {
        let result = || {
            RawValue::from_string(r#"{"content":[],"_meta":{"vendor/x":1.10}}"#.to_owned()).unwrap()
        };
        assert_eq!(with_warnings(result(), &Warnings::none()).get(), result().get());
        let mut warnings = Warnings::none();
        warnings.push("the view is behind");
        let shown = with_warnings(result(), &warnings);
        assert_eq!(
            shown.get(),
            r#"{"content":[],"_meta":{"vendor/x":1.10,"dev.agentvc/warnings":["the view is behind"]}}"#
        );
    }
}
