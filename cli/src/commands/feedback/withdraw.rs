use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_engine::repository::Writes;
use agent_engine::target::withdrawal::{self, Outcome, Selection};
use serde_json::json;

/// Take signals of staging back, as if they had never been sent
///
/// What came after them is replayed through the Tuner without them. In their place the Journal has
/// digests of their ids and contents, so that they are not counted again when they are sent again.
/// Their rewards are removed from their conversations. A signal of a version is refused (exit code
/// 1): the evidence of a version is not changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent feedback withdraw s-17\
    \n  agent feedback withdraw --tag person:42 --verify")]
pub struct Arguments {
    /// The signal's id
    #[arg(required_unless_present = "tag")]
    id: Option<String>,
    /// All signals of staging with this tag (`"tags": [...]` in a line of a signals file)
    #[arg(long, value_name = "TAG", conflicts_with = "id")]
    tag: Option<String>,
    /// Replay all that is left afterwards, and compare every state
    #[arg(long)]
    verify: bool,
    /// Print how many signals would be taken back; change nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let Arguments { id, tag, verify, dry_run } = arguments;
    let selection = match (id, tag) {
        (Some(id), _) => Selection::Id(id.clone()),
        (None, tag) => Selection::Tag(tag.clone().unwrap_or_default()),
    };
    let repository = context.repository_to(Writes::Home.unless(*dry_run))?;
    let outcome = withdrawal::withdraw(&repository, &selection, *dry_run, *verify)?;
    let printer = &context.printer;
    let (signals, replayed, states, verified) = match &outcome {
        Outcome::Nothing => (0, 0, None, None),
        Outcome::Planned(signals) => (*signals, 0, None, None),
        Outcome::Done { withdrawn, verified } => (
            withdrawn.signals,
            withdrawn.replayed,
            Some((&withdrawn.before, &withdrawn.after)),
            verified.as_ref(),
        ),
    };
    printer.json(&json!({
        "schema": "agent/withdrawal@1", "withdrawn": signals, "replayed": replayed,
        "before": states.map(|states| states.0), "after": states.map(|states| states.1),
        "verified": verified.map(Result::is_ok), "dry_run": dry_run,
    }));
    match &outcome {
        Outcome::Nothing => printer.done("nothing to take back", None),
        Outcome::Planned(_) => printer.done(format!("{signals} signals would be taken back"), None),
        Outcome::Done { .. } => printer
            .done(format!("{signals} signals taken back, {replayed} later ones replayed"), None),
    }
    match verified {
        Some(Err(problem)) => {
            printer.refused(format!("the replay of what is left differs: {problem}"));
            Ok(Exit::No)
        }
        _ => Ok(Exit::Done),
    }
}
