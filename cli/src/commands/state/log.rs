use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::printer::{Printer, Style};
use crate::report::value::shown;
use agent_core::state::journal::{self, Record};
use serde_json::json;

/// List the updates of staging since it began, newest first
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// At most this many updates
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    limit: usize,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    let mut staging = repository.staging()?;
    let all = journal::records(&staging.journal()?).map_err(|error| staging.unreadable(error))?;
    let newest: Vec<&Record> = all.iter().rev().take(arguments.limit).collect();
    for record in &newest {
        context.printer.data(line(record));
    }
    let base = staging.snapshot()?.base;
    if all.is_empty() {
        context.printer.say(format!("staging is what v{} serves: no update yet", base.version));
    }
    context.printer.json(&json!({
        "schema": "agent/state-log@1", "base": base, "count": all.len(),
        "records": newest.iter().map(|record| entry(record)).collect::<Vec<_>>(),
    }));
    Ok(Exit::Done)
}

fn line(record: &Record) -> String {
    let change = if record.before == record.after {
        "(no change)".to_owned()
    } else {
        format!("-> {}", record.after.short())
    };
    let talk =
        record.conversation.as_ref().map(|talk| format!("  [{}]", talk.id)).unwrap_or_default();
    let faint = Printer::styled(Style::Faint, &format!("{}  {}", record.at, record.id));
    format!(
        "{:>5}  {} {}  {change}{talk}  {faint}",
        record.seq,
        record.tool,
        shown(&record.arguments)
    )
}

fn entry(record: &Record) -> serde_json::Value {
    json!({
        "seq": record.seq, "id": record.id, "tool": record.tool, "arguments": record.arguments,
            "before": record.before, "after": record.after,
        "conversation": record.conversation.as_ref().map(|talk| &talk.id), "trace": record.trace,
            "at": record.at, "summary": record.summary,
    })
}
