//! The `_meta` keys and environment variables between the shim and its children: the same names as
//! in `agent_runtime`.

use serde_json::Value;

/// `{"revision","path"}` to a Runner, `{"revision","value"}` to a Tuner, `{"value"}` back from a
/// Tuner, `{"change"}` (a JSON Patch) from one in a replay.
pub const STATE: &str = "dev.agentvc/state";
/// `{"id","turn","data"}` to a Runner, `{"id","data","facts"}` back, `{"id","turns"}` to a Tuner.
pub const CONVERSATION: &str = "dev.agentvc/conversation";
/// `{"id"}`: the signal a Tuner call applies.
pub const SIGNAL: &str = "dev.agentvc/signal";
/// The top-level state keys a call read.
pub const READS: &str = "dev.agentvc/reads";
/// JSON Pointers of the parts of the state that a Tuner's tool read or wrote.
pub const TOUCHED: &str = "dev.agentvc/touched";
/// A method of Tuners that declare it: `{"calls": [{"name","arguments","_meta"}]}` on one state,
/// `{"results"}` of the first of them back.
pub const REPLAY: &str = "dev.agentvc/replay";
/// `{"random","now","results"}` to a Tuner, `{"used","requests"}` back: what its tool requests of
/// the world.
pub const EFFECTS: &str = "dev.agentvc/effects";
/// With the error of a tool: `FILE:LINE` of the server's code that raised it.
pub const WHERE: &str = "dev.agentvc/where";
/// `{"path"}` to a Runner: the folder whose files a test case checks.
pub const SCRATCH: &str = "dev.agentvc/scratch";
/// `{"usd"}` back from a Runner: what the call cost.
pub const COST: &str = "dev.agentvc/cost";
/// To a host, in the result of a Tuner's tool: what failed once the signal was durable.
pub const WARNINGS: &str = "dev.agentvc/warnings";
/// W3C trace context, unprefixed as OpenTelemetry specifies.
pub const TRACEPARENT: &str = "traceparent";

/// The state file chosen when the child started, for servers that do not read `_meta`.
pub const ENV_STATE_FILE: &str = "AGENT_STATE_FILE";
/// The process whose end must end the child.
pub const ENV_PARENT_PID: &str = "AGENT_PARENT_PID";
/// The guard of a child, inherited by its descendants: it identifies them after the guard was
/// killed.
pub const ENV_GUARD: &str = "AGENT_GUARD";
/// The one folder a Tuner may write; to a Runner under test, the folder whose files cases check.
pub const ENV_SCRATCH: &str = "AGENT_SCRATCH";
/// The folder for files of a server's own; to a Runner under test an empty one.
pub const ENV_DATA: &str = "AGENT_DATA";

/// The US dollars of a `COST`; `None` where it is not an amount.
pub fn cost_usd(cost: &Value) -> Option<f64> {
    cost.get("usd")?.as_f64().filter(|usd| usd.is_finite() && *usd >= 0.0)
}

/// Whether a `_meta` key is internal to `agent`.
pub fn is_ours(key: &str) -> bool {
    key.starts_with("dev.agentvc/")
}
