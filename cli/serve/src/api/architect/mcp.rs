//! `agent mcp architect`: the Architect as MCP tools. rmcp implements both eras of the protocol.

use super::schemas::{of_one_type, resolved, without_nulls};
use crate::listen::Ended;
use crate::mcp::http;
use agent_core::formats::committed::Committed;
use agent_core::formats::committed::WithWarnings;
use agent_core::formats::diagnose::FailureKind;
use agent_engine::architect::NotStarted;
use agent_engine::architect::events::RunEvent;
use agent_engine::architect::operations::{self, Start, Submission, Submitted};
use agent_engine::error::Failure;
use agent_engine::repository::Location;
use agent_engine::repository::Repository;
use agent_engine::repository::inbox;
use agent_engine::repository::run_report::Report;
use agent_engine::telemetry::{self, Operation, Transport};
use agent_engine::world::event_loop;
use agent_engine::world::interrupt::Interrupt;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    Implementation, JsonObject, ListToolsResult, PaginatedRequestParams, ProgressNotificationParam,
    ProtocolVersion, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const INSTRUCTIONS: &str = "The Architect changes an agent's code to answer feedback. Submit \
feedback with `give_feedback`, start a run with `start_run`, and \
    wait for its end with `run_status` and `wait`. A run tests its change and ends with a new \
    version, or with a report of why there is none.";

/// Serves one host over stdio until it closes stdin, or many over HTTP until SIGINT or SIGTERM.
pub fn serve(location: &Location, over_http: Option<http::Options>) -> Result<Ended, Failure> {
    // a repository that cannot be opened fails the start, not the first call
    let repository = location.open()?;
    let _telemetry = repository.telemetry();
    let transport = if over_http.is_some() { Transport::Http } else { Transport::Stdio };
    let server = ArchitectServer { location: location.clone(), transport };
    event_loop::block_on_and_leave(async {
        match over_http {
            Some(options) => {
                tokio::task::LocalSet::new()
                    .run_until(http::serve_typed(server, location, options))
                    .await
            }
            None => serve_host(server, location).await,
        }
    })?
}

async fn serve_host(server: ArchitectServer, location: &Location) -> Result<Ended, Failure> {
    let mut interrupt = Interrupt::expected()?;
    let serving = async {
        match server.serve(rmcp::transport::stdio()).await {
            Ok(serving) => drop(serving.waiting().await),
            // a host that disconnects before `initialize` is no error
            Err(error) => location.notices.detail(error.to_string()),
        }
    };
    tokio::select! {
        () = serving => Ok(Ended::Stopped),
        () = interrupt.received() => Ok(Ended::Interrupted),
    }
}

/// The MCP server of one host.
#[derive(Debug, Clone)]
pub struct ArchitectServer {
    location: Location,
    transport: Transport,
}

impl ServerHandler for ArchitectServer {
    fn get_info(&self) -> ServerConfig {
        let name = Implementation::new("agent-architect", env!("CARGO_PKG_VERSION"))
            .with_title("Architect");
        let mut config = ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_instructions(INSTRUCTIONS);
        config.server_info = name;
        config
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        const AN_HOUR_MS: u64 = 3_600_000;
        let tools = TOOLS.iter().map(Described::tool).collect();
        Ok(ListToolsResult { ttl_ms: Some(AN_HOUR_MS), ..ListToolsResult::with_all_items(tools) })
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = TOOLS.iter().find(|tool| tool.name == call.name) else {
            return Err(ErrorData::invalid_params(format!("unknown tool `{}`", call.name), None));
        };
        let arguments = Value::Object(call.arguments.unwrap_or_default());
        let outcome = if tool.name == "run_status" {
            self.status(arguments, &context).await
        } else {
            self.answer(tool, arguments, &context).await
        };
        Ok(match outcome {
            Ok(mut document) => {
                without_nulls(&mut document);
                CallToolResult::structured(document).into()
            }
            Err(error) => CallToolResult::error(vec![ContentBlock::text(with_hint(&error))]).into(),
        })
    }
}

fn with_hint(error: &Failure) -> String {
    let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    error.messages.join(": ") + &hint
}

