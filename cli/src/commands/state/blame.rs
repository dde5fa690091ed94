use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::printer::{Printer, Style};
use crate::report::value::{shown, shown_or};
use crate::repository::{Repository, state_value};
use crate::world::git::STATE_FILE;
use agent_core::diagnose::Exit;
use agent_core::journal::{self, Fold};
use agent_core::object_id::ObjectId;
use agent_core::state::Path;
use serde_json::{Value, json};

/// Show which signals and versions made a key what it is, newest first
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A path such as `ranking.k1` or `/ranking/k1`
    #[arg(value_name = "PATH")]
    key: Path,
    /// At most this many steps back
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: usize,
}

/// One update or version after which the key had another value.
struct Step {
    by: String,
    detail: Value,
    old: Option<Value>,
    new: Option<Value>,
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = Repository::open(context)?;
    let path = &arguments.key;
    let mut steps = by_signals(&repository, path)?;
    steps.reverse();
    steps.extend(by_versions(&repository, path, arguments.limit.saturating_sub(steps.len()))?);
    steps.truncate(arguments.limit);
    if steps.is_empty() {
        return Err(CommandError::input(format!("neither staging nor any version has, or had, anything at `{path}`"))
            .with_hint("`agent state show` prints all of staging"));
    }
    for step in &steps {
        let change = format!("{} -> {}", shown_or(step.old.as_ref(), "(nothing)"), shown_or(step.new.as_ref(), "(nothing)"));
        context.printer.data(format!("{change}  {}", Printer::styled(Style::Faint, &step.by)));
    }
    let listed: Vec<_> = steps.iter().map(|step| json!({"by": step.detail, "old": step.old, "new": step.new})).collect();
    context.printer.json(&json!({"schema": "agent/state-blame@1", "path": path.to_string(), "steps": listed}));
    Ok(Exit::Done)
}

/// The updates of staging that changed the key, oldest first.
fn by_signals(repository: &Repository, path: &Path) -> Result<Vec<Step>, CommandError> {
    let mut staging = repository.staging()?;
    let bytes = staging.journal()?;
    let mut old = Fold::begin(&bytes).map_err(|error| staging.unreadable(error))?.state;
    let mut steps = Vec::new();
    let walked = journal::walk(&bytes, |record, state| {
        let (before, after) = (path.get(&old).cloned(), path.get(state).cloned());
        if before != after {
            steps.push(Step {
                by: format!("{} {} (signal {}, {})", record.tool, shown(&record.arguments), record.id, record.at),
                detail: json!({"signal": record.id, "seq": record.seq, "tool": record.tool, "arguments": record.arguments, "at": record.at}),
                old: before,
                new: after,
            });
        }
        old.clone_from(state);
    });
    walked.map_err(|error| staging.unreadable(error))?;
    Ok(steps)
}

/// The versions of active that changed the key, newest first.
fn by_versions(repository: &Repository, path: &Path, limit: usize) -> Result<Vec<Step>, CommandError> {
    let tip = repository.expect_tip()?;
    let mut steps = Vec::new();
    let mut newer: Option<(String, Value, Option<Value>)> = None;
    for commit in repository.git.first_parents(&tip.commit) {
        if steps.len() >= limit {
            return Ok(steps);
        }
        let commit = commit?;
        let Some(version) = &commit.trailers.version else { break };
        let value = value_at(repository, &commit.id, path)?;
        steps.extend(newer.take().filter(|(_, _, new)| *new != value).map(|(by, detail, new)| Step {
            by,
            detail,
            old: value.clone(),
            new,
        }));
        let kind = commit.trailers.kind.map_or("version", |kind| kind.as_str());
        newer = Some((format!("v{version} ({kind})"), json!({"version": version, "kind": kind, "commit": commit.id}), value));
    }
    steps.extend(newer.filter(|(_, _, new)| new.is_some()).map(|(by, detail, new)| Step { by, detail, old: None, new }));
    Ok(steps)
}

fn value_at(repository: &Repository, commit: &ObjectId, path: &Path) -> Result<Option<Value>, CommandError> {
    let Some(bytes) = repository.git.read(commit, STATE_FILE)? else { return Ok(None) };
    Ok(path.get(&state_value(&bytes, &format!("{}:{STATE_FILE}", commit.short()))?).cloned())
}
