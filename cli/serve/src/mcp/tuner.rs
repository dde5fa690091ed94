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
use agent_core::state::signal::{self, Signal};
use agent_engine::child::{Child, Opening, Role};
use agent_engine::effects;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::target::call;
use agent_engine::target::effects::Seeds;
use agent_engine::target::tuner::{Batch, Settled, Tuner, TuningError};
use agent_engine::world::clock::fresh_id;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::rc::Rc;
use tokio::sync::mpsc;

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
        Self::start_within(memory, repository, target).await
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
        let _lock = shim.locks.lock(STAGING).await;
        let served = caller.serving(&caller.session_route()).await?;
        let Committed { value, warnings } = settle(shim, &served.server, signal).await?;
        if matches!(value, Settled::Applied(..)) {
            promoting::look(shim);
        }
        let result = match value {
            Settled::Applied(_, result) => with_warnings(call::for_host(result.raw()), &warnings),
            Settled::Duplicate(signal) => {
                json_rpc::tool_text(&format!("signal `{}` was already counted", signal.id))
            }
            Settled::Rejected(rejected)
            | Settled::Unsure(rejected)
            | Settled::Malformed(rejected) => json_rpc::tool_error(&rejected.error),
        };
        Ok(served.server.adapt_result(caller.era(), "tools/call", result))
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

async fn settle(
    shim: &Shim<Tuner>,
    running: &Rc<Running<Tuner>>,
    signal: Signal,
) -> Result<Committed<Settled>, CallFailure<Tuner>> {
    let tuner = &running.server;
    let kept = shim.state.staging.take();
    let mut in_use = kept.open(tuner, &shim.repository).await?;
    let (sender, source) = mpsc::channel(1);
    sender.try_send(Ok(signal)).expect("the channel has room for one");
    drop(sender);
    let mut settled = None;
    let mut listener = |one| settled = Some(one);
    let batch = Batch {
        staging: &mut in_use.staging,
        tuner,
        layout: &shim.repository.layout,
        dry: None,
        unchecked: false,
        effects: effects::of(&shim.repository, tuner, Seeds::Fresh),
        listener: &mut listener,
    };
    let outcome = batch.run(source).await;
    outcome.warnings.as_slice().iter().for_each(|warning| shim.repository.warn(warning));
    match outcome.failure {
        None => {
            shim.state.staging.replace(in_use.keep());
            Ok(Committed {
                value: settled.expect("a signal without a failure is settled"),
                warnings: outcome.warnings,
            })
        }
        Some(TuningError::Child(error)) => Err(CallFailure::Child(error, Rc::clone(running))),
        Some(failure) => Err(failure.into()),
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
