use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::report::progress::Progress;
use agent_core::formats::diagnose::FailureKind;
use agent_core::state::journal::{self, Fold, Record};
use agent_core::version::what::What;
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::target::replay::{self, Mismatch};
use agent_engine::target::tuner::Tuner;
use agent_engine::world::event_loop;
use serde_json::{Value, json};

/// Replay staging's Journal through the Tuner and compare every state, byte for byte
///
/// A Tuner tool is a function of state, signal and conversation; one that reads a clock, a file or
/// randomness is found here.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

pub fn run(_arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let mut staging = repository.staging()?;
    let bytes = staging.journal()?;
    let mut walked = Vec::new();
    journal::walk(&bytes, |record, state| walked.push((record.clone(), state.clone())))
        .map_err(|error| staging.unreadable(error))?;
    let start = Fold::begin(&bytes).map_err(|error| staging.unreadable(error))?.state;
    let mismatch = event_loop::block_on(replayed(&repository, &start, &walked, context))??;
    let found = mismatch.as_ref().map(|one| {
        json!({"seq": one.record.seq, "id": one.record.id,
        "tool": one.record.tool, "what": one.what})
    });
    context.printer.json(&json!({"schema": "agent/state-verify@1", "verified": mismatch.is_none(),
            "updates": walked.len(), "mismatch": found}));
    match mismatch {
        None => {
            context
                .printer
                .say(format!("{} updates replayed, each to the same bytes", walked.len()));
            Ok(Exit::Done)
        }
        Some(Mismatch { record, what }) => Err(Failure::new(
            FailureKind::Refused,
            format!("update {} (`{}`, signal `{}`) {what}", record.seq, record.tool, record.id),
        )
        .with_hint(
            "a Tuner tool must be a function of state, signal and conversation \
                    alone: no clock, no randomness, no files",
        )),
    }
}

async fn replayed(
    repository: &Repository,
    start: &Value,
    walked: &[(Record, Value)],
    context: &Context,
) -> Result<Option<Mismatch>, Failure> {
    let tuner = Tuner::start(repository, &repository.target(&What::Active)?).await?;
    let progress = Progress::start(&context.printer, "replaying", Some(walked.len() as u64));
    let mismatch = replay::journal(&tuner, start, walked, || progress.advance(1)).await;
    tuner.end().await;
    Ok(mismatch?)
}
