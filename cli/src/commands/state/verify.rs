use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::report::progress::Progress;
use crate::repository::Repository;
use crate::staging::Replayed;
use crate::tuning::Tuner;
use crate::world::process;
use agent_core::canonical;
use agent_core::diagnose::Exit;
use agent_core::journal::{self, Fold, Record};
use agent_core::what::What;
use serde_json::{Value, json};

/// Replay staging's Journal through the Tuner and compare every state, byte for byte
///
/// A Tuner tool is a function of state, signal and conversation; one that reads a clock, a file or randomness is found here.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Where a replay came to something else.
struct Mismatch {
    record: Record,
    what: String,
}

pub fn run(_arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = Repository::open(context)?;
    let mut staging = repository.staging()?;
    let bytes = staging.journal()?;
    let mut walked = Vec::new();
    journal::walk(&bytes, |record, state| walked.push((record.clone(), state.clone()))).map_err(|error| staging.unreadable(error))?;
    let start = Fold::begin(&bytes).map_err(|error| staging.unreadable(error))?.state;
    let mismatch = process::block_on(replay(&repository, start, &walked, context))??;
    let found = mismatch.as_ref().map(|one| json!({"seq": one.record.seq, "id": one.record.id, "tool": one.record.tool, "what": one.what}));
    context
        .printer
        .json(&json!({"schema": "agent/state-verify@1", "verified": mismatch.is_none(), "updates": walked.len(), "mismatch": found}));
    match mismatch {
        None => {
            context.printer.say(format!("{} updates replayed, each to the same bytes", walked.len()));
            Ok(Exit::Done)
        }
        Some(Mismatch { record, what }) => {
            Err(CommandError::new(Exit::No, format!("update {} (`{}`, signal `{}`) {what}", record.seq, record.tool, record.id))
                .with_hint("a Tuner tool must be a function of state, signal and conversation alone: no clock, no randomness, no files"))
        }
    }
}

async fn replay(
    repository: &Repository,
    start: Value,
    walked: &[(Record, Value)],
    context: &Context,
) -> Result<Option<Mismatch>, CommandError> {
    let tuner = Tuner::start(repository, &repository.target(&What::Active)?, context).await?;
    let progress = Progress::start(&context.printer, "replaying", Some(walked.len() as u64));
    let mut before = &start;
    let mut mismatch = None;
    for (record, after) in walked {
        if record.is_by_tuner() && !is_dropped(record) {
            let what = difference(&tuner.replay(before, record).await?, before, after);
            mismatch = what.map(|what| Mismatch { record: record.clone(), what });
        }
        if mismatch.is_some() {
            break;
        }
        before = after;
        progress.advance(1);
    }
    tuner.end().await;
    Ok(mismatch)
}

/// A signal that a rebase left without effect is not asked again.
fn is_dropped(record: &Record) -> bool {
    record.summary.as_ref().is_some_and(|summary| summary.get("dropped").is_some())
}

fn difference(replayed: &Replayed, before: &Value, after: &Value) -> Option<String> {
    let state = match replayed {
        Replayed::Unchanged => before,
        Replayed::State(state) => state,
        Replayed::Dropped(why) => return Some(format!("is refused now: {why}")),
    };
    let (again, recorded) = (canonical::revision(state), canonical::revision(after));
    (again != recorded).then(|| format!("led to {}, and leads to {} now", recorded.short(), again.short()))
}
