//! rmcp, the Rust client of MCP, against what Python serves: directly, and through the shim.
#![expect(clippy::disallowed_methods, reason = "the client starts the server itself")]

use crate::protocol::interpreter;
use crate::world::{AGENT, World, source_root};
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation,
    ProtocolVersion,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RunningService};
use rmcp::transport::TokioChildProcess;
use rmcp::{RoleClient, ServiceError};
use serde_json::{Value, json};

pub type Client = RunningService<RoleClient, ClientConfig>;

/// Runs a session with a client in one era, and ends it.
pub fn with_client(
    command: std::process::Command,
    revision: &ProtocolVersion,
    session: impl AsyncFnOnce(&Client),
) {
    let lifecycle = if revision.has_initialize() {
        ClientLifecycleMode::Initialize
    } else {
        ClientLifecycleMode::Discover { preferred_versions: vec![revision.clone()] }
    };
    let config = ClientConfig::new(ClientCapabilities::default(), Implementation::new("test", "1"))
        .with_protocol_version(revision.clone());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let transport = TokioChildProcess::new(tokio::process::Command::from(command))
            .expect("the server starts");
        let client = config
            .serve_with_lifecycle(transport, lifecycle)
            .await
            .unwrap_or_else(|error| panic!("{revision}: {error}"));
        session(&client).await;
        // dropping it would leave the server to a task that is never run
        client.cancel().await.expect("the session ends");
    });
}

pub async fn call(
    client: &Client,
    tool: &'static str,
    arguments: Value,
) -> Result<CallToolResult, ServiceError> {
    let arguments = arguments.as_object().expect("an object").clone();
    client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await
}

fn text(result: &CallToolResult) -> &str {
    &result.content[0].as_text().expect("a text").text
}

#[test]
fn the_runtime_in_both_eras() {
    for revision in [ProtocolVersion::LATEST_WITH_INITIALIZE, ProtocolVersion::LATEST] {
        let mut command = std::process::Command::new(interpreter());
        command.arg(source_root().join("templates/runtime/tests/programs/runner.py"));
        command
            .env("PYTHONPATH", source_root().join("templates/runtime"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        with_client(command, &revision, async |client| {
            let peer = client.peer().peer_info().expect("the server said who it is");
            assert_eq!(peer.protocol_version, revision);
            let tools = client.list_all_tools().await.unwrap();
            let add = tools.iter().find(|tool| tool.name == "add").expect("`add` is listed");
            assert_eq!(add.input_schema["required"], json!(["a"]));
            let sum = call(client, "add", json!({"a": 40})).await.unwrap();
            assert_eq!(
                (sum.structured_content.as_ref(), text(&sum)),
                (Some(&json!({"result": 42})), "42")
            );
            let failed = call(client, "fail", json!({"message": "no topic"})).await.unwrap();
            assert_eq!((failed.is_error, text(&failed)), (Some(true), "LookupError: no topic"));
            let unknown = call(client, "no_such_tool", json!({})).await.unwrap_err();
            assert!(
                matches!(&unknown, ServiceError::McpError(error) if error.code.0 == -32602),
                "{unknown}"
            );
        });
    }
}

#[test]
fn the_shim_as_a_host_starts_it() {
    let world = World::new();
    world.agent(".", ["init", "a"]).ok();
    let mut command = world.command(AGENT, "a");
    command.args(["mcp", "runner", "--at", "worktree"]);
    with_client(command, &ProtocolVersion::LATEST_WITH_INITIALIZE, async |client| {
        let tools = client.list_all_tools().await.unwrap();
        assert_eq!(tools.iter().map(|tool| tool.name.as_ref()).collect::<Vec<_>>(), ["estimate"]);
        assert!(tools[0].output_schema.is_some());
        let estimate = call(client, "estimate", json!({"task": "review"})).await.unwrap();
        assert!(
            estimate.structured_content.as_ref().unwrap()["minutes"].is_number(),
            "{estimate:?}"
        );
        assert_eq!(estimate.meta, None);
        let refused = call(client, "estimate", json!({"task": " "})).await.unwrap();
        assert_eq!(refused.is_error, Some(true));
        assert!(text(&refused).contains("task is empty"));
    });
}
