//! The names of OpenTelemetry's conventions for generative AI and MCP, and the names `agent` adds.
//!
//! They are still in development; these are the ones of repository
//! `open-telemetry/semantic-conventions-genai` at the commit below.

/// Where the names, the span's form and the histogram's bounds are from: `docs/gen-ai/mcp.md` and
/// `docs/gen-ai/gen-ai-events.md`.
pub const COMMIT: &str = "1e01e830ef3c17b939ab7db8d25c7061e4239c0b";

pub const METHOD: &str = "mcp.method.name";
pub const PROTOCOL_VERSION: &str = "mcp.protocol.version";
pub const SESSION: &str = "mcp.session.id";
pub const RESOURCE: &str = "mcp.resource.uri";
pub const REQUEST_ID: &str = "jsonrpc.request.id";
pub const STATUS_CODE: &str = "rpc.response.status_code";
pub const TRANSPORT: &str = "network.transport";
pub const PROTOCOL_NAME: &str = "network.protocol.name";
pub const ERROR_TYPE: &str = "error.type";
pub const TOOL: &str = "gen_ai.tool.name";
pub const PROMPT: &str = "gen_ai.prompt.name";
pub const OPERATION: &str = "gen_ai.operation.name";
pub const CONVERSATION: &str = "gen_ai.conversation.id";
pub const AGENT_NAME: &str = "gen_ai.agent.name";
pub const AGENT_VERSION: &str = "gen_ai.agent.version";
/// Arguments and results of a tool: opt-in.
pub const TOOL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
pub const TOOL_RESULT: &str = "gen_ai.tool.call.result";
/// The kind of a span, for LLM observability backends (by the convention of `OpenInference`).
pub const SPAN_KIND: &str = "openinference.span.kind";
pub const SPAN_TOOL: &str = "TOOL";
pub const SPAN_AGENT: &str = "AGENT";
pub const SPAN_EVALUATOR: &str = "EVALUATOR";
pub const SPAN_CHAIN: &str = "CHAIN";
/// Arguments and results by the names that backends show (`OpenInference` again).
pub const INPUT: &str = "input.value";
pub const INPUT_TYPE: &str = "input.mime_type";
pub const OUTPUT: &str = "output.value";
pub const OUTPUT_TYPE: &str = "output.mime_type";
/// The `OPERATION` of a run of the Architect.
pub const INVOKE_AGENT: &str = "invoke_agent";

/// The method of a tool's call.
pub const TOOLS_CALL: &str = "tools/call";
/// The `OPERATION` of a tool's call.
pub const EXECUTE_TOOL: &str = "execute_tool";
/// The error type of a call whose result has `isError`.
pub const TOOL_ERROR: &str = "tool_error";
/// Any other error.
pub const OTHER_ERROR: &str = "_OTHER";

pub const SERVER_DURATION: &str = "mcp.server.operation.duration";
pub const CLIENT_DURATION: &str = "mcp.client.operation.duration";
/// Seconds.
pub const DURATION_BOUNDS: [f64; 14] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The event of a score or a reward.
pub const EVALUATION: &str = "gen_ai.evaluation.result";
pub const EVALUATION_NAME: &str = "gen_ai.evaluation.name";
pub const SCORE: &str = "gen_ai.evaluation.score.value";
pub const LABEL: &str = "gen_ai.evaluation.score.label";
pub const EXPLANATION: &str = "gen_ai.evaluation.explanation";

// attributes that no convention defines

/// The version that served, as `1.2.3`.
pub const VERSION: &str = "agent.version";
pub const COMMIT_ID: &str = "agent.commit";
/// The Revision of the state that served.
pub const REVISION: &str = "agent.state.revision";
/// The server of the call: `runner` or `tuner`.
pub const ROLE: &str = "agent.role";
pub const RUNNER: &str = "runner";
pub const TUNER: &str = "tuner";
pub const TIER: &str = "agent.tier";
pub const CASE: &str = "agent.case";
pub const CASES: &str = "agent.tier.cases";
pub const PASSED: &str = "agent.tier.passed";
/// How many of them were known before.
pub const CACHED: &str = "agent.tier.cached";
/// The digest of a tier's results in the object store.
pub const RESULTS: &str = "agent.tier.results";
pub const VERDICT: &str = "agent.verdict";
pub const SIGNAL: &str = "agent.signal.id";
/// The cost of a call in US dollars, as the Runner reported it.
pub const COST: &str = "agent.cost.usd";
/// The canary that the call is compared for, the arm that served it, and the conversation it counts
/// for.
pub const CANARY: &str = "agent.canary.id";
pub const CANARY_ARM: &str = "agent.canary.arm";
pub const CANARY_CONVERSATION: &str = "agent.canary.conversation";
pub const CODER: &str = "agent.coder";
pub const RUN: &str = "agent.architect.run";
pub const EXIT: &str = "agent.exit";
/// The operation of an `agent` span: `promotion`, `tier`, ...
pub const KIND: &str = "agent.kind";
pub const TIER_KIND: &str = "tier";
pub const CASE_KIND: &str = "case";
pub const RUN_KIND: &str = "architect";
pub const DROPPED: &str = "agent.telemetry.dropped";
