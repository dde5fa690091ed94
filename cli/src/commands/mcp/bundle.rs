use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::installation::{
    self,
    bundle::{self, About},
};
use agent_core::child::variable::Variable;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::object_id::digest;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::target::{contracts, overlay};
use agent_engine::world::fs;
use agent_engine::world::output::Output;
use agent_engine::world::{env, process};
use serde_json::json;
use std::path::Path;

/// Make an MCP bundle (.mcpb) of `agent` for this platform, and the server.json of a registry
///
/// The bundle holds `agent` itself. Its user chooses the folder of an agent repository when
/// installing it, and learning continues there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent mcp bundle\
    \n  agent mcp bundle --publish-as io.github.me/estimates --url \
    https://example.org/estimates.mcpb > server.json")]
pub struct Arguments {
    /// A variable that the server reads: the user is asked for NAME when installing the bundle;
    /// NAME=VALUE stores a default in the bundle; can be repeated. Names under `env` in agent.toml
    /// are included by default
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = Variable::parse)]
    env: Vec<Variable>,
    /// The bundle's file [default: NAME-VERSION.mcpb]
    #[arg(long, value_name = "FILE")]
    out: Option<Output>,
    /// The name in the MCP registry, such as io.github.me/estimates; server.json is printed on
    /// stdout
    #[arg(long, value_name = "NAME", requires = "url")]
    publish_as: Option<String>,
    /// The URL of the published bundle
    #[arg(long, requires = "publish_as")]
    url: Option<String>,
    /// Print what would be written
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let about = about(context, &arguments.env)?;
    if let Some(name) = &arguments.publish_as {
        check(name)?;
    }
    let named = || Output::File(format!("{}-{}.mcpb", about.name, about.version).into());
    let out = arguments.out.clone().unwrap_or_else(named).within(&context.directory);
    if out.is_stdout() && (context.printer.is_json() || arguments.publish_as.is_some()) {
        return Err(Failure::usage("the bundle and the JSON both go to stdout")
            .with_hint("write the bundle to a file with `--out`"));
    }
    let program = fs::read_if_there(Path::new(&process::own_program()))?.ok_or_else(no_program)?;
    let bytes = bundle::bundle(&about, &program).ok_or_else(no_program)?;
    if !arguments.dry_run {
        out.write(&bytes)?;
    }
    let sha256 = digest(&bytes);
    let sha256 = sha256.trim_start_matches("sha256:");
    let published = arguments.publish_as.as_deref().zip(arguments.url.as_deref());
    let server = published.map(|(name, url)| bundle::server_json(&about, name, url, sha256));
    context.printer.json(&json!({
        "schema": "agent/bundle@1", "file": out.shown(), "sha256": sha256, "bytes": bytes.len(),
            "written": !arguments.dry_run, "server": server,
    }));
    if let Some(server) = &server {
        context.printer.data(serde_json::to_string_pretty(server).expect("it is JSON"));
    }
    let held: Vec<_> = about
        .variables
        .iter()
        .filter(|variable| variable.value.is_some())
        .map(|variable| variable.name.as_str())
        .collect();
    if !held.is_empty() {
        context.printer.warn(format!(
            "the bundle contains the value of {} in plain text, as a default",
            held.join(", ")
        ));
    }
    let done = if arguments.dry_run { "would be made" } else { "is made" };
    context.printer.say(format!(
        "{} {done} ({} KiB, sha256 {sha256})",
        out.shown(),
        bytes.len() / 1024
    ));
    Ok(Exit::Done)
}

fn no_program() -> Failure {
    let shown =
        env::binary().map_or_else(|| "its own file".to_owned(), |path| path.display().to_string());
    Failure::new(
        FailureKind::Surroundings,
        format!("agent cannot read {shown} to put it into a bundle"),
    )
}

/// Checks a name against the registry's format: a namespace, a slash, a name.
fn check(name: &str) -> Result<(), Failure> {
    let fits = |part: &str, more: &str| {
        !part.is_empty()
            && part.chars().all(|character| {
                character.is_ascii_alphanumeric()
                    || ".-".contains(character)
                    || more.contains(character)
            })
    };
    match name.split_once('/') {
        Some((namespace, rest)) if fits(namespace, "") && fits(rest, "_") && name.len() <= 200 => {
            Ok(())
        }
        _ => Err(Failure::usage(format!("`{name}` is not a name of the MCP registry"))
            .with_hint("such as io.github.me/estimates")),
    }
}

fn about(context: &Context, env: &[Variable]) -> Result<About, Failure> {
    let repository = context.repository()?;
    let tip = repository.expect_tip()?;
    let active = repository.target(&What::Active)?;
    let contract = overlay::over(contracts::of(&active, &repository)?, &active)?;
    let described = |tool: &serde_json::Value| tool["description"].as_str().map(str::to_owned);
    Ok(About {
        name: super::install::name(None, &active.manifest)?,
        version: tip.version.to_string(),
        author: repository.git.config("user.name").unwrap_or_else(|| "unknown".to_owned()),
        tools: contract
            .runner
            .tools
            .iter()
            .map(|(name, tool)| (name.clone(), described(tool)))
            .collect(),
        variables: installation::passed(env, &active.manifest.runner.env),
    })
}