impl ArchitectServer {
    /// Runs an operation on a thread of its own: git and files block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Repository) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let location = self.location.clone();
        let done = tokio::task::spawn_blocking(move || work(&location.open()?)).await;
        done.unwrap_or_else(|error| {
            Err(Failure::new(
                FailureKind::Surroundings,
                format!("the operation was cancelled: {error}"),
            ))
        })
    }

    /// The result of a tool's call, recorded in telemetry as one operation.
    async fn answer(
        &self,
        tool: &'static Described,
        arguments: Value,
        context: &RequestContext<RoleServer>,
    ) -> Result<Value, Failure> {
        let (protocol, traceparent) =
            (context.protocol_version(), context.meta.get_traceparent().map(str::to_owned));
        let transport = self.transport;
        self.blocking(move |repository| {
            let request = telemetry::Request {
                protocol: protocol.as_ref().map(ProtocolVersion::as_str),
                transport,
                traceparent: traceparent.as_deref(),
                ..telemetry::Request::call(tool.name)
            };
            let operation = Operation::served(&request);
            let outcome = operation.span().within(|| (tool.answer)(repository, arguments));
            if let Err(error) = &outcome {
                operation.tool_failed(&error.messages.join(": "));
            }
            outcome
        })
        .await
    }

    /// The status of a run, with `wait` once it has ended. Its events are sent as progress
    /// notifications meanwhile.
    async fn status(
        &self,
        arguments: Value,
        context: &RequestContext<RoleServer>,
    ) -> Result<Value, Failure> {
        const LOOK: Duration = Duration::from_millis(200);
        let query: Watched = parsed(arguments)?;
        let mut after = 0;
        loop {
            let (id, from) = (query.run.clone(), after);
            let (run, events) = self
                .blocking(move |repository| {
                    let run = found(repository, &id)?;
                    let events = operations::happened(repository, &run, from)?;
                    Ok((run, events))
                })
                .await?;
            let is_over = run.finished.is_some();
            if !query.wait || is_over || context.ct.is_cancelled() {
                return Ok(document(&run));
            }
            for event in &events {
                after = event.number;
                progress(event, context).await;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = context.ct.cancelled() => {}
            }
        }
    }
}

/// Sends an event as a progress notification to a host whose request has a progress token.
async fn progress(event: &RunEvent, context: &RequestContext<RoleServer>) {
    let Some(token) = context.meta.get_progress_token() else { return };
    let message = if event.text.is_empty() { &event.status } else { &event.text };
    // the host may be gone: then the notification is dropped
    let _ = context
        .peer
        .notify_progress(
            ProgressNotificationParam::new(token, event.number as f64).with_message(message),
        )
        .await;
}

fn parsed<T: DeserializeOwned>(arguments: Value) -> Result<T, Failure> {
    serde_json::from_value(arguments)
        .map_err(|error| Failure::usage(format!("invalid arguments: {error}")))
}

fn document(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("the API's own documents serialise")
}

// ---- the tools

type Answer = fn(&Repository, Value) -> Result<Value, Failure>;

/// A tool as data.
struct Described {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    input: fn() -> Value,
    /// The name of the schema of its result.
    output: &'static str,
    effect: Effect,
    answer: Answer,
}

/// The effect of a call, as MCP's tool annotations.
#[derive(Clone, Copy)]
enum Effect {
    Reads,
    /// Additive and not idempotent.
    Adds,
    /// Open-world: it starts programs with network access.
    Starts,
    /// Destructive and idempotent.
    Ends,
}

impl Described {
    fn tool(&self) -> Tool {
        let object = |value: Value| -> Arc<JsonObject> {
            Arc::new(value.as_object().cloned().unwrap_or_default())
        };
        let effect = self.effect;
        let annotations = ToolAnnotations::with_title(self.title)
            .read_only(matches!(effect, Effect::Reads))
            .destructive(matches!(effect, Effect::Ends))
            .idempotent(matches!(effect, Effect::Reads | Effect::Ends))
            .open_world(matches!(effect, Effect::Starts));
        Tool::new_with_raw(self.name, Some(self.about.into()), object(of_one_type((self.input)())))
            .with_title(self.title)
            .with_raw_output_schema(object(of_one_type(resolved(self.output))))
            .with_annotations(annotations)
    }
}

