use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use agent_engine::gc;
use agent_engine::repository::Writes;
use jiff::SignedDuration;
use serde_json::json;

/// Remove unused checkouts, states and results
///
/// Removed are unused checkouts, states and results of cases, which can be made again, and
/// leftovers of killed commands: temporary files, unfinished Python environments, repositories of
/// coders, and evaluations of commits that no ref reaches. Conversations are removed once they were
/// idle for longer than `limits.conversation_days`, as observed between runs of this command, and
/// recorded calls after `record.keep_days`, or beyond `record.keep_mb`.
/// Anything that a process uses is kept. Versions, their evaluations, the Journal, other telemetry
/// and finished Python environments are never removed, nor is anything in a bucket, which has its
/// own lifecycle rules.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Remove what was not used for this many days
    #[arg(long, value_name = "N", default_value_t = 7)]
    days: u32,
    /// Print what would be removed; remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository_to(Writes::Home.unless(arguments.dry_run))?;
    let snapshot = gc::observe(&repository)?;
    let mut removed =
        gc::plan(&snapshot, SignedDuration::from_hours(24 * i64::from(arguments.days)));
    let mut failed = None;
    if !arguments.dry_run {
        removed.retain(|item| match gc::remove(&repository, &snapshot, item) {
            Ok(is_gone) => is_gone,
            Err(error) => {
                failed.get_or_insert(error);
                false
            }
        });
        snapshot.idle_times.keep(&repository.layout)?;
    }
    let bytes: u64 = removed.iter().map(|item| item.bytes).sum();
    let kept = snapshot.items.len() - removed.len();
    context.printer.json(&json!({"schema": "agent/gc@1", "done": !arguments.dry_run,
        "removed": removed, "bytes": bytes, "kept": kept}));
    for item in &removed {
        let line = format!(
            "{:<12}  {:>9}  {}",
            item.kind.as_str(),
            shown(item.bytes),
            item.path.display()
        );
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
