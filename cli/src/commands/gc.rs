use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_engine::gc;
use agent_engine::repository::Writes;
use jiff::SignedDuration;
use serde_json::json;

/// Remove unused checkouts, states and results
///
/// Checkouts, states and results of cases can be made again: a case whose result is gone is run again. What a process uses stays, however old it is. Of killed commands
/// go folders and files under way, unfinished Python environments, workplaces of coders, and evaluations of commits that no ref leads to. Conversations go that this command
/// has seen to be silent for longer than `limits.conversation_days`, from one run of it to the next. Versions, their evaluations, the Journal, telemetry and finished Python
/// environments are never touched, nor is anything in a bucket, which has lifecycle rules of its own.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many days something must not have been used
    #[arg(long, value_name = "N", default_value_t = 7)]
    days: u32,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository_to(Writes::Home.unless(arguments.dry_run))?;
    let snapshot = gc::observe(&repository)?;
    let mut removed = gc::plan(&snapshot, SignedDuration::from_hours(24 * i64::from(arguments.days)));
    let mut failed = None;
    if !arguments.dry_run {
        removed.retain(|item| match gc::remove(&repository, &snapshot, item) {
            Ok(is_gone) => is_gone,
            Err(error) => {
                failed.get_or_insert(error);
                false
            }
        });
        snapshot.silences.keep(&repository.layout)?;
    }
    let bytes: u64 = removed.iter().map(|item| item.bytes).sum();
    let kept = snapshot.items.len() - removed.len();
    context.printer.json(&json!({"schema": "agent/gc@1", "done": !arguments.dry_run, "removed": removed, "bytes": bytes, "kept": kept}));
    for item in &removed {
        let line = format!("{:<12}  {:>9}  {}", item.kind.as_str(), shown(item.bytes), item.path.display());
        if arguments.dry_run {
            context.printer.data(line);
        } else {
            context.printer.done(line, None);
        }
    }
    let verb = if arguments.dry_run { "would be removed" } else { "removed" };
    context.printer.say(format!("{} {verb} ({}), {kept} kept", removed.len(), shown(bytes)));
    failed.map_or(Ok(Exit::Done), Err)
}

fn shown(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