static TOOLS: [Described; 7] = [
    Described {
        name: "give_feedback",
        title: "Give feedback",
        about: "Adds feedback to the agent's inbox. The item is on disk before the call returns. \
        A run works on it.",
        input: || {
            let mut schema = resolved("NewFeedback");
            schema["properties"]["key"] = json!({"type": "string", "minLength": 1, "maxLength": 255,
                "description": "Idempotency key: the same key with the same content is the same \
                item."});
            schema
        },
        output: "Feedback",
        effect: Effect::Adds,
        answer: give,
    },
    Described {
        name: "list_feedback",
        title: "List feedback",
        about: "Lists the feedback items with their status, newest first.",
        input: || {
            json!({"type": "object", "properties": {"limit": limit()},
            "additionalProperties": false})
        },
        output: "FeedbackPage",
        effect: Effect::Reads,
        answer: list_feedback,
    },
    Described {
        name: "start_run",
        title: "Start a run",
        about: "Starts a run: a coder changes the agent's code for feedback, the change is tested, \
        and released when it passes. One run is active at a time; the call returns as \
        soon as the run is recorded.",
        input: || resolved("NewRun"),
        output: "Run",
        effect: Effect::Starts,
        answer: start,
    },
    Described {
        name: "list_runs",
        title: "List runs",
        about: "Lists the runs, newest first.",
        input: || {
            json!({"type": "object", "properties": {"limit": limit()},
            "additionalProperties": false})
        },
        output: "RunPage",
        effect: Effect::Reads,
        answer: list_runs,
    },
    Described {
        name: "run_status",
        title: "Show a run",
        about: "The status, attempts and outcome of a run. With `wait` the call returns when the \
        run has ended and sends progress notifications until then.",
        input: || {
            let mut schema = one_run();
            schema["properties"]["wait"] = json!({"type": "boolean", "default": false,
                "description": "Return when the run has ended."});
            schema
        },
        output: "Run",
        effect: Effect::Reads,
        answer: |repository, arguments| {
            Ok(document(&found(repository, &parsed::<Watched>(arguments)?.run)?))
        },
    },
    Described {
        name: "run_diff",
        title: "Show what a run changed",
        about: "The changes of a run's last attempt, in the format of `git diff`. Of files of \
        held-out cases only the names are shown.",
        input: one_run,
        output: "RunDiff",
        effect: Effect::Reads,
        answer: diff,
    },
    Described {
        name: "cancel_run",
        title: "Cancel a run",
        about: "Requests that a run stop. Its feedback is open again afterwards.",
        input: one_run,
        output: "Cancellation",
        effect: Effect::Ends,
        answer: cancel,
    },
];

fn one_run() -> Value {
    json!({
        "type": "object",
        "required": ["run"],
        "properties": {"run": {"type": "string", "pattern": "^r-[0-9a-f]{10}$",
            "description": "The run's id."}},
        "additionalProperties": false,
    })
}

fn limit() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 500, "default": A_PAGE})
}

const A_PAGE: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    run: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Watched {
    run: String,
    #[serde(default)]
    wait: bool,
}

fn give(repository: &Repository, mut arguments: Value) -> Result<Value, Failure> {
    // over REST the key is a header, so it is no part of `NewFeedback`
    let key = arguments.as_object_mut().and_then(|members| members.remove("key"));
    let key = key.map(parsed::<Option<String>>).transpose()?.flatten();
    let submission = Submission { new: parsed(arguments)?, source: "mcp", key };
    let Committed { value, warnings } = operations::submit(repository, &submission)?;
    match value {
        Submitted::New(item) | Submitted::Again(item) => {
            Ok(document(&WithWarnings { document: &item, warnings: warnings.as_slice() }))
        }
        Submitted::OtherContent => {
            Err(Failure::usage("this key was used before, with other content")
                .with_hint("use a new key for a new item"))
        }
        Submitted::NoConversation { .. } => Err(Failure::input("unknown conversation")
            .with_hint("use a conversation of this repository, or leave `conversation` out")),
    }
}

fn list_feedback(repository: &Repository, arguments: Value) -> Result<Value, Failure> {
    let limit = parsed::<Listed>(arguments)?.limit.unwrap_or(A_PAGE);
    let mut items = operations::feedback(repository)?;
    let next = (items.len() > limit).then(|| items[limit.max(1) - 1].id.clone());
    items.truncate(limit);
    Ok(json!({"schema": "agent/feedback-list@1", "feedback": items, "next": next}))
}

fn start(repository: &Repository, arguments: Value) -> Result<Value, Failure> {
    let start: Start = parsed(arguments)?;
    let run = operations::start(repository, &start).map_err(|error| match error {
        NotStarted::NothingOpen => {
            Failure::from(error).with_hint("submit an item with `give_feedback`")
        }
        other => other.into(),
    })?;
    Ok(document(&run))
}

fn list_runs(repository: &Repository, arguments: Value) -> Result<Value, Failure> {
    let limit = parsed::<Listed>(arguments)?.limit.unwrap_or(A_PAGE);
    let mut runs = operations::runs(repository)?;
    let next = (runs.len() > limit).then(|| runs[limit.max(1) - 1].run.clone());
    runs.truncate(limit);
    Ok(json!({"schema": "agent/runs@1", "runs": runs, "next": next}))
}

fn found(repository: &Repository, id: &str) -> Result<Report, Failure> {
    Ok(operations::run(repository, id)?.ok_or_else(|| inbox::unknown("run", id))?)
}

fn diff(repository: &Repository, arguments: Value) -> Result<Value, Failure> {
    let run = found(repository, &parsed::<Named>(arguments)?.run)?;
    // held-out cases stay hidden: the caller may be the coder's model
    let diff = operations::diff(repository, &run, false)?;
    Ok(json!({"schema": "agent/run-diff@1", "run": run.run, "diff": diff}))
}

fn cancel(repository: &Repository, arguments: Value) -> Result<Value, Failure> {
    let run = parsed::<Named>(arguments)?.run;
    let message = operations::cancel(repository, &run)?.to_string();
    Ok(json!({"schema": "agent/cancellation@1", "run": run, "message": message}))
}
