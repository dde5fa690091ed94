//! One call of a Runner tool: the state and the conversation go in with it, the turn is kept.

use crate::child::{CallResult, Child, ChildError};
use crate::conversations::{self, ConversationError, Header, Latest, LockedConversation, Turn};
use crate::target::definition::Target;
use crate::target::overlay::{OVERLAY_FACTS, Shown};
use crate::telemetry::{Operation, Request, Span, conventions as names};
use crate::world::clock;
use agent_core::canary::Arm;
use agent_core::protocol::discovery::takes_conversation;
use agent_core::protocol::mcp::{self, Era};
use agent_core::protocol::raw_object::RawObject;
use agent_core::protocol::wire;
use agent_core::state::signal::CONVERSATION_ARGUMENT;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use std::pin::pin;
use std::time::Instant;

/// The state and the conversation of a call.
pub struct Call<'a> {
    pub target: &'a Target,
    /// The received parameters of `tools/call`, without `_meta`.
    pub params: RawObject,
    /// The received `_meta`; the members for the child are added to it.
    pub meta: RawObject,
    /// The conversation it is a turn of.
    pub conversation: Option<&'a mut LockedConversation>,
    /// The canary that the call counts for.
    pub member: Option<&'a Membership>,
    /// The overlay of the Runner's tools, if there is one.
    pub shown: Option<&'a Shown>,
    /// The request's id at the child, from `Child::fresh_id`.
    pub id: u64,
}

/// The arm of a canary that a conversation is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub canary: String,
    pub arm: Arm,
    pub conversation: String,
}

impl Membership {
    fn mark(&self, span: &Span) {
        span.set(names::CANARY, self.canary.clone());
        span.set(names::CANARY_ARM, self.arm.as_str());
        span.set(names::CANARY_CONVERSATION, self.conversation.clone());
    }

