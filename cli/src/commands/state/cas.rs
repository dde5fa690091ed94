use super::{own_draft, rules};
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::formats::canonical;
use agent_core::formats::diagnose::FailureKind;
use agent_core::formats::document;
use agent_core::formats::object_id::ObjectId;
use agent_core::state;
use agent_core::state::journal::CAS;
use agent_core::state::signal;
use agent_core::version::tags;
use agent_engine::error::Failure;
use agent_engine::repository::Writes;
use agent_engine::staging::{Append, Known};
use agent_engine::world::clock::fresh_id;
use semver::Version;
use serde_json::{Value, json};
use std::io::Read as _;

/// Replace staging by the state on stdin if its Revision is unchanged
///
/// For Tuners in any language: read `agent state show --json`, compute, and pass the new state.
/// Exit code 4 means that another process was first and nothing was changed: read again. The new
/// Revision goes to stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\
        \n  agent state cas --expect 1f7a7a472abf3dd9643fd615f6da379c4acb3e3a < new.json")]
pub struct Arguments {
    /// The Revision the new state was made from
    #[arg(long, value_name = "REVISION")]
    expect: String,
    /// An id under which this update is counted once, so that it can be sent again
    #[arg(long)]
    id: Option<String>,
    /// Check the new state; append nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let expected = ObjectId::parse(&arguments.expect).ok_or_else(|| {
        Failure::usage(format!(
            "`{}` is not a Revision: those have 40 hex digits",
            arguments.expect
        ))
    })?;
    if let Some(id) = &arguments.id {
        signal::check_id(id).map_err(Failure::usage)?;
    }
    let given = read_state()?;
    let repository = context.repository_to(Writes::Home.unless(arguments.dry_run))?;
    let active = repository.active()?;
    let after = rules(&repository, &active)?.check(&given).map_err(Failure::input)?;
    let mut staging = repository.staging()?;
    let id = arguments.id.clone().unwrap_or_else(|| fresh_id("cas"));
    let known = if arguments.id.is_some() { staging.has_counted(&id)? } else { Known::No };
    if let Known::Undetermined(versions) = &known {
        return Err(undetermined(&id, versions));
    }
    let revision = canonical::revision(&after);
    let counted = known == Known::Yes;
    let request = json!({"expect": expected});
    if counted
        && staging
            .counted_content(&id)?
            .is_some_and(|before| before != signal::content(CAS, &request, None))
    {
        return Err(Failure::new(
            FailureKind::Conflict,
            format!("`{id}` was counted before, with other content"),
        )
        .with_hint("use a new id for a new update"));
    }
    if !counted {
        let now = staging.snapshot()?.revision;
        let lost = now != expected || {
            let draft = own_draft(CAS, request, id, after);
            !arguments.dry_run
                && repository.unpack(staging.append(vec![draft], &expected)?) == Append::Conflict
        };
        if lost {
            return Err(conflict(&expected, &staging.snapshot()?.revision));
        }
    }
    let now = if counted { staging.snapshot()?.revision } else { revision };
    context.printer.data(now.as_str());
    context.printer.json(&json!({
        "schema": "agent/state-cas@1", "before": expected, "after": now, "duplicate": counted,
            "dry_run": arguments.dry_run,
    }));
    Ok(Exit::Done)
}

fn undetermined(id: &str, versions: &[Version]) -> Failure {
    let versions = tags(versions);
    Failure::new(
        FailureKind::NotEnoughEvidence,
        format!(
            "this clone does not have the counted updates of {versions}, so `{id}` could count \
        twice"
        ),
    )
    .with_hint("`agent sync` fetches what other clones counted")
}

fn read_state() -> Result<Value, Failure> {
    let mut bytes = Vec::new();
    let limit = state::MAX_BYTES as u64 * 2;
    let read = std::io::stdin().take(limit).read_to_end(&mut bytes);
    read.map_err(|error| Failure::input(format!("stdin cannot be read: {error}")))?;
    document::json(&bytes, "stdin").map_err(|error| {
        Failure::from(error).with_hint("pass the complete new state as JSON on stdin")
    })
}

fn conflict(expected: &ObjectId, now: &ObjectId) -> Failure {
    Failure::new(
        FailureKind::Conflict,
        format!(
            "staging is {now}, not {expected}: another process was first, and nothing was changed"
        ),
    )
    .with_hint("read `agent state show --json` again and make the new state from that")
}
