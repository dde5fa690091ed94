//! MCP, JSON-RPC and OpenTelemetry as far as they are pure: frames, results, discovery, spans.

pub mod call_arguments;
pub mod call_result;
pub mod conventions;
pub mod discovery;
pub mod idle_time;
pub mod kpi;
pub mod latencies;
pub mod live;
pub mod mcp;
pub mod otlp;
pub mod raw_object;
pub mod rpc;
pub mod span_tree;
pub mod traffic;
pub mod wire;
