use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::printer::{Printer, Style};
use crate::report::value::{shown, shown_or};
use agent_core::formats::object_id::{ObjectId, digest};
use agent_core::state::Path;
use agent_core::state::journal::{self, Fold, JournalError};
use agent_core::version::registry::journal_key;
use agent_engine::error::Failure;
use agent_engine::repository::{Repository, state_value};
use agent_engine::world::git::{CommitInfo, STATE_FILE};
use semver::Version;
use serde_json::{Value, json};

/// Show the signals and versions that changed a key, newest first
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
    let repository = context.repository()?;
    let path = &arguments.key;
    let mut steps = by_signals(&repository, path)?;
    steps.reverse();
    steps.extend(by_versions(&repository, path, arguments.limit.saturating_sub(steps.len()))?);
    steps.truncate(arguments.limit);
    if steps.is_empty() {
        return Err(Failure::input(format!(
            "neither staging nor any version has or had a value at `{path}`"
        ))
        .with_hint("`agent state show` prints all of staging"));
    }
    for step in &steps {
        let change = format!(
            "{} -> {}",
            shown_or(step.old.as_ref(), "(nothing)"),
            shown_or(step.new.as_ref(), "(nothing)")
        );
        context.printer.data(format!("{change}  {}", Printer::styled(Style::Faint, &step.by)));
    }
    let listed: Vec<_> = steps
        .iter()
        .map(|step| json!({"by": step.detail, "old": step.old, "new": step.new}))
        .collect();
    context
        .printer
        .json(&json!({"schema": "agent/state-blame@1", "path": path.to_string(), "steps": listed}));
    Ok(Exit::Done)
}

/// The updates of staging that changed the key, oldest first.
fn by_signals(repository: &Repository, path: &Path) -> Result<Vec<Step>, Failure> {
    let mut staging = repository.staging()?;
    let bytes = staging.journal()?;
    updates(&bytes, path, None).map_err(|error| staging.unreadable(error).into())
}

/// The updates of a Journal that changed the key, oldest first; `version` is the promotion that has
/// the Journal.
fn updates(
    journal: &[u8],
    path: &Path,
    version: Option<&Version>,
) -> Result<Vec<Step>, JournalError> {
    let mut old = path.get(&Fold::begin(journal)?.state).cloned();
    let mut steps = Vec::new();
    journal::walk(journal, |record, state| {
        let new = path.get(state).cloned();
        if old != new {
            let within = version.map(|version| format!(", v{version}")).unwrap_or_default();
            let mut detail = json!({"signal": record.id, "seq": record.seq, "tool": record.tool,
                "arguments": record.arguments, "at": record.at});
            if let Some(version) = version {
                detail["version"] = json!(version);
            }
            let by = format!(
                "{} {} (signal {}, {}{within})",
                record.tool,
                shown(&record.arguments),
                record.id,
                record.at
            );
            steps.push(Step { by, detail, old: old.take(), new: new.clone() });
            old = new;
        }
    })?;
    Ok(steps)
}

/// The versions of active that changed the key, newest first; a promotion as the signals of its
/// Journal, where the object store has it.
fn by_versions(repository: &Repository, path: &Path, limit: usize) -> Result<Vec<Step>, Failure> {
    let tip = repository.expect_tip()?;
    let mut steps = Vec::new();
    let mut newer: Option<(CommitInfo, Option<Value>)> = None;
    for commit in repository.git.first_parents(&tip.commit) {
        if steps.len() >= limit {
            return Ok(steps);
        }
        let commit = commit?;
        if commit.trailers.version.is_none() {
            break;
        }
        let value = value_at(repository, &commit.id, path)?;
        if let Some((made, new)) = newer.take().filter(|(_, new)| *new != value) {
            steps.extend(of_version(repository, path, &made, value.clone(), new)?);
        }
        newer = Some((commit, value));
    }
    if let Some((made, new)) = newer.filter(|(_, new)| new.is_some()) {
        steps.push(whole_version(&made, None, new));
    }
    Ok(steps)
}

/// What a version changed, newest first.
fn of_version(
    repository: &Repository,
    path: &Path,
    made: &CommitInfo,
    old: Option<Value>,
    new: Option<Value>,
) -> Result<Vec<Step>, Failure> {
    let sealed = match &made.trailers.journal {
        Some(named) => repository
            .store(&repository.manifest(&made.id)?)?
            .get(&journal_key(named))?
            .filter(|bytes| digest(bytes) == *named),
        None => None,
    };
    let mut steps = match sealed {
        Some(journal) => updates(&journal, path, made.trailers.version.as_ref())?,
        None => Vec::new(),
    };
    steps.reverse();
    // a Journal that was begun on an older version does not begin with the state of the base
    let is_whole = steps.first().is_some_and(|step| step.new == new)
        && steps.last().is_some_and(|step| step.old == old);
    Ok(if is_whole { steps } else { vec![whole_version(made, old, new)] })
}

fn whole_version(made: &CommitInfo, old: Option<Value>, new: Option<Value>) -> Step {
    let version =
        made.trailers.version.as_ref().map(|version| format!("v{version}")).unwrap_or_default();
    let kind = made.trailers.kind.map_or("version", |kind| kind.as_str());
    let detail = json!({"version": made.trailers.version, "kind": kind, "commit": made.id});
    Step { by: format!("{version} ({kind})"), detail, old, new }
}

fn value_at(
    repository: &Repository,
    commit: &ObjectId,
    path: &Path,
) -> Result<Option<Value>, Failure> {
    let Some(bytes) = repository.git.read(commit, STATE_FILE)? else { return Ok(None) };
    Ok(path.get(&state_value(&bytes, &format!("{}:{STATE_FILE}", commit.short()))?).cloned())
}
