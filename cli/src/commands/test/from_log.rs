//! `agent test add --from-log`: makes cases from recorded calls, as `agent adopt --record` does.

use crate::adoption::{Gathering, Made, RECORDED};
use crate::commands::time;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_core::formats::count::counted;
use agent_core::replay::redaction::Part;
use agent_core::replay::served_call::ServedCall;
use agent_core::replay::units;
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::replay::{self, Selection, Tools};
use agent_engine::world::{clock, event_loop};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Which recorded calls become cases.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "From recorded calls")]
pub struct FromLog {
    /// Make cases from recorded calls
    #[arg(
        long = "from-log",
        id = "from_log",
        conflicts_with_all = ["conversation", "tier", "turn", "id", "expect", "golden"]
    )]
    pub is_wanted: bool,
    /// Only calls that differed in the last `agent replay`
    #[arg(long, requires = "from_log")]
    differing: bool,
    /// Only calls of the last days or hours [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = time::duration, requires = "from_log")]
    since: Option<SignedDuration>,
    /// Only calls of this tool
    #[arg(long, value_name = "TOOL", requires = "from_log")]
    tool: Option<String>,
    /// At most N cases [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
        requires = "from_log")]
    limit: Option<u32>,
}

const SINCE: SignedDuration = SignedDuration::from_hours(7 * 24);
const LIMIT: usize = 20;

pub fn run(arguments: &FromLog, dry_run: bool, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let active = repository.target_to_test(&What::Active)?;
    let selection = Selection {
        since: Some(clock::now() - arguments.since.unwrap_or(SINCE)),
        tool: arguments.tool.clone(),
        ..Selection::default()
    };
    let recorded = replay::calls(&repository, &selection)?;
    for warning in recorded.warnings.as_slice() {
        context.printer.warn(warning);
    }
    let wanted = if arguments.differing {
        Some(replay::last_differing(&repository, &active.manifest)?)
    } else {
        None
    };
    let tools = Tools::of(&repository, &active, &active)?;
    let most = arguments.limit.map_or(LIMIT, |count| count as usize);
    let found = Candidates { wanted, tools: &tools, seen: BTreeSet::new() }.of(recorded.calls);
    let gathering = Gathering::of(&repository, What::Active, dry_run)?;
    let made = event_loop::block_on(gathered(gathering, found, most))??;
    report(&made, dry_run, context);
    Ok(Exit::Done)
}

/// The calls that can become cases.
struct Candidates<'a> {
    /// The ids of those that are wanted, where not all are.
    wanted: Option<BTreeSet<String>>,
    tools: &'a Tools,
    seen: BTreeSet<String>,
}

impl Candidates<'_> {
    /// The newest first, each once.
    fn of(mut self, calls: Vec<ServedCall>) -> Vec<ServedCall> {
        let mut found = Vec::new();
        for call in calls.into_iter().rev() {
            let id = units::call_id(&call.tool, &call.arguments);
            let is_wanted = self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&id));
            let is_whole = call.turn.is_none() && !call.has_redacted(Part::Arguments);
            if is_wanted && is_whole && self.tools.may_run(&call.tool) && self.seen.insert(id) {
                found.push(call);
            }
        }
        found
    }
}

async fn gathered(
    mut gathering: Gathering<'_>,
    calls: Vec<ServedCall>,
    most: usize,
) -> Result<Vec<(ServedCall, Made)>, Failure> {
    let mut made = Vec::new();
    let mut cases = 0;
    for call in calls {
        if cases == most {
            break;
        }
        let one = gathering.add_served(&call).await?;
        cases += usize::from(matches!(one, Made::Case { .. }));
        made.push((call, one));
    }
    Ok(made)
}

fn report(made: &[(ServedCall, Made)], dry_run: bool, context: &Context) {
    let mut added: Vec<Value> = Vec::new();
    let mut skipped: Vec<Value> = Vec::new();
    for (call, made) in made {
        match made {
            Made::Case { id, is_steady, line } => {
                if dry_run {
                    context.printer.data(line);
                } else {
                    context.printer.data(format!("{id}: {} {}", call.tool, call.arguments));
                }
                added.push(json!({"id": id, "tool": call.tool, "expects_answer": is_steady}));
            }
            Made::None(why) => {
                context.printer.detail(format!("{} {}: {why}", call.tool, call.arguments));
                skipped.push(json!({"tool": call.tool, "why": why}));
            }
        }
    }
    let verb = if dry_run { "would be added" } else { "added" };
    context.printer.say(format!(
        "{} {verb} to {RECORDED}; {} left out",
        counted(added.len(), "case"),
        counted(skipped.len(), "call")
    ));
    context.printer.json(&json!({
        "schema": "agent/test-add-from-log@1", "file": RECORDED, "added": added,
        "skipped": skipped, "dry_run": dry_run,
    }));
}