    /// Records a call that reached no child: a state under which no server starts is one that
    /// fails.
    pub fn record_unserved(&self, tool: &str, why: &str) {
        let operation = Operation::client(&Request::call(tool));
        operation.span().set(names::ROLE, names::RUNNER);
        self.mark(operation.span());
        operation.fail("not_served", why);
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Conversation(#[from] ConversationError),
}

impl agent_core::formats::diagnose::Diagnose for CallError {
    fn kind(&self) -> agent_core::formats::diagnose::FailureKind {
        match self {
            Self::Child(error) => error.kind(),
            Self::Conversation(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Child(error) => error.hint(),
            Self::Conversation(error) => error.hint(),
        }
    }
}

/// A finished call.
pub struct Called {
    pub result: CallResult,
    pub duration_ms: f64,
}

impl Call<'_> {
    pub async fn make(mut self, child: &Child) -> Result<Called, CallError> {
        let started = Instant::now();
        let tool = self.params.text("name").unwrap_or_default();
        let operation = Operation::client(&Request {
            conversation: self.conversation.as_ref().map(|held| held.id()),
            ..Request::call(&tool)
        });
        operation.span().set(names::ROLE, names::RUNNER);
        operation.span().served_by(self.target.version.as_ref(), &self.target.state.revision);
        if let Some(member) = self.member {
            member.mark(operation.span());
        }
        if let Some(arguments) = self.params.get("arguments") {
            operation.given(|| arguments.get().to_owned());
        }
        let trace = operation.traceparent();
        let result = match self.admit() {
            Ok(()) => {
                self.add_meta(trace.as_deref());
                let work = pin!(child.pass_call(self.id, &tool, self.params.to_raw()));
                operation.around(work).await
            }
            Err(why) => Ok(refusal(child.era(), &why)),
        };
        let result = result.map(|result| self.presented(&tool, result));
        note_outcome(&operation, &result);
        let result = result?;
        operation.answered(|| result.raw().get().to_owned());
        let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
        // a result that requests input is not a turn yet
        if let Some(held) = self.conversation.take().filter(|_| !mcp::needs_input(result.raw())) {
            self.keep_turn(held, &tool, &result, duration_ms, trace)?;
        }
        Ok(Called { result, duration_ms })
    }

    /// The arguments as the overlay has them, or why the call is not made.
    fn admit(&mut self) -> Result<(), String> {
        self.shown.map_or(Ok(()), |shown| shown.presentation.admit(&mut self.params))
    }

    fn presented(&self, tool: &str, result: CallResult) -> CallResult {
        match self.shown {
            Some(shown) => result.with_raw(|raw| shown.presentation.result(tool, raw)),
            None => result,
        }
    }

    fn add_meta(&mut self, trace: Option<&str>) {
        let meta = &mut self.meta;
        meta.set(wire::STATE, &self.target.state.in_meta());
        if let Some(held) = &self.conversation {
            let kept = held.latest();
            let mut conversation =
                json!({"id": held.id(), "turn": kept.map_or(1, Latest::next_turn)});
            if let Some(kept) = kept {
                conversation["data"] = json!(kept.data());
            }
            meta.set(wire::CONVERSATION, &conversation);
        }
        if let Some(trace) = trace {
            meta.set(wire::TRACEPARENT, &trace);
        }
        self.params.set("_meta", &self.meta);
    }

    /// The facts of a turn with the draw of its variant below `overlay`. In the first turn of a
    /// conversation it is the decision as well, where the Runner noted none: it is made once.
    fn with_drawn(&self, noted: Option<Map<String, Value>>, is_first: bool) -> Map<String, Value> {
        let drawn = self.shown.and_then(|shown| Some(shown.drawn.as_ref()?.facts()));
        let Some(drawn) = drawn else { return noted.unwrap_or_default() };
        let decision = if is_first { drawn.clone() } else { Map::new() };
        let mut facts = noted.unwrap_or(decision);
        facts.insert(OVERLAY_FACTS.to_owned(), Value::Object(drawn));
        facts
    }

    fn keep_turn(
        &self,
        held: &mut LockedConversation,
        tool: &str,
        result: &CallResult,
        duration_ms: f64,
        trace: Option<String>,
    ) -> Result<(), ConversationError> {
        let kept = held.latest();
        let now = clock::rfc3339(clock::now());
        let version = self.target.version.as_ref().map(ToString::to_string);
        let revision = self.target.state.revision.clone();
        let reported = result.meta(wire::CONVERSATION);
        let part = |name: &str| {
            reported.and_then(|reported| reported.get(name)).and_then(Value::as_object).cloned()
        };
        let data = part("data").or_else(|| kept.map(Latest::data)).unwrap_or_default();
        let turn = Turn {
            turn: kept.map_or(1, Latest::next_turn),
            tool: tool.to_owned(),
            arguments: self
                .params
                .get("arguments")
                .and_then(|raw| serde_json::from_str(raw.get()).ok())
                .unwrap_or_default(),
            is_error: result.is_error(),
            facts: self.with_drawn(part("facts"), kept.is_none()),
            data,
            version: version.clone(),
            revision: revision.clone(),
            at: now.clone(),
            duration_ms,
            trace: trace.or_else(|| self.meta.text(wire::TRACEPARENT)),
        };
        let begun = || Header {
            schema: conversations::SCHEMA.to_owned(),
            id: held.id().to_owned(),
            version,
            commit: self.target.commit.clone(),
            revision,
            opened: now,
            canary: self.member.map(|member| member.canary.clone()),
        };
        let header = kept.map_or_else(begun, |kept| kept.header.clone());
        held.keep(header, turn)
    }
}

/// The result of a call that is not made, in the form of the child's era.
fn refusal(era: Era, why: &str) -> CallResult {
    let result = json!({"content": [{"type": "text", "text": why}], "isError": true});
    let result = to_raw_value(&result).expect("a result serialises");
    let result = match era {
        Era::Stateless => mcp::to_stateless("tools/call", &result).unwrap_or(result),
        Era::Handshake => result,
    };
    CallResult::parse(result).expect("our own result can be read")
}

/// How a call of a child ended, on its span.
pub fn note_outcome(operation: &Operation, outcome: &Result<CallResult, ChildError>) {
    if let Some(usd) = outcome.as_ref().ok().and_then(CallResult::cost_usd) {
        operation.cost(usd);
    }
    match outcome {
        Ok(result) if result.is_error() => operation.tool_failed(""),
        Ok(_) => {}
        Err(ChildError::Refused { error, .. }) => operation.refused(error.code, &error.message),
        Err(error @ ChildError::TimedOut { .. }) => operation.fail("timeout", &error.to_string()),
        Err(error) => operation.fail("child_failed", &error.to_string()),
    }
}

/// The conversation that a call names: in `_meta`, else by the argument.
pub fn conversation_of(meta: Option<&RawObject>, params: &RawObject) -> Option<String> {
    let in_meta = meta
        .and_then(|meta| meta.object(wire::CONVERSATION))
        .and_then(|conversation| conversation.text("id"));
    let in_arguments = || {
        let arguments = params.get("arguments").filter(|raw| may_have(raw, CONVERSATION_ARGUMENT));
        RawObject::parse(arguments?)?.text(CONVERSATION_ARGUMENT)
    };
    in_meta.or_else(in_arguments).filter(|id| !id.is_empty())
}

/// Whether a value may have a member of that name, by its text: a search is quicker than parsing.
fn may_have(raw: &RawValue, name: &str) -> bool {
    raw.get().contains(name) || raw.get().contains('\\')
}

/// The parameters and `_meta` of a call that is typed: a tool that takes a `conversation_id` gets
/// the one named beside the arguments.
pub async fn typed_params(
    child: &Child,
    tool: &str,
    arguments: &Map<String, Value>,
    conversation: Option<&str>,
) -> Result<(RawObject, RawObject), ChildError> {
    let mut arguments = arguments.clone();
    if let Some(id) = conversation.filter(|_| !arguments.contains_key(CONVERSATION_ARGUMENT)) {
        let takes_it = |known: &Value| known["name"] == tool && takes_conversation(known);
        if child.tools().await?.iter().any(takes_it) {
            arguments.insert(CONVERSATION_ARGUMENT.to_owned(), json!(id));
        }
    }
    let mut params = RawObject::default();
    params.set("name", &tool);
    params.set("arguments", &arguments);
    let mut meta = RawObject::default();
    if let Some(id) = conversation {
        meta.set(wire::CONVERSATION, &json!({"id": id}));
    }
    Ok((params, meta))
}

/// A result as a host sees it: what travels between the shim and the child in `_meta` stays there,
/// all else keeps its bytes.
pub fn for_host(result: CallResult) -> Box<RawValue> {
    result.without_in_meta(wire::is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_result_omits_internal_meta() {
        let shown = |text: &str| {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            for_host(CallResult::parse(raw).unwrap()).get().to_owned()
        };
        let plain = r#"{"content":[],"n":1.10}"#;
        assert_eq!(shown(plain), plain);
        assert_eq!(shown(r#"{"content":[],"_meta":{"dev.agentvc/reads":["a"]},"n":1.10}"#), plain);
        assert_eq!(
            shown(r#"{"_meta":{"dev.agentvc/reads":["a"],"vendor/x":12345678901234567890123}}"#),
            r#"{"_meta":{"vendor/x":12345678901234567890123}}"#
        );
    }
}
