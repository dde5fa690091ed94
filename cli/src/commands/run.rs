use crate::commands::traced::traced;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::protocol::call_arguments;
use agent_core::protocol::call_result::Answer;
use agent_core::version::what::What;
use agent_engine::child::{Child, ChildError};
use agent_engine::conversations::{Header, LockedConversation};
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::Target;
use agent_engine::target::call::{self, Call, CallError, Called};
use agent_engine::target::overlay::{self, Shown};
use agent_engine::target::spec;
use agent_engine::world::event_loop;
use serde_json::{Map, Value, json};

/// Call a tool of the Runner once
///
/// The arguments are one JSON object or key=value words; a value that is JSON is taken as JSON, any
/// other as text. The tool's result goes to stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent run search query='for loops' k=3\
    \n  agent run ask '{\"question\": \"What is a slice?\"}' --conversation c1\
    \n  agent run search query=slices --at staging")]
pub struct Arguments {
    /// The tool to call
    tool: String,
    /// `{"key": "value"}` or key=value words
    #[arg(value_name = "ARGUMENTS")]
    words: Vec<String>,
    /// The target: active, staging, worktree (its code, with the state that a release would serve),
    /// a version, a range such as ^1.2, a pin, or any commit
    #[arg(long, value_name = "WHAT")]
    at: Option<What>,
    /// The conversation of this call; it keeps the version it began with
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let given = call_arguments::parse(&arguments.words)?;
    let repository = context.repository()?;
    traced(&repository, "run", || {
        let mut held =
            arguments.conversation.as_deref().map(|id| hold(id, &repository)).transpose()?;
        let header =
            held.as_ref().and_then(LockedConversation::latest).map(|latest| &latest.header);
        let target = target(arguments, header, &repository)?;
        let called = make(arguments, &given, &target, held.as_mut(), &repository)?;
        report(arguments, &given, &target, &called, context);
        spec::warn_of_own_files(&target, &repository);
        Ok(if called.0.result.is_error() { Exit::No } else { Exit::Done })
    })
}

/// Locks the conversation, after its calls in progress.
fn hold(id: &str, repository: &Repository) -> Result<LockedConversation, Failure> {
    if let Some(held) = LockedConversation::try_take(&repository.layout, id)? {
        return Ok(held);
    }
    let limits = repository.served_manifest().map(|manifest| manifest.limits).unwrap_or_default();
    Ok(event_loop::block_on(LockedConversation::take(
        &repository.layout,
        id,
        limits.longest_call(),
    ))??)
}

/// A conversation keeps the version it began with.
fn target(
    arguments: &Arguments,
    kept: Option<&Header>,
    repository: &Repository,
) -> Result<Target, Failure> {
    match (kept, &arguments.at) {
        (Some(kept), None) => Ok(repository.pinned(kept)?),
        (Some(kept), Some(at)) => {
            let asked = repository.target(at)?;
            let same = asked.commit == kept.commit && asked.state.revision == kept.revision;
            same.then_some(asked).ok_or_else(|| {
                let began = kept.version.as_ref().map_or_else(
                    || "the target that it began with".to_owned(),
                    |version| format!("v{version}"),
                );
                Failure::usage(format!(
                    "conversation `{}` keeps {began}; `--at {at}` is another target",
                    kept.id
                ))
                .with_hint("run it without `--at`, or begin another conversation")
            })
        }
        (None, at) => Ok(repository.target(at.as_ref().unwrap_or(&What::Active))?),
    }
}

fn make(
    arguments: &Arguments,
    given: &Map<String, Value>,
    target: &Target,
    conversation: Option<&mut LockedConversation>,
    repository: &Repository,
) -> Result<(Called, Answer), Failure> {
    let spec = spec::runner(target, repository)?;
    event_loop::block_on(async {
        let child = Child::start(&spec).await?;
        let (params, meta) =
            call::typed_params(&child, &arguments.tool, given, arguments.conversation.as_deref())
                .await?;
        let shown = shown(&child, target, arguments.conversation.as_deref()).await?;
        let id = child.fresh_id();
        let shown = shown.as_ref();
        let call = Call { target, params, meta, conversation, member: None, shown, id };
        let made = match call.make(&child).await {
            Err(CallError::Child(ChildError::Refused { .. }))
                if !has_tool(&child, &arguments.tool).await? =>
            {
                Err(no_tool(&child, &arguments.tool).await?)
            }
            other => other.map_err(Failure::from),
        };
        let called = made.and_then(|called| {
            let answer = child.readable(&arguments.tool, called.result.answer())?;
            Ok((called, answer))
        });
        child.end().await;
        called
    })?
}

/// What lies over the Runner's tools; they are listed only where there is an overlay.
async fn shown(
    child: &Child,
    target: &Target,
    conversation: Option<&str>,
) -> Result<Option<Shown>, Failure> {
    if overlay::of(target)?.is_none() {
        return Ok(None);
    }
    let overlay = overlay::fitting(target, &child.tools().await?)?;
    Ok(overlay.map(|overlay| Shown::of(&overlay, conversation)))
}

async fn has_tool(child: &Child, tool: &str) -> Result<bool, ChildError> {
    Ok(child.tools().await?.iter().any(|known| known["name"] == tool))
}

async fn no_tool(child: &Child, tool: &str) -> Result<Failure, ChildError> {
    let tools = child.tools().await?;
    let names: Vec<_> = tools.iter().filter_map(|known| known["name"].as_str()).collect();
    Ok(Failure::usage(format!("the Runner has no tool `{tool}`"))
        .with_hint(format!("its tools are: {}", names.join(", "))))
}

fn report(
    arguments: &Arguments,
    given: &Map<String, Value>,
    target: &Target,
    (called, answer): &(Called, Answer),
    context: &Context,
) {
    let printer = &context.printer;
    printer.detail(format!(
        "{} with state {} in {:.1} ms",
        target.shown(),
        target.state.revision.short(),
        called.duration_ms
    ));
    let result = &called.result;
    if result.is_error() {
        let place = answer.place().map(|place| format!(", from {place}")).unwrap_or_default();
        printer.say(format!("the tool `{}` answered with an error{place}", arguments.tool));
    }
    printer.data(match answer.structured() {
        Some(structured) => serde_json::to_string_pretty(structured).expect("JSON serialises"),
        None => answer.text(),
    });
    printer.json(&json!({
        "schema": "agent/call@1", "tool": arguments.tool, "arguments": given,
            "conversation": arguments.conversation,
        "version": target.version, "commit": target.commit, "revision": target.state.revision,
        "is_error": result.is_error(), "duration_ms": called.duration_ms,
            "result": call::for_host(result.clone()),
    }));
}
